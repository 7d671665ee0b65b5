//! How soon another node obeys: from the return of a command on one to the first refusal on the other, which verifies from memory
//! without a pause. In real time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use clove_core::{By, Clove, Everywhere, KeyId, NewKey, Owner, Policy, Tier, Verdict};
use clove_store_postgres::{Options, PostgresStore};
use proxy::Proxy;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use support::{Operator, Role, Schemas, Way, port, url, url_by};

const BOUND: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(20);

fn changes(short: usize, long: usize) -> usize {
    if std::env::var_os("CLOVE_SOAK").is_some() { long } else { short }
}

async fn open(url: &str, schema: &str) -> Clove {
    serve(Options::url(url).unwrap().schema(schema).connections(8).open().await.unwrap())
}

fn serve(store: PostgresStore) -> Clove {
    let policy = Policy::builder().limits(Tier::unlimited()).max_creations_per_day(None).max_records(None).build().unwrap();
    let clove = Clove::new(store, policy);
    clove.maintenance().spawn_thread(|_| {}).unwrap();
    clove
}

/// What the other node says, in nanoseconds since the watch began.
#[derive(Default)]
struct Seen {
    /// When the last verification that was granted began.
    granted: AtomicU64,
    /// When the first one that was denied, since, had ended.
    denied: AtomicU64,
    /// How many could say nothing: that is no obedience.
    faults: AtomicU64,
    ends: AtomicBool,
}

async fn until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG, "it never came to that");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

struct Watch {
    began: Instant,
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn over(clove: Clove, credential: String) -> Self {
        let (began, seen) = (Instant::now(), Arc::<Seen>::default());
        let nanos = move || u64::try_from(began.elapsed().as_nanos()).unwrap();
        let thread = std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                while !seen.ends.load(Ordering::SeqCst) {
                    let start = nanos();
                    match runtime.block_on(clove.verify(&credential)) {
                        Ok(Verdict::Granted(_)) => {
                            seen.denied.store(0, Ordering::SeqCst);
                            seen.granted.store(start, Ordering::SeqCst);
                        }
                        Ok(Verdict::Denied(_)) if seen.denied.load(Ordering::SeqCst) == 0 => {
                            seen.denied.store(nanos(), Ordering::SeqCst);
                        }
                        Ok(Verdict::Denied(_)) => {}
                        Err(_) => drop(seen.faults.fetch_add(1, Ordering::SeqCst)),
                    }
                    // Others share the machine.
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        });
        Self { began, seen, thread: Some(thread) }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    async fn granted_since(&self, since: Duration) {
        until(|| self.last_granted() > since).await;
    }

    /// When it was first denied.
    async fn denied(&self) -> Duration {
        let denied = || Duration::from_nanos(self.seen.denied.load(Ordering::SeqCst));
        until(|| !denied().is_zero()).await;
        denied()
    }

    fn faults(&self) -> u64 {
        self.seen.faults.load(Ordering::SeqCst)
    }

    /// Until it can say nothing any more.
    async fn faulted_since(&self, faults: u64) {
        until(|| self.faults() > faults).await;
    }

    fn last_granted(&self) -> Duration {
        Duration::from_nanos(self.seen.granted.load(Ordering::SeqCst))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.seen.ends.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Two nodes and a key.
struct World {
    clove: Clove,
    watch: Watch,
    owner: Owner,
    key: KeyId,
    by: By,
    _schemas: Option<Schemas>,
}

impl World {
    async fn new(one: &str, other: &str) -> Self {
        let schemas = Schemas::new(Way::Direct);
        let schema = schemas.name();
        let (clove, other) = (open(one, &schema).await, open(other, &schema).await);
        Self { _schemas: Some(schemas), ..Self::of(clove, other).await }
    }

    /// Of two nodes on one schema.
    async fn of(clove: Clove, other: Clove) -> Self {
        let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "testing").unwrap());
        let issued = clove.create(&owner, NewKey::named("a key").unwrap(), &by).await.unwrap();
        let credential = issued.credential.unwrap().reveal().to_string();
        let watch = Watch::over(other, credential);
        Self { clove, watch, owner, key: issued.key.id, by, _schemas: None }
    }

    /// Enables the key, and goes on once the other node grants, at some moment between two of its polls.
    async fn enable(&self, round: usize) {
        let before = self.watch.now();
        self.clove.enable(&self.owner, self.key, &self.by).await.unwrap();
        self.watch.granted_since(before).await;
        tokio::time::sleep(Duration::from_millis(u64::try_from(20 + round * 97 % 250).unwrap())).await;
    }

