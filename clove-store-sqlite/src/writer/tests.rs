#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use clove_core::{
    OperationId, OrganizationId, Owner, Refusal, Scope,
    store::{Changes, Facts, OrganizationRecord, OwnerRecord},
};

/// A job that writes `rows` organizations whose names begin with `name`.
fn job(name: &'static str, rows: usize) -> (Job, Receiver<Outcome>) {
    let reads = Reads::Flag((&OrganizationId::new(name).unwrap()).into());
    let records = move || {
        (0..rows).map(move |row| {
            let id = OrganizationId::new(format!("{name}-{row}-{}", "x".repeat(200))).unwrap();
            OrganizationRecord { id, open: true }
        })
    };
    let owners = move || records().map(|record| OwnerRecord::new(Owner::new(record.id.as_str(), "ada").unwrap()));
    let decide = move |_: &_| {
        Decision::Commit(Changes { organization: records().next(), owners: owners().collect(), ..Changes::default() })
    };
    let transaction = Transaction::new(OperationId::new(Utc::now()), reads, decide);
    let (reply, answer) = oneshot::channel();
    (Job { work: Work::Transact(Arc::new(transaction)), reply }, answer)
}

fn rows_of(connection: &Connection, name: &str) -> (i64, i64) {
    let count = |table: &str, column: &str| {
        let sql = format!("SELECT count(*) FROM {table} WHERE {column} LIKE ?1 || '-%'");
        connection.query_row(&sql, [name], |row| row.get(0)).unwrap()
    };
    (count("organizations", "id"), count("owners", "org"))
}

/// SQLite ends the whole transaction by itself when the disk is full. What came after it in the batch must not then run
/// without one, a statement at a time.
#[test]
fn a_job_that_fills_the_disk_leaves_every_other_whole_or_not_there() {
    let connection = Connection::open_in_memory().unwrap();
    crate::schema::VERSIONS.iter().for_each(|version| connection.execute_batch(version).unwrap());
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    connection.pragma_update(None, "max_page_count", pages + 8).unwrap();
    let jobs = [("small", 2), ("huge", 1000), ("late", 2), ("huger", 1000), ("last", 2)];
    let (batch, answers): (Vec<_>, Vec<_>) = jobs.iter().map(|&(name, rows)| job(name, rows)).unzip();
    commit_batch(&connection, batch);
    assert!(connection.is_autocommit());
    for ((name, _), mut answer) in jobs.into_iter().zip(answers) {
        let wanted = match answer.try_recv().unwrap().unwrap() {
            Ok(_) => (1, 2),
            Err(error) => {
                assert!(matches!(error, StoreError::Unavailable { .. }), "{name}: {error}");
                (0, 0)
            }
        };
        assert_eq!(rows_of(&connection, name), wanted, "{name}");
    }
    assert_eq!(rows_of(&connection, "last"), (1, 2), "the disk has room for what is small");
}

#[test]
fn a_transaction_left_open_does_not_stop_the_next_batch() {
    let connection = Connection::open_in_memory().unwrap();
    crate::schema::VERSIONS.iter().for_each(|version| connection.execute_batch(version).unwrap());
    execute(&connection, "BEGIN IMMEDIATE").unwrap();
    let (job, mut answer) = job("next", 1);
    commit_batch(&connection, vec![job]);
    assert!(answer.try_recv().unwrap().unwrap().is_ok());
}

fn reading(reads: Reads) -> Work {
    let refuse = |_: &Facts| Decision::Refuse(Refusal::NotFound);
    Work::Transact(Arc::new(Transaction::new(OperationId::new(Utc::now()), reads, refuse)))
}

/// From what may wait least to what may wait most, with how many of it may.
fn each_kind() -> [(Work, usize); 6] {
    let (owner, id) = (Owner::new("acme", "ada").unwrap(), KeyId::new(Utc::now()));
    let scope = Scope::from(&owner);
    let batch = Reads::Batch { scope: scope.clone(), states: Vec::new(), after: None, limit: 1 };
    [
        (Work::Touch(Vec::new()), 1024),
        (Work::Rehash(Vec::new()), 1024),
        (reading(Reads::Owner { owner, expired_at: None }), 2048),
        (reading(Reads::Key { scope: scope.clone(), id, expired_at: None }), 4096),
        (reading(Reads::Flag(scope)), 4096),
        (reading(batch), 4096),
    ]
}

fn closing() -> Work {
    reading(Reads::Flag((&OrganizationId::new("acme").unwrap()).into()))
}

/// Its thread, if it had one, would be waiting for a lock.
fn waiting_writer(jobs: usize) -> (Writer, Vec<Receiver<Outcome>>) {
    let writer = Writer { queue: Arc::default() };
    let waiting = (0..jobs).map(|_| writer.push(closing())).collect();
    (writer, waiting)
}

#[test]
fn telemetry_and_then_creations_are_refused_before_what_may_kill() {
    for (kind, (_, most)) in each_kind().iter().enumerate() {
        for (jobs, is_refused) in [(most - 1, false), (*most, true)] {
            let (writer, _waiting) = waiting_writer(jobs);
            let (work, _) = each_kind().into_iter().nth(kind).unwrap();
            let answer = writer.push(work).try_recv().unwrap();
            assert_eq!(matches!(answer, Some(Err(StoreError::Unavailable { .. }))), is_refused, "{kind} behind {jobs}");
            assert_eq!(answer.is_some(), is_refused);
        }
    }
}

#[test]
fn a_write_beyond_what_may_wait_takes_none_before_it_down() {
    let (writer, mut waiting) = waiting_writer(MAX_WAITING);
    assert!(writer.push(closing()).try_recv().unwrap().is_some());
    assert!(waiting.iter_mut().all(|answer| answer.try_recv().unwrap().is_none()));
}
