//! A store in memory: complete, for tests of hosts and for services that need no key to outlive them.

mod access;
mod copies;
mod state;
mod usage;

use crate::{
    access::AccessEntry,
    audit::AuditEvent,
    budget::BudgetState,
    clock::Timestamp,
    digest::Digest,
    error::StoreError,
    id::{AuditId, KeyId, NodeId, OrganizationId, Owner, Scope},
    key::{Key, KeyState},
    limit::{Subject, Window},
    store::{
        AccessPage, AccessQuery, AuditPage, AuditQuery, BudgetQuery, COUNT_LIFETIME_MICROS, CopyPage, CopyPart, CopyPlace,
        CopyRow, Decision, EpochShard, Epochs, ExpiringKey, ExpiringQuery, ExpiryFilter, Freshness, KeyPage, KeyQuery, Lease,
        Leased, Lookup, Marks, NODE_LIFETIME_MICROS, OrganizationRecord, OwnerFacts, Place, Rehash, Reserve, Reserved,
        SecretRecord, SlidingCharge, SlidingCharged, Store, Transaction, UnrecognizedCount, Unspent, UsageBatch, UsagePage,
        UsageQuery,
    },
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    usage::Day,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use state::{State, pepper};
use std::{
    collections::{BTreeSet, HashMap},
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

    async fn call_roll(&self) -> Result<u64, StoreError> {
        Ok(self.marks.call_roll())
    }

    async fn answer_roll(&self, node: NodeId, number: u64) -> Result<(), StoreError> {
        self.marks.answer_roll(node, number);
        Ok(())
    }

    async fn dismiss(&self, nodes: &[NodeId], number: u64) -> Result<(), StoreError> {
        self.marks.dismiss(nodes, number);
        Ok(())
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

    async fn charge_sliding(&self, charge: Arc<SlidingCharge>) -> Result<SlidingCharged, StoreError> {
        let mut state = self.write();
        let charged = |(subject, window): &(Subject, Window)| {
            let name = |name| (subject.clone(), window.seconds(), name);
            let names = (Bound::Excluded(name(charge.since(*window))), Bound::Included(name(Timestamp::LAST)));
            state.charged.range(names).map(|((_, _, name), places)| (*name, *places)).collect()
        };
        let charged: Vec<_> = charge.windows.iter().map(charged).collect();
        let decided = charge.decide(&charged);
        if decided.is_charged {
            for (subject, window) in &charge.windows {
                let places = state.charged.entry((subject.clone(), window.seconds(), charge.at)).or_default();
                *places = places.saturating_add(charge.places);
            }
        }
        Ok(decided)
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
        for name in &over {
            state.charged.remove(name);
        }
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

    async fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> Result<CopyPage, StoreError> {
        Ok(self.read().export(part, after, limit))
    }

    async fn import(&self, rows: Arc<[CopyRow]>) -> Result<usize, StoreError> {
        let mut state = self.write();
        let new = state.unknown(&rows)?;
        new.iter().for_each(|row| state.adopt_row(row));
        // While nobody can read.
        if new.iter().any(|row| row.is_remembered()) {
            self.marks.mark(EpochShard::EVERYONE);
        }
        Ok(new.len())
    }
}

fn may_expire(key: &Key) -> bool {
    matches!(key.state, KeyState::Active | KeyState::Suspended) && !key.expiry_latched
}

fn page(rows: impl IntoIterator<Item = Key>, limit: usize) -> KeyPage {
    let mut rows = rows.into_iter();
    let keys: Vec<Key> = rows.by_ref().take(limit).collect();
    KeyPage { more: rows.next().is_some(), last: keys.last().map(Place::of), corrupt: Vec::new(), keys }
}
