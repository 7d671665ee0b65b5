//! The tables, and how a transaction reads and writes them.

use super::{FastMap, access::AccessTables, usage};
use crate::{
    audit::AuditEvent,
    clock::Timestamp,
    digest::{Digest, Scheme},
    error::{StoreError, Unique},
    id::{AuditId, KeyId, NodeId, OperationId, OrganizationId, Owner, Scope},
    key::Key,
    limit::Subject,
    store::{
        Candidate, Changes, Facts, Flag, KeyChange, OrganizationRecord, OwnerRecord, Reads, Remains, SecretRecord, StoredKey,
    },
    sync::Arc,
};
use chrono::{DateTime, Utc};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

#[derive(Default)]
pub(super) struct State {
    pub(super) organizations: BTreeMap<OrganizationId, OrganizationRecord>,
    pub(super) owners: BTreeMap<Owner, OwnerRecord>,
    pub(super) keys: BTreeMap<KeyId, StoredKey>,
    pub(super) by_owner: BTreeMap<Owner, BTreeSet<KeyId>>,
    /// What verification reads, made anew with each change: one look-up, one clone of an `Arc`.
    pub(super) candidates: FastMap<KeyId, Arc<Candidate>>,
    /// The same by the digest of each secret; `None` under a slow one, which nothing is found by.
    pub(super) by_digest: FastMap<Digest, Option<Arc<Candidate>>>,
    /// How many secrets are under each pepper.
    pub(super) peppers: BTreeMap<u16, usize>,
    pub(super) events: BTreeMap<AuditId, AuditEvent>,
    pub(super) operations: FastMap<OperationId, AuditId>,
    /// How many places are charged to each window's name.
    pub(super) charged: BTreeMap<(Subject, u32, Timestamp), u64>,
    /// When each process last leased.
    pub(super) nodes: BTreeMap<NodeId, Timestamp>,
    pub(super) usage: usage::UsageBook,
    pub(super) access: AccessTables,
}

impl State {
    pub(super) fn facts(&self, operation: OperationId, reads: &Reads) -> Facts {
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

    pub(super) fn add_flag(&self, facts: &mut Facts, scope: &Scope) {
        let open = match scope {
            Scope::Owner(owner) => self.owners.get(owner).map(|record| record.open),
            Scope::Organization(id) => self.organizations.get(id).map(|record| record.open),
        };
        facts.flag = open.map(Flag::from);
    }

    pub(super) fn add_owner(&self, facts: &mut Facts, owner: &Owner, expired_at: Option<DateTime<Utc>>) {
        facts.organization = self.organizations.get(&owner.organization).cloned();
        facts.owners.extend(self.owners.get(owner).cloned());
        if let Some(now) = expired_at {
            facts.expired = self.expired_places(owner, now).cloned().collect();
        }
    }

    pub(super) fn remains(&self, key: &Key) -> Remains {
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

    pub(super) fn expired_places(&self, owner: &Owner, now: DateTime<Utc>) -> impl Iterator<Item = &Key> {
        let expired = move |key: &&Key| key.holds_place() && key.expires_at.is_some_and(|at| at <= now);
        self.of(owner).map(|stored| &stored.key).filter(expired)
    }

    pub(super) fn of(&self, owner: &Owner) -> impl DoubleEndedIterator<Item = &StoredKey> {
        self.by_owner.get(owner).into_iter().flatten().filter_map(|id| self.keys.get(id))
    }

    /// The key with this id, unless it is a foreign one.
    pub(super) fn within(&self, scope: &Scope, id: KeyId) -> Option<&StoredKey> {
        self.keys.get(&id).filter(|stored| scope.holds(&stored.key.owner))
    }

    pub(super) fn in_scope<'a>(&'a self, scope: &'a Scope) -> Box<dyn DoubleEndedIterator<Item = &'a StoredKey> + 'a> {
        match scope {
            Scope::Owner(owner) => Box::new(self.of(owner)),
            Scope::Organization(_) => Box::new(self.keys.values().filter(|stored| scope.holds(&stored.key.owner))),
        }
    }

    /// Whether the changes can be written; asked before anything is.
    pub(super) fn check(&self, changes: &Changes) -> Result<(), StoreError> {
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
    pub(super) fn check_keys(&self, changes: &[KeyChange]) -> Result<(), StoreError> {
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

    pub(super) fn write(&mut self, changes: &Changes) {
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

    pub(super) fn update(&mut self, key: &Key, secrets: Option<&[SecretRecord]>) {
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
    pub(super) fn adopt(&mut self, secrets: &[SecretRecord]) {
        for pepper in secrets.iter().filter_map(|secret| pepper(secret.scheme)) {
            *self.peppers.entry(pepper).or_default() += 1;
        }
    }

    pub(super) fn forget(&mut self, secrets: &[SecretRecord]) {
        for secret in secrets {
            self.by_digest.remove(&secret.digest);
            let Some(pepper) = pepper(secret.scheme) else { continue };
            if let Some(count) = self.peppers.get_mut(&pepper) {
                *count = count.saturating_sub(1);
            }
        }
        self.peppers.retain(|_, count| *count > 0);
    }

    pub(super) fn refresh(&mut self, id: KeyId) {
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

pub(super) fn pepper(scheme: Scheme) -> Option<u16> {
    match scheme {
        Scheme::HmacSha256 { pepper } => Some(pepper),
        Scheme::Sha256 | Scheme::Argon2id { .. } => None,
    }
}
