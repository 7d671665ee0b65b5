//! When connections were cut. A server that was restarted, or its operator, has ended all of a pool at once: whoever has met one of
//! them is not to meet the others, one after another, until no attempt is left.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// They are cut one after another: one that came back to the pool so soon after another was met is asked too.
const STAGGERED: Duration = Duration::from_millis(250);

/// The last cut that was met.
pub(crate) struct Cuts {
    since: Instant,
    /// In milliseconds, the first one being 1; 0 if there was none.
    last: AtomicU64,
}

impl Cuts {
    pub(crate) fn none_yet() -> Self {
        Self { since: Instant::now(), last: AtomicU64::new(0) }
    }

    pub(crate) fn met(&self) {
        self.last.fetch_max(self.millis(), Relaxed);
    }

    /// Whether one that has been idle for so long may have been cut as well.
    pub(crate) fn may_have_cut(&self, idle_for: Duration) -> bool {
        let last = self.last.load(Relaxed);
        last > 0 && Duration::from_millis(self.millis().saturating_sub(last)) <= idle_for.saturating_add(STAGGERED)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}
