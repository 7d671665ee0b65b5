//! A store in memory: complete, for tests of hosts and for services that need no key to outlive them.

mod access;
mod usage;

use crate::{
    access::AccessEntry,
    audit::AuditEvent,
    budget::BudgetState,
    clock::Timestamp,
    digest::{Digest, Scheme},
    error::{StoreError, Unique},
    id::{AuditId, KeyId, NodeId, OperationId, OrganizationId, Owner, Scope},
    key::{Key, KeyState},
    limit::Subject,
    store::{
        AccessPage, AccessQuery, AuditPage, AuditQuery, BudgetQuery, COUNT_LIFETIME_MICROS, Candidate, Changes, Decision, Epochs,
        ExpiringKey, ExpiringQuery, ExpiryFilter, Facts, Flag, Freshness, KeyChange, KeyPage, KeyQuery, Lease, Leased, Lookup,
        Marks, NODE_LIFETIME_MICROS, OrganizationRecord, OwnerFacts, OwnerRecord, Place, Reads, Rehash, Remains, Reserve,
        Reserved, SecretRecord, Store, StoredKey, Transaction, UnrecognizedCount, Unspent, UsageBatch, UsagePage, UsageQuery,
    },
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    usage::Day,
};
use access::AccessTables;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    time::Duration,
};

type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Keys in memory, shared by clones. Gone with the last of them.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<RwLock<State>>,
    marks: Arc<Marks>,
}

#[derive(Default)]
struct State {
    organizations: BTreeMap<OrganizationId, OrganizationRecord>,
    owners: BTreeMap<Owner, OwnerRecord>,
    keys: BTreeMap<KeyId, StoredKey>,
    by_owner: BTreeMap<Owner, BTreeSet<KeyId>>,
    /// What verification reads, made anew with each change: one look-up, one clone of an `Arc`.
    candidates: FastMap<KeyId, Arc<Candidate>>,
    /// The same by the digest of each secret; `None` under a slow one, which nothing is found by.
    by_digest: FastMap<Digest, Option<Arc<Candidate>>>,
    /// How many secrets are under each pepper.
    peppers: BTreeMap<u16, usize>,
    events: BTreeMap<AuditId, AuditEvent>,
    operations: FastMap<OperationId, AuditId>,
    /// How many places are charged to each window's name.
    charged: BTreeMap<(Subject, u32, Timestamp), u64>,
    /// When each process last leased.
    nodes: BTreeMap<NodeId, Timestamp>,
    usage: usage::UsageBook,
    access: AccessTables,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // A panic in a decision poisons the lock, but happens before anything is changed.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("keys", &self.read().keys.len()).finish_non_exhaustive()
    }
}

impl State {
    fn facts(&self, operation: OperationId, reads: &Reads) -> Facts {
        let mut facts =
            Facts { replayed: self.operations.get(&operation).and_then(|id| self.events.get(id)).cloned(), ..Facts::default() };
        match reads {
            Reads::Owner { owner, expired_at } => self.add_owner(&mut facts, owner, *expired_at),
            Reads::Flag(scope) => self.add_flag(&mut facts, scope),
            Reads::Budget { scope, unit } => facts.budget = Some(self.usage.chosen(scope, unit)),
            Reads::Key { scope, id, expired_at } => {
                if let Some(stored) = self.within(scope, *id) {
                    facts.keys.push(stored.clone());
                    self.add_owner(&mut facts, &stored.key.owner, *expired_at);
                }
            }
            Reads::Remains { scope, id } => {
                if let Some(stored) = self.within(scope, *id) {
                    facts.remains = Some(self.remains(&stored.key));
                    facts.owners.extend(self.owners.get(&stored.key.owner).cloned());
                }
            }
            Reads::Batch { scope, states, after, limit } => {
                self.add_flag(&mut facts, scope);
                let above = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
                let rows = self.keys.range::<KeyId, _>(above).map(|(_, stored)| stored);
                let matching = rows.filter(|stored| scope.holds(&stored.key.owner) && states.contains(&stored.key.state));
                facts.keys = matching.take(*limit).cloned().collect();
                let owners: BTreeSet<&Owner> = facts.keys.iter().map(|stored| &stored.key.owner).collect();
                facts.owners = owners.into_iter().filter_map(|owner| self.owners.get(owner)).cloned().collect();
            }
        }
        facts
    }

    fn add_flag(&self, facts: &mut Facts, scope: &Scope) {
        let open = match scope {
            Scope::Owner(owner) => self.owners.get(owner).map(|record| record.open),
            Scope::Organization(id) => self.organizations.get(id).map(|record| record.open),
        };
        facts.flag = open.map(Flag::from);
    }

