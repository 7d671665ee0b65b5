//! The memory store, beyond its contract.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use clove_core::{
    MemoryStore, OperationId, Owner, Refusal, Store,
    store::{Decision, Reads, Transaction},
};
use clove_testkit::conformance;
use std::{panic::AssertUnwindSafe, sync::Arc};

#[tokio::test]
async fn a_decision_that_panics_leaves_a_sound_store() {
    let make = || async {
        let store = MemoryStore::new();
        let now = chrono::DateTime::UNIX_EPOCH;
        let reads = Reads::Owner { owner: Owner::new("acme", "ada").unwrap(), expired_at: None };
        let panics = Transaction::new(OperationId::new(now), reads.clone(), |_| panic!("a decision that panics"));
        let mut future = Box::pin(store.transact(Arc::new(panics)));
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
            future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
        }));
        assert!(polled.is_err());
        drop(future);
        let refuses = Transaction::new(OperationId::new(now), reads, |_| Decision::Refuse(Refusal::NotFound));
        assert!(matches!(store.transact(Arc::new(refuses)).await, Ok(Decision::Refuse(Refusal::NotFound))));
        store
    };
    conformance::run(make).await;
}
