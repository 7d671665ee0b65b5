//! Verification of keys that are remembered: what nearly every request is.

pub(crate) mod allocations;
pub(crate) mod calls;
pub(crate) mod crowd;
pub(crate) mod instructions;
pub(crate) mod memory;
pub(crate) mod processes;
pub(crate) mod threads;
pub(crate) mod watched;

use crate::{
    figure::{Bar, Figure},
    measure::{Medians, in_turn, nanos_each},
};
use clove_core::{AccessLog, ActiveLimit, Attempt, Limits, Policy, Tier, Window};
use crowd::{Crowd, Text, secret, verify};
use std::{hint::black_box, time::Duration};
use watched::Answers;

const ONE: &str = "verify-cached-1t";
const ACCOUNTS: &str = "verify-cached-1t-accounts";
const BARE: &str = "verify-cached-1t-bare";
const BOOKKEEPING: &str = "bookkeeping";
/// As many as are busy at a time, and as the caches of a processor hold.
const KEYS: u64 = 1_000;
const ROUNDS: usize = 201;
const BOOKKEEPING_ROUNDS: usize = 401;
/// More than the keys of a figure take.
pub(crate) const CACHE_BYTES: u64 = 64 << 20;

/// Whether last use, the access log and metering are on. Without them a request is a check: it is charged nothing, by the same steps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bookkeeping {
    On,
    Off,
}

/// What a request is counted by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Two windows of the key.
    ByKey,
    /// And two of its account.
    ByAccountToo,
}

/// The policy of all these figures: so many places in two windows of each.
pub(crate) fn policy(counted: Counted, places: u64, cache_bytes: u64, bookkeeping: Bookkeeping) -> Policy {
    let window = |seconds| Window::new(places, Duration::from_secs(seconds)).expect("a window");
    let limits = Limits::new([window(60), window(86_400)]).expect("two lengths");
    let account = if counted == Counted::ByAccountToo { limits.clone() } else { Limits::unlimited() };
    let policy = Policy::builder().active_limit(ActiveLimit::Unlimited).limits(Tier { key: limits, account: Some(account) });
    let policy = policy.max_records(None).max_creations_per_day(None).cache_bytes(cache_bytes);
    let log = if bookkeeping == Bookkeeping::On { AccessLog::BestEffort } else { AccessLog::Off };
    policy.access_log(log).build().expect("a legal policy")
}

/// So many places that none lacks.
pub(crate) const BILLION: u64 = 1_000_000_000;

pub(crate) fn names() -> Vec<String> {
    [ONE, ACCOUNTS, BARE, BOOKKEEPING].map(str::to_owned).into()
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let crowd = |counted| Crowd::new(KEYS, Answers::AtOnce, policy(counted, BILLION, CACHE_BYTES, Bookkeeping::On));
    if wanted(ONE) || wanted(BARE) {
        let crowd = crowd(Counted::ByKey).by_secret_too();
        if wanted(ONE) {
            let limit = crowd.limit();
            let medians = one_thread(ONE, &crowd, |text| limit.verify(text), |text| &text[..]);
            report(figure(ONE, medians, Bar::AtMost(1.15)));
        }
        if wanted(BARE) {
            let limit = crowd.limit_of_bare();
            report(figure(BARE, one_thread(BARE, &crowd, |text| limit.verify(secret(text)), |text| secret(text)), Bar::None));
        }
    }
    if wanted(ACCOUNTS) {
        let crowd = crowd(Counted::ByAccountToo);
        let limit = crowd.limit();
        let medians = one_thread(ACCOUNTS, &crowd, |text| limit.verify_with_account(text), |text| &text[..]);
        report(figure(ACCOUNTS, medians, Bar::AtMost(1.25)));
    }
    if wanted(BOOKKEEPING) {
        report(figure(BOOKKEEPING, bookkeeping(), Bar::AtMost(1.15)));
    }
}

fn figure(name: &str, medians: Medians, bar: Bar) -> Figure {
    Figure { name: name.to_owned(), value: medians.figure, limit: medians.limit, unit: "ns", bar }
}

/// Each key once a round.
fn one_thread(name: &str, crowd: &Crowd, limit: impl Fn(&Text) -> bool, form: fn(&Text) -> &[u8]) -> Medians {
    crowd.ready();
    crowd.remembers(name, || {
        in_turn(
            ROUNDS,
            |_| {
                crowd.ready();
                nanos_each(&crowd.texts, |text| assert!(limit(black_box(text))))
            },
            |_| nanos_each(&crowd.texts, |text| verify(&crowd.clove, black_box(form(text)))),
        )
    })
}

/// The same verification with what is noted of each request, beside one without.
fn bookkeeping() -> Medians {
    let crowd = |how| Crowd::new(KEYS, Answers::AtOnce, policy(Counted::ByKey, BILLION, CACHE_BYTES, how));
    let (with, without) = (crowd(Bookkeeping::On), crowd(Bookkeeping::Off));
    in_turn(
        BOOKKEEPING_ROUNDS,
        |_| {
            without.ready();
            nanos_each(&without.texts, |text| verify(&without.clove, Attempt::new(black_box(text)).only_checking()))
        },
        |_| {
            with.ready();
            nanos_each(&with.texts, |text| verify(&with.clove, Attempt::new(black_box(text))))
        },
    )
}
