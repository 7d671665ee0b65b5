//! A role with the grants alone: it serves, and may do no more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use chrono::{TimeDelta, Utc};
use clove_core::{AccessEntry, AccessOutcome, By, Clove, GrantId, KeyId, NewKey, Owner, Policy, Store, StoreError};
use clove_store_postgres::Options;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::sync::Arc;
use support::{Operator, Role};

/// What the server says to a statement of the role.
async fn refusal(connection: &mut PgConnection, sql: &str) -> String {
    let error = connection.execute(AssertSqlSafe(sql.to_owned())).await.expect_err(sql);
    error.as_database_error().and_then(|error| error.code().map(String::from)).unwrap_or_default()
}

#[tokio::test]
async fn a_role_makes_changes_and_empties_no_table_and_rewrites_no_trail() {
    let role = Role::new().await;
    let schema = role.schema().await;
    let clove = Clove::new(role.store_of(&schema).await, Policy::default());
    let (ada, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "a test").unwrap());
    clove.create(&ada, NewKey::named("a key").unwrap(), &by).await.unwrap();
    let mut connection = PgConnection::connect(&role.url()).await.unwrap();
    for sql in [
        "CREATE TABLE ~more (id bigint)",
        "CREATE INDEX ON ~keys (name)",
        "ALTER TABLE ~keys ADD COLUMN more text",
        "DROP TABLE ~keys",
        "DROP TABLE ~audit_rest",
        "DROP SCHEMA ~ CASCADE",
        "TRUNCATE ~keys",
        "TRUNCATE ~audit",
        "UPDATE ~audit SET actor = 'nobody'",
        "SELECT * FROM ~audit FOR UPDATE",
        "UPDATE ~operations SET event = id",
        "UPDATE ~access SET outcome = 'granted'",
        "UPDATE ~clove_schema SET version = 9",
        "DELETE FROM ~clove_schema",
        "DELETE FROM ~usage",
        "DELETE FROM ~epochs",
        "DELETE FROM ~budgets",
        "GRANT ALL ON ~keys TO PUBLIC",
    ] {
        let sql = sql.replace("~ ", &format!("{schema} ")).replace('~', &format!("{schema}."));
        // What was not granted is refused; a grant of it is not, and grants nothing.
        if sql.starts_with("GRANT") {
            drop(connection.execute(AssertSqlSafe(sql)).await);
            let granted = format!("SELECT has_table_privilege('public', '{schema}.keys', 'SELECT')");
            assert_eq!(Operator::of(&schema).await.rows(&granted).await, ["f"]);
        } else {
            assert_eq!(refusal(&mut connection, &sql).await, "42501", "{sql}");
        }
    }
}

#[tokio::test]
async fn a_role_that_may_not_migrate_is_told_so() {
    let role = Role::new().await;
    let schema = role.schema().await;
    let options = || Options::url(&role.url()).unwrap();
    let refused = options().schema(schema.replace("test", "none")).open().await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable { what, .. } if what.contains("this role may not")), "{refused:?}");
    // Nothing is to be migrated: that months cannot be made keeps nobody from serving.
    options().schema(&schema).open().await.unwrap();
}

#[tokio::test]
async fn what_a_role_forgets_goes_row_by_row() {
    let role = Role::new().await;
    let schema = role.schema().await;
    let store = role.store_of(&schema).await;
    let mut operator = Operator::of(&schema).await;
    // A month that is over.
    let bounds = "FROM ('00000000-0000-7000-8000-000000000000') TO ('01000000-0000-7000-8000-000000000000')";
    operator.execute(&format!("CREATE TABLE ~access_1999_01 PARTITION OF ~access FOR VALUES {bounds}")).await;
    let at = chrono::DateTime::from_timestamp(1_000_000_000, 0).unwrap();
    let entry = |number: i64| {
        let at = at + TimeDelta::seconds(number);
        let owner = Owner::new("acme", "ada").unwrap();
        let (id, key, outcome) = (GrantId::new(at), KeyId::new(at), AccessOutcome::Granted);
        AccessEntry { id, at, key, owner, outcome, limit: None, cost: 1, endpoint: None }
    };
    let entries: Arc<[AccessEntry]> = (0..5).map(entry).collect();
    store.log_access(entries).await.unwrap();
    assert_eq!(operator.rows("SELECT count(*) FROM ~access_1999_01").await, ["5"]);
    for forgotten in [2, 2, 1, 0] {
        assert_eq!(store.forget_access(Utc::now().into(), 2).await.unwrap(), forgotten);
    }
    assert_eq!(operator.rows("SELECT count(*) FROM ~access_1999_01").await, ["0"], "its table stays");
}
