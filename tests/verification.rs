//! Verification, from the text that a client sends to the verdict.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::{DateTime, TimeDelta};
use clove::{
    Attempt, By, CapabilitySet, Clove, DenialReason, Fault, GuessLimit, Hashing, KeyId, NewKey, Owner, Policy, Requirement,
    Status, clock::to_micros,
};
use clove_testkit::{Fixture, TestClock};
use std::{task::Poll, time::Duration};
use support::{DAY, Mode, Spy, denied, fixture, hashed, is_good, poll_and_drop, refusal, spied, turn_to};

#[tokio::test]
async fn every_malformed_credential_is_one_denial() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let credential = issued.credential.unwrap();
    let (id, secret, whole) =
        (credential.id().to_string(), credential.secret().reveal().to_owned(), credential.reveal().to_string());
    let last = if secret.ends_with('0') { "1" } else { "0" };
    let wrong_check = format!("{}{last}", &secret[..secret.len() - 1]);
    let texts = [
        String::new(),
        " ".into(),
        ";".into(),
        "\0".into(),
        secret[..secret.len() - 1].to_owned(),
        format!("{secret}x"),
        format!("{secret}\n"),
        format!(" {secret}"),
        format!("{secret}\0"),
        secret.to_uppercase(),
        secret.replacen("clv-", "clv_", 1),
        secret.replacen('c', "с", 1), // Cyrillic
        wrong_check.clone(),
        format!("{id};{wrong_check}"),
        format!("{id};"),
        format!("{id};;{secret}"),
        format!("{id},{secret}"),
        format!("{};{secret}", id.to_uppercase()),
        format!("{};{secret}", id.replace('-', "")),
        format!("{{{id}}};{secret}"),
        format!("{id} ;{secret}"),
        format!("{whole} "),
        format!("{whole};{secret}"),
        whole.repeat(20_000),
        id,
    ];
    for text in &texts {
        let denial =
            fixture.clove.verify(text).await.unwrap().denied().unwrap_or_else(|| panic!("granted: {} bytes", text.len()));
        assert_eq!((denial.reason(), denial.key_id()), (&DenialReason::NotRecognized, None));
    }
    assert!(fixture.clove.verify(&[0xff, 0xfe][..]).await.unwrap().denied().is_some());
    assert!(fixture.clove.verify(&whole).await.unwrap().granted().is_some());
}

#[tokio::test]
async fn absent_and_wrong_look_alike() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let (ours, other) = (fixture.key_in(Status::Active).await.unwrap(), fixture.key_in(Status::Active).await.unwrap());
    let other_secret = other.credential.unwrap().secret().reveal().to_owned();
    let wrong = fixture.clove.verify(&format!("{};{other_secret}", ours.key.id)).await.unwrap().denied().unwrap();
    fixture.clove.delete(&fixture.owner, other.key.id, &fixture.by).await.unwrap();
    let absent = fixture.clove.verify(&format!("{};{other_secret}", other.key.id)).await.unwrap().denied().unwrap();
    let unknown = fixture.clove.verify(&other_secret).await.unwrap().denied().unwrap();
    assert_eq!(format!("{wrong:?}{wrong}"), format!("{absent:?}{absent}"));
    assert_eq!(format!("{wrong:?}{wrong}"), format!("{unknown:?}{unknown}"));
}

#[tokio::test]
async fn each_status_is_denied_with_its_reason_and_the_key_is_named() {
    let fixture = Fixture::new(hashed(Hashing::sha256())).unwrap();
    for (status, reason) in [
        (Status::Suspended, DenialReason::Suspended),
        (Status::Compromised, DenialReason::Compromised),
        (Status::Revoked, DenialReason::Revoked),
    ] {
        let issued = fixture.key_in(status).await.unwrap();
        let denial = fixture.clove.verify(&*issued.credential.unwrap().reveal()).await.unwrap().denied().unwrap();
        assert_eq!((denial.reason(), denial.key_id()), (&reason, Some(issued.key.id)));
    }
}

#[tokio::test]
async fn a_key_expires_at_its_time_and_not_before() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let (at, credential) = (issued.key.expires_at.unwrap(), issued.credential.unwrap().reveal());
    fixture.clock().advance((at - fixture.clove.now() - TimeDelta::microseconds(1)).to_std().unwrap());
    assert!(fixture.clove.verify(&*credential).await.unwrap().granted().is_some());
    fixture.clock().advance(Duration::from_micros(1));
    assert_eq!(denied(fixture.clove.verify(&*credential).await), DenialReason::Expired { at: Some(at) });
}

