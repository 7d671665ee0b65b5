//! What a transaction writes: all of it or nothing, never over what exists.

use super::{list_cases, tools::*};
use clove_core::{
    Action, KeyId, KeyState, OperationId, Owner, Refusal, Scope, StoreError,
    digest::Scheme,
    error::Unique,
    store::{ActiveLimit, Changes, Decision, Facts, KeyChange, Reads, Rehash, SecretRecord, Transaction},
};
use std::sync::Arc;

list_cases![
    an_inserted_key_reads_back_as_it_was,
    insert_refuses_an_existing_key_id,
    insert_refuses_an_existing_digest,
    a_refused_transaction_writes_nothing,
    a_conflict_writes_nothing_at_all,
    an_update_leaves_owner_creation_and_last_use,
    a_stale_revision_is_seen,
    secrets_are_replaced_together,
    delete_frees_the_digest,
    an_expired_place_is_read_and_freed,
    expired_places_are_read_exactly,
    a_foreign_key_is_not_read_by_a_command,
    identifiers_compare_by_bytes,
    batches_read_keys_and_owners,
    owner_and_organization_rows_keep_their_fields,
    last_use_moves_forward_only,
    rehash_needs_the_old_digest,
];

async fn an_inserted_key_reads_back_as_it_was(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let mut wanted = key(&owner);
    wanted.expires_at = Some(after(60));
    wanted.revision = i64::MAX as u64;
    bench.insert(&wanted).await;
    assert_eq!(bench.store.get(&(&owner).into(), wanted.id).await.unwrap(), Some(wanted));
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
    let secrets = vec![current(new), SecretRecord { valid_until: Some(after(60)), ..current(old) }];
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
    assert_eq!(found.secrets, secrets, "the current one first");
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

async fn an_expired_place_is_read_and_freed(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let mut expired = key(&owner);
    expired.expires_at = Some(start());
    bench.insert(&expired).await;
    let facts = bench.store.owner(&owner, start()).await.unwrap().unwrap();
    assert_eq!((facts.record.held, facts.held_by_expired), (1, 1));
    let new = insertion(OperationId::new(start()), key(&owner), vec![current(digest())], Some(ActiveLimit::AtMost(1)));
    committed(bench.transact(new).await);
    let latched = bench.store.get(&(&owner).into(), expired.id).await.unwrap().unwrap();
    assert!(latched.expiry_latched && !latched.holds_place());
    let facts = bench.store.owner(&owner, start()).await.unwrap().unwrap();
    assert_eq!((facts.record.held, facts.held_by_expired), (1, 0));
}

async fn expired_places_are_read_exactly(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let mut wanted = Vec::new();
    for (seconds, state, latched, counts) in [
        (Some(-1), KeyState::Active, false, true),
        (Some(0), KeyState::Active, false, true),
        (Some(1), KeyState::Active, false, false),
        (None, KeyState::Active, false, false),
        (Some(-1), KeyState::Active, true, false),
        (Some(-1), KeyState::Suspended, false, false),
        (Some(-1), KeyState::Revoked, false, false),
    ] {
        let mut key = key(&owner);
        (key.expires_at, key.state, key.expiry_latched) = (seconds.map(after), state, latched);
        bench.insert(&key).await;
        if counts {
            wanted.push(key.id);
        }
    }
    let mut foreign = key(&bench.owner("acme", "bob"));
    foreign.expires_at = Some(after(-1));
    bench.insert(&foreign).await;
    let reads = Reads::Owner { owner: owner.clone(), expired_at: Some(start()) };
    let decide = move |facts: &Facts| {
        let mut found: Vec<KeyId> = facts.expired.iter().map(|key| key.id).collect();
        found.sort();
        assert_eq!(found, wanted);
        Decision::Refuse(Refusal::NotFound)
    };
    let result = bench.transact(Transaction::new(OperationId::new(start()), reads, decide)).await;
    assert!(matches!(result, Ok(Decision::Refuse(Refusal::NotFound))), "{result:?}");
}

async fn a_foreign_key_is_not_read_by_a_command(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let key = key(&owner);
    bench.insert(&key).await;
    let foreign = ["acme/bob", "other/ada", "acme/a", "acme/adaa", "ACME/ada", "acme/Ada", "acm/ada"];
    for (organization, account) in foreign.iter().map(|owner| owner.split_once('/').unwrap()) {
        let scope: Scope = (&Owner::new(organization, account).unwrap()).into();
        let result = bench.update(&scope, key.id, |_| ()).await;
        assert!(matches!(result, Ok(Decision::Refuse(Refusal::NotFound))), "{scope:?}: {result:?}");
        assert!(bench.store.get(&scope, key.id).await.unwrap().is_none(), "{scope:?}");
    }
    let organization: Scope = (&owner.organization).into();
    assert!(bench.store.get(&organization, key.id).await.unwrap().is_some());
}

async fn identifiers_compare_by_bytes(bench: Arc<Bench>) {
    let accounts = ["a", "A", "a%", "a_", "%", "ä", "a\u{308}", "a'", "ａ"];
    let mut keys = Vec::new();
    for account in accounts {
        let key = key(&bench.owner("acme", account));
        bench.insert(&key).await;
        keys.push(key);
    }
    for key in &keys {
        let own = bench.all(&(&key.owner).into()).await;
        assert_eq!(own.iter().map(|key| key.id).collect::<Vec<_>>(), [key.id], "{:?}", key.owner);
        let facts = bench.store.owner(&key.owner, start()).await.unwrap().unwrap();
        assert_eq!((facts.record.owner, facts.record.records), (key.owner.clone(), 1));
    }
}

async fn batches_read_keys_and_owners(bench: Arc<Bench>) {
    let (ada, bob) = (bench.owner("acme", "ada"), bench.owner("acme", "bob"));
    let mut wanted = Vec::new();
    for (owner, state) in
        [(&ada, KeyState::Active), (&bob, KeyState::Suspended), (&ada, KeyState::Revoked), (&bob, KeyState::Active)]
    {
        let mut key = key(owner);
        key.state = state;
        bench.insert(&key).await;
        if state != KeyState::Revoked {
            wanted.push(key.id);
        }
    }
    bench.insert(&key(&bench.owner("other", "ada"))).await;
    for (limit, owners) in [(2, 2), (9, 2)] {
        let reads =
            Reads::Batch { scope: (&ada.organization).into(), states: vec![KeyState::Active, KeyState::Suspended], limit };
        let wanted: Vec<KeyId> = wanted.iter().copied().take(limit).collect();
        let decide = move |facts: &Facts| {
            assert_eq!(facts.keys.iter().map(|stored| stored.key.id).collect::<Vec<_>>(), wanted);
            assert!(facts.keys.iter().all(|stored| stored.secrets.len() == 1));
            assert_eq!(facts.owners.len(), owners);
            assert!(facts.organization.is_some());
            Decision::Refuse(Refusal::NotFound)
        };
        let result = bench.transact(Transaction::new(OperationId::new(start()), reads, decide)).await;
        assert!(matches!(result, Ok(Decision::Refuse(Refusal::NotFound))), "{result:?}");
    }
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
    assert_eq!((found.revision, found.secrets[0].scheme), (1, scheme));
    assert!(bench.store.find_by_digest(&[old]).await.unwrap().is_none());
    assert_eq!(bench.store.peppers_in_use().await.unwrap().into_iter().collect::<Vec<_>>(), [3]);
    assert_eq!(bench.store.keys_under_pepper(3, None, 9).await.unwrap(), [key.id]);
    assert!(bench.store.keys_under_pepper(3, Some(key.id), 9).await.unwrap().is_empty());
}
