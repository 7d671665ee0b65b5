//! The schema of a file, whatever happens to the processes that bring it to the newest version.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use clove_core::Store;
use clove_store_sqlite::SqliteStore;
use rusqlite::Connection;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use support::{Process, acme, file, write};

/// How many processes open a file at once.
const PROCESSES: usize = 3;

/// Run by the tests below as a process of its own; by itself it does nothing. It opens the file when it is told to, writes, and
/// stays.
#[tokio::test]
async fn a_process_that_opens() {
    let Some(path) = std::env::var_os("CLOVE_OPEN_FILE") else { return };
    println!("ready");
    std::io::stdin().lines().next();
    let store = SqliteStore::open(path).unwrap();
    store.transact(write()).await.unwrap();
    println!("opened");
    std::io::stdin().lines().next();
}

fn openers(path: &Path) -> Vec<Process> {
    let mut openers: Vec<_> = (0..PROCESSES).map(|_| Process::of_test("a_process_that_opens", "CLOVE_OPEN_FILE", path)).collect();
    openers.iter_mut().for_each(|opener| opener.hear("ready"));
    openers
}

/// What a file says of its schema: whose it is, its version, and all its statements.
fn schema(path: &Path) -> (i64, i64, Vec<String>) {
    let connection = Connection::open(path).unwrap();
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get(0)).unwrap();
    let mut statement = connection.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").unwrap();
    let statements = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    (pragma("application_id"), pragma("user_version"), statements)
}

fn whole() -> (i64, i64, Vec<String>) {
    let (_folder, path) = file();
    drop(SqliteStore::open(&path).unwrap());
    schema(&path)
}

#[test]
fn processes_killed_while_they_migrate_leave_a_whole_version_that_opens() {
    let (rounds, whole) = (if std::env::var_os("CLOVE_SOAK").is_some() { 500 } else { 25 }, whole());
    // How long an opening takes here, so that the kills fall into it.
    let (_folder, path) = file();
    let began = Instant::now();
    drop(SqliteStore::open(&path).unwrap());
    let takes = began.elapsed() + Duration::from_millis(1);
    let (mut empty, mut migrated) = (0, 0);
    for round in 0..rounds {
        let (_folder, path) = file();
        let mut openers = openers(&path);
        for opener in &mut openers {
            opener.go_on();
        }
        // Real time passes for other processes here; how much does not matter to the outcome, but to what it proves.
        std::thread::sleep(takes.mul_f64(f64::from(round % 25) / 20.0));
        for opener in &mut openers {
            opener.child.kill().unwrap();
            opener.child.wait().unwrap();
        }
        if path.exists() {
            let found = schema(&path);
            if found == whole {
                migrated += 1;
            } else {
                empty += 1;
                assert_eq!(found, (0, 0, vec![]), "round {round}: neither version");
            }
        }
        drop(SqliteStore::open(&path).unwrap());
        assert_eq!(schema(&path), whole, "round {round}: not whole after it was opened");
    }
    println!("killed {rounds} times: {empty} files without a version, {migrated} with the newest");
}

#[tokio::test]
async fn processes_that_migrate_a_file_at_once_all_get_to_write_to_it() {
    let (_folder, path) = file();
    let mut openers = openers(&path);
    for opener in &mut openers {
        opener.go_on();
    }
    for opener in &mut openers {
        opener.hear("opened");
    }
    for mut opener in openers {
        opener.go_on();
        opener.ends_well();
    }
    assert!(SqliteStore::open(&path).unwrap().organization(&acme()).await.unwrap().is_some());
    assert_eq!(schema(&path), whole());
}
