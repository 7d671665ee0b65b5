//! What tests of request windows share.

#![allow(dead_code, reason = "each test file uses a part")]

use super::support::is_good;
use clove::{Clove, Limits, Policy, Status, Tier, Window, policy::PolicyBuilder};
use clove_testkit::Fixture;
use std::time::Duration;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn per(count: u64, length: Duration) -> Window {
    Window::new(count, length).unwrap()
}

/// A policy with these windows of a key, and these of its account; without any, any number of requests.
pub(crate) fn limits(key: &[Window], account: &[Window]) -> PolicyBuilder {
    let of = |windows: &[Window]| match windows {
        [] => Limits::unlimited(),
        some => Limits::new(some.iter().copied()).unwrap(),
    };
    Policy::builder().limits(Tier { key: of(key), account: Some(of(account)) })
}

pub(crate) async fn credential(fixture: &Fixture) -> String {
    fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal().to_string()
}

/// How many of so many requests are granted, one after another.
pub(crate) async fn granted(clove: &Clove, credential: &str, requests: usize) -> usize {
    let mut granted = 0;
    for _ in 0..requests {
        granted += usize::from(is_good(clove, credential).await);
    }
    granted
}
