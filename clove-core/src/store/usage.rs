//! What a store keeps of usage: sums, and a ledger of what is in them, so that nothing is counted twice.

use super::Reported;
use crate::{
    clock::Timestamp,
    id::{AccountId, GrantId, KeyId, NodeId, Owner, Scope},
    usage::{Day, MAX_AMOUNT, Unit, Usage, UsageBy, UsagePer},
};
use std::{cmp::Ordering, collections::BTreeMap};

/// What a sum is of. Sums outlive their key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Meter {
    /// Whose key.
    pub owner: Owner,
    /// Which key.
    pub key: KeyId,
    /// What is counted.
    pub unit: Unit,
    /// When it was used.
    pub day: Day,
}

/// What one process has counted since the batch before. It is written once, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageBatch {
    /// The process.
    pub node: NodeId,
    /// Counts up with each batch of the process, from 1 on. A process sends a batch again until it is written, and the next one
    /// only then.
    pub sequence: u64,
    /// When the batch was made.
    pub at: Timestamp,
    /// Amounts to be added, of [`Unit::requests`], no meter twice.
    pub requests: Vec<(Meter, u64)>,
    /// Totals of grants, no grant and unit twice.
    pub reports: Vec<Report>,
}

/// How much was used in all for one grant, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The grant.
    pub grant: GrantId,
    /// The sum that it is a part of.
    pub meter: Meter,
    /// How much, at most [`MAX_AMOUNT`].
    pub total: u64,
    /// Whether the grant uses no more of it: what it has reserved beyond the total is free again.
    pub settles: bool,
}

impl Report {
    /// What the ledger is to know after this, by how much the sums grow, and how much of what is reserved in them is not any more.
    /// What is used is taken from what was reserved for it.
    #[must_use]
    pub fn moves(&self, known: Reported) -> (Reported, u64, u64) {
        let grown = self.total.saturating_sub(known.total);
        let released = if self.settles { known.reserved } else { grown.min(known.reserved) };
        let now = Reported { total: known.total.max(self.total), reserved: known.reserved - released };
        (now, grown, released)
    }
}

/// Which sums. In the order of account, key, unit and day, by bytes and by time; what is not told apart is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// How far the look-up reaches.
    pub scope: Scope,
    /// Whose sums are told apart.
    pub by: UsageBy,
    /// Whether days are told apart.
    pub per: UsagePer,
    /// Only of this key.
    pub key: Option<KeyId>,
    /// Only of this unit.
    pub unit: Option<Unit>,
    /// Only on this day or later.
    pub first: Day,
    /// Only on this day or earlier.
    pub last: Day,
    /// Only sums after this place.
    pub after: Option<UsagePlace>,
    /// How many at most, at least 1.
    pub limit: usize,
}

/// Sums in the order asked for. One that cannot be read, or that has a part that cannot, is counted in its place and left out: it
/// is never told as less than it is.
#[derive(Clone, Debug, Default)]
pub struct UsagePage {
    /// The sums; none where nothing was used.
    pub sums: Vec<Usage>,
    /// How many could not be read.
    pub corrupt: usize,
    /// Whether further ones match; then the next page begins after `last`.
    pub more: bool,
    /// Where the last sum of the page stands, readable or not.
    pub last: Option<UsagePlace>,
}

/// Where a sum stands in the order of a page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsagePlace {
    /// As in [`Usage`].
    pub account: Option<AccountId>,
    /// As in [`Usage`].
    pub key: Option<KeyId>,
    /// As in [`Usage`].
    pub unit: Unit,
    /// As in [`Usage`].
    pub day: Option<Day>,
}

impl UsagePlace {
    /// The place of a sum.
    #[must_use]
    pub fn of(sum: &Usage) -> Self {
        Self { account: sum.account.clone(), key: sum.key, unit: sum.unit.clone(), day: sum.day }
    }

    /// The sum that stands here.
    #[must_use]
    pub fn sum(self, amount: u64) -> Usage {
        let Self { account, key, unit, day } = self;
        Usage { account, key, unit, day, amount }
    }
}

impl UsageQuery {
    /// Answers from all sums that a store has, for one that has no index to go by.
    pub fn page<'m>(&self, sums: impl IntoIterator<Item = (&'m Meter, u64)>) -> UsagePage {
        let mut found: BTreeMap<UsagePlace, u64> = BTreeMap::new();
        for (meter, amount) in sums.into_iter().filter(|(meter, _)| self.matches(meter)) {
            let place = self.place_of(meter);
            if self.after.as_ref().is_none_or(|after| place > *after) {
                add(found.entry(place).or_default(), amount);
            }
        }
        let mut rest = found.into_iter();
        let sums: Vec<Usage> = rest.by_ref().take(self.limit).map(|(place, amount)| place.sum(amount)).collect();
        UsagePage { more: rest.next().is_some(), last: sums.last().map(UsagePlace::of), corrupt: 0, sums }
    }

    /// The first day that counts for the page of a series at `place`, which tells no day; `None` where none does.
    #[must_use]
    pub fn first_day(&self, place: &UsagePlace) -> Option<Day> {
        let Some(after) = &self.after else { return Some(self.first) };
        match place.cmp(&UsagePlace { day: None, ..after.clone() }) {
            Ordering::Less => None,
            Ordering::Equal => {
                after.day.and_then(|day| Day::from_epoch_days(day.epoch_days().checked_add(1)?)).map(|day| day.max(self.first))
            }
            Ordering::Greater => Some(self.first),
        }
    }

    fn matches(&self, meter: &Meter) -> bool {
        self.scope.holds(&meter.owner)
            && self.key.is_none_or(|key| key == meter.key)
            && self.unit.as_ref().is_none_or(|unit| *unit == meter.unit)
            && (self.first..=self.last).contains(&meter.day)
    }

    fn place_of(&self, meter: &Meter) -> UsagePlace {
        UsagePlace {
            account: (self.by != UsageBy::Organization).then(|| meter.owner.account.clone()),
            key: (self.by == UsageBy::Key).then_some(meter.key),
            unit: meter.unit.clone(),
            day: (self.per == UsagePer::Day).then_some(meter.day),
        }
    }
}

/// Adds to a sum, which stays at [`MAX_AMOUNT`] once it is there.
pub(crate) fn add(sum: &mut u64, amount: u64) {
    *sum = sum.saturating_add(amount).min(MAX_AMOUNT);
}
