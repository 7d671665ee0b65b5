//! The schema's versions, and how a file gets to the newest.

use clove_core::StoreError;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, ffi::SQLITE_IOERR_SHMSIZE};

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
    transaction.commit().map_err(opening)?;
    // Into the file itself: without its log it is to be known as clove's still, and not as an empty one. Where another process
    // reads or copies just then, it is left to the next checkpoint.
    connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(())).map_err(opening)
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

pub(crate) const NO_DATABASE: &str = "a file that is not a SQLite database; if it was one, restore it from a backup";
pub(crate) const READ_ONLY: &str = "opening the database: the file, its folder or its disk may only be read";
const FULL: &str = "opening the database: the disk is full";

/// What a failure while opening means, and what to do about it.
pub(crate) fn opening(error: rusqlite::Error) -> StoreError {
    let what = match error.sqlite_error().map(|error| (error.code, error.extended_code)) {
        Some((ErrorCode::NotADatabase, _)) => return StoreError::Foreign { what: NO_DATABASE },
        Some((ErrorCode::DatabaseCorrupt, _)) => "opening the database: the file is damaged; restore it from a backup",
        Some((ErrorCode::ReadOnly, _)) => READ_ONLY,
        // No room for the index of the log.
        Some((ErrorCode::DiskFull, _) | (_, SQLITE_IOERR_SHMSIZE)) => FULL,
        Some((ErrorCode::CannotOpen | ErrorCode::PermissionDenied, _)) => {
            "opening the database: does its folder exist, and may this process read and write both?"
        }
        Some((ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _)) => "opening the database: another process keeps it locked",
        _ => "opening the database",
    };
    StoreError::unavailable(what, error)
}
