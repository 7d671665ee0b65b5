//! Reads, on whatever connection.

use crate::{
    rows::{self, Bad},
    sql,
};
use chrono::{DateTime, Utc};
use clove_core::{
    Key, KeyId, KeyState, OrganizationId, Owner, Scope, StoreError, Timestamp,
    digest::Digest,
    error::CorruptRow,
    id::AuditId,
    store::{
        AuditPage, AuditQuery, Candidate, ExpiringKey, ExpiringQuery, ExpiryFilter, Flag, KeyPage, KeyQuery, OrganizationRecord,
        OwnerFacts, OwnerRecord, Remains, SecretRecord, StoredKey,
    },
};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use std::{collections::BTreeSet, sync::Arc};

/// Above every UUID of version 7.
pub(crate) const ABOVE_ALL_IDS: [u8; 16] = [0xff; 16];

pub(crate) fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::unavailable("reading or writing the database", error)
}

pub(crate) fn corrupt(row: CorruptRow) -> impl Fn(Bad) -> StoreError {
    move |what| StoreError::Corrupt { row: row.clone(), what }
}

/// One row or none.
pub(crate) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    row: CorruptRow,
    read: impl Fn(&Row<'_>) -> Result<T, Bad>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let found = statement.query_row(params, |found| Ok(read(found))).optional().map_err(failed)?;
    found.transpose().map_err(corrupt(row))
}

/// Rows that can be read, up to `limit`; a corrupt one takes no other down.
pub(crate) fn readable<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    limit: usize,
    read: impl Fn(&Row<'_>) -> Result<T, Bad>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let rows = statement.query_map(params, |row| Ok(read(row))).map_err(failed)?;
    rows.filter_map(|row| row.map(Result::ok).transpose()).take(limit).collect::<Result<_, _>>().map_err(failed)
}

pub(crate) fn find_by_id(connection: &Connection, id: KeyId) -> Result<Option<Arc<Candidate>>, StoreError> {
    let id_bytes = [id.as_bytes().as_slice()];
    let found = candidate(connection, sql::FIND_BY_ID, id_bytes, &CorruptRow::Key(id))?;
    if found.is_none() {
        // Nothing was joined to nothing: without a second look an unknown id would cost a third less than a wrong secret.
        let mut statement = connection.prepare_cached(sql::SECRETS_OF_KEY).map_err(failed)?;
        statement.exists(id_bytes).map_err(failed)?;
    }
    Ok(found)
}

pub(crate) fn find_by_digest(connection: &Connection, digests: &[Digest]) -> Result<Option<Arc<Candidate>>, StoreError> {
    let Some((first, rest)) = digests.split_first() else { return Ok(None) };
    let first = first.as_bytes().as_slice();
    if rest.is_empty() {
        candidate(connection, sql::FIND_BY_DIGEST, [first], &CorruptRow::UnreadableKeyId)
    } else {
        let at = |place: usize| rest.get(place).map_or(first, |digest| digest.as_bytes().as_slice());
        candidate(connection, sql::FIND_BY_DIGESTS, [first, at(0), at(1), at(2)], &CorruptRow::UnreadableKeyId)
    }
}

/// The rows of one key, one a secret.
fn candidate(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    row: &CorruptRow,
) -> Result<Option<Arc<Candidate>>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params).map_err(failed)?;
    let mut found: Option<Candidate> = None;
    while let Some(next) = rows.next().map_err(failed)? {
        let named = |what| {
            let row = rows::key_id(next, 0).map_or_else(|_| row.clone(), CorruptRow::Key);
            StoreError::Corrupt { row, what }
        };
        match &mut found {
            None => found = Some(rows::candidate(next).map_err(named)?),
            // Another key's, found by another of the digests: its secret says nothing of this key.
            Some(found) if rows::key_id(next, 0) != Ok(found.id) => {}
            Some(found) => {
                let secret = rows::candidate_secret(next).map_err(named)?;
                found.secrets.add(secret).map_err(|_| named("more than two secrets"))?;
            }
        }
    }
    Ok(found.map(Arc::new))
}

pub(crate) fn get(connection: &Connection, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
    key_row(connection, scope, id, rows::key)
}

