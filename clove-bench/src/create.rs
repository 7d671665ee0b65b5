//! `create-sqlite`: issuing a key, until key and audit event are on the disk.

use crate::{
    bare_file,
    figure::{Bar, Figure},
    fixture,
    limits::{BareCreate, NewRows},
    measure::{in_turn, micros},
};
use clove_core::{By, Clove, NewKey, Owner};
use clove_store_sqlite::SqliteStore;
use std::{path::Path, time::Instant};
use tokio::runtime::{Builder, Runtime};

const ALONE: &str = "create-sqlite";
const TWO_WORKERS: &str = "create-sqlite-2w";
const TOGETHER: &str = "create-sqlite-32";
/// Limit and figure take turns one by one: each is a round.
const ROUNDS: usize = 2_000;
const CREATORS: u64 = 32;
/// Rounds of [`TOGETHER`], and keys of one creator and of each of the 32 in a round.
const CROWD_ROUNDS: usize = 11;
const ONE_MAKES: usize = 400;
const EACH_MAKES: usize = 60;

pub(crate) fn names() -> Vec<String> {
    [ALONE, TWO_WORKERS, TOGETHER].map(str::to_owned).into()
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    if wanted(ALONE) {
        report(alone(ALONE, Bar::AtMost(1.3), &runtime()));
    }
    if wanted(TWO_WORKERS) {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        report(alone(TWO_WORKERS, Bar::None, &runtime));
    }
    if wanted(TOGETHER) {
        report(together());
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn open(path: &Path) -> Clove {
    Clove::new(SqliteStore::open(path).expect("a store"), fixture::policy())
}

async fn create(clove: &Clove, owner: &Owner, by: &By) {
    let issued = clove.create(owner, NewKey::named("bench").expect("a name"), by).await;
    assert!(issued.expect("a key").credential.is_some());
}

/// One creator, as latency. The task runs on a worker of the runtime, and is timed there.
fn alone(name: &str, bar: Bar, runtime: &Runtime) -> Figure {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, bare) = (folder.path().join("keys.db"), folder.path().join("bare.db"));
    // The same schema; and the store is closed before the limit opens the file.
    drop(SqliteStore::open(&bare).expect("a store"));
    let connection = bare_file::connect(&bare);
    let mut limit = BareCreate::new(&connection);
    let (clove, owner, by) = (open(&ours), fixture::owner(0), fixture::by());
    let medians = in_turn(
        ROUNDS,
        |round| {
            let round = round as u64;
            let rows = NewRows {
                organization: owner.organization.as_str(),
                account: owner.account.as_str(),
                keys: round as i64 + 1,
                key: *clove_core::KeyId::new(clove.now()).as_bytes(),
                digest: fixture::sha256(fixture::secret(round)),
                event: *clove_core::KeyId::new(clove.now()).as_bytes(),
                operation: *clove_core::KeyId::new(clove.now()).as_bytes(),
                now: clove.now().timestamp_micros(),
            };
            micros(|| limit.create(&rows))
        },
        |_| {
            let (clove, owner, by) = (clove.clone(), owner.clone(), by.clone());
            let timed = runtime.spawn(async move {
                let start = Instant::now();
                create(&clove, &owner, &by).await;
                start.elapsed().as_nanos() as f64 / 1000.0
            });
            runtime.block_on(timed).expect("no panic")
        },
    );
    Figure { name: name.to_owned(), value: medians.figure, limit: medians.limit, unit: "us", bar }
}

/// 32 creators beside one, as keys a second, on one thread and one file; for one owner, so that both write the same rows.
fn together() -> Figure {
    let folder = tempfile::tempdir().expect("a folder");
    let (clove, runtime) = (open(&folder.path().join("keys.db")), runtime());
    let rate = |creators: u64, each: usize| {
        runtime.block_on(async {
            let start = Instant::now();
            let tasks: Vec<_> = (0..creators)
                .map(|_| {
                    let (clove, owner, by) = (clove.clone(), fixture::owner(0), fixture::by());
                    tokio::spawn(async move {
                        for _ in 0..each {
                            create(&clove, &owner, &by).await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
            (creators as usize * each) as f64 / start.elapsed().as_secs_f64()
        })
    };
    let medians = in_turn(CROWD_ROUNDS, |_| rate(1, ONE_MAKES), |_| rate(CREATORS, EACH_MAKES));
    Figure { name: TOGETHER.to_owned(), value: medians.figure, limit: medians.limit, unit: "keys/s", bar: Bar::AtLeast(6.0) }
}
