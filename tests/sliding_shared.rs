//! Sliding windows that processes share: exact over all of them, one store step a request.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;
#[path = "support/windows.rs"]
mod tools;

use chrono::TimeDelta;
use clove::{Attempt, Clove, DenialReason, Exhausted, Fault, Limited, MemoryStore, Store, Verdict, Window};
use clove_store_sqlite::SqliteStore;
use clove_testkit::{Fixture, TestClock};
use futures_util::future::join_all;
use proptest::prelude::*;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::Duration,
};
use support::{Mode, poll_and_drop, spied};
use tools::{MINUTE, credential, limits, per};

fn shared(count: u64, length: Duration) -> Window {
    Window::sliding_shared(count, length).unwrap()
}

async fn exhausted(clove: &Clove, attempt: Attempt<'_>) -> Exhausted {
    match clove.verify(attempt).await.unwrap() {
        Verdict::Denied(denial) => match denial.reason() {
            DenialReason::LimitReached(exhausted) => **exhausted,
            other => panic!("refused for {other:?}"),
        },
        Verdict::Granted(_) => panic!("granted"),
    }
}

async fn granted(clove: &Clove, credential: &str, requests: usize) -> usize {
    let verdicts = join_all((0..requests).map(|_| clove.verify(credential))).await;
    verdicts.into_iter().filter(|verdict| matches!(verdict, Ok(Verdict::Granted(_)))).count()
}

/// How many of these requests at once are granted, spread over processes and threads.
fn at_once(processes: &[Clove], credential: &str, requests: usize) -> usize {
    let all = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (place, clove) in processes.iter().enumerate() {
            let (all, share) = (&all, (place..requests).step_by(processes.len()).count());
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                all.fetch_add(runtime.block_on(granted(clove, credential, share)), Ordering::Relaxed);
            });
        }
    });
    all.load(Ordering::Relaxed)
}

async fn exactly_sixty<S: Store>(open: impl Fn() -> S, rounds: usize, key: &[Window], account: &[Window]) {
    let policy = limits(key, account).build().unwrap();
    let fixture = Fixture::on(open(), policy.clone()).unwrap();
    let credential = credential(&fixture).await;
    let other = || Clove::with_clock(open(), policy.clone(), fixture.clock().clone());
    let processes = [fixture.clove.clone(), other(), other()];
    for _ in 0..rounds {
        assert_eq!(at_once(&processes, &credential, 75), 60);
        fixture.clock().advance(MINUTE);
    }
}

#[tokio::test]
async fn of_75_requests_at_three_processes_for_60_places_60_are_granted() {
    let memory = MemoryStore::new();
    exactly_sixty(|| memory.clone(), 50, &[shared(60, MINUTE)], &[]).await;
    let memory = MemoryStore::new();
    exactly_sixty(|| memory.clone(), 50, &[shared(61, MINUTE), per(1_000_000, 60 * MINUTE)], &[shared(60, MINUTE)]).await;
    let folder = tempfile::tempdir().unwrap();
    exactly_sixty(|| SqliteStore::open(folder.path().join("keys.db")).unwrap(), 5, &[shared(60, MINUTE)], &[shared(60, MINUTE)])
        .await;
}

