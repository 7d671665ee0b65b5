//! Budgets: how much of a unit may be used in a period. Metering says how much was; a request that may use much reserves ahead
//! ([`Attempt::reserving`](crate::Attempt::reserving)), and is refused where that is not left.

use crate::{
    error::Invalid,
    id::{KeyId, OrganizationId, Owner, Scope},
    usage::{Day, MAX_AMOUNT, Unit},
};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};
use std::fmt;

/// When a budget is full again. Periods are those of the calendar in UTC, each named by its first day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Refill {
    /// At midnight.
    Daily,
    /// At midnight before Monday, as ISO 8601 has its weeks.
    Weekly,
    /// At midnight before the first of the month.
    Monthly,
    /// Never: what is used is used for good.
    Never,
}

impl Refill {
    const ALL: [(Self, &str); 4] =
        [(Self::Daily, "day"), (Self::Weekly, "week"), (Self::Monthly, "month"), (Self::Never, "never")];

    /// The first day of the period that holds this one.
    #[must_use]
    pub fn first(self, day: Day) -> Day {
        let date = NaiveDate::from(day);
        let first = match self {
            Self::Daily => Some(date),
            Self::Weekly => date.checked_sub_days(Days::new(date.weekday().num_days_from_monday().into())),
            Self::Monthly => date.with_day(1),
            Self::Never => None,
        };
        first.unwrap_or(NaiveDate::MIN).into()
    }

    /// The first day of the period after it, if there is one.
    #[must_use]
    pub fn next(self, day: Day) -> Option<Day> {
        let first = NaiveDate::from(self.first(day));
        match self {
            Self::Daily => first.checked_add_days(Days::new(1)),
            Self::Weekly => first.checked_add_days(Days::new(7)),
            Self::Monthly => first.checked_add_months(Months::new(1)),
            Self::Never => None,
        }
        .map(Day::from)
    }

    /// The first and the last day of the period that holds this one.
    #[must_use]
    pub fn days(self, day: Day) -> (Day, Day) {
        (self.first(day), self.next(day).map_or(NaiveDate::MAX.into(), |next| next.before(1)))
    }

    /// Ends "so much": "a day", "a week", "a month", or "in all".
    #[must_use]
    pub fn each(self) -> &'static str {
        match self {
            Self::Daily => "a day",
            Self::Weekly => "a week",
            Self::Monthly => "a month",
            Self::Never => "in all",
        }
    }

    fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(refill, _)| *refill == self).map_or("", |(_, word)| word)
    }
}

/// How much of a unit may be used in a period: 1 to [`MAX_AMOUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Budget {
    amount: u64,
    refill: Refill,
}

impl Budget {
    /// So much in each period.
    ///
    /// # Errors
    /// If the amount is 0, or above [`MAX_AMOUNT`].
    pub fn new(amount: u64, refill: Refill) -> Result<Self, Invalid> {
        if !(1..=MAX_AMOUNT).contains(&amount) {
            return Err(Invalid::new("amount of a budget", "must be 1 to 2^63 - 1", amount.to_string()));
        }
        Ok(Self { amount, refill })
    }

    /// How much.
    #[must_use]
    pub const fn amount(self) -> u64 {
        self.amount
    }

    /// When it is full again.
    #[must_use]
    pub const fn refill(self) -> Refill {
        self.refill
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.refill.each())
    }
}

/// Which budget an account or an organization has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum BudgetChoice {
    /// The policy's, if it has one.
    #[default]
    Default,
    /// None: any amount.
    Unlimited,
    /// Its own.
    Own(Budget),
}

const UNLIMITED: &str = "unlimited";

impl BudgetChoice {
    /// The budget that holds, where the policy's is `default`.
    #[must_use]
    pub fn over(self, default: Option<Budget>) -> Option<Budget> {
        match self {
            Self::Default => default,
            Self::Unlimited => None,
            Self::Own(budget) => Some(budget),
        }
    }

    /// The text that stores write.
    #[must_use]
    pub fn to_stored(self) -> String {
        match self {
            Self::Default => String::new(),
            Self::Unlimited => UNLIMITED.to_owned(),
            Self::Own(budget) => format!("{}/{}", budget.amount, budget.refill.word()),
        }
    }

    /// Reads [`Self::to_stored`].
    ///
    /// # Errors
    /// If no version can have written it.
    pub fn from_stored(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Ok(Self::Default);
        }
        if text == UNLIMITED {
            return Ok(Self::Unlimited);
        }
        let own = text.split_once('/').and_then(|(amount, word)| {
            let (refill, _) = Refill::ALL.into_iter().find(|(_, known)| *known == word)?;
            let is_plain = amount.bytes().all(|byte| byte.is_ascii_digit());
            Budget::new(amount.parse().ok().filter(|_| is_plain)?, refill).ok()
        });
        own.map(Self::Own).ok_or_else(|| Invalid::new("budget", "must be one that was stored", crate::error::size(text)))
    }
}

/// Whose budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum BudgetOf {
    /// Each key's own.
    Key,
    /// The account's, over all its keys.
    Account,
    /// The organization's, over all its accounts.
    Organization,
}

impl BudgetOf {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Key, Self::Account, Self::Organization];
}

/// The one whose budget it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// A key.
    Key(Owner, KeyId),
    /// An account, over all its keys.
    Account(Owner),
    /// An organization, over all its accounts.
    Organization(OrganizationId),
}

