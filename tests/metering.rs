//! Usage: what is acknowledged is counted once, whatever fails, and read as it is asked for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod gate;
mod support;

use chrono::TimeDelta;
use clove::{
    Attempt, Clove, Cursor, Day, Error, Grant, KeyId, ListUsage, MemoryStore, Owner, Policy, RecordError, Scope, Status, Store,
    StoreError, Tier, Unit, Usage, UsageBy, UsagePer, error::CorruptRow, sqlite::SqliteStore, usage::MAX_AMOUNT,
};
use clove_testkit::{Fixture, TestClock};
use gate::{Gate, Interruption};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use support::{DAY, Ending, Mode, Spy, named, poll_and_drop, spied};

/// Any number of keys and requests.
fn policy() -> Policy {
    let policy = Policy::builder().active_limit(clove::ActiveLimit::Unlimited).max_records(None).max_creations_per_day(None);
    policy.limits(Tier::unlimited()).build().unwrap()
}

fn tokens() -> Unit {
    Unit::new("tokens").unwrap()
}

async fn credential(fixture: &Fixture) -> String {
    fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal().to_string()
}

async fn grant(clove: &Clove, credential: &str) -> Grant {
    clove.verify(credential).await.unwrap().granted().expect("a grant")
}

/// All sums that a list finds, page by page, by way of each cursor's text.
async fn sums(clove: &Clove, scope: impl Into<Scope>, list: &ListUsage) -> Vec<Usage> {
    let (scope, mut list, mut found) = (scope.into(), list.clone(), Vec::new());
    loop {
        let page = clove.usage(&scope, &list).await.unwrap();
        assert!(page.corrupt.is_empty());
        found.extend(page.items);
        list.after = page.next.map(|cursor| cursor.to_string().parse().unwrap());
        if list.after.is_none() {
            return found;
        }
    }
}

/// The total of a unit in an organization.
async fn total(clove: &Clove, owner: &Owner, unit: &Unit) -> u64 {
    let list = ListUsage { per: UsagePer::Total, unit: Some(unit.clone()), ..ListUsage::default() };
    sums(clove, &owner.organization, &list).await.first().map_or(0, |sum| sum.amount)
}

#[tokio::test]
async fn requests_are_counted_as_they_are_granted_by_what_they_take() {
    let fixture = Fixture::new(policy()).unwrap();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let (first, second) = (fixture.key_in(Status::Active).await.unwrap(), credential(&fixture).await);
    let (id, first) = (first.key.id, first.credential.unwrap().reveal().to_string());
    for attempt in [Attempt::new(&first), Attempt::new(&first).costing(5), Attempt::new(&first).costing(0), Attempt::new(&second)]
    {
        assert!(clove.verify(attempt).await.unwrap().granted().is_some());
    }
    assert!(clove.verify(Attempt::new(&first).only_checking()).await.unwrap().granted().is_some());
    fixture.clock().advance(DAY);
    grant(clove, &first).await;
    clove.disable(owner, id, &fixture.by).await.unwrap();
    assert!(clove.verify(&first).await.unwrap().denied().is_some());
    clove.flush().await.unwrap();
    let list = ListUsage { by: UsageBy::Key, unit: Some(Unit::requests()), ..ListUsage::default() };
    let mut found: Vec<_> =
        sums(clove, owner, &list).await.into_iter().map(|sum| (sum.key == Some(id), sum.day, sum.amount)).collect();
    found.sort();
    let (yesterday, today) = (Some(Day::of(clove.now()).before(1)), Some(Day::of(clove.now())));
    assert_eq!(found, [(false, yesterday, 1), (true, yesterday, 6), (true, today, 1)]);
    assert_eq!(clove.uncounted_requests(), 0);
}

#[tokio::test]
async fn requests_that_a_window_refuses_are_not_counted() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let credential = credential(&fixture).await;
    for _ in 0..70 {
        let _ = fixture.clove.verify(&credential).await.unwrap();
    }
    fixture.clove.flush().await.unwrap();
    assert_eq!(total(&fixture.clove, &fixture.owner, &Unit::requests()).await, 60);
}

