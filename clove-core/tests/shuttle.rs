//! Schedules of the cache, the marks, the fences and the counts, tried out by the thousand. Empty without `--cfg shuttle`:
//!
//! ```sh
//! RUSTFLAGS="--cfg shuttle" cargo test --package clove-core --test shuttle --target-dir target/shuttle
//! ```
//!
//! Each lock and each atomic of the core is then a place where another thread may go on (see `src/sync.rs`).

#![cfg(shuttle)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

extern crate clove_core as clove;

#[path = "../../tests/support/mod.rs"]
mod support;

use clove::{ActiveLimit, By, Clove, KeyId, KeyState, Limits, Owner, Policy, Tier, Window, policy::MIN_CACHE_BYTES};
use clove_testkit::TestClock;
use shuttle::{
    Config, MaxSteps, Runner,
    future::block_on,
    scheduler::{PctScheduler, RandomScheduler, Schedule, Scheduler, Task, TaskId},
    thread,
};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};
use support::{BOUND, Spy, is_good, named, poll_and_drop};

/// How many schedules each test tries at random, and how many that change threads seldom, at the worst moments.
const RANDOM: usize = 2_000;
const FEW_CHANGES: usize = 500;
const CHANGES: usize = 3;
/// Far more than a verification takes.
const MAX_STEPS_OF_ONE: usize = 1_000;
const MINUTE: Duration = Duration::from_secs(60);

fn try_out(test: impl Fn() + Send + Sync + Copy + 'static) {
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = Config::default();
        (config.stack_size, config.max_steps) = (1 << 18, MaxSteps::FailAfter(100_000));
        Runner::new(scheduler, config).run(test);
    };
    run(Box::new(RandomScheduler::new(RANDOM)));
    run(Box::new(Fair { inner: PctScheduler::new(CHANGES, FEW_CHANGES), steps: 0 }));
}

/// The cache spins where a row is handed over to it and is not in its place yet. A scheduler that runs a thread for as long as it can
/// would let it spin for ever.
struct Fair<S> {
    inner: S,
    steps: usize,
}

impl<S: Scheduler> Scheduler for Fair<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.steps = 0;
        self.inner.new_execution()
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        let next = self.inner.next_task(runnable, current, is_yielding || self.steps > MAX_STEPS_OF_ONE);
        self.steps = if next == current && self.steps <= MAX_STEPS_OF_ONE { self.steps + 1 } else { 0 };
        next
    }

    fn next_u64(&mut self) -> u64 {
        self.inner.next_u64()
    }
}

/// Whether the store's changes are marked by itself, or polled for.
#[derive(Clone, Copy)]
enum Kind {
    Marked,
    Polled,
}
use Kind::{Marked, Polled};

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A process on a store, and what it takes to command it.
#[derive(Clone)]
struct World {
    clove: Clove,
    spy: Spy,
    clock: TestClock,
    owner: Owner,
    by: By,
}

impl World {
    fn new(kind: Kind, policy: Policy) -> (Self, Option<Work>) {
        let (spy, clock) = (Spy::new(), TestClock::new());
        let clove = match kind {
            Marked => Clove::with_clock(spy.inner.clone(), policy, clock.clone()),
            Polled => Clove::with_clock(spy.clone(), policy, clock.clone()),
        };
        let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "trying schedules").unwrap());
        let work = matches!(kind, Polled).then(|| {
            let mut work: Work = Box::pin(clove.maintenance().run(|_| {}));
            poll(&mut work);
            work
        });
        (Self { clove, spy, clock, owner, by }, work)
    }

    fn key_of(&self, owner: &Owner) -> (KeyId, String) {
        let issued = block_on(self.clove.create(owner, named("a key"), &self.by)).unwrap();
        (issued.key.id, issued.credential.unwrap().reveal().to_string())
    }

    fn key(&self) -> (KeyId, String) {
        self.key_of(&self.owner)
    }

    fn is_good(&self, credential: &str) -> bool {
        block_on(is_good(&self.clove, credential))
    }

    /// However it ends.
    fn verify(&self, credential: &str) {
        let _ = block_on(self.clove.verify(credential)).unwrap();
    }
}

fn poll(work: &mut Work) {
    assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

fn unlimited() -> Policy {
    Policy::builder().limits(Tier::unlimited()).active_limit(ActiveLimit::Unlimited).build().unwrap()
}

fn both(test: impl Fn(Kind) + Send + Sync + Copy + 'static) {
    try_out(move || test(Marked));
    try_out(move || test(Polled));
}

/// Two threads verify, remembering what they read, while another kills: whoever starts after that has returned is refused.
fn race(kind: Kind, is_remembered: bool, kill: impl FnOnce(&World, KeyId) + Send + 'static) {
    let (world, _work) = World::new(kind, unlimited());
    let (id, credential) = world.key();
    assert!(!is_remembered || world.is_good(&credential));
    let is_dead = Arc::new(AtomicBool::new(false));
    let killer = thread::spawn({
        let (world, is_dead) = (world.clone(), Arc::clone(&is_dead));
        move || {
            kill(&world, id);
            is_dead.store(true, Ordering::SeqCst);
        }
    });
    let verifiers: Vec<_> = (0..2)
        .map(|_| {
            let (world, is_dead, credential) = (world.clone(), Arc::clone(&is_dead), credential.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    let was_dead = is_dead.load(Ordering::SeqCst);
                    assert!(!world.is_good(&credential) || !was_dead, "a kill that had returned is not obeyed");
                }
            })
        })
        .collect();
    killer.join().unwrap();
    verifiers.into_iter().for_each(|verifier| verifier.join().unwrap());
    assert!(!world.is_good(&credential) && !world.is_good(&credential), "what was remembered outlives the kill");
}

