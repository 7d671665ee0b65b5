//! A store of one's own: plain vectors behind one lock, every query a scan. As slow as it is plain to see that it is right;
//! a start for a store on something else.
//!
//! `cargo run --example custom_store` runs the conformance suite on it. A store author's test is that one call.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use clove::{
    AccessEntry, AuditEvent, GrantId, Key, KeyId, KeyState, OrganizationId, Owner, Scope, Store, StoreError, Timestamp,
    budget::{BudgetChoice, BudgetState, Holder},
    digest::{Digest, Scheme},
    error::Unique,
    id::{AuditId, NodeId},
    store::{
        AccessPage, AccessQuery, AuditPage, AuditQuery, BudgetQuery, BudgetRow, BudgetSums, COUNT_LIFETIME_MICROS, Candidate,
        Changes, CopyPage, CopyPart, CopyPlace, CopyRow, CountRow, Decision, EpochShard, Epochs, ExpiringKey, ExpiringQuery,
        ExpiryFilter, Facts, Flag, Found, Freshness, KeyChange, KeyPage, KeyQuery, Lease, Leased, Lookup, Marks, Meter,
        NODE_LIFETIME_MICROS, OrganizationRecord, OwnerFacts, OwnerRecord, Place, Reads, RecorderRow, Rehash, Remains, ReportRow,
        Reported, Reserve, Reserved, Reserving, SecretRecord, SlidingCharge, SlidingCharged, StoredKey, SumRow, Transaction,
        UnrecognizedCount, Unspent, UsageBatch, UsagePage, UsageQuery,
    },
    usage::{Day, Unit},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A table each. A transaction changes a copy and puts it in their place: whole or not at all.
#[derive(Clone, Default)]
struct Tables {
    organizations: Vec<OrganizationRecord>,
    owners: Vec<OwnerRecord>,
    keys: Vec<StoredKey>,
    events: Vec<AuditEvent>,
    counts: Vec<Unspent>,
    nodes: Vec<(NodeId, Timestamp)>,
    sums: Vec<SumRow>,
    /// What is in the sums of each grant and unit.
    reports: Vec<ReportRow>,
    budgets: Vec<BudgetRow>,
    recorders: Vec<RecorderRow>,
    access: Vec<AccessEntry>,
    unrecognized: Vec<UnrecognizedCount>,
}

/// The store.
#[derive(Default)]
pub(crate) struct VecStore {
    tables: Mutex<Tables>,
    marks: Arc<Marks>,
}

