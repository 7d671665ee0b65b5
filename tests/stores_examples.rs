//! The examples that are on either store, as people run them: one line, and copying.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod built;
mod database;
mod moved;

use clove_store_postgres::PostgresStore;
use clove_store_sqlite::SqliteStore;
use database::Database;
use moved::{LivedIn, rows};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// What a process printed, and its exit code.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: i32,
    out: String,
    error: String,
}

/// Runs an example in a folder, with the two stores that it can be on.
fn run(example: &PathBuf, folder: &Path, keys: Option<&str>, arguments: &[&str]) -> Said {
    let mut command = Command::new(example);
    command.current_dir(folder).args(arguments).env_remove("KEYS").envs(keys.map(|keys| ("KEYS", keys)));
    let output = command.output().unwrap();
    let [out, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    Said { code: output.status.code().unwrap(), out, error }
}

fn copy(folder: &Path, arguments: &[&str]) -> Said {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    run(BUILT.get_or_init(|| built::example("copy_store", &["--features", "postgres"])), folder, None, arguments)
}

#[test]
fn one_line_says_the_same_on_a_file_and_on_postgres() {
    let (example, database) = (built::example("one_line", &["--features", "postgres"]), Database::new());
    let said = |keys: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        let said = run(&example, folder.path(), keys, &[]);
        (said, folder.path().join("one_line.db").exists())
    };
    let (on_a_file, made_a_file) = said(None);
    let out = "1 / 2 active keys\ngranted to ada of acme\nThis API key is not valid. Check that it was copied whole, or create a new one.\n".to_owned();
    assert_eq!(on_a_file, Said { code: 0, out, error: String::new() });
    let (on_postgres, made_a_file_there) = said(Some(&database.url));
    assert_eq!(on_postgres, on_a_file);
    assert!(made_a_file && !made_a_file_there);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_credential_is_answered_as_before_on_postgres_and_back_on_a_file() {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    let (postgres, at) = (database.url.as_str(), folder.path());
    let life = LivedIn::new(SqliteStore::open(at.join("keys.db")).unwrap()).await;
    for written in ["keys: 9 equal, 9 of them written now", "keys: 9 equal, 0 of them written now"] {
        let there = copy(at, &["sqlite:keys.db", postgres]);
        assert!(there.code == 0 && there.error.is_empty() && there.out.contains(written), "{there:?}");
    }
    let back = copy(at, &[postgres, "sqlite:back.db"]);
    assert!(back.code == 0 && back.error.is_empty(), "{back:?}");
    let [file, back] = ["keys.db", "back.db"].map(|name| SqliteStore::open(at.join(name)).unwrap());
    assert_eq!(rows(&back).await, rows(&file).await);
    life.assert_answered_alike(PostgresStore::connect(postgres).await.unwrap()).await;
    life.assert_answered_alike(back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copying_that_failed_or_left_something_out_ends_with_one() {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    let (postgres, at) = (database.url.as_str(), folder.path());
    let missing = copy(at, &["sqlite:none.db", postgres]);
    assert!(missing.code == 1 && !missing.error.is_empty(), "{missing:?}");
    let _life = LivedIn::new(SqliteStore::open(at.join("keys.db")).unwrap()).await;
    rusqlite::Connection::open(at.join("keys.db")).unwrap().execute_batch("UPDATE owners SET held = -1").unwrap();
    let in_part = copy(at, &["sqlite:keys.db", postgres]);
    assert!(in_part.code == 1 && in_part.error.is_empty() && in_part.out.contains("cannot be read"), "{in_part:?}");
    let _other = LivedIn::new(SqliteStore::open(at.join("other.db")).unwrap()).await;
    let foreign = copy(at, &["sqlite:other.db", postgres]);
    assert!(foreign.code == 1 && !foreign.error.is_empty(), "{foreign:?}");
}

#[test]
fn copying_that_was_not_told_what_to_do_ends_with_two() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["sqlite:keys.db"], &["--logs"], &["sqlite:keys.db", "sqlite:back.db", "sqlite:more.db"]] {
        let said = copy(folder.path(), arguments);
        assert!(said.code == 2 && said.out.is_empty() && said.error.starts_with("copy_store [--logs] FROM TO"), "{said:?}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "and it does nothing");
}
