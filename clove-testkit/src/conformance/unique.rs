//! Nothing is written over what exists: key ids and digests are unique, over all owners and schemes.

use super::{list_cases, tools::*};
use clove_core::{
    Action, Argon2Cost, OperationId, StoreError,
    digest::{Digest, Scheme},
    error::Unique,
    store::{Changes, Decision, KeyChange, Rehash, SecretRecord, StoredKey},
};
use std::sync::Arc;

list_cases![
    insert_refuses_an_existing_key_id,
    insert_refuses_an_existing_digest,
    a_slow_digest_is_unique_too,
    one_digest_is_not_two_secrets,
    an_update_refuses_the_digest_of_another_key,
    rehash_never_doubles_a_digest,
    changes_of_keys_are_written_in_order,
];

fn slow(digest: Digest) -> SecretRecord {
    SecretRecord { scheme: Scheme::Argon2id { cost: Argon2Cost::OWASP, salt: [7; 16], imported: true }, ..current(digest) }
}

fn assert_conflict(result: &Result<Decision, StoreError>, wanted: Unique) {
    assert!(matches!(result, Err(StoreError::Conflict(unique)) if *unique == wanted), "{result:?}");
}

async fn insert_refuses_an_existing_key_id(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let first = key(&owner);
    bench.insert(&first).await;
    let mut second = key(&owner);
    second.id = first.id;
    second.description = clove_core::Description::new("another").unwrap();
    let result = bench.insert_with(&second, vec![current(digest())]).await;
    assert!(matches!(result, Err(StoreError::Conflict(Unique::KeyId))), "{result:?}");
    assert_eq!(bench.store.get(&(&owner).into(), first.id).await.unwrap(), Some(first));
}

async fn insert_refuses_an_existing_digest(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let first = key(&owner);
    let taken = bench.insert(&first).await;
    let second = key(&bench.owner("other", "bob"));
    let result = bench.insert_with(&second, vec![current(taken)]).await;
    assert!(matches!(result, Err(StoreError::Conflict(Unique::Digest))), "{result:?}");
    assert_eq!(bench.store.find_by_digest(&[taken]).await.unwrap().unwrap().id, first.id);
    assert!(bench.store.find_by_id(second.id).await.unwrap().is_none());
}

async fn a_slow_digest_is_unique_too(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (first, taken) = (key(&owner), digest());
    committed(bench.insert_with(&first, vec![slow(taken)]).await);
    for secret in [slow(taken), current(taken)] {
        let second = key(&owner);
        assert_conflict(&bench.insert_with(&second, vec![secret]).await, Unique::Digest);
        assert!(bench.store.find_by_id(second.id).await.unwrap().is_none());
    }
    assert_eq!(bench.store.find_by_id(first.id).await.unwrap().unwrap().secrets.to_vec(), [slow(taken)]);
}

async fn one_digest_is_not_two_secrets(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (key, twice) = (key(&owner), digest());
    let secrets = vec![current(twice), SecretRecord { valid_until: Some(after(60).into()), ..current(twice) }];
    assert_conflict(&bench.insert_with(&key, secrets).await, Unique::Digest);
    assert!(bench.store.find_by_id(key.id).await.unwrap().is_none());
    assert!(bench.store.owner(&owner, start()).await.unwrap().is_none());
}

async fn an_update_refuses_the_digest_of_another_key(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (first, second) = (key(&owner), key(&owner));
    let (taken, own) = (bench.insert(&first).await, bench.insert(&second).await);
    let mut renamed = second.clone();
    (renamed.description, renamed.revision) = (clove_core::Description::new("another").unwrap(), 2);
    let changes = Changes {
        keys: vec![KeyChange::Update { key: renamed, secrets: Some(vec![current(digest()), current(taken)]) }],
        events: vec![event(OperationId::new(start()), Action::Rotate, &second)],
        ..Changes::default()
    };
    assert_conflict(&bench.write(&owner, changes).await, Unique::Digest);
    assert_eq!(bench.store.find_by_digest(&[taken]).await.unwrap().unwrap().id, first.id);
    assert_eq!(bench.store.find_by_id(second.id).await.unwrap().unwrap().secrets.to_vec(), [current(own)]);
    assert_eq!(bench.store.get(&(&owner).into(), second.id).await.unwrap(), Some(second));
}

async fn rehash_never_doubles_a_digest(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (first, second) = (key(&owner), key(&owner));
    let (taken, old) = (bench.insert(&first).await, bench.insert(&second).await);
    let change = Rehash { key: second.id, old, new: taken, scheme: Scheme::HmacSha256 { pepper: 1 } };
    let result = bench.store.rehash(&[change]).await;
    assert!(matches!(result, Ok(()) | Err(StoreError::Conflict(Unique::Digest))), "{result:?}");
    assert_eq!(bench.store.find_by_digest(&[taken]).await.unwrap().unwrap().id, first.id);
    assert_eq!(bench.store.find_by_digest(&[old]).await.unwrap().unwrap().id, second.id);
    assert!(bench.store.peppers_in_use().await.unwrap().is_empty());
}

async fn changes_of_keys_are_written_in_order(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (kept, gone, new) = (key(&owner), key(&owner), key(&owner));
    let (of_kept, of_gone) = (bench.insert(&kept).await, bench.insert(&gone).await);
    let (fresh, last) = (digest(), digest());
    let update = |secrets| KeyChange::Update { key: kept.clone(), secrets: Some(secrets) };
    let mut again = gone.clone();
    again.revision = 9;
    let changes = Changes {
        keys: vec![
            update(vec![current(fresh), SecretRecord { valid_until: Some(after(60).into()), ..current(of_kept) }]),
            update(vec![current(last), SecretRecord { valid_until: Some(after(60).into()), ..current(fresh) }]),
            KeyChange::Delete(gone.id),
            KeyChange::Insert(StoredKey { key: new.clone(), secrets: vec![current(of_gone)] }),
            KeyChange::Insert(StoredKey { key: again.clone(), secrets: vec![current(of_kept)] }),
        ],
        owners: vec![clove_core::store::OwnerRecord { held: 3, records: 3, ..owner_record(&owner) }],
        events: vec![event(OperationId::new(start()), Action::Edit, &kept)],
        ..Changes::default()
    };
    committed(bench.write(&owner, changes).await);
    for (digest, id) in [(last, kept.id), (fresh, kept.id), (of_gone, new.id), (of_kept, again.id)] {
        assert_eq!(bench.store.find_by_digest(&[digest]).await.unwrap().unwrap().id, id);
    }
    assert_eq!(bench.store.get(&(&owner).into(), gone.id).await.unwrap(), Some(again));
}
