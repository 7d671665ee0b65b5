//! Limits on active keys, records and creations.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::{NaiveTime, TimeDelta};
use clove::{Action, ActiveLimit, Expiry, ListAudit, Owner, Policy, Refusal, Status};
use clove_testkit::Fixture;
use std::time::Duration;
use support::{DAY, actions, fixture, named, refusal};

#[tokio::test]
async fn the_third_key_is_refused_until_a_place_is_free() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let first = fixture.key_in(Status::Active).await.unwrap().key;
    fixture.key_in(Status::Active).await.unwrap();
    assert_eq!(refusal(clove.create(owner, named("third"), by).await), Refusal::LimitReached { active: 2, limit: 2 });
    clove.disable(owner, first.id, by).await.unwrap();
    clove.create(owner, named("third"), by).await.unwrap();
    assert_eq!(refusal(clove.enable(owner, first.id, by).await), Refusal::LimitReached { active: 2, limit: 2 });
    assert_eq!(clove.active_keys(owner).await.unwrap().to_string(), "2 / 2 active keys");
}

#[tokio::test]
async fn expired_keys_give_their_places_away_and_stay_expired_when_the_clock_steps_back() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let mut credentials = Vec::new();
    for _ in 0..2 {
        credentials.push(clove.create(owner, named("short").expiry(Expiry::Days(30)), by).await.unwrap().credential.unwrap());
    }
    fixture.clock().advance(Duration::from_secs(31 * 86_400));
    assert_eq!(clove.active_keys(owner).await.unwrap().to_string(), "0 / 2 active keys");
    clove.create(owner, named("next"), by).await.unwrap();
    fixture.clock().step(TimeDelta::days(-10));
    for credential in &credentials {
        assert!(clove.verify(&*credential.reveal()).await.unwrap().denied().is_some(), "revived by the clock");
    }
    assert_eq!(clove.active_keys(owner).await.unwrap().active, 1);
    let latched = ListAudit { action: Some(Action::LatchExpiry), ..ListAudit::default() };
    assert_eq!(clove.audit(owner, &latched).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn an_owner_s_own_limit_goes_before_the_policy_s_and_a_lowered_one_disables_nothing() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    clove.set_active_limit(owner, Some(ActiveLimit::AtMost(3)), by).await.unwrap();
    for _ in 0..3 {
        fixture.key_in(Status::Active).await.unwrap();
    }
    clove.set_active_limit(owner, Some(ActiveLimit::AtMost(1)), by).await.unwrap();
    assert_eq!(clove.active_keys(owner).await.unwrap().to_string(), "3 / 1 active keys");
    assert_eq!(refusal(clove.create(owner, named("more"), by).await), Refusal::LimitReached { active: 3, limit: 1 });
    clove.set_active_limit(owner, Some(ActiveLimit::Unlimited), by).await.unwrap();
    fixture.key_in(Status::Active).await.unwrap();
}

#[tokio::test]
async fn creating_and_disabling_in_turn_is_bounded() {
    let policy = Policy::builder().max_creations_per_day(Some(3)).max_records(Some(5)).build().unwrap();
    let fixture = Fixture::new(policy).unwrap();
    for _ in 0..3 {
        fixture.key_in(Status::Suspended).await.unwrap();
    }
    let refused = refusal(fixture.clove.create(&fixture.owner, named("more"), &fixture.by).await);
    assert!(matches!(refused, Refusal::TooManyCreations { limit: 3, .. }), "{refused:?}");
    fixture.clock().advance(Duration::from_secs(86_400));
    fixture.key_in(Status::Suspended).await.unwrap();
    fixture.key_in(Status::Suspended).await.unwrap();
    let refused = refusal(fixture.clove.create(&fixture.owner, named("more"), &fixture.by).await);
    assert_eq!(refused, Refusal::TooManyRecords { records: 5, limit: 5 });
}

