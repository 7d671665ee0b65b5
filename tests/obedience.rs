//! Kills are obeyed: at once by handles of the same `Clove`, within the bound by any other, in this process and in another. In real
//! time, under load.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use clove::{By, Clove, KeyId, Limits, NewKey, Owner, Policy, Tier, sqlite::SqliteStore};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const BOUND: Duration = Duration::from_millis(100);

/// How many verifications each verifier makes at least, in the tests and in the long run.
fn verifications() -> usize {
    if std::env::var_os("CLOVE_SOAK").is_some() { 1_000_000 } else { 30_000 }
}

fn policy() -> Policy {
    Policy::builder().limits(Tier { key: Limits::unlimited(), account: Some(Limits::unlimited()) }).build().unwrap()
}

fn open(path: &Path) -> Clove {
    let clove = Clove::new(SqliteStore::open(path).unwrap(), policy());
    clove.maintenance().spawn_thread(|_| {}).unwrap();
    clove
}

fn verify(clove: &Clove, credential: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(clove.verify(credential)).unwrap().granted().is_some()
}

/// Microseconds since 1970: the one clock that processes share.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros().try_into().unwrap()
}

/// Verifies until told to stop or as often as asked; counts grants that began while the key was dead for longer than `late`.
///
/// `dead_since` is 0 from before an enabling is sent, and the time at which a disabling had returned after that.
fn watch(clove: &Clove, credential: &str, dead_since: &AtomicU64, late: Duration, ends: &AtomicBool) -> (usize, usize, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut all, mut grants, mut wrong) = (0, 0, 0);
    let late = u64::try_from(late.as_micros()).unwrap();
    while !ends.load(Ordering::SeqCst) {
        let since = dead_since.load(Ordering::SeqCst);
        let is_late = since != 0 && now() > since + late;
        let granted = runtime.block_on(clove.verify(credential)).unwrap().granted().is_some();
        all += 1;
        grants += usize::from(granted);
        // It was dead all the while.
        wrong += usize::from(granted && is_late && dead_since.load(Ordering::SeqCst) == since);
    }
    (all, grants, wrong)
}

/// Run by the test below as a process of its own; by itself it does nothing. It hears when the key is dead, and tells what it found.
#[test]
fn a_process_that_watches() {
    let Some(path) = std::env::var_os("CLOVE_OBEDIENCE_FILE") else { return };
    let credential = std::env::var("CLOVE_OBEDIENCE_KEY").unwrap();
    let (clove, dead_since, ends) = (open(Path::new(&path)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (heard, ended) = (Arc::clone(&dead_since), Arc::clone(&ends));
    thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            heard.store(line.parse().unwrap(), Ordering::SeqCst);
            // The writer waits for this before it enables: else the key would be alive again, unheard.
            println!("heard");
            std::io::stdout().flush().unwrap();
        }
        ended.store(true, Ordering::SeqCst);
    });
    let (all, grants, wrong) = watch(&clove, &credential, &dead_since, BOUND, &ends);
    println!("watched {all} {grants} {wrong}");
}

#[test]
fn a_kill_is_obeyed_at_once_here_and_within_the_bound_anywhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (clove, other) = (open(&path), open(&path));
    let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "killing").unwrap());
    let issued = runtime.block_on(clove.create(&owner, NewKey::named("a key").unwrap(), &by)).unwrap();
    let (id, credential): (KeyId, String) = (issued.key.id, issued.credential.unwrap().reveal().to_string());
    assert!(verify(&clove, &credential) && verify(&other, &credential));

    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_process_that_watches", "--exact", "--nocapture"])
        .env("CLOVE_OBEDIENCE_FILE", &path)
        .env("CLOVE_OBEDIENCE_KEY", &credential)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut tells, mut answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    let mut tell = |since: u64| {
        writeln!(tells, "{since}").unwrap();
        while !answers.next().unwrap().unwrap().ends_with("heard") {}
    };
    let (dead_since, ends) = (AtomicU64::new(0), AtomicBool::new(false));
    let began = Instant::now();
    thread::scope(|scope| {
        let watchers = [(&clove, Duration::ZERO), (&other, BOUND)].map(|(clove, late)| {
            let (dead_since, ends, credential) = (&dead_since, &ends, &credential);
            scope.spawn(move || watch(clove, credential, dead_since, late, ends))
        });
        let mut seed = 1_u64;
        let mut kills = 0;
        // Long enough that each has made its number, which a round's rate tells.
        while began.elapsed() < Duration::from_secs(if verifications() > 100_000 { 240 } else { 5 }) {
            runtime.block_on(clove.disable(&owner, id, &by)).unwrap();
            dead_since.store(now(), Ordering::SeqCst);
            tell(now());
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Some kills stand for longer than the bound, so that others must have obeyed.
            thread::sleep(Duration::from_millis(if seed >> 63 == 0 { seed >> 33 & 15 } else { 150 }));
            dead_since.store(0, Ordering::SeqCst);
            tell(0);
            runtime.block_on(clove.enable(&owner, id, &by)).unwrap();
            thread::sleep(Duration::from_millis(seed >> 40 & 31));
            kills += 1;
        }
        ends.store(true, Ordering::SeqCst);
        for (watcher, of) in watchers.into_iter().zip(["the same", "another in this process"]) {
            let (all, grants, wrong) = watcher.join().unwrap();
            println!("{of}: {all} verifications, {grants} granted, {wrong} wrongly, over {kills} kills");
            assert!(wrong == 0 && all >= verifications() && grants > all / 100, "{of}: {wrong} of {all}");
        }
    });
    drop(tells);
    let told = answers.map_while(Result::ok).find_map(|line| line.split("watched ").nth(1).map(str::to_owned)).unwrap();
    let [all, grants, wrong] = <[usize; 3]>::try_from(told.split(' ').map(|n| n.parse().unwrap()).collect::<Vec<_>>()).unwrap();
    println!("another process: {all} verifications, {grants} granted, {wrong} wrongly");
    assert!(wrong == 0 && all >= verifications() && grants > all / 100, "{wrong} of {all}");
    child.wait().unwrap();
}
