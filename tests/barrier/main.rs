//! Waiting until a kill is obeyed everywhere: no longer than is needed for it to be a fact, and never less.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod race;
#[path = "../support/mod.rs"]
mod support;

use clove::{Clove, Everywhere, KeyId, MemoryStore, Owner, Policy, Store, Tier, id::NodeId};
use clove_testkit::{Fixture, TestClock};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use support::{BOUND, Mode, Spy, is_good, named};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);
/// When it is a fact whatever fails.
const FACT: Duration = Duration::from_millis(150);
/// From when on a node that does not answer is dismissed.
const DISMISSAL: Duration = Duration::from_millis(125);

type Barrier = Pin<Box<dyn Future<Output = Everywhere> + Send>>;

fn policy() -> clove::policy::PolicyBuilder {
    Policy::builder().limits(Tier::unlimited()).max_creations_per_day(None).max_records(None)
}

/// A process, with its maintenance.
struct Node {
    spy: Spy,
    clove: Clove,
    work: Pin<Box<dyn Future<Output = ()>>>,
}

impl Node {
    fn new(store: &MemoryStore, clock: &TestClock, policy: Policy) -> Self {
        let spy = Spy::over(store.clone());
        let clove = Clove::with_clock(spy.clone(), policy, clock.clone());
        let work = Box::pin(clove.maintenance().run(|_| {}));
        Self { spy, clove, work }
    }

    fn poll(&mut self) {
        assert!(self.work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    /// Whether it grants, without asking for the row.
    async fn remembers(&self, credential: &str) -> bool {
        self.spy.calls();
        is_good(&self.clove, credential).await && !self.spy.calls().contains(&"find_by_id")
    }

    fn everywhere(&self, timeout: Duration) -> Barrier {
        let clove = self.clove.clone();
        Box::pin(async move { clove.everywhere(timeout).await })
    }
}

fn now(barrier: &mut Barrier) -> Option<Everywhere> {
    match barrier.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(everywhere) => Some(everywhere),
        Poll::Pending => None,
    }
}

/// Processes on one store, all of which remember a key.
struct World {
    fixture: Fixture,
    store: MemoryStore,
    nodes: Vec<Node>,
    /// In the order in which they came to be registered.
    ids: Vec<NodeId>,
    id: KeyId,
    credential: String,
}

impl World {
    async fn new<const N: usize>(policies: [Policy; N]) -> Self {
        let store = MemoryStore::new();
        let fixture = Fixture::on(store.clone(), policies[0].clone()).unwrap();
        let nodes = policies.into_iter().map(|policy| Node::new(&store, fixture.clock(), policy)).collect();
        let (id, credential) = key(&fixture, &fixture.owner).await;
        let mut world = Self { fixture, store, nodes, ids: Vec::new(), id, credential };
        for place in 0..N {
            world.nodes[place].poll();
            assert!(is_good(&world.nodes[place].clove, &world.credential).await);
            let new = world.registered().await.into_iter().find(|id| !world.ids.contains(id));
            world.ids.extend(new);
        }
        world.advance(BOUND / 4);
        world.nodes.iter_mut().for_each(Node::poll);
        world
    }

    async fn of<const N: usize>() -> Self {
        Self::new([(); N].map(|()| policy().build().unwrap())).await
    }

    async fn kill(&self) {
        self.nodes[0].clove.disable(&self.fixture.owner, self.id, &self.fixture.by).await.unwrap();
    }

    fn advance(&self, by: Duration) {
        self.fixture.clock().advance(by);
    }

