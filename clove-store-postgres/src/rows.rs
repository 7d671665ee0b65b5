//! Rows as values, in the column order of `sql.rs`. Whatever does not read as its type is named by its column, never quoted.
//! Texts are taken back as stored, not judged again: a rule that has become stricter must not make a living key corrupt.

use chrono::{DateTime, NaiveDate, Utc};
use clove_core::{
    AccountId, ActiveLimit, Argon2Cost, CapabilitySet, Description, Key, KeyId, KeyState, LimitChoice, Metadata, Name,
    OperationId, OrganizationId, Owner, Timestamp,
    audit::{Action, Arguments, AuditEvent, AuditedKey},
    digest::{Digest, Scheme},
    id::{Actor, AuditId},
    key::Reason,
    store::{Candidate, CandidateLimits, ExpiringKey, OwnerRecord, Place, Remains, SecretRecord, Secrets},
};
use sqlx::{Decode, Postgres, Row, postgres::PgRow};
use std::sync::Arc;
use uuid::Uuid;

/// Which column is corrupt.
pub(crate) type Bad = &'static str;

/// A column of the type that the schema gives it.
pub(crate) fn value<'r, T: Decode<'r, Postgres>>(row: &'r PgRow, column: usize, what: Bad) -> Result<T, Bad> {
    // The statements are the house's own: their columns are of the types that they are read as.
    row.try_get_unchecked(column).map_err(|_| what)
}

pub(crate) fn text(row: &PgRow, column: usize, what: Bad) -> Result<&str, Bad> {
    value(row, column, what)
}

pub(crate) fn optional_text(row: &PgRow, column: usize, what: Bad) -> Result<Option<&str>, Bad> {
    value(row, column, what)
}

pub(crate) fn int<T: TryFrom<i64>>(row: &PgRow, column: usize, what: Bad) -> Result<T, Bad> {
    T::try_from(value(row, column, what)?).map_err(|_| what)
}

pub(crate) fn optional_int<T: TryFrom<i64>>(row: &PgRow, column: usize, what: Bad) -> Result<Option<T>, Bad> {
    let found: Option<i64> = value(row, column, what)?;
    found.map(|found| T::try_from(found).map_err(|_| what)).transpose()
}

pub(crate) fn uuid(row: &PgRow, column: usize, what: Bad) -> Result<Uuid, Bad> {
    value(row, column, what)
}

pub(crate) fn time(row: &PgRow, column: usize, what: Bad) -> Result<DateTime<Utc>, Bad> {
    DateTime::from_timestamp_micros(int(row, column, what)?).ok_or(what)
}

pub(crate) fn optional_time(row: &PgRow, column: usize, what: Bad) -> Result<Option<DateTime<Utc>>, Bad> {
    optional_int(row, column, what)?.map(|micros| DateTime::from_timestamp_micros(micros).ok_or(what)).transpose()
}

fn optional_timestamp(row: &PgRow, column: usize, what: Bad) -> Result<Option<Timestamp>, Bad> {
    optional_int(row, column, what)?.map(|micros| Timestamp::from_micros(micros).ok_or(what)).transpose()
}

fn state(text: &str, what: Bad) -> Result<KeyState, Bad> {
    KeyState::parse(text).ok_or(what)
}

pub(crate) fn key_id(row: &PgRow, column: usize) -> Result<KeyId, Bad> {
    KeyId::from_slice(uuid(row, column, "id")?.as_bytes()).map_err(|_| "id")
}

pub(crate) fn key(row: &PgRow) -> Result<Key, Bad> {
    Ok(Key {
        id: key_id(row, 0)?,
        owner: owner(row, 1)?,
        name: Name::from_stored(text(row, 3, "name")?).map_err(|_| "name")?,
        description: Description::from_stored(text(row, 4, "description")?).map_err(|_| "description")?,
        capabilities: CapabilitySet::parse(text(row, 5, "capabilities")?).map_err(|_| "capabilities")?,
        metadata: Metadata::from_stored(text(row, 6, "metadata")?).map_err(|_| "metadata")?,
        created_at: time(row, 7, "created_at")?,
        expires_at: optional_time(row, 8, "expires_at")?,
        last_used_at: optional_time(row, 9, "last_used_at")?,
        state: state(text(row, 10, "state")?, "state")?,
        expiry_latched: value(row, 11, "expiry_latched")?,
        revision: int(row, 12, "revision")?,
        limits: limits(row, 13, "limits")?,
    })
}