    /// When the command had returned.
    async fn disable(&self) -> Duration {
        self.clove.disable(&self.owner, self.key, &self.by).await.unwrap();
        self.watch.now()
    }
}

/// Tells the median, the 99th percentile and the longest; gives the first and the last.
fn tell(what: &str, mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}, {} changes: median {:?}, p99 {:?}, longest {:?}", times.len(), at(50), at(99), at(100));
    (at(50), at(100))
}

async fn obeys(way: Way, what: &str) -> (Duration, Duration) {
    let world = World::new(&url(way), &url(way)).await;
    let mut times = Vec::new();
    for round in 0..changes(50, 1000) {
        world.enable(round).await;
        let told = world.disable().await;
        times.push(world.watch.denied().await.saturating_sub(told));
    }
    assert_eq!(world.watch.faults(), 0, "the server was within reach");
    tell(what, times)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_obeys_within_a_quarter_of_a_second_and_never_later_than_the_bound() {
    let (median, longest) = obeys(Way::Direct, "straight").await;
    assert!(median <= Duration::from_millis(300) && longest < BOUND, "{median:?}, {longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_obeys_within_the_bound_through_a_pooler() {
    let (_, longest) = obeys(Way::Pooled, "through PgBouncer").await;
    assert!(longest < BOUND, "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_grants_nothing_that_begins_later_than_the_bound() {
    let proxy = Proxy::before(port());
    let world = World::new(&url(Way::Direct), &url_by(proxy.port())).await;
    let mut times = Vec::new();
    for round in 0..changes(4, 1000) {
        world.enable(round).await;
        let faults = world.watch.faults();
        proxy.refuse(true);
        proxy.cut();
        let told = world.disable().await;
        tokio::time::sleep(BOUND + Duration::from_millis(200)).await;
        world.watch.faulted_since(faults).await;
        // The last grant may have begun before the command had returned.
        times.push(world.watch.last_granted().saturating_sub(told));
        proxy.heal();
    }
    let (_, longest) = tell("cut off: the last grant", times);
    assert!(longest < BOUND, "{longest:?}");
}

/// What polls read is taken from the node's role; its look-ups go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_poll_reads_each_row_once_the_bound_has_passed() {
    let role = Role::new().await;
    let schema = role.schema().await;
    let world = World::of(open(&url(Way::Direct), &schema).await, serve(role.store_of(&schema).await)).await;
    let mut operator = Operator::of(&schema).await;
    let mut times = Vec::new();
    for round in 0..changes(4, 1000) {
        world.enable(round).await;
        operator.execute(&format!("REVOKE SELECT ON ~epochs FROM {}", role.name)).await;
        let cut = Instant::now();
        let told = world.disable().await;
        world.watch.denied().await;
        times.push(world.watch.last_granted().saturating_sub(told));
        tokio::time::sleep(BOUND.saturating_sub(cut.elapsed())).await;
        // What is good is granted still, and what is not no more from then on: nothing is used from memory.
        world.enable(round).await;
        let told = world.disable().await;
        world.watch.denied().await;
        assert!(world.watch.last_granted() <= told, "granted {:?} after the command", world.watch.last_granted() - told);
        operator.execute(&format!("GRANT SELECT ON ~epochs TO {}", role.name)).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    assert_eq!(world.watch.faults(), 0, "look-ups were not cut");
    let (_, longest) = tell("polls cut: the last grant", times);
    assert!(longest > Duration::ZERO && longest < BOUND, "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_grants_anything_that_begins_after_the_barrier() {
    let world = World::new(&url(Way::Direct), &url(Way::Direct)).await;
    let mut times = Vec::new();
    for round in 0..changes(50, 1000) {
        world.enable(round).await;
        let told = world.disable().await;
        assert_eq!(world.clove.everywhere(Duration::from_secs(10)).await, Everywhere::Obeyed);
        let obeyed = world.watch.now();
        world.watch.denied().await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(world.watch.last_granted() < obeyed, "granted {:?} after the barrier", world.watch.last_granted() - obeyed);
        times.push(obeyed.saturating_sub(told));
    }
    assert_eq!(world.watch.faults(), 0, "the server was within reach");
    let (_, longest) = tell("the barrier returns", times);
    assert!(longest < BOUND + BOUND / 10 + Duration::from_millis(500), "{longest:?}");
}
