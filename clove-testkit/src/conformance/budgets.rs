//! Budgets: what is used and reserved of one never exceeds it, and each reservation is made once and freed once.

use super::{list_cases, tools::*};
use clove_core::{
    Action, GrantId, KeyId, OperationId, Owner, Scope, Timestamp,
    budget::{Budget, BudgetChoice, BudgetOf, BudgetState, Holder, Refill},
    id::NodeId,
    store::{
        BudgetQuery, BudgetRow, Changes, Decision, Meter, Reads, Report, Reserve, Reserved, Reserving, Transaction, UsageBatch,
    },
    usage::{Day, MAX_AMOUNT, Unit},
};
use std::sync::Arc;

list_cases![
    a_reservation_is_made_once,
    reservations_stop_at_the_budget,
    racing_reservations_stop_at_the_budget,
    a_refused_reservation_reserves_of_no_budget,
    what_only_asks_reserves_nothing,
    a_report_takes_from_what_is_reserved_and_settling_frees_the_rest,
    settling_before_the_reservation_frees_it_too,
    budgets_are_told_apart_by_holder_unit_and_period,
    a_budget_of_ones_own_stands_in_the_policys_place,
    what_is_reserved_outlives_its_ledger,
    what_is_reserved_is_no_usage,
    a_reservation_that_cannot_be_counted_is_refused,
];

fn day(days: i32) -> Day {
    Day::from_epoch_days(Day::of(start()).epoch_days() + days).unwrap()
}

fn unit(name: &str) -> Unit {
    Unit::new(name).unwrap()
}

fn budget(amount: u64, refill: Refill) -> Budget {
    Budget::new(amount, refill).unwrap()
}

fn meter(owner: &Owner, key: KeyId) -> Meter {
    Meter { owner: owner.clone(), key, unit: unit("tokens"), day: day(0) }
}

/// A request that reserves of a daily budget of the account.
fn of_account(meter: &Meter, amount: u64, of: u64) -> Reserve {
    let defaults = [None, Some(budget(of, Refill::Daily)), None];
    Reserve { grant: GrantId::new(start()), meter: meter.clone(), amount, holds: true, defaults }
}

fn report(reserve: &Reserve, total: u64, settles: bool) -> Report {
    Report { grant: reserve.grant, meter: reserve.meter.clone(), total, settles }
}

impl Bench {
    async fn reserve(&self, reserve: &Reserve) -> Reserved {
        self.store.reserve(Arc::new(reserve.clone())).await.unwrap()
    }

    async fn outcome(&self, reserve: &Reserve) -> Reserving {
        self.reserve(reserve).await.outcome
    }

    async fn report(&self, reports: Vec<Report>) {
        let at = Timestamp::from(start());
        let batch = UsageBatch { node: NodeId::new(at), sequence: 1, at, requests: Vec::new(), reports };
        self.store.record(Arc::new(batch)).await.unwrap();
    }

    /// What is settled and what is reserved of one, on a day.
    async fn stands(&self, holder: Holder, refill: Refill, on: Day) -> (u64, u64) {
        let default = Some(budget(MAX_AMOUNT, refill));
        let query = BudgetQuery { holder, unit: unit("tokens"), day: on, default };
        let state = self.store.budget(&query).await.unwrap().unwrap();
        (state.settled, state.reserved)
    }

    async fn account_stands(&self, owner: &Owner) -> (u64, u64) {
        self.stands(Holder::Account(owner.clone()), Refill::Daily, day(0)).await
    }

    async fn choose(&self, scope: impl Into<Scope>, name: &str, choice: BudgetChoice) {
        let (scope, unit, operation) = (scope.into(), unit(name), OperationId::new(start()));
        let reads = Reads::Budget { scope: scope.clone(), unit: unit.clone() };
        let owner = self.owner("acme", "actor");
        let mut event = event(operation, Action::SetBudget, &key(&owner));
        event.key = None;
        let row = BudgetRow { scope, unit, choice };
        let decide = move |_: &_| {
            Decision::Commit(Changes { budget: Some(row.clone()), events: vec![event.clone()], ..Changes::default() })
        };
        committed(self.transact(Transaction::new(operation, reads, decide)).await);
    }

    async fn chosen(&self, scope: impl Into<Scope>, name: &str) -> Option<BudgetChoice> {
        let reads = Reads::Budget { scope: scope.into(), unit: unit(name) };
        self.read(OperationId::new(start()), reads).await.budget
    }
}

