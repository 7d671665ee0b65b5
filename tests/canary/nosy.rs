//! A store that hears all that is given to it and all that it gives, and, if told so, panics with it in its message.

use crate::ear::{Ear, hear};
use chrono::{DateTime, Utc};
use clove::{
    AccessEntry, BudgetState, Key, KeyId, OrganizationId, Owner, Scope, Store, StoreError, Timestamp,
    digest::{Digest, Scheme},
    id::NodeId,
    sqlite::SqliteStore,
    store::{
        AccessPage, AccessQuery, AuditPage, AuditQuery, BudgetQuery, BudgetSums, Candidate, CopyPage, CopyPart, CopyPlace,
        CopyRow, Decision, EpochShard, Epochs, ExpiringKey, ExpiringQuery, Freshness, KeyChange, KeyPage, KeyQuery, Lease,
        Leased, Lookup, Marks, OrganizationRecord, OwnerFacts, Rehash, Reported, Reserve, Reserved, SecretRecord, SlidingCharge,
        SlidingCharged, Transaction, UnrecognizedCount, Unspent, UsageBatch, UsagePage, UsageQuery,
    },
    usage::Day,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What its panics say first.
pub(crate) const MEANT: &str = "the store was given";

#[derive(Clone)]
pub(crate) struct Nosy {
    store: SqliteStore,
    ear: Ear,
    panics: Arc<AtomicBool>,
    kept: Arc<Mutex<BTreeSet<Vec<u8>>>>,
}

impl Nosy {
    pub(crate) fn new(store: SqliteStore, ear: Ear) -> Self {
        Self { store, ear, panics: Arc::default(), kept: Arc::default() }
    }
    pub(crate) fn panic_from_now_on(&self, panics: bool) {
        self.panics.store(panics, Ordering::Relaxed);
    }
    /// Every digest and salt that was ever to be kept, of keys that are gone and of secrets rotated out and hashed anew too.
    pub(crate) fn kept(&self) -> BTreeSet<Vec<u8>> {
        self.kept.lock().unwrap().clone()
    }

    fn keep(&self, digest: Digest, scheme: Scheme) {
        let mut kept = self.kept.lock().unwrap();
        kept.insert(digest.as_bytes().to_vec());
        if let Scheme::Argon2id { salt, cost, .. } = scheme {
            hear!(self.ear, cost);
            kept.insert(salt.to_vec());
        }
        hear!(self.ear, digest, scheme);
    }
    fn secrets<'s>(&self, secrets: impl IntoIterator<Item = &'s SecretRecord>) {
        for secret in secrets {
            hear!(self.ear, *secret);
            self.keep(secret.digest, secret.scheme);
        }
    }
    fn candidate(&self, found: Option<&Arc<Candidate>>) {
        if let Some(found) = found {
            hear!(self.ear, **found, found.secrets);
            found.limits.iter().for_each(|limits| hear!(self.ear, **limits));
            self.secrets(found.secrets.iter());
        }
    }
    /// A row of another store, and what it is made of.
    fn hear_row(&self, row: &CopyRow) {
        let place = row.place();
        hear!(self.ear, *row, row.part(), place);
        place.0.iter().for_each(|value| hear!(self.ear, *value));
        match row {
            CopyRow::Sum(row) => hear!(self.ear, *row),
            CopyRow::Report(row) => hear!(self.ear, *row),
            CopyRow::Recorder(row) => hear!(self.ear, *row),
            CopyRow::Count(row) => hear!(self.ear, *row),
            _ => {}
        }
    }

    fn panic_with(&self, given: &dyn std::fmt::Debug) {
        assert!(!self.panics.load(Ordering::Relaxed), "{MEANT} {given:?}");
    }
}