/// A key's row within a scope, as `read` reads it.
fn key_row<T>(
    connection: &Connection,
    scope: &Scope,
    id: KeyId,
    read: impl Fn(&Row<'_>) -> Result<T, Bad>,
) -> Result<Option<T>, StoreError> {
    let within = |row: &Row<'_>| if is_foreign(row, scope) { Ok(None) } else { read(row).map(Some) };
    let found = one(connection, sql::KEY_BY_ID, [id.as_bytes().as_slice()], CorruptRow::Key(id), within)?;
    Ok(found.flatten())
}

/// Whether a key's row is not the scope's: then it is none, corrupt or not.
fn is_foreign(row: &Row<'_>, scope: &Scope) -> bool {
    let (organization, account) = scope_columns(scope);
    rows::text(row, 1, "org").is_ok_and(|org| org != organization)
        || account.is_some_and(|account| rows::text(row, 2, "account").is_ok_and(|own| own != account))
}

/// What is left of a key's row, however little of it can be read.
pub(crate) fn remains(connection: &Connection, scope: &Scope, id: KeyId) -> Result<Option<Remains>, StoreError> {
    let read = |row: &Row<'_>| rows::remains(row, id);
    let Some(mut remains) = key_row(connection, scope, id, read)? else { return Ok(None) };
    let params = params![remains.owner.organization.as_str(), remains.owner.account.as_str(), id.as_bytes().as_slice()];
    let mut statement = connection.prepare_cached(sql::COUNT_OTHERS).map_err(failed)?;
    (remains.others, remains.others_held) = statement.query_row(params, |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    Ok(Some(remains))
}

pub(crate) fn key_with_secrets(connection: &Connection, scope: &Scope, id: KeyId) -> Result<Option<StoredKey>, StoreError> {
    let Some(key) = get(connection, scope, id)? else { return Ok(None) };
    Ok(Some(StoredKey { secrets: secrets(connection, id)?, key }))
}

/// A key's secrets, the current one first.
pub(crate) fn secrets(connection: &Connection, id: KeyId) -> Result<Vec<SecretRecord>, StoreError> {
    let mut statement = connection.prepare_cached(sql::SECRETS_OF_KEY).map_err(failed)?;
    let rows = statement.query_map([id.as_bytes().as_slice()], |row| Ok(rows::secret(row, 0))).map_err(failed)?;
    let secrets: Result<Vec<_>, _> = rows.collect::<Result<Vec<_>, _>>().map_err(failed)?.into_iter().collect();
    let mut secrets = secrets.map_err(corrupt(CorruptRow::Key(id)))?;
    secrets.sort_by_key(|secret| secret.valid_until.is_some());
    Ok(secrets)
}

pub(crate) fn organization(connection: &Connection, id: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
    let read = |row: &Row<'_>| Ok(OrganizationRecord { id: id.clone(), open: rows::flag(row, 1, "open")? });
    one(connection, sql::ORGANIZATION, [id.as_str()], CorruptRow::Organization, read)
}

pub(crate) fn owner(connection: &Connection, owner: &Owner) -> Result<Option<OwnerRecord>, StoreError> {
    one(connection, sql::OWNER, [owner.organization.as_str(), owner.account.as_str()], CorruptRow::Owner, rows::owner_record)
}

/// Whether what a scope names is open, whatever else of its row can be read.
pub(crate) fn open_flag(connection: &Connection, scope: &Scope) -> Result<Option<Flag>, StoreError> {
    let flag = |row: &Row<'_>, column| Ok(rows::flag(row, column, "open").map_or(Flag::Unreadable, Flag::from));
    match scope {
        Scope::Owner(owner) => {
            let params = [owner.organization.as_str(), owner.account.as_str()];
            one(connection, sql::OWNER, params, CorruptRow::Owner, |row| flag(row, 2))
        }
        Scope::Organization(id) => {
            one(connection, sql::ORGANIZATION, [id.as_str()], CorruptRow::Organization, |row| flag(row, 1))
        }
    }
}

pub(crate) fn owner_facts(connection: &Connection, of: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
    let params = params![of.organization.as_str(), of.account.as_str(), now.timestamp_micros()];
    let read = |row: &Row<'_>| {
        Ok(OwnerFacts { record: rows::owner_record(row)?, held_by_expired: rows::int(row, 9, "held_by_expired")? })
    };
    one(connection, sql::OWNER_FACTS, params, CorruptRow::Owner, read)
}

/// A scope's organization and account, the latter `None` for a whole organization.
pub(crate) fn scope_columns(scope: &Scope) -> (&str, Option<&str>) {
    match scope {
        Scope::Owner(owner) => (owner.organization.as_str(), Some(owner.account.as_str())),
        Scope::Organization(organization) => (organization.as_str(), None),
    }
}

/// Each state is a flag, so that one statement serves every set of them.
pub(crate) fn state_flags(states: &[KeyState]) -> i64 {
    states.iter().fold(0, |flags, state| {
        flags
            | match state {
                KeyState::Active => 1,
                KeyState::Suspended => 2,
                KeyState::Compromised => 4,
                KeyState::Revoked => 8,
            }
    })
}

pub(crate) fn list(connection: &Connection, query: &KeyQuery) -> Result<KeyPage, StoreError> {
    let (organization, account) = scope_columns(&query.scope);
    let sql = if account.is_some() { sql::LIST_OF_OWNER } else { sql::LIST_OF_ORGANIZATION };
    let (filter, at) = match query.expiry {
        ExpiryFilter::Any => (0, 0),
        ExpiryFilter::PassedAt(at) => (1, at.timestamp_micros()),
        ExpiryFilter::PendingAt(at) => (2, at.timestamp_micros()),
    };
    let before = query.before.map_or(ABOVE_ALL_IDS, |id| *id.as_bytes());
    let params = params![organization, account, state_flags(&query.states), filter, at, before.as_slice()];
    key_page(connection, sql, params, query.limit)
}

pub(crate) fn expiring(connection: &Connection, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
    let (organization, account) = scope_columns(&query.scope);
    // Behind all that expire at `from`, or further on; never before, whatever place a caller names.
    let from = (query.from.timestamp_micros(), ABOVE_ALL_IDS);
    let after = query.after.map_or(from, |(at, id)| from.max((at.timestamp_micros(), *id.as_bytes())));
    let params = params![organization, account, after.0, after.1.as_slice(), query.until.timestamp_micros()];
    key_page(connection, sql::EXPIRING, params, query.limit)
}

pub(crate) fn expiring_soon(
    connection: &Connection,
    from: Timestamp,
    until: Timestamp,
    after: Option<(Timestamp, KeyId)>,
    limit: usize,
) -> Result<Vec<ExpiringKey>, StoreError> {
    // As above.
    let from = (from.as_micros(), ABOVE_ALL_IDS);
    let after = after.map_or(from, |(at, id)| from.max((at.as_micros(), *id.as_bytes())));
    let params = params![after.0, after.1.as_slice(), until.as_micros()];
    readable(connection, sql::EXPIRING_SOON, params, limit, rows::expiring_key)
}

/// Only rows that a next page can begin after count as read.
fn key_page(connection: &Connection, sql: &str, params: impl Params, limit: usize) -> Result<KeyPage, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params).map_err(failed)?;
    let mut page = KeyPage::default();
    let mut read = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        if read == limit {
            page.more = true;
            break;
        }
        let place = rows::place(row).ok();
        match rows::key(row) {
            Ok(key) => page.keys.push(key),
            Err(_) => page.corrupt.push(place.map_or(CorruptRow::UnreadableKeyId, |place| CorruptRow::Key(place.id))),
        }
        if place.is_some() {
            page.last = place;
            read += 1;
        }
    }
    Ok(page)
}

