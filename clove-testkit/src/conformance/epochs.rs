//! Epochs: what processes that remember rows go by.

use super::{list_cases, tools::*};
use clove_core::{
    OperationId, Owner, Refusal,
    id::NodeId,
    store::{Changes, Decision, EpochShard, Epochs, Reads, Transaction},
};
use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

list_cases![
    a_change_moves_the_epochs_that_it_outdates_and_no_others,
    what_is_not_written_moves_no_epoch,
    an_epoch_never_takes_a_value_again,
    telemetry_moves_no_epoch,
    the_shortest_bound_is_told_to_all,
    the_first_bound_is_told_as_the_longest,
    who_asks_for_no_bound_notes_none,
    calls_of_the_roll_count_up,
    racing_calls_of_the_roll_have_numbers_of_their_own,
    an_answer_is_told_by_the_next_poll_and_never_lowered,
    dismissing_spares_who_has_answered,
    who_answers_after_it_was_dismissed_is_registered_again,
    a_call_and_an_answer_move_no_epoch,
    who_finds_a_call_finds_what_was_changed_before_it,
];

/// Longer than any other case asks for.
const BOUND: Duration = Duration::from_secs(30);

pub(super) async fn epochs(bench: &Bench) -> Arc<Epochs> {
    bench.store.epochs(BOUND).await.unwrap()
}

/// All shards there are.
fn shards() -> impl Iterator<Item = EpochShard> {
    static SHARDS: OnceLock<BTreeSet<EpochShard>> = OnceLock::new();
    let of = |number| EpochShard::of(&Owner::new("acme", format!("owner-{number}")).unwrap());
    SHARDS.get_or_init(|| (0..20_000).map(of).chain([EpochShard::EVERYONE]).collect()).iter().copied()
}

pub(super) fn moved(before: &Epochs, after: &Epochs) -> BTreeSet<EpochShard> {
    shards().filter(|&shard| before.get(shard) != after.get(shard)).collect()
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
        assert_eq!(moved(&before, &after), outdates);
    }
}

async fn what_is_not_written_moves_no_epoch(bench: Arc<Bench>) {
    let before = epochs(&bench).await;
    outdate(&bench, [EpochShard::EVERYONE].into(), false).await;
    assert_eq!(moved(&before, &*epochs(&bench).await), BTreeSet::new());
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
    assert_eq!(moved(&before, &*epochs(&bench).await), BTreeSet::new());
}

async fn the_shortest_bound_is_told_to_all(bench: Arc<Bench>) {
    for (asked, told) in [(20, 20), (10, 10), (15, 10), (30, 10), (5, 5), (10, 5)] {
        let epochs = bench.store.epochs(Duration::from_millis(asked)).await.unwrap();
        assert_eq!(epochs.bound, Duration::from_millis(told), "{asked}");
    }
}

async fn the_first_bound_is_told_as_the_longest(bench: Arc<Bench>) {
    for asked in [20, 10, 40, 5] {
        let epochs = bench.store.epochs(Duration::from_millis(asked)).await.unwrap();
        assert_eq!(epochs.longest, Duration::from_millis(20), "{asked}");
    }
}

async fn who_asks_for_no_bound_notes_none(bench: Arc<Bench>) {
    bench.store.epochs(Duration::MAX).await.unwrap();
    let first = epochs(&bench).await;
    assert_eq!((first.bound, first.longest), (BOUND, BOUND));
    let later = bench.store.epochs(Duration::MAX).await.unwrap();
    assert_eq!((later.bound, later.longest), (BOUND, BOUND));
}

fn nodes<const N: usize>() -> [NodeId; N] {
    [(); N].map(|()| NodeId::new(start()))
}

/// Who is registered, in the order of their ids.
async fn registered(bench: &Bench) -> Vec<(NodeId, u64)> {
    let mut nodes = epochs(bench).await.nodes.clone();
    nodes.sort_unstable();
    nodes
}

fn sorted<const N: usize>(mut nodes: [(NodeId, u64); N]) -> Vec<(NodeId, u64)> {
    nodes.sort_unstable();
    nodes.to_vec()
}

async fn calls_of_the_roll_count_up(bench: Arc<Bench>) {
    let mut last = epochs(&bench).await.roll;
    assert_eq!(last, 0, "nobody has called yet");
    for _ in 0..20 {
        let number = bench.store.call_roll().await.unwrap();
        assert!(number > last, "{number} after {last}");
        last = number;
        assert_eq!(epochs(&bench).await.roll, number);
    }
}

