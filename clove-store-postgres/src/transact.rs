//! A transaction: what it reads, held until its end, and what it writes.

use crate::{
    create::Creations,
    error::Failure,
    read::{corrupt, key_within, open_flag, readable, scope_columns, state_names},
    rows::{self, Bad, OwnerRow, rows_of},
    session::{Kind, Session, Tx},
    write,
};
use chrono::{DateTime, Utc};
use clove_core::{
    KeyId, KeyState, Owner, Scope, StoreError,
    error::CorruptRow,
    store::{Changes, Decision, Facts, OwnerRecord, Reads, SecretRecord, StoredKey, Transaction},
};
use sqlx::postgres::PgRow;
use std::collections::{BTreeSet, HashMap};

/// Reads, decides, writes, as one.
pub(crate) async fn transact(
    session: &Session,
    creations: &Creations,
    transaction: &Transaction,
) -> Result<Decision, StoreError> {
    if let Some(created) = creations.try_to_create(transaction).await? {
        return Ok(created);
    }
    let (decision, generation) = session.attempts(|| attempt(session, transaction)).await?;
    if let (Decision::Commit(changes), Some(generation)) = (&decision, generation) {
        changes.owners.iter().cloned().for_each(|record| creations.remember(OwnerRow { record, generation }));
    }
    Ok(decision)
}

/// The decision; and where it is about one owner, the generation of that one's row.
async fn attempt(session: &Session, transaction: &Transaction) -> Result<(Decision, Option<i64>), Failure> {
    let mut tx = session.begin(Kind::Durable).await?;
    let (facts, claims, generation) = facts(&mut tx, transaction).await?;
    let decision = transaction.decide(&facts);
    match &decision {
        Decision::Commit(changes) => {
            claims.give_up_unused(&mut tx, changes).await?;
            // One that stays as it is, is held together with others: to write it would have to wait for them.
            let organization = changes.organization.as_ref().filter(|record| facts.organization.as_ref() != Some(*record));
            write::changes(&mut tx, organization, changes).await?;
            tx.commit().await?;
        }
        // An earlier run, which was sent as one statement and given up before the server saw it, may arrive after this was told: it goes by
        // the row as it was until now, or by none. Where the server loses this with its memory, it loses what is on its way as well.
        Decision::Refuse(_) if let (false, Reads::Owner { owner, .. }) = (transaction.is_first(), &transaction.reads) => {
            tx.be_buffered().await?;
            // Of an owner that had no row, one with nothing in it stays; but where its organization has none either, by which a statement of a
            // creation writes nothing.
            if facts.organization.is_none() {
                claims.give_up_unused(&mut tx, &Changes::default()).await?;
            }
            let moves = tx.query(&tx.sql().move_owner).bind(owner.organization.as_str()).bind(owner.account.as_str());
            tx.execute(moves).await?;
            tx.commit().await?;
        }
        _ => tx.rollback().await?,
    }
    Ok((decision, generation))
}

/// Rows that were written only to be held, since there were none: nobody else sees them before the commit.
#[derive(Default)]
struct Claims {
    organization: Option<String>,
    owner: Option<Owner>,
}

impl Claims {
    async fn give_up_unused(self, tx: &mut Tx<'_>, changes: &Changes) -> Result<(), Failure> {
        let sql = tx.sql();
        if let Some(organization) = self.organization.filter(|_| changes.organization.is_none()) {
            tx.execute(tx.query(&sql.unclaim_organization).bind(organization)).await?;
        }
        let is_written = |owner: &Owner| {
            changes.owners.iter().any(|record| record.owner == *owner)
                || changes.owner_flag.as_ref().is_some_and(|(flagged, _)| flagged == owner)
        };
        if let Some(owner) = self.owner.filter(|owner| !is_written(owner)) {
            let unclaim = tx.query(&sql.unclaim_owner).bind(owner.organization.as_str().to_owned());
            tx.execute(unclaim.bind(owner.account.as_str().to_owned())).await?;
        }
        Ok(())
    }
}

async fn facts(tx: &mut Tx<'_>, transaction: &Transaction) -> Result<(Facts, Claims, Option<i64>), Failure> {
    let (mut facts, mut claims, mut generation) = (Facts::default(), Claims::default(), None);
    match &transaction.reads {
        Reads::Owner { owner, expired_at } => {
            generation = Some(add_owner(tx, &mut facts, &mut claims, owner, *expired_at).await?);
        }
        Reads::Budget { scope, unit } => facts.budget = unless_corrupt(crate::budgets::chosen_and_held(tx, scope, unit).await)?,
        Reads::Flag(scope) => facts.flag = open_flag(tx, scope).await?,
        Reads::Key { scope, id, expired_at } => {
            if let Some(owner) = owner_of(tx, scope, *id).await? {
                generation = Some(add_owner(tx, &mut facts, &mut claims, &owner, *expired_at).await?);
                facts.keys.extend(stored_key(tx, scope, *id).await?);
            }
        }
        Reads::Remains { scope, id } => {
            if let Some(owner) = owner_of(tx, scope, *id).await? {
                let record = unless_corrupt(held_owner(tx, &owner).await)?;
                facts.owners.extend(record.flatten().map(|row| row.record));
                facts.remains = crate::read::remains(tx, scope, *id).await?;
            }
        }
        Reads::Batch { scope, states, after, limit } => add_batch(tx, &mut facts, scope, states, *after, *limit).await?,
    }
    // Read last: whoever held these rows before has written it by now.
    let replayed = tx.row(tx.query(&tx.sql().event_by_operation).bind(transaction.operation.as_uuid())).await?;
    facts.replayed = replayed.map(|row| rows::event(&row)).transpose().map_err(corrupt(CorruptRow::AuditEvent))?;
    Ok((facts, claims, generation))
}

