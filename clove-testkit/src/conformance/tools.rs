//! What the cases build with.

use chrono::{DateTime, TimeDelta, Utc};
use clove_core::{
    Action, AuditEvent, CapabilitySet, Description, Key, KeyId, KeyState, LimitChoice, Limits, Metadata, Name, OperationId,
    OrganizationId, Owner, Refusal, Scope, Store, StoreError,
    audit::{Arguments, AuditedKey},
    digest::{Digest, Scheme},
    id::{Actor, AuditId},
    key::Reason,
    store::{
        ActiveLimit, Changes, Decision, ExpiryFilter, Facts, KeyChange, KeyPage, KeyQuery, OrganizationRecord, OwnerRecord,
        Reads, SecretRecord, StoredKey, Transaction,
    },
};
use std::{
    collections::BTreeSet,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll, Wake},
    thread::{self, Thread},
};

/// A store under test, and the owners that a case has used.
pub(super) struct Bench {
    pub(super) store: Arc<dyn Store>,
    owners: Mutex<BTreeSet<Owner>>,
}

pub(super) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_614_400, 123_456_000).unwrap()
}

pub(super) fn after(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

/// A moment for an id, a microsecond after the last call's: the cases rely on the order of ids.
fn moment() -> DateTime<Utc> {
    static CALLS: AtomicI64 = AtomicI64::new(0);
    start() + TimeDelta::microseconds(CALLS.fetch_add(1, Ordering::Relaxed))
}

/// A digest that no other call gives.
pub(super) fn digest() -> Digest {
    let (a, b) = (OperationId::new(start()), OperationId::new(start()));
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(a.as_bytes());
    bytes[16..].copy_from_slice(b.as_bytes());
    Digest::from_bytes(bytes)
}

pub(super) fn current(digest: Digest) -> SecretRecord {
    SecretRecord { digest, scheme: Scheme::Sha256, valid_until: None }
}

pub(super) fn key(owner: &Owner) -> Key {
    Key {
        id: KeyId::new(moment()),
        owner: owner.clone(),
        name: Name::new("a key").unwrap(),
        description: Description::new("for tests\non two lines").unwrap(),
        capabilities: CapabilitySet::new(["messages:write", "models:*"]).unwrap(),
        limits: LimitChoice::Own(Limits::standard()),
        metadata: Metadata::from_stored(r#"{ "kept" :"as given", "ü":1 }"#).unwrap(),
        created_at: start(),
        expires_at: None,
        last_used_at: None,
        state: KeyState::Active,
        expiry_latched: false,
        revision: 1,
    }
}

pub(super) fn event(operation: OperationId, action: Action, key: &Key) -> AuditEvent {
    AuditEvent {
        id: AuditId::new(moment()),
        operation,
        at: start(),
        actor: Actor::new("tester").unwrap(),
        reason: Reason::new("conformance").unwrap(),
        action,
        organization: key.owner.organization.clone(),
        account: Some(key.owner.account.clone()),
        key: Some(AuditedKey { id: key.id, name: key.name.clone(), from: None, to: Some(key.state) }),
        changed: true,
        detail: "detail".into(),
        arguments: Arguments::from_bytes(*b"as given"),
    }
}

pub(super) fn owner_record(owner: &Owner) -> OwnerRecord {
    OwnerRecord::new(owner.clone())
}

/// What a case expects to be committed.
pub(super) fn committed(result: Result<Decision, StoreError>) -> Changes {
    match result.unwrap() {
        Decision::Commit(changes) => changes,
        other => panic!("not committed: {other:?}"),
    }
}

impl Bench {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, owners: Mutex::default() }
    }

    pub(super) fn owner(&self, organization: &str, account: &str) -> Owner {
        let owner = Owner::new(organization, account).unwrap();
        self.owners.lock().unwrap().insert(owner.clone());
        owner
    }

    pub(super) async fn transact(&self, transaction: Transaction) -> Result<Decision, StoreError> {
        self.store.transact(Arc::new(transaction)).await
    }

    /// What a transaction reads, looked at outside of it: an assertion that fails belongs on the case's own thread.
    pub(super) async fn read(&self, operation: OperationId, reads: Reads) -> Facts {
        let seen = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&seen);
        let look = Transaction::new(operation, reads, move |facts| {
            *slot.lock().unwrap() = Some(facts.clone());
            Decision::Refuse(Refusal::NotFound)
        });
        let result = self.transact(look).await;
        assert!(matches!(result, Ok(Decision::Refuse(Refusal::NotFound))), "{result:?}");
        seen.lock().unwrap().take().expect("the store asked for a decision")
    }

    /// Commits `changes`, whatever the facts.
    pub(super) async fn write(&self, owner: &Owner, changes: Changes) -> Result<Decision, StoreError> {
        let reads = Reads::Owner { owner: owner.clone(), expired_at: None };
        self.transact(Transaction::new(OperationId::new(start()), reads, move |_| Decision::Commit(changes.clone()))).await
    }

    /// Inserts a key with one fresh secret; gives the digest.
    pub(super) async fn insert(&self, key: &Key) -> Digest {
        let digest = digest();
        committed(self.insert_with(key, vec![current(digest)]).await);
        digest
    }

    pub(super) async fn insert_with(&self, key: &Key, secrets: Vec<SecretRecord>) -> Result<Decision, StoreError> {
        self.transact(insertion(OperationId::new(start()), key.clone(), secrets, None)).await
    }

    /// Replaces a key's record, as a command would.
    pub(super) async fn update(
        &self,
        scope: &Scope,
        id: KeyId,
        change: impl Fn(&mut Key) + Send + Sync + 'static,
    ) -> Result<Decision, StoreError> {
        self.transact(update(OperationId::new(start()), scope, id, None, change)).await
    }

    pub(super) async fn delete(&self, scope: &Scope, id: KeyId) {
        let operation = OperationId::new(start());
        let reads = Reads::Key { scope: scope.clone(), id, expired_at: None };
        let decide = move |facts: &Facts| {
            let stored = facts.keys.first().expect("the key is there");
            let mut owner = facts.owners[0].clone();
            owner.held -= u32::from(stored.key.holds_place());
            owner.records -= 1;
            Decision::Commit(Changes {
                owners: vec![owner],
                keys: vec![KeyChange::Delete(id)],
                events: vec![event(operation, Action::Delete, &stored.key)],
                ..Changes::default()
            })
        };
        committed(self.transact(Transaction::new(operation, reads, decide)).await);
    }

    pub(super) async fn set_owner(&self, owner: &Owner, change: impl Fn(&mut OwnerRecord) + Send + Sync + 'static) {
        let operation = OperationId::new(start());
        let subject = owner.clone();
        let decide = move |facts: &Facts| {
            let mut record = facts.owners.first().cloned().unwrap_or_else(|| owner_record(&subject));
            change(&mut record);
            let mut event = event(operation, Action::CloseOwner, &key(&subject));
            event.key = None;
            let organization =
                facts.organization.clone().or(Some(OrganizationRecord { id: subject.organization.clone(), open: true }));
            Decision::Commit(Changes { organization, owners: vec![record], events: vec![event], ..Changes::default() })
        };
        committed(
            self.transact(Transaction::new(operation, Reads::Owner { owner: owner.clone(), expired_at: None }, decide)).await,
        );
    }

    pub(super) async fn set_organization(&self, organization: &OrganizationId, open: bool) {
        let operation = OperationId::new(start());
        let id = organization.clone();
        let decide = move |_: &Facts| {
            let mut event = event(operation, Action::CloseOrganization, &key(&Owner::new(id.as_str(), "nobody").unwrap()));
            (event.key, event.account) = (None, None);
            let organization = Some(OrganizationRecord { id: id.clone(), open });
            Decision::Commit(Changes { organization, events: vec![event], ..Changes::default() })
        };
        committed(self.transact(Transaction::new(operation, Reads::Flag(organization.into()), decide)).await);
    }

    pub(super) async fn all(&self, scope: &Scope) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        loop {
            let page = self.page(scope, keys.last().map(|key| key.id), 3).await;
            keys.extend(page.keys);
            if !page.more {
                return keys;
            }
        }
    }

    pub(super) async fn page(&self, scope: &Scope, before: Option<KeyId>, limit: usize) -> KeyPage {
        let query = KeyQuery { scope: scope.clone(), states: KeyState::ALL.to_vec(), expiry: ExpiryFilter::Any, before, limit };
        self.store.list(&query).await.unwrap()
    }

    /// Each owner's counts are those of its rows.
    pub(super) async fn assert_books_balance(&self) {
        let owners = self.owners.lock().unwrap().clone();
        for owner in owners {
            let keys = self.all(&(&owner).into()).await;
            let Some(facts) = self.store.owner(&owner, start()).await.unwrap() else {
                assert!(keys.is_empty(), "keys of an owner without a row");
                continue;
            };
            let held = keys.iter().filter(|key| key.holds_place()).count();
            assert_eq!(
                (facts.record.held as usize, facts.record.records as usize),
                (held, keys.len()),
                "held and records of {owner:?}"
            );
        }
    }
}

