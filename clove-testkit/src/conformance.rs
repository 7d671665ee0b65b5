//! The contract of a store, as tests: one call from a store author's own test.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! clove_testkit::conformance::run(|| async { clove_core::MemoryStore::new() }).await;
//! # }
//! ```
//!
//! Each case has a fresh store. After each, the owners' counts are compared with their rows.

mod audit;
mod change;
mod find;
mod pages;
mod race;
mod tools;

use clove_core::Store;
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};
use tools::Bench;

type Case = fn(Arc<Bench>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// All cases, by name.
fn cases() -> impl Iterator<Item = (&'static str, Case)> {
    [change::CASES, audit::CASES, find::CASES, pages::CASES, race::CASES].into_iter().flatten().copied()
}

/// The names of all cases.
#[must_use]
pub fn names() -> Vec<&'static str> {
    cases().map(|(name, _)| name).collect()
}

/// Runs all cases, each on a fresh store from `make`.
///
/// # Panics
/// If a case fails; the message names all that do.
pub async fn run<S: Store, F: Future<Output = S>>(make: impl Fn() -> F) {
    let failed = failures(make).await;
    assert!(failed.is_empty(), "the store breaks its contract: {}", failed.join(", "));
}

/// Runs all cases, each on a fresh store from `make`, and names those that fail.
pub async fn failures<S: Store, F: Future<Output = S>>(make: impl Fn() -> F) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for (name, case) in cases() {
        let bench = Arc::new(Bench::new(Arc::new(make().await)));
        let mut whole = pin!(async {
            case(Arc::clone(&bench)).await;
            bench.assert_books_balance().await;
        });
        let held = std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| whole.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(true),
            Err(_) => Poll::Ready(false),
        });
        if !held.await {
            failed.push(name);
        }
    }
    failed
}

/// Names cases by their functions.
macro_rules! list_cases {
    ($($name:ident),* $(,)?) => {
        pub(super) const CASES: &[(&str, super::Case)] = &[$((stringify!($name), |bench| Box::pin($name(bench)))),*];
    };
}
use list_cases;
