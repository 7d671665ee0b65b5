//! The access log, and what is forgotten of logs.

use crate::{
    read::{ABOVE_ALL_IDS, failed, readable, scope_columns},
    rows::{self, Bad},
    sql,
    transact::execute,
};
use clove_core::{
    AccessEntry, AccessLimit, AccessOutcome, AccountId, EndpointLabel, GrantId, Limited, OrganizationId, Owner, StoreError,
    Timestamp,
    id::AuditId,
    limit::WindowKind,
    store::{AccessPage, AccessQuery, UnrecognizedCount, unrecognized_by_hour},
};
use rusqlite::{Connection, Row, params};
use std::{sync::Arc, time::Duration};

/// The most rows that one page looks at, some ten milliseconds: an entry that many of its organization's lie before is found by the
/// next page, so that no look-up keeps others waiting.
const MAX_LOOKED_AT: usize = 10_000;

pub(crate) fn log(connection: &Connection, entries: &Arc<[AccessEntry]>) -> Result<(), StoreError> {
    for entry in &**entries {
        let limit = entry.limit.as_ref();
        let params = params![
            entry.id.as_bytes().as_slice(),
            entry.at.timestamp_micros(),
            entry.key.as_bytes().as_slice(),
            entry.owner.organization.as_str(),
            entry.owner.account.as_str(),
            entry.outcome.as_str(),
            limit.map(|limit| limit.of.as_str()),
            limit.map(|limit| signed(limit.window.count())),
            limit.map(|limit| limit.window.seconds()),
            limit.map(|limit| limit.window.kind().as_str()),
            limit.map(|limit| signed(limit.left)),
            signed(entry.cost),
            entry.endpoint.as_ref().map(EndpointLabel::as_str),
        ];
        execute(connection, sql::LOG_ACCESS, params)?;
    }
    Ok(())
}

/// SQLite's integers are signed; the core gives no larger ones.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(crate) fn page(connection: &Connection, query: &AccessQuery) -> Result<AccessPage, StoreError> {
    let (organization, account) = scope_columns(&query.scope);
    // Ids tell times.
    let bytes = |id: GrantId| *id.as_bytes();
    let from = query.from.map_or([0; 16], |from| bytes(GrantId::first_at(from)));
    let until = query.until.map_or(ABOVE_ALL_IDS, |until| bytes(GrantId::first_at(until)));
    let before = query.before.map_or(until, |id| until.min(bytes(id)));
    let mut statement = connection.prepare_cached(sql::ACCESS_OF_ORGANIZATION).map_err(failed)?;
    let mut rows = statement.query(params![organization, from.as_slice(), before.as_slice()]).map_err(failed)?;
    let mut page = AccessPage::default();
    let (mut read, mut looked_at) = (0, 0);
    while let Some(row) = rows.next().map_err(failed)? {
        let matches = is_wanted(row, query, account);
        // A next page can only begin after a row whose id is readable.
        let id = rows::blob(row, 0, "id").ok().and_then(|id| GrantId::from_slice(id).ok());
        if read == query.limit && matches || looked_at == MAX_LOOKED_AT {
            page.more = true;
            break;
        }
        looked_at += usize::from(id.is_some());
        page.last = id.or(page.last);
        if !matches {
            continue;
        }
        read += usize::from(id.is_some());
        match entry(row) {
            Ok(entry) => page.entries.push(entry),
            Err(_) => page.corrupt += 1,
        }
    }
    Ok(page)
}

/// Judged row by row, in place of an index that each entry would have to be written to.
fn is_wanted(row: &Row<'_>, query: &AccessQuery, account: Option<&str>) -> bool {
    let is_text = |column, wanted: &str| rows::text(row, column, "").is_ok_and(|text| text == wanted);
    account.is_none_or(|account| is_text(4, account))
        && query.key.is_none_or(|key| rows::blob(row, 2, "").is_ok_and(|id| id == key.as_bytes()))
        && query.outcome.is_none_or(|outcome| is_text(5, outcome.as_str()))
}

pub(crate) fn entry(row: &Row<'_>) -> Result<AccessEntry, Bad> {
    let organization = OrganizationId::from_stored(rows::text(row, 3, "org")?).map_err(|_| "org")?;
    let account = AccountId::from_stored(rows::text(row, 4, "account")?).map_err(|_| "account")?;
    Ok(AccessEntry {
        id: GrantId::from_slice(rows::blob(row, 0, "id")?).map_err(|_| "id")?,
        at: rows::time(row, 1, "at")?,
        key: rows::key_id(row, 2)?,
        owner: Owner { organization, account },
        outcome: AccessOutcome::parse(rows::text(row, 5, "outcome")?).ok_or("outcome")?,
        limit: limit(row)?,
        cost: rows::int(row, 11, "cost")?,
        endpoint: rows::optional_text(row, 12, "endpoint")?
            .map(EndpointLabel::from_stored)
            .transpose()
            .map_err(|_| "endpoint")?,
    })
}

fn limit(row: &Row<'_>) -> Result<Option<AccessLimit>, Bad> {
    let of = match rows::optional_text(row, 6, "limit_of")? {
        None => return Ok(None),
        Some(of) => Limited::parse(of).ok_or("limit_of")?,
    };
    let kind = WindowKind::parse(rows::text(row, 9, "limit_kind")?).ok_or("limit_kind")?;
    let length = Duration::from_secs(rows::int(row, 8, "limit_seconds")?);
    let window = kind.window(rows::int(row, 7, "limit_count")?, length).map_err(|_| "limit_count")?;
    Ok(Some(AccessLimit { of, window, left: rows::int(row, 10, "limit_left")? }))
}

pub(crate) fn forget(connection: &Connection, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
    let first = GrantId::first_at(before);
    let entries = execute(connection, sql::FORGET_ACCESS, params![first.as_bytes().as_slice(), rows_of(limit)])?;
    let left = limit.saturating_sub(entries);
    if left == 0 {
        return Ok(entries);
    }
    let hours = execute(connection, sql::FORGET_UNRECOGNIZED, params![before.as_micros(), rows_of(left)])?;
    Ok(entries + hours)
}

pub(crate) fn forget_audit(connection: &Connection, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
    execute(connection, sql::FORGET_AUDIT, params![AuditId::first_at(before).as_bytes().as_slice(), rows_of(limit)])
}

fn rows_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(crate) fn count_unrecognized(connection: &Connection, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
    for UnrecognizedCount { node, hour, count } in counts {
        let params = params![hour.as_micros(), node.as_bytes().as_slice(), signed(*count)];
        execute(connection, sql::COUNT_UNRECOGNIZED, params)?;
    }
    Ok(())
}

pub(crate) fn unrecognized(
    connection: &Connection,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<(Timestamp, u64)>, StoreError> {
    let read = |row: &Row<'_>| {
        let hour = Timestamp::from_micros(rows::int(row, 0, "hour")?).ok_or("hour")?;
        Ok((hour, rows::int::<u64>(row, 1, "count")?))
    };
    let params = params![from.as_micros(), until.as_micros()];
    Ok(unrecognized_by_hour(readable(connection, sql::UNRECOGNIZED, params, usize::MAX, read)?))
}
