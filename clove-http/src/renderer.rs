//! In which form a refusal is told.

use crate::{
    problem::{MEDIA_TYPE, Problem},
    refused::Refused,
};
use bytes::Bytes;
use clove_core::Grant;
use http::{HeaderMap, HeaderValue, Response, header};

/// Gives refusals their bodies, in the form that a host's clients read.
///
/// ```
/// use bytes::Bytes;
/// use clove_http::{Refused, Renderer};
/// use http::{HeaderValue, Response, header};
///
/// struct PlainText;
///
/// impl Renderer for PlainText {
///     fn refused(&self, refused: &Refused, response: &mut Response<Bytes>) {
///         response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
///         *response.body_mut() = refused.to_string().into();
///     }
/// }
/// ```
pub trait Renderer: Send + Sync + 'static {
    /// Gives a refusal's response its body and headers of its own. Its status and the headers that every refusal has are set already:
    /// `Cache-Control`, and where they apply `WWW-Authenticate`, `Retry-After`, `RateLimit`, `RateLimit-Policy` and `x-should-retry`.
    ///
    /// A refusal's sentence, its [`Display`](std::fmt::Display), is for clients. The cause of a [`Refused::Failed`] is not.
    fn refused(&self, refused: &Refused, response: &mut Response<Bytes>);

    /// Gives a granted request's response headers of its own, beside those that every one has.
    fn granted(&self, grant: &Grant, headers: &mut HeaderMap) {
        let _ = (grant, headers);
    }
}

/// Problem details (RFC 9457): the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Problems;

impl Renderer for Problems {
    fn refused(&self, refused: &Refused, response: &mut Response<Bytes>) {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        *response.body_mut() = Problem::from(refused).to_json();
    }
}
