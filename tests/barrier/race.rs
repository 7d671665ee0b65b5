//! Many barriers at once, of nodes whose polls and answers fail or come late.

use crate::support::{Mode, is_good};
use crate::{Barrier, FACT, LONG, MS, Node, key, now, policy};
use clove::{Everywhere, KeyId, MemoryStore, Owner};
use clove_testkit::Fixture;
use std::time::Duration;

/// Small, and the same everywhere: the point is that a failure can be run again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length.try_into().unwrap())).unwrap()
    }
}

/// A key of an owner of its own, and since which of its kills it is dead.
struct Target {
    owner: Owner,
    id: KeyId,
    credential: String,
    dead: Option<u64>,
}

struct Waiting {
    barrier: Barrier,
    /// All targets that were dead when it began, by which of their kills.
    dead: Vec<Option<u64>>,
    began: Duration,
    passed: Duration,
}

async fn race(seed: u64) -> (u64, u64) {
    let (store, mut dice) = (MemoryStore::new(), Dice(seed));
    let fixture = Fixture::on(store.clone(), policy().build().unwrap()).unwrap();
    let clock = fixture.clock();
    let new = || {
        let mut node = Node::new(&store, clock, policy().build().unwrap());
        node.poll();
        node
    };
    let mut nodes: Vec<Node> = (0..4).map(|_| new()).collect();
    let mut targets = Vec::new();
    for number in 0..3 {
        let owner = Owner::new("acme", format!("owner-{number}")).unwrap();
        let (id, credential) = key(&fixture, &owner).await;
        targets.push(Target { owner, id, credential, dead: None });
    }
    let (mut waiting, mut kills, mut obeyed, mut from_memory) = (Vec::<Waiting>::new(), 0, 0, 0);
    let (mut time, mut is_obeyed) = (Duration::ZERO, false);
    for step in 0..400 {
        let by = MS * u32::try_from(dice.below(15)).unwrap();
        time += by;
        clock.advance(by);
        for node in &mut nodes {
            match dice.below(24) {
                0 => node.spy.only("answer_roll", Mode::Fails),
                1 => node.spy.only("answer_roll", Mode::Waits),
                2 => node.spy.only("epochs", Mode::Fails),
                3 => node.spy.hold_next_answer("epochs"),
                4 => node.spy.hold_next_answer("answer_roll"),
                5..10 => node.spy.set(Mode::Works),
                10..13 => node.spy.give_answers(),
                13 if dice.one_in(8) => *node = new(),
                14 if dice.one_in(8) => {
                    node.spy.set(Mode::Works);
                    node.clove.shut_down().await.unwrap();
                }
                _ => {}
            }
            if dice.one_in(2) {
                node.poll();
            }
        }
        let place = dice.place(targets.len());
        let target = &mut targets[place];
        let caller = dice.place(nodes.len());
        // Where nobody is waited for any more, the next kill comes at once.
        if dice.one_in(if is_obeyed { 2 } else { 6 }) {
            if target.dead.take().is_some() {
                fixture.clove.enable(&target.owner.organization, target.id, &fixture.by).await.unwrap();
            } else {
                fixture.clove.disable(&target.owner, target.id, &fixture.by).await.unwrap();
                (kills, target.dead) = (kills + 1, Some(kills));
                let dead = targets.iter().map(|target| target.dead).collect();
                waiting.push(Waiting { barrier: nodes[caller].everywhere(LONG), dead, began: time, passed: by });
            }
        }
        let mut still = Vec::new();
        is_obeyed = false;
        for mut one in std::mem::take(&mut waiting) {
            one.passed = time.checked_sub(one.began).unwrap();
            match now(&mut one.barrier) {
                None => {
                    assert!(one.passed < FACT, "seed {seed}, step {step}: it takes longer than it may");
                    still.push(one);
                }
                Some(Everywhere::Obeyed) => {
                    (obeyed, is_obeyed) = (obeyed + 1, true);
                    for (target, dead) in targets.iter().zip(&one.dead) {
                        if dead.is_none() || target.dead != *dead {
                            continue;
                        }
                        for node in &nodes {
                            let granted = is_good(&node.clove, &target.credential).await;
                            assert!(!granted, "seed {seed}, step {step}: granted {:?} after the barrier", one.passed);
                        }
                    }
                }
                Some(other) => panic!("{other:?}"),
            }
        }
        waiting = still;
        for node in &nodes {
            if dice.one_in(2) {
                from_memory += u64::from(node.remembers(&targets[dice.place(targets.len())].credential).await);
            }
        }
    }
    (obeyed, from_memory)
}

#[tokio::test]
async fn no_node_grants_after_the_barrier_whatever_fails_or_comes_late() {
    let (mut obeyed, mut from_memory) = (0, 0);
    let seeds = if std::env::var_os("CLOVE_SOAK").is_some() { 20_000 } else { 60 };
    for seed in 0..seeds {
        let (more, remembered) = race(seed).await;
        (obeyed, from_memory) = (obeyed + more, from_memory + remembered);
    }
    assert!(obeyed > 10 * seeds && from_memory > 100 * seeds, "{obeyed} barriers, {from_memory} grants from memory");
}
