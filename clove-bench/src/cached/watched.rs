//! A store whose calls are counted, and which can keep to itself what a figure is not about.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use clove_core::{
    AccessEntry, BudgetState, Day, Key, KeyId, OrganizationId, Owner, Scope, Store, StoreError, Timestamp,
    digest::Digest,
    id::NodeId,
    store::{
        AccessPage, AccessQuery, AuditPage, AuditQuery, BudgetQuery, CopyPage, CopyPart, CopyPlace, CopyRow, Decision, Epochs,
        ExpiringKey, ExpiringQuery, Freshness, KeyPage, KeyQuery, Lease, Leased, Lookup, OrganizationRecord, OwnerFacts, Rehash,
        Reserve, Reserved, SlidingCharge, SlidingCharged, Transaction, UnrecognizedCount, Unspent, UsageBatch, UsagePage,
        UsageQuery,
    },
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// How often a store was called.
#[derive(Default)]
pub(crate) struct Calls {
    /// Rows that were looked up for a verification.
    pub(crate) finds: AtomicU64,
    /// All else that goes to a store.
    pub(crate) others: AtomicU64,
}

impl Calls {
    pub(crate) fn all(&self) -> u64 {
        self.finds.load(Relaxed) + self.others.load(Relaxed)
    }
}

/// How a store answers what a cached verification leaves to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// As the store itself does.
    ByItself,
    /// At once, on the thread that asks, and keeping nothing: places as they are wanted, and epochs in which nothing changes. For what a
    /// request itself costs, without another thread that writes meanwhile on the same core, for
    /// figures of memory and of instructions, and for as many keys as no disk could take places for.
    AtOnce,
}

/// A store, watched.
pub(crate) struct Watched<S> {
    store: S,
    answers: Answers,
    calls: Arc<Calls>,
    /// Who has answered the roll, where nothing goes to the store.
    nodes: Mutex<Vec<(NodeId, u64)>>,
}

impl<S: Store> Watched<S> {
    pub(crate) fn new(store: S, answers: Answers) -> (Self, Arc<Calls>) {
        let calls = Arc::<Calls>::default();
        (Self { store, answers, calls: Arc::clone(&calls), nodes: Mutex::default() }, calls)
    }

    /// Counts a call. The store, if it is to answer it.
    fn asked(&self) -> Option<&S> {
        self.calls.others.fetch_add(1, Relaxed);
        (self.answers == Answers::ByItself).then_some(&self.store)
    }

    fn other(&self) -> &S {
        self.calls.others.fetch_add(1, Relaxed);
        &self.store
    }

    fn find(&self) -> &S {
        self.calls.finds.fetch_add(1, Relaxed);
        &self.store
    }
}

