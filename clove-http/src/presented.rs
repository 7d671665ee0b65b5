//! The credential of a request: exactly one, taken out of its headers.

mod authorization;
mod query;

use crate::refused::{Ambiguity, Refused};
use authorization::Authorization;
use clove_core::Policy;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use std::fmt;
use subtle::ConstantTimeEq;

/// The header that holds a credential and nothing else.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a client presented, exactly as it was sent: well formed or not, true or not. `Debug` is redacted, there is no `Clone`, and it
/// is no copy: it lies where the server read it.
pub struct Presented {
    header: HeaderValue,
    /// Where in it the credential begins.
    from: usize,
}

impl Presented {
    /// The bytes, to be verified.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.header.as_bytes().get(self.from..).unwrap_or_default()
    }

    /// Whether there is one in an address, where none belongs.
    pub(crate) fn is_in(policy: &Policy, uri: &Uri) -> bool {
        uri.query().is_some_and(|query| query::has_credential(policy, query))
    }

    /// Takes the credential out of a request's headers; whether there [is one in its address](Presented::is_in), the caller says.
    ///
    /// It comes from `x-api-key`, or from `Authorization` with the scheme `Bearer` in upper or lower case and one space (RFC 6750
    /// section 2.1); equal ones in both are one. Nothing is trimmed, so what else stands there makes it malformed:
    ///
    /// - an empty `x-api-key`, `Bearer` alone, and `Bearer` with two spaces or a tab are malformed credentials, and not none: whoever sent
    ///   them meant to present one;
    /// - another scheme in `Authorization` is none of ours. It stays where it is, marked as sensitive, unless a credential of ours is
    ///   found in it;
    /// - a comma says that two headers were joined by somebody on the way (RFC 9110 section 5.3). Secrets of clove have none; an imported
    ///   secret that has one cannot be presented over HTTP, for nobody can tell the two apart.
    ///
    /// Both headers are gone afterwards, whatever comes of it.
    ///
    /// # Errors
    /// [`Refused::NoCredential`], or [`Refused::Ambiguous`] where there is more than one answer, or a credential in the query string.
    pub(crate) fn take(policy: &Policy, is_in_query: bool, headers: &mut HeaderMap) -> Result<Self, Refused> {
        let key = take_only(headers, &X_API_KEY);
        let bearer = match take_only(headers, &header::AUTHORIZATION) {
            Ok(Some(mut header)) => match Authorization::read(header.as_bytes()) {
                Authorization::Bearer(credential) => {
                    let from = header.len() - credential.len();
                    Ok(Some(Self { header, from }))
                }
                Authorization::Other if !policy.finds_credential(header.as_bytes()) => {
                    header.set_sensitive(true);
                    headers.insert(header::AUTHORIZATION, header);
                    Ok(None)
                }
                Authorization::Other => Ok(None),
                Authorization::Joined => Err(Ambiguity::JoinedHeader),
            },
            Ok(None) => Ok(None),
            Err(repeated) => Err(repeated),
        };
        if is_in_query {
            return Err(Ambiguity::InQuery.into());
        }
        let presented = match (key?.map(|header| Self { header, from: 0 }), bearer?) {
            (None, None) => return Err(Refused::NoCredential),
            (Some(key), Some(bearer)) if !bool::from(key.as_bytes().ct_eq(bearer.as_bytes())) => {
                return Err(Ambiguity::TwoCredentials.into());
            }
            (Some(one), _) | (None, Some(one)) => one,
        };
        if presented.as_bytes().contains(&b',') {
            return Err(Ambiguity::JoinedHeader.into());
        }
        Ok(presented)
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented(..)")
    }
}

/// Takes all of a header out, and gives its value if it has one.
fn take_only(headers: &mut HeaderMap, name: &HeaderName) -> Result<Option<HeaderValue>, Ambiguity> {
    let values = headers.len();
    let first = headers.remove(name);
    if values - headers.len() > 1 { Err(Ambiguity::RepeatedHeader) } else { Ok(first) }
}
