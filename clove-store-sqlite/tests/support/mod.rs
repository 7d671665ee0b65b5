//! What several files of tests need.

#![allow(dead_code, reason = "each file uses its part")]

use chrono::Utc;
use clove_core::{
    OperationId, OrganizationId, Scope,
    store::{Changes, Decision, Facts, OrganizationRecord, Reads, Transaction},
};
use rusqlite::Connection;
use std::{
    future::{Future, ready},
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(crate) fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    (folder, path)
}

pub(crate) fn acme() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

pub(crate) fn transaction(decide: impl Fn(&Facts) -> Decision + Send + Sync + 'static) -> Arc<Transaction> {
    Arc::new(Transaction::new(OperationId::new(Utc::now()), Reads::Flag(Scope::from(&acme())), decide))
}

/// Writes the row of an organization.
pub(crate) fn write() -> Arc<Transaction> {
    transaction(|_: &Facts| {
        let organization = Some(OrganizationRecord { id: acme(), open: true });
        Decision::Commit(Changes { organization, ..Changes::default() })
    })
}

/// Another process's write, which all others wait for until it is released.
pub(crate) fn lock(path: &Path) -> Connection {
    let lock = Connection::open(path).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    lock
}

/// Another process, which says a word when it has come somewhere, and goes on when it is told to.
pub(crate) struct Process {
    pub(crate) child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Runs a test of this binary by itself; `variable` names the file to it.
    pub(crate) fn of_test(test: &str, variable: &str, path: &Path) -> Self {
        Self::start(Command::new(std::env::current_exe().unwrap()).args([test, "--exact", "--nocapture"]).env(variable, path))
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        Self { child, input, output }
    }

    pub(crate) fn hear(&mut self, word: &str) {
        let heard = self.output.find(|line| line.as_ref().unwrap().ends_with(word));
        assert!(heard.is_some(), "ended before it had {word}");
    }

    pub(crate) fn go_on(&mut self) {
        writeln!(self.input).unwrap();
    }

    pub(crate) fn ends_well(mut self) {
        self.output.for_each(drop);
        assert!(self.child.wait().unwrap().success());
    }
}

/// Has a future begin, and gives up on it unless it is done at once.
pub(crate) async fn begin(future: impl Future) {
    tokio::select! {
        biased;
        _ = future => {}
        () = ready(()) => {}
    }
}

/// Waits for what another thread or process does.
pub(crate) fn wait_until(mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "not done within a minute");
        thread::sleep(Duration::from_millis(1));
    }
}