#[tokio::test]
async fn requests_granted_on_many_threads_are_all_counted() {
    let fixture = Fixture::new(policy()).unwrap();
    let credential = credential(&fixture).await;
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for request in 0..500 {
                    assert!(poll_and_drop(fixture.clove.verify(&credential)).is_ready());
                    if request % 8 == 0 {
                        // It may find another thread's write on its way, and not wait for it.
                        let _ = poll_and_drop(fixture.clove.flush());
                    }
                }
            });
        }
    });
    fixture.clove.flush().await.unwrap();
    assert_eq!(total(&fixture.clove, &fixture.owner, &Unit::requests()).await, 10_000);
}

#[tokio::test]
async fn of_a_stream_s_running_totals_the_largest_counts() {
    let fixture = Fixture::new(policy()).unwrap();
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let (first, second) = (grant(clove, &credential).await, grant(clove, &credential).await);
    for (grant, so_far, flushes, wanted) in
        [(&first, 10, false, 0), (&first, 7, true, 10), (&second, 7, true, 17), (&first, 9, true, 17), (&first, 12, true, 19)]
    {
        clove.record(grant, &tokens(), so_far).unwrap();
        if flushes {
            clove.flush().await.unwrap();
        }
        assert_eq!(total(clove, &fixture.owner, &tokens()).await, wanted);
    }
    clove.record_durably(&second, &Unit::new("bytes").unwrap(), 5).await.unwrap();
    assert_eq!(total(clove, &fixture.owner, &Unit::new("bytes").unwrap()).await, 5);
    clove.record(&second, &tokens(), 0).unwrap();
    clove.record_durably(&second, &tokens(), u64::MAX).await.unwrap();
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, MAX_AMOUNT);
}

#[tokio::test]
async fn an_amount_counts_on_the_day_of_its_grant_and_is_taken_for_a_week() {
    let fixture = Fixture::new(policy()).unwrap();
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let grant = grant(clove, &credential).await;
    fixture.clock().advance(7 * DAY);
    clove.record_durably(&grant, &tokens(), 3).await.unwrap();
    let found = sums(clove, &fixture.owner, &ListUsage { unit: Some(tokens()), ..ListUsage::default() }).await;
    assert_eq!(found.iter().map(|sum| sum.day).collect::<Vec<_>>(), [Some(Day::of(grant.at()))]);
    fixture.clock().advance(Duration::from_micros(1));
    for total in [0, 4] {
        let late = clove.record(&grant, &tokens(), total).unwrap_err();
        assert!(matches!(late, RecordError::TooLate { at, days: 7 } if at == grant.at()), "{late:?}");
    }
    clove.flush().await.unwrap();
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 3);
}

#[tokio::test]
async fn nothing_is_recorded_in_the_unit_that_verification_counts_in() {
    let fixture = Fixture::new(policy()).unwrap();
    let grant = grant(&fixture.clove, &credential(&fixture).await).await;
    assert!(matches!(fixture.clove.record(&grant, &Unit::requests(), 1), Err(RecordError::Reserved)));
    let durably = fixture.clove.record_durably(&grant, &Unit::new("requests").unwrap(), 1).await;
    assert!(matches!(durably, Err(RecordError::Reserved)));
}

#[tokio::test]
async fn what_is_reported_is_not_forgotten_before_it_can_no_longer_be_reported() {
    let (fixture, spy) = spied(policy());
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let (first, noon) = (grant(clove, &credential).await, clove.now());
    clove.record_durably(&first, &tokens(), 5).await.unwrap();
    let work = fixture.clove.maintenance();
    let mut work = pin!(work.run(|error| panic!("{error}")));
    let mut maintain = || {
        for _ in 0..60 {
            let _ = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            fixture.clock().advance(Duration::from_secs(1));
        }
        let _ = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    };
    fixture.clock().set(noon + TimeDelta::days(7));
    clove.record(&first, &tokens(), 5).unwrap();
    // A process that could not write for a week.
    fixture.clock().set(noon + TimeDelta::days(14));
    maintain();
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 5);
    assert!(spy.calls().contains(&"forget_reports"));
    fixture.clock().set(noon + TimeDelta::days(17));
    maintain();
    let before = Day::of(noon + TimeDelta::days(1));
    assert_eq!(spy.inner.forget_reports(before, 9).await.unwrap(), 0, "it is forgotten");
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 5);
}

