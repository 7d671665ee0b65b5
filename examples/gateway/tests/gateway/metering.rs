//! What is counted of a request, and what is on record.

use crate::support::{Program, SDKS, Start, Upstream, message};
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpListener};

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

/// What is on record of one request before an upstream that reads it and then does this with the connection.
async fn used_of_one(before: Program, status: u16) -> [u64; 3] {
    let key = before.key("acme", "ada").await;
    let answer = message(&before.url, &key.credential, HELLO).await;
    assert_eq!(answer.status, status, "{answer:?}");
    // Nothing may be used, but each request settles: what was reserved is no longer.
    let (organization, unit) = (clove::Scope::Organization(key.owner.organization.clone()), clove::Unit::new("tokens").unwrap());
    let budget = || async { before.keys.budget(organization.clone(), None, &unit).await.unwrap().unwrap() };
    before.used(&key, "requests", |used| used == 1).await;
    crate::support::until(budget, |budget| budget.reserved == 0).await;
    let used = |unit| before.used(&key, unit, |_| true);
    [used("input_tokens").await, used("output_tokens").await, used("tokens").await]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_sent_and_not_answered_counts_as_all_that_it_might_have_used() {
    let most = u64::try_from(HELLO.len().div_ceil(4)).unwrap();
    for (breaks, status) in [(false, 504), (true, 502)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let mut kept = Vec::new();
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                while !bytes.ends_with(HELLO.as_bytes()) {
                    assert!(connection.read_buf(&mut bytes).await.unwrap() > 0);
                }
                kept.extend((!breaks).then_some(connection));
            }
        });
        let program = Start::before_address(&url).with("--answer-within", "1").run().await;
        assert_eq!(used_of_one(program, status).await, [most, 5, most + 5], "{status}");
        server.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_sent_or_that_fails_costs_nothing() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(used_of_one(Start::before_address(&format!("http://{gone}")).run().await, 502).await, [0; 3]);
    for (status, said) in [(529, 529), (400, 400), (307, 502)] {
        let upstream = Upstream::start().await;
        upstream.answers(status, "{}");
        assert_eq!(used_of_one(Start::before(&upstream).run().await, said).await, [0; 3], "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_begins_pays_for_it_all() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let program = Start::before_address(&format!("http://{}", listener.local_addr().unwrap())).run().await;
    let key = program.key("acme", "ada").await;
    let (url, header) = (format!("{}/v1/messages", program.url), format!("x-api-key: {}", *key.credential));
    let mut client = tokio::process::Command::new("curl")
        .args(["--silent", "--noproxy", "*", &url, "-H", &header, "--data-binary", HELLO])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(HELLO.as_bytes()) {
        assert!(connection.read_buf(&mut bytes).await.unwrap() > 0);
    }
    client.kill().await.unwrap();
    assert_eq!(program.used(&key, "output_tokens", |used| used > 0).await, 5);
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
