//! The embedded store of clove, on bundled SQLite: one file, any number of threads and processes.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use clove_core::{By, Clove, NewKey, Owner, Policy};
//! use clove_store_sqlite::SqliteStore;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("keys.db");
//!
//! let store = SqliteStore::open(&path)?;
//! let clove = Clove::new(store.clone(), Policy::profile_a());
//! let ada = Owner::new("acme", "ada")?;
//! clove.create(&ada, NewKey::named("laptop")?, &By::new("ada", "first steps")?).await?;
//!
//! assert_eq!(clove.active_keys(&ada).await?.to_string(), "1 / 2 active keys");
//! clove.flush().await?;
//! store.close().await;
//! # Ok(()) }
//! ```
//!
//! - The file has mode 0600, write-ahead logging, and `synchronous = FULL`: a command is on the disk when it returns.
//! - One thread writes, and takes all that waits into one commit. Reads do not wait for it.
//! - Point reads run on the calling thread, scans on two of their own: see [`Options::inline_reads`].

mod access;
mod budgets;
mod copies;
mod epochs;
mod open;
mod places;
mod read;
mod readers;
mod rows;
mod schema;
#[doc(hidden)]
pub mod sql;
mod transact;
mod usage;
mod writer;

pub use open::Options;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use clove_core::{
    AccessEntry, BudgetState, Key, KeyId, OrganizationId, Owner, Scope, Store, StoreError, Timestamp,
    digest::Digest,
    id::NodeId,
    store::{
        AccessPage, AccessQuery, AuditPage, AuditQuery, BudgetQuery, CopyPage, CopyPart, CopyPlace, CopyRow, Decision, Epochs,
        ExpiringKey, ExpiringQuery, Freshness, KeyPage, KeyQuery, Lease, Leased, Lookup, OrganizationRecord, OwnerFacts, Rehash,
        Reserve, Reserved, SlidingCharge, SlidingCharged, Transaction, UnrecognizedCount, Unspent, UsageBatch, UsagePage,
        UsageQuery,
    },
    usage::Day,
};
use epochs::Poller;
use readers::{Pool, Readers};
use rusqlite::Connection;
use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};
use writer::{Done, Work, Writer};

/// A store on one SQLite file. Clones share it.
///
/// Nothing acknowledged is lost however it ends: a write returns when it is on the disk. As the last clone is dropped, what no
/// caller waits for any more is left to the store's threads, which write it, close the file and end by themselves, without
/// holding up the dropping thread. The file may be opened again at once; a process that exits before them loses what was not yet
/// written, each command whole. [`SqliteStore::close`] waits for them: call it before exiting, or before moving or removing the
/// file.
///
/// # Backups
/// Beside the file `keys.db` SQLite keeps `keys.db-wal`, which holds what was written last: a copy of the file alone lacks that, and
/// one of both, made while something is written, may be torn. Back up with SQLite itself, while the store goes on: under
/// umask 077 `sqlite3 keys.db "VACUUM INTO 'backup.db'"`, or its online backup (`.backup`). Copy files only when no process has
/// the store open, and then all of them. To restore, stop all processes, remove `-wal` and `-shm`, and put the backup in the
/// file's place: a key that was revoked since then is good again, so revoke it again. Open with [`Options::create`]`(false)`
/// where the keys must be there: a lost file is then an error, and not an empty store that denies every key.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

/// Dropped in this order: the writer's connection is the last to be closed.
struct Inner {
    points: Points,
    scanner: Pool,
    poller: Poller,
    writer: Writer,
}

/// Where point reads run: on the calling thread, or on threads of their own, so that they never wait for a scan.
enum Points {
    Inline(Readers),
    Hop(Pool),
}

/// How late another process's command is obeyed, at most, unless the policy says otherwise.
const FRESHNESS: Duration = Duration::from_millis(100);
/// The most last uses, places to be given back, or nodes, of one transaction: commands wait for no more than that.
const SLICE: usize = 1024;

