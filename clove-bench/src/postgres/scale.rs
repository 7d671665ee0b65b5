//! `scale-*`: a store of very many keys beside one of ten thousand, `clove-bench --postgres --scale`.

use super::{
    cold_policy, create,
    fill::{Crowd, fill, owner, size},
    idle, plans,
    server::{Schema, on, runtime},
    verify::lone_round,
};
use crate::{
    cached::calls,
    figure::{Bar, Figure},
    measure::in_turn,
};
use clove_core::{Clove, Cursor, Key, ListKeys, OrganizationId, Page, Scope};
use std::time::Instant;
use tokio::runtime::Runtime;

const FEW: u64 = 10_000;
const MANY: u64 = 10_000_000;
const ROUNDS: usize = 31;
/// In a round.
const VERIFIED: u64 = 500;
const CREATED: u64 = 20;
const LISTED: u64 = 20;
/// Keys of a page: the thousandth is the last of the few.
const PAGE: usize = 10;
const PAGES: usize = 1_000;
/// Rounds of 20,000 requests each.
const CALLED: usize = 5;
const BAR: Bar = Bar::AtMost(1.5);
/// Beside so many keys, an idle node and one that verifies what it remembers.
const IDLE: Crowd = Crowd { keys: 1_000 };
const FIGURES: [&str; 7] = ["verify", "create", "page-1", "page-1000", "idle-statements", "store-calls", "whole-tables"];

/// How many keys stand beside the few.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    keys: u64,
}

impl Default for Scale {
    fn default() -> Self {
        Self { keys: MANY }
    }
}

impl Scale {
    /// By a number of keys, some hundred thousand at least.
    pub(crate) fn of(keys: &str) -> Option<Self> {
        keys.parse().ok().filter(|keys| *keys >= 10 * FEW).map(|keys| Self { keys })
    }

    pub(crate) fn names(self) -> Vec<String> {
        FIGURES.iter().map(|figure| self.name(figure)).collect()
    }

    fn name(self, figure: &str) -> String {
        let keys = if self.keys.is_multiple_of(1_000_000) {
            format!("{}m", self.keys / 1_000_000)
        } else {
            format!("{}k", self.keys / 1_000)
        };
        format!("scale-{keys}-{figure}")
    }

    pub(crate) fn run(self, wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
        let runtime = runtime();
        // Under names that are known: what was filled by a run that did not end is not filled again.
        let [few, many] = [FEW, self.keys].map(|keys| Side::new(&runtime, Crowd { keys }));
        let mut measured = |figure: &str, unit, times: u64, work: &dyn Fn(&Side, u64) -> f64| {
            let name = self.name(figure);
            if wanted(&name) {
                let work = |side, round: usize| work(side, round as u64) / times as f64;
                let medians = in_turn(ROUNDS, |round| work(&few, round), |round| work(&many, round));
                report(Figure { name, value: medians.figure, limit: medians.limit, unit, bar: BAR });
            }
        };
        measured("verify", "us", 1, &|side, round| {
            on(&runtime, lone_round(side.clove.clone(), round, side.crowd.keys, VERIFIED))
        });
        measured("create", "us", CREATED, &|side, round| {
            let (clove, first) = (side.clove.clone(), round * CREATED);
            on(&runtime, async move {
                let start = Instant::now();
                for number in first..first + CREATED {
                    // Of owners that are not there yet.
                    create::create(clove.clone(), owner(90_000_000 + number)).await;
                }
                micros(start)
            })
        });
        measured("page-1", "us", LISTED, &|side, _| on(&runtime, pages(side.clove.clone(), None)));
        measured("page-1000", "us", LISTED, &|side, _| on(&runtime, pages(side.clove.clone(), Some(side.thousandth.clone()))));
        self.remembered(&runtime, &many, wanted, report);
        let name = self.name("whole-tables");
        if wanted(&name) {
            // The last of all: what it fills would be work for maintenance.
            let value = on(&runtime, plans::reading_whole(many.schema.name().to_owned())) as f64;
            report(Figure { name, value, limit: 0.0, unit: "stmts", bar: Bar::Zero });
        }
    }

    /// What a node asks that remembers a thousand of the keys.
    fn remembered(self, runtime: &Runtime, many: &Side, wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
        let [statements, calls] = ["idle-statements", "store-calls"].map(|figure| self.name(figure));
        if !wanted(&statements) && !wanted(&calls) {
            return;
        }
        let thousand = Schema::named(format!("clove_scale_{}", IDLE.keys));
        runtime.block_on(async {
            drop(thousand.store().await);
            fill(&thousand, IDLE).await;
        });
        let sides = [(&thousand, IDLE), (&many.schema, many.crowd)];
        if wanted(&statements) {
            let [limit, value] = sides.map(|(schema, crowd)| idle::a_second(schema, crowd)[0]);
            report(Figure { name: statements, value, limit, unit: "/s", bar: BAR });
        }
        if wanted(&calls) {
            let of = |schema: &Schema| calls::per_thousand(runtime.block_on(schema.store()));
            let medians = in_turn(CALLED, |_| of(&thousand), |_| of(&many.schema));
            report(Figure { name: calls, value: medians.figure, limit: medians.limit, unit: "calls", bar: BAR });
        }
    }
}

/// A store with so many keys.
struct Side {
    clove: Clove,
    crowd: Crowd,
    /// Where the thousandth page begins.
    thousandth: Cursor,
    schema: Schema,
}

impl Side {
    fn new(runtime: &Runtime, crowd: Crowd) -> Self {
        let schema = Schema::named(format!("clove_scale_{}", crowd.keys));
        let clove = runtime.block_on(async {
            let (store, start) = (schema.store().await, Instant::now());
            fill(&schema, crowd).await;
            eprintln!("{} keys are there after {:.0} s: {}", crowd.keys, start.elapsed().as_secs_f64(), size(&schema).await);
            Clove::new(store, cold_policy())
        });
        let walked = clove.clone();
        let thousandth = on(runtime, async move {
            let mut after = None;
            for _ in 1..PAGES {
                after = page(&walked, after).await.next;
            }
            after.expect("a thousandth page")
        });
        Self { clove, crowd, thousandth, schema }
    }
}

/// Microseconds of some pages that begin there.
async fn pages(clove: Clove, after: Option<Cursor>) -> f64 {
    let start = Instant::now();
    for _ in 0..LISTED {
        page(&clove, after.clone()).await;
    }
    micros(start)
}

async fn page(clove: &Clove, after: Option<Cursor>) -> Page<Key> {
    let organization = OrganizationId::new("acme-corporation").expect("an organization");
    let list = ListKeys { limit: Some(PAGE), after, ..ListKeys::default() };
    let page = clove.list(Scope::Organization(organization), &list).await.expect("a page");
    assert_eq!(page.items.len(), PAGE);
    page
}

fn micros(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / 1e3
}
