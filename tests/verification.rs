//! Verification, from the text that a client sends to the verdict.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use chrono::TimeDelta;
use clove::{
    Attempt, By, CapabilitySet, Clove, DenialReason, Error, Fault, GuessLimit, Hashing, ListAudit, MemoryStore, NewKey, Owner,
    Pepper, Policy, Requirement, Secret, SecretFormat, Status, Verdict,
};
use clove_testkit::{Fixture, TestClock};
use std::time::Duration;

fn denied(verdict: Verdict) -> DenialReason {
    verdict.denied().unwrap().reason().clone()
}

fn pepper(version: u16) -> Pepper {
    Pepper::new(version, &[u8::try_from(version).unwrap(); 32]).unwrap()
}

fn with(hashing: Hashing) -> Policy {
    Policy::builder().hashing(hashing).active_limit(clove::ActiveLimit::Unlimited).build().unwrap()
}

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
    let fixture = Fixture::new(with(Hashing::sha256())).unwrap();
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
    assert_eq!(denied(fixture.clove.verify(&*credential).await.unwrap()), DenialReason::Expired { at: Some(at) });
}

#[tokio::test]
async fn a_closed_owner_is_judged_before_the_state_and_the_capabilities() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let issued = fixture.key_in(Status::Suspended).await.unwrap();
    let credential = issued.credential.unwrap().reveal();
    let required = Requirement::all_of(["models:read"]).unwrap();
    let attempt = || Attempt::new(&*credential).requiring(&required);
    assert_eq!(denied(fixture.clove.verify(attempt()).await.unwrap()), DenialReason::Suspended);
    fixture.clove.close_owner(&fixture.owner, &fixture.by).await.unwrap();
    assert_eq!(denied(fixture.clove.verify(attempt()).await.unwrap()), DenialReason::OwnerClosed);
    fixture.clove.reopen_owner(&fixture.owner, &fixture.by).await.unwrap();
    assert_eq!(denied(fixture.clove.verify(attempt()).await.unwrap()), DenialReason::Revoked);
}

#[tokio::test]
async fn all_required_capabilities_must_be_held_and_an_empty_set_grants_nothing() {
    let fixture = Fixture::new(with(Hashing::sha256())).unwrap();
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

#[tokio::test]
async fn an_unknown_pepper_is_a_fault_in_both_forms_and_a_dropped_one_a_denial() {
    let store = MemoryStore::new();
    let (ada, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "test").unwrap());
    let first = Clove::new(store.clone(), with(Hashing::hmac(pepper(1))));
    let credential = first.create(&ada, NewKey::named("a key").unwrap(), &by).await.unwrap().credential.unwrap();
    let (whole, bare) = (credential.reveal(), credential.secret().reveal());
    let ignorant = Clove::new(store.clone(), with(Hashing::hmac(pepper(2))));
    let dropping = Clove::new(store, with(Hashing::hmac(pepper(2)).dropped(1)));
    for form in [&*whole, bare] {
        assert!(first.verify(form).await.unwrap().granted().is_some());
        assert!(matches!(ignorant.verify(form).await, Err(Fault::UnknownPepper { version: 1 })));
        assert_eq!(denied(dropping.verify(form).await.unwrap()), DenialReason::NotRecognized);
    }
    assert_eq!(first.keys_under_pepper(1, None, None).await.unwrap(), [credential.id()]);
}

#[tokio::test]
async fn digests_move_forward_on_use_and_nothing_else_does() {
    let store = MemoryStore::new();
    let (ada, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "test").unwrap());
    let plain = Clove::new(store.clone(), with(Hashing::sha256()));
    let credential = plain.create(&ada, NewKey::named("a key").unwrap(), &by).await.unwrap().credential.unwrap();
    for (current, older) in [(2, 1), (1, 2)] {
        let peppered = Clove::new(store.clone(), with(Hashing::hmac(pepper(current)).readable(pepper(older))));
        assert!(peppered.verify(credential.secret().reveal()).await.unwrap().granted().is_some());
        peppered.flush().await.unwrap();
        assert_eq!(peppered.keys_under_pepper(2, None, None).await.unwrap(), [credential.id()], "never back");
        assert_eq!(peppered.get(&ada, credential.id()).await.unwrap().revision, 1);
        assert_eq!(peppered.audit(&ada, &ListAudit::default()).await.unwrap().items.len(), 1);
    }
}

#[tokio::test]
async fn a_retired_format_does_not_kill_its_keys() {
    let store = MemoryStore::new();
    let (ada, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "test").unwrap());
    let before = Clove::new(store.clone(), Policy::profile_a());
    let credential = before.create(&ada, NewKey::named("a key").unwrap(), &by).await.unwrap().credential.unwrap();
    let policy = Policy::builder().secret_format(SecretFormat::new("sk_new_", 40).unwrap()).build().unwrap();
    let later = Clove::new(store, policy);
    assert!(later.verify(credential.secret().reveal()).await.unwrap().granted().is_some());
    let new = later.create(&ada, NewKey::named("another").unwrap(), &by).await.unwrap().credential.unwrap();
    assert!(new.secret().reveal().starts_with("sk_new_"));
    assert!(later.verify(new.secret().reveal()).await.unwrap().granted().is_some());
}

