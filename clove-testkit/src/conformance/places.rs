//! Places of request windows: what is charged to a name never exceeds its limit.

use super::{list_cases, tools::*};
use clove_core::{
    KeyId, StoreError, Timestamp, Window,
    id::NodeId,
    limit::Subject,
    store::{COUNT_LIFETIME_MICROS, Lease, Leased, SlidingCharge, SlidingState, Unspent, Want},
};
use std::{sync::Arc, time::Duration};

list_cases![
    places_are_charged_to_the_name_of_their_window,
    a_lease_stops_at_the_limit,
    racing_leases_stop_at_the_limit,
    places_that_are_given_back_are_free_again,
    processes_that_lease_share_what_is_left,
    counts_are_forgotten_a_day_after_their_window,
    a_sliding_window_counts_what_has_not_slid_out_of_it,
    sliding_windows_are_charged_all_or_none,
    racing_charges_of_a_sliding_window_stop_at_the_limit,
];

const MINUTE: i64 = 60_000_000;

fn at(minutes: i64) -> Timestamp {
    let start = Timestamp::from(start()).as_micros();
    Timestamp::from_micros(start - start.rem_euclid(MINUTE) + minutes * MINUTE).unwrap()
}

fn window(count: u64, seconds: u64) -> Window {
    Window::new(count, Duration::from_secs(seconds)).unwrap()
}

fn lease(node: NodeId, subject: &Subject, wants: &[(Window, Timestamp, u64, u64)]) -> Arc<Lease> {
    let want = |&(window, start, least, wanted)| Want { window, start, least, wanted };
    Arc::new(Lease { node, at: at(0), subject: subject.clone(), wants: wants.iter().map(want).collect() })
}

/// Takes places of one window.
async fn take(bench: &Bench, subject: &Subject, window: Window, start: Timestamp, least: u64) -> Leased {
    let node = NodeId::new(at(0));
    bench.store.lease(lease(node, subject, &[(window, start, least, least)])).await.unwrap()[0]
}

async fn places_are_charged_to_the_name_of_their_window(bench: Arc<Bench>) {
    let id = KeyId::new(start());
    let ids = ["ada", "Ada", "ada.", "a"].map(|account| Subject::Account(bench.owner("acme", account).into()));
    let others = [Subject::Key(KeyId::new(start())), Subject::Account(bench.owner("acm", "eada").into())];
    let subjects: Vec<Subject> = std::iter::once(Subject::Key(id)).chain(ids).chain(others).collect();
    let names =
        [(window(100, 60), at(0)), (window(100, 60), at(1)), (window(100, 120), at(0)), (window(100, 60), at(-9_000_000))];
    for (taken, charged) in [(3, 3), (5, 8)] {
        for subject in &subjects {
            for (window, start) in names {
                let leased = take(&bench, subject, window, start, taken).await;
                assert_eq!(leased, Leased { taken, charged }, "{subject:?}, {window:?}, {start:?}");
            }
        }
    }
    // Several windows of one subject at once, one answer each, in order.
    let subject = Subject::Key(KeyId::new(start()));
    let wants = [(window(9, 60), at(0), 1, 1), (window(1, 3_600), at(0), 2, 2), (window(9, 1), at(0), 4, 4)];
    let leased = bench.store.lease(lease(NodeId::new(at(0)), &subject, &wants)).await.unwrap();
    let answer = |taken| Leased { taken, charged: taken };
    assert_eq!(leased, [answer(1), answer(0), answer(4)]);
}

async fn a_lease_stops_at_the_limit(bench: Arc<Bench>) {
    let subject = Subject::Account(bench.owner("acme", "ada").into());
    let ten = window(10, 60);
    assert_eq!(take(&bench, &subject, ten, at(0), 7).await, Leased { taken: 7, charged: 7 });
    assert_eq!(take(&bench, &subject, ten, at(0), 4).await, Leased { taken: 0, charged: 7 });
    assert_eq!(take(&bench, &subject, ten, at(0), 0).await, Leased { taken: 0, charged: 7 }, "asking takes nothing");
    assert_eq!(take(&bench, &subject, ten, at(0), 3).await, Leased { taken: 3, charged: 10 });
    assert_eq!(take(&bench, &subject, ten, at(0), 1).await, Leased { taken: 0, charged: 10 });
    assert_eq!(take(&bench, &subject, window(4, 60), at(0), 1).await, Leased { taken: 0, charged: 10 }, "a lowered limit");
    assert_eq!(take(&bench, &subject, window(12, 60), at(0), 2).await, Leased { taken: 2, charged: 12 }, "a raised one");
    let most = window(clove_core::limit::MAX_COUNT, 60);
    let all = clove_core::limit::MAX_COUNT;
    assert_eq!(take(&bench, &subject, most, at(0), all - 12).await, Leased { taken: all - 12, charged: all });
}

