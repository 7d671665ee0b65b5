//! The time that all nodes of a store go by: the store's own, where it tells it, and each node corrects its clock by the difference.

use super::Inner;
use crate::{
    clock::Timestamp,
    sync::atomic::{AtomicI64, Ordering},
};
use std::time::Duration;

/// An answer that took longer tells too little of when it was given: nodes are to agree to a second.
const LONGEST_ANSWER: Duration = Duration::from_secs(1);
/// What is over within this time is judged by the exact clock: a hundred times as much as a recent time lies behind.
const NEAR_MICROS: i64 = 1_000_000;
/// What may lie between two readings of one clock beside the way there and back.
const GRAIN_MICROS: i64 = 1_000;

/// How far the store's clock is ahead of this process's, in microseconds.
#[derive(Default)]
pub(super) struct ServerTime {
    offset: AtomicI64,
}

impl ServerTime {
    /// Hears what the store's clock showed between the sending of a question and its answer, which came so much later. What is kept is
    /// changed only where that contradicts it: answers that take now more and now less time must not have the clock tremble.
    pub(super) fn hear(&self, told: Timestamp, sent_at: Timestamp, took: Duration) {
        if took > LONGEST_ANSWER {
            return;
        }
        let half = i64::try_from(took.as_micros() / 2).unwrap_or(i64::MAX);
        let offset = told.as_micros().saturating_sub(sent_at.as_micros().saturating_add(half));
        let kept = self.offset.load(Ordering::Relaxed);
        if offset.abs_diff(kept) > half.saturating_add(GRAIN_MICROS).unsigned_abs() {
            self.offset.store(offset, Ordering::Relaxed);
        }
    }

    /// A reading of this process's clock, as the store's would show it.
    #[inline]
    pub(super) fn of(&self, local: Timestamp) -> Timestamp {
        local.shifted(self.offset.load(Ordering::Relaxed))
    }
}

/// The time of day as everything is judged by it, or as it was a moment ago.
#[derive(Clone, Copy)]
pub(super) struct Recent(pub(super) Timestamp);

impl Recent {
    /// Whether only the exact time tells if this moment has come.
    #[inline]
    pub(super) fn is_near(self, at: Option<Timestamp>) -> bool {
        at.is_some_and(|at| (1..=NEAR_MICROS).contains(&at.as_micros().saturating_sub(self.0.as_micros())))
    }
}

impl Inner {
    /// The time of day that everything is judged by: the store's, as far as it has told it, else this process's.
    #[inline]
    pub(super) fn now(&self) -> Timestamp {
        self.server_time.of(self.clock.now())
    }

    /// The same, or a moment ago.
    #[inline]
    pub(super) fn recent(&self) -> Recent {
        Recent(self.server_time.of(self.clock.recent()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(1_767_614_400_000_000 + micros).unwrap()
    }

    #[test]
    fn only_what_contradicts_the_kept_offset_changes_it() {
        let (time, took) = (ServerTime::default(), Duration::from_millis(100));
        for (told, kept) in [
            // Half the way is 50 ms: the clocks may agree, to a millisecond.
            (50_000, 0),
            (101_000, 0),
            (-1_000, 0),
            (101_001, 51_001),
            (50_001, 51_001),
            (50_000, 0),
            (3_600_050_000, 3_600_000_000),
        ] {
            time.hear(at(told), at(0), took);
            assert_eq!(time.of(at(0)), at(kept), "{told}");
        }
    }

    #[test]
    fn what_has_come_is_not_near_and_what_is_over_within_a_second_is() {
        for (until, is_near) in [(-1, false), (0, false), (1, true), (1_000_000, true), (1_000_001, false)] {
            assert_eq!(Recent(at(0)).is_near(Some(at(until))), is_near, "{until}");
        }
        assert!(!Recent(at(0)).is_near(None) && !Recent(at(0)).is_near(Some(Timestamp::LAST)));
    }

    #[test]
    fn an_answer_that_took_over_a_second_is_not_heard() {
        let time = ServerTime::default();
        time.hear(at(3_600_000_000), at(0), LONGEST_ANSWER + Duration::from_nanos(1));
        assert_eq!(time.of(at(0)), at(0));
        time.hear(at(3_600_000_000), at(0), LONGEST_ANSWER);
        assert_eq!(time.of(at(0)), at(3_599_500_000));
    }
}
