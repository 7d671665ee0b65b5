//! `verify-sqlite-cold`: a whole verification whose row is read from the file each time.

use crate::{
    bare_file,
    figure::{Bar, Figure},
    fixture::{self, Numbers},
    limits,
    measure::{in_turn, nanos_each},
};
use clove_core::{Clove, Verdict};
use clove_store_sqlite::{Options, SqliteStore, sql};
use rusqlite::{Connection, params};
use std::{hint::black_box, path::Path, time::Instant};

const SIZES: [(&str, u64); 2] = [("verify-sqlite-cold-10k", 10_000), ("verify-sqlite-cold-1m", 1_000_000)];
const ROUNDS: usize = 15;
/// Keys in a round, drawn anew for each, and those before that fill SQLite's cache.
const TIMES: usize = 5_000;
const WARM_UP: usize = 3_000;
/// What the store opens: one to write, two to scan, the others for point reads. The limit opens as many.
const CONNECTIONS: usize = 5;
const OWNERS: u64 = 1_000;
const BAR: Bar = Bar::AtMost(1.3);

pub(crate) fn names() -> Vec<String> {
    SIZES.iter().map(|(name, _)| (*name).to_owned()).collect()
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    for (name, keys) in SIZES.into_iter().filter(|(name, _)| wanted(name)) {
        report(measure(name, keys));
    }
}

fn measure(name: &str, keys: u64) -> Figure {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    fill(&runtime, &path, keys);
    let draw = |numbers: &mut Numbers, times| -> Vec<([u8; 16], String)> {
        let numbers = (0..times).map(|_| numbers.below(keys));
        numbers.map(|number| (*fixture::key_id(number).as_bytes(), fixture::credential(number))).collect()
    };
    // Each round opens the file anew: SQLite, as it is built here, has one cache of pages for all connections of a process,
    // and limit and figure would take each other's pages. Both read the same keys, after the same warm-up.
    let medians = in_turn(
        ROUNDS,
        |round| {
            let connections: Vec<Connection> = (0..CONNECTIONS).map(|_| bare_file::connect_to_read(&path)).collect();
            let mut limit = limits::ColdRead::new(&connections[0], sql::FIND_BY_ID);
            let mut numbers = Numbers(round as u64);
            let mut verify = |times| {
                let drawn = draw(&mut numbers, times);
                nanos_each(&drawn, |(id, text)| assert!(limit.verify(black_box(id), black_box(&text[37..]))))
            };
            verify(WARM_UP);
            verify(TIMES)
        },
        |round| {
            let store = Options::new(&path).readers(CONNECTIONS - 3).open().expect("a store");
            let clove = Clove::new(store, fixture::policy());
            let mut numbers = Numbers(round as u64);
            let mut verify = |times| {
                let drawn = draw(&mut numbers, times);
                runtime.block_on(async {
                    let start = Instant::now();
                    for (_, text) in &drawn {
                        let verdict = clove.verify(black_box(text)).await;
                        assert!(matches!(black_box(verdict), Ok(Verdict::Granted(_))));
                    }
                    start.elapsed().as_nanos() as f64 / drawn.len() as f64
                })
            };
            verify(WARM_UP);
            verify(TIMES)
        },
    );
    Figure { name: name.to_owned(), value: medians.figure, limit: medians.limit, unit: "ns", bar: BAR }
}

/// Makes a file, and writes rows as the store would, in one transaction that need not be safe.
pub(crate) fn fill(runtime: &tokio::runtime::Runtime, path: &Path, keys: u64) {
    // Makes the schema; then nothing but the filling has the file open.
    let store = SqliteStore::open(path).expect("a store");
    runtime.block_on(store.close());
    let mut connection = Connection::open(path).expect("a connection");
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000")
        .expect("pragmas for filling");
    let transaction = connection.transaction().expect("a transaction");
    {
        let prepare = |sql| transaction.prepare(sql).expect("a statement for the store's schema");
        let mut owner = prepare(
            "INSERT INTO owners (org, account, open, held, records, active_limit, creation_day, creations)
             VALUES (?1, ?2, 1, ?3, ?3, NULL, 20454, ?3)",
        );
        let mut key = prepare(
            "INSERT INTO keys (id, org, account, name, description, capabilities, metadata, created_at, expires_at,
                               last_used_at, state, expiry_latched, revision)
             VALUES (?1, ?2, ?3, 'bench', '', '', '', ?4, ?5, NULL, 'active', 0, 1)",
        );
        let mut secret = prepare(
            "INSERT INTO secrets (key_id, digest, scheme, pepper, argon2_cost, argon2_salt, valid_until)
             VALUES (?1, ?2, 'sha256', NULL, NULL, NULL, NULL)",
        );
        let owners: Vec<_> = (0..OWNERS).map(fixture::owner).collect();
        transaction
            .execute("INSERT INTO organizations (id, open) VALUES (?1, 1)", [owners[0].organization.as_str()])
            .expect("a row");
        for of in &owners {
            owner.execute(params![of.organization.as_str(), of.account.as_str(), (keys / OWNERS) as i64]).expect("a row");
        }
        let now = chrono::Utc::now();
        let (created, expires) = (now.timestamp_micros(), (now + chrono::TimeDelta::days(90)).timestamp_micros());
        for number in 0..keys {
            let (id, of) = (fixture::key_id(number), &owners[(number % OWNERS) as usize]);
            let (organization, account) = (of.organization.as_str(), of.account.as_str());
            // A microsecond apart, as no two keys of one owner expire together.
            let number_micros = number as i64;
            key.execute(params![id.as_bytes(), organization, account, created + number_micros, expires + number_micros])
                .expect("a row");
            secret.execute(params![id.as_bytes(), limits::sha256(fixture::secret(number).as_bytes())]).expect("a row");
        }
    }
    transaction.commit().expect("a commit");
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).expect("write-ahead logging");
}
