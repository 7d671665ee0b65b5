//! Keys that are about to expire, and what else maintenance tells.

use crate::{
    ear::{Ear, observed_on, short},
    support::{DAY, Mode, Spy, named},
};
use chrono::TimeDelta;
use clove::{Expiry, ExpiryPolicy, Key, KeyState, Owner, Policy, SignalThresholds};
use clove_testkit::Fixture;
use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// A handle that is observed and maintained, on a store under orders.
struct Maintained {
    fixture: Fixture,
    spy: Spy,
    ear: Ear,
    failures: Arc<Mutex<usize>>,
    work: Pin<Box<dyn Future<Output = ()>>>,
}

impl Maintained {
    fn new(signals: SignalThresholds) -> Self {
        let any = ExpiryPolicy { custom: Some((1, 99)), ..ExpiryPolicy::default() };
        let policy = Policy::profile_b().to_builder().expiry(any).signals(signals).build().unwrap();
        let (spy, failures) = (Spy::new(), Arc::new(Mutex::new(0)));
        let (fixture, ear) = observed_on(spy.clone(), policy);
        let count = failures.clone();
        let work = Box::pin(fixture.clove.maintenance().run(move |_| *count.lock().unwrap() += 1));
        let mut new = Self { fixture, spy, ear, failures, work };
        new.poll();
        new
    }

    async fn create(&self, account: &str, days: u32) -> Key {
        let (new, owner) = (named("a key").expiry(Expiry::Days(days)), Owner::new("acme", account).unwrap());
        self.fixture.clove.create(&owner, new, &self.fixture.by).await.unwrap().key
    }

    fn poll(&mut self) {
        assert!(self.work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    /// Time passes, and maintenance has its turn.
    fn pass(&mut self, time: Duration) -> Vec<String> {
        self.fixture.clock().advance(time);
        self.poll();
        self.ear.alarms()
    }

    fn looks(&self) -> usize {
        self.spy.calls().iter().filter(|call| **call == "expiring_soon").count()
    }
}

#[tokio::test]
async fn keys_that_expire_within_a_week_are_told_once_soonest_first_whoever_owns_them() {
    let mut maintained = Maintained::new(SignalThresholds::default());
    let later = maintained.create("bob", 7).await;
    let sooner = maintained.create("ada", 2).await;
    maintained.create("ada", 30).await;
    let told = [format!("expiring {} of ada: 01-07", short(sooner.id)), format!("expiring {} of bob: 01-12", short(later.id))];
    assert_eq!(maintained.pass(SECOND), told);
    for _ in 0..48 {
        assert_eq!(maintained.pass(HOUR), [""; 0]);
    }
    assert!(maintained.looks() >= 48);
}

#[tokio::test]
async fn the_store_is_asked_for_them_once_an_hour() {
    let mut maintained = Maintained::new(SignalThresholds::default());
    for hour in 1..=3 {
        for _ in 0..60 {
            maintained.pass(SECOND);
        }
        assert_eq!(maintained.looks(), 1, "in hour {hour}");
        maintained.fixture.clock().advance(HOUR - 60 * SECOND);
    }
}

#[tokio::test]
async fn a_key_is_told_within_an_hour_of_coming_near_its_expiry_or_into_being() {
    let mut maintained = Maintained::new(SignalThresholds::default());
    let old = maintained.create("ada", 8).await;
    assert_eq!(maintained.pass(SECOND), [""; 0]);
    let new = maintained.create("bob", 1).await;
    assert_eq!(maintained.pass(HOUR), [format!("expiring {} of bob: 01-06", short(new.id))]);
    assert_eq!(maintained.pass(22 * HOUR), [""; 0]);
    assert_eq!(maintained.pass(HOUR), [format!("expiring {} of ada: 01-13", short(old.id))]);
}

#[tokio::test]
async fn only_keys_that_could_still_be_used_are_told() {
    let mut maintained = Maintained::new(SignalThresholds::default());
    let (clove, by) = (maintained.fixture.clove.clone(), maintained.fixture.by.clone());
    let mut suspended = None;
    for state in KeyState::ALL {
        let key = maintained.create("ada", 1).await;
        match state {
            KeyState::Active => clove.delete(&key.owner, key.id, &by).await.unwrap(),
            KeyState::Suspended => suspended = clove.disable(&key.owner, key.id, &by).await.unwrap().key,
            KeyState::Compromised => drop(clove.flag_compromised(&key.owner, key.id, &by).await.unwrap()),
            KeyState::Revoked => drop(clove.revoke(&key.owner, key.id, &by).await.unwrap()),
        }
    }
    let id = suspended.unwrap().id;
    assert_eq!(maintained.pass(SECOND), [format!("expiring {} of ada: 01-06", short(id))]);
    maintained.create("ada", 1).await;
    assert_eq!(maintained.pass(2 * DAY), [""; 0], "expired in the meantime");
}

#[tokio::test]
async fn more_keys_than_a_page_holds_are_all_told() {
    let mut maintained = Maintained::new(SignalThresholds::default());
    for _ in 0..2_100 {
        maintained.create("ada", 1).await;
    }
    let mut told = maintained.pass(SECOND);
    assert_eq!((told.len(), maintained.looks()), (2_100, 3));
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 2_100);
    assert_eq!(maintained.pass(HOUR), [""; 0]);
}

#[tokio::test]
async fn a_store_that_fails_is_told_and_asked_again_a_second_later() {
    let mut maintained = Maintained::new(SignalThresholds::default());
    maintained.create("ada", 1).await;
    maintained.spy.fail_only("expiring_soon");
    assert_eq!(maintained.pass(SECOND), ["maintenance: the store is unavailable: being told to"]);
    assert_eq!(*maintained.failures.lock().unwrap(), 1, "the host's closure is told too");
    maintained.spy.set(Mode::Works);
    assert_eq!(maintained.pass(SECOND).len(), 1);
    assert_eq!(*maintained.failures.lock().unwrap(), 1);
}

#[tokio::test]
async fn how_long_before_is_the_policy_s_and_none_asks_nothing() {
    for (hours, told_after) in [(0, None), (1, Some(23)), (24, Some(0))] {
        let notice = SignalThresholds { expiry_notice: TimeDelta::hours(hours), ..SignalThresholds::default() };
        let mut maintained = Maintained::new(notice);
        maintained.create("ada", 1).await;
        let mut told = Vec::new();
        for hour in 0..30 {
            let alarms = maintained.pass(if hour == 0 { SECOND } else { HOUR });
            told.extend(alarms.iter().map(|_| hour));
        }
        assert_eq!(told, told_after.as_slice());
        assert_eq!(maintained.looks() == 0, hours == 0);
    }
}

#[tokio::test]
async fn nobody_looks_for_them_without_an_observer() {
    let spy = Spy::new();
    let fixture = Fixture::on(spy.clone(), Policy::profile_a()).unwrap();
    let mut work = Box::pin(fixture.clove.maintenance().run(|error| panic!("{error}")));
    for _ in 0..3 {
        assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        fixture.clock().advance(HOUR);
    }
    assert!(spy.calls().iter().all(|call| *call != "expiring_soon"));
}
