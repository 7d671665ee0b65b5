//! The access log of this process: entries as they come, and how they get to the store.
//!
//! An entry costs a request a place in a chunk that its thread has almost for itself. Full chunks wait in a queue; flights take
//! them to the store, one at a time. Where entries must be on record first, requests go by `rounds` instead.

use super::{
    Clove, Inner, Lefts,
    buffers::thread_number,
    known::{Keys, Known},
    press::Press,
    rounds::{Rounds, Written, write},
    unrecognized::Unrecognized,
};
use crate::{
    access::{AccessEntry, AccessLimit, AccessLog, AccessOutcome, EndpointLabel},
    clock::Timestamp,
    error::StoreError,
    id::{GrantId, KeyId},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        lock,
    },
    verdict::{Attempt, DenialReason, Limited},
};
use futures_util::future::{BoxFuture, FutureExt, Shared};
use std::{collections::VecDeque, time::Duration};

const SHARDS: usize = 16;
/// How many entries a chunk holds, and the most of one call of the store: commands wait for no more than that.
pub(super) const CHUNK: usize = 1024;
/// The most full chunks that wait; what fills up beyond them is lost.
const MAX_CHUNKS: usize = 128;
/// How many full chunks have maintenance write at once.
const PRESSING: usize = MAX_CHUNKS / 2;
/// How many of the last labels of a chunk are compared with a new one; a host has a few.
const LABELS: usize = 32;
/// When a call of the store that gave no answer is given up, and made again later.
const GIVEN_UP: Duration = Duration::from_secs(60);

pub(super) type Flight = Shared<BoxFuture<'static, Result<(), Arc<StoreError>>>>;

/// What is not to share a line of the processor's cache with its neighbours.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Apart<T>(pub(super) T);

/// Locks are taken in this order: the flight's, a shard's, the queue's.
#[derive(Default)]
pub(super) struct Log {
    flight: Mutex<Option<Flight>>,
    shards: [Apart<Mutex<Chunk>>; SHARDS],
    queue: Mutex<Queue>,
    lost: AtomicU64,
    pub(super) press: Arc<Press>,
    pub(super) unrecognized: Unrecognized,
    rounds: Rounds,
}

#[derive(Default)]
struct Queue {
    /// What a flight did not write.
    again: Option<Arc<[AccessEntry]>>,
    full: VecDeque<Chunk>,
    /// Emptied ones, so that new ones are seldom made.
    spare: Vec<Chunk>,
}

/// Entries, with the labels that they name by their places.
#[derive(Default)]
struct Chunk {
    lines: Vec<Line>,
    labels: Vec<EndpointLabel>,
}

/// An entry without its texts. It names the key by its id: to hold on to what is known of it would have threads wait for each other at
/// its count.
struct Line {
    id: GrantId,
    at: Timestamp,
    cost: u64,
    limit: Option<AccessLimit>,
    key: KeyId,
    label: Option<u16>,
    outcome: AccessOutcome,
}

/// What is to be noted of a request.
struct Note<'a> {
    id: GrantId,
    at: Timestamp,
    key: &'a Arc<Known>,
    outcome: AccessOutcome,
    limit: Option<AccessLimit>,
    cost: u64,
    endpoint: Option<&'a EndpointLabel>,
}

impl<'a> Note<'a> {
    #[inline(always)]
    fn new(
        id: GrantId,
        key: &'a Arc<Known>,
        at: Timestamp,
        outcome: AccessOutcome,
        limit: Option<AccessLimit>,
        attempt: &Attempt<'a>,
    ) -> Self {
        let cost = if attempt.charges { attempt.cost.min(i64::MAX.unsigned_abs()) } else { 0 };
        Self { id, at, key, outcome, limit, cost, endpoint: attempt.endpoint }
    }

    #[inline(always)]
    fn of_grant(id: GrantId, key: &'a Arc<Known>, lefts: &Lefts, at: Timestamp, attempt: &Attempt<'a>) -> Self {
        let outcome = if lefts.uncounted { AccessOutcome::GrantedUncounted } else { AccessOutcome::Granted };
        Self::new(id, key, at, outcome, smallest_share(key, lefts), attempt)
    }

    fn entry(&self) -> AccessEntry {
        AccessEntry {
            id: self.id,
            at: self.at.into(),
            key: self.key.row.id,
            owner: (*self.key.row.owner).clone(),
            outcome: self.outcome,
            limit: self.limit,
            cost: self.cost,
            endpoint: self.endpoint.cloned(),
        }
    }
}

