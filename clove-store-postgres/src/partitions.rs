//! The access log and the audit trail by months, so that what is old goes a table at a time. Where a month has no table of its own,
//! since nobody who may has made it yet, its rows are in the default one, and go slice by slice.

use crate::{
    error::{Failure, code},
    session::{Session, in_time},
    sql::of_schema,
};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};
use clove_core::{Timestamp, id::AuditId};
use sqlx::{Executor, PgConnection, Row, postgres::PgPool};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use uuid::Uuid;

/// The tables that may be partitioned.
pub(crate) const ACCESS: &str = "access";
pub(crate) const AUDIT: &str = "audit";

/// How many months have tables ahead of time.
const AHEAD: u32 = 3;
/// How often a process looks whether it has to make some.
const A_DAY: Duration = Duration::from_secs(86_400);
/// Whoever writes to a log waits behind who waits for its table: not for long.
const LIMIT: &str = "SET LOCAL lock_timeout = 100";
/// How long a table that could not be dropped is let be.
pub(crate) const LET_BE: Duration = Duration::from_secs(3600);

/// The first day of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Month(NaiveDate);

impl Month {
    fn of(time: DateTime<Utc>) -> Option<Self> {
        time.date_naive().with_day(1).map(Self)
    }

    fn plus(self, months: u32) -> Option<Self> {
        self.0.checked_add_months(Months::new(months)).map(Self)
    }

    /// The lowest id that is made in it.
    fn first_id(self) -> Uuid {
        AuditId::first_at(self.0.and_time(NaiveTime::MIN).and_utc()).as_uuid()
    }

    /// The lowest id that is made after it.
    pub(crate) fn end(self) -> Option<Uuid> {
        self.plus(1).map(Self::first_id)
    }

    fn table(self, of: &str) -> String {
        format!("{of}_{:04}_{:02}", self.0.year(), self.0.month())
    }

    /// The month of a table of this name.
    fn of_table(name: &str, of: &str) -> Option<Self> {
        let (year, month) = name.strip_prefix(of)?.strip_prefix('_')?.split_once('_')?;
        NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1).map(Self)
    }
}

/// Makes tables for the months that are about to come, by the server's time, and for what no month has a table for. Each may take as
/// long as the time-out: the server looks through all that is in the default one.
pub(crate) async fn provide(connection: &mut PgConnection, schema: &str, timeout: Duration) -> Result<(), Failure> {
    let Some(current) = in_time(timeout, now(connection)).await??.and_then(Month::of) else { return Ok(()) };
    let limit = format!("{LIMIT}; SET LOCAL statement_timeout = {}", timeout.as_millis());
    for of in [ACCESS, AUDIT] {
        let rest = format!("{limit}; CREATE TABLE IF NOT EXISTS ~{of}_rest PARTITION OF ~{of} DEFAULT");
        unless_not_now(in_time(timeout, connection.execute(of_schema(&rest, schema))).await?)?;
        let months = (0..=AHEAD).filter_map(|ahead| current.plus(ahead));
        for (month, end) in months.filter_map(|month| Some((month, month.plus(1)?))) {
            let (table, from, to) = (month.table(of), month.first_id(), end.first_id());
            let create =
                format!("{limit}; CREATE TABLE IF NOT EXISTS ~{table} PARTITION OF ~{of} FOR VALUES FROM ('{from}') TO ('{to}')");
            unless_not_now(in_time(timeout, connection.execute(of_schema(&create, schema))).await?)?;
        }
    }
    Ok(())
}

/// When something is to be done next; due until it is put off.
#[derive(Default)]
pub(crate) struct Due(Mutex<Option<Instant>>);

impl Due {
    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_now(&self) -> bool {
        self.lock().is_none_or(|next| next <= Instant::now())
    }

    pub(crate) fn put_off(&self, by: Duration) {
        *self.lock() = Instant::now().checked_add(by);
    }
}

/// Makes them a long time after they were made last: for a process that runs for months. What fails is tried again the next time.
pub(crate) struct Calendar {
    /// Whether this process makes any.
    provides: bool,
    next: Due,
}

impl Calendar {
    /// They are made by now.
    pub(crate) fn new(provides: bool) -> Self {
        let next = Due::default();
        next.put_off(A_DAY);
        Self { provides, next }
    }

    pub(crate) async fn provide_if_due(&self, session: &Session) {
        if !self.provides || !self.is_due() {
            return;
        }
        let made = session.attempts(|| async {
            let mut connection = session.in_time(session.pool.acquire()).await?;
            // Given up halfway, it is of no use to anyone.
            connection.close_on_drop();
            provide(&mut connection, &session.schema, session.timeout).await
        });
        // Until they are made, rows have a place in the default table: nobody else's work is to fail for it.
        let _ = made.await;
    }

