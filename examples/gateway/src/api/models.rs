//! Which models there are: of the upstream's, those that the organization may use.

use super::Shared;
use crate::gateway::{Gateway, Stop};
use axum::{
    body::Body,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::Response,
};
use clove::Grant;
use clove_http::{AnthropicError, Granted};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

/// The longest list that is read.
const MAX_BYTES: usize = 4 << 20;

pub(super) async fn list(
    State((gateway, _)): State<Shared>,
    Granted(grant): Granted,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Response {
    let path = query.map_or_else(|| "/v1/models".to_owned(), |query| format!("/v1/models?{query}"));
    match allowed(&gateway, &path, &request, &grant).await {
        Ok(answer) => gateway.pass(answer, &grant),
        Err(stop) => gateway.stop(&stop.of_grant(&grant), &request),
    }
}

pub(super) async fn one(
    State((gateway, _)): State<Shared>,
    Granted(grant): Granted,
    id: Result<Path<String>, PathRejection>,
    request: HeaderMap,
) -> Response {
    let may_see = |id: &String| is_name(id) && gateway.organizations.allows(&grant.owner().organization, id);
    // What is no text once it is decoded is no model's name, either.
    let answer = match id.ok().map(|Path(id)| id).filter(may_see) {
        Some(id) => gateway.get(&format!("/v1/models/{id}"), &request, &grant).await,
        None => Err(AnthropicError::new(StatusCode::NOT_FOUND, "There is no model of this name for your organization.").into()),
    };
    match answer {
        Ok(answer) => gateway.pass(answer.map(Body::new), &grant),
        Err(stop) => gateway.stop(&stop.of_grant(&grant), &request),
    }
}

/// Whether it can stand in a path as it is.
fn is_name(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'@');
    !id.is_empty() && !id.bytes().all(|byte| byte == b'.') && id.bytes().all(plain)
}

/// A page of the upstream's list without what is not allowed. Its cursors stay the upstream's: they lead to its next page.
async fn allowed(gateway: &Gateway, path: &str, request: &HeaderMap, grant: &Grant) -> Result<Response, Stop> {
    let answer = gateway.get(path, request, grant).await?;
    if !answer.status().is_success() {
        return Ok(answer.map(Body::new));
    }
    let (mut head, body) = answer.into_parts();
    let unreadable = || AnthropicError::new(StatusCode::BAD_GATEWAY, "The list of models cannot be read. Try again shortly.");
    // It is of use only when it is whole, and may take no longer than the upstream may be silent.
    let body = tokio::time::timeout(gateway.silence, Limited::new(body, MAX_BYTES).collect()).await;
    let body = body.map_err(|_| unreadable())?.map_err(|_| unreadable())?.to_bytes();
    let mut page: Value = serde_json::from_slice(&body).map_err(|_| unreadable())?;
    let models = page.get_mut("data").and_then(Value::as_array_mut).ok_or_else(unreadable)?;
    let organization = &grant.owner().organization;
    models
        .retain(|model| model.get("id").and_then(Value::as_str).is_some_and(|id| gateway.organizations.allows(organization, id)));
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(head, Body::from(page.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_goes_into_the_upstreams_path() {
        for name in ["claude-opus-4-5", "demo-small", "a.b:c@1", "org_x"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "../messages", "a%2f", "a?b", "a#b", "a b", "ä", "a\r\nb"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
