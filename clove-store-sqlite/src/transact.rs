//! A transaction's reads and writes, on the writer's connection.

use crate::{
    epochs,
    read::{corrupt, failed, key_with_secrets, one, readable, scope_columns, state_flags},
    rows::{self, Bad, scheme_columns},
    sql,
};
use chrono::{DateTime, Utc};
use clove_core::{
    ActiveLimit, Key, KeyId, KeyState, Owner, Scope, StoreError, Timestamp,
    audit::AuditEvent,
    error::{CorruptRow, Unique},
    store::{Changes, Decision, Facts, KeyChange, OwnerRecord, Reads, Rehash, SecretRecord, StoredKey, Transaction},
};
use rusqlite::{Connection, ErrorCode, Params, Row, params};

/// Reads, decides, writes. The caller has begun a transaction, and commits or rolls back.
pub(crate) fn transact(connection: &Connection, transaction: &Transaction) -> Result<Decision, StoreError> {
    let decision = transaction.decide(&facts(connection, transaction)?);
    if let Decision::Commit(changes) = &decision {
        write(connection, changes)?;
    }
    Ok(decision)
}

fn facts(connection: &Connection, transaction: &Transaction) -> Result<Facts, StoreError> {
    let operation = transaction.operation.as_bytes();
    let replayed = one(connection, sql::EVENT_BY_OPERATION, [operation.as_slice()], CorruptRow::AuditEvent, rows::event)?;
    let mut facts = Facts { replayed, ..Facts::default() };
    match &transaction.reads {
        Reads::Owner { owner, expired_at } => add_owner(connection, &mut facts, owner, *expired_at)?,
        Reads::Budget { scope, unit } => facts.budget = unless_corrupt(crate::budgets::chosen(connection, scope, unit))?,
        Reads::Flag(scope) => facts.flag = crate::read::open_flag(connection, scope)?,
        Reads::Key { scope, id, expired_at } => {
            if let Some(stored) = key_with_secrets(connection, scope, *id)? {
                add_owner(connection, &mut facts, &stored.key.owner, *expired_at)?;
                facts.keys.push(stored);
            }
        }
        Reads::Remains { scope, id } => {
            facts.remains = crate::read::remains(connection, scope, *id)?;
            if let Some(owner) = facts.remains.as_ref().map(|remains| remains.owner.clone()) {
                facts.owners.extend(unless_corrupt(crate::read::owner(connection, &owner))?.flatten());
            }
        }
        Reads::Batch { scope, states, after, limit } => add_batch(connection, &mut facts, scope, states, *after, *limit)?,
    }
    Ok(facts)
}

/// A key that cannot be read, or whose secrets or owner cannot, is passed over and takes no place of another; the first such
/// is named.
fn add_batch(
    connection: &Connection,
    facts: &mut Facts,
    scope: &Scope,
    states: &[KeyState],
    after: Option<KeyId>,
    limit: usize,
) -> Result<(), StoreError> {
    facts.flag = crate::read::open_flag(connection, scope)?;
    let (organization, account) = scope_columns(scope);
    let sql = if account.is_some() { sql::BATCH_OF_OWNER } else { sql::BATCH_OF_ORGANIZATION };
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let after = after.map_or([0; 16], |id| *id.as_bytes());
    let mut rows = statement.query(params![organization, account, state_flags(states), after.as_slice()]).map_err(failed)?;
    while facts.keys.len() < limit
        && let Some(row) = rows.next().map_err(failed)?
    {
        match stored(connection, row, &facts.owners)? {
            Some((stored, owner)) => {
                facts.owners.extend(owner);
                facts.keys.push(stored);
            }
            // One without a readable id is found by no look-up, and granted to nobody.
            None => facts.passed_over = facts.passed_over.or_else(|| rows::key_id(row, 0).ok()),
        }
    }
    Ok(())
}

