//! How statements reach the server: straight, or through a pooler that gives each transaction another connection; within which time;
//! and what is tried again.

use crate::{
    cuts::Cuts,
    error::{DriverError, Failure, failed, unavailable, was_cut, was_last},
    partitions::Due,
    rows::rows_of,
    sql::{SLICE, Statements},
};
use clove_core::StoreError;
use sqlx::{
    Executor, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgArguments, PgPool, PgQueryResult, PgRow},
    query::Query,
};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{runtime::Handle, time};

/// How often a transaction is begun that loses against others, or whose connection is lost before it commits.
const ATTEMPTS: u32 = 8;
/// The longest pause before the second attempt, in microseconds; it doubles with each further one.
const FIRST_PAUSE_MICROS: u64 = 2_000;
/// How much sooner the server gives up than its client does: then it is known what became of the statement.
const HEAD_START: Duration = Duration::from_millis(250);

/// A statement with its arguments.
pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// What a transaction is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Durable when it returns, whatever the server's default is. Read committed: it holds the rows that it decides by, in one order
    /// (organization, owner, key), so that a stricter level would only add attempts.
    Durable,
    /// As above, and lost with the server's memory at most: last uses, what is given back or forgotten.
    Buffered,
    /// Reads of one moment in several statements: repeatable read, and it writes nothing.
    Snapshot,
}

/// A pool and the statements for it.
pub(crate) struct Session {
    pub(crate) pool: PgPool,
    pub(crate) sql: Statements,
    /// Of the pool's connections.
    pub(crate) cuts: Arc<Cuts>,
    /// Whether each transaction may get another connection, so that none keeps a prepared statement.
    pub(crate) is_pooled: bool,
    /// The schema's name as it stands before a table's.
    pub(crate) schema: String,
    /// Whether the logs have a table for each month.
    pub(crate) has_partitions: bool,
    /// Whether tables of months that are over may be dropped just now.
    pub(crate) drops: Due,
    pub(crate) timeout: Duration,
    begins: [SqlStr; 3],
    /// Of the runtime that the connections belong to: callers may be on another one, or on none.
    runtime: Handle,
}

impl Session {
    /// On the current runtime.
    pub(crate) fn new(
        pool: PgPool,
        schema: String,
        cuts: Arc<Cuts>,
        is_pooled: bool,
        has_partitions: bool,
        timeout: Duration,
    ) -> Self {
        let millis = timeout.as_millis();
        // A transaction that its client has left alone, a process that was stopped for instance, ends long before those who wait for its
        // rows give up.
        let idle = (timeout / 4).as_millis().max(1);
        let limits = format!(
            "SET LOCAL statement_timeout = {millis}; SET LOCAL lock_timeout = {millis}; \
             SET LOCAL idle_in_transaction_session_timeout = {idle}"
        );
        let begins = [
            format!("BEGIN ISOLATION LEVEL READ COMMITTED; {limits}; SET LOCAL synchronous_commit = on"),
            format!("BEGIN ISOLATION LEVEL READ COMMITTED; {limits}; SET LOCAL synchronous_commit = off"),
            format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {limits}"),
        ];
        let begins = begins.map(|begin| crate::sql::of_schema(&begin, ""));
        let sql = Statements::new(&schema);
        Self {
            pool,
            sql,
            cuts,
            is_pooled,
            schema,
            has_partitions,
            drops: Due::default(),
            timeout,
            begins,
            runtime: Handle::current(),
        }
    }

