//! Budgets: reserved on the writer's connection, read on any. What is used of one, and what is reserved, stands in the sums of usage.

use crate::{
    read::{corrupt, failed, one, scope_columns},
    rows, sql,
    transact::execute,
    usage::{Level, reported},
};
use clove_core::{
    Scope, StoreError, Unit,
    budget::{BudgetChoice, BudgetState, Holder},
    error::CorruptRow,
    store::{BudgetQuery, BudgetRow, BudgetSums, Reserve, Reserved, Reserving},
};
use rusqlite::{Connection, Row, params};

/// Reserves of all budgets, or of none.
pub(crate) fn reserve(connection: &Connection, reserve: &Reserve) -> Result<Reserved, StoreError> {
    let mut states = Vec::new();
    for query in &reserve.queries() {
        states.extend(standing(connection, query)?);
    }
    let outcome = reserve.decide(&states, reported(connection, reserve.grant, &reserve.meter.unit)?);
    if outcome == Reserving::Hold {
        let (meter, amount) = (&reserve.meter, signed(reserve.amount));
        let (unit, day) = (meter.unit.as_str(), meter.day.epoch_days());
        execute(connection, sql::PUT_REPORT, params![reserve.grant.as_bytes().as_slice(), unit, 0, amount, day])?;
        for holder in &Holder::all_of(&meter.owner, meter.key) {
            let (organization, level, account, key) = columns(holder);
            execute(connection, sql::ADD_RESERVED, params![organization, level, account, key, unit, day, amount])?;
        }
    }
    Ok(Reserved::new(reserve, outcome, states))
}

/// How a budget stands, in one snapshot.
pub(crate) fn read(connection: &Connection, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
    let snapshot = connection.unchecked_transaction().map_err(failed)?;
    standing(&snapshot, query)
}

fn standing(connection: &Connection, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
    let choice = match query.holder.scope() {
        Some(scope) => chosen(connection, &scope, &query.unit)?,
        None => BudgetChoice::Default,
    };
    let Some((budget, first, last)) = query.period(choice) else { return Ok(None) };
    let (organization, level, account, key) = columns(&query.holder);
    let params = params![organization, level, account, key, query.unit.as_str(), first.epoch_days(), last.epoch_days()];
    let mut statement = connection.prepare_cached(sql::SUMS_OF_DAYS).map_err(failed)?;
    let mut days = statement.query(params).map_err(failed)?;
    let mut sums = BudgetSums::default();
    while let Some(day) = days.next().map_err(failed)? {
        let bad = corrupt(CorruptRow::Usage);
        sums.add(rows::int(day, 0, "total").map_err(&bad)?, rows::int(day, 1, "reserved").map_err(&bad)?);
    }
    Ok(Some(query.state(budget, sums)))
}

/// What an account or an organization has chosen.
pub(crate) fn chosen(connection: &Connection, scope: &Scope, unit: &Unit) -> Result<BudgetChoice, StoreError> {
    let (organization, account) = scope_columns(scope);
    let choice = |row: &Row<'_>| BudgetChoice::from_stored(rows::text(row, 0, "choice")?).map_err(|_| "choice");
    let params = params![organization, account.unwrap_or_default(), unit.as_str()];
    Ok(one(connection, sql::BUDGET, params, CorruptRow::Budget, choice)?.unwrap_or_default())
}

pub(crate) fn choose(connection: &Connection, row: &BudgetRow) -> Result<(), StoreError> {
    let (organization, account) = scope_columns(&row.scope);
    let params = params![organization, account.unwrap_or_default(), row.unit.as_str(), row.choice.to_stored()];
    execute(connection, sql::PUT_BUDGET, params).map(drop)
}

/// Where a holder's sums stand: organization, level, account and key.
pub(crate) fn columns(holder: &Holder) -> (&str, i64, &str, &[u8]) {
    let (level, owner, key): (_, _, &[u8]) = match holder {
        Holder::Organization(organization) => return (organization.as_str(), Level::Organization as i64, "", &[]),
        Holder::Account(owner) => (Level::Account, owner, &[]),
        Holder::Key(owner, key) => (Level::Key, owner, key.as_bytes()),
    };
    (owner.organization.as_str(), level as i64, owner.account.as_str(), key)
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
