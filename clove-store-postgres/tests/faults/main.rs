//! Jepsen's way: processes work on one server while it is restarted, connections are cut, frozen and lose commits, and processes are
//! killed and stopped. What each was told is recorded, and a checker looks for what cannot be. In real time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/proxy.rs"]
mod proxy;

mod checker;
mod client;
mod dead;
mod found;
mod history;
mod nemesis;
mod steps;
mod wrong;

use checker::{Rules, check};
use client::{Known, Secrets};
use clove_core::{ActiveLimit, By, Clove, LimitChoice, NewKey, OperationId};
use clove_store_postgres::{Options, PostgresStore};
use cluster::Cluster;
use found::Found;
use nemesis::Nemesis;
use std::{path::Path, time::Duration};

const RULES: Rules = Rules { limit: client::LIMIT, budget: client::BUDGET, bound: 2_000_000_000 };

/// Run by the test below as a process of its own; by itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_the_cluster() {
    let Ok(told) = std::env::var("CLOVE_FAULTS_NODE") else { return };
    let words: Vec<&str> = told.splitn(4, ' ').collect();
    let [port, seed, number, folder] = &*words else { panic!("it must be told port, seed, number and folder") };
    client::run(port.parse().unwrap(), seed.parse().unwrap(), Path::new(folder), number.parse().unwrap()).await;
}

/// Accounts whose requests are counted, with two keys each; and what keeps the order of changes.
async fn prepare(cluster: &Cluster, folder: &Path) -> PostgresStore {
    let store = Options::url(&Cluster::url(cluster.port())).unwrap().open().await.unwrap();
    cluster.execute(found::WATCH).await;
    let clove = Clove::new(store.clone(), client::policy());
    let secrets = Secrets::of(&folder.join("secrets"));
    let by = || By::new("admin", "preparing").unwrap().may_set_limits().operation(OperationId::new(chrono::Utc::now()));
    for account in ["counted-0", "counted-1"] {
        let owner = client::owner(account);
        clove.set_request_limits(&owner, LimitChoice::Tier(client::counted()), &by()).await.unwrap();
        clove.set_active_limit(&owner, Some(ActiveLimit::Unlimited), &by()).await.unwrap();
        for _ in 0..2 {
            let issued = clove.create(&owner, NewKey::named("counted").unwrap(), &by()).await.unwrap();
            let credential = issued.credential.unwrap().reveal().to_string();
            secrets.tell(&Known { key: issued.key.id, account: account.to_owned(), revision: 1, credential });
        }
    }
    store
}

/// By which the server is restarted among the few faults of the short run, too, and commits come late.
const SEED: u64 = 6;

/// A seed of the caller's replays its decisions.
fn seed() -> u64 {
    std::env::var("CLOVE_FAULTS_SEED").map_or(SEED, |seed| seed.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_no_promise_is_broken() {
    let is_long = std::env::var_os("CLOVE_SOAK").is_some();
    let (faults, nodes, seed) = if is_long { (250, 4, seed()) } else { (12, 3, seed()) };
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start();
    let store = prepare(&cluster, folder.path()).await;
    store.close().await;
    let mut nemesis = Nemesis::start(&cluster, folder.path(), nodes, seed);
    let mut suffered = std::collections::BTreeMap::new();
    for _ in 0..faults {
        *suffered.entry(nemesis.strike().await).or_insert(0) += 1;
    }
    let lost = nemesis.lost();
    // Long enough for what died last to be asked for past the bound.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let calls = nemesis.end();
    let found = Found::read(&mut cluster.connect().await).await;
    let (breaches, looked) = check(RULES, &calls, &found);
    println!("seed {seed}: {faults} faults, {lost} commits lost: {suffered:?}\n{} calls; {looked:?}", calls.len());
    if !breaches.is_empty() {
        let kept = std::env::temp_dir().join(format!("clove-faults-{seed}-{}", std::process::id()));
        std::fs::create_dir_all(&kept).unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), kept.join(file.file_name())).unwrap();
        }
        std::fs::write(kept.join("found"), format!("{found:#?}")).unwrap();
        panic!("{} breaches, the histories are kept in {}:\n{}", breaches.len(), kept.display(), breaches.join("\n"));
    }
    assert!(looked.acknowledged > 50 && looked.at_once > 50 && looked.late > 50, "they were not busy: {looked:?}");
    assert!(looked.full_windows > 0 && looked.records > 0 && looked.spent > 0, "they used too little: {looked:?}");
    if is_long || seed == SEED {
        assert!(suffered.contains_key("restart"), "the server was spared: {suffered:?}");
        assert!(suffered.contains_key("late commits"), "all came in time: {suffered:?}");
    }
    // Whether any commit meets the few faults of the short run that lose some, is a matter of time.
    assert!(lost > 0 || !is_long, "no commit was lost: {suffered:?}");
}