/// A creation: with `limit`, decided as the core does, with expired keys giving their places away.
pub(super) fn insertion(operation: OperationId, key: Key, secrets: Vec<SecretRecord>, limit: Option<ActiveLimit>) -> Transaction {
    let reads = Reads::Owner { owner: key.owner.clone(), expired_at: limit.map(|_| start()) };
    Transaction::new(operation, reads, move |facts| {
        if let Some(event) = &facts.replayed {
            return Decision::Replay(Box::new(event.clone()), None);
        }
        let mut owner = facts.owners.first().cloned().unwrap_or_else(|| owner_record(&key.owner));
        let organization =
            facts.organization.clone().unwrap_or(OrganizationRecord { id: key.owner.organization.clone(), open: true });
        if !owner.open || !organization.open {
            return Decision::Refuse(Refusal::OwnerClosed);
        }
        let mut keys = Vec::new();
        if let Some(ActiveLimit::AtMost(limit)) = limit
            && owner.held >= limit
        {
            for expired in &facts.expired {
                keys.push(KeyChange::Update { key: Key { expiry_latched: true, ..expired.clone() }, secrets: None });
                owner.held -= 1;
            }
            if owner.held >= limit {
                return Decision::Refuse(Refusal::LimitReached { active: owner.held, limit });
            }
        }
        owner.held += u32::from(key.holds_place());
        owner.records += 1;
        keys.push(KeyChange::Insert(StoredKey { key: key.clone(), secrets: secrets.clone() }));
        let events = vec![event(operation, Action::Create, &key)];
        Decision::Commit(Changes { organization: Some(organization), owners: vec![owner], keys, events, ..Changes::default() })
    })
}

