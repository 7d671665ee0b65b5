//! Reading the body of a request, within limits.

use axum::body::Body;
use bytes::Bytes;
use clove_http::AnthropicError;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::time::Duration;

/// The largest body, as the Messages API has it.
pub(crate) const MAX_BYTES: usize = 32 << 20;
/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(120);
/// How much of a body that nobody wants is read, and for how long, so that its sender gets to read the answer: a connection that is
/// closed on unread bytes is reset, and takes the answer with it.
const UNWANTED_BYTES: usize = 8 << 20;
const UNWANTED_PATIENCE: Duration = Duration::from_secs(5);

/// The whole body.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, AnthropicError> {
    if declared(headers).is_some_and(|bytes| bytes > MAX_BYTES) {
        discard(headers, body).await;
        return Err(too_large());
    }
    match tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(AnthropicError::new(StatusCode::BAD_REQUEST, "The body of the request broke off.")),
        Err(_) => Err(AnthropicError::new(StatusCode::REQUEST_TIMEOUT, "The body of the request took too long to come.")),
    }
}

/// Reads on without keeping anything, for an answer that is given before the body was read.
pub(crate) async fn discard(headers: &HeaderMap, body: Body) {
    // Who waits to be asked for the body gets the answer instead.
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let mut pieces = body.into_data_stream();
    let _ = tokio::time::timeout(UNWANTED_PATIENCE, async {
        let mut left = UNWANTED_BYTES;
        while let Some(Ok(piece)) = pieces.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                break;
            }
        }
    })
    .await;
}

fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large() -> AnthropicError {
    let message = format!("The body of the request is larger than {} MiB.", MAX_BYTES >> 20);
    AnthropicError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}