/// A batch's key, and its owner's row unless that is `known`; `None` if one of them, or a secret, cannot be read.
fn stored(
    connection: &Connection,
    row: &Row<'_>,
    known: &[OwnerRecord],
) -> Result<Option<(StoredKey, Option<OwnerRecord>)>, StoreError> {
    let Ok(key) = rows::key(row) else { return Ok(None) };
    let Some(secrets) = unless_corrupt(crate::read::secrets(connection, key.id))? else { return Ok(None) };
    if known.iter().any(|known| known.owner == key.owner) {
        return Ok(Some((StoredKey { key, secrets }, None)));
    }
    let owner = unless_corrupt(crate::read::owner(connection, &key.owner))?;
    Ok(owner.map(|owner| (StoredKey { key, secrets }, owner)))
}

fn unless_corrupt<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Corrupt { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// Rows that are not there yet are facts too, unless there are keys already: they are lost then.
fn add_owner(
    connection: &Connection,
    facts: &mut Facts,
    owner: &Owner,
    expired_at: Option<DateTime<Utc>>,
) -> Result<(), StoreError> {
    let (organization, account) = (owner.organization.as_str(), owner.account.as_str());
    facts.organization = crate::read::organization(connection, &owner.organization)?;
    if facts.organization.is_none() {
        one(connection, sql::KEY_OF_ORGANIZATION, [organization], CorruptRow::Organization, lost)?;
    }
    facts.owners.extend(crate::read::owner(connection, owner)?);
    if facts.owners.is_empty() {
        one(connection, sql::KEY_OF_OWNER, [organization, account], CorruptRow::Owner, lost)?;
    }
    if let Some(now) = expired_at {
        let params = params![organization, account, now.timestamp_micros()];
        facts.expired = readable(connection, sql::EXPIRED_PLACES, params, usize::MAX, rows::key)?;
    }
    Ok(())
}

/// What to make of a key whose owner or organization has no row.
fn lost(_: &Row<'_>) -> Result<(), Bad> {
    Err("there are keys, and no row")
}

pub(crate) fn write(connection: &Connection, changes: &Changes) -> Result<(), StoreError> {
    if let Some(record) = &changes.organization {
        execute(connection, sql::PUT_ORGANIZATION, params![record.id.as_str(), record.open])?;
    }
    for record in &changes.owners {
        put_owner(connection, record)?;
    }
    if let Some((owner, open)) = &changes.owner_flag {
        execute(connection, sql::PUT_OWNER_FLAG, params![owner.organization.as_str(), owner.account.as_str(), open])?;
    }
    for change in &changes.keys {
        match change {
            KeyChange::Insert(stored) => {
                insert_key(connection, &stored.key)?;
                insert_secrets(connection, stored.key.id, &stored.secrets)?;
            }
            KeyChange::Update { key, secrets } => {
                update_key(connection, key)?;
                if let Some(secrets) = secrets {
                    execute(connection, sql::DELETE_SECRETS, [key.id.as_bytes().as_slice()])?;
                    insert_secrets(connection, key.id, secrets)?;
                }
            }
            KeyChange::Stop { id, state, revision } => {
                let params = params![id.as_bytes().as_slice(), state.as_str(), signed(*revision)];
                must_exist(*id, execute(connection, sql::STOP_KEY, params)?)?;
            }
            KeyChange::Delete(id) => {
                execute(connection, sql::DELETE_SECRETS, [id.as_bytes().as_slice()])?;
                must_exist(*id, execute(connection, sql::DELETE_KEY, [id.as_bytes().as_slice()])?)?;
            }
        }
    }
    changes.budget.iter().try_for_each(|row| crate::budgets::choose(connection, row))?;
    epochs::outdate(connection, &changes.outdates)?;
    changes.events.iter().try_for_each(|event| insert_event(connection, event))
}

pub(crate) fn execute(connection: &Connection, sql: &str, params: impl Params) -> Result<usize, StoreError> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(failed)
}

/// Executes an insert; a row that exists already is a conflict.
fn insert(connection: &Connection, sql: &str, params: impl Params, unique: impl Fn(&str) -> Unique) -> Result<(), StoreError> {
    let inserted = connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
    match inserted {
        Ok(_) => Ok(()),
        Err(rusqlite::Error::SqliteFailure(error, message)) if error.code == ErrorCode::ConstraintViolation => {
            Err(StoreError::Conflict(unique(&message.unwrap_or_default())))
        }
        Err(error) => Err(failed(error)),
    }
}

/// A core that writes to a key has read it in the same transaction.
fn must_exist(id: KeyId, rows: usize) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(corrupt(CorruptRow::Key(id))("id")) }
}

