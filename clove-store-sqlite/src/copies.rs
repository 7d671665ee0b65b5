//! Rows for and from another store.

use crate::{
    access,
    budgets::columns,
    read::{failed, secrets},
    rows::{self, Bad},
    sql,
    transact::{execute, write},
};
use clove_core::{
    AccountId, GrantId, OrganizationId, Owner, Scope, StoreError, Timestamp, Unit,
    budget::{BudgetChoice, Holder},
    error::Unique,
    id::NodeId,
    limit::Subject,
    store::{
        BudgetRow, BudgetSums, Changes, CopyPage, CopyPart, CopyPlace, CopyRow, CountRow, EpochShard, KeyChange,
        OrganizationRecord, PlaceValue, RecorderRow, ReportRow, Reported, StoredKey, SumRow, UnrecognizedCount,
    },
    usage::Day,
};
use rusqlite::{
    Connection, Row, params, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

/// A page of a part.
struct Export {
    sql: &'static str,
    /// Below every row's key; the key's columns come first.
    first: &'static [Lowest],
    row: fn(&Connection, &Row<'_>) -> Result<Found, StoreError>,
}

/// A row, or what of it cannot be read.
type Found = Result<CopyRow, Bad>;

#[derive(Clone, Copy)]
enum Lowest {
    Number,
    Text,
    Bytes,
}

impl Lowest {
    fn value(self) -> PlaceValue {
        match self {
            Self::Number => PlaceValue::Number(i64::MIN),
            Self::Text => PlaceValue::Text(Vec::new()),
            Self::Bytes => PlaceValue::Bytes(Vec::new()),
        }
    }
}

impl Export {
    fn of(part: CopyPart) -> Self {
        use Lowest::{Bytes, Number, Text};
        type Plain = fn(&Row<'_>) -> Found;
        macro_rules! plain {
            ($sql:ident, $first:expr, $row:expr) => {
                Self {
                    sql: sql::$sql,
                    first: $first,
                    row: |_, row| {
                        let read: Plain = $row;
                        Ok(read(row))
                    },
                }
            };
        }
        match part {
            CopyPart::Organizations => plain!(EXPORT_ORGANIZATIONS, &[Text], organization),
            CopyPart::Owners => plain!(EXPORT_OWNERS, &[Text, Text], |row| rows::owner_record(row).map(CopyRow::Owner)),
            CopyPart::Keys => Self { sql: sql::EXPORT_KEYS, first: &[Bytes], row: key },
            CopyPart::Audit => plain!(EXPORT_AUDIT, &[Bytes], |row| rows::event(row).map(CopyRow::Event)),
            CopyPart::Sums => plain!(EXPORT_SUMS, &[Text, Number, Text, Bytes, Text, Number], sum),
            CopyPart::Reports => plain!(EXPORT_REPORTS, &[Bytes, Text], report),
            CopyPart::Recorders => plain!(EXPORT_RECORDERS, &[Bytes], recorder),
            CopyPart::Budgets => plain!(EXPORT_BUDGETS, &[Text, Text, Text], budget),
            CopyPart::Counts => plain!(EXPORT_COUNTS, &[Bytes, Number, Number], count),
            CopyPart::Access => plain!(EXPORT_ACCESS, &[Bytes], |row| access::entry(row).map(CopyRow::Access)),
            CopyPart::Unrecognized => plain!(EXPORT_UNRECOGNIZED, &[Number, Bytes], unrecognized),
        }
    }
}

pub(crate) fn export(
    connection: &Connection,
    part: CopyPart,
    after: Option<&CopyPlace>,
    limit: usize,
) -> Result<CopyPage, StoreError> {
    // Keys and their secrets are of one moment.
    let snapshot = connection.unchecked_transaction().map_err(failed)?;
    read(&snapshot, part, after, limit, |place| after != Some(place))
}

/// Rows from a place on.
fn read(
    connection: &Connection,
    part: CopyPart,
    from: Option<&CopyPlace>,
    limit: usize,
    is_wanted: impl Fn(&CopyPlace) -> bool,
) -> Result<CopyPage, StoreError> {
    let export = Export::of(part);
    let lowest: Vec<PlaceValue> = export.first.iter().map(|lowest| lowest.value()).collect();
    let from = from.map_or(lowest.as_slice(), |from| from.0.as_slice());
    let mut statement = connection.prepare_cached(export.sql).map_err(failed)?;
    let mut found = statement.query(params_from_iter(from.iter().map(parameter))).map_err(failed)?;
    let mut page = CopyPage::default();
    while let Some(row) = found.next().map_err(failed)? {
        let place = place(row, export.first.len())?;
        if !is_wanted(&place) {
            continue;
        }
        if page.looked_at() == limit {
            page.more = true;
            break;
        }
        page.add(place, (export.row)(connection, row)?);
    }
    Ok(page)
}

fn parameter(value: &PlaceValue) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        PlaceValue::Number(number) => ValueRef::Integer(*number),
        PlaceValue::Text(text) => ValueRef::Text(text),
        PlaceValue::Bytes(bytes) => ValueRef::Blob(bytes),
    })
}

