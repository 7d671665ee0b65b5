//! Figures of the store on Postgres, `clove-bench --postgres`. They need a server: `cargo xtask bench --postgres` brings one.

mod cached;
mod create;
mod fill;
mod idle;
mod limits;
mod pgbench;
mod plans;
mod proxy;
mod scale;
mod server;
mod trips;
mod verify;

pub(crate) use scale::Scale;

use crate::Group;
use clove_core::{ActiveLimit, Clove, Policy, Tier, Verdict};
use std::time::Duration;

pub(crate) const GROUPS: [Group; 5] = [
    Group { names: verify::names, run: verify::run },
    Group { names: create::names, run: create::run },
    Group { names: cached::names, run: cached::run },
    Group { names: idle::names, run: idle::run },
    Group { names: trips::names, run: trips::run },
];

/// What is missing for those of the figures that are wanted.
pub(crate) fn missing(wanted: &dyn Fn(&str) -> bool) -> Option<String> {
    let pgbench = || if wanted(verify::TOGETHER) { pgbench::program().err() } else { None };
    let pooler = || if trips::is_pooled(wanted) { server::pooler_url().err() } else { None };
    server::url().err().or_else(pgbench).or_else(pooler)
}

/// Keys that are never remembered, so that each verification reads; two places an owner, and no limit that requests are counted by.
fn cold_policy() -> Policy {
    let policy = Policy::builder().active_limit(ActiveLimit::AtMost(2)).limits(Tier::unlimited()).freshness(Duration::ZERO);
    policy.max_records(None).max_creations_per_day(None).build().expect("a legal policy")
}

async fn verify(clove: &Clove, text: &str) {
    let verdict = clove.verify(std::hint::black_box(text)).await;
    assert!(matches!(std::hint::black_box(&verdict), Ok(Verdict::Granted(_))), "{verdict:?}");
}
