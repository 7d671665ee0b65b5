//! The work beside verification: when it writes, what it says where it cannot, and when it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use clove::{Clove, Limits, Policy, Status, StoreError, Tier, Window};
use clove_testkit::Fixture;
use std::{
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};
use support::{Mode, Spy, is_good, spied};

const SECOND: Duration = Duration::from_secs(1);

/// Maintenance on a store under orders, what it has said, and a key that was used.
async fn maintained() -> (Fixture, Spy, impl Future<Output = ()>, Arc<Mutex<Vec<StoreError>>>) {
    let (fixture, spy) = spied(Policy::profile_a());
    let used = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    assert!(is_good(&fixture.clove, &used).await);
    let said = Arc::new(Mutex::new(Vec::new()));
    let ear = said.clone();
    let work = fixture.clove.maintenance().run(move |error| ear.lock().unwrap().push(error));
    spy.calls();
    (fixture, spy, work, said)
}

fn poll(work: &mut Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
    work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn it_writes_once_a_second_and_says_nothing() {
    let (fixture, spy, work, said) = maintained().await;
    let mut work = pin!(work);
    assert!(poll(&mut work).is_pending() && spy.calls().is_empty());
    fixture.clock().advance(SECOND);
    assert!(poll(&mut work).is_pending());
    assert_eq!(spy.calls(), ["touch"]);
    fixture.clock().advance(SECOND);
    assert!(poll(&mut work).is_pending() && spy.calls().is_empty(), "there is nothing left to write");
    assert!(said.lock().unwrap().is_empty());
    assert!(fixture.keys().await.unwrap().iter().all(|key| key.last_used_at.is_some()));
}

#[tokio::test]
async fn it_says_why_it_could_not_write_and_writes_a_second_later() {
    let (fixture, spy, work, said) = maintained().await;
    let mut work = pin!(work);
    spy.set(Mode::Fails);
    assert!(poll(&mut work).is_pending());
    fixture.clock().advance(SECOND);
    assert!(poll(&mut work).is_pending());
    assert!(matches!(said.lock().unwrap().as_slice(), [StoreError::Unavailable { .. }]));
    spy.set(Mode::Works);
    fixture.clock().advance(SECOND);
    assert!(poll(&mut work).is_pending());
    assert_eq!(said.lock().unwrap().len(), 1);
    assert!(fixture.keys().await.unwrap().iter().all(|key| key.last_used_at.is_some()));
}

#[tokio::test]
async fn it_ends_with_the_last_handle() {
    let (fixture, _spy, work, _said) = maintained().await;
    let mut work = pin!(work);
    assert!(poll(&mut work).is_pending());
    let clock = fixture.clock().clone();
    drop(fixture);
    clock.advance(SECOND);
    assert!(poll(&mut work).is_ready());
}

#[tokio::test]
async fn it_gives_back_places_that_nobody_asks_for_and_forgets_old_counts() {
    let limits = Limits::new([Window::new(1_000, 3_600 * SECOND).unwrap()]).unwrap();
    let policy = Policy::builder().limits(Tier { key: limits, account: Some(Limits::unlimited()) }).build().unwrap();
    let (fixture, spy) = spied(policy.clone());
    let used = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    let mut work = pin!(fixture.clove.maintenance().run(|error| panic!("{error}")));
    assert!(poll(&mut work).is_pending());
    let round = |work: &mut Pin<&mut _>| {
        fixture.clock().advance(SECOND);
        assert!(poll(work).is_pending());
    };
    for _ in 0..100 {
        assert!(is_good(&fixture.clove, &used).await);
    }
    spy.calls();
    for _ in 0..9 {
        round(&mut work);
    }
    assert_eq!(spy.calls(), ["touch"]);
    round(&mut work);
    assert_eq!(spy.calls(), ["give_back"]);
    let other = Clove::with_clock(spy.inner.clone(), policy, fixture.clock().clone());
    let left = other.verify(&*used).await.unwrap().granted().unwrap().limits().next().unwrap().left;
    assert_eq!(left, 899);
    for _ in 0..50 {
        round(&mut work);
    }
    assert_eq!(spy.calls(), ["forget_counts", "forget_access"]);
}
