//! Streams: unbuffered, left, ended, and finished.

use crate::support::{Made, Program, Start, Upstream, by, curl, until};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::time::Duration;

const STREAMED: &str =
    r#"{"model": "demo-small", "max_tokens": 100, "stream": true, "messages": [{"role": "user", "content": "hello"}]}"#;

async fn running() -> (Upstream, Program, Made) {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).run().await;
    let key = program.key("acme", "ada").await;
    (upstream, program, key)
}

/// An answer that has begun.
struct Reading {
    body: Incoming,
    text: String,
}

async fn ask(program: &Program, key: &Made) -> Reading {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = http::Request::post(format!("{}/v1/messages", program.url))
        .header("x-api-key", &*key.credential)
        .body(Full::from(STREAMED))
        .unwrap();
    let answer = client.request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    Reading { body: answer.into_body(), text: String::new() }
}

impl Reading {
    /// Reads until it has so many events.
    async fn until_events(&mut self, events: usize) {
        while self.text.matches("\n\n").count() < events {
            assert!(self.more().await, "it ended: {}", self.text);
        }
    }

    /// Reads to its end; whether that was in order.
    async fn read_all(&mut self) -> bool {
        loop {
            match self.frame().await {
                Some(Ok(frame)) => self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap()),
                Some(Err(_)) => return false,
                None => return true,
            }
        }
    }

    async fn more(&mut self) -> bool {
        let Some(frame) = self.frame().await else { return false };
        self.text.push_str(std::str::from_utf8(frame.unwrap().data_ref().unwrap()).unwrap());
        true
    }

    async fn frame(&mut self) -> Option<Result<hyper::body::Frame<Bytes>, hyper::Error>> {
        let frame = tokio::time::timeout(Duration::from_secs(20), self.body.frame()).await;
        frame.unwrap_or_else(|_| panic!("nothing comes after {}", self.text))
    }

    fn last_event(&self) -> &str {
        self.text.trim_end().rsplit("\n\n").next().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_comes_while_the_next_is_held_back() {
    let (upstream, program, key) = running().await;
    upstream.hold_after(1);
    let mut reading = ask(&program, &key).await;
    for events in 1..10 {
        reading.until_events(events).await;
        assert_eq!(reading.text.matches("\n\n").count(), events, "{}", reading.text);
        upstream.release(1);
    }
    upstream.release(1000);
    assert!(reading.read_all().await);
    assert!(reading.last_event().contains("message_stop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_breaks_the_upstream_off_and_is_counted() {
    let (upstream, program, key) = running().await;
    upstream.hold_after(8);
    let mut reading = ask(&program, &key).await;
    reading.until_events(8).await;
    assert_eq!(upstream.left(), 0);
    drop(reading);
    until(|| std::future::ready(upstream.left()), |left| *left == 1).await;
    // The words so far, by their length: nobody has counted them.
    assert_eq!(program.used(&key, "input_tokens", |used| used > 0).await, 1);
    let written = program.used(&key, "output_tokens", |used| used > 0).await;
    let said = "You said: hello That was ".len();
    assert_eq!(written, u64::try_from(said.div_ceil(4)).unwrap());
    assert_eq!(program.used(&key, "tokens", |used| used > 0).await, 1 + written);
    // What it had reserved beyond that is free again.
    let organization = clove::Scope::Organization(key.owner.organization.clone());
    let unit = clove::Unit::new("tokens").unwrap();
    let budget = || async { program.keys.budget(organization.clone(), None, &unit).await.unwrap().unwrap() };
    let budget = until(budget, |budget| budget.reserved == 0).await;
    assert_eq!(budget.settled, 1 + written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_key_is_disabled() {
    let (upstream, program, key) = running().await;
    upstream.hold_after(5);
    let mut reading = ask(&program, &key).await;
    reading.until_events(5).await;
    program.keys.disable(&key.owner, key.id, &by()).await.unwrap();
    assert!(reading.read_all().await);
    let last = reading.last_event();
    assert!(last.starts_with("event: error\ndata: {\"type\":\"error\""), "{last}");
    assert!(last.contains("authentication_error") && last.contains("This API key is disabled."), "{last}");
    until(|| std::future::ready(upstream.left()), |left| *left == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_breaks_off_is_told_in_the_stream() {
    let (upstream, program, key) = running().await;
    upstream.cut_after(5);
    let mut reading = ask(&program, &key).await;
    reading.until_events(5).await;
    upstream.release(1);
    assert!(reading.read_all().await);
    assert!(reading.last_event().starts_with("event: error\n"), "{}", reading.text);
    assert!(reading.last_event().contains("api_error"), "{}", reading.text);
    assert!(program.used(&key, "output_tokens", |used| used > 0).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_falls_silent_is_given_up() {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).with("--silence", "1").run().await;
    let key = program.key("acme", "ada").await;
    upstream.hold_after(5);
    let mut reading = ask(&program, &key).await;
    assert!(reading.read_all().await);
    assert!(reading.last_event().contains("fallen silent"), "{}", reading.text);
    until(|| std::future::ready(upstream.left()), |left| *left == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_falls_silent_is_given_up_where_nothing_is_counted_too() {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).with("--silence", "1").run().await;
    let key = program.key("acme", "ada").await;
    let header = format!("x-api-key: {}", *key.credential);
    upstream.hold_after(0);
    let count = ["--data-binary", r#"{"model": "demo-small", "messages": []}"#];
    for (path, body) in [("/v1/messages/count_tokens", &count[..]), ("/v1/models/demo-small", &[])] {
        let answer = curl(&[&[&*format!("{}{path}", program.url), "-H", &header, "--max-time", "20"], body].concat(), b"").await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, ""), "{path}");
    }
    until(|| std::future::ready(upstream.left()), |left| *left == 2).await;
    let list = curl(&[&format!("{}/v1/models", program.url), "-H", &header, "--max-time", "20"], b"").await;
    assert_eq!((list.status.as_u16(), &*list.error().0), (502, "api_error"));
    until(|| std::future::ready(upstream.left()), |left| *left == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_stopped_finishes_its_streams() {
    let (upstream, mut program, key) = running().await;
    upstream.hold_after(5);
    let mut reading = ask(&program, &key).await;
    reading.until_events(5).await;
    program.stop();
    let address = program.url.strip_prefix("http://").unwrap().to_owned();
    let refused = || async { tokio::net::TcpStream::connect(&*address).await.is_err() };
    until(refused, |refused| *refused).await;
    upstream.release(1000);
    assert!(reading.read_all().await);
    assert!(reading.last_event().contains("message_stop"), "{}", reading.text);
    assert_eq!(program.ended().await, Some(0));
    assert!(program.used(&key, "output_tokens", |used| used > 0).await > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_waits_for_its_streams_only_so_long_and_counts_what_they_were() {
    let upstream = Upstream::start().await;
    let mut program = Start::before(&upstream).with("--stop-within", "0").run().await;
    let key = program.key("acme", "ada").await;
    upstream.hold_after(8);
    let mut reading = ask(&program, &key).await;
    reading.until_events(8).await;
    program.stop();
    assert_eq!(program.ended().await, Some(0));
    assert!(!reading.read_all().await, "it cannot be taken for a whole one");
    assert_eq!(program.used(&key, "output_tokens", |used| used > 0).await, 7);
}
