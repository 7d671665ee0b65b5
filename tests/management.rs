//! Management: limits, replays, unknown outcomes, rotation, leaks, closing, pages, values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::{DateTime, NaiveTime, TimeDelta};
use clove::{
    Action, ActiveLimit, By, CapabilitySet, Description, Edit, Error, Expiry, ExpiryPolicy, KeyId, ListAudit, ListKeys, Metadata,
    Name, OperationId, Owner, Policy, Refusal, Scope, Status, Store, StoreError, store::Rehash,
};
use clove_testkit::Fixture;
use std::time::Duration;
use support::{
    DAY, Ending, Mode, actions, fixture, hashed, invalid, is_good, named, pepper, poll_and_drop, refusal, spied, trail, unlimited,
};

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
async fn every_command_on_a_foreign_key_finds_none() {
    let fixture = fixture();
    let (clove, by) = (&fixture.clove, &fixture.by);
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    for foreign in [Owner::new("acme", "bob").unwrap(), Owner::new("other", "ada").unwrap()] {
        let grace = TimeDelta::zero();
        assert_eq!(refusal(clove.get(&foreign, key.id).await), Refusal::NotFound);
        assert_eq!(refusal(clove.disable(&foreign, key.id, by).await), Refusal::NotFound);
        assert_eq!(refusal(clove.enable(&foreign, key.id, by).await), Refusal::NotFound);
        assert_eq!(refusal(clove.revoke(&foreign, key.id, by).await), Refusal::NotFound);
        assert_eq!(refusal(clove.flag_compromised(&foreign, key.id, by).await), Refusal::NotFound);
        assert_eq!(refusal(clove.delete(&foreign, key.id, by).await), Refusal::NotFound);
        assert_eq!(refusal(clove.edit(&foreign, key.id, 1, Edit::new(), by).await), Refusal::NotFound);
        assert_eq!(refusal(clove.rotate(&foreign, key.id, 1, grace, by).await), Refusal::NotFound);
        assert!(clove.audit(&foreign, &ListAudit { key: Some(key.id), ..ListAudit::default() }).await.unwrap().items.is_empty());
    }
    assert_eq!(clove.get(&fixture.owner.organization, key.id).await.unwrap(), key);
}

#[tokio::test]
async fn what_an_actor_may_not_grant_is_refused() {
    let fixture = fixture();
    let by = By::new("ada", "test").unwrap().may_grant(CapabilitySet::new(["models:*"]).unwrap());
    let wish = |names: &[&str]| named("a key").capabilities(CapabilitySet::new(names).unwrap());
    let refused = refusal(fixture.clove.create(&fixture.owner, wish(&["models:read", "users:read"]), &by).await);
    assert!(matches!(&refused, Refusal::BeyondAuthority { capability } if capability.as_str() == "users:read"), "{refused:?}");
    assert!(matches!(refusal(fixture.clove.create(&fixture.owner, wish(&["*:*"]), &by).await), Refusal::BeyondAuthority { .. }));
    let key = fixture.clove.create(&fixture.owner, wish(&["models:*"]), &by).await.unwrap().key;
    let edit = Edit::new().capabilities(CapabilitySet::new(["*:read"]).unwrap());
    assert!(matches!(refusal(fixture.clove.edit(&fixture.owner, key.id, 1, edit, &by).await), Refusal::BeyondAuthority { .. }));
}

#[tokio::test]
async fn a_command_repeated_under_its_operation_id_acts_once() {
    let fixture = fixture();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let by = |operation| fixture.by.clone().operation(operation);
    let create = OperationId::new(clove.now());
    let issued = clove.create(owner, named("once"), &by(create)).await.unwrap();
    let again = clove.create(owner, named("once"), &by(create)).await.unwrap();
    assert_eq!(again.key, issued.key);
    assert!(again.credential.is_none(), "a secret is shown once");
    let id = issued.key.id;

    let disable = OperationId::new(clove.now());
    assert!(clove.disable(owner, id, &by(disable)).await.unwrap().changed);
    clove.enable(owner, id, &fixture.by).await.unwrap();
    let late = clove.disable(owner, id, &by(disable)).await.unwrap();
    assert_eq!(late.key.status(clove.now()), Status::Active, "a late repetition does not disable again");

    assert_eq!(refusal(clove.enable(owner, id, &by(disable)).await), Refusal::OperationReused { operation: disable });
    assert_eq!(refusal(clove.create(owner, named("x"), &by(disable)).await), Refusal::OperationReused { operation: disable });

    let delete = OperationId::new(clove.now());
    clove.delete(owner, id, &by(delete)).await.unwrap();
    clove.delete(owner, id, &by(delete)).await.unwrap();
    assert_eq!(refusal(clove.delete(owner, id, &fixture.by).await), Refusal::NotFound);
}

