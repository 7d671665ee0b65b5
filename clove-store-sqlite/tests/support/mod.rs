//! What several files of tests need.

#![allow(dead_code, reason = "each file uses its part")]

use chrono::Utc;
use clove_core::{
    OperationId, OrganizationId, Scope,
    store::{Changes, Decision, Facts, OrganizationRecord, Reads, Transaction},
};
use rusqlite::Connection;
use std::{
    future::{Future, ready},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(crate) fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    (folder, path)
}

pub(crate) fn acme() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

pub(crate) fn transaction(decide: impl Fn(&Facts) -> Decision + Send + Sync + 'static) -> Arc<Transaction> {
    Arc::new(Transaction::new(OperationId::new(Utc::now()), Reads::Flag(Scope::from(&acme())), decide))
}

/// Writes the row of an organization.
pub(crate) fn write() -> Arc<Transaction> {
    transaction(|_: &Facts| {
        let organization = Some(OrganizationRecord { id: acme(), open: true });
        Decision::Commit(Changes { organization, ..Changes::default() })
    })
}

/// Another process's write, which all others wait for until it is released.
pub(crate) fn lock(path: &Path) -> Connection {
    let lock = Connection::open(path).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    lock
}

/// Has a future begin, and gives up on it unless it is done at once.
pub(crate) async fn begin(future: impl Future) {
    tokio::select! {
        biased;
        _ = future => {}
        () = ready(()) => {}
    }
}

/// Waits for what another thread or process does.
pub(crate) fn wait_until(mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "not done within a minute");
        thread::sleep(Duration::from_millis(1));
    }
}
