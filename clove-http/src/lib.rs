//! The HTTP edge of clove: the credential of a request, refusals as responses, a middleware, a management API and pages.

#[cfg(feature = "manage")]
pub mod manage;
pub mod problem;
#[cfg(any(feature = "manage", feature = "pages"))]
mod visitor;

pub use problem::Problem;
#[cfg(any(feature = "manage", feature = "pages"))]
pub use visitor::{NotSignedIn, Visitor};
