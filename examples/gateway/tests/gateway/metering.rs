//! What is counted of a request, and what is on record.

use crate::support::{SDKS, Start, Upstream, message};
use serde_json::json;

const HELLO: &str = r#"{"model": "demo-small", "max_tokens": 5, "messages": [{"role": "user", "content": "one two three"}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_from_plain_and_streamed_answers_alike() {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).run().await;
    for (sdk, person) in SDKS.into_iter().zip(["ada", "grace"]) {
        let key = program.key("acme", person).await;
        let step = |what| json!({"do": what, "key": *key.credential, "max_tokens": 5, "text": "one two three"});
        let outcomes = sdk.does(&program.url, json!([step("plain"), step("stream"), step("events"), step("count_tokens")])).await;
        assert!(outcomes.iter().all(|outcome| outcome["error"].is_null()), "{outcomes:?}");
        assert_eq!(program.used(&key, "input_tokens", |used| used >= 9).await, 9, "{sdk:?}");
        assert_eq!(program.used(&key, "output_tokens", |used| used >= 15).await, 15, "{sdk:?}");
        assert_eq!(program.used(&key, "tokens", |used| used >= 24).await, 24, "{sdk:?}");
        assert_eq!(program.used(&key, "requests", |used| used >= 4).await, 4, "{sdk:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_the_cache_are_input() {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).run().await;
    let key = program.key("acme", "ada").await;
    let usage = r#"{"usage": {"input_tokens": 1, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 300, "output_tokens": 4}}"#;
    upstream.answers(200, usage);
    assert_eq!(message(&program.url, &key.credential, HELLO).await.body, usage);
    assert_eq!(program.used(&key, "input_tokens", |used| used > 0).await, 321);
    assert_eq!(program.used(&key, "output_tokens", |used| used > 0).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_one_entry_of_the_access_log() {
    for promise in ["best-effort", "required"] {
        let upstream = Upstream::start().await;
        let program = Start::before(&upstream).with("--access-log", promise).run().await;
        let key = program.key("globex", "edsger").await;
        assert_eq!(message(&program.url, &key.credential, HELLO).await.status, 200);
        assert_eq!(message(&program.url, &key.credential, "{").await.status, 400);
        let forbidden = HELLO.replace("demo-small", "demo-large");
        assert_eq!(message(&program.url, &key.credential, &forbidden).await.status, 403);
        let one = ("granted".to_owned(), "/v1/messages".to_owned(), 1);
        assert_eq!(program.log(&key, 3).await, [one.clone(), one.clone(), one], "{promise}");
    }
}