impl Chunk {
    #[inline(always)]
    fn add(&mut self, note: &Note<'_>) {
        let label = note.endpoint.and_then(|label| self.label(label));
        self.lines.push(Line {
            id: note.id,
            at: note.at,
            cost: note.cost,
            limit: note.limit,
            key: note.key.row.id,
            label,
            outcome: note.outcome,
        });
    }

    /// Its place; there are no more than entries.
    fn label(&mut self, label: &EndpointLabel) -> Option<u16> {
        let known = self.labels.iter().enumerate().rev().take(LABELS).find(|(_, known)| known.is(label));
        let place = known.map_or(self.labels.len(), |(place, _)| place);
        if place == self.labels.len() {
            self.labels.push(label.clone());
        }
        place.try_into().ok()
    }

    /// The entries of keys whose owner is known.
    fn entries<'a>(&'a self, keys: &'a Keys) -> impl Iterator<Item = AccessEntry> + 'a {
        self.lines.iter().filter_map(|line| {
            Some(AccessEntry {
                id: line.id,
                at: line.at.into(),
                key: line.key,
                owner: (*keys.owner(line.key)?).clone(),
                outcome: line.outcome,
                limit: line.limit,
                cost: line.cost,
                endpoint: line.label.and_then(|label| self.labels.get(usize::from(label))).cloned(),
            })
        })
    }

    fn clear(&mut self) {
        self.lines.clear();
        self.labels.clear();
    }
}

impl Queue {
    fn swap(&mut self, chunk: &mut Chunk) -> Chunk {
        std::mem::replace(chunk, self.spare.pop().unwrap_or_default())
    }

    fn put_back(&mut self, chunks: Vec<Chunk>) {
        for mut chunk in chunks.into_iter().take(MAX_CHUNKS.saturating_sub(self.spare.len())) {
            chunk.clear();
            self.spare.push(chunk);
        }
    }
}

impl Log {
    #[inline(always)]
    fn push(&self, note: &Note<'_>) {
        let Some(Apart(shard)) = self.shards.get(thread_number() % SHARDS) else { return };
        let mut chunk = lock(shard);
        if chunk.lines.len() >= CHUNK {
            self.hand_over(&mut chunk);
        }
        chunk.add(note);
    }

    /// Has a full chunk wait in the queue, or, where there is no room, loses it.
    #[inline(never)]
    fn hand_over(&self, chunk: &mut Chunk) {
        let mut queue = lock(&self.queue);
        if queue.full.len() >= MAX_CHUNKS {
            drop(queue);
            self.lose(chunk.lines.len());
            chunk.clear();
            return;
        }
        let full = queue.swap(chunk);
        queue.full.push_back(full);
        let is_pressing = queue.full.len() == PRESSING;
        drop(queue);
        if is_pressing {
            self.press.press();
        }
    }

    fn lose(&self, entries: usize) {
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        let _ = self.lost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lost| Some(lost.saturating_add(entries)));
    }

    /// The entries of chunks, with whose keys they are of.
    fn told_apart(&self, chunks: &[Chunk], keys: &Keys) -> Arc<[AccessEntry]> {
        let entries: Arc<[AccessEntry]> = chunks.iter().flat_map(|chunk| chunk.entries(keys)).collect();
        let lines: usize = chunks.iter().map(|chunk| chunk.lines.len()).sum();
        self.lose(lines.saturating_sub(entries.len()));
        entries
    }

    /// Takes what waits to the store, each shard's part of it once, so that there is an end while more comes.
    async fn flush(self: &Arc<Self>, inner: &Inner) -> Result<(), StoreError> {
        let mut shards = 0..SHARDS;
        for _ in 0..2 * MAX_CHUNKS {
            let Some(flight) = self.flight(inner, &mut shards) else { break };
            flight.await.map_err(told)?;
        }
        Ok(())
    }

    /// The flight on its way, or a new one with what waits, and what the next shards have as far as it has room.
    fn flight(self: &Arc<Self>, inner: &Inner, shards: &mut std::ops::Range<usize>) -> Option<Flight> {
        let mut flight = lock(&self.flight);
        if let Some(flight) = &*flight {
            return Some(flight.clone());
        }
        let mut queue = lock(&self.queue);
        let again = queue.again.take();
        let mut chunks: Vec<Chunk> = if again.is_none() { queue.full.pop_front().into_iter().collect() } else { Vec::new() };
        drop(queue);
        if again.is_none() && chunks.is_empty() {
            let mut room = CHUNK;
            while let Some(Apart(shard)) = shards.clone().next().and_then(|place| self.shards.get(place)) {
                let mut chunk = lock(shard);
                let Some(left) = room.checked_sub(chunk.lines.len()) else { break };
                room = left;
                shards.next();
                if !chunk.lines.is_empty() {
                    chunks.push(lock(&self.queue).swap(&mut chunk));
                }
            }
        }
        if again.is_none() && chunks.is_empty() {
            return None;
        }
        let batch = again.unwrap_or_else(|| self.told_apart(&chunks, &inner.keys));
        // Owned by the flight: whoever waits for it may go away, and leaves it to the next.
        let (log, store, clock) = (Arc::downgrade(self), Arc::clone(&inner.store), Arc::clone(&inner.clock));
        let new = async move {
            let written = write(&*store, &*clock, Arc::clone(&batch), GIVEN_UP).await;
            if let Some(log) = log.upgrade() {
                let mut flight = lock(&log.flight);
                let mut queue = lock(&log.queue);
                queue.put_back(chunks);
                // What an unknown outcome has written is passed over the second time.
                queue.again = written.is_err().then_some(batch);
                *flight = None;
            }
            written.map_err(Arc::new)
        };
        let new = new.boxed().shared();
        *flight = Some(new.clone());
        Some(new)
    }
}