#[tokio::test]
async fn a_full_buffer_says_so_keeps_what_it_has_and_takes_more_after_a_flush() {
    let (fixture, spy) = spied(policy());
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let first = grant(clove, &credential).await;
    clove.record(&first, &tokens(), 1).unwrap();
    let units: Vec<Unit> = (0..255).map(|number| Unit::new(format!("u{number}")).unwrap()).collect();
    let mut taken = 1;
    let full = 'full: loop {
        let next = grant(clove, &credential).await;
        for unit in &units {
            match clove.record(&next, unit, 1) {
                Ok(()) => taken += 1,
                Err(error) => break 'full error,
            }
        }
    };
    assert!(matches!(full, RecordError::Full { waiting: 65_536 }) && taken == 65_536, "{full:?} after {taken}");
    clove.record(&first, &tokens(), 9).unwrap();
    spy.set(Mode::Fails);
    assert!(clove.flush().await.is_err());
    spy.set(Mode::Works);
    spy.usage_batches();
    clove.flush().await.unwrap();
    let batches = spy.usage_batches();
    assert!(batches.iter().all(|batch| batch.requests.len() + batch.reports.len() <= 1024), "commands wait for no more");
    assert!(batches.iter().map(|batch| batch.sequence).is_sorted());
    let list = ListUsage { per: UsagePer::Total, limit: Some(200), ..ListUsage::default() };
    let all: u64 =
        sums(clove, &fixture.owner, &list).await.iter().filter(|sum| !sum.unit.is_requests()).map(|sum| sum.amount).sum();
    assert_eq!(all, 65_535 + 9);
    clove.record(&grant(clove, &credential).await, &tokens(), 1).unwrap();
}

#[tokio::test]
async fn what_could_not_be_written_is_sent_again_as_it_was_and_what_came_since_apart_from_it() {
    for ending in [Ending::Unavailable, Ending::CommitsThenUnknown, Ending::RollsBackThenUnknown] {
        let (fixture, spy) = spied(policy());
        let (clove, credential) = (&fixture.clove, credential(&fixture).await);
        let first = grant(clove, &credential).await;
        clove.record(&first, &tokens(), 5).unwrap();
        spy.end_batches([ending, ending]);
        for attempts in 1..=2 {
            let error = clove.flush().await.unwrap_err();
            match ending {
                Ending::Unavailable => assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}"),
                _ => assert!(matches!(error, StoreError::OutcomeUnknown { .. }), "{error:?}"),
            }
            clove.record(&first, &tokens(), 5 + attempts).unwrap();
            grant(clove, &credential).await;
        }
        clove.flush().await.unwrap();
        let sent = spy.usage_batches();
        assert_eq!(sent.iter().map(|batch| batch.sequence).collect::<Vec<_>>(), [1, 1, 1, 2]);
        assert!(sent[0] == sent[1] && sent[1] == sent[2]);
        assert_eq!(total(clove, &fixture.owner, &tokens()).await, 7);
        assert_eq!(total(clove, &fixture.owner, &Unit::requests()).await, 3);
        clove.flush().await.unwrap();
        assert!(spy.usage_batches().is_empty(), "there is nothing left to write");
    }
}

#[tokio::test]
async fn a_durable_report_whose_write_fails_says_so_and_waits() {
    let (fixture, spy) = spied(policy());
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let grant = grant(clove, &credential).await;
    spy.end_batches([Ending::Unavailable]);
    let error = clove.record_durably(&grant, &tokens(), 5).await.unwrap_err();
    assert!(matches!(error, RecordError::Store(StoreError::Unavailable { .. })), "{error:?}");
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 0);
    clove.shut_down().await.unwrap();
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 5);
}

