//! Time as an argument: everything that depends on time asks a [`Clock`].

mod alarms;

use chrono::{DateTime, Utc};
use std::{fmt, future::Future, num::NonZeroU64, pin::Pin, time::Duration};

/// A future that ends when some time has passed.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How far [`Clock::coarse`] and [`Clock::recent`] may lie behind: the longest tick of Linux, which is the slowest there is. Ticks that
/// come late, by up to half the bound of freshness, do no harm; a machine that was halted as a whole and goes on with its ticks
/// behind may take a moment more for the present one.
pub const COARSE_LAG: Duration = Duration::from_millis(10);

/// Where the time comes from. Hosts use [`SystemClock`]; tests turn one by hand.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, UTC. May step.
    fn now(&self) -> Timestamp;
    /// The same, or a moment ago: at most [`COARSE_LAG`] behind, where that is cheaper to read. On the way of every request; what expires
    /// within the next second is judged by [`Clock::now`].
    fn recent(&self) -> Timestamp;
    /// Time since some fixed moment; never steps back.
    fn monotonic(&self) -> Duration;
    /// The same as [`Clock::monotonic`], or a moment ago: at most [`COARSE_LAG`] behind, where that is cheaper to read. On the way of
    /// every request.
    fn coarse(&self) -> Duration;
    /// Ends once [`Clock::monotonic`] has moved on by `duration`.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        exact()
    }

    fn recent(&self) -> Timestamp {
        recent()
    }

    fn monotonic(&self) -> Duration {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed()
    }

    fn coarse(&self) -> Duration {
        coarse().unwrap_or_else(|| self.monotonic())
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(alarms::after(duration))
    }
}

#[cfg(unix)]
fn exact() -> Timestamp {
    read(rustix::time::ClockId::Realtime)
}

/// Asked of the system itself: on the way of every request, the standard library's sums cost as much again. A clock set to before 1970
/// is as good as one that stands at its start: nothing that clove issued is that old.
#[cfg(unix)]
fn read(clock: rustix::time::ClockId) -> Timestamp {
    const LAST: i64 = Timestamp::LAST.as_micros() / 1_000_000 - 1;
    let time = rustix::time::clock_gettime(clock);
    #[allow(clippy::useless_conversion, reason = "on systems of 32 bits it is none")]
    let nanos = i64::from(time.tv_nsec);
    Timestamp::of(time.tv_sec.clamp(0, LAST) * 1_000_000 + nanos / 1000)
}

#[cfg(not(unix))]
fn exact() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).ok().and_then(Timestamp::from_micros).unwrap_or(Timestamp::LAST)
}

/// As the kernel noted it at its last tick: a quarter of what the exact time costs.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn recent() -> Timestamp {
    read(rustix::time::ClockId::RealtimeCoarse)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn coarse() -> Option<Duration> {
    Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse)).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn recent() -> Timestamp {
    exact()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn coarse() -> Option<Duration> {
    None
}

/// A moment in whole microseconds since the Unix epoch, UTC: the precision of every store. Verification reckons in it, since
/// it needs no calendar.
// Above the least of all `i64`, which no calendar reaches: so that `None` takes no room beside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

impl Timestamp {
    const FIRST: Self = Self::of(DateTime::<Utc>::MIN_UTC.timestamp_micros());
    pub(crate) const LAST: Self = Self::of(DateTime::<Utc>::MAX_UTC.timestamp_micros());

    const fn of(micros: i64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(micros.wrapping_sub(i64::MIN + 1).cast_unsigned()))
    }

    /// The moment so many microseconds after the Unix epoch, or before it; `None` where the calendar does not reach, which is
    /// some 262,000 years away.
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        Some(Self::of(micros)).filter(|at| (Self::FIRST..=Self::LAST).contains(at))
    }

    /// So much later; what is finer than a microsecond counts as one.
    #[must_use]
    pub(crate) fn after(self, time: Duration) -> Self {
        let micros = i64::try_from(time.as_nanos().div_ceil(1_000)).unwrap_or(i64::MAX);
        Self::of(self.as_micros().saturating_add(micros)).min(Self::LAST)
    }

    /// So much earlier; what is finer than a microsecond is cut.
    #[must_use]
    pub(crate) fn before(self, time: Duration) -> Self {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Self::of(self.as_micros().saturating_sub(micros)).max(Self::FIRST)
    }

    /// So many microseconds later, or earlier.
    #[inline]
    #[must_use]
    pub(crate) fn shifted(self, micros: i64) -> Self {
        if micros == 0 {
            return self;
        }
        Self::of(self.as_micros().saturating_add(micros)).clamp(Self::FIRST, Self::LAST)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0.get().cast_signed().wrapping_add(i64::MIN)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    /// Cuts what is finer than a microsecond.
    fn from(time: DateTime<Utc>) -> Self {
        Self::of(time.timestamp_micros())
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(at: Timestamp) -> Self {
        // Each timestamp lies within the calendar.
        DateTime::from_timestamp_micros(at.as_micros()).unwrap_or_default()
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&DateTime::<Utc>::from(*self), f)
    }
}

/// Cuts a time to whole microseconds, the precision of every store.
#[must_use]
pub fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    Timestamp::from(time).into()
}