#[tokio::test]
async fn kills_are_never_refused_and_refusals_say_what_is_offered() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    for status in [Status::Active, Status::Suspended, Status::Compromised, Status::Revoked, Status::Expired] {
        let key = fixture.key_in(status).await.unwrap().key;
        for (command, result) in [
            ("enable", clove.enable(owner, key.id, by).await.map(drop)),
            (
                "rotate",
                match clove.get(owner, key.id).await {
                    Ok(key) => clove.rotate(owner, key.id, key.revision, TimeDelta::zero(), by).await.map(drop),
                    Err(error) => Err(error),
                },
            ),
        ] {
            match status {
                Status::Active | Status::Suspended => result.unwrap(),
                status => {
                    let Refusal::NotAllowed { status: said, offered, .. } = refusal(result) else {
                        panic!("{command} on {status}")
                    };
                    assert_eq!((said, offered), (status, vec![Action::Delete]));
                }
            }
        }
        clove.disable(owner, key.id, by).await.unwrap();
        clove.revoke(owner, key.id, by).await.unwrap();
        clove.flag_compromised(owner, key.id, by).await.unwrap();
        clove.delete(owner, key.id, by).await.unwrap();
    }
}

#[tokio::test]
async fn a_rotated_out_secret_lives_for_its_grace_and_no_longer_than_the_key() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let first = clove.create(owner, named("short").expiry(Expiry::Days(30)), by).await.unwrap();
    let second = clove.rotate(owner, first.key.id, 1, TimeDelta::hours(1), by).await.unwrap();
    let (old, new) = (first.credential.unwrap(), second.credential.unwrap());
    let good = |text: String| async move { clove.verify(&text).await.unwrap().granted().is_some() };
    assert!(good(old.secret().reveal().into()).await && good(new.secret().reveal().into()).await);
    fixture.clock().advance(Duration::from_secs(3600));
    assert!(!good(old.secret().reveal().into()).await && good(new.secret().reveal().into()).await);
    assert!(matches!(
        refusal(clove.rotate(owner, first.key.id, 1, TimeDelta::zero(), by).await),
        Refusal::RevisionConflict { found: 2, .. }
    ));

    fixture.clock().advance(Duration::from_secs(29 * 86_400));
    let third = clove.rotate(owner, first.key.id, 2, TimeDelta::days(30), by).await.unwrap();
    assert_eq!(third.previous_valid_until, first.key.expires_at);
    assert_eq!(third.key.expires_at, first.key.expires_at);
    let fourth = clove.rotate(owner, first.key.id, 3, TimeDelta::hours(1), by).await.unwrap();
    assert!(!good(new.secret().reveal().into()).await, "a second rotation ends the oldest");
    clove.disable(owner, first.key.id, by).await.unwrap();
    let suspended = clove.rotate(owner, first.key.id, 5, TimeDelta::hours(1), by).await.unwrap();
    assert_eq!(suspended.previous_valid_until, None, "no grace for a suspended key");
    drop(fourth);
    assert!(matches!(clove.rotate(owner, first.key.id, 6, TimeDelta::seconds(-1), by).await, Err(Error::Invalid(_))));
    assert!(matches!(clove.rotate(owner, first.key.id, 6, TimeDelta::MAX, by).await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_leaked_secret_flags_its_key_or_ends_its_grace() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let first = fixture.key_in(Status::Active).await.unwrap();
    let second = clove.rotate(owner, first.key.id, 1, TimeDelta::hours(1), by).await.unwrap();
    let (old, new) = (first.credential.unwrap(), second.credential.unwrap());
    clove.report_leaked("nonsense", by).await.unwrap();
    clove.report_leaked(old.secret().reveal(), by).await.unwrap();
    assert!(clove.verify(old.secret().reveal()).await.unwrap().denied().is_some());
    assert!(clove.verify(new.secret().reveal()).await.unwrap().granted().is_some());
    clove.report_leaked(&*new.reveal(), by).await.unwrap();
    assert_eq!(clove.get(owner, first.key.id).await.unwrap().status(clove.now()), Status::Compromised);
}

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
async fn pages_pin_the_time_of_their_filter() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    for _ in 0..5 {
        clove.create(owner, named("short").expiry(Expiry::Days(30)), by).await.unwrap();
    }
    let first = clove.list(owner, &ListKeys { status: Some(Status::Active), limit: Some(2), after: None }).await.unwrap();
    fixture.clock().advance(Duration::from_secs(40 * 86_400));
    let cursor = first.next.unwrap().to_string().parse().unwrap();
    let rest = clove.list(owner, &ListKeys { status: Some(Status::Active), limit: Some(9), after: Some(cursor) }).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (3, None));
    assert!(clove.list(owner, &ListKeys { status: Some(Status::Active), ..ListKeys::default() }).await.unwrap().items.is_empty());
    for limit in [0, 201, usize::MAX] {
        assert!(matches!(
            clove.list(owner, &ListKeys { limit: Some(limit), ..ListKeys::default() }).await,
            Err(Error::Invalid(_))
        ));
    }
    assert!("junk".parse::<clove::Cursor>().is_err());
}

