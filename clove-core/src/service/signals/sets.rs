//! What is remembered so that nothing is told twice: tables of a fixed size, whatever number of keys there are.

use crate::{
    clock::Timestamp,
    sync::{Mutex, PoisonError},
};
use std::time::Duration;

/// Places in which one hash may lie.
const WAYS: usize = 8;
/// How long refusals are counted together.
const MINUTE: Duration = Duration::from_secs(60);

/// Hashes, and what is known of each.
type Set<T> = [Option<(u64, T)>; WAYS];

/// A table of hashes. Each set has a lock of its own, held for the look at its few places.
struct Sets<T>(Box<[Mutex<Set<T>>]>);

impl<T: Copy> Sets<T> {
    fn new(sets: usize) -> Self {
        Self((0..sets).map(|_| Mutex::new([None; WAYS])).collect())
    }

    fn with<R>(&self, hash: u64, look: impl FnOnce(&mut Set<T>) -> R) -> Option<R> {
        let place = hash % u64::try_from(self.0.len()).unwrap_or(u64::MAX).max(1);
        let set = self.0.get(usize::try_from(place).ok()?)?;
        Some(look(&mut set.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Which windows' names are known to be near their limit, until they are over: some ten thousand at a time.
pub(super) struct Near(Sets<Timestamp>);

/// Whether something is to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Novelty {
    New,
    Known,
    /// It may be new, and there is no room to remember it: told now, it would be told again and again.
    NoRoom,
}

impl Near {
    pub(super) fn new() -> Self {
        Self(Sets::new(2048))
    }

    /// Notes the name of a window that ends so.
    pub(super) fn note(&self, name: u64, ends: Timestamp, now: Timestamp) -> Novelty {
        let note = |set: &mut Set<Timestamp>| {
            // A name means one window for ever: one that is over may be present again, where a clock steps back.
            if set.iter().flatten().any(|(known, _)| *known == name) {
                return Novelty::Known;
            }
            match set.iter_mut().find(|place| place.is_none_or(|(_, ends)| ends <= now)) {
                Some(place) => {
                    *place = Some((name, ends));
                    Novelty::New
                }
                None => Novelty::NoRoom,
            }
        };
        self.0.with(name, note).unwrap_or(Novelty::NoRoom)
    }
}

/// How many refusals there were of some thousand keys and owners in their last minutes.
pub(super) struct Refusals(Sets<Minute>);

#[derive(Clone, Copy)]
struct Minute {
    /// On the monotonic clock.
    since: Duration,
    count: u32,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self(Sets::new(512))
    }

    /// Counts one more, and tells how many there were in the minute that began with the first. Where there is no room, the one with
    /// the fewest is forgotten: a flood of many keys' single refusals hides no burst.
    pub(super) fn count(&self, of: u64, now: Duration) -> u32 {
        let count = |set: &mut Set<Minute>| {
            let is_over = |minute: &Minute| now.saturating_sub(minute.since) >= MINUTE;
            let first = Minute { since: now, count: 1 };
            if let Some((_, minute)) = set.iter_mut().flatten().find(|(known, _)| *known == of) {
                *minute = if is_over(minute) { first } else { Minute { count: minute.count.saturating_add(1), ..*minute } };
                return minute.count;
            }
            let worth = |place: &&mut Option<(u64, Minute)>| match place {
                Some((_, minute)) if !is_over(minute) => (minute.count, minute.since),
                _ => (0, Duration::ZERO),
            };
            if let Some(place) = set.iter_mut().min_by_key(worth) {
                *place = Some((of, first));
            }
            1
        };
        self.0.with(of, count).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000).unwrap()
    }

    #[test]
    fn a_name_is_new_once_and_where_there_is_no_room_it_is_said_so() {
        let near = Near::new();
        // All in one set.
        let name = |number: u64| number * 2048;
        for number in 0..8 {
            assert_eq!(near.note(name(number), at(60), at(0)), Novelty::New);
            assert_eq!(near.note(name(number), at(60), at(0)), Novelty::Known);
        }
        assert_eq!(near.note(name(8), at(60), at(0)), Novelty::NoRoom);
        assert_eq!(near.note(name(8), at(120), at(60)), Novelty::New, "what is over makes room");
        assert_eq!(near.note(name(1), at(60), at(60)), Novelty::Known, "until then it is known");
    }

    #[test]
    fn a_minute_begins_with_the_first_refusal() {
        let (refusals, second) = (Refusals::new(), Duration::from_secs);
        assert_eq!([0, 59, 60, 119, 121].map(|now| refusals.count(7, second(now))), [1, 2, 1, 2, 1]);
    }

    #[test]
    fn single_refusals_of_many_push_out_none_that_has_more() {
        let refusals = Refusals::new();
        assert_eq!([1, 2].map(|_| refusals.count(512, Duration::ZERO)), [1, 2]);
        for other in 2..100_000 {
            assert_eq!(refusals.count(other * 512, Duration::ZERO), 1);
        }
        assert_eq!(refusals.count(512, Duration::ZERO), 3);
    }
}
