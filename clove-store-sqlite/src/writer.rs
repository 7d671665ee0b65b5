//! One thread that writes. It takes all that waits into one commit, so that many callers share an `fsync`.

use crate::{access, budgets, copies, epochs, places, transact, usage};
use chrono::{DateTime, Utc};
use clove_core::{
    AccessEntry, KeyId, StoreError, Timestamp,
    id::NodeId,
    store::{
        CopyRow, Decision, Lease, Leased, Reads, Rehash, Reserve, Reserved, SlidingCharge, SlidingCharged, Transaction,
        UnrecognizedCount, Unspent, UsageBatch,
    },
    usage::Day,
};
use futures_channel::oneshot::{self, Receiver, Sender};
use rusqlite::{Connection, ErrorCode};
use std::{
    cell::Cell,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The most jobs of one commit: it bounds how long the first of them waits for the last.
const MAX_BATCH: usize = 256;

/// The most jobs that wait. Each has had a caller, but work whose caller has gone is done too: while another process keeps the lock,
/// callers that give up and come again would add to it without end.
const MAX_WAITING: usize = 4096;
/// The most before a creation waits no more, so that no number of them keeps out what kills.
const MAX_BEFORE_CREATIONS: usize = MAX_WAITING / 2;
/// The most before telemetry waits no more; it is kept, and comes again.
const MAX_BEFORE_TELEMETRY: usize = MAX_WAITING / 4;

/// How long a batch waits for as many jobs as the one before it answered: those callers are about to come back, and sharing one
/// commit costs them less than taking turns. Less than a commit takes; a caller that comes alone never waits.
const LINGER: Duration = Duration::from_micros(100);

/// How often the lock of the file is asked for while another process has it.
const ASK_AGAIN: Duration = Duration::from_micros(500);

/// Telemetry that took longer than this to write rests as long as it took, and [`MAX_REST`] at most: other processes ask for the lock now
/// and then, and would never get it from one that takes it again at once.
const LONG: Duration = Duration::from_millis(5);
const MANY_ENTRIES: usize = 256;
const MAX_REST: Duration = Duration::from_millis(50);

/// What to write.
pub(crate) enum Work {
    Transact(Arc<Transaction>),
    Rehash(Vec<Rehash>),
    Touch(Vec<(KeyId, DateTime<Utc>)>),
    Lease(Arc<Lease>),
    ChargeSliding(Arc<SlidingCharge>),
    GiveBack(Vec<Unspent>),
    ForgetCounts(Timestamp, usize),
    NoteBound(Duration),
    CallRoll,
    AnswerRoll(NodeId, u64),
    Dismiss(Vec<NodeId>, u64),
    Record(Arc<UsageBatch>),
    ForgetReports(Day, usize),
    Reserve(Arc<Reserve>),
    LogAccess(Arc<[AccessEntry]>),
    ForgetAccess(Timestamp, usize),
    ForgetAudit(Timestamp, usize),
    CountUnrecognized(Vec<UnrecognizedCount>),
    Import(Arc<[CopyRow]>),
}

impl Work {
    fn is_telemetry(&self) -> bool {
        match self {
            Self::Transact(_) | Self::Lease(_) | Self::ChargeSliding(_) | Self::Reserve(_) => false,
            Self::CallRoll | Self::AnswerRoll(..) => false,
            // Few entries may be those that requests wait for.
            Self::LogAccess(entries) => entries.len() > MANY_ENTRIES,
            _ => true,
        }
    }

    /// How many jobs may wait before this one. Commands on a key that exists have all the room: some kill.
    fn most_before(&self) -> usize {
        match self {
            Self::Transact(transaction) if matches!(transaction.reads, Reads::Owner { .. } | Reads::Budget { .. }) => {
                MAX_BEFORE_CREATIONS
            }
            // Few, and who kills waits for them.
            Self::Transact(_) | Self::CallRoll | Self::AnswerRoll(..) => MAX_WAITING,
            // Requests wait for it, and deny nobody by waiting.
            Self::Lease(_) | Self::ChargeSliding(_) | Self::Reserve(_) | Self::LogAccess(_) => MAX_BEFORE_CREATIONS,
            Self::Rehash(_)
            | Self::Touch(_)
            | Self::GiveBack(_)
            | Self::Record(_)
            | Self::NoteBound(_)
            | Self::Dismiss(..)
            | Self::ForgetCounts(..)
            | Self::ForgetReports(..)
            | Self::ForgetAccess(..)
            | Self::ForgetAudit(..)
            | Self::CountUnrecognized(_)
            | Self::Import(_) => MAX_BEFORE_TELEMETRY,
        }
    }
}

/// What was done.
pub(crate) enum Done {
    Decided(Decision),
    Leased(Vec<Leased>),
    ChargedSliding(SlidingCharged),
    Reserved(Reserved),
    Called(u64),
    Forgotten(usize),
    Imported(usize),
    Written,
}

type Outcome = Result<Done, StoreError>;

struct Job {
    work: Work,
    reply: Sender<Outcome>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// How many jobs wake the thread.
    wanted: usize,
    /// Whether it rests, and is woken by what is no telemetry.
    rests: bool,
    closed: bool,
    ended: bool,
    /// Those who wait for the thread to end; they hear of it as these are dropped.
    watchers: Vec<Sender<()>>,
}

/// The writing thread. Closed or dropped, it writes all that waits by itself, and ends.
pub(crate) struct Writer {
    queue: Arc<Queue>,
}

impl Writer {
    /// Its connection is closed after those of `readers`, which end before it: the last one out moves the log into the file, and
    /// of two that leave at once neither might.
    pub(crate) fn start(connection: Connection, readers: Vec<JoinHandle<()>>, patience: Duration) -> Result<Self, StoreError> {
        connection.busy_handler(Some(ask_again)).map_err(crate::schema::opening)?;
        let queue = Arc::<Queue>::default();
        let theirs = Arc::clone(&queue);
        let run = move || {
            let _ended = Ended(&theirs);
            PATIENCE.set(patience);
            theirs.run(connection, readers);
        };
        thread::Builder::new()
            .name("clove-sqlite-write".into())
            .spawn(run)
            .map_err(|error| StoreError::unavailable("starting the writing thread", error))?;
        Ok(Self { queue })
    }

    /// Writes; the answer comes after the commit. A caller that stops waiting leaves the work to be done whole.
    pub(crate) async fn write(&self, work: Work) -> Outcome {
        self.push(work).await.unwrap_or(Err(StoreError::OutcomeUnknown { source: None }))
    }

    fn push(&self, work: Work) -> Receiver<Outcome> {
        let (reply, answer) = oneshot::channel();
        let mut state = self.queue.lock();
        let refused = if state.closed {
            Some("writing to a store that was closed")
        } else {
            (state.waiting.len() >= work.most_before()).then_some("writing: too many writes wait already")
        };
        if let Some(what) = refused {
            let _ = reply.send(Err(StoreError::Unavailable { what, source: None }));
            return answer;
        }
        let ends_rest = state.rests && !work.is_telemetry();
        state.waiting.push_back(Job { work, reply });
        // With others waiting the thread is awake, or about to be; or it waits for a whole batch.
        let wakes = state.waiting.len() == 1 || state.waiting.len() == state.wanted || ends_rest;
        drop(state);
        if wakes {
            self.queue.work.notify_one();
        }
        answer
    }

    /// Has the thread write all that waits, and end. What is given resolves when it has; nothing blocks.
    pub(crate) fn close(&self) -> Receiver<()> {
        let (watcher, ended) = oneshot::channel();
        let mut state = self.queue.lock();
        state.closed = true;
        if !state.ended {
            state.watchers.push(watcher);
        }
        drop(state);
        self.queue.work.notify_one();
        ended
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.close());
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, connection: Connection, readers: Vec<JoinHandle<()>>) {
        let (mut last, mut rest) = (0, Duration::ZERO);
        while let Some(batch) = self.next_batch(last, rest) {
            last = batch.len();
            let is_telemetry = batch.iter().all(|job| job.work.is_telemetry());
            let began = Instant::now();
            commit_batch(&connection, batch);
            let took = began.elapsed();
            rest = if is_telemetry && took > LONG { took.min(MAX_REST) } else { Duration::ZERO };
        }
        for reader in readers {
            // It answers for what panics in it; nothing else is to be learnt from how it ended.
            let _ = reader.join();
        }
    }

    /// What waits, after one that answered `last` jobs; telemetry alone not before a `rest`.
    fn next_batch(&self, last: usize, rest: Duration) -> Option<Vec<Job>> {
        let mut state = self.lock();
        let rests_until = Instant::now() + rest;
        loop {
            let rest = rests_until.saturating_duration_since(Instant::now());
            let is_telemetry = state.waiting.iter().all(|job| job.work.is_telemetry());
            state = match (state.waiting.is_empty(), state.closed) {
                (true, true) => return None,
                (true, false) => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                (false, false) if is_telemetry && !rest.is_zero() => {
                    state.rests = true;
                    let mut state = self.work.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
                    state.rests = false;
                    state
                }
                (false, _) => break,
            };
        }
        if last > 1 {
            state.wanted = last;
            let few = |state: &mut State| state.waiting.len() < last && !state.closed;
            state = self.work.wait_timeout_while(state, LINGER, few).unwrap_or_else(PoisonError::into_inner).0;
            state.wanted = 0;
        }
        let count = state.waiting.len().min(MAX_BATCH);
        Some(state.waiting.drain(..count).collect())
    }
}