pub(crate) fn audit(connection: &Connection, query: &AuditQuery) -> Result<AuditPage, StoreError> {
    let (organization, account) = scope_columns(&query.scope);
    let sql = match (query.key, account) {
        (Some(_), _) => sql::AUDIT_OF_KEY,
        (None, Some(_)) => sql::AUDIT_OF_OWNER,
        (None, None) => sql::AUDIT_OF_ORGANIZATION,
    };
    // Ids tell times, so that a page reads nothing newer than `until` and nothing older than `from`.
    let bytes = |id: AuditId| *id.as_bytes();
    let from = query.from.map_or([0; 16], |from| bytes(AuditId::first_at(from)));
    let until = query.until.map_or(ABOVE_ALL_IDS, |until| bytes(AuditId::first_at(until)));
    let before = query.before.map_or(until, |id| until.min(bytes(id)));
    let micros = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_micros());
    let params = params![
        organization,
        account,
        query.key.map(|key| key.as_bytes().to_vec()),
        query.action.map(|action| action.as_str()),
        micros(query.from),
        micros(query.until),
        from.as_slice(),
        before.as_slice(),
    ];
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params).map_err(failed)?;
    let mut page = AuditPage::default();
    let mut read = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        if read == query.limit {
            page.more = true;
            break;
        }
        // A next page can only begin after a row whose id is readable.
        if let Some(id) = rows::blob(row, 0, "id").ok().and_then(|id| AuditId::from_slice(id).ok()) {
            page.last = Some(id);
            read += 1;
        }
        match rows::event(row) {
            Ok(event) => page.events.push(event),
            Err(_) => page.corrupt += 1,
        }
    }
    Ok(page)
}

pub(crate) fn peppers_in_use(connection: &Connection) -> Result<BTreeSet<u16>, StoreError> {
    let versions = readable(connection, sql::PEPPERS, [], usize::MAX, |row| rows::int(row, 0, "pepper"))?;
    Ok(versions.into_iter().collect())
}

pub(crate) fn keys_under_pepper(
    connection: &Connection,
    version: u16,
    after: Option<KeyId>,
    limit: usize,
) -> Result<Vec<KeyId>, StoreError> {
    let after = after.map_or([0; 16], |id| *id.as_bytes());
    readable(connection, sql::KEYS_UNDER_PEPPER, params![version, after.as_slice()], limit, |row| rows::key_id(row, 0))
}
