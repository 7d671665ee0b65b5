//! The access log in memory.

use crate::{
    access::AccessEntry,
    clock::Timestamp,
    id::{GrantId, NodeId},
    store::{AccessPage, AccessQuery, UnrecognizedCount, unrecognized_by_hour},
};
use std::{collections::BTreeMap, ops::Bound};

#[derive(Default)]
pub(super) struct AccessTables {
    pub(super) entries: BTreeMap<GrantId, AccessEntry>,
    /// By hour and process.
    pub(super) unrecognized: BTreeMap<(Timestamp, NodeId), u64>,
}

impl AccessTables {
    pub(super) fn log(&mut self, entries: &[AccessEntry]) {
        for entry in entries {
            self.entries.entry(entry.id).or_insert_with(|| entry.clone());
        }
    }

    pub(super) fn page(&self, query: &AccessQuery) -> AccessPage {
        let from = query.from.map(GrantId::first_at);
        let below = query.before.into_iter().chain(query.until.map(GrantId::first_at)).min();
        let ids = (Bound::Unbounded, below.map_or(Bound::Unbounded, Bound::Excluded));
        let newest_first = self.entries.range::<GrantId, _>(ids).rev().map(|(_, entry)| entry);
        let mut rows = newest_first.take_while(|entry| from.is_none_or(|from| entry.id >= from)).filter(|entry| {
            query.scope.holds(&entry.owner)
                && query.key.is_none_or(|key| entry.key == key)
                && query.outcome.is_none_or(|outcome| entry.outcome == outcome)
        });
        let entries: Vec<AccessEntry> = rows.by_ref().take(query.limit).cloned().collect();
        AccessPage { more: rows.next().is_some(), last: entries.last().map(|entry| entry.id), corrupt: 0, entries }
    }

    pub(super) fn forget(&mut self, before: Timestamp, limit: usize) -> usize {
        let first = GrantId::first_at(before);
        let mut forgotten = 0;
        while forgotten < limit && self.entries.first_key_value().is_some_and(|(id, _)| *id < first) {
            self.entries.pop_first();
            forgotten += 1;
        }
        while forgotten < limit && self.unrecognized.first_key_value().is_some_and(|((hour, _), _)| *hour < before) {
            self.unrecognized.pop_first();
            forgotten += 1;
        }
        forgotten
    }

    pub(super) fn count(&mut self, counts: &[UnrecognizedCount]) {
        for UnrecognizedCount { node, hour, count } in counts {
            let known = self.unrecognized.entry((*hour, *node)).or_default();
            *known = (*count).max(*known);
        }
    }

    pub(super) fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Vec<(Timestamp, u64)> {
        let counts = self.unrecognized.iter().map(|((hour, _), count)| (*hour, *count));
        unrecognized_by_hour(counts.filter(|(hour, _)| from <= *hour && *hour < until))
    }
}
