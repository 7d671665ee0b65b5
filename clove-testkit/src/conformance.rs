//! The contract of a store, as tests: one call from a store author's own test.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! clove_testkit::conformance::run(|| async { clove_core::MemoryStore::new() }).await;
//! # }
//! ```
//!
//! Each case has a fresh store. After each, the owners' counts are compared with their rows. To work on one case at a time,
//! [`run_case`] runs it by its name.

mod access;
mod audit;
mod batch;
mod budgets;
mod change;
mod copies;
mod crowd;
mod epochs;
mod exact;
mod find;
mod pages;
mod place;
mod places;
mod race;
mod remains;
mod replay;
mod scope;
mod tools;
mod unique;
mod usage;

use clove_core::Store;
use std::{
    any::Any,
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
    [
        unique::CASES,
        change::CASES,
        exact::CASES,
        replay::CASES,
        audit::CASES,
        place::CASES,
        scope::CASES,
        batch::CASES,
        remains::CASES,
        epochs::CASES,
        places::CASES,
        usage::CASES,
        budgets::CASES,
        access::CASES,
        copies::CASES,
        find::CASES,
        crowd::CASES,
        pages::CASES,
        race::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// The names of all cases.
#[must_use]
pub fn names() -> Vec<&'static str> {
    cases().map(|(name, _)| name).collect()
}

/// Runs all cases, each on a fresh store from `make`.
///
/// # Panics
/// If a case fails; the message names all that do, each with what it found.
pub async fn run<S: Store, F: Future<Output = S>>(make: impl Fn() -> F) {
    let mut failed = Vec::new();
    for (name, case) in cases() {
        failed.extend(attempt(name, case, &make).await.err());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Runs the case of this name on a fresh store from `make`.
///
/// # Panics
/// If the case fails, or there is none of this name.
pub async fn run_case<S: Store, F: Future<Output = S>>(name: &str, make: impl Fn() -> F) {
    let found = cases().find(|(known, _)| *known == name);
    let (name, case) = found.unwrap_or_else(|| panic!("conformance: there is no case {name}"));
    attempt(name, case, &make).await.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Runs all cases, each on a fresh store from `make`, and names those that fail.
pub async fn failures<S: Store, F: Future<Output = S>>(make: impl Fn() -> F) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for (name, case) in cases() {
        if attempt(name, case, &make).await.is_err() {
            failed.push(name);
        }
    }
    failed
}

/// Runs a case; where it panics, gives its name and what it said.
async fn attempt<S: Store, F: Future<Output = S>>(name: &str, case: Case, make: &impl Fn() -> F) -> Result<(), String> {
    let bench = Arc::new(Bench::new(Arc::new(make().await)));
    let mut whole = pin!(async {
        case(Arc::clone(&bench)).await;
        bench.assert_books_balance().await;
    });
    let ended = std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| whole.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
        Err(panic) => Poll::Ready(Err(panic)),
    });
    ended.await.map_err(|panic| format!("conformance: {name}: {}", said(&*panic)))
}

/// The message of a panic.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked without a message")
}

/// Names cases by their functions.
macro_rules! list_cases {
    ($($name:ident),* $(,)?) => {
        pub(super) const CASES: &[(&str, super::Case)] = &[$((stringify!($name), |bench| Box::pin($name(bench)))),*];
    };
}
use list_cases;
