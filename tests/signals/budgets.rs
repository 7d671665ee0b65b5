//! Budgets that pass a threshold: once a budget, period, threshold and process.

use crate::{
    ear::{observed, short},
    support::{DAY, usage::tokens},
};
use clove::{Attempt, Budget, BudgetOf, Clove, Policy, Refill, SignalThresholds, Status, Tier};

fn policy(of: BudgetOf, amount: u64, refill: Refill) -> Policy {
    let policy = Policy::builder().limits(Tier::unlimited());
    policy.budget(of, tokens(), Budget::new(amount, refill).unwrap()).build().unwrap()
}

async fn reserve(clove: &Clove, credential: &str, amount: u64) {
    let _ = clove.verify(Attempt::new(credential).reserving(&tokens(), amount)).await.unwrap();
}

#[tokio::test]
async fn a_budget_is_told_when_four_fifths_and_all_of_it_are_taken_and_again_in_the_next_period() {
    let (fixture, ear) = observed(policy(BudgetOf::Account, 10, Refill::Daily));
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let (id, credential) = (short(issued.key.id), issued.credential.unwrap().reveal());
    for day in ["01-06", "01-07"] {
        let told = |percent, left| format!("budget {percent} % by {id} of ada: Account 10 a day, {left} left until {day}");
        for (amount, wanted) in
            [(7, vec![]), (1, vec![told(80, 2)]), (3, vec![]), (1, vec![]), (1, vec![told(100, 0)]), (1, vec![])]
        {
            reserve(&fixture.clove, &credential, amount).await;
            assert_eq!(ear.alarms(), wanted);
        }
        fixture.clock().advance(DAY);
    }
}

#[tokio::test]
async fn a_denial_tells_of_a_budget_that_was_overspent() {
    let policy = policy(BudgetOf::Organization, 10, Refill::Never);
    let (fixture, ear) = observed(policy);
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let (id, credential) = (short(issued.key.id), issued.credential.unwrap().reveal());
    let grant = fixture.clove.verify(&*credential).await.unwrap().granted().unwrap();
    fixture.clove.record_durably(&grant, &tokens(), 12).await.unwrap();
    reserve(&fixture.clove, &credential, 0).await;
    let told = |percent| format!("budget {percent} % by {id} of ada: Organization 10 in all, 0 left until never");
    assert_eq!(ear.alarms(), [told(80), told(100)]);
}

#[tokio::test]
async fn keys_are_told_apart_and_the_threshold_is_the_policys() {
    let signals = SignalThresholds { budget_near: 100, ..SignalThresholds::default() };
    let policy = policy(BudgetOf::Key, 10, Refill::Monthly).to_builder().signals(signals).build().unwrap();
    let (fixture, ear) = observed(policy);
    for _ in 0..2 {
        let issued = fixture.key_in(Status::Active).await.unwrap();
        let (id, credential) = (short(issued.key.id), issued.credential.unwrap().reveal());
        reserve(&fixture.clove, &credential, 9).await;
        assert_eq!(ear.alarms(), [""; 0]);
        reserve(&fixture.clove, &credential, 1).await;
        assert_eq!(ear.alarms(), [format!("budget 100 % by {id} of ada: Key 10 a month, 0 left until 02-01")]);
    }
}