#[tokio::test]
async fn last_uses_that_cannot_be_written_keep_no_usage_back() {
    let (fixture, spy) = spied(policy());
    let credential = credential(&fixture).await;
    grant(&fixture.clove, &credential).await;
    spy.fail_only("touch");
    assert!(fixture.clove.flush().await.is_err());
    assert_eq!(total(&fixture.clove, &fixture.owner, &Unit::requests()).await, 1);
}

#[tokio::test]
async fn flushes_at_once_share_one_write_and_each_ends_when_its_own_is_written() {
    let (fixture, spy) = spied(policy());
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let (one, two) = (grant(clove, &credential).await, grant(clove, &credential).await);
    spy.set(Mode::Hangs);
    let poll = |work: std::pin::Pin<&mut dyn Future<Output = Result<(), RecordError>>>| {
        work.poll(&mut Context::from_waker(Waker::noop()))
    };
    let unit = tokens();
    let mut second = Box::pin(clove.record_durably(&two, &unit, 2));
    {
        let mut first = Box::pin(clove.record_durably(&one, &unit, 1));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        assert_eq!(spy.usage_batches().len(), 1, "one at a time");
    }
    // The first caller has gone; whoever still waits goes on with what hangs, and a later one finds both gone.
    assert!(poll(second.as_mut()).is_pending() && spy.usage_batches().is_empty());
    drop(second);
    spy.set(Mode::Works);
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 0);
    clove.flush().await.unwrap();
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 3);
    assert_eq!(spy.usage_batches().iter().map(|batch| batch.sequence).collect::<Vec<_>>(), [1, 2]);
}

async fn interrupted_at_each_point(how: Interruption, make: impl Fn() -> Box<dyn Store>) {
    // Last uses are written first, usage then.
    for point in 0..2 * Gate::POINTS {
        let gate = Gate::new(make());
        let fixture = Fixture::on(gate.clone(), policy()).unwrap();
        let (clove, credential) = (&fixture.clove, credential(&fixture).await);
        let first = grant(clove, &credential).await;
        clove.record(&first, &tokens(), 5).unwrap();
        let reached = gate.interrupt(point, how, clove.flush()).await;
        assert!(reached || how == Interruption::Panic && point >= Gate::POINTS, "what panics while usage is written is an error");
        clove.record(&first, &tokens(), 7).unwrap();
        grant(clove, &credential).await;
        clove.flush().await.unwrap();
        assert_eq!(total(clove, &fixture.owner, &tokens()).await, 7, "{how:?} at {point}");
        assert_eq!(total(clove, &fixture.owner, &Unit::requests()).await, 2, "{how:?} at {point}");
    }
}

#[tokio::test]
async fn a_flush_that_is_dropped_or_panics_at_any_point_counts_nothing_twice_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = std::cell::Cell::new(0);
    let file = || {
        files.set(files.get() + 1);
        Box::new(SqliteStore::open(folder.path().join(format!("{}.db", files.get()))).unwrap()) as Box<dyn Store>
    };
    for how in [Interruption::Hang, Interruption::Panic] {
        interrupted_at_each_point(how, || Box::new(MemoryStore::new())).await;
        interrupted_at_each_point(how, file).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_handles_on_one_file_count_each_report_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let clock = TestClock::new();
    let handles: Vec<Clove> =
        (0..3).map(|_| Clove::with_clock(SqliteStore::open(&path).unwrap(), policy(), clock.clone())).collect();
    let fixture = Fixture::on(SqliteStore::open(&path).unwrap(), policy()).unwrap();
    let credential = credential(&fixture).await;
    let mut grants = Vec::new();
    for _ in 0..40 {
        grants.push(grant(&handles[0], &credential).await);
    }
    let grants = Arc::new(grants);
    let work = handles.iter().enumerate().map(|(place, clove)| {
        let (clove, credential, grants) = (clove.clone(), credential.clone(), Arc::clone(&grants));
        tokio::spawn(async move {
            // Each reports all grants, in another order, and some of them less.
            for step in 0..grants.len() {
                let number = (step * 7 + place * 11) % grants.len();
                let so_far = 100 + (number * 13 + place) as u64;
                clove.record(&grants[number], &tokens(), so_far).unwrap();
                grant(&clove, &credential).await;
                if step % 5 == place {
                    clove.flush().await.unwrap();
                }
            }
            clove.flush().await.unwrap();
        })
    });
    for work in work.collect::<Vec<_>>() {
        work.await.unwrap();
    }
    let wanted: u64 = (0..40).map(|number| 100 + number * 13 + 2).sum();
    assert_eq!(total(&fixture.clove, &fixture.owner, &tokens()).await, wanted);
    assert_eq!(total(&fixture.clove, &fixture.owner, &Unit::requests()).await, 40 + 3 * 40);
}

