//! Files, folders and disks that may not be written. Root may write whatever its mode says, and a mode says nothing to a process that
//! has the file open: so other processes do it, of another user, or with a limit on what they write.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use clove_core::{ActiveLimit, By, Clove, Error, Issued, ListAudit, ListKeys, NewKey, Owner, Policy, StoreError};
use clove_store_sqlite::SqliteStore;
use std::{
    error::Error as _,
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};
use support::{Process, file};

fn on(store: SqliteStore) -> Clove {
    Clove::new(
        store,
        Policy::builder().limits(clove_core::Tier::unlimited()).active_limit(ActiveLimit::Unlimited).build().unwrap(),
    )
}

fn owner() -> Owner {
    Owner::new("acme", "ada").unwrap()
}

async fn create(clove: &Clove) -> Result<Issued, Error> {
    clove.create(&owner(), NewKey::named("a key").unwrap(), &By::new("ada", "test").unwrap()).await
}

async fn is_good(clove: &Clove, issued: &Issued) -> bool {
    clove.verify(&*issued.credential.as_ref().unwrap().reveal()).await.unwrap().granted().is_some()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Run by the test below as a process of another user; by itself it does nothing. It says how opening fails.
#[test]
fn a_process_that_may_not_write() {
    let Some(path) = std::env::var_os("CLOVE_DENIED_FILE") else { return };
    match SqliteStore::open(path) {
        Err(StoreError::Unavailable { what, source }) => println!("unavailable: {what}: {source:?}"),
        other => println!("not the right error: {other:?}"),
    }
}

/// Opens a file in a process that the modes bind.
fn open_bound(program: &Path, path: &Path) -> String {
    let mut command = Command::new(program);
    command.args(["a_process_that_may_not_write", "--exact", "--nocapture"]).env("CLOVE_DENIED_FILE", path);
    if fs::metadata(program).unwrap().uid() == 0 {
        // Nobody, whose groups are none.
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let output = String::from_utf8(output.stdout).unwrap();
    output.lines().find(|line| line.contains("unavailable") || line.contains("not the right")).unwrap().to_owned()
}

#[tokio::test]
async fn a_file_or_folder_that_may_not_be_written_says_so_and_stays_good_for_others() {
    let (folder, program) = (tempfile::tempdir().unwrap(), PathBuf::from("program"));
    set_mode(folder.path(), 0o755);
    // Where the program was built, other users may have no way.
    let program = folder.path().join(program);
    // By a process of its own: while this one has the copy open to write it, no child that another test starts can run it.
    assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap().success());
    let within = |name: &str| {
        let within = folder.path().join(name);
        fs::create_dir(&within).unwrap();
        (within.clone(), within.join("keys.db"))
    };

    let (closed, path) = within("no file yet");
    set_mode(&closed, 0o555);
    let said = open_bound(&program, &path);
    assert!(said.contains("unavailable: creating the database file") && said.contains("PermissionDenied"), "{said}");
    assert!(!path.exists());

    for (file_mode, folder_mode, open) in
        [(0o444, 0o777, false), (0o666, 0o555, false), (0o444, 0o555, false), (0o444, 0o777, true)]
    {
        let (closed, path) = within(&format!("{file_mode:o} in {folder_mode:o}, open: {open}"));
        let store = SqliteStore::open(&path).unwrap();
        let clove = on(store.clone());
        let issued = create(&clove).await.unwrap();
        if !open {
            store.close().await;
        }
        set_mode(&path, file_mode);
        set_mode(&closed, folder_mode);
        let said = open_bound(&program, &path);
        let why = if open { "may this process read and write" } else { "may only be read" };
        assert!(said.contains("unavailable: opening") && said.contains(why), "{said}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, file_mode, "{said}");
        set_mode(&closed, 0o755);
        set_mode(&path, 0o644);
        let clove = if open { clove } else { on(SqliteStore::open(&path).unwrap()) };
        assert!(is_good(&clove, &issued).await, "{said}");
        create(&clove).await.unwrap();
    }
}

/// What fails a write of SQLite's after the file was opened: here a limit on the size of files, elsewhere a disk that is full, or
/// that the system has made read-only.
#[cfg(target_os = "linux")]
mod at_run_time {
    use super::*;
    use std::io::Write;

    fn said(word: &str) {
        println!("{word}");
        std::io::stdout().flush().unwrap();
        std::io::stdin().lines().next();
    }

    /// Run by the test below as a process of its own; by itself it does nothing.
    #[tokio::test]
    async fn a_process_whose_writes_fail() {
        let Some(path) = std::env::var_os("CLOVE_LIMITED_FILE") else { return };
        let clove = on(SqliteStore::open(path).unwrap());
        let before = create(&clove).await.unwrap();
        said("opened");
        for _ in 0..3 {
            let failed = create(&clove).await.unwrap_err();
            let typed = matches!(failed, Error::Store(StoreError::Unavailable { .. }) | Error::OutcomeUnknown { .. });
            assert!(typed && failed.source().is_some(), "{failed:?}");
            assert!(is_good(&clove, &before).await);
            assert_eq!(clove.list(&owner(), &ListKeys::default()).await.unwrap().items, std::slice::from_ref(&before.key));
        }
        said("failed");
        let after = create(&clove).await.unwrap();
        assert!(is_good(&clove, &before).await && is_good(&clove, &after).await);
        said("written");
    }

    #[tokio::test]
    async fn writes_that_fail_are_typed_errors_and_reads_go_on() {
        let (_folder, path) = file();
        // Ignored, the signal leaves the write to fail; a process that a shell becomes goes on ignoring it.
        let mut process = Process::start(
            Command::new("/bin/sh")
                .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
                .arg(std::env::current_exe().unwrap())
                .args(["at_run_time::a_process_whose_writes_fail", "--exact", "--nocapture"])
                .env("CLOVE_LIMITED_FILE", &path),
        );
        let pid = process.child.id().to_string();
        for (word, limit) in [("opened", Some("--fsize=0:")), ("failed", Some("--fsize=unlimited:")), ("written", None)] {
            process.hear(word);
            if let Some(limit) = limit {
                assert!(Command::new("prlimit").args(["--pid", &pid, limit]).status().unwrap().success());
            }
            process.go_on();
        }
        process.ends_well();
        let clove = on(SqliteStore::open(&path).unwrap());
        assert_eq!(clove.active_keys(&owner()).await.unwrap().active, 2);
        assert_eq!(clove.audit(&owner(), &ListAudit::default()).await.unwrap().items.len(), 2);
    }
}
