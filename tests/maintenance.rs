//! The work beside verification: when it writes, what it says where it cannot, and when it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use chrono::TimeDelta;
use clove::{
    AccessLog, ActiveLimit, Clove, Limits, MemoryStore, Policy, Retention, Signal, Status, StoreError, Tier, Window,
    policy::MIN_CACHE_BYTES,
};
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

/// The calls of a store since this was last asked, but those of polls, which come several times a second.
fn calls(spy: &Spy) -> Vec<&'static str> {
    spy.calls().into_iter().filter(|call| !["epochs", "answer_roll"].contains(call)).collect()
}

fn poll(work: &mut Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
    work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn it_writes_once_a_second_and_says_nothing() {
    let (fixture, spy, work, said) = maintained().await;
    let mut work = pin!(work);
    assert!(poll(&mut work).is_pending() && calls(&spy).is_empty());
    fixture.clock().advance(SECOND);
    assert!(poll(&mut work).is_pending());
    assert_eq!(calls(&spy), ["touch", "record"]);
    fixture.clock().advance(SECOND);
    assert!(poll(&mut work).is_pending() && calls(&spy).is_empty(), "there is nothing left to write");
    assert!(said.lock().unwrap().is_empty());
    assert!(fixture.keys().await.unwrap().iter().all(|key| key.last_used_at.is_some()));
}

#[tokio::test]
async fn it_says_why_it_could_not_write_and_writes_a_second_later() {
    let (fixture, spy, work, said) = maintained().await;
    let mut work = pin!(work);
    assert!(poll(&mut work).is_pending());
    spy.fail_only("touch");
    fixture.clock().advance(SECOND);
    assert!(poll(&mut work).is_pending());
    let told: Vec<String> = said.lock().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(told, ["the store is unavailable: being told to"]);
    spy.set(Mode::Works);
    fixture.clock().advance(SECOND);
    assert!(poll(&mut work).is_pending());
    assert_eq!(said.lock().unwrap().len(), 1);
    assert!(fixture.keys().await.unwrap().iter().all(|key| key.last_used_at.is_some()));
}

#[tokio::test]
async fn a_use_is_written_though_its_key_was_pushed_out_of_memory_and_after_a_failure() {
    let policy = Policy::builder().active_limit(ActiveLimit::Unlimited).max_records(None).max_creations_per_day(None);
    let (fixture, spy) = spied(policy.cache_bytes(MIN_CACHE_BYTES).build().unwrap());
    for _ in 0..200 {
        let used = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
        assert!(is_good(&fixture.clove, &used).await);
    }
    spy.fail_only("touch");
    fixture.clove.flush().await.unwrap_err();
    spy.set(Mode::Works);
    fixture.clove.flush().await.unwrap();
    let keys = fixture.keys().await.unwrap();
    assert!(keys.len() == 200 && keys.iter().all(|key| key.last_used_at.is_some()));
}

#[tokio::test]
async fn it_can_be_spawned() {
    let (fixture, spy) = spied(Policy::profile_a());
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    spy.fail_only("epochs");
    tokio::spawn(fixture.clove.maintenance().run(move |error| told.send(error).unwrap()));
    assert!(heard.recv().await.is_some());
}

#[tokio::test]
async fn what_is_long_in_being_written_does_not_keep_it_from_hearing_of_changes() {
    let (fixture, spy, work, said) = maintained().await;
    let mut work = pin!(work);
    assert!(poll(&mut work).is_pending());
    spy.only("touch", Mode::Hangs);
    fixture.clock().advance(SECOND);
    assert!(poll(&mut work).is_pending());
    spy.calls();
    fixture.clock().advance(SECOND);
    assert!(poll(&mut work).is_pending());
    assert!(spy.calls() == ["epochs"] && said.lock().unwrap().is_empty());
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
    assert_eq!(calls(&spy), ["touch", "record"]);
    (0..11).for_each(|_| round(&mut work));
    assert_eq!(calls(&spy), ["give_back"]);
    let other = Clove::with_clock(spy.inner.clone(), policy, fixture.clock().clone());
    let left = other.verify(&*used).await.unwrap().granted().unwrap().limits().next().unwrap().left;
    assert_eq!(left, 899);
    (0..40).for_each(|_| round(&mut work));
    assert_eq!(calls(&spy), ["forget_counts", "forget_reports", "forget_access"]);
}

/// What maintenance asks of a store, and what it says where that gives no answer.
const PARTS: [(&str, &str); 10] = [
    ("epochs", "polling for changes: no answer"),
    ("touch", "writing last uses: no answer"),
    ("record", "writing usage: no answer"),
    ("count_unrecognized", "writing the access log: no answer"),
    ("expiring_soon", "looking for keys that are about to expire: no answer"),
    ("give_back", "giving places back: no answer"),
    ("forget_counts", "forgetting counts of windows: no answer"),
    ("forget_reports", "forgetting what was reported: no answer"),
    ("forget_access", "forgetting the access log: no answer"),
    ("forget_audit", "forgetting the audit trail: no answer"),
];

/// Has one part of maintenance go so for two hours and then well, and asserts what it says of it meanwhile, and that no other misses its
/// turn.
async fn goes_on_beside(part: &'static str, mode: Mode, wanted: &str) {
    let limits = Limits::new([Window::new(1_000, 86_400 * SECOND).unwrap()]).unwrap();
    let kept = Some(TimeDelta::days(1));
    let policy = Policy::builder().limits(Tier { key: limits, account: Some(Limits::unlimited()) });
    let policy = policy.access_log(AccessLog::BestEffort).retention(Retention { access_log: kept, audit: kept }).build().unwrap();
    let spy = Spy::over(MemoryStore::new());
    let fixture = Fixture::on(spy.clone(), policy.clone()).unwrap();
    let used = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    let clove = Clove::builder(spy.clone(), policy).clock(fixture.clock().clone()).observed_by(|_: &Signal<'_>| {}).build();
    let said = Mutex::new(Vec::new());
    let mut work = pin!(clove.maintenance().run(|error| said.lock().unwrap().push(error.to_string())));
    for mode in [mode, Mode::Works] {
        spy.only(part, mode);
        assert!(!is_good(&clove, "unknown").await);
        spy.calls();
        // The last places that are taken for these are more than are spent.
        for _ in 0..5 {
            assert!(is_good(&clove, &used).await);
        }
        for _ in 0..150 {
            assert!(poll(&mut work).is_pending());
            fixture.clock().advance(61 * SECOND);
        }
        let calls = spy.calls();
        let missed: Vec<_> = PARTS.iter().filter(|(name, _)| !calls.contains(name)).collect();
        assert!(missed.is_empty(), "beside {part}: {missed:?}");
    }
    let said = said.lock().unwrap();
    assert!(!said.is_empty() && said.iter().all(|said| said.ends_with(wanted)), "{said:?}");
}

#[tokio::test]
async fn a_part_that_gives_no_answer_is_given_up_and_keeps_no_other_from_its_turn() {
    for (part, wanted) in PARTS {
        goes_on_beside(part, Mode::Hangs, wanted).await;
    }
}

#[tokio::test]
async fn a_part_that_panics_ends_no_other() {
    for (part, _) in PARTS {
        // Usage has its own answer to that: how far its batch had come is not known.
        let wanted = if part == "record" { "the outcome of the transaction is unknown" } else { "a part of it panicked" };
        goes_on_beside(part, Mode::Panics, wanted).await;
    }
}

#[tokio::test]
async fn uses_that_a_call_without_an_answer_was_given_wait_again_and_no_others() {
    let policy = Policy::builder().active_limit(ActiveLimit::Unlimited).max_records(None).max_creations_per_day(None);
    let (fixture, spy) = spied(policy.limits(Tier::unlimited()).build().unwrap());
    let mut work = pin!(fixture.clove.maintenance().run(|_| {}));
    assert!(poll(&mut work).is_pending());
    for _ in 0..1_100 {
        let used = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
        assert!(is_good(&fixture.clove, &used).await);
    }
    spy.hold_next_answer("touch");
    spy.calls();
    fixture.clock().advance(SECOND);
    assert!(poll(&mut work).is_pending());
    spy.only("touch", Mode::Hangs);
    spy.give_answers();
    assert!(poll(&mut work).is_pending());
    assert_eq!(calls(&spy), ["touch", "touch"]);
    spy.set(Mode::Works);
    for _ in 0..2 {
        fixture.clock().advance(60 * SECOND);
        assert!(poll(&mut work).is_pending());
    }
    assert_eq!(calls(&spy).iter().filter(|call| **call == "touch").count(), 1);
    assert!(fixture.keys().await.unwrap().iter().all(|key| key.last_used_at.is_some()));
}

#[tokio::test]
async fn places_whose_giving_back_got_no_answer_are_not_given_back_again() {
    let limits = Limits::new([Window::new(1_000, 3_600 * SECOND).unwrap()]).unwrap();
    let (fixture, spy) =
        spied(Policy::builder().limits(Tier { key: limits, account: Some(Limits::unlimited()) }).build().unwrap());
    let used = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    let mut work = pin!(fixture.clove.maintenance().run(|_| {}));
    for _ in 0..5 {
        assert!(is_good(&fixture.clove, &used).await);
    }
    spy.hold_next_answer("give_back");
    let mut given_back = 0;
    for _ in 0..120 {
        assert!(poll(&mut work).is_pending());
        fixture.clock().advance(SECOND);
        given_back += calls(&spy).iter().filter(|call| **call == "give_back").count();
    }
    assert_eq!(given_back, 1);
}