#[tokio::test]
async fn a_closed_owner_is_judged_before_the_state_and_the_capabilities() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let issued = fixture.key_in(Status::Suspended).await.unwrap();
    let credential = issued.credential.unwrap().reveal();
    let required = Requirement::all_of(["models:read"]).unwrap();
    let attempt = || Attempt::new(&*credential).requiring(&required);
    assert_eq!(denied(fixture.clove.verify(attempt()).await), DenialReason::Suspended);
    fixture.clove.close_owner(&fixture.owner, &fixture.by).await.unwrap();
    assert_eq!(denied(fixture.clove.verify(attempt()).await), DenialReason::OwnerClosed);
    fixture.clove.reopen_owner(&fixture.owner, &fixture.by).await.unwrap();
    assert_eq!(denied(fixture.clove.verify(attempt()).await), DenialReason::Revoked);
}

#[tokio::test]
async fn all_required_capabilities_must_be_held_and_an_empty_set_grants_nothing() {
    let fixture = Fixture::new(hashed(Hashing::sha256())).unwrap();
    for (held, required, granted) in [
        (vec![], vec![], true),
        (vec![], vec!["models:read"], false),
        (vec!["models:read"], vec!["models:read"], true),
        (vec!["models:*"], vec!["models:read", "models:list"], true),
        (vec!["*:read"], vec!["models:read"], true),
        (vec!["*:read"], vec!["models:read", "models:write"], false),
        (vec!["*:*"], vec!["anything:at-all"], true),
        (vec!["mod:read"], vec!["models:read"], false),
    ] {
        let new = NewKey::named("a key").unwrap().capabilities(CapabilitySet::new(&held).unwrap());
        let issued = fixture.clove.create(&fixture.owner, new, &fixture.by).await.unwrap();
        let (credential, requirement) = (issued.credential.unwrap().reveal(), Requirement::all_of(&required).unwrap());
        let verdict = fixture.clove.verify(Attempt::new(&*credential).requiring(&requirement)).await.unwrap();
        assert_eq!(verdict.granted().is_some(), granted, "{held:?} for {required:?}");
    }
    assert!(Requirement::all_of(["models:*"]).is_err());
}

/// A well-formed secret that nobody has.
const NOBODYS: &str = "clv-00000000000000000000000000000Wt4";

#[tokio::test]
async fn a_malformed_credential_is_refused_without_a_call_to_the_store() {
    let imports = Policy::builder().imports(GuessLimit::default()).build().unwrap();
    for policy in [Policy::profile_a(), imports] {
        // Where imports are on, it may be a secret from before this format.
        let mistyped_is_foreign = policy.imports().is_some();
        let (fixture, spy) = spied(policy);
        let id = KeyId::new(fixture.clove.now()).to_string();
        let v4 = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
        let flipped = format!("{}5", &NOBODYS[..35]);
        let fullwidth = NOBODYS.replacen('0', "０", 1);
        let texts = [
            String::new(),
            " ".into(),
            "\t\r\n".into(),
            ";".into(),
            ";;".into(),
            format!(";{NOBODYS}"),
            format!("{id};"),
            id.clone(),
            NOBODYS[..35].into(),
            format!("{NOBODYS}0"),
            format!("{id};{}\u{7f}", &NOBODYS[..35]),
            flipped.clone(),
            format!("{id};{flipped}"),
            format!("{v4};{NOBODYS}"),
            format!("{};{NOBODYS}", id.to_uppercase()),
            format!("{id};{NOBODYS} "),
            format!("{id}; {NOBODYS}"),
            format!(" {id};{NOBODYS}"),
            format!("{id};{NOBODYS}\0"),
            format!("\0{NOBODYS}"),
            format!("{NOBODYS}\n"),
            format!("Bearer {NOBODYS}"),
            NOBODYS.to_uppercase(),
            NOBODYS.replacen("clv-", "CLV-", 1),
            NOBODYS.replacen("clv-", "clv\u{2010}", 1),
            fullwidth.clone(),
            format!("{id};{fullwidth}"),
            format!("{id}；{NOBODYS}"),
            format!("{}{NOBODYS}", "\u{200b}"),
            "x".repeat(1 << 20),
            format!("{id};{}", "x".repeat(257)),
            format!("{id};{}", "x".repeat(1 << 20)),
            "é".repeat(18),
        ];
        spy.calls();
        for text in texts.iter().filter(|text| !mistyped_is_foreign || **text != format!("{id};{flipped}")) {
            let denial = fixture.clove.verify(text).await.unwrap().denied().expect("a denial");
            assert_eq!((denial.reason(), denial.key_id()), (&DenialReason::NotRecognized, None), "{} bytes", text.len());
        }
        for bytes in [&[0xff_u8; 36][..], &[0; 36], &[0x80; 73]] {
            assert_eq!(denied(fixture.clove.verify(bytes).await), DenialReason::NotRecognized);
        }
        assert!(spy.calls().is_empty());
        // The spy would have seen it: a well-formed one does ask the store.
        assert_eq!(denied(fixture.clove.verify(NOBODYS).await), DenialReason::NotRecognized);
        assert!(!spy.calls().is_empty());
    }
}

