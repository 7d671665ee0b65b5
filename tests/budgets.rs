//! Budgets: what is reserved and used of one never exceeds it, and a request that is denied has taken nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::{DateTime, TimeDelta, Utc};
use clove::{
    Action, ActiveLimit, Attempt, Budget, BudgetChoice, BudgetOf, BudgetState, Clove, DenialReason, Fault, Grant, Limits, Policy,
    RecordError, Refill, Refusal, Scope, Status, StoreError, Tier, Unit, Verdict, Window, policy::PolicyBuilder,
    sqlite::SqliteStore, usage::MAX_AMOUNT,
};
use clove_testkit::Fixture;
use proptest::prelude::*;
use std::{
    sync::{Arc, Mutex},
    task::{Context, Waker},
    thread,
    time::Duration,
};
use support::{
    DAY, Ending, Mode, actions, invalid, poll_and_drop, refusal, spied,
    usage::{credential, tokens, total},
};

fn budget(amount: u64, refill: Refill) -> Budget {
    Budget::new(amount, refill).unwrap()
}

fn unlimited() -> PolicyBuilder {
    let policy = Policy::builder().active_limit(ActiveLimit::Unlimited).max_records(None).max_creations_per_day(None);
    policy.limits(Tier::unlimited())
}

/// Each account has so many tokens a day.
fn of_account(amount: u64) -> Policy {
    unlimited().budget(BudgetOf::Account, tokens(), budget(amount, Refill::Daily)).build().unwrap()
}

async fn ask(clove: &Clove, credential: &str, amount: u64) -> Result<Verdict, Fault> {
    clove.verify(Attempt::new(credential).reserving(&tokens(), amount)).await
}

async fn granted(clove: &Clove, credential: &str, amount: u64) -> Grant {
    ask(clove, credential, amount).await.unwrap().granted().expect("a grant")
}

async fn is_refused(clove: &Clove, credential: &str, amount: u64) -> bool {
    match ask(clove, credential, amount).await.unwrap() {
        Verdict::Granted(_) => false,
        Verdict::Denied(denial) => {
            assert!(matches!(denial.reason(), DenialReason::BudgetExhausted(_)), "{denial:?}");
            true
        }
    }
}

/// What is settled and what is reserved.
async fn stands(clove: &Clove, scope: impl Into<Scope>) -> (u64, u64) {
    clove.flush().await.unwrap();
    let BudgetState { settled, reserved, .. } = clove.budget(scope, None, &tokens()).await.unwrap().unwrap();
    (settled, reserved)
}

#[tokio::test]
async fn a_grant_tells_what_it_has_reserved_and_what_is_left() {
    let policy = unlimited().budget(BudgetOf::Key, tokens(), budget(50, Refill::Monthly));
    let policy = policy.budget(BudgetOf::Organization, tokens(), budget(1_000, Refill::Never)).build().unwrap();
    let fixture = Fixture::new(policy).unwrap();
    let credential = credential(&fixture).await;
    assert!(fixture.clove.verify(&credential).await.unwrap().granted().unwrap().reservation().is_none());
    granted(&fixture.clove, &credential, 10).await;
    let grant = granted(&fixture.clove, &credential, 30).await;
    let reservation = grant.reservation().unwrap();
    let told: Vec<_> =
        reservation.budgets.iter().map(|state| (state.of, state.reserved, state.left(), state.refills_at)).collect();
    let february = "2026-02-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
    assert_eq!(told, [(BudgetOf::Key, 40, 10, Some(february)), (BudgetOf::Organization, 40, 960, None)]);
    assert_eq!((reservation.amount, &reservation.unit), (30, &tokens()));
}