/// One thing that happens to one of two processes.
#[derive(Clone, Debug)]
enum Step {
    Grant(usize),
    Record { by: usize, grant: usize, unit: usize, total: u64 },
    Flush { by: usize, endings: Vec<usize> },
    DropFlush(usize),
    Day,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..2_usize).prop_map(Step::Grant),
        8 => (0..2_usize, 0..6_usize, 0..2_usize, 1..50_u64).prop_map(|(by, grant, unit, total)| Step::Record { by, grant, unit, total }),
        4 => (0..2_usize, proptest::collection::vec(0..4_usize, 0..3)).prop_map(|(by, endings)| Step::Flush { by, endings }),
        1 => (0..2_usize).prop_map(Step::DropFlush),
        1 => Just(Step::Day),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What each grant has used of each unit, in a plain ledger.
#[derive(Default)]
struct Ledger {
    reported: BTreeMap<(usize, usize), u64>,
    acknowledged: BTreeMap<(usize, usize), u64>,
    /// What was reported by each process, and is not acknowledged.
    waiting: [BTreeMap<(usize, usize), u64>; 2],
    requests: [u64; 2],
    acknowledged_requests: [u64; 2],
}

fn sum_of(ledger: &BTreeMap<(usize, usize), u64>) -> u64 {
    ledger.values().sum()
}

async fn keep_a_ledger(steps: Vec<Step>) {
    const ENDINGS: [Ending; 4] = [Ending::Commits, Ending::CommitsThenUnknown, Ending::RollsBackThenUnknown, Ending::Unavailable];
    let (store, clock) = (MemoryStore::new(), TestClock::new());
    let spies = [Spy::over(store.clone()), Spy::over(store.clone())];
    let handles = spies.clone().map(|spy| Clove::with_clock(spy, policy(), clock.clone()));
    let fixture = Fixture::on(store, policy()).unwrap();
    let credential = credential(&fixture).await;
    let units = [tokens(), Unit::new("bytes").unwrap()];
    let (mut grants, mut ledger) = (Vec::new(), Ledger::default());
    for step in steps {
        match step {
            Step::Grant(by) => {
                grants.push(grant(&handles[by], &credential).await);
                ledger.requests[by] += 1;
            }
            Step::Record { by, grant, unit, total } => {
                let Some(granted) = grants.get(grant) else { continue };
                handles[by].record(granted, &units[unit], total).unwrap();
                for known in [&mut ledger.reported, &mut ledger.waiting[by]] {
                    let known = known.entry((grant, unit)).or_default();
                    *known = total.max(*known);
                }
            }
            Step::Flush { by, endings } => {
                spies[by].end_batches(endings.into_iter().map(|ending| ENDINGS[ending]));
                if handles[by].flush().await.is_ok() {
                    for (name, total) in std::mem::take(&mut ledger.waiting[by]) {
                        let known = ledger.acknowledged.entry(name).or_default();
                        *known = total.max(*known);
                    }
                    ledger.acknowledged_requests[by] = ledger.requests[by];
                }
            }
            Step::DropFlush(by) => {
                spies[by].set(Mode::Hangs);
                assert_ne!(poll_and_drop(handles[by].flush()).map(|done| done.is_ok()), Poll::Ready(false));
                spies[by].set(Mode::Works);
            }
            Step::Day => clock.advance(DAY / 24),
        }
        // At any time: all that is acknowledged, and nothing that was not reported.
        let found =
            total(&fixture.clove, &fixture.owner, &units[0]).await + total(&fixture.clove, &fixture.owner, &units[1]).await;
        assert!((sum_of(&ledger.acknowledged)..=sum_of(&ledger.reported)).contains(&found), "{found}");
        let found = total(&fixture.clove, &fixture.owner, &Unit::requests()).await;
        let (least, most) = (ledger.acknowledged_requests.iter().sum::<u64>(), ledger.requests.iter().sum());
        assert!((least..=most).contains(&found), "{found}");
    }
    for (spy, clove) in spies.iter().zip(&handles) {
        spy.end_batches([]);
        clove.flush().await.unwrap();
    }
    let found = total(&fixture.clove, &fixture.owner, &units[0]).await + total(&fixture.clove, &fixture.owner, &units[1]).await;
    assert_eq!(found, sum_of(&ledger.reported));
    assert_eq!(total(&fixture.clove, &fixture.owner, &Unit::requests()).await, ledger.requests.iter().sum::<u64>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("CLOVE_SOAK").is_some() { 20_000 } else { 300 }))]

    #[test]
    fn sums_are_those_of_a_ledger_whatever_fails(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(keep_a_ledger(steps));
    }
}

