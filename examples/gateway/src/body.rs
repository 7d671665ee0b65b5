//! Reading the body of a request, within limits.

mod room;

pub(crate) use room::Room;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use clove::KeyId;
use clove_http::AnthropicError;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode, header};
use room::{Kept, NotKept};
use std::time::Duration;

/// The largest body, as the Messages API has it.
pub(crate) const MAX_BYTES: usize = 32 << 20;
/// What the Messages API answers while it has too much to do.
pub(crate) const OVERLOADED: u16 = 529;
/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(120);
/// How much of a body that nobody wants is read, and for how long, so that its sender gets to read the answer: a connection that is
/// closed on unread bytes is reset, and takes the answer with it.
const UNWANTED_BYTES: usize = 8 << 20;
const UNWANTED_PATIENCE: Duration = Duration::from_secs(5);

/// A body that has yet to come, and where there is room for it.
#[derive(Debug)]
pub(crate) struct Coming {
    body: Body,
    room: Room,
}

/// The whole body, which takes room until it is dropped.
pub(crate) async fn read(headers: &HeaderMap, Coming { body, room }: Coming, key: KeyId) -> Result<Bytes, AnthropicError> {
    let most = declared(headers).unwrap_or(MAX_BYTES);
    if most > MAX_BYTES {
        discard_rest(headers, body.into_data_stream()).await;
        return Err(too_large());
    }
    let mut pieces = body.into_data_stream();
    let Ok(read) = tokio::time::timeout(PATIENCE, keep(&mut pieces, room.of(key), most)).await else {
        return Err(AnthropicError::new(StatusCode::REQUEST_TIMEOUT, "The body of the request took too long to come."));
    };
    match read {
        Ok(body) => Ok(body),
        Err(NotKept::TooLarge) => Err(too_large()),
        Err(NotKept::Broken) => Err(AnthropicError::new(StatusCode::BAD_REQUEST, "The body of the request broke off.")),
        Err(NotKept::NoRoom) => {
            discard_rest(headers, pieces).await;
            Err(no_room())
        }
    }
}

async fn keep(pieces: &mut BodyDataStream, mut kept: Kept, most: usize) -> Result<Bytes, NotKept> {
    while let Some(piece) = pieces.next().await {
        kept.add(&piece.map_err(|_| NotKept::Broken)?, most)?;
    }
    Ok(Bytes::from_owner(kept))
}

/// Reads on without keeping anything, for an answer that is given before the body was read.
pub(crate) async fn discard(headers: &HeaderMap, coming: Coming) {
    discard_rest(headers, coming.body.into_data_stream()).await;
}

async fn discard_rest(headers: &HeaderMap, mut pieces: BodyDataStream) {
    // Who waits to be asked for the body gets the answer instead.
    if headers.contains_key(header::EXPECT) {
        return;
    }
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

fn no_room() -> AnthropicError {
    let overloaded = StatusCode::from_u16(OVERLOADED).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    AnthropicError::new(overloaded, "The gateway has no room for more requests at once. Try again shortly.")
        .of_type("overloaded_error")
}
