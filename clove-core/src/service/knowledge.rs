//! How old is what this process knows: polls of the store's epochs, and until when a remembered row may be used.

use super::{Inner, server_time::Recent};
use crate::{
    clock::{COARSE_LAG, Timestamp},
    error::StoreError,
    store::{EpochShard, Epochs, Freshness, Marks, Store},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
        lock,
    },
};
use std::{ops::RangeInclusive, time::Duration};

/// How often the epochs are polled within the bound.
const POLLS: u32 = 4;

/// How often at most, and at least.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_millis(250);
/// How often the store's clock is asked for where rows are never used from memory.
const TIME_INTERVAL: Duration = Duration::from_secs(1);
/// How often a poll asks, where each answer of this process comes behind the next call of the roll.
const ASKED: u32 = 4;

/// What was last heard of the epochs, and until when that is good.
pub(super) struct Knowledge {
    /// `None` where there is nothing to poll: the marks say all, at once.
    bound: Option<Duration>,
    /// Half of it, in nanoseconds.
    half: u64,
    /// The longest that a process of this store can be going by, for all that this one knows; `None` where all processes are this one.
    pub(super) longest: Option<Duration>,
    /// Held by whoever changes what follows.
    seen: Mutex<Option<Arc<Epochs>>>,
    /// On the coarse clock, in nanoseconds.
    until: AtomicU64,
    /// On the time of day, in microseconds: a machine that slept finds it there that time has passed, whatever the other clock says.
    until_day: AtomicI64,
    /// Whether this process may be on the roll.
    is_registered: AtomicBool,
    /// Whether it uses no row from memory any more, whatever a poll on its way is told.
    has_left: AtomicBool,
    /// How many nodes were left when those that had died were dismissed.
    pub(super) alive: AtomicUsize,
}

/// What a poll was told, and when it was sent.
pub(super) struct Heard {
    pub(super) epochs: Arc<Epochs>,
    /// On the coarse clock.
    sent: Duration,
    sent_at: Timestamp,
}

impl Knowledge {
    /// With the marks that it is about.
    pub(super) fn of(freshness: Freshness, bound: Option<Duration>) -> (Self, Arc<Marks>) {
        let (marks, bound, longest) = match freshness {
            Freshness::Marked(marks) => (marks, bound.filter(Duration::is_zero), None),
            Freshness::Polled(own) => (Arc::default(), Some(bound.unwrap_or(own)), Some(own.max(crate::policy::MAX_FRESHNESS))),
        };
        let (seen, until, until_day) = (Mutex::default(), AtomicU64::new(0), AtomicI64::new(i64::MIN));
        let [is_registered, has_left] = [(); 2].map(|()| AtomicBool::new(false));
        let (half, alive) = (nanos(bound.unwrap_or_default() / 2), AtomicUsize::new(0));
        (Self { bound, half, longest, seen, until, until_day, is_registered, has_left, alive }, marks)
    }

    /// The epochs as they were last heard of.
    pub(super) fn seen(&self) -> Option<Arc<Epochs>> {
        lock(&self.seen).clone()
    }

    /// The bound, where rows may be used from memory within one that is asked for.
    fn used_within(&self) -> Option<Duration> {
        self.bound.filter(|bound| !bound.is_zero() && !self.has_left.load(Ordering::SeqCst))
    }

    /// Lets rows be used from memory for as long as what was heard is good.
    fn extend(&self, heard: &Heard, own: Duration) {
        let seen = lock(&self.seen);
        if self.has_left.load(Ordering::SeqCst) {
            return;
        }
        let agreed = seen.as_ref().map_or(own, |seen| seen.bound.min(own));
        let bound = good_for(heard.epochs.bound.min(agreed));
        // Of two polls that cross, the one that was sent later says how old the knowledge is.
        self.until.fetch_max(nanos(heard.sent + bound), Ordering::SeqCst);
        let micros = i64::try_from(bound.as_micros()).unwrap_or(i64::MAX);
        self.until_day.store(heard.sent_at.as_micros().saturating_add(micros), Ordering::SeqCst);
    }
}

impl Inner {
    /// A recent time of day, if remembered rows may be used now.
    #[inline]
    pub(super) fn knows_at(&self) -> Option<Recent> {
        let knowledge = &self.knowledge;
        let Some(bound) = knowledge.bound else { return Some(self.recent()) };
        let left = knowledge.until.load(Ordering::SeqCst).saturating_sub(nanos(self.clock.coarse()));
        if bound.is_zero() || left == 0 {
            return None;
        }
        // Both of these clocks go by the system's ticks, which may come late: as much as half the bound without harm, since polls keep
        // far more than that in hand.
        let local = if left < knowledge.half { self.clock.now() } else { self.clock.recent() };
        (local.as_micros() < knowledge.until_day.load(Ordering::SeqCst)).then(|| Recent(self.server_time.of(local)))
    }

