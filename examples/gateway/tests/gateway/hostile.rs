//! What no client of good will sends.

use crate::support::{Made, Program, Start, Upstream, message};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const HELLO: &str = r#"{"model":"demo-small","max_tokens":5,"messages":[]}"#;

async fn running() -> (Upstream, Program, Made) {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).with("--limit", "100000/60").run().await;
    let key = program.key("acme", "ada").await;
    (upstream, program, key)
}

/// Sends bytes as they are; the statuses of all that is answered, none where the connection is closed without an answer.
async fn raw(program: &Program, bytes: &[u8]) -> Vec<u16> {
    let mut stream = TcpStream::connect(program.url.strip_prefix("http://").unwrap()).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut answer = Vec::new();
    let reading = async {
        let _ = tokio::time::timeout(Duration::from_secs(20), read.read_to_end(&mut answer)).await;
    };
    // It may be closed before all is sent.
    tokio::join!(async { drop(write.write_all(bytes).await) }, reading);
    let text = String::from_utf8_lossy(&answer);
    let lines = text.split("HTTP/1.").skip(1);
    lines.filter_map(|line| line.get(2..5)?.parse().ok()).collect()
}

/// A request that closes its connection, with these lines more.
fn request(first: &str, lines: &[&str], body: &str) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{first}\r\nhost: gateway\r\nconnection: close\r\n{lines}\r\n{body}").into_bytes()
}

