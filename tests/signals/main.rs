//! What observers are told: each thing when it is so, once, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[cfg(all(feature = "tracing", feature = "metrics"))]
mod adapters;
mod budgets;
#[cfg(all(feature = "tracing", feature = "metrics"))]
mod capture;
mod ear;
mod expiry;
mod limits;
mod observers;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
mod verdicts;
