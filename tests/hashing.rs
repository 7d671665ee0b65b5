//! How secrets are hashed: schemes, peppers, and digests that move forward on use.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use clove::{
    Argon2Cost, By, Clove, DenialReason, Fault, GuessLimit, Hashing, KeyId, ListAudit, MemoryStore, NewKey, Owner, Pepper,
    Policy, SecretFormat, Status, Store, digest::Scheme,
};
use clove_testkit::Fixture;
use support::{Mode, Spy, denied, hashed, is_good, pepper, poll_and_drop, spied};

#[tokio::test]
async fn an_unknown_pepper_is_a_fault_in_both_forms_and_a_dropped_one_a_denial() {
    let store = MemoryStore::new();
    let (ada, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "test").unwrap());
    let first = Clove::new(store.clone(), hashed(Hashing::hmac(pepper(1))));
    let credential = first.create(&ada, NewKey::named("a key").unwrap(), &by).await.unwrap().credential.unwrap();
    let (whole, bare) = (credential.reveal(), credential.secret().reveal());
    let ignorant = Clove::new(store.clone(), hashed(Hashing::hmac(pepper(2))));
    let dropping = Clove::new(store, hashed(Hashing::hmac(pepper(2)).dropped(1)));
    for form in [&*whole, bare] {
        assert!(first.verify(form).await.unwrap().granted().is_some());
        assert!(matches!(ignorant.verify(form).await, Err(Fault::UnknownPepper { version: 1 })));
        assert_eq!(denied(dropping.verify(form).await), DenialReason::NotRecognized);
    }
    assert_eq!(first.keys_under_pepper(1, None, None).await.unwrap(), [credential.id()]);
}

#[tokio::test]
async fn digests_move_forward_on_use_and_nothing_else_does() {
    let store = MemoryStore::new();
    let (ada, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "test").unwrap());
    let plain = Clove::new(store.clone(), hashed(Hashing::sha256()));
    let credential = plain.create(&ada, NewKey::named("a key").unwrap(), &by).await.unwrap().credential.unwrap();
    for (current, older) in [(2, 1), (1, 2)] {
        let peppered = Clove::new(store.clone(), hashed(Hashing::hmac(pepper(current)).readable(pepper(older))));
        assert!(peppered.verify(credential.secret().reveal()).await.unwrap().granted().is_some());
        peppered.flush().await.unwrap();
        assert_eq!(peppered.keys_under_pepper(2, None, None).await.unwrap(), [credential.id()], "never back");
        assert_eq!(peppered.get(&ada, credential.id()).await.unwrap().revision, 1);
        assert_eq!(peppered.audit(&ada, &ListAudit::default()).await.unwrap().items.len(), 1);
    }
}

