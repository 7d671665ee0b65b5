//! Processes that share windows on one SQLite file, and die while they spend them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use clove::{By, Clove, Limits, NewKey, Owner, Policy, Tier, Window, sqlite::SqliteStore};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const OF_KEY: u64 = 300;
const OF_ACCOUNT: u64 = 400;

fn policy() -> Policy {
    let limits = |count| Limits::new([Window::new(count, Duration::from_secs(1)).unwrap()]).unwrap();
    Policy::builder().limits(Tier { key: limits(OF_KEY), account: Some(limits(OF_ACCOUNT)) }).build().unwrap()
}

/// Run by the test below as a process of its own; by itself it does nothing. It tells each grant, by key and window.
#[tokio::test]
async fn a_process_that_spends() {
    let Some(path) = std::env::var_os("CLOVE_PLACES_FILE") else { return };
    let credentials = std::env::var("CLOVE_PLACES_KEYS").unwrap();
    let credentials: Vec<&str> = credentials.split(' ').collect();
    let clove = Clove::new(SqliteStore::open(path).unwrap(), policy());
    let mut output = std::io::stdout();
    loop {
        for (key, credential) in credentials.iter().enumerate() {
            if let Some(grant) = clove.verify(*credential).await.unwrap().granted() {
                let end = grant.limits().next().unwrap().resets_at.timestamp();
                output.write_all(format!("grant {key} {end}\n").as_bytes()).unwrap();
                output.flush().unwrap();
            }
        }
    }
}

type Told = (u64, i64);

fn spend(path: &Path, credentials: &str, told: mpsc::Sender<Told>) -> (Child, JoinHandle<()>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_process_that_spends", "--exact", "--nocapture"])
        .env("CLOVE_PLACES_FILE", path)
        .env("CLOVE_PLACES_KEYS", credentials)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let listener = thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let mut words = line.rsplit("grant ").next().unwrap_or_default().split(' ');
            let told_now = words.next().and_then(|key| key.parse().ok()).zip(words.next().and_then(|end| end.parse().ok()));
            told_now.into_iter().for_each(|grant| told.send(grant).unwrap());
        }
    });
    (child, listener)
}

#[tokio::test]
async fn four_processes_killed_at_random_never_charge_more_than_a_window_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let clove = Clove::new(SqliteStore::open(&path).unwrap(), policy());
    let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "spending").unwrap());
    let mut credentials = Vec::new();
    for name in ["first", "second"] {
        let issued = clove.create(&owner, NewKey::named(name).unwrap(), &by).await.unwrap();
        credentials.push(issued.credential.unwrap().reveal().to_string());
    }
    let credentials = credentials.join(" ");
    let (sender, told) = mpsc::channel();
    // Real time passes for the processes; how much does not matter to what must hold.
    let seconds = if std::env::var_os("CLOVE_SOAK").is_some() { 120 } else { 4 };
    let (began, mut seed, mut killed) = (Instant::now(), 1_u64, 0);
    let mut running: Vec<(Child, JoinHandle<()>)> = (0..4).map(|_| spend(&path, &credentials, sender.clone())).collect();
    while began.elapsed() < Duration::from_secs(seconds) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        thread::sleep(Duration::from_millis(100 + seed % 300));
        let (mut child, listener) = running.remove(usize::try_from(seed >> 33).unwrap() % 4);
        child.kill().unwrap();
        child.wait().unwrap();
        listener.join().unwrap();
        killed += 1;
        running.push(spend(&path, &credentials, sender.clone()));
    }
    for (mut child, listener) in running {
        child.kill().unwrap();
        child.wait().unwrap();
        listener.join().unwrap();
    }
    drop(sender);
    let (mut of_keys, mut of_account): (BTreeMap<Told, u64>, BTreeMap<i64, u64>) = Default::default();
    for (key, end) in told {
        *of_keys.entry((key, end)).or_default() += 1;
        *of_account.entry(end).or_default() += 1;
    }
    println!("{killed} killed; an account's windows: {:?}", of_account.values().collect::<Vec<_>>());
    assert!(of_keys.values().all(|granted| *granted <= OF_KEY), "{of_keys:?}");
    assert!(of_account.values().all(|granted| *granted <= OF_ACCOUNT), "{of_account:?}");
    assert!(of_account.values().any(|granted| *granted > OF_ACCOUNT / 2), "they were not busy: {of_account:?}");
}
