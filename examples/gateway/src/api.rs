//! The routes of the API: what the CLI and the SDKs ask for.

mod models;

use crate::{body::Room, gateway::Gateway};
use axum::{
    Router,
    extract::{Request, State},
    handler::Handler,
    response::{IntoResponse, Response},
    routing::{any, get, head, post},
};
use clove::{EndpointLabel, Invalid};
use clove_http::{AnthropicError, ApiKeyLayer, Asked, Granted};
use http::StatusCode;
use std::sync::Arc;

/// What a key must be allowed to do, to use a model.
pub(crate) const MESSAGES_WRITE: &str = "messages:write";
/// What a key must be allowed to do, to see which models there are.
pub(crate) const MODELS_READ: &str = "models:read";

/// What requests with a body require, whose keys are looked at before it and verified after it.
#[derive(Debug)]
struct Bodies {
    messages: Asked,
    count_tokens: Asked,
    room: Room,
}

type Shared = (Gateway, Arc<Bodies>);

/// `HEAD /`, and everything under `/v1`.
pub(crate) fn router(gateway: Gateway) -> Result<Router, Invalid> {
    let with_body = |label| Asked::new().at_endpoint(EndpointLabel::new(label)?).require(MESSAGES_WRITE);
    let (messages_asked, count_asked) = (with_body("/v1/messages")?, with_body("/v1/messages/count_tokens")?);
    let bodies = Bodies { messages: messages_asked, count_tokens: count_asked, room: Room::new() };
    let key = |label| Ok::<_, Invalid>(ApiKeyLayer::new(gateway.edge.clone()).at_endpoint(EndpointLabel::new(label)?));
    let models = key("/v1/models")?.require(MODELS_READ)?;
    let nothing = nothing.layer(key("/v1/other")?);
    Ok(Router::new()
        // The CLI looks with it whether anybody is there, before it shows its key.
        .route("/", head(|| async { StatusCode::NO_CONTENT }))
        .route("/v1/messages", post(messages).fallback(nothing.clone()))
        .route("/v1/messages/count_tokens", post(count_tokens).fallback(nothing.clone()))
        .route("/v1/models", get(models::list.layer(models.clone())).fallback(nothing.clone()))
        .route("/v1/models/{id}", get(models::one.layer(models)).fallback(nothing.clone()))
        .route("/v1", any(nothing.clone()))
        .route("/v1/", any(nothing.clone()))
        .route("/v1/{*rest}", any(nothing))
        .with_state((gateway, Arc::new(bodies))))
}

async fn messages(State((gateway, bodies)): State<Shared>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let answer = gateway.message(&mut parts, bodies.room.for_body(body), &bodies.messages).await;
    answer.unwrap_or_else(|stop| gateway.stop(&stop, &parts.headers))
}

async fn count_tokens(State((gateway, bodies)): State<Shared>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let answer = gateway.count_tokens(&mut parts, bodies.room.for_body(body), &bodies.count_tokens).await;
    answer.unwrap_or_else(|stop| gateway.stop(&stop, &parts.headers))
}

/// The gateway passes on only what it can count.
async fn nothing(Granted(grant): Granted, request: Request) -> Response {
    let message = format!("There is no {} {} at this gateway.", request.method(), request.uri().path());
    AnthropicError::new(StatusCode::NOT_FOUND, message).of_grant(&grant).to_response().map(axum::body::Body::from).into_response()
}