#[tokio::test]
async fn a_refusal_at_the_limit_says_what_to_do() {
    let fixture = fixture();
    for _ in 0..2 {
        fixture.key_in(Status::Active).await.unwrap();
    }
    let error = fixture.clove.create(&fixture.owner, named("third"), &fixture.by).await.unwrap_err();
    assert_eq!(error.to_string(), "2 / 2 active keys: disable or delete one before creating or enabling another");
    assert_eq!(actions(&fixture).await.len(), 2, "nothing was written");
    let bob = Owner::new("acme", "bob").unwrap();
    fixture.clove.create(&bob, named("his"), &fixture.by).await.unwrap();
}

#[tokio::test]
async fn a_refusal_where_no_key_may_be_active_does_not_send_anyone_to_delete_one() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    clove.set_active_limit(owner, Some(ActiveLimit::AtMost(0)), by).await.unwrap();
    let error = clove.create(owner, named("first"), by).await.unwrap_err();
    let said = "0 / 0 active keys: none is allowed to this owner; an administrator can raise the limit";
    assert_eq!(error.to_string(), said);
}

#[tokio::test]
async fn a_lowered_limit_admits_again_once_the_owner_is_below_it() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let (first, second) = (fixture.key_in(Status::Active).await.unwrap(), fixture.key_in(Status::Active).await.unwrap());
    clove.set_active_limit(owner, Some(ActiveLimit::AtMost(1)), by).await.unwrap();
    clove.disable(owner, first.key.id, by).await.unwrap();
    assert_eq!(refusal(clove.enable(owner, first.key.id, by).await), Refusal::LimitReached { active: 1, limit: 1 });
    clove.delete(owner, second.key.id, by).await.unwrap();
    clove.enable(owner, first.key.id, by).await.unwrap();
    clove.set_active_limit(owner, Some(ActiveLimit::AtMost(0)), by).await.unwrap();
    assert_eq!(refusal(clove.create(owner, named("x"), by).await), Refusal::LimitReached { active: 1, limit: 0 });
    clove.set_active_limit(owner, None, by).await.unwrap();
    clove.create(owner, named("x"), by).await.unwrap();
}

#[tokio::test]
async fn a_limit_that_still_refuses_latches_nothing() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let short = clove.create(owner, named("short").expiry(Expiry::Days(30)), by).await.unwrap().key;
    clove.create(owner, named("long").expiry(Expiry::Days(365)), by).await.unwrap();
    fixture.clock().advance(30 * DAY);
    clove.set_active_limit(owner, Some(ActiveLimit::AtMost(1)), by).await.unwrap();
    assert_eq!(refusal(clove.create(owner, named("x"), by).await), Refusal::LimitReached { active: 1, limit: 1 });
    assert!(!clove.get(owner, short.id).await.unwrap().expiry_latched);
}

#[tokio::test]
async fn a_day_s_creations_are_counted_from_midnight_to_midnight_and_a_deletion_gives_none_back() {
    let fixture = Fixture::new(Policy::builder().max_creations_per_day(Some(2)).build().unwrap()).unwrap();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    for _ in 0..2 {
        let key = fixture.key_in(Status::Active).await.unwrap().key;
        clove.delete(owner, key.id, by).await.unwrap();
    }
    let midnight = (clove.now().date_naive() + TimeDelta::days(1)).and_time(NaiveTime::MIN).and_utc();
    assert_eq!(refusal(clove.create(owner, named("x"), by).await), Refusal::TooManyCreations { limit: 2, resets_at: midnight });
    fixture.clock().step(TimeDelta::days(-1));
    assert!(
        matches!(refusal(clove.create(owner, named("x"), by).await), Refusal::TooManyCreations { .. }),
        "a step back resets none"
    );
    fixture.clock().set(midnight);
    clove.create(owner, named("x"), by).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_for_one_creation_shuts_nobody_out() {
    let fixture =
        Fixture::new(Policy::builder().active_limit(ActiveLimit::Unlimited).max_creations_per_day(Some(1)).build().unwrap())
            .unwrap();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    fixture.clock().step(TimeDelta::days(365 * 14));
    clove.create(owner, named("of the future"), by).await.unwrap();
    fixture.clock().step(TimeDelta::days(-365 * 14));
    clove.create(owner, named("of today"), by).await.unwrap();
    assert!(matches!(refusal(clove.create(owner, named("more"), by).await), Refusal::TooManyCreations { limit: 1, .. }));
}
