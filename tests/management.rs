//! Management: limits, lifecycle, replays, rotation, closing, pages.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use chrono::TimeDelta;
use clove::{
    Action, ActiveLimit, By, CapabilitySet, Edit, Error, Expiry, ExpiryPolicy, ListAudit, ListKeys, Metadata, Name, NewKey,
    OperationId, Owner, Policy, Refusal, Role, Status,
};
use clove_testkit::Fixture;
use std::time::Duration;

fn fixture() -> Fixture {
    Fixture::new(Policy::profile_a()).unwrap()
}

fn unlimited() -> Fixture {
    Fixture::new(Policy::builder().active_limit(ActiveLimit::Unlimited).build().unwrap()).unwrap()
}

fn named(name: &str) -> NewKey {
    NewKey::named(name).unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_menu_of_profile_a_is_what_its_page_offers() {
    let policy = Policy::profile_a();
    for (status, owner, administrator) in [
        (
            Status::Active,
            vec![Action::Disable, Action::Delete],
            vec![Action::Disable, Action::Revoke, Action::FlagCompromised, Action::Delete],
        ),
        (
            Status::Suspended,
            vec![Action::Enable, Action::Delete],
            vec![Action::Enable, Action::Revoke, Action::FlagCompromised, Action::Delete],
        ),
        (Status::Expired, vec![Action::Delete], vec![Action::Revoke, Action::FlagCompromised, Action::Delete]),
        (Status::Compromised, vec![Action::Delete], vec![Action::Delete]),
        (Status::Revoked, vec![Action::Delete], vec![Action::Delete]),
    ] {
        assert_eq!(policy.offered(Role::Owner, status), owner, "{status}");
        assert_eq!(policy.offered(Role::Administrator, status), administrator, "{status}");
    }
}

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
