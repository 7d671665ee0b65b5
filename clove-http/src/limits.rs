//! What is left of request windows, as `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11).
//!
//! A policy is named by whose it is and how many seconds it lasts: `"key-60s"`, `"account-86400s"`. Partition keys are not told: what
//! the quota belongs to is the credential that the client sent.

use crate::refused::seconds_until;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clove_core::{Exhausted, Grant, Limited, Window};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write;

/// How much is left: `"key-60s";r=59;t=12`.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// How much there is: `"key-60s";q=60;w=60`.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// As long as two windows of a key and two of its account make either header.
const TYPICAL: usize = 128;

/// Where a window stands.
struct Standing {
    of: Limited,
    window: Window,
    left: u64,
    resets_at: Option<DateTime<Utc>>,
}

/// Says where all windows of a grant stand; what else is said there goes. Where there are none, nothing is said.
pub(crate) fn set_left(headers: &mut HeaderMap, grant: &Grant, now: impl FnOnce() -> DateTime<Utc>) {
    let mut standing = grant
        .limits()
        .map(|limit| Standing { of: limit.of, window: limit.window, left: limit.left, resets_at: Some(limit.resets_at) })
        .peekable();
    if standing.peek().is_some() {
        return set(headers, standing, now());
    }
    if headers.keys().any(|name| name == RATE_LIMIT || name == RATE_LIMIT_POLICY) {
        headers.remove(RATE_LIMIT);
        headers.remove(RATE_LIMIT_POLICY);
    }
}

/// Says where the window stands that has no place left.
pub(crate) fn set_exhausted(headers: &mut HeaderMap, exhausted: &Exhausted, now: DateTime<Utc>) {
    let &Exhausted { of, window, left, retry_at } = exhausted;
    set(headers, [Standing { of, window, left, resets_at: retry_at }].into_iter(), now);
}

/// The name of a window's policy.
pub(crate) fn name(of: Limited, window: Window) -> String {
    format!("{}-{}s", of.as_str(), window.seconds())
}

/// A time as RFC 3339 writes it, in whole seconds, rounded up: nobody is to come too early.
pub(crate) fn timestamp(at: DateTime<Utc>) -> String {
    let up = TimeDelta::seconds(i64::from(at.timestamp_subsec_nanos() > 0));
    at.checked_add_signed(up).unwrap_or(at).to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn set(headers: &mut HeaderMap, standing: impl Iterator<Item = Standing>, now: DateTime<Utc>) {
    let [mut left, mut policy] = [(); 2].map(|()| String::with_capacity(TYPICAL));
    for Standing { of, window, left: remaining, resets_at } in standing {
        let comma = if left.is_empty() { "" } else { ", " };
        let (of, count, seconds) = (of.as_str(), window.count(), window.seconds());
        // Writing to a string never fails.
        let _ = write!(left, r#"{comma}"{of}-{seconds}s";r={remaining}"#);
        if let Some(at) = resets_at {
            let _ = write!(left, ";t={}", seconds_until(at, now));
        }
        let _ = write!(policy, r#"{comma}"{of}-{seconds}s";q={count};w={seconds}"#);
    }
    for (name, text) in [(RATE_LIMIT, left), (RATE_LIMIT_POLICY, policy)] {
        match HeaderValue::from_str(&text) {
            Ok(value) => drop(headers.insert(name, value)),
            Err(_) => drop(headers.remove(name)),
        }
    }
}