async fn racing_leases_stop_at_the_limit(bench: Arc<Bench>) {
    for _ in 0..5 {
        let subject = Subject::Key(KeyId::new(start()));
        let takes = (0..16).map(|_| {
            let (bench, subject) = (Arc::clone(&bench), subject.clone());
            async move {
                let mut taken = 0;
                for _ in 0..5 {
                    taken += take(&bench, &subject, window(50, 60), at(0), 1).await.taken;
                }
                taken
            }
        });
        assert_eq!(at_once(takes.collect()).into_iter().sum::<u64>(), 50);
    }
}

async fn places_that_are_given_back_are_free_again(bench: Arc<Bench>) {
    let (subject, other) = (Subject::Key(KeyId::new(start())), Subject::Key(KeyId::new(start())));
    let ten = window(10, 60);
    for subject in [&subject, &other] {
        assert_eq!(take(&bench, subject, ten, at(0), 9).await.taken, 9);
    }
    let unspent = |start, seconds, places| Unspent { subject: subject.clone(), seconds, start, places };
    bench.store.give_back(&[unspent(at(0), 60, 5), unspent(at(1), 60, 1), unspent(at(0), 3_600, 1)]).await.unwrap();
    assert_eq!(take(&bench, &subject, ten, at(0), 0).await.charged, 4);
    assert_eq!(take(&bench, &other, ten, at(0), 0).await.charged, 9);
    bench.store.give_back(&[unspent(at(0), 60, 1), unspent(at(0), 60, 1)]).await.unwrap();
    assert_eq!(take(&bench, &subject, ten, at(0), 0).await.charged, 2);
    bench.store.give_back(&[unspent(at(0), 60, u64::MAX)]).await.unwrap();
    assert_eq!(take(&bench, &subject, ten, at(0), 10).await, Leased { taken: 10, charged: 10 }, "never below none");
}

async fn processes_that_lease_share_what_is_left(bench: Arc<Bench>) {
    let hour = |minutes| window(1_000, 3_600 + minutes);
    let subject = Subject::Key(KeyId::new(start()));
    let [first, second] = [NodeId::new(at(0)), NodeId::new(at(0))];
    let mut leases = Vec::new();
    for (place, (node, at)) in
        [(first, at(0)), (first, at(0)), (second, at(0)), (first, at(0)), (first, at(1)), (second, at(3))].into_iter().enumerate()
    {
        let place = u64::try_from(place).unwrap();
        let lease = Lease { at, ..(*lease(node, &subject, &[(hour(place), at, 1, 1_000)])).clone() };
        leases.push(bench.store.lease(Arc::new(lease)).await.unwrap()[0].taken);
    }
    assert_eq!(leases, [500, 500, 250, 250, 500, 500], "a process counts for a minute");
    // One that takes nothing takes part in nothing.
    let [asks, takes] = [NodeId::new(at(0)), NodeId::new(at(9))];
    let used_up = Lease { at: at(9), ..(*lease(asks, &subject, &[(window(1, 60), at(9), 2, 2)])).clone() };
    assert_eq!(bench.store.lease(Arc::new(used_up)).await.unwrap()[0].taken, 0);
    let alone = Lease { at: at(9), ..(*lease(takes, &subject, &[(window(1_000, 60), at(9), 1, 1_000)])).clone() };
    assert_eq!(bench.store.lease(Arc::new(alone)).await.unwrap()[0].taken, 500);
}

async fn counts_are_forgotten_a_day_after_their_window(bench: Arc<Bench>) {
    let subject = Subject::Key(KeyId::new(start()));
    for (seconds, minutes) in [(60, 0), (60, 1), (120, 0), (60, 2)] {
        take(&bench, &subject, window(9, seconds), at(minutes), 2).await;
    }
    let day = |minutes, micros| Timestamp::from_micros(at(minutes).as_micros() + COUNT_LIFETIME_MICROS + micros).unwrap();
    let charged = async |seconds, minutes| take(&bench, &subject, window(9, seconds), at(minutes), 0).await.charged;
    assert_eq!(bench.store.forget_counts(day(1, -1), 9).await.unwrap(), 0);
    assert_eq!(bench.store.forget_counts(day(1, 0), 9).await.unwrap(), 1);
    assert_eq!((charged(60, 0).await, charged(60, 1).await, charged(120, 0).await), (0, 2, 2));
    assert_eq!(bench.store.forget_counts(day(9, 0), 2).await.unwrap(), 2, "no more than asked");
    let left: Result<usize, StoreError> = bench.store.forget_counts(day(9, 0), 9).await;
    assert_eq!(left.unwrap(), 1);
}

fn sliding(count: u64, seconds: u64) -> Window {
    Window::sliding_shared(count, Duration::from_secs(seconds)).unwrap()
}

/// Seconds after the start, as `at`.
fn seconds(seconds: i64, micros: i64) -> Timestamp {
    Timestamp::from_micros(at(0).as_micros() + seconds * 1_000_000 + micros).unwrap()
}

