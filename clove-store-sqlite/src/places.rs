//! Places of request windows, on the writer's connection.

use crate::{read::failed, sql, transact::execute};
use clove_core::{
    StoreError, Timestamp, Window,
    store::{COUNT_LIFETIME_MICROS, Lease, Leased, NODE_LIFETIME_MICROS, SlidingCharge, SlidingCharged, Unspent},
};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Charges what the wants take. Where nothing is left to take, nothing is written.
pub(crate) fn lease(connection: &Connection, lease: &Lease) -> Result<Vec<Leased>, StoreError> {
    let subject = lease.subject.to_bytes();
    let nodes = 1 + other_nodes(connection, lease)?;
    let mut leased = Vec::with_capacity(lease.wants.len());
    for want in &lease.wants {
        let (seconds, start) = (want.window.seconds(), want.start.as_micros());
        let before = charged(connection, &subject, seconds, start)?;
        let taken = want.take(before, nodes);
        if taken > 0 {
            let ends = want.window.end(want.start).as_micros();
            execute(connection, sql::CHARGE, params![subject, seconds, start, signed(taken), ends])?;
        }
        leased.push(Leased { taken, charged: before.saturating_add(taken) });
    }
    if leased.iter().any(|leased| leased.taken > 0) {
        execute(connection, sql::FORGET_NODES, [lease.at.as_micros() - NODE_LIFETIME_MICROS])?;
        execute(connection, sql::PUT_NODE, params![lease.node.as_bytes().as_slice(), lease.at.as_micros()])?;
    }
    Ok(leased)
}

fn other_nodes(connection: &Connection, lease: &Lease) -> Result<u32, StoreError> {
    let params = params![lease.at.as_micros() - NODE_LIFETIME_MICROS, lease.node.as_bytes().as_slice()];
    let mut statement = connection.prepare_cached(sql::COUNT_OTHER_NODES).map_err(failed)?;
    statement.query_row(params, |row| row.get(0)).map_err(failed)
}

/// A count that cannot be read is as good as the largest: what is not known is not given out.
fn charged(connection: &Connection, subject: &[u8], seconds: u32, start: i64) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(sql::PLACES).map_err(failed)?;
    let places: Option<i64> =
        statement.query_row(params![subject, seconds, start], |row| row.get(0)).optional().map_err(failed)?;
    Ok(places.map_or(0, |places| u64::try_from(places).unwrap_or(u64::MAX)))
}

pub(crate) fn charge_sliding(connection: &Connection, charge: &SlidingCharge) -> Result<SlidingCharged, StoreError> {
    let windows: Vec<_> = charge.windows.iter().map(|(subject, window)| (subject.to_bytes(), *window)).collect();
    let charged = windows.iter().map(|(subject, window)| charged_since(connection, subject, *window, charge.since(*window)));
    let decided = charge.decide(&charged.collect::<Result<Vec<_>, _>>()?);
    if decided.is_charged {
        for (subject, window) in &windows {
            let (seconds, at, ends) = (window.seconds(), charge.at.as_micros(), window.end(charge.at).as_micros());
            execute(connection, sql::CHARGE, params![subject, seconds, at, signed(charge.places), ends])?;
        }
    }
    Ok(decided)
}

fn charged_since(
    connection: &Connection,
    subject: &[u8],
    window: Window,
    since: Timestamp,
) -> Result<Vec<(Timestamp, u64)>, StoreError> {
    let mut statement = connection.prepare_cached(sql::PLACES_SINCE).map_err(failed)?;
    let read = |row: &Row<'_>| {
        let (start, places): (i64, i64) = (row.get(0)?, row.get(1)?);
        // As above, and a name that cannot be read has not slid out either.
        Ok((Timestamp::from_micros(start).unwrap_or(since), u64::try_from(places).unwrap_or(u64::MAX)))
    };
    let rows = statement.query_map(params![subject, window.seconds(), since.as_micros()], read).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

pub(crate) fn give_back(connection: &Connection, unspent: &[Unspent]) -> Result<(), StoreError> {
    for Unspent { subject, seconds, start, places } in unspent {
        let params = params![subject.to_bytes(), seconds, start.as_micros(), signed(*places)];
        execute(connection, sql::GIVE_BACK, params)?;
    }
    Ok(())
}

pub(crate) fn forget(connection: &Connection, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    execute(connection, sql::FORGET_COUNTS, params![now.as_micros() - COUNT_LIFETIME_MICROS, limit])
}

fn signed(places: u64) -> i64 {
    i64::try_from(places).unwrap_or(i64::MAX)
}
