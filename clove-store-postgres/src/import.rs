//! Rows from another store.

use crate::{
    access,
    budgets::columns,
    error::Failure,
    export::read,
    rows::signed,
    session::{Kind, Session, Tx},
    write::{self, column, put_owners},
};
use clove_core::{
    Scope, StoreError,
    error::Unique,
    store::{Changes, CopyPart, CopyPlace, CopyRow, EpochShard, KeyChange},
};
use std::collections::BTreeMap;

/// How many rows that may be there already are read at a time.
const SLICE: usize = 1024;

/// Writes those that are not there yet; one that is there and differs, or cannot be read, is a conflict.
pub(crate) async fn write(session: &Session, rows: &[CopyRow]) -> Result<usize, StoreError> {
    session
        .attempts(|| async {
            let mut tx = session.begin(Kind::Durable).await?;
            let new = unknown(&mut tx, rows).await?;
            if new.is_empty() {
                tx.rollback().await?;
                return Ok(0);
            }
            for part in new.chunk_by(|one, other| one.part() == other.part()) {
                let written = insert(&mut tx, part).await?;
                if written != u64::try_from(part.len()).unwrap_or(u64::MAX) {
                    // Another session has come in between: what is there now is to be compared.
                    let what = "writing rows of another store: others write them too";
                    return Err(Failure::Again(StoreError::Unavailable { what, source: None }));
                }
            }
            if new.iter().any(|row| row.is_remembered()) {
                let outdates = [EpochShard::EVERYONE].into();
                write::changes(&mut tx, None, &Changes { outdates, ..Changes::default() }).await?;
            }
            tx.commit().await.map(|()| new.len())
        })
        .await
}

/// Those that are not there, ascending by part and place.
async fn unknown<'r>(tx: &mut Tx<'_>, rows: &'r [CopyRow]) -> Result<Vec<&'r CopyRow>, Failure> {
    let differs = || Failure::Store(StoreError::Conflict(Unique::Row));
    let mut new: BTreeMap<(CopyPart, CopyPlace), &CopyRow> = BTreeMap::new();
    for row in rows {
        let other = new.insert((row.part(), row.place()), row);
        if other.is_some_and(|other| other != row) {
            return Err(differs());
        }
    }
    for part in CopyPart::ALL {
        let mut places = new.keys().filter(|(of, _)| *of == part).map(|(_, place)| place.clone());
        let Some(mut from) = places.next() else { continue };
        let last = places.next_back().unwrap_or_else(|| from.clone());
        loop {
            let page = read(tx, part, Some(&from), SLICE, |_| true).await?;
            if page.unreadable.iter().any(|row| new.contains_key(&(part, row.place.clone()))) {
                return Err(differs());
            }
            for there in &page.rows {
                match new.remove(&(part, there.place())) {
                    Some(row) if row != there => return Err(differs()),
                    _ => {}
                }
            }
            match page.last {
                Some(next) if page.more && next < last => from = next,
                _ => break,
            }
        }
    }
    Ok(new.into_values().collect())
}

