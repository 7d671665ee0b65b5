//! The demo upstream, watched: what it was sent, its streams held back, cut off, and seen to be left.

use crate::demo::Demo;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, StatusCode, Uri};
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

/// The host's own key.
pub(crate) const KEY: &str = "sk-ant-the-hosts-own-4e7f";

pub(crate) struct Upstream {
    pub(crate) url: String,
    watch: Arc<Watch>,
    server: JoinHandle<()>,
}

struct Watch {
    seen: Mutex<Vec<(Method, Uri, HeaderMap)>>,
    /// Each piece of an answer beyond the first so many takes a permit.
    free: AtomicUsize,
    gate: Semaphore,
    /// After so many pieces, and a permit, an answer breaks off.
    whole: AtomicUsize,
    left: AtomicUsize,
    more: Mutex<HeaderMap>,
    answer: Mutex<Option<(StatusCode, &'static str)>>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let watch = Arc::new(Watch {
            seen: Mutex::default(),
            free: AtomicUsize::new(usize::MAX),
            gate: Semaphore::new(0),
            whole: AtomicUsize::new(usize::MAX),
            left: AtomicUsize::new(0),
            more: Mutex::default(),
            answer: Mutex::default(),
        });
        let demo = Demo { key: KEY.into(), pace: Duration::ZERO }.router();
        let app: Router = demo.layer(middleware::from_fn_with_state(Arc::clone(&watch), watched));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, watch, server }
    }

    /// What it was sent.
    pub(crate) fn seen(&self) -> Vec<(Method, Uri, HeaderMap)> {
        self.watch.seen.lock().unwrap().clone()
    }

    /// Holds back all but the first pieces of each answer.
    pub(crate) fn hold_after(&self, pieces: usize) {
        self.watch.free.store(pieces, Ordering::SeqCst);
    }

    /// Lets so many pieces more go.
    pub(crate) fn release(&self, pieces: usize) {
        self.watch.gate.add_permits(pieces);
    }

    /// Breaks each answer off after so many pieces, once that is released.
    pub(crate) fn cut_after(&self, pieces: usize) {
        self.watch.whole.store(pieces, Ordering::SeqCst);
    }

    /// How many answers were left before their end.
    pub(crate) fn left(&self) -> usize {
        self.watch.left.load(Ordering::SeqCst)
    }

    /// Adds a header to each answer.
    pub(crate) fn says(&self, name: &'static str, value: &'static str) {
        self.watch.more.lock().unwrap().append(name, value.parse().unwrap());
    }

    /// Answers everything with this.
    pub(crate) fn answers(&self, status: u16, body: &'static str) {
        *self.watch.answer.lock().unwrap() = Some((StatusCode::from_u16(status).unwrap(), body));
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn watched(State(watch): State<Arc<Watch>>, request: Request, next: Next) -> Response {
    let seen = (request.method().clone(), request.uri().clone(), request.headers().clone());
    watch.seen.lock().unwrap().push(seen);
    let answer = *watch.answer.lock().unwrap();
    let mut response = match answer {
        Some((status, body)) => Response::builder().status(status).body(body.into()).unwrap(),
        None => next.run(request).await,
    };
    response.headers_mut().extend(watch.more.lock().unwrap().clone());
    if watch.free.load(Ordering::SeqCst) == usize::MAX && watch.whole.load(Ordering::SeqCst) == usize::MAX {
        return response;
    }
    let (head, body) = response.into_parts();
    let leaving = Leaving { watch, is_whole: false };
    let pieces = stream::unfold((body.into_data_stream(), leaving, 0), |(mut pieces, mut leaving, place)| async move {
        if place >= leaving.watch.whole.load(Ordering::SeqCst) {
            leaving.watch.gate.acquire().await.unwrap().forget();
            let broken: io::Result<Bytes> = Err(io::Error::other("cut"));
            return Some((broken, (pieces, leaving, usize::MAX)));
        }
        if place >= leaving.watch.free.load(Ordering::SeqCst) {
            leaving.watch.gate.acquire().await.unwrap().forget();
        }
        match pieces.next().await {
            Some(piece) => Some((piece.map_err(io::Error::other), (pieces, leaving, place + 1))),
            None => {
                leaving.end();
                None
            }
        }
    });
    Response::from_parts(head, Body::from_stream(pieces))
}

struct Leaving {
    watch: Arc<Watch>,
    is_whole: bool,
}

impl Leaving {
    fn end(&mut self) {
        self.is_whole = true;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.is_whole {
            self.watch.left.fetch_add(1, Ordering::SeqCst);
        }
    }
}