thread_local! {
    /// How long this thread waits for other processes' writes, and since when.
    static PATIENCE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static ASKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// SQLite's own way sleeps for ever longer, up to 100 ms: from a process that has always more to write, it gets the lock by chance alone,
/// and seldom within a second.
fn ask_again(times: i32) -> bool {
    let asked = ASKED.get().filter(|_| times > 0).unwrap_or_else(Instant::now);
    ASKED.set(Some(asked));
    let waits = asked.elapsed() < PATIENCE.get();
    if waits {
        thread::sleep(ASK_AGAIN);
    }
    waits
}

/// However the thread ends, nobody waits for it in vain: a job that is dropped tells its caller so. The connection is closed by
/// then.
struct Ended<'q>(&'q Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        (state.closed, state.ended) = (true, true);
        let left = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.watchers));
        drop(state);
        drop(left);
    }
}

/// Runs all jobs in one transaction.
fn commit_batch(connection: &Connection, batch: Vec<Job>) {
    if let Err(error) = begin(connection) {
        return fail_all(batch, error);
    }
    // A job seldom fails: together they need no savepoints, which cost more than the jobs. The first that does ends the run:
    // SQLite may have ended the transaction with it (a full disk), and outside of one each statement would commit by itself.
    let mut results: Vec<Outcome> = Vec::with_capacity(batch.len());
    while let Some(job) = batch.get(results.len()) {
        results.push(run(connection, &job.work));
        if matches!(results.last(), Some(Err(_))) {
            break;
        }
    }
    let undo = batch.len() > 1 && results.iter().any(Result::is_err);
    if !undo {
        return finish(connection, batch.into_iter().map(|job| job.reply).zip(results).collect());
    }
    // One did: all of it is undone, and done again so that each failure undoes its own job alone.
    if connection.is_autocommit() || roll_back(connection).is_ok() {
        commit_apart(connection, batch);
    } else {
        let unknown = || Err(StoreError::OutcomeUnknown { source: None });
        batch.into_iter().for_each(|job| drop(job.reply.send(unknown())));
    }
}

