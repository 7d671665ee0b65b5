//! Usage on its way to the store: requests as they are granted, amounts as they are reported, batches until they are written.
//!
//! A batch that was sent may have been written, whatever became of its answer or of who waited for it. So it is sent again as it
//! is, under its sequence, until the store says that it is written; what has come since goes into the next one.

use super::{Clove, Inner, buffers::thread_number};
use crate::{
    clock::Timestamp,
    error::{CorruptRow, RecordError, StoreError},
    id::{GrantId, KeyId, NodeId, Owner},
    store::{Meter, Report, Store, UsageBatch, budgets::meter, usage::add},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        lock,
    },
    usage::{Day, LEDGER_DAYS, MAX_AMOUNT, REPORT_DAYS, Unit},
    verdict::Grant,
};
use futures_util::future::{FutureExt, Shared, WeakShared};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
};

/// Maps of counts, each with its own lock, one a thread as far as they go, so that verifications seldom meet.
const SHARDS: usize = 16;
/// The most keys whose requests a map counts between two flushes.
const MAX_COUNTS: usize = 65_536;
/// The most amounts that wait, besides those in batches that could not be written yet, which are at most as many.
const MAX_REPORTS: usize = 65_536;
/// The most of them that only free what was reserved for requests that never began.
const MAX_GIVEN_UP: usize = MAX_REPORTS / 2;
/// The most rows of a batch: commands wait for no more than that.
const MAX_ROWS: usize = 1024;
const REPORT_MICROS: i64 = REPORT_DAYS as i64 * 86_400_000_000;

type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
type Sending = Pin<Box<dyn Future<Output = Result<(), Arc<StoreError>>> + Send>>;

pub(super) struct Metering {
    node: NodeId,
    counts: [Mutex<FastMap<(KeyId, Day), Count>>; SHARDS],
    uncounted: AtomicU64,
    reports: Mutex<Reports>,
    outbox: Mutex<Outbox>,
}

struct Count {
    owner: Owner,
    requests: u64,
}

#[derive(Default)]
struct Reports {
    waiting: FastMap<GrantId, OfGrant>,
    /// Of how many units, over all grants.
    count: usize,
    /// How many of these came of reservations that were given up.
    given_up: usize,
}

/// What was reported for a grant since it was last taken.
struct OfGrant {
    owner: Owner,
    key: KeyId,
    day: Day,
    totals: Vec<Total>,
}

struct Total {
    unit: Unit,
    total: u64,
    settles: bool,
}

#[derive(Default)]
struct Outbox {
    /// What is not known to be written, in order. Only the first may have been.
    queue: VecDeque<Arc<UsageBatch>>,
    /// That of the last batch that was made.
    sequence: u64,
    /// That of the last one that is written.
    written: u64,
    /// How often all that waited was taken.
    rounds: u64,
    /// The first batch on its way. It belongs to all who wait for it together, and ends with the last of them: a store that never
    /// answers holds up nobody for longer than they wait.
    flight: Option<WeakShared<Sending>>,
}

