//! Stores broken on purpose: a memory store, and in front of it one fault.

mod access;
mod budgets;
mod copies;
mod crowd;
mod usage;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use clove_core::{
    AccessEntry, BudgetState, GrantId, Key, KeyId, KeyState, MemoryStore, Metadata, OperationId, OrganizationId, Owner, Refusal,
    Scope, Store, StoreError, Timestamp, Window,
    audit::Arguments,
    digest::{Digest, Scheme},
    error::Unique,
    id::NodeId,
    store::{
        AccessPage, AccessQuery, AuditPage, AuditQuery, BudgetQuery, COUNT_LIFETIME_MICROS, Candidate, Changes, CopyPage,
        CopyPart, CopyPlace, CopyRow, Decision, EpochShard, Epochs, ExpiringKey, ExpiringQuery, ExpiryFilter, Facts, Freshness,
        KeyChange, KeyPage, KeyQuery, Lease, Leased, Lookup, OrganizationRecord, OwnerFacts, OwnerRecord, Place, Reads, Rehash,
        Reserve, Reserved, SecretRecord, SlidingCharge, SlidingCharged, Transaction, UnrecognizedCount, Unspent, UsageBatch,
        UsagePage, UsageQuery, Want,
    },
    usage::Day,
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

/// What is wrong with a store.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    Upserts,
    RacesAtTheLimit,
    RacesRevisions,
    LosesKillsToEdits,
    CreatesBehindAClose,
    LosesEvents,
    WritesInHalves,
    ForgetsOperations,
    ForgetsArguments,
    OpensOwners,
    FoldsCase,
    LeaksForeignKeys,
    LeaksTheTrail,
    PagesByOffset,
    ForgetsPlaces,
    SaysMoreOnFullPages,
    LosesExpiredPlaces,
    ReadsExpiredUnasked,
    IgnoresStatesOfBatches,
    BeginsBatchesAnew,
    CountsTheKeyItself,
    MissesFlagsOfBatches,
    HidesExpiredRows,
    IgnoresClosedOrganizations,
    AnswersFromCache,
    KeepsOneSecret,
    CutsToMilliseconds,
    TidiesMetadata,
    SaltsSlowDigests,
    TakesSlowForFast,
    LooksUpOneDigest,
    RehashesBlindly,
    LeavesRowsOfRefusals,
    ForgetsRevisions,
    CountsInFloats,
    IgnoresDeletes,
    MovesLastUseBack,
    KeepsPeppersInAByte,
    MissesTheEdge,
    LeasesOneTooMany,
    SlidesInSteps,
    ChargesSlidingOneByOne,
    RacesForSliding,
    RacesForPlaces,
    NamesWindowsByLength,
    CountsOneProcess,
    KeepsPlaces,
    ForgetsCountsWithTheirWindow,
    AddsRefusals,
    AddsTotalsUp,
    CountsBatchesAgain,
    CountsOneProcessesRefusals,
    CountsUsageInFloats,
    CutsEntries,
    DoublesEntries,
    FixesWindows,
    ForgetsAllBatches,
    ForgetsNoAudit,
    ForgetsReportsADayEarly,
    ForgetsReportsBeyondTheLimit,
    ForgetsSumsWithTheirKey,
    ForgetsOneSlice,
    ForgetsOneSliceOfTheTrail,
    ForgetsTheNewest,
    ForgetsWithoutEnd,
    IgnoresKeysOfUsage,
    IgnoresUnits,
    KeepsALedgerAProcess,
    KeepsALedgerOfGrantsAlone,
    KeepsReports,
    KnowsOneProcess,
    LeaksTheLog,
    LeaksUsage,
    LogsInHalves,
    LosesTheLastDay,
    MissesTheLogsEdge,
    MovesEpochsForNothing,
    MovesNoEpoch,
    PagesUsageAnew,
    PromisesMoreUsage,
    RacesBatches,
    SharesNoWindows,
    TellsItsOwnBound,
    TellsOldEpochs,
    RepeatsCalls,
    KeepsCallsToItself,
    TellsCallsTooEarly,
    LosesAnswers,
    LowersAnswers,
    DismissesWhoHasAnswered,
    DismissesOthers,
    DismissesNobody,
    ForgetsTheFirstBound,
    NotesWhatIsNoBound,
    TellsTheOrganizationToOwners,
    WrapsSums,
    NoticesOneOrganization,
    NoticesAnew,
    ReservesTwice,
    RacesForBudgets,
    ReservesInHalves,
    ReservesForAsking,
    KeepsWhatIsSettled,
    ForgetsSettlements,
    MistakesWeeks,
    IgnoresOwnBudgets,
    ExportsAnew,
    ExportsCurrentSecretsAlone,
    ExportsSettledSums,
    ImportsOverRows,
    ImportsOnce,
    ImportsInHalves,
    ImportsUnnoticed,
    ImportsAfterALook,
    ImportsNoRecorders,
    ImportsNewOperations,
    AnswersOneWaiter,
    LosesWhoWaitsAlong,
}