#[tokio::test]
async fn a_request_beyond_a_budget_is_refused_with_what_to_do() {
    let fixture = Fixture::new(of_account(100)).unwrap();
    let credential = credential(&fixture).await;
    granted(&fixture.clove, &credential, 60).await;
    let sentence = async |amount| ask(&fixture.clove, &credential, amount).await.unwrap().denied().unwrap().to_string();
    assert_eq!(
        sentence(41).await,
        "The account of this API key may use 100 tokens a day, 40 are left, and this request may use 41. Wait until \
         2026-01-06 00:00 UTC, or ask an administrator for more."
    );
    assert!(sentence(u64::MAX).await.ends_with("Make the request smaller."));
    granted(&fixture.clove, &credential, 40).await;
    assert!(sentence(0).await.contains("a day, and none are left. Wait until"));
}

#[tokio::test]
async fn settling_frees_the_rest_once_however_often_and_in_whatever_order() {
    let fixture = Fixture::new(of_account(100)).unwrap();
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let (first, other) = (granted(clove, &credential, 40).await, granted(clove, &credential, 50).await);
    assert_eq!(stands(clove, &fixture.owner).await, (0, 90));
    clove.settle(&first, 10).unwrap();
    assert_eq!(stands(clove, &fixture.owner).await, (10, 50));
    for (used, settled) in [(10, 10), (4, 10), (12, 12), (0, 12)] {
        clove.settle(&first, used).unwrap();
        assert_eq!(stands(clove, &fixture.owner).await, (settled, 50));
    }
    // A stream tells as it goes, and is broken off.
    clove.record(&other, &tokens(), 20).unwrap();
    assert_eq!(stands(clove, &fixture.owner).await, (32, 30));
    clove.settle(&other, 20).unwrap();
    clove.record(&other, &tokens(), 15).unwrap();
    assert_eq!(stands(clove, &fixture.owner).await, (32, 0));
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 32, "it is usage as well");
}

#[tokio::test]
async fn more_than_was_reserved_counts_and_the_budget_refuses() {
    let fixture = Fixture::new(of_account(100)).unwrap();
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let grant = granted(clove, &credential, 10).await;
    clove.settle_durably(&grant, u64::MAX).await.unwrap();
    assert_eq!(stands(clove, &fixture.owner).await, (MAX_AMOUNT, 0));
    assert!(is_refused(clove, &credential, 0).await);
}

#[tokio::test]
async fn what_is_recorded_without_a_reservation_counts_from_the_flush_on() {
    let fixture = Fixture::new(of_account(100)).unwrap();
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let grant = clove.verify(&credential).await.unwrap().granted().unwrap();
    clove.record(&grant, &tokens(), 100).unwrap();
    let asking = granted(clove, &credential, 0).await;
    assert!(is_refused(clove, &credential, 101).await);
    clove.flush().await.unwrap();
    assert!(is_refused(clove, &credential, 0).await, "it is used up");
    assert!(clove.verify(&credential).await.unwrap().granted().is_some(), "who does not ask is not refused");
    assert!(matches!(clove.settle(&grant, 1), Err(RecordError::NotReserved)));
    clove.settle_durably(&asking, 5).await.unwrap();
    assert_eq!(stands(clove, &fixture.owner).await, (105, 0));
}

#[tokio::test]
async fn a_grant_that_nobody_settles_keeps_its_reservation_until_the_period_ends() {
    let fixture = Fixture::new(of_account(100)).unwrap();
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let late = granted(clove, &credential, 60).await;
    drop(granted(clove, &credential, 40).await);
    assert!(is_refused(clove, &credential, 1).await);
    fixture.clock().advance(DAY / 2);
    assert_eq!(stands(clove, &fixture.owner).await, (0, 0));
    granted(clove, &credential, 100).await;
    clove.settle(&late, 50).unwrap();
    assert_eq!(stands(clove, &fixture.owner).await, (0, 100), "it counts on the day of its grant");
    fixture.clock().step_back(DAY / 2);
    assert_eq!(stands(clove, &fixture.owner).await, (50, 40), "a clock that steps back finds the day as it was");
}

