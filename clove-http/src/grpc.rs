//! Refusals of gRPC requests: a response of trailers only ("gRPC over HTTP2", Responses).

use crate::refused::Refused;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// In how many milliseconds a client may try again; a negative number says not to ("gRPC Retry Design", Pushback).
const GRPC_RETRY_PUSHBACK_MS: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What a message may not have as it is: all but printable ASCII, and the percent sign.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// A kind of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grpc {
    content_type: &'static str,
}

impl Grpc {
    /// The kind that a request is of, by its content type.
    pub(crate) fn of(request: &HeaderMap) -> Option<Self> {
        let value = request.get(header::CONTENT_TYPE)?.as_bytes().to_ascii_lowercase();
        // The longest first: each begins with the next.
        let kinds = [
            ("application/grpc-web-text", "application/grpc-web-text+proto"),
            ("application/grpc-web", "application/grpc-web+proto"),
            ("application/grpc", "application/grpc"),
        ];
        kinds.into_iter().find_map(|(kind, content_type)| {
            let rest = value.strip_prefix(kind.as_bytes())?;
            matches!(rest.first(), None | Some(b'+' | b';' | b' ')).then_some(Self { content_type })
        })
    }

    /// Makes a response one of gRPC. All its headers become metadata.
    pub(crate) fn refused(self, refused: &Refused, response: &mut Response<Bytes>) {
        let status = code(response.status());
        *response.status_mut() = StatusCode::OK;
        let headers = response.headers_mut();
        let pushback = match headers.get(header::RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse::<u64>().ok()) {
            Some(seconds) => Some(HeaderValue::from(seconds.saturating_mul(1_000))),
            None => (!refused.is_worth_retrying()).then_some(HeaderValue::from_static("-1")),
        };
        let message = utf8_percent_encode(&refused.to_string(), ENCODED).to_string();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(GRPC_STATUS, HeaderValue::from_static(status));
        if let Ok(message) = HeaderValue::try_from(message) {
            headers.insert(GRPC_MESSAGE, message);
        }
        if let Some(pushback) = pushback {
            headers.insert(GRPC_RETRY_PUSHBACK_MS, pushback);
        }
    }
}

/// The code of gRPC for a status.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "3",
        StatusCode::FORBIDDEN => "7",
        StatusCode::TOO_MANY_REQUESTS => "8",
        StatusCode::INTERNAL_SERVER_ERROR => "13",
        StatusCode::SERVICE_UNAVAILABLE => "14",
        _ => "16",
    }
}
