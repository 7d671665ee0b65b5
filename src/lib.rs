#![doc = include_str!("../README.md")]
//!
//! # Guide
//!
//! - [`Clove`] is the handle: create, verify, list, disable … Clone it freely.
//! - [`Policy`] is what a host decides; [`Policy::profile_a`] and [`Policy::profile_b`] are ready-made.
//! - [`Store`] is where keys live: [`MemoryStore`], `sqlite::SqliteStore`, `postgres::PostgresStore`, or one of your own; [`copy`]
//!   moves from one to another.
//! - `http` (feature of that name) is the edge for web services: `http::ApiKeyLayer` protects routes.
//! - [`Observer`] is told what goes on: [`signal`] has all names.
//! - [`Verdict`] is the answer to a presented credential; a [`Fault`] says that there is none.

#[doc(inline)]
pub use clove_core::*;
#[cfg(feature = "http")]
#[doc(inline)]
pub use clove_http as http;
#[cfg(feature = "postgres")]
#[doc(inline)]
pub use clove_store_postgres as postgres;
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use clove_store_sqlite as sqlite;
