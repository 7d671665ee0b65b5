//! Commands on many keys: read by scope and state, written as one.

use super::{list_cases, tools::*};
use clove_core::{
    Action, AuditEvent, KeyId, KeyState, OperationId, Scope, StoreError,
    error::Unique,
    store::{AuditQuery, Changes, Flag, KeyChange, OwnerRecord, Reads, StoredKey},
};
use std::sync::Arc;

list_cases![
    batches_read_keys_and_owners,
    batches_go_on_after_a_key,
    a_batch_tells_whether_its_owner_is_open,
    a_batch_is_written_as_one
];

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
        let states = vec![KeyState::Active, KeyState::Suspended];
        let reads = Reads::Batch { scope: (&ada.organization).into(), states, after: None, limit };
        let wanted: Vec<KeyId> = wanted.iter().copied().take(limit).collect();
        let facts = bench.read(OperationId::new(start()), reads).await;
        assert_eq!(facts.keys.iter().map(|stored| stored.key.id).collect::<Vec<_>>(), wanted);
        assert!(facts.keys.iter().all(|stored| stored.secrets.len() == 1));
        assert_eq!(facts.owners.len(), owners);
    }
}

async fn batches_go_on_after_a_key(bench: Arc<Bench>) {
    let (ada, bob) = (bench.owner("acme", "ada"), bench.owner("acme", "bob"));
    let mut keys = Vec::new();
    for (owner, state) in [
        (&ada, KeyState::Active),
        (&bob, KeyState::Active),
        (&ada, KeyState::Revoked),
        (&bob, KeyState::Active),
        (&ada, KeyState::Active),
    ] {
        let mut key = key(owner);
        key.state = state;
        bench.insert(&key).await;
        keys.push(key.id);
    }
    let [first, second, revoked, fourth, fifth] = *keys else { panic!("five keys") };
    let below = KeyId::new(after(-1));
    for (scope, after, wanted) in [
        (Scope::from(&ada.organization), Some(first), vec![second, fourth]),
        (Scope::from(&ada.organization), Some(second), vec![fourth, fifth]),
        (Scope::from(&ada.organization), Some(revoked), vec![fourth, fifth]),
        (Scope::from(&ada.organization), Some(fifth), vec![]),
        (Scope::from(&ada.organization), Some(below), vec![first, second]),
        (Scope::from(&ada), Some(first), vec![fifth]),
        // A key of another's is a place like any.
        (Scope::from(&ada), Some(second), vec![fifth]),
        (Scope::from(&ada), Some(fifth), vec![]),
    ] {
        let reads = Reads::Batch { scope, states: vec![KeyState::Active], after, limit: 2 };
        let facts = bench.read(OperationId::new(start()), reads.clone()).await;
        assert_eq!(facts.keys.iter().map(|stored| stored.key.id).collect::<Vec<_>>(), wanted, "{reads:?}");
    }
}

async fn a_batch_tells_whether_its_owner_is_open(bench: Arc<Bench>) {
    let (ada, bob) = (bench.owner("acme", "ada"), bench.owner("acme", "bob"));
    bench.set_owner(&ada, |record| record.open = false).await;
    bench.insert(&key(&bob)).await;
    let states = vec![KeyState::Active];
    let reads = Reads::Batch { scope: (&ada).into(), states: states.clone(), after: None, limit: 9 };
    let facts = bench.read(OperationId::new(start()), reads).await;
    assert_eq!((facts.flag, facts.keys.len(), facts.owners.len()), (Some(Flag::Closed), 0, 0));
    for (states, count) in [(vec![], 0), (vec![KeyState::Suspended], 0), (states, 1)] {
        let facts =
            bench.read(OperationId::new(start()), Reads::Batch { scope: (&bob).into(), states, after: None, limit: 9 }).await;
        assert_eq!((facts.flag, facts.keys.len(), facts.owners.len()), (Some(Flag::Open), count, count));
    }
}

async fn a_batch_is_written_as_one(bench: Arc<Bench>) {
    let owners = [bench.owner("acme", "ada"), bench.owner("acme", "bob")];
    for owner in owners.iter().chain(&owners) {
        bench.insert(&key(owner)).await;
    }
    let scope: Scope = (&owners[0].organization).into();
    let before = bench.all(&scope).await;
    let taken = OperationId::new(start());
    let revoke = |stored: &StoredKey| KeyChange::Update {
        key: clove_core::Key { state: KeyState::Revoked, revision: 2, ..stored.key.clone() },
        secrets: None,
    };
    for last in [taken, OperationId::new(start())] {
        let reads = Reads::Batch { scope: scope.clone(), states: vec![KeyState::Active], after: None, limit: 9 };
        let facts = bench.read(OperationId::new(start()), reads).await;
        let mut events: Vec<AuditEvent> =
            facts.keys.iter().map(|stored| event(OperationId::new(start()), Action::Revoke, &stored.key)).collect();
        events.last_mut().unwrap().operation = last;
        if last == taken {
            // Two events of one transaction under one operation id are a conflict too.
            events[0].operation = taken;
        }
        let changes = Changes {
            owners: facts.owners.iter().map(|record| OwnerRecord { held: 0, ..record.clone() }).collect(),
            keys: facts.keys.iter().map(revoke).collect(),
            events,
            ..Changes::default()
        };
        let result = bench.write(&owners[0], changes).await;
        if last == taken {
            assert!(matches!(result, Err(StoreError::Conflict(Unique::OperationId))), "{result:?}");
            assert_eq!(bench.all(&scope).await, before);
        } else {
            committed(result);
        }
        bench.assert_books_balance().await;
    }
    assert!(bench.all(&scope).await.iter().all(|key| key.state == KeyState::Revoked));
    let query = AuditQuery { scope, key: None, action: Some(Action::Revoke), from: None, until: None, before: None, limit: 9 };
    let mut audited: Vec<KeyId> =
        bench.store.audit(&query).await.unwrap().events.into_iter().map(|event| event.key.unwrap().id).collect();
    audited.sort();
    let mut wanted: Vec<KeyId> = before.iter().map(|key| key.id).collect();
    wanted.sort();
    assert_eq!(audited, wanted);
}
