//! Very many keys: what a verification costs among a million, and what each takes of memory.

use super::{
    BILLION, Bookkeeping, Counted,
    crowd::{Crowd, heard_once, secret, texts, verify},
    policy,
    watched::{Answers, Watched},
};
use crate::{
    figure::{Bar, Figure},
    fill::{self, Shape},
    fixture,
    measure::{in_turn, nanos_each, wait_for},
};
use allocation_counter::measure;
use clove_core::Clove;
use clove_store_sqlite::SqliteStore;
use std::hint::black_box;
use tokio::runtime::Builder;

const MILLION: &str = "verify-cached-1m";
const BYTES: &str = "bytes-per-cached-key";
/// All that a full cache takes, beside what the policy allows it.
const BOUND: &str = "cache-bytes-of-bound";
const MILLION_KEYS: u64 = 1_000_000;
/// A million keys, and as much room again.
const MILLION_BYTES: u64 = 3 << 29;
const ROUNDS: usize = 51;
/// Keys in a round: limit and figure have others each, and none comes twice before all have come.
const TIMES: usize = 9_800;
const COUNTED_KEYS: u64 = 100_000;
const COUNTED_BYTES: u64 = 128 << 20;
/// What a typical key may take.
const BYTES_BAR: f64 = 512.0;
/// Fewer keys fit than are verified.
const BOUND_BYTES: u64 = 24 << 20;

pub(crate) fn names() -> Vec<String> {
    [MILLION, BYTES, BOUND].map(str::to_owned).into()
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    if wanted(MILLION) {
        report(among_a_million());
    }
    let bar = Bar::AtMost(1.0);
    if wanted(BYTES) {
        // Presented either way, so that both indexes hold it.
        let bytes = live_bytes(COUNTED_BYTES, |clove, text| {
            verify(clove, secret(text));
            verify(clove, text);
        });
        let value = bytes / COUNTED_KEYS as f64;
        report(Figure { name: BYTES.to_owned(), value, limit: BYTES_BAR, unit: "bytes", bar });
    }
    if wanted(BOUND) {
        const MIB: f64 = 1_048_576.0;
        let bytes = live_bytes(BOUND_BYTES, |clove, text| verify(clove, secret(text)));
        report(Figure { name: BOUND.to_owned(), value: bytes / MIB, limit: BOUND_BYTES as f64 / MIB, unit: "MiB", bar });
    }
}

fn among_a_million() -> Figure {
    let policy = policy(Counted::ByKey, BILLION, MILLION_BYTES, Bookkeeping::On);
    let crowd = Crowd::new(MILLION_KEYS, Answers::AtOnce, policy);
    let limit = crowd.limit();
    let (ours, theirs) = crowd.texts.split_at(crowd.texts.len() / 2);
    let part = |texts: &'_ [_], round| texts.chunks(TIMES).nth(round).expect("enough keys").to_vec();
    crowd.ready();
    let medians = crowd.remembers(MILLION, || {
        in_turn(
            ROUNDS - 1,
            |round| {
                crowd.ready();
                nanos_each(&part(theirs, round), |text| assert!(limit.verify(black_box(text))))
            },
            |round| nanos_each(&part(ours, round), |text| verify(&crowd.clove, black_box(text))),
        )
    });
    Figure { name: MILLION.to_owned(), value: medians.figure, limit: medians.limit, unit: "ns", bar: Bar::AtMost(1.3) }
}

/// What this thread has allocated and not freed, of a new `Clove` that all keys were presented to. Nothing else runs: what another
/// thread frees would be counted as kept.
fn live_bytes(cache_bytes: u64, present: impl Fn(&Clove, &[u8; 73])) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.db");
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    fill::fill(&runtime, &path, COUNTED_KEYS, &Shape::TYPICAL);
    let texts = texts(COUNTED_KEYS);
    let (store, calls) = Watched::new(SqliteStore::open(&path).expect("a store"), Answers::AtOnce);
    let store = std::sync::Arc::new(store);
    // What the store and this thread keep once they have been in use is not the cache's.
    let before = Clove::new(std::sync::Arc::clone(&store), fixture::policy());
    texts.iter().take(1_000).for_each(|text| present(&before, text));
    drop(before);
    let policy = policy(Counted::ByAccountToo, BILLION, cache_bytes, Bookkeeping::On);
    let mut clove = None;
    let counted = measure(|| {
        let new = Clove::new(store, policy);
        heard_once(&new);
        // Written as they come: entries of the access log that wait have a bound of their own.
        for texts in texts.chunks(1_000) {
            texts.iter().for_each(|text| present(&new, text));
            wait_for(new.flush()).0.expect("a flush");
        }
        // Nor is the cache's what waits to be given back.
        wait_for(new.shut_down()).0.expect("a flush");
        clove = Some(new);
    });
    let finds = calls.finds.load(std::sync::atomic::Ordering::Relaxed);
    assert!(finds <= COUNTED_KEYS + 2_000, "{finds} rows were read for {COUNTED_KEYS} keys: they were not remembered");
    drop(clove);
    counted.bytes_current as f64
}
