//! How a process learns that rows it remembers have changed: epochs, one for each of 1,024 shards of owners, and one for what is
//! everyone's.

use super::roll::Roll;
use crate::{
    clock::Timestamp,
    crc32::Crc32,
    id::{NodeId, Owner, Scope},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        lock,
    },
};
use std::{fmt, time::Duration};

/// How many shards of owners there are.
#[cfg(not(shuttle))]
pub const OWNER_SHARDS: u16 = 1024;
/// Few: to look at one is a step of a schedule.
#[cfg(shuttle)]
pub const OWNER_SHARDS: u16 = 2;
const ALL: u16 = OWNER_SHARDS + 1;

/// Whose rows share an epoch: a shard of owners, or everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochShard(u16);

impl EpochShard {
    /// What is changed of an organization is changed for all of its owners, whatever their shards.
    pub const EVERYONE: Self = Self(OWNER_SHARDS);

    /// An owner's shard: CRC-32 (as in gzip, RFC 1952 section 8) of organization, a NUL and account, modulo 1,024. The same in all
    /// processes and versions.
    #[must_use]
    pub fn of(owner: &Owner) -> Self {
        // An identifier holds no NUL.
        let parts = [owner.organization.as_str(), "\0", owner.account.as_str()];
        let sum = parts.iter().fold(Crc32::NEW, |sum, part| sum.and(part.as_bytes()));
        let shard = sum.end() % u32::from(OWNER_SHARDS);
        Self(u16::try_from(shard).unwrap_or_default())
    }

    /// The shard of what a scope names.
    #[must_use]
    pub fn of_scope(scope: &Scope) -> Self {
        match scope {
            Scope::Owner(owner) => Self::of(owner),
            Scope::Organization(_) => Self::EVERYONE,
        }
    }

    /// 0 to 1,024, for a store to keep.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..ALL).map(Self)
    }
}

/// How verifications learn that a row they remember has changed.
#[derive(Clone, Debug)]
pub enum Freshness {
    /// The store is this process's memory, and whoever changes a row marks its shard here before anyone can read it: a remembered
    /// row is as good as a read one.
    Marked(Arc<Marks>),
    /// By asking for the epochs now and then ([`Store::epochs`](super::Store::epochs)). Rows are used no longer than this after the
    /// last poll was sent, unless the policy or the store's other users say less.
    Polled(Duration),
}

/// The epochs as a poll found them, and what goes with them, of the same moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Epochs {
    values: Vec<u64>,
    /// The shortest time that any process of this store has asked for: nobody uses a row for longer without a poll.
    pub bound: Duration,
    /// The first such time that was noted, which is the longest that any process may be going by: it hears of a shorter one at its next
    /// poll.
    pub longest: Duration,
    /// The number that the roll was last called by, 0 before the first call.
    pub roll: u64,
    /// All processes that use rows from memory, and the number that each has answered last.
    pub nodes: Vec<(NodeId, u64)>,
    /// What the store's own clock showed while it answered, where processes on several machines share it; `None` where there is one
    /// machine, and one clock.
    pub server_time: Option<Timestamp>,
}

impl Epochs {
    /// The bound that is told where none is noted: longer than any that is used, but for the one that asks for none.
    pub const UNBOUND: Duration = Duration::from_secs(3600);

    /// Where nothing has changed yet.
    #[must_use]
    pub fn new(bound: Duration) -> Self {
        let (values, nodes) = (vec![0; usize::from(ALL)], Vec::new());
        Self { values, bound, longest: bound, roll: 0, nodes, server_time: None }
    }

    /// Sets one that was read; a number that is no shard's is passed over.
    pub fn set(&mut self, number: u16, epoch: u64) {
        if let Some(value) = self.values.get_mut(usize::from(number)) {
            *value = epoch;
        }
    }

    /// The epoch of a shard.
    #[must_use]
    pub fn get(&self, shard: EpochShard) -> u64 {
        self.values.get(usize::from(shard.0)).copied().unwrap_or_default()
    }

    /// What a node has answered last; `None` if it is not registered.
    pub(crate) fn answered(&self, node: NodeId) -> Option<u64> {
        self.nodes.iter().find(|(registered, _)| *registered == node).map(|(_, answered)| *answered)
    }

