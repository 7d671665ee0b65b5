//! Places of request windows.

use crate::{
    error::Failure,
    rows::{signed, value},
    session::{Kind, Session, Tx},
    write::column,
};
use clove_core::{
    StoreError, Timestamp, Window,
    store::{COUNT_LIFETIME_MICROS, Lease, Leased, NODE_LIFETIME_MICROS, SlidingCharge, SlidingCharged, Unspent},
};
use std::collections::{BTreeMap, HashMap};

/// Charges what the wants take. Where nothing is left to take, nothing is written.
pub(crate) async fn lease(session: &Session, lease: &Lease) -> Result<Vec<Leased>, StoreError> {
    session.attempts(|| try_lease(session, lease)).await
}

async fn try_lease(session: &Session, lease: &Lease) -> Result<Vec<Leased>, Failure> {
    let mut tx = session.begin(Kind::Durable).await?;
    let sql = tx.sql();
    let subject = lease.subject.to_bytes();
    let ends = |want: &clove_core::store::Want| want.window.end(want.start).as_micros();
    let lock = tx
        .query(&sql.lock_places)
        .bind(subject.as_slice())
        .bind(column(&lease.wants, |want| i64::from(want.window.seconds())))
        .bind(column(&lease.wants, |want| want.start.as_micros()))
        .bind(column(&lease.wants, ends));
    let mut charged: HashMap<(i64, i64), u64> = HashMap::new();
    for row in tx.rows(lock).await? {
        let name = (number(&row, 0)?, number(&row, 1)?);
        // A count that cannot be read is as good as the largest: what is not known is not given out.
        charged.insert(name, u64::try_from(number(&row, 2)?).unwrap_or(u64::MAX));
    }
    let since = lease.at.as_micros() - NODE_LIFETIME_MICROS;
    let count = tx.query(&sql.count_other_nodes).bind(since).bind(lease.node.as_uuid());
    let others = tx.row(count).await?.map_or(Ok(0), |row| number(&row, 0))?;
    let nodes = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
    let mut leased = Vec::with_capacity(lease.wants.len());
    let mut taken = Vec::new();
    for want in &lease.wants {
        let before = charged.get(&(i64::from(want.window.seconds()), want.start.as_micros())).copied().unwrap_or_default();
        let take = want.take(before, nodes);
        leased.push(Leased { taken: take, charged: before.saturating_add(take) });
        if take > 0 {
            let (seconds, start) = (i64::from(want.window.seconds()), want.start.as_micros());
            taken.push((subject.clone(), seconds, start, signed(take), ends(want)));
        }
    }
    if taken.is_empty() {
        tx.rollback().await?;
        return Ok(leased);
    }
    charge(&mut tx, &taken).await?;
    tx.execute(tx.query(&sql.forget_nodes).bind(since)).await?;
    tx.execute(tx.query(&sql.put_node).bind(lease.node.as_uuid()).bind(lease.at.as_micros())).await?;
    tx.commit().await.map(|()| leased)
}

/// Subject, seconds, start, places and end.
type Charge = (Vec<u8>, i64, i64, i64, i64);

async fn charge(tx: &mut Tx<'_>, charges: &[Charge]) -> Result<(), Failure> {
    let charge = tx
        .query(&tx.sql().charge)
        .bind(column(charges, |charge| charge.0.as_slice()))
        .bind(column(charges, |charge| charge.1))
        .bind(column(charges, |charge| charge.2))
        .bind(column(charges, |charge| charge.3))
        .bind(column(charges, |charge| charge.4));
    tx.execute(charge).await.map(drop)
}

fn number(row: &sqlx::postgres::PgRow, column: usize) -> Result<i64, Failure> {
    let what = "reading the number of places charged";
    Ok(value(row, column, what).map_err(|what| StoreError::Unavailable { what, source: None })?)
}

pub(crate) async fn charge_sliding(session: &Session, charge: &SlidingCharge) -> Result<SlidingCharged, StoreError> {
    session.attempts(|| try_to_charge(session, charge)).await
}

async fn try_to_charge(session: &Session, sliding: &SlidingCharge) -> Result<SlidingCharged, Failure> {
    let mut tx = session.begin(Kind::Durable).await?;
    let sql = tx.sql();
    let windows: Vec<_> = sliding.windows.iter().map(|(subject, window)| (subject.to_bytes(), *window)).collect();
    // What is only asked for holds nobody up.
    if sliding.charges {
        let gates = tx
            .query(&sql.lock_gates)
            .bind(column(&windows, |(subject, _)| subject.as_slice()))
            .bind(column(&windows, |(_, window)| i64::from(window.seconds())))
            .bind(column(&windows, |(_, window)| window.end(sliding.at).as_micros()));
        tx.execute(gates).await?;
    }
    let mut charged = Vec::with_capacity(windows.len());
    for (subject, window) in &windows {
        charged.push(charged_since(&mut tx, subject, *window, sliding.since(*window)).await?);
    }
    let decided = sliding.decide(&charged);
    if !decided.is_charged {
        tx.rollback().await?;
        return Ok(decided);
    }
    let charges: Vec<Charge> = windows
        .into_iter()
        .map(|(subject, window)| {
            let (seconds, ends) = (i64::from(window.seconds()), window.end(sliding.at).as_micros());
            (subject, seconds, sliding.at.as_micros(), signed(sliding.places), ends)
        })
        .collect();
    self::charge(&mut tx, &charges).await?;
    tx.commit().await.map(|()| decided)
}

async fn charged_since(
    tx: &mut Tx<'_>,
    subject: &[u8],
    window: Window,
    since: Timestamp,
) -> Result<Vec<(Timestamp, u64)>, Failure> {
    let query = tx.query(&tx.sql().places_since).bind(subject.to_vec());
    let found = tx.rows(query.bind(i64::from(window.seconds())).bind(since.as_micros())).await?;
    let read = |row: &sqlx::postgres::PgRow| {
        // As above, and a name that cannot be read has not slid out either.
        let start = Timestamp::from_micros(number(row, 0)?).unwrap_or(since);
        Ok((start, u64::try_from(number(row, 1)?).unwrap_or(u64::MAX)))
    };
    found.iter().map(read).collect()
}

pub(crate) async fn give_back(session: &Session, unspent: &[Unspent]) -> Result<(), StoreError> {
    let mut places: BTreeMap<(Vec<u8>, i64, i64), i64> = BTreeMap::new();
    for Unspent { subject, seconds, start, places: given } in unspent {
        let sum = places.entry((subject.to_bytes(), i64::from(*seconds), start.as_micros())).or_default();
        *sum = sum.saturating_add(signed(*given));
    }
    let places: Vec<_> = places.into_iter().collect();
    let give_back = || {
        session
            .query(&session.sql.give_back)
            .bind(column(&places, |((subject, ..), _)| subject.as_slice()))
            .bind(column(&places, |((_, seconds, _), _)| *seconds))
            .bind(column(&places, |((.., start), _)| *start))
            .bind(column(&places, |(_, places)| *places))
    };
    session.write(Kind::Buffered, give_back).await.map(drop)
}

pub(crate) async fn forget(session: &Session, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
    let before = now.as_micros() - COUNT_LIFETIME_MICROS;
    session.forget(limit, |slice| session.query(&session.sql.forget_counts).bind(before).bind(slice)).await
}
