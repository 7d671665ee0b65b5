//! A store with a gate at each point where a caller may be waiting: before a call, while it goes on, and after it.

use chrono::{DateTime, Utc};
use clove::{
    AccessEntry, BudgetState, Key, KeyId, OrganizationId, Owner, Scope, Store, StoreError, Timestamp,
    digest::Digest,
    id::NodeId,
    store::{
        AccessPage, AccessQuery, AuditPage, AuditQuery, BudgetQuery, CopyPage, CopyPart, CopyPlace, CopyRow, Decision, Epochs,
        ExpiringKey, ExpiringQuery, Freshness, KeyPage, KeyQuery, Lease, Leased, Lookup, OrganizationRecord, OwnerFacts, Rehash,
        Reserve, Reserved, SlidingCharge, SlidingCharged, Transaction, UnrecognizedCount, Unspent, UsageBatch, UsagePage,
        UsageQuery,
    },
    usage::Day,
};
use std::{
    collections::BTreeSet,
    future::{Future, pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

/// What happens to a caller at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// It waits, until it is dropped.
    Hang,
    /// The store panics.
    Panic,
}

#[derive(Default)]
struct Watch {
    /// How many points are passed before the interruption.
    left: Option<(usize, Interruption)>,
    reached: bool,
}

/// The store. Clones share everything.
#[derive(Clone)]
pub(crate) struct Gate {
    inner: Arc<dyn Store>,
    watch: Arc<Mutex<Watch>>,
}

impl Gate {
    /// How many points each call has.
    pub(crate) const POINTS: usize = 3;

    pub(crate) fn new(inner: impl Store) -> Self {
        Self { inner: Arc::new(inner), watch: Arc::default() }
    }

    /// Runs `work` until it is interrupted at the point behind the next `skipped`, and drops it there; gives whether it came so
    /// far. The gate is open again after.
    pub(crate) async fn interrupt<T>(&self, skipped: usize, how: Interruption, work: impl Future<Output = T>) -> bool {
        *self.watch.lock().unwrap() = Watch { left: Some((skipped, how)), reached: false };
        let mut work = pin!(work);
        // A point that hangs is noticed by the poll that comes to it: nothing will wake its caller.
        let reached = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Ready(_)) => Poll::Ready(false),
            Ok(Poll::Pending) if !self.watch.lock().unwrap().reached => Poll::Pending,
            Ok(Poll::Pending) | Err(_) => Poll::Ready(true),
        })
        .await;
        *self.watch.lock().unwrap() = Watch::default();
        reached
    }

    fn arrive(&self) -> Option<Interruption> {
        let mut watch = self.watch.lock().unwrap();
        let (left, how) = watch.left?;
        watch.left = left.checked_sub(1).map(|left| (left, how));
        watch.reached = watch.left.is_none();
        watch.reached.then_some(how)
    }

    async fn point(&self) {
        match self.arrive() {
            None => {}
            Some(Interruption::Hang) => pending().await,
            Some(Interruption::Panic) => panic!("a store that panics, on purpose"),
        }
    }

    async fn through<T>(&self, call: impl Future<Output = T>) -> T {
        self.point().await;
        let mut call = pin!(call);
        // Begun: what the inner store does at once is done, and the rest goes on without the caller or not at all.
        if let Poll::Ready(done) = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
            self.point().await;
            self.point().await;
            return done;
        }
        self.point().await;
        let done = call.await;
        self.point().await;
        done
    }
}