fn disable(world: &World, id: KeyId) {
    block_on(world.clove.disable(&world.owner, id, &world.by)).unwrap();
}

#[test]
fn a_key_that_is_disabled_while_it_is_read_is_refused() {
    both(|kind| race(kind, false, disable));
}

#[test]
fn a_key_that_is_disabled_while_it_is_remembered_is_refused() {
    both(|kind| race(kind, true, disable));
}

#[test]
fn a_key_that_is_deleted_while_it_is_read_is_refused() {
    both(|kind| race(kind, false, |world, id| block_on(world.clove.delete(&world.owner, id, &world.by)).unwrap()));
}

#[test]
fn the_keys_of_an_owner_that_is_closed_are_refused() {
    both(|kind| {
        race(kind, false, |world, _| assert!(block_on(world.clove.close_owner(&world.owner, &world.by)).unwrap().changed));
    });
}

#[test]
fn the_keys_of_an_organization_that_is_closed_are_refused() {
    both(|kind| {
        race(kind, false, |world, _| {
            assert!(block_on(world.clove.close_organization(&world.owner.organization, &world.by)).unwrap().changed);
        });
    });
}

#[test]
fn of_two_kills_and_an_enabling_the_last_is_obeyed() {
    both(|kind| {
        let (world, _work) = World::new(kind, unlimited());
        let (id, credential) = world.key();
        let mut threads: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || disable(&world, id))
            })
            .collect();
        threads.push(thread::spawn({
            let world = world.clone();
            move || assert!(block_on(world.clove.enable(&world.owner, id, &world.by)).is_ok())
        }));
        threads.push(thread::spawn({
            let (world, credential) = (world.clone(), credential.clone());
            move || (0..2).for_each(|_| world.verify(&credential))
        }));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let lives = block_on(world.clove.get(&world.owner, id)).unwrap().state == KeyState::Active;
        for _ in 0..3 {
            assert_eq!(world.is_good(&credential), lives);
        }
    });
}

#[test]
fn a_kill_whose_caller_goes_while_others_command_is_obeyed() {
    try_out(|| {
        race(Polled, false, |world, id| {
            disable(world, id);
            block_on(world.clove.enable(&world.owner, id, &world.by)).unwrap();
            world.spy.hold_next_answer("transact");
            assert!(poll_and_drop(world.clove.disable(&world.owner, id, &world.by)).is_pending(), "it is committed");
        });
    });
}

/// What a poll has told is obeyed once it is over, whatever was read meanwhile.
#[test]
fn another_process_is_obeyed_by_rows_that_are_read_during_a_poll() {
    try_out(|| {
        let (world, work) = World::new(Polled, unlimited());
        let other = Clove::with_clock(world.spy.inner.clone(), unlimited(), world.clock.clone());
        let mut second: Work = Box::pin(world.clove.maintenance().run(|_| {}));
        let (id, credential) = world.key();
        let is_dead = Arc::new(AtomicBool::new(false));
        let poller = thread::spawn({
            let (world, is_dead, mut work) = (world.clone(), Arc::clone(&is_dead), work.unwrap());
            move || {
                block_on(other.disable(&world.owner, id, &world.by)).unwrap();
                world.clock.advance(BOUND / 4);
                poll(&mut work);
                is_dead.store(true, Ordering::SeqCst);
            }
        });
        // Its poll may cross the other.
        let crosses = thread::spawn(move || poll(&mut second));
        for _ in 0..3 {
            let was_dead = is_dead.load(Ordering::SeqCst);
            assert!(!world.is_good(&credential) || !was_dead);
        }
        poller.join().unwrap();
        crosses.join().unwrap();
        assert!(!world.is_good(&credential));
    });
}

fn per(count: u64, length: Duration) -> Window {
    Window::new(count, length).unwrap()
}

fn sliding(count: u64) -> Window {
    Window::sliding(count, MINUTE).unwrap()
}

fn limits(key: &[Window], account: &[Window]) -> clove::policy::PolicyBuilder {
    let of = |windows: &[Window]| Limits::new(windows.iter().copied()).unwrap_or(Limits::unlimited());
    let limits = Tier { key: of(key), account: Some(of(account)) };
    Policy::builder().limits(limits).active_limit(ActiveLimit::Unlimited)
}

