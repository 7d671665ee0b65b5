//! From SQLite to Postgres and back, straight and through a pooler.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../tests/moved/mod.rs"]
mod moved;
mod support;

use clove_core::copy::StoreCopy;
use clove_store_sqlite::SqliteStore;
use moved::{LivedIn, rows};
use support::{Schemas, Way};

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
