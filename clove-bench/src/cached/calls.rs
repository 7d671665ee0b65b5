//! `store-calls-per-1000`: how often the store is called for a thousand granted requests.

use super::{
    Bookkeeping, CACHE_BYTES, Counted, crowd, policy,
    watched::{Answers, Watched},
};
use crate::{
    figure::{Bar, Figure},
    fill::{self, Shape},
    measure::wait_for,
};
use clove_core::{Clove, Store};
use clove_store_sqlite::SqliteStore;
use tokio::runtime::Builder;

const NAME: &str = "store-calls-per-1000";
pub(crate) const MOST: f64 = 20.0;
/// Places of each window.
const PLACES: u64 = 100_000;
const KEYS: u64 = 20;
/// Requests of each key. More cost fewer calls each: what is taken ahead grows with what was.
const REQUESTS: u64 = 1_000;

pub(crate) fn names() -> Vec<String> {
    vec![NAME.to_owned()]
}

pub(crate) fn run(_: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.db");
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    fill::fill(&runtime, &path, KEYS, &Shape::TYPICAL);
    let value = per_thousand(SqliteStore::open(&path).expect("a store"));
    report(Figure { name: NAME.to_owned(), value, limit: MOST, unit: "calls", bar: Bar::AtMost(1.0) });
}

/// Calls for a thousand requests, of a store that has the first keys at least.
pub(crate) fn per_thousand(store: impl Store + 'static) -> f64 {
    let (store, calls) = Watched::new(store, Answers::ByItself);
    let clove = Clove::new(store, policy(Counted::ByKey, PLACES, CACHE_BYTES, Bookkeeping::On));
    clove.maintenance().spawn_thread(|error| eprintln!("maintenance: {error}")).expect("a thread");
    let texts = crowd::texts(KEYS);
    // Keys take turns, as they do in a service: it takes long enough for polls and writings to fall in between.
    for _ in 0..REQUESTS {
        texts.iter().for_each(|text| crowd::verify(&clove, text));
    }
    wait_for(clove.shut_down()).0.expect("a flush");
    calls.all() as f64 * 1_000.0 / (KEYS * REQUESTS) as f64
}
