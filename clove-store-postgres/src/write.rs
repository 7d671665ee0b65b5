//! What a transaction writes: one statement for all rows of a kind.

use crate::{
    error::Failure,
    read::corrupt,
    rows::{creation_day, micros, scheme_columns, signed},
    session::{Kind, Session, Tx},
};
use chrono::{DateTime, Utc};
use clove_core::{
    ActiveLimit, Key, KeyId, KeyState, StoreError, Timestamp,
    audit::AuditEvent,
    error::{CorruptRow, Unique},
    store::{Changes, KeyChange, OrganizationRecord, OwnerRecord, Rehash, SecretRecord},
};
use sqlx::SqlStr;
use std::{
    collections::{BTreeMap, BTreeSet},
    mem::discriminant,
};
use uuid::Uuid;

/// Writes all changes, and of the organization's row this.
pub(crate) async fn changes(
    tx: &mut Tx<'_>,
    organization: Option<&OrganizationRecord>,
    changes: &Changes,
) -> Result<(), Failure> {
    let sql = tx.sql();
    if let Some(record) = organization {
        tx.execute(tx.query(&sql.put_organization).bind(record.id.as_str().to_owned()).bind(record.open)).await?;
    }
    put_owners(tx, &sql.put_owners, &changes.owners).await?;
    if let Some((owner, open)) = &changes.owner_flag {
        let put = tx.query(&sql.put_owner_flag).bind(owner.organization.as_str().to_owned());
        tx.execute(put.bind(owner.account.as_str().to_owned()).bind(*open)).await?;
    }
    key_changes(tx, &changes.keys).await?;
    if let Some(row) = &changes.budget {
        crate::budgets::choose(tx, row).await?;
    }
    insert_events(tx, &changes.events).await?;
    // Last: other owners of the shard wait from here on.
    if !changes.outdates.is_empty() {
        let shards: Vec<i64> = changes.outdates.iter().map(|shard| i64::from(shard.number())).collect();
        tx.execute(tx.query(&sql.outdate).bind(shards)).await?;
    }
    Ok(())
}

