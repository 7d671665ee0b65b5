//! The schema's versions, how a database gets to the newest, and what a role needs to use it.

use crate::{
    error::{code, is_forbidden},
    session::opening,
    sql::of_schema,
};
use clove_core::StoreError;
use sqlx::{Executor, PgConnection, Row, postgres::PgPool};
use std::time::Duration;

/// Each version's statements, from version 1 on.
const VERSIONS: [&str; 1] = [include_str!("schema/v1.sql")];
/// The newest version.
pub(crate) const NEWEST: i64 = 1;
/// The oldest version of a store that can use a schema of the newest: additions leave it as it is.
const USABLE_FROM: i64 = 1;

/// The table that tells the version.
pub(crate) const ROOT: &str = "CREATE TABLE IF NOT EXISTS ~clove_schema (one bigint NOT NULL PRIMARY KEY, version bigint NOT NULL, \
                               usable_from bigint NOT NULL)";

/// How often creating what several create at once is tried.
const ATTEMPTS: usize = 20;

/// How tables are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Whether the access log and the audit trail have a partition for each month.
    pub(crate) partitions: bool,
}

/// Refuses a database that this build must not use; whether it is at the newest version.
pub(crate) async fn recognise(pool: &PgPool, schema: &str) -> Result<bool, StoreError> {
    let found = sqlx::raw_sql(of_schema("SELECT version, usable_from FROM ~clove_schema", schema)).fetch_optional(pool).await;
    let row = match found {
        Ok(row) => row,
        // No such table, or no such schema.
        Err(error) if matches!(code(&error).as_deref(), Some("42P01" | "3F000")) => None,
        Err(error) => return Err(opening(&error)),
    };
    let Some(row) = row else { return Ok(false) };
    let (version, usable_from) = versions(&row)?;
    if usable_from > NEWEST {
        return Err(StoreError::NewerSchema { found: version, supported: NEWEST });
    }
    Ok(version >= NEWEST)
}

fn versions(row: &sqlx::postgres::PgRow) -> Result<(i64, i64), StoreError> {
    // Of a simple query, as text.
    let number = |column| row.try_get_unchecked::<i64, _>(column).map_err(|error| opening(&error));
    Ok((number(0)?, number(1)?))
}

/// Brings a database to the newest version. Any number of processes may do so at once: the first one does it.
pub(crate) async fn migrate(pool: &PgPool, schema: &str, layout: Layout) -> Result<(), StoreError> {
    for attempt in 1.. {
        match try_to_migrate(pool, schema, layout).await {
            Ok(()) => break,
            // Two that create the same at once: one of them is told that it exists, or that the catalogue has changed.
            Err(error) if attempt < ATTEMPTS && is_race(&error) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) if is_forbidden(&error) => {
                let what = "migrating the schema: this role may not; run it once as the schema's owner";
                return Err(crate::error::unavailable(what, &error));
            }
            Err(error) => return Err(crate::error::unavailable("migrating the schema", &error)),
        }
    }
    recognise(pool, schema).await.map(drop)
}

fn is_race(error: &sqlx::Error) -> bool {
    // Exists already (table, schema, type), a unique row of the catalogue, changed concurrently, lost against another.
    matches!(code(error).as_deref(), Some("42P07" | "42P06" | "42710" | "23505" | "XX000" | "40001" | "40P01"))
}

async fn try_to_migrate(pool: &PgPool, schema: &str, layout: Layout) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let name = schema.trim_end_matches('.');
    connection.execute(of_schema(&format!("CREATE SCHEMA IF NOT EXISTS {name}"), schema)).await?;
    connection.execute(of_schema(ROOT, schema)).await?;
    let row = "INSERT INTO ~clove_schema (one, version, usable_from) VALUES (1, 0, 0) ON CONFLICT (one) DO NOTHING";
    connection.execute(of_schema(row, schema)).await?;
    let mut transaction = sqlx::Connection::begin(&mut *connection).await?;
    // Whoever comes second waits here, and finds it done.
    let lock = of_schema("SELECT version, usable_from FROM ~clove_schema WHERE one = 1 FOR UPDATE", schema);
    let row = sqlx::raw_sql(lock).fetch_one(&mut *transaction).await?;
    let version: i64 = row.try_get_unchecked(0)?;
    for statements in VERSIONS.iter().skip(usize::try_from(version).unwrap_or_default()) {
        run(&mut transaction, &laid_out(statements, layout), schema).await?;
    }
    if version < NEWEST {
        let done = format!("UPDATE ~clove_schema SET version = {NEWEST}, usable_from = {USABLE_FROM} WHERE one = 1");
        run(&mut transaction, &done, schema).await?;
    }
    transaction.commit().await?;
    if crate::partitions::are_there(pool, schema).await? {
        crate::partitions::provide(&mut connection, schema).await?;
    }
    Ok(())
}

async fn run(connection: &mut PgConnection, statements: &str, schema: &str) -> Result<(), sqlx::Error> {
    connection.execute(of_schema(statements, schema)).await.map(drop)
}

fn laid_out(statements: &str, layout: Layout) -> String {
    let partitioned = if layout.partitions { "PARTITION BY RANGE (id)" } else { "" };
    statements.replace("/*PARTITIONED*/", partitioned).replace("/*FILLFACTOR*/", "WITH (fillfactor = 80)")
}
