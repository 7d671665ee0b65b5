//! All that is served at the gateway's address.

use crate::{
    api,
    gateway::Gateway,
    sign_in::{self, SignIn},
};
use axum::Router;
use clove::Invalid;
use http::StatusCode;

/// The API for programs, and pages for people.
pub(crate) fn router(gateway: Gateway, sign_in: SignIn) -> Result<Router, Invalid> {
    let app = api::router(gateway)?.merge(sign_in::router(sign_in));
    Ok(app.fallback(|| async { (StatusCode::NOT_FOUND, "There is nothing here.") }))
}