#[async_trait::async_trait]
impl Store for Nosy {
    fn freshness(&self) -> Freshness {
        let freshness = self.store.freshness();
        hear!(self.ear, freshness);
        freshness
    }
    async fn epochs(&self, bound: Duration) -> Result<Arc<Epochs>, StoreError> {
        let epochs = self.store.epochs(bound).await?;
        hear!(self.ear, *epochs, EpochShard::EVERYONE, Marks::new());
        Ok(epochs)
    }
    async fn call_roll(&self) -> Result<u64, StoreError> {
        self.store.call_roll().await
    }
    async fn answer_roll(&self, node: NodeId, number: u64) -> Result<(), StoreError> {
        hear!(self.ear, node);
        self.store.answer_roll(node, number).await
    }
    async fn dismiss(&self, nodes: &[NodeId], number: u64) -> Result<(), StoreError> {
        self.store.dismiss(nodes, number).await
    }
    fn find_by_id(&self, id: KeyId) -> Lookup<'_> {
        let lookup = self.store.find_by_id(id);
        hear!(self.ear, id, lookup);
        Lookup::waits(async move {
            let found = lookup.await?;
            self.candidate(found.as_ref());
            Ok(found)
        })
    }
    fn find_by_digest(&self, digests: &[Digest]) -> Lookup<'_> {
        self.panic_with(&digests);
        hear!(self.ear, *digests);
        let lookup = self.store.find_by_digest(digests);
        Lookup::waits(async move {
            let found = lookup.await?;
            self.candidate(found.as_ref());
            Ok(found)
        })
    }
    async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        self.panic_with(&transaction);
        hear!(self.ear, *transaction, transaction.reads);
        let (nosy, operation, reads) = (self.clone(), transaction.operation, transaction.reads.clone());
        let decide = move |facts: &clove::store::Facts| {
            hear!(nosy.ear, *facts);
            facts.organization.iter().for_each(|row| hear!(nosy.ear, *row));
            facts.flag.iter().for_each(|flag| hear!(nosy.ear, *flag));
            facts.owners.iter().for_each(|row| hear!(nosy.ear, *row));
            facts.remains.iter().for_each(|row| hear!(nosy.ear, *row));
            for stored in &facts.keys {
                hear!(nosy.ear, *stored);
                nosy.secrets(&stored.secrets);
            }
            let decision = transaction.decide(facts);
            if let Decision::Commit(changes) = &decision {
                hear!(nosy.ear, *changes);
                changes.budget.iter().for_each(|row| hear!(nosy.ear, *row));
                for change in &changes.keys {
                    hear!(nosy.ear, *change);
                    match change {
                        KeyChange::Insert(stored) => nosy.secrets(&stored.secrets),
                        KeyChange::Update { secrets, .. } => nosy.secrets(secrets.iter().flatten()),
                        KeyChange::Stop { .. } | KeyChange::Delete(_) => {}
                    }
                }
            }
            hear!(nosy.ear, decision);
            decision
        };
        self.store.transact(Arc::new(Transaction::new(operation, reads, decide))).await
    }
    async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
        hear!(self.ear, *scope);
        self.store.get(scope, id).await
    }
    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        let page = self.store.list(query).await?;
        hear!(self.ear, *query, query.expiry, page);
        page.last.iter().for_each(|place| hear!(self.ear, *place));
        Ok(page)
    }
    async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
        hear!(self.ear, *query);
        self.store.expiring(query).await
    }
    async fn expiring_soon(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, KeyId)>,
        limit: usize,
    ) -> Result<Vec<ExpiringKey>, StoreError> {
        let keys = self.store.expiring_soon(from, until, after, limit).await?;
        keys.iter().for_each(|key| hear!(self.ear, *key));
        Ok(keys)
    }
    async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
        let facts = self.store.owner(owner, now).await?;
        facts.iter().for_each(|facts| hear!(self.ear, *facts));
        Ok(facts)
    }
    async fn organization(&self, organization: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
        self.store.organization(organization).await
    }
    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let page = self.store.audit(query).await?;
        hear!(self.ear, *query, page);
        Ok(page)
    }
    async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError> {
        self.store.peppers_in_use().await
    }
    async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError> {
        self.store.keys_under_pepper(version, after, limit).await
    }
    async fn rehash(&self, changes: &[Rehash]) -> Result<(), StoreError> {
        self.panic_with(&changes);
        for change in changes {
            hear!(self.ear, *change);
            self.keep(change.new, change.scheme);
        }
        self.store.rehash(changes).await
    }
    async fn touch(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
        self.store.touch(uses).await
    }
    async fn lease(&self, lease: Arc<Lease>) -> Result<Vec<Leased>, StoreError> {
        self.panic_with(&lease);
        hear!(self.ear, *lease, lease.subject, lease.node);
        lease.wants.iter().for_each(|want| hear!(self.ear, *want));
        let leased = self.store.lease(lease).await?;
        leased.iter().for_each(|leased| hear!(self.ear, *leased));
        Ok(leased)
    }
    async fn charge_sliding(&self, charge: Arc<SlidingCharge>) -> Result<SlidingCharged, StoreError> {
        let charged = self.store.charge_sliding(Arc::clone(&charge)).await?;
        charged.windows.iter().for_each(|state| hear!(self.ear, *state));
        hear!(self.ear, *charge, charged);
        Ok(charged)
    }
    async fn give_back(&self, unspent: &[Unspent]) -> Result<(), StoreError> {
        unspent.iter().for_each(|unspent| hear!(self.ear, *unspent));
        self.store.give_back(unspent).await
    }
    async fn forget_counts(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.store.forget_counts(now, limit).await
    }
    async fn record(&self, batch: Arc<UsageBatch>) -> Result<(), StoreError> {
        self.panic_with(&batch);
        hear!(self.ear, *batch);
        batch.requests.iter().for_each(|(meter, _)| hear!(self.ear, *meter));
        batch.reports.iter().for_each(|report| hear!(self.ear, *report));
        self.store.record(batch).await
    }
    async fn usage(&self, query: &UsageQuery) -> Result<UsagePage, StoreError> {
        let page = self.store.usage(query).await?;
        hear!(self.ear, *query, page);
        page.last.iter().for_each(|place| hear!(self.ear, *place));
        Ok(page)
    }
    async fn forget_reports(&self, before: Day, limit: usize) -> Result<usize, StoreError> {
        hear!(self.ear, before);
        self.store.forget_reports(before, limit).await
    }
    async fn reserve(&self, reserve: Arc<Reserve>) -> Result<Reserved, StoreError> {
        self.panic_with(&reserve);
        hear!(self.ear, *reserve);
        reserve.queries().iter().for_each(|query| hear!(self.ear, *query, query.holder));
        let reserved = self.store.reserve(reserve).await?;
        hear!(self.ear, reserved, reserved.outcome, Reported::default(), BudgetSums::default());
        Ok(reserved)
    }
    async fn budget(&self, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
        hear!(self.ear, *query);
        self.store.budget(query).await
    }

    async fn log_access(&self, entries: Arc<[AccessEntry]>) -> Result<(), StoreError> {
        self.panic_with(&entries);
        for entry in &*entries {
            hear!(self.ear, *entry, entry.outcome);
            entry.limit.iter().for_each(|limit| hear!(self.ear, *limit));
            entry.endpoint.iter().for_each(|label| hear!(self.ear, *label));
        }
        self.store.log_access(entries).await
    }
    async fn access_log(&self, query: &AccessQuery) -> Result<AccessPage, StoreError> {
        let page = self.store.access_log(query).await?;
        hear!(self.ear, *query, page);
        Ok(page)
    }
    async fn forget_access(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.store.forget_access(before, limit).await
    }
    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.store.forget_audit(before, limit).await
    }
    async fn count_unrecognized(&self, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
        counts.iter().for_each(|count| hear!(self.ear, *count));
        self.store.count_unrecognized(counts).await
    }
    async fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        self.store.unrecognized(from, until).await
    }
    async fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> Result<CopyPage, StoreError> {
        let page = self.store.export(part, after, limit).await?;
        hear!(self.ear, part, page);
        page.rows.iter().for_each(|row| self.hear_row(row));
        Ok(page)
    }
    async fn import(&self, rows: Arc<[CopyRow]>) -> Result<usize, StoreError> {
        self.panic_with(&rows);
        rows.iter().for_each(|row| self.hear_row(row));
        self.store.import(rows).await
    }
}
