//! How a store ends: closed, or dropped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use clove_core::{
    Store, StoreError,
    store::{Changes, Decision, Facts},
};
use clove_store_sqlite::{Options, SqliteStore};
use std::time::Duration;
use support::{acme, begin, file, lock, transaction, wait_until, write};
use tempfile::TempDir;

fn files(folder: &TempDir) -> usize {
    std::fs::read_dir(folder.path()).unwrap().count()
}

#[tokio::test]
async fn closing_writes_what_waits_and_blocks_no_other_task_of_its_thread() {
    let (folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let lock = lock(&path);
    begin(store.transact(write())).await;
    // The first is asked first. While it waits for the lock, the second releases it, on the same thread.
    tokio::join!(biased; store.close(), async {
        lock.execute_batch("ROLLBACK").unwrap();
        drop(lock);
    });
    assert_eq!(files(&folder), 1, "closed, and the log is in the file");
    assert!(SqliteStore::open(&path).unwrap().organization(&acme()).await.unwrap().is_some());
}

#[tokio::test]
async fn all_who_close_wait_until_the_file_is_closed() {
    for _ in 0..20 {
        let (folder, path) = file();
        let store = SqliteStore::open(&path).unwrap();
        let other = store.clone();
        let closed = || assert_eq!(files(&folder), 1);
        tokio::join!(biased; begin(other.close()), async { store.close().await; closed() }, async { other.close().await; closed() });
        store.close().await;
        closed();
        assert!(matches!(store.transact(write()).await, Err(StoreError::Unavailable { .. })));
    }
}

#[tokio::test]
async fn dropping_the_last_handle_holds_nobody_up_and_leaves_what_waits_to_be_written() {
    let (folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let lock = lock(&path);
    begin(store.transact(write())).await;
    // Were the drop to wait for the write, it would wait for a lock that only this thread releases.
    drop(store);
    lock.execute_batch("ROLLBACK").unwrap();
    drop(lock);
    wait_until(|| files(&folder) == 1);
    assert!(SqliteStore::open(&path).unwrap().organization(&acme()).await.unwrap().is_some());
}

#[tokio::test]
async fn the_last_handle_may_be_dropped_by_the_writing_thread() {
    let (folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let lock = lock(&path);
    let theirs = store.clone();
    let decide = move |_: &Facts| {
        let _last = &theirs;
        Decision::Commit(Changes::default())
    };
    begin(store.transact(transaction(decide))).await;
    drop(store);
    lock.execute_batch("ROLLBACK").unwrap();
    drop(lock);
    wait_until(|| files(&folder) == 1);
}

/// Without a time-out for writes, so that nothing but the opening itself waits for the store before to end.
#[tokio::test]
async fn a_file_opens_again_right_after_its_last_handle_was_dropped() {
    let (_folder, path) = file();
    for round in 0..200 {
        let store = Options::new(&path).busy_timeout(Duration::ZERO).inline_reads(round % 2 == 0).open().unwrap();
        store.organization(&acme()).await.unwrap();
        // The store before may still be writing.
        let written = store.transact(write()).await;
        assert!(matches!(written, Ok(_) | Err(StoreError::Unavailable { .. })), "{written:?}");
        begin(store.transact(write())).await;
    }
}

/// Closing any descriptor of a file gives up a process's POSIX locks on it, those of its other handles too. SQLite keeps such
/// descriptors open; without locks, the next process out would take itself for the last, and remove the log.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_store_that_ends_leaves_another_on_its_file_locked_and_able_to_write() {
    use std::os::unix::fs::MetadataExt;
    let (folder, path) = file();
    let (first, second) = (SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap());
    first.close().await;
    let inode = format!(":{} ", std::fs::metadata(&path).unwrap().ino());
    assert!(std::fs::read_to_string("/proc/locks").unwrap().lines().any(|lock| lock.contains(&inode)));
    assert_eq!(files(&folder), 3, "the log is still in use");
    second.transact(write()).await.unwrap();
    assert!(SqliteStore::open(&path).unwrap().organization(&acme()).await.unwrap().is_some());
}
