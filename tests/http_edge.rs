//! The middleware before a store that waits, hangs, fails, and a caller that goes away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use clove::{Policy, Status};
use clove_http::{ApiKeyLayer, Edge, tower::ApiKeyService};
use clove_testkit::Fixture;
use http::{Request, Response};
use http_body_util::Empty;
use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use support::{Mode, Spy, poll_and_drop, spied};
use tower::{Layer, Service, ServiceExt};

type Body = Empty<&'static [u8]>;

/// What is wrapped: it counts its calls.
#[derive(Clone, Default)]
struct Inside(Arc<AtomicUsize>);

impl Service<Request<Body>> for Inside {
    type Response = Response<http_body_util::Full<bytes::Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert!(request.extensions().get::<clove::Grant>().is_some() && !request.headers().contains_key("x-api-key"));
        self.0.fetch_add(1, Ordering::Relaxed);
        ready(Ok(Response::default()))
    }
}

async fn protected() -> (Fixture, Spy, ApiKeyService<Inside>, Inside, String) {
    let (fixture, spy) = spied(Policy::profile_a());
    let text = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal().to_string();
    let inside = Inside::default();
    let service = ApiKeyLayer::new(Edge::new(fixture.clove.clone())).layer(inside.clone());
    (fixture, spy, service, inside, text)
}

fn request(text: &str) -> Request<Body> {
    Request::get("/").header("x-api-key", text).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn a_request_waits_for_the_store_and_goes_on() {
    let (_fixture, spy, mut service, inside, text) = protected().await;
    spy.only("find_by_id", Mode::Waits);
    let mut response = pin!(service.ready().await.unwrap().call(request(&text)));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(response.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(inside.0.load(Ordering::Relaxed), 0);
    spy.set(Mode::Works);
    assert_eq!(response.await.unwrap().status(), 200);
    assert_eq!(inside.0.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_nothing_held() {
    let (fixture, spy, mut service, inside, text) = protected().await;
    for name in ["find_by_id", "lease"] {
        spy.only(name, Mode::Waits);
        assert!(poll_and_drop(service.ready().await.unwrap().call(request(&text))).is_pending());
    }
    spy.set(Mode::Works);
    let grant = fixture.clove.verify(&text).await.unwrap().granted().unwrap();
    assert_eq!((grant.limits().next().unwrap().left, inside.0.load(Ordering::Relaxed)), (59, 0));
}

#[tokio::test]
async fn a_store_that_fails_or_hangs_is_503_and_neither_200_nor_401() {
    let (fixture, spy, service, inside, text) = protected().await;
    let unknown = format!("{};{}", clove::KeyId::new(fixture.clove.now()), text.split(';').nth(1).unwrap());
    for text in [text.as_str(), &unknown, text.split(';').nth(1).unwrap()] {
        spy.set(Mode::Fails);
        let response = service.clone().oneshot(request(text)).await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (503, "1"));

        spy.set(Mode::Hangs);
        let mut response = pin!(service.clone().oneshot(request(text)));
        assert!(response.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        fixture.clock().advance(Duration::from_secs(2));
        assert_eq!(response.await.unwrap().status(), 503);
    }
    assert_eq!(inside.0.load(Ordering::Relaxed), 0);
}