/// In order: a run of changes of one kind, each of another key, is one statement.
async fn key_changes(tx: &mut Tx<'_>, changes: &[KeyChange]) -> Result<(), Failure> {
    let is_of_one_kind = |one: &KeyChange, other: &KeyChange| discriminant(one) == discriminant(other) && id(one) != id(other);
    for run in changes.chunk_by(is_of_one_kind) {
        let (mut updated, mut inserted, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
        for change in run {
            match change {
                KeyChange::Insert(stored) => {
                    inserted.push(&stored.key);
                    secrets.extend(stored.secrets.iter().map(|secret| (stored.key.id, *secret)));
                }
                KeyChange::Update { key, secrets: new } => {
                    updated.push(key);
                    if let Some(new) = new {
                        tx.execute(tx.query(&tx.sql().delete_secrets).bind(key.id.as_uuid())).await?;
                        secrets.extend(new.iter().map(|secret| (key.id, *secret)));
                    }
                }
                KeyChange::Stop { id, state, revision } => stop(tx, *id, *state, *revision).await?,
                KeyChange::Delete(id) => delete(tx, *id).await?,
            }
        }
        update_keys(tx, &updated).await?;
        insert_keys(tx, &inserted).await?;
        insert_secrets(tx, &secrets).await?;
    }
    Ok(())
}

fn id(change: &KeyChange) -> KeyId {
    match change {
        KeyChange::Insert(stored) => stored.key.id,
        KeyChange::Update { key, .. } => key.id,
        KeyChange::Stop { id, .. } | KeyChange::Delete(id) => *id,
    }
}

async fn stop(tx: &mut Tx<'_>, id: KeyId, state: KeyState, revision: u64) -> Result<(), Failure> {
    let stop = tx.query(&tx.sql().stop_key).bind(id.as_uuid()).bind(state.as_str()).bind(signed(revision));
    Ok(must_exist(id, 1, tx.execute(stop).await?)?)
}

async fn delete(tx: &mut Tx<'_>, id: KeyId) -> Result<(), Failure> {
    tx.execute(tx.query(&tx.sql().delete_secrets).bind(id.as_uuid())).await?;
    Ok(must_exist(id, 1, tx.execute(tx.query(&tx.sql().delete_key).bind(id.as_uuid())).await?)?)
}

/// A core that writes to a key has read it in the same transaction.
fn must_exist(id: KeyId, expected: usize, rows: u64) -> Result<(), StoreError> {
    if u64::try_from(expected) == Ok(rows) { Ok(()) } else { Err(corrupt(CorruptRow::Key(id))("id")) }
}

/// One column of some rows.
pub(crate) fn column<'r, R, T>(rows: &'r [R], of: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// Writes owners by a statement; how many it has written.
pub(crate) async fn put_owners(tx: &mut Tx<'_>, sql: &SqlStr, records: &[OwnerRecord]) -> Result<u64, Failure> {
    if records.is_empty() {
        return Ok(0);
    }
    let put = tx
        .query(sql)
        .bind(column(records, |record| record.owner.organization.as_str()))
        .bind(column(records, |record| record.owner.account.as_str()))
        .bind(column(records, |record| record.open))
        .bind(column(records, |record| i64::from(record.held)))
        .bind(column(records, |record| i64::from(record.records)))
        .bind(column(records, |record| record.limit.map(ActiveLimit::to_stored)))
        .bind(column(records, creation_day))
        .bind(column(records, |record| i64::from(record.creations)))
        .bind(column(records, |record| record.request_limits.to_stored()));
    tx.execute(put).await
}

async fn insert_keys(tx: &mut Tx<'_>, keys: &[&Key]) -> Result<(), Failure> {
    if keys.is_empty() {
        return Ok(());
    }
    let insert = tx
        .query(&tx.sql().insert_keys)
        .bind(column(keys, |key| key.id.as_uuid()))
        .bind(column(keys, |key| key.owner.organization.as_str()))
        .bind(column(keys, |key| key.owner.account.as_str()))
        .bind(column(keys, |key| key.name.as_str()))
        .bind(column(keys, |key| key.description.as_str()))
        .bind(column(keys, |key| key.capabilities.as_str()))
        .bind(column(keys, |key| key.metadata.as_str()))
        .bind(column(keys, |key| key.created_at.timestamp_micros()))
        .bind(column(keys, |key| micros(key.expires_at)))
        .bind(column(keys, |key| micros(key.last_used_at)))
        .bind(column(keys, |key| key.state.as_str()))
        .bind(column(keys, |key| key.expiry_latched))
        .bind(column(keys, |key| signed(key.revision)))
        .bind(column(keys, |key| key.limits.to_stored()));
    tx.execute(insert).await.map(drop)
}

async fn update_keys(tx: &mut Tx<'_>, keys: &[&Key]) -> Result<(), Failure> {
    let Some(first) = keys.first() else { return Ok(()) };
    let update = tx
        .query(&tx.sql().update_keys)
        .bind(column(keys, |key| key.id.as_uuid()))
        .bind(column(keys, |key| key.name.as_str()))
        .bind(column(keys, |key| key.description.as_str()))
        .bind(column(keys, |key| key.capabilities.as_str()))
        .bind(column(keys, |key| key.metadata.as_str()))
        .bind(column(keys, |key| micros(key.expires_at)))
        .bind(column(keys, |key| key.state.as_str()))
        .bind(column(keys, |key| key.expiry_latched))
        .bind(column(keys, |key| signed(key.revision)))
        .bind(column(keys, |key| key.limits.to_stored()));
    Ok(must_exist(first.id, keys.len(), tx.execute(update).await?)?)
}

async fn insert_secrets(tx: &mut Tx<'_>, secrets: &[(KeyId, SecretRecord)]) -> Result<(), Failure> {
    if secrets.is_empty() {
        return Ok(());
    }
    let schemes = column(secrets, |(_, secret)| scheme_columns(&secret.scheme));
    let insert = tx
        .query(&tx.sql().insert_secrets)
        .bind(column(secrets, |(id, _)| id.as_uuid()))
        .bind(column(secrets, |(_, secret)| secret.digest.as_bytes().as_slice()))
        .bind(column(&schemes, |(name, ..)| *name))
        .bind(column(&schemes, |(_, pepper, ..)| *pepper))
        .bind(column(&schemes, |(.., cost, _)| cost.clone()))
        .bind(column(&schemes, |(.., salt)| salt.clone()))
        .bind(column(secrets, |(_, secret)| secret.valid_until.map(Timestamp::as_micros)));
    tx.execute(insert).await.map(drop)
}

async fn insert_events(tx: &mut Tx<'_>, events: &[AuditEvent]) -> Result<(), Failure> {
    if events.is_empty() {
        return Ok(());
    }
    let key = |event: &AuditEvent| event.key.clone();
    let keys = column(events, key);
    let operations = tx
        .query(&tx.sql().insert_operations)
        .bind(column(events, |event| event.operation.as_uuid()))
        .bind(column(events, |event| event.id.as_uuid()));
    tx.execute(operations).await?;
    let insert = tx
        .query(&tx.sql().insert_events)
        .bind(column(events, |event| event.id.as_uuid()))
        .bind(column(events, |event| event.operation.as_uuid()))
        .bind(column(events, |event| event.at.timestamp_micros()))
        .bind(column(events, |event| event.actor.as_str()))
        .bind(column(events, |event| event.reason.as_str()))
        .bind(column(events, |event| event.action.as_str()))
        .bind(column(events, |event| event.organization.as_str()))
        .bind(column(events, |event| event.account.as_ref().map(|account| account.as_str())))
        .bind(column(&keys, |key| key.as_ref().map(|key| key.id.as_uuid())))
        .bind(column(&keys, |key| key.as_ref().map(|key| key.name.as_str().to_owned())))
        .bind(column(&keys, |key| key.as_ref().and_then(|key| key.from).map(|state| state.as_str())))
        .bind(column(&keys, |key| key.as_ref().and_then(|key| key.to).map(|state| state.as_str())))
        .bind(column(events, |event| event.changed))
        .bind(column(events, |event| event.detail.as_str()))
        .bind(column(events, |event| event.arguments.as_bytes().as_slice()));
    tx.execute(insert).await.map(drop)
}

/// Each only where the key still has the old digest, and nobody has the new one. Ascending by key, so that no two wait for each other.
pub(crate) async fn rehash(session: &Session, changes: &[Rehash]) -> Result<(), StoreError> {
    let mut changes = changes.to_vec();
    changes.sort_by_key(|change| change.key);
    let mut left_out = BTreeSet::new();
    // Another session may take a digest between the look and the change: that change is left out in the next attempt.
    loop {
        let place = session.attempts(|| rehash_all_but(session, &changes, &left_out)).await?;
        match place {
            None => return Ok(()),
            Some(place) => left_out.insert(place),
        };
    }
}

/// The place of the change whose new digest is another secret's, if there is one: then nothing was written.
async fn rehash_all_but(session: &Session, changes: &[Rehash], left_out: &BTreeSet<usize>) -> Result<Option<usize>, Failure> {
    let mut tx = session.begin(Kind::Buffered).await?;
    for (place, change) in changes.iter().enumerate().filter(|(place, _)| !left_out.contains(place)) {
        let (scheme, pepper, cost, salt) = scheme_columns(&change.scheme);
        let rehash = tx
            .query(&tx.sql().rehash)
            .bind(change.key.as_uuid())
            .bind(change.old.as_bytes().as_slice())
            .bind(change.new.as_bytes().as_slice());
        match tx.execute(rehash.bind(scheme).bind(pepper).bind(cost).bind(salt)).await {
            Ok(_) => {}
            Err(Failure::Store(StoreError::Conflict(Unique::Digest))) => return Ok(Some(place)),
            Err(failure) => return Err(failure),
        }
    }
    tx.commit().await.map(|()| None)
}

/// Ascending by key, so that no two wait for each other.
pub(crate) async fn touch(session: &Session, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
    let mut newest: BTreeMap<Uuid, i64> = BTreeMap::new();
    for (id, at) in uses {
        let at = at.timestamp_micros();
        newest.entry(id.as_uuid()).and_modify(|newest| *newest = at.max(*newest)).or_insert(at);
    }
    let (ids, times): (Vec<_>, Vec<_>) = newest.into_iter().unzip();
    let touch = || session.query(&session.sql.touch).bind(ids.as_slice()).bind(times.as_slice());
    session.write(Kind::Buffered, touch).await.map(drop)
}
