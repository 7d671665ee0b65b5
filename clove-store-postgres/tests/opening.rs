//! Opening: which servers and schemas are taken, by however many at once.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[path = "../../tests/database/mod.rs"]
mod database;
mod support;

use clove_core::{By, Clove, Error, NewKey, Owner, Policy, Refusal, Store, StoreError};
use clove_store_postgres::{Options, PostgresStore};
use database::Database;
use sqlx::postgres::PgPoolOptions;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use support::{Operator, Role, Schemas, Way, url, wire::Wire};
use tokio::{task::JoinSet, time::timeout};

fn clove(store: PostgresStore) -> Clove {
    Clove::new(store, Policy::default())
}

fn ada() -> (Owner, By) {
    (Owner::new("acme", "ada").unwrap(), By::new("ada", "a test").unwrap())
}

async fn create(clove: &Clove) -> String {
    let (owner, by) = ada();
    let issued = clove.create(&owner, NewKey::named("a key").unwrap(), &by).await.unwrap();
    issued.credential.unwrap().reveal().to_string()
}

async fn opens_at_once(way: Way, partitions: bool) {
    let schemas = Schemas::new(way);
    let name = schemas.name();
    let opening = (0..8).map(|_| tokio::spawn(schemas.options_of(&name).partitions(partitions).connections(8).open()));
    let mut called = BTreeSet::new();
    let mut stores = Vec::new();
    for opening in opening.collect::<Vec<_>>() {
        stores.push(opening.await.unwrap().unwrap());
    }
    for store in &stores {
        called.insert(store.call_roll().await.unwrap());
    }
    assert_eq!(called, (1..=8).collect());
    let mut operator = Operator::of(&name).await;
    assert_eq!(operator.rows("SELECT one, version, usable_from FROM ~clove_schema").await, ["1 1 1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_that_open_an_empty_database_at_once_make_one_schema_and_all_work() {
    opens_at_once(Way::Direct, true).await;
    opens_at_once(Way::Direct, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_that_open_an_empty_database_at_once_through_a_pooler_make_one_schema_and_all_work() {
    opens_at_once(Way::Pooled, true).await;
}

#[tokio::test]
async fn a_newer_schema_that_this_build_may_use_serves_it_and_the_newer_one_together() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    let before = clove(schemas.options_of(&name).open().await.unwrap());
    let credential = create(&before).await;
    let mut operator = Operator::of(&name).await;
    // An addition, as a later version makes them.
    operator.execute("ALTER TABLE ~keys ADD COLUMN later text; ALTER TABLE ~access ADD COLUMN later text").await;
    operator.execute("UPDATE ~clove_schema SET version = 2, usable_from = 1").await;
    let after = clove(schemas.options_of(&name).open().await.unwrap());
    let second = create(&after).await;
    for (clove, credential) in [(&before, &second), (&after, &credential), (&before, &credential)] {
        assert!(clove.verify(credential).await.unwrap().granted().is_some());
    }
    assert_eq!(operator.rows("SELECT version FROM ~clove_schema").await, ["2"], "it is not taken back");
}

#[tokio::test]
async fn a_newer_schema_that_this_build_must_not_use_is_refused_and_stays() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    schemas.options_of(&name).open().await.unwrap();
    let mut operator = Operator::of(&name).await;
    operator.execute("UPDATE ~clove_schema SET version = 7, usable_from = 2").await;
    for migrate in [true, false] {
        let refused = schemas.options_of(&name).migrate(migrate).open().await.unwrap_err();
        assert!(matches!(refused, StoreError::NewerSchema { found: 7, supported: 1 }), "{refused:?}");
    }
    let refused = schemas.options_of(&name).migrate_now().await.unwrap_err();
    assert!(matches!(refused, StoreError::NewerSchema { found: 7, .. }), "{refused:?}");
    assert_eq!(operator.rows("SELECT version FROM ~clove_schema").await, ["7"]);
}

fn assert_says_what_to_do(refused: &StoreError) {
    let StoreError::Foreign { what } = refused else { panic!("{refused:?}") };
    assert!(what.contains("Options::migrate_now"), "{what}");
}

#[tokio::test]
async fn who_does_not_migrate_is_told_so_by_an_empty_database_and_by_an_older_schema() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    assert_says_what_to_do(&schemas.options_of(&name).migrate(false).open().await.unwrap_err());
    let mut operator = Operator::of(&name).await;
    assert_eq!(operator.rows(&format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{name}'")).await, ["0"]);
    schemas.options_of(&name).migrate_now().await.unwrap();
    schemas.options_of(&name).migrate(false).open().await.unwrap();
    operator.execute("UPDATE ~clove_schema SET version = 0, usable_from = 0").await;
    assert_says_what_to_do(&schemas.options_of(&name).migrate(false).open().await.unwrap_err());
}

#[tokio::test]
async fn a_schema_is_named_by_small_letters_digits_and_underscores() {
    let longest = "a".repeat(63);
    for (name, is_good) in [
        ("clove", true),
        ("_k1", true),
        (longest.as_str(), true),
        ("", false),
        ("1k", false),
        ("Clove", false),
        ("a-b", false),
        ("a.b", false),
        ("a\"b", false),
        ("sch\u{e9}ma", false),
        (&"a".repeat(64), false),
    ] {
        let granted = Options::url(&url(Way::Direct)).unwrap().schema(name).grants("app");
        assert_eq!(granted.is_ok(), is_good, "{name}");
        if !is_good {
            let refused = Options::url(&url(Way::Direct)).unwrap().schema(name).open().await.unwrap_err();
            assert!(refused.to_string().contains("the schema's name must be"), "{name}: {refused}");
        }
    }
}

#[tokio::test]
async fn two_schemas_of_one_database_do_not_see_each_other() {
    let schemas = Schemas::new(Way::Direct);
    let (one, other) = (clove(schemas.store().await), clove(schemas.store().await));
    let credential = create(&one).await;
    assert!(one.verify(&credential).await.unwrap().granted().is_some());
    assert!(other.verify(&credential).await.unwrap().denied().is_some());
    let (owner, _) = ada();
    assert_eq!(other.list(&owner, &Default::default()).await.unwrap().items, []);
}

#[tokio::test]
async fn a_server_that_may_only_be_read_is_refused() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    schemas.options_of(&name).migrate_now().await.unwrap();
    let read_only = format!("{}?options=-c%20default_transaction_read_only%3Don", url(Way::Direct));
    for migrate in [true, false] {
        let refused = Options::url(&read_only).unwrap().schema(&name).migrate(migrate).open().await.unwrap_err();
        assert!(refused.to_string().contains("may only read"), "{refused}");
    }
    let refused = Options::url(&read_only).unwrap().schema(&name).migrate_now().await.unwrap_err();
    assert!(refused.to_string().contains("may only read"), "{refused}");
}

#[tokio::test]
async fn a_host_s_own_pool_must_allow_eight_connections_by_which_all_goes_on_at_once() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    let pool = |most| PgPoolOptions::new().max_connections(most).connect_lazy(&url(Way::Direct)).unwrap();
    let refused = Options::pool(pool(7)).schema(&name).open().await.unwrap_err();
    assert!(refused.to_string().contains("at least 8 connections"), "{refused}");
    let own = pool(8);
    let clove = clove(Options::pool(own.clone()).schema(&name).open().await.unwrap());
    let credential = create(&clove).await;
    // The host goes on using it.
    let mut work = own.begin().await.unwrap();
    let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut *work).await.unwrap();
    // Creations of both kinds, refusals and look-ups come without end, and what kills goes on beside them.
    let by = || By::new("ada", "a test").unwrap();
    let (full, ends) = (Owner::new("acme", "full").unwrap(), Arc::new(AtomicBool::new(false)));
    for _ in 0..2 {
        clove.create(&full, NewKey::named("laptop").unwrap(), &by()).await.unwrap();
    }
    let mut busy = JoinSet::new();
    for number in 0..12 {
        let (clove, full, ends, credential) = (clove.clone(), full.clone(), Arc::clone(&ends), credential.clone());
        busy.spawn(async move {
            for round in 0.. {
                if ends.load(Ordering::SeqCst) {
                    break;
                }
                let owner = Owner::new("acme", format!("owner-{number}-{}", round / 2)).unwrap();
                match number % 3 {
                    0 => drop(clove.create(&owner, NewKey::named("laptop").unwrap(), &by()).await.unwrap()),
                    1 => {
                        let refused = clove.create(&full, NewKey::named("laptop").unwrap(), &by()).await.unwrap_err();
                        assert!(matches!(refused, Error::Refused(Refusal::LimitReached { .. })), "{refused}");
                    }
                    _ => drop(clove.verify(&credential).await.unwrap()),
                }
            }
        });
    }
    let owner = Owner::new("acme", "victim").unwrap();
    let kills = async {
        for _ in 0..20 {
            let key = clove.create(&owner, NewKey::named("laptop").unwrap(), &by()).await.unwrap().key;
            clove.revoke(&owner, key.id, &by()).await.unwrap();
            clove.delete(&owner, key.id, &by()).await.unwrap();
        }
    };
    timeout(Duration::from_secs(60), kills).await.unwrap();
    ends.store(true, Ordering::SeqCst);
    while let Some(ended) = busy.join_next().await {
        ended.unwrap();
    }
    work.rollback().await.unwrap();
    assert_eq!(one, 1);
}

