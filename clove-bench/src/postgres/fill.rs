//! Very many keys, by COPY: the rows that the store would write.

use super::server::{Schema, connect, execute};
use crate::fixture;
use clove_core::Owner;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::fmt::Write as _;

/// Rows of one COPY: what is lost where it fails.
const SLICE: u64 = 100_000;
/// Bytes that are sent at once.
const BUFFER: usize = 1 << 20;
/// Where keys go by the hundred thousand, indexes are made behind them.
const MANY: u64 = 100_000;
const TABLES: [&str; 4] = ["keys", "secrets", "owners", "operations"];

/// So many keys, of half as many owners in one organization, each with its secret and the event of its creation.
#[derive(Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) keys: u64,
}

impl Crowd {
    fn owners(self) -> u64 {
        self.keys / 2
    }

    fn owner_of(self, key: u64) -> Owner {
        owner(key % self.owners())
    }
}

/// The owners by number, of whom a crowd has the first.
pub(crate) fn owner(number: u64) -> Owner {
    Owner::new("acme-corporation", format!("account-of-user-{number:08}")).expect("an owner")
}

/// Fills the schema of a store that has been opened, unless it is filled already.
pub(crate) async fn fill(schema: &Schema, crowd: Crowd) {
    let (mut connection, name) = (connect().await, schema.name());
    if is_filled(&mut connection, name).await {
        return;
    }
    for table in TABLES.into_iter().chain(["audit", "organizations"]) {
        execute(&mut connection, format!("TRUNCATE {name}.{table}")).await;
    }
    let indexes = if crowd.keys > MANY { indexes(&mut connection, name).await } else { Vec::new() };
    for index in &indexes {
        execute(&mut connection, index.drop.clone()).await;
    }
    execute(&mut connection, format!("INSERT INTO {name}.organizations (id, open) VALUES ('acme-corporation', true)")).await;
    copy(&mut connection, &format!("{name}.owners"), crowd.owners(), |number, line| {
        let owner = crowd.owner_of(number);
        let _ = writeln!(line, "{}\t{}\tt\t2\t2\t\\N\t20454\t2\t\t0", owner.organization, owner.account);
    })
    .await;
    let now = chrono::Utc::now();
    let (created, expires) = (now.timestamp_micros(), (now + chrono::TimeDelta::days(90)).timestamp_micros());
    copy(&mut connection, &format!("{name}.keys"), crowd.keys, |number, line| {
        let (id, owner) = (fixture::key_id(number), crowd.owner_of(number));
        // A microsecond apart, as no two keys of one owner expire together.
        let (created, expires) = (created + number as i64, expires + number as i64);
        let _ = write!(line, "{id}\t{}\t{}\tproduction-gateway-1\t\t", owner.organization, owner.account);
        let _ = writeln!(line, "chat:write files:read models:list\t\t{created}\t{expires}\t\\N\tactive\tf\t1\t");
    })
    .await;
    copy(&mut connection, &format!("{name}.secrets"), crowd.keys, |number, line| {
        line.push_str(r"\\x");
        for byte in fixture::sha256(fixture::secret(number)) {
            let _ = write!(line, "{byte:02x}");
        }
        let _ = writeln!(line, "\t{}\tsha256\t\\N\t\\N\t\\N\t\\N", fixture::key_id(number));
    })
    .await;
    copy(&mut connection, &format!("{name}.operations"), crowd.keys, |number, line| {
        let id = fixture::key_id(number);
        let _ = writeln!(line, "{id}\t{id}");
    })
    .await;
    copy(&mut connection, &format!("{name}.audit"), crowd.keys, |number, line| {
        let (id, owner) = (fixture::key_id(number), crowd.owner_of(number));
        let _ = write!(line, "{id}\t{id}\t{}\tbench\tmeasuring\tcreate\t{}\t", created + number as i64, owner.organization);
        let _ = write!(line, "{}\t{id}\tproduction-gateway-1\t\\N\tactive\tt\t", owner.account);
        let _ = writeln!(line, "expires 2027-01-01, may do 3 things\t\\\\x0000000000000000");
    })
    .await;
    for index in &indexes {
        execute(&mut connection, index.create.clone()).await;
    }
    for table in TABLES.into_iter().chain(["audit", "organizations"]) {
        execute(&mut connection, format!("VACUUM (ANALYZE) {name}.{table}")).await;
    }
    execute(&mut connection, format!("COMMENT ON SCHEMA {name} IS 'filled'")).await;
    // Else it is written while it is measured.
    execute(&mut connection, "CHECKPOINT".to_owned()).await;
}

async fn is_filled(connection: &mut PgConnection, name: &str) -> bool {
    let comment = "SELECT obj_description(n.oid, 'pg_namespace') = 'filled' FROM pg_namespace n WHERE n.nspname = $1";
    let found = sqlx::query(comment).bind(name).fetch_optional(connection).await.expect("a comment");
    found.is_some_and(|row| row.get::<Option<bool>, _>(0) == Some(true))
}

/// One that is dropped, and made again.
struct Index {
    drop: String,
    create: String,
}

/// Of tables in one piece. Primary keys first.
async fn indexes(connection: &mut PgConnection, name: &str) -> Vec<Index> {
    let sql = "SELECT c.relname, t.relname, pg_get_constraintdef(p.oid), pg_get_indexdef(c.oid) FROM pg_index i \
               JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid \
               JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_constraint p ON p.conindid = c.oid \
               WHERE n.nspname = $1 AND t.relname = ANY($2) ORDER BY p.oid IS NULL, c.relname";
    let tables: Vec<String> = TABLES.map(str::to_owned).into();
    let rows = sqlx::query(sql).bind(name).bind(tables).fetch_all(connection).await.expect("indexes");
    let index = |row: &sqlx::postgres::PgRow| {
        let text = |column| row.get::<String, usize>(column);
        match row.get::<Option<String>, _>(2) {
            Some(constraint) => Index {
                drop: format!("ALTER TABLE {name}.{} DROP CONSTRAINT {}", text(1), text(0)),
                create: format!("ALTER TABLE {name}.{} ADD CONSTRAINT {} {constraint}", text(1), text(0)),
            },
            None => Index { drop: format!("DROP INDEX {name}.{}", text(0)), create: text(3) },
        }
    };
    rows.iter().map(index).collect()
}

async fn copy(connection: &mut PgConnection, table: &str, rows: u64, mut line: impl FnMut(u64, &mut String)) {
    let mut buffer = String::with_capacity(BUFFER + 1024);
    for first in (0..rows).step_by(SLICE as usize) {
        let statement = format!("COPY {table} FROM STDIN");
        let mut copying = connection.copy_in_raw(&statement).await.expect("COPY");
        for number in first..rows.min(first + SLICE) {
            line(number, &mut buffer);
            if buffer.len() >= BUFFER {
                copying.send(buffer.as_bytes()).await.expect("rows");
                buffer.clear();
            }
        }
        copying.send(buffer.as_bytes()).await.expect("rows");
        buffer.clear();
        copying.finish().await.expect("rows");
    }
}

/// How large the schema is, for people.
pub(crate) async fn size(schema: &Schema) -> String {
    let sql = format!(
        "SELECT pg_size_pretty(sum(pg_relation_size(c.oid))) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = '{}'",
        schema.name()
    );
    sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut connect().await).await.expect("a size").get(0)
}
