//! Epochs: which shards of owners have changed, for processes that remember rows.

use crate::{read::failed, readers::Readers, sql, transact::execute};
use clove_core::{
    StoreError,
    store::{EpochShard, Epochs},
};
use rusqlite::{Connection, OptionalExtension};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The bound where none is noted: longer than any that is used.
const UNBOUND: Duration = Duration::from_secs(3600);

/// A connection of its own, whose `data_version` tells in two microseconds whether any other has committed since.
pub(crate) struct Poller {
    connection: Readers,
    seen: Mutex<Option<(i64, Arc<Epochs>)>>,
}

impl Poller {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection: Readers::new(vec![connection]), seen: Mutex::default() }
    }

    pub(crate) fn close(&self) {
        self.connection.close();
    }

    /// The epochs as they are now.
    pub(crate) fn poll(&self) -> Result<Arc<Epochs>, StoreError> {
        self.connection.with(|connection| {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            // Asked before the rows are read: what is committed in between is read again the next time.
            let version = number(connection, sql::DATA_VERSION)?.unwrap_or_default();
            if let Some((_, epochs)) = seen.as_ref().filter(|(last, _)| *last == version) {
                return Ok(Arc::clone(epochs));
            }
            let epochs = Arc::new(read(connection)?);
            *seen = Some((version, Arc::clone(&epochs)));
            Ok(epochs)
        })
    }
}

fn read(connection: &Connection) -> Result<Epochs, StoreError> {
    let bound = number(connection, sql::BOUND)?.and_then(|micros| u64::try_from(micros).ok());
    let mut epochs = Epochs::new(bound.map_or(UNBOUND, Duration::from_micros));
    let mut statement = connection.prepare_cached(sql::EPOCHS).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (shard, epoch): (u16, i64) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        epochs.set(shard, epoch.cast_unsigned());
    }
    Ok(epochs)
}

fn number(connection: &Connection, sql: &str) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    statement.query_row([], |row| row.get(0)).optional().map_err(failed)
}

/// Moves each to a value that it never had: a counter, before random bits that a database which was restored to an earlier count does not
/// come to again.
pub(crate) fn outdate(connection: &Connection, shards: &BTreeSet<EpochShard>) -> Result<(), StoreError> {
    shards.iter().try_for_each(|shard| execute(connection, sql::OUTDATE, [shard.number()]).map(drop))
}

/// Notes the bound unless a shorter one is.
pub(crate) fn note_bound(connection: &Connection, bound: Duration) -> Result<(), StoreError> {
    let micros = i64::try_from(bound.as_micros()).unwrap_or(i64::MAX);
    execute(connection, sql::NOTE_BOUND, [micros]).map(drop)
}
