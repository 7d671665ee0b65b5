//! What a store keeps whole when rows, files, decisions and other processes go wrong.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use chrono::{DateTime, TimeDelta, Utc};
use clove_core::{
    Capability, CapabilitySet, Description, Key, KeyId, KeyState, LimitChoice, Metadata, Name, OperationId, OrganizationId,
    Owner, Scope, Store, StoreError,
    audit::{Action, Arguments, AuditEvent},
    digest::{Digest, Scheme},
    error::{CorruptRow, Unique},
    id::{Actor, AuditId},
    key::Reason,
    store::{
        AuditQuery, Changes, Decision, ExpiryFilter, Facts, KeyChange, KeyQuery, OrganizationRecord, OwnerRecord, Reads, Rehash,
        SecretRecord, StoredKey, Transaction,
    },
};
use clove_store_sqlite::{Options, SqliteStore};
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    (folder, path)
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_800_000_000_000_000).unwrap()
}

fn owner(account: &str) -> Owner {
    Owner::new("acme", account).unwrap()
}

fn organization() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

/// A key of `account` whose digest is `byte` 32 times over.
fn key(account: &str, byte: u8) -> StoredKey {
    let secret = SecretRecord { digest: Digest::from_bytes([byte; 32]), scheme: Scheme::Sha256, valid_until: None };
    let key = Key {
        id: KeyId::new(now()),
        owner: owner(account),
        name: Name::new("a key").unwrap(),
        description: Description::default(),
        capabilities: CapabilitySet::none(),
        limits: LimitChoice::Default,
        metadata: Metadata::none(),
        created_at: now(),
        expires_at: Some(now() + TimeDelta::days(i64::from(byte))),
        last_used_at: None,
        state: KeyState::Active,
        expiry_latched: false,
        revision: 1,
    };
    StoredKey { key, secrets: vec![secret] }
}

fn event(operation: OperationId, id: AuditId) -> AuditEvent {
    AuditEvent {
        id,
        operation,
        at: now(),
        actor: Actor::new("ada").unwrap(),
        reason: Reason::new("test").unwrap(),
        action: Action::Create,
        organization: organization(),
        account: None,
        key: None,
        changed: true,
        detail: String::new(),
        arguments: Arguments::default(),
    }
}

fn rows_of(account: &str, keys: Vec<StoredKey>, operation: OperationId) -> Changes {
    let owner = owner(account);
    let held = u32::try_from(keys.len()).unwrap();
    Changes {
        organization: Some(OrganizationRecord { id: organization(), open: true }),
        owners: vec![OwnerRecord { held, records: held, ..OwnerRecord::new(owner) }],
        keys: keys.into_iter().map(KeyChange::Insert).collect(),
        events: vec![event(operation, AuditId::new(now()))],
        ..Changes::default()
    }
}

fn reads() -> Reads {
    Reads::Flag((&organization()).into())
}

async fn commit(store: &SqliteStore, changes: Changes) -> Result<Decision, StoreError> {
    let operation = OperationId::new(now());
    store.transact(Arc::new(Transaction::new(operation, reads(), move |_: &Facts| Decision::Commit(changes.clone())))).await
}

async fn insert(store: &SqliteStore, account: &str, keys: Vec<StoredKey>) {
    commit(store, rows_of(account, keys, OperationId::new(now()))).await.unwrap();
}

async fn read(store: &SqliteStore, reads: Reads) -> Result<Facts, StoreError> {
    let seen = Arc::new(std::sync::Mutex::new(None));
    let theirs = Arc::clone(&seen);
    let decide = move |facts: &Facts| {
        *theirs.lock().unwrap() = Some(facts.clone());
        Decision::Commit(Changes::default())
    };
    store.transact(Arc::new(Transaction::new(OperationId::new(now()), reads, decide))).await?;
    Ok(seen.lock().unwrap().take().unwrap())
}

fn tamper(path: &Path, sql: &str, id: KeyId) {
    assert_eq!(Connection::open(path).unwrap().execute(sql, [id.as_bytes().as_slice()]).unwrap(), 1);
}

fn batch(limit: usize) -> Reads {
    Reads::Batch { scope: (&organization()).into(), states: vec![KeyState::Active], after: None, limit }
}

fn whole_list(limit: usize, before: Option<KeyId>) -> KeyQuery {
    let scope: Scope = (&organization()).into();
    KeyQuery { scope, states: KeyState::ALL.to_vec(), expiry: ExpiryFilter::Any, before, limit }
}

// The file.

#[test]
fn a_foreign_database_keeps_its_mode_its_journal_and_its_bytes() {
    let (folder, path) = file();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let before = (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().permissions());
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Foreign { .. })));
    assert_eq!((std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().permissions()), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no -wal, no -shm");
}

