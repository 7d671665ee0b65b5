//! What several tests need.
#![allow(dead_code, clippy::unwrap_used, reason = "not each test needs all of it")]

use clove_core::{CapabilitySet, Clove, Issued, NewKey, Policy, Status};
use clove_testkit::Fixture;
use http::{HeaderMap, HeaderName, HeaderValue, Response};

/// A service's keys under a policy.
pub(crate) fn keys(policy: Policy) -> Fixture {
    Fixture::new(policy).unwrap()
}

/// `id;secret` of a key.
pub(crate) fn credential(issued: &Issued) -> String {
    issued.credential.as_ref().unwrap().reveal().to_string()
}

/// Its secret alone.
pub(crate) fn secret(issued: &Issued) -> String {
    issued.credential.as_ref().unwrap().secret().reveal().to_owned()
}

/// A key with these capabilities.
pub(crate) async fn key_with(fixture: &Fixture, capabilities: &[&str]) -> Issued {
    let new = NewKey::named("capable").unwrap().capabilities(CapabilitySet::new(capabilities).unwrap());
    fixture.clove.create(&fixture.owner, new, &fixture.by).await.unwrap()
}

/// An active key.
pub(crate) async fn active(fixture: &Fixture) -> Issued {
    fixture.key_in(Status::Active).await.unwrap()
}

/// Headers, in this order.
pub(crate) fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// All lines of a response's headers, sorted, as text.
pub(crate) fn lines<B>(response: &Response<B>) -> Vec<String> {
    let mut lines: Vec<String> =
        response.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines
}

/// The value of a header.
pub(crate) fn header<'a, B>(response: &'a Response<B>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// An edge of a fixture's keys.
pub(crate) fn edge(clove: &Clove) -> clove_http::Edge {
    clove_http::Edge::new(clove.clone())
}
