//! The file: its mode, its version, and what bad luck makes of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use clove_core::{
    By, Clove, Error, Fault, Hashing, Issued, ListKeys, NewKey, Owner, Policy, StoreError, Tier, error::CorruptRow,
};
use clove_store_sqlite::{Options, SqliteStore};
use rusqlite::Connection;
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    (folder, path)
}

fn clove(store: &SqliteStore) -> Clove {
    Clove::new(store.clone(), Policy::builder().limits(Tier::unlimited()).build().unwrap())
}

async fn create(clove: &Clove) -> Result<Issued, Error> {
    clove.create(&Owner::new("acme", "ada").unwrap(), NewKey::named("a key").unwrap(), &By::new("ada", "test").unwrap()).await
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_and_its_companions_are_their_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = file();
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    create(&clove(&store)).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap()).collect();
    assert_eq!(files.len(), 3, "database, -wal and -shm");
    assert!(files.iter().all(|file| file.permissions().mode() & 0o777 == 0o600));
}

#[test]
fn a_newer_schema_is_refused() {
    let (_folder, path) = file();
    drop(SqliteStore::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 3).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::NewerSchema { found: 3, supported: 2 })));
}

#[test]
fn another_program_s_file_is_refused_and_left_alone() {
    let (_folder, path) = file();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Foreign { .. })));
    let (_folder, path) = file();
    std::fs::write(&path, "this is a letter to a friend, and not a database at all. ".repeat(100)).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Foreign { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_new_file_may_be_opened_by_many_at_once() {
    let (_folder, path) = file();
    std::thread::scope(|scope| {
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(|| SqliteStore::open(&path).map(drop))).collect();
        openers.into_iter().for_each(|opener| opener.join().unwrap().unwrap());
    });
}

#[test]
fn what_sqlite_takes_for_no_file_is_refused_and_creates_none() {
    for (path, hint) in
        [("", "MemoryStore"), (":memory:", "MemoryStore"), ("file:keys.db", "URI"), ("file::memory:?cache=shared", "URI")]
    {
        let error = SqliteStore::open(path).unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }) && error.to_string().contains(hint), "{path}: {error}");
        assert!(!std::path::Path::new(path).exists(), "{path}");
    }
    let folder = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:keys.db"] {
        let _store = SqliteStore::open(folder.path().join(name)).unwrap();
        assert!(folder.path().join(name).metadata().unwrap().len() > 0, "{name}");
    }
}

#[tokio::test]
async fn a_locked_file_is_unavailable_for_writes_and_good_for_reads() {
    let (_folder, path) = file();
    let store = Options::new(&path).busy_timeout(Duration::from_millis(20)).open().unwrap();
    let clove = clove(&store);
    let credential = create(&clove).await.unwrap().credential.unwrap().reveal();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(create(&clove).await, Err(Error::Store(StoreError::Unavailable { .. }))));
    assert!(clove.verify(&*credential).await.unwrap().granted().is_some());
    other.execute_batch("ROLLBACK").unwrap();
    create(&clove).await.unwrap();
}

#[tokio::test]
async fn a_closed_store_refuses_and_keeps_what_was_written() {
    let (_folder, path) = file();
    let clove_on = |store: &SqliteStore| {
        Clove::new(
            store.clone(),
            Policy::builder()
                .active_limit(clove_core::ActiveLimit::Unlimited)
                .max_creations_per_day(None)
                .max_records(None)
                .build()
                .unwrap(),
        )
    };
    let store = SqliteStore::open(&path).unwrap();
    let before = create(&clove_on(&store)).await.unwrap().key;
    store.close().await;
    assert!(matches!(create(&clove_on(&store)).await, Err(Error::Store(StoreError::Unavailable { .. }))), "closed");
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(clove_on(&store).get(&before.owner, before.id).await.unwrap(), before);
}

