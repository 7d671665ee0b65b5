//! The grant of a request, as an argument of an axum handler.

use crate::problem::Problem;
use axum_core::{extract::FromRequestParts, response::IntoResponse};
use clove_core::Grant;
use http::{StatusCode, request::Parts};

/// The [`Grant`] of the request, which [`ApiKeyLayer`](crate::tower::ApiKeyLayer) has put there.
///
/// A handler that asks for it never runs without: on a route that is not behind the layer it answers 500. There is no optional form, with
/// which a route that the layer was forgotten on would look like one that nobody has a key for.
#[derive(Clone, Debug)]
pub struct Granted(pub Grant);

/// The route is not behind the layer: a mistake of the host's, and a response of status 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotProtected;

impl<S: Sync> FromRequestParts<S> for Granted {
    type Rejection = NotProtected;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotProtected> {
        parts.extensions.get::<Grant>().cloned().map(Self).ok_or(NotProtected)
    }
}

impl std::fmt::Display for NotProtected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("This route asks for the grant of an API key and is not behind the layer that verifies keys. Put it there.")
    }
}

impl std::error::Error for NotProtected {}

impl IntoResponse for NotProtected {
    fn into_response(self) -> axum_core::response::Response {
        let (status, title) = (StatusCode::INTERNAL_SERVER_ERROR, "The route is not protected");
        Problem::new(status, "route-not-protected", title, self.to_string()).into_response()
    }
}
