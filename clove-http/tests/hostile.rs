//! The example application under raw sockets: what its clients send is nothing that it has to understand.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[path = "hostile/raw.rs"]
mod raw;
#[path = "hostile/server.rs"]
mod server;
mod support;

use clove_core::Status;
use raw::{Answer, ask, statuses, statuses_of_bytes};
use server::Server;
use std::time::Duration;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn get(lines: &str) -> String {
    format!("GET /hello HTTP/1.1\r\nHost: keys.example\r\nConnection: close\r\n{lines}\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_the_table_is_answered_over_the_wire() {
    let server = Server::start().await;
    let suspended = credential(&server.keys.key_in(Status::Suspended).await.unwrap());
    let incapable = credential(&active(&server.keys).await);
    let (able, twice) = (&server.able, format!("{}, {}", server.able, server.able));
    for (lines, status, header) in [
        (String::new(), 401, "www-authenticate: Bearer\r\n"),
        (format!("X-Api-Key: {able}\r\n"), 200, "vary: Authorization, X-Api-Key\r\n"),
        (format!("Authorization: bEARER {able}\r\n"), 200, "cache-control: private\r\n"),
        (format!("Authorization: Bearer {able}\r\nX-Api-Key: {able}\r\n"), 200, "ratelimit-policy: \"key-86400s\""),
        (format!("Authorization: Basic YTpi\r\nX-Api-Key: {able}\r\n"), 200, "cache-control: private\r\n"),
        ("Authorization: Basic YTpi\r\n".into(), 401, "www-authenticate: Bearer\r\n"),
        ("X-Api-Key: nonsense\r\n".into(), 401, "error=\"invalid_token\""),
        (format!("X-Api-Key: {suspended}\r\n"), 401, "This API key is disabled."),
        (format!("X-Api-Key: {twice}\r\n"), 400, "error=\"invalid_request\""),
        (format!("X-Api-Key: {able}\r\nX-Api-Key: {able}\r\n"), 400, "error=\"invalid_request\""),
        (format!("X-Api-Key: {able}\r\nAuthorization: Bearer {incapable}\r\n"), 400, "error=\"invalid_request\""),
        (format!("X-Api-Key: {incapable}\r\n"), 403, "scope=\"hello:read\""),
    ] {
        let answer = ask(server.address, get(&lines)).await;
        assert_eq!(answer.status, status, "{lines}");
        assert!(answer.head.contains(header), "{lines}: {}", answer.head);
        let cache = if status == 200 { "cache-control: private\r\n" } else { "cache-control: no-store\r\n" };
        assert!(answer.head.contains(cache));
    }
    let in_query = get(&format!("X-Api-Key: {able}\r\n")).replace("/hello", &format!("/hello?q={able}"));
    assert_eq!(ask(server.address, in_query).await.status, 400);
    let many = ask(server.address, get(&format!("X-Api-Key: {able}\r\n")).replace("/hello", "/dear")).await;
    assert_eq!(many.status, 429);
    assert!(many.head.contains("retry-after: ") && many.head.contains("ratelimit: \"key-86400s\";r="), "{}", many.head);
    server.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spellings_that_smuggle_headers_are_refused() {
    let server = Server::start().await;
    let key = &server.able;
    for (lines, status) in [
        // Not HTTP (RFC 9112 section 5.1, 5.2): the server itself says 400.
        (format!("X-Api-Key : {key}\r\n"), 400),
        (format!("X-Api-Key\t: {key}\r\n"), 400),
        (format!(" X-Api-Key: {key}\r\n"), 400),
        (format!("X-Api-Key:\r\n {key}\r\n"), 400),
        (format!("X-Api-Key: {key}\r\n\t\r\n"), 400),
        (format!("X-Other: a\r\n X-Api-Key: {key}\r\n"), 400),
        (format!("X-Api-Key: {key}\0\r\n"), 400),
        (format!("X-Api-Key: \0{key}\r\n"), 400),
        (format!("X-Api-Key: {key}\rX-Other: a\r\n"), 400),
        (format!("X-Api-Key\0: {key}\r\n"), 400),
        (format!("X-Api-Key {key}\r\n"), 400),
        (format!(": {key}\r\n"), 400),
        // What is no spelling of the header's name is no credential.
        (format!("X_Api_Key: {key}\r\n"), 401),
        (format!("Api-Key: {key}\r\n"), 401),
        (format!("X-Api-Keys: {key}\r\n"), 401),
        (format!("Proxy-Authorization: Bearer {key}\r\n"), 401),
        (format!("Cookie: x-api-key={key}\r\n"), 401),
        // Two, however they are spelled.
        (format!("X-Api-Key: {key}\r\nX-API-KEY: {key}\r\n"), 400),
        (format!("x-api-key: {key}\r\nX-Api-Key:\r\n"), 400),
        (format!("AUTHORIZATION: Bearer {key}\r\nauthorization: Bearer {key}\r\n"), 400),
        (format!("X-Api-Key: {key},{key}\r\n"), 400),
        (format!("X-Api-Key: {key} , \r\n"), 400),
        (format!("Authorization: Basic YTpi, Bearer {key}\r\n"), 400),
        // White space around a value is none of it (RFC 9110 section 5.5); within it, it is.
        (format!("X-Api-Key:{key}\r\n"), 200),
        (format!("X-Api-Key:\t {key} \t\r\n"), 200),
        (format!("Authorization: Bearer\t{key}\r\n"), 401),
        (format!("Authorization: Bearer  {key}\r\n"), 401),
        ("Authorization: Bearer\r\n".into(), 401),
        ("Authorization: Bearer \r\n".into(), 401),
        ("X-Api-Key:\r\n".into(), 401),
        (format!("X-Api-Key: \"{key}\"\r\n"), 401),
        (format!("X-Api-Key: {key}\u{e9}\r\n"), 401),
        (format!("X-Api-Key: {key}%00\r\n"), 401),
        (format!("Authorization: Bearer {}\r\n", key.to_uppercase()), 401),
    ] {
        let answer = ask(server.address, get(&lines)).await;
        assert_eq!(answer.status, status, "{lines:?}");
    }
    server.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_hidden_in_anothers_body_is_judged_by_itself() {
    let server = Server::start().await;
    let key = &server.able;
    let hidden = "GET /hello HTTP/1.1\r\nHost: keys.example\r\nConnection: close\r\n\r\n";
    let post =
        |lines: &str, body: &str| format!("POST /hello HTTP/1.1\r\nHost: keys.example\r\nX-Api-Key: {key}\r\n{lines}\r\n{body}");
    for request in [
        post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{hidden}")),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", &format!("0\r\n\r\n{hidden}")),
        post("Content-Length: 0\r\nContent-Length: 5\r\n", hidden),
        post("Content-Length: 0, 5\r\n", hidden),
        post("Content-Length: +0\r\n", hidden),
        post("Transfer-Encoding: chunked, identity\r\n", &format!("0\r\n\r\n{hidden}")),
        post("Transfer-Encoding: xchunked\r\n", &format!("0\r\n\r\n{hidden}")),
        post("Transfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{hidden}")),
        post("Content-Length: 0\r\n", hidden),
    ] {
        let all = statuses(server.address, &request).await;
        let [first, rest @ ..] = &all[..] else { unreachable!("no answer to {request:?}") };
        assert!(matches!(first, 200 | 400), "{all:?} {request:?}");
        assert!(rest.iter().all(|status| matches!(status, 400 | 401)), "{all:?} {request:?}");
    }
    // Of the last two, which are HTTP, both requests are answered.
    assert_eq!(statuses(server.address, &post("Content-Length: 0\r\n", hidden)).await, [200, 401]);
    server.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_any_size_are_refused_in_order() {
    let server = Server::start().await;
    let key = &server.able;
    for (lines, status) in [
        (format!("X-Api-Key: {}\r\n", "x".repeat(64 * 1024)), 401),
        (format!("X-Api-Key: {}\r\n", key.repeat(500)), 401),
        (format!("Authorization: Bearer {}\r\n", ",".repeat(64 * 1024)), 400),
        (format!("X-Api-Key: {}\r\n", "x".repeat(1024 * 1024)), 431),
        (format!("X-{}: 1\r\n", "x".repeat(1024 * 1024)), 431),
        ("X-Api-Key: a\r\n".repeat(101), 431),
        ("X-Api-Key: a\r\n".repeat(90), 400),
        (format!("X-Api-Key: {key}\r\n{}", "A: b\r\n".repeat(80)), 200),
    ] {
        assert_eq!(ask(server.address, get(&lines)).await.status, status, "{} bytes", lines.len());
    }
    let long = get("").replace("/hello", &format!("/hello?{}", "a=b&".repeat(12_000)));
    assert_eq!(ask(server.address, long).await.status, 401);
    let long = get("").replace("/hello", &format!("/hello?{}", "a=b&".repeat(50_000)));
    assert_eq!(ask(server.address, long).await.status, 414);
    server.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http_gets_400_or_nothing() {
    let server = Server::start().await;
    let key = &server.able;
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\0\0\0\0\r\n\r\n".to_vec(),
        format!("X-Api-Key: {key}\r\n\r\n").into_bytes(),
        format!("GET /hello HTTP/9.9\r\nX-Api-Key: {key}\r\n\r\n").into_bytes(),
        format!("GET  /hello HTTP/1.1\r\nX-Api-Key: {key}\r\n\r\n").into_bytes(),
        format!("GET /hello\r\nX-Api-Key: {key}\r\n\r\n").into_bytes(),
        b"GET /hello HTTP/1.1\r\nX-Api-Key: \xff\xfe\x80\r\nConnection: close\r\n\r\n".to_vec(),
        b"GET /hello HTTP/1.1\r\nAuthorization: Bearer \xc3\x28\r\nConnection: close\r\n\r\n".to_vec(),
        (0..=255).collect(),
    ] {
        let all = statuses_of_bytes(server.address, &bytes).await;
        assert!(all.iter().all(|status| matches!(status, 400 | 401)), "{all:?} {:?}", String::from_utf8_lossy(&bytes));
    }
    server.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_keep_nobody_waiting() {
    let server = Server::start().await;
    let whole = get(&format!("X-Api-Key: {}\r\n", server.able));
    let (begun, rest) = whole.split_at(whole.len() - 40);
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut socket = raw::connect(server.address).await;
        socket.write_all(begun.as_bytes()).await.unwrap();
        slow.push(socket);
    }
    assert_eq!(ask(server.address, whole.clone()).await.status, 200);
    for byte in rest.as_bytes() {
        for socket in &mut slow {
            socket.write_all(&[*byte]).await.unwrap();
        }
    }
    // Half of them go without waiting for the answer.
    for mut socket in slow.into_iter().step_by(2) {
        let mut text = String::new();
        socket.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    }
    server.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_are_each_answered_as_they_ask() {
    let server = Server::start().await;
    let (able, address) = (server.able.clone(), server.address);
    let lines = [
        (format!("X-Api-Key: {able}\r\n"), 200),
        (String::new(), 401),
        (format!("X-Api-Key: {able}\r\nX-Api-Key: {able}\r\n"), 400),
        ("Authorization: Bearer nonsense\r\n".into(), 401),
    ];
    let mut sockets = Vec::new();
    for n in 0..1_000 {
        sockets.push((raw::connect(address).await, &lines[n % lines.len()]));
    }
    // All are open before the first is used.
    for (socket, (lines, _)) in &mut sockets {
        socket.write_all(get(lines).as_bytes()).await.unwrap();
    }
    for (socket, (lines, status)) in sockets {
        assert_eq!(Answer::read(socket).await.status, *status, "{lines}");
    }
    server.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_is_held_to_the_same() {
    let server = Server::start().await;
    let key = server.able.as_str();
    let socket = raw::connect(server.address).await;
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let bearer = format!("Bearer {key}");
    for (lines, status) in [
        (&[][..], 401),
        (&[("x-api-key", key)], 200),
        (&[("authorization", &bearer)], 200),
        (&[("authorization", &bearer), ("x-api-key", key)], 200),
        (&[("x-api-key", key), ("x-api-key", key)], 400),
        (&[("authorization", &bearer), ("authorization", &bearer)], 400),
        (&[("x-api-key", "nonsense")], 401),
        (&[("authorization", "Bearer"), ("x-api-key", key)], 400),
    ] {
        let mut request = http::Request::get("http://keys.example/hello").body(()).unwrap();
        *request.headers_mut() = headers(lines);
        client = client.ready().await.unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        assert_eq!(response.await.unwrap().status().as_u16(), status, "{lines:?}");
    }
    // Headers beyond what the server takes are refused, and the connection lives.
    let huge = "x".repeat(64 * 1024);
    let mut request = http::Request::get("http://keys.example/hello").body(()).unwrap();
    *request.headers_mut() = headers(&[("x-api-key", &huge)]);
    client = client.ready().await.unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let status =
        tokio::time::timeout(Duration::from_secs(30), response).await.unwrap().map(|response| response.status().as_u16());
    assert!(matches!(status, Ok(401 | 431) | Err(_)), "{status:?}");
    driver.abort();
    server.end();
}
