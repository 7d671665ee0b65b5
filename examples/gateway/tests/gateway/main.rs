//! The gateway as its clients see it: the real program, a Messages API that tells what it was sent, and real SDKs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../../../../tests/database/mod.rs"]
mod database;
#[path = "../../src/demo/mod.rs"]
mod demo;
mod support;

mod browser;
mod canary;
mod clients;
mod hostile;
mod metering;
mod nodes;
mod people;
mod policies;
mod streams;
mod welcome;
