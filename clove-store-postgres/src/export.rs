//! Rows for another store.

use crate::{
    access,
    error::Failure,
    rows::{self, Bad, rows_of},
    session::{Kind, Session, Statement, Tx},
    sql::Statements,
    transact::{SecretsOfKeys, secrets_of},
};
use clove_core::{
    AccountId, GrantId, OrganizationId, Owner, Scope, StoreError, Timestamp, Unit,
    budget::{BudgetChoice, Holder},
    id::NodeId,
    limit::Subject,
    store::{
        BudgetRow, BudgetSums, CopyPage, CopyPart, CopyPlace, CopyRow, CountRow, OrganizationRecord, PlaceValue, RecorderRow,
        ReportRow, Reported, StoredKey, SumRow, UnrecognizedCount,
    },
    usage::Day,
};
use sqlx::{SqlStr, postgres::PgRow};
use uuid::Uuid;

/// What a row's key is made of; its columns come first.
#[derive(Clone, Copy)]
enum Column {
    Number,
    Text,
    Id,
    Bytes,
}

/// The statement of a part, and the columns of its key.
fn statement(sql: &Statements, part: CopyPart) -> (&SqlStr, &'static [Column]) {
    use Column::{Bytes, Id, Number, Text};
    match part {
        CopyPart::Organizations => (&sql.export_organizations, &[Text]),
        CopyPart::Owners => (&sql.export_owners, &[Text, Text]),
        CopyPart::Keys => (&sql.export_keys, &[Id]),
        CopyPart::Audit => (&sql.export_audit, &[Id]),
        CopyPart::Sums => (&sql.export_sums, &[Text, Number, Text, Id, Text, Number]),
        CopyPart::Reports => (&sql.export_reports, &[Id, Text]),
        CopyPart::Recorders => (&sql.export_recorders, &[Id]),
        CopyPart::Budgets => (&sql.export_budgets, &[Text, Text, Text]),
        CopyPart::Counts => (&sql.export_counts, &[Bytes, Number, Number]),
        CopyPart::Access => (&sql.export_access, &[Id]),
        CopyPart::Unrecognized => (&sql.export_unrecognized, &[Number, Id]),
    }
}

pub(crate) async fn page(
    session: &Session,
    part: CopyPart,
    after: Option<&CopyPlace>,
    limit: usize,
) -> Result<CopyPage, StoreError> {
    session
        .attempts(|| async {
            // Keys and their secrets are of one moment.
            let mut tx = session.begin(Kind::Snapshot).await?;
            let page = read(&mut tx, part, after, limit, |place| after != Some(place)).await?;
            tx.commit().await.map(|()| page)
        })
        .await
}

/// Rows from a place on.
pub(crate) async fn read(
    tx: &mut Tx<'_>,
    part: CopyPart,
    from: Option<&CopyPlace>,
    limit: usize,
    is_wanted: impl Fn(&CopyPlace) -> bool,
) -> Result<CopyPage, Failure> {
    let (sql, key) = statement(tx.sql(), part);
    let mut query = tx.query(sql);
    for (place, column) in key.iter().enumerate() {
        query = bind(query, *column, from.and_then(|from| from.0.get(place)));
    }
    // One that is not wanted, and one that tells whether there are more.
    let found = tx.rows(query.bind(rows_of(limit.saturating_add(2)))).await?;
    let mut secrets = match part {
        CopyPart::Keys => {
            let ids: Vec<_> = found.iter().filter_map(|row| rows::key_id(row, 0).ok()).collect();
            secrets_of(tx, &ids).await?
        }
        _ => SecretsOfKeys::new(),
    };
    let mut page = CopyPage::default();
    for row in &found {
        let place = place(row, key)?;
        if !is_wanted(&place) {
            continue;
        }
        if page.looked_at() == limit {
            page.more = true;
            break;
        }
        page.add(place, copied(row, part, &mut secrets));
    }
    Ok(page)
}

/// Without a value, what is below all others.
fn bind<'q>(query: Statement<'q>, column: Column, value: Option<&PlaceValue>) -> Statement<'q> {
    let bytes = match value {
        Some(PlaceValue::Text(bytes) | PlaceValue::Bytes(bytes)) => bytes.clone(),
        _ => Vec::new(),
    };
    match column {
        Column::Number => query.bind(match value {
            Some(PlaceValue::Number(number)) => *number,
            _ => i64::MIN,
        }),
        Column::Text => query.bind(String::from_utf8_lossy(&bytes).into_owned()),
        Column::Id => query.bind(Uuid::from_slice(&bytes).unwrap_or_default()),
        Column::Bytes => query.bind(bytes),
    }
}

