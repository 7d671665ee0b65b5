//! What keys have used: amounts in units that the host names, summed by UTC day.
//!
//! An amount is reported for a grant as a running total ([`crate::Clove::record`]). The sums are read by
//! [`crate::Clove::usage`].

use crate::{
    clock::Timestamp,
    error::{Invalid, size},
    id::{AccountId, KeyId},
};
use chrono::{DateTime, NaiveDate, Utc};
use std::{
    fmt,
    str::FromStr,
    sync::{Arc, LazyLock},
};

/// The longest name of a unit, in bytes.
pub const MAX_UNIT_BYTES: usize = 64;
/// The largest amount: larger ones, and sums that would be, are kept as this one. It is 2^63 - 1, what a store can add up.
pub const MAX_AMOUNT: u64 = i64::MAX.unsigned_abs();
/// For how many days after its grant's time an amount is taken.
pub const REPORT_DAYS: u32 = 7;
/// How many days a store remembers what was reported for a grant, and which batches a process has written: over a week more than
/// [`REPORT_DAYS`], for reports that had to wait.
pub const LEDGER_DAYS: u32 = 15;

const DAY_MICROS: i64 = 86_400_000_000;
const REQUESTS: &str = "requests";

/// The name of what is counted: 1 to 64 of `a-z 0-9 _ . -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit(Arc<str>);

impl Unit {
    /// Checks a name.
    ///
    /// # Errors
    /// If it breaks the rule above.
    pub fn new(name: impl AsRef<str>) -> Result<Self, Invalid> {
        let name = name.as_ref();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
        if (1..=MAX_UNIT_BYTES).contains(&name.len()) && name.bytes().all(plain) {
            return Ok(Self(name.into()));
        }
        Err(Invalid::new("unit", "must be 1 to 64 of a-z 0-9 _ . -", size(name)))
    }

    /// `requests`, which verification itself counts: what each granted request takes of its windows, 1 unless it says otherwise.
    /// Nothing is recorded in it by hosts.
    #[must_use]
    pub fn requests() -> Self {
        static UNIT: LazyLock<Unit> = LazyLock::new(|| Unit(REQUESTS.into()));
        UNIT.clone()
    }

    /// Whether it is [`Unit::requests`].
    #[must_use]
    pub fn is_requests(&self) -> bool {
        &*self.0 == REQUESTS
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
impl FromStr for Unit {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::new(text)
    }
}

/// A day in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// The day that holds this moment.
    #[must_use]
    pub fn of(at: impl Into<Timestamp>) -> Self {
        let days = at.into().as_micros().div_euclid(DAY_MICROS);
        // The calendar has a hundred million days.
        Self(i32::try_from(days).unwrap_or_default())
    }

    /// The day so many days after the Unix epoch, or before it; `None` where the calendar does not reach.
    #[must_use]
    pub fn from_epoch_days(days: i32) -> Option<Self> {
        NaiveDate::from_epoch_days(days).map(|_| Self(days))
    }

    /// Days since the Unix epoch.
    #[must_use]
    pub const fn epoch_days(self) -> i32 {
        self.0
    }

    /// The day so many days before.
    #[must_use]
    pub fn before(self, days: u32) -> Self {
        Self(self.0.saturating_sub_unsigned(days))
    }
}

impl From<NaiveDate> for Day {
    fn from(date: NaiveDate) -> Self {
        Self(date.to_epoch_days())
    }
}
impl From<DateTime<Utc>> for Day {
    fn from(at: DateTime<Utc>) -> Self {
        Self::of(at)
    }
}
impl From<Day> for NaiveDate {
    fn from(day: Day) -> Self {
        // Days before the calendar's first are only made to compare with.
        Self::from_epoch_days(day.0).unwrap_or(Self::MIN)
    }
}
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&NaiveDate::from(*self), f)
    }
}
impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Unit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
#[cfg(feature = "serde")]
impl serde::Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A sum: what was used of one unit, by whom and when as far as was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Usage {
    /// By whom; `None` where everything within the scope is one.
    pub account: Option<AccountId>,
    /// By which key, which may be gone since; `None` unless keys are told apart.
    pub key: Option<KeyId>,
    /// Of what.
    pub unit: Unit,
    /// On which day; `None` where all days are one.
    pub day: Option<Day>,
    /// How much: at most [`MAX_AMOUNT`], which means at least so much.
    pub amount: u64,
}

/// Whose sums are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageBy {
    /// Each key's.
    Key,
    /// Each account's.
    Account,
    /// Nobody's: everything within the scope is one. An owner's scope holds only its own.
    #[default]
    Organization,
}

/// Whether days are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsagePer {
    /// A sum for each day with any: a series.
    #[default]
    Day,
    /// One sum of all days.
    Total,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_unit_is_a_short_plain_name() {
        for name in ["requests", "tokens.in", "a", "0_-.", &"x".repeat(64)] {
            assert_eq!(Unit::new(name).unwrap().as_str(), name);
        }
        for name in ["", "Tokens", "a b", "é", "a:b", "a\0", &"x".repeat(65)] {
            assert_eq!(Unit::new(name).unwrap_err().field, "unit", "{name}");
        }
        assert_eq!(Unit::new("requests").unwrap(), Unit::requests());
        assert!(Unit::requests().is_requests() && !Unit::new("request").unwrap().is_requests());
    }

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        let day = |micros| Day::of(Timestamp::from_micros(micros).unwrap());
        assert_eq!([-1, 0, DAY_MICROS - 1, DAY_MICROS].map(|at| day(at).epoch_days()), [-1, 0, 0, 1]);
        assert_eq!(day(1_767_614_400_123_456).to_string(), "2026-01-05");
        for at in [Timestamp::LAST, Timestamp::from(DateTime::<Utc>::MIN_UTC)] {
            assert_eq!(NaiveDate::from(Day::of(at)), DateTime::<Utc>::from(at).date_naive());
        }
        assert_eq!(Day::from_epoch_days(i32::MAX), None);
        assert!(Day::of(DateTime::<Utc>::MIN_UTC).before(u32::MAX) < Day::of(DateTime::<Utc>::MIN_UTC));
    }
}
