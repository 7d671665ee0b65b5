//! Transactions at the same time: the outcome is that of running them one after another.

use super::{list_cases, tools::*};
use clove_core::{
    KeyState, OperationId, Scope,
    store::{ActiveLimit, Decision},
};
use std::sync::Arc;

/// How many transactions meet.
const CROWD: usize = 12;
/// How often, since a race is a matter of luck.
const ROUNDS: usize = 6;

list_cases![
    racing_creations_stop_at_the_limit,
    racing_changes_are_never_lost,
    a_kill_is_not_lost_to_an_edit,
    one_operation_id_acts_once,
    nothing_is_created_behind_a_close,
];

async fn racing_creations_stop_at_the_limit(bench: Arc<Bench>) {
    for round in 0..ROUNDS {
        let owner = bench.owner("acme", &format!("racer-{round}"));
        let creations = (0..CROWD)
            .map(|_| insertion(OperationId::new(start()), key(&owner), vec![current(digest())], Some(ActiveLimit::AtMost(2))));
        let results = at_once(creations.map(|creation| bench.transact(creation)).collect());
        let created = results.into_iter().filter(|result| matches!(result, Ok(Decision::Commit(_)))).count();
        assert_eq!(created, 2);
        assert_eq!(bench.all(&(&owner).into()).await.len(), 2);
    }
}

async fn racing_changes_are_never_lost(bench: Arc<Bench>) {
    for _ in 0..ROUNDS {
        let owner = bench.owner("acme", "ada");
        let (scope, key) = (Scope::from(&owner), key(&owner));
        bench.insert(&key).await;
        let changes = (0..CROWD).map(|_| update(OperationId::new(start()), &scope, key.id, None, |_| ()));
        for result in at_once(changes.map(|change| bench.transact(change)).collect()) {
            committed(result);
        }
        let found = bench.store.get(&scope, key.id).await.unwrap().unwrap();
        assert_eq!(found.revision, 1 + CROWD as u64);
    }
}

async fn a_kill_is_not_lost_to_an_edit(bench: Arc<Bench>) {
    for _ in 0..ROUNDS {
        let owner = bench.owner("acme", "ada");
        let (scope, key) = (Scope::from(&owner), key(&owner));
        bench.insert(&key).await;
        let name = clove_core::Name::new("edited").unwrap();
        let changes = (0..CROWD).map(|place| {
            let name = name.clone();
            update(OperationId::new(start()), &scope, key.id, None, move |key| {
                if place == CROWD / 2 {
                    key.state = KeyState::Revoked;
                } else {
                    key.name = name.clone();
                }
            })
        });
        for result in at_once(changes.map(|change| bench.transact(change)).collect()) {
            committed(result);
        }
        let found = bench.store.get(&scope, key.id).await.unwrap().unwrap();
        assert_eq!((found.state, found.name), (KeyState::Revoked, name));
        assert_eq!(bench.store.find_by_id(key.id).await.unwrap().unwrap().state, KeyState::Revoked);
    }
}

async fn one_operation_id_acts_once(bench: Arc<Bench>) {
    for round in 0..ROUNDS {
        let owner = bench.owner("acme", &format!("twice-{round}"));
        let operation = OperationId::new(start());
        let creations = (0..CROWD).map(|_| insertion(operation, key(&owner), vec![current(digest())], None));
        let results = at_once(creations.map(|creation| bench.transact(creation)).collect());
        assert_eq!(results.iter().filter(|result| matches!(result, Ok(Decision::Commit(_)))).count(), 1);
        assert_eq!(bench.all(&(&owner).into()).await.len(), 1);
    }
}

async fn nothing_is_created_behind_a_close(bench: Arc<Bench>) {
    for round in 0..ROUNDS {
        let owner = bench.owner("acme", &format!("leaver-{round}"));
        let create = || insertion(OperationId::new(start()), key(&owner), vec![current(digest())], Some(ActiveLimit::Unlimited));
        let close = async {
            bench.set_owner(&owner, |record| record.open = false).await;
            bench.all(&(&owner).into()).await.len()
        };
        let racers: Vec<std::pin::Pin<Box<dyn Future<Output = usize> + Send + '_>>> = (0..CROWD)
            .map(|_| Box::pin(async { usize::from(matches!(bench.transact(create()).await, Ok(Decision::Commit(_)))) }) as _)
            .chain(std::iter::once(Box::pin(close) as _))
            .collect();
        let results = at_once(racers);
        let (at_close, created) = results.split_last().unwrap();
        assert_eq!(*at_close, created.iter().sum::<usize>(), "keys after the close returned, and in the end");
        assert!(!bench.store.owner(&owner, start()).await.unwrap().unwrap().record.open);
    }
}
