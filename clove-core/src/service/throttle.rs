//! Wrong guesses at keys with slow hashes, counted per key and peer before anything is hashed.
//!
//! In the memory of one process, on its monotonic clock, in fixed windows of a minute and a day.

use crate::{
    id::KeyId,
    policy::GuessLimit,
    sync::{Mutex, PoisonError},
};
use std::{collections::HashMap, hash::BuildHasher, time::Duration};

/// The most pairs of key and peer that are counted, of existing and of unknown keys each.
const MAX_PAIRS: usize = 65_536;

pub(crate) struct Throttle {
    limit: GuessLimit,
    peers: foldhash::fast::RandomState,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    /// The minute in which the table of existing keys was last swept when full: it takes a while.
    swept: u64,
    existing: HashMap<Pair, Guesses, foldhash::fast::RandomState>,
    unknown: HashMap<Pair, Guesses, foldhash::fast::RandomState>,
}

/// A key and the hash of a peer's label. Zero stands for all peers that found the table full.
type Pair = (KeyId, u64);

#[derive(Default)]
struct Guesses {
    minute: u64,
    in_minute: u32,
    day: u64,
    in_day: u32,
    hashing: u32,
}

/// Whether a guess may be hashed.
pub(crate) enum Entry<'a> {
    /// Yes; report the outcome.
    Open(Ticket<'a>),
    /// No: too many wrong guesses.
    Shut,
    /// Guesses that are being hashed right now decide; try again.
    Undecided,
}

/// A guess being hashed. Dropped without a report it counts as none.
pub(crate) struct Ticket<'a> {
    throttle: &'a Throttle,
    pair: Pair,
    exists: bool,
}

impl Throttle {
    pub(crate) fn new(limit: GuessLimit) -> Self {
        Self { limit, peers: foldhash::fast::RandomState::default(), tables: Mutex::default() }
    }

    pub(crate) fn enter(&self, key: KeyId, exists: bool, peer: &str, monotonic: Duration) -> Entry<'_> {
        let (minute, day) = (monotonic.as_secs() / 60, monotonic.as_secs() / 86_400);
        let mut pair = (key, self.peers.hash_one(peer).max(1));
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if !tables.make_room(&pair, exists, minute, day) {
            pair.1 = 0;
        }
        let table = tables.of(exists);
        let guesses = table.entry(pair).or_default();
        guesses.turn(minute, day);
        let wrong = (guesses.in_minute, guesses.in_day);
        if wrong.0 >= self.limit.per_minute || wrong.1 >= self.limit.per_day {
            return Entry::Shut;
        }
        if wrong.0 + guesses.hashing >= self.limit.per_minute || wrong.1 + guesses.hashing >= self.limit.per_day {
            return Entry::Undecided;
        }
        guesses.hashing += 1;
        Entry::Open(Ticket { throttle: self, pair, exists })
    }
}

impl Tables {
    /// Makes room for a pair that is not counted yet; false if there is none.
    fn make_room(&mut self, pair: &Pair, exists: bool, minute: u64, day: u64) -> bool {
        let table = self.of(exists);
        if table.len() < MAX_PAIRS || table.contains_key(pair) {
            return true;
        }
        if !exists {
            // They are counted to answer as existing ones do, not since anything could be guessed.
            self.unknown.retain(|_, guesses| guesses.hashing > 0);
        } else if self.swept != minute {
            self.swept = minute;
            self.existing.retain(|_, guesses| guesses.hashing > 0 || guesses.day == day && guesses.in_day > 0);
        }
        self.of(exists).len() < MAX_PAIRS
    }

    fn of(&mut self, exists: bool) -> &mut HashMap<Pair, Guesses, foldhash::fast::RandomState> {
        if exists { &mut self.existing } else { &mut self.unknown }
    }
}

impl Guesses {
    fn turn(&mut self, minute: u64, day: u64) {
        if self.minute != minute {
            (self.minute, self.in_minute) = (minute, 0);
        }
        if self.day != day {
            (self.day, self.in_day) = (day, 0);
        }
    }
}

impl Ticket<'_> {
    /// The guess was wrong.
    pub(crate) fn wrong(self) {
        let mut tables = self.throttle.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guesses) = tables.of(self.exists).get_mut(&self.pair) {
            guesses.in_minute = guesses.in_minute.saturating_add(1);
            guesses.in_day = guesses.in_day.saturating_add(1);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut tables = self.throttle.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let table = tables.of(self.exists);
        if let Some(guesses) = table.get_mut(&self.pair) {
            guesses.hashing = guesses.hashing.saturating_sub(1);
            if guesses.hashing == 0 && guesses.in_day == 0 {
                table.remove(&self.pair);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use chrono::DateTime;

    fn wrong(throttle: &Throttle, key: KeyId, exists: bool, peer: &str, at: Duration) {
        let Entry::Open(ticket) = throttle.enter(key, exists, peer, at) else { panic!("{peer} is shut") };
        ticket.wrong();
    }

    fn is_open(throttle: &Throttle, key: KeyId, exists: bool, peer: &str, at: Duration) -> bool {
        matches!(throttle.enter(key, exists, peer, at), Entry::Open(_))
    }

    #[test]
    fn with_full_tables_a_new_pair_is_hashed_whether_its_key_exists_or_not() {
        let throttle = Throttle::new(GuessLimit { per_minute: 1, per_day: 9 });
        let (key, other) = (KeyId::new(DateTime::UNIX_EPOCH), KeyId::new(DateTime::UNIX_EPOCH));
        for exists in [true, false] {
            for peer in 0..MAX_PAIRS {
                wrong(&throttle, key, exists, &peer.to_string(), Duration::ZERO);
            }
            wrong(&throttle, other, exists, "late", Duration::ZERO);
            assert!(!is_open(&throttle, other, exists, "late", Duration::ZERO));
            let tables = throttle.tables.lock().unwrap();
            assert!(tables.existing.len() <= MAX_PAIRS + 1 && tables.unknown.len() <= MAX_PAIRS);
        }
        assert!(!is_open(&throttle, other, true, "another", Duration::ZERO), "they share what is left");
        assert!(!is_open(&throttle, key, true, "7", Duration::ZERO), "who was counted is counted on");
        assert!(is_open(&throttle, key, true, "7", Duration::from_secs(60)));
        let tomorrow = Duration::from_secs(86_400);
        wrong(&throttle, other, true, "another", tomorrow);
        assert!(is_open(&throttle, other, true, "a third", tomorrow), "what is of yesterday makes room");
    }
}