fn fail_all(jobs: impl IntoIterator<Item = Job>, error: rusqlite::Error) {
    let error = Arc::new(error);
    for job in jobs {
        // A caller that has gone does not want to know.
        let _ = job.reply.send(Err(StoreError::unavailable("waiting for other writers", Arc::clone(&error))));
    }
}

/// Runs all jobs in one transaction, each behind a savepoint. Where SQLite ends the transaction by itself (a full disk), those
/// before fail too, and those after begin a new one.
fn commit_apart(connection: &Connection, batch: Vec<Job>) {
    let mut rest = batch.into_iter().peekable();
    while rest.peek().is_some() {
        if let Err(error) = begin(connection) {
            return fail_all(rest, error);
        }
        let mut done = Vec::with_capacity(rest.len());
        for job in rest.by_ref() {
            done.push((job.reply, run_apart(connection, &job.work)));
            if connection.is_autocommit() {
                break;
            }
        }
        finish(connection, done);
    }
}

/// Runs a job so that its failure undoes it alone.
fn run_apart(connection: &Connection, work: &Work) -> Outcome {
    execute(connection, "SAVEPOINT job").map_err(crate::read::failed)?;
    let result = run(connection, work);
    if !connection.is_autocommit() {
        let undone = if result.is_err() { execute(connection, "ROLLBACK TO job") } else { Ok(()) };
        if let Err(error) = undone.and_then(|()| execute(connection, "RELEASE job")) {
            // What cannot be undone alone is undone with the jobs before it: no half of it is ever committed.
            roll_back(connection)?;
            return Err(crate::read::failed(error));
        }
    }
    result
}

