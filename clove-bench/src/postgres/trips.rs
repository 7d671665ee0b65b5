//! `round-trips-*`: how often one task waits for the server, and how many messages that run statements it sends.

use super::{
    cold_policy, create,
    fill::{Crowd, fill, owner},
    proxy::{self, Counts},
    server::{self, Schema, on, runtime},
    verify,
};
use crate::{
    figure::{Bar, Figure},
    fixture,
};
use clove_core::Clove;
use tokio::runtime::Runtime;

const VERIFY: &str = "round-trips-verify";
const CREATE: &str = "round-trips-create";
const CROWD: Crowd = Crowd { keys: 1_000 };
/// Enough for each connection to have prepared what it needs.
const WARM_UP: u64 = 200;
const TIMES: u64 = 200;

pub(crate) fn names() -> Vec<String> {
    [VERIFY, CREATE].iter().flat_map(|name| [(*name).to_owned(), of_statements(name)]).collect()
}

fn of_statements(name: &str) -> String {
    name.replace("round-trips", "statements")
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let runtime = runtime();
    let schema = Schema::new();
    let (clove, counts) = runtime.block_on(async {
        drop(schema.store().await);
        fill(&schema, CROWD).await;
        let (url, counts) = proxy::start(&server::url().unwrap_or_default()).await;
        let store = schema.options_at(&url).open().await.expect("a store");
        (Clove::new(store, cold_policy()), counts)
    });
    let is_wanted = |name: &str| wanted(name) || wanted(&of_statements(name));
    if is_wanted(VERIFY) {
        let of = |number: u64| {
            let (clove, text) = (clove.clone(), fixture::credential(number % CROWD.keys));
            async move { verify(&clove, &text).await }
        };
        count(VERIFY, &runtime, &counts, of, report);
    }
    if is_wanted(CREATE) {
        // Two keys each, in an organization that is there.
        let of = |number: u64| create::create(clove.clone(), owner(CROWD.keys + number / 2));
        count(CREATE, &runtime, &counts, of, report);
    }
}

fn count<F: Future<Output = ()> + Send + 'static>(
    name: &str,
    runtime: &Runtime,
    counts: &Counts,
    work: impl Fn(u64) -> F,
    report: &mut dyn FnMut(Figure),
) {
    (0..WARM_UP).for_each(|number| on(runtime, work(number)));
    let (trips, statements) = (counts.trips(), counts.statements());
    (WARM_UP..WARM_UP + TIMES).for_each(|number| on(runtime, work(number)));
    let each = |after: u64, before: u64| (after - before) as f64 / TIMES as f64;
    let (trips, statements) = (each(counts.trips(), trips), each(counts.statements(), statements));
    report(Figure { name: name.to_owned(), value: trips, limit: 1.0, unit: "trips", bar: Bar::AtMost(1.0) });
    report(Figure { name: of_statements(name), value: statements, limit: 1.0, unit: "stmts", bar: Bar::None });
}
