//! The audit trail: with its change or not at all, unique by operation, read in pages.

use super::{list_cases, tools::*};
use clove_core::{
    Action, AuditEvent, KeyId, OperationId, Scope, StoreError,
    error::Unique,
    id::AuditId,
    store::{AuditQuery, Changes, Decision, Facts, Reads, Transaction},
};
use std::sync::Arc;

list_cases![
    a_change_and_its_event_are_written_together,
    an_operation_id_is_unique,
    an_audit_id_is_unique,
    events_outlive_their_key,
    the_trail_is_scoped_filtered_and_paged,
];

fn all_of(scope: Scope) -> AuditQuery {
    AuditQuery { scope, key: None, action: None, from: None, until: None, before: None, limit: 100 }
}

async fn a_change_and_its_event_are_written_together(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (key, operation) = (key(&owner), OperationId::new(start()));
    committed(bench.transact(insertion(operation, key.clone(), vec![current(digest())], None)).await);
    let page = bench.store.audit(&all_of((&owner).into())).await.unwrap();
    let [written] = page.events.as_slice() else { panic!("one event, not {}", page.events.len()) };
    assert_eq!(*written, AuditEvent { id: written.id, ..event(operation, Action::Create, &key) });
}

/// A transaction that does not look at the replay, and writes only an event.
fn blind(operation: OperationId, id: AuditId, owner: &clove_core::Owner) -> Transaction {
    let subject = key(owner);
    Transaction::new(operation, Reads::Owner { owner: owner.clone(), expired_at: None }, move |_: &Facts| {
        let mut event = event(operation, Action::Edit, &subject);
        event.id = id;
        Decision::Commit(Changes { events: vec![event], ..Changes::default() })
    })
}

async fn an_operation_id_is_unique(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let operation = OperationId::new(start());
    committed(bench.transact(blind(operation, AuditId::new(start()), &owner)).await);
    let again = bench.transact(blind(operation, AuditId::new(start()), &owner)).await;
    assert!(matches!(again, Err(StoreError::Conflict(Unique::OperationId))), "{again:?}");
    assert_eq!(bench.store.audit(&all_of((&owner).into())).await.unwrap().events.len(), 1);
}

async fn an_audit_id_is_unique(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let id = AuditId::new(start());
    committed(bench.transact(blind(OperationId::new(start()), id, &owner)).await);
    let again = bench.transact(blind(OperationId::new(start()), id, &owner)).await;
    assert!(matches!(again, Err(StoreError::Conflict(Unique::AuditId))), "{again:?}");
}

async fn events_outlive_their_key(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let key = key(&owner);
    bench.insert(&key).await;
    bench.delete(&(&owner).into(), key.id).await;
    let query = AuditQuery { key: Some(key.id), ..all_of((&owner).into()) };
    let actions: Vec<Action> = bench.store.audit(&query).await.unwrap().events.iter().map(|event| event.action).collect();
    assert_eq!(actions, [Action::Delete, Action::Create]);
}

async fn the_trail_is_scoped_filtered_and_paged(bench: Arc<Bench>) {
    let (ada, bob, other) = (bench.owner("acme", "ada"), bench.owner("acme", "bob"), bench.owner("other", "ada"));
    let mut ids: Vec<AuditId> = Vec::new();
    let subject = key(&ada);
    for seconds in 0..7 {
        let operation = OperationId::new(start());
        let mut event = event(operation, if seconds % 2 == 0 { Action::Edit } else { Action::Disable }, &subject);
        (event.id, event.at) = (AuditId::new(after(seconds)), after(seconds));
        ids.push(event.id);
        let decide = move |_: &Facts| Decision::Commit(Changes { events: vec![event.clone()], ..Changes::default() });
        let reads = Reads::Owner { owner: ada.clone(), expired_at: None };
        committed(bench.transact(Transaction::new(operation, reads, decide)).await);
    }
    bench.insert(&key(&bob)).await;
    bench.insert(&key(&other)).await;
    bench.set_organization(&ada.organization, true).await;
    ids.reverse();

    let mut read: Vec<AuditId> = Vec::new();
    loop {
        let query = AuditQuery { limit: 3, before: read.last().copied(), ..all_of((&ada).into()) };
        let page = bench.store.audit(&query).await.unwrap();
        assert_eq!(page.last, page.events.last().map(|event| event.id));
        read.extend(page.events.iter().map(|event| event.id));
        if !page.more {
            break;
        }
    }
    assert_eq!(read, ids, "newest first, none twice, none left out");

    let count = |query: AuditQuery| {
        let bench = Arc::clone(&bench);
        async move { bench.store.audit(&query).await.unwrap().events.len() }
    };
    let own = || all_of((&ada).into());
    assert_eq!(count(AuditQuery { from: Some(after(2)), until: Some(after(5)), ..own() }).await, 3, "from, and before until");
    assert_eq!(count(AuditQuery { action: Some(Action::Disable), ..own() }).await, 3);
    assert_eq!(count(AuditQuery { key: Some(subject.id), ..own() }).await, 7);
    assert_eq!(count(AuditQuery { key: Some(KeyId::new(start())), ..own() }).await, 0);
    assert_eq!(count(AuditQuery { key: Some(subject.id), ..all_of((&bob).into()) }).await, 0, "a foreign key");
    assert_eq!(count(AuditQuery { key: Some(subject.id), ..all_of((&other.organization).into()) }).await, 0, "a foreign key");
    assert_eq!(count(all_of((&ada.organization).into())).await, 9, "its owners' events and its own");
    assert_eq!(count(all_of((&bob).into())).await, 1);
}