async fn racing_calls_of_the_roll_have_numbers_of_their_own(bench: Arc<Bench>) {
    let calls = (0..16).map(|_| async { bench.store.call_roll().await.unwrap() });
    let numbers = at_once(calls.collect());
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 16, "{numbers:?}");
    assert_eq!(numbers.into_iter().max(), Some(epochs(&bench).await.roll));
}

async fn an_answer_is_told_by_the_next_poll_and_never_lowered(bench: Arc<Bench>) {
    let [ada, bob] = nodes();
    assert_eq!(registered(&bench).await, []);
    for (node, answers, told) in [
        (ada, 0, sorted([(ada, 0)])),
        (bob, 3, sorted([(ada, 0), (bob, 3)])),
        (ada, 2, sorted([(ada, 2), (bob, 3)])),
        (bob, 1, sorted([(ada, 2), (bob, 3)])),
        (ada, 2, sorted([(ada, 2), (bob, 3)])),
    ] {
        bench.store.answer_roll(node, answers).await.unwrap();
        assert_eq!(registered(&bench).await, told);
    }
}

async fn dismissing_spares_who_has_answered(bench: Arc<Bench>) {
    let [ada, bob, eve, gone] = nodes();
    for (node, number) in [(ada, 4), (bob, 5), (eve, 1)] {
        bench.store.answer_roll(node, number).await.unwrap();
    }
    bench.store.dismiss(&[], 9).await.unwrap();
    bench.store.dismiss(&[ada, bob, gone], 5).await.unwrap();
    assert_eq!(registered(&bench).await, sorted([(bob, 5), (eve, 1)]), "those that were named, below the number");
    bench.store.dismiss(&[bob], u64::MAX).await.unwrap();
    assert_eq!(registered(&bench).await, [(eve, 1)], "the highest number is above all answers");
}

async fn who_answers_after_it_was_dismissed_is_registered_again(bench: Arc<Bench>) {
    let [ada] = nodes();
    bench.store.answer_roll(ada, 7).await.unwrap();
    bench.store.dismiss(&[ada], u64::MAX).await.unwrap();
    assert_eq!(registered(&bench).await, []);
    bench.store.answer_roll(ada, 3).await.unwrap();
    assert_eq!(registered(&bench).await, [(ada, 3)]);
}

async fn a_call_and_an_answer_move_no_epoch(bench: Arc<Bench>) {
    let before = epochs(&bench).await;
    let [ada] = nodes();
    bench.store.answer_roll(ada, bench.store.call_roll().await.unwrap()).await.unwrap();
    bench.store.dismiss(&[ada], u64::MAX).await.unwrap();
    assert_eq!(moved(&before, &*epochs(&bench).await), BTreeSet::new());
}

async fn who_finds_a_call_finds_what_was_changed_before_it(bench: Arc<Bench>) {
    type Seen = Vec<(u64, u64)>;
    let has_ended = AtomicBool::new(false);
    let now = async || {
        let epochs = epochs(&bench).await;
        (epochs.roll, epochs.get(EpochShard::EVERYONE))
    };
    let calls = async {
        let mut calls = vec![now().await];
        for _ in 0..30 {
            outdate(&bench, [EpochShard::EVERYONE].into(), true).await;
            let number = bench.store.call_roll().await.unwrap();
            // Nobody else changes anything.
            calls.push((number, now().await.1));
        }
        has_ended.store(true, Ordering::SeqCst);
        calls
    };
    let polls = async {
        let mut polls = Vec::new();
        while !has_ended.load(Ordering::SeqCst) {
            polls.push(now().await);
            polls.dedup();
        }
        polls
    };
    let both: Vec<Pin<Box<dyn Future<Output = Seen> + Send + '_>>> = vec![Box::pin(calls), Box::pin(polls)];
    let [calls, polls] = <[Seen; 2]>::try_from(at_once(both)).unwrap();
    for (roll, epoch) in polls {
        let place = |is: &dyn Fn(&(u64, u64)) -> bool| calls.iter().position(is);
        let (called, changed) = (place(&|call| call.0 == roll), place(&|call| call.1 == epoch));
        assert!(called.is_some() && called <= changed, "call {called:?} was told with the epoch of change {changed:?}");
    }
}
