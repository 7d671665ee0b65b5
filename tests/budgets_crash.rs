//! Processes that share budgets on one SQLite file, and die while they spend them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use clove::{
    Attempt, Budget, BudgetOf, By, Clove, NewKey, Owner, Policy, Refill, Tier, Unit, policy::PolicyBuilder, sqlite::SqliteStore,
};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

const AMOUNT: u64 = 400;
const UNITS: u64 = 24;

fn unit(number: u64) -> Unit {
    Unit::new(format!("unit-{number}")).unwrap()
}

/// Many budgets that never refill, each used for a while and then the next.
fn policy() -> Policy {
    let budget = |policy: PolicyBuilder, number| {
        policy.budget(BudgetOf::Account, unit(number), Budget::new(AMOUNT, Refill::Never).unwrap())
    };
    (0..UNITS).fold(Policy::builder().limits(Tier::unlimited()), budget).build().unwrap()
}

/// Run by the test below as a process of its own; by itself it does nothing. It tells each grant, with what it is going to use of what it
/// has reserved, before it uses any of it.
#[tokio::test]
async fn a_process_that_reserves() {
    let Some(path) = std::env::var_os("CLOVE_BUDGETS_FILE") else { return };
    let credential = std::env::var("CLOVE_BUDGETS_KEY").unwrap();
    let clove = Clove::new(SqliteStore::open(path).unwrap(), policy());
    let mut output = std::io::stdout();
    for round in 0_u64.. {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let number = u64::try_from(now / 100).unwrap() % UNITS;
        let (unit, amount) = (unit(number), 5 + round % 7);
        let attempt = Attempt::new(&credential).reserving(&unit, amount);
        let Some(grant) = clove.verify(attempt).await.unwrap().granted() else { continue };
        // From here on it may use so much, and it may be killed before or after the store knows.
        let used = amount - round % 3;
        output.write_all(format!("\nsays {} {number} {used}\n", grant.id()).as_bytes()).unwrap();
        output.flush().unwrap();
        clove.settle_durably(&grant, used).await.unwrap();
    }
}

/// Of which unit, and how much, by the grant.
type Told = (String, u64, u64);

fn spend(path: &Path, credential: &str, told: mpsc::Sender<Told>) -> (Child, JoinHandle<()>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_process_that_reserves", "--exact", "--nocapture"])
        .env("CLOVE_BUDGETS_FILE", path)
        .env("CLOVE_BUDGETS_KEY", credential)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let listener = thread::spawn(move || {
        let mut line = String::new();
        while output.read_line(&mut line).unwrap() > 0 {
            // A line cut off by the kill has no end and was not heard.
            let words: Vec<&str> = line.strip_suffix('\n').unwrap_or_default().split(' ').collect();
            if let ["says", grant, number, amount] = words.as_slice() {
                told.send(((*grant).to_owned(), number.parse().unwrap(), amount.parse().unwrap())).unwrap();
            }
            line.clear();
        }
    });
    (child, listener)
}

fn kill((mut child, listener): (Child, JoinHandle<()>)) {
    child.kill().unwrap();
    child.wait().unwrap();
    listener.join().unwrap();
}

#[tokio::test]
async fn four_processes_killed_at_random_never_spend_more_than_a_budget_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let clove = Clove::new(SqliteStore::open(&path).unwrap(), policy());
    let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "spending").unwrap());
    let issued = clove.create(&owner, NewKey::named("key").unwrap(), &by).await.unwrap();
    let credential = issued.credential.unwrap().reveal().to_string();
    let (sender, told) = mpsc::channel();
    // Real time passes for the processes; how much does not matter to what must hold.
    let seconds = if std::env::var_os("CLOVE_SOAK").is_some() { 120 } else { 4 };
    let (began, mut seed, mut killed) = (Instant::now(), 1_u64, 0);
    let mut running: Vec<_> = (0..4).map(|_| spend(&path, &credential, sender.clone())).collect();
    while began.elapsed() < Duration::from_secs(seconds) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        thread::sleep(Duration::from_millis(100 + seed % 300));
        kill(running.remove(usize::try_from(seed >> 33).unwrap() % 4));
        killed += 1;
        running.push(spend(&path, &credential, sender.clone()));
    }
    running.into_iter().for_each(kill);
    drop(sender);
    let mut grants: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (grant, number, amount) in told {
        grants.insert(grant, (number, amount));
    }
    let mut spent: BTreeMap<u64, u64> = BTreeMap::new();
    grants.values().for_each(|(number, amount)| *spent.entry(*number).or_default() += amount);
    for number in 0..UNITS {
        let state = clove.budget(&owner, None, &unit(number)).await.unwrap().unwrap();
        let (taken, spent) = (state.settled + state.reserved, spent.get(&number).copied().unwrap_or_default());
        assert!(spent <= taken && taken <= AMOUNT, "unit {number}: {spent} spent, {state:?}");
    }
    println!("{killed} killed, {} grants; spent by unit: {spent:?}", grants.len());
    assert!(spent.values().sum::<u64>() > AMOUNT, "they were not busy: {spent:?}");
}
