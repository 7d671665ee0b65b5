//! What a node asks of the server when nobody asks anything of it, and how often the store is called for what is remembered.

use super::{
    fill::{Crowd, fill},
    proxy,
    server::{self, Schema, on, runtime},
};
use crate::{
    cached::{
        calls,
        watched::{Answers, Watched},
    },
    figure::{Bar, Figure},
    fixture,
};
use clove_core::{Clove, Policy};
use std::time::{Duration, Instant};

const STATEMENTS: &str = "idle-statements";
const CALLS: &str = "idle-store-calls";
const PER_THOUSAND: &str = "store-calls-per-1000-pg";
const CROWD: Crowd = Crowd { keys: 1_000 };
/// So many a second of them keep what is known fresh: the limit beside what else there is.
const POLLS: f64 = 4.0;
/// Until what a start takes, and the first polls, are over.
const SETTLING: Duration = Duration::from_secs(3);
const SPAN: Duration = Duration::from_secs(15);

pub(crate) fn names() -> Vec<String> {
    [STATEMENTS, CALLS, PER_THOUSAND].map(str::to_owned).into()
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let runtime = runtime();
    let schema = Schema::new();
    runtime.block_on(async {
        drop(schema.store().await);
        fill(&schema, CROWD).await;
    });
    if wanted(STATEMENTS) || wanted(CALLS) {
        for (name, value) in [STATEMENTS, CALLS].into_iter().zip(a_second(&schema, CROWD)).filter(|(name, _)| wanted(name)) {
            report(Figure { name: name.to_owned(), value, limit: POLLS, unit: "/s", bar: Bar::None });
        }
    }
    if wanted(PER_THOUSAND) {
        let store = runtime.block_on(schema.store());
        let value = calls::per_thousand(store);
        report(Figure { name: PER_THOUSAND.to_owned(), value, limit: calls::MOST, unit: "calls", bar: Bar::AtMost(1.0) });
    }
}

/// Statements and calls of the store, a second, of a node that remembers a thousand of these keys.
pub(crate) fn a_second(schema: &Schema, crowd: Crowd) -> [f64; 2] {
    let runtime = runtime();
    let (clove, calls, counts) = runtime.block_on(async {
        let (url, counts) = proxy::start(&server::url().unwrap_or_default()).await;
        let store = schema.options_at(&url).open().await.expect("a store");
        let (store, calls) = Watched::new(store, Answers::ByItself);
        (Clove::new(store, Policy::profile_a()), calls, counts)
    });
    clove.maintenance().spawn_thread(|error| eprintln!("maintenance: {error}")).expect("a thread");
    // Until the first poll has come nothing is remembered; what they are used for is written before it is measured.
    std::thread::sleep(SETTLING);
    let used = clove.clone();
    on(&runtime, async move {
        let step = crowd.keys / CROWD.keys;
        for number in 0..CROWD.keys {
            super::verify(&used, &fixture::credential(number * step)).await;
        }
        used.flush().await.expect("a flush");
    });
    std::thread::sleep(SETTLING);
    let before = (counts.statements(), calls.all());
    let start = Instant::now();
    std::thread::sleep(SPAN);
    let seconds = start.elapsed().as_secs_f64();
    let rates = [counts.statements() - before.0, calls.all() - before.1].map(|many| many as f64 / seconds);
    on(&runtime, async move { clove.shut_down().await.expect("a flush") });
    rates
}
