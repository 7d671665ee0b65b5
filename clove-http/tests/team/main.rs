//! The team page: who may see it, what it shows, and what it does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod attention;
mod audit;
mod cut_off;
mod house;
mod roles;
mod unreadable;
mod usage;
