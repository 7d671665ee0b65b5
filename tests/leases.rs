//! Places that processes take of request windows ahead of their requests: what each leaves to the others, and what a store that does
//! not answer as it should comes to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;
#[path = "support/windows.rs"]
mod tools;

use clove::{
    ActiveLimit, Attempt, Clove, DenialReason, Edit, Exhausted, Fault, LimitChoice, Limits, MemoryStore, Policy, Tier, Verdict,
    Window,
};
use clove_store_sqlite::SqliteStore;
use clove_testkit::Fixture;
use std::{
    future::Future,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};
use support::{DAY, Mode, Spy, denied, is_good, poll_and_drop, spied};
use tools::{MINUTE, credential, granted, limits, per};

const SECOND: Duration = Duration::from_secs(1);

/// A policy with this window of a key.
fn limit(window: Window) -> clove::policy::PolicyBuilder {
    limits(&[window], &[])
}

/// A process, and another one on the same store.
fn two(policy: &Policy) -> (Fixture, Clove) {
    let store = MemoryStore::new();
    let fixture = Fixture::on(store.clone(), policy.clone()).unwrap();
    let other = Clove::with_clock(store, policy.clone(), fixture.clock().clone());
    (fixture, other)
}

fn poll<T>(work: &mut Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn exhausted(reason: DenialReason) -> Exhausted {
    match reason {
        DenialReason::LimitReached(exhausted) => *exhausted,
        other => panic!("refused for {other:?}"),
    }
}

#[tokio::test]
async fn a_check_takes_no_places_from_other_processes() {
    let (fixture, other) = two(&limit(per(60, MINUTE)).build().unwrap());
    let text = credential(&fixture).await;
    let check = other.verify(Attempt::new(&text).costing(60).only_checking()).await.unwrap();
    assert_eq!(check.granted().unwrap().limits().next().unwrap().left, 60);
    assert_eq!(granted(&fixture.clove, &text, 70).await, 60);
    fixture.clock().advance(SECOND);
    let check = denied(other.verify(Attempt::new(&text).only_checking()).await);
    assert_eq!(exhausted(check).left, 0, "what it was told a second ago it asks again");
}

#[tokio::test]
async fn places_taken_under_a_limit_that_was_lowered_since_are_not_spent_beyond_it() {
    let (fixture, other) = two(&limit(per(1_000, MINUTE)).build().unwrap());
    let text = credential(&fixture).await;
    assert_eq!((granted(&fixture.clove, &text, 130).await, granted(&other, &text, 200).await), (130, 200));
    let key = fixture.keys().await.unwrap().remove(0);
    let lowered = Edit::new().limits(LimitChoice::Own(Limits::new([per(200, MINUTE)]).unwrap()));
    fixture.clove.edit(&fixture.owner, key.id, key.revision, lowered, &fixture.by.clone().may_set_limits()).await.unwrap();
    assert_eq!((granted(&fixture.clove, &text, 99).await, granted(&other, &text, 99).await), (0, 0));
}

#[tokio::test]
async fn a_request_that_no_window_ever_has_room_for_is_told_what_is_left() {
    let (fixture, _) = two(&limit(per(60, MINUTE)).build().unwrap());
    let text = credential(&fixture).await;
    for (cost, left) in [(61, 60), (u64::MAX, 60)] {
        let told = exhausted(denied(fixture.clove.verify(Attempt::new(&text).costing(cost)).await));
        assert_eq!((told.left, told.retry_at), (left, None));
    }
    assert_eq!(granted(&fixture.clove, &text, 70).await, 60);
    fixture.clock().advance(MINUTE);
    assert_eq!(exhausted(denied(fixture.clove.verify(Attempt::new(&text).costing(61)).await)).left, 60);
}

/// A process whose one request for 8 places of 10 was dropped while they were on their way, and another one.
async fn left_on_their_way(policy: &Policy) -> (Fixture, Clove, String) {
    let store = MemoryStore::new();
    let spy = Spy::over(store.clone());
    let fixture = Fixture::on(spy.clone(), policy.clone()).unwrap();
    let text = credential(&fixture).await;
    let other = Clove::with_clock(store, policy.clone(), fixture.clock().clone());
    spy.hold_next_answer("lease");
    assert!(poll_and_drop(fixture.clove.verify(Attempt::new(&text).costing(8))).is_pending());
    spy.give_answers();
    (fixture, other, text)
}

#[tokio::test]
async fn places_that_nobody_waits_for_any_more_are_given_back() {
    let (fixture, other, text) = left_on_their_way(&limit(per(10, DAY)).build().unwrap()).await;
    let mut work = pin!(fixture.clove.maintenance().run(|error| panic!("{error}")));
    for _ in 0..30 {
        assert!(poll(&mut work).is_pending());
        fixture.clock().advance(SECOND);
    }
    assert_eq!(granted(&other, &text, 10).await, 10);
}

#[tokio::test]
async fn places_on_their_way_to_a_key_that_was_pushed_out_are_given_back() {
    let policy = limit(per(10, DAY)).cache_bytes(clove::policy::MIN_CACHE_BYTES).active_limit(ActiveLimit::Unlimited);
    let policy = policy.max_records(None).max_creations_per_day(None).build().unwrap();
    let (fixture, other, text) = left_on_their_way(&policy).await;
    for _ in 0..300 {
        let other = credential(&fixture).await;
        assert!(is_good(&fixture.clove, &other).await && is_good(&fixture.clove, &other).await);
    }
    fixture.clove.shut_down().await.unwrap();
    assert_eq!(granted(&other, &text, 10).await, 10);
}

#[tokio::test]
async fn a_store_that_cannot_count_is_a_fault_and_never_a_grant() {
    let (fixture, spy) = spied(limit(per(100, MINUTE)).build().unwrap());
    let credential = credential(&fixture).await;
    assert!(is_good(&fixture.clove, &credential).await);
    spy.fail_only("lease");
    let mut grants = 0;
    for _ in 0..9 {
        match fixture.clove.verify(&credential).await {
            Ok(verdict) => grants += usize::from(verdict.granted().is_some()),
            Err(Fault::Store(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(grants < 2, "only what was taken before");
    spy.set(Mode::Works);
    assert_eq!(granted(&fixture.clove, &credential, 200).await, 99 - grants);
}

#[tokio::test]
async fn a_host_may_have_some_requests_granted_uncounted_while_the_store_cannot_count() {
    let policy = limit(per(100, MINUTE)).danger_uncounted_a_minute(5).build().unwrap();
    let (fixture, spy) = spied(policy);
    let credential = credential(&fixture).await;
    spy.fail_only("lease");
    for _ in 0..2 {
        let mut uncounted = 0;
        for _ in 0..20 {
            match fixture.clove.verify(&credential).await {
                Ok(verdict) => uncounted += usize::from(verdict.granted().unwrap().is_uncounted()),
                Err(fault) => assert!(matches!(fault, Fault::Store(_))),
            }
        }
        assert_eq!(uncounted, 5);
        fixture.clock().advance(MINUTE);
    }
    spy.set(Mode::Works);
    let grant = fixture.clove.verify(&credential).await.unwrap().granted().unwrap();
    assert!(!grant.is_uncounted() && grant.limits().next().unwrap().left == 99);
}

#[tokio::test]
async fn places_that_were_on_their_way_when_their_requests_were_cancelled_are_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let fixture =
        Fixture::on(SqliteStore::open(folder.path().join("keys.db")).unwrap(), limit(per(60, MINUTE)).build().unwrap()).unwrap();
    let credential = credential(&fixture).await;
    for round in 0..10 {
        let mut used = 0;
        for cancelled in 0..20 {
            let polls = (round + cancelled) % 4;
            let mut verification = Box::pin(fixture.clove.verify(&credential));
            for _ in 0..polls {
                if let Poll::Ready(verdict) = pin!(&mut verification).poll(&mut Context::from_waker(Waker::noop())) {
                    used += usize::from(verdict.unwrap().granted().is_some());
                    break;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        assert_eq!(used + granted(&fixture.clove, &credential, 70).await, 60);
        fixture.clock().advance(MINUTE);
    }
    assert!(poll_and_drop(fixture.clove.verify("nothing")).is_ready());
}

#[tokio::test]
async fn requests_on_both_sides_of_an_edge_each_get_their_place() {
    let (fixture, spy) = spied(limit(per(1, MINUTE)).build().unwrap());
    let credential = credential(&fixture).await;
    fixture.clock().advance(MINUTE - Duration::from_micros(1));
    spy.hold_next_answer("lease");
    let mut before = Box::pin(fixture.clove.verify(&credential));
    assert!(before.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    fixture.clock().advance(Duration::from_micros(1));
    let mut after = Box::pin(fixture.clove.verify(&credential));
    assert!(after.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    spy.give_answers();
    assert!(after.await.unwrap().granted().is_some() && before.await.unwrap().granted().is_some());
    assert_eq!(granted(&fixture.clove, &credential, 3).await, 0);
}

#[tokio::test]
async fn a_key_that_was_pushed_out_of_memory_has_all_its_places_when_it_is_back() {
    let policy = limit(per(60, MINUTE)).active_limit(ActiveLimit::Unlimited).max_records(None);
    let policy = policy.max_creations_per_day(None).cache_bytes(clove::policy::MIN_CACHE_BYTES).build().unwrap();
    let fixture = Fixture::new(policy).unwrap();
    let mut credentials = Vec::new();
    for _ in 0..300 {
        credentials.push(credential(&fixture).await);
    }
    let mut used = 0;
    for _ in 0..3 {
        used += granted(&fixture.clove, &credentials[0], 9).await;
        for credential in &credentials[1..] {
            granted(&fixture.clove, credential, 12).await;
        }
    }
    assert_eq!(used + granted(&fixture.clove, &credentials[0], 60).await, 60);
}

#[tokio::test]
async fn a_slow_store_that_says_used_up_is_believed() {
    let (fixture, spy) = spied(limit(per(1, MINUTE)).deadline(10 * SECOND).build().unwrap());
    let text = credential(&fixture).await;
    assert!(is_good(&fixture.clove, &text).await);
    fixture.clock().advance(2 * SECOND);
    spy.calls();
    spy.hold_next_answer("lease");
    let mut verification = pin!(fixture.clove.verify(&text));
    assert!(poll(&mut verification).is_pending());
    fixture.clock().advance(2 * SECOND);
    spy.give_answers();
    let Poll::Ready(verdict) = poll(&mut verification) else { panic!("it waits") };
    assert_eq!(exhausted(denied(verdict)).left, 0);
    assert_eq!(spy.calls().iter().filter(|call| **call == "lease").count(), 1, "and not asked again");
}

#[tokio::test]
async fn what_a_host_allows_uncounted_goes_on_while_the_store_gives_no_answer() {
    for window in [per(60, MINUTE), Window::sliding_shared(60, MINUTE).unwrap()] {
        let (fixture, spy) = spied(limit(window).danger_uncounted_a_minute(1).build().unwrap());
        let text = credential(&fixture).await;
        spy.only(if window.slides() { "charge_sliding" } else { "lease" }, Mode::Hangs);
        for is_allowed in [true, false] {
            let mut verification = pin!(fixture.clove.verify(&text));
            assert!(poll(&mut verification).is_pending());
            fixture.clock().advance(SECOND / 2);
            match poll(&mut verification) {
                Poll::Ready(Ok(Verdict::Granted(grant))) => assert!(is_allowed && grant.is_uncounted()),
                Poll::Ready(Err(Fault::Store(_))) => assert!(!is_allowed),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A deadlock would show as a test that does not end.
#[test]
fn giving_places_back_and_first_requests_of_keys_never_wait_for_each_other_for_ever() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let policy = Policy::builder().limits(Tier { key: Limits::standard(), account: Some(Limits::standard()) });
    let fixture = Fixture::new(policy.active_limit(ActiveLimit::Unlimited).build().unwrap()).unwrap();
    let texts: Vec<String> = runtime().block_on(async {
        let mut texts = Vec::new();
        for _ in 0..50 {
            texts.push(credential(&fixture).await);
        }
        texts
    });
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (clove, texts, is_over) = (&fixture.clove, &texts, &is_over);
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                runtime().block_on(clove.shut_down()).unwrap();
            }
        });
        let verifiers = [1, 7].map(|step| {
            scope.spawn(move || {
                for text in texts.iter().cycle().step_by(step).take(5_000) {
                    let _ = runtime().block_on(clove.verify(text)).unwrap();
                }
            })
        });
        verifiers.into_iter().for_each(|verifier| verifier.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
    });
}
