//! A process killed while it writes: what it was told is done is done, and nothing is half done.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use chrono::TimeDelta;
use clove::{
    ActiveLimit, AuditEvent, By, Clove, DenialReason, Error, Key, KeyId, KeyState, ListAudit, ListKeys, NewKey, Owner, Policy,
    Refusal, Scope, Verdict, sqlite::SqliteStore,
};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

const LIMIT: u32 = 2;

fn policy() -> Policy {
    let policy = Policy::builder().active_limit(ActiveLimit::AtMost(LIMIT)).max_records(None).max_creations_per_day(None);
    policy.build().unwrap()
}

fn by() -> By {
    By::new("worker", "working").unwrap()
}

fn owner() -> Owner {
    Owner::new("acme", "ada").unwrap()
}

/// Whether the process deletes this key, once it has disabled it.
fn is_to_go(id: KeyId) -> bool {
    id.as_bytes().last().is_some_and(|byte| byte % 2 == 0)
}

/// Run by the test below as a process of its own; by itself it does nothing. It says what is done, once it is.
#[tokio::test]
async fn a_process_to_be_killed() {
    let Some(path) = std::env::var_os("CLOVE_CRASH_FILE") else { return };
    let clove = Clove::new(SqliteStore::open(path).unwrap(), policy());
    let by = by();
    let say = |what: &str, id: KeyId, secret: &str| {
        println!("did {what} {id} {secret}");
        std::io::stdout().flush().unwrap();
    };
    loop {
        let issued = match clove.create(owner_ref(), NewKey::named("a key").unwrap(), &by).await {
            Err(Error::Refused(Refusal::LimitReached { .. })) => {
                for (id, _) in keys(&clove).await.into_iter().filter(|(_, key)| key.state == KeyState::Active) {
                    clove.disable(owner_ref(), id, &by).await.unwrap();
                    say("disable", id, "-");
                }
                continue;
            }
            created => created.unwrap(),
        };
        let id = issued.key.id;
        say("create", id, issued.credential.unwrap().secret().reveal());
        let rotated = clove.rotate(owner_ref(), id, 1, TimeDelta::zero(), &by).await.unwrap();
        say("rotate", id, rotated.credential.unwrap().secret().reveal());
        if is_to_go(id) {
            clove.disable(owner_ref(), id, &by).await.unwrap();
            say("disable", id, "-");
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

async fn keys(clove: &Clove) -> BTreeMap<KeyId, Key> {
    let (mut keys, mut list) = (BTreeMap::new(), ListKeys { limit: Some(200), ..ListKeys::default() });
    loop {
        let page = clove.list(owner_ref(), &list).await.unwrap();
        assert!(page.corrupt.is_empty());
        keys.extend(page.items.into_iter().map(|key| (key.id, key)));
        list.after = page.next;
        if list.after.is_none() {
            return keys;
        }
    }
}

/// What the process was told of a key holds; the command after that may have been done as well, and nothing else.
async fn holds(clove: &Clove, id: KeyId, what: &str, secret: &str) -> Result<(), String> {
    let key = match clove.get(owner_ref(), id).await {
        Ok(key) => Some((key.state, key.revision)),
        Err(Error::Refused(Refusal::NotFound)) => None,
        Err(other) => return Err(format!("{other:?}")),
    };
    let denial = match (what, key) {
        ("create", Some((KeyState::Active, 1))) | ("rotate", Some((KeyState::Active, 2))) => None,
        ("create", Some((KeyState::Active, 2))) => Some(DenialReason::NotRecognized),
        ("rotate" | "disable", Some((KeyState::Suspended, _))) => Some(DenialReason::Suspended),
        ("disable", None) if is_to_go(id) => Some(DenialReason::NotRecognized),
        ("delete", None) => Some(DenialReason::NotRecognized),
        (_, other) => return Err(format!("it is {other:?}")),
    };
    // A process that takes a key over from the one before it never had its secret.
    if secret.is_empty() {
        return Ok(());
    }
    let found = match clove.verify(&format!("{id};{secret}")).await {
        Ok(Verdict::Granted(grant)) if grant.key_id() == id => None,
        Ok(Verdict::Denied(denial)) => Some(denial.reason().clone()),
        other => return Err(format!("{other:?}")),
    };
    if found == denial { Ok(()) } else { Err(format!("{found:?} instead of {denial:?}")) }
}

/// The trail, replayed, gives the states of the rows, and the owner's count is theirs.
async fn trail_rows_and_count_agree(clove: &Clove, round: u64) -> u32 {
    let mut states = BTreeMap::new();
    for event in trail(clove).await {
        let audited = event.key.unwrap();
        assert_eq!(states.get(&audited.id).copied(), audited.from, "round {round}: {:?} of {}", event.action, audited.id);
        match audited.to {
            Some(state) => states.insert(audited.id, state),
            None => states.remove(&audited.id),
        };
    }
    let rows: BTreeMap<KeyId, KeyState> = keys(clove).await.into_values().map(|key| (key.id, key.state)).collect();
    assert_eq!(states, rows, "round {round}");
    let held = u32::try_from(rows.values().filter(|state| **state == KeyState::Active).count()).unwrap();
    assert_eq!(clove.active_keys(owner_ref()).await.unwrap().active, held, "round {round}");
    held
}

/// As many keys as there are places can be created, and not one more.
async fn the_limit_holds(clove: &Clove, held: u32, round: u64) {
    assert!(held <= LIMIT, "round {round}: {held} active keys");
    for _ in held..LIMIT {
        clove.create(owner_ref(), NewKey::named("a key").unwrap(), &by()).await.unwrap();
    }
    match clove.create(owner_ref(), NewKey::named("a key").unwrap(), &by()).await {
        Err(Error::Refused(Refusal::LimitReached { active: LIMIT, limit: LIMIT })) => {}
        other => panic!("round {round}: {other:?}"),
    }
}

#[tokio::test]
async fn acknowledged_changes_survive_a_kill_limits_hold_and_nothing_is_half_done() {
    let kills = if std::env::var_os("CLOVE_SOAK").is_some() { 500 } else { 25 };
    let folder = tempfile::tempdir().unwrap();
    let mut told_last = BTreeMap::new();
    for round in 0..kills {
        // A fresh file now and then, so that checking what is there stays quick.
        let path = folder.path().join(format!("{}.db", round / 10));
        let told = work_and_kill(&path, Duration::from_micros(500 + (round * 7919) % 20_000));
        let store = SqliteStore::open(&path).unwrap();
        let clove = Clove::new(store.clone(), policy());
        for (id, (what, secret)) in &told {
            if let Err(wrong) = holds(&clove, *id, what, secret).await {
                panic!("round {round}: {id} after {what}: {wrong}");
            }
        }
        told.into_values().for_each(|(what, _)| *told_last.entry(what).or_insert(0) += 1);
        let held = trail_rows_and_count_agree(&clove, round).await;
        the_limit_holds(&clove, held, round).await;
        store.close().await;
    }
    println!("{kills} kills; keys by the last command told: {told_last:?}");
}
