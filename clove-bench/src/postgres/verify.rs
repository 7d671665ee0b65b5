//! `verify-pg-lone` and `verify-pg-32`: verifications that read their rows each time.

use super::{
    cold_policy,
    fill::{Crowd, fill},
    limits::BareRead,
    pgbench::Pgbench,
    server::{Schema, bare_pool, on, runtime},
    verify,
};
use crate::{
    figure::{Bar, Figure},
    fixture::{self, Numbers},
    measure::{in_turn, median},
};
use clove_core::Clove;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const LONE: &str = "verify-pg-lone";
pub(crate) const TOGETHER: &str = "verify-pg-32";
const CROWD: Crowd = Crowd { keys: 100_000 };
/// Keys in a round of one task, and rounds.
const LONE_KEYS: u64 = 500;
const LONE_ROUNDS: usize = 41;
const TASKS: u64 = 32;
/// Each takes so long, as often as there are rounds.
const SPAN: Duration = Duration::from_secs(2);
const ROUNDS: usize = 7;
const CLIENTS: [usize; 3] = [2, 8, 32];

pub(crate) fn names() -> Vec<String> {
    [LONE, TOGETHER].map(str::to_owned).into()
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let runtime = runtime();
    let schema = Schema::new();
    let clove = runtime.block_on(async {
        let store = schema.store().await;
        fill(&schema, CROWD).await;
        Clove::new(store, cold_policy())
    });
    if wanted(LONE) {
        report(lone(&runtime, &clove, &schema));
    }
    if wanted(TOGETHER) {
        report(together(&runtime, &clove));
    }
}

/// One task, as latency.
fn lone(runtime: &Runtime, clove: &Clove, schema: &Schema) -> Figure {
    let limit = BareRead::new(runtime.block_on(bare_pool(2)), schema);
    let medians = in_turn(
        LONE_ROUNDS,
        |round| {
            let limit = limit.clone();
            on(runtime, async move {
                let mut numbers = Numbers(round as u64);
                let drawn: Vec<_> = (0..LONE_KEYS).map(|_| numbers.below(CROWD.keys)).map(presented).collect();
                let start = Instant::now();
                for (id, secret) in &drawn {
                    limit.verify(*id, secret).await;
                }
                micros_each(start, LONE_KEYS)
            })
        },
        |round| {
            let clove = clove.clone();
            on(runtime, lone_round(clove, round as u64, CROWD.keys, LONE_KEYS))
        },
    );
    Figure { name: LONE.to_owned(), value: medians.figure, limit: medians.limit, unit: "us", bar: Bar::AtMost(1.0) }
}

/// Microseconds that a verification of some of so many keys takes.
pub(crate) async fn lone_round(clove: Clove, round: u64, keys: u64, times: u64) -> f64 {
    let mut numbers = Numbers(round);
    let drawn: Vec<String> = (0..times).map(|_| fixture::credential(numbers.below(keys))).collect();
    let start = Instant::now();
    for text in &drawn {
        verify(&clove, text).await;
    }
    micros_each(start, times)
}

/// 32 tasks, as verifications a second, beside the best that pgbench does.
fn together(runtime: &Runtime, clove: &Clove) -> Figure {
    let pgbench = Pgbench::new(runtime);
    let mut limits = CLIENTS.map(|clients| (clients, Vec::new()));
    let mut figures = Vec::new();
    for round in 0..=ROUNDS {
        // One of ours after each of theirs: what disturbs one disturbs the other.
        let mut ours = Vec::new();
        for (clients, rates) in &mut limits {
            rates.push(pgbench.rate(*clients, SPAN));
            ours.push(rate(runtime, clove, round as u64));
        }
        if round == 0 {
            limits.iter_mut().for_each(|(_, rates)| rates.clear());
        } else {
            figures.append(&mut ours);
        }
    }
    let limits = limits.map(|(_, rates)| median(rates));
    let limit = limits.into_iter().fold(0.0, f64::max) / 1e3;
    let value = median(figures) / 1e3;
    Figure { name: TOGETHER.to_owned(), value, limit, unit: "k/s", bar: Bar::AtLeast(1.25) }
}

fn rate(runtime: &Runtime, clove: &Clove, round: u64) -> f64 {
    let clove = clove.clone();
    on(runtime, async move {
        let each = CROWD.keys / TASKS;
        // Made before it is timed: making a secret is no part of a verification.
        let texts: Vec<Vec<String>> = (0..TASKS)
            .map(|task| {
                let mut numbers = Numbers(round << 8 | task);
                // Each task has keys of its own.
                (0..each).map(|_| fixture::credential(numbers.below(each) * TASKS + task)).collect()
            })
            .collect();
        let start = Instant::now();
        let tasks: Vec<_> = texts
            .into_iter()
            .map(|texts| {
                let clove = clove.clone();
                tokio::spawn(async move {
                    let mut done = 0_u64;
                    for text in texts.iter().cycle() {
                        if start.elapsed() >= SPAN {
                            break;
                        }
                        verify(&clove, text).await;
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            done += task.await.expect("no panic");
        }
        done as f64 / start.elapsed().as_secs_f64()
    })
}

/// What the limit is given in a credential's place.
fn presented(number: u64) -> (uuid::Uuid, String) {
    (fixture::key_id(number).as_uuid(), fixture::secret(number))
}

fn micros_each(start: Instant, times: u64) -> f64 {
    start.elapsed().as_nanos() as f64 / 1e3 / times as f64
}
