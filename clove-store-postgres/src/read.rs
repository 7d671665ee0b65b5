//! Reads.

use crate::{
    error::Failure,
    rows::{self, Bad, rows_of},
    session::{Session, Tx},
};
use chrono::{DateTime, Utc};
use clove_core::{
    Key, KeyId, KeyState, OrganizationId, Owner, Scope, StoreError, Timestamp,
    error::CorruptRow,
    id::AuditId,
    store::{
        AuditPage, AuditQuery, ExpiringKey, ExpiringQuery, ExpiryFilter, Flag, KeyPage, KeyQuery, OrganizationRecord, OwnerFacts,
        Place, Remains,
    },
};
use sqlx::postgres::PgRow;
use std::collections::BTreeSet;
use uuid::Uuid;

pub(crate) fn corrupt(row: CorruptRow) -> impl Fn(Bad) -> StoreError {
    move |what| StoreError::Corrupt { row: row.clone(), what }
}

/// One row or none.
pub(crate) fn one<T>(
    found: Option<PgRow>,
    row: CorruptRow,
    read: impl Fn(&PgRow) -> Result<T, Bad>,
) -> Result<Option<T>, StoreError> {
    found.map(|found| read(&found)).transpose().map_err(corrupt(row))
}

/// Those that can be read; a corrupt one takes no other down.
pub(crate) fn readable<T>(found: &[PgRow], read: impl Fn(&PgRow) -> Result<T, Bad>) -> Vec<T> {
    found.iter().filter_map(|row| read(row).ok()).collect()
}

/// A scope's organization and account, the latter `None` for a whole organization.
pub(crate) fn scope_columns(scope: &Scope) -> (&str, Option<&str>) {
    match scope {
        Scope::Owner(owner) => (owner.organization.as_str(), Some(owner.account.as_str())),
        Scope::Organization(organization) => (organization.as_str(), None),
    }
}

/// A key's row, unless it is not the scope's: then it is none, corrupt or not.
pub(crate) fn key_within(row: Option<PgRow>, scope: &Scope) -> Option<PgRow> {
    let (organization, account) = scope_columns(scope);
    row.filter(|row| {
        rows::text(row, 1, "org").is_ok_and(|own| own == organization)
            && account.is_none_or(|account| rows::text(row, 2, "account").is_ok_and(|own| own == account))
    })
}

pub(crate) async fn get(session: &Session, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
    let found = session.read(|| session.query(&session.sql.key_by_id).bind(id.as_uuid())).await?;
    one(key_within(found.into_iter().next(), scope), CorruptRow::Key(id), rows::key)
}

/// What is left of a key's row, however little of it can be read; the row is held.
pub(crate) async fn remains(tx: &mut Tx<'_>, scope: &Scope, id: KeyId) -> Result<Option<Remains>, Failure> {
    let row = tx.row(tx.query(&tx.sql().lock_key).bind(id.as_uuid())).await?;
    let read = |row: &PgRow| rows::remains(row, id);
    let Some(mut remains) = one(key_within(row, scope), CorruptRow::Key(id), read)? else { return Ok(None) };
    let count = tx
        .query(&tx.sql().count_others)
        .bind(remains.owner.organization.as_str().to_owned())
        .bind(remains.owner.account.as_str().to_owned())
        .bind(id.as_uuid());
    if let Some(row) = tx.row(count).await? {
        let bad = corrupt(CorruptRow::Owner);
        remains.others = rows::int(&row, 0, "count").map_err(&bad)?;
        remains.others_held = rows::int(&row, 1, "count").map_err(&bad)?;
    }
    Ok(Some(remains))
}

pub(crate) fn organization_record(row: &PgRow, id: &OrganizationId) -> Result<OrganizationRecord, StoreError> {
    let open = rows::value(row, 1, "open").map_err(corrupt(CorruptRow::Organization))?;
    Ok(OrganizationRecord { id: id.clone(), open })
}

pub(crate) async fn organization(session: &Session, id: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
    let found = session.read(|| session.query(&session.sql.organization).bind(id.as_str())).await?;
    found.first().map(|row| organization_record(row, id)).transpose()
}

