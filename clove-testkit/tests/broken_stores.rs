//! The suite itself, proven: each deliberately broken store is caught, by the case that names its fault.

#![allow(clippy::unwrap_used, reason = "tests")]

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use clove_core::{
    Key, KeyId, MemoryStore, OperationId, OrganizationId, Owner, Refusal, Scope, Store, StoreError,
    digest::Digest,
    store::{
        AuditPage, AuditQuery, Candidate, Changes, Decision, ExpiringQuery, Facts, KeyChange, KeyPage, KeyQuery,
        OrganizationRecord, OwnerFacts, Reads, Rehash, Transaction,
    },
};
use clove_testkit::conformance;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    UpsertsOnConflict,
    DecidesOnStaleFacts,
    LosesEvents,
    FoldsCase,
    LeaksForeignKeys,
    PagesByOffset,
    LosesExpiredPlaces,
    ForgetsOperations,
    HidesExpiredRows,
    IgnoresClosedOrganizations,
}

struct Broken {
    inner: MemoryStore,
    fault: Fault,
    offset: Mutex<usize>,
}

fn folded(owner: &Owner) -> Owner {
    Owner::new(owner.organization.as_str().to_lowercase(), owner.account.as_str().to_lowercase()).unwrap()
}

impl Broken {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn scope(&self, scope: &Scope) -> Scope {
        match scope {
            Scope::Owner(owner) if self.is(Fault::FoldsCase) => (&folded(owner)).into(),
            Scope::Owner(owner) if self.is(Fault::LeaksForeignKeys) => (&owner.organization).into(),
            scope => scope.clone(),
        }
    }

    fn reads(&self, reads: &Reads) -> Reads {
        match reads.clone() {
            Reads::Owner { owner, expired_at } if self.is(Fault::FoldsCase) => Reads::Owner { owner: folded(&owner), expired_at },
            Reads::Owner { owner, .. } if self.is(Fault::LosesExpiredPlaces) => Reads::Owner { owner, expired_at: None },
            Reads::Key { scope, id, expired_at } => Reads::Key { scope: self.scope(&scope), id, expired_at },
            reads => reads,
        }
    }

    /// Reads in one transaction, and writes in another what it made of that.
    async fn transact_on_stale_facts(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        let facts = Arc::new(Mutex::new(Facts::default()));
        let seen = Arc::clone(&facts);
        let look = Transaction::new(transaction.operation, transaction.reads.clone(), move |facts| {
            *seen.lock().unwrap() = facts.clone();
            Decision::Refuse(Refusal::NotFound)
        });
        self.inner.transact(Arc::new(look)).await?;
        std::thread::sleep(Duration::from_millis(3));
        let stale = facts.lock().unwrap().clone();
        let write = Transaction::new(transaction.operation, transaction.reads.clone(), move |_| transaction.decide(&stale));
        self.inner.transact(Arc::new(write)).await
    }
}

/// What a broken store writes of what was decided.
fn tamper(fault: Fault, changes: &mut Changes) {
    match fault {
        Fault::LosesEvents => changes.events.clear(),
        Fault::ForgetsOperations => changes.events.iter_mut().for_each(|event| event.operation = OperationId::new(event.at)),
        Fault::IgnoresClosedOrganizations => changes.organization.iter_mut().for_each(|record| record.open = true),
        Fault::FoldsCase => {
            changes.owners.iter_mut().for_each(|record| record.owner = folded(&record.owner));
            for change in &mut changes.keys {
                if let KeyChange::Insert(stored) = change {
                    stored.key.owner = folded(&stored.key.owner);
                }
            }
        }
        _ => {}
    }
}

