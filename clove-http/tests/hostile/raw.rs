//! Sockets that send whatever they like.

use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// After how long a server that says nothing is taken to be stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
}

impl Answer {
    /// Reads until the server closes.
    pub(crate) async fn read(socket: TcpStream) -> Self {
        let text = read(socket).await;
        let head = text.split("\r\n\r\n").next().unwrap().to_owned() + "\r\n";
        let status = status(&head).unwrap_or_else(|| unreachable!("no answer: {text:?}"));
        Self { status, head }
    }
}

pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Sends a request that ends its connection, and reads the answer.
pub(crate) async fn ask(address: SocketAddr, request: String) -> Answer {
    Answer::read(sent(address, request.as_bytes()).await).await
}

/// The statuses of all that is answered to requests, the last of which ends the connection.
pub(crate) async fn statuses(address: SocketAddr, requests: &str) -> Vec<u16> {
    all_statuses(sent(address, requests.as_bytes()).await).await
}

/// The statuses of all that is answered to some bytes, after which no more are coming. A server may go without an answer then.
pub(crate) async fn statuses_of_bytes(address: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let mut socket = sent(address, bytes).await;
    let _ = socket.shutdown().await;
    all_statuses(socket).await
}

async fn all_statuses(socket: TcpStream) -> Vec<u16> {
    let text = read(socket).await;
    text.split("HTTP/1.").skip(1).filter_map(|answer| status(&format!("HTTP/1.{answer}"))).collect()
}

async fn sent(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut socket = connect(address).await;
    // A server that has refused what came first does not read the rest.
    let _ = socket.write_all(bytes).await;
    socket
}

async fn read(mut socket: TcpStream) -> String {
    let mut all = Vec::new();
    let reading = async {
        let mut part = [0; 4096];
        // A reset after the answer is as good as an end.
        while let Ok(read @ 1..) = socket.read(&mut part).await {
            all.extend_from_slice(&part[..read]);
        }
    };
    timeout(PATIENCE, reading).await.expect("the server says nothing and does not close");
    String::from_utf8_lossy(&all).into_owned()
}

fn status(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
}