async fn a_reservation_is_made_once(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let first = of_account(&meter(&owner, KeyId::new(start())), 30, 100);
    assert_eq!(bench.outcome(&first).await, Reserving::Hold);
    for _ in 0..3 {
        let again = bench.reserve(&first).await;
        assert_eq!((again.outcome, again.states[0].reserved), (Reserving::Held, 30));
    }
    assert_eq!(bench.account_stands(&owner).await, (0, 30));
    // Of another unit it is another one, and of another grant.
    let mut others = [first.clone(), first.clone()];
    (others[0].meter.unit, others[1].grant) = (unit("bytes"), GrantId::new(start()));
    for other in &others {
        assert_eq!(bench.outcome(other).await, Reserving::Hold);
    }
    assert_eq!(bench.account_stands(&owner).await, (0, 60));
}

async fn reservations_stop_at_the_budget(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let meter = meter(&owner, KeyId::new(start()));
    let state = |settled, reserved| BudgetState {
        of: BudgetOf::Account,
        unit: unit("tokens"),
        budget: budget(100, Refill::Daily),
        settled,
        reserved,
        refills_at: Some((start() + chrono::TimeDelta::days(1)).date_naive().and_time(chrono::NaiveTime::MIN).and_utc()),
    };
    let first = of_account(&meter, 60, 100);
    for (reserve, outcome, reserved) in [
        (first.clone(), Reserving::Hold, 60),
        (of_account(&meter, 41, 100), Reserving::Refuse, 60),
        (of_account(&meter, u64::MAX, 100), Reserving::Refuse, 60),
        (of_account(&meter, 40, 100), Reserving::Hold, 100),
        (of_account(&meter, 1, 100), Reserving::Refuse, 100),
        (of_account(&meter, 0, 100), Reserving::Refuse, 100),
    ] {
        let wanted = Reserved { outcome, states: vec![state(0, reserved)] };
        assert_eq!(bench.reserve(&reserve).await, wanted, "{}", reserve.amount);
    }
    bench.report(vec![report(&first, 90, true)]).await;
    let over = Reserved { outcome: Reserving::Refuse, states: vec![state(90, 40)] };
    assert_eq!(bench.reserve(&of_account(&meter, 0, 100)).await, over, "more was used than reserved");
    assert_eq!(bench.outcome(&of_account(&meter, 20, 150)).await, Reserving::Hold, "the budget was raised");
}

async fn racing_reservations_stop_at_the_budget(bench: Arc<Bench>) {
    for round in 0..5 {
        let owner = bench.owner("acme", &format!("ada-{round}"));
        let meter = meter(&owner, KeyId::new(start()));
        let takes = (0..16).map(|_| {
            let (bench, meter) = (Arc::clone(&bench), meter.clone());
            async move {
                let mut held = 0;
                for _ in 0..5 {
                    held += u64::from(bench.outcome(&of_account(&meter, 7, 350)).await == Reserving::Hold);
                }
                held
            }
        });
        assert_eq!(at_once(takes.collect()).into_iter().sum::<u64>(), 50);
        assert_eq!(bench.account_stands(&owner).await, (0, 350));
    }
}

async fn a_refused_reservation_reserves_of_no_budget(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let meter = meter(&owner, KeyId::new(start()));
    let tight = |place: usize| {
        let mut defaults = [Some(budget(100, Refill::Daily)); 3];
        defaults[place] = Some(budget(9, Refill::Daily));
        Reserve { defaults, ..of_account(&meter, 10, 1) }
    };
    for place in 0..3 {
        let refused = tight(place);
        let answer = bench.reserve(&refused).await;
        assert_eq!(answer.outcome, Reserving::Refuse);
        assert_eq!(answer.states.iter().map(|state| state.of).collect::<Vec<_>>(), BudgetOf::ALL);
        for holder in Holder::all_of(&owner, meter.key) {
            assert_eq!(bench.stands(holder, Refill::Daily, day(0)).await, (0, 0));
        }
        // Refused is not remembered: with room it may be made.
        assert_eq!(bench.outcome(&Reserve { amount: 1, ..refused.clone() }).await, Reserving::Hold);
        bench.report(vec![report(&refused, 0, true)]).await;
    }
}