/// Two accounts, one with two keys, over three days: tokens by account, key and day.
async fn team(fixture: &Fixture) -> (Owner, [KeyId; 3]) {
    let (clove, by) = (&fixture.clove, &fixture.by);
    let bob = Owner::new("acme", "bob").unwrap();
    let mut issued = Vec::new();
    for owner in [&fixture.owner, &fixture.owner, &bob] {
        let key = clove.create(owner, named("a key"), by).await.unwrap();
        issued.push((key.key.id, key.credential.unwrap().reveal().to_string()));
    }
    for day in 0..3 {
        for ((_, credential), amount) in issued.iter().zip([1, 10, 100]) {
            if (day, amount) != (1, 10) {
                let grant = grant(clove, credential).await;
                clove.record(&grant, &tokens(), amount << day).unwrap();
            }
        }
        fixture.clock().advance(DAY);
    }
    clove.flush().await.unwrap();
    (bob, [issued[0].0, issued[1].0, issued[2].0])
}

#[tokio::test]
async fn usage_is_told_by_key_account_or_all_and_by_day_or_in_total() {
    for store in [Box::new(MemoryStore::new()) as Box<dyn Store>, sqlite()] {
        let fixture = Fixture::on(store, policy()).unwrap();
        let (bob, keys) = team(&fixture).await;
        let (clove, ada) = (&fixture.clove, &fixture.owner);
        let amounts = async |scope: Scope, list: ListUsage| -> Vec<u64> {
            let list = ListUsage { unit: Some(tokens()), limit: Some(2), ..list };
            sums(clove, &scope, &list).await.iter().map(|sum| sum.amount).collect()
        };
        let list = |by, per| ListUsage { by, per, ..ListUsage::default() };
        let acme = || Scope::from(&ada.organization);
        assert_eq!(amounts(acme(), list(UsageBy::Key, UsagePer::Day)).await, [1, 2, 4, 10, 40, 100, 200, 400]);
        assert_eq!(amounts(acme(), list(UsageBy::Key, UsagePer::Total)).await, [7, 50, 700]);
        assert_eq!(amounts(acme(), list(UsageBy::Account, UsagePer::Day)).await, [11, 2, 44, 100, 200, 400]);
        assert_eq!(amounts(acme(), list(UsageBy::Account, UsagePer::Total)).await, [57, 700]);
        assert_eq!(amounts(acme(), list(UsageBy::Organization, UsagePer::Day)).await, [111, 202, 444]);
        assert_eq!(amounts(acme(), list(UsageBy::Organization, UsagePer::Total)).await, [757]);
        assert_eq!(amounts((&bob).into(), list(UsageBy::Organization, UsagePer::Total)).await, [700], "an owner sees its own");
        assert_eq!(amounts(ada.into(), list(UsageBy::Account, UsagePer::Day)).await, [11, 2, 44]);
        let second = |by, per| ListUsage { key: Some(keys[1]), ..list(by, per) };
        assert_eq!(amounts(acme(), second(UsageBy::Account, UsagePer::Day)).await, [10, 40]);
        assert_eq!(amounts(ada.into(), second(UsageBy::Organization, UsagePer::Total)).await, [50]);
        assert_eq!(amounts((&bob).into(), second(UsageBy::Key, UsagePer::Day)).await, [0; 0], "a foreign key is like none");
        let today = Day::of(clove.now());
        let days = ListUsage { first: Some(today.before(2)), last: Some(today.before(1)), ..ListUsage::default() };
        assert_eq!(amounts(acme(), days).await, [202, 444]);
    }
}

