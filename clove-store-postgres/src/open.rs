//! Opening a store.

use crate::{
    Inner, PostgresStore,
    create::Creations,
    cuts::Cuts,
    error::DriverError,
    lookup::Lookups,
    partitions::{self, Calendar},
    schema::{Layout, migrate, recognise},
    session::{Session, in_time, opening},
};
use clove_core::StoreError;
use sqlx::{
    ConnectOptions, Connection, Executor, Postgres, Row, SqlStr,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions},
};
use std::{fmt, str::FromStr, sync::Arc, time::Duration};

/// The fewest connections that a pool must allow: two tasks keep one each for look-ups, two for creations as long as these come, two take
/// one each for as long as they look at owners that are full, and commands and polls are not to be left without any.
const FEWEST: u32 = 8;
/// The longest that a statement may be given: the server counts its milliseconds in 31 bits, and nobody waits for so long.
const LONGEST: Duration = Duration::from_secs(3600);
/// A connection that was idle for longer, or when another one was cut, is asked whether it lives before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// The longest name of a schema, in bytes: Postgres cuts longer ones.
const MAX_NAME: usize = 63;

/// How long a connection may take to say that it lives, or to begin a transaction beside another one.
const PATIENCE: Duration = Duration::from_secs(1);
const COMMIT: SqlStr = SqlStr::from_static("COMMIT");

#[derive(Clone)]
enum Server {
    Connect(Box<PgConnectOptions>),
    Pool(PgPool),
}

/// How to open a store. What is shown of it by `Debug` is not the server, whose URL may hold a password.
#[derive(Clone)]
pub struct Options {
    server: Server,
    schema: String,
    connections: u32,
    timeout: Duration,
    migrate: bool,
    partitions: bool,
    prepared: Option<bool>,
}

impl Options {
    fn of(server: Server) -> Self {
        Self {
            server,
            schema: "clove".to_owned(),
            connections: 10,
            timeout: Duration::from_secs(5),
            migrate: true,
            partitions: true,
            prepared: None,
        }
    }

    /// A pool of its own to the server of this URL, `postgres://user:password@host:port/database`; `?sslmode=verify-full` and the
    /// like need the feature `tls`. The roots are those of webpki, and what is in the file that `sslrootcert` names.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the URL cannot be read.
    pub fn url(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(|error| opening(&error))?;
        Ok(Self::of(Server::Connect(Box::new(options))))
    }

    /// The host's own pool, which must allow at least 8 connections: two of them are kept for look-ups, two for creations as long as these
    /// come, and two are taken for a moment each where creations are refused. PgBouncer takes none that asks for
    /// `extra_float_digits`, as sqlx's do unless told not to (`PgConnectOptions::extra_float_digits(None)`).
    /// A connection whose server has gone silent is lost to it for as long as the system takes to find out, unless its `after_release` asks,
    /// and does not wait for long.
    #[must_use]
    pub fn pool(pool: PgPool) -> Self {
        Self::of(Server::Pool(pool))
    }