/// A row's key, whatever it holds. A sum that is of no key has no id, as in other stores.
fn place(row: &PgRow, columns: &[Column]) -> Result<CopyPlace, StoreError> {
    let value = |(place, column): (usize, &Column)| {
        Ok(match column {
            Column::Number => PlaceValue::Number(rows::value(row, place, "number")?),
            Column::Text => PlaceValue::Text(rows::text(row, place, "text")?.into()),
            Column::Id => {
                let id = rows::uuid(row, place, "id")?;
                PlaceValue::Bytes(if id.is_nil() { Vec::new() } else { id.as_bytes().to_vec() })
            }
            Column::Bytes => PlaceValue::Bytes(rows::value::<&[u8]>(row, place, "bytes")?.into()),
        })
    };
    let values: Result<_, Bad> = columns.iter().enumerate().map(value).collect();
    values.map(CopyPlace).map_err(|_| StoreError::Unavailable { what: "reading a row's key", source: None })
}

fn copied(row: &PgRow, part: CopyPart, secrets: &mut SecretsOfKeys) -> Result<CopyRow, Bad> {
    Ok(match part {
        CopyPart::Organizations => {
            let open = rows::value(row, 1, "open")?;
            CopyRow::Organization(OrganizationRecord { id: organization_id(row)?, open })
        }
        CopyPart::Owners => CopyRow::Owner(rows::owner_record(row)?),
        CopyPart::Keys => {
            let key = rows::key(row)?;
            let secrets = secrets.remove(&key.id).unwrap_or_else(|| Ok(Vec::new()))?;
            // One without a secret could never be verified; of more than two, none is the current one.
            if !(1..=2).contains(&secrets.len()) {
                return Err("the number of its secrets");
            }
            CopyRow::Key(StoredKey { key, secrets })
        }
        CopyPart::Audit => CopyRow::Event(rows::event(row)?),
        CopyPart::Sums => CopyRow::Sum(sum(row)?),
        CopyPart::Reports => CopyRow::Report(ReportRow {
            grant: GrantId::from_slice(rows::uuid(row, 0, "grant_id")?.as_bytes()).map_err(|_| "grant_id")?,
            unit: unit(row, 1)?,
            known: Reported { total: rows::int(row, 2, "total")?, reserved: rows::int(row, 3, "reserved")? },
            day: day(row, 4)?,
        }),
        CopyPart::Recorders => {
            let sequence = rows::int(row, 1, "sequence")?;
            CopyRow::Recorder(RecorderRow { node: node(row, 0)?, sequence, day: day(row, 2)? })
        }
        CopyPart::Budgets => {
            let scope = match rows::text(row, 1, "account")? {
                "" => Scope::Organization(organization_id(row)?),
                _ => Scope::Owner(rows::owner(row, 0)?),
            };
            let choice = BudgetChoice::from_stored(rows::text(row, 3, "choice")?).map_err(|_| "choice")?;
            CopyRow::Budget(BudgetRow { scope, unit: unit(row, 2)?, choice })
        }
        CopyPart::Counts => CopyRow::Count(CountRow {
            subject: Subject::from_bytes(rows::value(row, 0, "subject")?).ok_or("subject")?,
            seconds: rows::int(row, 1, "seconds")?,
            start: Timestamp::from_micros(rows::int(row, 2, "start")?).ok_or("start")?,
            places: rows::int(row, 3, "places")?,
        }),
        CopyPart::Access => CopyRow::Access(access::entry(row)?),
        CopyPart::Unrecognized => CopyRow::Unrecognized(UnrecognizedCount {
            hour: Timestamp::from_micros(rows::int(row, 0, "hour")?).ok_or("hour")?,
            node: node(row, 1)?,
            count: rows::int(row, 2, "count")?,
        }),
    })
}

fn organization_id(row: &PgRow) -> Result<OrganizationId, Bad> {
    OrganizationId::from_stored(rows::text(row, 0, "org")?).map_err(|_| "org")
}

fn unit(row: &PgRow, column: usize) -> Result<Unit, Bad> {
    Unit::new(rows::text(row, column, "unit")?).map_err(|_| "unit")
}

fn day(row: &PgRow, column: usize) -> Result<Day, Bad> {
    Day::from_epoch_days(rows::int(row, column, "day")?).ok_or("day")
}

fn node(row: &PgRow, column: usize) -> Result<NodeId, Bad> {
    NodeId::from_slice(rows::uuid(row, column, "node")?.as_bytes()).map_err(|_| "node")
}

fn sum(row: &PgRow) -> Result<SumRow, Bad> {
    let (account, key) = (rows::text(row, 2, "account")?, rows::uuid(row, 3, "key_id")?);
    let owner = || {
        let account = AccountId::from_stored(account).map_err(|_| "account")?;
        Ok::<_, Bad>(Owner { organization: organization_id(row)?, account })
    };
    let holder = match (rows::int::<i64>(row, 1, "level")?, account, key.is_nil()) {
        (0, "", true) => Holder::Organization(organization_id(row)?),
        (1, _, true) => Holder::Account(owner()?),
        (2, _, false) => Holder::Key(owner()?, rows::key_id(row, 3)?),
        _ => return Err("level"),
    };
    let sums = BudgetSums { used: rows::int(row, 6, "total")?, reserved: rows::int(row, 7, "reserved")? };
    Ok(SumRow { holder, unit: unit(row, 4)?, day: day(row, 5)?, sums })
}
