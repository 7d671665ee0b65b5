//! Many at once: in one process, and in four on one SQLite file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use clove::{
    ActiveLimit, By, Clove, Error, ListKeys, MemoryStore, NewKey, Owner, Policy, Refusal, Status, Store, sqlite::SqliteStore,
};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
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

/// Run by the test below as a process of its own; by itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_processes() {
    let Some(path) = std::env::var_os("CLOVE_RACE_FILE") else { return };
    let clove = Clove::new(SqliteStore::open(path).unwrap(), policy());
    println!("ready");
    std::io::stdout().flush().unwrap();
    for round in std::io::stdin().lines() {
        let owner = owner(round.unwrap());
        let creations: Vec<_> = (0..25)
            .map(|_| {
                let (clove, owner) = (clove.clone(), owner.clone());
                tokio::spawn(async move { clove.create(&owner, NewKey::named("racer").unwrap(), &by()).await.is_ok() })
            })
            .collect();
        let mut created = 0;
        for creation in creations {
            created += usize::from(creation.await.unwrap());
        }
        println!("created {created}");
        std::io::stdout().flush().unwrap();
    }
}

#[tokio::test]
async fn a_hundred_creations_from_four_processes_make_two_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let mut children: Vec<_> = (0..4)
        .map(|_| {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["one_of_several_processes", "--exact", "--nocapture"])
                .env("CLOVE_RACE_FILE", &path)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let output = BufReader::new(child.stdout.take().unwrap()).lines();
            (child.stdin.take().unwrap(), output, child)
        })
        .collect();
    for (_, output, _) in &mut children {
        output.find(|line| line.as_ref().unwrap().ends_with("ready")).unwrap().unwrap();
    }
    let clove = Clove::new(SqliteStore::open(&path).unwrap(), policy());
    for round in 0..rounds(25, 2000) {
        for (input, _, _) in &mut children {
            writeln!(input, "{round}").unwrap();
        }
        let mut created = 0;
        for (_, output, _) in &mut children {
            let line = output.find(|line| line.as_ref().unwrap().starts_with("created")).unwrap().unwrap();
            created += line.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
        }
        assert_eq!((created, active(&clove, &owner(round)).await), (2, 2));
    }
    for (input, output, mut child) in children {
        drop(input);
        output.for_each(drop);
        assert!(child.wait().unwrap().success());
    }
}