#[tokio::test]
async fn imported_secrets_are_verified_with_their_id_only_and_guesses_are_bounded() {
    let guesses = GuessLimit { per_minute: 3, per_day: 100 };
    let fixture = Fixture::new(Policy::builder().imports(guesses).build().unwrap()).unwrap();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let import =
        |text: &str| clove.import(owner, NewKey::named("moved in").unwrap(), Secret::from_foreign(text.into()), &fixture.by);
    let key = import("hunter2-but-longer").await.unwrap().key;
    let right = format!("{};hunter2-but-longer", key.id);
    let wrong = format!("{};hunter3", key.id);
    assert!(clove.verify("hunter2-but-longer").await.unwrap().denied().is_some(), "never as a bare secret");
    for _ in 0..3 {
        assert!(clove.verify(Attempt::new(&right).from_peer("a")).await.unwrap().granted().is_some());
        assert!(clove.verify(Attempt::new(&wrong).from_peer("a")).await.unwrap().denied().is_some());
    }
    assert_eq!(denied(clove.verify(Attempt::new(&right).from_peer("a")).await.unwrap()), DenialReason::NotRecognized);
    assert!(clove.verify(Attempt::new(&right).from_peer("b")).await.unwrap().granted().is_some(), "others are not locked out");
    fixture.clock().advance(Duration::from_secs(60));
    assert!(clove.verify(Attempt::new(&right).from_peer("a")).await.unwrap().granted().is_some());

    let own = fixture.key_in(Status::Active).await.unwrap().credential.unwrap();
    for refused in [own.secret().reveal(), "", "with space", "ümlaut", &"x".repeat(257)] {
        assert!(matches!(import(refused).await, Err(Error::Invalid(_))), "{} bytes", refused.len());
    }
}

#[tokio::test]
async fn a_slow_policy_takes_id_and_secret_only() {
    let fixture = Fixture::new(with(Hashing::argon2id(clove::Argon2Cost::OWASP))).unwrap();
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap();
    assert!(fixture.clove.verify(&*credential.reveal()).await.unwrap().granted().is_some());
    assert!(fixture.clove.verify(credential.secret().reveal()).await.unwrap().denied().is_some());
}

#[tokio::test]
async fn a_store_that_hangs_is_a_fault_at_the_deadline() {
    let clock = TestClock::new();
    let clove = Clove::with_clock(support::Hanging, Policy::profile_a(), clock.clone());
    let verification = tokio::spawn(async move { clove.verify("clv-00000000000000000000000000000Wt4").await.map(drop) });
    tokio::task::yield_now().await;
    clock.advance(Duration::from_millis(999));
    tokio::task::yield_now().await;
    assert!(!verification.is_finished());
    clock.advance(Duration::from_millis(1));
    assert!(matches!(verification.await.unwrap(), Err(Fault::DeadlineExceeded { .. })));
}

/// A store that never answers.
mod support {
    use clove::{
        Key, KeyId, OrganizationId, Owner, Scope, Store, StoreError,
        digest::Digest,
        store::{
            AuditPage, AuditQuery, Candidate, Decision, ExpiringQuery, KeyPage, KeyQuery, OrganizationRecord, OwnerFacts, Rehash,
            Transaction,
        },
    };
    use std::{collections::BTreeSet, future::pending, sync::Arc};

    type Time = chrono::DateTime<chrono::Utc>;

    pub(super) struct Hanging;

    #[async_trait::async_trait]
    impl Store for Hanging {
        async fn find_by_id(&self, _: KeyId) -> Result<Option<Arc<Candidate>>, StoreError> {
            pending().await
        }
        async fn find_by_digest(&self, _: &[Digest]) -> Result<Option<Arc<Candidate>>, StoreError> {
            pending().await
        }
        async fn transact(&self, _: Arc<Transaction>) -> Result<Decision, StoreError> {
            pending().await
        }
        async fn get(&self, _: &Scope, _: KeyId) -> Result<Option<Key>, StoreError> {
            pending().await
        }
        async fn list(&self, _: &KeyQuery) -> Result<KeyPage, StoreError> {
            pending().await
        }
        async fn expiring(&self, _: &ExpiringQuery) -> Result<KeyPage, StoreError> {
            pending().await
        }
        async fn owner(&self, _: &Owner, _: Time) -> Result<Option<OwnerFacts>, StoreError> {
            pending().await
        }
        async fn organization(&self, _: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
            pending().await
        }
        async fn audit(&self, _: &AuditQuery) -> Result<AuditPage, StoreError> {
            pending().await
        }
        async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError> {
            pending().await
        }
        async fn keys_under_pepper(&self, _: u16, _: Option<KeyId>, _: usize) -> Result<Vec<KeyId>, StoreError> {
            pending().await
        }
        async fn rehash(&self, _: &[Rehash]) -> Result<(), StoreError> {
            pending().await
        }
        async fn touch(&self, _: &[(KeyId, Time)]) -> Result<(), StoreError> {
            pending().await
        }
    }
}