#[tokio::test]
async fn the_longest_time_out_is_one_that_the_server_takes() {
    let schemas = Schemas::new(Way::Direct);
    let clove = clove(schemas.options().timeout(Duration::MAX).open().await.unwrap());
    create(&clove).await;
}

/// An error and its causes.
fn told(error: &StoreError) -> String {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        told.push_str(&format!(": {source}"));
        cause = source.source();
    }
    told
}

/// Opens a schema by a server that falls silent after each number of answers; whether each gave up in time, or `None` where it waits still.
async fn opened_by_silent_servers(name: impl Fn() -> String, most: u64) -> Vec<Option<Result<PostgresStore, StoreError>>> {
    let mut opening = Vec::new();
    for answers in 0..most {
        let wire = Wire::to(&url(Way::Direct)).await;
        wire.stop_after(answers);
        let options = Options::url(&wire.url).unwrap().schema(name()).timeout(Duration::from_millis(700));
        opening.push(tokio::spawn(timeout(Duration::from_secs(25), options.open())));
    }
    let mut opened = Vec::new();
    for opening in opening {
        opened.push(opening.await.unwrap().ok());
    }
    opened
}

fn assert_given_up(opened: &Option<Result<PostgresStore, StoreError>>) {
    let Some(Err(error)) = opened else { panic!("{opened:?}") };
    // Where the pool opens another connection, it is the pool that says so.
    let told = told(error);
    assert!(["no answer within 700ms", "became free in time"].iter().any(|late| told.contains(late)), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_falls_silent_at_any_step_of_opening_is_given_up_in_time() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    schemas.options_of(&name).migrate_now().await.unwrap();
    let wire = Wire::to(&url(Way::Direct)).await;
    Options::url(&wire.url).unwrap().schema(&name).open().await.unwrap();
    // As many as it takes, and some that come while the pool takes connections back.
    let opened = opened_by_silent_servers(|| name.clone(), wire.answered()).await;
    let first = opened.iter().position(|opened| matches!(opened, Some(Ok(_)))).unwrap_or(opened.len());
    assert!(first > 40, "{first}");
    opened[..first].iter().for_each(assert_given_up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_falls_silent_before_it_is_asked_to_change_tables_is_given_up_in_time() {
    let schemas = Schemas::new(Way::Direct);
    // An answer that comes in two pieces counts twice, so that none may be the last one before the change.
    for _ in 0..5 {
        let opened = opened_by_silent_servers(|| schemas.name(), 16).await;
        opened.iter().filter(|opened| opened.is_some()).for_each(assert_given_up);
        // Changing them takes as long as it takes.
        let waits: Vec<usize> = (0..opened.len()).filter(|answers| opened[*answers].is_none()).collect();
        assert!(waits.len() <= 2 && waits.iter().all(|answers| *answers > 6), "{waits:?}");
        if !waits.is_empty() {
            return;
        }
    }
    panic!("no opening has come as far as the change");
}

#[tokio::test]
async fn a_migration_behind_others_fails_and_says_what_to_do() {
    let schemas = Schemas::new(Way::Direct);
    let (name, soon) = (schemas.name(), Duration::from_millis(300));
    let mut operator = Operator::of(&name).await;
    // Somebody is at a table that it is to make.
    operator.execute(&format!("CREATE SCHEMA {name}")).await;
    operator.execute("BEGIN; CREATE TABLE ~organizations (id text)").await;
    let refused = schemas.options_of(&name).timeout(soon).open().await.unwrap_err();
    assert!(told(&refused).contains("nothing was changed; migrate when nothing reads it for long"), "{}", told(&refused));
    operator.execute("ROLLBACK").await;
    assert_eq!(operator.rows("SELECT version FROM ~clove_schema").await, ["0"]);
    // Another one migrates.
    operator.execute("BEGIN; SELECT version FROM ~clove_schema FOR UPDATE").await;
    let refused = schemas.options_of(&name).timeout(soon).open().await.unwrap_err();
    assert!(told(&refused).contains("another process has been at it for long"), "{}", told(&refused));
    operator.execute("ROLLBACK").await;
    schemas.options_of(&name).open().await.unwrap();
}

#[tokio::test]
async fn a_catalogue_is_asked_only_where_partitions_are_wanted() {
    let role = Role::new().await;
    let database = Database::new();
    let mut operator = Operator::at(&database.url, "").await;
    let (_, name) = database.url.rsplit_once('/').unwrap();
    operator.execute(&format!("GRANT CREATE ON DATABASE {name} TO {}", role.name)).await;
    operator.execute("REVOKE ALL ON pg_catalog.pg_class FROM PUBLIC").await;
    let url = format!("{}/{name}", role.url().rsplit_once('/').unwrap().0);
    let options = |partitions| Options::url(&url).unwrap().partitions(partitions);
    for _ in 0..2 {
        let store = options(false).open().await.unwrap();
        create(&clove(store)).await;
    }
    assert!(told(&options(true).open().await.unwrap_err()).contains("42501"));
}

#[tokio::test]
async fn a_pooler_is_found_out_and_a_server_is_not_taken_for_one() {
    for (way, is_pooled) in [(Way::Direct, "is_pooled: false"), (Way::Pooled, "is_pooled: true")] {
        for _ in 0..3 {
            let schemas = Schemas::new(way);
            let store = schemas.store().await;
            let shown = format!("{store:?}");
            assert!(shown.contains(is_pooled), "{way:?}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_refused_without_its_password() {
    for url in [
        "postgres://clove:hunter2@127.0.0.1:1/postgres",
        "postgres://clove:hunter2@127.0.0.1:x/postgres",
        "hunter2",
        "postgres://hunter2 @@",
    ] {
        let error = match Options::url(url) {
            Ok(options) => {
                let shown = format!("{options:?}");
                assert!(!shown.contains("hunter2"), "{shown}");
                options.open().await.unwrap_err()
            }
            Err(error) => error,
        };
        let mut told = format!("{error:?} {error}");
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            told.push_str(&format!(" {source:?} {source}"));
            cause = source.source();
        }
        assert!(!told.contains("hunter2"), "{told}");
    }
}