#[tokio::test]
async fn keys_that_expire_soon_are_listed() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    for days in [365, 30, 60, 30] {
        clove.create(owner, named("a key").expiry(Expiry::Days(days)), by).await.unwrap();
    }
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = clove.expiring(owner, TimeDelta::days(60), Some(2), after.as_ref()).await.unwrap();
        found.extend(page.items.iter().map(|key| (key.expires_at.unwrap() - clove.now()).num_days()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, [30, 30, 60]);
    for within in [TimeDelta::zero(), TimeDelta::days(-1), TimeDelta::MAX] {
        assert!(matches!(clove.expiring(owner, within, None, None).await, Err(Error::Invalid(_))));
    }
}

#[test]
fn names_and_metadata_state_their_rules_and_never_the_value() {
    for bad in ["", " x", "x ", "a\nb", "a\u{200b}b", "a\u{202e}b", "pаypal", "a\u{a0}b", &"x".repeat(65), &"x".repeat(1 << 20)]
    {
        let error = Name::new(bad).unwrap_err();
        assert!(error.field == "name" && (bad.trim().len() < 2 || !error.to_string().contains(bad)), "{error}");
    }
    for good in ["laptop", "Ada's laptop (работа)", "日本語 キー", "🔑", &"x".repeat(64)] {
        Name::new(good).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for bad in ["{", "{}x", r#"{"a":1,"a":2}"#, r#""\u0000""#, &deep(9), &deep(3000), &format!("\"{}\"", "x".repeat(4095))] {
        assert!(Metadata::new(bad).is_err(), "{} bytes", bad.len());
    }
    for good in ["{}", r#" {"a" : [1, null]} "#, &deep(8), &format!("\"{}\"", "x".repeat(4094))] {
        assert_eq!(Metadata::new(good).unwrap().as_str(), good);
    }
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
    fixture.clock().step(TimeDelta::days(-3));
    assert!(
        matches!(refusal(clove.create(owner, named("x"), by).await), Refusal::TooManyCreations { .. }),
        "a step back resets none"
    );
    fixture.clock().set(midnight);
    clove.create(owner, named("x"), by).await.unwrap();
}

#[tokio::test]
async fn every_command_repeated_under_its_operation_id_writes_one_event() {
    let fixture = unlimited();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let by = || fixture.by.clone().operation(OperationId::new(clove.now()));
    let (create, rotate, edit, disable, close, reopen, limit) = (by(), by(), by(), by(), by(), by(), by());
    let id = clove.create(owner, named("a key"), &create).await.unwrap().key.id;
    let rename = || Edit::new().name(Name::new("renamed").unwrap());
    for round in 0..2 {
        let issued = clove.create(owner, named("a key"), &create).await.unwrap();
        assert!(issued.key.id == id && issued.credential.is_none());
        let rotated = clove.rotate(owner, id, 1, TimeDelta::zero(), &rotate).await.unwrap();
        assert_eq!(rotated.credential.is_some(), round == 0, "a secret is shown once");
        assert_eq!(clove.edit(owner, id, 2, rename(), &edit).await.unwrap().key.name.as_str(), "renamed");
        assert!(clove.disable(owner, id, &disable).await.unwrap().changed, "it is told as it was");
        clove.set_active_limit(owner, Some(ActiveLimit::AtMost(9)), &limit).await.unwrap();
    }
    for _ in 0..2 {
        assert!(clove.close_owner(owner, &close).await.unwrap().changed);
    }
    for _ in 0..2 {
        assert!(clove.reopen_owner(owner, &reopen).await.unwrap());
    }
    use Action::{CloseOwner, Create, Disable, Edit as Edited, ReopenOwner, Revoke, Rotate, SetActiveLimit};
    let once = [Create, Rotate, Edited, Disable, SetActiveLimit, CloseOwner, Revoke, ReopenOwner].map(|action| (action, true));
    assert_eq!(actions(&fixture).await, once);
}

#[tokio::test]
async fn an_operation_id_of_another_command_key_or_owner_is_refused() {
    let fixture = unlimited();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let operation = OperationId::new(clove.now());
    let by = fixture.by.clone().operation(operation);
    let (first, second) = (fixture.key_in(Status::Active).await.unwrap().key, fixture.key_in(Status::Active).await.unwrap().key);
    clove.disable(owner, first.id, &by).await.unwrap();
    let reused = Refusal::OperationReused { operation };
    let bob = Owner::new("acme", "bob").unwrap();
    assert_eq!(refusal(clove.disable(owner, second.id, &by).await), reused);
    assert_eq!(refusal(clove.delete(owner, first.id, &by).await), reused);
    assert_eq!(refusal(clove.edit(owner, first.id, 2, Edit::new(), &by).await), reused);
    assert_eq!(refusal(clove.rotate(owner, first.id, 2, TimeDelta::zero(), &by).await), reused);
    assert_eq!(refusal(clove.create(&bob, named("x"), &by).await), reused);
    assert_eq!(refusal(clove.close_owner(owner, &by).await), reused);
    assert_eq!(refusal(clove.reopen_organization(&owner.organization, &by).await), reused);
    assert_eq!(refusal(clove.set_active_limit(owner, None, &by).await), reused);
    assert_eq!(clove.get(owner, second.id).await.unwrap(), second);
}

#[tokio::test]
#[ignore = "bug: decide_state's replay does not ask whether the key lies in the scope"]
async fn a_deletion_is_replayed_to_who_could_have_given_it_and_to_no_other() {
    let fixture = fixture();
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    let by = fixture.by.clone().operation(OperationId::new(fixture.clove.now()));
    fixture.clove.delete(&fixture.owner, key.id, &by).await.unwrap();
    let foreign = Owner::new("other", "eve").unwrap();
    assert!(matches!(fixture.clove.delete(&foreign, key.id, &by).await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn a_lost_answer_is_resolved_whether_it_had_committed_or_not() {
    for endings in [
        vec![Ending::CommitsThenUnknown],
        vec![Ending::RollsBackThenUnknown],
        vec![Ending::RollsBackThenUnknown, Ending::CommitsThenUnknown, Ending::RollsBackThenUnknown],
    ] {
        let (fixture, spy) = spied(Policy::profile_a());
        let key = fixture.key_in(Status::Active).await.unwrap().key;
        spy.end(endings.clone());
        let applied = fixture.clove.disable(&fixture.owner, key.id, &fixture.by).await.unwrap();
        assert!(applied.changed && applied.key.status(fixture.clove.now()) == Status::Suspended);
        spy.end(endings.clone());
        fixture.clove.create(&fixture.owner, named("another"), &fixture.by).await.unwrap();
        spy.end(endings.clone());
        assert!(fixture.clove.close_owner(&fixture.owner, &fixture.by).await.unwrap().changed);
        spy.end(endings);
        assert!(fixture.clove.reopen_owner(&fixture.owner, &fixture.by).await.unwrap());
        let creations = actions(&fixture).await.iter().filter(|(action, _)| *action == Action::Create).count();
        assert_eq!((fixture.keys().await.unwrap().len(), creations), (2, 2), "each command acted once");
        assert_eq!(fixture.clove.active_keys(&fixture.owner).await.unwrap().active, 0);
    }
}

#[tokio::test]
#[ignore = "bug: issued() answers a replay of this very call without the secret that it holds"]
async fn a_secret_is_shown_though_the_answer_of_its_commit_was_lost() {
    let (fixture, spy) = spied(Policy::profile_a());
    spy.end([Ending::CommitsThenUnknown]);
    let issued = fixture.clove.create(&fixture.owner, named("a key"), &fixture.by).await.unwrap();
    let credential = issued.credential.expect("this call made the key, and holds its secret").reveal();
    assert!(is_good(&fixture.clove, &credential).await);
    spy.end([Ending::CommitsThenUnknown]);
    let rotated = fixture.clove.rotate(&fixture.owner, issued.key.id, 1, TimeDelta::zero(), &fixture.by).await.unwrap();
    assert!(is_good(&fixture.clove, &rotated.credential.expect("this call made the secret").reveal()).await);
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_names_the_operation_and_a_retry_tells() {
    for (first, committed) in [(Ending::CommitsThenUnknown, true), (Ending::RollsBackThenUnknown, false)] {
        for then in [Ending::RollsBackThenUnknown, Ending::Unavailable] {
            let (fixture, spy) = spied(Policy::profile_a());
            spy.end([first].into_iter().chain([then; 9]));
            let error = fixture.clove.create(&fixture.owner, named("a key"), &fixture.by).await.unwrap_err();
            let Error::OutcomeUnknown { operation, .. } = error else { panic!("{error:?}") };
            spy.end([]);
            let by = fixture.by.clone().operation(operation);
            let issued = fixture.clove.create(&fixture.owner, named("a key"), &by).await.unwrap();
            assert_eq!(issued.credential.is_none(), committed, "a replay has no secret to show");
            assert_eq!((fixture.keys().await.unwrap(), actions(&fixture).await.len()), (vec![issued.key], 1));
        }
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_an_error_that_changed_nothing() {
    let (fixture, spy) = spied(Policy::profile_a());
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    spy.end([Ending::Unavailable]);
    let error = fixture.clove.disable(&fixture.owner, key.id, &fixture.by).await.unwrap_err();
    assert!(matches!(error, Error::Store(StoreError::Unavailable { .. })));
    assert_eq!(fixture.keys().await.unwrap(), [key]);
}

#[tokio::test]
async fn a_cancelled_command_can_be_given_again() {
    let (fixture, spy) = spied(Policy::profile_a());
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    spy.set(Mode::Hangs);
    let by = fixture.by.clone().operation(OperationId::new(fixture.clove.now()));
    for _ in 0..20 {
        assert!(poll_and_drop(fixture.clove.disable(&fixture.owner, key.id, &by)).is_pending());
        assert!(poll_and_drop(fixture.clove.create(&fixture.owner, named("x"), &fixture.by)).is_pending());
    }
    spy.set(Mode::Works);
    assert!(fixture.clove.disable(&fixture.owner, key.id, &by).await.unwrap().changed);
    assert_eq!(fixture.keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_edit_of_an_older_revision_is_refused_and_one_that_changes_nothing_says_so() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    let edit = || Edit::new().description(Description::new("line 1\nline 2").unwrap());
    let edited = clove.edit(owner, key.id, 1, edit(), by).await.unwrap();
    assert_eq!((edited.changed, edited.key.revision), (true, 2));
    assert_eq!(refusal(clove.edit(owner, key.id, 1, edit(), by).await), Refusal::RevisionConflict { expected: 1, found: 2 });
    let same = clove.edit(owner, key.id, 2, edit(), by).await.unwrap();
    assert_eq!((same.changed, same.key.revision), (false, 2));
    assert_eq!(trail(&fixture).await[1].detail, "description");
}

#[tokio::test]
async fn a_kill_does_not_need_a_revision_and_ends_a_stale_edit() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    clove.revoke(owner, key.id, by).await.unwrap();
    let stale = clove.edit(owner, key.id, key.revision, Edit::new().name(Name::new("x").unwrap()), by).await;
    assert!(matches!(refusal(stale), Refusal::RevisionConflict { .. }));
    assert_eq!(clove.get(owner, key.id).await.unwrap().status(clove.now()), Status::Revoked);
}

#[tokio::test]
async fn a_report_of_a_leak_answers_alike_and_audits_only_what_is_known() {
    let fixture = unlimited();
    let (clove, by) = (&fixture.clove, &fixture.by);
    let issued = fixture.key_in(Status::Suspended).await.unwrap();
    let events = actions(&fixture).await.len();
    for unknown in [
        "",
        "nonsense",
        "clv-00000000000000000000000000000Wt4",
        &format!("{};clv-00000000000000000000000000000Wt4", issued.key.id),
    ] {
        clove.report_leaked(unknown, by).await.unwrap();
    }
    assert_eq!(actions(&fixture).await.len(), events);
    let credential = issued.credential.unwrap();
    for changed in [true, false] {
        clove.report_leaked(credential.secret().reveal(), by).await.unwrap();
        assert_eq!(actions(&fixture).await.pop(), Some((Action::ReportLeaked, changed)));
    }
}

#[tokio::test]
#[ignore = "bug: report_leaked looks for the digest that it proved, which a rehash may have replaced"]
async fn a_leak_is_not_lost_to_a_rehash_that_comes_between() {
    let (fixture, spy) = spied(hashed(clove::Hashing::sha256().readable(pepper(1))));
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let secret = issued.credential.unwrap();
    let old = spy.inner.find_by_id(issued.key.id).await.unwrap().unwrap().secrets[0].digest;
    // Another process, with pepper 1 current, has just verified the secret.
    let policy = hashed(clove::Hashing::hmac(pepper(1)));
    let peppered = clove::Clove::with_clock(spy.inner.clone(), policy, fixture.clock().clone());
    assert!(is_good(&peppered, secret.secret().reveal()).await);
    peppered.flush().await.unwrap();
    let now = spy.inner.find_by_id(issued.key.id).await.unwrap().unwrap().secrets[0].clone();
    spy.inner
        .rehash(&[Rehash { key: issued.key.id, old: now.digest, new: old, scheme: clove::digest::Scheme::Sha256 }])
        .await
        .unwrap();
    spy.rehash_before_transact(Rehash { key: issued.key.id, old, new: now.digest, scheme: now.scheme });
    fixture.clove.report_leaked(secret.secret().reveal(), &fixture.by).await.unwrap();
    let key = fixture.clove.get(&fixture.owner, issued.key.id).await.unwrap();
    assert_eq!(key.status(fixture.clove.now()), Status::Compromised);
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

#[tokio::test]
async fn each_status_lists_its_own_keys_and_together_they_are_all() {
    let fixture = unlimited();
    for status in [Status::Expired, Status::Active, Status::Suspended, Status::Compromised, Status::Revoked] {
        fixture.key_in(status).await.unwrap();
    }
    for scope in [Scope::from(&fixture.owner), Scope::from(&fixture.owner.organization)] {
        for status in Status::ALL {
            let page = fixture.clove.list(&scope, &ListKeys { status: Some(status), ..ListKeys::default() }).await.unwrap();
            let found: Vec<_> = page.items.iter().map(|key| key.status(fixture.clove.now())).collect();
            assert_eq!(found, [status]);
        }
        let all = fixture.clove.list(&scope, &ListKeys::default()).await.unwrap().items;
        assert!(all.len() == 5 && all.is_sorted_by(|a, b| a.id > b.id), "newest first");
    }
    let foreign = Owner::new("acme", "bob").unwrap();
    assert!(fixture.clove.list(&foreign, &ListKeys::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn pages_of_keys_skip_and_repeat_none_while_keys_come_and_go() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(fixture.key_in(Status::Active).await.unwrap().key.id);
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = clove.list(owner, &ListKeys { limit: Some(2), after, ..ListKeys::default() }).await.unwrap();
        found.extend(page.items.iter().map(|key| key.id));
        fixture.key_in(Status::Active).await.unwrap();
        clove.delete(owner, *found.last().unwrap(), by).await.unwrap();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    ids.reverse();
    assert_eq!(found, ids);
}

#[tokio::test]
async fn the_trail_is_read_by_key_action_time_and_page() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let start = clove.now();
    let key = fixture.key_in(Status::Suspended).await.unwrap().key;
    fixture.clock().advance(DAY);
    clove.enable(owner, key.id, by).await.unwrap();
    fixture.key_in(Status::Active).await.unwrap();
    clove.delete(owner, key.id, by).await.unwrap();
    clove.close_organization(&owner.organization, by).await.unwrap();
    let read = async |list: ListAudit| {
        let events = clove.audit(owner, &list).await.unwrap().items;
        events.iter().map(|event| event.action).collect::<Vec<_>>()
    };
    let all = ListAudit::default;
    assert_eq!(
        read(ListAudit { key: Some(key.id), ..all() }).await,
        [Action::Delete, Action::Enable, Action::Disable, Action::Create]
    );
    assert_eq!(read(ListAudit { action: Some(Action::Create), ..all() }).await.len(), 2);
    assert_eq!(read(ListAudit { until: Some(start + TimeDelta::days(1)), ..all() }).await, [Action::Disable, Action::Create]);
    assert_eq!(read(ListAudit { from: Some(start + TimeDelta::days(1)), ..all() }).await.len(), 4, "not the organization's own");
    assert_eq!(read(ListAudit { from: Some(clove.now() + TimeDelta::microseconds(1)), ..all() }).await.len(), 0);
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = clove.audit(&owner.organization, &ListAudit { limit: Some(3), after, ..all() }).await.unwrap();
        paged.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, trail(&fixture).await);
    let event = paged.iter().find(|event| event.action == Action::Delete).unwrap();
    let audited = event.key.as_ref().unwrap();
    assert_eq!((audited.id, audited.name.as_str(), audited.to), (key.id, "Suspended key", None), "it outlives its key");
    assert_eq!(
        (event.actor.as_str(), event.reason.as_str(), event.account.as_ref()),
        ("fixture", "set up a test", Some(&owner.account))
    );
}

#[tokio::test]
async fn page_sizes_and_cursors_out_of_range_are_named() {
    let fixture = fixture();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    for limit in [0, 201, usize::MAX] {
        assert_eq!(invalid(clove.list(owner, &ListKeys { limit: Some(limit), ..ListKeys::default() }).await).field, "limit");
        assert_eq!(invalid(clove.audit(owner, &ListAudit { limit: Some(limit), ..ListAudit::default() }).await).field, "limit");
        assert_eq!(invalid(clove.expiring(owner, TimeDelta::days(1), Some(limit), None).await).field, "limit");
        assert_eq!(invalid(clove.keys_under_pepper(1, None, Some(limit)).await).field, "limit");
    }
    let id = KeyId::new(clove.now());
    for junk in [
        "",
        ".",
        "..",
        "junk",
        &format!("x..{id}"),
        &format!("{}..{id}", i64::MAX),
        "1..",
        "1..junk",
        &format!("1.x.{id}"),
        &"1".repeat(1 << 20),
    ] {
        let error = junk.parse::<clove::Cursor>().unwrap_err();
        assert!(error.field == "cursor" && error.to_string().len() < 100);
    }
    let version_4 = "1..6f9619ff8b864d01b42d00cf4fc964ff".parse().unwrap();
    assert!(matches!(
        clove.list(owner, &ListKeys { after: Some(version_4), ..ListKeys::default() }).await,
        Err(Error::Invalid(_))
    ));
}

#[tokio::test]
async fn a_choice_of_expiry_out_of_range_is_refused_and_never_overflows() {
    let policy = Policy::builder()
        .expiry(ExpiryPolicy { custom: Some((1, 3650)), never: true, ..ExpiryPolicy::default() })
        .build()
        .unwrap();
    let fixture = Fixture::new(policy).unwrap();
    let now = fixture.clove.now();
    for wrong in [
        Expiry::Days(0),
        Expiry::Days(3651),
        Expiry::Days(u32::MAX),
        Expiry::At(now),
        Expiry::At(now + TimeDelta::days(1) - TimeDelta::microseconds(1)),
        Expiry::At(now + TimeDelta::days(3650) + TimeDelta::microseconds(1)),
        Expiry::At(DateTime::<chrono::Utc>::MAX_UTC),
        Expiry::At(DateTime::<chrono::Utc>::MIN_UTC),
    ] {
        let error = invalid(fixture.clove.create(&fixture.owner, named("x").expiry(wrong), &fixture.by).await);
        assert_eq!(error.field, "expiry", "{wrong:?}");
    }
    let key = fixture
        .clove
        .create(&fixture.owner, named("x").expiry(Expiry::At(now + TimeDelta::days(1))), &fixture.by)
        .await
        .unwrap()
        .key;
    assert_eq!(key.expires_at, Some(now + TimeDelta::days(1)));
    fixture.clove.create(&fixture.owner, named("x").expiry(Expiry::Never), &fixture.by).await.unwrap();
}

#[tokio::test]
async fn a_clock_at_the_end_of_time_refuses_and_does_not_panic() {
    let fixture = fixture();
    fixture.clock().set(DateTime::<chrono::Utc>::MAX_UTC);
    assert_eq!(invalid(fixture.clove.create(&fixture.owner, named("x"), &fixture.by).await).field, "expiry");
    assert_eq!(invalid(fixture.clove.expiring(&fixture.owner, TimeDelta::days(1), None, None).await).field, "within");
}

#[test]
fn owners_actors_reasons_and_descriptions_state_their_rules() {
    for bad in ["", " ", "a b", "a\tb", "a\0", "a\u{85}", &"x".repeat(257), &"é".repeat(129)] {
        assert!(Owner::new(bad, "ada").is_err() && Owner::new("acme", bad).is_err() && By::new(bad, "why").is_err(), "{bad:?}");
    }
    for bad in ["", "  ", "a\nb", "a\u{202e}", &"x".repeat(501)] {
        assert!(By::new("ada", bad).is_err(), "{bad:?}");
    }
    for bad in ["a\tb", "a\rb", "a\u{200b}", &"é".repeat(501)] {
        assert!(Description::new(bad).is_err(), "{bad:?}");
    }
    assert!(Description::new("").is_ok() && Description::new("é".repeat(500)).is_ok());
    assert!(Owner::new("x".repeat(256), "äö/😀").is_ok());
}

#[test]
fn an_illegal_policy_does_not_build() {
    let expiry = |days, default, custom| ExpiryPolicy { days, default, custom, never: false };
    for bad in [
        Policy::builder().expiry(expiry(vec![0], Expiry::Days(0), None)),
        Policy::builder().expiry(expiry(vec![30], Expiry::Days(90), None)),
        Policy::builder().expiry(expiry(vec![30], Expiry::Never, None)),
        Policy::builder().expiry(expiry(vec![u32::MAX], Expiry::Days(30), None)),
        Policy::builder().expiry(expiry(vec![30], Expiry::Days(30), Some((9, 1)))),
        Policy::builder().deadline(Duration::ZERO),
        Policy::builder().max_grace(TimeDelta::days(-1)),
        Policy::builder().max_records(Some(0)),
        Policy::builder().hashing(clove::Hashing::sha256().without_sha256()),
    ] {
        assert!(bad.build().is_err());
    }
    assert!(clove::SecretFormat::new("clv-", 21).is_err() && clove::SecretFormat::new("", 29).is_err());
    assert!(clove::Pepper::new(0, &[1; 32]).is_err() && clove::Pepper::new(1, &[1; 31]).is_err());
    assert!(clove::Argon2Cost::new(1024, 1, 1).is_err());
}
