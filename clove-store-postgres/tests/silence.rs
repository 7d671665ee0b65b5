//! Connections that have fallen silent: neither side is told, as where a router has forgotten them. In real time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/proxy.rs"]
mod proxy;

use clove_core::{By, Clove, NewKey, Owner, Policy, Tier};
use clove_store_postgres::Options;
use cluster::Cluster;
use proxy::Proxy;
use std::time::{Duration, Instant};

/// How long statements may take here.
const TIMEOUT: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_goes_on_over_new_connections_however_often_the_old_ones_fall_silent() {
    let cluster = Cluster::start();
    let proxy = Proxy::before(cluster.port());
    let store = Options::url(&Cluster::url(proxy.port())).unwrap().connections(8).timeout(TIMEOUT).open().await.unwrap();
    let policy = Policy::builder().limits(Tier::unlimited()).max_creations_per_day(None).max_records(None).build().unwrap();
    let clove = Clove::new(store, policy);
    tokio::spawn(clove.maintenance().run(|_| {}));
    let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "testing").unwrap());
    let issued = clove.create(&owner, NewKey::named("a key").unwrap(), &by).await.unwrap();
    let mut slowest = Duration::ZERO;
    for round in 0..4 {
        // In the middle of many statements.
        let busy = (0..8).map(|_| {
            let (clove, owner, by) = (clove.clone(), owner.clone(), by.clone());
            tokio::spawn(async move {
                for _ in 0..20 {
                    let _ = clove.disable(&owner, issued.key.id, &by).await;
                }
            })
        });
        let busy: Vec<_> = busy.collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        proxy.silence();
        let began = Instant::now();
        let mut works = false;
        while !works && began.elapsed() < Duration::from_secs(20) {
            works = clove.disable(&owner, issued.key.id, &by).await.is_ok();
        }
        assert!(works, "nothing works {:?} after the connections fell silent, in round {round}", began.elapsed());
        slowest = slowest.max(began.elapsed());
        for busy in busy {
            busy.await.unwrap();
        }
    }
    println!("at the slowest it went on after {slowest:?}");
    assert!(slowest < Duration::from_secs(8), "{slowest:?}");
}