/// Closing any descriptor of a file gives up a process's POSIX locks on it. Without this one, a program with a SQLite older
/// than 3.51 takes itself for the last one out, and removes the log that commits still go to.
#[cfg(target_os = "linux")]
#[test]
fn a_file_opened_twice_in_a_process_stays_locked() {
    use std::os::unix::fs::MetadataExt;
    let (_folder, path) = file();
    let _first = SqliteStore::open(&path).unwrap();
    let _second = SqliteStore::open(&path).unwrap();
    let inode = format!(":{} ", std::fs::metadata(&path).unwrap().ino());
    assert!(std::fs::read_to_string("/proc/locks").unwrap().lines().any(|lock| lock.contains(&inode)));
}

#[cfg(unix)]
#[tokio::test]
async fn the_companions_of_a_file_that_was_too_wide_are_tightened_too() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = file();
    let first = SqliteStore::open(&path).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::set_permissions(entry.unwrap().path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let _second = SqliteStore::open(&path).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    drop(first);
}

#[tokio::test]
async fn a_closed_store_answers_no_read_and_leaves_one_file() {
    for inline in [true, false] {
        let (folder, path) = file();
        let store = Options::new(&path).inline_reads(inline).open().unwrap();
        let stored = key("ada", 1);
        insert(&store, "ada", vec![stored.clone()]).await;
        assert!(store.find_by_id(stored.key.id).await.unwrap().is_some());
        store.close().await;
        assert!(matches!(store.find_by_id(stored.key.id).await, Err(StoreError::Unavailable { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the log is in the file");
        let again = SqliteStore::open(&path).unwrap();
        assert_eq!(again.get(&(&owner("ada")).into(), stored.key.id).await.unwrap(), Some(stored.key));
    }
}

// Corrupt rows.

#[tokio::test]
async fn a_batch_passes_over_corrupt_keys_secrets_and_owners() {
    for sql in [
        "UPDATE keys SET state = 'undead' WHERE id = ?1",
        "UPDATE secrets SET digest = x'00' WHERE key_id = ?1",
        "UPDATE owners SET held = -1 WHERE account = (SELECT account FROM keys WHERE id = ?1)",
    ] {
        let (_folder, path) = file();
        let store = SqliteStore::open(&path).unwrap();
        let (broken, sound) = (key("eve", 1), key("ada", 2));
        insert(&store, "eve", vec![broken.clone()]).await;
        insert(&store, "ada", vec![sound.clone()]).await;
        tamper(&path, sql, broken.key.id);
        // The corrupt one comes first, and takes no place of the one that is asked for.
        let facts = read(&store, batch(1)).await.unwrap();
        assert_eq!(facts.keys, [sound], "{sql}");
        assert!(facts.owners.iter().any(|record| record.owner == owner("ada")), "{sql}");
    }
}

#[tokio::test]
async fn a_key_without_secrets_is_corrupt_and_not_unknown() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let stored = key("ada", 1);
    insert(&store, "ada", vec![stored.clone()]).await;
    tamper(&path, "DELETE FROM secrets WHERE key_id = ?1", stored.key.id);
    let found = store.find_by_id(stored.key.id).await;
    assert!(matches!(found, Err(StoreError::Corrupt { row: CorruptRow::Key(id), .. }) if id == stored.key.id), "{found:?}");
}

#[tokio::test]
async fn pages_get_past_rows_whose_ids_cannot_be_read() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let keys: Vec<_> = (1..=4).map(|byte| key("ada", byte)).collect();
    insert(&store, "ada", keys.clone()).await;
    // Between its neighbours still, but too short.
    let unreadable = keys[2].key.id;
    tamper(&path, "UPDATE keys SET id = substr(id, 1, 15) WHERE id = ?1", unreadable);
    let (mut seen, mut corrupt, mut before) = (Vec::new(), 0, None);
    for _ in 0..8 {
        let page = store.list(&whole_list(1, before)).await.unwrap();
        seen.extend(page.keys.iter().map(|key| key.id));
        corrupt += page.corrupt.len();
        if !page.more {
            break;
        }
        let last = page.last.map(|place| place.id);
        assert_ne!(last, before, "a page that leads nowhere");
        before = last;
    }
    assert_eq!(seen, [keys[3].key.id, keys[1].key.id, keys[0].key.id]);
    assert_eq!(corrupt, 1);
}

#[tokio::test]
async fn a_corrupt_event_is_counted_and_takes_no_other_down() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    for byte in 1..=3 {
        insert(&store, "ada", vec![key("ada", byte)]).await;
    }
    let other = Connection::open(&path).unwrap();
    other.execute("UPDATE audit SET action = 'frobnicate' WHERE id = (SELECT max(id) FROM audit)", []).unwrap();
    let (key, action, from, until, before) = (None, None, None, None, None);
    let page =
        store.audit(&AuditQuery { scope: (&organization()).into(), key, action, from, until, before, limit: 9 }).await.unwrap();
    assert_eq!((page.events.len(), page.corrupt, page.more), (2, 1, false));
}

#[tokio::test]
async fn a_pepper_version_out_of_range_hides_no_other() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let (broken, mut sound) = (key("ada", 1), key("ada", 2));
    sound.secrets[0].scheme = Scheme::HmacSha256 { pepper: 7 };
    insert(&store, "ada", vec![broken.clone(), sound.clone()]).await;
    tamper(&path, "UPDATE secrets SET pepper = 70000 WHERE key_id = ?1", broken.key.id);
    assert_eq!(store.peppers_in_use().await.unwrap().into_iter().collect::<Vec<_>>(), [7]);
    assert_eq!(store.keys_under_pepper(7, None, 5).await.unwrap(), [sound.key.id]);
}

