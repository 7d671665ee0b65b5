//! `unknown-id`: an unknown id beside a wrong secret for a known one, which must cost alike; the dearer by the cheaper.

use crate::{
    figure::{Bar, Figure},
    fixture,
    measure::{at_once, in_turn, nanos_each},
};
use clove_core::{Clove, DenialReason, MemoryStore, NewKey, Verdict};
use std::hint::black_box;

const NAME: &str = "unknown-id";
const KEYS: u64 = 1_000;
const ROUNDS: usize = 201;
const BAR: Bar = Bar::AtMost(1.25);

pub(crate) fn names() -> Vec<String> {
    vec![NAME.to_owned()]
}

pub(crate) fn run(_: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let clove = Clove::new(MemoryStore::new(), fixture::policy());
    let (owner, by) = (fixture::owner(0), fixture::by());
    let wrong: Vec<String> = (0..KEYS)
        .map(|number| {
            let issued = at_once(clove.create(&owner, NewKey::named("bench").expect("a name"), &by)).expect("a key");
            format!("{};{}", issued.key.id, fixture::secret(number))
        })
        .collect();
    let unknown: Vec<String> = (0..KEYS).map(fixture::credential).collect();
    let refuse = |texts: &[String]| {
        nanos_each(texts, |text| {
            let Ok(Verdict::Denied(denial)) = at_once(clove.verify(black_box(text))) else { panic!("not denied") };
            assert_eq!(black_box(denial).reason(), &DenialReason::NotRecognized);
        })
    };
    let medians = in_turn(ROUNDS, |_| refuse(&wrong), |_| refuse(&unknown));
    let (value, limit) = (medians.figure.max(medians.limit), medians.figure.min(medians.limit));
    report(Figure { name: NAME.to_owned(), value, limit, unit: "ns", bar: BAR });
}
