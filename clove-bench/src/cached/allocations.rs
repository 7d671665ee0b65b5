//! `verify-cached-allocations`: what the granted path allocates, counted by the allocator.

use super::{
    BILLION, Bookkeeping, CACHE_BYTES, Counted,
    crowd::{Crowd, secret, verify},
    policy,
    watched::Answers,
};
use crate::figure::{Bar, Figure};
use allocation_counter::measure;
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const NAME: &str = "verify-cached-allocations";
/// The same over a time in which what was noted of requests is written twice or more, and begins anew.
const LONG: &str = "verify-cached-allocations-flushed";
const KEYS: u64 = 1_000;
const ROUNDS: usize = 101;
const LONG_FOR: Duration = Duration::from_millis(2_500);

pub(crate) fn names() -> Vec<String> {
    [NAME, LONG].map(str::to_owned).into()
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let policy = policy(Counted::ByAccountToo, BILLION, CACHE_BYTES, Bookkeeping::On);
    let crowd = Crowd::new(KEYS, Answers::ByItself, policy).by_secret_too();
    let granted = || {
        for text in &crowd.texts {
            verify(&crowd.clove, text);
            verify(&crowd.clove, secret(text));
        }
    };
    let each = 2.0 * crowd.texts.len() as f64;
    assert_eq!(measure(|| drop(black_box(vec![0_u8; 1]))).count_total, 1, "the allocator does not count");
    if wanted(NAME) {
        // Most rounds fall between two writings.
        let mut counts: Vec<u64> = (0..ROUNDS)
            .map(|_| {
                crowd.ready();
                measure(granted).count_total
            })
            .collect();
        counts.sort_unstable();
        let value = counts[ROUNDS / 2] as f64 / each;
        report(Figure { name: NAME.to_owned(), value, limit: 0.0, unit: "", bar: Bar::Zero });
    }
    if wanted(LONG) {
        crowd.ready();
        let (start, mut rounds, mut count) = (Instant::now(), 0_u32, 0);
        while start.elapsed() < LONG_FOR {
            count += measure(granted).count_total;
            rounds += 1;
        }
        let value = count as f64 / (each * f64::from(rounds)) * 1e6;
        report(Figure { name: LONG.to_owned(), value, limit: 0.0, unit: "per M", bar: Bar::None });
    }
}
