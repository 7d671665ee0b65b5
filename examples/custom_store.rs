//! A store of one's own: plain vectors behind one lock, every query a scan. As slow as it is plain to see that it is right;
//! a start for a store on something else.
//!
//! `cargo run --example custom_store` runs the conformance suite on it. A store author's test is that one call.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use clove::{
    AuditEvent, Key, KeyId, KeyState, OrganizationId, Owner, Scope, Store, StoreError, Timestamp,
    digest::{Digest, Scheme},
    error::Unique,
    id::NodeId,
    store::{
        AuditPage, AuditQuery, COUNT_LIFETIME_MICROS, Candidate, Changes, Decision, ExpiringKey, ExpiringQuery, ExpiryFilter,
        Facts, Flag, Found, KeyChange, KeyPage, KeyQuery, Lease, Leased, Lookup, NODE_LIFETIME_MICROS, OrganizationRecord,
        OwnerFacts, OwnerRecord, Place, Reads, Rehash, Remains, SecretRecord, StoredKey, Transaction, Unspent,
    },
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Five tables. A transaction changes a copy and puts it in their place: whole or not at all.
#[derive(Clone, Default)]
struct Tables {
    organizations: Vec<OrganizationRecord>,
    owners: Vec<OwnerRecord>,
    keys: Vec<StoredKey>,
    events: Vec<AuditEvent>,
    counts: Vec<Unspent>,
    nodes: Vec<(NodeId, Timestamp)>,
}

/// The store.
#[derive(Default)]
pub(crate) struct VecStore(Mutex<Tables>);

impl VecStore {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn expired_place(key: &Key, now: DateTime<Utc>) -> bool {
    key.holds_place() && key.expires_at.is_some_and(|at| at <= now)
}

fn may_expire(key: &Key) -> bool {
    matches!(key.state, KeyState::Active | KeyState::Suspended) && !key.expiry_latched
}

fn pepper_of(secret: &SecretRecord) -> Option<u16> {
    if let Scheme::HmacSha256 { pepper } = secret.scheme { Some(pepper) } else { None }
}

/// Replaces the row that `same` names, or adds one.
fn put<T: Clone>(rows: &mut Vec<T>, new: &T, same: impl Fn(&T) -> bool) {
    match rows.iter_mut().find(|row| same(row)) {
        Some(row) => row.clone_from(new),
        None => rows.push(new.clone()),
    }
}

impl Tables {
    fn key(&self, id: KeyId) -> Option<&StoredKey> {
        self.keys.iter().find(|stored| stored.key.id == id)
    }

    fn within<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a StoredKey> {
        self.keys.iter().filter(|stored| scope.holds(&stored.key.owner))
    }

    fn owner(&self, owner: &Owner) -> Option<&OwnerRecord> {
        self.owners.iter().find(|record| record.owner == *owner)
    }

    fn organization(&self, id: &OrganizationId) -> Option<&OrganizationRecord> {
        self.organizations.iter().find(|record| record.id == *id)
    }

    fn candidate(&self, stored: &StoredKey) -> Found {
        let owner = &stored.key.owner;
        Candidate::of(stored, self.owner(owner), self.organization(&owner.organization)).map(Some)
    }

    /// No row here is ever beyond reading.
    fn remains(&self, key: &Key) -> Remains {
        let others: Vec<&Key> = self.keys.iter().map(|stored| &stored.key).filter(|other| other.owner == key.owner).collect();
        let others_held = others.iter().filter(|other| other.holds_place() && other.id != key.id).count();
        Remains {
            id: key.id,
            owner: key.owner.clone(),
            name: Some(key.name.clone()),
            state: Some(key.state),
            revision: Some(key.revision),
            others: u32::try_from(others.len() - 1).unwrap_or(u32::MAX),
            others_held: u32::try_from(others_held).unwrap_or(u32::MAX),
        }
    }

    fn add_flag(&self, facts: &mut Facts, scope: &Scope) {
        let open = match scope {
            Scope::Owner(owner) => self.owner(owner).map(|record| record.open),
            Scope::Organization(id) => self.organization(id).map(|record| record.open),
        };
        facts.flag = open.map(Flag::from);
    }

