//! An answer event by event.

use super::answer::Answer;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use std::{convert::Infallible, time::Duration};

/// The events, with a pause before each word.
pub(super) fn events(answer: Answer, pace: Duration) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let usage = json!({"input_tokens": answer.input_tokens, "output_tokens": 1});
    let before = [
        event(&json!({"type": "message_start", "message": answer.message(json!([]), Value::Null, usage)})),
        event(&json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})),
        event(&json!({"type": "ping"})),
    ];
    let delta = json!({"stop_reason": answer.stop_reason, "stop_sequence": null});
    let after = [
        event(&json!({"type": "content_block_stop", "index": 0})),
        event(&json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": answer.output_tokens()}})),
        event(&json!({"type": "message_stop"})),
    ];
    let words = stream::iter(answer.words).then(move |word| async move {
        if !pace.is_zero() {
            tokio::time::sleep(pace).await;
        }
        event(&json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}))
    });
    stream::iter(before).chain(words).chain(stream::iter(after)).map(Ok)
}

fn event(data: &Value) -> Bytes {
    let name = data.get("type").and_then(Value::as_str).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}
