//! Requests refused without a proven secret: how many, and nothing else. What was presented proves nothing, and an id in it may be
//! anyone's.

use super::{Clove, Inner, access_log::Apart, buffers::thread_number};
use crate::{
    access::AccessLog,
    clock::Timestamp,
    error::StoreError,
    id::NodeId,
    store::{Store, UnrecognizedCount},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
        lock,
    },
};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

const SHARDS: usize = 16;
const HOUR_MICROS: i64 = 3_600_000_000;
/// How many hours are remembered, for a clock that steps back.
const HOURS: usize = 48;

#[derive(Default)]
pub(super) struct Unrecognized {
    counts: [Apart<AtomicU64>; SHARDS],
    hours: Mutex<Hours>,
}

#[derive(Default)]
struct Hours {
    node: Option<NodeId>,
    /// How many of all are told apart by hour.
    told_apart: u64,
    counts: BTreeMap<Timestamp, Hour>,
}

#[derive(Default)]
struct Hour {
    count: u64,
    written: u64,
}

impl Unrecognized {
    /// One more.
    #[inline(always)]
    pub(super) fn count(&self) {
        if let Some(Apart(count)) = self.counts.get(thread_number() % SHARDS) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn total(&self) -> u64 {
        self.counts.iter().map(|Apart(count)| count.load(Ordering::Relaxed)).fold(0, u64::saturating_add)
    }

    /// Writes what has been counted since the last time, as of the present hour.
    pub(super) async fn flush(&self, inner: &Inner) -> Result<(), StoreError> {
        if inner.policy.access_log == AccessLog::Off {
            return Ok(());
        }
        let counts = self.not_written(inner.now());
        if counts.is_empty() {
            return Ok(());
        }
        inner.store.count_unrecognized(&counts).await?;
        let mut hours = lock(&self.hours);
        for UnrecognizedCount { hour, count, .. } in counts {
            if let Some(known) = hours.counts.get_mut(&hour) {
                known.written = known.written.max(count);
            }
        }
        Ok(())
    }

    fn not_written(&self, now: Timestamp) -> Vec<UnrecognizedCount> {
        let mut hours = lock(&self.hours);
        let total = self.total();
        let new = total.saturating_sub(hours.told_apart);
        hours.told_apart = total;
        if new > 0 {
            let hour = hours.counts.entry(hour_of(now)).or_default();
            hour.count = hour.count.saturating_add(new).min(i64::MAX.unsigned_abs());
            if hours.counts.len() > HOURS {
                hours.counts.pop_first();
            }
        }
        let node = *hours.node.get_or_insert_with(|| NodeId::new(now));
        let waits = hours.counts.iter().filter(|(_, hour)| hour.written < hour.count);
        waits.map(|(hour, Hour { count, .. })| UnrecognizedCount { node, hour: *hour, count: *count }).collect()
    }
}

fn hour_of(now: Timestamp) -> Timestamp {
    let start = now.as_micros().div_euclid(HOUR_MICROS).saturating_mul(HOUR_MICROS);
    Timestamp::from_micros(start).unwrap_or(now)
}

impl Clove {
    /// How many requests this handle and its clones have refused without a proven secret: malformed, unknown and wrong ones
    /// together, from the first handle on.
    #[must_use]
    pub fn unrecognized(&self) -> u64 {
        self.inner.log.unrecognized.total()
    }

    /// How many requests all processes have refused without a proven secret, in each hour (UTC) that begins at `from` or later and
    /// before `until`, ascending; hours without any are left out. Kept as long as the access log, and not where that is off; each
    /// is counted in the hour in which it is written, a second later at most where maintenance runs.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn unrecognized_by_hour(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<(DateTime<Utc>, u64)>, StoreError> {
        let hours = self.inner.store.unrecognized(from.into(), until.into()).await?;
        Ok(hours.into_iter().map(|(hour, count)| (hour.into(), count)).collect())
    }
}
