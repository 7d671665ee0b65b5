//! Who belongs to an organization, as the host knows it.

use clove_core::{AccountId, OrganizationId};
use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc};

/// Someone who belongs to an organization now: an account, and what people call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The account, as [`Owner::account`](clove_core::Owner::account) names it.
    pub account: AccountId,
    /// The name that is shown beside it.
    pub name: String,
}

impl Member {
    /// A member of this account and name.
    pub fn new(account: AccountId, name: impl Into<String>) -> Self {
        Self { account, name: name.into() }
    }
}

type Asked = Pin<Box<dyn Future<Output = Option<Vec<Member>>> + Send>>;

/// The host's closure: organization to its members.
#[derive(Clone)]
pub(super) struct Members(Arc<dyn Fn(OrganizationId) -> Asked + Send + Sync>);

impl Members {
    pub(super) fn new<A, E>(ask: impl Fn(OrganizationId) -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Result<Vec<Member>, E>> + Send + 'static,
    {
        Self(Arc::new(move |organization| {
            let asked = ask(organization);
            Box::pin(async move { asked.await.ok() })
        }))
    }

    /// Who belongs to it now.
    pub(super) async fn of(&self, organization: &OrganizationId) -> People {
        let members = (self.0)(organization.clone()).await;
        People(members.map(|members| members.into_iter().map(|member| (member.account, member.name)).collect()))
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Members(..)")
    }
}

/// The members of one organization by account; none at all where the host could not say.
#[derive(Clone, Debug)]
pub(super) struct People(Option<BTreeMap<AccountId, String>>);

impl People {
    /// Whether the host could say who belongs to the organization.
    pub(super) fn are_known(&self) -> bool {
        self.0.is_some()
    }

    /// The name of a member, where it is another than the account's.
    pub(super) fn name(&self, account: &str) -> Option<&str> {
        let (_, name) = self.0.iter().flatten().find(|(member, _)| member.as_str() == account)?;
        Some(name.as_str()).filter(|name| !name.trim().is_empty() && *name != account)
    }

    /// What to call an account: its member's name, or itself.
    pub(super) fn called<'a>(&'a self, account: &'a str) -> &'a str {
        self.name(account).unwrap_or(account)
    }

    /// The members with their names, by account.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AccountId, &str)> {
        self.0.iter().flatten().map(|(account, name)| (account, name.as_str()))
    }

    /// Who is called so, in capitals or not; `None` where nobody is, or several are.
    pub(super) fn named(&self, name: &str) -> Option<&AccountId> {
        let wanted = name.trim().to_lowercase();
        let mut found = self.iter().filter(|(_, name)| name.trim().to_lowercase() == wanted).map(|(account, _)| account);
        found.next().filter(|_| found.next().is_none())
    }

    /// Whether an account is known to be a member's.
    pub(super) fn has(&self, account: &AccountId) -> bool {
        self.0.as_ref().is_some_and(|members| members.contains_key(account))
    }

    /// Whether an account is known to belong to nobody in the organization any more.
    pub(super) fn has_left(&self, account: &AccountId) -> bool {
        self.0.as_ref().is_some_and(|members| !members.contains_key(account))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn people(members: &[(&str, &str)]) -> People {
        People(Some(members.iter().map(|(account, name)| (AccountId::new(account).unwrap(), (*name).to_owned())).collect()))
    }

    #[test]
    fn an_account_without_a_name_is_called_by_itself() {
        let people = people(&[("ada", "Ada Lovelace"), ("bot", " "), ("eve", "eve")]);
        assert_eq!(
            ["ada", "bot", "eve", "mallory"].map(|account| people.called(account)),
            ["Ada Lovelace", "bot", "eve", "mallory"]
        );
    }

    #[test]
    fn a_name_leads_to_its_account_unless_several_have_it() {
        let people = people(&[("ada", "Ada Lovelace"), ("al", "Alan"), ("alan", "alan"), ("bot", "")]);
        let named = |name| people.named(name).map(AccountId::as_str);
        assert_eq!((named(" ada lovelace "), named("Alan"), named("Ada")), (Some("ada"), None, None));
    }

    #[test]
    fn nobody_has_left_as_long_as_the_host_cannot_say() {
        let (ada, eve) = (AccountId::new("ada").unwrap(), AccountId::new("eve").unwrap());
        let known = people(&[("ada", "Ada")]);
        assert!(!known.has_left(&ada) && known.has_left(&eve));
        assert!(!People(None).has_left(&eve) && !People(None).are_known());
    }
}
