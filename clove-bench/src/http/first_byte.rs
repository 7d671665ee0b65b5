//! `gateway-first-byte`: how much later the first byte of a streamed answer comes through the gateway than from its upstream.

use super::gateway::Gateway;
use crate::{
    figure::{Bar, Figure},
    measure::{in_turn, median},
};
use axum::{Router, response::IntoResponse, routing::post};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Instant,
};
use tokio::{net::TcpListener, runtime::Runtime};

const NAME: &str = "gateway-first-byte";
/// In a round, one after another.
const REQUESTS: usize = 50;
const ROUNDS: usize = 11;
/// What it may be later, in microseconds.
const MOST: f64 = 1000.0;
const EVENTS: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",",
    "\"model\":\"demo-small\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);
const ASKED: &str =
    "{\"model\":\"demo-small\",\"max_tokens\":64,\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";

pub(crate) fn names() -> Vec<String> {
    vec![NAME.to_owned()]
}

pub(crate) fn run(_: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let runtime = Runtime::new().expect("a runtime");
    let upstream = runtime.block_on(upstream());
    let gateway = Gateway::before(upstream);
    let mut ways = [(upstream, "none"), (gateway.address, gateway.credential.as_str())].map(|(at, key)| Client::new(at, key));
    let [direct, through] = &mut ways;
    let medians = in_turn(ROUNDS, |_| direct.first_byte(), |_| through.first_byte());
    let later = medians.figure - medians.limit;
    report(Figure { name: NAME.to_owned(), value: later, limit: MOST, unit: "us", bar: Bar::AtMost(1.0) });
}

/// Answers at once.
async fn upstream() -> SocketAddr {
    let answer = async || ([("content-type", "text/event-stream; charset=utf-8")], EVENTS).into_response();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(
        async move { axum::serve(listener, Router::new().route("/v1/messages", post(answer))).await.expect("a server") },
    );
    address
}

/// One connection, kept.
struct Client {
    connection: TcpStream,
    request: String,
}

impl Client {
    fn new(server: SocketAddr, key: &str) -> Self {
        let connection = TcpStream::connect(server).expect("a connection");
        connection.set_nodelay(true).expect("no delay");
        let request = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: {server}\r\nx-api-key: {key}\r\nanthropic-version: 2023-06-01\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{ASKED}",
            ASKED.len()
        );
        Self { connection, request }
    }

    /// The median of some requests, in microseconds.
    fn first_byte(&mut self) -> f64 {
        median((0..REQUESTS).map(|_| self.ask()).collect())
    }

    /// Until the first byte of the body is here; then reads on to the end.
    fn ask(&mut self) -> f64 {
        let mut answer = Vec::new();
        let start = Instant::now();
        self.connection.write_all(self.request.as_bytes()).expect("a request");
        let body = loop {
            self.read(&mut answer);
            if let Some(head) = find(&answer, b"\r\n\r\n").filter(|head| answer.len() > head + 4) {
                break head + 4;
            }
        };
        let took = start.elapsed();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        while find(&answer[body..], b"message_stop\"}").is_none() || !is_whole(&answer, body) {
            self.read(&mut answer);
        }
        took.as_nanos() as f64 / 1e3
    }

    fn read(&mut self, answer: &mut Vec<u8>) {
        let mut bytes = [0; 4096];
        let read = self.connection.read(&mut bytes).expect("an answer");
        assert!(read > 0, "the connection ended within: {}", String::from_utf8_lossy(answer));
        answer.extend_from_slice(&bytes[..read]);
    }
}

/// Whether it ends as its head says: by its length, or by a chunk of none.
fn is_whole(answer: &[u8], body: usize) -> bool {
    let head = String::from_utf8_lossy(&answer[..body]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.map_or_else(|| answer.ends_with(b"\r\n0\r\n\r\n"), |length| answer.len() >= body + length)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
