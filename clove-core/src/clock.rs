//! Time as an argument: everything that depends on time asks a [`Clock`].

use chrono::{DateTime, Utc};
use std::{future::Future, pin::Pin, time::Duration};

/// A future that ends when some time has passed.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the time comes from. Hosts use [`SystemClock`]; tests turn one by hand.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, UTC. May step.
    fn now(&self) -> DateTime<Utc>;
    /// Time since some fixed moment; never steps back.
    fn monotonic(&self) -> Duration;
    /// Ends once [`Clock::monotonic`] has moved on by `duration`.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(futures_timer::Delay::new(duration))
    }
}

/// Cuts a time to whole microseconds, the precision of every store.
#[must_use]
pub fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}
