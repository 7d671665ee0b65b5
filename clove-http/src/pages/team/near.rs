//! Limits that are nearly used up.
//!
//! Nobody asks the store about each key of an organization: looked at are those that are in use, the busiest first.

use super::{
    read::{self, Read},
    words,
};
use chrono::{DateTime, Utc};
use clove_core::{
    AccountId, BudgetOf, BudgetState, Clove, Day, Error, Key, KeyId, LimitState, ListUsage, OrganizationId, Owner, Refusal,
    Scope, Status, StoreError, Unit, Usage, UsageBy, UsagePer, verdict::Limited,
};
use std::cmp::Reverse;

/// From how many percent on a limit is near its end.
pub(super) const NEAR_PERCENT: u64 = 80;
/// The windows of how many keys are looked at.
pub(super) const BUSIEST_KEYS: usize = 20;
/// The budgets of how many accounts, and of how many keys, are looked at for each unit.
pub(super) const LARGEST: usize = 10;
/// Of how many units budgets are looked at.
pub(super) const MAX_UNITS: usize = 8;
/// Who used something in so many days is looked at: the longest month.
const BUDGET_DAYS: u32 = 31;

/// A limit that is nearly used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Near {
    pub(super) whose: Whose,
    /// What is allowed: "5,000 requests a day".
    pub(super) allowed: String,
    /// How much is used or reserved, and how much may be.
    pub(super) used: u64,
    pub(super) most: u64,
    /// When it is full again.
    pub(super) resets_at: Option<DateTime<Utc>>,
}

/// Whose limit it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Organization,
    Account(AccountId),
    Key { account: AccountId, id: KeyId, name: String },
}

