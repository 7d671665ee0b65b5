//! What was used, and by whom: read so that it is right for an organization of any size.
//!
//! Totals are read first, by account or by key; then the series of the few largest, by themselves; and at last the series of all, of
//! which what is not told apart is the others'. So a page costs by members or keys, and never by members times days.

use super::{
    administrator::Choice,
    figures::{Figures, MAX_BANDS, Span},
    members::People,
    read::{self, Read},
};
use clove_core::{
    AccountId, Clove, Error, Key, KeyId, ListKeys, ListUsage, OrganizationId, Owner, Refusal, Scope, Unit, Usage, UsageBy,
    UsagePer,
};
use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// How many members are shown with their keys.
pub(super) const MAX_MEMBERS: usize = 25;
/// How many members are shown that used nothing.
const MAX_IDLE: usize = 50;
/// How many keys are shown of each.
pub(super) const MAX_KEYS: usize = 10;
/// How many keys of a person are shown on its own page.
pub(super) const MAX_OWN_KEYS: usize = 200;

/// What the members of an organization used.
#[derive(Debug)]
pub(super) struct OfTeam {
    /// How much was used of each unit, requests first.
    pub(super) units: Vec<(Unit, u64)>,
    pub(super) figures: Figures,
    /// The members that used the most of the chosen unit, the largest first.
    pub(super) members: Vec<MemberUse>,
    /// How many others used some of it, and how much.
    pub(super) others: (usize, u64),
    /// Members of today that used none of it, by account, and how many more there are.
    pub(super) idle: (Vec<AccountId>, usize),
    /// Whether all members were looked through.
    pub(super) are_all_members: bool,
    /// Whether all sums of units, days and keys were read.
    pub(super) is_whole: bool,
    pub(super) corrupt: usize,
}

/// What one member used.
#[derive(Debug)]
pub(super) struct MemberUse {
    pub(super) account: AccountId,
    /// Of the chosen unit.
    pub(super) amount: u64,
    /// By key, the largest first.
    pub(super) keys: Vec<KeyUse>,
    /// How many more keys used something.
    pub(super) more_keys: usize,
}

/// What one key used.
#[derive(Debug)]
pub(super) struct KeyUse {
    pub(super) id: KeyId,
    /// The key, if it is still there and can be read.
    pub(super) key: Option<Key>,
    pub(super) amounts: BTreeMap<Unit, u64>,
}

impl KeyUse {
    /// How much of a unit.
    pub(super) fn of(&self, unit: &Unit) -> u64 {
        self.amounts.get(unit).copied().unwrap_or_default()
    }

    /// What the key is called; of one that is deleted nothing is left but its id.
    pub(super) fn name(&self) -> Cow<'_, str> {
        match &self.key {
            Some(key) => Cow::Borrowed(key.name.as_str()),
            None => Cow::Owned(format!("Deleted key {}", self.short_id())),
        }
    }

    /// The end of the id, which is random: its beginning is the time, which keys can share.
    fn short_id(&self) -> String {
        let id = self.id.to_string();
        id.rsplit_once('-').map_or(id.clone(), |(_, end)| format!("…{end}"))
    }
}

/// What one person used.
#[derive(Debug)]
pub(super) struct OfPerson {
    pub(super) units: Vec<(Unit, u64)>,
    pub(super) figures: Figures,
    pub(super) keys: Vec<KeyUse>,
    pub(super) more_keys: usize,
    /// Whether all sums of units, days and keys were read.
    pub(super) is_whole: bool,
    pub(super) corrupt: usize,
}

/// Reads within one scope and span, counts what cannot be read, and knows whether anything was left out.
struct Reader<'a> {
    clove: &'a Clove,
    span: &'a Span,
    corrupt: usize,
    is_whole: bool,
}

