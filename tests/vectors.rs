//! Frozen: what secrets look like and how they are digested. A change here would kill keys that are out there.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use clove::{Argon2Cost, By, Clove, Hashing, MemoryStore, NewKey, Owner, Pepper, Policy, Store, digest::Digest};
use clove_testkit::Fixture;

/// A well-formed secret, and its digests as `sha256sum` and `openssl dgst -mac HMAC` give them.
const SECRET: &str = "clv-00000000000000000000000000000Wt4";
const SHA256: &str = "400d0a6c424d0bfecbb01c9d37ee57c4bbf39583b32c0c4ee35559419beb7f2b";
/// Under 32 bytes of 0x01.
const HMAC_SHA256: &str = "16f381d2f7982574993873244382d7741552d313cfdaca922d21ecd2e87571b3";

fn digest(hex: &str) -> Digest {
    let bytes: Vec<u8> = (0..32).map(|place| u8::from_str_radix(&hex[place * 2..place * 2 + 2], 16).unwrap()).collect();
    Digest::from_bytes(bytes.try_into().unwrap())
}

/// Puts a key with a given digest into a store, and verifies the frozen secret against it.
async fn is_verified(hashing: Hashing, stored: Digest, scheme: clove::digest::Scheme) -> bool {
    let (store, ada) = (MemoryStore::new(), Owner::new("acme", "ada").unwrap());
    let clove = Clove::new(store.clone(), Policy::builder().hashing(hashing).build().unwrap());
    let key = clove.create(&ada, NewKey::named("frozen").unwrap(), &By::new("ada", "test").unwrap()).await.unwrap().key;
    let old = store.find_by_id(key.id).await.unwrap().unwrap().secrets[0].digest;
    store.rehash(&[clove::store::Rehash { key: key.id, old, new: stored, scheme }]).await.unwrap();
    clove.verify(&format!("{};{SECRET}", key.id)).await.unwrap().granted().is_some()
}

#[tokio::test]
async fn the_digests_of_the_fast_schemes_are_frozen() {
    use clove::digest::Scheme;
    assert!(is_verified(Hashing::sha256(), digest(SHA256), Scheme::Sha256).await);
    let pepper = Pepper::new(1, &[1; 32]).unwrap();
    assert!(is_verified(Hashing::hmac(pepper.clone()), digest(HMAC_SHA256), Scheme::HmacSha256 { pepper: 1 }).await);
    assert!(!is_verified(Hashing::hmac(pepper), digest(SHA256), Scheme::HmacSha256 { pepper: 1 }).await);
}

#[tokio::test]
async fn the_digest_of_the_slow_scheme_is_frozen() {
    // From the reference `argon2` of the Password Hashing Competition: version 19, 19456 KiB, 2 passes, 1 lane.
    let scheme = clove::digest::Scheme::Argon2id { cost: Argon2Cost::OWASP, salt: *b"0123456789abcdef" };
    assert!(
        is_verified(Hashing::sha256(), digest("3d12da856139f0cdfafcf2a26b0cee3359cf65185dea9a754851908e1d15c3a5"), scheme).await
    );
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