impl Holder {
    /// All whose budgets a key's use counts toward, in the order of [`BudgetOf::ALL`].
    #[must_use]
    pub fn all_of(owner: &Owner, key: KeyId) -> [Self; 3] {
        [Self::Key(owner.clone(), key), Self::Account(owner.clone()), Self::Organization(owner.organization.clone())]
    }

    /// Which of them it is.
    #[must_use]
    pub fn of(&self) -> BudgetOf {
        match self {
            Self::Key(..) => BudgetOf::Key,
            Self::Account(_) => BudgetOf::Account,
            Self::Organization(_) => BudgetOf::Organization,
        }
    }

    /// The scope whose own choice may stand in the place of the policy's budget; `None` for a key, which has none.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Self::Key(..) => None,
            Self::Account(owner) => Some(owner.into()),
            Self::Organization(organization) => Some(organization.into()),
        }
    }
}

impl From<&Scope> for Holder {
    fn from(scope: &Scope) -> Self {
        match scope {
            Scope::Owner(owner) => Self::Account(owner.clone()),
            Scope::Organization(organization) => Self::Organization(organization.clone()),
        }
    }
}

/// A budget as it stands in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BudgetState {
    /// Whose.
    pub of: BudgetOf,
    /// Of what.
    pub unit: Unit,
    /// The budget.
    pub budget: Budget,
    /// How much was used in the period, as far as it is written: it may be more than the budget.
    pub settled: u64,
    /// How much is reserved beside that, by requests that have not settled yet.
    pub reserved: u64,
    /// When the next period begins; `None` where there is none.
    pub refills_at: Option<DateTime<Utc>>,
}

impl BudgetState {
    pub(crate) fn new(of: BudgetOf, unit: Unit, budget: Budget, settled: u64, reserved: u64, day: Day) -> Self {
        let midnight = |day: Day| NaiveDate::from(day).and_time(NaiveTime::MIN).and_utc();
        Self { of, unit, budget, settled, reserved, refills_at: budget.refill.next(day).map(midnight) }
    }

    /// How much is left: neither used nor reserved.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.budget.amount.saturating_sub(self.taken())
    }

    pub(crate) fn taken(&self) -> u64 {
        self.settled.saturating_add(self.reserved)
    }

    /// How much of it is used or reserved, in percent, rounded down; over 100 where it is overspent.
    #[must_use]
    pub fn percent(&self) -> u64 {
        let percent = u128::from(self.taken()) * 100 / u128::from(self.budget.amount.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> Day {
        text.parse::<NaiveDate>().unwrap().into()
    }

    #[test]
    fn a_period_is_the_calendars_in_utc() {
        for (refill, today, first, next) in [
            (Refill::Daily, "2026-01-05", "2026-01-05", "2026-01-06"),
            (Refill::Weekly, "2026-01-04", "2025-12-29", "2026-01-05"),
            (Refill::Weekly, "2026-01-05", "2026-01-05", "2026-01-12"),
            (Refill::Weekly, "1970-01-01", "1969-12-29", "1970-01-05"),
            (Refill::Monthly, "2024-02-29", "2024-02-01", "2024-03-01"),
            (Refill::Monthly, "2026-12-31", "2026-12-01", "2027-01-01"),
            (Refill::Monthly, "2026-01-31", "2026-01-01", "2026-02-01"),
        ] {
            assert_eq!((refill.first(day(today)), refill.next(day(today))), (day(first), Some(day(next))), "{today}");
        }
        let (first, last) = Refill::Never.days(day("2026-01-05"));
        assert!(first < day("-9999-01-01") && last > day("9999-01-01") && Refill::Never.next(first).is_none());
    }

    #[test]
    fn an_amount_out_of_range_is_refused() {
        for amount in [0, MAX_AMOUNT + 1, u64::MAX] {
            assert_eq!(Budget::new(amount, Refill::Daily).unwrap_err().field, "amount of a budget");
        }
        assert_eq!(Budget::new(MAX_AMOUNT, Refill::Never).unwrap().amount(), MAX_AMOUNT);
    }

    #[test]
    fn what_no_version_stored_is_refused() {
        for text in ["5", "/day", "5/", "0/day", "-5/day", "+5/day", "5/days", "5/day ", "Unlimited", "9223372036854775808/day"] {
            assert!(BudgetChoice::from_stored(text).is_err(), "{text}");
        }
    }

    fn refills() -> impl Strategy<Value = Refill> {
        proptest::sample::select(Refill::ALL.map(|(refill, _)| refill).to_vec())
    }

    proptest! {
        #[test]
        fn a_day_lies_in_the_period_that_it_names_and_in_no_other(refill in refills(), days in -1_000_000..1_000_000) {
            let day = Day::from_epoch_days(days).unwrap();
            let (first, last) = refill.days(day);
            prop_assert!(first <= day && day <= last);
            prop_assert_eq!((refill.days(first), refill.days(last)), ((first, last), (first, last)));
            if let Some(next) = refill.next(day) {
                prop_assert!(next > last && refill.first(next) == next && next.before(1) == last);
            }
        }

        #[test]
        fn choices_are_read_as_they_were_stored(refill in refills(), amount in 1..=MAX_AMOUNT) {
            let own = BudgetChoice::Own(Budget::new(amount, refill).unwrap());
            for choice in [BudgetChoice::Default, BudgetChoice::Unlimited, own] {
                prop_assert_eq!(BudgetChoice::from_stored(&choice.to_stored()).unwrap(), choice);
            }
        }
    }
}
