//! What a process says at once of a credential, and that it otherwise says nothing and does nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use clove::{
    AccessLog, Attempt, Budget, BudgetOf, Clove, DenialReason, Grant, LimitChoice, Limits, Policy, Refill, Requirement, Signal,
    Status, Unit, Verdict, Window,
};
use clove_testkit::Fixture;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use support::{Spy, is_good, poll_and_drop, spied};

/// How many requests are left in the key's first window.
fn left(grant: &Grant) -> u64 {
    grant.limits().next().unwrap().left
}

/// As often as a key of these tests was charged before: of the places that were taken ahead, some are left.
const CHARGED: u64 = 4;

/// A key of a store under orders, remembered, and charged; the calls so far are forgotten.
async fn remembered(policy: Policy) -> (Fixture, Spy, String) {
    let (fixture, spy) = spied(policy);
    informed(&fixture.clove);
    let text = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal().to_string();
    for _ in 0..CHARGED {
        assert!(is_good(&fixture.clove, &text).await);
    }
    spy.calls();
    (fixture, spy, text)
}

/// Has heard what other processes have changed: until its clock goes on, rows are used from memory.
fn informed(clove: &Clove) {
    assert!(poll_and_drop(clove.maintenance().run(|_| {})).is_pending());
}

fn at_once(clove: &Clove, text: &str) -> Option<Verdict> {
    clove.verify_from_memory(text)
}

#[tokio::test]
async fn a_remembered_key_is_granted_charged_and_refused_without_the_store() {
    let (fixture, spy, text) = remembered(Policy::profile_a()).await;
    let clove = &fixture.clove;
    let first = at_once(clove, &text).unwrap().granted().unwrap();
    let checked = clove.verify_from_memory(Attempt::new(&text).only_checking()).unwrap().granted().unwrap();
    assert_eq!((left(&first), left(&checked)), (59 - CHARGED, 59 - CHARGED));

    let required = Requirement::all_of(["chat:write"]).unwrap();
    let denied = clove.verify_from_memory(Attempt::new(&text).requiring(&required)).unwrap().denied().unwrap();
    assert!(matches!(denied.reason(), DenialReason::CapabilityMissing { .. }));
    assert_eq!(spy.calls(), Vec::<&str>::new());
}

#[tokio::test]
async fn what_is_malformed_is_refused_and_what_is_unknown_or_wrong_is_left_to_the_store() {
    let (fixture, spy, text) = remembered(Policy::profile_a()).await;
    let denied = at_once(&fixture.clove, "nonsense").unwrap().denied().unwrap();
    assert_eq!(denied.reason(), &DenialReason::NotRecognized);
    let other = fixture.key_in(Status::Active).await.unwrap().credential.unwrap();
    let wrong = format!("{};{}", &text[..36], other.secret().reveal());
    spy.calls();
    for text in [wrong.as_str(), &other.reveal(), other.secret().reveal()] {
        assert!(at_once(&fixture.clove, text).is_none());
    }
    assert_eq!(spy.calls(), Vec::<&str>::new());
}

#[tokio::test]
async fn what_has_to_wait_is_as_if_it_had_not_been_asked() {
    let tokens = Unit::new("tokens").unwrap();
    let budget = Budget::new(100, Refill::Daily).unwrap();
    let reserving = Policy::builder().budget(BudgetOf::Key, tokens.clone(), budget).build().unwrap();
    let (fixture, spy, text) = remembered(reserving).await;
    assert!(fixture.clove.verify_from_memory(Attempt::new(&text).reserving(&tokens, 10)).is_none());
    assert_eq!((spy.calls(), left(&at_once(&fixture.clove, &text).unwrap().granted().unwrap())), (vec![], 59 - CHARGED));

    let (fixture, spy, text) = remembered(Policy::builder().access_log(AccessLog::Required).build().unwrap()).await;
    assert!(at_once(&fixture.clove, &text).is_none());
    assert_eq!(spy.calls(), Vec::<&str>::new());
    assert_eq!(left(&fixture.clove.verify(&text).await.unwrap().granted().unwrap()), 59 - CHARGED);

    // The places that were taken ahead run out: more are to be taken in the store.
    let (fixture, spy, text) = remembered(Policy::profile_a()).await;
    let mut granted = CHARGED;
    while at_once(&fixture.clove, &text).is_some() {
        granted += 1;
    }
    assert!(granted < 60 && spy.calls().is_empty());
    let grant = fixture.clove.verify(&text).await.unwrap().granted().unwrap();
    assert_eq!(left(&grant), 60 - granted - 1);
}

#[tokio::test]
async fn a_window_that_all_processes_share_is_left_to_the_store() {
    let (mut fixture, spy) = spied(Policy::profile_a());
    informed(&fixture.clove);
    fixture.by = fixture.by.may_set_limits();
    let window = Window::sliding_shared(10, Duration::from_secs(60)).unwrap();
    let new = support::named("shared").limits(LimitChoice::Own(Limits::new([window]).unwrap()));
    let text = fixture.clove.create(&fixture.owner, new, &fixture.by).await.unwrap().credential.unwrap().reveal().to_string();
    assert!(is_good(&fixture.clove, &text).await);
    spy.calls();
    assert!(at_once(&fixture.clove, &text).is_none());
    assert_eq!(spy.calls(), Vec::<&str>::new());
    assert_eq!(left(&fixture.clove.verify(&text).await.unwrap().granted().unwrap()), 8);
}

#[tokio::test]
async fn a_killed_key_is_not_granted_from_memory() {
    let (fixture, _, text) = remembered(Policy::profile_a()).await;
    let key = at_once(&fixture.clove, &text).unwrap().granted().unwrap().key_id();
    fixture.clove.disable(&fixture.owner, key, &fixture.by).await.unwrap();
    assert!(at_once(&fixture.clove, &text).is_none_or(|verdict| verdict.granted().is_none()));
}

#[tokio::test]
async fn observers_are_told_of_a_verdict_and_not_of_none() {
    let told = Arc::new(AtomicUsize::new(0));
    let (fixture, spy) = spied(Policy::profile_a());
    let text = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal().to_string();
    let count = Arc::clone(&told);
    let clove =
        Clove::builder(spy, Policy::profile_a()).clock(fixture.clock().clone()).observed_by(move |signal: &Signal<'_>| {
            if matches!(signal, Signal::Granted { .. } | Signal::Denied { .. }) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    let clove = clove.build();
    informed(&clove);
    assert!(at_once(&clove, &text).is_none());
    assert_eq!(told.load(Ordering::Relaxed), 0);
    for _ in 0..CHARGED {
        assert!(is_good(&clove, &text).await);
    }
    assert!(at_once(&clove, &text).is_some() && at_once(&clove, "nonsense").is_some());
    assert_eq!(told.load(Ordering::Relaxed), usize::try_from(CHARGED).unwrap() + 2);
}

#[test]
fn a_credential_is_found_wherever_it_stands_in_a_text() {
    let policy = Policy::profile_a();
    let (id, other) = ("018f2b60-1c00-7000-8000-000000000001", "018f2b60-1c00-4000-8000-000000000001");
    for text in [format!("{id};"), format!("before{id};after")] {
        assert!(policy.finds_credential(&text), "{text}");
    }
    for text in [id.to_owned(), format!("{other};"), format!("{};", id.to_uppercase()), String::new(), "clv-".into()] {
        assert!(!policy.finds_credential(&text), "{text}");
    }
}
