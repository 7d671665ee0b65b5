//! For tests: a clock to turn, keys in each status, and the conformance suite for stores.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), clove_core::Error> {
//! use clove_core::{DenialReason, Policy, Status};
//! use clove_testkit::Fixture;
//!
//! let fixture = Fixture::new(Policy::profile_a())?;
//! let suspended = fixture.key_in(Status::Suspended).await?;
//! let credential = suspended.credential.expect("a new key").reveal();
//!
//! let denial = fixture.clove.verify(&*credential).await?.denied().expect("the key is suspended");
//! assert_eq!(denial.reason(), &DenialReason::Suspended);
//! # Ok(()) }
//! ```

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_sign_loss,
    reason = "a suite of assertions fails by panicking"
)]

mod clock;
pub mod conformance;
mod fixture;

pub use clock::TestClock;
pub use fixture::Fixture;
