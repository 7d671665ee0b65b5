//! What a verification leaves to be written later: last use, and better digests.

use super::{
    Clove,
    known::Keys,
    metering::Metering,
    tally::{Flight, Held, Tally, Used, Uses},
};
use crate::{
    clock::Timestamp,
    error::StoreError,
    id::KeyId,
    limit::Subject,
    store::{Rehash, Store, Unspent},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
        lock,
    },
    usage::Day,
};
use chrono::{DateTime, Utc};
use std::collections::HashMap;

/// Lists, each with its own lock, so that verifications seldom meet.
const LISTS: usize = 16;
/// The most keys of a list; the uses of further ones are noted apart at once, which takes a little longer.
const MAX_USED: usize = 2_048;
/// The most last uses that wait after a flush that failed.
const MAX_USES: usize = 131_072;
/// The most places that wait to be given back. What is beyond is lost to its windows, and granted to nobody.
const MAX_UNSPENT: usize = 65_536;
/// The most takings of places that wait without anybody for them. What further ones take is lost to its windows.
const MAX_FLIGHTS: usize = 1024;
/// How many last uses, or places to be given back, one call of the store is given: what becomes of it becomes of no more.
const SLICE: usize = 1024;
/// The most digests waiting; further ones wait for their secret's next use.
const MAX_REHASHES: usize = 1024;

type LastUses = HashMap<KeyId, Timestamp, foldhash::fast::RandomState>;

pub(super) struct Buffers {
    metering: Arc<Metering>,
    /// Keys that were used since the last flush, each once: their last use stands beside their windows.
    used: [Mutex<Vec<Weak<Tally>>>; LISTS],
    /// Last uses that could not be written, and those of keys that are not remembered any more.
    uses: Mutex<LastUses>,
    /// Places that nobody is going to spend here, to be given back.
    unspent: Mutex<Vec<Unspent>>,
    /// How many tallies were dropped that were listed as holding places: as long as they are, their memory is not free.
    pub(super) dropped: AtomicUsize,
    /// Places on their way to tallies that were dropped.
    flights: Mutex<Vec<Flight>>,
    rehashes: Mutex<Vec<Rehash>>,
}