impl Near {
    /// How much is used, in percent, rounded down; over 100 where it is overspent.
    pub(super) fn percent(&self) -> u64 {
        let percent = u128::from(self.used) * 100 / u128::from(self.most.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    fn of_window(whose: Whose, state: &LimitState) -> Self {
        let most = state.window.count();
        Self {
            whose,
            allowed: format!("{} requests {}", words::number(most), each(state.window.seconds())),
            used: most.saturating_sub(state.left),
            most,
            resets_at: Some(state.resets_at),
        }
    }

    fn of_budget(whose: Whose, state: &BudgetState) -> Self {
        let (most, each) = (state.budget.amount(), state.budget.refill().each());
        Self {
            whose,
            allowed: format!("{} {} {each}", words::number(most), words::unit(&state.unit)),
            used: state.settled.saturating_add(state.reserved),
            most,
            resets_at: state.refills_at,
        }
    }
}

/// "a day", "in 90 minutes".
fn each(seconds: u32) -> String {
    let length = words::length(seconds);
    if length.starts_with('a') { length } else { format!("in {length}") }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The fullest first.
    pub(super) near: Vec<Near>,
    /// How many units were used beyond those whose budgets are looked at.
    pub(super) more_units: usize,
    /// Whether a list was too long to be read to its end.
    pub(super) is_cut: bool,
    pub(super) corrupt: usize,
}

impl Found {
    fn add(&mut self, near: Near) {
        if near.percent() >= NEAR_PERCENT && !self.near.contains(&near) {
            self.near.push(near);
        }
    }

    /// The sums that were read, and takes note of what is missing.
    fn sums(&mut self, read: Read<Usage>) -> Vec<Usage> {
        self.corrupt += read.corrupt;
        self.is_cut |= !read.is_whole;
        read.items
    }

    /// What was read, but for a row that is not there, or cannot be read and takes nothing else down.
    fn take<T>(&mut self, read: Result<T, Error>) -> Result<Option<T>, Error> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(Error::Refused(Refusal::NotFound)) => Ok(None),
            Err(Error::Store(StoreError::Corrupt { .. })) => {
                self.corrupt += 1;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The limits of an organization that are nearly used up.
pub(super) async fn near(clove: &Clove, organization: &OrganizationId) -> Result<Found, Error> {
    let (mut found, scope, today) = (Found::default(), Scope::from(organization), Day::of(clove.now()));
    for key in busiest(clove, &scope, &Unit::requests(), UsageBy::Key, today, BUSIEST_KEYS, &mut found).await? {
        let Busy { key: Some(id), .. } = key else { continue };
        let Some(key) = active(clove, &scope, id, &mut found).await? else { continue };
        let read = clove.windows(&scope, id).await;
        for state in found.take(read)?.unwrap_or_default() {
            let whose = if state.of == Limited::Key { of_key(&key) } else { Whose::Account(key.owner.account.clone()) };
            found.add(Near::of_window(whose, &state));
        }
    }
    let since = today.before(BUDGET_DAYS - 1);
    for unit in units(clove, &scope, since, &mut found).await? {
        let read = clove.budget(&scope, None, &unit).await;
        if let Some(state) = found.take(read)?.flatten() {
            found.add(Near::of_budget(Whose::Organization, &state));
        }
        for busy in busiest(clove, &scope, &unit, UsageBy::Account, since, LARGEST, &mut found).await? {
            let owner = Owner { organization: organization.clone(), account: busy.account };
            let read = clove.budget(&owner, None, &unit).await;
            if let Some(state) = found.take(read)?.flatten() {
                found.add(Near::of_budget(Whose::Account(owner.account), &state));
            }
        }
        // Keys have the policy's budgets, and none of their own.
        if clove.policy().budget(BudgetOf::Key, &unit).is_none() {
            continue;
        }
        for busy in busiest(clove, &scope, &unit, UsageBy::Key, since, LARGEST, &mut found).await? {
            let Busy { key: Some(id), .. } = busy else { continue };
            let Some(key) = active(clove, &scope, id, &mut found).await? else { continue };
            let read = clove.budget(&scope, Some(id), &unit).await;
            if let Some(state) = found.take(read)?.flatten() {
                found.add(Near::of_budget(of_key(&key), &state));
            }
        }
    }
    found.near.sort_by_key(|near| Reverse(near.percent()));
    Ok(found)
}

fn of_key(key: &Key) -> Whose {
    Whose::Key { account: key.owner.account.clone(), id: key.id, name: key.name.as_str().to_owned() }
}

/// A key, if requests with it may be granted.
async fn active(clove: &Clove, scope: &Scope, id: KeyId, found: &mut Found) -> Result<Option<Key>, Error> {
    let read = clove.get(scope, id).await;
    Ok(found.take(read)?.filter(|key| key.status(clove.now()) == Status::Active))
}

struct Busy {
    account: AccountId,
    key: Option<KeyId>,
}

/// Who used the most of a unit since a day.
async fn busiest(
    clove: &Clove,
    scope: &Scope,
    unit: &Unit,
    by: UsageBy,
    since: Day,
    most: usize,
    found: &mut Found,
) -> Result<Vec<Busy>, Error> {
    let list = ListUsage { by, per: UsagePer::Total, unit: Some(unit.clone()), first: Some(since), ..ListUsage::default() };
    let mut sums = found.sums(read::sums(clove, scope, list).await?);
    sums.sort_by_key(|sum| Reverse(sum.amount));
    sums.truncate(most);
    Ok(sums.into_iter().filter_map(|sum| Some(Busy { account: sum.account?, key: sum.key })).collect())
}

/// The units of which something was used since a day and of which there can be budgets.
async fn units(clove: &Clove, scope: &Scope, since: Day, found: &mut Found) -> Result<Vec<Unit>, Error> {
    let list = ListUsage { per: UsagePer::Total, first: Some(since), ..ListUsage::default() };
    let sums = found.sums(read::sums(clove, scope, list).await?);
    let mut units: Vec<Unit> = sums.into_iter().map(|sum| sum.unit).filter(|unit| !unit.is_requests()).collect();
    found.more_units = units.len().saturating_sub(MAX_UNITS);
    units.truncate(MAX_UNITS);
    Ok(units)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use clove_core::{Budget, Refill, Window};
    use std::time::Duration;

    #[test]
    fn a_window_is_told_by_what_it_allows_and_how_full_it_is() {
        let window = |seconds| Window::new(5_000, Duration::from_secs(seconds)).unwrap();
        let state = |window, left| LimitState { of: Limited::Key, window, left, resets_at: DateTime::UNIX_EPOCH };
        let near = Near::of_window(Whose::Organization, &state(window(86_400), 1_000));
        assert_eq!((near.allowed.as_str(), near.used, near.percent()), ("5,000 requests a day", 4_000, 80));
        let near = Near::of_window(Whose::Organization, &state(window(5_400), 0));
        assert_eq!((near.allowed.as_str(), near.percent()), ("5,000 requests in 90 minutes", 100));
    }

    #[test]
    fn a_budget_is_as_full_as_what_is_used_and_reserved_of_it() {
        let state = BudgetState {
            of: BudgetOf::Account,
            unit: Unit::new("output_tokens").unwrap(),
            budget: Budget::new(1_000_000, Refill::Monthly).unwrap(),
            settled: 1_000_000,
            reserved: 250_000,
            refills_at: None,
        };
        let near = Near::of_budget(Whose::Organization, &state);
        assert_eq!((near.allowed.as_str(), near.percent()), ("1,000,000 output tokens a month", 125));
    }

    #[test]
    fn what_is_far_from_its_end_is_not_told_and_an_account_is_told_once() {
        let mut found = Found::default();
        let near = |used| Near { whose: Whose::Organization, allowed: String::new(), used, most: 100, resets_at: None };
        for used in [79, 80, 80, 100] {
            found.add(near(used));
        }
        assert_eq!(found.near.iter().map(Near::percent).collect::<Vec<_>>(), [80, 100]);
    }
}