/// Whose key it is, which never changes, if it lies within the scope.
async fn owner_of(tx: &mut Tx<'_>, scope: &Scope, id: KeyId) -> Result<Option<Owner>, Failure> {
    let found = key_within(tx.row(tx.query(&tx.sql().key_by_id).bind(id.as_uuid())).await?, scope);
    Ok(found.map(|row| rows::owner(&row, 1)).transpose().map_err(corrupt(CorruptRow::Key(id)))?)
}

/// The key and its secrets, held.
async fn stored_key(tx: &mut Tx<'_>, scope: &Scope, id: KeyId) -> Result<Option<StoredKey>, Failure> {
    let Some(row) = key_within(tx.row(tx.query(&tx.sql().lock_key).bind(id.as_uuid())).await?, scope) else { return Ok(None) };
    let key = rows::key(&row).map_err(corrupt(CorruptRow::Key(id)))?;
    let mut secrets = secrets_of(tx, &[id]).await?;
    let secrets = secrets.remove(&id).unwrap_or(Ok(Vec::new())).map_err(corrupt(CorruptRow::Key(id)))?;
    Ok(Some(StoredKey { key, secrets }))
}

pub(crate) type SecretsOfKeys = HashMap<KeyId, Result<Vec<SecretRecord>, Bad>>;

/// Each key's secrets, the current one first.
pub(crate) async fn secrets_of(tx: &mut Tx<'_>, ids: &[KeyId]) -> Result<SecretsOfKeys, Failure> {
    let uuids: Vec<_> = ids.iter().map(KeyId::as_uuid).collect();
    let mut secrets = SecretsOfKeys::new();
    for row in tx.rows(tx.query(&tx.sql().secrets_of_keys).bind(uuids)).await? {
        let Ok(key) = rows::key_id(&row, 6) else { continue };
        let of_key = secrets.entry(key).or_insert_with(|| Ok(Vec::new()));
        match (of_key.as_mut(), rows::secret(&row, 0)) {
            (Ok(of_key), Ok(secret)) => of_key.push(secret),
            (Ok(_), Err(bad)) => *of_key = Err(bad),
            (Err(_), _) => {}
        }
    }
    for of_key in secrets.values_mut().flatten() {
        of_key.sort_by_key(|secret| secret.valid_until.is_some());
    }
    Ok(secrets)
}

async fn held_owner(tx: &mut Tx<'_>, owner: &Owner) -> Result<Option<OwnerRow>, Failure> {
    let lock = tx.query(&tx.sql().lock_owner).bind(owner.organization.as_str().to_owned());
    let found = tx.row(lock.bind(owner.account.as_str().to_owned())).await?;
    Ok(found.map(|row| OwnerRow::of(&row, 9)).transpose().map_err(corrupt(CorruptRow::Owner))?)
}

/// The rows of the owner and its organization, held; the generation of the owner's. Rows that are not there yet are facts too, and are
/// held as well, unless there are keys already: they are lost then.
async fn add_owner(
    tx: &mut Tx<'_>,
    facts: &mut Facts,
    claims: &mut Claims,
    owner: &Owner,
    expired_at: Option<DateTime<Utc>>,
) -> Result<i64, Failure> {
    let sql = tx.sql();
    let (organization, account) = (owner.organization.as_str().to_owned(), owner.account.as_str().to_owned());
    let mut row = tx.row(tx.query(&sql.share_organization).bind(organization.clone())).await?;
    if row.is_none() {
        if tx.execute(tx.query(&sql.claim_organization).bind(organization.clone())).await? == 1 {
            claims.organization = Some(organization.clone());
        } else {
            row = tx.row(tx.query(&sql.share_organization).bind(organization.clone())).await?;
        }
    }
    facts.organization = row.map(|row| crate::read::organization_record(&row, &owner.organization)).transpose()?;
    if facts.organization.is_none() {
        let key = tx.row(tx.query(&sql.key_of_organization).bind(organization.clone())).await?;
        unless_lost(key.as_ref(), CorruptRow::Organization)?;
    }
    let mut row = held_owner(tx, owner).await?;
    if row.is_none() {
        if tx.execute(tx.query(&sql.claim_owner).bind(organization.clone()).bind(account.clone())).await? == 1 {
            claims.owner = Some(owner.clone());
        } else {
            row = held_owner(tx, owner).await?;
        }
    }
    let generation = row.as_ref().map_or(0, |row| row.generation);
    facts.owners.extend(row.map(|row| row.record));
    if facts.owners.is_empty() {
        let key = tx.row(tx.query(&sql.key_of_owner).bind(organization.clone()).bind(account.clone())).await?;
        unless_lost(key.as_ref(), CorruptRow::Owner)?;
    }
    if let Some(now) = expired_at {
        let expired = tx.query(&sql.expired_places).bind(organization).bind(account).bind(now.timestamp_micros());
        facts.expired = readable(&tx.rows(expired).await?, rows::key);
    }
    Ok(generation)
}