/// Charges so many places of these windows. Whether it did, and how each stands.
async fn slide(bench: &Bench, at: Timestamp, places: u64, windows: &[(Subject, Window)]) -> (bool, Vec<SlidingState>) {
    let charge = SlidingCharge { at, places, charges: true, windows: windows.to_vec() };
    let charged = bench.store.charge_sliding(Arc::new(charge)).await.unwrap();
    (charged.is_charged, charged.windows)
}

fn fits(left: u64) -> SlidingState {
    SlidingState { left, lacks: false, again_at: None }
}

fn lacks(left: u64, again_at: Option<Timestamp>) -> SlidingState {
    SlidingState { left, lacks: true, again_at }
}

async fn a_sliding_window_counts_what_has_not_slid_out_of_it(bench: Arc<Bench>) {
    let subject = Subject::Key(KeyId::new(start()));
    let window = [(subject.clone(), sliding(5, 60))];
    assert_eq!(slide(&bench, seconds(0, 0), 2, &window).await, (true, vec![fits(3)]));
    assert_eq!(slide(&bench, seconds(0, 0), 1, &window).await, (true, vec![fits(2)]), "two of one name add up");
    assert_eq!(slide(&bench, seconds(59, 0), 2, &window).await, (true, vec![fits(0)]));
    let end = |of: i64| Some(seconds(of + 60, 0));
    assert_eq!(slide(&bench, seconds(60, -1), 1, &window).await, (false, vec![lacks(0, end(0))]));
    assert_eq!(slide(&bench, seconds(60, -1), 4, &window).await, (false, vec![lacks(0, end(59))]));
    assert_eq!(slide(&bench, seconds(60, -1), 6, &window).await, (false, vec![lacks(0, None)]));
    assert_eq!(slide(&bench, seconds(60, -1), 0, &window).await, (false, vec![fits(0)]), "what takes none lacks none");
    // Each is counted by its own length and its own subject.
    let others = [(subject.clone(), sliding(5, 30)), (Subject::Key(KeyId::new(start())), sliding(5, 60))];
    assert_eq!(slide(&bench, seconds(59, 0), 5, &others).await, (true, vec![fits(0), fits(0)]));
    // A clock that steps back finds what lies ahead of it.
    assert_eq!(slide(&bench, seconds(-3_600, 0), 1, &window).await, (false, vec![lacks(0, end(0))]));
    assert_eq!(slide(&bench, seconds(60, 0), 3, &window).await, (true, vec![fits(0)]), "the first name has slid out");
    let unspent = Unspent { subject, seconds: 60, start: seconds(60, 0), places: 2 };
    bench.store.give_back(&[unspent]).await.unwrap();
    assert_eq!(slide(&bench, seconds(61, 0), 2, &window).await, (true, vec![fits(0)]));
    let nodes = lease(NodeId::new(at(1)), &window[0].0, &[(self::window(1_000, 3_600), at(0), 1, 1_000)]);
    assert_eq!(bench.store.lease(nodes).await.unwrap()[0].taken, 500, "a charge is no lease");
}

async fn sliding_windows_are_charged_all_or_none(bench: Arc<Bench>) {
    let key = || Subject::Key(KeyId::new(start()));
    let (one, other, account) = (key(), key(), Subject::Account(bench.owner("acme", "ada").into()));
    let of = |key: &Subject| [(key.clone(), sliding(3, 60)), (account.clone(), sliding(4, 60))];
    assert_eq!(slide(&bench, at(0), 3, &of(&one)).await, (true, vec![fits(0), fits(1)]));
    assert_eq!(slide(&bench, seconds(1, 0), 2, &of(&other)).await, (false, vec![fits(3), lacks(1, Some(at(1)))]));
    let asks = SlidingCharge { at: seconds(1, 0), places: 1, charges: false, windows: of(&other).to_vec() };
    let asked = bench.store.charge_sliding(Arc::new(asks)).await.unwrap();
    assert_eq!((asked.is_charged, asked.windows), (false, vec![fits(3), fits(1)]), "asking charges nothing");
    assert_eq!(slide(&bench, seconds(1, 0), 1, &of(&other)).await, (true, vec![fits(2), fits(0)]));
}

async fn racing_charges_of_a_sliding_window_stop_at_the_limit(bench: Arc<Bench>) {
    let subject = Subject::Key(KeyId::new(start()));
    for round in 0..20 {
        let racers = (0..16).map(|racer| {
            let (bench, window) = (Arc::clone(&bench), [(subject.clone(), sliding(10, 30))]);
            async move { slide(&bench, seconds(round * 60, racer), 1, &window).await.0 }
        });
        let charged = at_once(racers.collect()).into_iter().filter(|is_charged| *is_charged).count();
        assert_eq!(charged, 10);
    }
}
