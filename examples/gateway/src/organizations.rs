//! Who uses the gateway: organizations, their people, and what their requests may ask for. A file of JSON says it.

use crate::meter::Units;
use clove::{Budget, BudgetChoice, By, Clove, Invalid, OrganizationId, Owner, Refill, Scope};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Those of the demonstration.
pub(crate) const DEMO: &str = include_str!("organizations.json");

/// All of them.
#[derive(Debug)]
pub(crate) struct Organizations(BTreeMap<String, Organization>);

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Organization {
    id: String,
    pub(crate) name: String,
    usage: UsagePolicy,
    pub(crate) people: Vec<Person>,
}

/// What the requests of an organization may ask for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsagePolicy {
    /// Names of models; one that ends in `*` stands for all that begin so.
    models: Vec<String>,
    /// The most that a request may set as `max_tokens`.
    max_tokens: u64,
    /// How many tokens all of the organization may use; any number unless set.
    budget: Option<TokenBudget>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenBudget {
    tokens: u64,
    each: Each,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Each {
    Day,
    Week,
    Month,
}

/// Somebody who can sign in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) administrator: bool,
}

/// Why a request is against the policy of its organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    /// Nobody has said what the organization may do.
    NoPolicy,
    /// It may not use this model; these it may.
    Model { asked: String, allowed: String },
    /// It asks for more than so many.
    MaxTokens { asked: u64, most: u64 },
}

impl Organizations {
    /// Reads them.
    pub(crate) fn read(json: &str) -> Result<Self, String> {
        let list: Vec<Organization> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        for organization in &list {
            let people = organization.people.iter().map(|person| organization.owner(person).map(drop));
            people.chain([organization.budget().map(drop)]).collect::<Result<(), _>>().map_err(|error| error.to_string())?;
        }
        let count = list.len();
        let all: BTreeMap<_, _> = list.into_iter().map(|one| (one.id.clone(), one)).collect();
        if all.len() < count { Err("two organizations have one id".to_owned()) } else { Ok(Self(all)) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Organization> {
        self.0.values()
    }

    /// Somebody by the ids.
    pub(crate) fn person(&self, organization: &str, person: &str) -> Option<(&Organization, &Person)> {
        let organization = self.0.get(organization)?;
        Some((organization, organization.people.iter().find(|one| one.id == person)?))
    }

    /// Whether requests of an organization may use a model, and have so many tokens in their answer.
    pub(crate) fn check(&self, organization: &OrganizationId, model: &str, max_tokens: Option<u64>) -> Result<(), Objection> {
        let UsagePolicy { models, max_tokens: most, .. } = &self.0.get(organization.as_str()).ok_or(Objection::NoPolicy)?.usage;
        if !self.allows(organization, model) {
            // It is told back, and may be as long as a body.
            let asked = model.chars().take(64).collect();
            return Err(Objection::Model { asked, allowed: models.join(", ") });
        }
        match max_tokens.filter(|asked| asked > most) {
            Some(asked) => Err(Objection::MaxTokens { asked, most: *most }),
            None => Ok(()),
        }
    }

    /// Whether an organization may use a model.
    pub(crate) fn allows(&self, organization: &OrganizationId, model: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => model.starts_with(beginning),
            None => pattern == model,
        };
        self.0.get(organization.as_str()).is_some_and(|organization| organization.usage.models.iter().any(matches))
    }

    /// Sets the budgets, where they are not as they should be.
    pub(crate) async fn set_budgets(&self, clove: &Clove, units: &Units) -> Result<(), clove::Error> {
        let by = By::new("gateway", "the usage policy of the organization")?.may_set_limits();
        for organization in self.iter() {
            let (scope, wanted) = (Scope::Organization(OrganizationId::new(&organization.id)?), organization.budget()?);
            let is = clove.budget(scope.clone(), None, &units.tokens).await?.map(|state| state.budget);
            if is != wanted {
                let choice = wanted.map_or(BudgetChoice::Unlimited, BudgetChoice::Own);
                clove.set_budget(scope, &units.tokens, choice, &by).await?;
            }
        }
        Ok(())
    }
}

impl Organization {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whose keys are this person's.
    pub(crate) fn owner(&self, person: &Person) -> Result<Owner, Invalid> {
        Owner::new(&self.id, &person.id)
    }

    fn budget(&self) -> Result<Option<Budget>, Invalid> {
        let refill = |each| match each {
            Each::Day => Refill::Daily,
            Each::Week => Refill::Weekly,
            Each::Month => Refill::Monthly,
        };
        self.usage.budget.map(|TokenBudget { tokens, each }| Budget::new(tokens, refill(each))).transpose()
    }
}

impl std::fmt::Display for Objection {
    /// A sentence for the client.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoPolicy => f.write_str("Your organization has no usage policy at this gateway. Ask an administrator."),
            Self::Model { asked, allowed } => {
                write!(f, "Your organization does not allow the model {asked:?}. Use one of these: {allowed}.")
            }
            Self::MaxTokens { asked, most } => {
                write!(f, "max_tokens: {asked} is more than the {most} that your organization allows a request.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn check(model: &str, max_tokens: u64) -> Result<(), Objection> {
        let json = r#"[{"id": "acme", "name": "Acme", "people": [],
            "usage": {"models": ["demo-small", "big-*"], "max_tokens": 100}}]"#;
        Organizations::read(json).unwrap().check(&OrganizationId::new("acme").unwrap(), model, Some(max_tokens))
    }

    #[test]
    fn a_model_is_allowed_by_its_name_or_by_how_it_begins() {
        for model in ["demo-small", "big-", "big-one"] {
            assert_eq!(check(model, 100), Ok(()), "{model}");
        }
        for model in ["", "demo-small-2", "Demo-small", "big", "xbig-one", "*", "big*"] {
            assert!(matches!(check(model, 100), Err(Objection::Model { .. })), "{model}");
        }
    }

    #[test]
    fn more_tokens_than_the_policy_has_are_refused() {
        assert_eq!(check("demo-small", 101), Err(Objection::MaxTokens { asked: 101, most: 100 }));
        assert_eq!(check("demo-small", u64::MAX), Err(Objection::MaxTokens { asked: u64::MAX, most: 100 }));
    }

    #[test]
    fn an_organization_without_a_policy_may_nothing() {
        let nobody = OrganizationId::new("nobody").unwrap();
        let demo = Organizations::read(DEMO).unwrap();
        assert_eq!(demo.check(&nobody, "demo-small", None), Err(Objection::NoPolicy));
        assert!(!demo.allows(&nobody, "demo-small"));
    }

    #[test]
    fn the_demonstration_has_two_organizations_and_an_administrator_in_each() {
        let demo = Organizations::read(DEMO).unwrap();
        assert_eq!(demo.iter().count(), 2);
        assert!(demo.iter().all(|one| one.people.iter().filter(|person| person.administrator).count() == 1));
    }

    #[test]
    fn what_is_wrong_in_the_file_is_said() {
        let organization = |usage: &str| {
            let json = format!(r#"[{{"id": "a", "name": "A", "people": [], "usage": {usage}}}]"#);
            Organizations::read(&json).map(drop)
        };
        assert_eq!(organization(r#"{"models": [], "max_tokens": 1}"#), Ok(()));
        for usage in ["{}", r#"{"models": [], "max_tokens": 1, "model": []}"#] {
            assert!(organization(usage).is_err(), "{usage}");
        }
        let budget = r#"{"models": [], "max_tokens": 1, "budget": {"tokens": 0, "each": "day"}}"#;
        assert!(organization(budget).unwrap_err().contains("budget"));
    }
}
