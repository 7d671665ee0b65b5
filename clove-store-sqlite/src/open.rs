//! Opening a file.

use crate::{
    Points, SqliteStore,
    epochs::Poller,
    readers::{Pool, Readers},
    schema::{NO_DATABASE, READ_ONLY, migrate, opening, recognise},
    writer::Writer,
};
use clove_core::StoreError;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// The most statements that a connection keeps prepared: all there are.
const STATEMENTS: usize = 128;

/// How many threads scan: a page that has long to look for its rows leaves others one.
const SCANNERS: usize = 2;
/// The longest time-out for writes; SQLite counts milliseconds in 31 bits.
const MAX_BUSY_TIMEOUT: Duration = Duration::from_secs(3600);
/// The shortest time-out for opening.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);
/// Reads wait for other processes only while these recover or remove the log; a verification has a second at most.
const READ_TIMEOUT: Duration = Duration::from_millis(250);

/// How to open a file.
#[derive(Clone, Debug)]
pub struct Options {
    path: PathBuf,
    create: bool,
    busy_timeout: Duration,
    readers: usize,
    inline: bool,
}

impl Options {
    /// The defaults for this file.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        let readers = thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
        Self { path: path.as_ref().to_owned(), create: true, busy_timeout: Duration::from_secs(5), readers, inline: true }
    }

    /// Whether a missing or empty file becomes a new database, as it does unless set otherwise. Set it to false once a service has
    /// its keys: a wrong path, a volume that is not mounted or an emptied file is then an error, and not a service that denies
    /// every key.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How long a write waits for other processes' writes before it fails; 5 seconds unless set, and an hour at most. Opening
    /// waits as long, and 5 seconds at least.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout.min(MAX_BUSY_TIMEOUT);
        self
    }

    /// How many connections serve point reads, at least 1; one a core, 2 to 8, unless set.
    #[must_use]
    pub fn readers(mut self, connections: usize) -> Self {
        self.readers = connections.max(1);
        self
    }

    /// Whether a point read runs on the calling thread, as it does unless set otherwise. From a page in memory it takes about
    /// 4 microseconds, and the hop to another thread that would avoid it 8 to 17. Set it to false where the file is so large
    /// that reads wait for the disk: each connection of [`Options::readers`] then has a thread of its own.
    #[must_use]
    pub fn inline_reads(mut self, inline: bool) -> Self {
        self.inline = inline;
        self
    }

    /// Opens the file; creates it with mode 0600 if it is missing ([`Options::create`]), and tightens a wider mode. Neither
    /// `:memory:` nor a URI is the path of a file: for keys in memory there is `MemoryStore`.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] and [`StoreError::Foreign`] for a file that this build must not touch, otherwise
    /// [`StoreError::Unavailable`] with the cause. None names the file: the caller knows it.
    pub fn open(self) -> Result<SqliteStore, StoreError> {
        is_path(&self.path)?;
        if !exists(&self.path)? {
            if !self.create {
                let what = "opening a file that does not exist: its path may be wrong, or its volume not mounted";
                return Err(StoreError::Unavailable { what, source: None });
            }
            create(&self.path)?;
        }
        let mut writer = self.connect()?;
        // Nothing of another program's file is changed, neither its mode nor its journal.
        if recognise(&writer)? == 0 && !self.create {
            return Err(StoreError::Foreign { what: "an empty file; if it had keys, restore it from a backup" });
        }
        if writer.is_readonly(MAIN_DB).map_err(opening)? {
            return Err(StoreError::Unavailable { what: READ_ONLY, source: None });
        }
        tighten(&self.path).map_err(|error| StoreError::unavailable("giving the database file the mode 0600", error))?;
        self.use_wal(&writer)?;
        migrate(&mut writer)?;
        let poller = Poller::new(self.connect_to_read()?);
        self.start(writer, poller, self.connect_some_to_read(SCANNERS)?, self.connect_some_to_read(self.readers)?)
    }

    fn start(
        &self,
        writer: Connection,
        poller: Poller,
        scanners: Vec<Connection>,
        readers: Vec<Connection>,
    ) -> Result<SqliteStore, StoreError> {
        let (scanner, mut threads) = Pool::start("clove-sqlite-scan", scanners)?;
        let points = if self.inline {
            Points::Inline(Readers::new(readers))
        } else {
            let (pool, more) = Pool::start("clove-sqlite-read", readers)?;
            threads.extend(more);
            Points::Hop(pool)
        };
        Ok(SqliteStore {
            inner: Arc::new(crate::Inner { points, scanner, poller, writer: Writer::start(writer, threads, self.busy_timeout)? }),
        })
    }

    /// How long opening waits for others that open, migrate or close the file: a store of this process that was dropped a moment
    /// ago may be closing it still, and is no reason to fail.
    fn opening_timeout(&self) -> Duration {
        self.busy_timeout.max(OPENING_TIMEOUT)
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(opening)?;
        // The very first statement reads the schema, and may wait.
        connection.busy_timeout(self.opening_timeout()).map_err(opening)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // Each commit is on the disk when it returns. Without the others macOS leaves it in the drive's own memory; elsewhere they
        // do nothing.
        connection.pragma_update(None, "synchronous", "FULL").map_err(opening)?;
        connection.pragma_update(None, "fullfsync", true).map_err(opening)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true).map_err(opening)?;
        // A savepoint's copies of pages need no file: they are gone with the batch.
        connection.pragma_update(None, "temp_store", "MEMORY").map_err(opening)?;
        Ok(connection)
    }

    /// Switches a new file to write-ahead logging. SQLite does not wait for a lock here by itself, and another process may be
    /// switching the same file.
    fn use_wal(&self, connection: &Connection) -> Result<(), StoreError> {
        let began = Instant::now();
        loop {
            match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
                Ok(mode) if mode == "wal" => return Ok(()),
                Ok(_) => {
                    return Err(StoreError::Unavailable { what: "switching the database to write-ahead logging", source: None });
                }
                Err(error)
                    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && began.elapsed() < self.opening_timeout() =>
                {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(opening(error)),
            }
        }
    }

    fn connect_to_read(&self) -> Result<Connection, StoreError> {
        let connection = self.connect()?;
        connection.pragma_update(None, "query_only", true).map_err(opening)?;
        connection.busy_timeout(self.busy_timeout.min(READ_TIMEOUT)).map_err(opening)?;
        Ok(connection)
    }

    fn connect_some_to_read(&self, connections: usize) -> Result<Vec<Connection>, StoreError> {
        (0..connections).map(|_| self.connect_to_read()).collect()
    }
}

