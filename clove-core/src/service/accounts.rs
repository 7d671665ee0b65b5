//! What is held of accounts' windows, once for all keys of an account.

use super::{buffers::Buffers, tally::Tally};
use crate::{
    id::Owner,
    limit::Subject,
    sync::{Arc, Mutex, Weak, lock},
};
use foldhash::fast::RandomState;
use std::{collections::HashMap, hash::BuildHasher};

const SHARDS: usize = 16;

/// Accounts, each for as long as anybody holds it: a key of its, or what keeps counts of sliding windows.
pub(super) struct Accounts {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    buffers: Arc<Buffers>,
}

type Shard = HashMap<Arc<Owner>, Weak<Tally>, RandomState>;

impl Accounts {
    pub(super) fn new(buffers: Arc<Buffers>) -> Self {
        Self { shards: Default::default(), hasher: RandomState::default(), buffers }
    }

    fn shard(&self, owner: &Owner) -> Option<&Mutex<Shard>> {
        self.shards.get(usize::try_from(self.hasher.hash_one(owner)).unwrap_or_default() % SHARDS)
    }

    /// The one of this owner.
    pub(super) fn get(&self, owner: &Arc<Owner>) -> Arc<Tally> {
        let make = || Arc::new(Tally::new(Subject::Account(Arc::clone(owner)), Arc::clone(owner), Arc::clone(&self.buffers)));
        let Some(shard) = self.shard(owner) else { return make() };
        let mut accounts = lock(shard);
        if let Some(account) = accounts.get(owner).and_then(Weak::upgrade) {
            return account;
        }
        // Of those that went without having been forgotten.
        if accounts.len() == accounts.capacity() {
            accounts.retain(|_, account| account.strong_count() > 0);
            // Not again before there are twice as many.
            let left = accounts.len();
            accounts.reserve(left.max(16));
        }
        let account = make();
        accounts.insert(Arc::clone(owner), Arc::downgrade(&account));
        account
    }

    /// Frees the place of an account whose last key is about to go, unless somebody else holds it too.
    pub(super) fn forget(&self, account: &Arc<Tally>) {
        if Arc::strong_count(account) > 1 {
            return;
        }
        let Some(shard) = self.shard(&account.owner) else { return };
        let mut accounts = lock(shard);
        // Whoever wants it has to come by here.
        let is_known = accounts.get(&account.owner).is_some_and(|known| known.as_ptr() == Arc::as_ptr(account));
        if is_known && Arc::strong_count(account) == 1 {
            accounts.remove(&account.owner);
        }
    }
}
