//! Bursts of refusals, and keys that are flagged and still used.

use crate::{
    ear::{observed, short},
    support::{is_good, named},
};
use clove::{Policy, SignalThresholds, Status, Tier};
use std::time::Duration;

fn policy() -> Policy {
    Policy::profile_b().to_builder().limits(Tier::unlimited()).build().unwrap()
}

#[tokio::test]
async fn the_twentieth_refusal_of_a_key_within_a_minute_is_a_burst_and_the_next_are_none() {
    let (fixture, ear) = observed(policy());
    let issued = fixture.key_in(Status::Suspended).await.unwrap();
    let (id, credential) = (short(issued.key.id), issued.credential.unwrap().reveal());
    let burst = [format!("burst of 20 on key: {id} of ada"), format!("burst of 20 on account: {id} of ada")];
    for minute in 0..2 {
        for refusals in 1..=50 {
            assert!(!is_good(&fixture.clove, &credential).await);
            let wanted: &[String] = if refusals == 20 { &burst } else { &[] };
            assert_eq!(ear.alarms(), wanted, "minute {minute}, refusal {refusals}");
        }
        fixture.clock().advance(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn refusals_that_lie_apart_are_no_burst() {
    let (fixture, ear) = observed(policy());
    let credential = fixture.key_in(Status::Revoked).await.unwrap().credential.unwrap().reveal();
    for _ in 0..100 {
        assert!(!is_good(&fixture.clove, &credential).await);
        fixture.clock().advance(Duration::from_millis(3_200));
    }
    assert_eq!(ear.alarms(), [""; 0]);
}

#[tokio::test]
async fn refusals_of_several_keys_are_a_burst_on_their_owner_alone() {
    let (fixture, ear) = observed(policy());
    let mut keys = Vec::new();
    for _ in 0..4 {
        let issued = fixture.key_in(Status::Suspended).await.unwrap();
        keys.push((short(issued.key.id), issued.credential.unwrap().reveal()));
    }
    for round in 1..=10 {
        for (place, (id, credential)) in keys.iter().enumerate() {
            assert!(!is_good(&fixture.clove, credential).await);
            let wanted = (round == 5 && place == 3).then(|| format!("burst of 20 on account: {id} of ada"));
            assert_eq!(ear.alarms(), wanted.as_slice());
        }
    }
}

#[tokio::test]
async fn grants_between_refusals_are_not_counted_and_other_owners_neither() {
    let (fixture, ear) = observed(policy());
    let other = clove::Owner::new("acme", "bob").unwrap();
    let theirs = fixture.clove.create(&other, named("theirs"), &fixture.by).await.unwrap();
    fixture.clove.disable(&other, theirs.key.id, &fixture.by).await.unwrap();
    let theirs = theirs.credential.unwrap().reveal();
    let refused = fixture.key_in(Status::Suspended).await.unwrap().credential.unwrap().reveal();
    let good = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    for _ in 0..19 {
        assert!(!is_good(&fixture.clove, &refused).await && !is_good(&fixture.clove, &theirs).await);
        assert!(is_good(&fixture.clove, &good).await);
    }
    assert_eq!(ear.alarms(), [""; 0]);
}

#[tokio::test]
async fn refusals_without_a_proven_secret_are_never_a_burst() {
    let (fixture, ear) = observed(policy());
    let [one, other] = [fixture.key_in(Status::Suspended).await.unwrap(), fixture.key_in(Status::Compromised).await.unwrap()];
    let wrong = format!("{};{}", other.key.id, one.credential.unwrap().secret().reveal());
    for _ in 0..100 {
        assert!(!is_good(&fixture.clove, &wrong).await && !is_good(&fixture.clove, "malformed").await);
    }
    assert_eq!(ear.alarms(), [""; 0]);
}

#[tokio::test]
async fn how_many_make_a_burst_is_the_policy_s() {
    let signals = SignalThresholds { refusals_a_minute: 1, ..SignalThresholds::default() };
    let (fixture, ear) = observed(policy().to_builder().signals(signals).build().unwrap());
    let credential = fixture.key_in(Status::Suspended).await.unwrap().credential.unwrap().reveal();
    assert!(!is_good(&fixture.clove, &credential).await);
    assert_eq!(ear.alarms().len(), 2);
}

#[tokio::test]
async fn a_flagged_key_that_is_used_is_told_once_a_minute_even_where_its_owner_is_closed() {
    let (fixture, ear) = observed(policy());
    let issued = fixture.key_in(Status::Compromised).await.unwrap();
    let (id, credential) = (short(issued.key.id), issued.credential.unwrap().reveal());
    let flagged = [format!("flagged {id} of ada")];
    for closed in [false, true] {
        if closed {
            fixture.clove.close_owner(&fixture.owner, &fixture.by).await.unwrap();
        }
        assert!(!is_good(&fixture.clove, &credential).await);
        assert_eq!(ear.alarms(), flagged);
        fixture.clock().advance(Duration::from_secs(59));
        assert!(!is_good(&fixture.clove, &credential).await);
        assert_eq!(ear.alarms(), [""; 0]);
        fixture.clock().advance(Duration::from_secs(1));
    }
}
