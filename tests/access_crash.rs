//! A process killed while it verifies, with a log that each grant must be in first.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use clove::{
    AccessLog, AccessOutcome, By, Clove, GrantId, ListAccess, NewKey, Owner, Policy, Tier, Verdict, sqlite::SqliteStore,
};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

const CALLERS: usize = 8;

fn policy() -> Policy {
    let policy = Policy::builder().limits(Tier::unlimited()).access_log(AccessLog::Required);
    policy.max_records(None).max_creations_per_day(None).build().unwrap()
}

fn owner() -> Owner {
    Owner::new("acme", "ada").unwrap()
}

/// Run by the test below as a process of its own; by itself it does nothing. It says what was granted, once it was.
#[tokio::test]
async fn a_process_to_be_killed() {
    let (Some(path), Ok(credential)) = (std::env::var_os("CLOVE_CRASH_FILE"), std::env::var("CLOVE_CREDENTIAL")) else { return };
    let clove = Clove::new(SqliteStore::open(path).unwrap(), policy());
    let verify = async || -> std::convert::Infallible {
        loop {
            let Verdict::Granted(grant) = clove.verify(&credential).await.unwrap() else { panic!("denied") };
            println!("granted {}", grant.id());
            std::io::stdout().flush().unwrap();
        }
    };
    futures_util::future::join_all((0..CALLERS).map(|_| verify())).await;
}

/// What a process was granted before it was killed.
fn verify_and_kill(path: &Path, credential: &str, pause: Duration) -> BTreeSet<GrantId> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_process_to_be_killed", "--exact", "--nocapture"])
        .env("CLOVE_CRASH_FILE", path)
        .env("CLOVE_CREDENTIAL", credential)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut output, mut granted, mut line) = (BufReader::new(child.stdout.take().unwrap()), BTreeSet::new(), String::new());
    let mut killed = false;
    loop {
        line.clear();
        if output.read_line(&mut line).unwrap() == 0 {
            break;
        }
        // A line cut off by the kill has no end and was not heard.
        let Some((_, id)) = line.strip_suffix('\n').and_then(|line| line.split_once("granted ")) else { continue };
        granted.insert(GrantId::parse(id).unwrap());
        if !killed {
            // Real time passes for another process here; how much is the point of the test, and does not matter to its outcome.
            std::thread::sleep(pause);
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the process ended by itself");
    granted
}

async fn log(clove: &Clove) -> BTreeSet<GrantId> {
    let (mut ids, mut list) = (BTreeSet::new(), ListAccess { limit: Some(200), ..ListAccess::default() });
    loop {
        let page = clove.access_log(&owner(), &list).await.unwrap();
        assert!(page.corrupt.is_empty() && page.items.iter().all(|entry| entry.outcome == AccessOutcome::Granted));
        ids.extend(page.items.iter().map(|entry| entry.id));
        list.after = page.next;
        if list.after.is_none() {
            return ids;
        }
    }
}

#[tokio::test]
async fn every_grant_that_was_returned_is_in_the_log_of_a_killed_process() {
    let kills = if std::env::var_os("CLOVE_SOAK").is_some() { 500 } else { 15 };
    let folder = tempfile::tempdir().unwrap();
    let (mut heard, mut more) = (0, 0);
    for round in 0..kills {
        // A fresh file each time, so that checking what is there stays quick.
        let path = folder.path().join(format!("{round}.db"));
        let store = SqliteStore::open(&path).unwrap();
        let clove = Clove::new(store.clone(), policy());
        let issued = clove.create(&owner(), NewKey::named("a key").unwrap(), &By::new("ada", "test").unwrap()).await.unwrap();
        let credential = issued.credential.unwrap().reveal();
        let granted = verify_and_kill(&path, &credential, Duration::from_micros(500 + (round * 7919) % 40_000));
        let logged = log(&clove).await;
        let missing: Vec<&GrantId> = granted.difference(&logged).collect();
        assert!(missing.is_empty(), "round {round}: {missing:?} of {} are not in the log", granted.len());
        (heard, more) = (heard + granted.len(), more + logged.len() - granted.len());
        store.close().await;
        std::fs::remove_file(&path).unwrap();
    }
    println!("{kills} kills, {heard} grants heard of, and {more} entries of others");
}
