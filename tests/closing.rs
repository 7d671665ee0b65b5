//! Closing and reopening owners and organizations.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::TimeDelta;
use clove::{ActiveLimit, OperationId, Owner, Policy, Refusal, Status};
use support::{Ending, fixture, is_good, named, refusal, spied, unlimited};

#[tokio::test]
async fn nothing_comes_to_life_behind_a_close_and_reopening_revives_nothing() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    for status in [Status::Active, Status::Suspended, Status::Compromised] {
        fixture.key_in(status).await.unwrap();
    }
    let suspended = fixture.key_in(Status::Suspended).await.unwrap().key;
    let closed = clove.close_organization(&owner.organization, by).await.unwrap();
    assert_eq!((closed.changed, closed.revoked), (true, 3));
    assert_eq!(refusal(clove.create(owner, named("new"), by).await), Refusal::OwnerClosed);
    assert!(matches!(refusal(clove.enable(owner, suspended.id, by).await), Refusal::NotAllowed { .. }));
    assert!(!clove.close_organization(&owner.organization, by).await.unwrap().changed);
    assert!(clove.reopen_organization(&owner.organization, by).await.unwrap());
    let keys = fixture.keys().await.unwrap();
    assert!(keys.len() == 4 && keys.iter().all(|key| matches!(key.status(clove.now()), Status::Revoked | Status::Compromised)));
    fixture.key_in(Status::Active).await.unwrap();
    assert!(!clove.reopen_organization(&owner.organization, by).await.unwrap(), "open already");
    assert_eq!(clove.active_keys(owner).await.unwrap().active, 1, "reopening what is open revokes nothing");
}

#[tokio::test]
async fn behind_a_closed_owner_nothing_is_created_enabled_or_rotated_and_others_are_untouched() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    let bob = Owner::new("acme", "bob").unwrap();
    let his = clove.create(&bob, named("his"), by).await.unwrap();
    assert_eq!(clove.close_owner(owner, by).await.unwrap().revoked, 1);
    assert_eq!(refusal(clove.create(owner, named("x"), by).await), Refusal::OwnerClosed);
    assert!(matches!(refusal(clove.rotate(owner, key.id, 2, TimeDelta::zero(), by).await), Refusal::NotAllowed { .. }));
    assert!(matches!(refusal(clove.enable(owner, key.id, by).await), Refusal::NotAllowed { .. }));
    assert!(is_good(clove, &his.credential.unwrap().reveal()).await);
    clove.delete(owner, key.id, by).await.unwrap();
}

#[tokio::test]
async fn an_owner_closed_by_itself_stays_closed_when_its_organization_reopens() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    clove.close_owner(owner, by).await.unwrap();
    clove.close_organization(&owner.organization, by).await.unwrap();
    assert!(clove.reopen_organization(&owner.organization, by).await.unwrap());
    assert_eq!(refusal(clove.create(owner, named("x"), by).await), Refusal::OwnerClosed);
    assert!(clove.reopen_owner(owner, by).await.unwrap());
    clove.create(owner, named("x"), by).await.unwrap();
}

#[tokio::test]
async fn a_close_revokes_hundreds_of_keys_in_batches_and_reopening_revives_none() {
    let (fixture, spy) = spied(
        Policy::builder().active_limit(ActiveLimit::Unlimited).max_creations_per_day(None).max_records(None).build().unwrap(),
    );
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let mut credentials = Vec::new();
    for _ in 0..300 {
        credentials.push(clove.create(owner, named("a key"), by).await.unwrap().credential.unwrap());
    }
    assert_eq!(clove.close_owner(owner, by).await.unwrap().revoked, 300, "in batches");
    assert_eq!(clove.active_keys(owner).await.unwrap().active, 0);
    assert_eq!(spy.calls().iter().filter(|call| **call == "transact").count(), 300 + 1 + 3);
    assert!(clove.reopen_owner(owner, by).await.unwrap());
    assert!(!is_good(clove, &credentials[0].reveal()).await);
}

#[tokio::test]
async fn reopening_first_revokes_what_an_interrupted_close_left() {
    let (fixture, spy) = spied(Policy::profile_a());
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    let operation = OperationId::new(clove.now());
    spy.end([Ending::CommitsThenUnknown, Ending::Unavailable]);
    clove.close_owner(owner, &by.clone().operation(operation)).await.unwrap_err();
    assert_eq!(clove.verify(&*credential).await.unwrap().denied().unwrap().reason(), &clove::DenialReason::OwnerClosed);
    assert!(clove.reopen_owner(owner, by).await.unwrap());
    assert_eq!(clove.verify(&*credential).await.unwrap().denied().unwrap().reason(), &clove::DenialReason::Revoked);
}
