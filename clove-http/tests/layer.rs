//! The middleware: what is behind it is reached with a grant, and with nothing else.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use bytes::Bytes;
use clove_core::{Grant, Policy, Status};
use clove_http::{ApiKeyLayer, tower::ApiKeyService};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    future::Ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use support::*;
use tower::{Layer, Service, ServiceExt, service_fn};

/// A service that answers with the owner of the grant, and keeps what it saw.
#[derive(Clone, Default)]
struct Inside {
    calls: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Service<Request<Full<Bytes>>> for Inside {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.seen.lock().unwrap().push(format!("{request:?}"));
        let grant: &Grant = request.extensions().get().unwrap();
        std::future::ready(Ok(Response::new(Full::from(grant.owner().account.as_str().to_owned()))))
    }
}

fn protected(layer: &ApiKeyLayer) -> (ApiKeyService<Inside>, Inside) {
    let inside = Inside::default();
    (layer.layer(inside.clone()), inside)
}

fn request(lines: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.headers_mut() = headers(lines);
    request
}

async fn text(response: Response<impl http_body::Body<Data = Bytes, Error = Infallible>>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_key_goes_in_and_its_credential_does_not() {
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    let (service, inside) = protected(&ApiKeyLayer::new(edge(&keys.clove)));
    for _ in 0..2 {
        let response = service.clone().oneshot(request(&[("x-api-key", &credential(&issued))])).await.unwrap();
        assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "ada"));
    }
    let bearer = format!("bearer {}", secret(&issued));
    assert_eq!(service.oneshot(request(&[("authorization", &bearer)])).await.unwrap().status(), 200);
    let seen = inside.seen.lock().unwrap().join("\n");
    assert!(seen.contains("Grant") || seen.contains("Request"), "{seen}");
    assert!(!seen.contains(&secret(&issued)) && !seen.contains("api-key"), "{seen}");
}

#[tokio::test]
async fn nothing_without_a_grant_reaches_what_is_behind_the_layer() {
    let keys = keys(Policy::profile_a());
    let suspended = keys.key_in(Status::Suspended).await.unwrap();
    let incapable = active(&keys).await;
    let (service, inside) = protected(&ApiKeyLayer::new(edge(&keys.clove)).require("chat:write").unwrap());
    for (lines, status) in [
        (&[][..], 401),
        (&[("x-api-key", "nonsense")], 401),
        (&[("x-api-key", &credential(&suspended))], 401),
        (&[("x-api-key", "a"), ("x-api-key", "a")], 400),
        (&[("x-api-key", &credential(&incapable))], 403),
    ] {
        // The first is asked of the store, the second is answered from memory.
        for _ in 0..2 {
            assert_eq!(service.clone().oneshot(request(lines)).await.unwrap().status().as_u16(), status);
        }
    }
    assert_eq!(inside.calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_preflight_is_a_request_like_any_other() {
    let keys = keys(Policy::profile_a());
    let (service, inside) = protected(&ApiKeyLayer::new(edge(&keys.clove)));
    let mut preflight = request(&[("origin", "https://app.example"), ("access-control-request-method", "POST")]);
    *preflight.method_mut() = http::Method::OPTIONS;
    assert_eq!(service.oneshot(preflight).await.unwrap().status(), 401);
    assert_eq!(inside.calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_request_takes_what_its_route_costs() {
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    let layer = ApiKeyLayer::new(edge(&keys.clove)).cost(20);
    let by_path = layer.clone().ask(|parts, asked| if parts.uri.path() == "/free" { asked.cost(0) } else { asked });
    let (service, _) = protected(&layer);
    let (by_path, _) = protected(&by_path);
    let ask = || request(&[("x-api-key", &credential(&issued))]);
    let left = |response: Response<_>| {
        header::<clove_http::tower::ResponseBody<Full<Bytes>>>(&response, "ratelimit").unwrap()[..14].to_owned()
    };
    assert_eq!(left(service.clone().oneshot(ask()).await.unwrap()), r#""key-60s";r=40"#);
    let mut free = ask();
    *free.uri_mut() = "/free".parse().unwrap();
    assert_eq!(left(by_path.clone().oneshot(free).await.unwrap()), r#""key-60s";r=40"#);
    assert_eq!(left(by_path.oneshot(ask()).await.unwrap()), r#""key-60s";r=20"#);
    assert!(service.clone().oneshot(ask()).await.unwrap().status().is_success());
    assert_eq!(service.oneshot(ask()).await.unwrap().status(), 429);
}

#[tokio::test]
async fn only_the_service_that_was_ready_is_called() {
    // Each clone is called once it was asked whether it is ready, and not before.
    struct Strict(bool);
    impl Clone for Strict {
        fn clone(&self) -> Self {
            Self(false)
        }
    }
    impl Service<Request<Full<Bytes>>> for Strict {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
            self.0 = true;
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
            assert!(std::mem::take(&mut self.0), "called before it was ready");
            std::future::ready(Ok(Response::default()))
        }
    }
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    let mut service = ApiKeyLayer::new(edge(&keys.clove)).layer(Strict(false));
    for _ in 0..3 {
        let request = request(&[("x-api-key", &credential(&issued))]);
        assert_eq!(service.ready().await.unwrap().call(request).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn an_error_of_what_is_wrapped_stays_its_own() {
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    let failing = service_fn(|_: Request<Full<Bytes>>| async { Err::<Response<Full<Bytes>>, _>("its own") });
    let service = ApiKeyLayer::new(edge(&keys.clove)).layer(failing);
    let request = request(&[("x-api-key", &credential(&issued))]);
    assert_eq!(service.oneshot(request).await.unwrap_err(), "its own");
}