fn sqlite() -> Box<dyn Store> {
    let folder = tempfile::tempdir().unwrap();
    Box::new(SqliteStore::open(folder.keep().join("keys.db")).unwrap())
}

#[tokio::test]
async fn pages_of_usage_take_their_own_cursors_and_sizes_only() {
    let fixture = Fixture::new(policy()).unwrap();
    team(&fixture).await;
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let list = |by, per, after| ListUsage { by, per, after, limit: Some(1), ..ListUsage::default() };
    let kinds =
        [UsageBy::Key, UsageBy::Account, UsageBy::Organization].map(|by| [UsagePer::Day, UsagePer::Total].map(|per| (by, per)));
    let kinds = kinds.concat();
    for &(by, per) in &kinds {
        let cursor = clove.usage(&owner.organization, &list(by, per, None)).await.unwrap().next.unwrap();
        for &(other_by, other_per) in &kinds {
            let page = clove.usage(&owner.organization, &list(other_by, other_per, Some(cursor.clone()))).await;
            let is_own = (by, per) == (other_by, other_per);
            assert_eq!(page.is_ok(), is_own, "{by:?} {per:?} {other_by:?} {other_per:?}");
            assert!(is_own || matches!(page, Err(Error::Invalid(invalid)) if invalid.field == "cursor"));
        }
        let keys = clove::ListKeys { after: Some(cursor), ..clove::ListKeys::default() };
        assert!(matches!(clove.list(owner, &keys).await, Err(Error::Invalid(_))));
    }
    let keys = clove.list(owner, &clove::ListKeys { limit: Some(1), ..clove::ListKeys::default() }).await.unwrap();
    let foreign = list(UsageBy::Key, UsagePer::Day, keys.next);
    assert!(matches!(clove.usage(owner, &foreign).await, Err(Error::Invalid(_))));
    for limit in [0, 201] {
        let list = ListUsage { limit: Some(limit), ..ListUsage::default() };
        assert!(matches!(clove.usage(owner, &list).await, Err(Error::Invalid(invalid)) if invalid.field == "limit"));
    }
    for text in [
        "u",
        "u...",
        "u...Tokens",
        "u1..6.tokens",
        "u1..zz.tokens",
        "ux...tokens",
        "u1.1..tokens",
        "u..00.tokens",
        "u99999999999...t",
    ] {
        assert!(text.parse::<Cursor>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn a_report_whose_ledger_cannot_be_read_is_told_and_takes_no_other_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let fixture = Fixture::on(SqliteStore::open(&path).unwrap(), policy()).unwrap();
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let (broken, sound) = (grant(clove, &credential).await, grant(clove, &credential).await);
    clove.record_durably(&broken, &tokens(), 5).await.unwrap();
    rusqlite::Connection::open(&path).unwrap().execute("UPDATE reports SET total = -1", []).unwrap();
    clove.record(&broken, &tokens(), 9).unwrap();
    clove.record(&sound, &tokens(), 100).unwrap();
    let error = clove.flush().await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { row: CorruptRow::Report(id), .. } if *id == broken.id()), "{error:?}");
    clove.flush().await.unwrap();
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 105);
}