pub(crate) fn expiring_key(row: &PgRow) -> Result<ExpiringKey, Bad> {
    let expires_at = optional_timestamp(row, 3, "expires_at")?.ok_or("expires_at")?;
    Ok(ExpiringKey { id: key_id(row, 0)?, owner: owner(row, 1)?, expires_at })
}

fn limits(row: &PgRow, column: usize, what: Bad) -> Result<LimitChoice, Bad> {
    LimitChoice::from_stored(text(row, column, what)?).map_err(|_| what)
}

/// What can be read of the key with this id; its others are not counted yet.
pub(crate) fn remains(row: &PgRow, id: KeyId) -> Result<Remains, Bad> {
    Ok(Remains {
        id,
        owner: owner(row, 1)?,
        name: text(row, 3, "name").ok().and_then(|name| Name::from_stored(name).ok()),
        state: text(row, 10, "state").ok().and_then(KeyState::parse),
        revision: int(row, 12, "revision").ok(),
        others: 0,
        others_held: 0,
    })
}

/// Where a key's row stands in lists. An expiry that cannot be read is one that no page by expiry holds.
pub(crate) fn place(row: &PgRow) -> Result<Place, Bad> {
    Ok(Place { id: key_id(row, 0)?, expires_at: optional_time(row, 8, "expires_at").unwrap_or_default() })
}

/// An owner from two columns.
pub(crate) fn owner(row: &PgRow, first: usize) -> Result<Owner, Bad> {
    let organization = OrganizationId::from_stored(text(row, first, "org")?).map_err(|_| "org")?;
    let account = AccountId::from_stored(text(row, first + 1, "account")?).map_err(|_| "account")?;
    Ok(Owner { organization, account })
}

/// Where a secret's columns begin in a candidate's.
const CANDIDATE_SECRET: usize = 13;
/// What a candidate was asked for by: an id or a digest.
pub(crate) const CANDIDATE_ASKED: usize = 19;

/// `None` where there is no such key.
pub(crate) fn candidate(row: &PgRow) -> Result<Option<Candidate>, Bad> {
    if value::<Option<Uuid>>(row, 0, "id")?.is_none() {
        return Ok(None);
    }
    Ok(Some(Candidate {
        id: key_id(row, 0)?,
        owner: Arc::new(owner(row, 1)?),
        capabilities: CapabilitySet::parse(text(row, 3, "capabilities")?).map_err(|_| "capabilities")?,
        state: state(text(row, 4, "state")?, "state")?,
        expires_at: optional_timestamp(row, 5, "expires_at")?,
        expiry_latched: value(row, 6, "expiry_latched")?,
        revision: int(row, 7, "revision")?,
        // Neither makes up for the other: a row that is lost is corrupt, whatever the other tells.
        owner_open: value::<bool>(row, 8, "open")? & value::<bool>(row, 9, "open")?,
        limits: CandidateLimits::unless_default(
            limits(row, 10, "limits")?,
            limits(row, 11, "request_limits")?,
            active_limit(row, 12)?,
        ),
        secrets: Secrets::one(candidate_secret(row)?),
    }))
}

pub(crate) fn candidate_secret(row: &PgRow) -> Result<SecretRecord, Bad> {
    secret(row, CANDIDATE_SECRET)
}

pub(crate) fn secret(row: &PgRow, first: usize) -> Result<SecretRecord, Bad> {
    let digest = value::<&[u8]>(row, first, "digest")?.try_into().map_err(|_| "digest")?;
    let scheme = match text(row, first + 1, "scheme")? {
        "sha256" => Scheme::Sha256,
        "hmac-sha256" => Scheme::HmacSha256 { pepper: int(row, first + 2, "pepper")? },
        name @ ("argon2id" | "argon2id-imported") => Scheme::Argon2id {
            imported: name == "argon2id-imported",
            cost: Argon2Cost::from_stored(text(row, first + 3, "argon2_cost")?).map_err(|_| "argon2_cost")?,
            salt: value::<&[u8]>(row, first + 4, "argon2_salt")?.try_into().map_err(|_| "argon2_salt")?,
        },
        _ => return Err("scheme"),
    };
    Ok(SecretRecord {
        digest: Digest::from_bytes(digest),
        scheme,
        valid_until: optional_timestamp(row, first + 5, "valid_until")?,
    })
}

