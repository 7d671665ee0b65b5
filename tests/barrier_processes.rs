//! Kills that are obeyed everywhere, by processes on one file: some of them stopped, some killed. In real time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

use clove::{By, Clove, Everywhere, NewKey, Owner, Policy, Tier, sqlite::SqliteStore};
use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// When it is a fact whatever fails, and what a busy machine may take beyond that until it says so.
const FACT: Duration = Duration::from_millis(150);
const LATE: Duration = Duration::from_secs(2);

fn open(path: &Path) -> Clove {
    let policy = Policy::builder().limits(Tier::unlimited()).max_creations_per_day(None).max_records(None).build().unwrap();
    let clove = Clove::new(SqliteStore::open(path).unwrap(), policy);
    clove.maintenance().spawn_thread(|_| {}).unwrap();
    clove
}

/// Run by the test below as a process of its own; by itself it does nothing. It keeps the key in memory, and is asked now and then.
#[test]
fn a_process_that_is_asked() {
    let Some(path) = std::env::var_os("CLOVE_BARRIER_FILE") else { return };
    let credential = std::env::var("CLOVE_BARRIER_KEY").unwrap();
    let clove = open(Path::new(&path));
    let good = {
        let credential = credential.clone();
        move |clove: &Clove| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(clove.verify(&credential)).unwrap().granted().is_some()
        }
    };
    thread::spawn({
        let (clove, good) = (clove.clone(), good.clone());
        move || {
            loop {
                good(&clove);
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    println!("ready");
    for line in std::io::stdin().lines() {
        line.unwrap();
        println!("{}", if good(&clove) { "granted" } else { "denied" });
        std::io::stdout().flush().unwrap();
    }
}

struct Process {
    child: Child,
    asks: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(path: &Path, credential: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_process_that_is_asked", "--exact", "--nocapture"])
            .env("CLOVE_BARRIER_FILE", path)
            .env("CLOVE_BARRIER_KEY", credential)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        let mut process = Self { child, asks, answers };
        process.hear("ready");
        process
    }

    /// The next line that ends so, or any answer.
    fn hear(&mut self, wanted: &str) -> String {
        let is_answer = |line: &String| [wanted, "granted", "denied"].iter().any(|answer| line.ends_with(answer));
        self.answers.by_ref().map(Result::unwrap).find(is_answer).unwrap()
    }

    fn grants(&mut self) -> bool {
        self.asks.write_all(b"\n").unwrap();
        self.hear("granted").ends_with("granted")
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn processes_that_run_are_stopped_or_die_grant_nothing_after_the_barrier() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let clove = open(&path);
    let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "testing").unwrap());
    let issued = clove.create(&owner, NewKey::named("a key").unwrap(), &by).await.unwrap();
    let (id, credential) = (issued.key.id, issued.credential.unwrap().reveal().to_string());
    let mut processes: Vec<Process> = (0..3).map(|_| Process::start(&path, &credential)).collect();
    let (mut slowest, mut granted) = ([Duration::ZERO; 3], 0);
    for round in 0..30 {
        // Long enough for each to have polled, and to know the key.
        tokio::time::sleep(Duration::from_millis(60)).await;
        granted += processes.iter_mut().filter_map(|process| process.grants().then_some(())).count();
        let how = round % 3;
        match how {
            1 => processes[0].signal("-STOP"),
            2 => processes[1] = Process::start(&path, &credential),
            _ => {}
        }
        clove.disable(&owner, id, &by).await.unwrap();
        let began = Instant::now();
        assert_eq!(clove.everywhere(Duration::from_secs(10)).await, Everywhere::Obeyed);
        slowest[how] = slowest[how].max(began.elapsed());
        if how == 1 {
            processes[0].signal("-CONT");
        }
        for (place, process) in processes.iter_mut().enumerate() {
            assert!(!process.grants(), "process {place} granted after the barrier, in round {round}");
        }
        clove.enable(&owner, id, &by).await.unwrap();
    }
    println!("{granted} grants before; at the slowest with all running, one stopped, one dead: {slowest:?}");
    assert!(granted > 80, "{granted} grants");
    assert!(slowest.iter().all(|took| *took < FACT + LATE), "{slowest:?}");
}