impl Reader<'_> {
    async fn sums(&mut self, scope: &Scope, list: ListUsage) -> Result<Read<Usage>, Error> {
        let (first, last) = self.span.ends();
        let list = ListUsage { first: Some(first.into()), last: Some(last.into()), ..list };
        let read = read::sums(self.clove, scope, list).await?;
        self.corrupt += read.corrupt;
        Ok(read)
    }

    async fn all(&mut self, scope: &Scope, list: ListUsage) -> Result<Vec<Usage>, Error> {
        let read = self.sums(scope, list).await?;
        self.is_whole &= read.is_whole;
        Ok(read.items)
    }

    /// How much was used of each unit: requests first, then by name.
    async fn units(&mut self, scope: &Scope) -> Result<Vec<(Unit, u64)>, Error> {
        let list = ListUsage { per: UsagePer::Total, ..ListUsage::default() };
        let sums = self.all(scope, list).await?;
        let mut units: BTreeMap<Unit, u64> = sums.into_iter().map(|sum| (sum.unit, sum.amount)).collect();
        let requests = units.remove(&Unit::requests()).unwrap_or_default();
        Ok(std::iter::once((Unit::requests(), requests)).chain(units).collect())
    }

    async fn series(&mut self, scope: &Scope, key: Option<KeyId>, unit: &Unit) -> Result<Vec<Usage>, Error> {
        let list = ListUsage { key, unit: Some(unit.clone()), ..ListUsage::default() };
        self.all(scope, list).await
    }

    /// What each key of an owner used of all units, the largest of `unit` first, at most `most` with their rows, and how many more
    /// there are.
    async fn keys(&mut self, owner: &Owner, unit: &Unit, most: usize) -> Result<(Vec<KeyUse>, usize), Error> {
        let list = ListUsage { by: UsageBy::Key, per: UsagePer::Total, ..ListUsage::default() };
        let mut amounts: BTreeMap<KeyId, BTreeMap<Unit, u64>> = BTreeMap::new();
        for sum in self.all(&owner.into(), list).await? {
            if let Some(key) = sum.key {
                amounts.entry(key).or_default().insert(sum.unit, sum.amount);
            }
        }
        let mut keys: Vec<KeyUse> = amounts.into_iter().map(|(id, amounts)| KeyUse { id, key: None, amounts }).collect();
        // Newer keys before older ones that used as much.
        keys.sort_by_key(|key| Reverse((key.of(unit), key.id)));
        let more = keys.len().saturating_sub(most);
        keys.truncate(most);
        self.name(owner, &mut keys).await?;
        Ok((keys, more))
    }

    /// Finds the rows of keys: of most at once, and of the rest one by one.
    async fn name(&mut self, owner: &Owner, keys: &mut [KeyUse]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let page = self.clove.list(owner, &ListKeys::default()).await?;
        let mut rows: BTreeMap<KeyId, Key> = page.items.into_iter().map(|key| (key.id, key)).collect();
        for key in keys {
            key.key = match rows.remove(&key.id) {
                Some(row) => Some(row),
                None if page.next.is_none() => None,
                None => match self.clove.get(owner, key.id).await {
                    Ok(row) => Some(row),
                    Err(Error::Refused(Refusal::NotFound)) => None,
                    Err(Error::Store(clove_core::StoreError::Corrupt { .. })) => {
                        self.corrupt += 1;
                        None
                    }
                    Err(error) => return Err(error),
                },
            };
        }
        Ok(())
    }
}

/// Series with their labels; of those that are called alike, with what tells them apart.
fn told_apart(series: Vec<(String, String, Vec<Usage>)>) -> Vec<(String, Vec<Usage>)> {
    let labels: Vec<String> = series.iter().map(|(label, ..)| label.clone()).collect();
    let is_one_of_many = |label: &String| labels.iter().filter(|other| *other == label).count() > 1;
    let named = |(label, more, sums)| (if is_one_of_many(&label) { format!("{label} ({more})") } else { label }, sums);
    series.into_iter().map(named).collect()
}

