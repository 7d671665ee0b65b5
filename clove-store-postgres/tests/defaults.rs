//! Whatever the server's defaults are: the strictest level, and commits that do not wait for the disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../tests/database/mod.rs"]
mod database;
mod support;

use clove_core::{AccessLog, Attempt, Budget, BudgetOf, By, Clove, NewKey, Owner, Policy, Refill, Unit};
use clove_store_postgres::{Options, PostgresStore};
use clove_testkit::conformance;
use database::Database;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Operator, Way, url};

/// A database with such defaults, in which each store has a schema of its own.
struct Strict {
    database: Database,
    schemas: AtomicUsize,
}

fn name_of(database: &Database) -> &str {
    database.url.rsplit_once('/').unwrap().1
}

impl Strict {
    async fn new() -> Self {
        let database = Database::new();
        let mut operator = Operator::at(&database.url, "").await;
        for default in ["default_transaction_isolation = 'serializable'", "synchronous_commit = off"] {
            operator.execute(&format!("ALTER DATABASE {} SET {default}", name_of(&database))).await;
        }
        Self { database, schemas: AtomicUsize::new(0) }
    }

    fn options(&self, way: Way) -> (Options, String) {
        let schema = format!("clove{}", self.schemas.fetch_add(1, Ordering::SeqCst));
        let url = format!("{}/{}", url(way).rsplit_once('/').unwrap().0, name_of(&self.database));
        (Options::url(&url).unwrap().schema(&schema).connections(8), schema)
    }

    async fn operator(&self, schema: &str) -> Operator {
        Operator::at(&self.database.url, schema).await
    }
}

/// Straight, where some statements run at the default level: through a pooler, each transaction names its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_conforms() {
    let strict = Strict::new().await;
    conformance::run(|| async { strict.options(Way::Direct).0.open().await.unwrap() }).await;
}

/// Has each statement that writes to a table tell what it ran under.
const TELLS: &str = "
    CREATE TABLE ~ran (what text, level text, durable text);
    CREATE FUNCTION ~tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO ~ran VALUES (TG_TABLE_NAME || ' ' || lower(TG_OP), current_setting('transaction_isolation'),
                                 current_setting('synchronous_commit'));
        RETURN NULL;
    END $$";

/// In order.
const TABLES: [&str; 11] =
    ["access", "audit", "counts", "epochs", "keys", "operations", "organizations", "owners", "reports", "secrets", "usage"];

/// Does what writes to each of these tables.
async fn use_all(store: PostgresStore) {
    let unit = Unit::new("tokens").unwrap();
    let budget = Budget::new(1_000, Refill::Monthly).unwrap();
    let policy = Policy::builder().access_log(AccessLog::Required);
    let policy = policy.budget(BudgetOf::Account, unit.clone(), budget).build().unwrap();
    let clove = Clove::new(store, policy);
    let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "a test").unwrap());
    let create = || clove.create(&owner, NewKey::named("a key").unwrap(), &by);
    // For an owner who is new, for one who is known, and the longer way.
    let (first, second) = (create().await.unwrap(), create().await.unwrap());
    clove.disable(&owner, first.key.id, &by).await.unwrap();
    clove.delete(&owner, second.key.id, &by).await.unwrap();
    let third = create().await.unwrap();
    let credential = third.credential.unwrap().reveal().to_string();
    let attempt = Attempt::new(&credential).reserving(&unit, 10);
    let grant = clove.verify(attempt).await.unwrap().granted().unwrap();
    clove.settle_durably(&grant, 5).await.unwrap();
    clove.close_owner(&owner, &by).await.unwrap();
    clove.shut_down().await.unwrap();
}

/// What a creation that is one statement writes, which names no level.
const OF_ONE_STATEMENT: [&str; 6] =
    ["audit insert", "keys insert", "operations insert", "owners insert", "owners update", "secrets insert"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_be_durable_says_so_and_transactions_of_several_statements_name_their_level() {
    for way in [Way::Direct, Way::Pooled] {
        let strict = Strict::new().await;
        let (options, schema) = strict.options(way);
        let store = options.open().await.unwrap();
        let mut operator = strict.operator(&schema).await;
        operator.execute(TELLS).await;
        for table in TABLES {
            let on = format!("CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON ~{table}");
            operator.execute(&format!("{on} FOR EACH STATEMENT EXECUTE FUNCTION ~tell()")).await;
        }
        use_all(store).await;
        let written = operator.rows("SELECT DISTINCT split_part(what, ' ', 1) FROM ~ran ORDER BY 1").await;
        assert_eq!(written, TABLES, "{way:?}");
        // Last uses alone.
        let buffered = operator.rows("SELECT DISTINCT what FROM ~ran WHERE durable <> 'on'").await;
        assert_eq!(buffered, ["keys update"], "{way:?}");
        let by_default = operator.rows("SELECT DISTINCT what FROM ~ran WHERE level <> 'read committed' ORDER BY 1").await;
        let expected: &[&str] = if matches!(way, Way::Direct) { &OF_ONE_STATEMENT } else { &[] };
        assert_eq!(by_default, expected, "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_are_bounded_on_the_server_and_name_their_level_where_they_are_transactions() {
    for (way, level) in [(Way::Direct, "serializable"), (Way::Pooled, "read committed")] {
        let strict = Strict::new().await;
        let (options, schema) = strict.options(way);
        let store = options.open().await.unwrap();
        let clove = Clove::new(store, Policy::default());
        let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "a test").unwrap());
        let issued = clove.create(&owner, NewKey::named("a key").unwrap(), &by).await.unwrap();
        let mut operator = strict.operator(&schema).await;
        let tells = format!(
            "CREATE FUNCTION ~ran_well() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                 RETURN current_setting('transaction_isolation') = '{level}' AND current_setting('statement_timeout') = '1s';
             END $$;
             ALTER TABLE ~keys RENAME TO all_keys; CREATE VIEW ~keys AS SELECT * FROM ~all_keys WHERE ~ran_well()"
        );
        operator.execute(&tells).await;
        let bare = issued.credential.unwrap().reveal().to_string();
        let secret = bare.split(';').next_back().unwrap();
        for credential in [bare.as_str(), secret] {
            assert!(clove.verify(credential).await.unwrap().granted().is_some(), "{way:?}");
        }
    }
}