/// Whether what a scope names is open, whatever else of its row can be read; the row is held.
pub(crate) async fn open_flag(tx: &mut Tx<'_>, scope: &Scope) -> Result<Option<Flag>, Failure> {
    let sql = tx.sql();
    let (row, column) = match scope {
        Scope::Owner(owner) => {
            let lock = tx.query(&sql.lock_owner).bind(owner.organization.as_str().to_owned());
            (tx.row(lock.bind(owner.account.as_str().to_owned())).await?, 2)
        }
        Scope::Organization(id) => (tx.row(tx.query(&sql.lock_organization).bind(id.as_str().to_owned())).await?, 1),
    };
    Ok(row.map(|row| rows::value::<bool>(&row, column, "open").map_or(Flag::Unreadable, Flag::from)))
}

pub(crate) async fn owner_facts(session: &Session, of: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
    let query = || {
        let query = session.query(&session.sql.owner_facts).bind(of.organization.as_str()).bind(of.account.as_str());
        query.bind(now.timestamp_micros())
    };
    one(session.read(query).await?.into_iter().next(), CorruptRow::Owner, facts_of_owner)
}

fn facts_of_owner(row: &PgRow) -> Result<OwnerFacts, Bad> {
    Ok(OwnerFacts { record: rows::owner_record(row)?, held_by_expired: rows::int(row, 9, "held_by_expired")? })
}

pub(crate) fn state_names(states: &[KeyState]) -> Vec<&'static str> {
    states.iter().map(|state| state.as_str()).collect()
}

/// Above every UUID of version 7.
pub(crate) const ABOVE_ALL_IDS: Uuid = Uuid::max();

pub(crate) async fn list(session: &Session, query: &KeyQuery) -> Result<KeyPage, StoreError> {
    let (organization, account) = scope_columns(&query.scope);
    let sql = if account.is_some() { &session.sql.list_of_owner } else { &session.sql.list_of_organization };
    let (filter, at) = match query.expiry {
        ExpiryFilter::Any => (0_i32, 0),
        ExpiryFilter::PassedAt(at) => (1, at.timestamp_micros()),
        ExpiryFilter::PendingAt(at) => (2, at.timestamp_micros()),
    };
    let mut page = KeyPage::default();
    let mut before = query.before.map_or(ABOVE_ALL_IDS, |id| id.as_uuid());
    loop {
        let limit = rows_of(query.limit.saturating_add(1));
        let found = session
            .read(|| {
                let list = session.query(sql).bind(organization).bind(account).bind(state_names(&query.states));
                list.bind(filter).bind(at).bind(before).bind(limit)
            })
            .await?;
        let is_last = rows_of(found.len()) < limit;
        if add_to_page(&mut page, &found, query.limit) || is_last {
            return Ok(page);
        }
        before = last_id(&found)?;
    }
}

pub(crate) async fn expiring(session: &Session, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
    let (organization, account) = scope_columns(&query.scope);
    // Behind all that expire at `from`, or further on; never before, whatever place a caller names.
    let from = (query.from.timestamp_micros(), ABOVE_ALL_IDS);
    let mut after = query.after.map_or(from, |(at, id)| from.max((at.timestamp_micros(), id.as_uuid())));
    let mut page = KeyPage::default();
    loop {
        let limit = rows_of(query.limit.saturating_add(1));
        let found = session
            .read(|| {
                let expiring = session.query(&session.sql.expiring).bind(organization).bind(account);
                expiring.bind(after.0).bind(after.1).bind(query.until.timestamp_micros()).bind(limit)
            })
            .await?;
        let is_last = rows_of(found.len()) < limit;
        if add_to_page(&mut page, &found, query.limit) || is_last {
            return Ok(page);
        }
        let expires_at = found.last().and_then(|row| rows::int(row, 8, "expires_at").ok()).unwrap_or(after.0);
        after = (expires_at, last_id(&found)?);
    }
}

/// Where a scan goes on, read as no more than a UUID.
fn last_id(found: &[PgRow]) -> Result<Uuid, StoreError> {
    let id = found.last().map(|row| rows::uuid(row, 0, "id"));
    id.unwrap_or(Err("id")).map_err(corrupt(CorruptRow::UnreadableKeyId))
}

/// Adds rows; whether the page is full, and more follow. Only rows that a next page can begin after count as read.
fn add_to_page(page: &mut KeyPage, found: &[PgRow], limit: usize) -> bool {
    let placed = |page: &KeyPage| page.keys.len() + page.corrupt.iter().filter(|row| matches!(row, CorruptRow::Key(_))).count();
    for row in found {
        if placed(page) == limit {
            page.more = true;
            return true;
        }
        let place: Option<Place> = rows::place(row).ok();
        match rows::key(row) {
            Ok(key) => page.keys.push(key),
            Err(_) => page.corrupt.push(place.map_or(CorruptRow::UnreadableKeyId, |place| CorruptRow::Key(place.id))),
        }
        page.last = place.or(page.last);
    }
    false
}