#[tokio::test]
async fn budgets_are_full_again_at_the_edges_of_day_week_and_month() {
    for (refill, before) in [
        (Refill::Daily, "2026-02-28T23:59:59.999999Z"),
        (Refill::Weekly, "2026-03-01T23:59:59.999999Z"),
        (Refill::Monthly, "2024-02-29T23:59:59.999999Z"),
    ] {
        let policy = unlimited().budget(BudgetOf::Account, tokens(), budget(100, refill)).build().unwrap();
        let fixture = Fixture::new(policy).unwrap();
        fixture.clock().set(before.parse().unwrap());
        let (clove, credential) = (&fixture.clove, credential(&fixture).await);
        let grant = granted(clove, &credential, 100).await;
        assert!(is_refused(clove, &credential, 1).await);
        fixture.clock().step(TimeDelta::microseconds(1));
        assert_eq!(grant.reservation().unwrap().budgets[0].refills_at, Some(clove.now()), "{refill:?}");
        granted(clove, &credential, 100).await;
        assert!(is_refused(clove, &credential, 1).await, "{refill:?}");
        for hours in [-1, 2, -2] {
            fixture.clock().step(TimeDelta::hours(hours));
            assert!(is_refused(clove, &credential, 1).await, "{refill:?} stepped by {hours} hours");
        }
    }
}

#[tokio::test]
async fn a_budget_that_never_refills_is_used_for_good() {
    let policy = unlimited().budget(BudgetOf::Account, tokens(), budget(100, Refill::Never)).build().unwrap();
    let fixture = Fixture::new(policy).unwrap();
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    for _ in 0..4 {
        let grant = granted(clove, &credential, 25).await;
        clove.settle_durably(&grant, 25).await.unwrap();
        fixture.clock().advance(10 * DAY);
    }
    assert!(is_refused(clove, &credential, 1).await);
}

#[tokio::test]
async fn a_denied_request_is_charged_to_none() {
    let limits = Limits::new([Window::new(3, Duration::from_secs(60)).unwrap()]).unwrap();
    let policy = of_account(100).to_builder().limits(Tier { key: limits, account: Some(Limits::unlimited()) });
    let (fixture, spy) = spied(policy.build().unwrap());
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    for _ in 0..10 {
        assert!(is_refused(clove, &credential, 101).await);
    }
    for left in [2, 1, 0] {
        let grant = granted(clove, &credential, 10).await;
        assert_eq!(grant.limits().next().unwrap().left, left, "no place was taken by what a budget refused");
    }
    spy.reserves();
    for _ in 0..10 {
        let denial = ask(clove, &credential, 10).await.unwrap().denied().unwrap();
        assert!(matches!(denial.reason(), DenialReason::LimitReached(_)));
    }
    assert_eq!(stands(clove, &fixture.owner).await, (0, 30), "nothing was reserved by what a window refused");
    assert!(spy.reserves().is_empty(), "nor was the store asked");
}

#[tokio::test]
async fn a_window_that_is_used_up_meanwhile_gives_the_reservation_back() {
    let limits = Limits::new([Window::new(1, Duration::from_secs(60)).unwrap()]).unwrap();
    let policy = of_account(100).to_builder().limits(Tier { key: limits, account: Some(Limits::unlimited()) });
    let (fixture, spy) = spied(policy.build().unwrap());
    let (clove, credential) = (fixture.clove.clone(), credential(&fixture).await);
    spy.hold_next_answer("reserve");
    let (task, presented) = (clove.clone(), credential.clone());
    let late = tokio::spawn(async move { ask(&task, &presented, 10).await });
    while !spy.calls().contains(&"reserve") {
        tokio::task::yield_now().await;
    }
    assert!(clove.verify(&credential).await.unwrap().granted().is_some());
    spy.give_answers();
    let denial = late.await.unwrap().unwrap().denied().unwrap();
    assert!(matches!(denial.reason(), DenialReason::LimitReached(_)));
    assert_eq!(stands(&clove, &fixture.owner).await, (0, 0));
}

