//! Verification reads a clock that may lie behind, and is exact all the same where the time decides.

#![allow(clippy::unwrap_used, reason = "tests")]

use chrono::{DateTime, TimeDelta, Utc};
use clove::{Clove, DenialReason, Grant, Limits, Policy, Status, Tier, Verdict, Window};
use clove_testkit::Fixture;
use std::time::Duration;

const MICRO: Duration = Duration::from_micros(1);
/// How far the clock lies behind that is cheap to read.
const LAG: Duration = clove::clock::COARSE_LAG;

/// A key that is remembered, by a clock that lies behind.
async fn remembered(policy: Policy) -> (Fixture, clove::Key, String) {
    let fixture = Fixture::new(policy).unwrap();
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let text = issued.credential.unwrap().reveal().to_string();
    granted(&fixture.clove, &text).await;
    fixture.clock().lag(LAG);
    // Away from the edge of a window.
    fixture.clock().advance(Duration::from_secs(30));
    (fixture, issued.key, text)
}

async fn granted(clove: &Clove, text: &str) -> Grant {
    clove.verify(text).await.unwrap().granted().unwrap()
}

async fn denied(clove: &Clove, text: &str) -> DenialReason {
    clove.verify(text).await.unwrap().denied().unwrap().reason().clone()
}

/// Turns the clock to this far before a moment.
fn turn(fixture: &Fixture, to: DateTime<Utc>, before: Duration) {
    let by = to - TimeDelta::from_std(before).unwrap() - fixture.clove.now();
    fixture.clock().advance(by.to_std().unwrap());
}

#[tokio::test]
async fn a_request_that_no_moment_is_near_is_judged_by_the_clock_that_lies_behind() {
    let (fixture, _, text) = remembered(Policy::default()).await;
    // Until places are taken ahead, each request waits for its own, by the exact time.
    for _ in 0..3 {
        granted(&fixture.clove, &text).await;
    }
    let at = granted(&fixture.clove, &text).await.at();
    assert_eq!(fixture.clove.now() - at, TimeDelta::from_std(LAG).unwrap());
}

#[tokio::test]
async fn a_key_expires_at_its_moment() {
    let (fixture, key, text) = remembered(Policy::profile_a()).await;
    let expires_at = key.expires_at.unwrap();
    turn(&fixture, expires_at, MICRO);
    assert_eq!(granted(&fixture.clove, &text).await.at(), fixture.clove.now());
    turn(&fixture, expires_at, Duration::ZERO);
    assert_eq!(denied(&fixture.clove, &text).await, DenialReason::Expired { at: Some(expires_at) });
    fixture.clock().advance(LAG * 2);
    assert_eq!(denied(&fixture.clove, &text).await, DenialReason::Expired { at: Some(expires_at) });
}

#[tokio::test]
async fn a_rotated_out_secret_is_dead_once_its_rotation_has_returned_or_its_grace_is_over() {
    for grace in [TimeDelta::zero(), TimeDelta::minutes(5)] {
        let (fixture, key, old) = remembered(Policy::default()).await;
        let Fixture { clove, owner, by, .. } = &fixture;
        let rotated = clove.rotate(owner, key.id, key.revision, grace, by).await.unwrap();
        let new = rotated.credential.unwrap().reveal();
        granted(clove, &new).await;
        if let Some(until) = rotated.previous_valid_until {
            granted(clove, &old).await;
            turn(&fixture, until, MICRO);
            granted(clove, &old).await;
            turn(&fixture, until, Duration::ZERO);
        }
        assert_eq!(denied(clove, &old).await, DenialReason::NotRecognized, "{grace}");
        granted(clove, &new).await;
    }
}

#[tokio::test]
async fn a_window_that_still_has_places_is_charged_for_as_long_after_its_end_as_the_clock_lies_behind() {
    let limits = Limits::new([Window::new(1000, Duration::from_secs(60)).unwrap()]).unwrap();
    let tier = Tier { key: limits, account: Some(Limits::unlimited()) };
    let (fixture, _, text) = remembered(Policy::builder().limits(tier).build().unwrap()).await;
    for _ in 0..4 {
        granted(&fixture.clove, &text).await;
    }
    let before = granted(&fixture.clove, &text).await.limits().next().unwrap();
    turn(&fixture, before.resets_at, Duration::ZERO);
    fixture.clock().advance(LAG - MICRO);
    let late = granted(&fixture.clove, &text).await.limits().next().unwrap();
    assert_eq!((late.resets_at, late.left), (before.resets_at, before.left - 1));
    fixture.clock().advance(MICRO);
    assert!(granted(&fixture.clove, &text).await.limits().next().unwrap().resets_at > before.resets_at);
}

#[tokio::test]
async fn a_window_that_is_used_up_has_places_again_as_soon_as_the_next_begins() {
    let limits = Limits::new([Window::new(2, Duration::from_secs(60)).unwrap()]).unwrap();
    let tier = Tier { key: limits, account: Some(Limits::unlimited()) };
    let (fixture, _, text) = remembered(Policy::builder().limits(tier).build().unwrap()).await;
    let resets_at = granted(&fixture.clove, &text).await.limits().next().unwrap().resets_at;
    turn(&fixture, resets_at, MICRO);
    assert!(matches!(fixture.clove.verify(&text).await, Ok(Verdict::Denied(_))));
    turn(&fixture, resets_at, Duration::ZERO);
    let next = granted(&fixture.clove, &text).await;
    assert_eq!((next.at(), next.limits().next().unwrap().left), (fixture.clove.now(), 1));
}
