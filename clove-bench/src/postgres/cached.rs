//! `verify-cached-pg`: verification of keys that are remembered, on Postgres beside SQLite.

use super::{
    fill::{Crowd as Filled, fill},
    server::{self, Schema},
};
use crate::{
    cached::{
        BILLION, Bookkeeping, CACHE_BYTES, Counted,
        crowd::{Crowd, verify},
        policy,
        watched::Answers,
    },
    figure::{Bar, Figure},
    measure::{in_turn, nanos_each},
};
use std::hint::black_box;

const NAME: &str = "verify-cached-pg";
const KEYS: u64 = 1_000;
const ROUNDS: usize = 401;

pub(crate) fn names() -> Vec<String> {
    vec![NAME.to_owned()]
}

/// Each key once a round; both stores write what they are given, and are polled.
pub(crate) fn run(_: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let runtime = server::runtime();
    let schema = Schema::new();
    let store = runtime.block_on(async {
        let store = schema.store().await;
        fill(&schema, Filled { keys: KEYS }).await;
        store
    });
    let policy = || policy(Counted::ByKey, BILLION, CACHE_BYTES, Bookkeeping::On);
    let (postgres, sqlite) = (Crowd::on(store, KEYS, Answers::ByItself, policy()), Crowd::new(KEYS, Answers::ByItself, policy()));
    let round = |crowd: &Crowd| {
        crowd.ready();
        nanos_each(&crowd.texts, |text| verify(&crowd.clove, black_box(text)))
    };
    [&postgres, &sqlite].into_iter().for_each(Crowd::ready);
    let medians = postgres.remembers(NAME, || in_turn(ROUNDS, |_| round(&sqlite), |_| round(&postgres)));
    let (value, limit) = (medians.figure, medians.limit);
    report(Figure { name: NAME.to_owned(), value, limit, unit: "ns", bar: Bar::AtMost(1.05) });
    runtime.block_on(postgres.clove.shut_down()).expect("a flush");
}
