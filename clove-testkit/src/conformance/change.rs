//! What a transaction writes: all of it or nothing, never over what exists.

use super::{list_cases, tools::*};
use clove_core::{
    Action, KeyId, KeyState, OperationId, Refusal, Scope, StoreError,
    digest::Scheme,
    error::Unique,
    store::{ActiveLimit, Changes, Decision, Facts, KeyChange, Reads, Rehash, SecretRecord, Transaction},
};
use std::sync::Arc;

list_cases![
    an_inserted_key_reads_back_as_it_was,
    a_refused_transaction_writes_nothing,
    a_conflict_writes_nothing_at_all,
    an_update_leaves_owner_creation_and_last_use,
    a_stale_revision_is_seen,
    secrets_are_replaced_together,
    delete_frees_the_digest,
    owner_and_organization_rows_keep_their_fields,
    last_use_moves_forward_only,
    rehash_needs_the_old_digest,
    rehash_leaves_the_other_secret,
];

async fn an_inserted_key_reads_back_as_it_was(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let mut wanted = key(&owner);
    wanted.expires_at = Some(after(60));
    wanted.revision = i64::MAX as u64;
    bench.insert(&wanted).await;
    assert_eq!(bench.store.get(&(&owner).into(), wanted.id).await.unwrap(), Some(wanted));
}

async fn a_refused_transaction_writes_nothing(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let refused = key(&owner);
    let result = bench
        .transact(insertion(OperationId::new(start()), refused.clone(), vec![current(digest())], Some(ActiveLimit::AtMost(0))))
        .await;
    assert!(matches!(result, Ok(Decision::Refuse(Refusal::LimitReached { .. }))), "{result:?}");
    assert!(bench.store.find_by_id(refused.id).await.unwrap().is_none());
    assert!(bench.store.owner(&owner, start()).await.unwrap().is_none());
}

async fn a_conflict_writes_nothing_at_all(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let first = key(&owner);
    let taken = bench.insert(&first).await;
    let operation = OperationId::new(start());
    let second = key(&owner);
    let result = bench.transact(insertion(operation, second.clone(), vec![current(taken)], None)).await;
    assert!(matches!(result, Err(StoreError::Conflict(Unique::Digest))), "{result:?}");
    assert!(bench.store.get(&(&owner).into(), second.id).await.unwrap().is_none());
    assert_eq!(bench.store.owner(&owner, start()).await.unwrap().unwrap().record.records, 1);
    // The operation id is still free.
    committed(bench.transact(insertion(operation, second, vec![current(digest())], None)).await);
}

async fn an_update_leaves_owner_creation_and_last_use(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let before = key(&owner);
    bench.insert(&before).await;
    bench.store.touch(&[(before.id, after(5))]).await.unwrap();
    let foreign = bench.owner("other", "bob");
    let scope = Scope::from(&owner);
    let result = bench.update(&scope, before.id, move |key| {
        key.owner = foreign.clone();
        key.created_at = after(99);
        key.last_used_at = None;
        key.state = KeyState::Suspended;
        key.expiry_latched = true;
        key.expires_at = Some(after(7));
    });
    committed(result.await);
    let mut wanted = before.clone();
    (wanted.state, wanted.expiry_latched, wanted.expires_at) = (KeyState::Suspended, true, Some(after(7)));
    (wanted.last_used_at, wanted.revision) = (Some(after(5)), 2);
    assert_eq!(bench.store.get(&(&owner).into(), before.id).await.unwrap(), Some(wanted));
}

async fn a_stale_revision_is_seen(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let scope: Scope = (&owner).into();
    let key = key(&owner);
    bench.insert(&key).await;
    committed(bench.transact(update(OperationId::new(start()), &scope, key.id, Some(1), |_| ())).await);
    let stale = bench.transact(update(OperationId::new(start()), &scope, key.id, Some(1), |_| ())).await;
    assert!(matches!(stale, Ok(Decision::Refuse(Refusal::RevisionConflict { found: 2, .. }))), "{stale:?}");
}

async fn secrets_are_replaced_together(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let key = key(&owner);
    let old = bench.insert(&key).await;
    let (new, id, operation) = (digest(), key.id, OperationId::new(start()));
    let secrets = vec![current(new), SecretRecord { valid_until: Some(after(60).into()), ..current(old) }];
    let written = secrets.clone();
    let reads = Reads::Key { scope: (&owner).into(), id, expired_at: None };
    let decide = move |facts: &Facts| {
        let key = facts.keys[0].key.clone();
        let events = vec![event(operation, Action::Rotate, &key)];
        Decision::Commit(Changes {
            keys: vec![KeyChange::Update { key, secrets: Some(written.clone()) }],
            events,
            ..Changes::default()
        })
    };
    committed(bench.transact(Transaction::new(operation, reads, decide)).await);
    let found = bench.store.find_by_id(id).await.unwrap().unwrap();
    assert_eq!(found.secrets.to_vec(), secrets, "the current one first");
    for digest in [old, new] {
        let found = bench.store.find_by_digest(&[digest]).await.unwrap().unwrap();
        assert!(found.id == id && found.secrets.iter().any(|secret| secret.digest == digest));
    }
}