#[tokio::test]
async fn a_failing_store_is_a_fault_in_both_forms_and_never_a_denial() {
    let (fixture, spy) = spied(Policy::profile_a());
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap();
    spy.set(Mode::Fails);
    for text in [&*credential.reveal(), credential.secret().reveal(), NOBODYS] {
        assert!(matches!(fixture.clove.verify(text).await, Err(Fault::Store(_))));
    }
    spy.set(Mode::Works);
    assert!(is_good(&fixture.clove, &credential.reveal()).await, "and nothing of it stays");
}

#[tokio::test]
async fn a_store_that_hangs_is_a_fault_at_the_deadline_and_not_before() {
    for text in [NOBODYS.to_owned(), format!("{};{NOBODYS}", KeyId::new(DateTime::UNIX_EPOCH))] {
        let (clock, spy) = (TestClock::new(), Spy::new());
        spy.set(Mode::Hangs);
        let clove = Clove::with_clock(spy.clone(), Policy::profile_a(), clock.clone());
        let verification = tokio::spawn(async move { clove.verify(&text).await.map(drop) });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_millis(999));
        tokio::task::yield_now().await;
        assert!(!verification.is_finished());
        clock.advance(Duration::from_millis(1));
        assert!(matches!(verification.await.unwrap(), Err(Fault::DeadlineExceeded { deadline }) if deadline.as_secs() == 1));
    }
}

#[tokio::test]
async fn cancelled_verifications_leave_nothing_held() {
    let (fixture, spy) = spied(Policy::profile_a());
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap();
    spy.set(Mode::Hangs);
    for _ in 0..1_000 {
        assert!(poll_and_drop(fixture.clove.verify(credential.secret().reveal())).is_pending());
        assert!(poll_and_drop(fixture.clove.verify(&*credential.reveal())).is_pending());
    }
    spy.set(Mode::Works);
    assert!(is_good(&fixture.clove, &credential.reveal()).await);
}

#[tokio::test]
async fn cancelled_slow_verifications_count_as_no_guess_and_leave_the_queue() {
    let fixture = Fixture::new(hashed(Hashing::argon2id(clove::Argon2Cost::OWASP))).unwrap();
    let (first, second) = (fixture.key_in(Status::Active).await.unwrap(), fixture.key_in(Status::Active).await.unwrap());
    let other = second.credential.unwrap().secret().reveal().to_owned();
    let wrong = format!("{};{other}", first.key.id);
    for _ in 0..200 {
        assert!(!matches!(poll_and_drop(fixture.clove.verify(&wrong)), Poll::Ready(Err(_))));
    }
    // Up to two may still run; what waited is gone.
    assert!(is_good(&fixture.clove, &first.credential.unwrap().reveal()).await);
}

#[tokio::test]
async fn state_and_expiry_are_judged_before_capabilities() {
    let required = Requirement::all_of(["models:read"]).unwrap();
    for (status, reason) in [
        (Status::Suspended, DenialReason::Suspended),
        (Status::Compromised, DenialReason::Compromised),
        (Status::Revoked, DenialReason::Revoked),
    ] {
        let fixture = fixture();
        let credential = fixture.key_in(status).await.unwrap().credential.unwrap().reveal();
        assert_eq!(denied(fixture.clove.verify(Attempt::new(&*credential).requiring(&required)).await), reason);
    }
    let fixture = fixture();
    let issued = fixture.key_in(Status::Expired).await.unwrap();
    let credential = issued.credential.unwrap().reveal();
    let attempt = Attempt::new(&*credential).requiring(&required);
    assert_eq!(denied(fixture.clove.verify(attempt).await), DenialReason::Expired { at: issued.key.expires_at });
}