#[async_trait]
impl<S: Store> Store for Watched<S> {
    fn freshness(&self) -> Freshness {
        match self.answers {
            Answers::ByItself => self.store.freshness(),
            // The longest there is: whoever drives no maintenance polls once.
            Answers::AtOnce => Freshness::Polled(Duration::from_secs(60)),
        }
    }
    async fn epochs(&self, bound: Duration) -> Result<Arc<Epochs>, StoreError> {
        match self.asked() {
            Some(store) => store.epochs(bound).await,
            None => {
                let mut epochs = Epochs::new(bound);
                epochs.nodes.clone_from(&self.nodes.lock().unwrap_or_else(PoisonError::into_inner));
                Ok(Arc::new(epochs))
            }
        }
    }
    async fn call_roll(&self) -> Result<u64, StoreError> {
        self.other().call_roll().await
    }
    async fn answer_roll(&self, node: NodeId, number: u64) -> Result<(), StoreError> {
        match self.asked() {
            Some(store) => store.answer_roll(node, number).await,
            None => {
                self.nodes.lock().unwrap_or_else(PoisonError::into_inner).push((node, number));
                Ok(())
            }
        }
    }
    async fn dismiss(&self, nodes: &[NodeId], number: u64) -> Result<(), StoreError> {
        self.other().dismiss(nodes, number).await
    }
    fn find_by_id(&self, id: KeyId) -> Lookup<'_> {
        self.find().find_by_id(id)
    }
    fn find_by_digest(&self, digests: &[Digest]) -> Lookup<'_> {
        self.find().find_by_digest(digests)
    }
    async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        self.other().transact(transaction).await
    }
    async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.other().get(scope, id).await
    }
    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        self.other().list(query).await
    }
    async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
        self.other().expiring(query).await
    }
    async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
        self.other().owner(owner, now).await
    }
    async fn organization(&self, organization: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
        self.other().organization(organization).await
    }
    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        self.other().audit(query).await
    }
    async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError> {
        self.other().peppers_in_use().await
    }
    async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError> {
        self.other().keys_under_pepper(version, after, limit).await
    }
    async fn rehash(&self, changes: &[Rehash]) -> Result<(), StoreError> {
        match self.asked() {
            Some(store) => store.rehash(changes).await,
            None => Ok(()),
        }
    }
    async fn touch(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
        match self.asked() {
            Some(store) => store.touch(uses).await,
            None => Ok(()),
        }
    }
    async fn lease(&self, lease: Arc<Lease>) -> Result<Vec<Leased>, StoreError> {
        if let Some(store) = self.asked() {
            return store.lease(lease).await;
        }
        let take = |taken| Leased { taken, charged: taken };
        Ok(lease.wants.iter().map(|want| take(want.take(0, 1))).collect())
    }
    async fn charge_sliding(&self, charge: Arc<SlidingCharge>) -> Result<SlidingCharged, StoreError> {
        self.other().charge_sliding(charge).await
    }
    async fn give_back(&self, unspent: &[Unspent]) -> Result<(), StoreError> {
        match self.asked() {
            Some(store) => store.give_back(unspent).await,
            None => Ok(()),
        }
    }
    async fn forget_counts(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        match self.asked() {
            Some(store) => store.forget_counts(now, limit).await,
            None => Ok(0),
        }
    }
    async fn expiring_soon(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, KeyId)>,
        limit: usize,
    ) -> Result<Vec<ExpiringKey>, StoreError> {
        self.other().expiring_soon(from, until, after, limit).await
    }
    async fn record(&self, batch: Arc<UsageBatch>) -> Result<(), StoreError> {
        match self.asked() {
            Some(store) => store.record(batch).await,
            None => Ok(()),
        }
    }
    async fn usage(&self, query: &UsageQuery) -> Result<UsagePage, StoreError> {
        self.other().usage(query).await
    }
    async fn forget_reports(&self, before: Day, limit: usize) -> Result<usize, StoreError> {
        match self.asked() {
            Some(store) => store.forget_reports(before, limit).await,
            None => Ok(0),
        }
    }
    async fn reserve(&self, reserve: Arc<Reserve>) -> Result<Reserved, StoreError> {
        self.other().reserve(reserve).await
    }
    async fn budget(&self, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
        self.other().budget(query).await
    }
    async fn log_access(&self, entries: Arc<[AccessEntry]>) -> Result<(), StoreError> {
        match self.asked() {
            Some(store) => store.log_access(entries).await,
            None => Ok(()),
        }
    }
    async fn access_log(&self, query: &AccessQuery) -> Result<AccessPage, StoreError> {
        self.other().access_log(query).await
    }
    async fn forget_access(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        match self.asked() {
            Some(store) => store.forget_access(before, limit).await,
            None => Ok(0),
        }
    }
    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        match self.asked() {
            Some(store) => store.forget_audit(before, limit).await,
            None => Ok(0),
        }
    }
    async fn count_unrecognized(&self, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
        match self.asked() {
            Some(store) => store.count_unrecognized(counts).await,
            None => Ok(()),
        }
    }
    async fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        self.other().unrecognized(from, until).await
    }
    async fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> Result<CopyPage, StoreError> {
        self.other().export(part, after, limit).await
    }
    async fn import(&self, rows: Arc<[CopyRow]>) -> Result<usize, StoreError> {
        self.other().import(rows).await
    }
}
