//! Places under the active limit: which ones expired keys hold, and how they are given away.

use super::{list_cases, tools::*};
use clove_core::{
    KeyId, KeyState, OperationId, Owner, Scope,
    store::{ActiveLimit, Reads},
};
use std::sync::Arc;

list_cases![
    an_expired_place_is_read_and_freed,
    expired_places_are_read_exactly,
    expired_places_are_read_beside_a_key,
    expired_places_are_not_read_unasked,
];

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

/// Keys around the edge, and the ids of those that hold an expired place at the start, ascending.
async fn around_the_edge(bench: &Bench, owner: &Owner) -> Vec<KeyId> {
    let mut wanted = Vec::new();
    for (seconds, state, latched, counts) in [
        (Some(-1), KeyState::Active, false, true),
        (Some(0), KeyState::Active, false, true),
        (Some(1), KeyState::Active, false, false),
        (None, KeyState::Active, false, false),
        (Some(-1), KeyState::Active, true, false),
        (Some(-1), KeyState::Suspended, false, false),
        (Some(-1), KeyState::Compromised, false, false),
        (Some(-1), KeyState::Revoked, false, false),
    ] {
        let mut key = key(owner);
        (key.expires_at, key.state, key.expiry_latched) = (seconds.map(after), state, latched);
        bench.insert(&key).await;
        if counts {
            wanted.push(key.id);
        }
    }
    for foreign in [bench.owner("acme", "bob"), bench.owner("other", owner.account.as_str())] {
        let mut foreign = key(&foreign);
        foreign.expires_at = Some(after(-1));
        bench.insert(&foreign).await;
    }
    wanted
}

async fn read_expired(bench: &Bench, reads: Reads) -> Vec<KeyId> {
    let facts = bench.read(OperationId::new(start()), reads).await;
    let mut found: Vec<KeyId> = facts.expired.iter().map(|key| key.id).collect();
    found.sort();
    found
}

async fn expired_places_are_read_exactly(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let wanted = around_the_edge(&bench, &owner).await;
    assert_eq!(read_expired(&bench, Reads::Owner { owner: owner.clone(), expired_at: Some(start()) }).await, wanted);
    let facts = bench.store.owner(&owner, start()).await.unwrap().unwrap();
    assert_eq!(facts.held_by_expired as usize, wanted.len());
}

async fn expired_places_are_read_beside_a_key(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let wanted = around_the_edge(&bench, &owner).await;
    let mut asked = key(&owner);
    asked.state = KeyState::Suspended;
    bench.insert(&asked).await;
    for scope in [Scope::from(&owner), Scope::from(&owner.organization)] {
        let reads = Reads::Key { scope, id: asked.id, expired_at: Some(start()) };
        assert_eq!(read_expired(&bench, reads).await, wanted);
    }
}

async fn expired_places_are_not_read_unasked(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let expired = around_the_edge(&bench, &owner).await;
    assert!(read_expired(&bench, Reads::Owner { owner: owner.clone(), expired_at: None }).await.is_empty());
    let reads = Reads::Key { scope: (&owner).into(), id: expired[0], expired_at: None };
    assert!(read_expired(&bench, reads).await.is_empty());
    // Nor does an unlimited creation latch any.
    let creation = insertion(OperationId::new(start()), key(&owner), vec![current(digest())], Some(ActiveLimit::Unlimited));
    committed(bench.transact(creation).await);
    let facts = bench.store.owner(&owner, start()).await.unwrap().unwrap();
    assert_eq!(facts.held_by_expired as usize, expired.len());
}
