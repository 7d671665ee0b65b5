//! The access log, and what is forgotten of logs.

use crate::{
    partitions::{self, ACCESS, AUDIT, LET_BE, Month},
    read::{ABOVE_ALL_IDS, readable, scope_columns},
    rows::{self, Bad, rows_of, signed},
    session::{Kind, Session, Statement},
    write::column,
};
use clove_core::{
    AccessEntry, AccessLimit, AccessOutcome, EndpointLabel, GrantId, Limited, StoreError, Timestamp,
    id::AuditId,
    limit::WindowKind,
    store::{AccessPage, AccessQuery, UnrecognizedCount, unrecognized_by_hour},
};
use sqlx::postgres::PgRow;
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// The most rows that one page looks at, as its statement says: an entry that many of its organization's lie before is found by the
/// next page, so that no look-up takes long.
const MAX_LOOKED_AT: i64 = 10_000;

pub(crate) async fn log(session: &Session, entries: &[AccessEntry]) -> Result<(), StoreError> {
    session.write(Kind::Durable, || addition(session, entries)).await.map(drop)
}

/// Adds entries that are not there.
pub(crate) fn addition<'q>(session: &Session, entries: &'q [AccessEntry]) -> Statement<'q> {
    let limits = column(entries, |entry| entry.limit.as_ref());
    session
        .query(&session.sql.log_access)
        .bind(column(entries, |entry| entry.id.as_uuid()))
        .bind(column(entries, |entry| entry.at.timestamp_micros()))
        .bind(column(entries, |entry| entry.key.as_uuid()))
        .bind(column(entries, |entry| entry.owner.organization.as_str()))
        .bind(column(entries, |entry| entry.owner.account.as_str()))
        .bind(column(entries, |entry| entry.outcome.as_str()))
        .bind(column(&limits, |limit| limit.map(|limit| limit.of.as_str())))
        .bind(column(&limits, |limit| limit.map(|limit| signed(limit.window.count()))))
        .bind(column(&limits, |limit| limit.map(|limit| i64::from(limit.window.seconds()))))
        .bind(column(&limits, |limit| limit.map(|limit| limit.window.kind().as_str())))
        .bind(column(&limits, |limit| limit.map(|limit| signed(limit.left))))
        .bind(column(entries, |entry| signed(entry.cost)))
        .bind(column(entries, |entry| entry.endpoint.as_ref().map(EndpointLabel::as_str)))
}

pub(crate) async fn page(session: &Session, query: &AccessQuery) -> Result<AccessPage, StoreError> {
    let (organization, account) = scope_columns(&query.scope);
    // Ids tell times.
    let from = query.from.map_or(Uuid::nil(), |from| GrantId::first_at(from).as_uuid());
    let until = query.until.map_or(ABOVE_ALL_IDS, |until| GrantId::first_at(until).as_uuid());
    let before = query.before.map_or(until, |id| until.min(id.as_uuid()));
    let found = session
        .read(|| {
            let page = session.query(&session.sql.access).bind(organization).bind(from).bind(before).bind(account);
            let page = page.bind(query.key.map(|key| key.as_uuid())).bind(query.outcome.map(|outcome| outcome.as_str()));
            page.bind(rows_of(query.limit.saturating_add(1)))
        })
        .await?;
    let mut page = AccessPage::default();
    let mut read = 0;
    for row in &found {
        // A next page can only begin after a row whose id is readable.
        let Ok(Some(id)) = rows::value::<Option<Uuid>>(row, 0, "id") else { continue };
        if read == query.limit {
            page.more = true;
            return Ok(page);
        }
        if let Ok(id) = GrantId::from_slice(id.as_bytes()) {
            page.last = Some(id);
            read += 1;
        }
        match entry(row) {
            Ok(entry) => page.entries.push(entry),
            Err(_) => page.corrupt += 1,
        }
    }
    // All that match among those looked at.
    let looked_at = found.first().map_or(0, |row| rows::int::<i64>(row, 13, "looked_at").unwrap_or_default());
    let oldest = found.first().and_then(|row| rows::value::<Option<Uuid>>(row, 14, "oldest").ok().flatten());
    if let Some(oldest) = oldest.and_then(|id| GrantId::from_slice(id.as_bytes()).ok()) {
        page.last = Some(oldest);
        page.more = looked_at == MAX_LOOKED_AT;
    }
    Ok(page)
}

