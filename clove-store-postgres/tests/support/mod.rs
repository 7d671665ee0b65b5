//! A real server, and a schema of its own for each store.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests; each file uses its part")]

pub(crate) mod wire;

use clove_core::{ActiveLimit, Expiry, ExpiryPolicy, Key, KeyId, NewKey, OperationId, Policy};
use clove_store_postgres::{Options, PostgresStore};
use clove_testkit::Fixture;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, postgres::PgRow};
use std::sync::Mutex;

/// How a store gets to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Straight.
    Direct,
    /// Through PgBouncer in transaction mode.
    Pooled,
}

/// The URL of the server.
pub(crate) fn url(way: Way) -> String {
    let name = match way {
        Way::Direct => "CLOVE_TEST_POSTGRES",
        Way::Pooled => "CLOVE_TEST_PGBOUNCER",
    };
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} names no server: run `cargo xtask test`, or one test by `cargo xtask servers -- cargo test ...`, which bring one")
    })
}

/// The server's port.
pub(crate) fn port() -> u16 {
    let url = url(Way::Direct);
    url.rsplit(':').next().and_then(|rest| rest.split('/').next()).unwrap().parse().unwrap()
}

/// The URL of what listens on another port before the server.
pub(crate) fn url_by(other: u16) -> String {
    url(Way::Direct).replace(&format!(":{}/", port()), &format!(":{other}/"))
}

/// Schemas that are dropped at the end.
pub(crate) struct Schemas {
    way: Way,
    names: Mutex<Vec<String>>,
}

impl Schemas {
    pub(crate) fn new(way: Way) -> Self {
        Self { way, names: Mutex::default() }
    }

    /// The name of a new one.
    pub(crate) fn name(&self) -> String {
        let id = OperationId::new(chrono::Utc::now()).to_string().replace('-', "");
        let name = format!("clove_test_{id}");
        self.names.lock().unwrap().push(name.clone());
        name
    }

    /// Of a schema of this name.
    pub(crate) fn options_of(&self, name: &str) -> Options {
        Options::url(&url(self.way)).unwrap().schema(name).connections(8)
    }

    pub(crate) fn options(&self) -> Options {
        self.options_of(&self.name())
    }

    /// An empty store.
    pub(crate) async fn store(&self) -> PostgresStore {
        self.options().open().await.unwrap()
    }
}

/// Whoever may do everything, beside the store.
pub(crate) struct Operator {
    pub(crate) connection: PgConnection,
    prefix: String,
}

impl Operator {
    /// Of a schema, whose name stands for `~` in statements.
    pub(crate) async fn of(schema: &str) -> Self {
        Self::at(&url(Way::Direct), schema).await
    }

    /// Of a schema of another database.
    pub(crate) async fn at(url: &str, schema: &str) -> Self {
        let connection = PgConnection::connect(url).await.unwrap();
        Self { connection, prefix: format!("{schema}.") }
    }

    fn text(&self, sql: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(sql.replace('~', &self.prefix))
    }

    /// How many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &str) -> u64 {
        let text = self.text(sql);
        self.connection.execute(text).await.unwrap_or_else(|error| panic!("{sql}: {error}")).rows_affected()
    }

    /// The rows, each as the text of its columns joined by spaces.
    pub(crate) async fn rows(&mut self, sql: &str) -> Vec<String> {
        let rows = sqlx::raw_sql(self.text(sql)).fetch_all(&mut self.connection).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let column = |row: &PgRow, column| row.try_get_unchecked::<Option<String>, _>(column).unwrap().unwrap_or_default();
        rows.iter().map(|row| (0..row.len()).map(|at| column(row, at)).collect::<Vec<_>>().join(" ")).collect()
    }

    pub(crate) async fn number(&mut self, sql: &str) -> i64 {
        self.rows(sql).await[0].parse().unwrap()
    }

    /// How many statements on the schema wait for a lock.
    pub(crate) async fn waiting(&mut self) -> i64 {
        let schema = self.prefix.trim_end_matches('.');
        let waiting = format!("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{schema}%'");
        self.number(&waiting).await
    }
}

impl Drop for Schemas {
    fn drop(&mut self) {
        let names = std::mem::take(&mut *self.names.lock().unwrap());
        let drop = |name| format!("SET lock_timeout = '10s'; DROP SCHEMA IF EXISTS {name} CASCADE");
        execute_all(names.into_iter().map(drop).collect());
    }
}