async fn delete_frees_the_digest(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let first = key(&owner);
    let freed = bench.insert(&first).await;
    bench.delete(&(&owner).into(), first.id).await;
    assert!(bench.store.find_by_digest(&[freed]).await.unwrap().is_none());
    assert!(bench.store.find_by_id(first.id).await.unwrap().is_none());
    committed(bench.insert_with(&key(&owner), vec![current(freed)]).await);
}

async fn owner_and_organization_rows_keep_their_fields(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    for limit in [None, Some(ActiveLimit::Unlimited), Some(ActiveLimit::AtMost(0)), Some(ActiveLimit::AtMost(u32::MAX))] {
        bench
            .set_owner(&owner, move |record| {
                (record.limit, record.open) = (limit, false);
                (record.creation_day, record.creations) = (Some(start().date_naive()), 7);
            })
            .await;
        let record = bench.store.owner(&owner, start()).await.unwrap().unwrap().record;
        assert_eq!((record.limit, record.open), (limit, false));
        assert_eq!((record.creation_day, record.creations), (Some(start().date_naive()), 7));
    }
    for open in [false, true] {
        bench.set_organization(&owner.organization, open).await;
        assert_eq!(bench.store.organization(&owner.organization).await.unwrap().unwrap().open, open);
    }
}

async fn last_use_moves_forward_only(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let key = key(&owner);
    bench.insert(&key).await;
    for (at, wanted) in [(5, 5), (3, 5), (9, 9)] {
        bench.store.touch(&[(key.id, after(at)), (KeyId::new(start()), after(at))]).await.unwrap();
        let found = bench.store.get(&(&owner).into(), key.id).await.unwrap().unwrap();
        assert_eq!((found.last_used_at, found.revision), (Some(after(wanted)), 1));
    }
}

async fn rehash_needs_the_old_digest(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let key = key(&owner);
    let old = bench.insert(&key).await;
    let (new, scheme) = (digest(), Scheme::HmacSha256 { pepper: 3 });
    let change = |old| Rehash { key: key.id, old, new, scheme };
    bench.store.rehash(&[change(digest())]).await.unwrap();
    assert!(bench.store.find_by_digest(&[new]).await.unwrap().is_none());
    assert!(bench.store.peppers_in_use().await.unwrap().is_empty());
    bench.store.rehash(&[change(old)]).await.unwrap();
    let found = bench.store.find_by_digest(&[new]).await.unwrap().unwrap();
    assert_eq!((found.revision, found.secrets.to_vec()[0].scheme), (1, scheme));
    assert!(bench.store.find_by_digest(&[old]).await.unwrap().is_none());
    assert_eq!(bench.store.peppers_in_use().await.unwrap().into_iter().collect::<Vec<_>>(), [3]);
    assert_eq!(bench.store.keys_under_pepper(3, None, 9).await.unwrap(), [key.id]);
    assert!(bench.store.keys_under_pepper(3, Some(key.id), 9).await.unwrap().is_empty());
}

async fn rehash_leaves_the_other_secret(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (key, deleted) = (key(&owner), key(&owner));
    let previous = SecretRecord { valid_until: Some(after(60).into()), ..current(digest()) };
    let now = current(digest());
    committed(bench.insert_with(&key, vec![now, previous]).await);
    let gone = bench.insert(&deleted).await;
    bench.delete(&(&owner).into(), deleted.id).await;
    let scheme = Scheme::HmacSha256 { pepper: 3 };
    let rehash = |id, old, new| Rehash { key: id, old, new, scheme };
    let better = digest();
    // A key that is gone, and one whose digest has changed meanwhile, stop no other.
    let changes =
        [rehash(deleted.id, gone, digest()), rehash(key.id, digest(), digest()), rehash(key.id, previous.digest, better)];
    bench.store.rehash(&changes).await.unwrap();
    let found = bench.store.find_by_id(key.id).await.unwrap().unwrap();
    assert_eq!(found.secrets.to_vec(), [now, SecretRecord { digest: better, scheme, ..previous }]);
    assert!(bench.store.find_by_digest(&[gone]).await.unwrap().is_none());
    assert!(bench.store.find_by_id(deleted.id).await.unwrap().is_none());
}