    fn add_owner(&self, facts: &mut Facts, owner: &Owner, expired_at: Option<DateTime<Utc>>) {
        facts.organization = self.organizations.get(&owner.organization).cloned();
        facts.owners.extend(self.owners.get(owner).cloned());
        if let Some(now) = expired_at {
            facts.expired = self.expired_places(owner, now).cloned().collect();
        }
    }

    fn remains(&self, key: &Key) -> Remains {
        let others = || self.of(&key.owner).map(|other| &other.key).filter(|other| other.id != key.id);
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Remains {
            id: key.id,
            owner: key.owner.clone(),
            name: Some(key.name.clone()),
            state: Some(key.state),
            revision: Some(key.revision),
            others: count(others().count()),
            others_held: count(others().filter(|other| other.holds_place()).count()),
        }
    }

    fn expired_places(&self, owner: &Owner, now: DateTime<Utc>) -> impl Iterator<Item = &Key> {
        let expired = move |key: &&Key| key.holds_place() && key.expires_at.is_some_and(|at| at <= now);
        self.of(owner).map(|stored| &stored.key).filter(expired)
    }

    fn of(&self, owner: &Owner) -> impl DoubleEndedIterator<Item = &StoredKey> {
        self.by_owner.get(owner).into_iter().flatten().filter_map(|id| self.keys.get(id))
    }

    /// The key with this id, unless it is a foreign one.
    fn within(&self, scope: &Scope, id: KeyId) -> Option<&StoredKey> {
        self.keys.get(&id).filter(|stored| scope.holds(&stored.key.owner))
    }