    async fn registered(&self) -> Vec<NodeId> {
        self.store.epochs(Duration::MAX).await.unwrap().nodes.iter().map(|(node, _)| *node).collect()
    }
}

async fn key(fixture: &Fixture, owner: &Owner) -> (KeyId, String) {
    let issued = fixture.clove.create(owner, named("a key"), &fixture.by).await.unwrap();
    (issued.key.id, issued.credential.unwrap().reveal().to_string())
}

fn names(everywhere: Option<Everywhere>) -> (Vec<NodeId>, Duration) {
    match everywhere {
        Some(Everywhere::NotYet { nodes, at_the_latest }) => (nodes, at_the_latest),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn alone_or_in_memory_a_kill_is_obeyed_at_once() {
    let world = World::of::<1>().await;
    world.kill().await;
    assert_eq!(now(&mut world.nodes[0].everywhere(Duration::ZERO)), Some(Everywhere::Obeyed));
    let marked = world.fixture.clove.clone();
    world.nodes[0].spy.set(Mode::Hangs);
    assert_eq!(now(&mut (Box::pin(async move { marked.everywhere(Duration::ZERO).await }) as Barrier)), Some(Everywhere::Obeyed));
}

#[tokio::test]
async fn it_returns_once_all_others_have_answered_and_they_obey() {
    let mut world = World::of::<3>().await;
    world.kill().await;
    let mut barrier = world.nodes[0].everywhere(LONG);
    assert_eq!(now(&mut barrier), None);
    for late in [1, 2] {
        assert!(world.nodes[late].remembers(&world.credential).await, "nobody has told it");
        world.advance(BOUND / 4);
        assert_eq!(now(&mut barrier), None);
        world.nodes[late].poll();
        assert!(!is_good(&world.nodes[late].clove, &world.credential).await);
    }
    world.advance(10 * MS);
    assert_eq!(now(&mut barrier), Some(Everywhere::Obeyed));
    assert_eq!(world.registered().await.len(), 3);
}

#[tokio::test]
async fn who_waits_obeys_kills_of_others_too() {
    let world = World::of::<1>().await;
    world.fixture.clove.disable(&world.fixture.owner, world.id, &world.fixture.by).await.unwrap();
    assert!(world.nodes[0].remembers(&world.credential).await);
    assert_eq!(now(&mut world.nodes[0].everywhere(LONG)), Some(Everywhere::Obeyed));
    assert!(!is_good(&world.nodes[0].clove, &world.credential).await);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_waited_for_as_long_as_it_may_know_and_dismissed() {
    let world = World::of::<2>().await;
    world.kill().await;
    let mut barrier = world.nodes[0].everywhere(LONG);
    assert_eq!(now(&mut barrier), None);
    world.advance(DISMISSAL - MS);
    assert_eq!(now(&mut barrier), None);
    world.advance(10 * MS);
    assert_eq!(now(&mut barrier), Some(Everywhere::Obeyed));
    assert!(!is_good(&world.nodes[1].clove, &world.credential).await);
    assert_eq!(world.registered().await, world.ids[..1]);
    // Nobody waits for it again.
    assert_eq!(now(&mut world.nodes[0].everywhere(LONG)), Some(Everywhere::Obeyed));
}

#[tokio::test]
async fn a_shorter_time_out_names_who_has_not_answered_and_says_how_long_it_may_take() {
    let mut world = World::of::<3>().await;
    let all = world.ids.clone();
    world.kill().await;
    let mut barrier = world.nodes[0].everywhere(60 * MS);
    assert_eq!(now(&mut barrier), None);
    world.advance(30 * MS);
    world.nodes[1].poll();
    assert_eq!(now(&mut barrier), None);
    world.advance(29 * MS);
    assert_eq!(now(&mut barrier), None);
    world.advance(MS);
    assert_eq!(names(now(&mut barrier)), (vec![all[2]], FACT - 60 * MS));
    let (mut named, at_the_latest) = names(now(&mut world.nodes[0].everywhere(Duration::ZERO)));
    named.sort_by_key(|id| *id == all[2]);
    assert_eq!((named, at_the_latest), (all[1..].to_vec(), FACT));
}

#[tokio::test]
async fn with_the_store_away_it_is_a_fact_when_nobody_can_know_any_more() {
    for mode in [Mode::Fails, Mode::Hangs, Mode::Panics] {
        let world = World::of::<2>().await;
        let other = world.ids[1];
        world.kill().await;
        world.nodes[0].spy.set(mode);
        let (mut long, mut short) = (world.nodes[0].everywhere(LONG), world.nodes[0].everywhere(FACT - MS));
        assert_eq!((now(&mut long), now(&mut short)), (None, None));
        for _ in 0..14 {
            world.advance(10 * MS);
            assert_eq!((now(&mut long), now(&mut short)), (None, None));
        }
        world.advance(9 * MS);
        assert_eq!(names(now(&mut short)), (vec![other], MS));
        assert_eq!(now(&mut long), None);
        world.advance(MS);
        assert_eq!(now(&mut long), Some(Everywhere::Obeyed));
        // What it would have waited for.
        assert!(!world.nodes[1].remembers(&world.credential).await);
    }
}

#[tokio::test]
async fn where_the_store_has_never_told_the_bound_the_longest_there_is_counts() {
    let (store, clock) = (MemoryStore::new(), TestClock::new());
    let node = Node::new(&store, &clock, policy().build().unwrap());
    node.spy.set(Mode::Fails);
    let mut barrier = node.everywhere(2 * LONG);
    assert_eq!(now(&mut barrier), None);
    clock.advance(LONG + LONG / 10 - MS);
    assert_eq!(now(&mut barrier), None);
    clock.advance(MS);
    assert_eq!(now(&mut barrier), Some(Everywhere::Obeyed));
}

#[tokio::test]
async fn the_longest_bound_that_was_ever_asked_for_is_waited_for() {
    let mut world = World::of::<2>().await;
    world.store.epochs(BOUND / 4).await.unwrap();
    world.nodes[0].poll();
    world.kill().await;
    let mut barrier = world.nodes[0].everywhere(LONG);
    assert_eq!(now(&mut barrier), None);
    world.advance(BOUND - 11 * MS);
    assert!(world.nodes[1].remembers(&world.credential).await, "it goes by what it knew");
    assert_eq!(now(&mut barrier), None);
}

#[tokio::test]
async fn a_process_that_reads_each_row_waits_for_others_and_is_not_waited_for() {
    let off = policy().freshness(Duration::ZERO).build().unwrap();
    let mut world = World::new([off.clone(), policy().build().unwrap(), off]).await;
    assert_eq!(world.registered().await.len(), 1);
    world.kill().await;
    let mut barrier = world.nodes[0].everywhere(LONG);
    assert_eq!(now(&mut barrier), None);
    world.advance(BOUND / 4);
    world.nodes[1].poll();
    assert_eq!(now(&mut barrier), Some(Everywhere::Obeyed));
    let told = world.store.epochs(Duration::MAX).await.unwrap();
    assert_eq!(told.bound, BOUND, "it has asked for none");
}

#[tokio::test]
async fn a_dismissed_node_is_registered_before_it_grants_from_memory() {
    let mut world = World::of::<2>().await;
    let (_, other) = key(&world.fixture, &Owner::new("other", "tenant").unwrap()).await;
    assert!(is_good(&world.nodes[1].clove, &other).await && world.nodes[1].remembers(&other).await);
    let mut barrier = world.nodes[0].everywhere(LONG);
    assert_eq!(now(&mut barrier), None);
    world.advance(DISMISSAL);
    assert_eq!(now(&mut barrier), Some(Everywhere::Obeyed));
    for mode in [Mode::Fails, Mode::Hangs] {
        world.nodes[1].spy.only("answer_roll", mode);
        world.advance(5 * LONG / 60);
        world.nodes[1].poll();
        assert!(!world.nodes[1].remembers(&other).await);
        assert_eq!(world.registered().await.len(), 1);
    }
    world.nodes[1].spy.set(Mode::Works);
    world.advance(5 * LONG / 60);
    world.nodes[1].poll();
    world.advance(BOUND / 4);
    world.nodes[1].poll();
    assert_eq!(world.registered().await.len(), 2);
    assert!(is_good(&world.nodes[1].clove, &other).await && world.nodes[1].remembers(&other).await);
}

#[tokio::test]
async fn a_node_whose_answer_fails_knows_no_longer_than_before() {
    let mut world = World::of::<2>().await;
    let (_, other) = key(&world.fixture, &Owner::new("other", "tenant").unwrap()).await;
    assert!(is_good(&world.nodes[1].clove, &other).await);
    world.nodes[1].spy.only("answer_roll", Mode::Fails);
    let _ = now(&mut world.nodes[0].everywhere(Duration::ZERO));
    for _ in 0..3 {
        world.advance(BOUND / 4);
        world.nodes[1].poll();
        assert!(world.nodes[1].remembers(&other).await);
    }
    world.advance(BOUND / 4);
    world.nodes[1].poll();
    assert!(!world.nodes[1].remembers(&other).await);
    world.nodes[1].spy.set(Mode::Works);
    world.advance(BOUND / 4);
    world.nodes[1].poll();
    assert!(is_good(&world.nodes[1].clove, &other).await && world.nodes[1].remembers(&other).await);
}

/// A poll is told a call, and the node is dismissed before its answer: who calls next waits for nobody.
#[tokio::test]
async fn a_poll_whose_answer_comes_behind_the_dismissal_counts_for_nothing() {
    let mut world = World::of::<2>().await;
    let other = Owner::new("other", "tenant").unwrap();
    let (id, credential) = key(&world.fixture, &other).await;
    assert!(is_good(&world.nodes[1].clove, &credential).await);
    let mut first = world.nodes[0].everywhere(LONG);
    assert_eq!(now(&mut first), None);
    world.advance(DISMISSAL - 5 * MS);
    world.nodes[1].spy.only("answer_roll", Mode::Waits);
    world.nodes[1].poll();
    world.advance(10 * MS);
    assert_eq!(now(&mut first), Some(Everywhere::Obeyed));
    world.nodes[0].clove.disable(&other, id, &world.fixture.by).await.unwrap();
    assert_eq!(now(&mut world.nodes[0].everywhere(LONG)), Some(Everywhere::Obeyed));
    world.nodes[1].spy.hold_next_answer("epochs");
    world.nodes[1].spy.only("answer_roll", Mode::Works);
    world.nodes[1].poll();
    assert_eq!(world.registered().await.len(), 2, "its answer has come");
    assert!(!is_good(&world.nodes[1].clove, &credential).await);
    world.nodes[1].spy.give_answers();
    world.nodes[1].poll();
    assert!(!is_good(&world.nodes[1].clove, &credential).await);
}

#[tokio::test]
async fn who_shuts_down_is_not_waited_for_and_grants_nothing_from_memory() {
    let mut world = World::of::<2>().await;
    world.advance(BOUND / 4);
    // A poll is on its way.
    world.nodes[1].spy.hold_next_answer("epochs");
    world.nodes[1].poll();
    world.nodes[1].clove.shut_down().await.unwrap();
    world.nodes[1].spy.give_answers();
    assert_eq!(world.registered().await.len(), 1);
    world.kill().await;
    assert_eq!(now(&mut world.nodes[0].everywhere(LONG)), Some(Everywhere::Obeyed));
    for _ in 0..3 {
        world.nodes[1].poll();
        assert!(!is_good(&world.nodes[1].clove, &world.credential).await);
        world.advance(BOUND / 4);
    }
    assert_eq!(world.registered().await.len(), 1);
}

#[tokio::test]
async fn many_nodes_that_have_died_are_dismissed_by_those_that_live() {
    let mut world = World::of::<2>().await;
    let living = world.registered().await;
    for _ in 0..14 {
        Node::new(&world.store, world.fixture.clock(), policy().build().unwrap()).poll();
    }
    assert_eq!(world.registered().await.len(), 16);
    for _ in 0..80 {
        world.advance(BOUND / 4);
        world.nodes.iter_mut().for_each(Node::poll);
    }
    assert_eq!(world.registered().await, living);
}
