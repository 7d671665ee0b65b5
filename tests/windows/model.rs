//! Windows beside a model that is plain to see.

use super::tools::{credential, limits, per};
use chrono::TimeDelta;
use clove::{Attempt, Clove, MemoryStore};
use clove_testkit::Fixture;
use proptest::prelude::*;
use std::time::Duration;

/// What happens to a key and its account.
#[derive(Clone, Debug)]
enum Step {
    Request {
        key: usize,
        cost: u64,
        checks: bool,
    },
    Advance(u64),
    Turn(i64),
    /// The process stops cleanly, and another takes over.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..2_usize, 0..5_u64, proptest::bool::weighted(0.1)).prop_map(|(key, cost, checks)| Step::Request { key, cost, checks }),
        2 => (0..40_u64).prop_map(Step::Advance),
        1 => (-200..200_i64).prop_map(Step::Turn),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// One number for each window's name, and a request that fits in all of them or in none: nothing is plainer.
    #[test]
    fn requests_are_granted_as_one_number_for_each_window_says(steps in steps(), key in 1..12_u64, account in 1..20_u64, long in 1..30_u64) {
        let (short, longer) = (Duration::from_secs(10), Duration::from_secs(35));
        let policy = limits(&[per(key, short), per(long, longer)], &[per(account, short)]).build().unwrap();
        let store = MemoryStore::new();
        let fixture = Fixture::on(store.clone(), policy.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let keys = [credential(&fixture).await, credential(&fixture).await];
            let mut clove = fixture.clove.clone();
            let mut counts: std::collections::HashMap<(usize, u64, i64), u64> = std::collections::HashMap::new();
            for step in steps {
                match step {
                    Step::Advance(seconds) => fixture.clock().advance(Duration::from_secs(seconds)),
                    Step::Turn(seconds) => fixture.clock().step(TimeDelta::seconds(seconds)),
                    Step::Restart => {
                        clove.shut_down().await.unwrap();
                        clove = Clove::with_clock(store.clone(), policy.clone(), fixture.clock().clone());
                    }
                    Step::Request { key: place, cost, checks } => {
                        let now = fixture.clove.now().timestamp();
                        let name = |subject: usize, length: Duration| {
                            let length = i64::try_from(length.as_secs()).unwrap();
                            (subject, length.unsigned_abs(), now.div_euclid(length))
                        };
                        let windows = [(name(place, short), key), (name(place, longer), long), (name(9, short), account)];
                        let count = |counts: &std::collections::HashMap<_, u64>, name| counts.get(&name).copied().unwrap_or(0);
                        let fits = cost == 0 || windows.iter().all(|(name, limit)| count(&counts, *name) + cost <= *limit);
                        let attempt = Attempt::new(&keys[place]).costing(cost);
                        let attempt = if checks { attempt.only_checking() } else { attempt };
                        let verdict = clove.verify(attempt).await.unwrap();
                        if fits && !checks {
                            windows.iter().for_each(|(name, _)| *counts.entry(*name).or_default() += cost);
                        }
                        let told: Option<Vec<u64>> = verdict.granted().map(|grant| grant.limits().map(|state| state.left).collect());
                        let left = windows.iter().map(|(name, limit)| limit - count(&counts, *name)).collect::<Vec<_>>();
                        assert_eq!(told, fits.then_some(left), "{place} {cost} {checks}");
                    }
                }
            }
        });
    }
}
