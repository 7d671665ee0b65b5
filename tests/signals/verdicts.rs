//! Every verification, once, with how it ended.

use crate::{
    ear::{Ear, observed, observed_by, observed_on, short},
    support::{Mode, Spy, is_good, named, poll_and_drop},
};
use clove::{Attempt, Clove, MemoryStore, Observer, Policy, Requirement, Signal, Status, Tier};
use clove_testkit::Fixture;
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

fn policy() -> Policy {
    Policy::profile_b().to_builder().limits(Tier::unlimited()).build().unwrap()
}

/// On a store that knows at once, and on one that is waited for.
fn ready_and_waiting() -> [(Fixture, Ear); 2] {
    [observed(policy()), observed_on(Spy::new(), policy())]
}

#[tokio::test]
async fn each_verdict_is_told_once_and_says_whose_key_it_was() {
    for (fixture, ear) in ready_and_waiting() {
        for status in Status::ALL {
            let issued = fixture.key_in(status).await.unwrap();
            let (id, credential) = (short(issued.key.id), issued.credential.unwrap().reveal());
            assert_eq!(ear.heard(), [""; 0], "commands are no verifications");
            let _ = fixture.clove.verify(&*credential).await.unwrap();
            let wanted = match status {
                Status::Active => format!("granted {id}"),
                status => format!("denied {id} of ada: {status:?}"),
            };
            let heard = ear.heard();
            let (verdict, alarms) = heard.split_first().unwrap();
            assert_eq!(*verdict, wanted);
            let flagged = (status == Status::Compromised).then(|| format!("flagged {id} of ada"));
            assert_eq!(alarms, flagged.as_slice());
        }
    }
}

#[tokio::test]
async fn what_is_malformed_unknown_or_wrong_is_told_without_a_key() {
    for (fixture, ear) in ready_and_waiting() {
        let [gone, other] = [fixture.key_in(Status::Active).await.unwrap(), fixture.key_in(Status::Active).await.unwrap()];
        let secret = other.credential.unwrap().secret().reveal().to_owned();
        let wrong = format!("{};{secret}", gone.key.id);
        let bare = gone.credential.unwrap().secret().reveal().to_owned();
        assert!(!is_good(&fixture.clove, &wrong).await);
        fixture.clove.delete(&fixture.owner, gone.key.id, &fixture.by).await.unwrap();
        for unknown in [wrong.as_str(), &bare, "malformed", ""] {
            assert!(!is_good(&fixture.clove, unknown).await);
        }
        assert_eq!(ear.heard(), ["denied: NotRecognized"; 5]);
    }
}

#[tokio::test]
async fn a_missing_capability_is_told() {
    let (fixture, ear) = observed(policy());
    let new = named("narrow").capabilities(clove::CapabilitySet::new(["models:read"]).unwrap());
    let issued = fixture.clove.create(&fixture.owner, new, &fixture.by).await.unwrap();
    let (credential, required) = (issued.credential.unwrap().reveal(), Requirement::all_of(["files:write"]).unwrap());
    assert!(fixture.clove.verify(Attempt::new(&*credential).requiring(&required)).await.unwrap().granted().is_none());
    assert_eq!(ear.heard(), [format!("denied {} of ada: without files:write", short(issued.key.id))]);
}

#[tokio::test]
async fn a_fault_is_told_be_it_the_store_s_or_the_deadline_s() {
    let spy = Spy::new();
    let (fixture, ear) = observed_on(spy.clone(), Policy::profile_a());
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    spy.set(Mode::Fails);
    assert!(fixture.clove.verify(&*credential).await.is_err());
    spy.fail_only("lease");
    assert!(fixture.clove.verify(&*credential).await.is_err());
    assert_eq!(ear.heard(), ["fault: the key store failed"; 2]);
    spy.set(Mode::Hangs);
    let mut hanging = pin!(fixture.clove.verify(&*credential));
    assert!(hanging.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(ear.heard(), [""; 0]);
    fixture.clock().advance(Duration::from_secs(1));
    assert!(hanging.await.is_err());
    assert_eq!(ear.heard(), ["fault: the verification took longer than its deadline of 1s"]);
}

#[tokio::test]
async fn a_verification_that_nobody_waits_for_to_the_end_is_not_told() {
    let spy = Spy::new();
    let (fixture, ear) = observed_on(spy.clone(), Policy::profile_a());
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    spy.set(Mode::Hangs);
    assert!(poll_and_drop(fixture.clove.verify(&*credential)).is_pending());
    assert_eq!(ear.heard(), [""; 0]);
}

/// Wants to know how long it took.
struct Timed(Ear);

impl Observer for Timed {
    fn signal(&self, signal: &Signal<'_>) {
        self.0.signal(signal);
    }
    fn is_timed(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn how_long_it_took_is_told_where_an_observer_wants_to_know() {
    let (ear, spy) = (Ear::default(), Spy::new());
    let fixture = observed_by(spy.clone(), Policy::profile_a(), Timed(ear.clone()));
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let credential = issued.credential.unwrap().reveal();
    assert!(!is_good(&fixture.clove, "malformed").await);
    spy.set(Mode::Hangs);
    let mut hanging = pin!(fixture.clove.verify(&*credential));
    assert!(hanging.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    fixture.clock().advance(Duration::from_millis(1_500));
    assert!(hanging.await.is_err());
    assert_eq!(
        ear.heard(),
        ["denied: NotRecognized in 0ns", "fault: the verification took longer than its deadline of 1s in 1.5s"]
    );
}

#[tokio::test]
async fn all_clones_of_a_handle_are_observed_and_no_other_handle_on_the_store() {
    let store = MemoryStore::new();
    let (fixture, ear) = observed_on(store.clone(), Policy::profile_a());
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    let clone = fixture.clove.clone();
    assert!(is_good(&clone, &credential).await);
    assert_eq!(ear.heard().len(), 1);
    let other = Clove::with_clock(store, Policy::profile_a(), fixture.clock().clone());
    assert!(matches!(poll_and_drop(other.verify(&*credential)), Poll::Ready(Ok(_)) | Poll::Pending));
    assert_eq!((ear.heard().len(), other.signals_lost()), (0, 0));
}