#[tokio::test]
async fn a_corrupt_row_is_a_fault_for_its_own_key_and_takes_no_other_down() {
    for (tamper, by_list) in [
        ("UPDATE keys SET state = 'undead' WHERE id = ?1", true),
        ("UPDATE keys SET capabilities = 'Not A Set' WHERE id = ?1", true),
        ("UPDATE secrets SET digest = x'00' WHERE key_id = ?1", false),
        ("UPDATE secrets SET scheme = 'rot13' WHERE key_id = ?1", false),
        ("UPDATE keys SET expires_at = 9223372036854775807 WHERE id = ?1", true),
    ] {
        let (_folder, path) = file();
        let store = SqliteStore::open(&path).unwrap();
        let clove = clove(&store);
        let (broken, sound) = (create(&clove).await.unwrap(), create(&clove).await.unwrap());
        let id = broken.key.id;
        Connection::open(&path).unwrap().execute(tamper, [id.as_bytes().as_slice()]).unwrap();

        let verdict = clove.verify(&*broken.credential.unwrap().reveal()).await;
        let Err(Fault::Store(StoreError::Corrupt { row: CorruptRow::Key(said), .. })) = verdict else {
            panic!("{tamper}: {verdict:?}")
        };
        assert_eq!(said, id);
        assert!(clove.verify(&*sound.credential.unwrap().reveal()).await.unwrap().granted().is_some());
        let page = clove.list(&sound.key.owner, &ListKeys::default()).await.unwrap();
        let wanted = if by_list { (1, vec![CorruptRow::Key(id)]) } else { (2, vec![]) };
        assert_eq!((page.items.len(), page.corrupt), wanted, "{tamper}");
    }
}

#[tokio::test]
async fn dropping_the_last_handle_loses_nothing_acknowledged_and_ends_what_waits() {
    let (_folder, path) = file();
    let issued = create(&clove(&SqliteStore::open(&path).unwrap())).await.unwrap();
    let later = clove(&SqliteStore::open(&path).unwrap());
    assert!(later.verify(issued.credential.unwrap().secret().reveal()).await.unwrap().granted().is_some());
}

/// Files of version 1 are out there: this one must open for ever.
#[tokio::test]
async fn a_frozen_file_of_version_1_opens() {
    let (_folder, path) = file();
    Connection::open(&path).unwrap().execute_batch(include_str!("fixtures/version-1.sql")).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let clove = Clove::new(store, Policy::builder().hashing(Hashing::sha256()).build().unwrap());
    // A secret made for this file, and used nowhere else.
    let grant = clove.verify("clv-00000000000000000000000000000Wt4").await.unwrap().granted().unwrap();
    assert_eq!(grant.key_id().to_string(), "01a20dac-af94-7bba-8002-554d36ea0aa7");
    assert_eq!(clove.audit(grant.owner(), &clove_core::ListAudit::default()).await.unwrap().items.len(), 1);
}

#[test]
fn a_file_of_version_1_gets_the_schema_of_a_new_one() {
    let schema = |path: &PathBuf| {
        let connection = Connection::open(path).unwrap();
        let mut statement = connection.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").unwrap();
        statement.query_map([], |row| row.get::<_, String>(0)).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    let (_folder, fresh) = file();
    drop(SqliteStore::open(&fresh).unwrap());
    let (_other, frozen) = file();
    Connection::open(&frozen).unwrap().execute_batch(include_str!("fixtures/version-1.sql")).unwrap();
    drop(SqliteStore::open(&frozen).unwrap());
    assert_eq!(schema(&fresh), schema(&frozen));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_in_a_shared_commit_takes_no_other_down() {
    use clove_core::{
        OperationId, Store,
        store::{Reads, Transaction},
    };
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let policy = Policy::builder().active_limit(clove_core::ActiveLimit::Unlimited).build().unwrap();
    let clove = Clove::new(store.clone(), policy);
    for _ in 0..5 {
        let creations: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn({
                    let clove = clove.clone();
                    async move { create(&clove).await.map(drop) }
                })
            })
            .collect();
        let reads = Reads::Owner { owner: Owner::new("acme", "ada").unwrap(), expired_at: None };
        let panicking = Transaction::new(OperationId::new(clove.now()), reads, |_| panic!("a decision that panics, on purpose"));
        assert!(matches!(store.transact(std::sync::Arc::new(panicking)).await, Err(StoreError::Unavailable { .. })));
        for creation in creations {
            creation.await.unwrap().unwrap();
        }
    }
    assert_eq!(clove.active_keys(&Owner::new("acme", "ada").unwrap()).await.unwrap().active, 40);
}

#[test]
fn a_time_out_beyond_what_sqlite_can_count_is_cut_and_opens() {
    let (_folder, path) = file();
    Options::new(&path).busy_timeout(Duration::MAX).open().unwrap();
}
