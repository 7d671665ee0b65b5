//! The management API: REST and JSON over the keys of whoever asks, as a router that a host nests where it likes.
//!
//! The host brings one closure, from a request to who is asking; whose keys they are never comes from the request itself.
//!
//! ```
//! use clove_core::{Clove, MemoryStore, Owner, Policy};
//! use clove_http::{NotSignedIn, Visitor, manage};
//!
//! # fn session(_: &http::HeaderMap) -> Option<(String, String)> { None }
//! let clove = Clove::new(MemoryStore::new(), Policy::profile_a());
//! let keys = manage::router(clove, |request: http::request::Parts| async move {
//!     let (organization, account) = session(&request.headers).ok_or(NotSignedIn)?;
//!     Owner::new(organization, account).map(Visitor::new).map_err(|_| NotSignedIn)
//! });
//! let app: axum::Router = axum::Router::new().nest("/api", keys);
//! ```
//!
//! `GET /api/openapi.json` is then its description, in OpenAPI 3.1, made from the code that answers.
//!
//! # What holds for all of it
//! - Errors are problem details (RFC 9457). Nothing is kept by a cache.
//! - What is another owner's looks like what is not there. An administrator's reach is its organization; `?account=` narrows it.
//! - Edits and rotations name the revision that they are based on, by `If-Match` (RFC 9110 section 13.1.1): 428 without it
//!   (RFC 6585), 412 where the key has changed. What kills needs none, and no state of a key refuses it.
//! - `Idempotency-Key` on create and rotate (draft-ietf-httpapi-idempotency-key-header), 1 to 255 visible ASCII characters: a
//!   repetition changes nothing and answers with the key, without its secret, and `Idempotency-Replayed: true`. It is known as long
//!   as the command's event is in the audit trail, which is a day at least ([`Retention::audit`](clove_core::Retention::audit)).
//!   The same one with other arguments is refused; descriptions and metadata are compared by their length.
//! - `Audit-Reason` says why, for the audit trail: percent-encoded UTF-8, `management API` unless sent.
//! - Where the store does not say whether a command was carried out, it is tried once more under the same operation id. Where that is
//!   still unknown the answer is 503, and the same `Idempotency-Key` resolves it.
//! - A page of another origin can change nothing with a browser's cookies.
//! - `offered` is what a menu is to show to this visitor. It narrows nothing that the visitor's role may do.
//!
//! # API keys
//! A key cannot manage keys: a request that presents one, or that a middleware has granted, is refused before anybody is asked who
//! sent it. [`Management::allow_keys`] lets keys in.

mod answer;
mod asked;
mod body;
mod budgets;
mod choices;
mod commands;
mod headers;
mod issue;
mod keys;
mod members;
mod openapi;
mod presented;
mod routes;
mod shape;
mod trail;
mod usage;

use crate::visitor::{Visitor, Visitors};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, Response, header},
    middleware::map_response,
    response::IntoResponse,
};
use clove_core::Clove;
use http::request::Parts;
use routes::Routes;
use std::{future::Future, sync::Arc};

/// The largest body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The management API for whom a host's closure tells, without API keys.
pub fn router<A, R>(clove: Clove, who: impl Fn(Parts) -> A + Send + Sync + 'static) -> Router
where
    A: Future<Output = Result<Visitor, R>> + Send + 'static,
    R: IntoResponse,
{
    Management::new(clove, who).router()
}

/// The management API, with its options.
#[derive(Clone, Debug)]
pub struct Management {
    clove: Clove,
    visitors: Visitors,
    allows_keys: bool,
}

impl Management {
    /// For whom this closure tells. What it answers instead of a visitor is the answer of the request.
    pub fn new<A, R>(clove: Clove, who: impl Fn(Parts) -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Result<Visitor, R>> + Send + 'static,
        R: IntoResponse,
    {
        Self { clove, visitors: Visitors::new(who), allows_keys: false }
    }

    /// Lets API keys manage keys, where a middleware before this has verified them and left its [`Grant`](clove_core::Grant) in the
    /// request's extensions. The closure tells for whom. Such a request gives to keys nothing beyond what its own key may do, and
    /// chooses no request limits.
    #[must_use]
    pub fn allow_keys(mut self) -> Self {
        self.allows_keys = true;
        self
    }

    /// The router, to be nested.
    pub fn router(self) -> Router {
        let routes = [
            keys::routes,
            issue::routes,
            commands::routes,
            choices::routes,
            trail::routes,
            usage::routes,
            members::routes,
            budgets::routes,
        ];
        let routes = routes.into_iter().fold(Routes::default(), |routes, add| add(routes));
        routes.finish().layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).layer(map_response(no_store)).with_state(Arc::new(self))
    }
}

/// Whatever it is: what the host's closure answered as well.
async fn no_store<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
