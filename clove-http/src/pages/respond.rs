//! Pages as responses: what their headers promise.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use maud::Markup;
use zeroize::Zeroizing;

/// What a page may load and do: its own files, and forms to its own origin. No inline script or style; no text becomes markup or
/// script.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// A page.
pub(crate) fn page(status: StatusCode, page: Markup) -> Response {
    html(status, Body::from(page.into_string()))
}

/// A page with a secret in it, whose memory is overwritten once it is sent.
pub(crate) fn page_with_secret(status: StatusCode, page: Zeroizing<Vec<u8>>) -> Response {
    html(status, Body::from(Bytes::from_owner(page)))
}

/// On to a page, by GET.
pub(crate) fn see_other(address: &str) -> Response {
    let mut response = bare(StatusCode::SEE_OTHER);
    if let Ok(address) = HeaderValue::from_str(address) {
        response.headers_mut().insert(header::LOCATION, address);
    }
    response
}

/// Nothing but a status.
pub(crate) fn bare(status: StatusCode) -> Response {
    html(status, Body::empty())
}

fn html(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: with it a browser sends `Origin: null` with forms, and those are refused (Fetch, "append a request
        // `Origin` header").
        (header::REFERRER_POLICY, "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