fn run(connection: &Connection, work: &Work) -> Outcome {
    let run = || match work {
        Work::Transact(transaction) => transact::transact(connection, transaction).map(Done::Decided),
        Work::Rehash(changes) => transact::rehash(connection, changes).map(|()| Done::Written),
        Work::Touch(uses) => transact::touch(connection, uses).map(|()| Done::Written),
        Work::Lease(lease) => places::lease(connection, lease).map(Done::Leased),
        Work::ChargeSliding(charge) => places::charge_sliding(connection, charge).map(Done::ChargedSliding),
        Work::GiveBack(unspent) => places::give_back(connection, unspent).map(|()| Done::Written),
        Work::ForgetCounts(now, limit) => places::forget(connection, *now, *limit).map(Done::Forgotten),
        Work::NoteBound(bound) => epochs::note_bound(connection, *bound).map(|()| Done::Written),
        Work::CallRoll => epochs::call_roll(connection).map(Done::Called),
        Work::AnswerRoll(node, number) => epochs::answer_roll(connection, *node, *number).map(|()| Done::Written),
        Work::Dismiss(nodes, number) => epochs::dismiss(connection, nodes, *number).map(|()| Done::Written),
        Work::Record(batch) => usage::record(connection, batch).map(|()| Done::Written),
        Work::ForgetReports(before, limit) => usage::forget(connection, *before, *limit).map(Done::Forgotten),
        Work::Reserve(reserve) => budgets::reserve(connection, reserve).map(Done::Reserved),
        Work::LogAccess(entries) => access::log(connection, entries).map(|()| Done::Written),
        Work::ForgetAccess(before, limit) => access::forget(connection, *before, *limit).map(Done::Forgotten),
        Work::ForgetAudit(before, limit) => access::forget_audit(connection, *before, *limit).map(Done::Forgotten),
        Work::CountUnrecognized(counts) => access::count_unrecognized(connection, counts).map(|()| Done::Written),
        Work::Import(rows) => copies::import(connection, rows).map(Done::Imported),
    };
    // A decision is the core's code, which does not panic; if it does, this thread must outlive it.
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or(Err(StoreError::Unavailable { what: "running a decision that panicked", source: None }))
}

/// Commits, and answers all. Nobody hears of success before it is durable.
fn finish(connection: &Connection, done: Vec<(Sender<Outcome>, Outcome)>) {
    let alone_and_failed = matches!(done.as_slice(), [(_, Err(_))]);
    let failure = if connection.is_autocommit() {
        Some(Failure::EndedByItself)
    } else if alone_and_failed {
        // Where this fails, the next batch begins with it; the job has failed either way.
        let _ = roll_back(connection);
        None
    } else {
        commit(connection).err()
    };
    for (reply, result) in done {
        let result = match &failure {
            Some(failure) => result.and_then(|_| Err(failure.told())),
            None => result,
        };
        // A caller that has gone does not want to know.
        let _ = reply.send(result);
    }
}

/// Why jobs that went well by themselves were not committed; each is told with its cause.
enum Failure {
    EndedByItself,
    RolledBack(Arc<rusqlite::Error>),
    Unknown(Arc<rusqlite::Error>),
}

impl Failure {
    fn told(&self) -> StoreError {
        match self {
            Self::EndedByItself => StoreError::Unavailable { what: "writing: the transaction was rolled back", source: None },
            Self::RolledBack(error) => StoreError::unavailable("committing", Arc::clone(error)),
            Self::Unknown(error) => StoreError::OutcomeUnknown { source: Some(Arc::clone(error).into()) },
        }
    }
}

fn begin(connection: &Connection) -> Result<(), rusqlite::Error> {
    if !connection.is_autocommit() {
        // A roll-back that failed earlier: nobody was told that its writes hold.
        execute(connection, "ROLLBACK")?;
    }
    execute(connection, "BEGIN IMMEDIATE")
}

fn commit(connection: &Connection) -> Result<(), Failure> {
    let Err(error) = execute(connection, "COMMIT") else { return Ok(()) };
    let nothing_written = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull));
    let rolled_back = connection.is_autocommit() || roll_back(connection).is_ok();
    let error = Arc::new(error);
    // An fsync that failed may have reached the disk.
    Err(if nothing_written && rolled_back { Failure::RolledBack(error) } else { Failure::Unknown(error) })
}

fn roll_back(connection: &Connection) -> Result<(), StoreError> {
    execute(connection, "ROLLBACK").map_err(crate::read::failed)
}

fn execute(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

#[cfg(test)]
mod tests;