    fn facts(&self, transaction: &Transaction) -> Facts {
        let replayed = self.events.iter().find(|event| event.operation == transaction.operation).cloned();
        let mut facts = Facts { replayed, ..Facts::default() };
        let (owners, expired_at): (BTreeSet<Owner>, _) = match &transaction.reads {
            Reads::Owner { owner, expired_at } => (BTreeSet::from([owner.clone()]), *expired_at),
            Reads::Flag(scope) => {
                self.add_flag(&mut facts, scope);
                (BTreeSet::new(), None)
            }
            Reads::Key { scope, id, expired_at } => {
                facts.keys = self.within(scope).filter(|stored| stored.key.id == *id).cloned().collect();
                (facts.keys.iter().map(|stored| stored.key.owner.clone()).collect(), *expired_at)
            }
            Reads::Remains { scope, id } => {
                let found = self.within(scope).find(|stored| stored.key.id == *id);
                facts.remains = found.map(|stored| self.remains(&stored.key));
                (facts.remains.iter().map(|remains| remains.owner.clone()).collect(), None)
            }
            Reads::Batch { scope, states, after, limit } => {
                self.add_flag(&mut facts, scope);
                let wanted = |key: &Key| states.contains(&key.state) && after.is_none_or(|after| key.id > after);
                facts.keys = self.within(scope).filter(|stored| wanted(&stored.key)).cloned().collect();
                facts.keys.sort_by_key(|stored| stored.key.id);
                facts.keys.truncate(*limit);
                (facts.keys.iter().map(|stored| stored.key.owner.clone()).collect(), None)
            }
        };
        for owner in &owners {
            facts.organization = self.organization(&owner.organization).cloned();
            facts.owners.extend(self.owner(owner).cloned());
            if let Some(now) = expired_at {
                let keys = self.keys.iter().map(|stored| &stored.key);
                facts.expired.extend(keys.filter(|key| key.owner == *owner && expired_place(key, now)).cloned());
            }
        }
        facts
    }

    fn write(&mut self, changes: &Changes) -> Result<(), StoreError> {
        changes.organization.iter().for_each(|new| put(&mut self.organizations, new, |row| row.id == new.id));
        changes.owners.iter().for_each(|new| put(&mut self.owners, new, |row| row.owner == new.owner));
        if let Some((owner, open)) = &changes.owner_flag {
            let record = self.owner(owner).cloned().unwrap_or_else(|| OwnerRecord::new(owner.clone()));
            put(&mut self.owners, &OwnerRecord { open: *open, ..record }, |row| row.owner == *owner);
        }
        for change in &changes.keys {
            match change {
                KeyChange::Insert(stored) if self.key(stored.key.id).is_some() => {
                    return Err(StoreError::Conflict(Unique::KeyId));
                }
                KeyChange::Insert(stored) => self.keys.push(stored.clone()),
                KeyChange::Stop { id, state, revision } => {
                    for stored in self.keys.iter_mut().filter(|stored| stored.key.id == *id) {
                        (stored.key.state, stored.key.revision) = (*state, *revision);
                    }
                }
                KeyChange::Delete(id) => self.keys.retain(|stored| stored.key.id != *id),
                KeyChange::Update { key, secrets } => {
                    for stored in self.keys.iter_mut().filter(|stored| stored.key.id == key.id) {
                        let before = std::mem::replace(&mut stored.key, key.clone());
                        (stored.key.owner, stored.key.created_at) = (before.owner, before.created_at);
                        stored.key.last_used_at = before.last_used_at;
                        secrets.iter().for_each(|new| stored.secrets.clone_from(new));
                    }
                }
            }
        }
        let mut digests = std::collections::HashSet::new();
        if !self.keys.iter().flat_map(|stored| &stored.secrets).all(|secret| digests.insert(secret.digest)) {
            return Err(StoreError::Conflict(Unique::Digest));
        }
        for event in &changes.events {
            if self.events.iter().any(|known| known.operation == event.operation) {
                return Err(StoreError::Conflict(Unique::OperationId));
            }
            if self.events.iter().any(|known| known.id == event.id) {
                return Err(StoreError::Conflict(Unique::AuditId));
            }
            self.events.push(event.clone());
        }
        Ok(())
    }
}

fn page(mut keys: Vec<Key>, limit: usize) -> KeyPage {
    let more = keys.len() > limit;
    keys.truncate(limit);
    KeyPage { more, last: keys.last().map(Place::of), corrupt: Vec::new(), keys }
}

#[async_trait]
impl Store for VecStore {
    fn find_by_id(&self, id: KeyId) -> Lookup<'_> {
        let tables = self.tables();
        Lookup::Ready(tables.key(id).map_or(Ok(None), |stored| tables.candidate(stored)))
    }

