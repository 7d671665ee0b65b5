//! Usage: written on the writer's connection, read on any.

use crate::{
    read::{failed, one, scope_columns},
    rows::{self, Bad},
    sql,
    transact::execute,
};
use clove_core::{
    AccountId, GrantId, KeyId, StoreError,
    error::CorruptRow,
    store::{Meter, Report, Reported, UsageBatch, UsagePage, UsagePlace, UsageQuery},
    usage::{Day, Unit, UsageBy, UsagePer},
};
use rusqlite::{
    Connection, OptionalExtension, Row, params,
    types::{ToSqlOutput, ValueRef},
};
use std::collections::BTreeMap;

/// Whose a sum is. The sums of accounts and organizations are kept beside those of keys, so that nobody adds them up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Organization = 0,
    Account = 1,
    Key = 2,
}

/// The row of a sum: organization, level, account, key, unit and day.
type SumRow<'b> = (&'b str, Level, &'b str, &'b [u8], &'b str, Day);

/// Where a sum stands, and how much it is if that can be read.
type Sum = (UsagePlace, Result<u64, Bad>);

/// Above every name of a unit.
const ABOVE_ALL_UNITS: &str = "~";

/// Writes a batch, unless it is written. Rows that several of its entries change are written once.
pub(crate) fn record(connection: &Connection, batch: &UsageBatch) -> Result<(), StoreError> {
    let (node, sequence) = (batch.node.as_bytes().as_slice(), signed(batch.sequence));
    let last = |row: &Row<'_>| rows::int::<u64>(row, 0, "sequence");
    if one(connection, sql::LAST_BATCH, [node], CorruptRow::Node, last)?.is_some_and(|last| last >= batch.sequence) {
        return Ok(());
    }
    let mut sums = BTreeMap::new();
    for (meter, amount) in &batch.requests {
        add(&mut sums, meter, *amount, 0);
    }
    for report in &batch.reports {
        let (grown, released) = settle(connection, report)?;
        add(&mut sums, &report.meter, grown, released);
    }
    for ((organization, level, account, key, unit, day), (amount, released)) in sums {
        let (level, day) = (level as i64, day.epoch_days());
        if amount > 0 {
            execute(connection, sql::ADD_USAGE, params![organization, level, account, key, unit, day, signed(amount)])?;
        }
        if released > 0 {
            execute(connection, sql::RELEASE, params![organization, level, account, key, unit, day, signed(released)])?;
        }
    }
    execute(connection, sql::PUT_BATCH, params![node, sequence, Day::of(batch.at).epoch_days()]).map(drop)
}

/// By how much a sum grows, and how much of it is not reserved any more.
type Moves = (u64, u64);

fn add<'b>(sums: &mut BTreeMap<SumRow<'b>, Moves>, meter: &'b Meter, amount: u64, released: u64) {
    let Meter { owner, key, unit, day } = meter;
    let (organization, account) = (owner.organization.as_str(), owner.account.as_str());
    let levels: [(Level, &str, &[u8]); 3] =
        [(Level::Organization, "", &[]), (Level::Account, account, &[]), (Level::Key, account, key.as_bytes())];
    for (level, account, key) in levels.into_iter().filter(|_| amount > 0 || released > 0) {
        let sum = sums.entry((organization, level, account, key, unit.as_str(), *day)).or_default();
        *sum = (sum.0.saturating_add(amount), sum.1.saturating_add(released));
    }
}

/// How a report moves its sums; it is in the ledger then.
fn settle(connection: &Connection, report: &Report) -> Result<Moves, StoreError> {
    let Report { grant, meter, settles, .. } = report;
    let known = reported(connection, *grant, &meter.unit)?;
    let (now, grown, released) = report.moves(known.unwrap_or_default());
    if known != Some(now) && (grown > 0 || *settles) {
        let (id, unit) = (grant.as_bytes().as_slice(), meter.unit.as_str());
        let params = params![id, unit, signed(now.total), signed(now.reserved), meter.day.epoch_days()];
        execute(connection, sql::PUT_REPORT, params)?;
    }
    Ok((grown, released))
}

