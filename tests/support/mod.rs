//! A store that does what a test tells it: counts, fails, hangs, lies about a commit. And, in `shared`, what many tests share.

#![allow(dead_code, unused_imports, reason = "each test file uses a part")]

pub(crate) mod counting;
mod shared;
pub(crate) mod usage;

use chrono::{DateTime, TimeDelta, Utc};
use clove::{
    AccessEntry, Action, ActiveLimit, AuditEvent, BudgetState, Clock, Clove, DenialReason, Error, Fault, Hashing, Invalid, Key,
    KeyId, ListAudit, MemoryStore, NewKey, OrganizationId, Owner, Pepper, Policy, Refusal, Scope, Store, StoreError, Tier,
    Timestamp, Verdict,
    digest::Digest,
    id::NodeId,
    store::{
        AccessPage, AccessQuery, AuditPage, AuditQuery, BudgetQuery, Candidate, CopyPage, CopyPart, CopyPlace, CopyRow, Decision,
        Epochs, ExpiringKey, ExpiringQuery, Freshness, KeyPage, KeyQuery, Lease, Leased, Lookup, OrganizationRecord, OwnerFacts,
        Reads, Rehash, Reserve, Reserved, SlidingCharge, SlidingCharged, Transaction, UnrecognizedCount, Unspent, UsageBatch,
        UsagePage, UsageQuery,
    },
    usage::Day,
};
use clove_testkit::{Fixture, TestClock};
use futures_channel::oneshot;
use std::{
    collections::{BTreeSet, VecDeque},
    fmt::Debug,
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

pub(crate) use shared::*;

/// How long the stores here let a row be remembered without a poll.
pub(crate) const BOUND: Duration = Duration::from_millis(100);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// How the next transaction, batch of usage or reservation ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Well.
    Commits,
    /// It commits, and the answer is lost.
    CommitsThenUnknown,
    /// It does not commit, and the answer is lost.
    RollsBackThenUnknown,
    /// The store is away.
    Unavailable,
}