async fn what_only_asks_reserves_nothing(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let first = of_account(&meter(&owner, KeyId::new(start())), 100, 100);
    let asks = [
        Reserve { holds: false, ..first.clone() },
        Reserve { amount: 0, ..first.clone() },
        Reserve { defaults: [None; 3], ..first.clone() },
    ];
    for ask in &asks {
        assert_eq!(bench.outcome(ask).await, Reserving::Pass);
        assert_eq!(bench.account_stands(&owner).await, (0, 0));
    }
    assert_eq!(bench.outcome(&first).await, Reserving::Hold);
    let others = asks.map(|ask| Reserve { grant: GrantId::new(start()), ..ask });
    for (ask, outcome) in others.iter().zip([Reserving::Refuse, Reserving::Refuse, Reserving::Pass]) {
        assert_eq!(bench.outcome(ask).await, outcome);
    }
}

async fn a_report_takes_from_what_is_reserved_and_settling_frees_the_rest(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let other = of_account(&meter(&owner, KeyId::new(start())), 1_000, MAX_AMOUNT);
    bench.reserve(&other).await;
    let first = of_account(&meter(&owner, key), 100, MAX_AMOUNT);
    bench.reserve(&first).await;
    let mut second = report(&first, 5, true);
    second.meter.unit = unit("bytes");
    for (told, settled, reserved) in [
        (report(&first, 30, false), 30, 70),
        (report(&first, 20, false), 30, 70),
        (second, 30, 70),
        (report(&first, 40, true), 40, 0),
        (report(&first, 40, true), 40, 0),
        (report(&first, 10, true), 40, 0),
        (report(&first, 60, false), 60, 0),
        (report(&first, 150, true), 150, 0),
    ] {
        bench.report(vec![told]).await;
        let [of_key, account, organization] = Holder::all_of(&owner, key);
        assert_eq!(bench.stands(of_key, Refill::Daily, day(0)).await, (settled, reserved));
        for all in [account, organization] {
            assert_eq!(bench.stands(all, Refill::Daily, day(0)).await, (settled, reserved + 1_000));
        }
    }
    // Of two processes, and in one batch.
    bench.report(vec![report(&other, 2_000, false), report(&first, 151, true)]).await;
    assert_eq!(bench.account_stands(&owner).await, (2_151, 0));
    assert_eq!(bench.outcome(&first).await, Reserving::Refuse, "it is over");
}

async fn settling_before_the_reservation_frees_it_too(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let late = of_account(&meter(&owner, KeyId::new(start())), 100, 1_000);
    bench.report(vec![report(&late, 0, true)]).await;
    assert_eq!(bench.outcome(&late).await, Reserving::Refuse);
    assert_eq!(bench.account_stands(&owner).await, (0, 0));
}

async fn budgets_are_told_apart_by_holder_unit_and_period(bench: Arc<Bench>) {
    // The start is a Monday, the fifth of its month.
    let mut amount = 1;
    let mut reserves = Vec::new();
    for (organization, account) in [("acme", "ada"), ("acme", "Ada"), ("acme", "bob"), ("ac", "mebob")] {
        for days in [-5, -4, -1, 0, 1, 6, 7, 26, 27] {
            let mut meter = meter(&bench.owner(organization, account), KeyId::new(start()));
            meter.day = day(days);
            let reserve = of_account(&meter, amount, MAX_AMOUNT);
            assert_eq!(bench.outcome(&reserve).await, Reserving::Hold);
            bench.report(vec![report(&Reserve { grant: GrantId::new(start()), ..reserve.clone() }, amount * 2, false)]).await;
            let mut bytes = reserve.clone();
            bytes.meter.unit = unit("bytes");
            bench.reserve(&bytes).await;
            reserves.push((days, reserve));
            amount += 1;
        }
    }
    for (_, asked) in &reserves {
        for holder in Holder::all_of(&asked.meter.owner, asked.meter.key) {
            for (refill, days) in
                [(Refill::Daily, 0..=0), (Refill::Weekly, 0..=6), (Refill::Monthly, -4..=26), (Refill::Never, -999..=999)]
            {
                let counts = |other: &Meter| Holder::all_of(&other.owner, other.key).contains(&holder);
                let counted = reserves.iter().filter(|(on, other)| days.contains(on) && counts(&other.meter));
                let sum: u64 = counted.map(|(_, other)| other.amount).sum();
                assert_eq!(bench.stands(holder.clone(), refill, day(0)).await, (sum * 2, sum), "{holder:?}, {refill:?}");
            }
        }
    }
}

