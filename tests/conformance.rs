//! The conformance suite on every store here, and through pointers to one.

#![allow(clippy::unwrap_used, reason = "tests")]

use clove::{MemoryStore, Store};
use clove_testkit::conformance;
use std::sync::Arc;

#[tokio::test]
async fn the_memory_store_conforms() {
    conformance::run(|| async { MemoryStore::new() }).await;
}

#[tokio::test]
async fn a_store_behind_pointers_conforms() {
    conformance::run(|| async { Arc::new(MemoryStore::new()) as Arc<dyn Store> }).await;
    conformance::run(|| async { Box::new(MemoryStore::new()) as Box<dyn Store> }).await;
}

#[tokio::test]
async fn the_sqlite_store_conforms() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    for inline in [true, false] {
        let next = std::cell::Cell::new(0);
        conformance::run(|| async {
            next.set(next.get() + 1);
            let path = folder.path().join(format!("{inline}-{}.db", next.get()));
            clove::sqlite::Options::new(path).inline_reads(inline).open().unwrap()
        })
        .await;
    }
    Ok(())
}

#[path = "../examples/custom_store.rs"]
mod custom_store;

#[tokio::test]
async fn a_store_of_one_s_own_conforms() {
    conformance::run(|| async { custom_store::VecStore::default() }).await;
}
