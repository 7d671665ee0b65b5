//! Eight processes that create keys for the same owners at once: two each, never one more, and never one less.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod support;

use clove_core::{By, Clove, Error, NewKey, Owner, Policy, Refusal};
use clove_store_postgres::Options;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use std::{
    io::{BufRead, BufReader, Lines, Write},
    ops::Range,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};
use support::{Schemas, Way, url};

const PROCESSES: usize = 8;
/// Creations for an owner by each of them: over a hundred together.
const CREATIONS: usize = 13;
/// Owners that are raced for at the same time.
const OWNERS: usize = 50;

fn policy() -> Policy {
    Policy::builder().max_creations_per_day(None).max_records(None).build().unwrap()
}

fn owner(number: usize) -> Owner {
    Owner::new("acme", format!("owner-{number}")).unwrap()
}

async fn open(schema: &str) -> Clove {
    // Eight processes on a busy machine: none is to give up early.
    let options = Options::url(&url(Way::Direct)).unwrap().schema(schema).connections(8).timeout(Duration::from_secs(60));
    Clove::new(options.open().await.unwrap(), policy())
}

/// Creates keys for owners, all at once; how many came to be.
async fn race(clove: &Clove, owners: Range<usize>, creations: usize) -> usize {
    let racers = owners.flat_map(|number| std::iter::repeat_n(number, creations)).map(|number| {
        let clove = clove.clone();
        tokio::spawn(async move {
            let by = By::new("racer", "racing").unwrap();
            match clove.create(&owner(number), NewKey::named("racer").unwrap(), &by).await {
                Ok(_) => 1,
                Err(Error::Refused(Refusal::LimitReached { active: 2, limit: 2 })) => 0,
                Err(other) => panic!("{other:?}"),
            }
        })
    });
    let mut created = 0;
    for racer in racers.collect::<Vec<_>>() {
        created += racer.await.unwrap();
    }
    created
}

/// Run by the test below as a process of its own; by itself it does nothing. Each line names the owners to race for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_eight_processes() {
    let Ok(schema) = std::env::var("CLOVE_RACE_SCHEMA") else { return };
    let clove = open(&schema).await;
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (from, to) = line.split_once(' ').unwrap();
        println!("done {}", race(&clove, from.parse().unwrap()..to.parse().unwrap(), CREATIONS).await);
    }
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(schema: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["one_of_eight_processes", "--exact", "--nocapture"])
            .env("CLOVE_RACE_SCHEMA", schema)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        let mut process = Self { child, input, output };
        process.hear("ready");
        process
    }

    fn hear(&mut self, says: &str) -> String {
        self.output.by_ref().map(Result::unwrap).find(|line| line.contains(says)).unwrap()
    }

    fn end(mut self) {
        drop(self.input);
        self.output.by_ref().for_each(drop);
        assert!(self.child.wait().unwrap().success());
    }
}

/// Of each owner: places held by its row and by its keys, and keys.
async fn held(connection: &mut PgConnection, schema: &str, owners: &Range<usize>) -> Vec<(i64, i64, i64)> {
    let sql = format!(
        "SELECT o.held, count(*) FILTER (WHERE k.state = 'active' AND NOT k.expiry_latched), count(*) FROM {schema}.owners o \
         JOIN {schema}.keys k USING (org, account) WHERE o.account = ANY($1) GROUP BY o.account, o.held"
    );
    let accounts: Vec<String> = owners.clone().map(|number| format!("owner-{number}")).collect();
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(accounts).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_creations_of_eight_processes_make_two_keys_also_while_expired_places_are_given_away() {
    let races = if std::env::var_os("CLOVE_SOAK").is_some() { 100_000 } else { 5_000 };
    let schemas = Schemas::new(Way::Direct);
    let schema = schemas.name();
    let clove = open(&schema).await;
    let mut connection = PgConnection::connect(&url(Way::Direct)).await.unwrap();
    let mut processes: Vec<Process> = (0..PROCESSES).map(|_| Process::start(&schema)).collect();
    let began = Instant::now();
    for batch in 0..races / OWNERS {
        let owners = batch * OWNERS..(batch + 1) * OWNERS;
        // One time in five, two places of each are held by keys that have expired.
        let expired = if batch % 5 == 1 { race(&clove, owners.clone(), 2).await } else { 0 };
        if expired > 0 {
            let first = chrono::Utc::now().timestamp_micros() - 1_000_000;
            let expire = format!(
                "UPDATE {schema}.keys SET expires_at = {first} WHERE account = ANY(ARRAY{:?})",
                owners.clone().map(|number| format!("owner-{number}")).collect::<Vec<_>>()
            )
            .replace('"', "'");
            connection.execute(AssertSqlSafe(expire)).await.unwrap();
        }
        for process in &mut processes {
            writeln!(process.input, "{} {}", owners.start, owners.end).unwrap();
        }
        let mut created = 0;
        for process in &mut processes {
            created += process.hear("done").rsplit(' ').next().unwrap().parse::<usize>().unwrap();
        }
        let keys = if expired > 0 { 4 } else { 2 };
        assert_eq!(held(&mut connection, &schema, &owners).await, vec![(2, 2, keys); OWNERS], "owners {owners:?}");
        assert_eq!((created, expired), (2 * OWNERS, if expired > 0 { 2 * OWNERS } else { 0 }), "owners {owners:?}");
    }
    println!("{races} races of {} creations in {:?}: no breach", PROCESSES * CREATIONS, began.elapsed());
    processes.into_iter().for_each(Process::end);
}