pub(super) fn told(error: Arc<StoreError>) -> StoreError {
    StoreError::unavailable("writing the access log", error)
}

impl Inner {
    /// Notes a grant. Where it must be on record before it is returned, gives what is to be waited for.
    #[inline(always)]
    pub(super) fn note_grant(
        &self,
        id: GrantId,
        key: &Arc<Known>,
        lefts: &Lefts,
        at: Timestamp,
        attempt: &Attempt<'_>,
    ) -> Option<Written> {
        match self.policy.access_log {
            AccessLog::Off => None,
            _ if attempt.is_ahead => None,
            AccessLog::BestEffort => {
                self.log.push(&Note::of_grant(id, key, lefts, at, attempt));
                None
            }
            AccessLog::Required => Some(self.log.rounds.join(Note::of_grant(id, key, lefts, at, attempt).entry(), self)),
        }
    }

    /// Notes a refusal of a proven secret.
    pub(super) fn note_denial(&self, reason: &DenialReason, key: &Arc<Known>, at: Timestamp, attempt: &Attempt<'_>) {
        let Some(outcome) = AccessOutcome::of_denial(reason).filter(|_| self.policy.access_log != AccessLog::Off) else { return };
        let limit = match reason {
            DenialReason::LimitReached(exhausted) => {
                Some(AccessLimit { of: exhausted.of, window: exhausted.window, left: exhausted.left })
            }
            _ => None,
        };
        self.log.push(&Note::new(GrantId::new(at), key, at, outcome, limit, attempt));
    }

    /// Writes what waits of the access log, and counts of refusals.
    pub(super) async fn flush_log(&self) -> Result<(), StoreError> {
        let written = self.log.flush(self).await;
        if written.is_ok() {
            self.keys.forget_owners();
        }
        let counted = self.log.unrecognized.flush(self).await;
        written.and(counted)
    }
}

/// The window with the smallest share left.
#[inline(always)]
fn smallest_share(key: &Known, lefts: &Lefts) -> Option<AccessLimit> {
    let plan = &*key.plan;
    let mut smallest: Option<AccessLimit> = None;
    for (limits, lefts, of) in [(&plan.key, &lefts.key, Limited::Key), (&plan.account, &lefts.account, Limited::Account)] {
        for (&window, &left) in limits.windows().iter().zip(lefts) {
            let product = |left: u64, count: u64| u128::from(left) * u128::from(count);
            if smallest.is_none_or(|known| product(left, known.window.count()) < product(known.left, window.count())) {
                smallest = Some(AccessLimit { of, window, left });
            }
        }
    }
    smallest.filter(|_| !lefts.uncounted)
}

impl Clove {
    /// How many entries of the access log this handle and its clones have lost, since more waited than memory is given to, or since
    /// their keys were pushed out of memory faster than the log was written: 0 to 2^64 - 1, from the first handle on. Of the former,
    /// some thousand are lost at once. Which requests they were of is not known any more.
    #[must_use]
    pub fn access_log_lost(&self) -> u64 {
        self.inner.log.lost.load(Ordering::Relaxed)
    }
}
