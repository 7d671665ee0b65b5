//! A real server, and a schema of its own for each store.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "tests; each file uses its part")]

use clove_core::OperationId;
use clove_store_postgres::{Options, PostgresStore};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::sync::Mutex;

/// How a store gets to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Straight.
    Direct,
    /// Through PgBouncer in transaction mode.
    Pooled,
}

/// The URL of the server.
pub(crate) fn url(way: Way) -> String {
    let name = match way {
        Way::Direct => "CLOVE_TEST_POSTGRES",
        Way::Pooled => "CLOVE_TEST_PGBOUNCER",
    };
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} names no server: run `cargo xtask test`, or one test by `cargo xtask servers -- cargo test ...`, which bring one")
    })
}

/// The server's port.
pub(crate) fn port() -> u16 {
    let url = url(Way::Direct);
    url.rsplit(':').next().and_then(|rest| rest.split('/').next()).unwrap().parse().unwrap()
}

/// The URL of what listens on another port before the server.
pub(crate) fn url_by(other: u16) -> String {
    url(Way::Direct).replace(&format!(":{}/", port()), &format!(":{other}/"))
}

/// Schemas that are dropped at the end.
pub(crate) struct Schemas {
    way: Way,
    names: Mutex<Vec<String>>,
}

impl Schemas {
    pub(crate) fn new(way: Way) -> Self {
        Self { way, names: Mutex::default() }
    }

    /// The name of a new one.
    pub(crate) fn name(&self) -> String {
        let id = OperationId::new(chrono::Utc::now()).to_string().replace('-', "");
        let name = format!("clove_test_{id}");
        self.names.lock().unwrap().push(name.clone());
        name
    }

    /// Of a schema of this name.
    pub(crate) fn options_of(&self, name: &str) -> Options {
        Options::url(&url(self.way)).unwrap().schema(name).connections(6)
    }

    pub(crate) fn options(&self) -> Options {
        self.options_of(&self.name())
    }

    /// An empty store.
    pub(crate) async fn store(&self) -> PostgresStore {
        self.options().open().await.unwrap()
    }
}

impl Drop for Schemas {
    fn drop(&mut self) {
        let names = std::mem::take(&mut *self.names.lock().unwrap());
        // On a thread of its own: this one may be a runtime's.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&url(Way::Direct)).await.unwrap();
                for name in names {
                    let drop = format!("SET lock_timeout = '10s'; DROP SCHEMA IF EXISTS {name} CASCADE");
                    connection.execute(AssertSqlSafe(drop)).await.unwrap();
                }
            });
        });
        let dropped = dropping.join();
        assert!(std::thread::panicking() || dropped.is_ok(), "the schemas of this test could not be dropped");
    }
}