fn put_owner(connection: &Connection, record: &OwnerRecord) -> Result<(), StoreError> {
    let params = params![
        record.owner.organization.as_str(),
        record.owner.account.as_str(),
        record.open,
        record.held,
        record.records,
        record.limit.map(ActiveLimit::to_stored),
        record.creation_day.map(|day| day.to_epoch_days()),
        record.creations,
        record.request_limits.to_stored(),
    ];
    execute(connection, sql::PUT_OWNER, params).map(|_| ())
}

fn micros(time: Option<DateTime<Utc>>) -> Option<i64> {
    time.map(|time| time.timestamp_micros())
}

/// SQLite's integers are signed; no record changes that often.
fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

fn insert_key(connection: &Connection, key: &Key) -> Result<(), StoreError> {
    let params = params![
        key.id.as_bytes().as_slice(),
        key.owner.organization.as_str(),
        key.owner.account.as_str(),
        key.name.as_str(),
        key.description.as_str(),
        key.capabilities.as_str(),
        key.metadata.as_str(),
        key.created_at.timestamp_micros(),
        micros(key.expires_at),
        micros(key.last_used_at),
        key.state.as_str(),
        key.expiry_latched,
        signed(key.revision),
        key.limits.to_stored(),
    ];
    insert(connection, sql::INSERT_KEY, params, |_| Unique::KeyId)
}

fn update_key(connection: &Connection, key: &Key) -> Result<(), StoreError> {
    let params = params![
        key.id.as_bytes().as_slice(),
        key.name.as_str(),
        key.description.as_str(),
        key.capabilities.as_str(),
        key.metadata.as_str(),
        micros(key.expires_at),
        key.state.as_str(),
        key.expiry_latched,
        signed(key.revision),
        key.limits.to_stored(),
    ];
    must_exist(key.id, execute(connection, sql::UPDATE_KEY, params)?)
}

fn insert_secrets(connection: &Connection, id: KeyId, secrets: &[SecretRecord]) -> Result<(), StoreError> {
    for secret in secrets {
        let (scheme, pepper, cost, salt) = scheme_columns(&secret.scheme);
        let digest = secret.digest.as_bytes().as_slice();
        let until = secret.valid_until.map(Timestamp::as_micros);
        let params = params![id.as_bytes().as_slice(), digest, scheme, pepper, cost, salt, until];
        insert(connection, sql::INSERT_SECRET, params, |_| Unique::Digest)?;
    }
    Ok(())
}

fn insert_event(connection: &Connection, event: &AuditEvent) -> Result<(), StoreError> {
    let key = event.key.as_ref();
    let params = params![
        event.id.as_bytes().as_slice(),
        event.operation.as_bytes().as_slice(),
        event.at.timestamp_micros(),
        event.actor.as_str(),
        event.reason.as_str(),
        event.action.as_str(),
        event.organization.as_str(),
        event.account.as_ref().map(|account| account.as_str()),
        key.map(|key| key.id.as_bytes().as_slice()),
        key.map(|key| key.name.as_str()),
        key.and_then(|key| key.from).map(|state| state.as_str()),
        key.and_then(|key| key.to).map(|state| state.as_str()),
        event.changed,
        event.detail,
        event.arguments.as_bytes().as_slice(),
    ];
    let unique = |message: &str| if message.contains("operation") { Unique::OperationId } else { Unique::AuditId };
    insert(connection, sql::INSERT_EVENT, params, unique)
}

pub(crate) fn rehash(connection: &Connection, changes: &[Rehash]) -> Result<(), StoreError> {
    for change in changes {
        let (scheme, pepper, cost, salt) = scheme_columns(&change.scheme);
        let (old, new) = (change.old.as_bytes().as_slice(), change.new.as_bytes().as_slice());
        execute(connection, sql::REHASH, params![change.key.as_bytes().as_slice(), old, new, scheme, pepper, cost, salt])?;
    }
    Ok(())
}

pub(crate) fn touch(connection: &Connection, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
    for (id, at) in uses {
        execute(connection, sql::TOUCH, params![id.as_bytes().as_slice(), at.timestamp_micros()])?;
    }
    Ok(())
}
