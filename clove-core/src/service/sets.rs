//! Sets of capabilities that keys share: a host has a few, and many keys of each.
//!
//! What is shared has a bound of its own, taken off that of the keys, so that a key weighs nothing for it. No set is let go of while a
//! key has it: what keys have is never more than is counted here, or in their own weight.

use crate::{
    capability::CapabilitySet,
    sync::{Mutex, lock},
};
use foldhash::fast::RandomState;
use std::collections::HashSet;

/// The longest text that is shared: longer ones are seldom many keys'.
const MAX_SHARED_BYTES: usize = 256;
/// The most sets that are shared.
const MAX_SETS: usize = 4096;
/// What a set takes beside its text: counts of who has it, and a place in the map, with room to grow.
const BYTES_OF_SET: usize = 64;
/// What a key's own set takes beside its text.
const BYTES_OF_OWN: usize = 32;

pub(super) struct Sets {
    max_bytes: usize,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    sets: HashSet<CapabilitySet, RandomState>,
    bytes: usize,
    /// How many more are turned away before those that no key has any more are looked for.
    patience: usize,
}

impl Sets {
    /// None yet; they will take as many bytes at most, and no more than they have use for.
    pub(super) fn new(bytes: u64) -> Self {
        let most = MAX_SETS * (MAX_SHARED_BYTES + BYTES_OF_SET);
        Self { max_bytes: usize::try_from(bytes).map_or(most, |bytes| bytes.min(most)), shared: Mutex::default() }
    }

    pub(super) fn max_bytes(&self) -> u64 {
        u64::try_from(self.max_bytes).unwrap_or(u64::MAX)
    }

    /// The same set for a key to keep, and what the key weighs more for it: nothing where it is shared.
    pub(super) fn share(&self, set: &CapabilitySet) -> (CapabilitySet, u32) {
        let text = set.as_str().len();
        let own = || (set.clone(), u32::try_from(text + BYTES_OF_OWN).unwrap_or(u32::MAX));
        if text > MAX_SHARED_BYTES {
            return own();
        }
        let mut shared = lock(&self.shared);
        if let Some(known) = shared.sets.get(set) {
            return (known.clone(), 0);
        }
        if !shared.has_room(text, self.max_bytes) {
            if let Some(left) = shared.patience.checked_sub(1) {
                shared.patience = left;
                return own();
            }
            shared.forget_unused();
            if !shared.has_room(text, self.max_bytes) {
                return own();
            }
        }
        // A text apart: a store in memory keeps its own for as long as the key lives.
        let new = set.apart();
        shared.bytes += text + BYTES_OF_SET;
        shared.sets.insert(new.clone());
        (new, 0)
    }
}

impl Shared {
    fn has_room(&self, text: usize, max_bytes: usize) -> bool {
        self.sets.len() < MAX_SETS && self.bytes + text + BYTES_OF_SET <= max_bytes
    }

    /// Nobody can come to have one meanwhile, but by here or from who has it.
    fn forget_unused(&mut self) {
        self.sets.retain(CapabilitySet::is_held_elsewhere);
        self.bytes = self.sets.iter().map(|set| set.as_str().len() + BYTES_OF_SET).sum();
        // Each that is turned away pays for one that is looked at.
        self.patience = self.sets.len();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn set(number: usize, bytes: usize) -> CapabilitySet {
        let last = bytes - 65;
        CapabilitySet::new([format!("{number:0>64}:{number:0>last$}")]).unwrap()
    }

    #[test]
    fn keys_of_one_set_have_one_text_and_weigh_nothing_for_it() {
        let sets = Sets::new(1000);
        let [(one, first), (two, second)] = [(); 2].map(|()| sets.share(&set(1, 100)));
        assert_eq!(one.as_str().as_ptr(), two.as_str().as_ptr());
        assert_eq!((first, second), (0, 0));
    }

    #[test]
    fn a_long_set_is_its_key_s_own() {
        let sets = Sets::new(100_000);
        let long = CapabilitySet::new((0..3).map(|name| format!("{name:0>64}:{name:0>64}"))).unwrap();
        let weight = u32::try_from(long.as_str().len() + BYTES_OF_OWN).unwrap();
        assert_eq!([sets.share(&long).1, sets.share(&long).1], [weight; 2]);
    }

    #[test]
    fn a_set_for_which_there_is_no_room_is_its_key_s_own_and_those_that_keys_have_stay() {
        let sets = Sets::new(2 * (100 + 64));
        let held = [1, 2].map(|number| sets.share(&set(number, 100)));
        assert_eq!(held.each_ref().map(|(_, weight)| *weight), [0, 0]);
        for number in 3..20 {
            assert_eq!(sets.share(&set(number, 100)).1, 132, "{number}");
        }
        assert_eq!(sets.share(&set(1, 100)).0.as_str().as_ptr(), held[0].0.as_str().as_ptr());
    }

    #[test]
    fn sets_that_no_key_has_any_more_make_room() {
        let sets = Sets::new(10 * (100 + 64));
        let kept = sets.share(&set(0, 100)).0;
        let turned_away = (1..100).filter(|&number| sets.share(&set(number, 100)).1 > 0).count();
        assert!(turned_away <= 10, "{turned_away}");
        assert_eq!(sets.share(&set(0, 100)).0.as_str().as_ptr(), kept.as_str().as_ptr());
    }
}
