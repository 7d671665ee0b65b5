//! Whether a request comes with an API key.

use crate::problem::Problem;
use clove_core::{Grant, KeyId, SecretFormat};
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
pub(super) fn look<'a>(parts: &'a Parts, formats: &[SecretFormat]) -> Presented<'a> {
    if let Some(grant) = parts.extensions.get::<Grant>() {
        return Presented::Verified(grant);
    }
    let mut authorizations = parts.headers.get_all(header::AUTHORIZATION).iter();
    let is_key = |value: &[u8]| value.split(|byte| matches!(byte, b' ' | b',')).any(|word| is_credential(word, formats));
    if parts.headers.contains_key("x-api-key") || authorizations.any(|value| is_key(value.as_bytes())) {
        return Presented::Unverified;
    }
    Presented::None
}

fn is_credential(word: &[u8], formats: &[SecretFormat]) -> bool {
    let has_id = || {
        let (id, rest) = word.split_at_checked(36)?;
        (rest.first() == Some(&b';')).then_some(())?;
        KeyId::parse(std::str::from_utf8(id).ok()?).ok()
    };
    formats.iter().any(|format| format.has_shape(word)) || has_id().is_some()
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