impl Fault {
    /// Whether part of what a decision sees is from before its transaction.
    fn is_stale(self) -> bool {
        matches!(self, Self::RacesAtTheLimit | Self::RacesRevisions | Self::LosesKillsToEdits | Self::CreatesBehindAClose)
    }

    /// Puts what was read too early among the facts.
    fn age(self, facts: &mut Facts, stale: &Facts) {
        match self {
            Self::RacesRevisions => facts.keys.clone_from(&stale.keys),
            Self::LosesKillsToEdits => {
                for (now, then) in facts.keys.iter_mut().zip(&stale.keys) {
                    now.key.state = then.key.state;
                }
            }
            Self::RacesAtTheLimit => match stale.owners.first() {
                Some(then) => facts.owners.iter_mut().for_each(|now| now.held = then.held),
                None => facts.owners.iter_mut().for_each(|now| now.held = 0),
            },
            Self::CreatesBehindAClose => {
                let open = stale.owners.first().is_none_or(|then| then.open);
                facts.owners.iter_mut().for_each(|now| now.open = open);
                let open = stale.organization.as_ref().is_none_or(|then| then.open);
                facts.organization.iter_mut().for_each(|now| now.open = open);
            }
            _ => {}
        }
    }

    /// Writes rows as a careful statement would (`held = held + 1`, other columns untouched): the fault is the decision's.
    fn settle(self, changes: &mut Changes, seen: &Facts, facts: &Facts) {
        for (written, (seen, fresh)) in changes.owners.iter_mut().zip(seen.owners.iter().zip(&facts.owners)) {
            written.held = (fresh.held + written.held).saturating_sub(seen.held);
            written.open = if written.open == seen.open { fresh.open } else { written.open };
        }
        if let (Some(written), Some(seen), Some(fresh)) = (&mut changes.organization, &seen.organization, &facts.organization) {
            written.open = if written.open == seen.open { fresh.open } else { written.open };
        }
    }