    /// The shards whose epochs differ. Any difference counts: an older one is that of a database that was restored.
    pub(crate) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = EpochShard> + 'a {
        EpochShard::all().filter(|&shard| self.get(shard) != other.get(shard))
    }
}

impl fmt::Debug for Epochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epochs")
            .field("bound", &self.bound)
            .field("longest", &self.longest)
            .field("roll", &self.roll)
            .field("nodes", &self.nodes)
            .field("server_time", &self.server_time)
            .finish_non_exhaustive()
    }
}

/// How often each shard was marked as changed, in the memory of one process; and its roll.
pub struct Marks {
    /// How often anything was. Moves before a shard's own count does: who finds it where it was before a read, and then takes the
    /// shard's count, holds a count from before any change that the read has not seen.
    total: AtomicU64,
    counts: Vec<AtomicU64>,
    /// The shortest that was asked for, in microseconds.
    bound: AtomicU64,
    roll: Mutex<Roll>,
}

impl Marks {
    /// None marked yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            total: AtomicU64::new(0),
            counts: EpochShard::all().map(|_| AtomicU64::new(0)).collect(),
            bound: AtomicU64::new(u64::MAX),
            roll: Mutex::default(),
        }
    }

    /// Marks a shard as changed: after the change can be read, or while nobody can read.
    pub fn mark(&self, shard: EpochShard) {
        self.discard_fills();
        if let Some(count) = self.counts.get(usize::from(shard.0)) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// How often it was marked.
    #[must_use]
    pub fn get(&self, shard: EpochShard) -> u64 {
        self.counts.get(usize::from(shard.0)).map_or(0, |count| count.load(Ordering::SeqCst))
    }

    /// How often a shard and everyone's were marked, together.
    pub(crate) fn of(&self, shard: EpochShard) -> u64 {
        self.get(shard).wrapping_add(self.get(EpochShard::EVERYONE))
    }

    /// What is being read is not to be remembered.
    pub(crate) fn discard_fills(&self) {
        self.total.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::SeqCst)
    }

    /// What [`Store::epochs`](super::Store::epochs) tells.
    #[must_use]
    pub fn epochs(&self, bound: Duration) -> Epochs {
        let asked = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        // The roll before the counts: whoever finds a number finds what was marked before it was called.
        let mut roll = lock(&self.roll);
        let noted = self.bound.fetch_min(asked, Ordering::SeqCst).min(asked);
        let bound = Duration::from_micros(noted);
        let longest = roll.longest(Some(bound).filter(|_| noted < u64::MAX)).unwrap_or(bound);
        let (number, nodes) = (roll.number, roll.nodes());
        drop(roll);
        let values = EpochShard::all().map(|shard| self.get(shard)).collect();
        Epochs { values, bound, longest, roll: number, nodes, server_time: None }
    }

    /// What [`Store::call_roll`](super::Store::call_roll) does.
    pub fn call_roll(&self) -> u64 {
        lock(&self.roll).call()
    }

    /// What [`Store::answer_roll`](super::Store::answer_roll) does.
    pub fn answer_roll(&self, node: NodeId, number: u64) {
        lock(&self.roll).answer(node, number);
    }

    /// What [`Store::dismiss`](super::Store::dismiss) does.
    pub fn dismiss(&self, nodes: &[NodeId], number: u64) {
        lock(&self.roll).dismiss(nodes, number);
    }
}

impl Default for Marks {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marks").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_owners_shard_is_frozen() {
        let shard = |organization, account| EpochShard::of(&Owner::new(organization, account).unwrap()).number();
        assert_eq!([shard("acme", "ada"), shard("acme", "bob"), shard("ac", "mebob")], [1015, 479, 427]);
    }

    #[test]
    fn only_shards_that_changed_either_way_differ() {
        let (marks, before) = (Marks::new(), Marks::new().epochs(Duration::ZERO));
        assert_eq!(before.differing(&marks.epochs(Duration::ZERO)).count(), 0);
        [EpochShard(7), EpochShard::EVERYONE].into_iter().for_each(|shard| marks.mark(shard));
        let after = marks.epochs(Duration::ZERO);
        for (one, other) in [(&before, &after), (&after, &before)] {
            assert_eq!(one.differing(other).collect::<Vec<_>>(), [EpochShard(7), EpochShard::EVERYONE]);
        }
    }
}
