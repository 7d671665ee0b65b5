//! A process killed while it writes: what it was told is done is done, and nothing is half done.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use chrono::TimeDelta;
use clove::{
    ActiveLimit, AuditEvent, By, Clove, KeyId, KeyState, ListAudit, ListKeys, NewKey, Owner, Policy, Scope, sqlite::SqliteStore,
};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

fn policy() -> Policy {
    let policy = Policy::builder().active_limit(ActiveLimit::Unlimited).max_records(None).max_creations_per_day(None);
    policy.build().unwrap()
}

fn owner() -> Owner {
    Owner::new("acme", "ada").unwrap()
}

/// Run by the test below as a process of its own; by itself it does nothing. It says what is done, once it is.
#[tokio::test]
async fn a_process_to_be_killed() {
    let Some(path) = std::env::var_os("CLOVE_CRASH_FILE") else { return };
    let clove = Clove::new(SqliteStore::open(path).unwrap(), policy());
    let by = By::new("worker", "working").unwrap();
    let say = |what: &str, id: KeyId, credential: &str| {
        println!("did {what} {id} {credential}");
        std::io::stdout().flush().unwrap();
    };
    loop {
        let issued = clove.create(owner_ref(), NewKey::named("a key").unwrap(), &by).await.unwrap();
        let id = issued.key.id;
        say("create", id, issued.credential.unwrap().secret().reveal());
        let rotated = clove.rotate(owner_ref(), id, 1, TimeDelta::zero(), &by).await.unwrap();
        say("rotate", id, rotated.credential.unwrap().secret().reveal());
        clove.disable(owner_ref(), id, &by).await.unwrap();
        say("disable", id, "-");
        if id.as_bytes().last().is_some_and(|byte| byte % 2 == 0) {
            clove.delete(owner_ref(), id, &by).await.unwrap();
            say("delete", id, "-");
        }
    }
}

fn owner_ref() -> &'static Owner {
    static OWNER: std::sync::OnceLock<Owner> = std::sync::OnceLock::new();
    OWNER.get_or_init(owner)
}

/// What a killed process had been told, by key: the last command, and the last secret.
fn work_and_kill(path: &Path, pause: Duration) -> BTreeMap<KeyId, (String, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_process_to_be_killed", "--exact", "--nocapture"])
        .env("CLOVE_CRASH_FILE", path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut told = BTreeMap::new();
    let mut hear = |line: &str| {
        // A line cut off by the kill has no end and was not heard.
        let Some(line) = line.strip_suffix('\n').and_then(|line| line.split_once("did ")).map(|(_, line)| line) else { return };
        let words: Vec<&str> = line.split(' ').collect();
        let [what, id, secret] = words.as_slice() else { panic!("not a report: {line}") };
        let entry: &mut (String, String) = told.entry(KeyId::parse(id).unwrap()).or_default();
        (*what).clone_into(&mut entry.0);
        if *secret != "-" {
            (*secret).clone_into(&mut entry.1);
        }
    };
    let mut line = String::new();
    while !line.contains("did ") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the process ended by itself");
        hear(&line);
    }
    // Real time passes for another process here; how much is the point of the test, and does not matter to its outcome.
    std::thread::sleep(pause);
    child.kill().unwrap();
    loop {
        line.clear();
        if output.read_line(&mut line).unwrap() == 0 {
            break;
        }
        hear(&line);
    }
    child.wait().unwrap();
    told
}

async fn trail(clove: &Clove) -> Vec<AuditEvent> {
    let (scope, mut list, mut events) =
        (Scope::from(owner_ref()), ListAudit { limit: Some(200), ..ListAudit::default() }, Vec::new());
    loop {
        let page = clove.audit(&scope, &list).await.unwrap();
        assert!(page.corrupt.is_empty());
        events.extend(page.items);
        list.after = page.next;
        if list.after.is_none() {
            events.reverse();
            return events;
        }
    }
}

#[tokio::test]
async fn acknowledged_changes_survive_a_kill_and_nothing_is_half_done() {
    let kills = if std::env::var_os("CLOVE_SOAK").is_some() { 500 } else { 25 };
    let folder = tempfile::tempdir().unwrap();
    for round in 0..kills {
        // A fresh file now and then, so that checking what is there stays quick.
        let path = folder.path().join(format!("{}.db", round / 10));
        let told = work_and_kill(&path, Duration::from_micros(500 + (round * 7919) % 20_000));
        let store = SqliteStore::open(&path).unwrap();
        let clove = Clove::new(store.clone(), policy());

        for (id, (what, secret)) in &told {
            let key = clove.get(owner_ref(), *id).await;
            // The command after the last one told may have been done as well.
            match (what.as_str(), key) {
                ("delete", Err(_)) => {}
                ("disable", Err(_)) => {}
                ("delete", Ok(_)) => panic!("round {round}: {id} was deleted"),
                ("disable", Ok(key)) => assert_eq!(key.state, KeyState::Suspended, "round {round}: {id}"),
                (what, Ok(key)) => {
                    let verdict = clove.verify(secret.as_str()).await.unwrap();
                    let rotated_since = what == "create" && key.revision == 2;
                    let proven = match verdict {
                        clove::Verdict::Granted(_) => true,
                        clove::Verdict::Denied(denial) => denial.key_id() == Some(*id),
                    };
                    assert!(proven != rotated_since, "round {round}: {id} after {what}");
                }
                (what, Err(error)) => panic!("round {round}: {id} after {what}: {error}"),
            }
        }

        // The trail, replayed, gives the states; the count is that of the rows.
        let mut states = BTreeMap::new();
        for event in trail(&clove).await {
            let audited = event.key.unwrap();
            assert_eq!(states.get(&audited.id).copied(), audited.from, "round {round}: {:?} of {}", event.action, audited.id);
            match audited.to {
                Some(state) => states.insert(audited.id, state),
                None => states.remove(&audited.id),
            };
        }
        let mut rows = BTreeMap::new();
        let mut list = ListKeys { limit: Some(200), ..ListKeys::default() };
        loop {
            let page = clove.list(owner_ref(), &list).await.unwrap();
            assert!(page.corrupt.is_empty());
            rows.extend(page.items.iter().map(|key| (key.id, key.state)));
            list.after = page.next;
            if list.after.is_none() {
                break;
            }
        }
        assert_eq!(states, rows, "round {round}");
        let held = rows.values().filter(|state| **state == KeyState::Active).count();
        assert_eq!(clove.active_keys(owner_ref()).await.unwrap().active as usize, held, "round {round}");
        store.close().await;
    }
}