#[tokio::test]
async fn a_slow_policy_takes_id_and_secret_only() {
    let fixture = Fixture::new(hashed(Hashing::argon2id(clove::Argon2Cost::OWASP))).unwrap();
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap();
    assert!(fixture.clove.verify(&*credential.reveal()).await.unwrap().granted().is_some());
    assert!(fixture.clove.verify(credential.secret().reveal()).await.unwrap().denied().is_some());
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

/// One owner's keys in one store, as processes with different hashing see them.
struct House {
    store: Spy,
    ada: Owner,
    by: By,
}

impl House {
    fn new() -> Self {
        Self { store: Spy::new(), ada: Owner::new("acme", "ada").unwrap(), by: By::new("ada", "test").unwrap() }
    }
    fn process(&self, hashing: Hashing) -> Clove {
        Clove::new(self.store.clone(), hashed(hashing))
    }
    async fn key(&self, clove: &Clove) -> clove::Credential {
        clove.create(&self.ada, NewKey::named("a key").unwrap(), &self.by).await.unwrap().credential.unwrap()
    }
    async fn schemes(&self, id: KeyId) -> Vec<Scheme> {
        let candidate = self.store.inner.find_by_id(id).await.unwrap().unwrap();
        candidate.secrets.iter().map(|secret| secret.scheme).collect()
    }
}

#[tokio::test]
async fn a_digest_moves_from_sha256_to_the_first_pepper_to_the_second() {
    let house = House::new();
    let credential = house.key(&house.process(Hashing::sha256())).await;
    for (hashing, then) in [
        (Hashing::sha256().readable(pepper(1)), Scheme::Sha256),
        (Hashing::hmac(pepper(1)).readable(pepper(2)), Scheme::HmacSha256 { pepper: 1 }),
        (Hashing::hmac(pepper(2)).readable(pepper(1)), Scheme::HmacSha256 { pepper: 2 }),
        (Hashing::hmac(pepper(1)).readable(pepper(2)), Scheme::HmacSha256 { pepper: 2 }),
        (Hashing::sha256().readable(pepper(2)), Scheme::HmacSha256 { pepper: 2 }),
        (Hashing::argon2id(Argon2Cost::OWASP).readable(pepper(2)), Scheme::HmacSha256 { pepper: 2 }),
    ] {
        let process = house.process(hashing);
        for form in [&*credential.reveal(), credential.secret().reveal()] {
            assert!(is_good(&process, form).await);
            process.flush().await.unwrap();
            assert!(is_good(&process, form).await, "still good after its digest was replaced");
        }
        assert_eq!(house.schemes(credential.id()).await, [then]);
    }
}

#[tokio::test]
async fn a_rehash_touches_neither_revision_nor_trail_and_happens_in_no_verification() {
    let house = House::new();
    let credential = house.key(&house.process(Hashing::sha256())).await;
    let process = house.process(Hashing::hmac(pepper(1)));
    let before = process.get(&house.ada, credential.id()).await.unwrap();
    house.store.calls();
    assert!(is_good(&process, credential.secret().reveal()).await);
    assert_eq!(house.store.calls(), ["find_by_digest"]);
    assert_eq!(house.schemes(credential.id()).await, [Scheme::Sha256]);
    process.flush().await.unwrap();
    assert_eq!(house.store.calls(), ["touch", "rehash", "record"]);
    let after = process.get(&house.ada, credential.id()).await.unwrap();
    assert_eq!(clove::Key { last_used_at: None, ..after }, before);
    assert_eq!(process.audit(&house.ada, &ListAudit::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_wrong_secret_or_a_refused_key_rehashes_nothing() {
    let house = House::new();
    let plain = house.process(Hashing::sha256());
    let (first, second) = (house.key(&plain).await, house.key(&plain).await);
    plain.disable(&house.ada, first.id(), &house.by).await.unwrap();
    let process = house.process(Hashing::hmac(pepper(1)));
    assert_eq!(denied(process.verify(&*first.reveal()).await), DenialReason::Suspended);
    let wrong = format!("{};{}", second.id(), first.secret().reveal());
    assert_eq!(denied(process.verify(&wrong).await), DenialReason::NotRecognized);
    process.flush().await.unwrap();
    assert_eq!(house.schemes(first.id()).await, [Scheme::Sha256]);
    assert_eq!(house.schemes(second.id()).await, [Scheme::Sha256]);
}

#[tokio::test]
async fn a_rehash_that_comes_after_a_rotation_changes_nothing() {
    let house = House::new();
    let credential = house.key(&house.process(Hashing::sha256())).await;
    let process = house.process(Hashing::hmac(pepper(1)));
    assert!(is_good(&process, &credential.reveal()).await);
    let new = process.rotate(&house.ada, credential.id(), 1, chrono::TimeDelta::zero(), &house.by).await.unwrap();
    process.flush().await.unwrap();
    assert_eq!(
        denied(process.verify(&*credential.reveal()).await),
        DenialReason::NotRecognized,
        "the old secret is gone for good"
    );
    assert!(is_good(&process, &new.credential.unwrap().reveal()).await);
}

#[tokio::test]
async fn every_readable_scheme_finds_a_bare_secret() {
    let house = House::new();
    let mut credentials = vec![house.key(&house.process(Hashing::sha256())).await];
    for version in [1, 2, 3] {
        credentials.push(house.key(&house.process(Hashing::hmac(pepper(version)))).await);
    }
    let process = house.process(Hashing::hmac(pepper(3)).readable(pepper(1)).readable(pepper(2)));
    for credential in &credentials {
        assert!(is_good(&process, credential.secret().reveal()).await && is_good(&process, &credential.reveal()).await);
    }
}

#[tokio::test]
async fn a_well_formed_secret_that_is_unknown_is_a_fault_while_an_unknown_pepper_is_in_use() {
    let house = House::new();
    house.key(&house.process(Hashing::hmac(pepper(7)))).await;
    let other = House::new();
    let unknown = other.key(&other.process(Hashing::sha256())).await;
    let ignorant = house.process(Hashing::sha256());
    assert!(matches!(ignorant.verify(unknown.secret().reveal()).await, Err(Fault::UnknownPepper { version: 7 })));
    assert_eq!(denied(ignorant.verify(&*unknown.reveal()).await), DenialReason::NotRecognized, "its id says that it is not here");
    let dropping = house.process(Hashing::sha256().dropped(7));
    assert_eq!(denied(dropping.verify(unknown.secret().reveal()).await), DenialReason::NotRecognized);
}

#[tokio::test]
async fn a_rotated_out_secret_under_a_known_pepper_is_good_in_both_forms_beside_one_under_an_unknown_pepper() {
    let house = House::new();
    let first = house.process(Hashing::hmac(pepper(1)));
    let old = house.key(&first).await;
    let second = house.process(Hashing::hmac(pepper(2)).readable(pepper(1)));
    second.rotate(&house.ada, old.id(), 1, chrono::TimeDelta::hours(1), &house.by).await.unwrap();
    assert!(is_good(&first, old.secret().reveal()).await, "bare");
    assert!(matches!(first.verify(&*old.reveal()).await, Ok(clove::Verdict::Granted(_))), "with its id");
}

#[tokio::test]
async fn the_keys_that_dropping_a_pepper_would_kill_are_listed_in_pages() {
    let house = House::new();
    let process = house.process(Hashing::hmac(pepper(1)));
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(house.key(&process).await.id());
    }
    house.key(&house.process(Hashing::sha256())).await;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = process.keys_under_pepper(1, after, Some(2)).await.unwrap();
        let Some(last) = page.last().copied() else { break };
        after = Some(last);
        found.extend(page);
    }
    assert_eq!(found, ids);
    assert!(process.keys_under_pepper(2, None, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn sha256_digests_are_as_unknown_where_they_are_excluded() {
    let house = House::new();
    let credential = house.key(&house.process(Hashing::sha256())).await;
    let process = house.process(Hashing::hmac(pepper(1)).without_sha256());
    for form in [&*credential.reveal(), credential.secret().reveal()] {
        assert_eq!(denied(process.verify(form).await), DenialReason::NotRecognized);
    }
}

#[tokio::test]
async fn under_a_slow_policy_a_rotation_is_slow_as_well_and_the_older_secret_keeps_its_scheme() {
    let house = House::new();
    let old = house.key(&house.process(Hashing::sha256())).await;
    let slow = house.process(Hashing::argon2id(Argon2Cost::OWASP));
    let new = slow.rotate(&house.ada, old.id(), 1, chrono::TimeDelta::hours(1), &house.by).await.unwrap().credential.unwrap();
    assert!(is_good(&slow, &old.reveal()).await && is_good(&slow, &new.reveal()).await);
    assert!(is_good(&slow, old.secret().reveal()).await);
    assert_eq!(denied(slow.verify(new.secret().reveal()).await), DenialReason::NotRecognized, "a slow one never by itself");
    assert!(matches!(house.schemes(old.id()).await[..], [Scheme::Argon2id { .. }, Scheme::Sha256]));
}

#[tokio::test]
async fn wrong_guesses_do_not_shut_out_a_slow_secret_of_the_hosts_own() {
    let imports = GuessLimit { per_minute: 1, per_day: 1 };
    let policy = Policy::builder().hashing(Hashing::argon2id(Argon2Cost::OWASP)).imports(imports).build().unwrap();
    let fixture = Fixture::new(policy).unwrap();
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap();
    for guess in ["clv-00000000000000000000000000000Wt4", "a-secret-from-elsewhere"] {
        for _ in 0..3 {
            assert!(!is_good(&fixture.clove, &format!("{};{guess}", credential.id())).await);
        }
    }
    assert!(is_good(&fixture.clove, &credential.reveal()).await);
}

#[tokio::test]
async fn wrong_guesses_do_not_shut_out_a_slow_secret_from_before_a_fast_policy() {
    let house = House::new();
    let credential = house.key(&house.process(Hashing::argon2id(Argon2Cost::OWASP))).await;
    let fast = house.process(Hashing::sha256());
    for _ in 0..11 {
        assert!(!is_good(&fast, &format!("{};clv-00000000000000000000000000000Wt4", credential.id())).await);
    }
    assert!(is_good(&fast, &credential.reveal()).await);
}

#[tokio::test]
async fn under_a_slow_policy_an_unknown_id_and_a_wrong_secret_of_a_fast_key_are_hashed_alike() {
    let house = House::new();
    let old = house.key(&house.process(Hashing::sha256())).await;
    let slow = house.process(Hashing::argon2id(Argon2Cost::OWASP));
    for id in [old.id(), KeyId::new(slow.now())] {
        let guess = format!("{id};clv-00000000000000000000000000000Wt4");
        assert!(poll_and_drop(slow.verify(&guess)).is_pending(), "it waits for a hash");
    }
}

#[tokio::test]
async fn the_queue_of_slow_hashes_is_bounded_per_key_and_full_is_a_fault() {
    let (fixture, _) = spied(hashed(Hashing::argon2id(Argon2Cost::OWASP)));
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    let mut waiting: Vec<_> = Vec::new();
    let mut overloaded = 0;
    for _ in 0..20 {
        let mut verification = Box::pin(fixture.clove.verify(&*credential));
        let polled = verification.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        match polled {
            std::task::Poll::Ready(Err(Fault::Overloaded)) => overloaded += 1,
            // A thread may have been quicker than this one.
            std::task::Poll::Ready(other) => drop(other.unwrap()),
            std::task::Poll::Pending => waiting.push(verification),
        }
    }
    assert!(overloaded > 0);
    drop(waiting);
    let after = poll_and_drop(fixture.clove.verify(&*credential));
    assert!(!matches!(after, std::task::Poll::Ready(Err(_))), "what was dropped left its place");
}

#[tokio::test]
async fn a_store_that_fails_while_peppers_are_asked_for_is_a_fault() {
    let house = House::new();
    let other = House::new();
    let unknown = other.key(&other.process(Hashing::sha256())).await;
    house.store.set(Mode::Fails);
    assert!(matches!(house.process(Hashing::sha256()).verify(unknown.secret().reveal()).await, Err(Fault::Store(_))));
}

#[test]
fn hashing_that_cannot_work_does_not_build() {
    for (what, hashing) in [
        ("a version twice", Hashing::hmac(pepper(1)).readable(pepper(1))),
        ("readable and dropped", Hashing::hmac(pepper(1)).readable(pepper(2)).dropped(2)),
        ("current and dropped", Hashing::hmac(pepper(1)).dropped(1)),
        ("five schemes", Hashing::hmac(pepper(1)).readable(pepper(2)).readable(pepper(3)).readable(pepper(4))),
        ("sha256 current and not read", Hashing::sha256().without_sha256()),
    ] {
        assert!(Policy::builder().hashing(hashing).build().is_err(), "{what}");
    }
    for (memory, passes, lanes) in [
        (0, 0, 0),
        (19_455, 2, 1),
        (19_456, 1, 1),
        (19_456, 2, 0),
        (19_456, 2, 9),
        (262_145, 2, 1),
        (19_456, 17, 1),
        (262_144, 5, 1),
    ] {
        assert!(Argon2Cost::new(memory, passes, lanes).is_err(), "{memory} {passes} {lanes}");
    }
    let error = Pepper::new(1, b"canary-short-pepper").unwrap_err().to_string();
    assert!(error.contains("19 bytes") && !error.contains("canary"), "{error}");
}
