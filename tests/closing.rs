//! Closing and reopening owners and organizations.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::TimeDelta;
use clove::{
    Action, ActiveLimit, Clove, DenialReason, Error, ListAudit, ListKeys, OperationId, Owner, Policy, Refusal, Status, StoreError,
};
use clove_testkit::TestClock;
use support::{Ending, Spy, denied, fixture, is_good, named, refusal, spied, unlimited};

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
    let keys: Vec<_> = fixture.clove.list(owner, &ListKeys { limit: Some(200), ..ListKeys::default() }).await.unwrap().items;
    assert_eq!(spy.batches(), [None, Some(credentials[255].id()), Some(keys[0].id)], "each after the one before");
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

/// A process reopens an owner: it has seen that all is revoked. Before its last transaction, another reopens too, creates a
/// key whose id is below all others, since its clock is behind, closes again, and dies before it revokes.
#[tokio::test]
async fn reopening_does_not_revive_what_came_and_went_meanwhile() {
    let (fixture, spy) = spied(Policy::profile_a());
    let (clove, owner, by) = (&fixture.clove, fixture.owner.clone(), fixture.by.clone());
    fixture.key_in(Status::Active).await.unwrap();
    clove.close_owner(&owner, &by).await.unwrap();
    let theirs = Spy::over(spy.inner.clone());
    let clock = TestClock::new();
    clock.step(-TimeDelta::days(1));
    let other = Clove::with_clock(theirs.clone(), Policy::profile_a(), clock);
    let (told, created) = std::sync::mpsc::channel();
    let (their_owner, their_by) = (owner.clone(), by.clone());
    spy.before_transact(1, async move {
        assert!(other.reopen_owner(&their_owner, &their_by).await.unwrap());
        told.send(other.create(&their_owner, named("meanwhile"), &their_by).await.unwrap()).unwrap();
        theirs.end([Ending::Commits, Ending::Unavailable]);
        other.close_owner(&their_owner, &their_by).await.unwrap_err();
    });
    assert!(clove.reopen_owner(&owner, &by).await.unwrap());
    let meanwhile = created.recv().unwrap();
    assert_eq!(denied(clove.verify(&*meanwhile.credential.unwrap().reveal()).await), DenialReason::Revoked);
    clove.create(&owner, named("afterwards"), &by).await.unwrap();
}

#[tokio::test]
async fn a_close_goes_on_where_the_answers_of_its_batches_are_lost() {
    let (fixture, spy) = spied(
        Policy::builder().active_limit(ActiveLimit::Unlimited).max_creations_per_day(None).max_records(None).build().unwrap(),
    );
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    for _ in 0..300 {
        clove.create(owner, named("a key"), by).await.unwrap();
    }
    spy.end([Ending::Commits, Ending::CommitsThenUnknown, Ending::RollsBackThenUnknown, Ending::CommitsThenUnknown]);
    let closed = clove.close_owner(owner, by).await.unwrap();
    assert_eq!(closed.revoked, 1 + 44, "at least: one of the batch whose answer was lost");
    assert_eq!(clove.active_keys(owner).await.unwrap().active, 0);
    let revoked = clove.audit(owner, &ListAudit { action: Some(Action::Revoke), limit: Some(200), ..ListAudit::default() }).await;
    assert!(revoked.unwrap().next.is_some(), "each with its event");
}

/// The flag, a first batch of 256 keys, and the second: of the latter the answer is lost, or the store is away.
#[tokio::test]
async fn a_close_that_failed_behind_its_flag_is_repeated_under_its_own_operation_id() {
    for endings in [vec![Ending::CommitsThenUnknown, Ending::Unavailable], vec![Ending::Unavailable]] {
        let (fixture, spy) = spied(unlimited().clove.policy().clone());
        let (clove, owner) = (&fixture.clove, &fixture.owner);
        for _ in 0..300 {
            clove.create(owner, named("a key"), &fixture.by).await.unwrap();
        }
        let own = OperationId::new(clove.now());
        let by = fixture.by.clone().operation(own);
        spy.end([Ending::Commits, Ending::Commits].into_iter().chain(endings));
        let failed = clove.close_owner(owner, &by).await;
        assert!(matches!(failed, Err(Error::OutcomeUnknown { operation, .. }) if operation == own), "{failed:?}");
        assert!(clove.close_owner(owner, &by).await.unwrap().changed);
        assert_eq!(clove.active_keys(owner).await.unwrap().active, 0);
    }
}

#[tokio::test]
async fn a_close_whose_flag_was_not_written_changed_nothing() {
    let (fixture, spy) = spied(Policy::profile_a());
    fixture.key_in(Status::Active).await.unwrap();
    spy.end([Ending::Unavailable]);
    let failed = fixture.clove.close_owner(&fixture.owner, &fixture.by).await;
    assert!(matches!(failed, Err(Error::Store(StoreError::Unavailable { .. }))), "{failed:?}");
    assert!(fixture.clove.close_owner(&fixture.owner, &fixture.by).await.unwrap().changed);
}

#[tokio::test]
async fn a_reopening_that_failed_is_repeated_under_its_own_operation_id_if_it_may_have_changed_anything() {
    for (revoking, is_unknown) in [
        (vec![Ending::Unavailable], false),
        (vec![Ending::CommitsThenUnknown, Ending::Unavailable], true),
        (vec![Ending::CommitsThenUnknown, Ending::Commits, Ending::Unavailable], true),
        (vec![Ending::Commits, Ending::Unavailable], true),
        (vec![Ending::Commits, Ending::Commits, Ending::Unavailable], true),
        (vec![Ending::Commits, Ending::Commits, Ending::CommitsThenUnknown, Ending::Unavailable], true),
    ] {
        let (fixture, spy) = spied(Policy::profile_a());
        let (clove, owner) = (&fixture.clove, &fixture.owner);
        let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
        spy.end([Ending::Commits, Ending::Unavailable]);
        clove.close_owner(owner, &fixture.by).await.unwrap_err();
        let own = OperationId::new(clove.now());
        let by = fixture.by.clone().operation(own);
        spy.end(revoking);
        match clove.reopen_owner(owner, &by).await.unwrap_err() {
            Error::OutcomeUnknown { operation, .. } => assert!(is_unknown && operation == own),
            other => assert!(!is_unknown && matches!(other, Error::Store(_)), "{other:?}"),
        }
        assert!(clove.reopen_owner(owner, &by).await.unwrap());
        assert_eq!(denied(clove.verify(&*credential).await), DenialReason::Revoked);
    }
}