#[tokio::test]
async fn facts_are_told_only_to_who_has_proven_the_secret() {
    let fixture = fixture();
    let other = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().secret().reveal().to_owned();
    for status in [Status::Suspended, Status::Compromised, Status::Revoked, Status::Expired] {
        let issued = fixture.key_in(status).await.unwrap();
        let denial = fixture.clove.verify(&format!("{};{other}", issued.key.id)).await.unwrap().denied().unwrap();
        assert_eq!((denial.reason(), denial.key_id(), denial.owner()), (&DenialReason::NotRecognized, None, None), "{status}");
        let proven = fixture.clove.verify(&*issued.credential.unwrap().reveal()).await.unwrap().denied().unwrap();
        assert_eq!((proven.key_id(), proven.owner()), (Some(issued.key.id), Some(&fixture.owner)), "{status}");
    }
    fixture.clove.close_owner(&fixture.owner, &fixture.by).await.unwrap();
    let id = fixture.keys().await.unwrap()[0].id;
    assert_eq!(denied(fixture.clove.verify(&format!("{id};{NOBODYS}")).await), DenialReason::NotRecognized);
}

#[tokio::test]
async fn a_closed_organization_denies_all_its_owners_and_no_other() {
    let fixture = fixture();
    let mine = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    let elsewhere = Owner::new("other", "ada").unwrap();
    let theirs =
        fixture.clove.create(&elsewhere, NewKey::named("a key").unwrap(), &fixture.by).await.unwrap().credential.unwrap();
    fixture.clove.close_organization(&fixture.owner.organization, &fixture.by).await.unwrap();
    assert_eq!(denied(fixture.clove.verify(&*mine).await), DenialReason::OwnerClosed);
    assert!(is_good(&fixture.clove, &theirs.reveal()).await);
}

#[tokio::test]
async fn what_is_missing_is_named_whole() {
    let fixture = fixture();
    let new = NewKey::named("a key").unwrap().capabilities(CapabilitySet::new(["models:read"]).unwrap());
    let credential = fixture.clove.create(&fixture.owner, new, &fixture.by).await.unwrap().credential.unwrap().reveal();
    let required = Requirement::all_of(["files:write", "models:read", "models:write"]).unwrap();
    let denial = fixture.clove.verify(Attempt::new(&*credential).requiring(&required)).await.unwrap().denied().unwrap();
    let DenialReason::CapabilityMissing { missing } = denial.reason() else { panic!("{denial}") };
    assert_eq!(missing.iter().map(|missing| missing.as_str()).collect::<Vec<_>>(), ["files:write", "models:write"]);
    assert!(denial.to_string().contains("files:write, models:write"));
}

#[test]
fn a_wildcard_replaces_whole_segments_only() {
    for bad in
        ["", ":", "a", "a:", ":a", "a:b:c", "a*:b", "a:*b", "**:b", "A:b", "a b:c", "ä:b", &format!("{}:b", "a".repeat(65))]
    {
        assert!(clove::Capability::new(bad).is_err(), "{bad}");
    }
    for bad in ["*:*", "models:*", "*:read"] {
        assert!(Requirement::all_of([bad]).is_err(), "a requirement has no wildcard: {bad}");
    }
    let too_many: Vec<String> = (0..65).map(|n| format!("a:b{n}")).collect();
    assert!(CapabilitySet::new(&too_many).is_err() && CapabilitySet::new(&too_many[..64]).is_ok());
}

#[tokio::test]
async fn a_grant_tells_what_a_host_needs_and_its_id_is_new_each_time() {
    let fixture = fixture();
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let credential = issued.credential.unwrap();
    let first = fixture.clove.verify(&*credential.reveal()).await.unwrap().granted().unwrap();
    let second = fixture.clove.verify(credential.secret().reveal()).await.unwrap().granted().unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!((first.key_id(), first.owner(), first.expires_at()), (issued.key.id, &fixture.owner, issued.key.expires_at));
    assert_eq!(first.at(), fixture.clove.now());
}

