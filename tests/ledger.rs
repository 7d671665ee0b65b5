//! Usage that several processes report, beside a plain ledger: whatever fails, the sums are the ledger's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use clove::{Clove, MemoryStore, Unit, sqlite::SqliteStore};
use clove_testkit::{Fixture, TestClock};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc, task::Poll};
use support::{
    DAY, Ending, Mode, Spy, poll_and_drop,
    usage::{credential, grant, policy, tokens, total},
};

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
