//! One time for all nodes: the store's, where it tells it. Their own clocks may be wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use chrono::TimeDelta;
use clove::{Clove, DenialReason, Expiry, NewKey, Policy, Tier};
use clove_testkit::{Fixture, TestClock};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};
use support::{BOUND, Spy, denied, is_good, named};

const HOUR: TimeDelta = TimeDelta::hours(1);

/// A node whose clock is `ahead` of the store's, with its maintenance.
struct World {
    /// Its clock is the store's.
    fixture: Fixture,
    spy: Spy,
    clock: TestClock,
    clove: Clove,
    work: Pin<Box<dyn Future<Output = ()>>>,
}

impl World {
    fn new(ahead: TimeDelta, freshness: Duration) -> Self {
        let spy = Spy::new();
        let policy = Policy::builder().limits(Tier::unlimited()).freshness(freshness).build().unwrap();
        let fixture = Fixture::on(spy.inner.clone(), policy.clone()).unwrap();
        spy.tell_time_of(fixture.clock());
        let clock = TestClock::new();
        clock.step(ahead);
        let clove = Clove::with_clock(spy.clone(), policy, clock.clone());
        let work = Box::pin(clove.maintenance().run(|_| {}));
        Self { fixture, spy, clock, clove, work }
    }

    fn poll(&mut self) {
        assert!(self.work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    fn advance(&mut self, by: Duration) {
        self.fixture.clock().advance(by);
        self.clock.advance(by);
        self.poll();
    }

    /// A poll whose answer takes so long.
    fn poll_slowly(&mut self, took: Duration) {
        let clocks = [self.fixture.clock().clone(), self.clock.clone()];
        self.spy.before_epochs(async move { clocks.iter().for_each(|clock| clock.advance(took)) });
        self.advance(BOUND / 4);
    }

    /// How far it is ahead of the store.
    fn is_ahead(&self) -> TimeDelta {
        self.clove.now() - self.fixture.clove.now()
    }
}

#[tokio::test]
async fn a_node_whose_clock_is_an_hour_off_sees_keys_expire_by_the_stores_time() {
    for ahead in [HOUR, -HOUR] {
        for freshness in [BOUND, Duration::ZERO] {
            let mut world = World::new(ahead, freshness);
            let fixture = &world.fixture;
            let new = NewKey::named("a key").unwrap().expiry(Expiry::Days(30));
            let issued = fixture.clove.create(&fixture.owner, new, &fixture.by).await.unwrap();
            let credential = issued.credential.unwrap().reveal().to_string();
            world.poll();
            assert_eq!(world.is_ahead(), TimeDelta::zero());
            let life = Duration::from_secs(30 * 86_400);
            world.advance(life - Duration::from_millis(1));
            assert!(is_good(&world.clove, &credential).await && is_good(&world.clove, &credential).await);
            world.advance(Duration::from_millis(1));
            assert!(matches!(denied(world.clove.verify(&credential).await), DenialReason::Expired { .. }));
        }
    }
}

#[tokio::test]
async fn what_is_created_and_rotated_goes_by_the_stores_time() {
    let mut world = World::new(HOUR, BOUND);
    world.poll();
    let (owner, by) = (world.fixture.owner.clone(), world.fixture.by.clone());
    let issued = world.clove.create(&owner, named("a key"), &by).await.unwrap();
    assert_eq!(issued.key.created_at, world.fixture.clove.now());
    let credential = issued.credential.unwrap().reveal().to_string();
    world.clove.rotate(&owner, issued.key.id, 1, TimeDelta::seconds(1), &by).await.unwrap();
    world.advance(Duration::from_millis(999));
    assert!(is_good(&world.clove, &credential).await && is_good(&world.fixture.clove, &credential).await);
    world.advance(Duration::from_millis(1));
    assert!(!is_good(&world.clove, &credential).await && !is_good(&world.fixture.clove, &credential).await);
}

#[tokio::test]
async fn answers_that_take_now_more_and_now_less_time_do_not_have_the_clock_tremble() {
    let mut world = World::new(HOUR, BOUND);
    world.poll();
    for took in [7, 1, 40, 3, 0, 90] {
        world.poll_slowly(Duration::from_millis(took));
        assert_eq!(world.is_ahead(), TimeDelta::zero(), "after one of {took} ms");
    }
    // Half a step is within what an answer of 90 ms leaves open, and not within what one of 10 ms does.
    world.clock.step(TimeDelta::milliseconds(20));
    world.poll_slowly(Duration::from_millis(90));
    assert_eq!(world.is_ahead(), TimeDelta::milliseconds(20));
    world.poll_slowly(Duration::from_millis(10));
    // It was told when the answer came, and taken to have been told half way.
    assert_eq!(world.is_ahead(), TimeDelta::milliseconds(5));
}

#[tokio::test]
async fn an_answer_that_took_over_a_second_tells_no_time() {
    let mut world = World::new(TimeDelta::zero(), BOUND);
    world.poll();
    world.clock.step(HOUR);
    world.poll_slowly(Duration::from_millis(1_001));
    assert_eq!(world.is_ahead(), HOUR);
    world.poll_slowly(Duration::from_millis(1));
    assert!(world.is_ahead().abs() < TimeDelta::milliseconds(2));
}

#[tokio::test]
async fn a_machine_that_slept_knows_nothing_whatever_the_stores_time() {
    let mut world = World::new(HOUR, BOUND);
    let fixture = &world.fixture;
    let issued = fixture.clove.create(&fixture.owner, named("a key"), &fixture.by).await.unwrap();
    let credential = issued.credential.unwrap().reveal().to_string();
    world.poll();
    let reads = |world: &World| world.spy.calls().iter().filter(|call| **call == "find_by_id").count();
    assert!(is_good(&world.clove, &credential).await && is_good(&world.clove, &credential).await);
    assert_eq!(reads(&world), 1);
    world.clock.step(TimeDelta::milliseconds(100));
    assert!(is_good(&world.clove, &credential).await);
    assert_eq!(reads(&world), 1);
}

#[tokio::test]
async fn a_store_that_tells_no_time_is_not_polled_for_it() {
    let mut world = World::new(HOUR, Duration::ZERO);
    world.advance(Duration::from_secs(1));
    world.advance(Duration::from_secs(1));
    let polls = |world: &World| world.spy.calls().iter().filter(|call| **call == "epochs").count();
    assert_eq!(polls(&world), 2, "each second");
    world.spy.tell_no_time();
    for _ in 0..5 {
        world.advance(Duration::from_secs(1));
    }
    assert_eq!(polls(&world), 1);
}
