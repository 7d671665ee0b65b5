//! The management API as its clients see it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

// The store under orders is written for the facade, which re-exports the core.
extern crate clove_core as clove;

#[path = "../../../tests/support/mod.rs"]
mod support;

mod admission;
mod commands;
mod conformance;
mod description;
mod edits;
mod host;
mod issue;
mod lists;
mod members;
mod records;
mod secrecy;
mod strictness;
mod unknown;
