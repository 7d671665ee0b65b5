//! A clock to turn.

use chrono::{DateTime, TimeDelta, Utc};
use clove_core::clock::{Clock, Sleep, Timestamp};
use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

/// A clock that stands still until it is turned. Clones share it.
#[derive(Clone)]
pub struct TestClock {
    state: Arc<Mutex<State>>,
}

struct State {
    now: DateTime<Utc>,
    monotonic: Duration,
    lag: Duration,
    sleepers: Vec<Waker>,
}

impl TestClock {
    /// A clock at this time.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Self {
        let state = State { now, monotonic: Duration::ZERO, lag: Duration::ZERO, sleepers: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A clock at noon of a day in 2026.
    #[must_use]
    pub fn new() -> Self {
        Self::at(DateTime::from_timestamp(1_767_614_400, 0).unwrap_or_default())
    }

    /// Time passes.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.monotonic += by;
        state.now += TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
        let sleepers = std::mem::take(&mut state.sleepers);
        drop(state);
        sleepers.into_iter().for_each(Waker::wake);
    }

    /// The time of day steps, forward or back, while no time passes.
    pub fn step(&self, by: TimeDelta) {
        self.lock().now += by;
    }

    /// The time of day steps back, while no time passes.
    pub fn step_back(&self, by: Duration) {
        self.step(-TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX));
    }

    /// The time of day steps to `now`, while no time passes.
    pub fn set(&self, now: DateTime<Utc>) {
        self.lock().now = now;
    }

    /// From now on what is cheap to read, [`Clock::recent`] and [`Clock::coarse`], lies this far behind.
    pub fn lag(&self, by: Duration) {
        self.lock().lag = by;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.lock().now.into()
    }

    fn recent(&self) -> Timestamp {
        let state = self.lock();
        let lag = TimeDelta::from_std(state.lag).unwrap_or(TimeDelta::MAX);
        state.now.checked_sub_signed(lag).unwrap_or(DateTime::<Utc>::MIN_UTC).into()
    }

    fn monotonic(&self) -> Duration {
        self.lock().monotonic
    }

    fn coarse(&self) -> Duration {
        let state = self.lock();
        state.monotonic.saturating_sub(state.lag)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let clock = self.clone();
        let until = self.monotonic() + duration;
        Box::pin(poll_fn(move |context| {
            let mut state = clock.lock();
            if state.monotonic >= until {
                return Poll::Ready(());
            }
            if !state.sleepers.iter().any(|sleeper| sleeper.will_wake(context.waker())) {
                state.sleepers.push(context.waker().clone());
            }
            Poll::Pending
        }))
    }
}
