//! A Messages API of our own for the demonstration: it answers in the same form, always the same to the same, and knows nothing.

mod answer;
mod stream;

use answer::{Answer, Ask};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Its models.
const MODELS: [(&str, &str); 3] =
    [("demo-large", "Demo Large"), ("demo-small", "Demo Small"), ("claude-haiku-demo", "Haiku, as the demo has it")];

/// How it answers.
#[derive(Clone, Debug)]
pub(crate) struct Demo {
    /// The key that it takes.
    pub(crate) key: Arc<str>,
    /// How long it thinks between two words of a stream.
    pub(crate) pace: Duration,
}

impl Demo {
    /// All that it answers to.
    pub(crate) fn router(self) -> Router {
        let key = Arc::clone(&self.key);
        Router::new()
            .route("/v1/messages", post(message))
            .route("/v1/messages/count_tokens", post(count))
            .route("/v1/models", get(models))
            .route("/v1/models/{id}", get(model))
            .fallback(|| async { error(StatusCode::NOT_FOUND, "not_found_error", "Not found") })
            .layer(middleware::from_fn_with_state(key, only_with_key))
            .with_state(self)
    }
}

async fn only_with_key(State(key): State<Arc<str>>, request: Request, next: Next) -> Response {
    let mut response = match request.headers().get("x-api-key") {
        Some(presented) if presented.as_bytes() == key.as_bytes() => next.run(request).await,
        _ => error(StatusCode::UNAUTHORIZED, "authentication_error", "invalid x-api-key"),
    };
    // As a real one says them: about the host's account, which all keys of the gateway share.
    let headers = response.headers_mut();
    headers.insert("anthropic-organization-id", HeaderValue::from_static("the-host"));
    headers.insert("anthropic-ratelimit-requests-limit", HeaderValue::from_static("999999"));
    headers.insert("request-id", HeaderValue::from_static("req_demo"));
    response
}

async fn message(State(demo): State<Demo>, body: Bytes) -> Response {
    let ask: Ask = match serde_json::from_slice(&body) {
        Ok(ask) => ask,
        Err(wrong) => return error(StatusCode::BAD_REQUEST, "invalid_request_error", &wrong.to_string()),
    };
    if let Some(status) = ask.failure() {
        let kind = if status.as_u16() == 529 { "overloaded_error" } else { "api_error" };
        return error(status, kind, "The demo fails, as it was asked to");
    }
    if !MODELS.iter().any(|(id, _)| *id == ask.model) {
        return error(StatusCode::NOT_FOUND, "not_found_error", &format!("model: {}", ask.model));
    }
    let answer = Answer::to(&ask);
    if !ask.stream {
        return Json(answer.whole()).into_response();
    }
    let headers = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache")];
    (headers, Body::from_stream(stream::events(answer, demo.pace))).into_response()
}

async fn count(body: Bytes) -> Response {
    match serde_json::from_slice::<Ask>(&body) {
        Ok(ask) => Json(json!({"input_tokens": ask.input_tokens()})).into_response(),
        Err(wrong) => error(StatusCode::BAD_REQUEST, "invalid_request_error", &wrong.to_string()),
    }
}

async fn models() -> Json<Value> {
    let data: Vec<Value> = MODELS.iter().map(about).collect();
    let [first, .., last] = MODELS;
    Json(json!({"data": data, "has_more": false, "first_id": first.0, "last_id": last.0}))
}

async fn model(Path(id): Path<String>) -> Response {
    match MODELS.iter().find(|(known, _)| *known == id) {
        Some(model) => Json(about(model)).into_response(),
        None => error(StatusCode::NOT_FOUND, "not_found_error", &format!("model: {id}")),
    }
}

fn about((id, name): &(&str, &str)) -> Value {
    json!({"type": "model", "id": id, "display_name": name, "created_at": "2026-01-01T00:00:00Z"})
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_demo"});
    (status, Json(body)).into_response()
}
