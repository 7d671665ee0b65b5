//! What cannot be read of a budget gives nothing out, and takes no other down.

#![allow(clippy::unwrap_used, reason = "tests")]

use clove_core::{
    Attempt, Budget, BudgetChoice, BudgetOf, Clove, Fault, NewKey, Policy, Refill, StoreError, Unit, Verdict, error::CorruptRow,
};
use clove_store_sqlite::SqliteStore;
use clove_testkit::Fixture;
use rusqlite::Connection;
use std::path::PathBuf;
use tempfile::TempDir;

fn tokens() -> Unit {
    Unit::new("tokens").unwrap()
}

fn budget(amount: u64) -> Budget {
    Budget::new(amount, Refill::Monthly).unwrap()
}

/// A file whose account has 100 tokens a month, and a credential of each of its two keys.
async fn file() -> (TempDir, PathBuf, Fixture, [String; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let policy = Policy::builder().budget(BudgetOf::Account, tokens(), budget(100)).build().unwrap();
    let fixture = Fixture::on(SqliteStore::open(&path).unwrap(), policy).unwrap();
    let mut credentials = Vec::new();
    for _ in 0..2 {
        let issued = fixture.clove.create(&fixture.owner, NewKey::named("a key").unwrap(), &fixture.by).await.unwrap();
        credentials.push(issued.credential.unwrap().reveal().to_string());
    }
    (folder, path, fixture, credentials.try_into().unwrap())
}

async fn reserve(clove: &Clove, credential: &str) -> Result<Verdict, Fault> {
    clove.verify(Attempt::new(credential).reserving(&tokens(), 10)).await
}

fn corrupt(answer: Result<Verdict, Fault>) -> CorruptRow {
    match answer.unwrap_err() {
        Fault::Store(StoreError::Corrupt { row, .. }) => row,
        fault => unreachable!("{fault:?}"),
    }
}

#[tokio::test]
async fn a_sum_that_cannot_be_read_is_a_fault_and_stays_so() {
    for column in ["total", "reserved"] {
        let (_folder, path, fixture, [first, _]) = file().await;
        let grant = reserve(&fixture.clove, &first).await.unwrap().granted().unwrap();
        let tamper = format!("UPDATE usage SET {column} = -7 WHERE level = 1 AND unit = 'tokens'");
        assert_eq!(Connection::open(&path).unwrap().execute(&tamper, []).unwrap(), 1);
        for _ in 0..2 {
            assert_eq!(corrupt(reserve(&fixture.clove, &first).await), CorruptRow::Usage);
            fixture.clove.settle_durably(&grant, 10).await.unwrap();
        }
        assert!(fixture.clove.budget(&fixture.owner, None, &tokens()).await.is_err());
        assert!(fixture.clove.verify(&first).await.unwrap().granted().is_some(), "who reserves nothing is none the worse");
    }
}

#[tokio::test]
async fn a_budget_that_cannot_be_read_is_a_fault_until_it_is_set_anew() {
    let (_folder, path, fixture, [first, _]) = file().await;
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, fixture.by.clone().may_set_limits());
    clove.set_budget(owner, &tokens(), BudgetChoice::Unlimited, &by).await.unwrap();
    assert_eq!(Connection::open(&path).unwrap().execute("UPDATE budgets SET choice = 'any'", []).unwrap(), 1);
    assert_eq!(corrupt(reserve(clove, &first).await), CorruptRow::Budget);
    clove.set_budget(owner, &tokens(), BudgetChoice::Default, &by).await.unwrap();
    assert!(reserve(clove, &first).await.unwrap().granted().is_some());
}

#[tokio::test]
async fn a_budget_survives_the_process() {
    let (_folder, path, fixture, [first, second]) = file().await;
    let grant = reserve(&fixture.clove, &first).await.unwrap().granted().unwrap();
    fixture.clove.settle_durably(&grant, 4).await.unwrap();
    reserve(&fixture.clove, &second).await.unwrap().granted().unwrap();
    let next = Clove::with_clock(SqliteStore::open(&path).unwrap(), fixture.clove.policy().clone(), fixture.clock().clone());
    let state = next.budget(&fixture.owner, None, &tokens()).await.unwrap().unwrap();
    assert_eq!((state.settled, state.reserved, state.left()), (4, 10, 86));
}