#[async_trait::async_trait]
impl Store for Gate {
    fn freshness(&self) -> Freshness {
        Freshness::Polled(Duration::from_millis(100))
    }
    async fn epochs(&self, bound: Duration) -> Result<Arc<Epochs>, StoreError> {
        self.through(self.inner.epochs(bound)).await
    }
    async fn call_roll(&self) -> Result<u64, StoreError> {
        self.through(self.inner.call_roll()).await
    }
    async fn answer_roll(&self, node: NodeId, number: u64) -> Result<(), StoreError> {
        self.through(self.inner.answer_roll(node, number)).await
    }
    async fn dismiss(&self, nodes: &[NodeId], number: u64) -> Result<(), StoreError> {
        self.through(self.inner.dismiss(nodes, number)).await
    }
    fn find_by_id(&self, id: KeyId) -> Lookup<'_> {
        Lookup::waits(self.through(self.inner.find_by_id(id)))
    }
    fn find_by_digest(&self, digests: &[Digest]) -> Lookup<'_> {
        Lookup::waits(self.through(self.inner.find_by_digest(digests)))
    }
    async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        self.through(self.inner.transact(transaction)).await
    }
    async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.through(self.inner.get(scope, id)).await
    }
    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        self.through(self.inner.list(query)).await
    }
    async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
        self.through(self.inner.expiring(query)).await
    }
    async fn expiring_soon(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, KeyId)>,
        limit: usize,
    ) -> Result<Vec<ExpiringKey>, StoreError> {
        self.through(self.inner.expiring_soon(from, until, after, limit)).await
    }
    async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
        self.through(self.inner.owner(owner, now)).await
    }
    async fn organization(&self, organization: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
        self.through(self.inner.organization(organization)).await
    }
    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        self.through(self.inner.audit(query)).await
    }
    async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError> {
        self.through(self.inner.peppers_in_use()).await
    }
    async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError> {
        self.through(self.inner.keys_under_pepper(version, after, limit)).await
    }
    async fn rehash(&self, changes: &[Rehash]) -> Result<(), StoreError> {
        self.through(self.inner.rehash(changes)).await
    }
    async fn touch(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
        self.through(self.inner.touch(uses)).await
    }
    async fn lease(&self, lease: Arc<Lease>) -> Result<Vec<Leased>, StoreError> {
        self.through(self.inner.lease(lease)).await
    }
    async fn charge_sliding(&self, charge: Arc<SlidingCharge>) -> Result<SlidingCharged, StoreError> {
        self.through(self.inner.charge_sliding(charge)).await
    }
    async fn give_back(&self, unspent: &[Unspent]) -> Result<(), StoreError> {
        self.through(self.inner.give_back(unspent)).await
    }
    async fn forget_counts(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.through(self.inner.forget_counts(now, limit)).await
    }
    async fn record(&self, batch: Arc<UsageBatch>) -> Result<(), StoreError> {
        self.through(self.inner.record(batch)).await
    }
    async fn usage(&self, query: &UsageQuery) -> Result<UsagePage, StoreError> {
        self.through(self.inner.usage(query)).await
    }
    async fn forget_reports(&self, before: Day, limit: usize) -> Result<usize, StoreError> {
        self.through(self.inner.forget_reports(before, limit)).await
    }
    async fn reserve(&self, reserve: Arc<Reserve>) -> Result<Reserved, StoreError> {
        self.through(self.inner.reserve(reserve)).await
    }
    async fn budget(&self, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
        self.through(self.inner.budget(query)).await
    }

    async fn log_access(&self, entries: Arc<[AccessEntry]>) -> Result<(), StoreError> {
        self.through(self.inner.log_access(entries)).await
    }
    async fn access_log(&self, query: &AccessQuery) -> Result<AccessPage, StoreError> {
        self.through(self.inner.access_log(query)).await
    }
    async fn forget_access(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.through(self.inner.forget_access(before, limit)).await
    }
    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.through(self.inner.forget_audit(before, limit)).await
    }
    async fn count_unrecognized(&self, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
        self.through(self.inner.count_unrecognized(counts)).await
    }
    async fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        self.through(self.inner.unrecognized(from, until)).await
    }
    async fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> Result<CopyPage, StoreError> {
        self.through(self.inner.export(part, after, limit)).await
    }
    async fn import(&self, rows: Arc<[CopyRow]>) -> Result<usize, StoreError> {
        self.through(self.inner.import(rows)).await
    }
}
