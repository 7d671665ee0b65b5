//! What a verification leaves to be written later: last use, and better digests.

use super::{Clove, Inner};
use crate::{error::StoreError, id::KeyId, store::Rehash};
use chrono::{DateTime, Utc};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

/// Independent locks, so that verifications of different keys seldom meet.
const SHARDS: usize = 16;
/// The most keys whose last use waits in one shard; the use of further ones is not noted until the next flush.
const MAX_USES: usize = 8192;
/// The most digests waiting; further ones wait for their secret's next use.
const MAX_REHASHES: usize = 1024;
/// How often maintenance flushes.
const INTERVAL: Duration = Duration::from_secs(1);

type Uses = HashMap<KeyId, DateTime<Utc>, foldhash::fast::RandomState>;

#[derive(Default)]
pub(super) struct Buffers {
    uses: [Mutex<Uses>; SHARDS],
    rehashes: Mutex<Vec<Rehash>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Buffers {
    pub(super) fn used(&self, key: KeyId, at: DateTime<Utc>) {
        // The last byte of an id is random.
        let shard = key.as_bytes().last().map_or(0, |byte| usize::from(*byte) % SHARDS);
        let Some(uses) = self.uses.get(shard) else { return };
        let mut uses = lock(uses);
        if let Some(last) = uses.get_mut(&key) {
            *last = at.max(*last);
        } else if uses.len() < MAX_USES {
            uses.insert(key, at);
        }
    }

    pub(super) fn rehash(&self, change: Rehash) {
        let mut waiting = lock(&self.rehashes);
        if waiting.len() < MAX_REHASHES && !waiting.iter().any(|known| known.key == change.key && known.old == change.old) {
            waiting.push(change);
        }
    }

    async fn flush(&self, inner: &Inner) -> Result<(), StoreError> {
        let uses: Vec<_> = self.uses.iter().flat_map(|shard| std::mem::take(&mut *lock(shard))).collect();
        if !uses.is_empty()
            && let Err(error) = inner.store.touch(&uses).await
        {
            uses.into_iter().for_each(|(key, at)| self.used(key, at));
            return Err(error);
        }
        let rehashes = std::mem::take(&mut *lock(&self.rehashes));
        if rehashes.is_empty() {
            return Ok(());
        }
        // A digest that is lost here is made again with its secret's next use.
        inner.store.rehash(&rehashes).await
    }
}

impl Clove {
    /// Writes what verifications have left to be written: last uses, and better digests. Hosts call it before they stop.
    ///
    /// # Errors
    /// If the store fails; last uses are kept for the next flush.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.inner.buffers.flush(&self.inner).await
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
    /// Flushes every second until the last handle is dropped.
    pub async fn run(self) {
        while let Some(sleep) = self.inner.upgrade().map(|inner| inner.clock.sleep(INTERVAL)) {
            sleep.await;
            let Some(inner) = self.inner.upgrade() else { return };
            // What could not be written stays for the next round; a verification does not depend on it.
            let _ = inner.buffers.flush(&inner).await;
        }
    }
}