/// On a thread of its own: this one may be a runtime's.
fn execute_all(statements: Vec<String>) {
    let executing = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&url(Way::Direct)).await.unwrap();
            for statement in statements {
                connection.execute(AssertSqlSafe(statement)).await.unwrap();
            }
        });
    });
    let executed = executing.join();
    assert!(std::thread::panicking() || executed.is_ok(), "what this test has made could not be dropped");
}

/// A role that may do what is granted to it, and its schemas.
pub(crate) struct Role {
    pub(crate) name: String,
    /// Dropped first, since their tables name the role.
    schemas: Option<Schemas>,
}

impl Role {
    pub(crate) async fn new() -> Self {
        let schemas = Schemas::new(Way::Direct);
        let name = schemas.name().replace("test", "role");
        Operator::of("").await.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD 'a password'")).await;
        Self { name, schemas: Some(schemas) }
    }

    pub(crate) fn url(&self) -> String {
        let url = url(Way::Direct);
        let (_, server) = url.rsplit_once('@').unwrap();
        format!("postgres://{}:a%20password@{server}", self.name)
    }

    /// A schema that is the operator's, and granted to this role.
    pub(crate) async fn schema(&self) -> String {
        let name = self.schemas.as_ref().unwrap().name();
        let options = Options::url(&url(Way::Direct)).unwrap().schema(&name);
        options.clone().migrate_now().await.unwrap();
        Operator::of(&name).await.execute(&options.grants(&self.name).unwrap()).await;
        name
    }

    pub(crate) async fn store_of(&self, schema: &str) -> PostgresStore {
        Options::url(&self.url()).unwrap().schema(schema).connections(8).migrate(false).open().await.unwrap()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.schemas = None;
        execute_all(vec![format!("DROP ROLE IF EXISTS {}", self.name)]);
    }
}

/// A store of which rows are damaged behind its back.
pub(crate) struct Damaged {
    pub(crate) fixture: Fixture,
    operator: tokio::sync::Mutex<Operator>,
    name: String,
    schemas: Schemas,
}

impl Damaged {
    pub(crate) async fn new() -> Self {
        let any = ExpiryPolicy { custom: Some((1, 99)), ..ExpiryPolicy::default() };
        Self::under(Policy::builder().active_limit(ActiveLimit::Unlimited).expiry(any).build().unwrap()).await
    }

    pub(crate) async fn under(policy: Policy) -> Self {
        let schemas = Schemas::new(Way::Direct);
        let name = schemas.name();
        // Plain tables are sooner made.
        let options = schemas.options_of(&name).partitions(false).prepared(true).connections(8);
        let fixture = Fixture::on(options.open().await.unwrap(), policy).unwrap();
        let mut operator = Operator::of(&name).await;
        // What a restored dump without its constraints may hold.
        operator.execute("ALTER TABLE ~keys ALTER expiry_latched DROP NOT NULL").await;
        operator
            .execute("ALTER TABLE ~owners ALTER open DROP NOT NULL; ALTER TABLE ~organizations ALTER open DROP NOT NULL")
            .await;
        Self { fixture, operator: tokio::sync::Mutex::new(operator), name, schemas }
    }

    /// Another store on the same.
    pub(crate) async fn open(&self) -> PostgresStore {
        self.schemas.options_of(&self.name).open().await.unwrap()
    }

    pub(crate) async fn create(&self, days: u32) -> Key {
        let new = NewKey::named("a key").unwrap().expiry(Expiry::Days(days));
        self.fixture.clove.create(&self.fixture.owner, new, &self.fixture.by).await.unwrap().key
    }

    pub(crate) async fn execute(&self, sql: &str) -> u64 {
        self.operator.lock().await.execute(sql).await
    }

    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        self.operator.lock().await.rows(sql).await
    }

    /// As if there had been no key and no owner.
    pub(crate) async fn clear(&self) {
        for table in ["organizations", "owners", "keys", "secrets", "audit", "operations"] {
            self.execute(&format!("DELETE FROM ~{table}")).await;
        }
    }

    /// Executes a statement on one row, which it names by `$1`.
    pub(crate) async fn tamper(&self, sql: &str, id: KeyId) {
        assert_eq!(self.execute(&sql.replace("$1", &format!("'{id}'"))).await, 1, "{sql}");
    }

    /// The same on the one row of its table.
    pub(crate) async fn tamper_all(&self, sql: &str) {
        self.tamper(sql, KeyId::new(self.fixture.clove.now())).await;
    }
}
