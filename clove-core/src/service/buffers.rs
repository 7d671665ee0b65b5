//! What a verification leaves to be written later: last use, and better digests.

use super::{Clove, Inner};
use crate::{
    clock::Timestamp,
    error::StoreError,
    id::KeyId,
    store::{Rehash, Store},
};
use chrono::{DateTime, Utc};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Logs, each with its own lock, so that verifications seldom meet.
const LOGS: usize = 16;
/// How many uses a log notes before they are told apart by key.
const RECENT: usize = 1024;
/// The most keys whose last use waits; the use of further ones is not noted until the next flush.
const MAX_USES: usize = 131_072;
/// The most digests waiting; further ones wait for their secret's next use.
const MAX_REHASHES: usize = 1024;
/// How often maintenance flushes.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many rounds of maintenance lie between two that look for counts to forget.
const ROUNDS_BETWEEN_FORGETTING: u32 = 60;
/// How many counts are forgotten in one transaction: commands wait for no more than that.
const SLICE: usize = 1024;

type Uses = HashMap<KeyId, Timestamp, foldhash::fast::RandomState>;

#[derive(Default)]
pub(super) struct Buffers {
    /// Uses as they come, one log a thread as far as they go. A log's end is always at hand; a map of thousands of keys is far
    /// away in memory.
    recent: [Mutex<Vec<(KeyId, Timestamp)>>; LOGS],
    /// Last uses, by key. One lock for a whole log: with one for each use, the processor would wait for memory use by use.
    uses: Mutex<Uses>,
    rehashes: Mutex<Vec<Rehash>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for this thread.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    // A thread that is ending has no number any more.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

impl Buffers {
    pub(super) fn used(&self, key: KeyId, at: Timestamp) {
        let Some(recent) = self.recent.get(thread_number() % LOGS) else { return };
        let mut recent = lock(recent);
        if recent.len() >= RECENT {
            self.settle(&mut recent);
        }
        recent.push((key, at));
    }

    /// Tells a log's uses apart by key.
    fn settle(&self, recent: &mut Vec<(KeyId, Timestamp)>) {
        self.note(recent.drain(..));
    }

    fn note(&self, used: impl Iterator<Item = (KeyId, Timestamp)>) {
        let mut uses = lock(&self.uses);
        for (key, at) in used {
            if let Some(last) = uses.get_mut(&key) {
                *last = at.max(*last);
            } else if uses.len() < MAX_USES {
                uses.insert(key, at);
            }
        }
    }

    pub(super) fn rehash(&self, change: Rehash) {
        let mut waiting = lock(&self.rehashes);
        if waiting.len() < MAX_REHASHES && !waiting.iter().any(|known| known.key == change.key && known.old == change.old) {
            waiting.push(change);
        }
    }

    async fn flush(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut taken = Taken { buffers: self, uses: self.take_uses(), rehashes: std::mem::take(&mut *lock(&self.rehashes)) };
        if !taken.uses.is_empty() {
            store.touch(&taken.uses).await?;
            taken.uses.clear();
        }
        if !taken.rehashes.is_empty() {
            store.rehash(&taken.rehashes).await?;
            taken.rehashes.clear();
        }
        Ok(())
    }

    fn take_uses(&self) -> Vec<(KeyId, DateTime<Utc>)> {
        self.recent.iter().for_each(|recent| self.settle(&mut lock(recent)));
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
        self.buffers.note(self.uses.drain(..).map(|(key, at)| (key, at.into())));
        self.rehashes.drain(..).for_each(|change| self.buffers.rehash(change));
    }
}

impl Clove {
    /// Writes what verifications have left to be written: last uses, and better digests. Hosts call it before they stop.
    ///
    /// # Errors
    /// If the store fails; what it did not write is kept for the next flush.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.inner.buffers.flush(&*self.inner.store).await
    }

    /// The work that goes on beside verification, for the host to spawn once: without it everything stays right, and last
    /// uses are written only by [`Clove::flush`].
    #[must_use]
    pub fn maintenance(&self) -> Maintenance {
        Maintenance { inner: Arc::downgrade(&self.inner) }
    }
}

/// The work beside verification; see [`Clove::maintenance`].
pub struct Maintenance {
    inner: Weak<Inner>,
}

impl Maintenance {
    /// Flushes every second until the last handle is dropped, gives back places of request windows that nobody has asked for in the
    /// last ten, forgets counts of windows that are over for a day, and tells observers, if there are any, each hour of keys that are
    /// about to expire. What could not be written stays for the next round, since
    /// no verification depends on it; `failed` is told why, for the host's log.
    pub async fn run(self, mut failed: impl FnMut(StoreError)) {
        let mut to_forget = ROUNDS_BETWEEN_FORGETTING;
        while let Some(sleep) = self.inner.upgrade().map(|inner| inner.clock.sleep(INTERVAL)) {
            sleep.await;
            let Some(inner) = self.inner.upgrade() else { return };
            let flushed = inner.buffers.flush(&*inner.store).await;
            let given_back = inner.give_back(false).await;
            to_forget = to_forget.saturating_sub(1);
            let forgotten = if to_forget == 0 { inner.store.forget_counts(inner.clock.now(), SLICE).await } else { Ok(0) };
            match forgotten {
                // There may be more of them.
                Ok(SLICE) => {}
                _ if to_forget == 0 => to_forget = ROUNDS_BETWEEN_FORGETTING,
                _ => {}
            }
            let signalled = inner.signal_ahead().await;
            for error in [flushed, given_back, forgotten.map(drop), signalled].into_iter().filter_map(Result::err) {
                inner.signal_failure(&error);
                failed(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: usize = 20_000;

    fn used_on_one_thread() -> Buffers {
        let (buffers, at) = (Buffers::default(), Timestamp::from(DateTime::UNIX_EPOCH));
        (0..KEYS).for_each(|_| buffers.used(KeyId::new(at), at));
        buffers
    }

    #[test]
    fn one_thread_notes_the_use_of_as_many_keys_as_many_do() {
        assert_eq!(used_on_one_thread().take_uses().len(), KEYS);
    }

    #[test]
    fn what_was_not_written_waits_again_however_much_it_is() {
        let buffers = used_on_one_thread();
        drop(Taken { buffers: &buffers, uses: buffers.take_uses(), rehashes: Vec::new() });
        assert_eq!(buffers.take_uses().len(), KEYS);
    }

    #[test]
    fn a_key_used_on_several_threads_is_written_once_and_with_its_last_use() {
        let (buffers, key) = (Buffers::default(), KeyId::new(DateTime::UNIX_EPOCH));
        let second = |second| DateTime::<Utc>::UNIX_EPOCH + chrono::TimeDelta::seconds(second);
        std::thread::scope(|scope| {
            for at in 0..4 {
                let buffers = &buffers;
                scope.spawn(move || buffers.used(key, second(at).into()));
            }
        });
        assert_eq!(buffers.take_uses(), [(key, second(3))]);
    }
}
