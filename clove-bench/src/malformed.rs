//! `parse-malformed`: what each class of malformed credential costs, from text to denial.

use crate::{
    figure::{Bar, Figure},
    fixture, limits,
    measure::{at_once, in_turn, nanos_each},
};
use clove_core::{Clove, DenialReason, MemoryStore, Verdict};
use std::hint::black_box;

/// The worst class.
pub(crate) const SUMMARY: &str = "parse-malformed";
const ROUNDS: usize = 15;
/// How often in a round.
const TIMES: usize = 10_000;
const BAR: Bar = Bar::AtMost(1.0);

fn classes() -> Vec<(&'static str, Vec<u8>)> {
    let (id, secret) = (fixture::key_id(7).to_string(), fixture::secret(7));
    let with_id = |secret: &str| format!("{id};{secret}");
    let wrong_end = |text: &str| format!("{}{}", &text[..35], if text.ends_with('0') { '1' } else { '0' });
    let with = |place: usize, other: &str| format!("{}{other}{}", &secret[..place], &secret[place + other.len()..]);
    let texts: Vec<(&str, String)> = vec![
        ("empty", String::new()),
        ("blank", " ".repeat(36)),
        ("separator", ";".into()),
        ("separators", ";".repeat(73)),
        ("id-alone", id.clone()),
        ("id-and-separator", with_id("")),
        ("wrong-length", format!("{secret}{secret}")),
        ("wrong-alphabet", with(34, "_")),
        ("wrong-alphabet-with-id", with_id(&with(34, "_"))),
        ("wrong-prefix", with(0, "clw-")),
        ("wrong-checksum", wrong_end(&secret)),
        ("wrong-checksum-with-id", with_id(&wrong_end(&secret))),
        ("secret-in-lower-case", secret.to_lowercase()),
        ("id-in-upper-case", with_id(&secret).replace(&id, &id.to_uppercase())),
        ("id-not-version-7", with_id(&secret).replacen("-7", "-4", 1)),
        ("id-not-hexadecimal", format!("{}g;{secret}", &id[..35])),
        ("space-before", format!(" {secret}")),
        ("space-before-with-id", format!(" {}", with_id(&secret))),
        ("newline-after", format!("{secret}\n")),
        ("nul-suffix", format!("{secret}\0")),
        ("nul-suffix-with-id", with_id(&format!("{secret}\0"))),
        ("look-alike", with(20, "\u{430}")),
        ("look-alike-with-id", with_id(&with(20, "\u{430}"))),
        ("truncated", secret[..30].into()),
        ("truncated-with-id", with_id(&secret[..30])),
        ("suffix", format!("{secret}a")),
        ("suffix-with-id", with_id(&format!("{secret}a"))),
        ("id-and-garbage", with_id("garbage")),
        ("id-and-256-bytes", with_id(&"g".repeat(256))),
        ("two-secrets-with-id", with_id(&format!("{secret};{secret}"))),
        ("megabyte", "a".repeat(1 << 20)),
        ("megabyte-with-id", with_id(&"a".repeat(1 << 20))),
    ];
    let mut classes: Vec<_> = texts.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    classes.push(("not-utf-8", vec![0xff; 36]));
    classes
}

pub(crate) fn names() -> Vec<String> {
    classes().iter().map(|(class, _)| format!("{SUMMARY}-{class}")).chain([SUMMARY.to_owned()]).collect()
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let clove = Clove::new(MemoryStore::new(), fixture::policy());
    let secret = fixture::secret(7);
    let mut worst: Option<Figure> = None;
    for (class, text) in classes() {
        let name = format!("{SUMMARY}-{class}");
        if !wanted(&name) && !wanted(SUMMARY) {
            continue;
        }
        let Ok(Verdict::Denied(denial)) = at_once(clove.verify(&text)) else { panic!("{class} is not denied") };
        assert_eq!(denial.reason(), &DenialReason::NotRecognized, "{class}");
        let turns = [(); TIMES];
        let medians = in_turn(
            ROUNDS,
            |_| {
                nanos_each(&turns, |()| {
                    black_box(limits::sha256(black_box(secret.as_bytes())));
                })
            },
            |_| nanos_each(&turns, |()| drop(black_box(at_once(clove.verify(black_box(&text)))))),
        );
        let figure = |name| Figure { name, value: medians.figure, limit: medians.limit, unit: "ns", bar: BAR };
        if worst.as_ref().is_none_or(|worst| figure(String::new()).ratio() > worst.ratio()) {
            worst = Some(figure(SUMMARY.to_owned()));
        }
        if wanted(&name) {
            report(figure(name));
        }
    }
    worst.filter(|_| wanted(SUMMARY)).into_iter().for_each(report);
}
