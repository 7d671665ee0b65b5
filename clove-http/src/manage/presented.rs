//! Whether a request comes with an API key.

use crate::{presented::X_API_KEY, problem::Problem};
use clove_core::{Grant, Policy};
use http::{StatusCode, header, request::Parts};

/// What was found of API keys in a request.
pub(super) enum Presented<'a> {
    None,
    /// A middleware has verified it.
    Verified(&'a Grant),
    /// Nobody has.
    Unverified,
}

/// Looks for an API key: a grant in the extensions, anything in `x-api-key`, or what has a credential's form in `Authorization`.
/// Another bearer token is the host's own business.
pub(super) fn look<'a>(parts: &'a Parts, policy: &Policy) -> Presented<'a> {
    if let Some(grant) = parts.extensions.get::<Grant>() {
        return Presented::Verified(grant);
    }
    let mut authorizations = parts.headers.get_all(header::AUTHORIZATION).iter();
    if parts.headers.contains_key(X_API_KEY) || authorizations.any(|value| policy.finds_credential(value)) {
        return Presented::Unverified;
    }
    Presented::None
}

impl<'a> Presented<'a> {
    /// The grant of a key that may come in.
    pub(super) fn admitted(self, allows_keys: bool) -> Result<Option<&'a Grant>, Problem> {
        let detail = match self {
            Self::None => return Ok(None),
            Self::Verified(grant) if allows_keys => return Ok(Some(grant)),
            Self::Unverified if allows_keys => "Nobody has verified the API key that was sent.",
            Self::Verified(_) | Self::Unverified => "Keys are managed by people who are signed in. Send no API key.",
        };
        Err(Problem::new(StatusCode::FORBIDDEN, "key-not-allowed", "An API key may not manage keys", detail))
    }
}
