//! How old is what this process knows: polls of the store's epochs, and until when a remembered row may be used.

use super::Inner;
use crate::{
    clock::{COARSE_LAG, Timestamp},
    error::StoreError,
    store::{EpochShard, Epochs, Freshness, Marks, Store},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
        lock,
    },
};
use std::time::Duration;

/// How often the epochs are polled within the bound.
const POLLS: u32 = 4;

/// How often at most.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(5);

/// What was last heard of the epochs, and until when that is good.
pub(super) struct Knowledge {
    /// `None` where there is nothing to poll: the marks say all, at once.
    bound: Option<Duration>,
    seen: Mutex<Option<Arc<Epochs>>>,
    /// On the coarse clock, in nanoseconds.
    until: AtomicU64,
    /// On the time of day, in microseconds: a machine that slept finds it there that time has passed, whatever the other clock says.
    until_day: AtomicI64,
}

impl Knowledge {
    /// With the marks that it is about.
    pub(super) fn of(freshness: Freshness, bound: Option<Duration>) -> (Self, Arc<Marks>) {
        let (marks, bound) = match freshness {
            Freshness::Marked(marks) => (marks, bound.filter(Duration::is_zero)),
            Freshness::Polled(own) => (Arc::default(), Some(bound.unwrap_or(own))),
        };
        let knowledge = Self { bound, seen: Mutex::default(), until: AtomicU64::new(0), until_day: AtomicI64::new(i64::MIN) };
        (knowledge, marks)
    }
}

impl Inner {
    /// The time of day, if remembered rows may be used now.
    #[inline]
    pub(super) fn knows_at(&self) -> Option<Timestamp> {
        let knowledge = &self.knowledge;
        let Some(bound) = knowledge.bound else { return Some(self.clock.now()) };
        let until = knowledge.until.load(Ordering::SeqCst);
        if bound.is_zero() || until == 0 || nanos(self.clock.coarse()) >= until {
            return None;
        }
        let now = self.clock.now();
        (now.as_micros() < knowledge.until_day.load(Ordering::SeqCst)).then_some(now)
    }

    /// Whether remembered rows are never used: nobody has polled yet, or the bound is zero.
    pub(super) fn knows_nothing(&self) -> bool {
        self.knowledge.bound.is_some_and(|bound| bound.is_zero() || self.knowledge.until.load(Ordering::SeqCst) == 0)
    }

    /// How long to wait between two polls; `None` where there is nothing to poll.
    pub(super) fn poll_interval(&self) -> Option<Duration> {
        let own = self.knowledge.bound.filter(|bound| !bound.is_zero())?;
        let agreed = lock(&self.knowledge.seen).as_ref().map(|seen| seen.bound);
        Some((agreed.map_or(own, |agreed| agreed.min(own)) / POLLS).max(SHORTEST_INTERVAL))
    }

    /// Asks which shards have changed, and turns their rows stale.
    pub(super) async fn poll(&self) -> Result<(), StoreError> {
        let Some(own) = self.knowledge.bound.filter(|bound| !bound.is_zero()) else { return Ok(()) };
        // What is heard is as old as the asking.
        let (sent, sent_at) = (self.clock.coarse(), self.clock.now());
        let epochs = self.store.epochs(own).await?;
        let mut seen = lock(&self.knowledge.seen);
        match &*seen {
            Some(before) if Arc::ptr_eq(before, &epochs) => {}
            Some(before) => epochs.differing(before).for_each(|shard| self.keys.marks().mark(shard)),
            // What was read until now may have changed unheard.
            None => self.keys.marks().mark(EpochShard::EVERYONE),
        }
        let shrank = seen.as_ref().is_some_and(|before| epochs.bound < before.bound);
        let bound = epochs.bound.min(own).saturating_sub(COARSE_LAG);
        *seen = Some(epochs);
        let until = nanos(sent + bound);
        if shrank {
            self.knowledge.until.store(until, Ordering::SeqCst);
        } else {
            // Of two polls that cross, the one that was sent later says how old the knowledge is.
            self.knowledge.until.fetch_max(until, Ordering::SeqCst);
        }
        let micros = i64::try_from(bound.as_micros()).unwrap_or(i64::MAX);
        self.knowledge.until_day.store(sent_at.as_micros().saturating_add(micros), Ordering::SeqCst);
        Ok(())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
