//! The server that all these figures are measured on, and a schema of its own for each.

use clove_store_postgres::{Options, PostgresStore};
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};
use tokio::runtime::{Builder, Runtime};

const NAMED_BY: &str = "CLOVE_TEST_POSTGRES";
const POOLER_NAMED_BY: &str = "CLOVE_TEST_PGBOUNCER";

/// The URL of the server, or what is to be done to have one.
pub(crate) fn url() -> Result<String, String> {
    std::env::var(NAMED_BY).map_err(|_| format!("{NAMED_BY} names no server: `cargo xtask bench --postgres` brings one"))
}

/// The same of the pooler before it.
pub(crate) fn pooler_url() -> Result<String, String> {
    std::env::var(POOLER_NAMED_BY)
        .map_err(|_| format!("{POOLER_NAMED_BY} names no PgBouncer: `cargo xtask bench --postgres` brings one"))
}

fn known_url() -> String {
    url().unwrap_or_else(|missing| panic!("{missing}"))
}

/// As a service has one: two threads.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Work on a thread of the runtime: on the one that waits, each wake-up would be another thread's.
pub(crate) fn on<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    runtime.block_on(runtime.spawn(work)).expect("no panic")
}

/// A connection of its own for what is not measured.
pub(crate) async fn connect() -> PgConnection {
    PgConnection::connect(&known_url()).await.expect("a connection")
}

/// Statements of the bench's own.
pub(crate) async fn execute(connection: &mut PgConnection, sql: String) {
    connection.execute(AssertSqlSafe(sql)).await.expect("a statement");
}

/// What limits run on: the same driver, and no ping before a connection is used.
pub(crate) async fn bare_pool(connections: u32) -> PgPool {
    use sqlx::ConnectOptions;
    let options = PgConnectOptions::from_str(&known_url()).expect("a URL").disable_statement_logging();
    let pool = PgPoolOptions::new().min_connections(connections).max_connections(connections).test_before_acquire(false);
    pool.connect_with(options).await.expect("a pool")
}

/// A schema, dropped at the end.
pub(crate) struct Schema {
    name: String,
}

impl Schema {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        Self::named(format!("clove_bench_{}_{}", std::process::id(), NUMBER.fetch_add(1, Relaxed)))
    }

    pub(crate) fn named(name: String) -> Self {
        Self { name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn options(&self) -> Options {
        self.options_at(&known_url())
    }

    /// Through something that stands before the server.
    pub(crate) fn options_at(&self, url: &str) -> Options {
        Options::url(url).expect("a URL").schema(&self.name)
    }

    pub(crate) async fn store(&self) -> PostgresStore {
        self.options().open().await.expect("a store")
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // Those who measured with it may still be writing what they have buffered: it waits for them, and no longer than a moment.
        let drop = format!("SET lock_timeout = '10s'; DROP SCHEMA IF EXISTS {} CASCADE", self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async { connect().await.execute(AssertSqlSafe(drop)).await.map(|_| ()) })
        });
        if !matches!(dropping.join(), Ok(Ok(()))) {
            eprintln!("the schema {} could not be dropped", self.name);
        }
    }
}
