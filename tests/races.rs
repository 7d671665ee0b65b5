//! Many at once: in one process, and in four on one SQLite file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use chrono::TimeDelta;
use clove::{
    ActiveLimit, By, Clove, Error, GuessLimit, ListKeys, MemoryStore, NewKey, OperationId, Owner, Policy, Refusal, Secret,
    Status, Store, sqlite::SqliteStore,
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
    Policy::builder().max_creations_per_day(None).max_records(None).imports(GuessLimit::default()).build().unwrap()
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

/// An owner of an organization of its own, so that either can be closed.
fn alone(name: impl std::fmt::Display) -> Owner {
    Owner::new(format!("organization-{name}"), "owner").unwrap()
}

/// Gives an owner an active and a suspended key.
async fn prepare(clove: &Clove, owner: &Owner) {
    clove.set_active_limit(owner, Some(ActiveLimit::Unlimited), &by()).await.unwrap();
    for suspended in [false, true] {
        let id = clove.create(owner, NewKey::named("before").unwrap(), &by()).await.unwrap().key.id;
        if suspended {
            clove.disable(owner, id, &by()).await.unwrap();
        }
    }
}

/// Closes the owner in odd rounds, and its organization in even ones.
async fn close(clove: &Clove, owner: &Owner, round: usize) -> Result<(), Error> {
    let closed = if round % 2 == 1 {
        clove.close_owner(owner, &by()).await?
    } else {
        clove.close_organization(&owner.organization, &by()).await?
    };
    assert_eq!((closed.changed, closed.unreadable), (true, None));
    Ok(())
}

/// Creates, enables and rotates keys of a prepared owner, all at once, and if told to closes amidst that; gives how many of the
/// commands came to be. The hash of an import takes so long that all else would be over: each fifth round has imports alone, and
/// what closes in it hashes first too.
async fn race_a_close(clove: &Clove, owner: &Owner, round: usize, closes: bool) -> usize {
    let before = clove.list(owner, &ListKeys { limit: Some(200), ..ListKeys::default() }).await.unwrap().items;
    let [.., suspended, active] = &*before else { panic!("it was prepared") };
    let (suspended, active, imports) = (suspended.id, active.id, round % 5 == 4);
    let commands = if imports { 5 } else { 20 };
    let racers: Vec<_> = (0..commands)
        .map(|racer| {
            let (clove, owner) = (clove.clone(), owner.clone());
            let import = async move |clove: &Clove, owner: &Owner| {
                let secret = Secret::from_foreign(OperationId::new(clove.now()).to_string());
                clove.import(owner, NewKey::named("racer").unwrap(), secret, &by()).await.map(|_| true)
            };
            tokio::spawn(async move {
                let result = if closes && racer == commands / 2 {
                    if imports {
                        import(&clove, &owner).await.unwrap();
                    }
                    close(&clove, &owner, round).await.map(|()| false)
                } else if imports {
                    import(&clove, &owner).await
                } else {
                    match racer % 4 {
                        0 | 2 => clove.create(&owner, NewKey::named("racer").unwrap(), &by()).await.map(|_| true),
                        1 => clove.enable(&owner, suspended, &by()).await.map(|applied| applied.changed),
                        _ => {
                            let revision = clove.get(&owner, active).await.unwrap().revision;
                            clove.rotate(&owner, active, revision, TimeDelta::zero(), &by()).await.map(|_| true)
                        }
                    }
                };
                match result {
                    Ok(done) => done,
                    Err(Error::Refused(Refusal::OwnerClosed | Refusal::NotAllowed { .. } | Refusal::RevisionConflict { .. })) => {
                        false
                    }
                    Err(other) => panic!("{other:?}"),
                }
            })
        })
        .collect();
    let mut done = 0;
    for racer in racers {
        done += usize::from(racer.await.unwrap());
    }
    done
}

async fn assert_nothing_lives(clove: &Clove, owner: &Owner) {
    for status in [Status::Active, Status::Suspended] {
        let keys = clove.list(owner, &ListKeys { status: Some(status), ..ListKeys::default() }).await.unwrap().items;
        assert!(keys.is_empty(), "{keys:?}");
    }
    assert_eq!(clove.active_keys(owner).await.unwrap().active, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_lives_behind_a_close_whatever_races_it() {
    let folder = tempfile::tempdir().unwrap();
    let clove = Clove::new(SqliteStore::open(folder.path().join("keys.db")).unwrap(), policy());
    let (mut done, all) = (0, rounds(20, 1000));
    for round in 0..all {
        let owner = alone(round);
        prepare(&clove, &owner).await;
        done += race_a_close(&clove, &owner, round, true).await;
        assert_nothing_lives(&clove, &owner).await;
    }
    println!("before {all} closes, {done} commands came to be");
}

/// Run by the tests below as a process of its own; by itself it does nothing. Each line names an owner, for whom it then creates
/// keys, and enables those that it finds suspended, all at once; it answers with how many of that came to be. A line of two words
/// has it race a close, or close.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_processes() {
    let Some(path) = std::env::var_os("CLOVE_RACE_FILE") else { return };
    let clove = Clove::new(SqliteStore::open(path).unwrap(), policy());
    println!("ready");
    std::io::stdout().flush().unwrap();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        if let Some((part, round)) = line.split_once(' ') {
            let done = race_a_close(&clove, &alone(round), round.parse().unwrap(), part == "close").await;
            println!("done {done}");
            std::io::stdout().flush().unwrap();
            continue;
        }
        let owner = owner(line);
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
        self.race(|_| owner.to_string())
    }

    /// Has each of them do what its line says.
    fn race(&mut self, line: impl Fn(usize) -> String) -> usize {
        for (process, (input, _, _)) in self.0.iter_mut().enumerate() {
            writeln!(input, "{}", line(process)).unwrap();
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

#[tokio::test]
async fn nothing_lives_behind_a_close_whatever_races_it_from_four_processes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let mut processes = Processes::start(&path);
    let clove = Clove::new(SqliteStore::open(&path).unwrap(), policy());
    let (mut done, all) = (0, rounds(10, 1000));
    for round in 0..all {
        prepare(&clove, &alone(round)).await;
        done += processes.race(|process| format!("{} {round}", if process == 0 { "close" } else { "race" }));
        assert_nothing_lives(&clove, &alone(round)).await;
    }
    println!("before {all} closes, {done} commands came to be");
    processes.end();
}
