//! A server that counts panics, and keeps whatever anything in it logs.

#[path = "../../examples/axum_ten_lines.rs"]
#[allow(dead_code, reason = "its main is not run")]
mod example;

use crate::support::{credential, key_with, keys};
use axum::{Router, extract::Request, middleware::from_fn, routing::any};
use clove_core::{Limits, Policy, Tier, Window};
use clove_http::{ApiKeyLayer, Edge, Granted};
use clove_testkit::Fixture;
use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;
use tracing_subscriber::fmt::MakeWriter;

static PANICS: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Server {
    pub(crate) keys: Fixture,
    /// The credential of a key that may `hello:read`.
    pub(crate) able: String,
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
    log: Log,
}

impl Server {
    /// The example's application, and beside it a route that logs what it sees and one that costs more than a key has.
    pub(crate) async fn start() -> Self {
        let log = Log::get();
        let day = Limits::new([Window::new(100_000, Duration::from_secs(86_400)).unwrap()]).unwrap();
        let keys = keys(Policy::builder().limits(Tier { key: day, account: Some(Limits::unlimited()) }).build().unwrap());
        let able = credential(&key_with(&keys, &["hello:read"]).await);
        let layer = ApiKeyLayer::new(Edge::new(keys.clove.clone())).require("hello:read").unwrap();
        let dear = Router::new().route("/dear", any(seen)).layer(layer.clone().cost(90_000));
        // The first request to the dear route fits, and is made here.
        let presented = keys.clove.verify(clove_core::Attempt::new(&able).costing(50_000)).await.unwrap();
        assert!(presented.granted().is_some());
        let app = Router::new().route("/hello", any(seen)).layer(layer).merge(dear).layer(from_fn(outside));
        let example = example::app(keys.clove.clone()).unwrap();
        let app = app.nest("/example", example);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { keys, able, address, serving, log }
    }

    /// Stops it: nothing has panicked, and no log has the secret.
    pub(crate) fn end(self) {
        self.serving.abort();
        assert_eq!(PANICS.load(Ordering::SeqCst), 0);
        let log = self.log.text();
        assert!(log.contains("inside of the layer") && log.contains("outside of the layer"));
        let secret = self.able.split(';').nth(1).unwrap();
        let found = log.lines().find(|line| line.contains(secret) || line.contains(&secret[5..25]));
        assert_eq!(found, None);
    }
}

/// Logs whatever it is shown.
async fn seen(Granted(grant): Granted, request: Request) -> &'static str {
    tracing::info!(?request, ?grant, "inside of the layer");
    "Hello!"
}

/// Logs the response, and the request's method alone: from out here the credential is to be seen.
async fn outside(request: Request, next: axum::middleware::Next) -> axum::response::Response {
    let method = request.method().clone();
    let response = next.run(request).await;
    tracing::info!(?response, %method, "outside of the layer");
    response
}

/// All that was logged, at any level, by anything.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The one of this process, with a count of its panics.
    fn get() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let start = || {
            let log = Self::default();
            let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
            let told = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                // Elsewhere it is a test that fails.
                let is_servers = std::thread::current().name().is_none_or(|name| name.starts_with("tokio"));
                PANICS.fetch_add(usize::from(is_servers), Ordering::SeqCst);
                told(panic);
            }));
            log
        };
        LOG.get_or_init(start).clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
