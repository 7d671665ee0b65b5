//! The server: connections within limits, and an end that lets answers finish.

mod patient;
mod peers;

use axum::Router;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use patient::Patient;
use peers::Peers;
use std::{future::Future, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tower_service::Service;

/// How long a connection may take for the first head.
const FIRST_HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long the head of a later request may take, and how long a connection may wait for the next one.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// The largest head of a request; above it hyper answers 431.
const HEAD_BYTES: usize = 64 << 10;
/// The most headers of a request; above it hyper answers 431.
const HEADERS: usize = 100;
/// How long a client may take nothing of an answer that waits for it.
const STALL: Duration = Duration::from_secs(120);
/// The most connections; more wait to be accepted.
const CONNECTIONS: usize = 4096;
/// The most from one address; more are closed.
const CONNECTIONS_OF_A_PEER: usize = CONNECTIONS / 4;

/// Serves until `stop`, then takes no more, and lets running answers end within `grace`. What does not is broken off.
pub(crate) async fn serve(listener: TcpListener, app: Router, grace: Duration, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let peers = Peers::new(CONNECTIONS_OF_A_PEER);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match stream {
            Ok((stream, address)) => (stream, peers.enter(address.ip())),
            Err(error) => {
                rest_after(&error).await;
                continue;
            }
        };
        let Some(peer) = peer else {
            tracing::debug!("an address has too many connections");
            continue;
        };
        // Events are small, and are not to wait for each other.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection may be slow");
        }
        let (app, watcher) = (app.clone(), graceful.watcher());
        connections.spawn(async move {
            connection(stream, app, watcher).await;
            drop((place, peer));
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(left = connections.len(), "answers were still running, and are broken off");
    }
    // Each tells what it has used as it is dropped.
    connections.shutdown().await;
}

/// Serves a connection to its end.
async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, app: Router, watcher: Watcher) {
    let (begun, begins) = watch::channel(false);
    let service = service_fn(move |request: http::Request<Incoming>| {
        begun.send_replace(true);
        app.clone().call(request)
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(Patient::new(TokioIo::new(stream), STALL), service);
    tokio::select! {
        ended = watcher.watch(http) => {
            // What clients do wrong is not worth more.
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        }
        () = never_begins(begins) => tracing::debug!("a connection had no request"),
    }
}

/// Ends where no request has come in time.
async fn never_begins(mut begins: watch::Receiver<bool>) {
    let begun = tokio::time::timeout(FIRST_HEAD_PATIENCE, begins.wait_for(|begun| *begun)).await.is_ok();
    if begun {
        std::future::pending::<()>().await;
    }
}

/// Where the machine has no more sockets, asking again at once would take all its time.
async fn rest_after(error: &io::Error) {
    let is_one_connections = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if !is_one_connections {
        tracing::error!(%error, "no connection can be accepted");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::ops::Range;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        time::Instant,
    };

    /// A connection, and the server that is not to stop.
    fn served() -> (DuplexStream, GracefulShutdown) {
        let app = Router::new().route("/", axum::routing::get(|| async { "hello" }));
        let ((near, far), server) = (tokio::io::duplex(4096), GracefulShutdown::new());
        tokio::spawn(connection(far, app, server.watcher()));
        (near, server)
    }

    async fn closes_after(mut stream: DuplexStream, seconds: Range<u64>) {
        let since = Instant::now();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        assert!(seconds.contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_connects_and_asks_nothing_is_let_go_soon() {
        for beginning in ["", "GET / HTTP/1.1\r\nhost: a\r\n"] {
            let (mut stream, _server) = served();
            stream.write_all(beginning.as_bytes()).await.unwrap();
            closes_after(stream, 10..11).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_asked_may_wait_longer_with_the_next_request() {
        let (mut stream, _server) = served();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        closes_after(stream, 30..31).await;
    }
}