impl Metering {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            counts: Default::default(),
            uncounted: AtomicU64::new(0),
            reports: Mutex::default(),
            outbox: Mutex::default(),
        }
    }

    /// Counts a granted request for as many as it takes places of windows.
    pub(super) fn count(&self, key: KeyId, owner: &Owner, requests: u64, day: Day) {
        let Some(counts) = self.counts.get(thread_number() % SHARDS).filter(|_| requests > 0) else { return };
        let (name, mut counts) = ((key, day), lock(counts));
        if let Some(count) = counts.get_mut(&name) {
            add(&mut count.requests, requests);
        } else if counts.len() < MAX_COUNTS {
            counts.insert(name, Count { owner: owner.clone(), requests: requests.min(MAX_AMOUNT) });
        } else {
            self.uncounted.fetch_add(requests, Ordering::Relaxed);
        }
    }

    /// Takes a total of a grant and unit, the last one if it `settles`.
    pub(super) fn report(&self, grant: GrantId, meter: &Meter, total: u64, settles: bool) -> Result<(), RecordError> {
        let (total, mut reports) = (total.min(MAX_AMOUNT), lock(&self.reports));
        let Meter { owner, key, unit, day } = meter;
        let known = reports.waiting.get_mut(&grant).and_then(|of| of.totals.iter_mut().find(|known| known.unit == *unit));
        if let Some(known) = known {
            known.total = total.max(known.total);
            known.settles |= settles;
            return Ok(());
        }
        if reports.count >= MAX_REPORTS {
            return Err(RecordError::Full { waiting: reports.count });
        }
        reports.count += 1;
        let of = || OfGrant { owner: owner.clone(), key: *key, day: *day, totals: Vec::with_capacity(1) };
        reports.waiting.entry(grant).or_insert_with(of).totals.push(Total { unit: unit.clone(), total, settles });
        Ok(())
    }

    /// Frees what may be reserved for a request that never began. While a store hangs, each attempt leaves one of these: they leave room
    /// to what was used, and what finds none itself stays reserved until its period ends.
    pub(super) fn give_up(&self, grant: GrantId, meter: &Meter) {
        {
            let mut reports = lock(&self.reports);
            if reports.given_up >= MAX_GIVEN_UP {
                return;
            }
            reports.given_up += 1;
        }
        let _ = self.report(grant, meter, 0, true);
    }

    /// All requests that wait. In the order of their sums, so that a store finds those of one owner together.
    fn take_counts(&self) -> Vec<(Meter, u64)> {
        let mut taken = BTreeMap::new();
        for counts in &self.counts {
            for ((key, day), Count { owner, requests }) in std::mem::take(&mut *lock(counts)) {
                add(taken.entry(Meter { owner, key, unit: Unit::requests(), day }).or_default(), requests);
            }
        }
        taken.into_iter().collect()
    }

    /// All amounts that wait, in the order of their grants.
    fn take_reports(&self) -> Vec<Report> {
        let Reports { waiting, count, .. } = std::mem::take(&mut *lock(&self.reports));
        let mut taken = Vec::with_capacity(count);
        for (grant, OfGrant { owner, key, day, totals }) in waiting {
            taken.extend(totals.into_iter().map(|Total { unit, total, settles }| {
                let meter = Meter { owner: owner.clone(), key, unit, day };
                Report { grant, meter, total, settles }
            }));
        }
        taken.sort_by_key(|report| report.grant);
        taken
    }

    /// Makes batches of all that waits.
    fn fill(&self, outbox: &mut Outbox, at: Timestamp) {
        let (mut requests, mut reports) = (self.take_counts(), self.take_reports());
        while !requests.is_empty() || !reports.is_empty() {
            outbox.sequence += 1;
            let requests: Vec<_> = requests.drain(..requests.len().min(MAX_ROWS)).collect();
            let reports = reports.drain(..reports.len().min(MAX_ROWS - requests.len())).collect();
            outbox.queue.push_back(Arc::new(UsageBatch { node: self.node, sequence: outbox.sequence, at, requests, reports }));
        }
        outbox.rounds += 1;
    }

    /// Joins the flight on its way, or sends the first batch.
    fn send(self: &Arc<Self>, outbox: &mut Outbox, store: &Arc<dyn Store>) -> Option<Shared<Sending>> {
        if let Some(flight) = outbox.flight.as_ref().and_then(WeakShared::upgrade) {
            return Some(flight);
        }
        let batch = Arc::clone(outbox.queue.front()?);
        let (metering, store) = (Arc::clone(self), Arc::clone(store));
        let flight = async move {
            let answer = AssertUnwindSafe(store.record(Arc::clone(&batch))).catch_unwind().await;
            // How far it had come by then is not known.
            let answer = answer.unwrap_or(Err(StoreError::OutcomeUnknown { source: None }));
            metering.land(&batch, &answer);
            answer.map_err(Arc::new)
        };
        let flight = flight.boxed().shared();
        outbox.flight = flight.downgrade();
        Some(flight)
    }

    fn land(&self, batch: &UsageBatch, answer: &Result<(), StoreError>) {
        let mut outbox = lock(&self.outbox);
        outbox.flight = None;
        match (answer, outbox.queue.front_mut()) {
            (Ok(()), _) => {
                outbox.queue.pop_front();
                outbox.written = batch.sequence;
            }
            // Nothing was written. Without what cannot be, the rest can: whoever flushes is told which it is.
            (Err(StoreError::Corrupt { row: CorruptRow::Report(grant), .. }), Some(first)) => {
                Arc::make_mut(first).reports.retain(|report| report.grant != *grant);
            }
            (Err(_), _) => {}
        }
    }
}

