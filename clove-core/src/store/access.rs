//! What is asked of a store's access log, and what it answers.

use crate::{
    access::{AccessEntry, AccessOutcome},
    clock::Timestamp,
    id::{GrantId, KeyId, NodeId, Scope},
};
use chrono::{DateTime, Utc};

/// A page of the access log, newest id first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessQuery {
    /// How far the look-up reaches.
    pub scope: Scope,
    /// Only requests with this key.
    pub key: Option<KeyId>,
    /// Only those with this outcome.
    pub outcome: Option<AccessOutcome>,
    /// Only those at this time or later. An entry's id is made at its time: see [`GrantId::first_at`].
    pub from: Option<DateTime<Utc>>,
    /// Only those before this time.
    pub until: Option<DateTime<Utc>>,
    /// Only ids below this one.
    pub before: Option<GrantId>,
    /// How many rows at most, at least 1.
    pub limit: usize,
}

/// Entries in the order asked for. A row that cannot be read is counted and passed over. A page may end before it is full, or have
/// no entry at all, while more rows follow: a store need not look at any number of rows for one page.
#[derive(Clone, Debug, Default)]
pub struct AccessPage {
    /// The readable entries.
    pub entries: Vec<AccessEntry>,
    /// How many could not be read.
    pub corrupt: usize,
    /// Whether further rows may match; then the next page begins after `last`.
    pub more: bool,
    /// The id of the last row looked at, readable or not, and whether it matched or not.
    pub last: Option<GrantId>,
}

/// The sums of counts by hour, which come in the order of hours.
#[must_use]
pub fn unrecognized_by_hour(counts: impl IntoIterator<Item = (Timestamp, u64)>) -> Vec<(Timestamp, u64)> {
    let mut hours: Vec<(Timestamp, u64)> = Vec::new();
    for (hour, count) in counts {
        match hours.last_mut().filter(|(last, _)| *last == hour) {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => hours.push((hour, count)),
        }
    }
    hours
}

/// How many requests one process has refused in one hour without a proven secret, from its beginning on. It only grows, so that
/// it may be written again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnrecognizedCount {
    /// The process.
    pub node: NodeId,
    /// The start of the hour, UTC.
    pub hour: Timestamp,
    /// How many so far; at most 2^63 - 1.
    pub count: u64,
}
