//! Usage: batches, and pages of sums.

use crate::{
    error::Failure,
    read::{ABOVE_ALL_IDS, corrupt, scope_columns},
    rows::{self, Bad, rows_of, signed},
    session::{Kind, Session, Tx},
    write::column,
};
use clove_core::{
    AccountId, GrantId, KeyId, StoreError,
    error::CorruptRow,
    store::{Meter, Report, Reported, UsageBatch, UsagePage, UsagePlace, UsageQuery},
    usage::{Day, MAX_AMOUNT, Unit, UsageBy, UsagePer},
};
use sqlx::postgres::PgRow;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// Whose a sum is. The sums of accounts and organizations are kept beside those of keys, so that nobody adds them up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Organization = 0,
    Account = 1,
    Key = 2,
}

/// The row of a sum: organization, level, account, key, unit and day.
pub(crate) type SumRow<'b> = (&'b str, Level, &'b str, Uuid, &'b str, Day);

/// What [`Sql::lock_reports`](crate::sql) says of a grant and unit that are new.
const NEW: i64 = -i64::MAX;
/// Above every name of a unit.
const ABOVE_ALL_UNITS: &str = "~";
/// Above every account.
const ABOVE_ALL_ACCOUNTS: &str = "\u{10ffff}";
/// The most series that one statement goes through.
const SERIES: usize = 256;

/// Writes a batch, unless it is written. Rows that several of its entries change are written once.
pub(crate) async fn record(session: &Session, batch: &UsageBatch) -> Result<(), StoreError> {
    session.attempts(|| try_to_record(session, batch)).await
}

async fn try_to_record(session: &Session, batch: &UsageBatch) -> Result<(), Failure> {
    let mut tx = session.begin(Kind::Durable).await?;
    let day = i64::from(Day::of(batch.at).epoch_days());
    let lock = tx.query(&tx.sql().lock_recorder).bind(batch.node.as_uuid()).bind(day);
    if let Some(row) = tx.row(lock).await? {
        let last: u64 = rows::int(&row, 0, "sequence").map_err(corrupt(CorruptRow::Node))?;
        if last >= batch.sequence {
            return tx.rollback().await;
        }
    }
    let mut sums = BTreeMap::new();
    for (meter, amount) in &batch.requests {
        add(&mut sums, meter, *amount, 0);
    }
    for (report, (grown, released)) in batch.reports.iter().zip(settle(&mut tx, &batch.reports).await?) {
        add(&mut sums, &report.meter, grown, released);
    }
    let sums: Vec<_> = sums.into_iter().collect();
    move_sums(&mut tx, &sums).await?;
    let put = tx.query(&tx.sql().put_batch).bind(batch.node.as_uuid()).bind(signed(batch.sequence)).bind(day);
    tx.execute(put).await?;
    tx.commit().await
}

/// By how much a sum grows, and how much of it is not reserved any more.
type Moves = (u64, u64);

fn add<'b>(sums: &mut BTreeMap<SumRow<'b>, Moves>, meter: &'b Meter, amount: u64, released: u64) {
    let Meter { owner, key, unit, day } = meter;
    let (organization, account) = (owner.organization.as_str(), owner.account.as_str());
    let levels: [(Level, &str, Uuid); 3] =
        [(Level::Organization, "", Uuid::nil()), (Level::Account, account, Uuid::nil()), (Level::Key, account, key.as_uuid())];
    for (level, account, key) in levels.into_iter().filter(|_| amount > 0 || released > 0) {
        let sum = sums.entry((organization, level, account, key, unit.as_str(), *day)).or_default();
        *sum = (sum.0.saturating_add(amount), sum.1.saturating_add(released));
    }
}

async fn move_sums(tx: &mut Tx<'_>, sums: &[(SumRow<'_>, Moves)]) -> Result<(), Failure> {
    let sql = tx.sql();
    // All of them, also those that do not grow: so all are held in one order before anything is released.
    let grown: Vec<_> = sums.iter().map(|(row, (grown, _))| (*row, *grown)).collect();
    change_sums(tx, &sql.add_usage, &grown).await?;
    let released = sums.iter().filter(|(_, (_, released))| *released > 0);
    let released: Vec<_> = released.map(|(row, (_, released))| (*row, *released)).collect();
    change_sums(tx, &sql.release, &released).await
}

