//! From SQLite to Postgres and back, straight and through a pooler.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../tests/moved/mod.rs"]
mod moved;
mod support;

use clove_core::{Store, copy::StoreCopy, store::CopyPart};
use clove_store_sqlite::SqliteStore;
use moved::{LivedIn, rows};
use std::{sync::Arc, time::Duration};
use support::{Schemas, Way};
use tokio::sync::Notify;

async fn there_and_back(way: Way) {
    let (schemas, folder) = (Schemas::new(way), tempfile::tempdir().unwrap());
    let file = SqliteStore::open(folder.path().join("keys.db")).unwrap();
    let life = LivedIn::new(file.clone()).await;
    let (before, postgres) = (rows(&file).await, schemas.store().await);

    let copied = StoreCopy::new(&file, &postgres).slices_of(3).run(&mut |_| {}).await.unwrap();
    assert!(copied.is_complete() && copied.written() == u64::try_from(before.len()).unwrap(), "{copied}");
    assert_eq!(rows(&postgres).await, before);
    let again = StoreCopy::new(&file, &postgres).run(&mut |_| {}).await.unwrap();
    assert!(again.is_complete() && again.written() == 0, "{again}");

    let back = SqliteStore::open(folder.path().join("back.db")).unwrap();
    let copied = StoreCopy::new(&postgres, &back).run(&mut |_| {}).await.unwrap();
    assert!(copied.is_complete(), "{copied}");
    assert_eq!(rows(&back).await, before);
    life.assert_answered_alike(postgres).await;
    life.assert_answered_alike(back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_there_and_back() {
    there_and_back(Way::Direct).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_there_and_back_through_a_pooler() {
    there_and_back(Way::Pooled).await;
}

/// Runs a copy until it has told of so many steps, lets it go on for a moment, and drops it wherever it is then; whether it had not ended.
async fn interrupted(copy: &StoreCopy<'_>, steps: usize, moment: Duration) -> bool {
    let (reached, mut told) = (Arc::new(Notify::new()), 0);
    let mut tell = |_| {
        told += 1;
        if told == steps {
            reached.notify_one();
        }
    };
    tokio::select! {
        () = async { reached.notified().await; tokio::time::sleep(moment).await } => true,
        _ = copy.run(&mut tell) => false,
    }
}

/// How many rows there are.
async fn many(store: &dyn Store) -> usize {
    let mut many = 0;
    for part in CopyPart::ALL {
        many += store.export(part, None, usize::MAX >> 8).await.unwrap().rows.len();
    }
    many
}

/// Interrupts a copy ever later, each time into an empty store, until one ends before that; each goes on where it was.
async fn assert_goes_on(from: &dyn Store, mut empty: impl AsyncFnMut() -> Arc<dyn Store>) {
    let before = rows(from).await;
    let (mut steps, mut in_between) = (1, 0);
    loop {
        let to = empty().await;
        let copy = StoreCopy::new(from, &*to).slices_of(2);
        let was_interrupted = interrupted(&copy, steps, Duration::from_micros(700 * (steps as u64 % 5))).await;
        let there = many(&*to).await;
        in_between += usize::from(there > 0 && there < before.len());
        let copied = copy.run(&mut |_| {}).await.unwrap();
        assert!(copied.is_complete(), "{copied}");
        assert_eq!(rows(&*to).await, before);
        // A commit that was under way may have come after.
        assert!(copied.written() <= u64::try_from(before.len() - there).unwrap(), "what was there is written again: {copied}");
        if !was_interrupted {
            break;
        }
        steps += 12;
    }
    assert!(in_between >= 3, "{in_between} times amidst the rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_there_or_back_that_was_interrupted_goes_on() {
    let (schemas, folder) = (Schemas::new(Way::Direct), tempfile::tempdir().unwrap());
    let file = SqliteStore::open(folder.path().join("keys.db")).unwrap();
    let _life = LivedIn::new(file.clone()).await;
    assert_goes_on(&file, async || Arc::new(schemas.store().await) as Arc<dyn Store>).await;
    let postgres = schemas.store().await;
    StoreCopy::new(&file, &postgres).run(&mut |_| {}).await.unwrap();
    let mut files = 0;
    assert_goes_on(&postgres, async || {
        files += 1;
        Arc::new(SqliteStore::open(folder.path().join(format!("{files}.db"))).unwrap()) as Arc<dyn Store>
    })
    .await;
}

/// What a service on Postgres writes beside its rows, gates for instance, is not for other stores.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_on_postgres_goes_to_a_file() {
    let (schemas, folder) = (Schemas::new(Way::Direct), tempfile::tempdir().unwrap());
    let postgres = schemas.store().await;
    let life = LivedIn::new(postgres.clone()).await;
    let file = SqliteStore::open(folder.path().join("keys.db")).unwrap();
    let copied = StoreCopy::new(&postgres, &file).run(&mut |_| {}).await.unwrap();
    assert!(copied.is_complete(), "{copied}");
    assert_eq!(rows(&file).await, rows(&postgres).await);
    life.assert_answered_alike(file).await;
}
