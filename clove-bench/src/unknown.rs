//! `unknown-id`: an unknown id beside a wrong secret for a known one, which must cost alike; the dearer by the cheaper.

use crate::{
    figure::{Bar, Figure},
    fill::{self, Shape},
    fixture,
    measure::{at_once, in_turn, nanos_each},
};
use clove_core::{Clove, DenialReason, MemoryStore, NewKey, Verdict};
use clove_store_sqlite::SqliteStore;
use std::hint::black_box;

const MEMORY: &str = "unknown-id";
const SQLITE: &str = "unknown-id-sqlite";
const KEYS: u64 = 1_000;
const ROUNDS: usize = 201;
const BAR: Bar = Bar::AtMost(1.25);
/// A second statement in place of joined rows: it costs a fifth more than those.
const SQLITE_BAR: Bar = Bar::AtMost(1.3);

pub(crate) fn names() -> Vec<String> {
    vec![MEMORY.to_owned(), SQLITE.to_owned()]
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let unknown: Vec<String> = (KEYS..2 * KEYS).map(fixture::credential).collect();
    if wanted(MEMORY) {
        let clove = Clove::new(MemoryStore::new(), fixture::policy());
        let (owner, by) = (fixture::owner(0), fixture::by());
        let wrong = |number| {
            let issued = at_once(clove.create(&owner, NewKey::named("bench").expect("a name"), &by)).expect("a key");
            format!("{};{}", issued.key.id, fixture::secret(number))
        };
        report(measure(MEMORY, BAR, &clove, &(0..KEYS).map(wrong).collect::<Vec<_>>(), &unknown));
    }
    if wanted(SQLITE) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.db");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        fill::fill(&runtime, &path, KEYS, &Shape::SHORT);
        let clove = Clove::new(SqliteStore::open(&path).expect("a store"), fixture::policy());
        let wrong = |number| format!("{};{}", fixture::key_id(number), fixture::secret(number + KEYS));
        report(measure(SQLITE, SQLITE_BAR, &clove, &(0..KEYS).map(wrong).collect::<Vec<_>>(), &unknown));
    }
}

fn measure(name: &str, bar: Bar, clove: &Clove, wrong: &[String], unknown: &[String]) -> Figure {
    let refuse = |texts: &[String]| {
        nanos_each(texts, |text| {
            let Ok(Verdict::Denied(denial)) = at_once(clove.verify(black_box(text))) else { panic!("not denied") };
            assert_eq!(black_box(denial).reason(), &DenialReason::NotRecognized);
        })
    };
    let medians = in_turn(ROUNDS, |_| refuse(wrong), |_| refuse(unknown));
    let (value, limit) = (medians.figure.max(medians.limit), medians.figure.min(medians.limit));
    Figure { name: name.to_owned(), value, limit, unit: "ns", bar }
}
