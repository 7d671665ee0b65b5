//! Many at once: in one process, and in four on one SQLite file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use clove::{
    ActiveLimit, By, Clove, Error, ListKeys, MemoryStore, NewKey, Owner, Policy, Refusal, Status, Store, sqlite::SqliteStore,
};
use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// Rounds in the tests, and in the long run.
fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("CLOVE_SOAK").is_some() { long } else { short }
}

fn policy() -> Policy {
    Policy::builder().max_creations_per_day(None).max_records(None).build().unwrap()
}

fn owner(name: impl std::fmt::Display) -> Owner {
    Owner::new("acme", format!("owner-{name}")).unwrap()
}

fn by() -> By {
    By::new("racer", "racing").unwrap()
}

async fn active(clove: &Clove, owner: &Owner) -> usize {
    clove.list(owner, &ListKeys { status: Some(Status::Active), limit: Some(200), after: None }).await.unwrap().items.len()
}

async fn a_hundred_creations_make_two(store: impl Store, rounds: usize) {
    let clove = Clove::new(store, policy());
    for round in 0..rounds {
        let owner = owner(round);
        let creations: Vec<_> = (0..100)
            .map(|_| {
                let (clove, owner) = (clove.clone(), owner.clone());
                tokio::spawn(async move { clove.create(&owner, NewKey::named("racer").unwrap(), &by()).await })
            })
            .collect();
        let mut created = 0;
        for creation in creations {
            match creation.await.unwrap() {
                Ok(_) => created += 1,
                Err(Error::Refused(Refusal::LimitReached { active: 2, limit: 2 })) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((created, active(&clove, &owner).await), (2, 2));
        assert_eq!(clove.active_keys(&owner).await.unwrap().active, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_creations_at_once_make_two_keys_in_memory() {
    a_hundred_creations_make_two(MemoryStore::new(), rounds(200, 5000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_creations_at_once_make_two_keys_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    a_hundred_creations_make_two(SqliteStore::open(folder.path().join("keys.db")).unwrap(), rounds(30, 2000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_lives_behind_a_close_whatever_races_it() {
    let folder = tempfile::tempdir().unwrap();
    let clove = Clove::new(SqliteStore::open(folder.path().join("keys.db")).unwrap(), policy());
    for round in 0..rounds(20, 1000) {
        let owner = owner(round);
        clove.set_active_limit(&owner, Some(ActiveLimit::Unlimited), &by()).await.unwrap();
        let suspended = clove.create(&owner, NewKey::named("suspended").unwrap(), &by()).await.unwrap().key.id;
        clove.disable(&owner, suspended, &by()).await.unwrap();
        let racers: Vec<_> = (0..20)
            .map(|racer| {
                let (clove, owner) = (clove.clone(), owner.clone());
                tokio::spawn(async move {
                    let result = match racer {
                        10 => clove.close_owner(&owner, &by()).await.map(drop),
                        even if even % 2 == 0 => clove.create(&owner, NewKey::named("racer").unwrap(), &by()).await.map(drop),
                        _ => clove.enable(&owner, suspended, &by()).await.map(drop),
                    };
                    match result {
                        Ok(()) | Err(Error::Refused(Refusal::OwnerClosed | Refusal::NotAllowed { .. })) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                })
            })
            .collect();
        for racer in racers {
            racer.await.unwrap();
        }
        assert_eq!((active(&clove, &owner).await, clove.active_keys(&owner).await.unwrap().active), (0, 0));
    }
}

/// Run by the tests below as a process of its own; by itself it does nothing. Each line names an owner, for whom it then creates
/// keys, and enables those that it finds suspended, all at once; it answers with how many of that came to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_processes() {
    let Some(path) = std::env::var_os("CLOVE_RACE_FILE") else { return };
    let clove = Clove::new(SqliteStore::open(path).unwrap(), policy());
    println!("ready");
    std::io::stdout().flush().unwrap();
    for name in std::io::stdin().lines() {
        let owner = owner(name.unwrap());
        let suspended = ListKeys { status: Some(Status::Suspended), limit: Some(200), after: None };
        let suspended = clove.list(&owner, &suspended).await.unwrap().items;
        let creations = if suspended.is_empty() { 25 } else { suspended.len() };
        let mut commands: Vec<_> = suspended.into_iter().map(Some).chain((0..creations).map(|_| None)).collect();
        // One process begins with creations, the next enables first.
        if std::process::id().is_multiple_of(2) {
            commands.reverse();
        }
        let racers: Vec<_> = commands
            .into_iter()
            .map(|suspended| {
                let (clove, owner) = (clove.clone(), owner.clone());
                tokio::spawn(async move {
                    let done = match suspended {
                        Some(key) => clove.enable(&owner, key.id, &by()).await.map(|applied| applied.changed),
                        None => clove.create(&owner, NewKey::named("racer").unwrap(), &by()).await.map(|_| true),
                    };
                    match done {
                        Err(Error::Refused(Refusal::LimitReached { .. })) => false,
                        done => done.unwrap(),
                    }
                })
            })
            .collect();
        let mut done = 0;
        for racer in racers {
            done += usize::from(racer.await.unwrap());
        }
        println!("done {done}");
        std::io::stdout().flush().unwrap();
    }
}

/// Four processes on one file.
struct Processes(Vec<(ChildStdin, Lines<BufReader<ChildStdout>>, Child)>);

impl Processes {
    fn start(path: &Path) -> Self {
        let start = |_| {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["one_of_several_processes", "--exact", "--nocapture"])
                .env("CLOVE_RACE_FILE", path)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let output = BufReader::new(child.stdout.take().unwrap()).lines();
            (child.stdin.take().unwrap(), output, child)
        };
        let mut children: Vec<_> = (0..4).map(start).collect();
        for (_, output, _) in &mut children {
            output.find(|line| line.as_ref().unwrap().ends_with("ready")).unwrap().unwrap();
        }
        Self(children)
    }

    /// Has all of them race for an owner, and gives how many commands came to be.
    fn race_for(&mut self, owner: &str) -> usize {
        for (input, _, _) in &mut self.0 {
            writeln!(input, "{owner}").unwrap();
        }
        let mut done = 0;
        for (_, output, _) in &mut self.0 {
            let line = output.find(|line| line.as_ref().unwrap().starts_with("done")).unwrap().unwrap();
            done += line.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
        }
        done
    }

    fn end(self) {
        for (input, output, mut child) in self.0 {
            drop(input);
            output.for_each(drop);
            assert!(child.wait().unwrap().success());
        }
    }
}

#[tokio::test]
async fn a_hundred_creations_from_four_processes_make_two_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let mut processes = Processes::start(&path);
    let clove = Clove::new(SqliteStore::open(&path).unwrap(), policy());
    for round in 0..rounds(25, 2000) {
        let done = processes.race_for(&round.to_string());
        assert_eq!((done, active(&clove, &owner(round)).await), (2, 2));
    }
    processes.end();
}

#[tokio::test]
async fn creating_and_enabling_from_four_processes_share_the_last_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let mut processes = Processes::start(&path);
    let clove = Clove::new(SqliteStore::open(&path).unwrap(), policy());
    let (mut created, all) = (0, rounds(25, 2000));
    for round in 0..all {
        let owner = owner(round);
        for suspended in [true, true, true, false] {
            let id = clove.create(&owner, NewKey::named("before").unwrap(), &by()).await.unwrap().key.id;
            if suspended {
                clove.disable(&owner, id, &by()).await.unwrap();
            }
        }
        let done = processes.race_for(&round.to_string());
        let held = clove.active_keys(&owner).await.unwrap().active;
        assert_eq!((done, active(&clove, &owner).await, held), (1, 2, 2));
        let keys = clove.list(&owner, &ListKeys { limit: Some(200), ..ListKeys::default() }).await.unwrap().items;
        created += keys.len() - 4;
    }
    println!("of {all} last places, {created} went to a new key");
    processes.end();
}
