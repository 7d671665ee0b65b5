//! The settings page, request by request.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod create;
mod host;
mod keys;
mod pages;
mod unreadable;
