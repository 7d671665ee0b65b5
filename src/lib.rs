//! clove: API keys done right.
#[doc(inline)]
pub use clove_core::*;
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use clove_store_sqlite as sqlite;