/// So many requests at once, each of a key and a process of its own or shared: how many are granted.
fn granted(requests: impl IntoIterator<Item = (Clove, String)>) -> u64 {
    let granted = Arc::new(AtomicU64::new(0));
    let requests = requests.into_iter().map(|(clove, credential)| {
        let granted = Arc::clone(&granted);
        thread::spawn(move || {
            granted.fetch_add(block_on(is_good(&clove, &credential)).into(), Ordering::SeqCst);
        })
    });
    requests.collect::<Vec<_>>().into_iter().for_each(|request| request.join().unwrap());
    granted.load(Ordering::SeqCst)
}

fn three_for_two(kind: Kind, policy: Policy) {
    let (world, _work) = World::new(kind, policy);
    let (_, credential) = world.key();
    assert_eq!(granted((0..3).map(|_| (world.clove.clone(), credential.clone()))), 2);
    assert!(!world.is_good(&credential));
}

#[test]
fn of_three_requests_for_two_places_two_are_granted() {
    both(|kind| three_for_two(kind, limits(&[per(2, MINUTE)], &[]).build().unwrap()));
}

#[test]
fn of_three_requests_for_two_places_in_two_windows_two_are_granted() {
    both(|kind| three_for_two(kind, limits(&[per(2, MINUTE), per(5, 60 * MINUTE)], &[]).build().unwrap()));
    try_out(|| three_for_two(Marked, limits(&[per(5, MINUTE), per(2, 60 * MINUTE)], &[]).build().unwrap()));
    try_out(|| three_for_two(Marked, limits(&[sliding(2), per(5, 60 * MINUTE)], &[]).build().unwrap()));
}

#[test]
fn of_three_requests_for_two_places_of_an_account_two_are_granted() {
    try_out(|| {
        let (world, _) = World::new(Marked, limits(&[per(2, MINUTE)], &[per(2, MINUTE)]).build().unwrap());
        let (first, second) = (world.key().1, world.key().1);
        assert_eq!(granted([&first, &first, &second].map(|key| (world.clove.clone(), key.clone()))), 2);
        assert!(!world.is_good(&first) && !world.is_good(&second));
    });
}

/// Each waits for locks that the other takes: a schedule in which both do for ever is found as one in which nobody goes on.
#[test]
fn giving_places_back_and_the_first_request_of_a_key_go_on_beside_each_other() {
    try_out(|| {
        let (world, _) = World::new(Marked, limits(&[per(5, MINUTE)], &[per(5, MINUTE)]).build().unwrap());
        let (listed, new) = (world.key().1, world.key().1);
        assert!(world.is_good(&listed));
        let clove = world.clove.clone();
        let gives_back = thread::spawn(move || block_on(clove.shut_down()).unwrap());
        assert!(world.is_good(&new));
        gives_back.join().unwrap();
    });
}

#[test]
fn of_three_requests_to_two_processes_for_two_places_two_are_granted() {
    try_out(|| {
        let policy = limits(&[per(2, MINUTE)], &[per(3, MINUTE)]).build().unwrap();
        let (world, _) = World::new(Marked, policy.clone());
        let other = Clove::with_clock(world.spy.inner.clone(), policy, world.clock.clone());
        let (_, credential) = world.key();
        assert_eq!(granted([&world.clove, &world.clove, &other].map(|clove| (clove.clone(), credential.clone()))), 2);
    });
}

/// Two requests of a key for the one place that is left, while another owner's key asks for the one place of the cache: whichever
/// came first.
fn pushed_out(key: &[Window], account: &[Window], is_first: bool) {
    let policy = limits(key, account).cache_bytes(MIN_CACHE_BYTES).build().unwrap();
    let (world, _) = World::new(Marked, policy);
    let (_, credential) = world.key();
    let (_, other) = world.key_of(&Owner::new("acme", "bob").unwrap());
    if !is_first {
        world.verify(&other);
    }
    assert!(world.is_good(&credential));
    let pushes = thread::spawn({
        let world = world.clone();
        move || (0..2).for_each(|_| world.verify(&other))
    });
    assert!(granted([&credential, &credential].map(|key| (world.clove.clone(), key.clone()))) <= 1);
    pushes.join().unwrap();
    assert!(!world.is_good(&credential));
}

#[test]
fn a_key_that_is_pushed_out_while_it_is_charged_gets_no_more_than_its_window_has() {
    for window in [per(2, MINUTE), sliding(2)] {
        [true, false].into_iter().for_each(|is_first| try_out(move || pushed_out(&[window], &[], is_first)));
    }
}

#[test]
fn an_account_whose_keys_are_pushed_out_while_it_is_charged_gets_no_more_than_its_window_has() {
    for window in [per(2, MINUTE), sliding(2)] {
        [true, false].into_iter().for_each(|is_first| try_out(move || pushed_out(&[], &[window], is_first)));
    }
}
