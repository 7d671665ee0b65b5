//! A database of a test's own on the server of the tests, dropped at the end.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::SystemTime,
};

pub(crate) struct Database {
    name: String,
    pub(crate) url: String,
}

impl Database {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (now, number) = (SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos(), NUMBER.fetch_add(1, Ordering::Relaxed));
        // Others' tests, and earlier ones, are on the same server.
        let name = format!("clove_test_{}_{now}_{number}", std::process::id());
        execute(format!("CREATE DATABASE {name}"));
        let url = format!("{}/{name}", server().rsplit_once('/').unwrap().0);
        Self { name, url }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        execute(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

fn server() -> String {
    std::env::var("CLOVE_TEST_POSTGRES")
        .unwrap_or_else(|_| panic!("run it beside the servers of the tests: cargo xtask servers -- cargo test ..."))
}

/// On a thread of its own: this one may be a runtime's.
fn execute(statement: String) {
    let executing = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&server()).await.unwrap();
            connection.execute(AssertSqlSafe(statement)).await.unwrap();
        });
    });
    let executed = executing.join();
    assert!(std::thread::panicking() || executed.is_ok(), "a database could not be made, or dropped");
}
