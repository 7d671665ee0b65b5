//! Logs by month: where rows go, which tables there are, and how what is old goes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use chrono::{DateTime, Datelike, Months, TimeDelta, Utc};
use clove_core::{
    AccessEntry, AccessOutcome, ActiveLimit, By, Clove, GrantId, KeyId, ListAudit, NewKey, OperationId, Owner, Policy, Store,
    id::AuditId,
};
use clove_store_postgres::PostgresStore;
use clove_testkit::TestClock;
use std::{sync::Arc, time::Duration};
use support::{Operator, Role, Schemas, Way};

fn month(time: DateTime<Utc>) -> String {
    format!("{:04}_{:02}", time.year(), time.month())
}

/// The first moment of a month.
fn begin(year: i32, month: u32) -> DateTime<Utc> {
    format!("{year:04}-{month:02}-01T00:00:00Z").parse().unwrap()
}

fn entries(at: DateTime<Utc>, many: i64) -> Arc<[AccessEntry]> {
    let entry = |number| {
        let at = at + TimeDelta::seconds(number);
        let owner = Owner::new("acme", "ada").unwrap();
        let (id, key, outcome) = (GrantId::new(at), KeyId::new(at), AccessOutcome::Granted);
        AccessEntry { id, at, key, owner, outcome, limit: None, cost: 1, endpoint: None }
    };
    (0..many).map(entry).collect()
}

/// A host whose clock stands in some month.
fn clove(store: &PostgresStore, at: DateTime<Utc>) -> Clove {
    let policy = Policy::builder().active_limit(ActiveLimit::Unlimited).build().unwrap();
    Clove::with_clock(store.clone(), policy, TestClock::at(at))
}

fn ada() -> Owner {
    Owner::new("acme", "ada").unwrap()
}

fn by(operation: OperationId) -> By {
    By::new("ada", "a test").unwrap().operation(operation)
}

async fn tables(operator: &mut Operator, schema: &str, of: &str) -> Vec<String> {
    let sql =
        format!("SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' AND tablename LIKE '{of}\\_%' ORDER BY tablename");
    operator.rows(&sql).await
}

/// Makes the table of a month that nobody provided.
async fn provide(operator: &mut Operator, of: &str, year: i32, month: u32) {
    let (from, to) = (begin(year, month), begin(year, month) + Months::new(1));
    let [from, to] = [from, to].map(|time| AuditId::first_at(time).to_string());
    let made = format!("CREATE TABLE ~{of}_{year}_{month:02} PARTITION OF ~{of} FOR VALUES FROM ('{from}') TO ('{to}')");
    operator.execute(&made).await;
}

#[tokio::test]
async fn rows_go_to_the_table_of_their_month_and_what_has_none_to_the_rest() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    let store = schemas.options_of(&name).open().await.unwrap();
    let mut operator = Operator::of(&name).await;
    let now = Utc::now();
    for of in ["access", "audit"] {
        let mut expected: Vec<String> = (0..=3).map(|ahead| format!("{of}_{}", month(now + Months::new(ahead)))).collect();
        expected.push(format!("{of}_rest"));
        assert_eq!(tables(&mut operator, &name, of).await, expected);
    }
    store.log_access(entries(now, 1)).await.unwrap();
    store.log_access(entries(now - Months::new(12), 2)).await.unwrap();
    clove(&store, now).create(&ada(), NewKey::named("a key").unwrap(), &by(OperationId::new(now))).await.unwrap();
    for (table, rows) in
        [(format!("access_{}", month(now)), "1"), ("access_rest".into(), "2"), (format!("audit_{}", month(now)), "1")]
    {
        assert_eq!(operator.rows(&format!("SELECT count(*) FROM ~{table}")).await, [rows], "{table}");
    }
}

