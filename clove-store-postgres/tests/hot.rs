//! What is written often is written where it stands (HOT): into no index, and with room left on its page.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../../tests/database/mod.rs"]
mod database;
mod support;

use chrono::{TimeDelta, Utc};
use clove_core::{
    By, Clove, KeyId, NewKey, Owner, Policy, Store, Timestamp, Window,
    id::NodeId,
    limit::Subject,
    store::{Lease, Want},
};
use clove_store_postgres::Options;
use database::Database;
use std::{sync::Arc, time::Duration};
use support::{Operator, Schemas, Way};

/// How many rows of a table were updated, and how many of them where they stood. Backends tell it when they end.
async fn updates(operator: &mut Operator, schema: &str, table: &str, least: i64) -> (i64, i64) {
    let column =
        |column: &str| format!("SELECT {column} FROM pg_stat_user_tables WHERE schemaname = '{schema}' AND relname = '{table}'");
    for _ in 0..200 {
        let updated = operator.number(&column("n_tup_upd")).await;
        if updated >= least {
            return (updated, operator.number(&column("n_tup_hot_upd")).await);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{table}: not told of {least} updates within 10 seconds");
}

/// Returns once every transaction of the server that began before has ended, in whatever database. While one goes on that writes, the server
/// takes a row that was replaced since for one that somebody could still see, and gives its room to no other.
async fn all_have_ended(operator: &mut Operator) {
    let next = operator.number("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").await;
    for _ in 0..6_000 {
        if operator.number("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").await >= next {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("a transaction of the server has not ended for 30 seconds");
}

#[tokio::test]
async fn last_uses_are_written_where_the_key_stands() {
    // What other tests read for long keeps old rows, and so room on their pages, in their databases alone.
    let (database, name) = (Database::new(), "clove".to_owned());
    let store = Options::url(&database.url).unwrap().schema(&name).open().await.unwrap();
    let mut operator = Operator::at(&database.url, &name).await;
    let now = Utc::now();
    let ids: Vec<KeyId> = (0..2_000).map(|_| KeyId::new(now)).collect();
    let values: Vec<String> = ids
        .iter()
        .map(|id| {
            format!("('{id}', 'acme', 'ada', 'a key', 'what it is for', 'read write', '{{}}', 0, 1, 'active', false, 1, '')")
        })
        .collect();
    let columns = "(id, org, account, name, description, capabilities, metadata, created_at, expires_at, state, expiry_latched, revision, limits)";
    operator.execute(&format!("INSERT INTO ~keys {columns} VALUES {}", values.join(", "))).await;
    for (round, second) in (1..=40).zip(1..) {
        let uses: Vec<_> = ids.iter().skip(round % 20).step_by(20).map(|id| (*id, now + TimeDelta::seconds(second))).collect();
        store.touch(&uses).await.unwrap();
        all_have_ended(&mut operator).await;
    }
    store.close().await;
    let (updated, hot) = updates(&mut operator, &name, "keys", 4_000).await;
    println!("last uses: {hot} of {updated} where the row stands");
    assert_eq!(updated, 4_000);
    assert!(hot * 100 >= updated * 95, "fewer than 95 of 100 last uses are written where the key stands: {hot} of {updated}");
}

#[tokio::test]
async fn what_stands_in_an_index_is_not_written_often() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    schemas.options_of(&name).migrate_now().await.unwrap();
    let mut operator = Operator::of(&name).await;
    let columns = operator
        .rows(&format!(
            "SELECT DISTINCT t.relname, a.attname FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid \
             JOIN pg_attribute a ON a.attrelid = i.indexrelid JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = '{name}'"
        ))
        .await;
    for often in
        ["keys last_used_at", "counts places", "owners held", "epochs epoch", "usage total", "usage reserved", "reports total"]
    {
        assert!(!columns.contains(&often.to_owned()), "{often}");
    }
    let room = format!(
        "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{name}' \
         AND 'fillfactor=80' = ANY(reloptions) ORDER BY relname"
    );
    assert_eq!(operator.rows(&room).await, ["counts", "epochs", "keys", "owners", "usage"]);
}

#[tokio::test]
async fn counts_owners_and_epochs_are_written_where_they_stand() {
    let (database, name) = (Database::new(), "clove".to_owned());
    let store = Options::url(&database.url).unwrap().schema(&name).open().await.unwrap();
    let mut operator = Operator::at(&database.url, &name).await;
    let (window, at) = (Window::new(1_000_000, Duration::from_secs(60)).unwrap(), Timestamp::from(Utc::now()));
    let (node, key) = (NodeId::new(Utc::now()), KeyId::new(Utc::now()));
    for _ in 0..50 {
        let want = Want { window, start: window.start(at), least: 1, wanted: 2 };
        let lease = Lease { node, at, subject: Subject::Key(key), wants: vec![want] };
        store.lease(Arc::new(lease)).await.unwrap();
    }
    let clove = Clove::new(store.clone(), Policy::default());
    let (ada, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "a test").unwrap());
    for _ in 0..25 {
        let key = clove.create(&ada, NewKey::named("a key").unwrap(), &by).await.unwrap().key;
        clove.revoke(&ada, key.id, &by).await.unwrap();
    }
    drop(clove);
    store.close().await;
    for (table, least) in [("counts", 50), ("owners", 49), ("epochs", 20)] {
        let (updated, hot) = updates(&mut operator, &name, table, least).await;
        println!("{table}: {hot} of {updated} where the row stands");
        assert!(hot * 100 >= updated * 95, "{table}: {hot} of {updated}");
    }
}
