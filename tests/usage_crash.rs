//! A process killed while it records usage: what was acknowledged is counted, and counted once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use clove::{Attempt, Clove, ListUsage, NewKey, Owner, Policy, Tier, Unit, Usage, UsagePer, sqlite::SqliteStore};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

fn policy() -> Policy {
    let policy = Policy::builder().active_limit(clove::ActiveLimit::Unlimited).max_records(None).max_creations_per_day(None);
    policy.limits(Tier::unlimited()).build().unwrap()
}

fn owner() -> Owner {
    Owner::new("acme", "ada").unwrap()
}

fn say(line: &str) {
    println!("\nsays {line}");
    std::io::stdout().flush().unwrap();
}

/// Run by the test below as a process of its own; by itself it does nothing. Each of its grants has a unit of its own, so that its
/// part of the sums can be told. Before it reports or asks for a write it says what it is about to do, and what is acknowledged
/// once it is.
#[tokio::test]
async fn a_process_to_be_killed() {
    let Some(path) = std::env::var_os("CLOVE_USAGE_FILE") else { return };
    let clove = Clove::new(SqliteStore::open(path).unwrap(), policy());
    let issued =
        clove.create(&owner(), NewKey::named("a key").unwrap(), &clove::By::new("worker", "working").unwrap()).await.unwrap();
    let credential = issued.credential.unwrap().reveal().to_string();
    let (mut requests, mut streams) = (0, Vec::new());
    for number in 0_u64.. {
        requests += 1 + number % 3;
        say(&format!("try {requests}"));
        let grant = clove.verify(Attempt::new(&credential).costing(1 + number % 3)).await.unwrap().granted().unwrap();
        let unit = Unit::new(format!("u-{}", grant.id())).unwrap();
        streams.push((grant, unit, 0));
        if streams.len() > 4 {
            streams.remove(0);
        }
        let rounds = 1 + number % 4;
        for (_, unit, so_far) in &mut streams {
            *so_far += rounds;
            say(&format!("report {unit} {so_far}"));
        }
        for (grant, unit, so_far) in &streams {
            clove.record(grant, unit, *so_far).unwrap();
            // A stream that reports what it has reported before.
            clove.record(grant, unit, *so_far - 1).unwrap();
        }
        let Some((grant, unit, so_far)) = streams.first() else { continue };
        if number % 2 == 0 {
            clove.flush().await.unwrap()
        } else {
            clove.record_durably(grant, unit, *so_far).await.unwrap()
        }
        say(&format!("wrote {requests}"));
    }
}

/// What a process tried, and what it was told is written.
#[derive(Default)]
struct Told {
    tried: BTreeMap<String, Vec<u64>>,
    written: BTreeMap<String, u64>,
    requests_tried: u64,
    requests_written: u64,
}

impl Told {
    fn hear(&mut self, line: &str) {
        // A line cut off by the kill has no end and was not heard.
        let Some(line) = line.strip_suffix('\n').and_then(|line| line.strip_prefix("says ")) else { return };
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["try", requests] => self.requests_tried = requests.parse().unwrap(),
            ["report", unit, total] => self.tried.entry((*unit).to_owned()).or_default().push(total.parse().unwrap()),
            ["wrote", requests] => {
                self.requests_written = requests.parse().unwrap();
                let largest = |(unit, totals): (&String, &Vec<u64>)| (unit.clone(), totals.iter().copied().max().unwrap());
                self.written = self.tried.iter().map(largest).collect();
            }
            other => panic!("not a report: {other:?}"),
        }
    }
}

fn work_and_kill(path: &Path, pause: Duration) -> Told {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_process_to_be_killed", "--exact", "--nocapture"])
        .env("CLOVE_USAGE_FILE", path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (mut told, mut line) = (Told::default(), String::new());
    while told.requests_tried == 0 {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the process ended by itself");
        told.hear(&line);
    }
    // Heard on a thread of its own: a full pipe would hold the process up.
    let ear = std::thread::spawn(move || {
        let mut line = String::new();
        while output.read_line(&mut line).unwrap() > 0 {
            told.hear(&line);
            line.clear();
        }
        told
    });
    // Real time passes for another process here; how much is the point of the test, and does not matter to its outcome.
    std::thread::sleep(pause);
    child.kill().unwrap();
    child.wait().unwrap();
    ear.join().unwrap()
}

async fn sums(clove: &Clove) -> BTreeMap<String, u64> {
    let mut list = ListUsage { per: UsagePer::Total, limit: Some(200), ..ListUsage::default() };
    let mut found = BTreeMap::new();
    loop {
        let page = clove.usage(&owner(), &list).await.unwrap();
        assert!(page.corrupt.is_empty());
        found.extend(page.items.into_iter().map(|Usage { unit, amount, .. }| (unit.as_str().to_owned(), amount)));
        list.after = page.next;
        if list.after.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn every_acknowledged_report_survives_a_kill_and_counts_once() {
    let kills = if std::env::var_os("CLOVE_SOAK").is_some() { 500 } else { 20 };
    let folder = tempfile::tempdir().unwrap();
    let (mut before, mut written, mut lost) = (BTreeMap::new(), 0, 0);
    for round in 0..kills {
        // A fresh file now and then, so that checking what is there stays quick.
        let path = folder.path().join(format!("{}.db", round / 10));
        if round % 10 == 0 {
            before.clear();
        }
        let told = work_and_kill(&path, Duration::from_micros(500 + (round * 7919) % 40_000));
        let store = SqliteStore::open(&path).unwrap();
        let found = sums(&Clove::new(store.clone(), policy())).await;
        store.close().await;
        for (unit, totals) in &told.tried {
            let sum = found.get(unit).copied().unwrap_or(0);
            let acknowledged = told.written.get(unit).copied().unwrap_or(0);
            // Either what was acknowledged last, or a total that was on its way.
            assert!(sum >= acknowledged, "round {round}: {sum} of {acknowledged} {unit}");
            assert!(sum == 0 || totals.contains(&sum), "round {round}: {sum} of {totals:?} {unit}");
            written += u64::from(acknowledged > 0);
            lost += u64::from(totals.last().is_some_and(|last| sum < *last));
        }
        let requests = found.get("requests").copied().unwrap_or(0) - before.get("requests").copied().unwrap_or(0);
        assert!((told.requests_written..=told.requests_tried).contains(&requests), "round {round}: {requests} requests");
        for (unit, sum) in &before {
            assert!(found.get(unit) == Some(sum) || unit == "requests", "round {round}: {unit} of a process before it moved");
        }
        before = found;
    }
    println!("{kills} kills; {written} reports acknowledged, {lost} lost on their way");
}