#[tokio::test]
async fn months_that_are_over_go_with_their_table_and_the_rest_slice_by_slice() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    let store = schemas.options_of(&name).open().await.unwrap();
    let mut operator = Operator::of(&name).await;
    provide(&mut operator, "access", 2020, 1).await;
    provide(&mut operator, "access", 2020, 2).await;
    for at in [begin(2019, 12), begin(2020, 1), begin(2020, 2), begin(2020, 2) + TimeDelta::days(20), Utc::now()] {
        store.log_access(entries(at, 3)).await.unwrap();
    }
    let count = "SELECT count(*) FROM ~access";
    // January is over then, and February is not.
    let before = (begin(2020, 2) + TimeDelta::days(10)).into();
    assert_eq!(store.forget_access(before, 2).await.unwrap(), 2, "there may be more");
    assert_eq!(operator.number(count).await, 12);
    assert!(!tables(&mut operator, &name, "access").await.contains(&"access_2020_01".into()));
    for (forgotten, left) in [(2, 10), (2, 8), (2, 6), (0, 6)] {
        assert_eq!(store.forget_access(before, 2).await.unwrap(), forgotten);
        assert_eq!(operator.number(count).await, left);
    }
    assert!(tables(&mut operator, &name, "access").await.contains(&"access_2020_02".into()));
    assert_eq!(store.forget_access(begin(2020, 3).into(), 1_024).await.unwrap(), 1_024);
    assert_eq!(operator.number(count).await, 3, "this month's");
}

