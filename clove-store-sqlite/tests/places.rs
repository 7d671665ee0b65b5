//! Places of request windows that are given back by the thousand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use clove_core::{
    Owner, Store, StoreError, Timestamp, Window,
    id::NodeId,
    limit::Subject,
    store::{Lease, Unspent, Want},
};
use clove_store_sqlite::SqliteStore;
use rusqlite::Connection;
use std::{path::Path, sync::Arc, time::Duration};
use support::{begin, file};

const PLACES: i64 = 2_500;

/// A place each of so many windows, taken and to be given back.
async fn taken(store: &SqliteStore) -> Vec<Unspent> {
    let (at, window) = (Timestamp::from_micros(1_800_000_000_000_000).unwrap(), Window::new(1, Duration::from_secs(1)).unwrap());
    let subject = Subject::Account(Arc::new(Owner::new("acme", "ada").unwrap()));
    let start = |second: i64| Timestamp::from_micros(at.as_micros() + second * 1_000_000).unwrap();
    let wants = (0..PLACES).map(|second| Want { window, start: start(second), least: 1, wanted: 1 }).collect();
    store.lease(Arc::new(Lease { node: NodeId::new(at), at, subject: subject.clone(), wants })).await.unwrap();
    (0..PLACES).map(|second| Unspent { subject: subject.clone(), seconds: 1, start: start(second), places: 1 }).collect()
}

fn charged(path: &Path) -> i64 {
    Connection::open(path).unwrap().query_row("SELECT sum(places) FROM counts", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_transaction_gives_back_a_thousand_at_most() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let unspent = taken(&store).await;
    // Whoever goes away leaves the first transaction to be done, and asks for no other.
    begin(store.give_back(&unspent)).await;
    store.close().await;
    assert_eq!(charged(&path), PLACES - 1_024);
    let store = SqliteStore::open(&path).unwrap();
    store.give_back(&unspent).await.unwrap();
    assert_eq!(charged(&path), 0);
}

#[tokio::test]
async fn what_fails_once_some_places_are_given_back_does_not_say_that_none_were() {
    for (failing, wanted) in [(0, PLACES), (1_024, PLACES - 1_024)] {
        let (_folder, path) = file();
        let store = SqliteStore::open(&path).unwrap();
        let unspent = taken(&store).await;
        let start = unspent.get(failing).unwrap().start.as_micros();
        let stuck = "CREATE TRIGGER stuck BEFORE UPDATE ON counts WHEN old.start =";
        let stuck = format!("{stuck} {start} BEGIN SELECT RAISE(ABORT, 'stuck'); END");
        Connection::open(&path).unwrap().execute_batch(&stuck).unwrap();
        let error = store.give_back(&unspent).await.unwrap_err();
        assert_eq!(matches!(error, StoreError::Unavailable { .. }), failing == 0, "{error:?}");
        assert!(failing == 0 || matches!(error, StoreError::OutcomeUnknown { source: Some(_) }), "{error:?}");
        assert_eq!(charged(&path), wanted);
    }
}