/// Two digests of one text under two schemes may stand with two keys: neither key is given the other's secret.
#[tokio::test]
async fn a_look_up_by_several_digests_never_mixes_two_keys() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let keys = [key("ada", 1), key("ada", 2)];
    insert(&store, "ada", keys.to_vec()).await;
    let digests = keys.each_ref().map(|stored| stored.secrets[0].digest);
    let found = store.find_by_digest(&digests).await.unwrap().unwrap();
    let whose = keys.iter().find(|stored| stored.key.id == found.id).unwrap();
    assert_eq!(found.secrets.to_vec(), whose.secrets);
}

// The writer.

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_at_once_are_all_durable_when_they_return() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let waiting: Vec<_> = (0..100_u8)
        .map(|byte| {
            let store = store.clone();
            tokio::spawn(async move {
                let account = format!("user-{byte}");
                let stored = key(&account, byte);
                insert(&store, &account, vec![stored.clone()]).await;
                stored.key
            })
        })
        .collect();
    let mut keys = Vec::new();
    for one in waiting {
        keys.push(one.await.unwrap());
    }
    // The store is still open: only what was committed is seen from outside.
    let outside = SqliteStore::open(&path).unwrap();
    for key in keys {
        assert_eq!(outside.get(&(&organization()).into(), key.id).await.unwrap(), Some(key));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_in_a_batch_takes_no_other_down() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let taken = key("ada", 200);
    insert(&store, "ada", vec![taken.clone()]).await;
    let lock = Connection::open(&path).unwrap();
    // What is pushed while another holds the file waits for one commit.
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut jobs = Vec::new();
    for byte in 1..=9_u8 {
        let (store, digest) = (store.clone(), taken.secrets[0].digest);
        jobs.push(tokio::spawn(async move {
            let account = format!("user-{byte}");
            let mut stored = key(&account, byte);
            match byte % 3 {
                // The key is written before its secret is refused: the savepoint takes it back.
                1 => stored.secrets[0].digest = digest,
                2 => {
                    let panics = |_: &Facts| -> Decision { panic!("a decision that panics, on purpose") };
                    return store.transact(Arc::new(Transaction::new(OperationId::new(now()), reads(), panics))).await;
                }
                _ => {}
            }
            commit(&store, rows_of(&account, vec![stored], OperationId::new(now()))).await
        }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    lock.execute_batch("ROLLBACK").unwrap();
    for (place, job) in jobs.into_iter().enumerate() {
        let result = job.await.unwrap();
        match (place + 1) % 3 {
            1 => assert!(matches!(result, Err(StoreError::Conflict(Unique::Digest))), "{result:?}"),
            2 => assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}"),
            _ => assert!(result.is_ok(), "{result:?}"),
        }
    }
    let page = store.list(&whole_list(50, None)).await.unwrap();
    assert_eq!(page.keys.len(), 1 + 3);
    let orphans: i64 = lock
        .query_row(
            "SELECT count(*) FROM owners o WHERE NOT EXISTS (SELECT 1 FROM keys k WHERE k.account = o.account)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(orphans, 0, "a failed job left its owner's row");
}

#[tokio::test]
async fn a_decision_that_panics_alone_leaves_the_writer_alive() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let panics = |_: &Facts| -> Decision { panic!("a decision that panics, on purpose") };
    let result = store.transact(Arc::new(Transaction::new(OperationId::new(now()), reads(), panics))).await;
    assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}");
    insert(&store, "ada", vec![key("ada", 1)]).await;
}

#[tokio::test]
async fn each_unique_value_conflicts_under_its_own_name_and_writes_nothing() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let (first, operation, id) = (key("ada", 1), OperationId::new(now()), AuditId::new(now()));
    let mut changes = rows_of("ada", vec![first.clone()], operation);
    changes.events = vec![event(operation, id)];
    commit(&store, changes).await.unwrap();

    let (mut same_id, mut same_digest) = (key("bob", 2), key("bob", 3));
    same_id.key.id = first.key.id;
    same_digest.secrets[0].digest = first.secrets[0].digest;
    let with_event = |event| {
        let mut changes = rows_of("bob", vec![key("bob", 4)], OperationId::new(now()));
        changes.events = vec![event];
        changes
    };
    for (changes, wanted) in [
        (rows_of("bob", vec![same_id], OperationId::new(now())), Unique::KeyId),
        (rows_of("bob", vec![same_digest], OperationId::new(now())), Unique::Digest),
        (with_event(event(operation, AuditId::new(now()))), Unique::OperationId),
        (with_event(event(OperationId::new(now()), id)), Unique::AuditId),
    ] {
        let result = commit(&store, changes).await;
        assert!(matches!(&result, Err(StoreError::Conflict(found)) if *found == wanted), "{wanted:?}: {result:?}");
        assert!(store.owner(&owner("bob"), now()).await.unwrap().is_none(), "{wanted:?} wrote an owner");
    }
}