    /// A statement to be given its arguments.
    pub(crate) fn query<'q>(&self, sql: &SqlStr) -> Statement<'q> {
        sqlx::query(sql.clone()).persistent(!self.is_pooled)
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self, kind: Kind) -> Result<Tx<'_>, Failure> {
        let begin = match kind {
            Kind::Durable => &self.begins[0],
            Kind::Buffered => &self.begins[1],
            Kind::Snapshot => &self.begins[2],
        };
        let connection = self.in_time(self.pool.acquire()).await?;
        let mut tx = Tx { session: self, kind, connection, is_over: false };
        // By hand: where the driver's own `begin` is given up halfway, the connection goes back to the pool within a transaction.
        self.in_time((&mut *tx.connection).execute(begin.clone())).await?;
        Ok(tx)
    }

    /// All rows of one statement, which only reads. By itself it has one snapshot at any level, so that it names none: where the server's
    /// default is a stricter one, it may lose against others, and is tried again.
    pub(crate) async fn read<'q>(&self, make: impl Fn() -> Statement<'q>) -> Result<Vec<PgRow>, StoreError> {
        self.attempts(|| async {
            if self.is_pooled {
                let mut tx = self.begin(Kind::Snapshot).await?;
                let rows = tx.rows(make()).await?;
                tx.commit().await?;
                return Ok(rows);
            }
            self.in_time(make().fetch_all(&self.pool)).await
        })
        .await
    }

    /// Runs one statement that writes, in a transaction of this kind; how many rows it has written.
    pub(crate) async fn write<'q>(&self, kind: Kind, make: impl Fn() -> Statement<'q>) -> Result<u64, StoreError> {
        self.attempts(|| async {
            let mut tx = self.begin(kind).await?;
            let rows = tx.execute(make()).await?;
            tx.commit().await.map(|()| rows)
        })
        .await
    }

    /// Forgets rows up to a limit, a slice a statement, which is told how many it may; how many it were. It may be lost with the server's
    /// memory.
    pub(crate) async fn forget<'q>(&self, limit: usize, make: impl Fn(i64) -> Statement<'q>) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        while forgotten < limit {
            let slice = SLICE.min(limit - forgotten);
            let rows = self.write(Kind::Buffered, || make(rows_of(slice))).await?;
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            forgotten += rows;
            if rows < slice {
                break;
            }
        }
        Ok(forgotten)
    }

    /// A connection for one task alone, which is closed in the end: where it is no pooler's, its statements end on the server too.
    pub(crate) async fn own_connection(&self, timeout: Duration) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        connection.close_on_drop();
        if !self.is_pooled {
            let limit = format!("SET statement_timeout = {}", timeout.as_millis());
            connection.execute(crate::sql::of_schema(&limit, "")).await?;
        }
        Ok(connection)
    }

    /// Runs one statement that writes, as a transaction of its own, on a connection that is kept for the next one. Where the answer was
    /// lost, its outcome is unknown. It names no level: where the server's default is a stricter one, a row that somebody has just
    /// changed has it fail, and write nothing, where it else looked at the row anew.
    pub(crate) async fn write_once<'q>(
        &self,
        kept: &mut Option<PoolConnection<Postgres>>,
        make: impl Fn() -> Statement<'q>,
    ) -> Result<Vec<PgRow>, Failure> {
        if self.is_pooled {
            let mut tx = self.begin(Kind::Durable).await?;
            let rows = tx.rows(make()).await?;
            return tx.commit().await.map(|()| rows);
        }
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.in_time(self.pool.acquire()).await?,
        };
        let said = match time::timeout(self.timeout + HEAD_START, make().fetch_all(&mut *connection)).await {
            Ok(Err(error)) if was_cut(&error) || was_last(&error) => {
                self.cuts.met();
                DriverError::of(&error)
            }
            Ok(answered) => {
                *kept = Some(connection);
                return answered.map_err(failed);
            }
            Err(_) => DriverError::Timeout(self.timeout),
        };
        connection.close_on_drop();
        Err(Failure::Store(StoreError::OutcomeUnknown { source: Some(said.into()) }))
    }

    /// Runs `attempt`, which begins and commits a transaction, until it is done or fails for good.
    pub(crate) async fn attempts<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        On { runtime: &self.runtime, work: Some(Box::pin(self.try_often(attempt))) }.await
    }

    async fn try_often<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        for pause in pauses() {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(Failure::Store(error)) => return Err(error),
                Err(Failure::Again(_)) => time::sleep(jitter(pause)).await,
            }
        }
        Ok(attempt().await?)
    }

    fn failed(&self, error: sqlx::Error) -> Failure {
        if was_cut(&error) {
            self.cuts.met();
        }
        failed(error)
    }

    /// What the server has not answered in time has failed; nothing is committed by it, or nothing that can be told.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Failure> {
        in_time(self.timeout, work).await?.map_err(|error| self.failed(error))
    }
}

/// Gives work up that is not done in time, and a little more, since the server is to give up first.
pub(crate) async fn in_time<T>(timeout: Duration, work: impl Future<Output = T>) -> Result<T, StoreError> {
    time::timeout(timeout + HEAD_START, work).await.map_err(|_| late(timeout))
}

