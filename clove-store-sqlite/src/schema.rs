//! The schema's versions, and how a file gets to the newest.

use clove_core::StoreError;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

/// Marks a file as clove's: "clov".
const APPLICATION_ID: i64 = 0x636c_6f76;
/// Each version's statements, from version 1 on.
pub(crate) const VERSIONS: [&str; 2] = [include_str!("schema/v1.sql"), include_str!("schema/v2.sql")];
/// The newest version.
const NEWEST: i64 = 2;

/// Brings a file to the newest version. Any number of processes may do so at once: the first one does it.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    if recognise(connection)? == NEWEST {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(opening)?;
    let version = found(&transaction)?;
    let done = usize::try_from(version).map_err(|_| StoreError::Foreign { what: "a negative schema version" })?;
    for statements in VERSIONS.iter().skip(done) {
        transaction.execute_batch(statements).map_err(opening)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(opening)?;
    transaction.pragma_update(None, "user_version", NEWEST).map_err(opening)?;
    transaction.commit().map_err(opening)
}

/// The version of a file, 0 if it is empty; refuses one that this build must not touch, and changes nothing.
pub(crate) fn recognise(connection: &Connection) -> Result<i64, StoreError> {
    // All is read in one snapshot: another process may be migrating the file.
    let snapshot = connection.unchecked_transaction().map_err(opening)?;
    found(&snapshot)
}

fn found(connection: &Connection) -> Result<i64, StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(opening);
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application != APPLICATION_ID && (application != 0 || version != 0) {
        return Err(StoreError::Foreign { what: "a database of another program" });
    }
    if version > NEWEST {
        return Err(StoreError::NewerSchema { found: version, supported: NEWEST });
    }
    if version == 0 {
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).map_err(opening)?;
        if tables > 0 {
            return Err(StoreError::Foreign { what: "a database with tables of another program" });
        }
    }
    Ok(version)
}

/// What a failure while opening means.
pub(crate) fn opening(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { what: "a file that is not a SQLite database" },
        _ => StoreError::unavailable("opening the database", error),
    }
}