#[tokio::test]
async fn no_stretch_holds_more_whichever_process_is_asked_and_a_restart_forgets_nothing() {
    let store = MemoryStore::new();
    let policy = limits(&[shared(3, MINUTE)], &[]).build().unwrap();
    let fixture = Fixture::on(store.clone(), policy.clone()).unwrap();
    let text = credential(&fixture).await;
    let other = || Clove::with_clock(store.clone(), policy.clone(), fixture.clock().clone());
    let seconds = |seconds| fixture.clock().advance(Duration::from_secs(seconds));
    seconds(50);
    let grant = fixture.clove.verify(&text).await.unwrap().granted().unwrap();
    let told: Vec<_> = grant.limits().map(|state| (state.of, state.left, state.resets_at)).collect();
    assert_eq!(told, [(Limited::Key, 2, fixture.clove.now() + TimeDelta::seconds(60))]);
    seconds(30);
    assert_eq!(granted(&other(), &text, 9).await, 2);
    let told = exhausted(&fixture.clove, Attempt::new(&text)).await;
    assert_eq!((told.of, told.left, told.retry_at), (Limited::Key, 0, Some(fixture.clove.now() + TimeDelta::seconds(30))));
    assert_eq!(
        exhausted(&other(), Attempt::new(&text).costing(2)).await.retry_at,
        Some(fixture.clove.now() + TimeDelta::seconds(60))
    );
    assert_eq!(exhausted(&other(), Attempt::new(&text).costing(4)).await.retry_at, None);
    fixture.clock().step(TimeDelta::hours(-1));
    assert_eq!(granted(&other(), &text, 9).await, 0, "a clock that steps back finds what lies ahead");
    fixture.clock().step(TimeDelta::hours(1));
    seconds(29);
    assert_eq!(granted(&other(), &text, 9).await, 0);
    seconds(1);
    assert_eq!(granted(&other(), &text, 9).await, 1);
}

#[tokio::test]
async fn a_request_that_another_window_refuses_is_charged_to_none() {
    let folder = tempfile::tempdir().unwrap();
    refused_by_another(MemoryStore::new()).await;
    // On a file all are on their way to it before the first is granted: what two of them took there goes back.
    refused_by_another(SqliteStore::open(folder.path().join("keys.db")).unwrap()).await;
}

async fn refused_by_another(store: impl Store) {
    let fixture = Fixture::on(store, limits(&[shared(5, MINUTE), per(3, 60 * MINUTE)], &[]).build().unwrap()).unwrap();
    let text = credential(&fixture).await;
    assert_eq!(granted(&fixture.clove, &text, 9).await, 3);
    let asked = fixture.clove.verify(Attempt::new(&text).costing(0)).await.unwrap().granted().unwrap();
    assert_eq!(asked.limits().map(|state| state.left).collect::<Vec<_>>(), [2, 0]);
    // Asked for more than one of them has left, none is charged; a check charges nothing.
    assert_eq!(exhausted(&fixture.clove, Attempt::new(&text).costing(3)).await.left, 0);
    let asked = fixture.clove.verify(Attempt::new(&text).costing(0).only_checking()).await.unwrap().granted().unwrap();
    assert_eq!(asked.limits().map(|state| state.left).collect::<Vec<_>>(), [2, 0]);
}