    /// The schema that holds clove's tables, `clove` unless set; see [`Options::open`] for the names that may be.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// How many connections a pool of its own opens at most; 10 unless set, and at least 8.
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(FEWEST);
        self
    }

    /// How long a statement may take, or wait for a lock, before it has failed; 5 seconds unless set, from a millisecond to an hour. A look-up
    /// has a second at most. So long may each step of opening take, too, but for what changes the schema, which takes its time once it
    /// has its locks, and waits for each of them no longer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// Whether opening creates the schema, and brings an older one to this build's version, as it does unless set otherwise. Many nodes
    /// may do so at once. Set it to false where the service's role may not: then [`Options::migrate_now`] does it beforehand, as
    /// the schema's owner.
    #[must_use]
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Whether a new schema keeps the access log and the audit trail in partitions by month, as it does unless set otherwise. Set
    /// it to false for a server that has no partitions by range. A store that was opened so makes no month's table, and drops none, also
    /// where the schema has them: what is forgotten goes row by row.
    #[must_use]
    pub fn partitions(mut self, partitions: bool) -> Self {
        self.partitions = partitions;
        self
    }

    /// Whether connections keep prepared statements. Unless set, opening finds out: through a pooler that gives each transaction
    /// another connection, such as PgBouncer, they do not. Whoever says `true` behind such a pooler meets statements that another's
    /// connection has prepared, or nobody: each call may fail.
    #[must_use]
    pub fn prepared(mut self, prepared: bool) -> Self {
        self.prepared = Some(prepared);
        self
    }

    /// Opens the store. Needs a tokio runtime, on which its tasks run.
    ///
    /// # Errors
    /// - [`StoreError::NewerSchema`]: a newer build of clove has changed the schema so that this one must not use it.
    /// - [`StoreError::Foreign`]: there is no schema of clove, or an older one, and it is not to be migrated.
    /// - [`StoreError::Unavailable`], with its cause: the server cannot be reached, is no primary, refuses, or gives no answer in time;
    ///   what migrates waits for a table that others use, or for another process that migrates, for too long; the name of the schema is
    ///   not 1 to 63 small letters of ASCII, digits and underscores that begin with no digit; or the pool is too small.
    pub async fn open(self) -> Result<PostgresStore, StoreError> {
        let server = self.reach().await?;
        if !recognise(&server).await? {
            if !self.migrate {
                let what = "no schema of this version: migrate it first (Options::migrate_now), as its owner";
                return Err(StoreError::Foreign { what });
            }
            migrate(&server, self.layout()).await?;
        }
        let is_pooled = match self.prepared {
            Some(prepared) => !prepared,
            None => is_behind_a_pooler(&server).await?,
        };
        let Reached { pool, schema, timeout, .. } = &server;
        // Nothing is asked of a server that may have no such catalogue.
        let has_partitions = self.partitions && server.step(partitions::are_there(pool, schema)).await?;
        let provides = has_partitions && self.migrate;
        if provides {
            let mut connection = server.connection().await?;
            partitions::provide(&mut connection, schema, *timeout).await?;
        }
        let Reached { pool, schema, cuts, timeout } = server;
        let session = Arc::new(Session::new(pool, schema, cuts, is_pooled, has_partitions, timeout));
        let (lookups, creations) = (Lookups::start(&session), Creations::start(&session));
        let calendar = Calendar::new(provides);
        Ok(PostgresStore { inner: Arc::new(Inner { session, lookups, creations, calendar }) })
    }

    /// Creates the schema, or brings it to this build's version, and opens nothing.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub async fn migrate_now(self) -> Result<(), StoreError> {
        let server = self.reach().await?;
        recognise(&server).await?;
        migrate(&server, self.layout()).await
    }

    /// The statements that give a role what this build needs at run time in the schema, and take whatever else it had there: no
    /// table is made, changed or emptied by it, and no audit event changed. The schema's owner runs them after
    /// [`Options::migrate_now`], and again after that of a newer build; the role then opens with `migrate(false)`. Not for the
    /// owner's own role, which would lose what it has.
    ///
    /// Such a role makes no tables for months to come: let the owner's [`Options::migrate_now`] run once a month or more often, or the
    /// logs go on in one table for the rest. Nor does it drop any: what is forgotten goes row by row.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: as [`Options::open`] of the name of the schema.
    pub fn grants(&self, role: &str) -> Result<String, StoreError> {
        Ok(crate::grants::script(&self.quoted_schema()?, role))
    }

    fn layout(&self) -> Layout {
        Layout { partitions: self.partitions }
    }

    /// The name as it stands before a table's.
    fn quoted_schema(&self) -> Result<String, StoreError> {
        let is_plain = |byte: u8| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let name = self.schema.as_bytes();
        let begins_well = name.first().is_some_and(|first| !first.is_ascii_digit());
        if !begins_well || name.len() > MAX_NAME || !name.iter().copied().all(is_plain) {
            let what =
                "the schema's name must be 1 to 63 small letters of ASCII, digits and underscores, and begin with no digit";
            return Err(StoreError::Unavailable { what, source: None });
        }
        Ok(format!("\"{}\".", self.schema))
    }

    async fn reach(&self) -> Result<Reached, StoreError> {
        let cuts = Arc::new(Cuts::none_yet());
        let reached = Reached { schema: self.quoted_schema()?, pool: self.connect(&cuts).await?, cuts, timeout: self.timeout };
        unless_read_only(&reached).await?;
        Ok(reached)
    }

    async fn connect(&self, cuts: &Arc<Cuts>) -> Result<PgPool, StoreError> {
        let pool = match &self.server {
            Server::Pool(pool) => pool.clone(),
            Server::Connect(options) => {
                // PgBouncer refuses settings that it does not know of.
                let options = options.as_ref().clone().extra_float_digits(None).disable_statement_logging();
                let cuts = Arc::clone(cuts);
                let pool = PgPoolOptions::new()
                    .max_connections(self.connections)
                    .acquire_timeout(self.timeout)
                    .test_before_acquire(false)
                    .before_acquire(move |connection, metadata| {
                        let is_trusted = metadata.idle_for <= TRUSTED_FOR && !cuts.may_have_cut(metadata.idle_for);
                        Box::pin(async move {
                            if !is_trusted {
                                answers(connection).await?;
                            }
                            Ok(true)
                        })
                    })
                    // The pool asks too, and would wait for as long as the system takes to find out that the server has gone
                    // silent, a quarter of an hour for instance; meanwhile it were one connection short, and soon all of them.
                    .after_release(|connection, _| Box::pin(async move { answers(connection).await.map(|()| true) }));
                in_time(self.timeout, pool.connect_with(options)).await?.map_err(|error| match error {
                    // Nobody else has one: the server does not answer.
                    sqlx::Error::PoolTimedOut => {
                        StoreError::unavailable("connecting to the server", DriverError::Timeout(self.timeout))
                    }
                    error => opening(&error),
                })?
            }
        };
        if pool.options().get_max_connections() < FEWEST {
            let what = "the pool must allow at least 8 connections: two are kept for look-ups, two for creations as long as these come, and two \
                        are taken where creations are refused";
            return Err(StoreError::Unavailable { what, source: None });
        }
        Ok(pool)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server: _, schema, connections, timeout, migrate, partitions, prepared } = self;
        let mut shown = f.debug_struct("Options");
        shown.field("schema", schema).field("connections", connections).field("timeout", timeout).field("migrate", migrate);
        shown.field("partitions", partitions).field("prepared", prepared).finish_non_exhaustive()
    }
}