#[async_trait]
impl Store for Broken {
    async fn find_by_id(&self, id: KeyId) -> Result<Option<Arc<Candidate>>, StoreError> {
        let found = self.inner.find_by_id(id).await?;
        Ok(found.filter(|found| !self.is(Fault::HidesExpiredRows) || found.expires_at.is_none()))
    }
    async fn find_by_digest(&self, digests: &[Digest]) -> Result<Option<Arc<Candidate>>, StoreError> {
        self.inner.find_by_digest(digests).await
    }
    async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        if self.is(Fault::DecidesOnStaleFacts) {
            return self.transact_on_stale_facts(transaction).await;
        }
        let (fault, reads) = (self.fault, self.reads(&transaction.reads));
        let operation =
            if self.is(Fault::ForgetsOperations) { OperationId::new(DateTime::UNIX_EPOCH) } else { transaction.operation };
        let inner = Transaction::new(operation, reads, move |facts| {
            let mut decision = transaction.decide(facts);
            if let Decision::Commit(changes) = &mut decision {
                tamper(fault, changes);
            }
            decision
        });
        match self.inner.transact(Arc::new(inner)).await {
            Err(StoreError::Conflict(_)) if self.is(Fault::UpsertsOnConflict) => Ok(Decision::Commit(Changes::default())),
            result => result,
        }
    }
    async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.inner.get(&self.scope(scope), id).await
    }
    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        let mut query = KeyQuery { scope: self.scope(&query.scope), ..query.clone() };
        if !self.is(Fault::PagesByOffset) {
            return self.inner.list(&query).await;
        }
        let (limit, skip) = (query.limit, if query.before.is_some() { *self.offset.lock().unwrap() } else { 0 });
        (query.before, query.limit) = (None, usize::MAX);
        let all = self.inner.list(&query).await?.keys;
        *self.offset.lock().unwrap() = skip + limit;
        let keys: Vec<Key> = all.iter().skip(skip).take(limit).cloned().collect();
        Ok(KeyPage { more: skip + limit < all.len(), last: keys.last().map(|key| key.id), corrupt: Vec::new(), keys })
    }
    async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
        self.inner.expiring(&ExpiringQuery { scope: self.scope(&query.scope), ..query.clone() }).await
    }
    async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
        let owner = if self.is(Fault::FoldsCase) { folded(owner) } else { owner.clone() };
        self.inner.owner(&owner, now).await
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
}

async fn failures_of(fault: Fault) -> Vec<&'static str> {
    conformance::failures(|| async move { Broken { inner: MemoryStore::new(), fault, offset: Mutex::default() } }).await
}

#[tokio::test]
async fn a_sound_store_passes() {
    assert_eq!(failures_of(Fault::None).await, [""; 0]);
}

macro_rules! caught {
    ($($name:ident: $fault:ident by $($case:literal),+;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let failures = failures_of(Fault::$fault).await;
            for case in [$($case),+] {
                assert!(conformance::names().contains(&case), "there is no case {case}");
                assert!(failures.contains(&case), "{case} is not among {failures:?}");
            }
        }
    )*};
}

caught! {
    an_upserting_insert_is_caught: UpsertsOnConflict by "insert_refuses_an_existing_key_id", "insert_refuses_an_existing_digest";
    a_racy_limit_is_caught: DecidesOnStaleFacts by "racing_creations_stop_at_the_limit";
    a_stale_compare_and_set_is_caught: DecidesOnStaleFacts by "racing_changes_are_never_lost";
    a_kill_lost_to_an_edit_is_caught: DecidesOnStaleFacts by "a_kill_is_not_lost_to_an_edit";
    creation_behind_a_close_is_caught: DecidesOnStaleFacts by "nothing_is_created_behind_a_close";
    a_lost_event_is_caught: LosesEvents by "a_change_and_its_event_are_written_together", "events_outlive_their_key";
    case_folding_is_caught: FoldsCase by "identifiers_compare_by_bytes", "a_foreign_key_is_not_read_by_a_command";
    leaking_foreign_keys_is_caught: LeaksForeignKeys by "a_foreign_key_is_not_read_by_a_command", "lists_stay_within_their_scope";
    paging_by_offset_is_caught: PagesByOffset by "pages_hold_each_key_once_while_others_come_and_go";
    an_expired_place_that_stays_is_caught: LosesExpiredPlaces by "an_expired_place_is_read_and_freed", "expired_places_are_read_exactly";
    a_doubled_operation_is_caught: ForgetsOperations by "an_operation_id_is_replayed", "an_operation_id_is_unique";
    hidden_expired_rows_are_caught: HidesExpiredRows by "a_key_is_found_by_id_and_digest_whatever_its_state";
    a_closed_organization_that_is_ignored_is_caught: IgnoresClosedOrganizations by "a_closed_organization_is_seen_with_the_key";
}