async fn a_budget_of_ones_own_stands_in_the_policys_place(bench: Arc<Bench>) {
    let (ada, bob) = (bench.owner("acme", "ada"), bench.owner("acme", "bob"));
    let own = |amount| BudgetChoice::Own(budget(amount, Refill::Monthly));
    assert_eq!(bench.chosen(&ada, "tokens").await, Some(BudgetChoice::Default));
    for choice in [own(5), own(MAX_AMOUNT), BudgetChoice::Unlimited, BudgetChoice::Default, own(50)] {
        bench.choose(&ada, "tokens", choice).await;
        assert_eq!(bench.chosen(&ada, "tokens").await, Some(choice));
    }
    bench.choose(&ada.organization, "tokens", own(70)).await;
    assert_eq!(bench.chosen(&ada, "tokens").await, Some(own(50)));
    assert_eq!(bench.chosen(&ada.organization, "tokens").await, Some(own(70)));
    for (scope, name) in [
        (Scope::from(&bob), "tokens"),
        (Scope::from(&ada), "bytes"),
        (Scope::from(&bench.owner("ac", "me").organization), "tokens"),
    ] {
        assert_eq!(bench.chosen(scope, name).await, Some(BudgetChoice::Default));
    }
    let asks = |owner: &Owner, amount| of_account(&meter(owner, KeyId::new(start())), amount, 10);
    assert_eq!(bench.outcome(&asks(&ada, 50)).await, Reserving::Hold);
    assert_eq!(bench.outcome(&asks(&bob, 11)).await, Reserving::Refuse, "the policy's");
    assert_eq!(bench.outcome(&asks(&bob, 10)).await, Reserving::Hold);
    bench.choose(&bob, "tokens", BudgetChoice::Unlimited).await;
    assert_eq!(bench.outcome(&asks(&bob, 11)).await, Reserving::Refuse, "the organization's");
    assert_eq!(bench.outcome(&asks(&bob, 10)).await, Reserving::Hold);
    bench.choose(&ada.organization, "tokens", BudgetChoice::Unlimited).await;
    assert_eq!(bench.outcome(&asks(&bob, 1_000)).await, Reserving::Pass);
}

async fn what_is_reserved_outlives_its_ledger(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let reserve = of_account(&meter(&owner, KeyId::new(start())), 100, 1_000);
    bench.reserve(&reserve).await;
    assert_eq!(bench.store.forget_reports(day(1), 9).await.unwrap(), 1);
    assert_eq!(bench.account_stands(&owner).await, (0, 100));
}

async fn what_is_reserved_is_no_usage(bench: Arc<Bench>) {
    use clove_core::{UsageBy, UsagePer, store::UsageQuery};
    let owner = bench.owner("acme", "ada");
    let reserve = of_account(&meter(&owner, KeyId::new(start())), 100, 1_000);
    bench.reserve(&reserve).await;
    for (by, per) in [(UsageBy::Key, UsagePer::Day), (UsageBy::Account, UsagePer::Total), (UsageBy::Organization, UsagePer::Day)]
    {
        let scope = Scope::from(&owner);
        let (key, unit, after, limit) = (None, None, None, 9);
        let page = bench.store.usage(&UsageQuery { scope, by, per, key, unit, first: day(-9), last: day(9), after, limit }).await;
        assert!(page.as_ref().is_ok_and(|page| page.sums.is_empty() && page.corrupt == 0 && !page.more), "{page:?}");
    }
}

async fn a_reservation_that_cannot_be_counted_is_refused(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let meter = meter(&owner, KeyId::new(start()));
    let half = || of_account(&meter, MAX_AMOUNT / 2 + 1, MAX_AMOUNT);
    let first = half();
    assert_eq!(bench.outcome(&first).await, Reserving::Hold);
    assert_eq!(bench.outcome(&half()).await, Reserving::Refuse);
    // Those of the organization, which has no budget yet, are beyond counting: whatever goes, it is never told as less than is left.
    let other = bench.owner("acme", "bob");
    let second = of_account(&Meter { owner: other, ..meter.clone() }, MAX_AMOUNT / 2 + 1, MAX_AMOUNT);
    assert_eq!(bench.outcome(&second).await, Reserving::Hold);
    let organization = || Holder::Organization(owner.organization.clone());
    assert_eq!(bench.stands(organization(), Refill::Daily, day(0)).await, (0, MAX_AMOUNT));
    bench.report(vec![report(&first, 0, true)]).await;
    assert_eq!(bench.account_stands(&owner).await, (0, 0));
    assert!(bench.stands(organization(), Refill::Daily, day(0)).await.1 >= second.amount);
}
