//! Kills that are obeyed everywhere, by processes on one server: some of them stopped, killed, or cut off. In real time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use clove_core::{By, Clove, Everywhere, NewKey, Owner, Policy, Tier};
use clove_store_postgres::Options;
use proxy::{Proxy, Towards};
use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use support::{Schemas, Way, port, url_by};

/// When it is a fact whatever fails, and what a busy machine may take beyond that until it says so.
const FACT: Duration = Duration::from_millis(2_200);
const LATE: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(20);

async fn open(url: &str, schema: &str) -> Clove {
    let store = Options::url(url).unwrap().schema(schema).connections(8).open().await.unwrap();
    let policy = Policy::builder().limits(Tier::unlimited()).max_creations_per_day(None).max_records(None).build().unwrap();
    let clove = Clove::new(store, policy);
    clove.maintenance().spawn_thread(|_| {}).unwrap();
    clove
}

/// Run by the tests below as a process of its own; by itself it does nothing. It keeps the key in memory, and is asked now and then.
#[test]
fn a_process_that_is_asked() {
    let Ok(url) = std::env::var("CLOVE_BARRIER_URL") else { return };
    let [schema, credential] = ["CLOVE_BARRIER_SCHEMA", "CLOVE_BARRIER_KEY"].map(|name| std::env::var(name).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let clove = runtime.block_on(open(&url, &schema));
    let good = |clove: &Clove, runtime: &tokio::runtime::Handle, credential: &str| {
        // One that cannot say is none that grants.
        runtime.block_on(clove.verify(credential)).is_ok_and(|verdict| verdict.granted().is_some())
    };
    thread::spawn({
        let (clove, credential, runtime) = (clove.clone(), credential.clone(), runtime.handle().clone());
        move || {
            loop {
                good(&clove, &runtime, &credential);
                thread::sleep(Duration::from_millis(2));
            }
        }
    });
    println!("ready");
    for line in std::io::stdin().lines() {
        line.unwrap();
        println!("{}", if good(&clove, runtime.handle(), &credential) { "granted" } else { "denied" });
    }
}

struct Process {
    child: Child,
    asks: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn hear(&mut self, wanted: &str) -> String {
        let is_answer = |line: &String| [wanted, "granted", "denied"].iter().any(|answer| line.ends_with(answer));
        self.answers.by_ref().map(Result::unwrap).find(is_answer).unwrap()
    }

    fn grants(&mut self) -> bool {
        self.asks.write_all(b"\n").unwrap();
        self.hear("granted").ends_with("granted")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A key, this process's way to the server, and another's.
struct World {
    clove: Clove,
    own: Proxy,
    others: Proxy,
    owner: Owner,
    by: By,
    key: clove_core::KeyId,
    schema: String,
    credential: String,
    _schemas: Schemas,
}

impl World {
    async fn new() -> Self {
        let (schemas, port) = (Schemas::new(Way::Direct), port());
        let (schema, own, others) = (schemas.name(), Proxy::before(port), Proxy::before(port));
        let clove = open(&url_by(own.port()), &schema).await;
        let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "testing").unwrap());
        let issued = clove.create(&owner, NewKey::named("a key").unwrap(), &by).await.unwrap();
        let (key, credential) = (issued.key.id, issued.credential.unwrap().reveal().to_string());
        Self { clove, own, others, owner, by, key, schema, credential, _schemas: schemas }
    }

    fn process(&self) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_process_that_is_asked", "--exact", "--nocapture"])
            .env("CLOVE_BARRIER_URL", url_by(self.others.port()))
            .env("CLOVE_BARRIER_SCHEMA", &self.schema)
            .env("CLOVE_BARRIER_KEY", &self.credential)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        let mut process = Process { child, asks, answers };
        process.hear("ready");
        process
    }

    async fn disable(&self) {
        self.clove.disable(&self.owner, self.key, &self.by).await.unwrap();
    }

    /// Enables the key, and waits until the process grants, and has polled.
    async fn enable(&self, process: &mut Process) {
        self.clove.enable(&self.owner, self.key, &self.by).await.unwrap();
        let began = Instant::now();
        while !process.grants() {
            assert!(began.elapsed() < LONG, "it grants nothing");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    /// How long the barrier took until it was a fact.
    async fn obeyed(&self) -> Duration {
        let began = Instant::now();
        assert_eq!(self.clove.everywhere(LONG).await, Everywhere::Obeyed);
        began.elapsed()
    }

    /// It is not told before its time, and names one node.
    async fn names_one_node(&self, timeout: Duration) {
        let began = Instant::now();
        match self.clove.everywhere(timeout).await {
            Everywhere::NotYet { nodes, at_the_latest } => {
                assert_eq!(nodes.len(), 1, "{nodes:?}");
                assert!(at_the_latest <= FACT, "{at_the_latest:?}");
            }
            other => panic!("{other:?} after {:?}", began.elapsed()),
        }
        assert!(began.elapsed() >= timeout && began.elapsed() < timeout + LATE, "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_runs_has_obeyed_when_the_barrier_returns() {
    let world = World::new().await;
    let mut process = world.process();
    let mut slowest = Duration::ZERO;
    for _ in 0..8 {
        world.enable(&mut process).await;
        world.disable().await;
        slowest = slowest.max(world.obeyed().await);
        assert!(!process.grants(), "it granted after the barrier");
    }
    println!("at the slowest {slowest:?}");
    assert!(slowest < FACT, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_stopped_is_named_and_grants_nothing_once_it_goes_on() {
    let world = World::new().await;
    let mut process = world.process();
    for _ in 0..2 {
        world.enable(&mut process).await;
        process.signal("-STOP");
        world.disable().await;
        world.names_one_node(Duration::from_millis(500)).await;
        let took = world.obeyed().await;
        println!("a process is stopped: a fact after {took:?}");
        assert!(took < FACT + LATE, "{took:?}");
        process.signal("-CONT");
        assert!(!process.grants(), "it granted after the barrier");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_killed_is_waited_for_no_longer_than_the_bound_and_then_not_again() {
    let world = World::new().await;
    let mut process = world.process();
    world.enable(&mut process).await;
    process.signal("-KILL");
    world.disable().await;
    world.names_one_node(Duration::from_millis(300)).await;
    let took = world.obeyed().await;
    println!("a process is dead: a fact after {took:?}");
    assert!(took < FACT + LATE, "{took:?}");
    // It is dismissed just before that, or the time was up just before.
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.obeyed().await;
    let again = world.obeyed().await;
    assert!(again < Duration::from_secs(1), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_cut_off_is_named_and_grants_nothing_after_the_barrier() {
    let world = World::new().await;
    let mut process = world.process();
    for cut in [true, false] {
        world.enable(&mut process).await;
        if cut {
            world.others.refuse(true);
            world.others.cut();
        } else {
            world.others.freeze(Towards::Server, true);
        }
        world.disable().await;
        world.names_one_node(Duration::from_millis(500)).await;
        let took = world.obeyed().await;
        println!("a process is cut off: a fact after {took:?}");
        assert!(took < FACT + LATE, "{took:?}");
        assert!(!process.grants(), "it granted after the barrier");
        world.others.heal();
        assert!(!process.grants(), "it granted after the barrier");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_calls_it_while_the_server_is_out_of_reach_is_told_in_time() {
    let world = World::new().await;
    let mut process = world.process();
    for seconds in [1, 3] {
        world.enable(&mut process).await;
        world.disable().await;
        world.own.refuse(true);
        world.own.cut();
        let heals = async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            world.own.heal();
        };
        let (took, ()) = tokio::join!(world.obeyed(), heals);
        println!("out of reach for {seconds} s: a fact after {took:?}");
        assert!(took < FACT + LATE, "{took:?}");
        assert!(!process.grants(), "it granted after the barrier");
    }
}