    /// Whether remembered rows are never used: nobody has polled yet, or the bound is zero.
    pub(super) fn knows_nothing(&self) -> bool {
        self.knowledge.bound.is_some_and(|bound| bound.is_zero() || self.knowledge.until.load(Ordering::SeqCst) == 0)
    }

    /// How long to wait between two polls; `None` where there is nothing to poll.
    pub(super) fn poll_interval(&self) -> Option<Duration> {
        self.knowledge.longest?;
        let seen = self.knowledge.seen();
        let Some(own) = self.knowledge.used_within() else {
            return seen.is_none_or(|seen| seen.server_time.is_some()).then_some(TIME_INTERVAL);
        };
        let agreed = seen.map_or(own, |seen| seen.bound.min(own));
        Some((agreed / POLLS).clamp(*INTERVALS.start(), *INTERVALS.end()))
    }

    /// Asks which shards have changed, turns their rows stale, and lets the others be used for a while.
    ///
    /// What it was told counts only if this process was on the roll already in the same snapshot, with an answer to the last call: so
    /// whoever may use rows from memory has been on the roll since before it asked, and knows what was changed before each call that it
    /// has answered. Where it was not, it answers and asks again. That the answer arrived would not do: another process may have
    /// dismissed it in between, and a third have called the roll and found nobody to wait for.
    pub(super) async fn poll(&self) -> Result<(), StoreError> {
        if self.knowledge.longest.is_none() {
            return Ok(());
        }
        let Some(own) = self.knowledge.used_within() else { return self.ask(Duration::MAX).await.map(drop) };
        let node = self.leases.node;
        for _ in 0..ASKED {
            let heard = self.ask(own).await?;
            let call = heard.epochs.roll;
            if heard.epochs.answered(node).is_some_and(|answered| answered >= call) {
                self.knowledge.extend(&heard, own);
                return Ok(());
            }
            self.knowledge.is_registered.store(true, Ordering::SeqCst);
            self.store.answer_roll(node, call).await?;
        }
        Err(StoreError::Unavailable { what: "polling for changes: the roll is called again before it is answered", source: None })
    }

    /// Asks which shards have changed, and turns their rows stale.
    pub(super) async fn ask(&self, bound: Duration) -> Result<Heard, StoreError> {
        // What is heard is as old as the asking.
        let (sent, sent_at, began) = (self.clock.coarse(), self.clock.now(), self.clock.monotonic());
        let epochs = self.store.epochs(bound).await?;
        if let Some(told) = epochs.server_time {
            self.server_time.hear(told, sent_at, self.clock.monotonic().saturating_sub(began));
        }
        let knowledge = &self.knowledge;
        let mut seen = lock(&knowledge.seen);
        match &*seen {
            Some(before) if Arc::ptr_eq(before, &epochs) => {}
            Some(before) => epochs.differing(before).for_each(|shard| self.keys.marks().mark(shard)),
            // What was read until now may have changed unheard.
            None => self.keys.marks().mark(EpochShard::EVERYONE),
        }
        if let (Some(own), Some(before)) = (knowledge.used_within(), &*seen) {
            // What is known is good for that much less.
            let shrank = good_for(before.bound.min(own)).saturating_sub(good_for(epochs.bound.min(own)));
            let until = knowledge.until.load(Ordering::SeqCst);
            knowledge.until.store(until.saturating_sub(nanos(shrank)), Ordering::SeqCst);
        }
        *seen = Some(Arc::clone(&epochs));
        Ok(Heard { epochs, sent, sent_at })
    }

    /// Uses no row from memory any more: a poll on its way does not count, and no later one answers the roll.
    pub(super) fn forget_all(&self) {
        let _seen = lock(&self.knowledge.seen);
        self.knowledge.has_left.store(true, Ordering::SeqCst);
        self.knowledge.until.store(0, Ordering::SeqCst);
    }

    /// Leaves the roll, once nothing is used from memory: nobody need wait for this process.
    pub(super) async fn leave(&self) -> Result<(), StoreError> {
        if !self.knowledge.is_registered.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.store.dismiss(&[self.leases.node], u64::MAX).await
    }
}

/// How long rows are used under this bound: the clock that says so may lie behind.
fn good_for(bound: Duration) -> Duration {
    bound.saturating_sub(COARSE_LAG)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
