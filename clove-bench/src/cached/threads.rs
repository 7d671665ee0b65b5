//! Two threads beside one: on keys of their own, and on one key.

use super::{
    BILLION, Bookkeeping, CACHE_BYTES, Counted,
    crowd::{Crowd, Text, verify},
    policy,
    watched::Answers,
};
use crate::{
    figure::{Bar, Figure},
    measure::in_turn,
};
use std::{hint::black_box, sync::Barrier, thread, time::Instant};

const DISTINCT: &str = "verify-cached-2t-distinct";
const HOT: &str = "verify-cached-2t-hot";
const KEYS: u64 = 1_024;
const ROUNDS: usize = 31;
/// How often each thread goes through its keys in a round; a round takes some milliseconds, beside which the start of a thread is
/// nothing.
const TIMES: usize = 200;
const HOT_TIMES: usize = 100_000;

pub(crate) fn names() -> Vec<String> {
    [DISTINCT, HOT].map(str::to_owned).into()
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    if thread::available_parallelism().map_or(1, usize::from) < 2 {
        eprintln!("{DISTINCT}, {HOT}: this machine runs one thread at a time, and they are left out");
        return;
    }
    let crowd = Crowd::new(KEYS, Answers::ByItself, policy(Counted::ByKey, BILLION, CACHE_BYTES, Bookkeeping::On));
    if wanted(DISTINCT) {
        report(distinct(&crowd));
    }
    if wanted(HOT) {
        report(hot(&crowd));
    }
}

/// How much more two threads do than one, each on its own half of the keys, beside how much more the limit does.
fn distinct(crowd: &Crowd) -> Figure {
    let limit = crowd.limit();
    let clove = &crowd.clove;
    let halves: [&[Text]; 2] = crowd.texts.split_at(crowd.texts.len() / 2).into();
    // Either half alone, since one may hold costlier keys.
    let scaling = |verify: &(dyn Fn(&Text) + Sync)| {
        let one = f64::midpoint(rate([halves[0]], TIMES, verify), rate([halves[1]], TIMES, verify));
        rate(halves, TIMES, verify) / one * 100.0
    };
    crowd.ready();
    let medians = crowd.remembers(DISTINCT, || {
        in_turn(
            ROUNDS,
            |_| scaling(&|text| assert!(limit.verify(black_box(text)))),
            |_| {
                crowd.ready();
                scaling(&|text| verify(clove, black_box(text)))
            },
        )
    });
    Figure { name: DISTINCT.to_owned(), value: medians.figure, limit: medians.limit, unit: "%", bar: Bar::AtLeast(0.9) }
}

/// Two threads beside one, all on the same key.
fn hot(crowd: &Crowd) -> Figure {
    let (clove, key) = (&crowd.clove, &crowd.texts[..1]);
    crowd.ready();
    let verify = |text: &Text| verify(clove, black_box(text));
    let medians = crowd.remembers(HOT, || {
        in_turn(
            ROUNDS,
            |_| {
                crowd.ready();
                rate([key], HOT_TIMES, &verify) / 1e3
            },
            |_| rate([key, key], HOT_TIMES, &verify) / 1e3,
        )
    });
    Figure { name: HOT.to_owned(), value: medians.figure, limit: medians.limit, unit: "k/s", bar: Bar::AtLeast(1.25) }
}

/// Verifications a second of threads that go through their keys so many times, from when all have started to when the last ends.
fn rate<const THREADS: usize>(keys: [&[Text]; THREADS], times: usize, verify: &(dyn Fn(&Text) + Sync)) -> f64 {
    let barrier = Barrier::new(THREADS);
    let spans: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let work = |keys: &'_ [Text]| {
            // Once beforehand: a new thread finds its processor's caches cold.
            keys.iter().for_each(verify);
            barrier.wait();
            let start = Instant::now();
            for _ in 0..times {
                keys.iter().for_each(verify);
            }
            (start, Instant::now())
        };
        let threads = keys.map(|keys| scope.spawn(move || work(keys)));
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let start = spans.iter().map(|(start, _)| *start).min().expect("a thread");
    let end = spans.iter().map(|(_, end)| *end).max().expect("a thread");
    let done: usize = keys.iter().map(|keys| keys.len() * times).sum();
    done as f64 / end.duration_since(start).as_secs_f64()
}
