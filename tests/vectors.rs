//! Frozen: what secrets look like and how they are digested. A change here would kill keys that are out there.
//!
//! The files in `tests/vectors/` come from other implementations and are never written by this one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use clove::{
    Argon2Cost, By, Clove, DenialReason, Fault, Hashing, MemoryStore, NewKey, Owner, Pepper, Policy, SecretFormat, Store,
    digest::{Digest, Scheme},
};
use clove_testkit::{Fixture, TestClock};
use serde_json::Value;

fn vectors(text: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(text).unwrap()["vectors"].as_array().unwrap().clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn number<T: TryFrom<u64, Error: std::fmt::Debug>>(value: &Value) -> T {
    value.as_u64().unwrap().try_into().unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|place| u8::from_str_radix(&hex[place * 2..place * 2 + 2], 16).unwrap()).collect()
}

fn owner() -> Owner {
    Owner::new("acme", "ada").unwrap()
}

fn digest(hex: &str) -> Digest {
    Digest::from_bytes(bytes(hex).try_into().unwrap())
}

/// On a clock that stands still: no loaded machine makes a verification late.
fn clove_on(store: MemoryStore, policy: clove::policy::PolicyBuilder) -> Clove {
    Clove::with_clock(store, policy.build().unwrap(), TestClock::new())
}

/// Puts a key with a given digest into a store, and verifies the frozen secret against it.
async fn is_verified(secret: &str, hashing: Hashing, stored: Digest, scheme: Scheme) -> bool {
    let (store, ada) = (MemoryStore::new(), owner());
    let clove = clove_on(store.clone(), Policy::builder().hashing(hashing));
    let key = clove.create(&ada, NewKey::named("frozen").unwrap(), &By::new("ada", "test").unwrap()).await.unwrap().key;
    let old = store.find_by_id(key.id).await.unwrap().unwrap().secrets.to_vec()[0].digest;
    store.rehash(&[clove::store::Rehash { key: key.id, old, new: stored, scheme }]).await.unwrap();
    clove.verify(&format!("{};{secret}", key.id)).await.unwrap().granted().is_some()
}

#[tokio::test]
async fn the_check_characters_are_frozen() {
    for vector in vectors(include_str!("vectors/secret.json")) {
        let (body, check) = (text(&vector["body"]), text(&vector["check"]));
        let format = SecretFormat::new(text(&vector["prefix"]), number(&vector["random_chars"])).unwrap();
        let store = MemoryStore::new();
        let unknown = Hashing::hmac(Pepper::new(1, &[1; 32]).unwrap());
        let first = clove_on(store.clone(), Policy::builder().hashing(unknown));
        first.create(&owner(), NewKey::named("frozen").unwrap(), &By::new("ada", "test").unwrap()).await.unwrap();
        // Here a well-formed secret is a fault, for its pepper is not known, and a malformed one is denied.
        let clove = clove_on(store, Policy::builder().secret_format(format.clone()));
        let right = format!("{body}{check}");
        assert_eq!(right.len(), format.len());
        assert!(matches!(clove.verify(&right).await, Err(Fault::UnknownPepper { version: 1 })), "{body}");
        for place in 0..3 {
            let mut wrong = right.clone().into_bytes();
            let at = body.len() + place;
            wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(clove.verify(&wrong).await.unwrap().denied().unwrap().reason(), &DenialReason::NotRecognized, "{body}");
        }
    }
}

#[tokio::test]
async fn the_digests_of_the_fast_schemes_are_frozen() {
    for vector in vectors(include_str!("vectors/fast_digests.json")) {
        let secret = text(&vector["secret"]);
        let plain = digest(text(&vector["sha256"]));
        assert!(is_verified(secret, Hashing::sha256(), plain, Scheme::Sha256).await);
        for peppered in vector["hmac_sha256"].as_array().unwrap() {
            let version = number(&peppered["version"]);
            let pepper = Pepper::new(version, &bytes(text(&peppered["pepper"]))).unwrap();
            let (hashing, scheme) = (Hashing::hmac(pepper), Scheme::HmacSha256 { pepper: version });
            assert!(is_verified(secret, hashing.clone(), digest(text(&peppered["digest"])), scheme).await);
            assert!(!is_verified(secret, hashing, plain, scheme).await, "another digest is refused");
        }
    }
}

#[tokio::test]
async fn the_digest_of_the_slow_scheme_is_frozen() {
    for vector in vectors(include_str!("vectors/argon2id.json")) {
        let cost =
            Argon2Cost::new(number(&vector["memory_kib"]), number(&vector["iterations"]), number(&vector["lanes"])).unwrap();
        let scheme = Scheme::Argon2id { cost, salt: bytes(text(&vector["salt"])).try_into().unwrap(), imported: false };
        let stored = digest(text(&vector["digest"]));
        assert!(is_verified(text(&vector["secret"]), Hashing::sha256(), stored, scheme).await);
    }
}

#[tokio::test]
async fn a_new_secret_is_stored_under_the_digest_of_its_text() {
    let store = MemoryStore::new();
    let clove = clove_on(store.clone(), Policy::builder());
    let issued = clove.create(&owner(), NewKey::named("new").unwrap(), &By::new("ada", "test").unwrap()).await.unwrap();
    let credential = issued.credential.unwrap();
    let stored = store.find_by_id(issued.key.id).await.unwrap().unwrap().secrets.to_vec()[0];
    assert_eq!(stored.scheme, Scheme::Sha256);
    assert!(is_verified(credential.secret().reveal(), Hashing::sha256(), stored.digest, Scheme::Sha256).await);
}

#[tokio::test]
async fn the_form_of_a_default_secret_is_frozen() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let secret = fixture.key_in(clove::Status::Active).await.unwrap().credential.unwrap();
    let text = secret.secret().reveal();
    assert_eq!((text.len(), &text[..4]), (36, "clv-"));
    assert!(text[4..].bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(fixture.clove.policy().secret_formats()[0].scan_pattern(), r"\bclv-[0-9A-Za-z]{32}\b");
}
