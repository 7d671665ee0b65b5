//! The form that Anthropic's SDKs and CLI read.

use crate::{
    limits::timestamp,
    refused::{Refused, X_SHOULD_RETRY},
    renderer::Renderer,
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use clove_core::{Grant, GrantId};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

/// The id of a request, for whoever asks for help with it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// Before the names of all headers that tell limits.
const LIMITS: &str = "anthropic-ratelimit-";

/// Refusals as `{"type":"error","error":{"type":…,"message":…},"request_id":…}`; `x-should-retry: false` where trying again is of no use,
/// without which the CLI hides a 401 behind retries; grants with `anthropic-ratelimit-*`.
///
/// Of the windows of a key and its account, the one that has the least left is told, as requests. Budgets are told where the grant has a
/// [reservation](Grant::reservation) of a unit named `tokens`, `input_tokens` or `output_tokens`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnthropicStyle;

impl Renderer for AnthropicStyle {
    fn refused(&self, refused: &Refused, response: &mut Response<Bytes>) {
        let kind = match refused.status() {
            StatusCode::TOO_MANY_REQUESTS if refused.budget().is_some() => AnthropicError::BILLING,
            status => AnthropicError::kind_of(status),
        };
        let error = AnthropicError { status: refused.status(), kind, message: refused.to_string(), request: None };
        let should_not_retry = !refused.is_worth_retrying();
        error.write(&request_id(GrantId::new(Utc::now())), should_not_retry, response);
    }

    fn granted(&self, grant: &Grant, headers: &mut HeaderMap) {
        // Those of a service behind the host are shared by all its keys.
        let others: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(LIMITS)).cloned().collect();
        for name in others {
            headers.remove(name);
        }
        // One that is there is that of an answer whose body may name it, too.
        if !headers.contains_key(REQUEST_ID)
            && let Ok(id) = HeaderValue::try_from(request_id(grant.id()))
        {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(limit) = grant.limits().min_by_key(|limit| (limit.left, std::cmp::Reverse(limit.resets_at))) {
            set_limit(headers, "requests", limit.window.count(), limit.left, Some(limit.resets_at));
        }
        if let Some(reservation) = grant.reservation()
            && let Some(name) = tokens(reservation.unit.as_str())
            && let Some(state) = reservation.budgets.iter().min_by_key(|state| state.left())
        {
            set_limit(headers, name, state.budget.amount(), state.left(), state.refills_at);
        }
    }
}

/// An error in that form, for a host's own refusals.
///
/// ```
/// use clove_http::AnthropicError;
/// use http::StatusCode;
///
/// let response = AnthropicError::new(StatusCode::NOT_FOUND, "There is no model of that name.").to_response();
/// assert_eq!(response.status(), 404);
/// assert!(response.body().starts_with(br#"{"type":"error","error":{"type":"not_found_error","message":"There is"#));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnthropicError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    request: Option<GrantId>,
}

impl AnthropicError {
    const BILLING: &'static str = "billing_error";

    /// An error of the type that goes with a status: 400 `invalid_request_error`, 401 `authentication_error`, 402 `billing_error`, 403
    /// `permission_error`, 404 `not_found_error`, 413 `request_too_large`, 429 `rate_limit_error`, 529 `overloaded_error`; any other
    /// below 500 `invalid_request_error`, the rest `api_error`. The message is a sentence for a person.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, kind: Self::kind_of(status), message: message.into(), request: None }
    }

    /// The type of an error, where its status does not tell it.
    #[must_use]
    pub fn of_type(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// To a request that was granted: its `request_id` is then the one of the access log, and what [`Edge::granted`](crate::Edge::granted)
    /// sets.
    #[must_use]
    pub fn of_grant(mut self, grant: &Grant) -> Self {
        self.request = Some(grant.id());
        self
    }

    /// The response, which no cache keeps. Errors that the client made, but 429, say that they are not to be sent again.
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let should_not_retry = self.status.is_client_error() && self.status != StatusCode::TOO_MANY_REQUESTS;
        let id = self.request.unwrap_or_else(|| GrantId::new(Utc::now()));
        self.write(&request_id(id), should_not_retry, &mut response);
        response
    }

    fn kind_of(status: StatusCode) -> &'static str {
        match status.as_u16() {
            401 => "authentication_error",
            402 => Self::BILLING,
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            ..500 => "invalid_request_error",
            _ => "api_error",
        }
    }

    fn write(&self, request_id: &str, should_not_retry: bool, response: &mut Response<Bytes>) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(id) = HeaderValue::try_from(request_id) {
            headers.insert(REQUEST_ID, id);
        }
        if should_not_retry {
            headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        // By hand, so that it reads as it is documented.
        let [kind, message, id] = [self.kind, &self.message, request_id].map(Value::from);
        *response.body_mut() =
            format!(r#"{{"type":"error","error":{{"type":{kind},"message":{message}}},"request_id":{id}}}"#).into();
    }
}

/// Of a granted request it is the grant's, which the access log has; of any other it is made up.
fn request_id(id: GrantId) -> String {
    format!("req_{}", id.as_uuid().simple())
}

/// As what a budget of this unit is told.
fn tokens(unit: &str) -> Option<&'static str> {
    match unit {
        "tokens" => Some("tokens"),
        "input_tokens" => Some("input-tokens"),
        "output_tokens" => Some("output-tokens"),
        _ => None,
    }
}

fn set_limit(headers: &mut HeaderMap, of: &str, limit: u64, left: u64, resets_at: Option<DateTime<Utc>>) {
    let facts = [("limit", Some(limit.to_string())), ("remaining", Some(left.to_string())), ("reset", resets_at.map(timestamp))];
    for (what, value) in facts {
        if let (Ok(name), Some(Ok(value))) =
            (HeaderName::try_from(format!("{LIMITS}{of}-{what}")), value.map(HeaderValue::try_from))
        {
            headers.insert(name, value);
        }
    }
}
