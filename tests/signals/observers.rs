//! Observers that misbehave, and several of them.

use crate::{
    ear::{Ear, observed_by, observed_on, short},
    support::{Spy, is_good},
};
use clove::{Clove, Invalid, KeyId, MemoryStore, Observer, Policy, Signal, SignalThresholds, Status, Tier};
use std::{
    panic::resume_unwind,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

/// Panics each time, without the message that a hook would print.
fn panics(_: &Signal<'_>) {
    resume_unwind(Box::new("an observer that panics, on purpose"));
}

/// Panics once more where it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            resume_unwind(Box::new("again"));
        }
    }
}

#[tokio::test]
async fn an_observer_that_panics_is_counted_and_takes_nothing_from_the_verification_or_from_others() {
    let (before, after) = (Ear::default(), Ear::default());
    let mut fixture = observed_by(MemoryStore::new(), Policy::profile_a(), panics);
    fixture.clove = Clove::builder(MemoryStore::new(), Policy::profile_a())
        .clock(fixture.clock().clone())
        .observed_by(before.clone())
        .observed_by(panics)
        .observed_by(|_: &Signal<'_>| resume_unwind(Box::new(Bomb)))
        .observed_by(after.clone())
        .build();
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let (id, credential) = (short(issued.key.id), issued.credential.unwrap().reveal());
    for round in 1..=5 {
        assert!(is_good(&fixture.clove, &credential).await);
        assert_eq!(fixture.clove.signals_lost(), 2 * round);
    }
    let granted = vec![format!("granted {id}"); 5];
    assert_eq!((before.heard(), after.heard()), (granted.clone(), granted));
}

#[tokio::test]
async fn what_was_lost_is_told_by_maintenance() {
    let ear = Ear::default();
    let fixture = observed_by(MemoryStore::new(), Policy::profile_a(), |_: &Signal<'_>| {});
    let flaky = |signal: &Signal<'_>| {
        if matches!(signal, Signal::Denied { .. }) {
            resume_unwind(Box::new("an observer that panics, on purpose"));
        }
    };
    let builder = Clove::builder(MemoryStore::new(), Policy::profile_a()).clock(fixture.clock().clone());
    let clove = builder.observed_by(flaky).observed_by(ear.clone()).build();
    let mut work = Box::pin(clove.maintenance().run(|error| panic!("{error}")));
    let mut turn = || {
        assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        fixture.clock().advance(Duration::from_secs(1));
        assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        ear.alarms()
    };
    assert_eq!(turn(), [""; 0]);
    for _ in 0..3 {
        assert!(!is_good(&clove, "malformed").await);
    }
    assert_eq!(turn(), ["lost 3"]);
    assert_eq!(turn(), [""; 0], "once");
}

#[tokio::test]
async fn limits_that_are_near_beyond_all_room_are_counted_as_lost_and_told_no_second_time() {
    const KEYS: usize = 20_000;
    let few = clove::Limits::new([clove::Window::new(5, Duration::from_secs(86_400)).unwrap()]).unwrap();
    let tier = Tier { key: few, account: Some(clove::Limits::unlimited()) };
    let signals = SignalThresholds { limit_near: 1, ..SignalThresholds::default() };
    let policy = Policy::profile_b().to_builder().limits(tier).signals(signals).build().unwrap();
    let spy = Spy::new();
    let (fixture, ear) = observed_on(spy.clone(), policy);
    let issued = fixture.key_in(Status::Active).await.unwrap();
    spy.take_every_id_for(issued.key.id);
    let credential = issued.credential.unwrap();
    let ids: Vec<KeyId> = (0..KEYS).map(|_| KeyId::new(fixture.clove.now())).collect();
    let mut told = Vec::new();
    for _ in 0..2 {
        for id in &ids {
            assert!(is_good(&fixture.clove, &format!("{id};{}", credential.secret().reveal())).await);
        }
        told.push(ear.alarms().len());
    }
    assert!((10_000..=16_384).contains(&told[0]), "{} were told", told[0]);
    assert_eq!(told[1], 0);
    assert_eq!(usize::try_from(fixture.clove.signals_lost()).unwrap(), 2 * (KEYS - told[0]));
}

#[tokio::test]
async fn an_observer_may_be_shared() {
    let ear = Arc::new(Ear::default());
    let shared: Arc<dyn Observer> = ear.clone();
    let fixture = observed_by(MemoryStore::new(), Policy::profile_a(), shared);
    assert!(!is_good(&fixture.clove, "malformed").await);
    assert_eq!(ear.heard().len(), 1);
}

#[test]
fn thresholds_out_of_range_build_no_policy() {
    let built = |signals: SignalThresholds| Policy::builder().signals(signals).build();
    let usual = SignalThresholds::default();
    for (signals, field) in [
        (SignalThresholds { limit_near: 0, ..usual }, "limit_near"),
        (SignalThresholds { limit_near: 101, ..usual }, "limit_near"),
        (SignalThresholds { budget_near: 0, ..usual }, "budget_near"),
        (SignalThresholds { budget_near: 101, ..usual }, "budget_near"),
        (SignalThresholds { refusals_a_minute: 0, ..usual }, "refusals_a_minute"),
        (SignalThresholds { expiry_notice: chrono::TimeDelta::seconds(-1), ..usual }, "expiry_notice"),
        (SignalThresholds { expiry_notice: chrono::TimeDelta::days(367), ..usual }, "expiry_notice"),
    ] {
        let invalid: Invalid = built(signals).unwrap_err();
        assert_eq!(invalid.field, field);
    }
    assert!(built(usual).is_ok());
}
