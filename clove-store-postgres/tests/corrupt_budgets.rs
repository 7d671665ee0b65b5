//! What cannot be read of a budget gives nothing out, and takes no other down.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use clove_core::{
    Attempt, Budget, BudgetChoice, BudgetOf, Clove, Fault, NewKey, Policy, Refill, StoreError, Unit, Verdict, error::CorruptRow,
};
use support::Damaged;

fn tokens() -> Unit {
    Unit::new("tokens").unwrap()
}

fn budget(amount: u64) -> Budget {
    Budget::new(amount, Refill::Monthly).unwrap()
}

/// A store whose account has 100 tokens a month, and a credential of each of its two keys.
async fn damaged() -> (Damaged, [String; 2]) {
    let policy = Policy::builder().budget(BudgetOf::Account, tokens(), budget(100)).build().unwrap();
    let damaged = Damaged::under(policy).await;
    let fixture = &damaged.fixture;
    let mut credentials = Vec::new();
    for _ in 0..2 {
        let issued = fixture.clove.create(&fixture.owner, NewKey::named("a key").unwrap(), &fixture.by).await.unwrap();
        credentials.push(issued.credential.unwrap().reveal().to_string());
    }
    let credentials = credentials.try_into().unwrap();
    (damaged, credentials)
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
        let (damaged, [first, _]) = damaged().await;
        let fixture = &damaged.fixture;
        let grant = reserve(&fixture.clove, &first).await.unwrap().granted().unwrap();
        let tamper = format!("UPDATE ~usage SET {column} = -7 WHERE level = 1 AND unit = 'tokens'");
        assert_eq!(damaged.execute(&tamper).await, 1);
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
    let (damaged, [first, _]) = damaged().await;
    let fixture = &damaged.fixture;
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, fixture.by.clone().may_set_limits());
    clove.set_budget(owner, &tokens(), BudgetChoice::Unlimited, &by).await.unwrap();
    assert_eq!(damaged.execute("UPDATE ~budgets SET choice = 'any'").await, 1);
    assert_eq!(corrupt(reserve(clove, &first).await), CorruptRow::Budget);
    clove.set_budget(owner, &tokens(), BudgetChoice::Default, &by).await.unwrap();
    assert!(reserve(clove, &first).await.unwrap().granted().is_some());
}

#[tokio::test]
async fn a_budget_survives_the_process() {
    let (damaged, [first, second]) = damaged().await;
    let fixture = &damaged.fixture;
    let grant = reserve(&fixture.clove, &first).await.unwrap().granted().unwrap();
    fixture.clove.settle_durably(&grant, 4).await.unwrap();
    reserve(&fixture.clove, &second).await.unwrap().granted().unwrap();
    let next = Clove::with_clock(damaged.open().await, fixture.clove.policy().clone(), fixture.clock().clone());
    let state = next.budget(&fixture.owner, None, &tokens()).await.unwrap().unwrap();
    assert_eq!((state.settled, state.reserved, state.left()), (4, 10, 86));
}
