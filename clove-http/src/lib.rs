//! The HTTP edge of clove: the credential of a request, refusals as responses, a middleware, a management API and pages.

mod anthropic;
mod asked;
mod edge;
#[cfg(feature = "axum")]
mod granted;
mod grpc;
pub mod limits;
#[cfg(feature = "pages")]
pub mod pages;
mod presented;
pub mod problem;
mod refused;
mod renderer;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(any(feature = "manage", feature = "pages"))]
mod visitor;

#[cfg(feature = "tower")]
pub use self::tower::ApiKeyLayer;
pub use self::{
    anthropic::{AnthropicError, AnthropicStyle, REQUEST_ID},
    asked::Asked,
    edge::Edge,
    presented::{Presented, X_API_KEY},
    problem::Problem,
    refused::{Ambiguity, Refused, X_SHOULD_RETRY},
    renderer::{Problems, Renderer},
};
#[cfg(feature = "axum")]
pub use granted::{Granted, NotProtected};
#[cfg(any(feature = "manage", feature = "pages"))]
pub use visitor::{NotSignedIn, Visitor};
