//! Answers in JSON.

use super::{headers, openapi::key_id, shape::KeyBody};
use crate::problem::Problem;
use axum::{
    body::{Body, Bytes},
    response::Response,
};
use clove_core::{Credential, Issued};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// Above the largest answer with a secret: the key's texts, its metadata and its capabilities have some 20 KiB at most. A buffer
/// that grew would leave copies behind.
const CREDENTIAL_BYTES: usize = 32 * 1024;

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, Problem> {
    response(status, serde_json::to_vec(body).map(Bytes::from))
}

fn response(status: StatusCode, bytes: serde_json::Result<Bytes>) -> Result<Response, Problem> {
    let bytes = bytes.map_err(|_| {
        let detail = "The answer could not be written. Ask an administrator.";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "The key store failed", detail)
    })?;
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The answer of a request that gave a key a secret: the only one that holds one, once.
#[derive(Serialize, ToSchema)]
pub(super) struct CredentialBody<'a> {
    key: &'a KeyBody,
    /// The key's id.
    #[schema(schema_with = key_id)]
    api_key_id: String,
    /// Until when the older secret stays good; null if there is none.
    previous_valid_until: Option<chrono::DateTime<chrono::Utc>>,
    /// Whether this repeats a command that was carried out before. Then there is no secret: rotate the key if it was lost.
    replayed: bool,
    /// The secret, which is told this once.
    secret: Option<&'a str>,
    /// What a client presents: `id;secret`.
    credential: Option<&'a str>,
}

/// The key with its new secret; what is replayed is said to be.
pub(super) fn credential(fresh: StatusCode, key: &KeyBody, issued: &Issued) -> Result<Response, Problem> {
    let credential = issued.credential.as_ref().map(Credential::reveal);
    let replayed = credential.is_none();
    let body = CredentialBody {
        key,
        api_key_id: issued.key.id.to_string(),
        previous_valid_until: issued.previous_valid_until,
        replayed,
        secret: issued.credential.as_ref().map(|credential| credential.secret().reveal()),
        credential: credential.as_ref().map(|credential| credential.as_str()),
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(CREDENTIAL_BYTES));
    let written = serde_json::to_writer(&mut *bytes, &body);
    // Overwritten once the answer is sent.
    let mut response = response(if replayed { StatusCode::OK } else { fresh }, written.map(|()| Bytes::from_owner(bytes)))?;
    let headers = response.headers_mut();
    headers.insert(header::ETAG, headers::entity_tag(issued.key.revision));
    if replayed {
        headers.insert(headers::REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// What a command did to a key.
#[derive(Serialize, ToSchema)]
pub(super) struct DoneBody {
    /// Whether it changed anything; false where it was so already.
    pub(super) changed: bool,
    /// The key as it is now; null where it has gone since, or cannot be read.
    pub(super) key: Option<KeyBody>,
}

impl DoneBody {
    pub(super) fn answer(&self) -> Result<Response, Problem> {
        let mut response = json(StatusCode::OK, self)?;
        if let Some(key) = &self.key {
            response.headers_mut().insert(header::ETAG, headers::entity_tag(key.revision));
        }
        Ok(response)
    }
}