/// Work that finds the store's runtime wherever it is polled, and dropped.
struct On<'s, F> {
    runtime: &'s Handle,
    work: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for On<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.runtime.enter();
        match &mut self.work {
            Some(work) => work.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for On<'_, F> {
    fn drop(&mut self) {
        // A connection goes back to its pool by a task.
        let _entered = self.runtime.enter();
        self.work = None;
    }
}

pub(crate) fn late(timeout: Duration) -> StoreError {
    StoreError::unavailable("waiting for the server", DriverError::Timeout(timeout))
}

/// The longest pause after each attempt but the last, in microseconds.
pub(crate) fn pauses() -> impl Iterator<Item = u64> {
    (1..ATTEMPTS).map(|attempt| FIRST_PAUSE_MICROS << (attempt - 1))
}

/// Half of it at least: those that met once are not to meet again.
pub(crate) fn jitter(micros: u64) -> Duration {
    let mut random = [0; 8];
    // Without randomness they may meet again, and go on all the same.
    let _ = getrandom::fill(&mut random);
    let half = micros / 2;
    Duration::from_micros(half + u64::from_le_bytes(random) % half.max(1))
}

/// A transaction. Dropped before it is over, its connection is closed, and nobody else comes by it: what is under way on it is not known.
pub(crate) struct Tx<'s> {
    session: &'s Session,
    kind: Kind,
    connection: PoolConnection<Postgres>,
    is_over: bool,
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.close_on_drop();
        }
    }
}

impl<'s> Tx<'s> {
    pub(crate) fn session(&self) -> &'s Session {
        self.session
    }

    pub(crate) fn sql(&self) -> &'s Statements {
        &self.session.sql
    }

    pub(crate) fn query<'q>(&self, sql: &SqlStr) -> Statement<'q> {
        self.session.query(sql)
    }

    pub(crate) async fn rows(&mut self, statement: Statement<'_>) -> Result<Vec<PgRow>, Failure> {
        self.session.in_time(statement.fetch_all(&mut *self.connection)).await
    }

    pub(crate) async fn row(&mut self, statement: Statement<'_>) -> Result<Option<PgRow>, Failure> {
        self.session.in_time(statement.fetch_optional(&mut *self.connection)).await
    }

    pub(crate) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, Failure> {
        let done = self.session.in_time(statement.execute(&mut *self.connection)).await?;
        Ok(PgQueryResult::rows_affected(&done))
    }

    /// What it writes may be lost with the server's memory after all.
    pub(crate) async fn be_buffered(&mut self) -> Result<(), Failure> {
        let not_durable = SqlStr::from_static("SET LOCAL synchronous_commit = off");
        self.session.in_time((&mut *self.connection).execute(not_durable)).await.map(drop)
    }

    /// Once the commit has been sent, only its answer tells. What has only read needs none.
    pub(crate) async fn commit(mut self) -> Result<(), Failure> {
        let commit = (&mut *self.connection).execute(SqlStr::from_static("COMMIT"));
        let outcome = time::timeout(self.session.timeout + HEAD_START, commit).await;
        self.is_over = matches!(outcome, Ok(Ok(_)));
        let unknown = |said: DriverError| Failure::Store(StoreError::OutcomeUnknown { source: Some(said.into()) });
        match outcome {
            Ok(Ok(_)) => Ok(()),
            _ if matches!(self.kind, Kind::Snapshot) => Ok(()),
            // The server has said that it is not done: a check that only the commit makes, or a conflict.
            Ok(Err(error)) if error.as_database_error().is_some() && !is_ending(&error) => Err(failed(error)),
            Ok(Err(error)) => {
                self.session.cuts.met();
                Err(unknown(DriverError::of(&error)))
            }
            Err(_) => Err(unknown(DriverError::Timeout(self.session.timeout))),
        }
    }

    pub(crate) async fn rollback(mut self) -> Result<(), Failure> {
        let rollback = (&mut *self.connection).execute(SqlStr::from_static("ROLLBACK"));
        self.session.in_time(rollback).await?;
        self.is_over = true;
        Ok(())
    }
}

/// Whether the backend was told to end, or has ended: it may have committed before.
fn is_ending(error: &sqlx::Error) -> bool {
    was_last(error) || crate::error::code(error).is_some_and(|code| code.starts_with("57") || code.starts_with("08"))
}

/// What failed while opening.
pub(crate) fn opening(error: &sqlx::Error) -> StoreError {
    unavailable("opening the database", error)
}
