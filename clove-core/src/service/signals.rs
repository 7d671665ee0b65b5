//! Telling observers what goes on: when which signal is raised.

mod budgets;
mod sets;

use super::{Clove, Inner};
use crate::{
    clock::Timestamp,
    error::{Fault, StoreError},
    id::{KeyId, Owner},
    signal::{Observer, Signal},
    store::{ExpiringKey, Store},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    verdict::{Denial, DenialReason, Grant, LimitState, Limited, Verdict},
};
use sets::{Near, Novelty, Refusals};
use std::{
    collections::HashMap,
    hash::BuildHasher,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// How often keys that are about to expire are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);
/// How many of them are read at a time.
const PAGE: usize = 1024;
/// The most that are remembered as told. Of more, those that expire first are told, and the others as those are gone.
const MAX_NOTICED: usize = 65_536;

type Noticed = HashMap<KeyId, Timestamp, foldhash::fast::RandomState>;

/// The observers of a handle, and what they were told already. A handle without any has none of it.
pub(super) struct Signals {
    observers: Box<[Box<dyn Observer>]>,
    is_timed: bool,
    hasher: foldhash::fast::RandomState,
    near: Near,
    refusals: Refusals,
    ahead: Mutex<Ahead>,
    lost: AtomicU64,
    lost_and_told: AtomicU64,
}

/// What was seen of keys that are about to expire.
#[derive(Default)]
struct Ahead {
    /// When to look again, on the monotonic clock.
    due: Duration,
    noticed: Noticed,
}

/// What refusals are counted of.
#[derive(Hash)]
enum Counted<'a> {
    Key(KeyId),
    Owner(&'a Owner),
    Flagged(KeyId),
}

impl Signals {
    pub(super) fn new(observers: Vec<Box<dyn Observer>>) -> Option<Box<Self>> {
        let is_timed = observers.iter().any(|observer| observer.is_timed());
        (!observers.is_empty()).then(|| {
            Box::new(Self {
                observers: observers.into(),
                is_timed,
                hasher: foldhash::fast::RandomState::default(),
                near: Near::new(),
                refusals: Refusals::new(),
                ahead: Mutex::default(),
                lost: AtomicU64::new(0),
                lost_and_told: AtomicU64::new(0),
            })
        })
    }

    /// Tells all observers. No lock is held, so that one that panics or takes long leaves others none the worse.
    fn raise(&self, signal: &Signal<'_>) {
        for observer in &self.observers {
            let Err(panic) = catch_unwind(AssertUnwindSafe(|| observer.signal(signal))) else { continue };
            self.lost.fetch_add(1, Ordering::Relaxed);
            // What it panicked with may panic in turn as it is dropped.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
                std::mem::forget(again);
            }
        }
    }

    fn raise_lost(&self) {
        let lost = self.lost.load(Ordering::Relaxed);
        let count = lost.saturating_sub(self.lost_and_told.swap(lost, Ordering::Relaxed));
        if count > 0 {
            self.raise(&Signal::Lost { count });
        }
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clove {
    /// How many signals were lost since the handle was built: an observer panicked at them, or, of limits that are near, there was no
    /// room to remember that they were told; each request that could have told is counted.
    #[must_use]
    pub fn signals_lost(&self) -> u64 {
        self.inner.signals.as_ref().map_or(0, |signals| signals.lost.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(super) fn is_observed(&self) -> bool {
        self.inner.signals.is_some()
    }

    /// When a verification begins, on the monotonic clock, if an observer wants to know how long it takes; otherwise nothing that
    /// matters.
    pub(super) fn begin_signal(&self) -> Duration {
        let is_timed = self.inner.signals.as_deref().is_some_and(|signals| signals.is_timed);
        if is_timed { self.inner.clock.monotonic() } else { Duration::ZERO }
    }

    /// Tells the observers, if there are any, how a verification ended that began then, on the monotonic clock.
    pub(super) fn signal_end(&self, end: &Result<Verdict, Fault>, began: Duration) {
        if let Some(signals) = self.inner.signals.as_deref() {
            self.inner.signal_verification(signals, end, began);
        }
    }
}

impl Inner {
    #[inline(never)]
    fn signal_verification(&self, signals: &Signals, end: &Result<Verdict, Fault>, began: Duration) {
        let took = signals.is_timed.then(|| self.clock.monotonic().saturating_sub(began));
        match end {
            Ok(Verdict::Granted(grant)) => {
                signals.raise(&Signal::Granted { grant, took });
                self.signal_near_limits(signals, grant);
                if let Some(reservation) = grant.reservation() {
                    self.signal_budgets(signals, &reservation.budgets, grant.key_id(), grant.owner());
                }
            }
            Ok(Verdict::Denied(denial)) => {
                signals.raise(&Signal::Denied { denial, took });
                self.signal_refusals(signals, denial);
            }
            Err(fault) => signals.raise(&Signal::Faulted { fault, took }),
        }
    }

    fn signal_near_limits(&self, signals: &Signals, grant: &Grant) {
        let (percent, at) = (u64::from(self.policy.signals.limit_near), Timestamp::from(grant.at()));
        for limit in grant.limits() {
            let LimitState { of, window, left, .. } = limit;
            let used = window.count().saturating_sub(left);
            if used * 100 < window.count() * percent {
                continue;
            }
            // One that slides ends with no request: it is told of in stretches of its length, which a fixed one would have.
            let ends = window.end(window.start(at));
            let name = match of {
                Limited::Key => signals.hasher.hash_one((grant.key_id(), window.seconds(), ends)),
                Limited::Account => signals.hasher.hash_one((grant.owner(), window.seconds(), ends)),
            };
            match signals.near.note(name, ends, at) {
                Novelty::New => signals.raise(&Signal::LimitNear { key: grant.key_id(), owner: grant.owner(), limit }),
                Novelty::Known => {}
                Novelty::NoRoom => {
                    signals.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Only refusals of who has proven a secret: others say nothing of any key, and anybody can make as many as they like.
    fn signal_refusals(&self, signals: &Signals, denial: &Denial) {
        let (Some(key), Some(owner)) = (denial.key_id(), denial.owner()) else { return };
        if let DenialReason::BudgetExhausted(exhausted) = denial.reason() {
            self.signal_budgets(signals, std::slice::from_ref(&exhausted.state), key, owner);
        }
        let (now, burst) = (self.clock.monotonic(), self.policy.signals.refusals_a_minute);
        let count = |of: Counted<'_>| signals.refusals.count(signals.hasher.hash_one(of), now);
        if denial.is_of_flagged_key() && count(Counted::Flagged(key)) == 1 {
            signals.raise(&Signal::FlaggedKeyUsed { key, owner });
        }
        for (of, refusals) in [(Limited::Key, count(Counted::Key(key))), (Limited::Account, count(Counted::Owner(owner)))] {
            if refusals == burst {
                signals.raise(&Signal::RefusalBurst { of, key, owner, refusals });
            }
        }
    }

    /// Tells of a part of maintenance that failed.
    pub(super) fn signal_failure(&self, error: &StoreError) {
        self.signals.iter().for_each(|signals| signals.raise(&Signal::MaintenanceFailed { error }));
    }

    /// The part of signals in maintenance: keys that are about to expire, each hour, and signals that were lost.
    pub(super) async fn signal_ahead(&self) -> Result<(), StoreError> {
        let Some(signals) = self.signals.as_deref() else { return Ok(()) };
        signals.raise_lost();
        let (notice, monotonic) = (self.policy.signals.expiry_notice, self.clock.monotonic());
        let due = signals.ahead().due;
        if notice.is_zero() || monotonic < due {
            return Ok(());
        }
        self.signal_expiring(signals, notice).await?;
        signals.ahead().due = monotonic.saturating_add(LOOK_INTERVAL);
        Ok(())
    }

    /// Goes through all keys that expire soon, those that were told among them: keys come to be in the midst of them.
    async fn signal_expiring(&self, signals: &Signals, notice: chrono::TimeDelta) -> Result<(), StoreError> {
        let now = self.now();
        let until = now.as_micros().saturating_add(notice.num_microseconds().unwrap_or(i64::MAX));
        let until = Timestamp::from_micros(until).unwrap_or(Timestamp::LAST);
        signals.ahead().noticed.retain(|_, expires_at| *expires_at > now);
        let mut after = None;
        loop {
            let page = self.store.expiring_soon(now, until, after, PAGE).await?;
            for key in &page {
                let ExpiringKey { id, owner, expires_at } = key;
                {
                    let noticed = &mut signals.ahead().noticed;
                    if noticed.contains_key(id) {
                        continue;
                    }
                    if noticed.len() >= MAX_NOTICED {
                        return Ok(());
                    }
                    noticed.insert(*id, *expires_at);
                }
                signals.raise(&Signal::KeyExpiring { key: *id, owner, expires_at: (*expires_at).into() });
            }
            match page.last() {
                Some(last) if page.len() >= PAGE => after = Some((last.expires_at, last.id)),
                _ => return Ok(()),
            }
        }
    }
}
