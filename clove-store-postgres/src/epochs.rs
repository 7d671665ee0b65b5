//! Epochs: which shards of owners have changed, for processes that remember rows; and their roll.

use crate::{
    read::corrupt,
    rows::{self, Bad},
    session::{Kind, Session},
};
use clove_core::{StoreError, Timestamp, error::CorruptRow, id::NodeId, store::Epochs};
use sqlx::postgres::PgRow;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// The epochs as they are now.
pub(crate) async fn poll(session: &Session, bound: Duration) -> Result<Arc<Epochs>, StoreError> {
    let epochs = ask(session).await?;
    if epochs.bound <= bound {
        return Ok(Arc::new(epochs));
    }
    let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
    note(session, rows::signed(micros)).await?;
    ask(session).await.map(Arc::new)
}

async fn ask(session: &Session) -> Result<Epochs, StoreError> {
    let found = session.read(|| session.query(&session.sql.epochs)).await?;
    found.first().map_or(Err(StoreError::Unavailable { what: "polling: no answer", source: None }), read)
}

/// Durable, before any row is remembered under it.
async fn note(session: &Session, micros: i64) -> Result<(), StoreError> {
    session.write(Kind::Durable, || session.query(&session.sql.note_bound).bind(micros)).await.map(drop)
}

/// Calls the roll by the next number.
pub(crate) async fn call_roll(session: &Session) -> Result<u64, StoreError> {
    session
        .attempts(|| async {
            let mut tx = session.begin(Kind::Durable).await?;
            let row = tx.row(tx.query(&tx.sql().call_roll)).await?;
            let number = row.ok_or("number").and_then(|row| rows::int(&row, 0, "number"));
            let number = number.map_err(|_| StoreError::Unavailable { what: "calling the roll: no number", source: None })?;
            tx.commit().await.map(|()| number)
        })
        .await
}

/// Notes what a node has answered, unless that is a higher number.
pub(crate) async fn answer_roll(session: &Session, node: NodeId, number: u64) -> Result<(), StoreError> {
    let answer = || session.query(&session.sql.answer_roll).bind(node.as_uuid()).bind(rows::signed(number));
    session.write(Kind::Durable, answer).await.map(drop)
}

/// Takes nodes off the roll that have answered no call of this number or a higher one.
pub(crate) async fn dismiss(session: &Session, nodes: &[NodeId], number: u64) -> Result<(), StoreError> {
    let nodes: Vec<Uuid> = nodes.iter().map(NodeId::as_uuid).collect();
    let dismiss = || session.query(&session.sql.dismiss).bind(nodes.as_slice()).bind(rows::signed(number));
    session.write(Kind::Buffered, dismiss).await.map(drop)
}

fn read(row: &PgRow) -> Result<Epochs, StoreError> {
    let unavailable = |what| StoreError::Unavailable { what, source: None };
    let is_read_only = rows::text(row, 1, "polling: the server does not say whether it is the primary").map_err(unavailable)?;
    if is_read_only != "off" {
        return Err(unavailable("polling a server that may only be read: it is no primary, and hears of changes late"));
    }
    let what = "polling: the epochs cannot be read";
    let mut epochs = epochs(row, what).map_err(|_| unavailable(what))?;
    // A node that was passed over would not be waited for.
    epochs.nodes = nodes(row).map_err(corrupt(CorruptRow::Node))?;
    Ok(epochs)
}

fn epochs(row: &PgRow, what: Bad) -> Result<Epochs, Bad> {
    let duration =
        |column| rows::optional_int::<u64>(row, column, what).map(|micros| micros.map_or(Epochs::UNBOUND, Duration::from_micros));
    let mut epochs = Epochs::new(duration(2)?);
    epochs.longest = duration(3)?;
    epochs.server_time = Timestamp::from_micros(rows::value(row, 0, what)?);
    let (shards, values): (Vec<i64>, Vec<i64>) = (rows::value(row, 4, what)?, rows::value(row, 5, what)?);
    for (shard, epoch) in shards.into_iter().zip(values) {
        epochs.set(u16::try_from(shard).map_err(|_| what)?, epoch.cast_unsigned());
    }
    epochs.roll = rows::optional_int(row, 6, what)?.unwrap_or_default();
    Ok(epochs)
}

fn nodes(row: &PgRow) -> Result<Vec<(NodeId, u64)>, Bad> {
    let (nodes, numbers): (Vec<Uuid>, Vec<i64>) = (rows::value(row, 7, "node")?, rows::value(row, 8, "number")?);
    let node = |(node, number): (Uuid, i64)| {
        let node = NodeId::from_slice(node.as_bytes()).map_err(|_| "node")?;
        Ok((node, u64::try_from(number).map_err(|_| "number")?))
    };
    nodes.into_iter().zip(numbers).map(node).collect()
}