#[tokio::test]
async fn only_checking_reserves_nothing() {
    let fixture = Fixture::new(of_account(100)).unwrap();
    let (clove, credential, tokens) = (&fixture.clove, credential(&fixture).await, tokens());
    for (amount, is_granted) in [(100, true), (100, true), (101, false)] {
        let verdict = clove.verify(Attempt::new(&credential).reserving(&tokens, amount).only_checking()).await.unwrap();
        assert_eq!(verdict.granted().map(|grant| grant.reservation().unwrap().amount), is_granted.then_some(0));
    }
    assert_eq!(stands(clove, &fixture.owner).await, (0, 0));
}

#[tokio::test]
async fn who_reserves_nothing_asks_no_store() {
    let (fixture, spy) = spied(of_account(100));
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    clove.verify(&credential).await.unwrap().granted().unwrap();
    spy.calls();
    for _ in 0..10 {
        clove.verify(&credential).await.unwrap().granted().unwrap();
    }
    assert!(!spy.calls().contains(&"reserve"));
}

#[tokio::test]
async fn a_store_that_is_away_is_a_fault_and_reserves_nothing() {
    let (fixture, spy) = spied(of_account(100));
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    granted(clove, &credential, 10).await;
    spy.fail_only("reserve");
    for _ in 0..20 {
        assert!(matches!(ask(clove, &credential, 10).await, Err(Fault::Store(StoreError::Unavailable { .. }))));
    }
    spy.set(Mode::Works);
    assert_eq!(stands(clove, &fixture.owner).await, (0, 10));
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_by_asking_again() {
    let (fixture, spy) = spied(of_account(100));
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    for endings in [vec![Ending::CommitsThenUnknown; 2], vec![Ending::RollsBackThenUnknown, Ending::CommitsThenUnknown]] {
        spy.end_reserves(endings);
        let grant = granted(clove, &credential, 40).await;
        let asked = spy.reserves();
        assert!(asked.len() == 3 && asked.iter().all(|reserve| reserve.grant == grant.id()));
        assert_eq!(stands(clove, &fixture.owner).await, (0, 40));
        clove.settle_durably(&grant, 0).await.unwrap();
    }
    for endings in [vec![Ending::CommitsThenUnknown; 4], vec![Ending::CommitsThenUnknown, Ending::Unavailable]] {
        spy.end_reserves(endings);
        assert!(matches!(ask(clove, &credential, 40).await, Err(Fault::Store(StoreError::OutcomeUnknown { .. }))));
        assert_eq!(stands(clove, &fixture.owner).await, (0, 0), "what nobody can settle is given back");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_nothing_reserved() {
    let (fixture, spy) = spied(of_account(100));
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    granted(clove, &credential, 1).await;
    spy.hold_next_answer("reserve");
    assert!(poll_and_drop(ask(clove, &credential, 40)).is_pending());
    assert_eq!(stands(clove, &fixture.owner).await, (0, 1));
    // The deadline passes while the store reserves.
    spy.hold_next_answer("reserve");
    let mut late = Box::pin(ask(clove, &credential, 40));
    assert!(late.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    fixture.clock().advance(Duration::from_secs(2));
    spy.give_answers();
    assert!(matches!(late.await, Err(Fault::DeadlineExceeded { .. })));
    assert_eq!(stands(clove, &fixture.owner).await, (0, 1));
}

#[tokio::test]
async fn a_budget_of_ones_own_is_set_by_who_may_and_is_on_record() {
    let fixture = Fixture::new(of_account(10)).unwrap();
    let (clove, owner, credential) = (&fixture.clove, &fixture.owner, credential(&fixture).await);
    let by = fixture.by.clone().may_set_limits();
    let own = BudgetChoice::Own(budget(100, Refill::Monthly));
    assert_eq!(refusal(clove.set_budget(owner, &tokens(), own, &fixture.by).await), Refusal::MayNotSetLimits);
    assert_eq!(invalid(clove.set_budget(owner, &Unit::requests(), own, &by).await).field, "unit of a budget");
    let built = unlimited().budget(BudgetOf::Key, Unit::requests(), budget(1, Refill::Daily)).build();
    assert_eq!(built.unwrap_err().field, "unit of a budget");
    let first = granted(clove, &credential, 10).await;
    for changed in [true, false] {
        clove.set_budget(owner, &tokens(), own, &by).await.unwrap();
        assert_eq!(actions(&fixture).await.last(), Some(&(Action::SetBudget, changed)));
    }
    assert_eq!(stands(clove, owner).await, (0, 10), "what was reserved before counts");
    assert!(is_refused(clove, &credential, 91).await);
    granted(clove, &credential, 90).await;
    clove.set_budget(owner, &tokens(), BudgetChoice::Default, &by).await.unwrap();
    assert!(is_refused(clove, &credential, 0).await);
    clove.settle(&first, 3).unwrap();
    assert_eq!(stands(clove, owner).await, (3, 90));
    clove.set_budget(owner, &tokens(), BudgetChoice::Unlimited, &by).await.unwrap();
    assert_eq!(clove.budget(owner, None, &tokens()).await.unwrap(), None);
    assert_eq!(granted(clove, &credential, 1_000).await.reservation().unwrap().amount, 0);
    clove.set_budget(&owner.organization, &tokens(), own, &by).await.unwrap();
    assert_eq!(stands(clove, &owner.organization).await, (3, 90));
    assert!(is_refused(clove, &credential, 8).await, "the organization's holds for its accounts");
}

#[tokio::test]
async fn a_budget_is_set_once_under_one_operation_id() {
    let fixture = Fixture::new(of_account(10)).unwrap();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let by = fixture.by.clone().may_set_limits().operation(clove::OperationId::new(clove.now()));
    let own = |amount| BudgetChoice::Own(budget(amount, Refill::Daily));
    clove.set_budget(owner, &tokens(), own(1), &by).await.unwrap();
    clove.set_budget(owner, &tokens(), own(2), &fixture.by.clone().may_set_limits()).await.unwrap();
    clove.set_budget(owner, &tokens(), own(1), &by).await.unwrap();
    assert_eq!(clove.budget(owner, None, &tokens()).await.unwrap().unwrap().budget.amount(), 2, "a repetition sets nothing");
    for (scope, choice) in [(Scope::from(owner), own(3)), (Scope::from(&owner.organization), own(1))] {
        let reused = refusal(clove.set_budget(scope, &tokens(), choice, &by).await);
        assert!(matches!(reused, Refusal::OperationReused { .. }), "{reused:?}");
    }
}

#[tokio::test]
async fn a_keys_budget_is_read_within_its_scope() {
    let policy = unlimited().budget(BudgetOf::Key, tokens(), budget(50, Refill::Daily)).build().unwrap();
    let fixture = Fixture::new(policy).unwrap();
    let issued = fixture.key_in(Status::Active).await.unwrap();
    granted(&fixture.clove, &issued.credential.unwrap().reveal(), 20).await;
    let read = async |scope: Scope| fixture.clove.budget(scope, Some(issued.key.id), &tokens()).await;
    for scope in [Scope::from(&fixture.owner), Scope::from(&fixture.owner.organization)] {
        assert_eq!(read(scope).await.unwrap().unwrap().left(), 30);
    }
    let bob = clove::Owner::new("acme", "bob").unwrap();
    assert_eq!(refusal(read((&bob).into()).await), Refusal::NotFound);
}

#[test]
fn racing_threads_of_several_handles_on_one_file_never_overspend() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let policy = of_account(1_000);
    let fixture = Fixture::on(SqliteStore::open(&path).unwrap(), policy.clone()).unwrap();
    let credential = runtime().block_on(credential(&fixture));
    let spent = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let clove = Clove::with_clock(SqliteStore::open(&path).unwrap(), policy.clone(), fixture.clock().clone());
            let (credential, spent) = (credential.clone(), Arc::clone(&spent));
            thread::spawn(move || {
                runtime().block_on(async {
                    while let Some(grant) = ask(&clove, &credential, 30).await.unwrap().granted() {
                        clove.settle_durably(&grant, 20).await.unwrap();
                        *spent.lock().unwrap() += 20;
                    }
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let spent = *spent.lock().unwrap();
    assert!((880..=1_000).contains(&spent), "{spent}");
    assert_eq!(runtime().block_on(stands(&fixture.clove, &fixture.owner)), (spent, 0));
}

/// A step, by which of up to eight grants, and how much.
#[derive(Clone, Debug)]
enum Step {
    Reserve(u64),
    Record(usize, u64),
    Settle(usize, u64),
    Drop(usize),
    Advance(i64),
    Choose(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..60_u64).prop_map(Step::Reserve),
        2 => (0..8_usize, 0..80_u64).prop_map(|(which, amount)| Step::Record(which, amount)),
        3 => (0..8_usize, 0..80_u64).prop_map(|(which, amount)| Step::Settle(which, amount)),
        1 => (0..8_usize).prop_map(Step::Drop),
        1 => (-30..30_i64).prop_map(Step::Advance),
        1 => (1..300_u64).prop_map(Step::Choose),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What one grant has taken of its day: the plain model of it all.
struct Taken {
    grant: Grant,
    day: clove::Day,
    asked: u64,
    total: u64,
    is_settled: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_budget_is_as_one_plain_number(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new(of_account(100)).unwrap();
            let (clove, credential) = (&fixture.clove, credential(&fixture).await);
            let by = fixture.by.clone().may_set_limits();
            let (mut all, mut live, mut amount): (Vec<Taken>, Vec<usize>, u64) = (Vec::new(), Vec::new(), 100);
            for step in steps {
                let which = |which: usize| live.get(which % live.len().max(1)).copied();
                let today = clove::Day::from(clove.now());
                let taken = |all: &[Taken]| -> u64 {
                    let of = |taken: &Taken| if taken.is_settled { taken.total } else { taken.total.max(taken.asked) };
                    all.iter().filter(|taken| taken.day == today).map(of).sum()
                };
                match step {
                    Step::Reserve(asked) => {
                        let fits = taken(&all) + asked.max(1) <= amount;
                        let verdict = ask(clove, &credential, asked).await.unwrap();
                        assert_eq!(verdict.clone().granted().is_some(), fits, "{asked} beside {} of {amount}", taken(&all));
                        if let Some(grant) = verdict.granted() {
                            live.push(all.len());
                            all.push(Taken { grant, day: today, asked, total: 0, is_settled: false });
                        }
                    }
                    Step::Record(place, total) => if let Some(place) = which(place) {
                        clove.record(&all[place].grant, &tokens(), total).unwrap();
                        all[place].total = all[place].total.max(total);
                    },
                    Step::Settle(place, total) => if let Some(place) = which(place) {
                        clove.settle(&all[place].grant, total).unwrap();
                        all[place].total = all[place].total.max(total);
                        all[place].is_settled = true;
                    },
                    Step::Drop(place) => if let Some(place) = which(place) {
                        live.retain(|live| *live != place);
                    },
                    Step::Advance(hours) => fixture.clock().step(TimeDelta::hours(hours)),
                    Step::Choose(new) => {
                        clove.set_budget(&fixture.owner, &tokens(), BudgetChoice::Own(budget(new, Refill::Daily)), &by).await.unwrap();
                        amount = new;
                    }
                }
                let today = clove::Day::from(clove.now());
                let of = |taken: &Taken| if taken.is_settled { taken.total } else { taken.total.max(taken.asked) };
                let sum: u64 = all.iter().filter(|taken| taken.day == today).map(of).sum();
                let (settled, reserved) = stands(clove, &fixture.owner).await;
                assert_eq!(settled + reserved, sum);
            }
        });
    }
}

#[tokio::test]
async fn a_settlement_whose_answer_is_lost_counts_once() {
    let (fixture, spy) = spied(of_account(100));
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let grant = granted(clove, &credential, 60).await;
    spy.end_batches([Ending::CommitsThenUnknown, Ending::Unavailable]);
    for _ in 0..2 {
        assert!(matches!(clove.settle_durably(&grant, 20).await, Err(RecordError::Store(_))));
    }
    assert_eq!(stands(clove, &fixture.owner).await, (20, 0));
}