/// What an organization used, by member.
pub(super) async fn of_team(
    clove: &Clove,
    organization: &OrganizationId,
    people: &People,
    choice: &Choice,
) -> Result<OfTeam, Error> {
    let span = Span::up_to(clove.now().date_naive(), choice.days);
    let mut reader = Reader { clove, span: &span, corrupt: 0, is_whole: true };
    let (scope, unit) = (Scope::from(organization), &choice.unit);
    let owner = |account: &AccountId| Owner { organization: organization.clone(), account: account.clone() };
    let units = reader.units(&scope).await?;

    let list = ListUsage { by: UsageBy::Account, per: UsagePer::Total, unit: Some(unit.clone()), ..ListUsage::default() };
    let totals = reader.sums(&scope, list).await?;
    let mut accounts: Vec<(AccountId, u64)> =
        totals.items.into_iter().filter_map(|sum| Some((sum.account?, sum.amount))).filter(|(_, amount)| *amount > 0).collect();
    accounts.sort_by(|(a, left), (b, right)| right.cmp(left).then_with(|| a.cmp(b)));

    let mut apart = Vec::new();
    for (account, _) in accounts.iter().take(MAX_BANDS) {
        let series = reader.series(&(&owner(account)).into(), None, unit).await?;
        apart.push((people.called(account.as_str()).to_owned(), account.to_string(), series));
    }
    let whole = reader.series(&scope, None, unit).await?;

    let idle = if totals.is_whole && totals.corrupt == 0 { idle(&accounts, people) } else { Default::default() };
    let rest = accounts.split_off(accounts.len().min(MAX_MEMBERS));
    let mut members = Vec::new();
    for (account, amount) in accounts {
        let (keys, more_keys) = reader.keys(&owner(&account), unit, MAX_KEYS).await?;
        members.push(MemberUse { account, amount, keys, more_keys });
    }
    let others = (rest.len(), rest.iter().fold(0, |sum: u64, (_, amount)| sum.saturating_add(*amount)));
    let Reader { corrupt, is_whole, .. } = reader;
    let figures = Figures::new(span, told_apart(apart), &whole, "Everyone else");
    Ok(OfTeam { units, figures, members, others, idle, are_all_members: totals.is_whole, is_whole, corrupt })
}

/// The members of whom nothing was found, and how many more there are than are shown.
fn idle(used: &[(AccountId, u64)], people: &People) -> (Vec<AccountId>, usize) {
    let used: BTreeSet<&AccountId> = used.iter().map(|(account, _)| account).collect();
    let mut idle: Vec<AccountId> = people.iter().map(|(account, _)| account).filter(|it| !used.contains(it)).cloned().collect();
    let more = idle.len().saturating_sub(MAX_IDLE);
    idle.truncate(MAX_IDLE);
    (idle, more)
}

/// What one person used, by key.
pub(super) async fn of_person(clove: &Clove, owner: &Owner, choice: &Choice) -> Result<OfPerson, Error> {
    let span = Span::up_to(clove.now().date_naive(), choice.days);
    let mut reader = Reader { clove, span: &span, corrupt: 0, is_whole: true };
    let (scope, unit) = (Scope::from(owner), &choice.unit);
    let units = reader.units(&scope).await?;
    let (keys, more_keys) = reader.keys(owner, unit, MAX_OWN_KEYS).await?;
    let mut apart = Vec::new();
    for key in keys.iter().take(MAX_BANDS).filter(|key| key.of(unit) > 0) {
        let series = reader.series(&scope, Some(key.id), unit).await?;
        apart.push((key.name().into_owned(), key.short_id(), series));
    }
    let whole = reader.series(&scope, None, unit).await?;
    let Reader { corrupt, is_whole, .. } = reader;
    let figures = Figures::new(span, told_apart(apart), &whole, "Other keys");
    Ok(OfPerson { units, figures, keys, more_keys, is_whole, corrupt })
}