/// A change of one key's record; with `revision`, only at that revision.
pub(super) fn update(
    operation: OperationId,
    scope: &Scope,
    id: KeyId,
    revision: Option<u64>,
    change: impl Fn(&mut Key) + Send + Sync + 'static,
) -> Transaction {
    let reads = Reads::Key { scope: scope.clone(), id, expired_at: None };
    Transaction::new(operation, reads, move |facts| {
        let Some(stored) = facts.keys.first() else { return Decision::Refuse(Refusal::NotFound) };
        if let Some(expected) = revision.filter(|revision| *revision != stored.key.revision) {
            return Decision::Refuse(Refusal::RevisionConflict { expected, found: stored.key.revision });
        }
        let mut key = stored.key.clone();
        change(&mut key);
        key.revision += 1;
        let mut owner = facts.owners[0].clone();
        owner.held = owner.held + u32::from(key.holds_place()) - u32::from(stored.key.holds_place());
        let events = vec![event(operation, Action::Edit, &key)];
        Decision::Commit(Changes {
            owners: vec![owner],
            keys: vec![KeyChange::Update { key, secrets: None }],
            events,
            ..Changes::default()
        })
    })
}

/// Runs futures at once, each on a thread of its own: a store may want any executor or none.
pub(super) fn at_once<T: Send>(futures: Vec<impl Future<Output = T> + Send>) -> Vec<T> {
    let barrier = std::sync::Barrier::new(futures.len());
    thread::scope(|scope| {
        let barrier = &barrier;
        let threads: Vec<_> = futures
            .into_iter()
            .map(|future| {
                scope.spawn(move || {
                    barrier.wait();
                    block_on(future)
                })
            })
            .collect();
        let join =
            |thread: thread::ScopedJoinHandle<'_, T>| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        threads.into_iter().map(join).collect()
    })
}

/// Runs futures at once, all on this task: each is polled before any is polled again. One that `is_given_up`, by its place, is polled
/// once, and dropped when all have begun.
pub(super) async fn together<T>(futures: Vec<impl Future<Output = T>>, is_given_up: impl Fn(usize) -> bool) -> Vec<Option<T>> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if let Some(Poll::Ready(answer)) = future.as_mut().map(|future| future.as_mut().poll(context)) {
                (*future, *done) = (None, Some(answer));
            }
        }
        for (_, future) in futures.iter_mut().enumerate().filter(|(place, _)| is_given_up(*place)) {
            *future = None;
        }
        if futures.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done
}

struct Unpark(Thread);
impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        thread::park();
    }
}
