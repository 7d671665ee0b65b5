//! The examples: each grants, answers 401 and 403.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../examples/actix.rs"]
#[allow(dead_code, reason = "its main is not run")]
mod actix;
#[path = "../examples/axum_ten_lines.rs"]
#[allow(dead_code, reason = "its main is not run")]
mod axum_ten_lines;
mod support;
#[path = "../examples/tonic.rs"]
#[allow(dead_code, reason = "its main is not run")]
mod tonic_health_service;

use clove_core::Policy;
use clove_http::{Asked, Granted};
use clove_testkit::Fixture;
use http::Request;
use http_body_util::BodyExt;
use support::*;
use tonic::{Code, metadata::MetadataMap};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::ServiceExt;

/// A key that may do what the example wants, and one that may not.
async fn two_keys(capability: &str) -> (Fixture, String, String) {
    let keys = keys(Policy::profile_a());
    let (able, unable) = (key_with(&keys, &[capability]).await, active(&keys).await);
    (keys, credential(&able), credential(&unable))
}

#[tokio::test]
async fn axum_protects_a_route_in_ten_lines() {
    let (keys, able, unable) = two_keys("hello:read").await;
    let app = axum_ten_lines::app(keys.clove.clone()).unwrap();
    for (credential, status, body) in [
        (Some(&able), 200, "Hello, ada!\n"),
        (None, 401, "urn:clove:problem:no-credential"),
        (Some(&unable), 403, "urn:clove:problem:capability-missing"),
    ] {
        let mut request = Request::get("/hello");
        if let Some(credential) = credential {
            request = request.header("x-api-key", credential);
        }
        let response = app.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(header(&response, "cache-control"), Some(if status == 200 { "private" } else { "no-store" }));
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&text).contains(body));
    }
}

#[tokio::test]
async fn a_handler_without_the_layer_never_runs() {
    async fn runs(_: Granted) -> String {
        unreachable!("it ran")
    }
    let app = axum::Router::new().route("/", axum::routing::get(runs));
    let response = app.oneshot(Request::get("/").body(axum::body::Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(header(&response, "content-type"), Some("application/problem+json"));
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("urn:clove:problem:route-not-protected"));
}

#[tokio::test]
async fn actix_needs_no_more_than_the_neutral_functions() {
    use actix_web::{App, middleware::from_fn, test, web};
    let (keys, able, unable) = two_keys("hello:read").await;
    let protected = actix::Protected::new(edge(&keys.clove), Asked::new().require("hello:read").unwrap());
    let protect = from_fn(move |request, next| actix::protect(protected.clone(), request, next));
    let seen = |request: actix_web::HttpRequest| async move { format!("{request:?}") };
    let app = App::new().route("/hello", web::get().to(actix::hello)).route("/seen", web::get().to(seen)).wrap(protect);
    let app = test::init_service(app).await;
    for (credential, status, body) in [
        (Some(&able), 200, "Hello, ada!\n"),
        (None, 401, "urn:clove:problem:no-credential"),
        (Some(&unable), 403, "urn:clove:problem:capability-missing"),
    ] {
        let mut request = test::TestRequest::get().uri("/hello");
        if let Some(credential) = credential {
            request = request.insert_header(("X-Api-Key", credential.as_str()));
        }
        let response = test::call_service(&app, request.to_request()).await;
        assert_eq!(response.status().as_u16(), status);
        let cache = if status == 200 { "private" } else { "no-store" };
        assert_eq!(response.headers().get("cache-control").unwrap(), cache);
        assert_eq!(response.headers().contains_key("ratelimit"), status == 200);
        assert_eq!(response.headers().contains_key("www-authenticate"), status != 200);
        assert!(String::from_utf8_lossy(&test::read_body(response).await).contains(body));
    }
    let request = test::TestRequest::get().uri("/seen").insert_header(("Authorization", format!("Bearer {able}")));
    let seen = test::read_body(test::call_service(&app, request.to_request()).await).await;
    assert!(!String::from_utf8_lossy(&seen).to_lowercase().contains("authorization"));
}

#[tokio::test]
async fn tonic_answers_with_statuses_of_grpc() {
    let (keys, able, unable) = two_keys("health:read").await;
    let (address, serving) = tonic_health_service::serve(keys.clove.clone()).unwrap();
    let serving = tokio::spawn(async move { serving.await.unwrap() });
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = HealthClient::new(channel);
    let mut ask = async |credential: Option<&str>| {
        let mut request = tonic::Request::new(HealthCheckRequest { service: "keys".to_owned() });
        if let Some(credential) = credential {
            request.metadata_mut().insert("authorization", format!("Bearer {credential}").parse().unwrap());
        }
        client.check(request).await
    };

    let granted = ask(Some(&able)).await.unwrap();
    assert_eq!(granted.get_ref().status, 1);
    assert!(text(granted.metadata(), "ratelimit").starts_with(r#""key-60s";r=59;"#));

    let nobody = ask(None).await.unwrap_err();
    assert_eq!((nobody.code(), text(nobody.metadata(), "www-authenticate")), (Code::Unauthenticated, "Bearer"));
    assert_eq!(
        nobody.message(),
        "No API key was presented. Send it in the x-api-key header, or as a bearer token in Authorization."
    );
    assert_eq!(text(nobody.metadata(), "grpc-retry-pushback-ms"), "-1");

    let incapable = ask(Some(&unable)).await.unwrap_err();
    assert_eq!(incapable.code(), Code::PermissionDenied);
    assert!(text(incapable.metadata(), "www-authenticate").contains(r#"scope="health:read""#));

    for _ in 0..59 {
        ask(Some(&able)).await.unwrap();
    }
    let late = ask(Some(&able)).await.unwrap_err();
    assert_eq!(late.code(), Code::ResourceExhausted);
    let seconds: u64 = text(late.metadata(), "retry-after").parse().unwrap();
    assert_eq!(text(late.metadata(), "grpc-retry-pushback-ms"), (seconds * 1_000).to_string());
    serving.abort();
}

fn text<'a>(metadata: &'a MetadataMap, name: &str) -> &'a str {
    metadata.get(name).unwrap().to_str().unwrap()
}