/// A scheme's columns: name, pepper, cost, salt.
pub(crate) fn scheme_columns(scheme: &Scheme) -> (&'static str, Option<i64>, Option<String>, Option<Vec<u8>>) {
    let (pepper, cost, salt) = match scheme {
        Scheme::Sha256 => (None, None, None),
        Scheme::HmacSha256 { pepper } => (Some(i64::from(*pepper)), None, None),
        Scheme::Argon2id { cost, salt, .. } => (None, Some(cost.to_stored()), Some(salt.to_vec())),
    };
    (scheme.name(), pepper, cost, salt)
}

fn active_limit(row: &PgRow, column: usize) -> Result<Option<ActiveLimit>, Bad> {
    let stored = optional_int(row, column, "active_limit")?;
    stored.map(|stored| ActiveLimit::from_stored(stored).ok_or("active_limit")).transpose()
}

/// An owner's day of creations, as it is stored.
pub(crate) fn creation_day(record: &OwnerRecord) -> Option<i64> {
    record.creation_day.map(|day| i64::from(day.to_epoch_days()))
}

/// An owner's row, and which generation of it: what goes by another one is out of date, however alike they are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct OwnerRow {
    pub(crate) record: OwnerRecord,
    pub(crate) generation: i64,
}

impl OwnerRow {
    /// With its generation in this column.
    pub(crate) fn of(row: &PgRow, generation: usize) -> Result<Self, Bad> {
        Ok(Self { record: owner_record(row)?, generation: value(row, generation, "generation")? })
    }
}

pub(crate) fn owner_record(row: &PgRow) -> Result<OwnerRecord, Bad> {
    Ok(OwnerRecord {
        owner: owner(row, 0)?,
        open: value(row, 2, "open")?,
        held: int(row, 3, "held")?,
        records: int(row, 4, "records")?,
        limit: active_limit(row, 5)?,
        request_limits: limits(row, 8, "request_limits")?,
        creation_day: optional_int::<i32>(row, 6, "creation_day")?
            .map(|day| NaiveDate::from_epoch_days(day).ok_or("creation_day"))
            .transpose()?,
        creations: int(row, 7, "creations")?,
    })
}

pub(crate) fn event(row: &PgRow) -> Result<AuditEvent, Bad> {
    let state_at = |column, what| optional_text(row, column, what)?.map(|text| state(text, what)).transpose();
    let key = match value::<Option<Uuid>>(row, 8, "key_id")? {
        None => None,
        Some(_) => Some(AuditedKey {
            id: key_id(row, 8)?,
            name: Name::from_stored(text(row, 9, "key_name")?).map_err(|_| "key_name")?,
            from: state_at(10, "from_state")?,
            to: state_at(11, "to_state")?,
        }),
    };
    Ok(AuditEvent {
        id: AuditId::from_slice(uuid(row, 0, "id")?.as_bytes()).map_err(|_| "id")?,
        operation: OperationId::from_slice(uuid(row, 1, "operation")?.as_bytes()).map_err(|_| "operation")?,
        at: time(row, 2, "at")?,
        actor: Actor::from_stored(text(row, 3, "actor")?).map_err(|_| "actor")?,
        reason: Reason::from_stored(text(row, 4, "reason")?).map_err(|_| "reason")?,
        action: Action::parse(text(row, 5, "action")?).ok_or("action")?,
        organization: OrganizationId::from_stored(text(row, 6, "org")?).map_err(|_| "org")?,
        account: optional_text(row, 7, "account")?.map(AccountId::from_stored).transpose().map_err(|_| "account")?,
        key,
        changed: value(row, 12, "changed")?,
        detail: text(row, 13, "detail")?.to_owned(),
        arguments: Arguments::from_bytes(value::<&[u8]>(row, 14, "arguments")?.try_into().map_err(|_| "arguments")?),
    })
}

pub(crate) fn micros(time: Option<DateTime<Utc>>) -> Option<i64> {
    time.map(|time| time.timestamp_micros())
}

/// Postgres's integers are signed; the core gives no larger ones.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// How many rows a statement may give, or change, at most.
pub(crate) fn rows_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
