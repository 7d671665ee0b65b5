//! Creations: whichever way they take, the rules hold.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use chrono::TimeDelta;
use clove_core::{
    ActiveLimit, By, Clove, Error, Expiry, ListKeys, NewKey, OperationId, Owner, Policy, Refusal, StoreError, error::CorruptRow,
};
use clove_store_postgres::{Options, PostgresStore};
use clove_testkit::TestClock;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::{pin::pin, time::Duration};
use support::{Operator, Schemas, Way, url, wire::Wire};
use tokio::time::timeout;

fn by() -> By {
    By::new("ada", "testing").unwrap().may_grant(clove_core::CapabilitySet::all())
}

fn owner(account: &str) -> Owner {
    Owner::new("acme", account).unwrap()
}

async fn create(clove: &Clove, owner: &Owner) -> Result<clove_core::Issued, Error> {
    clove.create(owner, NewKey::named("laptop").unwrap(), &by()).await
}

/// Two handles, as of two nodes, and the schema that they share.
async fn two_nodes(schemas: &Schemas) -> ([Clove; 2], String) {
    let name = schemas.name();
    let open = || async { schemas.options_of(&name).open().await.unwrap() };
    let clove = |store: PostgresStore| Clove::new(store, Policy::profile_a());
    ([clove(open().await), clove(open().await)], name)
}

