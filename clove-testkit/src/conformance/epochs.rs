//! Epochs: what processes that remember rows go by.

use super::{list_cases, tools::*};
use clove_core::{
    OperationId, Refusal,
    store::{Changes, Decision, EpochShard, Epochs, Reads, Transaction},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

list_cases![
    a_change_moves_the_epochs_that_it_outdates_and_no_others,
    what_is_not_written_moves_no_epoch,
    an_epoch_never_takes_a_value_again,
    telemetry_moves_no_epoch,
    the_shortest_bound_is_told_to_all,
];

/// Longer than any other case asks for.
const BOUND: Duration = Duration::from_secs(30);

async fn epochs(bench: &Bench) -> Arc<Epochs> {
    bench.store.epochs(BOUND).await.unwrap()
}

/// All shards there are.
fn shards(bench: &Bench) -> BTreeSet<EpochShard> {
    let owners = (0..20_000).map(|number| EpochShard::of(&bench.owner("acme", &format!("owner-{number}"))));
    owners.chain([EpochShard::EVERYONE]).collect()
}

async fn outdate(bench: &Bench, outdates: BTreeSet<EpochShard>, commits: bool) {
    let reads = Reads::Flag((&bench.owner("acme", "ada")).into());
    let decide = move |_: &_| {
        let changes = Changes { outdates: outdates.clone(), ..Changes::default() };
        if commits { Decision::Commit(changes) } else { Decision::Refuse(Refusal::NotFound) }
    };
    bench.transact(Transaction::new(OperationId::new(start()), reads, decide)).await.unwrap();
}

async fn a_change_moves_the_epochs_that_it_outdates_and_no_others(bench: Arc<Bench>) {
    let [ada, bob] = ["ada", "bob"].map(|account| EpochShard::of(&bench.owner("acme", account)));
    for outdates in [vec![ada], vec![bob, EpochShard::EVERYONE], vec![ada, bob], vec![]] {
        let outdates: BTreeSet<EpochShard> = outdates.into_iter().collect();
        let before = epochs(&bench).await;
        outdate(&bench, outdates.clone(), true).await;
        let after = epochs(&bench).await;
        let moved: BTreeSet<_> = shards(&bench).into_iter().filter(|&shard| before.get(shard) != after.get(shard)).collect();
        assert_eq!(moved, outdates);
    }
}

async fn what_is_not_written_moves_no_epoch(bench: Arc<Bench>) {
    let before = epochs(&bench).await;
    outdate(&bench, [EpochShard::EVERYONE].into(), false).await;
    assert!(before == epochs(&bench).await);
}

async fn an_epoch_never_takes_a_value_again(bench: Arc<Bench>) {
    let mut seen = BTreeSet::from([epochs(&bench).await.get(EpochShard::EVERYONE)]);
    for _ in 0..50 {
        outdate(&bench, [EpochShard::EVERYONE].into(), true).await;
        assert!(seen.insert(epochs(&bench).await.get(EpochShard::EVERYONE)));
    }
}

async fn telemetry_moves_no_epoch(bench: Arc<Bench>) {
    let key = key(&bench.owner("acme", "ada"));
    bench.insert(&key).await;
    let before = epochs(&bench).await;
    bench.store.touch(&[(key.id, after(1))]).await.unwrap();
    bench.store.rehash(&[]).await.unwrap();
    assert!(before == epochs(&bench).await);
}

async fn the_shortest_bound_is_told_to_all(bench: Arc<Bench>) {
    for (asked, told) in [(20, 20), (10, 10), (15, 10), (30, 10), (5, 5), (10, 5)] {
        let epochs = bench.store.epochs(Duration::from_millis(asked)).await.unwrap();
        assert_eq!(epochs.bound, Duration::from_millis(told), "{asked}");
    }
}
