//! `verify-memory`: a whole verification on the store in memory.

use crate::{
    figure::{Bar, Figure},
    fixture::{self, Numbers},
    limits,
    measure::{at_once, in_turn, nanos_each},
};
use clove_core::{Clove, MemoryStore, NewKey, Verdict};
use std::hint::black_box;

const WITH_ID: &str = "verify-memory";
const BARE: &str = "verify-memory-bare";
/// As many as the caches of a processor hold with all that the store keeps beside them. With ten times as many it is memory that
/// is measured, and both take twice as long and more.
const KEYS: u64 = 1_000;
const ROUNDS: usize = 201;
const BAR: Bar = Bar::AtMost(2.5);

pub(crate) fn names() -> Vec<String> {
    vec![WITH_ID.to_owned(), BARE.to_owned()]
}

/// A credential as a client sends it, and what the limit is given in its place: id and secret, told apart already. In line: what
/// a client sends has just been read, and is at hand.
struct Presented {
    text: [u8; 73],
    id: [u8; 16],
}

impl Presented {
    fn secret(&self) -> &[u8] {
        &self.text[37..]
    }
}

/// Which part of a credential is presented.
type Form = fn(&Presented) -> &[u8];

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let clove = Clove::new(MemoryStore::new(), fixture::policy());
    let (owner, by) = (fixture::owner(0), fixture::by());
    let mut presented: Vec<Presented> = (0..KEYS)
        .map(|_| {
            let issued = at_once(clove.create(&owner, NewKey::named("bench").expect("a name"), &by)).expect("a key");
            let credential = issued.credential.expect("a new key has a credential");
            Presented { id: *credential.id().as_bytes(), text: credential.reveal().as_bytes().try_into().expect("73 bytes") }
        })
        .collect();
    let mut numbers = Numbers(1);
    for end in (1..presented.len()).rev() {
        presented.swap(end, numbers.below(end as u64 + 1) as usize);
    }
    let limit = limits::Memory::new(presented.iter().map(|key| (key.id, fixture::sha256(key.secret()))));
    let forms: [(&str, Form); 2] = [(WITH_ID, |key| &key.text[..]), (BARE, Presented::secret)];
    for (name, form) in forms.into_iter().filter(|(name, _)| wanted(name)) {
        let medians = in_turn(
            ROUNDS,
            |_| nanos_each(&presented, |key| assert!(limit.verify(black_box(&key.id), black_box(key.secret())))),
            |_| {
                nanos_each(&presented, |key| {
                    let verdict = at_once(clove.verify(black_box(form(key))));
                    assert!(matches!(black_box(verdict), Ok(Verdict::Granted(_))));
                })
            },
        );
        report(Figure { name: name.to_owned(), value: medians.figure, limit: medians.limit, unit: "ns", bar: BAR });
    }
}
