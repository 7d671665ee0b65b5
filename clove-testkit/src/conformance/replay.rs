//! An operation id acts once: by it, an unknown outcome is found out.

use super::{list_cases, tools::*};
use clove_core::{
    Action, KeyState, OperationId, Scope, StoreError,
    error::Unique,
    store::{Changes, Decision, Flag, KeyChange, Reads},
};
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

list_cases![
    an_operation_id_is_replayed,
    a_replay_comes_with_the_other_facts,
    a_conflict_in_the_trail_takes_its_changes_with_it,
    a_dropped_transaction_has_happened_whole_or_not_at_all,
];

async fn an_operation_id_is_replayed(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let operation = OperationId::new(start());
    let first = key(&owner);
    let written = committed(bench.transact(insertion(operation, first.clone(), vec![current(digest())], None)).await);
    let again = bench.transact(insertion(operation, key(&owner), vec![current(digest())], None)).await;
    let Ok(Decision::Replay(event, _)) = again else { panic!("not replayed: {again:?}") };
    assert_eq!([*event], *written.events, "as it was written, its own id with it");
    assert_eq!(bench.all(&(&owner).into()).await.len(), 1);
}

async fn a_replay_comes_with_the_other_facts(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (key, operation) = (key(&owner), OperationId::new(start()));
    committed(bench.transact(insertion(operation, key.clone(), vec![current(digest())], None)).await);
    let scope = Scope::from(&owner);
    for (reads, owners, keys) in [
        (Reads::Owner { owner: owner.clone(), expired_at: None }, 1, 0),
        (Reads::Flag((&owner.organization).into()), 0, 0),
        (Reads::Key { scope: scope.clone(), id: key.id, expired_at: None }, 1, 1),
        (Reads::Batch { scope, states: vec![KeyState::Active], after: None, limit: 9 }, 1, 1),
    ] {
        let facts = bench.read(operation, reads.clone()).await;
        assert_eq!(facts.replayed.map(|event| event.operation), Some(operation), "{reads:?}");
        assert_eq!((facts.owners.len(), facts.keys.len()), (owners, keys), "{reads:?}");
        assert!(facts.organization.is_some() || facts.flag == Some(Flag::Open), "{reads:?}");
        let fresh = bench.read(OperationId::new(start()), reads.clone()).await;
        assert!(fresh.replayed.is_none(), "{reads:?}");
    }
}

async fn a_conflict_in_the_trail_takes_its_changes_with_it(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (key, operation) = (key(&owner), OperationId::new(start()));
    committed(bench.transact(insertion(operation, key.clone(), vec![current(digest())], None)).await);
    let mut written = event(operation, Action::Create, &key);
    let query = clove_core::store::AuditQuery {
        scope: (&owner).into(),
        key: None,
        action: None,
        from: None,
        until: None,
        before: None,
        limit: 9,
    };
    written.id = bench.store.audit(&query).await.unwrap().events[0].id;
    let rival = bench.owner("acme", "bob");
    for unique in [Unique::OperationId, Unique::AuditId] {
        let mut clash = event(OperationId::new(start()), Action::Edit, &key);
        match unique {
            Unique::OperationId => clash.operation = operation,
            _ => clash.id = written.id,
        }
        let mut edited = key.clone();
        (edited.state, edited.revision) = (KeyState::Revoked, 2);
        let changes = Changes {
            owners: vec![owner_record(&rival)],
            keys: vec![KeyChange::Update { key: edited, secrets: Some(vec![current(digest())]) }],
            events: vec![event(OperationId::new(start()), Action::Edit, &key), clash],
            ..Changes::default()
        };
        let result = bench.write(&owner, changes).await;
        assert!(matches!(&result, Err(StoreError::Conflict(found)) if *found == unique), "{result:?}");
        assert_eq!(bench.store.get(&(&owner).into(), key.id).await.unwrap(), Some(key.clone()));
        assert!(bench.store.owner(&rival, start()).await.unwrap().is_none());
        assert_eq!(bench.store.audit(&query).await.unwrap().events, [written.clone()]);
    }
}

async fn a_dropped_transaction_has_happened_whole_or_not_at_all(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    for polls in 0..3 {
        let (operation, key) = (OperationId::new(start()), key(&owner));
        let creation = || insertion(operation, key.clone(), vec![current(digest())], None);
        {
            let mut dropped = pin!(bench.transact(creation()));
            for _ in 0..polls {
                if dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    break;
                }
            }
        }
        // The same transaction again tells.
        let again = bench.transact(creation()).await;
        assert!(matches!(again, Ok(Decision::Commit(_) | Decision::Replay(..))), "{again:?}");
        assert!(bench.store.get(&(&owner).into(), key.id).await.unwrap().is_some());
        let again = bench.transact(creation()).await;
        assert!(matches!(again, Ok(Decision::Replay(..))), "{again:?}");
        assert_eq!(bench.all(&(&owner).into()).await.len(), polls + 1);
    }
}