    fn in_scope<'a>(&'a self, scope: &'a Scope) -> Box<dyn DoubleEndedIterator<Item = &'a StoredKey> + 'a> {
        match scope {
            Scope::Owner(owner) => Box::new(self.of(owner)),
            Scope::Organization(_) => Box::new(self.keys.values().filter(|stored| scope.holds(&stored.key.owner))),
        }
    }

    /// Whether the changes can be written; asked before anything is.
    fn check(&self, changes: &Changes) -> Result<(), StoreError> {
        self.check_keys(&changes.keys)?;
        let (mut operations, mut events) = (BTreeSet::new(), BTreeSet::new());
        for event in &changes.events {
            if self.operations.contains_key(&event.operation) || !operations.insert(event.operation) {
                return Err(StoreError::Conflict(Unique::OperationId));
            }
            if self.events.contains_key(&event.id) || !events.insert(event.id) {
                return Err(StoreError::Conflict(Unique::AuditId));
            }
        }
        Ok(())
    }

    /// Goes through the changes in order, as `write` will: what an earlier one frees, a later one may take.
    fn check_keys(&self, changes: &[KeyChange]) -> Result<(), StoreError> {
        // Keys and digests as far as earlier changes touch them: a key's secrets or none, a digest taken or freed.
        let mut keys: BTreeMap<KeyId, Option<&[SecretRecord]>> = BTreeMap::new();
        let mut digests: FastMap<Digest, bool> = FastMap::default();
        for change in changes {
            let (id, new) = match change {
                KeyChange::Insert(stored) => (stored.key.id, Some(stored.secrets.as_slice())),
                KeyChange::Update { key, secrets: Some(secrets) } => (key.id, Some(secrets.as_slice())),
                KeyChange::Update { secrets: None, .. } | KeyChange::Stop { .. } => continue,
                KeyChange::Delete(id) => (*id, None),
            };
            let stored = || self.keys.get(&id).map(|stored| stored.secrets.as_slice());
            let old = keys.get(&id).copied().unwrap_or_else(stored);
            match (change, old) {
                (KeyChange::Insert(_), Some(_)) => return Err(StoreError::Conflict(Unique::KeyId)),
                (KeyChange::Update { .. } | KeyChange::Delete(_), None) => continue,
                _ => {}
            }
            for secret in old.unwrap_or_default() {
                digests.insert(secret.digest, false);
            }
            for secret in new.unwrap_or_default() {
                let digest = secret.digest;
                let taken = digests.get(&digest).copied().unwrap_or_else(|| self.by_digest.contains_key(&digest));
                if taken {
                    return Err(StoreError::Conflict(Unique::Digest));
                }
                digests.insert(digest, true);
            }
            keys.insert(id, new);
        }
        Ok(())
    }

    fn write(&mut self, changes: &Changes) {
        let mut touched = BTreeSet::new();
        if let Some(record) = &changes.organization {
            let before = self.organizations.insert(record.id.clone(), record.clone());
            if before.is_none_or(|before| before.open != record.open) {
                touched.extend(self.in_scope(&Scope::Organization(record.id.clone())).map(|stored| stored.key.id));
            }
        }
        let flagged = changes.owner_flag.iter().map(|(owner, open)| OwnerRecord {
            open: *open,
            ..self.owners.get(owner).cloned().unwrap_or_else(|| OwnerRecord::new(owner.clone()))
        });
        for record in flagged.chain(changes.owners.iter().cloned()).collect::<Vec<_>>() {
            let (owner, open) = (record.owner.clone(), record.open);
            let (limit, request_limits) = (record.limit, record.request_limits.clone());
            let before = self.owners.insert(owner.clone(), record);
            let same = |before: OwnerRecord| (before.open, before.limit, before.request_limits) == (open, limit, request_limits);
            if !before.is_some_and(same) {
                touched.extend(self.in_scope(&Scope::Owner(owner)).map(|stored| stored.key.id));
            }
        }
        for change in &changes.keys {
            match change {
                KeyChange::Insert(stored) => {
                    touched.insert(stored.key.id);
                    self.adopt(&stored.secrets);
                    self.by_owner.entry(stored.key.owner.clone()).or_default().insert(stored.key.id);
                    self.keys.insert(stored.key.id, stored.clone());
                }
                KeyChange::Update { key, secrets } => {
                    touched.insert(key.id);
                    self.update(key, secrets.as_deref());
                }
                KeyChange::Stop { id, state, revision } => {
                    touched.insert(*id);
                    if let Some(stored) = self.keys.get_mut(id) {
                        (stored.key.state, stored.key.revision) = (*state, *revision);
                    }
                }
                KeyChange::Delete(id) => {
                    touched.insert(*id);
                    if let Some(stored) = self.keys.remove(id) {
                        if let Some(ids) = self.by_owner.get_mut(&stored.key.owner) {
                            ids.remove(id);
                        }
                        self.forget(&stored.secrets);
                    }
                }
            }
        }
        changes.budget.iter().for_each(|row| self.usage.choose(row));
        for event in &changes.events {
            self.operations.insert(event.operation, event.id);
            self.events.insert(event.id, event.clone());
        }
        touched.into_iter().for_each(|id| self.refresh(id));
    }

    fn update(&mut self, key: &Key, secrets: Option<&[SecretRecord]>) {
        let Some(mut stored) = self.keys.remove(&key.id) else { return };
        let before = std::mem::replace(&mut stored.key, key.clone());
        stored.key.owner = before.owner;
        stored.key.created_at = before.created_at;
        stored.key.last_used_at = before.last_used_at;
        if let Some(secrets) = secrets {
            self.forget(&stored.secrets);
            self.adopt(secrets);
            stored.secrets = secrets.to_vec();
        }
        self.keys.insert(key.id, stored);
    }

    /// Counts new secrets; [`Self::refresh`] makes them findable.
    fn adopt(&mut self, secrets: &[SecretRecord]) {
        for pepper in secrets.iter().filter_map(|secret| pepper(secret.scheme)) {
            *self.peppers.entry(pepper).or_default() += 1;
        }
    }

    fn forget(&mut self, secrets: &[SecretRecord]) {
        for secret in secrets {
            self.by_digest.remove(&secret.digest);
            let Some(pepper) = pepper(secret.scheme) else { continue };
            if let Some(count) = self.peppers.get_mut(&pepper) {
                *count = count.saturating_sub(1);
            }
        }
        self.peppers.retain(|_, count| *count > 0);
    }

    fn refresh(&mut self, id: KeyId) {
        let Some(stored) = self.keys.get(&id) else {
            self.candidates.remove(&id);
            return;
        };
        let key = &stored.key;
        let (owner, organization) = (self.owners.get(&key.owner), self.organizations.get(&key.owner.organization));
        // The core writes no key without a secret, nor with more than two: such a one cannot be verified.
        let Ok(candidate) = Candidate::of(stored, owner, organization) else {
            self.candidates.remove(&id);
            return;
        };
        let found = |secret: &SecretRecord| secret.is_fast().then(|| Arc::clone(&candidate));
        self.by_digest.extend(stored.secrets.iter().map(|secret| (secret.digest, found(secret))));
        self.candidates.insert(id, candidate);
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn freshness(&self) -> Freshness {
        Freshness::Marked(Arc::clone(&self.marks))
    }

    /// Nobody need ask: whoever changes a row marks it.
    async fn epochs(&self, bound: Duration) -> Result<Arc<Epochs>, StoreError> {
        let _state = self.read();
        Ok(Arc::new(self.marks.epochs(bound)))
    }

    fn find_by_id(&self, id: KeyId) -> Lookup<'_> {
        Lookup::Ready(Ok(self.read().candidates.get(&id).cloned()))
    }

    fn find_by_digest(&self, digests: &[Digest]) -> Lookup<'_> {
        let state = self.read();
        let found = digests.iter().find_map(|digest| state.by_digest.get(digest)?.clone());
        Lookup::Ready(Ok(found))
    }

    async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        let mut state = self.write();
        let decision = transaction.decide(&state.facts(transaction.operation, &transaction.reads));
        if let Decision::Commit(changes) = &decision {
            state.check(changes)?;
            state.write(changes);
            // While nobody can read.
            changes.outdates.iter().for_each(|&shard| self.marks.mark(shard));
        }
        Ok(decision)
    }

    async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
        Ok(self.read().within(scope, id).map(|stored| stored.key.clone()))
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        let state = self.read();
        let expiry = |key: &Key| match query.expiry {
            ExpiryFilter::Any => true,
            ExpiryFilter::PassedAt(now) => key.is_expired(now),
            ExpiryFilter::PendingAt(now) => !key.is_expired(now),
        };
        let rows = state.in_scope(&query.scope).rev().map(|stored| &stored.key);
        let rows = rows
            .filter(|key| query.before.is_none_or(|before| key.id < before) && query.states.contains(&key.state) && expiry(key));
        Ok(page(rows.cloned(), query.limit))
    }

    async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
        let state = self.read();
        let place = |key: &Key| key.expires_at.map(|at| (at, key.id));
        let keys = state.in_scope(&query.scope).map(|stored| &stored.key).filter(|key| may_expire(key));
        let mut rows: Vec<_> = keys
            .filter(|key| key.expires_at.is_some_and(|at| query.from < at && at <= query.until))
            .filter(|key| query.after.is_none() || place(key) > query.after)
            .cloned()
            .collect();
        rows.sort_by_key(place);
        Ok(page(rows, query.limit))
    }

    async fn expiring_soon(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, KeyId)>,
        limit: usize,
    ) -> Result<Vec<ExpiringKey>, StoreError> {
        let state = self.read();
        let keys = state.keys.values().map(|stored| &stored.key).filter(|key| may_expire(key));
        let places = keys.filter_map(|key| Some((Timestamp::from(key.expires_at?), key.id, &key.owner)));
        let mut found: Vec<_> =
            places.filter(|(at, id, _)| from < *at && *at <= until && after.is_none_or(|after| (*at, *id) > after)).collect();
        found.sort_unstable();
        let key = |(expires_at, id, owner): (Timestamp, KeyId, &Owner)| ExpiringKey { id, owner: owner.clone(), expires_at };
        Ok(found.into_iter().take(limit).map(key).collect())
    }

    async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
        let state = self.read();
        let held_by_expired = u32::try_from(state.expired_places(owner, now).count()).unwrap_or(u32::MAX);
        Ok(state.owners.get(owner).map(|record| OwnerFacts { record: record.clone(), held_by_expired }))
    }

    async fn organization(&self, organization: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
        Ok(self.read().organizations.get(organization).cloned())
    }

    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let state = self.read();
        let mut rows = state.events.values().rev().filter(|event| {
            event.lies_within(&query.scope)
                && query.before.is_none_or(|before| event.id < before)
                && query.key.is_none_or(|key| event.key.as_ref().is_some_and(|audited| audited.id == key))
                && query.action.is_none_or(|action| event.action == action)
                && query.from.is_none_or(|from| event.at >= from)
                && query.until.is_none_or(|until| event.at < until)
        });
        let events: Vec<AuditEvent> = rows.by_ref().take(query.limit).cloned().collect();
        Ok(AuditPage { more: rows.next().is_some(), last: events.last().map(|event| event.id), corrupt: 0, events })
    }

    async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError> {
        Ok(self.read().peppers.keys().copied().collect())
    }

    async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError> {
        let state = self.read();
        let under =
            state.keys.values().filter(|stored| stored.secrets.iter().any(|secret| pepper(secret.scheme) == Some(version)));
        Ok(under.map(|stored| stored.key.id).filter(|id| after.is_none_or(|after| *id > after)).take(limit).collect())
    }

    async fn rehash(&self, changes: &[Rehash]) -> Result<(), StoreError> {
        let mut state = self.write();
        for change in changes {
            let taken = state.by_digest.contains_key(&change.new);
            let Some(stored) = state.keys.get_mut(&change.key).filter(|_| !taken) else { continue };
            let Some(secret) = stored.secrets.iter_mut().find(|secret| secret.digest == change.old) else { continue };
            let old = std::mem::replace(secret, SecretRecord { digest: change.new, scheme: change.scheme, ..*secret });
            let new = *secret;
            state.forget(&[old]);
            state.adopt(&[new]);
            state.refresh(change.key);
        }
        Ok(())
    }

    async fn touch(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
        let mut state = self.write();
        for (id, at) in uses {
            if let Some(stored) = state.keys.get_mut(id) {
                stored.key.last_used_at = stored.key.last_used_at.max(Some(*at));
            }
        }
        Ok(())
    }

    async fn lease(&self, lease: Arc<Lease>) -> Result<Vec<Leased>, StoreError> {
        let mut state = self.write();
        state.nodes.retain(|_, seen| seen.as_micros() > lease.at.as_micros() - NODE_LIFETIME_MICROS);
        let others = state.nodes.keys().filter(|node| **node != lease.node).count();
        let nodes = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
        let mut leased = Vec::with_capacity(lease.wants.len());
        for want in &lease.wants {
            let name = (lease.subject.clone(), want.window.seconds(), want.start);
            let before = state.charged.get(&name).copied().unwrap_or_default();
            let taken = want.take(before, nodes);
            let charged = before.saturating_add(taken);
            if taken > 0 {
                state.charged.insert(name, charged);
                state.nodes.insert(lease.node, lease.at);
            }
            leased.push(Leased { taken, charged });
        }
        Ok(leased)
    }

    async fn give_back(&self, unspent: &[Unspent]) -> Result<(), StoreError> {
        let mut state = self.write();
        for Unspent { subject, seconds, start, places } in unspent {
            if let Some(charged) = state.charged.get_mut(&(subject.clone(), *seconds, *start)) {
                *charged = charged.saturating_sub(*places);
            }
        }
        Ok(())
    }

    async fn forget_counts(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut state = self.write();
        let is_over = |(_, seconds, start): &(Subject, u32, Timestamp)| {
            start.as_micros() + i64::from(*seconds) * 1_000_000 + COUNT_LIFETIME_MICROS <= now.as_micros()
        };
        let over: Vec<_> = state.charged.keys().filter(|name| is_over(name)).take(limit).cloned().collect();
        state.charged.retain(|name, _| over.binary_search(name).is_err());
        Ok(over.len())
    }

    async fn record(&self, batch: Arc<UsageBatch>) -> Result<(), StoreError> {
        self.write().usage.record(&batch);
        Ok(())
    }

    async fn usage(&self, query: &UsageQuery) -> Result<UsagePage, StoreError> {
        Ok(self.read().usage.page(query))
    }

    async fn forget_reports(&self, before: Day, limit: usize) -> Result<usize, StoreError> {
        Ok(self.write().usage.forget(before, limit))
    }

    async fn reserve(&self, reserve: Arc<Reserve>) -> Result<Reserved, StoreError> {
        Ok(self.write().usage.reserve(&reserve))
    }

    async fn budget(&self, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
        Ok(self.read().usage.budget(query))
    }

    async fn log_access(&self, entries: Arc<[AccessEntry]>) -> Result<(), StoreError> {
        self.write().access.log(&entries);
        Ok(())
    }

    async fn access_log(&self, query: &AccessQuery) -> Result<AccessPage, StoreError> {
        Ok(self.read().access.page(query))
    }

    async fn forget_access(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        Ok(self.write().access.forget(before, limit))
    }

    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut state = self.write();
        let mut forgotten = 0;
        while forgotten < limit
            && let Some(oldest) = state.events.first_entry().filter(|oldest| *oldest.key() < AuditId::first_at(before))
        {
            let operation = oldest.remove().operation;
            state.operations.remove(&operation);
            forgotten += 1;
        }
        Ok(forgotten)
    }

    async fn count_unrecognized(&self, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
        self.write().access.count(counts);
        Ok(())
    }

    async fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        Ok(self.read().access.unrecognized(from, until))
    }
}

fn may_expire(key: &Key) -> bool {
    matches!(key.state, KeyState::Active | KeyState::Suspended) && !key.expiry_latched
}

fn pepper(scheme: Scheme) -> Option<u16> {
    match scheme {
        Scheme::HmacSha256 { pepper } => Some(pepper),
        Scheme::Sha256 | Scheme::Argon2id { .. } => None,
    }
}

fn page(rows: impl IntoIterator<Item = Key>, limit: usize) -> KeyPage {
    let mut rows = rows.into_iter();
    let keys: Vec<Key> = rows.by_ref().take(limit).collect();
    KeyPage { more: rows.next().is_some(), last: keys.last().map(Place::of), corrupt: Vec::new(), keys }
}