    /// Once each time.
    fn is_due(&self) -> bool {
        let is_due = self.next.is_now();
        if is_due {
            self.next.put_off(A_DAY);
        }
        is_due
    }
}

async fn now(connection: &mut PgConnection) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let now = sqlx::raw_sql("SELECT CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint)");
    now.fetch_one(connection).await?.try_get_unchecked(0).map(DateTime::from_timestamp_micros)
}

/// Another process makes the same just now; the month began without a table and its rows are in the default one; this role may not;
/// somebody reads the log for long; or it takes long.
fn unless_not_now<T>(made: Result<T, sqlx::Error>) -> Result<(), sqlx::Error> {
    match made {
        Err(error)
            if matches!(code(&error).as_deref(), Some("42P07" | "23505" | "23514" | "42710" | "42501" | "55P03" | "57014")) =>
        {
            Ok(())
        }
        other => other.map(drop),
    }
}

/// Whether the log is partitioned.
pub(crate) async fn are_there(pool: &PgPool, schema: &str) -> Result<bool, sqlx::Error> {
    let kind = "SELECT CAST(c.relkind AS text) FROM pg_catalog.pg_class c WHERE c.oid = CAST('~access' AS regclass)";
    let row = sqlx::raw_sql(of_schema(kind, schema)).fetch_optional(pool).await?;
    Ok(row.map(|row| row.try_get_unchecked::<String, _>(0)).transpose()?.as_deref() == Some("p"))
}

/// The oldest month that was over before a time, if it has a table.
pub(crate) async fn over(pool: &PgPool, schema: &str, of: &str, before: Timestamp) -> Result<Option<Month>, sqlx::Error> {
    let before = DateTime::<Utc>::from(before);
    let is_over = |month: &Month| month.plus(1).is_some_and(|end| end.0.and_time(NaiveTime::MIN).and_utc() <= before);
    Ok(oldest(pool, schema, of).await?.filter(is_over))
}

/// Drops a month's table; whether this role may, and could.
pub(crate) async fn drop_table(pool: &PgPool, schema: &str, of: &str, month: Month) -> Result<bool, sqlx::Error> {
    let drop = format!("{LIMIT}; DROP TABLE IF EXISTS ~{}", month.table(of));
    match pool.execute(of_schema(&drop, schema)).await {
        Ok(_) => Ok(true),
        // Not its owner; or somebody reads it for long. Then its rows go slice by slice.
        Err(error) if matches!(code(&error).as_deref(), Some("42501" | "55P03")) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn oldest(pool: &PgPool, schema: &str, of: &str) -> Result<Option<Month>, sqlx::Error> {
    let names = format!(
        "SELECT CAST(c.relname AS text) FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = CAST('~{of}' AS regclass)"
    );
    let rows = sqlx::raw_sql(of_schema(&names, schema)).fetch_all(pool).await?;
    let names = rows.iter().filter_map(|row| row.try_get_unchecked::<String, _>(0).ok());
    Ok(names.filter_map(|name| Month::of_table(&name, of)).min())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_month_holds_the_ids_made_in_it() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let month = Month::of(time("2026-12-24T18:00:00Z")).unwrap();
        let next = month.plus(1).unwrap();
        for (at, is_in) in [
            ("2026-11-30T23:59:59.999999Z", false),
            ("2026-12-01T00:00:00Z", true),
            ("2026-12-31T23:59:59.999999Z", true),
            ("2027-01-01T00:00:00Z", false),
        ] {
            let id = AuditId::new(time(at)).as_uuid();
            assert_eq!((month.first_id()..next.first_id()).contains(&id), is_in, "{at}");
        }
    }

    #[test]
    fn months_are_due_a_day_after_they_were_made_and_only_to_who_makes_them() {
        let calendar = Calendar::new(true);
        assert!(!calendar.is_due());
        *calendar.next.lock() = Some(Instant::now());
        assert!(calendar.is_due());
        assert!(!calendar.is_due());
    }

    #[test]
    fn a_table_tells_its_month() {
        let month = Month::of("2026-02-24T18:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(month.table(AUDIT), "audit_2026_02");
        assert_eq!(Month::of_table("audit_2026_02", AUDIT), Some(month));
        for other in ["audit_rest", "access_2026_02", "audit_2026_13", "audit_2026", "audit"] {
            assert_eq!(Month::of_table(other, AUDIT), None, "{other}");
        }
    }
}