/// What the ledger knows of a grant and a unit.
pub(crate) fn reported(connection: &Connection, grant: GrantId, unit: &Unit) -> Result<Option<Reported>, StoreError> {
    let reported = |row: &Row<'_>| Ok(Reported { total: rows::int(row, 0, "total")?, reserved: rows::int(row, 1, "reserved")? });
    let params = params![grant.as_bytes().as_slice(), unit.as_str()];
    one(connection, sql::REPORTED, params, CorruptRow::Report(grant), reported)
}

pub(crate) fn forget(connection: &Connection, before: Day, limit: usize) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let reports = execute(connection, sql::FORGET_REPORTS, params![before.epoch_days(), limit])?;
    let left = limit.saturating_sub(i64::try_from(reports).unwrap_or(i64::MAX));
    Ok(reports + execute(connection, sql::FORGET_BATCHES, params![before.epoch_days(), left])?)
}

/// The sums of one unit, day by day. Texts are bytes as they are stored, so that one that cannot be read is passed over.
struct Series {
    account: Vec<u8>,
    key: Vec<u8>,
    unit: Vec<u8>,
}

/// Where the series of a query lie, and how the next one is found.
struct Source<'q> {
    query: &'q UsageQuery,
    organization: &'q str,
    level: Level,
    next: &'static str,
    /// Where the first series is looked for.
    account: Vec<u8>,
    key: Vec<u8>,
}

pub(crate) fn page(connection: &Connection, query: &UsageQuery) -> Result<UsagePage, StoreError> {
    // One snapshot: its sums are all of one moment.
    let snapshot = connection.unchecked_transaction().map_err(failed)?;
    let mut page = UsagePage::default();
    let Some(source) = Source::of(&snapshot, query)? else { return Ok(page) };
    let mut next = source.first(&snapshot)?;
    let mut read = 0;
    while let Some(series) = next {
        match source.place(&series) {
            Ok(place) => {
                for (place, amount) in source.sums(&snapshot, &series, &place, query.limit - read)? {
                    if read == query.limit {
                        page.more = true;
                        return Ok(page);
                    }
                    read += 1;
                    page.last = Some(place.clone());
                    match amount {
                        Ok(amount) => page.sums.push(place.sum(amount)),
                        Err(_) => page.corrupt += 1,
                    }
                }
            }
            // A next page can only begin after a place that can be read.
            Err(_) => page.corrupt += 1,
        }
        next = source.after(&snapshot, series)?;
    }
    Ok(page)
}

impl<'q> Source<'q> {
    /// `None` where there can be no sums.
    fn of(connection: &Connection, query: &'q UsageQuery) -> Result<Option<Self>, StoreError> {
        let (organization, owner) = scope_columns(&query.scope);
        let (next, level, account, key) = match (query.key, query.by, owner) {
            (Some(key), ..) => {
                let mut statement = connection.prepare_cached(sql::ACCOUNT_OF_KEY).map_err(failed)?;
                let params = params![key.as_bytes().as_slice(), organization];
                let account = statement.query_row(params, |row| bytes(row, 0)).optional().map_err(failed)?;
                let is_in_scope = |account: &Vec<u8>| owner.is_none_or(|owner| owner.as_bytes() == account);
                let Some(account) = account.filter(is_in_scope) else { return Ok(None) };
                (sql::SERIES_OF_KEY, Level::Key, account, key.as_bytes().to_vec())
            }
            (None, UsageBy::Key, Some(owner)) => (sql::SERIES_OF_ACCOUNT, Level::Key, owner.into(), Vec::new()),
            (None, UsageBy::Key, None) => (sql::SERIES_OF_ORGANIZATION, Level::Key, Vec::new(), Vec::new()),
            (None, UsageBy::Account, None) => (sql::SERIES_OF_ORGANIZATION, Level::Account, Vec::new(), Vec::new()),
            (None, _, Some(owner)) => (sql::SERIES_OF_KEY, Level::Account, owner.into(), Vec::new()),
            (None, UsageBy::Organization, None) => (sql::SERIES_OF_KEY, Level::Organization, Vec::new(), Vec::new()),
        };
        Ok(Some(Self { query, organization, level, next, account, key }))
    }

