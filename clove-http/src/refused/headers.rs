//! The headers of a refusal, in whatever form its body is.

use super::{Refused, challenge::challenge};
use crate::limits;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Whether a client should send the request again: a header that the SDKs of several services obey.
pub const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

impl Refused {
    /// Sets them.
    pub(crate) fn set_headers(&self, headers: &mut HeaderMap, now: DateTime<Utc>) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = challenge(self) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after(now) {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(window) = self.window() {
            limits::set_exhausted(headers, window, now);
        }
        // A time to try again at would tell a client to do so, and a request that never fits is not to be sent again either.
        if self.budget().is_some() || self.window().is_some_and(|window| window.retry_at.is_none()) {
            headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
        }
    }
}