async fn sql(statement: &str) {
    let mut connection = PgConnection::connect(&url(Way::Direct)).await.unwrap();
    connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_node_has_created_and_deleted_counts() {
    let schemas = Schemas::new(Way::Direct);
    let ([one, other], _) = two_nodes(&schemas).await;
    let ada = owner("ada");
    // Each node remembers the row as the other has not left it.
    let first = create(&one, &ada).await.unwrap().key;
    create(&other, &ada).await.unwrap();
    for clove in [&one, &other] {
        let refused = create(clove, &ada).await.unwrap_err();
        assert!(matches!(refused, Error::Refused(Refusal::LimitReached { active: 2, limit: 2 })), "{refused}");
    }
    other.delete(&ada, first.id, &by()).await.unwrap();
    create(&one, &ada).await.unwrap();
    assert_eq!(other.active_keys(&ada).await.unwrap().active, 2);
    assert_eq!(one.list(&ada, &ListKeys::default()).await.unwrap().items.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_created_behind_what_another_node_has_closed() {
    let schemas = Schemas::new(Way::Direct);
    let ([one, other], _) = two_nodes(&schemas).await;
    let (ada, bob) = (owner("ada"), owner("bob"));
    create(&one, &ada).await.unwrap();
    other.close_owner(&ada, &by()).await.unwrap();
    assert!(matches!(create(&one, &ada).await.unwrap_err(), Error::Refused(Refusal::OwnerClosed)));
    other.close_organization(&ada.organization, &by()).await.unwrap();
    assert!(matches!(create(&one, &bob).await.unwrap_err(), Error::Refused(Refusal::OwnerClosed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_in_a_closed_organization_is_refused_at_sight() {
    let schemas = Schemas::new(Way::Direct);
    let ([one, other], schema) = two_nodes(&schemas).await;
    let ada = owner("ada");
    create(&one, &ada).await.unwrap();
    other.close_organization(&ada.organization, &by()).await.unwrap();
    let mut holder = Operator::of(&schema).await;
    holder.execute("BEGIN; SELECT 1 FROM ~owners FOR UPDATE").await;
    let refused = timeout(Duration::from_secs(4), create(&one, &ada)).await.unwrap().unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::OwnerClosed)), "{refused}");
    holder.execute("ROLLBACK").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_another_node_has_set_holds() {
    let schemas = Schemas::new(Way::Direct);
    let ([one, other], _) = two_nodes(&schemas).await;
    let ada = owner("ada");
    create(&one, &ada).await.unwrap();
    other.set_active_limit(&ada, Some(ActiveLimit::AtMost(1)), &by()).await.unwrap();
    assert!(matches!(create(&one, &ada).await.unwrap_err(), Error::Refused(Refusal::LimitReached { active: 1, limit: 1 })));
    other.set_active_limit(&ada, Some(ActiveLimit::AtMost(3)), &by()).await.unwrap();
    create(&one, &ada).await.unwrap();
    create(&one, &ada).await.unwrap();
    assert_eq!(other.active_keys(&ada).await.unwrap().to_string(), "3 / 3 active keys");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_of_expired_keys_are_given_away_at_the_limit() {
    let schemas = Schemas::new(Way::Direct);
    let clock = TestClock::new();
    let clove = Clove::with_clock(schemas.store().await, Policy::profile_a(), clock.clone());
    let ada = owner("ada");
    for _ in 0..2 {
        clove.create(&ada, NewKey::named("old").unwrap().expiry(Expiry::Days(30)), &by()).await.unwrap();
    }
    clock.advance(TimeDelta::days(31).to_std().unwrap());
    create(&clove, &ada).await.unwrap();
    assert_eq!(clove.active_keys(&ada).await.unwrap().active, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_owner_is_refused_at_sight_and_behind_its_row_only_where_the_command_may_be_under_way_already() {
    let schemas = Schemas::new(Way::Direct);
    let ([one, other], schema) = two_nodes(&schemas).await;
    let ada = owner("ada");
    create(&one, &ada).await.unwrap();
    create(&one, &ada).await.unwrap();
    let mut holder = Operator::of(&schema).await;
    holder.execute("BEGIN; SELECT 1 FROM ~owners FOR UPDATE").await;
    for clove in [&one, &other] {
        // The second node has never seen the row, and finds out by a statement that waits for it a moment.
        let refused = timeout(Duration::from_secs(4), create(clove, &ada)).await.unwrap().unwrap_err();
        assert!(matches!(refused, Error::Refused(Refusal::LimitReached { active: 2, limit: 2 })), "{refused}");
    }
    let by = by().operation(OperationId::new(chrono::Utc::now()));
    let mut repeated = pin!(one.create(&ada, NewKey::named("laptop").unwrap(), &by));
    assert!(timeout(Duration::from_millis(300), &mut repeated).await.is_err(), "an earlier run may hold the row");
    holder.execute("ROLLBACK").await;
    assert!(matches!(repeated.await.unwrap_err(), Error::Refused(Refusal::LimitReached { active: 2, limit: 2 })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_are_refused_at_once_share_statements_and_one_that_gives_up_takes_no_other_along() {
    let schemas = Schemas::new(Way::Direct);
    let ([clove, _], schema) = two_nodes(&schemas).await;
    let ada = owner("ada");
    create(&clove, &ada).await.unwrap();
    create(&clove, &ada).await.unwrap();
    let mut operator = Operator::of(&schema).await;
    let mut holder = PgConnection::connect(&url(Way::Direct)).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    held.execute(AssertSqlSafe(format!("LOCK TABLE {schema}.owners IN ACCESS EXCLUSIVE MODE"))).await.unwrap();
    let refused: Vec<_> = (0..100)
        .map(|_| {
            let (clove, ada) = (clove.clone(), ada.clone());
            tokio::spawn(async move { create(&clove, &ada).await })
        })
        .collect();
    while operator.waiting().await == 0 {
        assert!(!refused.iter().all(tokio::task::JoinHandle::is_finished), "they wait for the table");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Long enough for more of them, of which there are eight connections.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(operator.waiting().await <= 2, "each of two tasks has one");
    refused.iter().take(30).for_each(tokio::task::JoinHandle::abort);
    held.rollback().await.unwrap();
    for refused in refused.into_iter().skip(30) {
        let refused = refused.await.unwrap().unwrap_err();
        assert!(matches!(refused, Error::Refused(Refusal::LimitReached { active: 2, limit: 2 })), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_is_repeated_is_carried_out_once() {
    let schemas = Schemas::new(Way::Direct);
    let ([one, other], _) = two_nodes(&schemas).await;
    let ada = owner("ada");
    let by = by().operation(OperationId::new(chrono::Utc::now()));
    let new = || NewKey::named("laptop").unwrap();
    let first = one.create(&ada, new(), &by).await.unwrap();
    for clove in [&one, &other] {
        let again = clove.create(&ada, new(), &by).await.unwrap();
        assert_eq!((again.key.id, again.credential.is_none()), (first.key.id, true));
    }
    let otherwise = other.create(&owner("bob"), new(), &by).await.unwrap_err();
    assert!(matches!(otherwise, Error::Refused(Refusal::OperationReused { .. })), "{otherwise}");
    assert_eq!(one.active_keys(&ada).await.unwrap().active, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_creation_that_fails_takes_no_other_with_it() {
    let schemas = Schemas::new(Way::Direct);
    let ([_, other], schema) = two_nodes(&schemas).await;
    let wire = Wire::to(&url(Way::Direct)).await;
    let one = Clove::new(Options::url(&wire.url).unwrap().schema(schema).open().await.unwrap(), Policy::profile_a());
    create(&one, &owner("first")).await.unwrap();
    let used = by().operation(OperationId::new(chrono::Utc::now()));
    other.create(&owner("used"), NewKey::named("laptop").unwrap(), &used).await.unwrap();
    let creations = (0..64).map(|place| {
        let (clove, used) = (one.clone(), used.clone());
        tokio::spawn(async move {
            let by = if place == 20 { &used } else { &by() };
            clove.create(&owner(&format!("of-{place}")), NewKey::named("laptop").unwrap(), by).await.is_ok()
        })
    });
    let (mut created, before) = (Vec::new(), wire.answered());
    for creation in creations.collect::<Vec<_>>() {
        created.push(creation.await.unwrap());
    }
    assert_eq!(created.iter().position(|created| !created), Some(20));
    assert_eq!(created.iter().filter(|created| **created).count(), 63);
    // Nor along the longer way, which is six round trips for each.
    let answers = wire.answered() - before;
    assert!(answers < 80, "{answers}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_whose_row_is_lost_is_not_taken_for_new() {
    let schemas = Schemas::new(Way::Direct);
    let ([one, other], schema) = two_nodes(&schemas).await;
    let ada = owner("ada");
    create(&one, &ada).await.unwrap();
    sql(&format!("DELETE FROM {schema}.owners")).await;
    for clove in [&one, &other] {
        let lost = create(clove, &ada).await.unwrap_err();
        assert!(matches!(lost, Error::Store(StoreError::Corrupt { row: CorruptRow::Owner, .. })), "{lost}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_creations_at_once_on_two_nodes_make_two_keys() {
    let schemas = Schemas::new(Way::Direct);
    let (nodes, _) = two_nodes(&schemas).await;
    for round in 0..10 {
        let owner = owner(&format!("racer-{round}"));
        let creations = (0..100).map(|place| {
            let (clove, owner) = (nodes[place % 2].clone(), owner.clone());
            tokio::spawn(async move { create(&clove, &owner).await })
        });
        let mut created = 0;
        for creation in creations.collect::<Vec<_>>() {
            match creation.await.unwrap() {
                Ok(_) => created += 1,
                Err(Error::Refused(Refusal::LimitReached { active: 2, limit: 2 })) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(created, 2);
        assert_eq!(nodes[0].active_keys(&owner).await.unwrap().active, 2);
    }
}
