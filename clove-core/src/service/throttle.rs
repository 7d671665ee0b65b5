//! Wrong guesses at keys with slow hashes, counted per key and peer before anything is hashed.
//!
//! In the memory of one process, on its monotonic clock, in fixed windows of a minute and a day.

use crate::{id::KeyId, policy::GuessLimit};
use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The most pairs of key and peer that are counted, of existing and of unknown keys each.
const MAX_PAIRS: usize = 65_536;

pub(crate) struct Throttle {
    limit: GuessLimit,
    peers: foldhash::fast::RandomState,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
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
        let table = tables.of(exists);
        if table.len() >= MAX_PAIRS && !table.contains_key(&pair) {
            table.retain(|_, guesses| guesses.hashing > 0 || guesses.day == day && guesses.in_day > 0);
            if table.len() >= MAX_PAIRS {
                if !exists {
                    return Entry::Shut;
                }
                pair.1 = 0;
            }
        }
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
