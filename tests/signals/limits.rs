//! Limits that are near: once a window's name and process.

use crate::{
    ear::{observed, observed_on, short},
    support::{Mode, Spy, is_good},
};
use chrono::TimeDelta;
use clove::{Attempt, Clove, Limits, Policy, SignalThresholds, Status, Tier, Window};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn windows(key: &[u64], account: &[u64]) -> Tier {
    let of = |counts: &[u64]| {
        Limits::new(counts.iter().zip(1..).map(|(count, minutes)| Window::new(*count, MINUTE * minutes).unwrap()))
            .unwrap_or(Limits::unlimited())
    };
    Tier { key: of(key), account: Some(of(account)) }
}

fn limited(key: &[u64], account: &[u64]) -> Policy {
    Policy::builder().limits(windows(key, account)).build().unwrap()
}

#[tokio::test]
async fn a_limit_is_near_once_when_four_fifths_of_a_window_are_used_and_again_in_the_next() {
    let (fixture, ear) = observed(limited(&[10], &[]));
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let (id, credential) = (short(issued.key.id), issued.credential.unwrap().reveal());
    for (minute, until) in ["12:01", "12:02"].iter().enumerate() {
        for used in 1..=12 {
            let _ = fixture.clove.verify(&*credential).await.unwrap();
            let wanted = (used == 8).then(|| format!("near {id} of ada: key 10/60, 2 left until {until}"));
            assert_eq!(ear.alarms(), wanted.as_slice(), "minute {minute}, {used} used");
        }
        fixture.clock().advance(MINUTE);
    }
}

#[tokio::test]
async fn a_sliding_limit_that_stays_near_is_told_once_in_a_stretch_of_its_length() {
    for window in [Window::sliding(10, MINUTE).unwrap(), Window::sliding_shared(10, MINUTE).unwrap()] {
        let key = Limits::new([window]).unwrap();
        let policy = Policy::builder().limits(Tier { key, account: Some(Limits::unlimited()) }).build().unwrap();
        let (fixture, ear) = observed(policy);
        let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
        let mut told = Vec::new();
        // From its eighth on, each request finds two places left at most.
        for _ in 0..30 {
            assert!(is_good(&fixture.clove, &credential).await);
            told.push(ear.alarms().len());
            fixture.clock().advance(MINUTE / 10);
        }
        let near: Vec<usize> = (0..told.len()).filter(|request| told[*request] > 0).collect();
        assert_eq!((near, told.iter().sum()), (vec![7, 10, 20], 3), "{window:?}");
    }
}

#[tokio::test]
async fn windows_of_a_key_and_of_its_account_are_told_apart() {
    let (fixture, ear) = observed(limited(&[5, 8], &[10]));
    let mut keys = Vec::new();
    for _ in 0..2 {
        let issued = fixture.key_in(Status::Active).await.unwrap();
        keys.push((short(issued.key.id), issued.credential.unwrap().reveal()));
    }
    let [(one, first), (two, second)] = keys.try_into().unwrap();
    let mut heard = Vec::new();
    for credential in [&first, &first, &first, &first, &second, &second, &second, &second] {
        assert!(is_good(&fixture.clove, credential).await);
        heard.push(ear.alarms());
    }
    assert_eq!(heard[3], [format!("near {one} of ada: key 5/60, 1 left until 12:01")]);
    let last = [
        format!("near {two} of ada: key 5/60, 1 left until 12:01"),
        format!("near {two} of ada: account 10/60, 2 left until 12:01"),
    ];
    assert_eq!(heard[7], last);
    assert_eq!(heard.concat().len(), 3);
}

#[tokio::test]
async fn the_share_is_the_policy_s() {
    for (percent, near_at) in [(1, 1), (50, 5), (51, 6), (100, 10)] {
        let signals = SignalThresholds { limit_near: percent, ..SignalThresholds::default() };
        let (fixture, ear) = observed(limited(&[10], &[]).to_builder().signals(signals).build().unwrap());
        let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
        for used in 1..=10 {
            assert!(is_good(&fixture.clove, &credential).await);
            assert_eq!(ear.alarms().len(), usize::from(used == near_at), "{percent} %, {used} used");
        }
    }
}

#[tokio::test]
async fn a_request_that_takes_many_places_at_once_tells_and_one_that_is_refused_does_not() {
    let (fixture, ear) = observed(limited(&[100], &[]));
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    let _ = fixture.clove.verify(Attempt::new(&*credential).costing(101)).await.unwrap();
    assert!(is_good(&fixture.clove, &credential).await);
    let _ = fixture.clove.verify(Attempt::new(&*credential).costing(100)).await.unwrap();
    assert_eq!(ear.alarms(), [""; 0]);
    let _ = fixture.clove.verify(Attempt::new(&*credential).costing(99)).await.unwrap();
    assert_eq!(ear.alarms().len(), 1);
}

#[tokio::test]
async fn places_that_another_process_used_count() {
    let spy = Spy::new();
    let (fixture, ear) = observed_on(spy.clone(), limited(&[10], &[]));
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    let other = Clove::with_clock(spy.inner.clone(), limited(&[10], &[]), fixture.clock().clone());
    for _ in 0..7 {
        assert!(is_good(&other, &credential).await);
    }
    other.shut_down().await.unwrap();
    assert!(is_good(&fixture.clove, &credential).await);
    assert_eq!(ear.alarms().len(), 1);
}

#[tokio::test]
async fn a_clock_that_steps_back_and_forth_tells_nothing_twice() {
    let (fixture, ear) = observed(limited(&[10], &[]));
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    let mut told = 0;
    for step in [0, -60, 60, 60, -60, -60] {
        fixture.clock().step(TimeDelta::seconds(step));
        for _ in 0..10 {
            let _ = fixture.clove.verify(&*credential).await.unwrap();
        }
        told += ear.alarms().iter().filter(|said| said.starts_with("near")).count();
    }
    assert_eq!(told, 3, "three minutes were seen");
}

#[tokio::test]
async fn no_limit_is_near_where_there_is_none_or_nothing_is_counted() {
    let (fixture, ear) = observed(limited(&[], &[]));
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    let spy = Spy::new();
    let uncounted = limited(&[1], &[]).to_builder().danger_uncounted_a_minute(5).build().unwrap();
    let (away, other_ear) = observed_on(spy.clone(), uncounted);
    let other = away.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    spy.set(Mode::Works);
    spy.fail_only("lease");
    for _ in 0..5 {
        assert!(is_good(&fixture.clove, &credential).await && is_good(&away.clove, &other).await);
    }
    assert_eq!((ear.alarms(), other_ear.alarms()), (Vec::new(), Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_at_once_one_tells() {
    let (fixture, ear) = observed(limited(&[100], &[]));
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal().to_string();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (clove, credential) = (fixture.clove.clone(), credential.clone());
            tokio::spawn(async move {
                for _ in 0..20 {
                    let _ = clove.verify(&credential).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(ear.alarms().iter().filter(|said| said.starts_with("near")).count(), 1);
}
