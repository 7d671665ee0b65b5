//! The store works wherever its futures are polled: its connections are on the runtime that it was opened on.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use clove_core::{By, Clove, NewKey, Owner, Policy};
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};
use support::{Schemas, Way};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls on a thread that has no runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

async fn serves(clove: &Clove) {
    let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "a test").unwrap());
    let issued = clove.create(&owner, NewKey::named("a key").unwrap(), &by).await.unwrap();
    let credential = issued.credential.unwrap().reveal().to_string();
    assert!(clove.verify(&credential).await.unwrap().granted().is_some());
    clove.revoke(&owner, issued.key.id, &by).await.unwrap();
    assert!(clove.verify(&credential).await.unwrap().denied().is_some());
    clove.flush().await.unwrap();
}

#[test]
fn a_store_serves_without_a_runtime_and_on_another_one() {
    for way in [Way::Direct, Way::Pooled] {
        let schemas = Schemas::new(way);
        let own = runtime();
        let clove = Clove::new(own.block_on(schemas.store()), Policy::default());
        block_on(serves(&clove));
        runtime().block_on(serves(&clove));
        Builder::new_current_thread().build().unwrap().block_on(serves(&clove));
    }
}

#[test]
fn maintenance_runs_on_a_thread_without_a_runtime() {
    let schemas = Schemas::new(Way::Direct);
    let own = runtime();
    let clove = Clove::new(own.block_on(schemas.store()), Policy::default());
    let (failing, failed) = std::sync::mpsc::channel();
    clove.maintenance().spawn_thread(move |error| drop(failing.send(error.to_string()))).unwrap();
    let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "a test").unwrap());
    let issued = own.block_on(clove.create(&owner, NewKey::named("a key").unwrap(), &by)).unwrap();
    own.block_on(clove.verify(&*issued.credential.unwrap().reveal())).unwrap().granted().unwrap();
    let began = Instant::now();
    // Nobody but that thread writes it.
    while own.block_on(clove.get(&owner, issued.key.id)).unwrap().last_used_at.is_none() {
        assert!(began.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(20));
    }
    own.block_on(clove.shut_down()).unwrap();
    assert_eq!(failed.try_iter().collect::<Vec<_>>(), [""; 0]);
}
