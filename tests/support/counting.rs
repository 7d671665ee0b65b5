//! A store that counts reads, each for the thread that asks.

use super::{
    AccessEntry, AccessPage, AccessQuery, Arc, AuditPage, AuditQuery, BTreeSet, BudgetQuery, BudgetState, CopyPage, CopyPart,
    CopyPlace, CopyRow, DateTime, Day, Decision, Digest, Duration, Epochs, ExpiringKey, ExpiringQuery, Freshness, Key, KeyId,
    KeyPage, KeyQuery, Lease, Leased, Lookup, NodeId, OrganizationId, OrganizationRecord, Owner, OwnerFacts, Rehash, Reserve,
    Reserved, Scope, SlidingCharge, SlidingCharged, Store, StoreError, Timestamp, Transaction, UnrecognizedCount, Unspent,
    UsageBatch, UsagePage, UsageQuery, Utc,
};
use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

thread_local!(static READS: Cell<u64> = const { Cell::new(0) });
static POLLS: AtomicU64 = AtomicU64::new(0);

/// How many rows this thread has asked for.
pub(crate) fn reads_of_thread() -> u64 {
    READS.get()
}

/// How many polls were answered.
pub(crate) fn polls() -> u64 {
    POLLS.load(Ordering::SeqCst)
}

#[derive(Clone)]
pub(crate) struct Counting<S> {
    inner: S,
}

impl<S: Store + Clone> Counting<S> {
    pub(crate) fn over(inner: S) -> Self {
        Self { inner }
    }
}

#[async_trait::async_trait]
impl<S: Store + Clone> Store for Counting<S> {
    fn freshness(&self) -> Freshness {
        self.inner.freshness()
    }
    async fn epochs(&self, bound: Duration) -> Result<Arc<Epochs>, StoreError> {
        let epochs = self.inner.epochs(bound).await;
        POLLS.fetch_add(1, Ordering::SeqCst);
        epochs
    }
    async fn call_roll(&self) -> Result<u64, StoreError> {
        self.inner.call_roll().await
    }
    async fn answer_roll(&self, node: NodeId, number: u64) -> Result<(), StoreError> {
        self.inner.answer_roll(node, number).await
    }
    async fn dismiss(&self, nodes: &[NodeId], number: u64) -> Result<(), StoreError> {
        self.inner.dismiss(nodes, number).await
    }
    fn find_by_id(&self, id: KeyId) -> Lookup<'_> {
        READS.set(READS.get() + 1);
        self.inner.find_by_id(id)
    }
    fn find_by_digest(&self, digests: &[Digest]) -> Lookup<'_> {
        READS.set(READS.get() + 1);
        self.inner.find_by_digest(digests)
    }
    async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        self.inner.transact(transaction).await
    }
    async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.inner.get(scope, id).await
    }
    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        self.inner.list(query).await
    }
    async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
        self.inner.expiring(query).await
    }
    async fn expiring_soon(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, KeyId)>,
        limit: usize,
    ) -> Result<Vec<ExpiringKey>, StoreError> {
        self.inner.expiring_soon(from, until, after, limit).await
    }
    async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
        self.inner.owner(owner, now).await
    }
    async fn organization(&self, organization: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
        self.inner.organization(organization).await
    }
    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        self.inner.audit(query).await
    }
    async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError> {
        self.inner.peppers_in_use().await
    }
    async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError> {
        self.inner.keys_under_pepper(version, after, limit).await
    }
    async fn rehash(&self, changes: &[Rehash]) -> Result<(), StoreError> {
        self.inner.rehash(changes).await
    }
    async fn touch(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
        self.inner.touch(uses).await
    }
    async fn lease(&self, lease: Arc<Lease>) -> Result<Vec<Leased>, StoreError> {
        self.inner.lease(lease).await
    }
    async fn charge_sliding(&self, charge: Arc<SlidingCharge>) -> Result<SlidingCharged, StoreError> {
        self.inner.charge_sliding(charge).await
    }
    async fn give_back(&self, unspent: &[Unspent]) -> Result<(), StoreError> {
        self.inner.give_back(unspent).await
    }
    async fn forget_counts(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.forget_counts(now, limit).await
    }
    async fn record(&self, batch: Arc<UsageBatch>) -> Result<(), StoreError> {
        self.inner.record(batch).await
    }
    async fn usage(&self, query: &UsageQuery) -> Result<UsagePage, StoreError> {
        self.inner.usage(query).await
    }
    async fn forget_reports(&self, before: Day, limit: usize) -> Result<usize, StoreError> {
        self.inner.forget_reports(before, limit).await
    }
    async fn log_access(&self, entries: Arc<[AccessEntry]>) -> Result<(), StoreError> {
        self.inner.log_access(entries).await
    }
    async fn access_log(&self, query: &AccessQuery) -> Result<AccessPage, StoreError> {
        self.inner.access_log(query).await
    }
    async fn forget_access(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.forget_access(before, limit).await
    }
    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.forget_audit(before, limit).await
    }
    async fn count_unrecognized(&self, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
        self.inner.count_unrecognized(counts).await
    }
    async fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        self.inner.unrecognized(from, until).await
    }
    async fn reserve(&self, reserve: Arc<Reserve>) -> Result<Reserved, StoreError> {
        self.inner.reserve(reserve).await
    }
    async fn budget(&self, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
        self.inner.budget(query).await
    }
    async fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> Result<CopyPage, StoreError> {
        self.inner.export(part, after, limit).await
    }
    async fn import(&self, rows: Arc<[CopyRow]>) -> Result<usize, StoreError> {
        self.inner.import(rows).await
    }
}
