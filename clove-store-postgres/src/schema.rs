//! The schema's versions, how a database gets to the newest, and what a role needs to use it.

use crate::{
    error::{Failure, code, unavailable},
    open::Reached,
    partitions,
    session::{in_time, jitter, opening},
    sql::of_schema,
};
use clove_core::StoreError;
use sqlx::{Executor, PgConnection, Row};

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
/// The longest pause in between.
const PAUSE_MICROS: u64 = 100_000;

/// How tables are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Whether the access log and the audit trail have a partition for each month.
    pub(crate) partitions: bool,
}

/// Refuses a database that this build must not use; whether it is at the newest version.
pub(crate) async fn recognise(server: &Reached) -> Result<bool, StoreError> {
    let version = of_schema("SELECT version, usable_from FROM ~clove_schema", &server.schema);
    let row = match in_time(server.timeout, sqlx::raw_sql(version).fetch_optional(&server.pool)).await? {
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
pub(crate) async fn migrate(server: &Reached, layout: Layout) -> Result<(), StoreError> {
    let mut connection = server.connection().await?;
    for attempt in 1.. {
        match try_to_migrate(server, &mut connection, layout).await {
            Err(Failure::Again(_)) if attempt < ATTEMPTS => {
                server.step(run(&mut connection, "ROLLBACK", &server.schema)).await?;
                tokio::time::sleep(jitter(PAUSE_MICROS)).await;
            }
            ended => {
                ended?;
                break;
            }
        }
    }
    recognise(server).await.map(drop)
}

/// What the server did not do. Nothing is changed by it.
fn failed(error: sqlx::Error) -> Failure {
    let what = match code(&error).as_deref() {
        // Two that create the same at once: one of them is told that it exists already (table, schema, type), of a unique row of the
        // catalogue, or that this was changed concurrently; or it has lost against another.
        Some("42P07" | "42P06" | "42710" | "23505" | "XX000" | "40001" | "40P01") => {
            return Failure::Again(unavailable("migrating the schema", &error));
        }
        Some("42501") => "migrating the schema: this role may not; run it once as the schema's owner",
        _ => "migrating the schema",
    };
    Failure::Store(unavailable(what, &error))
}

fn is_held(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("55P03")
}

/// Before anything is changed: whoever comes second waits here, and finds it done.
fn failed_beside_another(error: sqlx::Error) -> Failure {
    if is_held(&error) {
        let what = "migrating the schema: another process has been at it for long; open again once that has ended";
        return Failure::Again(unavailable(what, &error));
    }
    failed(error)
}

/// While tables are changed: whoever uses them waits behind us as long as we wait.
fn failed_behind_others(error: sqlx::Error) -> Failure {
    if is_held(&error) {
        let what = "migrating the schema: others have used a table of it for longer than the time-out, and nothing was changed; \
                    migrate when nothing reads it for long, or with a longer time-out (Options::timeout)";
        return Failure::Store(unavailable(what, &error));
    }
    failed(error)
}

async fn try_to_migrate(server: &Reached, connection: &mut PgConnection, layout: Layout) -> Result<(), Failure> {
    let Reached { pool, schema, timeout, .. } = server;
    let (name, millis) = (schema.trim_end_matches('.'), timeout.as_millis());
    let limit = format!("SET LOCAL lock_timeout = {millis}");
    for sql in [
        format!("{limit}; CREATE SCHEMA IF NOT EXISTS {name}"),
        format!("{limit}; {ROOT}"),
        format!("{limit}; INSERT INTO ~clove_schema (one, version, usable_from) VALUES (1, 0, 0) ON CONFLICT (one) DO NOTHING"),
        // Read committed: whoever has waited is to see the version as the other has left it. One that is stopped leaves it to others.
        format!("BEGIN ISOLATION LEVEL READ COMMITTED; {limit}; SET LOCAL idle_in_transaction_session_timeout = {millis}"),
    ] {
        in_time(*timeout, run(connection, &sql, schema)).await?.map_err(failed_beside_another)?;
    }
    let lock = of_schema("SELECT version, usable_from FROM ~clove_schema WHERE one = 1 FOR UPDATE", schema);
    let row = in_time(*timeout, sqlx::raw_sql(lock).fetch_one(&mut *connection)).await?.map_err(failed_beside_another)?;
    let (version, _) = versions(&row)?;
    for statements in VERSIONS.iter().skip(usize::try_from(version).unwrap_or_default()) {
        // However long it takes, once it has its locks.
        run(connection, &laid_out(statements, layout), schema).await.map_err(failed_behind_others)?;
    }
    if version < NEWEST {
        let done = format!("UPDATE ~clove_schema SET version = {NEWEST}, usable_from = {USABLE_FROM} WHERE one = 1");
        in_time(*timeout, run(connection, &done, schema)).await?.map_err(failed)?;
    }
    in_time(*timeout, run(connection, "COMMIT", schema)).await?.map_err(failed)?;
    if layout.partitions && server.step(partitions::are_there(pool, schema)).await? {
        partitions::provide(connection, schema, *timeout).await?;
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
