//! `create-pg-32`: issuing keys from 32 tasks, until each key is durable.

use super::{
    cold_policy,
    fill::owner,
    limits::BareCreate,
    server::{Schema, bare_pool, on, runtime},
};
use crate::{
    figure::{Bar, Figure},
    fixture,
    measure::in_turn,
};
use clove_core::{Clove, NewKey, Owner};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

const NAME: &str = "create-pg-32";
const TASKS: u64 = 32;
const SPAN: Duration = Duration::from_secs(2);
const ROUNDS: usize = 9;

pub(crate) fn names() -> Vec<String> {
    vec![NAME.to_owned()]
}

pub(crate) fn run(_: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let runtime = runtime();
    // Each in tables of its own, so that neither looks for its places among the other's rows.
    let (ours, bare) = (Schema::new(), Schema::new());
    let clove = Clove::new(runtime.block_on(ours.store()), cold_policy());
    let limit = runtime.block_on(async {
        drop(bare.store().await);
        BareCreate::new(bare_pool(TASKS as u32).await, &bare)
    });
    // The organization is there, as it is but once in its life.
    on(&runtime, create(clove.clone(), owner(0)));
    let (by_limit, by_clove) = (Arc::new(AtomicU64::new(2)), Arc::new(AtomicU64::new(2)));
    let medians = in_turn(
        ROUNDS,
        |_| {
            let (limit, number) = (limit.clone(), Arc::clone(&by_limit));
            on(
                &runtime,
                rate(move || {
                    let (limit, number) = (limit.clone(), number.fetch_add(1, Relaxed));
                    // An owner's second key is the same task's, after the first: never two at a time for one owner.
                    async move {
                        limit.create(&owner(number), number * 2).await;
                        limit.create(&owner(number), number * 2 + 1).await;
                    }
                }),
            )
        },
        |_| {
            let (clove, number) = (clove.clone(), Arc::clone(&by_clove));
            on(
                &runtime,
                rate(move || {
                    let (clove, owner) = (clove.clone(), owner(number.fetch_add(1, Relaxed)));
                    async move {
                        create(clove.clone(), owner.clone()).await;
                        create(clove, owner).await;
                    }
                }),
            )
        },
    );
    let (value, limit) = (medians.figure, medians.limit);
    report(Figure { name: NAME.to_owned(), value, limit, unit: "keys/s", bar: Bar::AtLeast(1.2) });
}

pub(crate) async fn create(clove: Clove, owner: Owner) {
    let issued = clove.create(&owner, NewKey::named("bench").expect("a name"), &fixture::by()).await;
    assert!(issued.expect("a key").credential.is_some());
}

/// Keys a second of 32 tasks, where `two` makes two.
async fn rate<F: Future<Output = ()> + Send>(two: impl Fn() -> F + Clone + Send + 'static) -> f64 {
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let two = two.clone();
            tokio::spawn(async move {
                let mut done = 0_u64;
                while start.elapsed() < SPAN {
                    two().await;
                    done += 2;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.expect("no panic");
    }
    done as f64 / start.elapsed().as_secs_f64()
}