async fn is_well(program: &Program, key: &Made) {
    assert_eq!(message(&program.url, &key.credential, HELLO).await.status, 200);
    let said = program.said();
    assert!(!said.contains("panicked"), "{said}");
    assert!(!said.contains(key.secret()), "a secret is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_spelled_to_be_read_twice_is_refused() {
    let (upstream, program, key) = running().await;
    let credential = &*key.credential;
    let length = format!("content-length: {}", HELLO.len());
    let post = "POST /v1/messages HTTP/1.1";
    let line = |text: &str| text.replace('#', credential);
    let cases: Vec<(Vec<String>, u16)> = vec![
        (vec![line("x-api-key: #")], 200),
        (vec![line("X-API-KEY:#")], 200),
        (vec![line("x-api-key: #"), line("authorization: bearer #")], 200),
        (vec![], 401),
        (vec![line("x-api-key:")], 401),
        (vec![line("authorization: Bearer  #")], 401),
        (vec![line("authorization: Bearer\t#")], 401),
        (vec![line("authorization: Basic #")], 401),
        (vec![line("x-api-key: #"), line("x-api-key: #")], 400),
        (vec![line("x-api-key: #"), line("X-Api-Key: other")], 400),
        (vec![line("x-api-key: #, #")], 400),
        (vec![line("x-api-key: #"), line("authorization: Bearer other")], 400),
        (vec![line("authorization: Bearer #"), line("authorization: Bearer #")], 400),
        (vec![line("x-api-key: #\r\n x-api-key: #")], 400),
        (vec![line("x-api-key : #")], 400),
        (vec![line("x-api\0-key: #")], 400),
        (vec![line("x_api_key: #")], 401),
        (vec![line("x-api-key: #\0")], 400),
    ];
    for (lines, status) in cases {
        let mut all: Vec<&str> = lines.iter().map(String::as_str).collect();
        all.push(&length);
        let answered = raw(&program, &request(post, &all, HELLO)).await;
        assert_eq!(answered, [status], "{}", lines.join(" | ").replace(credential, "#"));
    }
    let in_query = format!("POST /v1/messages?key={} HTTP/1.1", key.secret());
    assert_eq!(raw(&program, &request(&in_query, &[&length], HELLO)).await, [400]);
    assert_eq!(upstream.seen().len(), 3);
    is_well(&program, &key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_within_the_first_is_never_forwarded() {
    let (upstream, program, key) = running().await;
    let header = format!("x-api-key: {}", *key.credential);
    let inner = format!("GET /v1/models HTTP/1.1\r\nhost: gateway\r\n{header}\r\n\r\n");
    let (length, whole) = (format!("content-length: {}", inner.len()), format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()));
    let post = "POST /v1/messages HTTP/1.1";
    let cases: [(&[&str], String); 9] = [
        (&[&length, "transfer-encoding: chunked"], format!("0\r\n\r\n{inner}")),
        (&["content-length: 0", &length], inner.clone()),
        (&["content-length: 0, 5"], inner.clone()),
        (&["content-length: +5"], inner.clone()),
        (&["content-length: -1"], inner.clone()),
        (&["content-length: 0x10"], inner.clone()),
        (&["transfer-encoding: chunked, identity"], whole.clone()),
        (&["transfer-encoding: xchunked"], whole.clone()),
        (&["transfer-encoding : chunked"], whole),
    ];
    for (lines, body) in cases {
        let all = [&[&*header], lines].concat();
        let answered = raw(&program, &request(post, &all, &body)).await;
        assert!(answered.len() <= 1 && answered.iter().all(|status| *status == 400), "{lines:?} {answered:?}");
    }
    let chunks = ["ffffffffffffffff\r\n", "zz\r\n", "5;ext\nabcde\r\n", "-1\r\n"];
    for chunk in chunks {
        let all = [&*header, "transfer-encoding: chunked"];
        let answered = raw(&program, &request(post, &all, &format!("{chunk}{inner}"))).await;
        assert!(answered.len() <= 1 && answered.iter().all(|status| *status == 400), "{chunk:?} {answered:?}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    is_well(&program, &key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_without_measure_and_what_is_no_http_are_answered_or_closed() {
    let (upstream, program, key) = running().await;
    let header = format!("x-api-key: {}", *key.credential);
    let long = "x".repeat(1 << 20);
    let many: Vec<String> = (0..2000).map(|place| format!("x-{place}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let get = |path: &str| format!("GET {path} HTTP/1.1");
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("a megabyte of a key", request(&get("/v1/models"), &[&format!("x-api-key: {long}")], ""), &[431]),
        ("a megabyte of a name", request(&get("/v1/models"), &[&header, &format!("{long}: y")], ""), &[431]),
        ("a megabyte of an address", request(&get(&format!("/{long}")), &[&header], ""), &[431]),
        ("a megabyte of a query", request(&get(&format!("/v1/models?{long}")), &[&header], ""), &[431]),
        ("many headers", request(&get("/v1/models"), &many, ""), &[431]),
        ("no host", format!("GET /v1/models HTTP/1.1\r\n{header}\r\nconnection: close\r\n\r\n").into_bytes(), &[200]),
        ("an old version", format!("GET /v1/models HTTP/1.0\r\n{header}\r\n\r\n").into_bytes(), &[200]),
        ("version 2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[]),
        ("an address of another host", request("GET http://other/v1/models HTTP/1.1", &[&header], ""), &[200]),
        ("a tunnel", request("CONNECT other:443 HTTP/1.1", &[&header], ""), &[404]),
        ("an asterisk", request("OPTIONS * HTTP/1.1", &[&header], ""), &[404]),
        ("a trace", request("TRACE /v1/models HTTP/1.1", &[&header], ""), &[404]),
        ("an upgrade", request(&get("/v1/models"), &[&header, "upgrade: websocket"], ""), &[200]),
        ("a method of its own", request("BREW /v1/messages HTTP/1.1", &[&header], ""), &[404]),
        ("a space in the address", request("GET /v1/mod els HTTP/1.1", &[&header], ""), &[400]),
        ("a handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[400]),
        ("noise", (0..=255_u8).cycle().take(100_000).collect(), &[400]),
        ("nothing but line ends", b"\r\n".repeat(100_000), &[431]),
    ];
    for (what, bytes, expected) in cases {
        let answered = raw(&program, &bytes).await;
        assert_eq!(answered, expected, "{what}");
    }
    let to_others = upstream.seen().into_iter().any(|(method, uri, _)| method != "GET" || uri.path() != "/v1/models");
    assert!(!to_others, "{:?}", upstream.seen());
    is_well(&program, &key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_that_say_little_do_not_keep_others_out() {
    let (_upstream, program, key) = running().await;
    let address = program.url.strip_prefix("http://").unwrap();
    let beginnings: [&[u8]; 4] = [
        b"",
        b"POST /v1/messages HTTP/1.1\r\nhost: gateway\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: gateway\r\nx-api-key: nobody\r\ncontent-length: 30000000\r\n\r\n{",
        b"POST /v1/messages HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n5\r\n",
    ];
    let mut open = Vec::new();
    for beginning in beginnings.iter().cycle().take(1000) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        open.push(stream);
    }
    is_well(&program, &key).await;
    // Slow ones are let go: strangers' bodies within seconds, and nothing of them is kept.
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(20), open[2].read_to_string(&mut answer)).await.expect("it is held on to").unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    drop(open);
    is_well(&program, &key).await;
}