/// How every call goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Works,
    /// It goes on when it is asked a second time.
    Yields,
    /// It goes on when it is asked after the orders have changed.
    Waits,
    Fails,
    Hangs,
    Panics,
    /// It is done, and the answer is lost.
    LosesTheAnswer,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Orders {
    mode: Mode,
    /// Whose next answer comes late.
    held: Option<&'static str>,
    holding: Vec<oneshot::Sender<()>>,
    before_epochs: Option<Work>,
    only: Option<(&'static str, Mode)>,
    calls: Vec<&'static str>,
    endings: VecDeque<Ending>,
    batch_endings: VecDeque<Ending>,
    reserve_endings: VecDeque<Ending>,
    reserves: Vec<Arc<Reserve>>,
    usage: Vec<Arc<UsageBatch>>,
    batches: Vec<Option<KeyId>>,
    before_transact: Option<(usize, Work)>,
    model: Option<KeyId>,
    server: Option<TestClock>,
}

/// A [`MemoryStore`] under orders. Clones share everything.
#[derive(Clone)]
pub(crate) struct Spy {
    pub(crate) inner: MemoryStore,
    orders: Arc<Mutex<Orders>>,
}

impl Spy {
    pub(crate) fn new() -> Self {
        Self::over(MemoryStore::new())
    }
    /// Another process on the same store.
    pub(crate) fn over(inner: MemoryStore) -> Self {
        let orders = Orders {
            mode: Mode::Works,
            held: None,
            holding: Vec::new(),
            before_epochs: None,
            only: None,
            calls: Vec::new(),
            endings: VecDeque::new(),
            batch_endings: VecDeque::new(),
            reserve_endings: VecDeque::new(),
            reserves: Vec::new(),
            usage: Vec::new(),
            batches: Vec::new(),
            before_transact: None,
            model: None,
            server: None,
        };
        Self { inner, orders: Arc::new(Mutex::new(orders)) }
    }
    pub(crate) fn set(&self, mode: Mode) {
        let mut orders = self.orders.lock().unwrap();
        (orders.mode, orders.only) = (mode, None);
    }
    /// Calls of this name fail, others work.
    pub(crate) fn fail_only(&self, name: &'static str) {
        self.only(name, Mode::Fails);
    }
    /// Calls of this name go so, others as before.
    pub(crate) fn only(&self, name: &'static str, mode: Mode) {
        self.orders.lock().unwrap().only = Some((name, mode));
    }

    /// The next call of this name does its work, and answers when it is told to.
    pub(crate) fn hold_next_answer(&self, name: &'static str) {
        self.orders.lock().unwrap().held = Some(name);
    }
    pub(crate) fn give_answers(&self) {
        let holding = std::mem::take(&mut self.orders.lock().unwrap().holding);
        // A caller that has gone does not want it.
        for answer in holding {
            let _ = answer.send(());
        }
    }
    /// Each poll is told the time of this clock.
    pub(crate) fn tell_time_of(&self, clock: &TestClock) {
        self.orders.lock().unwrap().server = Some(clock.clone());
    }
    pub(crate) fn tell_no_time(&self) {
        self.orders.lock().unwrap().server = None;
    }
    /// While the next poll is on its way, this happens.
    pub(crate) fn before_epochs(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.orders.lock().unwrap().before_epochs = Some(Box::pin(work));
    }
    async fn answer<T>(&self, name: &'static str, answer: T) -> T {
        let held = {
            let mut orders = self.orders.lock().unwrap();
            orders.held.take_if(|held| *held == name).map(|_| {
                let (sender, receiver) = oneshot::channel();
                orders.holding.push(sender);
                receiver
            })
        };
        if let Some(held) = held {
            held.await.unwrap();
        }
        answer
    }
    /// The calls since this was last asked.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.orders.lock().unwrap().calls)
    }
    /// The next transactions end so; later ones well.
    pub(crate) fn end(&self, endings: impl IntoIterator<Item = Ending>) {
        self.orders.lock().unwrap().endings = endings.into_iter().collect();
    }
    /// The next batches of usage end so; later ones well.
    pub(crate) fn end_batches(&self, endings: impl IntoIterator<Item = Ending>) {
        self.orders.lock().unwrap().batch_endings = endings.into_iter().collect();
    }
    /// The next reservations end so; later ones well.
    pub(crate) fn end_reserves(&self, endings: impl IntoIterator<Item = Ending>) {
        self.orders.lock().unwrap().reserve_endings = endings.into_iter().collect();
    }
    /// What was asked to be reserved since this was last asked.
    pub(crate) fn reserves(&self) -> Vec<Arc<Reserve>> {
        std::mem::take(&mut self.orders.lock().unwrap().reserves)
    }
    /// The batches of usage that came since this was last asked.
    pub(crate) fn usage_batches(&self) -> Vec<Arc<UsageBatch>> {
        std::mem::take(&mut self.orders.lock().unwrap().usage)
    }
    /// Another process's work comes in just before the transaction behind the next `skipped`.
    pub(crate) fn before_transact(&self, skipped: usize, work: impl Future<Output = ()> + Send + 'static) {
        self.orders.lock().unwrap().before_transact = Some((skipped, Box::pin(work)));
    }
    /// After which keys the batches began since this was last asked.
    pub(crate) fn batches(&self) -> Vec<Option<KeyId>> {
        std::mem::take(&mut self.orders.lock().unwrap().batches)
    }

    fn mode(&self, name: &'static str) -> Mode {
        let orders = self.orders.lock().unwrap();
        orders.only.filter(|(only, _)| *only == name).map_or(orders.mode, |(_, mode)| mode)
    }

    /// Every id is a key's from now on, which is as this one but for its id and its owner: any number of keys at no cost.
    pub(crate) fn take_every_id_for(&self, model: KeyId) {
        self.orders.lock().unwrap().model = Some(model);
    }

    async fn call(&self, name: &'static str) -> Result<(), StoreError> {
        self.orders.lock().unwrap().calls.push(name);
        match self.mode(name) {
            Mode::Works | Mode::LosesTheAnswer => Ok(()),
            Mode::Waits => {
                poll_fn(|_| if self.mode(name) == Mode::Waits { Poll::Pending } else { Poll::Ready(()) }).await;
                Ok(())
            }
            Mode::Yields => {
                tokio::task::yield_now().await;
                Ok(())
            }
            Mode::Panics => panic!("a store that panics, on purpose"),
            Mode::Fails => Err(StoreError::Unavailable { what: "being told to", source: None }),
            Mode::Hangs => pending().await,
        }
    }
}