/// A key whose owner or organization has no row: it is lost.
fn unless_lost(key: Option<&PgRow>, row: CorruptRow) -> Result<(), StoreError> {
    match key {
        None => Ok(()),
        Some(_) => Err(StoreError::Corrupt { row, what: "there are keys, and no row" }),
    }
}

fn unless_corrupt<T>(read: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match read {
        Err(Failure::Store(StoreError::Corrupt { .. })) => Ok(None),
        other => other.map(Some),
    }
}

/// A key that cannot be read, or whose secrets or owner cannot, is passed over and takes no place of another; the first such
/// is named.
async fn add_batch(
    tx: &mut Tx<'_>,
    facts: &mut Facts,
    scope: &Scope,
    states: &[KeyState],
    after: Option<KeyId>,
    limit: usize,
) -> Result<(), Failure> {
    facts.flag = open_flag(tx, scope).await?;
    let mut held = HeldOwners::new();
    let mut after = after.map_or(uuid::Uuid::nil(), |id| id.as_uuid());
    while facts.keys.len() < limit {
        let wanted = limit - facts.keys.len();
        let found = held_batch(tx, scope, states, after, wanted, &mut held).await?;
        let ids: Vec<_> = found.iter().filter_map(|row| rows::key_id(row, 0).ok()).collect();
        let mut secrets = secrets_of(tx, &ids).await?;
        for row in &found {
            let owner = held.get(rows::text(row, 2, "account").unwrap_or_default());
            match (stored(row, &mut secrets), owner) {
                (Some(stored), Some(Ok(record))) => {
                    if let Some(record) = record.as_ref().filter(|record| !facts.owners.contains(record)) {
                        facts.owners.push(record.clone());
                    }
                    facts.keys.push(stored);
                }
                // One without a readable id is found by no look-up, and granted to nobody.
                _ => facts.passed_over = facts.passed_over.or_else(|| rows::key_id(row, 0).ok()),
            }
        }
        match found.last().and_then(|row| rows::uuid(row, 0, "id").ok()).filter(|_| found.len() == wanted) {
            Some(last) => after = last,
            None => break,
        }
    }
    Ok(())
}

fn stored(row: &PgRow, secrets: &mut SecretsOfKeys) -> Option<StoredKey> {
    let key = rows::key(row).ok()?;
    let secrets = secrets.remove(&key.id).unwrap_or(Ok(Vec::new())).ok()?;
    Some(StoredKey { key, secrets })
}

/// Owners' rows by account, as far as there are any.
type HeldOwners = HashMap<String, Result<Option<OwnerRecord>, Bad>>;

/// The rows of a batch, whose owners are held.
async fn held_batch(
    tx: &mut Tx<'_>,
    scope: &Scope,
    states: &[KeyState],
    after: uuid::Uuid,
    limit: usize,
    held: &mut HeldOwners,
) -> Result<Vec<PgRow>, Failure> {
    let sql = tx.sql();
    let (organization, account) = scope_columns(scope);
    loop {
        let text = if account.is_some() { &sql.batch_of_owner } else { &sql.batch_of_organization };
        let batch = tx.query(text).bind(organization.to_owned()).bind(account.map(str::to_owned)).bind(state_names(states));
        let found = tx.rows(batch.bind(after).bind(rows_of(limit))).await?;
        let accounts = found.iter().filter_map(|row| rows::text(row, 2, "account").ok());
        let missing: BTreeSet<_> = accounts.filter(|account| !held.contains_key(*account)).map(str::to_owned).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let missing: Vec<String> = missing.into_iter().collect();
        let owners = tx.rows(tx.query(&sql.lock_owners).bind(organization.to_owned()).bind(missing.clone())).await?;
        held.extend(missing.into_iter().map(|account| (account, Ok(None))));
        for row in &owners {
            if let Ok(account) = rows::text(row, 1, "account") {
                held.insert(account.to_owned(), rows::owner_record(row).map(Some));
            }
        }
        // What they held may have changed the keys until now.
    }
}