impl SqliteStore {
    /// Opens a file with the default [`Options`]; creates it if it is missing, unlike [`Options::create`]`(false)`.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Options::new(path).open()
    }

    /// Writes what still waits, ends the store's threads and closes its connections; later calls fail. Returns when all of that is
    /// done: the file may then be moved or removed. The calling thread is not blocked by it, and where the caller stops waiting, it
    /// is done nevertheless.
    pub async fn close(&self) {
        match &self.inner.points {
            Points::Inline(readers) => readers.close(),
            Points::Hop(pool) => pool.close(),
        }
        self.inner.scanner.close();
        self.inner.poller.close();
        // Dropped as the thread ends: there is nothing to receive but that.
        let _ = self.inner.writer.close().await;
    }

    async fn forget(&self, work: Work) -> Result<usize, StoreError> {
        match self.inner.writer.write(work).await? {
            Done::Forgotten(count) => Ok(count),
            _ => Err(StoreError::OutcomeUnknown { source: None }),
        }
    }

    async fn point_read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.inner.points {
            Points::Inline(readers) => readers.with(read),
            Points::Hop(pool) => pool.read(read).await,
        }
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn freshness(&self) -> Freshness {
        Freshness::Polled(FRESHNESS)
    }

    /// On the calling thread: mostly it takes two microseconds.
    async fn epochs(&self, bound: Duration) -> Result<Arc<Epochs>, StoreError> {
        let epochs = self.inner.poller.poll()?;
        if epochs.bound <= bound {
            return Ok(epochs);
        }
        self.inner.writer.write(Work::NoteBound(bound)).await?;
        self.inner.poller.poll()
    }

    async fn call_roll(&self) -> Result<u64, StoreError> {
        match self.inner.writer.write(Work::CallRoll).await? {
            Done::Called(number) => Ok(number),
            _ => Err(StoreError::OutcomeUnknown { source: None }),
        }
    }

    async fn answer_roll(&self, node: NodeId, number: u64) -> Result<(), StoreError> {
        self.inner.writer.write(Work::AnswerRoll(node, number)).await.map(drop)
    }

    async fn dismiss(&self, nodes: &[NodeId], number: u64) -> Result<(), StoreError> {
        for nodes in nodes.chunks(SLICE) {
            self.inner.writer.write(Work::Dismiss(nodes.to_vec(), number)).await?;
        }
        Ok(())
    }

    fn find_by_id(&self, id: KeyId) -> Lookup<'_> {
        Lookup::waits(self.point_read(move |connection| read::find_by_id(connection, id)))
    }

    fn find_by_digest(&self, digests: &[Digest]) -> Lookup<'_> {
        let digests = digests.to_vec();
        Lookup::waits(self.point_read(move |connection| read::find_by_digest(connection, &digests)))
    }

    async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        match self.inner.writer.write(Work::Transact(transaction)).await? {
            Done::Decided(decision) => Ok(decision),
            _ => Err(StoreError::OutcomeUnknown { source: None }),
        }
    }

    async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
        let scope = scope.clone();
        self.point_read(move |connection| read::get(connection, &scope, id)).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        let query = query.clone();
        self.inner.scanner.read(move |connection| read::list(connection, &query)).await
    }

    async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
        let query = query.clone();
        self.inner.scanner.read(move |connection| read::expiring(connection, &query)).await
    }

    async fn expiring_soon(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, KeyId)>,
        limit: usize,
    ) -> Result<Vec<ExpiringKey>, StoreError> {
        self.inner.scanner.read(move |connection| read::expiring_soon(connection, from, until, after, limit)).await
    }

    async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
        let owner = owner.clone();
        self.inner.scanner.read(move |connection| read::owner_facts(connection, &owner, now)).await
    }

    async fn organization(&self, organization: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
        let organization = organization.clone();
        self.point_read(move |connection| read::organization(connection, &organization)).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let query = query.clone();
        self.inner.scanner.read(move |connection| read::audit(connection, &query)).await
    }

    async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError> {
        self.point_read(read::peppers_in_use).await
    }

    async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError> {
        self.inner.scanner.read(move |connection| read::keys_under_pepper(connection, version, after, limit)).await
    }

    async fn rehash(&self, changes: &[Rehash]) -> Result<(), StoreError> {
        self.inner.writer.write(Work::Rehash(changes.to_vec())).await.map(|_| ())
    }

    async fn touch(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
        for uses in uses.chunks(SLICE) {
            self.inner.writer.write(Work::Touch(uses.to_vec())).await?;
        }
        Ok(())
    }

    async fn lease(&self, lease: Arc<Lease>) -> Result<Vec<Leased>, StoreError> {
        match self.inner.writer.write(Work::Lease(lease)).await? {
            Done::Leased(leased) => Ok(leased),
            _ => Err(StoreError::OutcomeUnknown { source: None }),
        }
    }

    async fn charge_sliding(&self, charge: Arc<SlidingCharge>) -> Result<SlidingCharged, StoreError> {
        match self.inner.writer.write(Work::ChargeSliding(charge)).await? {
            Done::ChargedSliding(charged) => Ok(charged),
            _ => Err(StoreError::OutcomeUnknown { source: None }),
        }
    }

    async fn give_back(&self, unspent: &[Unspent]) -> Result<(), StoreError> {
        let mut before = false;
        for unspent in unspent.chunks(SLICE) {
            if let Err(error) = self.inner.writer.write(Work::GiveBack(unspent.to_vec())).await {
                // Of all of them it is not true that none is given back, once some are.
                return Err(if before { StoreError::OutcomeUnknown { source: Some(error.into()) } } else { error });
            }
            before = true;
        }
        Ok(())
    }

    async fn forget_counts(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.forget(Work::ForgetCounts(now, limit)).await
    }

    async fn log_access(&self, entries: Arc<[AccessEntry]>) -> Result<(), StoreError> {
        self.inner.writer.write(Work::LogAccess(entries)).await.map(drop)
    }

    async fn access_log(&self, query: &AccessQuery) -> Result<AccessPage, StoreError> {
        let query = query.clone();
        self.inner.scanner.read(move |connection| access::page(connection, &query)).await
    }

    async fn forget_access(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.forget(Work::ForgetAccess(before, limit)).await
    }

    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.forget(Work::ForgetAudit(before, limit)).await
    }

    async fn count_unrecognized(&self, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
        self.inner.writer.write(Work::CountUnrecognized(counts.to_vec())).await.map(drop)
    }

    async fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        self.inner.scanner.read(move |connection| access::unrecognized(connection, from, until)).await
    }
    async fn record(&self, batch: Arc<UsageBatch>) -> Result<(), StoreError> {
        self.inner.writer.write(Work::Record(batch)).await.map(drop)
    }

    async fn usage(&self, query: &UsageQuery) -> Result<UsagePage, StoreError> {
        let query = query.clone();
        self.inner.scanner.read(move |connection| usage::page(connection, &query)).await
    }

    async fn forget_reports(&self, before: Day, limit: usize) -> Result<usize, StoreError> {
        self.forget(Work::ForgetReports(before, limit)).await
    }

    async fn reserve(&self, reserve: Arc<Reserve>) -> Result<Reserved, StoreError> {
        match self.inner.writer.write(Work::Reserve(reserve)).await? {
            Done::Reserved(reserved) => Ok(reserved),
            _ => Err(StoreError::OutcomeUnknown { source: None }),
        }
    }

    async fn budget(&self, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
        let query = query.clone();
        self.point_read(move |connection| budgets::read(connection, &query)).await
    }

    async fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> Result<CopyPage, StoreError> {
        let after = after.cloned();
        self.inner.scanner.read(move |connection| copies::export(connection, part, after.as_ref(), limit)).await
    }

    async fn import(&self, rows: Arc<[CopyRow]>) -> Result<usize, StoreError> {
        match self.inner.writer.write(Work::Import(rows)).await? {
            Done::Imported(count) => Ok(count),
            _ => Err(StoreError::OutcomeUnknown { source: None }),
        }
    }
}