    /// What is written of what was decided.
    fn tamper(self, changes: &mut Changes) {
        match self {
            Self::LosesEvents | Self::WritesInHalves => changes.events.clear(),
            Self::ForgetsOperations => changes.events.iter_mut().for_each(|event| event.operation = OperationId::new(event.at)),
            Self::IgnoresOwnBudgets => changes.budget = None,
            Self::MovesNoEpoch => changes.outdates.clear(),
            Self::MovesEpochsForNothing => changes.outdates.extend([EpochShard::EVERYONE]),
            Self::OpensOwners => changes.owner_flag.iter_mut().for_each(|(_, open)| *open = true),
            Self::ForgetsArguments => changes.events.iter_mut().for_each(|event| event.arguments = Arguments::default()),
            Self::IgnoresClosedOrganizations => changes.organization.iter_mut().for_each(|record| record.open = true),
            Self::FoldsCase => changes.owners.iter_mut().for_each(|record| record.owner = folded(&record.owner)),
            _ => {}
        }
        if self == Self::IgnoresDeletes {
            changes.keys.retain(|change| !matches!(change, KeyChange::Delete(_)));
        }
        for change in &mut changes.keys {
            let (key, secrets) = match change {
                KeyChange::Insert(stored) => (&mut stored.key, Some(&mut stored.secrets)),
                KeyChange::Update { key, secrets } => (key, secrets.as_mut()),
                KeyChange::Stop { revision, .. } => {
                    *revision = if self == Self::ForgetsRevisions { 1 } else { *revision };
                    continue;
                }
                KeyChange::Delete(_) => continue,
            };
            match (self, secrets) {
                (Self::FoldsCase, _) => key.owner = folded(&key.owner),
                (Self::KeepsOneSecret, Some(secrets)) => secrets.truncate(1),
                (Self::SaltsSlowDigests, Some(secrets)) => secrets.iter_mut().filter(|secret| !secret.is_fast()).for_each(salt),
                (Self::TakesSlowForFast, Some(secrets)) => secrets.iter_mut().for_each(|secret| secret.scheme = Scheme::Sha256),
                (Self::ForgetsRevisions, _) => key.revision = 1,
                (Self::CountsInFloats, _) => key.revision = key.revision as f64 as u64,
                (Self::CutsToMilliseconds, _) => {
                    key.expires_at = key.expires_at.and_then(|at| DateTime::from_timestamp_millis(at.timestamp_millis()));
                }
                (Self::TidiesMetadata, _) => {
                    key.metadata = Metadata::from_stored(key.metadata.as_str().replace(' ', "")).unwrap();
                }
                _ => {}
            }
        }
    }
}

fn folded(owner: &Owner) -> Owner {
    Owner::new(owner.organization.as_str().to_lowercase(), owner.account.as_str().to_lowercase()).unwrap()
}

fn empty_row(owner: &Owner) -> OwnerRecord {
    OwnerRecord::new(owner.clone())
}

fn salt(secret: &mut SecretRecord) {
    let mut bytes = *secret.digest.as_bytes();
    bytes[0] ^= 1;
    secret.digest = Digest::from_bytes(bytes);
}

/// A memory store behind a fault.
pub(crate) struct Broken {
    inner: MemoryStore,
    fault: Fault,
    offset: Mutex<usize>,
    cache: Mutex<HashMap<KeyId, Arc<Candidate>>>,
    uses: Mutex<HashMap<KeyId, DateTime<Utc>>>,
    epochs: Mutex<Option<Arc<Epochs>>>,
    usage: usage::Mistakes,
    budgets: budgets::Mistakes,
    crowd: crowd::Mistakes,
    logged: Mutex<HashSet<GrantId>>,
    refusals: Mutex<HashMap<(NodeId, Timestamp), u64>>,
}

