//! The usage policy of an organization, before anything is forwarded.

use crate::support::{Start, Upstream, curl, message, until};
use tokio::{io::AsyncWriteExt, net::TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_judged_is_not_forwarded() {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).run().await;
    let key = program.key("globex", "edsger").await;
    let bodies = [
        "",
        "{",
        "[]",
        r#"{"max_tokens": 5}"#,
        r#"{"model": "demo-small"}"#,
        r#"{"model": "demo-small", "max_tokens": "5"}"#,
        r#"{"model": "demo-small", "max_tokens": -5}"#,
        r#"{"model": "demo-small", "model": "demo-large", "max_tokens": 5}"#,
        r#"{"model": "demo-small", "mod\u0065l": "demo-large", "max_tokens": 5}"#,
        "{\"model\": \"demo-small\", \"max_tokens\": 5}\n{\"model\": \"demo-large\", \"max_tokens\": 5}",
        "\u{feff}{\"model\": \"demo-small\", \"max_tokens\": 5}",
    ];
    for body in bodies {
        let answer = message(&program.url, &key.credential, body).await;
        assert_eq!((answer.status.as_u16(), &*answer.error().0), (400, "invalid_request_error"), "{body} {answer:?}");
        assert_eq!(answer.header("x-should-retry"), "false", "{body}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_budget_has_not_left_is_not_forwarded() {
    let upstream = Upstream::start().await;
    let organizations = tempfile::NamedTempFile::new().unwrap();
    let json = r#"[{"id": "acme", "name": "Acme", "people": [],
        "usage": {"models": ["*"], "max_tokens": 1000, "budget": {"tokens": 120, "each": "day"}}}]"#;
    std::fs::write(organizations.path(), json).unwrap();
    let program = Start::before(&upstream).with("--organizations", organizations.path().to_str().unwrap()).run().await;
    let key = program.key("acme", "ada").await;
    let body = |most: u64| {
        format!(r#"{{"model": "demo-small", "max_tokens": {most}, "messages": [{{"role": "user", "content": "hello"}}]}}"#)
    };
    let (mut granted, mut refused) = (0, None);
    for _ in 0..20 {
        let answer = message(&program.url, &key.credential, &body(40)).await;
        match answer.status.as_u16() {
            200 => granted += 1,
            _ => refused = Some(answer),
        }
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("the budget never ended");
    assert_eq!((refused.status.as_u16(), &*refused.error().0), (429, "billing_error"), "{refused:?}");
    assert_eq!((refused.header("x-should-retry"), refused.header("retry-after")), ("false", ""));
    assert!(refused.error().1.contains("The organization of this API key may use 120 tokens a day"), "{refused:?}");
    assert_eq!(upstream.seen().len(), granted);
    assert!(program.used(&key, "tokens", |used| used > 0).await <= 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_above_the_limit_is_too_large_and_one_of_a_stranger_is_not_kept() {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).run().await;
    let key = program.key("acme", "ada").await;
    let large = "x".repeat((32 << 20) + 1);
    let answer = message(&program.url, &key.credential, &large).await;
    assert_eq!((answer.status.as_u16(), &*answer.error().0), (413, "request_too_large"));
    let (url, header) = (format!("{}/v1/messages", program.url), format!("x-api-key: {}", *key.credential));
    let unsized_ = ["-H", "transfer-encoding: chunked", "-H", "expect:", "--data-binary", "@-"];
    let answer = curl(&[&[&*url, "-H", &header], &unsized_[..]].concat(), large.as_bytes()).await;
    assert_eq!((answer.status.as_u16(), &*answer.error().0), (413, "request_too_large"));
    // A stranger with a body of the size that a client's has gets to read why.
    let usual = "x".repeat(1 << 20);
    let answer = curl(&[&url, "-H", "x-api-key: nobody", "-H", "expect:", "--data-binary", "@-"], usual.as_bytes()).await;
    assert_eq!((answer.status.as_u16(), &*answer.error().0), (401, "authentication_error"));
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_bodies_fill_its_room_is_told_to_wait_and_others_are_served() {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).with("--limit", "100000/60").run().await;
    let (key, other) = (program.key("acme", "ada").await, program.key("acme", "grace").await);
    let hello = r#"{"model": "demo-small", "max_tokens": 5, "messages": []}"#;
    let most = 32 << 20;
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: gateway\r\nx-api-key: {}\r\ncontent-length: {most}\r\n\r\n",
        *key.credential
    );
    let mut unfinished = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(program.url.strip_prefix("http://").unwrap()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; most - 1]).await.unwrap();
        unfinished.push(stream);
    }
    let asks = || message(&program.url, &key.credential, hello);
    let full = until(asks, |answer| answer.status != 200).await;
    assert_eq!((full.status.as_u16(), &*full.error().0), (529, "overloaded_error"), "{full:?}");
    assert_eq!((full.header("retry-after"), full.header("x-should-retry")), ("2", ""));
    assert_eq!(message(&program.url, &other.credential, hello).await.status, 200);
    drop(unfinished);
    until(asks, |answer| answer.status == 200).await;
}