/// Writes rows of one part that are not there; how many were written.
async fn insert(tx: &mut Tx<'_>, rows: &[&CopyRow]) -> Result<u64, Failure> {
    let Some(first) = rows.first() else { return Ok(0) };
    macro_rules! of {
        ($variant:ident) => {
            rows.iter().filter_map(|row| if let CopyRow::$variant(row) = row { Some(row) } else { None }).collect::<Vec<_>>()
        };
    }
    let sql = tx.sql();
    match first.part() {
        CopyPart::Organizations => {
            let rows = of!(Organization);
            let query = tx.query(&sql.import_organizations).bind(column(&rows, |row| row.id.as_str()));
            tx.execute(query.bind(column(&rows, |row| row.open))).await
        }
        CopyPart::Owners => {
            let rows: Vec<_> = of!(Owner).into_iter().cloned().collect();
            put_owners(tx, &sql.import_owners, &rows).await
        }
        CopyPart::Keys => {
            let keys = of!(Key).into_iter().cloned().map(KeyChange::Insert).collect();
            return inserted(tx, rows.len(), Changes { keys, ..Changes::default() }).await;
        }
        CopyPart::Audit => {
            let events = of!(Event).into_iter().cloned().collect();
            return inserted(tx, rows.len(), Changes { events, ..Changes::default() }).await;
        }
        CopyPart::Sums => {
            let rows = of!(Sum);
            let holders = column(&rows, |row| columns(&row.holder));
            let query = tx
                .query(&sql.import_sums)
                .bind(column(&holders, |holder| holder.0))
                .bind(column(&holders, |holder| holder.1 as i64))
                .bind(column(&holders, |holder| holder.2))
                .bind(column(&holders, |holder| holder.3))
                .bind(column(&rows, |row| row.unit.as_str()))
                .bind(column(&rows, |row| i64::from(row.day.epoch_days())))
                .bind(column(&rows, |row| signed(row.sums.used)))
                .bind(column(&rows, |row| signed(row.sums.reserved)));
            tx.execute(query).await
        }
        CopyPart::Reports => {
            let rows = of!(Report);
            let query = tx
                .query(&sql.import_reports)
                .bind(column(&rows, |row| row.grant.as_uuid()))
                .bind(column(&rows, |row| row.unit.as_str()))
                .bind(column(&rows, |row| signed(row.known.total)))
                .bind(column(&rows, |row| signed(row.known.reserved)))
                .bind(column(&rows, |row| i64::from(row.day.epoch_days())));
            tx.execute(query).await
        }
        CopyPart::Recorders => {
            let rows = of!(Recorder);
            let query = tx
                .query(&sql.import_recorders)
                .bind(column(&rows, |row| row.node.as_uuid()))
                .bind(column(&rows, |row| signed(row.sequence)))
                .bind(column(&rows, |row| i64::from(row.day.epoch_days())));
            tx.execute(query).await
        }
        CopyPart::Budgets => {
            let rows = of!(Budget);
            let scope = |scope: &Scope| {
                let (organization, account) = crate::read::scope_columns(scope);
                (organization.to_owned(), account.unwrap_or_default().to_owned())
            };
            let query = tx
                .query(&sql.import_budgets)
                .bind(column(&rows, |row| scope(&row.scope).0))
                .bind(column(&rows, |row| scope(&row.scope).1))
                .bind(column(&rows, |row| row.unit.as_str()))
                .bind(column(&rows, |row| row.choice.to_stored()));
            tx.execute(query).await
        }
        CopyPart::Counts => {
            let rows = of!(Count);
            let query = tx
                .query(&sql.import_counts)
                .bind(column(&rows, |row| row.subject.to_bytes()))
                .bind(column(&rows, |row| i64::from(row.seconds)))
                .bind(column(&rows, |row| row.start.as_micros()))
                .bind(column(&rows, |row| signed(row.places)))
                .bind(column(&rows, |row| row.ends_micros()));
            tx.execute(query).await
        }
        CopyPart::Access => {
            let rows: Vec<_> = of!(Access).into_iter().cloned().collect();
            tx.execute(access::addition(tx.session(), &rows)).await
        }
        CopyPart::Unrecognized => {
            let rows = of!(Unrecognized);
            let query = tx
                .query(&sql.import_unrecognized)
                .bind(column(&rows, |row| row.hour.as_micros()))
                .bind(column(&rows, |row| row.node.as_uuid()))
                .bind(column(&rows, |row| signed(row.count)));
            tx.execute(query).await
        }
    }
}

/// Writes as a command does. What another session has written meanwhile is looked at again: it may be the same.
async fn inserted(tx: &mut Tx<'_>, rows: usize, changes: Changes) -> Result<u64, Failure> {
    match write::changes(tx, None, &changes).await {
        Ok(()) => Ok(u64::try_from(rows).unwrap_or(u64::MAX)),
        Err(Failure::Store(StoreError::Conflict(unique))) if unique != Unique::Digest => {
            Err(Failure::Again(StoreError::Conflict(unique)))
        }
        Err(failure) => Err(failure),
    }
}
