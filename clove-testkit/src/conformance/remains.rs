//! What is left of a key, for a deletion that cannot read it.

use super::{list_cases, tools::*};
use clove_core::{
    Action, KeyId, KeyState, OperationId, Scope,
    store::{Changes, Decision, KeyChange, Reads, Remains, Transaction},
};
use std::sync::Arc;

list_cases![remains_tell_whose_a_key_is_and_count_the_others, remains_are_scoped, a_key_is_deleted_by_its_remains];

async fn remains_tell_whose_a_key_is_and_count_the_others(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    bench.insert(&key(&bench.owner("acme", "bob"))).await;
    let mut keys = Vec::new();
    for (state, latched) in
        [(KeyState::Active, false), (KeyState::Suspended, false), (KeyState::Active, false), (KeyState::Active, true)]
    {
        let mut key = key(&owner);
        (key.state, key.expiry_latched) = (state, latched);
        bench.insert(&key).await;
        keys.push(key);
    }
    for (key, others_held) in keys.iter().zip([1, 2, 1, 2]) {
        for scope in [Scope::from(&owner), Scope::from(&owner.organization)] {
            let facts = bench.read(OperationId::new(start()), Reads::Remains { scope, id: key.id }).await;
            let (name, state) = (Some(key.name.clone()), Some(key.state));
            let wanted = Remains { id: key.id, owner: owner.clone(), name, state, others: 3, others_held };
            assert_eq!(facts.remains, Some(wanted));
            assert!(facts.keys.is_empty() && facts.owners.len() == 1 && facts.owners[0].owner == owner);
            assert!(facts.organization.is_some());
        }
    }
}

async fn remains_are_scoped(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let key = key(&owner);
    bench.insert(&key).await;
    let (bob, other) = (bench.owner("acme", "bob"), bench.owner("other", "ada"));
    for (scope, id) in [
        (Scope::from(&bob), key.id),
        (Scope::from(&other), key.id),
        (Scope::from(&other.organization), key.id),
        (Scope::from(&owner), KeyId::new(start())),
    ] {
        let facts = bench.read(OperationId::new(start()), Reads::Remains { scope, id }).await;
        assert!(facts.remains.is_none() && facts.keys.is_empty());
    }
}

async fn a_key_is_deleted_by_its_remains(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (gone, stays, operation) = (key(&owner), key(&owner), OperationId::new(start()));
    let digest = bench.insert(&gone).await;
    bench.insert(&stays).await;
    let audited = event(operation, Action::Delete, &gone);
    let delete = || {
        let audited = audited.clone();
        Transaction::new(operation, Reads::Remains { scope: (&owner).into(), id: gone.id }, move |facts| {
            if let Some(event) = &facts.replayed {
                return Decision::Replay(Box::new(event.clone()), None);
            }
            let Some(remains) = &facts.remains else { return Decision::Commit(Changes::default()) };
            let mut owner = facts.owners[0].clone();
            (owner.records, owner.held) = (remains.others, remains.others_held);
            let (keys, events) = (vec![KeyChange::Delete(remains.id)], vec![audited.clone()]);
            Decision::Commit(Changes { owners: vec![owner], keys, events, ..Changes::default() })
        })
    };
    committed(bench.transact(delete()).await);
    assert_eq!(bench.all(&(&owner).into()).await, [stays]);
    assert!(bench.store.find_by_digest(&[digest]).await.unwrap().is_none());
    let again = bench.transact(delete()).await;
    assert!(matches!(again, Ok(Decision::Replay(..))), "{again:?}");
}