#[tokio::test]
async fn a_change_of_a_key_that_is_not_there_is_no_success() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let gone = key("ada", 1);
    for change in [KeyChange::Update { key: gone.key.clone(), secrets: None }, KeyChange::Delete(gone.key.id)] {
        let changes = Changes { keys: vec![change], ..Changes::default() };
        assert!(
            matches!(commit(&store, changes).await, Err(StoreError::Corrupt { row: CorruptRow::Key(id), .. }) if id == gone.key.id)
        );
    }
}

#[tokio::test]
async fn an_update_leaves_owner_creation_and_last_use_as_they_were() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let stored = key("ada", 1);
    insert(&store, "ada", vec![stored.clone()]).await;
    store.touch(&[(stored.key.id, now())]).await.unwrap();
    let mut changed = stored.key.clone();
    changed.owner = owner("eve");
    changed.created_at += TimeDelta::days(1);
    changed.last_used_at = None;
    changed.capabilities = CapabilitySet::new([Capability::new("mail:send").unwrap().as_str()]).unwrap();
    let change = KeyChange::Update { key: changed.clone(), secrets: None };
    commit(&store, Changes { keys: vec![change], ..Changes::default() }).await.unwrap();
    let kept = Key { capabilities: changed.capabilities, last_used_at: Some(now()), ..stored.key };
    assert_eq!(store.get(&(&owner("ada")).into(), kept.id).await.unwrap(), Some(kept));
}

#[tokio::test]
async fn a_caller_that_stops_waiting_leaves_its_work_to_be_done_whole() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let lock = Connection::open(&path).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let stored = key("ada", 1);
    let waits = insert(&store, "ada", vec![stored.clone()]);
    assert!(tokio::time::timeout(Duration::from_millis(20), waits).await.is_err());
    lock.execute_batch("ROLLBACK").unwrap();
    store.close().await;
    assert!(SqliteStore::open(&path).unwrap().find_by_id(stored.key.id).await.unwrap().is_some());
}

#[tokio::test]
async fn last_uses_by_the_thousand_move_forward_only() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let stored = key("ada", 1);
    let id = stored.key.id;
    insert(&store, "ada", vec![stored]).await;
    let at = |second| now() + TimeDelta::seconds(second);
    let mut uses: Vec<_> = (0..3000).map(|second| (KeyId::new(now()), at(second))).collect();
    uses.extend([(id, at(9)), (id, at(3))]);
    store.touch(&uses).await.unwrap();
    assert_eq!(store.get(&(&owner("ada")).into(), id).await.unwrap().unwrap().last_used_at, Some(at(9)));
}

#[tokio::test]
async fn a_digest_is_replaced_only_where_the_old_one_stands() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let keys = [key("ada", 1), key("ada", 2)];
    insert(&store, "ada", keys.to_vec()).await;
    let (one, other) = (keys[0].secrets[0].digest, keys[1].secrets[0].digest);
    let (new, scheme) = (Digest::from_bytes([9; 32]), Scheme::HmacSha256 { pepper: 1 });
    let rehash = |key: &StoredKey, old, new| Rehash { key: key.key.id, old, new, scheme };
    // Another key's digest, and one that exists already: both are passed over, and stop none.
    store.rehash(&[rehash(&keys[1], one, new), rehash(&keys[1], other, one), rehash(&keys[0], one, new)]).await.unwrap();
    let found = store.find_by_digest(&[new]).await.unwrap().unwrap();
    assert_eq!((found.id, found.secrets.to_vec()[0].scheme), (keys[0].key.id, scheme));
    assert!(store.find_by_digest(&[one]).await.unwrap().is_none());
    assert!(store.find_by_digest(&[other]).await.unwrap().is_some());
}
