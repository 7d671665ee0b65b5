//! Pages for people, as routers of axum that a host mounts where it likes.
//!
//! ```
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use clove_core::{Clove, MemoryStore, Owner, Policy};
//! use clove_http::{NotSignedIn, Visitor, pages};
//!
//! let clove = Clove::new(MemoryStore::new(), Policy::profile_a());
//! // The host's own session says who is asking. Here a header does, for short.
//! let who = |request: http::request::Parts| async move {
//!     let account = request.headers.get("x-account").and_then(|account| account.to_str().ok()).ok_or(NotSignedIn)?;
//!     Owner::new("acme", account).map(Visitor::new).map_err(|_| NotSignedIn)
//! };
//! let app = axum::Router::new().nest("/settings/api-keys", pages::settings(clove, who));
//! # use tower::ServiceExt;
//! # let request = http::Request::get("/settings/api-keys").header("x-account", "ada").body(axum::body::Body::empty())?;
//! # let response = app.oneshot(request).await?;
//! # assert_eq!(response.status(), 200);
//! # Ok(()) }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(demo())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Settings`] says more of what the settings page shows: the host's name and its other pages ([`Site`]), and which capabilities
//! there are to choose from.
//!
//! The pages work without script, and bring one style sheet and one script of their own under a content hash. They link by relative
//! addresses, so any mount point will do, behind a proxy that cuts off a prefix, too. Mount by [`nest`](axum::Router::nest), or by
//! [`nest_service`](axum::Router::nest_service), which takes the address with a slash at its end, too.
//!
//! What a page promises: a `Content-Security-Policy` that allows no inline script or style and no other origin, no cache, no frame;
//! a request that changes something is refused when a page of another site had it sent; and a secret is in the answer to the command
//! that made it and nowhere else. Who is not signed in gets the host's own answer, as the host gave it.

mod asked;
mod assets;
mod fields;
mod icon;
mod links;
mod nowhere;
mod respond;
mod settings;
mod shell;
mod site;
mod team;
mod time;

pub use settings::{Offered, Settings};
pub use site::Site;
pub use team::{Member, Team};

use crate::visitor::Visitor;
use axum::{Router, response::IntoResponse};
use clove_core::{Clove, OrganizationId};
use http::request::Parts;
use std::future::Future;

/// The settings page, "API Keys", with nothing chosen of what [`Settings`] lets a host choose. `who` tells who is asking, from the
/// host's own session.
pub fn settings<A, R>(clove: Clove, who: impl Fn(Parts) -> A + Send + Sync + 'static) -> Router
where
    A: Future<Output = Result<Visitor, R>> + Send + 'static,
    R: IntoResponse,
{
    Settings::new(clove, who).into_router()
}

/// The team page, for administrators, with nothing chosen of what [`Team`] lets a host choose. `who` tells who is asking, from the
/// host's own session, and `members` who belongs to an organization now.
pub fn team<A, R, M, E>(
    clove: Clove,
    who: impl Fn(Parts) -> A + Send + Sync + 'static,
    members: impl Fn(OrganizationId) -> M + Send + Sync + 'static,
) -> Router
where
    A: Future<Output = Result<Visitor, R>> + Send + 'static,
    R: IntoResponse,
    M: Future<Output = Result<Vec<Member>, E>> + Send + 'static,
{
    Team::new(clove, who, members).into_router()
}