/// A number for this thread.
pub(super) fn thread_number() -> usize {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    // A thread that is ending has no number any more.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

impl Buffers {
    pub(super) fn new(metering: Arc<Metering>) -> Self {
        let (used, uses, unspent, dropped, flights, rehashes) = Default::default();
        Self { metering, used, uses, unspent, dropped, flights, rehashes }
    }

    /// Notes a use of a key whose tally is held.
    #[inline]
    pub(super) fn used(&self, tally: &Arc<Tally>, held: &mut Held, at: Timestamp, requests: u64) {
        let day = Day::of(at);
        match &mut held.uses {
            Some(uses) if uses.day == day => {
                uses.last = at.max(uses.last);
                uses.requests = uses.requests.saturating_add(requests);
            }
            _ => self.first_used(tally, held, Uses { last: at, day, requests }),
        }
    }

    /// The first use since the last flush, or on another day.
    fn first_used(&self, tally: &Arc<Tally>, held: &mut Held, uses: Uses) {
        if let Some(before) = held.uses.replace(uses) {
            return tally.used(Some(before)).into_iter().for_each(|used| self.note([used]));
        }
        let Some(list) = self.used.get(thread_number() % LISTS) else { return };
        let mut list = lock(list);
        if list.len() < MAX_USED {
            return list.push(Arc::downgrade(tally));
        }
        drop(list);
        let used = tally.used(held.uses.take());
        used.into_iter().for_each(|used| self.note([used]));
    }

    /// Notes uses apart from their tallies.
    pub(super) fn note<'t>(&self, used: impl IntoIterator<Item = Used<'t>>) {
        for Used { key, owner, uses } in used {
            self.metering.count(key, owner, uses.requests, uses.day);
            self.note_last(key, uses.last);
        }
    }

    fn note_last(&self, key: KeyId, at: Timestamp) {
        let mut uses = lock(&self.uses);
        if let Some(last) = uses.get_mut(&key) {
            *last = at.max(*last);
        } else if uses.len() < MAX_USES {
            uses.insert(key, at);
        }
    }

    pub(super) fn add_unspent(&self, unspent: impl IntoIterator<Item = Unspent>) {
        let mut waiting = lock(&self.unspent);
        let room = MAX_UNSPENT.saturating_sub(waiting.len());
        waiting.extend(unspent.into_iter().take(room));
    }

    /// Has what is held of a subject's windows take back what was to be given back of them: its key was pushed out, and is here again.
    pub(super) fn reclaim(&self, subject: &Subject, held: &mut Held) {
        lock(&self.unspent).retain(|unspent| unspent.subject != *subject || !held.reclaim(unspent));
    }

    /// Keeps places that are on their way for when they come, to be given back.
    pub(super) fn add_flight(&self, flight: Option<Box<Flight>>) {
        let mut flights = lock(&self.flights);
        let room = MAX_FLIGHTS.saturating_sub(flights.len());
        flights.extend(flight.into_iter().take(room).map(|flight| *flight));
    }

    pub(super) fn take_flights(&self) -> Vec<Flight> {
        std::mem::take(&mut lock(&self.flights))
    }

    /// A slice of the places that wait to be given back.
    pub(super) fn take_unspent(&self) -> Vec<Unspent> {
        let mut waiting = lock(&self.unspent);
        match waiting.len().checked_sub(SLICE) {
            Some(left) if left > 0 => waiting.split_off(left),
            _ => std::mem::take(&mut waiting),
        }
    }

    pub(super) fn rehash(&self, change: Rehash) {
        let mut waiting = lock(&self.rehashes);
        if waiting.len() < MAX_REHASHES && !waiting.iter().any(|known| known.key == change.key && known.old == change.old) {
            waiting.push(change);
        }
    }

    pub(super) async fn flush(&self, store: &dyn Store, keys: &Keys) -> Result<(), StoreError> {
        let mut taken = Taken { buffers: self, uses: self.take_uses(), rehashes: std::mem::take(&mut *lock(&self.rehashes)) };
        while let Some(uses) = taken.uses.rchunks(SLICE).next() {
            let left = taken.uses.len().saturating_sub(uses.len());
            store.touch(uses).await?;
            taken.uses.truncate(left);
        }
        if !taken.rehashes.is_empty() {
            store.rehash(&taken.rehashes).await?;
            // Else each use of a remembered row would have its secret rehashed again.
            taken.rehashes.drain(..).for_each(|change| keys.outdate(change.key));
        }
        Ok(())
    }

    /// Takes from tallies what was used since the last time.
    pub(super) fn settle(&self) {
        for list in &self.used {
            // The list's lock first, and alone: a verification takes it while it holds its key's.
            let used = std::mem::take(&mut *lock(list));
            // What was dropped has left its uses here by itself.
            used.iter().filter_map(Weak::upgrade).for_each(|tally| self.note(tally.take_used()));
        }
    }

    fn take_uses(&self) -> Vec<(KeyId, DateTime<Utc>)> {
        self.settle();
        let taken = std::mem::take(&mut *lock(&self.uses));
        taken.into_iter().map(|(key, at)| (key, at.into())).collect()
    }
}

/// What is being written. Whatever is left of it when it is dropped, for a failure or because the caller went away, waits again.
struct Taken<'b> {
    buffers: &'b Buffers,
    uses: Vec<(KeyId, DateTime<Utc>)>,
    rehashes: Vec<Rehash>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.uses.drain(..).for_each(|(key, at)| self.buffers.note_last(key, at.into()));
        self.rehashes.drain(..).for_each(|change| self.buffers.rehash(change));
    }
}

impl Clove {
    /// Writes what waited to be written when it was called: last uses, better digests, usage, and the access log. Hosts call it before
    /// they stop.
    ///
    /// # Errors
    /// If the store fails; what it did not write is kept for the next flush.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let flushed = self.inner.buffers.flush(&*self.inner.store, &self.inner.keys).await;
        // None keeps another from being written.
        let metered = self.inner.flush_usage().await;
        self.inner.flush_log().await.and(metered).and(flushed)
    }
}
