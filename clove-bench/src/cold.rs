//! `verify-sqlite-cold`: a whole verification whose row is read from the file each time.

use crate::{
    bare_file,
    figure::{Bar, Figure},
    fill::{self, Shape},
    fixture::{self, Numbers},
    limits,
    measure::{in_turn, nanos_each},
};
use clove_core::{Clove, Verdict};
use clove_store_sqlite::{Options, sql};
use rusqlite::Connection;
use std::{hint::black_box, time::Instant};

const SIZES: [(&str, u64); 2] = [("verify-sqlite-cold-10k", 10_000), ("verify-sqlite-cold-1m", 1_000_000)];
const ROUNDS: usize = 15;
/// Keys in a round, drawn anew for each, and those before that fill SQLite's cache.
const TIMES: usize = 5_000;
const WARM_UP: usize = 3_000;
/// What the store opens: one to write, two to scan, the others for point reads. The limit opens as many.
const CONNECTIONS: usize = 5;
const BAR: Bar = Bar::AtMost(1.3);

pub(crate) fn names() -> Vec<String> {
    SIZES.iter().map(|(name, _)| (*name).to_owned()).collect()
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    for (name, keys) in SIZES.into_iter().filter(|(name, _)| wanted(name)) {
        report(measure(name, keys));
    }
}

fn measure(name: &str, keys: u64) -> Figure {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    fill::fill(&runtime, &path, keys, &Shape::SHORT);
    let draw = |numbers: &mut Numbers, times| -> Vec<([u8; 16], String)> {
        let numbers = (0..times).map(|_| numbers.below(keys));
        numbers.map(|number| (*fixture::key_id(number).as_bytes(), fixture::credential(number))).collect()
    };
    // Each round opens the file anew: SQLite, as it is built here, has one cache of pages for all connections of a process,
    // and limit and figure would take each other's pages. Both read the same keys, after the same warm-up.
    let medians = in_turn(
        ROUNDS,
        |round| {
            let connections: Vec<Connection> = (0..CONNECTIONS).map(|_| bare_file::connect_to_read(&path)).collect();
            let mut limit = limits::ColdRead::new(&connections[0], sql::FIND_BY_ID);
            let mut numbers = Numbers(round as u64);
            let mut verify = |times| {
                let drawn = draw(&mut numbers, times);
                nanos_each(&drawn, |(id, text)| assert!(limit.verify(black_box(id), black_box(&text[37..]))))
            };
            verify(WARM_UP);
            verify(TIMES)
        },
        |round| {
            let store = Options::new(&path).readers(CONNECTIONS - 3).open().expect("a store");
            let clove = Clove::new(store, fixture::policy());
            let mut numbers = Numbers(round as u64);
            let mut verify = |times| {
                let drawn = draw(&mut numbers, times);
                runtime.block_on(async {
                    let start = Instant::now();
                    for (_, text) in &drawn {
                        let verdict = clove.verify(black_box(text)).await;
                        assert!(matches!(black_box(verdict), Ok(Verdict::Granted(_))));
                    }
                    start.elapsed().as_nanos() as f64 / drawn.len() as f64
                })
            };
            verify(WARM_UP);
            verify(TIMES)
        },
    );
    Figure { name: name.to_owned(), value: medians.figure, limit: medians.limit, unit: "ns", bar: BAR }
}