    fn find_by_digest(&self, digests: &[Digest]) -> Lookup<'_> {
        let tables = self.tables();
        let matches = |secret: &SecretRecord| secret.is_fast() && digests.contains(&secret.digest);
        let found = tables.keys.iter().find(|stored| stored.secrets.iter().any(matches));
        Lookup::Ready(found.map_or(Ok(None), |stored| tables.candidate(stored)))
    }

    async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        // Read, decide and write under one lock: that is all the isolation there is to have.
        let mut tables = self.tables();
        let decision = transaction.decide(&tables.facts(&transaction));
        if let Decision::Commit(changes) = &decision {
            let mut changed = tables.clone();
            changed.write(changes)?;
            *tables = changed;
        }
        Ok(decision)
    }

    async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
        Ok(self.tables().within(scope).find(|stored| stored.key.id == id).map(|stored| stored.key.clone()))
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        let wanted = |key: &Key| {
            query.states.contains(&key.state)
                && query.before.is_none_or(|before| key.id < before)
                && match query.expiry {
                    ExpiryFilter::Any => true,
                    ExpiryFilter::PassedAt(now) => key.is_expired(now),
                    ExpiryFilter::PendingAt(now) => !key.is_expired(now),
                }
        };
        let mut keys: Vec<Key> = self.tables().within(&query.scope).map(|stored| stored.key.clone()).filter(wanted).collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.id));
        Ok(page(keys, query.limit))
    }

    async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
        let place = |key: &Key| key.expires_at.map(|at| (at, key.id));
        let wanted = |key: &Key| {
            may_expire(key)
                && key.expires_at.is_some_and(|at| query.from < at && at <= query.until)
                && (query.after.is_none() || place(key) > query.after)
        };
        let mut keys: Vec<Key> = self.tables().within(&query.scope).map(|stored| stored.key.clone()).filter(wanted).collect();
        keys.sort_by_key(place);
        Ok(page(keys, query.limit))
    }

    async fn expiring_soon(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, KeyId)>,
        limit: usize,
    ) -> Result<Vec<ExpiringKey>, StoreError> {
        let tables = self.tables();
        let keys = tables.keys.iter().map(|stored| &stored.key).filter(|key| may_expire(key));
        let all =
            keys.filter_map(|key| Some(ExpiringKey { id: key.id, owner: key.owner.clone(), expires_at: key.expires_at?.into() }));
        let place = |key: &ExpiringKey| (key.expires_at, key.id);
        let mut found: Vec<ExpiringKey> = all
            .filter(|key| from < key.expires_at && key.expires_at <= until && after.is_none_or(|after| place(key) > after))
            .collect();
        found.sort_by_key(place);
        found.truncate(limit);
        Ok(found)
    }

    async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
        let tables = self.tables();
        let expired = tables.keys.iter().filter(|stored| stored.key.owner == *owner && expired_place(&stored.key, now)).count();
        let held_by_expired = u32::try_from(expired).unwrap_or(u32::MAX);
        Ok(tables.owner(owner).map(|record| OwnerFacts { record: record.clone(), held_by_expired }))
    }

    async fn organization(&self, organization: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
        Ok(self.tables().organization(organization).cloned())
    }

    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let wanted = |event: &AuditEvent| {
            event.lies_within(&query.scope)
                && query.before.is_none_or(|before| event.id < before)
                && query.key.is_none_or(|id| event.key.as_ref().is_some_and(|key| key.id == id))
                && query.action.is_none_or(|action| event.action == action)
                && query.from.is_none_or(|from| event.at >= from)
                && query.until.is_none_or(|until| event.at < until)
        };
        let mut events: Vec<AuditEvent> = self.tables().events.iter().filter(|event| wanted(event)).cloned().collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.id));
        let more = events.len() > query.limit;
        events.truncate(query.limit);
        Ok(AuditPage { more, last: events.last().map(|event| event.id), corrupt: 0, events })
    }

    async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError> {
        Ok(self.tables().keys.iter().flat_map(|stored| &stored.secrets).filter_map(pepper_of).collect())
    }

    async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError> {
        let tables = self.tables();
        let under = tables.keys.iter().filter(|stored| stored.secrets.iter().any(|secret| pepper_of(secret) == Some(version)));
        let ids: BTreeSet<KeyId> = under.map(|stored| stored.key.id).filter(|id| after.is_none_or(|after| *id > after)).collect();
        Ok(ids.into_iter().take(limit).collect())
    }

    async fn rehash(&self, changes: &[Rehash]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        for change in changes {
            if tables.keys.iter().flat_map(|stored| &stored.secrets).any(|secret| secret.digest == change.new) {
                continue;
            }
            let of_key =
                tables.keys.iter_mut().filter(|stored| stored.key.id == change.key).flat_map(|stored| &mut stored.secrets);
            of_key.filter(|secret| secret.digest == change.old).for_each(|secret| {
                (secret.digest, secret.scheme) = (change.new, change.scheme);
            });
        }
        Ok(())
    }

    async fn touch(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        for (id, at) in uses {
            let of_key = tables.keys.iter_mut().filter(|stored| stored.key.id == *id);
            of_key.for_each(|stored| stored.key.last_used_at = stored.key.last_used_at.max(Some(*at)));
        }
        Ok(())
    }

    async fn lease(&self, lease: Arc<Lease>) -> Result<Vec<Leased>, StoreError> {
        let mut tables = self.tables();
        tables.nodes.retain(|(_, seen)| seen.as_micros() > lease.at.as_micros() - NODE_LIFETIME_MICROS);
        let others: BTreeSet<NodeId> = tables.nodes.iter().map(|(node, _)| *node).filter(|node| *node != lease.node).collect();
        let nodes = u32::try_from(others.len() + 1).unwrap_or(u32::MAX);
        let mut leased = Vec::new();
        for want in &lease.wants {
            let (subject, seconds, start) = (lease.subject.clone(), want.window.seconds(), want.start);
            let same = |row: &Unspent| (&row.subject, row.seconds, row.start) == (&lease.subject, seconds, start);
            let before = tables.counts.iter().find(|row| same(row)).map_or(0, |row| row.places);
            let taken = want.take(before, nodes);
            let charged = before + taken;
            if taken > 0 {
                put(&mut tables.counts, &Unspent { subject, seconds, start, places: charged }, same);
                tables.nodes.push((lease.node, lease.at));
            }
            leased.push(Leased { taken, charged });
        }
        Ok(leased)
    }

    async fn give_back(&self, unspent: &[Unspent]) -> Result<(), StoreError> {
        for row in &mut self.tables().counts {
            let is_of = |other: &&Unspent| (&other.subject, other.seconds, other.start) == (&row.subject, row.seconds, row.start);
            row.places = row.places.saturating_sub(unspent.iter().filter(is_of).map(|other| other.places).sum());
        }
        Ok(())
    }

    async fn forget_counts(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        self.tables().counts.retain(|row| {
            let over = row.start.as_micros() + i64::from(row.seconds) * 1_000_000 + COUNT_LIFETIME_MICROS <= now.as_micros();
            let goes = over && forgotten < limit;
            forgotten += usize::from(goes);
            !goes
        });
        Ok(forgotten)
    }
}

/// Unused where the tests take this file as a module.
#[allow(dead_code, reason = "the tests take this file as a module")]
#[tokio::main(flavor = "current_thread")]
async fn main() {
    use clove_testkit::conformance;
    conformance::run(|| async { VecStore::default() }).await;
    println!("The store keeps its contract: {} cases.", conformance::names().len());
}
