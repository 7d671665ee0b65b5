//! Budgets. What is used of one, and what is reserved, stands in the sums of usage.

use crate::{
    error::Failure,
    read::{corrupt, one, scope_columns},
    rows::{self, Bad},
    session::{Kind, Session, Tx},
    usage::{Level, SumRow, change_sums, held_reports, put_reports},
    write::column,
};
use clove_core::{
    Scope, StoreError, Unit,
    budget::{Budget, BudgetChoice, BudgetState, Holder},
    error::CorruptRow,
    store::{BudgetQuery, BudgetRow, BudgetSums, Reported, Reserve, Reserved, Reserving},
    usage::Day,
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// Reserves of all budgets, or of none.
pub(crate) async fn reserve(session: &Session, reserve: &Reserve) -> Result<Reserved, StoreError> {
    session.attempts(|| try_to_reserve(session, reserve)).await
}

async fn try_to_reserve(session: &Session, reserve: &Reserve) -> Result<Reserved, Failure> {
    let mut tx = session.begin(Kind::Durable).await?;
    let queries = reserve.queries();
    // Which budgets there are is read before their gates are held, and again behind these.
    let mut gates: Vec<&BudgetQuery> = Vec::new();
    let states = loop {
        let mut periods = Vec::with_capacity(queries.len());
        for query in &queries {
            periods.extend(period(&mut tx, query).await?.map(|period| (query, period)));
        }
        let missing = periods.iter().any(|(query, _)| !gates.contains(query));
        if missing {
            gates = periods.iter().map(|(query, _)| *query).collect();
            hold_gates(&mut tx, &gates).await?;
            continue;
        }
        let mut states = Vec::with_capacity(periods.len());
        for (query, period) in periods {
            states.push(standing(&mut tx, query, period).await?);
        }
        break states;
    };
    let (meter, grant) = (&reserve.meter, reserve.grant);
    let ledger = held_reports(&mut tx, &[(grant, &meter.unit, meter.day)]).await?;
    let known = ledger.into_values().next().flatten();
    let outcome = reserve.decide(&states, known);
    if outcome != Reserving::Hold {
        tx.rollback().await?;
        return Ok(Reserved::new(reserve, outcome, states));
    }
    put_reports(&mut tx, &[(grant, meter, Reported { total: 0, reserved: reserve.amount })]).await?;
    let mut holders = Holder::all_of(&meter.owner, meter.key);
    // In the order in which sums are written everywhere: organization, account, key.
    holders.reverse();
    let sums: Vec<(SumRow<'_>, u64)> = holders
        .iter()
        .map(|holder| {
            let (organization, level, account, key) = columns(holder);
            ((organization, level, account, key, meter.unit.as_str(), meter.day), reserve.amount)
        })
        .collect();
    let sql = tx.sql();
    change_sums(&mut tx, &sql.add_reserved, &sums).await?;
    tx.commit().await?;
    Ok(Reserved::new(reserve, outcome, states))
}

/// Held until the end of the transaction: nobody else reserves of these budgets meanwhile.
async fn hold_gates(tx: &mut Tx<'_>, queries: &[&BudgetQuery]) -> Result<(), Failure> {
    let holders = column(queries, |query| columns(&query.holder));
    let hold = tx
        .query(&tx.sql().lock_budget_gates)
        .bind(column(&holders, |holder| holder.0))
        .bind(column(&holders, |holder| holder.1 as i64))
        .bind(column(&holders, |holder| holder.2))
        .bind(column(&holders, |holder| holder.3))
        .bind(column(queries, |query| query.unit.as_str()));
    tx.execute(hold).await.map(drop)
}

/// How a budget stands, in one snapshot.
pub(crate) async fn read(session: &Session, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
    session
        .attempts(|| async {
            let mut tx = session.begin(Kind::Snapshot).await?;
            let state = match period(&mut tx, query).await? {
                Some(period) => Some(standing(&mut tx, query, period).await?),
                None => None,
            };
            tx.commit().await?;
            Ok(state)
        })
        .await
}

type Period = (Budget, Day, Day);

/// The budget that holds, and its days, if there is one.
async fn period(tx: &mut Tx<'_>, query: &BudgetQuery) -> Result<Option<Period>, Failure> {
    let choice = match query.holder.scope() {
        Some(scope) => chosen(tx, &scope, &query.unit).await?,
        None => BudgetChoice::Default,
    };
    Ok(query.period(choice))
}

async fn standing(tx: &mut Tx<'_>, query: &BudgetQuery, (budget, first, last): Period) -> Result<BudgetState, Failure> {
    let (organization, level, account, key) = columns(&query.holder);
    let sums_of_days = tx
        .query(&tx.sql().sums_of_days)
        .bind(organization.to_owned())
        .bind(level as i64)
        .bind(account.to_owned())
        .bind(key)
        .bind(query.unit.as_str().to_owned())
        .bind(i64::from(first.epoch_days()))
        .bind(i64::from(last.epoch_days()));
    let mut sums = BudgetSums::default();
    let bad = corrupt(CorruptRow::Usage);
    for day in tx.rows(sums_of_days).await? {
        sums.add(rows::int(&day, 0, "total").map_err(&bad)?, rows::int(&day, 1, "reserved").map_err(&bad)?);
    }
    Ok(query.state(budget, sums))
}

fn choice(row: &PgRow) -> Result<BudgetChoice, Bad> {
    BudgetChoice::from_stored(rows::text(row, 0, "choice")?).map_err(|_| "choice")
}

/// What an account or an organization has chosen.
async fn chosen(tx: &mut Tx<'_>, scope: &Scope, unit: &Unit) -> Result<BudgetChoice, Failure> {
    let sql = &tx.sql().budget;
    find(tx, sql, scope, unit).await
}

/// The same, held until the end of the transaction.
pub(crate) async fn chosen_and_held(tx: &mut Tx<'_>, scope: &Scope, unit: &Unit) -> Result<BudgetChoice, Failure> {
    let sql = tx.sql();
    let (organization, account) = scope_columns(scope);
    // An empty choice is as good as none, and is there to be held.
    let claim = tx.query(&sql.claim_budget).bind(organization.to_owned()).bind(account.unwrap_or_default().to_owned());
    tx.execute(claim.bind(unit.as_str().to_owned())).await?;
    find(tx, &sql.lock_budget, scope, unit).await
}

async fn find(tx: &mut Tx<'_>, sql: &sqlx::SqlStr, scope: &Scope, unit: &Unit) -> Result<BudgetChoice, Failure> {
    let (organization, account) = scope_columns(scope);
    let find = tx.query(sql).bind(organization.to_owned()).bind(account.unwrap_or_default().to_owned());
    let row = tx.row(find.bind(unit.as_str().to_owned())).await?;
    Ok(one(row, CorruptRow::Budget, choice)?.unwrap_or_default())
}

pub(crate) async fn choose(tx: &mut Tx<'_>, row: &BudgetRow) -> Result<(), Failure> {
    let (organization, account) = scope_columns(&row.scope);
    let put = tx
        .query(&tx.sql().put_budget)
        .bind(organization.to_owned())
        .bind(account.unwrap_or_default().to_owned())
        .bind(row.unit.as_str().to_owned())
        .bind(row.choice.to_stored());
    tx.execute(put).await.map(drop)
}

/// Where a holder's sums stand: organization, level, account and key.
pub(crate) fn columns(holder: &Holder) -> (&str, Level, &str, Uuid) {
    match holder {
        Holder::Organization(organization) => (organization.as_str(), Level::Organization, "", Uuid::nil()),
        Holder::Account(owner) => (owner.organization.as_str(), Level::Account, owner.account.as_str(), Uuid::nil()),
        Holder::Key(owner, key) => (owner.organization.as_str(), Level::Key, owner.account.as_str(), key.as_uuid()),
    }
}