#[async_trait::async_trait]
impl Store for Spy {
    fn freshness(&self) -> Freshness {
        Freshness::Polled(BOUND)
    }
    async fn epochs(&self, bound: Duration) -> Result<Arc<Epochs>, StoreError> {
        self.call("epochs").await?;
        let before = self.orders.lock().unwrap().before_epochs.take();
        if let Some(before) = before {
            before.await;
        }
        let epochs = self.inner.epochs(bound).await.map(|mut epochs| {
            let server = self.orders.lock().unwrap().server.clone();
            Arc::make_mut(&mut epochs).server_time = server.map(|clock| clock.now());
            epochs
        });
        self.answer("epochs", epochs).await
    }
    async fn call_roll(&self) -> Result<u64, StoreError> {
        self.call("call_roll").await?;
        self.answer("call_roll", self.inner.call_roll().await).await
    }
    async fn answer_roll(&self, node: NodeId, number: u64) -> Result<(), StoreError> {
        self.call("answer_roll").await?;
        self.answer("answer_roll", self.inner.answer_roll(node, number).await).await
    }
    async fn dismiss(&self, nodes: &[NodeId], number: u64) -> Result<(), StoreError> {
        self.call("dismiss").await?;
        self.answer("dismiss", self.inner.dismiss(nodes, number).await).await
    }
    fn find_by_id(&self, id: KeyId) -> Lookup<'_> {
        Lookup::waits(async move {
            self.call("find_by_id").await?;
            let model = self.orders.lock().unwrap().model;
            let found = self.answer("find_by_id", self.inner.find_by_id(model.unwrap_or(id)).await).await?;
            let Some((found, _)) = found.as_ref().zip(model) else { return Ok(found) };
            let owner = Owner::new("acme", id.to_string()).unwrap().into();
            Ok(Some(Arc::new(Candidate { id, owner, ..(**found).clone() })))
        })
    }
    fn find_by_digest(&self, digests: &[Digest]) -> Lookup<'_> {
        let digests = digests.to_vec();
        Lookup::waits(async move {
            self.call("find_by_digest").await?;
            self.inner.find_by_digest(&digests).await
        })
    }
    async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        self.call("transact").await?;
        let (before, ending) = {
            let mut orders = self.orders.lock().unwrap();
            if let Reads::Batch { after, .. } = transaction.reads {
                orders.batches.push(after);
            }
            let before = match orders.before_transact.take() {
                Some((0, work)) => Some(work),
                later => {
                    orders.before_transact = later.map(|(skipped, work)| (skipped - 1, work));
                    None
                }
            };
            (before, orders.endings.pop_front())
        };
        if let Some(before) = before {
            before.await;
        }
        match ending {
            None | Some(Ending::Commits) => self.answer("transact", self.inner.transact(transaction).await).await,
            Some(Ending::CommitsThenUnknown) => {
                self.inner.transact(transaction).await?;
                Err(StoreError::OutcomeUnknown { source: None })
            }
            Some(Ending::RollsBackThenUnknown) => Err(StoreError::OutcomeUnknown { source: None }),
            Some(Ending::Unavailable) => Err(StoreError::Unavailable { what: "being told to", source: None }),
        }
    }
    async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.call("get").await?;
        self.inner.get(scope, id).await
    }
    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        self.call("list").await?;
        self.inner.list(query).await
    }
    async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
        self.call("expiring").await?;
        self.inner.expiring(query).await
    }
    async fn expiring_soon(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, KeyId)>,
        limit: usize,
    ) -> Result<Vec<ExpiringKey>, StoreError> {
        self.call("expiring_soon").await?;
        self.inner.expiring_soon(from, until, after, limit).await
    }
    async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
        self.call("owner").await?;
        self.inner.owner(owner, now).await
    }
    async fn organization(&self, organization: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
        self.call("organization").await?;
        self.inner.organization(organization).await
    }
    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        self.call("audit").await?;
        self.inner.audit(query).await
    }
    async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError> {
        self.call("peppers_in_use").await?;
        self.inner.peppers_in_use().await
    }
    async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError> {
        self.call("keys_under_pepper").await?;
        self.inner.keys_under_pepper(version, after, limit).await
    }
    async fn rehash(&self, changes: &[Rehash]) -> Result<(), StoreError> {
        self.call("rehash").await?;
        self.inner.rehash(changes).await
    }
    async fn touch(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
        self.call("touch").await?;
        self.answer("touch", self.inner.touch(uses).await).await
    }
    async fn lease(&self, lease: Arc<Lease>) -> Result<Vec<Leased>, StoreError> {
        self.call("lease").await?;
        self.answer("lease", self.inner.lease(lease).await).await
    }
    async fn charge_sliding(&self, charge: Arc<SlidingCharge>) -> Result<SlidingCharged, StoreError> {
        self.call("charge_sliding").await?;
        self.inner.charge_sliding(charge).await
    }
    async fn give_back(&self, unspent: &[Unspent]) -> Result<(), StoreError> {
        self.call("give_back").await?;
        self.answer("give_back", self.inner.give_back(unspent).await).await
    }
    async fn forget_counts(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.call("forget_counts").await?;
        self.inner.forget_counts(now, limit).await
    }
    async fn record(&self, batch: Arc<UsageBatch>) -> Result<(), StoreError> {
        let ending = {
            let mut orders = self.orders.lock().unwrap();
            orders.usage.push(Arc::clone(&batch));
            orders.batch_endings.pop_front()
        };
        self.call("record").await?;
        match ending {
            None | Some(Ending::Commits) => self.inner.record(batch).await,
            Some(Ending::CommitsThenUnknown) => {
                self.inner.record(batch).await?;
                Err(StoreError::OutcomeUnknown { source: None })
            }
            Some(Ending::RollsBackThenUnknown) => Err(StoreError::OutcomeUnknown { source: None }),
            Some(Ending::Unavailable) => Err(StoreError::Unavailable { what: "being told to", source: None }),
        }
    }
    async fn usage(&self, query: &UsageQuery) -> Result<UsagePage, StoreError> {
        self.call("usage").await?;
        self.inner.usage(query).await
    }
    async fn forget_reports(&self, before: Day, limit: usize) -> Result<usize, StoreError> {
        self.call("forget_reports").await?;
        self.inner.forget_reports(before, limit).await
    }
    async fn reserve(&self, reserve: Arc<Reserve>) -> Result<Reserved, StoreError> {
        let ending = {
            let mut orders = self.orders.lock().unwrap();
            orders.reserves.push(Arc::clone(&reserve));
            orders.reserve_endings.pop_front()
        };
        self.call("reserve").await?;
        match ending {
            None | Some(Ending::Commits) => self.answer("reserve", self.inner.reserve(reserve).await).await,
            Some(Ending::CommitsThenUnknown) => {
                self.inner.reserve(reserve).await?;
                Err(StoreError::OutcomeUnknown { source: None })
            }
            Some(Ending::RollsBackThenUnknown) => Err(StoreError::OutcomeUnknown { source: None }),
            Some(Ending::Unavailable) => Err(StoreError::Unavailable { what: "being told to", source: None }),
        }
    }
    async fn budget(&self, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
        self.call("budget").await?;
        self.inner.budget(query).await
    }

    async fn log_access(&self, entries: Arc<[AccessEntry]>) -> Result<(), StoreError> {
        self.call("log_access").await?;
        self.inner.log_access(entries).await?;
        match self.orders.lock().unwrap().only {
            Some(("log_access", Mode::LosesTheAnswer)) => Err(StoreError::OutcomeUnknown { source: None }),
            _ => Ok(()),
        }
    }
    async fn access_log(&self, query: &AccessQuery) -> Result<AccessPage, StoreError> {
        self.call("access_log").await?;
        self.inner.access_log(query).await
    }
    async fn forget_access(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.call("forget_access").await?;
        self.inner.forget_access(before, limit).await
    }
    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.call("forget_audit").await?;
        self.inner.forget_audit(before, limit).await
    }
    async fn count_unrecognized(&self, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
        self.call("count_unrecognized").await?;
        self.inner.count_unrecognized(counts).await
    }
    async fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        self.call("unrecognized").await?;
        self.inner.unrecognized(from, until).await
    }
    async fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> Result<CopyPage, StoreError> {
        self.call("export").await?;
        self.inner.export(part, after, limit).await
    }
    async fn import(&self, rows: Arc<[CopyRow]>) -> Result<usize, StoreError> {
        self.call("import").await?;
        self.inner.import(rows).await
    }
}
