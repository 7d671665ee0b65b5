//! A connection of the limits' own, opened as the store opens its own.

use rusqlite::Connection;
use std::path::Path;

/// Write-ahead logging, synchronous=FULL, and SQLite's defaults for all else: cache, mapping, checkpoints.
pub(crate) fn connect(path: &Path) -> Connection {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).expect("a connection");
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).expect("a journal mode");
    assert_eq!(mode, "wal");
    connection.pragma_update(None, "synchronous", "FULL").expect("synchronous");
    connection
}

/// The same, for reading.
pub(crate) fn connect_to_read(path: &Path) -> Connection {
    let connection = connect(path);
    connection.pragma_update(None, "query_only", true).expect("query_only");
    connection
}