#[tokio::test]
async fn a_verification_never_writes_and_its_last_use_waits_for_a_flush() {
    let (fixture, spy) = spied(Policy::builder().limits(clove::Tier::unlimited()).build().unwrap());
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let credential = issued.credential.unwrap().reveal();
    spy.calls();
    fixture.clock().advance(DAY);
    assert!(is_good(&fixture.clove, &credential).await);
    assert_eq!(spy.calls(), ["find_by_id"]);
    assert_eq!(fixture.clove.get(&fixture.owner, issued.key.id).await.unwrap().last_used_at, None);
    fixture.clove.flush().await.unwrap();
    let key = fixture.clove.get(&fixture.owner, issued.key.id).await.unwrap();
    assert_eq!((key.last_used_at, key.revision), (Some(fixture.clove.now()), issued.key.revision));
}

#[tokio::test]
async fn a_refused_request_is_not_a_use() {
    let fixture = fixture();
    let issued = fixture.key_in(Status::Suspended).await.unwrap();
    assert_eq!(denied(fixture.clove.verify(&*issued.credential.unwrap().reveal()).await), DenialReason::Suspended);
    fixture.clove.flush().await.unwrap();
    assert_eq!(fixture.clove.get(&fixture.owner, issued.key.id).await.unwrap().last_used_at, None);
}

#[tokio::test]
async fn last_uses_survive_a_flush_that_fails() {
    let (fixture, spy) = spied(Policy::profile_a());
    let issued = fixture.key_in(Status::Active).await.unwrap();
    assert!(is_good(&fixture.clove, &issued.credential.unwrap().reveal()).await);
    spy.set(Mode::Fails);
    fixture.clove.flush().await.unwrap_err();
    spy.set(Mode::Works);
    fixture.clove.flush().await.unwrap();
    assert!(fixture.clove.get(&fixture.owner, issued.key.id).await.unwrap().last_used_at.is_some());
}

#[tokio::test]
async fn last_uses_survive_a_flush_that_is_cancelled() {
    let (fixture, spy) = spied(Policy::profile_a());
    let issued = fixture.key_in(Status::Active).await.unwrap();
    assert!(is_good(&fixture.clove, &issued.credential.unwrap().reveal()).await);
    spy.set(Mode::Hangs);
    assert!(poll_and_drop(fixture.clove.flush()).is_pending());
    spy.set(Mode::Works);
    fixture.clove.flush().await.unwrap();
    assert!(fixture.clove.get(&fixture.owner, issued.key.id).await.unwrap().last_used_at.is_some());
}

#[tokio::test]
async fn times_are_whole_microseconds_wherever_they_are_seen() {
    let clock = TestClock::at(DateTime::from_timestamp(1_767_614_400, 123_456_789).unwrap());
    let clove = Clove::with_clock(clove::MemoryStore::new(), Policy::profile_a(), clock);
    let (ada, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "test").unwrap());
    let issued = clove.create(&ada, NewKey::named("a key").unwrap(), &by).await.unwrap();
    let grant = clove.verify(&*issued.credential.unwrap().reveal()).await.unwrap().granted().unwrap();
    clove.flush().await.unwrap();
    let used = clove.get(&ada, issued.key.id).await.unwrap().last_used_at.unwrap();
    assert_eq!((grant.at(), used), (to_micros(grant.at()), to_micros(used)));
}

#[tokio::test]
async fn a_deleted_key_is_not_recognized_in_either_form() {
    let fixture = fixture();
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let credential = issued.credential.unwrap();
    fixture.clove.delete(&fixture.owner, issued.key.id, &fixture.by).await.unwrap();
    assert_eq!(denied(fixture.clove.verify(&*credential.reveal()).await), DenialReason::NotRecognized);
    assert_eq!(denied(fixture.clove.verify(credential.secret().reveal()).await), DenialReason::NotRecognized);
    assert_eq!(refusal(fixture.clove.get(&fixture.owner, issued.key.id).await), clove::Refusal::NotFound);
}

#[tokio::test]
async fn the_grace_of_a_rotated_out_secret_ends_at_its_time_and_the_secret_is_as_unknown() {
    let fixture = fixture();
    let first = fixture.key_in(Status::Active).await.unwrap();
    let rotated = fixture.clove.rotate(&fixture.owner, first.key.id, 1, TimeDelta::hours(1), &fixture.by).await.unwrap();
    let (old, until) = (first.credential.unwrap().reveal(), rotated.previous_valid_until.unwrap());
    turn_to(fixture.clock(), fixture.clove.now(), until - TimeDelta::microseconds(1));
    assert!(is_good(&fixture.clove, &old).await);
    fixture.clock().advance(Duration::from_micros(1));
    assert_eq!(denied(fixture.clove.verify(&*old).await), DenialReason::NotRecognized);
}