/// Runs a statement that changes sums by amounts.
pub(crate) async fn change_sums(tx: &mut Tx<'_>, sql: &sqlx::SqlStr, sums: &[(SumRow<'_>, u64)]) -> Result<(), Failure> {
    if sums.is_empty() {
        return Ok(());
    }
    let change = tx
        .query(sql)
        .bind(column(sums, |(row, _)| row.0))
        .bind(column(sums, |(row, _)| row.1 as i64))
        .bind(column(sums, |(row, _)| row.2))
        .bind(column(sums, |(row, _)| row.3))
        .bind(column(sums, |(row, _)| row.4))
        .bind(column(sums, |(row, _)| i64::from(row.5.epoch_days())))
        .bind(column(sums, |(_, amount)| signed(*amount)));
    tx.execute(change).await.map(drop)
}

/// How reports move their sums; they are in the ledger then.
async fn settle(tx: &mut Tx<'_>, reports: &[Report]) -> Result<Vec<Moves>, Failure> {
    if reports.is_empty() {
        return Ok(Vec::new());
    }
    let sql = tx.sql();
    let wanted = column(reports, |report| (report.grant, &report.meter.unit, report.meter.day));
    let known = held_reports(tx, &wanted).await?;
    let (mut moves, mut changed, mut unchanged) = (Vec::new(), Vec::new(), Vec::new());
    for report in reports {
        let Report { grant, meter, settles, .. } = report;
        let known = known.get(&(grant.as_uuid(), meter.unit.as_str().to_owned())).copied().flatten();
        let (now, grown, released) = report.moves(known.unwrap_or_default());
        if known != Some(now) && (grown > 0 || *settles) {
            changed.push((report, now));
        } else if known.is_none() {
            unchanged.push(report);
        }
        moves.push((grown, released));
    }
    put_reports(tx, &column(&changed, |(report, now)| (report.grant, &report.meter, *now))).await?;
    if !unchanged.is_empty() {
        let unlock = tx
            .query(&sql.unlock_reports)
            .bind(column(&unchanged, |report| report.grant.as_uuid()))
            .bind(column(&unchanged, |report| report.meter.unit.as_str()));
        tx.execute(unlock).await?;
    }
    Ok(moves)
}

/// What the ledger knows, by grant and unit.
pub(crate) type Ledger = HashMap<(Uuid, String), Option<Reported>>;

/// What the ledger knows of grants and units, held; a row is written for those that it knows nothing of.
pub(crate) async fn held_reports(tx: &mut Tx<'_>, wanted: &[(GrantId, &Unit, Day)]) -> Result<Ledger, Failure> {
    let lock = tx
        .query(&tx.sql().lock_reports)
        .bind(column(wanted, |(grant, ..)| grant.as_uuid()))
        .bind(column(wanted, |(_, unit, _)| unit.as_str()))
        .bind(column(wanted, |(.., day)| i64::from(day.epoch_days())));
    let mut known = Ledger::new();
    for row in tx.rows(lock).await? {
        let (grant, unit) = (rows::uuid(&row, 0, "grant_id"), rows::text(&row, 1, "unit"));
        let (Ok(grant), Ok(unit)) = (grant, unit) else { continue };
        let reported = reported(&row).map_err(|what| match GrantId::from_slice(grant.as_bytes()) {
            Ok(grant) => StoreError::Corrupt { row: CorruptRow::Report(grant), what },
            Err(_) => StoreError::Corrupt { row: CorruptRow::Usage, what },
        })?;
        known.insert((grant, unit.to_owned()), reported);
    }
    Ok(known)
}

fn reported(row: &PgRow) -> Result<Option<Reported>, Bad> {
    if rows::value::<i64>(row, 2, "total")? == NEW {
        return Ok(None);
    }
    Ok(Some(Reported { total: rows::int(row, 2, "total")?, reserved: rows::int(row, 3, "reserved")? }))
}

/// Writes what the ledger is to know of rows that are held.
pub(crate) async fn put_reports(tx: &mut Tx<'_>, reports: &[(GrantId, &Meter, Reported)]) -> Result<(), Failure> {
    if reports.is_empty() {
        return Ok(());
    }
    let put = tx
        .query(&tx.sql().put_reports)
        .bind(column(reports, |(grant, ..)| grant.as_uuid()))
        .bind(column(reports, |(_, meter, _)| meter.unit.as_str()))
        .bind(column(reports, |(.., now)| signed(now.total)))
        .bind(column(reports, |(.., now)| signed(now.reserved)))
        .bind(column(reports, |(_, meter, _)| i64::from(meter.day.epoch_days())));
    tx.execute(put).await.map(drop)
}