/// A row's key, whatever it holds.
fn place(row: &Row<'_>, columns: usize) -> Result<CopyPlace, StoreError> {
    let value = |column| {
        Ok(match row.get_ref(column).map_err(failed)? {
            ValueRef::Integer(number) => PlaceValue::Number(number),
            ValueRef::Text(text) => PlaceValue::Text(text.to_vec()),
            ValueRef::Blob(bytes) => PlaceValue::Bytes(bytes.to_vec()),
            // Not in a key of a strict table.
            ValueRef::Null | ValueRef::Real(_) => PlaceValue::Bytes(Vec::new()),
        })
    };
    (0..columns).map(value).collect::<Result<_, _>>().map(CopyPlace)
}

fn organization(row: &Row<'_>) -> Found {
    Ok(CopyRow::Organization(OrganizationRecord { id: organization_id(row, 0)?, open: rows::flag(row, 1, "open")? }))
}

fn organization_id(row: &Row<'_>, column: usize) -> Result<OrganizationId, Bad> {
    OrganizationId::from_stored(rows::text(row, column, "org")?).map_err(|_| "org")
}

/// One without a secret could never be verified; of more than two, none is the current one.
fn key(connection: &Connection, row: &Row<'_>) -> Result<Found, StoreError> {
    let key = match rows::key(row) {
        Ok(key) => key,
        Err(what) => return Ok(Err(what)),
    };
    match secrets(connection, key.id) {
        Ok(secrets) if (1..=2).contains(&secrets.len()) => Ok(Ok(CopyRow::Key(StoredKey { key, secrets }))),
        Ok(_) => Ok(Err("the number of its secrets")),
        Err(StoreError::Corrupt { what, .. }) => Ok(Err(what)),
        Err(error) => Err(error),
    }
}

fn unit(row: &Row<'_>, column: usize) -> Result<Unit, Bad> {
    Unit::new(rows::text(row, column, "unit")?).map_err(|_| "unit")
}

fn day(row: &Row<'_>, column: usize) -> Result<Day, Bad> {
    Day::from_epoch_days(rows::int(row, column, "day")?).ok_or("day")
}

fn sum(row: &Row<'_>) -> Found {
    let (account, key) = (rows::text(row, 2, "account")?, rows::blob(row, 3, "key_id")?);
    let owner = || {
        let account = AccountId::from_stored(account).map_err(|_| "account")?;
        Ok::<_, Bad>(Owner { organization: organization_id(row, 0)?, account })
    };
    let holder = match (rows::int::<i64>(row, 1, "level")?, account, key) {
        (0, "", []) => Holder::Organization(organization_id(row, 0)?),
        (1, _, []) => Holder::Account(owner()?),
        (2, ..) => Holder::Key(owner()?, rows::key_id(row, 3)?),
        _ => return Err("level"),
    };
    let sums = BudgetSums { used: rows::int(row, 6, "total")?, reserved: rows::int(row, 7, "reserved")? };
    Ok(CopyRow::Sum(SumRow { holder, unit: unit(row, 4)?, day: day(row, 5)?, sums }))
}

fn report(row: &Row<'_>) -> Found {
    Ok(CopyRow::Report(ReportRow {
        grant: GrantId::from_slice(rows::blob(row, 0, "grant_id")?).map_err(|_| "grant_id")?,
        unit: unit(row, 1)?,
        known: Reported { total: rows::int(row, 2, "total")?, reserved: rows::int(row, 3, "reserved")? },
        day: day(row, 4)?,
    }))
}

fn node(row: &Row<'_>, column: usize) -> Result<NodeId, Bad> {
    NodeId::from_slice(rows::blob(row, column, "node")?).map_err(|_| "node")
}