#[tokio::test]
async fn a_store_that_cannot_count_is_a_fault_unless_the_host_allows_some() {
    for allowed in [0, 2] {
        let (fixture, spy) = spied(limits(&[shared(9, MINUTE)], &[]).danger_uncounted_a_minute(allowed).build().unwrap());
        let text = credential(&fixture).await;
        spy.fail_only("charge_sliding");
        let mut uncounted = 0;
        for _ in 0..5 {
            match fixture.clove.verify(&text).await {
                Ok(Verdict::Granted(grant)) if grant.is_uncounted() => uncounted += 1,
                Err(Fault::Store(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(uncounted, allowed);
        spy.set(Mode::Works);
        assert_eq!(granted(&fixture.clove, &text, 20).await, 9);
    }
}

#[tokio::test]
async fn requests_that_are_dropped_midway_are_never_granted_twice() {
    let folder = tempfile::tempdir().unwrap();
    let policy = limits(&[shared(20, MINUTE), per(20, 60 * MINUTE)], &[]).build().unwrap();
    let fixture = Fixture::on(SqliteStore::open(folder.path().join("keys.db")).unwrap(), policy).unwrap();
    let text = credential(&fixture).await;
    let mut all = 0;
    for _ in 0..8 {
        all += usize::from(matches!(poll_and_drop(fixture.clove.verify(&text)), Poll::Ready(Ok(Verdict::Granted(_)))));
    }
    all += granted(&fixture.clove, &text, 40).await;
    assert!((12..=20).contains(&all), "{all}");
}

/// What happens to a key and its account, at one of three processes.
#[derive(Clone, Debug)]
enum Step {
    Request { process: usize, key: usize, cost: u64, checks: bool },
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let request = (0..3_usize, 0..2_usize, 0..5_u64, proptest::bool::weighted(0.1));
    let request = request.prop_map(|(process, key, cost, checks)| Step::Request { process, key, cost, checks });
    proptest::collection::vec(prop_oneof![4 => request, 2 => (0..9_000_u64).prop_map(Step::Advance)], 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// A list of all that was charged, and a look over it for each request: nothing is plainer.
    #[test]
    fn requests_are_granted_as_a_list_of_all_of_them_says(steps in steps(), key in 1..8_u64, account in 1..12_u64, fixed in 1..16_u64) {
        let (short, longer, fixed_for) = (Duration::from_secs(10), Duration::from_secs(25), Duration::from_secs(35));
        let policy = limits(&[shared(key, short), per(fixed, fixed_for)], &[shared(account, longer)]).build().unwrap();
        let store = MemoryStore::new();
        let fixture = Fixture::on(store.clone(), policy.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let keys = [credential(&fixture).await, credential(&fixture).await];
            let clock: &TestClock = fixture.clock();
            let other = || Clove::with_clock(store.clone(), policy.clone(), clock.clone());
            let processes = [fixture.clove.clone(), other(), other()];
            let mut charged: Vec<(usize, i64, u64)> = Vec::new();
            for step in steps {
                let (process, place, cost, checks) = match step {
                    Step::Advance(millis) => {
                        clock.advance(Duration::from_millis(millis));
                        continue;
                    }
                    Step::Request { process, key, cost, checks } => (process, key, cost, checks),
                };
                let now = fixture.clove.now().timestamp_millis();
                let sum = |is_in: &dyn Fn(usize, i64) -> bool| -> u64 {
                    charged.iter().filter(|(key, at, _)| is_in(*key, *at)).map(|(.., cost)| *cost).sum()
                };
                let in_stretch = |at: i64, length: Duration| at > now - i64::try_from(length.as_millis()).unwrap();
                let of_key = sum(&|key, at| key == place && in_stretch(at, short));
                let of_account = sum(&|_, at| in_stretch(at, longer));
                let name = |at: i64| at.div_euclid(35_000);
                let of_fixed = sum(&|key, at| key == place && name(at) == name(now));
                let fits_sliding = of_key + cost <= key && of_account + cost <= account;
                let fits = cost == 0 || fits_sliding && of_fixed + cost <= fixed;
                let attempt = Attempt::new(&keys[place]).costing(cost);
                let attempt = if checks { attempt.only_checking() } else { attempt };
                let verdict = processes[process].verify(attempt).await.unwrap();
                let is_granted = matches!(verdict, Verdict::Granted(_));
                // Of a fixed window other processes may hold places, and a check knows what this one was told a moment ago.
                let lacks_fixed = fits && verdict_lacks_fixed(&verdict, fixed_for);
                if lacks_fixed || checks && is_granted && fits_sliding {
                    continue;
                }
                assert_eq!(is_granted, fits, "{place} {cost} {checks}: {verdict:?}");
                let charges = if is_granted && !checks { cost } else { 0 };
                charged.push((place, now, charges));
                if let Verdict::Granted(grant) = verdict {
                    let left: Vec<u64> = grant.limits().filter(|state| state.window.slides()).map(|state| state.left).collect();
                    assert_eq!(left, [key - of_key - charges, account - of_account - charges]);
                }
            }
        });
    }
}

fn verdict_lacks_fixed(verdict: &Verdict, length: Duration) -> bool {
    let Verdict::Denied(denial) = verdict else { return false };
    matches!(denial.reason(), DenialReason::LimitReached(exhausted) if u64::from(exhausted.window.seconds()) == length.as_secs())
}
