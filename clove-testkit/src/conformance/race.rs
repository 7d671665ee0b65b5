//! Transactions at the same time: the outcome is that of running them one after another.

use super::{list_cases, tools::*};
use clove_core::{
    Action, KeyId, KeyState, OperationId, Owner, Refusal, Scope,
    store::{ActiveLimit, Changes, Decision, KeyChange, OwnerRecord, Reads, Transaction},
};
use std::sync::Arc;

/// How many transactions meet.
const CROWD: usize = 12;
/// How often, since a race is a matter of luck.
const ROUNDS: usize = 6;

list_cases![
    racing_creations_stop_at_the_limit,
    racing_creations_and_enablings_share_the_last_place,
    racing_creations_take_an_expired_place_once,
    one_edit_of_a_revision_wins,
    racing_changes_are_never_lost,
    a_kill_is_not_lost_to_an_edit,
    one_operation_id_acts_once,
    nothing_is_created_behind_a_close,
    nothing_is_created_behind_a_closed_organization,
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

async fn racing_creations_and_enablings_share_the_last_place(bench: Arc<Bench>) {
    const LIMIT: u32 = 2;
    for round in 0..ROUNDS {
        let owner = bench.owner("acme", &format!("sharer-{round}"));
        bench.insert(&key(&owner)).await;
        let mut racers = Vec::new();
        for _ in 0..CROWD / 2 {
            let mut suspended = key(&owner);
            suspended.state = KeyState::Suspended;
            bench.insert(&suspended).await;
            racers.push(enabling(&owner, suspended.id, LIMIT));
            let secrets = vec![current(digest())];
            racers.push(insertion(OperationId::new(start()), key(&owner), secrets, Some(ActiveLimit::AtMost(LIMIT))));
        }
        let results = at_once(racers.into_iter().map(|racer| bench.transact(racer)).collect());
        assert_eq!(results.into_iter().filter(|result| matches!(result, Ok(Decision::Commit(_)))).count(), 1);
        assert_eq!(bench.all(&(&owner).into()).await.iter().filter(|key| key.holds_place()).count(), 2);
    }
}

/// A key is switched on, if a place is free.
fn enabling(owner: &Owner, id: KeyId, limit: u32) -> Transaction {
    let operation = OperationId::new(start());
    let reads = Reads::Key { scope: owner.into(), id, expired_at: None };
    Transaction::new(operation, reads, move |facts| {
        let (Some(stored), Some(record)) = (facts.keys.first(), facts.owners.first()) else {
            return Decision::Refuse(Refusal::NotFound);
        };
        if record.held >= limit {
            return Decision::Refuse(Refusal::LimitReached { active: record.held, limit });
        }
        let mut key = stored.key.clone();
        (key.state, key.revision) = (KeyState::Active, key.revision + 1);
        let events = vec![event(operation, Action::Enable, &key)];
        let owners = vec![OwnerRecord { held: record.held + 1, ..record.clone() }];
        Decision::Commit(Changes { owners, keys: vec![KeyChange::Update { key, secrets: None }], events, ..Changes::default() })
    })
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

async fn racing_creations_take_an_expired_place_once(bench: Arc<Bench>) {
    for round in 0..ROUNDS {
        let owner = bench.owner("acme", &format!("heir-{round}"));
        let (mut expired, live) = (key(&owner), key(&owner));
        expired.expires_at = Some(start());
        bench.insert(&expired).await;
        bench.insert(&live).await;
        let creations = (0..CROWD)
            .map(|_| insertion(OperationId::new(start()), key(&owner), vec![current(digest())], Some(ActiveLimit::AtMost(2))));
        let results = at_once(creations.map(|creation| bench.transact(creation)).collect());
        assert_eq!(results.iter().filter(|result| matches!(result, Ok(Decision::Commit(_)))).count(), 1);
        assert!(bench.store.get(&(&owner).into(), expired.id).await.unwrap().unwrap().expiry_latched);
        assert_eq!(bench.store.owner(&owner, start()).await.unwrap().unwrap().record.held, 2);
    }
}

async fn one_edit_of_a_revision_wins(bench: Arc<Bench>) {
    for _ in 0..ROUNDS {
        let owner = bench.owner("acme", "ada");
        let (scope, key) = (Scope::from(&owner), key(&owner));
        bench.insert(&key).await;
        let edits = (0..CROWD).map(|_| update(OperationId::new(start()), &scope, key.id, Some(1), |_| ()));
        let results = at_once(edits.map(|edit| bench.transact(edit)).collect());
        let won = results.iter().filter(|result| matches!(result, Ok(Decision::Commit(_)))).count();
        let lost = |result: &&Result<Decision, _>| {
            matches!(result, Ok(Decision::Refuse(Refusal::RevisionConflict { expected: 1, found: 2 })))
        };
        assert_eq!((won, results.iter().filter(lost).count()), (1, CROWD - 1));
        assert_eq!(bench.store.get(&scope, key.id).await.unwrap().unwrap().revision, 2);
    }
}

async fn nothing_is_created_behind_a_closed_organization(bench: Arc<Bench>) {
    for round in 0..ROUNDS {
        let owners: Vec<_> = (0..CROWD).map(|place| bench.owner(&format!("gone-{round}"), &format!("a-{place}"))).collect();
        let (bench, organization) = (&bench, &owners[0].organization);
        let close = async move {
            bench.set_organization(organization, false).await;
            bench.all(&organization.into()).await.len()
        };
        let create = |owner: &clove_core::Owner| {
            let creation = insertion(OperationId::new(start()), key(owner), vec![current(digest())], None);
            async move { usize::from(matches!(bench.transact(creation).await, Ok(Decision::Commit(_)))) }
        };
        let racers: Vec<std::pin::Pin<Box<dyn Future<Output = usize> + Send + '_>>> =
            owners.iter().map(|owner| Box::pin(create(owner)) as _).chain(std::iter::once(Box::pin(close) as _)).collect();
        let results = at_once(racers);
        let (at_close, created) = results.split_last().unwrap();
        assert_eq!(*at_close, created.iter().sum::<usize>(), "keys after the close returned, and in the end");
        assert!(!bench.store.organization(organization).await.unwrap().unwrap().open);
    }
}
