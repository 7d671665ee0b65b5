//! What is no database of clove, or is one no more: what opening says of it, and leaves alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use clove_core::{Store, StoreError};
use clove_store_sqlite::{Options, SqliteStore};
use std::{fs, path::Path};
use support::{acme, file, write};

/// How opening fails: the words, and whether the file is said to be none of clove's.
fn refused(options: Options) -> (String, bool) {
    let error = options.open().unwrap_err();
    (error.to_string(), matches!(error, StoreError::Foreign { .. }))
}

/// A pipe stands for every device: anyone may make one.
#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_and_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = file();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&path, &link, folder.path()] {
        let (said, foreign) = refused(Options::new(path));
        assert!(foreign && said.contains("not a regular file"), "{said}");
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    assert_eq!(folder.path().read_dir().unwrap().count(), 2, "nothing is left beside it");
}

#[tokio::test]
async fn a_file_that_must_exist_is_opened_if_it_does() {
    let (_folder, path) = file();
    let (said, foreign) = refused(Options::new(&path).create(false));
    assert!(!foreign && said.contains("does not exist"), "{said}");
    assert!(!path.exists());
    fs::write(&path, "").unwrap();
    let (said, foreign) = refused(Options::new(&path).create(false));
    assert!(foreign && said.contains("empty") && said.contains("backup"), "{said}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    SqliteStore::open(&path).unwrap().transact(write()).await.unwrap();
    let store = Options::new(&path).create(false).open().unwrap();
    assert!(store.organization(&acme()).await.unwrap().is_some());
}

/// SQLite takes a file of one byte for an empty one.
#[test]
fn a_file_cut_off_after_its_first_byte_is_no_new_one() {
    let (_folder, path) = file();
    fs::write(&path, "S").unwrap();
    let (said, foreign) = refused(Options::new(&path));
    assert!(foreign && said.contains("backup"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), b"S");
}

/// Another process copies: this one would give up its locks on the file.
fn copy(from: &Path, to: &Path) {
    assert!(std::process::Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_new_file_is_clove_s_without_its_log() {
    let (folder, path) = file();
    let _store = SqliteStore::open(&path).unwrap();
    let alone = folder.path().join("alone.db");
    copy(&path, &alone);
    Options::new(&alone).create(false).open().unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_said_to_be_so() {
    let (folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    store.transact(write()).await.unwrap();
    store.close().await;
    let whole = fs::read(&path).unwrap();
    let damaged = folder.path().join("damaged.db");
    for keep in [512, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(&damaged, whole.get(..keep).unwrap()).unwrap();
        let (said, foreign) = refused(Options::new(&damaged));
        assert!(!foreign && said.contains("damaged") && said.contains("backup"), "{keep} bytes: {said}");
        assert_eq!(fs::read(&damaged).unwrap(), whole.get(..keep).unwrap());
    }
    fs::write(&damaged, vec![0; whole.len()]).unwrap();
    let (said, foreign) = refused(Options::new(&damaged));
    assert!(foreign && said.contains("not a SQLite database") && said.contains("backup"), "{said}");
}

#[test]
fn a_missing_folder_is_said_to_be_so() {
    let (folder, _) = file();
    let (said, _) = refused(Options::new(folder.path().join("no such folder/keys.db")));
    assert!(said.contains("its folder does not exist"), "{said}");
    #[cfg(unix)]
    {
        let dangling = folder.path().join("dangling.db");
        std::os::unix::fs::symlink("no such folder/keys.db", &dangling).unwrap();
        let (said, _) = refused(Options::new(dangling));
        assert!(said.contains("does its folder exist"), "{said}");
    }
}
