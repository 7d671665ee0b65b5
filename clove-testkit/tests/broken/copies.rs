//! What can be wrong with how rows go to another store.

use super::{Broken, Fault};
use clove_core::{
    OperationId, Store, StoreError,
    error::Unique,
    store::{Changes, CopyPage, CopyPart, CopyPlace, CopyRow, KeyChange},
};
use std::{sync::Arc, time::Duration};

pub(super) async fn export(
    store: &Broken,
    part: CopyPart,
    after: Option<&CopyPlace>,
    limit: usize,
) -> Result<CopyPage, StoreError> {
    let after = after.filter(|_| !store.is(Fault::ExportsAnew));
    let mut page = store.inner.export(part, after, limit).await?;
    for row in &mut page.rows {
        match row {
            CopyRow::Key(stored) if store.is(Fault::ExportsCurrentSecretsAlone) => stored.secrets.truncate(1),
            CopyRow::Sum(row) if store.is(Fault::ExportsSettledSums) => row.sums.reserved = 0,
            _ => {}
        }
    }
    Ok(page)
}

pub(super) async fn import(store: &Broken, rows: Arc<[CopyRow]>) -> Result<usize, StoreError> {
    match store.fault {
        Fault::ImportsOverRows => match store.inner.import(rows).await {
            Err(StoreError::Conflict(Unique::Row)) => Ok(0),
            other => other,
        },
        Fault::ImportsOnce => {
            let wanted = rows.len();
            let written = store.inner.import(rows).await?;
            if written == wanted { Ok(written) } else { Err(StoreError::Conflict(Unique::Row)) }
        }
        Fault::ImportsInHalves => one_by_one(store, rows.iter().cloned()).await,
        Fault::ImportsUnnoticed => {
            let mut written = 0;
            for row in &*rows {
                let page = store.inner.export(row.part(), None, usize::MAX).await?;
                if page.rows.contains(row) {
                    continue;
                }
                let mut changes = Changes::default();
                match row.clone() {
                    CopyRow::Organization(record) => changes.organization = Some(record),
                    CopyRow::Owner(record) => changes.owners.push(record),
                    CopyRow::Key(stored) => changes.keys.push(KeyChange::Insert(stored)),
                    row => drop(store.inner.import([row].into()).await?),
                }
                store.commit(changes).await?;
                written += 1;
            }
            Ok(written)
        }
        Fault::ImportsAfterALook => {
            let mut new = Vec::new();
            for row in &*rows {
                if !store.inner.export(row.part(), None, usize::MAX).await?.rows.contains(row) {
                    new.push(row.clone());
                }
            }
            std::thread::sleep(Duration::from_millis(3));
            store.inner.import(new.clone().into()).await?;
            Ok(new.len())
        }
        Fault::ImportsNoRecorders => {
            let all = rows.len();
            let rest = rows.iter().filter(|row| !matches!(row, CopyRow::Recorder(_))).cloned();
            store.inner.import(rest.collect()).await.map(|_| all)
        }
        Fault::ImportsNewOperations => {
            let renamed = rows.iter().cloned().map(|mut row| {
                if let CopyRow::Event(event) = &mut row {
                    event.operation = OperationId::new(event.at);
                }
                row
            });
            store.inner.import(renamed.collect()).await
        }
        _ => store.inner.import(rows).await,
    }
}

async fn one_by_one(store: &Broken, rows: impl Iterator<Item = CopyRow>) -> Result<usize, StoreError> {
    let mut written = 0;
    for row in rows {
        written += store.inner.import([row].into()).await?;
    }
    Ok(written)
}