    /// The first series that a sum of the page may be in.
    fn first(&self, connection: &Connection) -> Result<Option<Series>, StoreError> {
        let (mut account, mut key) = (self.account.clone(), self.key.clone());
        let Some(after) = &self.query.after else {
            return self.next(connection, &Series { account, key, unit: Vec::new() });
        };
        // What is one, or the only one, is where the source says.
        if self.next == sql::SERIES_OF_ORGANIZATION {
            account = after.account.as_ref().map_or(account, |account| account.as_str().into());
        }
        if self.next != sql::SERIES_OF_KEY {
            key = after.key.map_or(key, |key| key.as_bytes().to_vec());
        }
        let unit = self.query.unit.as_ref().unwrap_or(&after.unit).as_str().into();
        Ok(Some(Series { account, key, unit }))
    }

    /// The series after this one.
    fn after(&self, connection: &Connection, series: Series) -> Result<Option<Series>, StoreError> {
        let Some(_) = &self.query.unit else { return self.next(connection, &series) };
        // Of each key or account there is one such series.
        self.next(connection, &Series { unit: ABOVE_ALL_UNITS.into(), ..series })
    }

    fn next(&self, connection: &Connection, after: &Series) -> Result<Option<Series>, StoreError> {
        let Series { account, key, unit } = after;
        let mut statement = connection.prepare_cached(self.next).map_err(failed)?;
        let params = params![self.organization, self.level as i64, text(account), key, text(unit)];
        let read = |row: &Row<'_>| Ok(Series { account: bytes(row, 0)?, key: bytes(row, 1)?, unit: bytes(row, 2)? });
        let found = statement.query_row(params, read).optional().map_err(failed)?;
        Ok(found.map(|found| match &self.query.unit {
            Some(unit) => Series { unit: unit.as_str().into(), ..found },
            None => found,
        }))
    }

    /// Where a series stands among what is told apart.
    fn place(&self, series: &Series) -> Result<UsagePlace, Bad> {
        let by = self.query.by;
        let account =
            || str::from_utf8(&series.account).ok().and_then(|account| AccountId::from_stored(account).ok()).ok_or("account");
        let key = || KeyId::from_slice(&series.key).map_err(|_| "key_id");
        Ok(UsagePlace {
            account: (by != UsageBy::Organization).then(account).transpose()?,
            key: (by == UsageBy::Key).then(key).transpose()?,
            unit: str::from_utf8(&series.unit).ok().and_then(|unit| Unit::new(unit).ok()).ok_or("unit")?,
            day: None,
        })
    }

    /// The sums of a series that lie after the query's place, one more than `limit` at most.
    fn sums(&self, connection: &Connection, series: &Series, place: &UsagePlace, limit: usize) -> Result<Vec<Sum>, StoreError> {
        let Some(first) = self.query.first_day(place) else { return Ok(Vec::new()) };
        let (organization, level) = (self.organization, self.level as i64);
        let (first, last) = (first.epoch_days(), self.query.last.epoch_days());
        let mut statement = connection.prepare_cached(sql::DAYS_OF_SERIES).map_err(failed)?;
        let params = params![organization, level, text(&series.account), series.key, text(&series.unit), first, last];
        let read = |row: &Row<'_>| Ok((rows::int(row, 0, "day"), rows::int::<u64>(row, 1, "total")));
        let days = statement.query_map(params, read).map_err(failed)?;
        match self.query.per {
            UsagePer::Day => {
                let of_day = |day: Result<i32, Bad>| UsagePlace { day: day.ok().and_then(Day::from_epoch_days), ..place.clone() };
                let sums = days.map(|row| row.map(|(day, total)| (of_day(day), total)));
                sums.take(limit.saturating_add(1)).collect::<Result<_, _>>().map_err(failed)
            }
            UsagePer::Total => {
                let mut sum: Option<Result<u64, Bad>> = None;
                for row in days {
                    let (_, total) = row.map_err(failed)?;
                    let so_far = sum.unwrap_or(Ok(0));
                    sum = Some(so_far.and_then(|so_far| Ok(so_far.saturating_add(total?).min(clove_core::usage::MAX_AMOUNT))));
                }
                Ok(sum.map(|sum| (place.clone(), sum)).into_iter().collect())
            }
        }
    }
}

fn bytes(row: &Row<'_>, column: usize) -> Result<Vec<u8>, rusqlite::Error> {
    row.get_ref(column)?.as_bytes().map(<[u8]>::to_vec).map_err(Into::into)
}

fn text(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(bytes))
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
