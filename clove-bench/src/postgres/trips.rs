//! `round-trips-*`: how often one task waits for the server, and how many messages that run statements it sends; straight and, `-pooled`,
//! through PgBouncer in transaction mode.

use super::{
    cold_policy, create,
    fill::{Crowd, fill, owner},
    proxy::{self, Counts},
    server::{self, Schema, on, runtime},
    verify,
};
use crate::{
    figure::{Bar, Figure},
    fixture,
};
use clove_core::{Clove, Error, NewKey, Refusal};
use std::{pin::Pin, sync::Arc};
use tokio::runtime::Runtime;

const VERIFY: &str = "round-trips-verify";
const CREATE: &str = "round-trips-create";
/// For an owner whose row this process has seen full.
const REFUSED: &str = "round-trips-refused-creation";
/// As all commands that change a key.
const DISABLE: &str = "round-trips-disable";
const POOLED: &str = "-pooled";
const CROWD: Crowd = Crowd { keys: 1_000 };
/// Enough for each connection to have prepared what it needs.
const WARM_UP: u64 = 200;
/// The same of creations, whose two tasks plan their statement anew when each has sent 16 and each time that it has sent twice as many: by
/// then each has passed 512, and comes to 1,024 only after those that are counted.
const CREATED_BEFORE: u64 = 1_300;
const TIMES: u64 = 200;
/// Who is asked for again and again, and is full.
const FULL: u64 = 10;

pub(crate) fn names() -> Vec<String> {
    let of = |pooled| [VERIFY, CREATE, REFUSED, DISABLE].map(|name| format!("{name}{pooled}"));
    ["", POOLED].into_iter().flat_map(of).flat_map(|name| [name.clone(), of_statements(&name)]).collect()
}

/// Whether any of these needs a pooler.
pub(crate) fn is_pooled(wanted: &dyn Fn(&str) -> bool) -> bool {
    names().iter().any(|name| name.ends_with(POOLED) && wanted(name))
}

fn of_statements(name: &str) -> String {
    name.replace("round-trips", "statements")
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let is_pooled = is_pooled(wanted);
    if names().iter().any(|name| !name.ends_with(POOLED) && wanted(name)) {
        Way::new("", &server::url().unwrap_or_default()).run(wanted, report);
    }
    if is_pooled {
        Way::new(POOLED, &server::pooler_url().unwrap_or_default()).run(wanted, report);
    }
}

/// A way to the server, and keys of its own.
struct Way {
    suffix: &'static str,
    clove: Clove,
    counts: Arc<Counts>,
    runtime: Runtime,
    _schema: Schema,
}

impl Way {
    fn new(suffix: &'static str, url: &str) -> Self {
        let (runtime, schema) = (runtime(), Schema::new());
        let (clove, counts) = runtime.block_on(async {
            drop(schema.store().await);
            fill(&schema, CROWD).await;
            let (url, counts) = proxy::start(url).await;
            let store = schema.options_at(&url).open().await.expect("a store");
            (Clove::new(store, cold_policy()), counts)
        });
        Self { suffix, clove, counts, runtime, _schema: schema }
    }

    fn run(&self, wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
        let clove = || self.clove.clone();
        let mut counted = |name: &str, before, work: &dyn Fn(u64) -> Work| {
            let name = format!("{name}{}", self.suffix);
            if wanted(&name) || wanted(&of_statements(&name)) {
                self.count(&name, before, work, report);
            }
        };
        counted(VERIFY, WARM_UP, &|number| {
            let (clove, text) = (clove(), fixture::credential(number % CROWD.keys));
            Box::pin(async move { verify(&clove, &text).await })
        });
        // Two keys each, in an organization that is there.
        counted(CREATE, CREATED_BEFORE, &|number| Box::pin(create::create(clove(), owner(CROWD.keys + number / 2))));
        counted(REFUSED, WARM_UP, &|number| {
            let clove = clove();
            Box::pin(async move {
                let new = NewKey::named("bench").expect("a name");
                let refused = clove.create(&owner(number % FULL), new, &fixture::by()).await;
                assert!(matches!(refused, Err(Error::Refused(Refusal::LimitReached { .. }))), "{refused:?}");
            })
        });
        counted(DISABLE, WARM_UP, &|number| {
            let clove = clove();
            Box::pin(async move {
                let owner = owner(number % (CROWD.keys / 2));
                clove.disable(&owner, fixture::key_id(number), &fixture::by()).await.expect("a key");
            })
        });
    }

    fn count(&self, name: &str, before: u64, work: &dyn Fn(u64) -> Work, report: &mut dyn FnMut(Figure)) {
        let work = |number| on(&self.runtime, work(number));
        (0..before).for_each(work);
        let (trips, statements) = (self.counts.trips(), self.counts.statements());
        (before..before + TIMES).for_each(work);
        let each = |after: u64, before: u64| (after - before) as f64 / TIMES as f64;
        let (trips, statements) = (each(self.counts.trips(), trips), each(self.counts.statements(), statements));
        let bar = if [VERIFY, CREATE].contains(&name) { Bar::AtMost(1.0) } else { Bar::None };
        report(Figure { name: name.to_owned(), value: trips, limit: 1.0, unit: "trips", bar });
        report(Figure { name: of_statements(name), value: statements, limit: 1.0, unit: "stmts", bar: Bar::None });
    }
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