/// Refuses what SQLite takes for something else than the path of a file: it would keep keys in memory, one database a connection,
/// or open another file than the one that was created. A file of such a name is opened with its folder before it.
fn is_path(path: &Path) -> Result<(), StoreError> {
    let what = match path.as_os_str().as_encoded_bytes() {
        b"" | b":memory:" => "opening a file without a name; for keys in memory use MemoryStore",
        [b'f', b'i', b'l', b'e', b':', ..] => "opening a URI; give the path of the file",
        _ => return Ok(()),
    };
    Err(StoreError::Unavailable { what, source: None })
}

/// Whether there is a file. Refuses a device, a folder or the like before anything of it is changed, and what SQLite would take
/// for an empty file though it has a byte.
fn exists(path: &Path) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(StoreError::Foreign { what: "a folder, a device or the like, not a regular file" }),
        Ok(found) if found.len() == 1 => Err(StoreError::Foreign { what: NO_DATABASE }),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::unavailable("opening the database file: may this process use its folder?", error)),
    }
}

/// Creates the file, if it is missing.
///
/// Closing any descriptor of a file gives up all POSIX locks that the process has on it, SQLite's too. So one that SQLite may
/// have open is never opened here: only a new one is, and one at a time, so that it is closed again before any handle of this
/// process gets to it.
fn create(path: &Path) -> Result<(), StoreError> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    // SQLite gives its -wal and -shm files the mode of the database.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let Err(error) = options.open(path) else { return Ok(()) };
    let what = match error.kind() {
        ErrorKind::AlreadyExists => return Ok(()),
        ErrorKind::NotFound => "creating the database file: its folder does not exist",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "creating the database file: its folder may not be written"
        }
        ErrorKind::StorageFull => "creating the database file: the disk is full",
        _ => "creating the database file with mode 0600",
    };
    Err(StoreError::unavailable(what, error))
}

/// Gives a file of clove's that is open to others, and what SQLite keeps beside it, the mode 0600; without opening it.
#[cfg(unix)]
fn tighten(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // SQLite names its companions after what a link leads to.
    let path = fs::canonicalize(path)?;
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.clone().into_os_string();
        file.push(suffix);
        let wide = fs::metadata(&file).map(|found| found.permissions().mode() & 0o077 != 0);
        // A companion may go at any time, with the last connection.
        match wide.and_then(|wide| if wide { fs::set_permissions(&file, PermissionsExt::from_mode(0o600)) } else { Ok(()) }) {
            Err(error) if suffix.is_empty() || error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn tighten(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod threads;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_writing_connection_flushes_each_commit_to_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::new(folder.path().join("keys.db"));
        let _store = options.clone().open().unwrap();
        let connection = options.connect().unwrap();
        let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        let flushes = ["synchronous", "fullfsync", "checkpoint_fullfsync"]
            .map(|name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap());
        assert_eq!((journal.as_str(), flushes), ("wal", [2, 1, 1]), "2 is FULL");
    }
}