pub(crate) async fn forget(session: &Session, before: Day, limit: usize) -> Result<usize, StoreError> {
    let before = i64::from(before.epoch_days());
    let reports = session.forget(limit, |slice| session.query(&session.sql.forget_reports).bind(before).bind(slice)).await?;
    let left = limit.saturating_sub(reports);
    let batches = session.forget(left, |slice| session.query(&session.sql.forget_batches).bind(before).bind(slice)).await?;
    Ok(reports + batches)
}

/// Where a sum stands, and how much it is, as far as either can be read.
type Sum = (Result<UsagePlace, Bad>, Result<u64, Bad>);

/// Where a series stands: account, key and unit.
type SeriesPlace = (String, Uuid, String);

/// Where the series of a query lie.
struct Source<'q> {
    query: &'q UsageQuery,
    organization: &'q str,
    level: Level,
    /// The first place of a series, and the one behind the last.
    first: SeriesPlace,
    end: SeriesPlace,
}

pub(crate) async fn page(session: &Session, query: &UsageQuery) -> Result<UsagePage, StoreError> {
    session.attempts(|| try_to_page(session, query)).await
}

async fn try_to_page(session: &Session, query: &UsageQuery) -> Result<UsagePage, Failure> {
    // One snapshot: its sums are all of one moment.
    let mut tx = session.begin(Kind::Snapshot).await?;
    let mut page = UsagePage::default();
    let Some(source) = Source::of(&mut tx, query).await? else {
        tx.commit().await?;
        return Ok(page);
    };
    let mut read = 0;
    let mut next = Some(source.first.clone());
    while let Some(first) = next {
        let found = source.series(&mut tx, &first).await?;
        next = source.following(&found);
        for series in found.chunk_by(|one, other| place_columns(one).ok() == place_columns(other).ok()) {
            for (place, amount) in source.sums(series) {
                let Ok(place) = place else {
                    // A next page can only begin after a place that can be read.
                    page.corrupt += 1;
                    continue;
                };
                if read == query.limit {
                    page.more = true;
                    tx.commit().await?;
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
    }
    tx.commit().await?;
    Ok(page)
}

fn place_columns(row: &PgRow) -> Result<(&str, Uuid, &str), Bad> {
    Ok((rows::text(row, 0, "account")?, rows::uuid(row, 1, "key_id")?, rows::text(row, 2, "unit")?))
}

impl<'q> Source<'q> {
    /// `None` where there can be no sums.
    async fn of(tx: &mut Tx<'_>, query: &'q UsageQuery) -> Result<Option<Self>, Failure> {
        let (organization, owner) = scope_columns(&query.scope);
        let mut found_account = None;
        if let Some(key) = query.key {
            let find = tx.query(&tx.sql().account_of_key).bind(key.as_uuid()).bind(organization);
            let row = tx.row(find).await?;
            let account = row.as_ref().and_then(|row| rows::text(row, 0, "account").ok());
            let Some(account) = account.filter(|account| owner.is_none_or(|owner| owner == *account)) else { return Ok(None) };
            found_account = Some(account.to_owned());
        }
        let of_account = |account: &str, first: Uuid, last: Uuid| {
            ((account.to_owned(), first, String::new()), (account.to_owned(), last, ABOVE_ALL_UNITS.to_owned()))
        };
        let of_all = || {
            let first = (String::new(), Uuid::nil(), String::new());
            (first, (ABOVE_ALL_ACCOUNTS.to_owned(), ABOVE_ALL_IDS, ABOVE_ALL_UNITS.to_owned()))
        };
        let (level, (first, end)) = match (query.key, query.by, owner) {
            (Some(key), ..) => (Level::Key, of_account(&found_account.unwrap_or_default(), key.as_uuid(), key.as_uuid())),
            (None, UsageBy::Key, Some(owner)) => (Level::Key, of_account(owner, Uuid::nil(), ABOVE_ALL_IDS)),
            (None, UsageBy::Key, None) => (Level::Key, of_all()),
            (None, UsageBy::Account, None) => (Level::Account, of_all()),
            (None, _, Some(owner)) => (Level::Account, of_account(owner, Uuid::nil(), Uuid::nil())),
            (None, UsageBy::Organization, None) => (Level::Organization, of_account("", Uuid::nil(), Uuid::nil())),
        };
        let first = query.after.as_ref().map_or(first.clone(), |after| Self::resumed(first, &end, after));
        Ok(Some(Self { query, organization, level, first, end }))
    }

    /// Where a page goes on: at the series of the last sum, whose later days may follow.
    fn resumed(first: SeriesPlace, end: &SeriesPlace, after: &UsagePlace) -> SeriesPlace {
        // What is one, or the only one, is where the source says.
        let account = after.account.as_ref().filter(|_| first.0 != end.0).map(|account| account.as_str().to_owned());
        let key = after.key.filter(|_| first.1 != end.1).map(|key| key.as_uuid());
        (account.unwrap_or(first.0), key.unwrap_or(first.1), after.unit.as_str().to_owned())
    }

    /// Series from this place on, each with its days; one without a day has a row as well.
    async fn series(&self, tx: &mut Tx<'_>, first: &SeriesPlace) -> Result<Vec<PgRow>, Failure> {
        let sql = tx.sql();
        let text = if self.query.unit.is_some() { &sql.series_of_one_unit } else { &sql.series_of_all_units };
        let series = tx
            .query(text)
            .bind(self.organization)
            .bind(self.level as i64)
            .bind(first.0.as_str())
            .bind(first.1)
            .bind(first.2.as_str())
            .bind(self.end.0.as_str())
            .bind(self.end.1)
            .bind(self.end.2.as_str())
            .bind(i64::from(self.query.first.epoch_days()))
            .bind(i64::from(self.query.last.epoch_days()))
            .bind(rows_of(SERIES));
        let series = match &self.query.unit {
            Some(unit) => series.bind(unit.as_str()),
            None => series,
        };
        tx.rows(series).await
    }

    /// The place right behind the last series found, if there may be more.
    fn following(&self, found: &[PgRow]) -> Option<SeriesPlace> {
        let last = found.last()?;
        let series = found.chunk_by(|one, other| place_columns(one).ok() == place_columns(other).ok()).count();
        let (account, key, unit) = place_columns(last).ok()?;
        let behind = match &self.query.unit {
            // Of each key or account there is one such series.
            Some(_) => ABOVE_ALL_UNITS.to_owned(),
            // Nothing lies between a text and the same with a NUL behind it, which no text has: U+0001 is as near.
            None => format!("{unit}\u{1}"),
        };
        (series == SERIES).then(|| (account.to_owned(), key, behind))
    }

    /// Where a series stands among what is told apart.
    fn place(&self, row: &PgRow) -> Result<UsagePlace, Bad> {
        let (account, key, unit) = place_columns(row)?;
        let by = self.query.by;
        let account = || AccountId::from_stored(account).map_err(|_| "account");
        let key = || KeyId::from_slice(key.as_bytes()).map_err(|_| "key_id");
        Ok(UsagePlace {
            account: (by != UsageBy::Organization).then(account).transpose()?,
            key: (by == UsageBy::Key).then(key).transpose()?,
            unit: match &self.query.unit {
                Some(unit) => unit.clone(),
                None => Unit::new(unit).map_err(|_| "unit")?,
            },
            day: None,
        })
    }

    /// The sums of a series that lie after the query's place.
    fn sums(&self, series: &[PgRow]) -> Vec<Sum> {
        let Some(first) = series.first() else { return Vec::new() };
        let place = match self.place(first) {
            Ok(place) => place,
            Err(bad) => return vec![(Err(bad), Err(bad))],
        };
        let Some(first_day) = self.query.first_day(&place) else { return Vec::new() };
        let days = series.iter().filter_map(|row| {
            let day = rows::optional_int::<i32>(row, 3, "day").ok()??;
            (day >= first_day.epoch_days()).then(|| (day, rows::int::<u64>(row, 4, "total")))
        });
        match self.query.per {
            UsagePer::Day => {
                let of_day = |day| UsagePlace { day: Day::from_epoch_days(day), ..place.clone() };
                days.map(|(day, total)| (Ok(of_day(day)), total)).collect()
            }
            UsagePer::Total => {
                let add = |sum: Option<Result<u64, Bad>>, (_, total): (i32, Result<u64, Bad>)| {
                    let so_far = sum.unwrap_or(Ok(0));
                    Some(so_far.and_then(|so_far| Ok(so_far.saturating_add(total?).min(MAX_AMOUNT))))
                };
                days.fold(None, add).map(|sum| (Ok(place.clone()), sum)).into_iter().collect()
            }
        }
    }
}
