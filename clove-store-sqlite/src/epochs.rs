//! Epochs: which shards of owners have changed, for processes that remember rows; and their roll.

use crate::{
    read::{corrupt, failed},
    readers::Readers,
    rows::{Bad, blob, int},
    sql,
    transact::execute,
};
use clove_core::{
    StoreError,
    error::CorruptRow,
    id::NodeId,
    store::{EpochShard, Epochs},
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

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
            // Of one moment: who finds a call of the roll must find what was changed before it.
            let snapshot = connection.unchecked_transaction().map_err(failed)?;
            let epochs = Arc::new(read(&snapshot)?);
            drop(snapshot);
            *seen = Some((version, Arc::clone(&epochs)));
            Ok(epochs)
        })
    }
}

fn read(connection: &Connection) -> Result<Epochs, StoreError> {
    let bounds = row(connection, sql::BOUND, |row| Ok([row.get(0)?, row.get(1)?]))?;
    let [bound, longest] = bounds.map_or([Epochs::UNBOUND; 2], |bounds| bounds.map(duration));
    let roll = number(connection, sql::ROLL)?.unwrap_or_default().cast_unsigned();
    let mut epochs = Epochs::new(bound);
    (epochs.longest, epochs.roll, epochs.nodes) = (longest, roll, nodes(connection)?);
    let mut statement = connection.prepare_cached(sql::EPOCHS).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (shard, epoch): (u16, i64) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        epochs.set(shard, epoch.cast_unsigned());
    }
    Ok(epochs)
}

/// All nodes of the roll: one that was passed over would not be waited for.
fn nodes(connection: &Connection) -> Result<Vec<(NodeId, u64)>, StoreError> {
    let node = |row: &Row<'_>| -> Result<_, Bad> {
        let node = NodeId::from_slice(blob(row, 0, "node")?).map_err(|_| "node")?;
        Ok((node, int(row, 1, "number")?))
    };
    let mut statement = connection.prepare_cached(sql::ROLL_NODES).map_err(failed)?;
    let rows = statement.query_map([], |row| Ok(node(row))).map_err(failed)?;
    rows.map(|row| row.map_err(failed)?.map_err(corrupt(CorruptRow::Node))).collect()
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

fn row<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnOnce(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    statement.query_row([], read).optional().map_err(failed)
}

fn number(connection: &Connection, sql: &str) -> Result<Option<i64>, StoreError> {
    row(connection, sql, |row| row.get(0))
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

/// Calls the roll by the next number.
pub(crate) fn call_roll(connection: &Connection) -> Result<u64, StoreError> {
    let number = number(connection, sql::CALL_ROLL)?;
    number.map(i64::cast_unsigned).ok_or(StoreError::Unavailable { what: "calling the roll: no number", source: None })
}

/// Notes what a node has answered, unless that is a higher number.
pub(crate) fn answer_roll(connection: &Connection, node: NodeId, number: u64) -> Result<(), StoreError> {
    execute(connection, sql::ANSWER_ROLL, params![node.as_bytes().as_slice(), signed(number)]).map(drop)
}

/// Takes nodes off the roll that have answered no call of this number or a higher one.
pub(crate) fn dismiss(connection: &Connection, nodes: &[NodeId], number: u64) -> Result<(), StoreError> {
    nodes
        .iter()
        .try_for_each(|node| execute(connection, sql::DISMISS, params![node.as_bytes().as_slice(), signed(number)]).map(drop))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