impl Broken {
    pub(crate) fn new(fault: Fault) -> Self {
        let (offset, cache, uses, epochs, usage, budgets, crowd, logged, refusals) = Default::default();
        Self { inner: MemoryStore::new(), fault, offset, cache, uses, epochs, usage, budgets, crowd, logged, refusals }
    }

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
            Reads::Owner { owner, .. } if self.is(Fault::ReadsExpiredUnasked) => {
                Reads::Owner { owner, expired_at: Some(DateTime::<Utc>::MAX_UTC) }
            }
            Reads::Key { scope, id, .. } if self.is(Fault::LosesExpiredPlaces) => Reads::Key { scope, id, expired_at: None },
            Reads::Remains { scope, id } => Reads::Remains { scope: self.scope(&scope), id },
            Reads::Flag(scope) => Reads::Flag(self.scope(&scope)),
            Reads::Key { scope, id, expired_at } => Reads::Key { scope: self.scope(&scope), id, expired_at },
            Reads::Batch { scope, after, limit, .. } if self.is(Fault::IgnoresStatesOfBatches) => {
                Reads::Batch { scope, states: KeyState::ALL.to_vec(), after, limit }
            }
            Reads::Batch { scope, states, limit, .. } if self.is(Fault::BeginsBatchesAnew) => {
                Reads::Batch { scope, states, after: None, limit }
            }
            reads => reads,
        }
    }

    /// Reads in a transaction of its own, too early.
    async fn look(&self, transaction: &Transaction) -> Result<Facts, StoreError> {
        let facts = Arc::new(Mutex::new(Facts::default()));
        let seen = Arc::clone(&facts);
        let look = Transaction::new(transaction.operation, transaction.reads.clone(), move |facts| {
            *seen.lock().unwrap() = facts.clone();
            Decision::Refuse(Refusal::NotFound)
        });
        self.inner.transact(Arc::new(look)).await?;
        std::thread::sleep(Duration::from_millis(3));
        let seen = facts.lock().unwrap().clone();
        Ok(seen)
    }

    /// Writes what nobody decided.
    async fn commit(&self, changes: Changes) -> Result<(), StoreError> {
        let reads = Reads::Flag((&OrganizationId::new("none").unwrap()).into());
        let write = Transaction::new(OperationId::new(DateTime::UNIX_EPOCH), reads, move |_| Decision::Commit(changes.clone()));
        self.inner.transact(Arc::new(write)).await.map(|_| ())
    }

    /// Inserts again, after what stood in the way is gone.
    async fn overwrite(&self, unique: Unique, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        let facts = self.look(&transaction).await?;
        let mut gone = Vec::new();
        if let Decision::Commit(changes) = transaction.decide(&facts) {
            for change in &changes.keys {
                let KeyChange::Insert(stored) = change else { continue };
                gone.push(stored.key.id);
                for secret in &stored.secrets {
                    gone.extend(self.inner.find_by_digest(&[secret.digest]).await?.map(|found| found.id));
                }
            }
        }
        if !matches!(unique, Unique::KeyId | Unique::Digest) || gone.is_empty() {
            return Err(StoreError::Conflict(unique));
        }
        let again = Transaction::new(transaction.operation, transaction.reads.clone(), move |facts| {
            let mut decision = transaction.decide(facts);
            if let Decision::Commit(changes) = &mut decision {
                changes.keys.splice(..0, gone.iter().copied().map(KeyChange::Delete));
            }
            decision
        });
        self.inner.transact(Arc::new(again)).await
    }
}