#[tokio::test]
async fn an_operation_is_free_again_when_its_event_is_forgotten_with_its_month() {
    for partitions in [true, false] {
        let schemas = Schemas::new(Way::Direct);
        let name = schemas.name();
        let store = schemas.options_of(&name).partitions(partitions).open().await.unwrap();
        let mut operator = Operator::of(&name).await;
        if partitions {
            provide(&mut operator, "audit", 2020, 1).await;
        }
        let at = begin(2020, 1) + TimeDelta::days(3);
        let (host, operations) = (clove(&store, at), [(); 3].map(|()| OperationId::new(at)));
        for operation in operations {
            host.create(&ada(), NewKey::named("a key").unwrap(), &by(operation)).await.unwrap();
        }
        let before = begin(2020, 3).into();
        let trail = "SELECT count(*) FROM ~audit";
        assert_eq!(store.forget_audit(before, 2).await.unwrap(), 2);
        // With the table, or two and one.
        assert_eq!(operator.number(trail).await, if partitions { 3 } else { 1 });
        assert_eq!(store.forget_audit(before, 2).await.unwrap(), if partitions { 2 } else { 1 });
        assert_eq!(store.forget_audit(before, 2).await.unwrap(), 0);
        let rows = "SELECT (SELECT count(*) FROM ~audit), (SELECT count(*) FROM ~operations), (SELECT count(*) FROM ~keys)";
        assert_eq!(operator.rows(rows).await, ["0 0 3"], "{partitions}");
        // Another command may be given it.
        host.close_owner(&ada(), &by(operations[0])).await.unwrap();
        let trail = host.audit(&ada(), &ListAudit::default()).await.unwrap();
        assert!(trail.items.iter().any(|event| event.operation == operations[0]), "{partitions}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stays_for_as_long_as_its_operation_which_another_node_is_forgetting() {
    for partitions in [true, false] {
        let schemas = Schemas::new(Way::Direct);
        let name = schemas.name();
        let store = schemas.options_of(&name).partitions(partitions).open().await.unwrap();
        let (mut operator, mut other) = (Operator::of(&name).await, Operator::of(&name).await);
        if partitions {
            provide(&mut operator, "audit", 2020, 1).await;
        }
        let at = begin(2020, 1) + TimeDelta::days(3);
        let host = clove(&store, at);
        for _ in 0..5 {
            host.create(&ada(), NewKey::named("a key").unwrap(), &by(OperationId::new(at))).await.unwrap();
        }
        // The other node has the oldest two, and has not committed.
        other.execute("BEGIN").await;
        other.execute("DELETE FROM ~operations WHERE event IN (SELECT event FROM ~operations ORDER BY event LIMIT 2)").await;
        let forgetting = {
            let store = store.clone();
            tokio::spawn(async move { store.forget_audit(begin(2020, 3).into(), 2).await })
        };
        while operator.waiting().await == 0 {
            assert!(!forgetting.is_finished(), "it waits for the other one");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        other.execute("COMMIT").await;
        forgetting.await.unwrap().unwrap();
        let lost = "SELECT count(*) FROM ~operations o WHERE NOT EXISTS (SELECT 1 FROM ~audit a WHERE a.id = o.event)";
        let left = "SELECT (SELECT count(*) FROM ~operations), (SELECT count(*) FROM ~audit)";
        assert_eq!(operator.number(lost).await, 0, "partitions: {partitions}");
        assert_eq!(operator.rows(left).await, [if partitions { "3 5" } else { "3 3" }]);
    }
}

#[tokio::test]
async fn a_plain_table_forgets_by_slices() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    let store = schemas.options_of(&name).partitions(false).open().await.unwrap();
    let mut operator = Operator::of(&name).await;
    assert_eq!(tables(&mut operator, &name, "access").await, [""; 0]);
    store.log_access(entries(begin(2020, 1), 5)).await.unwrap();
    store.log_access(entries(Utc::now(), 1)).await.unwrap();
    for forgotten in [2, 2, 1, 0] {
        assert_eq!(store.forget_access(begin(2020, 3).into(), 2).await.unwrap(), forgotten);
    }
    assert_eq!(operator.number("SELECT count(*) FROM ~access").await, 1);
}

#[tokio::test]
async fn opening_provides_months_that_have_come_near_and_takes_a_layout_as_it_is() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    schemas.options_of(&name).open().await.unwrap();
    let mut operator = Operator::of(&name).await;
    let near = month(Utc::now() + Months::new(3));
    operator.execute(&format!("DROP TABLE ~access_{near}, ~audit_{near}")).await;
    schemas.options_of(&name).migrate(false).open().await.unwrap();
    assert!(!tables(&mut operator, &name, "audit").await.contains(&format!("audit_{near}")), "who may make none makes none");
    schemas.options_of(&name).open().await.unwrap();
    for of in ["access", "audit"] {
        assert!(tables(&mut operator, &name, of).await.contains(&format!("{of}_{near}")));
    }
    let plain = schemas.name();
    schemas.options_of(&plain).partitions(false).open().await.unwrap();
    schemas.options_of(&plain).open().await.unwrap();
    schemas.options_of(&plain).migrate_now().await.unwrap();
    assert_eq!(tables(&mut operator, &plain, "access").await, [""; 0]);
}

/// Has a day pass.
async fn a_day_later() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(86_500)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_process_that_runs_for_long_provides_months_once_a_day() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    let store = schemas.options_of(&name).open().await.unwrap();
    let mut operator = Operator::of(&name).await;
    let table = format!("audit_{}", month(Utc::now() + Months::new(3)));
    for _ in 0..2 {
        operator.execute(&format!("DROP TABLE ~{table}")).await;
        store.forget_counts(Utc::now().into(), 10).await.unwrap();
        assert!(!tables(&mut operator, &name, "audit").await.contains(&table), "not yet");
        a_day_later().await;
        store.forget_counts(Utc::now().into(), 10).await.unwrap();
        assert!(tables(&mut operator, &name, "audit").await.contains(&table));
    }
}

#[tokio::test]
async fn months_that_cannot_be_made_keep_nobody_from_forgetting() {
    let role = Role::new().await;
    let schema = role.schema().await;
    let mut operator = Operator::of(&schema).await;
    let table = format!("audit_{}", month(Utc::now() + Months::new(3)));
    operator.execute(&format!("DROP TABLE ~{table}")).await;
    let options = clove_store_postgres::Options::url(&role.url()).unwrap().schema(&schema);
    let store = options.open().await.unwrap();
    a_day_later().await;
    assert_eq!(store.forget_counts(Utc::now().into(), 10).await.unwrap(), 0);
    // Somebody reads the log for long: a table is not made behind it, and nobody waits for that.
    let owner = clove_store_postgres::Options::url(&support::url(Way::Direct)).unwrap().schema(&schema).open();
    operator.execute("BEGIN; SELECT count(*) FROM ~audit").await;
    let store = owner.await.unwrap();
    assert_eq!(store.forget_counts(Utc::now().into(), 10).await.unwrap(), 0);
}
