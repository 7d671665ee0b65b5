//! Who waits for whom, and for how long.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use clove_core::{
    ActiveLimit, By, Clove, Error, ListAudit, ListKeys, NewKey, OperationId, Owner, Policy, Store, StoreError,
    store::{Changes, Decision, Facts},
};
use clove_store_sqlite::Options;
use std::{
    path::Path,
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};
use support::{Process, acme, file, lock, transaction, write};

/// Run by the test below as a process of its own; by itself it does nothing. It holds the lock for writes until it is told to go.
#[test]
fn a_process_that_holds_the_lock() {
    let Some(path) = std::env::var_os("CLOVE_LOCK_FILE") else { return };
    let lock = lock(Path::new(&path));
    println!("locked");
    std::io::stdin().lines().next();
    lock.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_that_keeps_the_lock_costs_writes_their_time_out_and_reads_nothing() {
    const TIME_OUT: Duration = Duration::from_millis(300);
    let (_folder, path) = file();
    let store = Options::new(&path).busy_timeout(TIME_OUT).open().unwrap();
    let clove = Clove::new(
        store.clone(),
        Policy::builder().limits(clove_core::Tier::unlimited()).active_limit(ActiveLimit::Unlimited).build().unwrap(),
    );
    let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "test").unwrap());
    let issued = clove.create(&owner, NewKey::named("before").unwrap(), &by).await.unwrap();
    let credential = issued.credential.unwrap().reveal();

    let mut holder = Process::of_test("a_process_that_holds_the_lock", "CLOVE_LOCK_FILE", &path);
    holder.hear("locked");
    let operations: Vec<_> = (0..20).map(|_| OperationId::new(clove.now())).collect();
    let began = Instant::now();
    let writes: Vec<_> = operations
        .iter()
        .map(|operation| {
            let (clove, owner, by) = (clove.clone(), owner.clone(), by.clone().operation(*operation));
            tokio::spawn(async move { clove.create(&owner, NewKey::named("refused").unwrap(), &by).await.map(drop) })
        })
        .collect();
    // Reads of every kind are answered while all of these wait.
    let mut reads = 0;
    while !writes.iter().all(tokio::task::JoinHandle::is_finished) {
        assert!(clove.verify(&*credential).await.unwrap().granted().is_some());
        assert_eq!(clove.list(&owner, &ListKeys::default()).await.unwrap().items.len(), 1);
        assert_eq!(clove.active_keys(&owner).await.unwrap().active, 1);
        reads += 1;
    }
    assert!(reads > 1, "reads waited for the writes");
    for write in writes {
        let refused = write.await.unwrap();
        assert!(matches!(refused, Err(Error::Store(StoreError::Unavailable { source: Some(_), .. }))), "{refused:?}");
    }
    // All twenty wait in two batches at most. The rest is for a machine that has other things to do.
    assert!(began.elapsed() >= TIME_OUT && began.elapsed() < 2 * TIME_OUT + Duration::from_secs(20), "{:?}", began.elapsed());
    holder.go_on();
    holder.ends_well();

    assert_eq!(clove.audit(&owner, &ListAudit::default()).await.unwrap().items.len(), 1, "nothing half");
    for operation in operations {
        let again = clove.create(&owner, NewKey::named("again").unwrap(), &by.clone().operation(operation)).await.unwrap();
        assert!(again.credential.is_some(), "nothing was done under this operation id");
    }
    assert_eq!(clove.active_keys(&owner).await.unwrap().active, 21);
}

/// The write is in the midst of its transaction, and goes on only once all reads have been answered.
#[tokio::test]
async fn reads_do_not_wait_for_a_write_in_progress() {
    for inline in [true, false] {
        let (_folder, path) = file();
        let store = Options::new(&path).inline_reads(inline).open().unwrap();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (release, released) = mpsc::channel::<()>();
        let (begun, released) = (Mutex::new(Some(begun)), Mutex::new(released));
        let decide = move |_: &Facts| {
            begun.lock().unwrap().take().unwrap().send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
            Decision::Commit(Changes::default())
        };
        let reads = async {
            begins.await.unwrap();
            assert_eq!(store.organization(&acme()).await.unwrap(), None);
            assert_eq!(store.find_by_id(clove_core::KeyId::new(chrono::Utc::now())).await.unwrap(), None);
            let owner = Owner::new("acme", "ada").unwrap();
            assert_eq!(store.owner(&owner, chrono::Utc::now()).await.unwrap(), None);
            release.send(()).unwrap();
        };
        let (written, ()) = tokio::join!(store.transact(transaction(decide)), reads);
        written.unwrap();
    }
}

/// A read is in the midst of its transaction, in another process or this one.
#[tokio::test]
async fn a_write_does_not_wait_for_a_read_in_progress() {
    let (_folder, path) = file();
    let store = Options::new(&path).busy_timeout(Duration::ZERO).open().unwrap();
    store.transact(write()).await.unwrap();
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = || reader.query_row("SELECT count(*) FROM owners", [], |row| row.get::<_, i64>(0)).unwrap();
    let before = count();
    let clove = Clove::new(store, Policy::profile_a());
    let owner = Owner::new("acme", "ada").unwrap();
    clove.create(&owner, NewKey::named("a key").unwrap(), &By::new("ada", "test").unwrap()).await.unwrap();
    assert_eq!(count(), before, "it reads on as it began");
    assert_eq!(clove.active_keys(&owner).await.unwrap().active, 1);
}