#[async_trait]
impl Store for Broken {
    fn freshness(&self) -> Freshness {
        Freshness::Polled(Duration::from_millis(100))
    }
    async fn epochs(&self, bound: Duration) -> Result<Arc<Epochs>, StoreError> {
        let hour = Duration::from_secs(3_600);
        let mut now = self.inner.epochs(if self.is(Fault::NotesWhatIsNoBound) { bound.min(hour) } else { bound }).await?;
        let told = Arc::make_mut(&mut now);
        match self.fault {
            Fault::TellsItsOwnBound => told.bound = bound,
            Fault::ForgetsTheFirstBound => told.longest = told.bound,
            Fault::KeepsCallsToItself => told.roll = 0,
            Fault::TellsCallsTooEarly => {
                std::thread::sleep(Duration::from_micros(100));
                told.roll = self.inner.epochs(Duration::MAX).await?.roll;
            }
            _ => {}
        }
        let mut first = self.epochs.lock().unwrap();
        let first = first.get_or_insert_with(|| Arc::clone(&now));
        Ok(if self.is(Fault::TellsOldEpochs) { Arc::clone(first) } else { now })
    }
    async fn call_roll(&self) -> Result<u64, StoreError> {
        match self.inner.epochs(Duration::MAX).await?.roll {
            last if last > 0 && self.is(Fault::RepeatsCalls) => Ok(last),
            _ => self.inner.call_roll().await,
        }
    }
    async fn answer_roll(&self, node: NodeId, number: u64) -> Result<(), StoreError> {
        if self.is(Fault::LowersAnswers) {
            self.inner.dismiss(&[node], u64::MAX).await?;
        }
        if self.is(Fault::LosesAnswers) { Ok(()) } else { self.inner.answer_roll(node, number).await }
    }
    async fn dismiss(&self, nodes: &[NodeId], number: u64) -> Result<(), StoreError> {
        let all: Vec<NodeId> = self.inner.epochs(Duration::MAX).await?.nodes.iter().map(|(node, _)| *node).collect();
        match self.fault {
            Fault::DismissesWhoHasAnswered => self.inner.dismiss(nodes, u64::MAX).await,
            Fault::DismissesOthers => self.inner.dismiss(&all, number).await,
            Fault::DismissesNobody => Ok(()),
            _ => self.inner.dismiss(nodes, number).await,
        }
    }
    fn find_by_id(&self, id: KeyId) -> Lookup<'_> {
        Lookup::waits(async move {
            let found = self.crowd.find_by_id(self.fault, &self.inner, id).await?;
            if let (true, Some(found)) = (self.is(Fault::AnswersFromCache), &found) {
                return Ok(Some(Arc::clone(self.cache.lock().unwrap().entry(id).or_insert_with(|| Arc::clone(found)))));
            }
            Ok(found.filter(|found| !self.is(Fault::HidesExpiredRows) || found.expires_at.is_none()))
        })
    }
    fn find_by_digest(&self, digests: &[Digest]) -> Lookup<'_> {
        let most = if self.is(Fault::LooksUpOneDigest) { 1 } else { 4 };
        self.inner.find_by_digest(&digests[..digests.len().min(most)])
    }
    async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        let (fault, reads) = (self.fault, self.reads(&transaction.reads));
        let operation =
            if self.is(Fault::ForgetsOperations) { OperationId::new(DateTime::UNIX_EPOCH) } else { transaction.operation };
        let stale = if fault.is_stale() { Some(self.look(&transaction).await?) } else { None };
        let events = Arc::new(Mutex::new(Vec::new()));
        let (decided, later) = (Arc::clone(&transaction), Arc::clone(&events));
        let inner = Transaction::new(operation, reads, move |facts| {
            let mut seen = facts.clone();
            if fault == Fault::MissesFlagsOfBatches && matches!(decided.reads, Reads::Batch { .. }) {
                seen.flag = None;
            }
            if let (Fault::CountsTheKeyItself, Some(remains)) = (fault, &mut seen.remains) {
                remains.others += 1;
                remains.others_held += u32::from(remains.state == Some(KeyState::Active));
            }
            stale.iter().for_each(|stale| fault.age(&mut seen, stale));
            let mut decision = decided.decide(&seen);
            if let Decision::Commit(changes) = &mut decision {
                if stale.is_some() {
                    fault.settle(changes, &seen, facts);
                }
                later.lock().unwrap().clone_from(&changes.events);
                fault.tamper(changes);
            }
            decision
        });
        let result = self.inner.transact(Arc::new(inner)).await;
        match result {
            Err(StoreError::Conflict(unique)) if self.is(Fault::Upserts) => self.overwrite(unique, transaction).await,
            Ok(Decision::Commit(_)) if self.is(Fault::WritesInHalves) => {
                let events = std::mem::take(&mut *events.lock().unwrap());
                let changes = Changes { events, ..Changes::default() };
                let second = Transaction::new(operation, transaction.reads.clone(), move |_| Decision::Commit(changes.clone()));
                self.inner.transact(Arc::new(second)).await
            }
            Ok(Decision::Refuse(_)) if self.is(Fault::LeavesRowsOfRefusals) => {
                if let Reads::Owner { owner, .. } = &transaction.reads {
                    self.commit(Changes { owners: vec![empty_row(owner)], ..Changes::default() }).await?;
                }
                result
            }
            result => result,
        }
    }
    async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
        let mut found = self.inner.get(&self.scope(scope), id).await?;
        if let (Some(key), Some(at)) = (&mut found, self.uses.lock().unwrap().get(&id)) {
            key.last_used_at = Some(*at);
        }
        Ok(found)
    }
    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        let expiry = match query.expiry {
            ExpiryFilter::PassedAt(now) if self.is(Fault::MissesTheEdge) => {
                ExpiryFilter::PassedAt(now - TimeDelta::microseconds(1))
            }
            expiry => expiry,
        };
        let mut query = KeyQuery { scope: self.scope(&query.scope), expiry, ..query.clone() };
        if !self.is(Fault::PagesByOffset) {
            let page = self.inner.list(&query).await?;
            let full = self.is(Fault::SaysMoreOnFullPages) && page.keys.len() == query.limit;
            return Ok(KeyPage { more: page.more || full, ..page });
        }
        let (limit, skip) = (query.limit, if query.before.is_some() { *self.offset.lock().unwrap() } else { 0 });
        (query.before, query.limit) = (None, usize::MAX);
        let all = self.inner.list(&query).await?.keys;
        *self.offset.lock().unwrap() = skip + limit;
        let keys: Vec<Key> = all.iter().skip(skip).take(limit).cloned().collect();
        Ok(KeyPage { more: skip + limit < all.len(), last: keys.last().map(Place::of), corrupt: Vec::new(), keys })
    }
    async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
        let mut page = self.inner.expiring(&ExpiringQuery { scope: self.scope(&query.scope), ..query.clone() }).await?;
        if self.is(Fault::ForgetsPlaces) {
            page.last.iter_mut().for_each(|place| place.expires_at = None);
        }
        Ok(page)
    }
    async fn expiring_soon(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, KeyId)>,
        limit: usize,
    ) -> Result<Vec<ExpiringKey>, StoreError> {
        let after = after.filter(|_| !self.is(Fault::NoticesAnew));
        let mut keys = self.inner.expiring_soon(from, until, after, limit).await?;
        if self.is(Fault::NoticesOneOrganization) {
            keys.retain(|key| key.owner.organization.as_str() == "acme");
        }
        Ok(keys)
    }
    async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
        let owner = if self.is(Fault::FoldsCase) { folded(owner) } else { owner.clone() };
        self.inner.owner(&owner, now).await
    }
    async fn organization(&self, organization: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
        self.inner.organization(organization).await
    }
    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        if self.is(Fault::LeaksTheTrail) {
            return self.inner.audit(&AuditQuery { scope: query.scope.organization().into(), ..query.clone() }).await;
        }
        self.inner.audit(query).await
    }
    async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError> {
        let peppers = self.inner.peppers_in_use().await?;
        Ok(peppers
            .into_iter()
            .map(|version| if self.is(Fault::KeepsPeppersInAByte) { version & 0xff } else { version })
            .collect())
    }
    async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError> {
        self.inner.keys_under_pepper(version, after, limit).await
    }
    async fn rehash(&self, changes: &[Rehash]) -> Result<(), StoreError> {
        if !self.is(Fault::RehashesBlindly) {
            return self.inner.rehash(changes).await;
        }
        for change in changes {
            if let Some(holder) = self.inner.find_by_digest(&[change.new]).await? {
                self.commit(Changes { keys: vec![KeyChange::Delete(holder.id)], ..Changes::default() }).await?;
            }
            if let Some(found) = self.inner.find_by_id(change.key).await? {
                self.inner.rehash(&[Rehash { old: found.secrets.to_vec()[0].digest, ..change.clone() }]).await?;
            }
        }
        Ok(())
    }
    async fn touch(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
        if self.is(Fault::MovesLastUseBack) {
            self.uses.lock().unwrap().extend(uses.iter().copied());
        }
        self.inner.touch(uses).await
    }
    async fn lease(&self, lease: Arc<Lease>) -> Result<Vec<Leased>, StoreError> {
        let mut lease = (*lease).clone();
        if self.is(Fault::LeasesOneTooMany) {
            lease.wants.iter_mut().for_each(|want| {
                want.window = Window::new(want.window.count() + 1, Duration::from_secs(want.window.seconds().into())).unwrap();
            });
        }
        if self.is(Fault::NamesWindowsByLength) {
            lease.wants.iter_mut().for_each(|want| want.start = DateTime::UNIX_EPOCH.into());
        }
        if self.is(Fault::CountsOneProcess) {
            lease.node = usage::one_node();
        }
        if self.is(Fault::RacesForPlaces) {
            // What is charged is read first, and taken later whatever has become of it.
            let asked =
                Lease { wants: lease.wants.iter().map(|want| Want { least: 0, wanted: 0, ..*want }).collect(), ..lease.clone() };
            let seen = self.inner.lease(Arc::new(asked)).await?;
            std::thread::sleep(Duration::from_millis(1));
            for (want, seen) in lease.wants.iter_mut().zip(seen) {
                let room = clove_core::limit::MAX_COUNT - want.window.count();
                if want.take(seen.charged, 1) > 0 {
                    let length = Duration::from_secs(want.window.seconds().into());
                    want.window = Window::new(want.window.count() + room.min(99), length).unwrap();
                }
            }
        }
        self.inner.lease(Arc::new(lease)).await
    }
    async fn charge_sliding(&self, charge: Arc<SlidingCharge>) -> Result<SlidingCharged, StoreError> {
        if self.is(Fault::SlidesInSteps) {
            let minute = charge.at.as_micros() - charge.at.as_micros().rem_euclid(60_000_000);
            let at = Timestamp::from_micros(minute).unwrap();
            return self.inner.charge_sliding(Arc::new(SlidingCharge { at, ..(*charge).clone() })).await;
        }
        if self.is(Fault::ChargesSlidingOneByOne) {
            let mut all = SlidingCharged { is_charged: true, windows: Vec::new() };
            for window in &charge.windows {
                let one = SlidingCharge { windows: vec![window.clone()], ..(*charge).clone() };
                let charged = self.inner.charge_sliding(Arc::new(one)).await?;
                all.is_charged &= charged.is_charged;
                all.windows.extend(charged.windows);
            }
            return Ok(all);
        }
        if self.is(Fault::RacesForSliding) && charge.charges {
            let asked = self.inner.charge_sliding(Arc::new(SlidingCharge { charges: false, ..(*charge).clone() })).await?;
            std::thread::sleep(Duration::from_millis(1));
            if asked.windows.iter().all(|state| !state.lacks) {
                let most = |window: Window| Window::sliding_shared(10_000, Duration::from_secs(window.seconds().into())).unwrap();
                let windows = charge.windows.iter().map(|(subject, window)| (subject.clone(), most(*window))).collect();
                return self.inner.charge_sliding(Arc::new(SlidingCharge { windows, ..(*charge).clone() })).await;
            }
            return Ok(asked);
        }
        self.inner.charge_sliding(charge).await
    }
    async fn give_back(&self, unspent: &[Unspent]) -> Result<(), StoreError> {
        if self.is(Fault::KeepsPlaces) {
            return Ok(());
        }
        self.inner.give_back(unspent).await
    }
    async fn forget_counts(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let day = if self.is(Fault::ForgetsCountsWithTheirWindow) { COUNT_LIFETIME_MICROS } else { 0 };
        self.inner.forget_counts(Timestamp::from_micros(now.as_micros() + day).unwrap(), limit).await
    }
    async fn record(&self, batch: Arc<UsageBatch>) -> Result<(), StoreError> {
        let batch = self.usage.tamper(self.fault, &batch);
        if let Some(batch) = batch { self.inner.record(Arc::new(batch)).await } else { Ok(()) }
    }
    async fn usage(&self, query: &UsageQuery) -> Result<UsagePage, StoreError> {
        let query = usage::mistaken(self.fault, query);
        let mut page = self.inner.usage(&query).await?;
        usage::spoil(self.fault, &query, &mut page);
        if self.is(Fault::ForgetsSumsWithTheirKey) {
            let mut left = Vec::new();
            for sum in page.sums {
                let gone = match sum.key {
                    Some(key) => self.inner.get(&query.scope, key).await?.is_none(),
                    None => false,
                };
                left.extend(Some(sum).filter(|_| !gone));
            }
            page.sums = left;
        }
        Ok(page)
    }
    async fn forget_reports(&self, before: Day, limit: usize) -> Result<usize, StoreError> {
        let (before, most) = self.usage.forgets(self.fault, before, limit);
        self.inner.forget_reports(before, most).await.map(|forgotten| forgotten.min(limit))
    }
    async fn reserve(&self, reserve: Arc<Reserve>) -> Result<Reserved, StoreError> {
        self.budgets.reserve(self.fault, &self.inner, &reserve).await
    }
    async fn budget(&self, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
        self.inner.budget(&budgets::mistaken(self.fault, query)).await
    }

    async fn log_access(&self, entries: Arc<[AccessEntry]>) -> Result<(), StoreError> {
        let mut entries = entries.to_vec();
        for entry in &mut entries {
            access::spoil(self.fault, entry);
            if self.is(Fault::DoublesEntries) && !self.logged.lock().unwrap().insert(entry.id) {
                entry.id = GrantId::new(entry.at);
            }
        }
        if self.is(Fault::LogsInHalves) {
            let rest = entries.split_off(entries.len() / 2);
            self.inner.log_access(entries.into()).await?;
            tokio::task::yield_now().await;
            return self.inner.log_access(rest.into()).await;
        }
        self.inner.log_access(entries.into()).await
    }
    async fn access_log(&self, query: &AccessQuery) -> Result<AccessPage, StoreError> {
        let mut query = query.clone();
        if self.is(Fault::LeaksTheLog) {
            query.scope = query.scope.organization().into();
        }
        if self.is(Fault::MissesTheLogsEdge) {
            query.from = query.from.map(|from| from + TimeDelta::microseconds(1));
        }
        self.inner.access_log(&query).await
    }
    async fn forget_access(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let before = if self.is(Fault::ForgetsTheNewest) { DateTime::<Utc>::MAX_UTC.into() } else { before };
        let limit = if self.is(Fault::ForgetsWithoutEnd) { usize::MAX } else { limit };
        let limit = if self.is(Fault::ForgetsOneSlice) { limit.min(1_024) } else { limit };
        self.inner.forget_access(before, limit).await
    }
    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        if self.is(Fault::ForgetsNoAudit) {
            return Ok(0);
        }
        let limit = if self.is(Fault::ForgetsWithoutEnd) { usize::MAX } else { limit };
        let limit = if self.is(Fault::ForgetsOneSliceOfTheTrail) { limit.min(1_024) } else { limit };
        self.inner.forget_audit(before, limit).await
    }
    async fn count_unrecognized(&self, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
        let mut counts = counts.to_vec();
        for count in &mut counts {
            if self.is(Fault::CountsOneProcessesRefusals) {
                count.node = usage::one_node();
            }
            if self.is(Fault::AddsRefusals) {
                let mut refusals = self.refusals.lock().unwrap();
                let sum = refusals.entry((count.node, count.hour)).or_insert(0_u64);
                *sum = sum.saturating_add(count.count);
                count.count = *sum;
            }
        }
        self.inner.count_unrecognized(&counts).await
    }
    async fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        self.inner.unrecognized(from, until).await
    }
    async fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> Result<CopyPage, StoreError> {
        copies::export(self, part, after, limit).await
    }
    async fn import(&self, rows: Arc<[CopyRow]>) -> Result<usize, StoreError> {
        copies::import(self, rows).await
    }
}
