//! What is left of a key or an owner, for commands that kill and cannot read the rest.

use super::{list_cases, tools::*};
use clove_core::{
    Action, ActiveLimit, Key, KeyId, KeyState, OperationId, Scope,
    store::{Changes, Decision, Flag, KeyChange, OwnerRecord, Reads, Remains, Transaction},
};
use std::sync::Arc;

list_cases![
    remains_tell_whose_a_key_is_and_count_the_others,
    remains_are_scoped,
    a_key_is_deleted_by_its_remains,
    a_key_is_stopped_and_the_rest_of_it_stays,
    an_owner_is_flagged_and_the_rest_of_its_row_stays
];

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
            let wanted = Remains { id: key.id, owner: owner.clone(), name, state, revision: Some(1), others: 3, others_held };
            assert_eq!(facts.remains, Some(wanted));
            assert!(facts.keys.is_empty() && facts.owners.len() == 1 && facts.owners[0].owner == owner);
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

async fn a_key_is_stopped_and_the_rest_of_it_stays(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (stopped, stays) = (key(&owner), key(&owner));
    let digests = [bench.insert(&stopped).await, bench.insert(&stays).await];
    for (revision, state) in [(2, KeyState::Suspended), (3, KeyState::Revoked)] {
        let keys = vec![KeyChange::Stop { id: stopped.id, state, revision }];
        let events = vec![event(OperationId::new(start()), Action::Revoke, &stopped)];
        let held = |record: &OwnerRecord| OwnerRecord { held: 1, ..record.clone() };
        let owners = bench.store.owner(&owner, start()).await.unwrap().iter().map(|facts| held(&facts.record)).collect();
        committed(bench.write(&owner, Changes { owners, keys, events, ..Changes::default() }).await);
        let wanted = Key { state, revision, ..stopped.clone() };
        assert_eq!(bench.store.get(&(&owner).into(), stopped.id).await.unwrap(), Some(wanted));
        for found in [bench.store.find_by_id(stopped.id).await, bench.store.find_by_digest(&digests[..1]).await] {
            let found = found.unwrap().unwrap();
            assert_eq!((found.id, found.state, found.revision, found.secrets.to_vec().len()), (stopped.id, state, revision, 1));
        }
    }
    assert_eq!(bench.store.get(&(&owner).into(), stays.id).await.unwrap(), Some(stays));
    bench.assert_books_balance().await;
}

async fn an_owner_is_flagged_and_the_rest_of_its_row_stays(bench: Arc<Bench>) {
    let (ada, new) = (bench.owner("acme", "ada"), bench.owner("acme", "new"));
    bench.set_owner(&ada, |record| (record.limit, record.creations) = (Some(ActiveLimit::AtMost(7)), 3)).await;
    let key = key(&ada);
    bench.insert(&key).await;
    let before = bench.store.owner(&ada, start()).await.unwrap().unwrap().record;
    for open in [false, true, true] {
        for (owner, rest) in [(&ada, before.clone()), (&new, owner_record(&new))] {
            let events = vec![event(OperationId::new(start()), Action::CloseOwner, &key)];
            let changes = Changes { owner_flag: Some((owner.clone(), open)), events, ..Changes::default() };
            committed(bench.write(&ada, changes).await);
            let record = bench.store.owner(owner, start()).await.unwrap().unwrap().record;
            assert_eq!(record, OwnerRecord { open, ..rest });
            let facts = bench.read(OperationId::new(start()), Reads::Flag(owner.into())).await;
            assert_eq!(facts.flag, Some(Flag::from(open)));
        }
        assert_eq!(bench.store.find_by_id(key.id).await.unwrap().unwrap().owner_open, open);
    }
    let nobody = bench.read(OperationId::new(start()), Reads::Flag((&bench.owner("acme", "nobody")).into())).await;
    assert_eq!(nobody.flag, None);
}