/// What is being opened.
pub(crate) struct Reached {
    pub(crate) pool: PgPool,
    /// The name as it stands before a table's.
    pub(crate) schema: String,
    /// Of the pool's connections.
    pub(crate) cuts: Arc<Cuts>,
    /// How long a step may take.
    pub(crate) timeout: Duration,
}

impl Reached {
    /// One step: nobody is to wait for a server that has gone silent.
    pub(crate) async fn step<T>(&self, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        in_time(self.timeout, work).await?.map_err(|error| opening(&error))
    }

    /// A connection that is closed in the end: given up halfway, it may be within a transaction.
    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let mut connection = self.step(self.pool.acquire()).await?;
        connection.close_on_drop();
        Ok(connection)
    }
}

/// A standby hears of changes late; and what can only be read keeps no count.
async fn unless_read_only(server: &Reached) -> Result<(), StoreError> {
    let setting = SqlStr::from_static("SELECT current_setting('transaction_read_only')");
    let row = server.step(sqlx::raw_sql(setting).fetch_one(&server.pool)).await?;
    match row.try_get_unchecked::<&str, _>(0).map_err(|error| opening(&error))? {
        "off" => Ok(()),
        _ => {
            let what = "opening a server, or as a role, that may only read: it must be the primary";
            Err(StoreError::Unavailable { what, source: None })
        }
    }
}

/// Asks a connection whether it lives, and whatever it was asked before; one that does not say so soon is as good as lost.
async fn answers(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let silent = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(PATIENCE, connection.ping()).await.map_err(silent)?
}

/// Whether a pooler gives each transaction a connection of its choice: then what a connection prepares is another's the next time. Two
/// connections have a transaction at the same time, and end them in either order: whether a pooler hands out what was released last
/// or first, one of them comes to the other's backend.
async fn is_behind_a_pooler(server: &Reached) -> Result<bool, StoreError> {
    let (mut one, mut other) = (server.connection().await?, server.connection().await?);
    let first = server.step(begin(&mut one)).await?;
    // More than once: another client of the pooler may come in between.
    for one_ends_first in [true, false].repeat(4) {
        // A pooler with a single connection has none for the other.
        match tokio::time::timeout(PATIENCE, begin(&mut other)).await {
            Ok(begun) => drop(begun.map_err(|error| opening(&error))?),
            Err(_) => return Ok(true),
        }
        let (sooner, later) = if one_ends_first { (&mut one, &mut other) } else { (&mut other, &mut one) };
        server.step(sooner.execute(COMMIT)).await?;
        server.step(later.execute(COMMIT)).await?;
        if server.step(begin(&mut one)).await? != first {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Begins a transaction; which backend serves it.
async fn begin(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    connection.execute(SqlStr::from_static("BEGIN")).await?;
    // Whether it may be prepared is what is to be found out.
    let row = sqlx::raw_sql("SELECT CAST(pg_backend_pid() AS bigint)").fetch_one(connection).await?;
    row.try_get_unchecked(0)
}