impl VecStore {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the first rows that are old, at most so many; how many it were.
fn forget<T>(rows: &mut Vec<T>, limit: usize, old: impl Fn(&T) -> bool) -> usize {
    let before = rows.len();
    rows.retain({
        let mut left = limit;
        move |row| {
            let goes = left > 0 && old(row);
            left -= usize::from(goes);
            !goes
        }
    });
    before - rows.len()
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
            Reads::Budget { scope, unit } => {
                facts.budget = Some(self.chosen(&scope.into(), unit));
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
        if let Some(new) = &changes.budget {
            put(&mut self.budgets, new, |row| (&row.scope, &row.unit) == (&new.scope, &new.unit));
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

impl Tables {
    fn reported(&self, grant: GrantId, unit: &Unit) -> Option<Reported> {
        self.reports.iter().find(|row| (row.grant, &row.unit) == (grant, unit)).map(|row| row.known)
    }

    fn note(&mut self, grant: GrantId, meter: &Meter, known: Reported) {
        let new = ReportRow { grant, unit: meter.unit.clone(), day: meter.day, known };
        put(&mut self.reports, &new, |row| (row.grant, &row.unit) == (grant, &meter.unit));
    }

    fn chosen(&self, holder: &Holder, unit: &Unit) -> BudgetChoice {
        let mut rows = self.budgets.iter().filter(|row| Holder::from(&row.scope) == *holder && row.unit == *unit);
        rows.next().map_or(BudgetChoice::Default, |row| row.choice)
    }

    /// How a budget stands: nothing is kept for it, all is added up.
    fn budget(&self, query: &BudgetQuery) -> Option<BudgetState> {
        let (budget, first, last) = query.period(self.chosen(&query.holder, &query.unit))?;
        let counts =
            |row: &&SumRow| (&row.holder, &row.unit) == (&query.holder, &query.unit) && (first..=last).contains(&row.day);
        let mut sums = BudgetSums::default();
        self.sums.iter().filter(counts).for_each(|row| sums.add(row.sums.used, row.sums.reserved));
        Some(query.state(budget, sums))
    }

    /// Changes the sums of a key, its account and its organization.
    fn change_sums(&mut self, meter: &Meter, change: impl Fn(&mut BudgetSums)) {
        for holder in Holder::all_of(&meter.owner, meter.key) {
            let same = |row: &SumRow| (&row.holder, &row.unit, row.day) == (&holder, &meter.unit, meter.day);
            let mut sums = self.sums.iter().find(|row| same(row)).map(|row| row.sums).unwrap_or_default();
            change(&mut sums);
            let new = SumRow { holder: holder.clone(), unit: meter.unit.clone(), day: meter.day, sums };
            put(&mut self.sums, &new, same);
        }
    }

    /// All rows of a part.
    fn rows(&self, part: CopyPart) -> Vec<CopyRow> {
        fn all<T: Clone>(rows: &[T], row: impl Fn(T) -> CopyRow) -> Vec<CopyRow> {
            rows.iter().cloned().map(row).collect()
        }
        let count = |Unspent { subject, seconds, start, places }| CountRow { subject, seconds, start, places };
        match part {
            CopyPart::Organizations => all(&self.organizations, CopyRow::Organization),
            CopyPart::Owners => all(&self.owners, CopyRow::Owner),
            CopyPart::Keys => all(&self.keys, CopyRow::Key),
            CopyPart::Audit => all(&self.events, CopyRow::Event),
            CopyPart::Sums => all(&self.sums, CopyRow::Sum),
            CopyPart::Reports => all(&self.reports, CopyRow::Report),
            CopyPart::Recorders => all(&self.recorders, CopyRow::Recorder),
            CopyPart::Budgets => all(&self.budgets, CopyRow::Budget),
            CopyPart::Counts => all(&self.counts, |row| CopyRow::Count(count(row))),
            CopyPart::Access => all(&self.access, CopyRow::Access),
            CopyPart::Unrecognized => all(&self.unrecognized, CopyRow::Unrecognized),
        }
    }

    /// Adds a row of another store, whose place is free.
    fn adopt(&mut self, row: &CopyRow) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        match row.clone() {
            CopyRow::Organization(row) => self.organizations.push(row),
            CopyRow::Owner(row) => self.owners.push(row),
            CopyRow::Key(stored) => changes.keys.push(KeyChange::Insert(stored)),
            CopyRow::Event(event) => changes.events.push(event),
            CopyRow::Sum(row) => self.sums.push(row),
            CopyRow::Report(row) => self.reports.push(row),
            CopyRow::Recorder(row) => self.recorders.push(row),
            CopyRow::Budget(row) => self.budgets.push(row),
            CopyRow::Count(CountRow { subject, seconds, start, places }) => {
                self.counts.push(Unspent { subject, seconds, start, places });
            }
            CopyRow::Access(row) => self.access.push(row),
            CopyRow::Unrecognized(row) => self.unrecognized.push(row),
        }
        self.write(&changes)
    }
}

fn page(mut keys: Vec<Key>, limit: usize) -> KeyPage {
    let more = keys.len() > limit;
    keys.truncate(limit);
    KeyPage { more, last: keys.last().map(Place::of), corrupt: Vec::new(), keys }
}

#[async_trait]
impl Store for VecStore {
    /// All processes that use this store are one: a change is marked where it is made.
    fn freshness(&self) -> Freshness {
        Freshness::Marked(Arc::clone(&self.marks))
    }

    async fn epochs(&self, bound: Duration) -> Result<Arc<Epochs>, StoreError> {
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
            // While nobody can read.
            changes.outdates.iter().for_each(|&shard| self.marks.mark(shard));
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

    async fn charge_sliding(&self, charge: Arc<SlidingCharge>) -> Result<SlidingCharged, StoreError> {
        let mut tables = self.tables();
        let charged = |(subject, window): &(clove::limit::Subject, clove::Window)| {
            let since = charge.since(*window);
            let is_in = |row: &&Unspent| (&row.subject, row.seconds) == (subject, window.seconds()) && row.start > since;
            let mut names: Vec<_> = tables.counts.iter().filter(is_in).map(|row| (row.start, row.places)).collect();
            names.sort_unstable();
            names
        };
        let charged: Vec<_> = charge.windows.iter().map(charged).collect();
        let decided = charge.decide(&charged);
        for (subject, window) in charge.windows.iter().filter(|_| decided.is_charged) {
            let (subject, seconds, start) = (subject.clone(), window.seconds(), charge.at);
            let same = |row: &Unspent| (&row.subject, row.seconds, row.start) == (&subject, seconds, start);
            let before = tables.counts.iter().find(|row| same(row)).map_or(0, |row| row.places);
            let row = Unspent { subject: subject.clone(), seconds, start, places: before + charge.places };
            put(&mut tables.counts, &row, same);
        }
        Ok(decided)
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

    async fn record(&self, batch: Arc<UsageBatch>) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let (node, sequence) = (batch.node, batch.sequence);
        if tables.recorders.iter().any(|row| row.node == node && row.sequence >= sequence) {
            return Ok(());
        }
        let recorder = RecorderRow { node, sequence, day: Day::of(batch.at) };
        put(&mut tables.recorders, &recorder, |row| row.node == node);
        for (meter, amount) in batch.requests.iter().filter(|(_, amount)| *amount > 0) {
            tables.change_sums(meter, |sums| sums.add(*amount, 0));
        }
        for report in &batch.reports {
            let known = tables.reported(report.grant, &report.meter.unit);
            let (now, grown, released) = report.moves(known.unwrap_or_default());
            if grown > 0 || report.settles {
                tables.note(report.grant, &report.meter, now);
            }
            if grown > 0 || released > 0 {
                tables.change_sums(&report.meter, |sums| {
                    sums.add(grown, 0);
                    sums.release(released);
                });
            }
        }
        Ok(())
    }

    async fn log_access(&self, entries: Arc<[AccessEntry]>) -> Result<(), StoreError> {
        let mut tables = self.tables();
        for entry in &*entries {
            if !tables.access.iter().any(|known| known.id == entry.id) {
                tables.access.push(entry.clone());
            }
        }
        Ok(())
    }

    async fn usage(&self, query: &UsageQuery) -> Result<UsagePage, StoreError> {
        let tables = self.tables();
        let of_keys = tables.sums.iter().filter(|row| row.sums.used > 0).filter_map(|row| {
            let Holder::Key(owner, key) = &row.holder else { return None };
            Some((Meter { owner: owner.clone(), key: *key, unit: row.unit.clone(), day: row.day }, row.sums.used))
        });
        let of_keys: Vec<_> = of_keys.collect();
        Ok(query.page(of_keys.iter().map(|(meter, amount)| (meter, *amount))))
    }

    async fn forget_reports(&self, before: Day, limit: usize) -> Result<usize, StoreError> {
        let mut tables = self.tables();
        let reports = forget(&mut tables.reports, limit, |row| row.day < before);
        let recorders = forget(&mut tables.recorders, limit - reports, |row| row.day < before);
        Ok(reports + recorders)
    }

    async fn reserve(&self, reserve: Arc<Reserve>) -> Result<Reserved, StoreError> {
        let mut tables = self.tables();
        let states: Vec<BudgetState> = reserve.queries().iter().filter_map(|query| tables.budget(query)).collect();
        let outcome = reserve.decide(&states, tables.reported(reserve.grant, &reserve.meter.unit));
        if outcome == Reserving::Hold {
            tables.note(reserve.grant, &reserve.meter, Reported { total: 0, reserved: reserve.amount });
            tables.change_sums(&reserve.meter, |sums| sums.add(0, reserve.amount));
        }
        Ok(Reserved::new(&reserve, outcome, states))
    }

    async fn budget(&self, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
        Ok(self.tables().budget(query))
    }

    async fn access_log(&self, query: &AccessQuery) -> Result<AccessPage, StoreError> {
        let wanted = |entry: &AccessEntry| {
            query.scope.holds(&entry.owner)
                && query.before.is_none_or(|before| entry.id < before)
                && query.key.is_none_or(|key| entry.key == key)
                && query.outcome.is_none_or(|outcome| entry.outcome == outcome)
                && query.from.is_none_or(|from| entry.id >= GrantId::first_at(from))
                && query.until.is_none_or(|until| entry.id < GrantId::first_at(until))
        };
        let mut entries: Vec<AccessEntry> = self.tables().access.iter().filter(|entry| wanted(entry)).cloned().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.id));
        let more = entries.len() > query.limit;
        entries.truncate(query.limit);
        Ok(AccessPage { more, last: entries.last().map(|entry| entry.id), corrupt: 0, entries })
    }

    async fn forget_access(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut tables = self.tables();
        tables.access.sort_by_key(|entry| entry.id);
        let entries = forget(&mut tables.access, limit, |entry| entry.id < GrantId::first_at(before));
        let hours = forget(&mut tables.unrecognized, limit - entries, |count| count.hour < before);
        Ok(entries + hours)
    }

    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut tables = self.tables();
        tables.events.sort_by_key(|event| event.id);
        Ok(forget(&mut tables.events, limit, |event| event.id < AuditId::first_at(before)))
    }

    async fn count_unrecognized(&self, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        for new in counts {
            let same = |row: &UnrecognizedCount| (row.node, row.hour) == (new.node, new.hour);
            let known = tables.unrecognized.iter().find(|row| same(row)).map_or(0, |row| row.count);
            put(&mut tables.unrecognized, &UnrecognizedCount { count: new.count.max(known), ..*new }, same);
        }
        Ok(())
    }

    async fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        let mut hours = BTreeMap::<Timestamp, u64>::new();
        for row in self.tables().unrecognized.iter().filter(|row| from <= row.hour && row.hour < until) {
            let sum = hours.entry(row.hour).or_default();
            *sum = sum.saturating_add(row.count);
        }
        Ok(hours.into_iter().collect())
    }

    async fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> Result<CopyPage, StoreError> {
        Ok(CopyPage::of(self.tables().rows(part), after, limit))
    }

    async fn import(&self, rows: Arc<[CopyRow]>) -> Result<usize, StoreError> {
        let mut tables = self.tables();
        let (mut changed, mut written, mut is_remembered) = (tables.clone(), 0, false);
        for row in &*rows {
            match changed.rows(row.part()).into_iter().find(|known| known.place() == row.place()) {
                Some(known) if known != *row => return Err(StoreError::Conflict(Unique::Row)),
                Some(_) => {}
                None => {
                    changed.adopt(row)?;
                    written += 1;
                    is_remembered |= row.is_remembered();
                }
            }
        }
        *tables = changed;
        // While nobody can read.
        if is_remembered {
            self.marks.mark(EpochShard::EVERYONE);
        }
        Ok(written)
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
