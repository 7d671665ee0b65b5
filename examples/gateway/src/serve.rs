//! The server: connections within limits, and an end that lets answers finish.

mod patient;

use axum::Router;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use patient::Patient;
use std::{future::Future, io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tower_service::Service;

/// How long the head of a request may take, and how long a connection may wait for the next one.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// The largest head of a request; above it hyper answers 431.
const HEAD_BYTES: usize = 64 << 10;
/// The most headers of a request; above it hyper answers 431.
const HEADERS: usize = 100;
/// How long a client may take nothing of an answer that waits for it.
const STALL: Duration = Duration::from_secs(120);
/// The most connections; more wait to be accepted.
const CONNECTIONS: usize = 4096;

/// Serves until `stop`, then takes no more, and lets running answers end within `grace`. What does not is broken off.
pub(crate) async fn serve(listener: TcpListener, app: Router, grace: Duration, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
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
        let stream = match stream {
            Ok((stream, _)) => stream,
            Err(error) => {
                rest_after(&error).await;
                continue;
            }
        };
        let (app, watcher) = (app.clone(), graceful.watcher());
        connections.spawn(async move {
            let ended = watcher.watch(connection(stream, app)).await;
            // What clients do wrong is not worth more.
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(left = connections.len(), "answers were still running, and are broken off");
    }
    // Each tells what it has used as it is dropped.
    connections.shutdown().await;
}

fn connection(
    stream: TcpStream,
    app: Router,
) -> http1::Connection<
    Patient<TokioIo<TcpStream>>,
    impl hyper::service::HttpService<Incoming, ResBody = axum::body::Body, Future: Send, Error = std::convert::Infallible>,
> {
    // Events are small, and are not to wait for each other.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection may be slow");
    }
    let service = service_fn(move |request: http::Request<Incoming>| app.clone().call(request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(Patient::new(TokioIo::new(stream), STALL), service)
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