pub(crate) async fn expiring_soon(
    session: &Session,
    from: Timestamp,
    until: Timestamp,
    after: Option<(Timestamp, KeyId)>,
    limit: usize,
) -> Result<Vec<ExpiringKey>, StoreError> {
    // As above.
    let from = (from.as_micros(), ABOVE_ALL_IDS);
    let mut after = after.map_or(from, |(at, id)| from.max((at.as_micros(), id.as_uuid())));
    let mut keys = Vec::new();
    loop {
        let wanted = rows_of(limit - keys.len());
        let found = session
            .read(|| {
                let soon = session.query(&session.sql.expiring_soon).bind(after.0).bind(after.1);
                soon.bind(until.as_micros()).bind(wanted)
            })
            .await?;
        keys.extend(readable(&found, rows::expiring_key));
        if keys.len() == limit || rows_of(found.len()) < wanted {
            return Ok(keys);
        }
        let expires_at = found.last().and_then(|row| rows::int(row, 3, "expires_at").ok()).unwrap_or(after.0);
        after = (expires_at, last_id(&found)?);
    }
}

pub(crate) async fn audit(session: &Session, query: &AuditQuery) -> Result<AuditPage, StoreError> {
    let (organization, account) = scope_columns(&query.scope);
    let sql = match (query.key, account) {
        (Some(_), _) => &session.sql.audit_of_key,
        (None, Some(_)) => &session.sql.audit_of_owner,
        (None, None) => &session.sql.audit_of_organization,
    };
    // Ids tell times, so that a page reads nothing newer than `until` and nothing older than `from`.
    let from = query.from.map_or(Uuid::nil(), |from| AuditId::first_at(from).as_uuid());
    let until = query.until.map_or(ABOVE_ALL_IDS, |until| AuditId::first_at(until).as_uuid());
    let mut before = query.before.map_or(until, |id| until.min(id.as_uuid()));
    let mut page = AuditPage::default();
    let mut read = 0;
    loop {
        let limit = rows_of(query.limit.saturating_add(1));
        let found = session
            .read(|| {
                let audit = session.query(sql).bind(organization).bind(account);
                let audit = audit.bind(query.action.map(|action| action.as_str()));
                let audit =
                    audit.bind(rows::micros(query.from)).bind(rows::micros(query.until)).bind(from).bind(before).bind(limit);
                match query.key {
                    Some(key) => audit.bind(key.as_uuid()),
                    None => audit,
                }
            })
            .await?;
        for row in &found {
            if read == query.limit {
                page.more = true;
                return Ok(page);
            }
            // A next page can only begin after a row whose id is readable.
            if let Some(id) = rows::uuid(row, 0, "id").ok().and_then(|id| AuditId::from_slice(id.as_bytes()).ok()) {
                page.last = Some(id);
                read += 1;
            }
            match rows::event(row) {
                Ok(event) => page.events.push(event),
                Err(_) => page.corrupt += 1,
            }
        }
        if rows_of(found.len()) < limit {
            return Ok(page);
        }
        before = last_id(&found)?;
    }
}

pub(crate) async fn peppers_in_use(session: &Session) -> Result<BTreeSet<u16>, StoreError> {
    let found = session.read(|| session.query(&session.sql.peppers)).await?;
    Ok(readable(&found, |row| rows::int(row, 0, "pepper")).into_iter().collect())
}

pub(crate) async fn keys_under_pepper(
    session: &Session,
    version: u16,
    after: Option<KeyId>,
    limit: usize,
) -> Result<Vec<KeyId>, StoreError> {
    let mut after = after.map_or(Uuid::nil(), |id| id.as_uuid());
    let mut keys = Vec::new();
    loop {
        let wanted = rows_of(limit - keys.len());
        let found = session
            .read(|| session.query(&session.sql.keys_under_pepper).bind(i64::from(version)).bind(after).bind(wanted))
            .await?;
        keys.extend(readable(&found, |row| rows::key_id(row, 0)));
        if keys.len() == limit || rows_of(found.len()) < wanted {
            return Ok(keys);
        }
        after = last_id(&found)?;
    }
}
