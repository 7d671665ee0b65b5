//! What went wrong, in the form of RFC 9457.

#[cfg(any(feature = "manage", feature = "pages"))]
mod command;
#[cfg(feature = "pages")]
pub(crate) use command::sentence;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value};

/// What the body is (RFC 9457 section 3).
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Before each kind of problem in its type's URI. A name and no address: nothing is to be found there.
pub const TYPES: &str = "urn:clove:problem:";

/// Problem details (RFC 9457): what went wrong, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    kind: &'static str,
    status: StatusCode,
    title: &'static str,
    detail: String,
    more: Map<String, Value>,
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem of a kind, which is the end of its type's URI and stays as it is once it is out; its title is the same for all of its
    /// kind, and its detail is a sentence for a person.
    #[must_use]
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, status, title, detail: detail.into(), more: Map::new(), retry_after: None }
    }

    /// A fact beside the sentence, for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// After how many seconds to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// The status of its response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The end of its type's URI.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// What all of its kind have in common.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// The sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// After how many seconds to try again, if that is any use.
    #[must_use]
    pub fn retries_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The body.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let known = [
            ("type", Value::from(format!("{TYPES}{}", self.kind))),
            ("title", Value::from(self.title)),
            ("status", Value::from(self.status.as_u16())),
            ("detail", Value::from(self.detail.as_str())),
        ];
        let mut members = self.more.clone();
        members.extend(known.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(members).to_string().into()
    }

    /// A response that no cache keeps.
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.to_json());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for Problem {
    fn into_response(self) -> axum_core::response::Response {
        self.to_response().map(axum_core::body::Body::from)
    }
}