impl Inner {
    /// Writes all usage that waited when this was called.
    pub(super) async fn flush_usage(&self) -> Result<(), StoreError> {
        let (before, mut last) = (lock(&self.metering.outbox).rounds, None);
        while let Some(flight) = self.next_flight(before, &mut last) {
            flight.await.map_err(|error| told(&error))?;
        }
        Ok(())
    }

    /// What is to be written next for a caller who came after `before` rounds; `last` is the sequence of the last batch that it waits
    /// for, once all that waited with it was taken.
    fn next_flight(&self, before: u64, last: &mut Option<u64>) -> Option<Shared<Sending>> {
        let mut outbox = lock(&self.metering.outbox);
        if outbox.queue.is_empty() && outbox.rounds == before {
            self.buffers.settle();
            self.metering.fill(&mut outbox, self.now());
        }
        if outbox.rounds > before && outbox.written >= *last.get_or_insert(outbox.sequence) {
            return None;
        }
        self.metering.send(&mut outbox, &self.store)
    }

    pub(super) async fn forget_reports(&self, limit: usize) -> Result<usize, StoreError> {
        self.store.forget_reports(Day::of(self.now()).before(LEDGER_DAYS), limit).await
    }
}

/// An error, for each of those who wait for one flight.
fn told(error: &Arc<StoreError>) -> StoreError {
    match &**error {
        StoreError::Corrupt { row, what } => StoreError::Corrupt { row: row.clone(), what },
        StoreError::OutcomeUnknown { .. } => StoreError::OutcomeUnknown { source: Some(Arc::clone(error).into()) },
        _ => StoreError::unavailable("writing usage", Arc::clone(error)),
    }
}

impl Clove {
    /// Reports how much was used for a request: `total` is a running total, so that a stream may report as it goes. Of several
    /// totals of one grant and unit the largest counts, whatever their order and whoever reports them. It counts on the UTC day of
    /// [`Grant::at`]. Totals above [`MAX_AMOUNT`] are taken for it.
    ///
    /// It waits in memory for the next flush, a second at most where [`Clove::maintenance`] runs: a process that is killed loses
    /// what no flush has acknowledged yet. What is acknowledged is counted once, whatever fails.
    ///
    /// Budgets of the unit count it from then on. It is taken from what the request [reserved](crate::Attempt::reserving) of the unit;
    /// [`Clove::settle`] frees the rest. Of requests that reserve nothing, a budget may be overspent by what is in flight, and by what
    /// one flush interval has not told yet.
    ///
    /// # Errors
    /// [`RecordError::Reserved`] for [`Unit::requests`]; [`RecordError::TooLate`] over [`REPORT_DAYS`] days after the grant;
    /// [`RecordError::Full`] where 65,536 other amounts wait. Then nothing was taken, and what waits is kept.
    pub fn record(&self, grant: &Grant, unit: &Unit, total: u64) -> Result<(), RecordError> {
        self.report_total(grant, unit, total, false)
    }

    pub(super) fn report_total(&self, grant: &Grant, unit: &Unit, total: u64, settles: bool) -> Result<(), RecordError> {
        if unit.is_requests() {
            return Err(RecordError::Reserved);
        }
        if self.inner.now().as_micros().saturating_sub(grant.at.as_micros()) > REPORT_MICROS {
            return Err(RecordError::TooLate { at: grant.at(), days: REPORT_DAYS });
        }
        if total == 0 && !settles {
            return Ok(());
        }
        let row = &grant.known.row;
        self.inner.metering.report(grant.id, &meter(&row.owner, row.id, unit, Day::of(grant.at)), total, settles)
    }

    /// Reports as [`Clove::record`] does, and returns when it is in the store, with all usage that waited before it.
    ///
    /// Dropping the future leaves the amount to the next flush.
    ///
    /// # Errors
    /// As [`Clove::record`]; and [`RecordError::Store`] where the store fails: then the amount waits for the next flush.
    pub async fn record_durably(&self, grant: &Grant, unit: &Unit, total: u64) -> Result<(), RecordError> {
        self.record(grant, unit, total)?;
        self.inner.flush_usage().await.map_err(RecordError::Store)
    }

    /// How many requests this handle and its clones have granted without counting them in [`Unit::requests`], since those of more
    /// than 65,536 keys waited to be written by one thread. It stays 0 unless the store fails for long while many keys are used.
    #[must_use]
    pub fn uncounted_requests(&self) -> u64 {
        self.inner.metering.uncounted.load(Ordering::Relaxed)
    }
}
