//! Several processes at once, each with a pool of its own: what is counted is counted once, and nothing comes to life behind a flag.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::{DateTime, TimeDelta, Utc};
use clove_core::{
    ActiveLimit, Attempt, Budget, BudgetOf, By, Clove, Error, KeyState, Limits, ListKeys, ListUsage, NewKey, OrganizationId,
    Owner, Policy, Refill, Refusal, Tier, Unit, Window,
};
use clove_testkit::TestClock;
use std::time::Duration;
use support::{Operator, Schemas, Way};
use tokio::task::JoinSet;

const NODES: usize = 4;

/// Processes under one policy on one schema, and an operator of it.
async fn nodes(schemas: &Schemas, policy: &Policy) -> (Vec<Clove>, Operator) {
    let name = schemas.name();
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(Clove::new(schemas.options_of(&name).open().await.unwrap(), policy.clone()));
    }
    (nodes, Operator::of(&name).await)
}

fn by() -> By {
    By::new("ada", "a test").unwrap()
}

fn tokens() -> Unit {
    Unit::new("tokens").unwrap()
}

async fn create(clove: &Clove, owner: &Owner) -> Result<String, Error> {
    let issued = clove.create(owner, NewKey::named("a key").unwrap(), &by()).await?;
    Ok(issued.credential.unwrap().reveal().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_creations_of_an_owner_in_a_new_organization_give_two_keys_and_one_row_each() {
    for way in [Way::Direct, Way::Pooled] {
        let schemas = Schemas::new(way);
        let (nodes, mut operator) = nodes(&schemas, &Policy::profile_a()).await;
        for round in 0..10 {
            let mut creating = JoinSet::new();
            for place in 0..12 {
                let clove = nodes[place % NODES].clone();
                let owner = Owner::new(format!("org{round}"), "ada").unwrap();
                creating.spawn(async move { create(&clove, &owner).await });
            }
            let outcomes = creating.join_all().await;
            let refused = |outcome: &&Result<String, Error>| matches!(outcome, Err(Error::Refused(Refusal::LimitReached { .. })));
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2, "{outcomes:?}");
            assert_eq!(outcomes.iter().filter(refused).count(), 10, "{outcomes:?}");
        }
        let rows = "SELECT (SELECT count(*) FROM ~organizations), (SELECT count(*) FROM ~owners WHERE held = 2 AND records = 2), \
                    (SELECT count(*) FROM ~keys), (SELECT count(*) FROM ~audit)";
        assert_eq!(operator.rows(rows).await, ["10 10 20 20"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_comes_to_life_behind_a_closed_owner_or_organization() {
    let schemas = Schemas::new(Way::Direct);
    let policy = Policy::builder().active_limit(ActiveLimit::Unlimited).build().unwrap();
    let (nodes, mut operator) = nodes(&schemas, &policy).await;
    for round in 0..6 {
        let organization = OrganizationId::new(format!("org{round}")).unwrap();
        let owners: Vec<Owner> = (0..5).map(|n| Owner::new(organization.as_str(), format!("account{n}")).unwrap()).collect();
        let mut work = JoinSet::new();
        for place in 0..40 {
            let (clove, owner) = (nodes[place % NODES].clone(), owners[place % owners.len()].clone());
            work.spawn(async move {
                match create(&clove, &owner).await {
                    Ok(_) | Err(Error::Refused(Refusal::OwnerClosed)) => {}
                    other => panic!("{other:?}"),
                }
            });
        }
        let (clove, closing) = (nodes[round % NODES].clone(), organization.clone());
        let (one, other) = (nodes[(round + 1) % NODES].clone(), owners[0].clone());
        work.spawn(async move { assert!(clove.close_organization(&closing, &by()).await.unwrap().unreadable.is_none()) });
        work.spawn(async move { assert!(one.close_owner(&other, &by()).await.unwrap().unreadable.is_none()) });
        work.join_all().await;
        for owner in &owners {
            let keys = nodes[0].list(owner, &ListKeys { limit: Some(200), ..ListKeys::default() }).await.unwrap().items;
            assert!(keys.iter().all(|key| key.state == KeyState::Revoked), "{keys:?}");
            assert!(matches!(create(&nodes[0], owner).await, Err(Error::Refused(Refusal::OwnerClosed))));
        }
    }
    let counts = "SELECT count(*) FROM ~owners o WHERE o.held <> 0 \
                  OR o.records <> (SELECT count(*) FROM ~keys k WHERE k.org = o.org AND k.account = o.account)";
    assert_eq!(operator.number(counts).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monthly_budget_is_reserved_of_exactly_by_nodes_on_both_sides_of_midnight() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    let budget = Budget::new(100, Refill::Monthly).unwrap();
    let policy = Policy::builder().budget(BudgetOf::Account, tokens(), budget).deadline(Duration::from_secs(30)).build().unwrap();
    let midnight: DateTime<Utc> = "2027-03-15T00:00:00Z".parse().unwrap();
    let mut nodes = Vec::new();
    for place in 0..NODES {
        let at = midnight + TimeDelta::milliseconds(if place % 2 == 0 { -300 } else { 300 });
        let store = schemas.options_of(&name).open().await.unwrap();
        nodes.push(Clove::with_clock(store, policy.clone(), TestClock::at(at)));
    }
    let owner = Owner::new("acme", "ada").unwrap();
    let credential = create(&nodes[0], &owner).await.unwrap();
    let mut work = JoinSet::new();
    for place in 0..32 {
        let (clove, credential) = (nodes[place % NODES].clone(), credential.clone());
        work.spawn(async move {
            let verdict = clove.verify(Attempt::new(&credential).reserving(&tokens(), 10)).await.unwrap();
            let grant = verdict.granted()?;
            if place % 3 == 0 {
                clove.settle_durably(&grant, 10).await.unwrap();
            }
            Some(())
        });
    }
    let granted = work.join_all().await.into_iter().flatten().count();
    let state = nodes[1].budget(&owner, None, &tokens()).await.unwrap().unwrap();
    assert_eq!((granted, state.settled + state.reserved, state.left()), (10, 100, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_of_one_grant_that_several_nodes_record_count_once() {
    let schemas = Schemas::new(Way::Direct);
    let (nodes, _) = nodes(&schemas, &Policy::profile_a()).await;
    let owner = Owner::new("acme", "ada").unwrap();
    let credential = create(&nodes[0], &owner).await.unwrap();
    let mut expected = 0;
    for _ in 0..5 {
        let grant = nodes[0].verify(&credential).await.unwrap().granted().unwrap();
        let mut work = JoinSet::new();
        for place in 0..16 {
            let (clove, grant) = (nodes[place % NODES].clone(), grant.clone());
            work.spawn(async move { clove.record_durably(&grant, &tokens(), 1 + place as u64).await.unwrap() });
        }
        work.join_all().await;
        expected += 16;
    }
    for by in [clove_core::UsageBy::Organization, clove_core::UsageBy::Account, clove_core::UsageBy::Key] {
        let list = ListUsage { unit: Some(tokens()), by, ..ListUsage::default() };
        let sums = if by == clove_core::UsageBy::Organization {
            nodes[1].usage(&owner.organization, &list).await.unwrap().items
        } else {
            nodes[1].usage(&owner, &list).await.unwrap().items
        };
        assert_eq!(sums.iter().map(|sum| sum.amount).collect::<Vec<_>>(), [expected], "{by:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_slides_for_all_admits_exactly_its_limit() {
    for way in [Way::Direct, Way::Pooled] {
        let schemas = Schemas::new(way);
        let window = |count| Window::sliding_shared(count, Duration::from_secs(3_600)).unwrap();
        let (of_key, of_account) = (Limits::new([window(25)]).unwrap(), Limits::new([window(40)]).unwrap());
        let policy = Policy::builder().limits(Tier { key: of_key, account: Some(of_account) });
        // However busy the machine is.
        let policy = policy.deadline(Duration::from_secs(30)).build().unwrap();
        let (nodes, _) = nodes(&schemas, &policy).await;
        let owner = Owner::new("acme", "ada").unwrap();
        let credentials = [create(&nodes[0], &owner).await.unwrap(), create(&nodes[0], &owner).await.unwrap()];
        let mut work = JoinSet::new();
        for place in 0..64 {
            let (clove, credential) = (nodes[place % NODES].clone(), credentials[place / 4 % 2].clone());
            work.spawn(async move { clove.verify(&credential).await.unwrap().granted().map(|_| place / 4 % 2) });
        }
        let granted: Vec<usize> = work.join_all().await.into_iter().flatten().collect();
        assert_eq!(granted.len(), 40, "{way:?}");
        assert!([0, 1].iter().all(|key| granted.iter().filter(|granted| *granted == key).count() <= 25));
    }
}

/// Last uses and usage of the same keys, written by all nodes at once, each beginning with another key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_several_nodes_write_of_the_same_keys_waits_in_one_order() {
    let schemas = Schemas::new(Way::Direct);
    let budget = Budget::new(1_000_000, Refill::Monthly).unwrap();
    let policy =
        Policy::builder().active_limit(ActiveLimit::Unlimited).max_creations_per_day(None).deadline(Duration::from_secs(30));
    let policy = policy.budget(BudgetOf::Key, tokens(), budget).budget(BudgetOf::Account, tokens(), budget).build().unwrap();
    let (nodes, mut operator) = nodes(&schemas, &policy).await;
    let mut credentials = Vec::new();
    for place in 0..40 {
        let owner = Owner::new("acme", format!("account{}", place % 8)).unwrap();
        credentials.push(create(&nodes[0], &owner).await.unwrap());
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let before = operator.number(deadlocks).await;
    let mut work = JoinSet::new();
    for (place, clove) in nodes.into_iter().enumerate() {
        let mut credentials = credentials.clone();
        credentials.rotate_left(place * 9);
        work.spawn(async move {
            for round in 0..10 {
                for (at, credential) in credentials.iter().enumerate() {
                    let unit = tokens();
                    let verdict = clove.verify(Attempt::new(credential).reserving(&unit, 5)).await.unwrap();
                    // More or less of what was reserved is used, or nothing.
                    clove.settle(&verdict.granted().unwrap(), (at as u64 + round) % 3 * 3).unwrap();
                }
                clove.flush().await.unwrap();
            }
        });
    }
    work.join_all().await;
    // Other tests of this server have none either.
    assert_eq!(operator.number(deadlocks).await, before);
    let reserved = "SELECT count(*) FROM ~usage WHERE reserved <> 0";
    assert_eq!(operator.number(reserved).await, 0);
}