fn recorder(row: &Row<'_>) -> Found {
    let sequence = rows::int(row, 1, "sequence")?;
    Ok(CopyRow::Recorder(RecorderRow { node: node(row, 0)?, sequence, day: day(row, 2)? }))
}

fn budget(row: &Row<'_>) -> Found {
    let organization = organization_id(row, 0)?;
    let scope = match rows::text(row, 1, "account")? {
        "" => Scope::Organization(organization),
        account => Scope::Owner(Owner { organization, account: AccountId::from_stored(account).map_err(|_| "account")? }),
    };
    let choice = BudgetChoice::from_stored(rows::text(row, 3, "choice")?).map_err(|_| "choice")?;
    Ok(CopyRow::Budget(BudgetRow { scope, unit: unit(row, 2)?, choice }))
}

fn count(row: &Row<'_>) -> Found {
    Ok(CopyRow::Count(CountRow {
        subject: Subject::from_bytes(rows::blob(row, 0, "subject")?).ok_or("subject")?,
        seconds: rows::int(row, 1, "seconds")?,
        start: Timestamp::from_micros(rows::int(row, 2, "start")?).ok_or("start")?,
        places: rows::int(row, 3, "places")?,
    }))
}

fn unrecognized(row: &Row<'_>) -> Found {
    let hour = Timestamp::from_micros(rows::int(row, 0, "hour")?).ok_or("hour")?;
    Ok(CopyRow::Unrecognized(UnrecognizedCount { hour, node: node(row, 1)?, count: rows::int(row, 2, "count")? }))
}

/// Writes those that are not there yet; one that is there and differs, or cannot be read, is a conflict.
pub(crate) fn import(connection: &Connection, rows: &[CopyRow]) -> Result<usize, StoreError> {
    let (mut written, mut outdates) = (0, false);
    for row in rows {
        let place = row.place();
        let there = read(connection, row.part(), Some(&place), 1, |_| true)?;
        if there.last.as_ref() != Some(&place) {
            insert(connection, row)?;
            written += 1;
            outdates |= row.is_remembered();
        } else if there.rows.first() != Some(row) {
            return Err(StoreError::Conflict(Unique::Row));
        }
    }
    if outdates {
        write(connection, &Changes { outdates: [EpochShard::EVERYONE].into(), ..Changes::default() })?;
    }
    Ok(written)
}

/// Writes a row that is not there.
fn insert(connection: &Connection, row: &CopyRow) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    match row {
        CopyRow::Organization(record) => changes.organization = Some(record.clone()),
        CopyRow::Owner(record) => changes.owners.push(record.clone()),
        CopyRow::Key(stored) => changes.keys.push(KeyChange::Insert(stored.clone())),
        CopyRow::Event(event) => changes.events.push(event.clone()),
        CopyRow::Budget(row) => changes.budget = Some(row.clone()),
        CopyRow::Access(entry) => access::log(connection, &[entry.clone()].into())?,
        CopyRow::Unrecognized(count) => access::count_unrecognized(connection, &[*count])?,
        CopyRow::Sum(SumRow { holder, unit, day, sums }) => {
            let (organization, level, account, key) = columns(holder);
            let (unit, day) = (unit.as_str(), day.epoch_days());
            let params = params![organization, level, account, key, unit, day, signed(sums.used), signed(sums.reserved)];
            execute(connection, sql::IMPORT_SUM, params)?;
        }
        CopyRow::Report(ReportRow { grant, unit, day, known }) => {
            let (grant, day) = (grant.as_bytes().as_slice(), day.epoch_days());
            let params = params![grant, unit.as_str(), signed(known.total), signed(known.reserved), day];
            execute(connection, sql::PUT_REPORT, params)?;
        }
        CopyRow::Recorder(RecorderRow { node, sequence, day }) => {
            let params = params![node.as_bytes().as_slice(), signed(*sequence), day.epoch_days()];
            execute(connection, sql::PUT_BATCH, params)?;
        }
        CopyRow::Count(row) => {
            let (subject, start) = (row.subject.to_bytes(), row.start.as_micros());
            let params = params![subject, row.seconds, start, signed(row.places), row.ends_micros()];
            execute(connection, sql::CHARGE, params)?;
        }
    }
    write(connection, &changes)
}

/// SQLite's integers are signed; the core gives no larger ones.
fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