pub(crate) fn entry(row: &PgRow) -> Result<AccessEntry, Bad> {
    Ok(AccessEntry {
        id: GrantId::from_slice(rows::uuid(row, 0, "id")?.as_bytes()).map_err(|_| "id")?,
        at: rows::time(row, 1, "at")?,
        key: rows::key_id(row, 2)?,
        owner: rows::owner(row, 3)?,
        outcome: AccessOutcome::parse(rows::text(row, 5, "outcome")?).ok_or("outcome")?,
        limit: limit(row)?,
        cost: rows::int(row, 11, "cost")?,
        endpoint: rows::optional_text(row, 12, "endpoint")?
            .map(EndpointLabel::from_stored)
            .transpose()
            .map_err(|_| "endpoint")?,
    })
}

fn limit(row: &PgRow) -> Result<Option<AccessLimit>, Bad> {
    let of = match rows::optional_text(row, 6, "limit_of")? {
        None => return Ok(None),
        Some(of) => Limited::parse(of).ok_or("limit_of")?,
    };
    let kind = WindowKind::parse(rows::text(row, 9, "limit_kind")?).ok_or("limit_kind")?;
    let length = Duration::from_secs(rows::int(row, 8, "limit_seconds")?);
    let window = kind.window(rows::int(row, 7, "limit_count")?, length).map_err(|_| "limit_count")?;
    Ok(Some(AccessLimit { of, window, left: rows::int(row, 10, "limit_left")? }))
}

pub(crate) async fn forget(session: &Session, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
    if let Some(month) = over(session, ACCESS, before).await?
        && drop_month(session, ACCESS, month).await?
    {
        return Ok(limit);
    }
    let first = GrantId::first_at(before).as_uuid();
    let entries = session.forget(limit, |slice| session.query(&session.sql.forget_access).bind(first).bind(slice)).await?;
    let (left, hour) = (limit.saturating_sub(entries), before.as_micros());
    let hours = session.forget(left, |slice| session.query(&session.sql.forget_unrecognized).bind(hour).bind(slice)).await?;
    Ok(entries + hours)
}

/// Drops the table of a month that is over, if this role may; whether it did. There may be more then.
async fn drop_month(session: &Session, of: &str, month: Month) -> Result<bool, StoreError> {
    let drop = || session.in_time(partitions::drop_table(&session.pool, &session.schema, of, month));
    let is_dropped = session.attempts(drop).await?;
    if !is_dropped {
        session.drops.put_off(LET_BE);
    }
    Ok(is_dropped)
}

/// A month that was over before the time, of which there is a table still.
async fn over(session: &Session, of: &str, before: Timestamp) -> Result<Option<Month>, StoreError> {
    if !session.has_partitions || !session.drops.is_now() {
        return Ok(None);
    }
    session.attempts(|| session.in_time(partitions::over(&session.pool, &session.schema, of, before))).await
}

/// Events, and what is known of their operations: these first, for an operation whose event is gone would be neither free nor known.
pub(crate) async fn forget_audit(session: &Session, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
    let first = AuditId::first_at(before).as_uuid();
    session.forget(limit, |slice| session.query(&session.sql.forget_operations).bind(first).bind(slice)).await?;
    if let Some(month) = over(session, AUDIT, before).await?
        && let Some(end) = month.end()
    {
        let left = session.read(|| session.query(&session.sql.operations_before).bind(end)).await?;
        // The events go with their table once none of their operations is left.
        if !left.is_empty() || drop_month(session, AUDIT, month).await? {
            return Ok(limit);
        }
    }
    session.forget(limit, |slice| session.query(&session.sql.forget_audit).bind(first).bind(slice)).await
}

/// Ascending, so that no two wait for each other.
pub(crate) async fn count_unrecognized(session: &Session, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
    let mut largest: BTreeMap<(i64, Uuid), i64> = BTreeMap::new();
    for UnrecognizedCount { node, hour, count } in counts {
        let largest = largest.entry((hour.as_micros(), node.as_uuid())).or_default();
        *largest = signed(*count).max(*largest);
    }
    let rows: Vec<_> = largest.into_iter().collect();
    let count = || {
        session
            .query(&session.sql.count_unrecognized)
            .bind(column(&rows, |((hour, _), _)| *hour))
            .bind(column(&rows, |((_, node), _)| *node))
            .bind(column(&rows, |(_, count)| *count))
    };
    session.write(Kind::Buffered, count).await.map(drop)
}

pub(crate) async fn unrecognized(
    session: &Session,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<(Timestamp, u64)>, StoreError> {
    let found = session.read(|| session.query(&session.sql.unrecognized).bind(from.as_micros()).bind(until.as_micros())).await?;
    let read = |row: &PgRow| {
        let hour = Timestamp::from_micros(rows::int(row, 0, "hour")?).ok_or("hour")?;
        Ok((hour, rows::int::<u64>(row, 1, "count")?))
    };
    Ok(unrecognized_by_hour(readable(&found, read)))
}
