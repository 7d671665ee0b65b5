//! The HTTP edge of clove: the credential of a request, refusals as responses, a middleware, a management API and pages.
//!
#![cfg_attr(feature = "axum", doc = "```")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, routing::get};
//! use clove_core::{By, Clove, MemoryStore, NewKey, Owner, Policy};
//! use clove_http::{ApiKeyLayer, Edge, Granted};
//!
//! async fn hello(Granted(grant): Granted) -> String {
//!     format!("Hello, {}!", grant.owner().account)
//! }
//!
//! let clove = Clove::new(MemoryStore::new(), Policy::profile_a());
//! let app = Router::new().route("/hello", get(hello)).layer(ApiKeyLayer::new(Edge::new(clove.clone())));
//!
//! let issued = clove.create(&Owner::new("acme", "ada")?, NewKey::named("laptop")?, &By::new("ada", "first steps")?).await?;
//! let credential = issued.credential.ok_or("a new key has a credential")?.reveal(); // id;secret, shown once
//!
//! # use axum::body::Body; use http::Request; use tower::ServiceExt;
//! let nobody = Request::get("/hello").body(Body::empty())?;
//! assert_eq!(app.clone().oneshot(nobody).await?.status(), 401);
//! let ada = Request::get("/hello").header("x-api-key", &*credential).body(Body::empty())?;
//! assert_eq!(app.oneshot(ada).await?.status(), 200);
//! # Ok(()) }
//! ```
//!
//! - [`Edge`] has the four functions that a middleware of any framework is made of: take, verify, refuse, granted. They need no feature;
//!   `examples/actix.rs` is made of them alone.
//! - `ApiKeyLayer` (feature `tower`) is that middleware for tower, axum and tonic: what it wraps is never reached without a grant.
//! - `Granted` (feature `axum`) hands the [`Grant`](clove_core::Grant) to a handler.
//! - [`Renderer`] gives refusals their form: [`Problems`] (RFC 9457) unless you say otherwise, [`AnthropicStyle`], or one of yours. A service
//!   of gRPC says so ([`Edge::answering_grpc`]).
//!
//! # What is answered
//!
//! | situation | status | headers |
//! |---|---|---|
//! | no credential | 401 | `WWW-Authenticate: Bearer` |
//! | malformed, unknown or wrong: one answer | 401 | `WWW-Authenticate: Bearer error="invalid_token"` |
//! | disabled, expired, compromised, revoked, account closed (to who has proven the secret) | 401 | the same, and the sentence says which |
//! | several credentials, or one in the query string | 400 | `error="invalid_request"` |
//! | capability missing | 403 | `error="insufficient_scope"`, `scope` names it |
//! | window exhausted | 429 | `Retry-After`, `RateLimit`, `RateLimit-Policy` of that window |
//! | budget exhausted, or a request that takes more than a window ever has | 429 | `x-should-retry: false`, no `Retry-After` |
//! | what is stored of the key cannot be read | 500 | |
//! | nothing can be said: the store failed, a queue is full, a deadline has passed | 503 | `Retry-After: 1` |
//!
//! Refusals carry `Cache-Control: no-store`; grants `Cache-Control: private`, `Vary: Authorization, X-Api-Key`, and `RateLimit` and
//! `RateLimit-Policy` of all windows of the key and its account. What is no HTTP at all, or has headers beyond the server's bounds, is
//! the server's to refuse (hyper: 400, 414, 431); the bounds of time are the host's to set.
//!
//! Nothing inside of the layer sees the credential. What is outside of it does: have a layer there log the path alone.

mod anthropic;
mod asked;
mod edge;
#[cfg(feature = "axum")]
mod granted;
mod grpc;
pub mod limits;
#[cfg(feature = "manage")]
pub mod manage;
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
pub use visitor::{NotSignedIn, Visitor, require_same_origin};
