//! Request windows: exact counts, whoever asks at once, and what is told of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod model;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/windows.rs"]
mod tools;

use chrono::TimeDelta;
use clove::{
    Action, ActiveLimit, Attempt, Clove, DenialReason, Exhausted, LimitChoice, LimitState, Limited, Limits, MemoryStore, Owner,
    Policy, Refusal, Status, Store, Tier, TierName, Verdict, Window,
};
use clove_store_sqlite::SqliteStore;
use clove_testkit::{Fixture, TestClock};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use support::{DAY, actions, is_good, named, refusal};
use tools::{MINUTE, credential, granted, limits, per};

fn sliding(count: u64, length: Duration) -> Window {
    Window::sliding(count, length).unwrap()
}

async fn exhausted(clove: &Clove, attempt: Attempt<'_>) -> Exhausted {
    match clove.verify(attempt).await.unwrap() {
        Verdict::Denied(denial) => match denial.reason() {
            DenialReason::LimitReached(exhausted) => **exhausted,
            other => panic!("refused for {other:?}"),
        },
        Verdict::Granted(_) => panic!("granted"),
    }
}

async fn left(clove: &Clove, attempt: Attempt<'_>) -> Vec<(Limited, u64)> {
    let grant = clove.verify(attempt).await.unwrap().granted().expect("a grant");
    grant.limits().map(|state: LimitState| (state.of, state.left)).collect()
}

#[tokio::test]
async fn sixty_a_minute_and_five_thousand_a_day_are_the_default() {
    let fixture = Fixture::new(Policy::profile_b()).unwrap();
    let by = fixture.by.clone().may_grant(clove::CapabilitySet::all());
    let key = fixture.clove.create(&fixture.owner, named("a key"), &by).await.unwrap();
    let credential = key.credential.unwrap().reveal().to_string();
    assert_eq!(granted(&fixture.clove, &credential, 70).await, 60);
    let mut today = 60;
    while today < 5_000 {
        fixture.clock().advance(MINUTE);
        let fits = granted(&fixture.clove, &credential, 61).await;
        today += fits;
        assert!(fits == 60 || today == 5_000);
    }
    let told = exhausted(&fixture.clove, Attempt::new(&credential)).await;
    assert_eq!((told.of, told.window, told.left), (Limited::Key, per(5_000, DAY), 0));
    assert_eq!(told.retry_at.unwrap().to_string(), "2026-01-06 00:00:00 UTC");
}

#[tokio::test]
async fn a_window_ends_at_its_edge_and_not_before() {
    let fixture = Fixture::new(limits(&[per(2, MINUTE)], &[]).build().unwrap()).unwrap();
    let credential = credential(&fixture).await;
    fixture.clock().advance(Duration::from_micros(59_999_998));
    assert_eq!(granted(&fixture.clove, &credential, 3).await, 2);
    fixture.clock().advance(Duration::from_micros(1));
    let told = exhausted(&fixture.clove, Attempt::new(&credential)).await;
    assert_eq!(told.retry_at, Some(fixture.clove.now() + TimeDelta::microseconds(1)));
    fixture.clock().advance(Duration::from_micros(1));
    assert_eq!(granted(&fixture.clove, &credential, 3).await, 2);
}

#[tokio::test]
async fn an_account_counts_the_requests_of_all_its_keys() {
    let fixture = Fixture::new(limits(&[per(3, MINUTE)], &[per(4, MINUTE)]).build().unwrap()).unwrap();
    let (first, second) = (credential(&fixture).await, credential(&fixture).await);
    assert_eq!(granted(&fixture.clove, &first, 5).await, 3);
    assert_eq!(exhausted(&fixture.clove, Attempt::new(&first)).await.of, Limited::Key);
    assert_eq!(granted(&fixture.clove, &second, 5).await, 1, "a refused request is charged to none");
    assert_eq!(exhausted(&fixture.clove, Attempt::new(&second)).await.of, Limited::Account);
}

#[tokio::test]
async fn an_account_has_the_active_key_limit_times_what_a_key_has_unless_the_policy_says() {
    let policy = Policy::profile_a();
    let standard = Limits::standard();
    for (own, factor) in [(None, 2), (Some(ActiveLimit::AtMost(7)), 7), (Some(ActiveLimit::AtMost(0)), 1)] {
        assert_eq!(policy.account_limits(&LimitChoice::Default, own), standard.times(factor));
    }
    let any = policy.account_limits(&LimitChoice::Default, Some(ActiveLimit::Unlimited));
    assert!(any.windows().is_empty());
}

#[tokio::test]
async fn a_grant_tells_what_is_left_and_when_it_resets() {
    let fixture = Fixture::new(limits(&[per(3, MINUTE), per(9, DAY)], &[per(5, MINUTE)]).build().unwrap()).unwrap();
    let credential = credential(&fixture).await;
    let grant = fixture.clove.verify(Attempt::new(&credential).costing(2)).await.unwrap().granted().unwrap();
    let told: Vec<_> = grant.limits().collect();
    let (minute, day) = (fixture.clove.now() + TimeDelta::minutes(1), fixture.clove.now() + TimeDelta::hours(12));
    let state = |of, window, left, resets_at| LimitState { of, window, left, resets_at };
    let wanted = [
        state(Limited::Key, per(3, MINUTE), 1, minute),
        state(Limited::Key, per(9, DAY), 7, day),
        state(Limited::Account, per(5, MINUTE), 3, minute),
    ];
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn a_request_costs_what_it_says_all_or_nothing() {
    let fixture = Fixture::new(limits(&[per(10, MINUTE)], &[]).build().unwrap()).unwrap();
    let text = credential(&fixture).await;
    let costing = |places| Attempt::new(&text).costing(places);
    assert_eq!(left(&fixture.clove, costing(0)).await, [(Limited::Key, 10)]);
    assert_eq!(left(&fixture.clove, costing(7)).await, [(Limited::Key, 3)]);
    let told = exhausted(&fixture.clove, costing(4)).await;
    assert!(told.left == 3 && told.retry_at.is_some());
    for beyond in [11, u64::MAX] {
        let told = exhausted(&fixture.clove, costing(beyond)).await;
        assert_eq!((told.left, told.retry_at), (3, None), "no window ever has so many");
    }
    assert_eq!(left(&fixture.clove, costing(3)).await, [(Limited::Key, 0)]);
    assert_eq!(left(&fixture.clove, costing(0)).await, [(Limited::Key, 0)], "what costs nothing is refused by no window");
    assert_eq!(exhausted(&fixture.clove, costing(1)).await.left, 0);
}

#[tokio::test]
async fn a_check_charges_nothing_and_is_no_use() {
    let fixture = Fixture::new(limits(&[per(1, MINUTE)], &[]).build().unwrap()).unwrap();
    let text = credential(&fixture).await;
    let check = || Attempt::new(&text).only_checking();
    for _ in 0..3 {
        assert_eq!(left(&fixture.clove, check()).await, [(Limited::Key, 1)]);
    }
    fixture.clove.flush().await.unwrap();
    assert_eq!(fixture.keys().await.unwrap()[0].last_used_at, None);
    assert!(is_good(&fixture.clove, &text).await);
    assert_eq!(exhausted(&fixture.clove, check()).await.left, 0);
}

#[tokio::test]
async fn keys_and_accounts_have_limits_of_their_own_of_a_tier_or_none() {
    let pro = Tier { key: Limits::new([per(3, MINUTE)]).unwrap(), account: Some(Limits::new([per(5, MINUTE)]).unwrap()) };
    let name = || TierName::new("pro").unwrap();
    let policy = limits(&[per(1, MINUTE)], &[per(2, MINUTE)]).tier(name(), pro).active_limit(ActiveLimit::Unlimited);
    let fixture = Fixture::new(policy.build().unwrap()).unwrap();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, fixture.by.clone().may_set_limits());
    let mut keys = Vec::new();
    for limits in [
        LimitChoice::Default,
        LimitChoice::Tier(name()),
        LimitChoice::Own(Limits::new([per(4, MINUTE)]).unwrap()),
        LimitChoice::Own(Limits::unlimited()),
        LimitChoice::Tier(TierName::new("gone").unwrap()),
    ] {
        let issued = clove.create(owner, named("a key").limits(limits), &by).await.unwrap();
        keys.push(issued.credential.unwrap().reveal().to_string());
    }
    for (account, of_keys) in [
        (LimitChoice::Own(Limits::unlimited()), [1, 3, 4, 50, 1]),
        (LimitChoice::Tier(name()), [3, 2, 0, 0, 0]),
        (LimitChoice::Default, [1, 1, 0, 0, 0]),
    ] {
        clove.set_request_limits(owner, account.clone(), &by).await.unwrap();
        for (key, wanted) in keys.iter().zip(of_keys) {
            assert_eq!(granted(clove, key, 50).await, wanted, "{account:?}");
        }
        fixture.clock().advance(MINUTE);
    }
}

#[tokio::test]
async fn only_who_may_sets_limits() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let any = || LimitChoice::Own(Limits::unlimited());
    let created = clove.create(owner, named("a key").limits(any()), &fixture.by).await;
    assert_eq!(refusal(created), Refusal::MayNotSetLimits);
    let id = fixture.key_in(Status::Active).await.unwrap().key.id;
    let edit = || clove::Edit::new().limits(any());
    assert_eq!(refusal(clove.edit(owner, id, 1, edit(), &fixture.by).await), Refusal::MayNotSetLimits);
    let by = fixture.by.clone().may_set_limits();
    let edited = clove.edit(owner, id, 1, edit(), &by).await.unwrap();
    assert!(edited.changed && edited.key.limits == any());
    assert!(!clove.edit(owner, id, 2, edit(), &by).await.unwrap().changed);
    clove.set_request_limits(owner, any(), &by).await.unwrap();
    clove.set_request_limits(owner, any(), &by).await.unwrap();
    let of = [(Action::Create, true), (Action::Edit, true), (Action::Edit, false)];
    assert_eq!(actions(&fixture).await[..3], of);
    assert_eq!(actions(&fixture).await[3..], [(Action::SetRequestLimits, true), (Action::SetRequestLimits, false)]);
}

#[tokio::test]
async fn limits_that_change_while_in_use_count_what_was_charged_before() {
    let fixture = Fixture::new(limits(&[per(10, MINUTE)], &[]).build().unwrap()).unwrap();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, fixture.by.clone().may_set_limits());
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let credential = issued.credential.unwrap().reveal().to_string();
    assert_eq!(granted(clove, &credential, 4).await, 4);
    for (revision, count, wanted) in [(1, 6, 2), (2, 3, 0), (3, 9, 3), (4, 8, 0), (5, 20, 11)] {
        let own = LimitChoice::Own(Limits::new([per(count, MINUTE)]).unwrap());
        clove.edit(owner, issued.key.id, revision, clove::Edit::new().limits(own), &by).await.unwrap();
        assert_eq!(granted(clove, &credential, 30).await, wanted, "{count}");
    }
}

/// 61 requests at once, on as many threads as there are.
fn at_once(clove: &Clove, credential: &str, requests: usize) -> usize {
    let granted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for share in 0..4 {
            let granted = &granted;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    let mut waiting = Vec::new();
                    for _ in (share..requests).step_by(4) {
                        waiting.push(Box::pin(clove.verify(credential)));
                    }
                    for verdict in futures_util::future::join_all(waiting).await {
                        granted.fetch_add(usize::from(verdict.unwrap().granted().is_some()), Ordering::Relaxed);
                    }
                });
            });
        }
    });
    granted.load(Ordering::Relaxed)
}

async fn exactly_sixty(store: impl Store, rounds: usize, key: &[Window], account: &[Window]) {
    let fixture = Fixture::on(store, limits(key, account).build().unwrap()).unwrap();
    let credential = credential(&fixture).await;
    for _ in 0..rounds {
        assert_eq!(at_once(&fixture.clove, &credential, 61), 60);
        fixture.clock().advance(MINUTE);
    }
}

#[tokio::test]
async fn of_61_requests_at_once_for_60_places_60_are_granted() {
    let (sixty, day, hour) = (per(60, MINUTE), per(1_000_000, DAY), Duration::from_secs(3_600));
    exactly_sixty(MemoryStore::new(), 1_000, &[sixty], &[]).await;
    exactly_sixty(MemoryStore::new(), 500, &[sixty, day], &[per(61, MINUTE), per(3_600, hour)]).await;
    exactly_sixty(MemoryStore::new(), 500, &[sliding(60, MINUTE)], &[]).await;
    exactly_sixty(MemoryStore::new(), 500, &[per(61, MINUTE), day], &[sliding(60, MINUTE), per(3_600, hour)]).await;
    let folder = tempfile::tempdir().unwrap();
    exactly_sixty(SqliteStore::open(folder.path().join("keys.db")).unwrap(), 20, &[sixty, day], &[per(60, MINUTE)]).await;
}

#[tokio::test]
async fn a_sliding_window_allows_no_more_in_any_stretch_whatever_the_time_of_day_does() {
    let fixture = Fixture::new(limits(&[sliding(3, MINUTE)], &[per(1_000, DAY)]).build().unwrap()).unwrap();
    let text = credential(&fixture).await;
    let seconds = |seconds| fixture.clock().advance(Duration::from_secs(seconds));
    seconds(50);
    assert_eq!(left(&fixture.clove, Attempt::new(&text)).await, [(Limited::Key, 2), (Limited::Account, 999)]);
    seconds(30);
    assert_eq!(granted(&fixture.clove, &text, 9).await, 2, "a new minute of the day changes nothing");
    let told = exhausted(&fixture.clove, Attempt::new(&text)).await;
    assert_eq!((told.left, told.retry_at), (0, Some(fixture.clove.now() + TimeDelta::seconds(30))));
    let told = exhausted(&fixture.clove, Attempt::new(&text).costing(2)).await;
    assert_eq!(told.retry_at, Some(fixture.clove.now() + TimeDelta::seconds(60)));
    assert_eq!(exhausted(&fixture.clove, Attempt::new(&text).costing(4)).await.retry_at, None);
    for step in [TimeDelta::hours(1), TimeDelta::hours(-2)] {
        fixture.clock().step(step);
        assert_eq!(granted(&fixture.clove, &text, 9).await, 0);
    }
    seconds(29);
    assert_eq!(granted(&fixture.clove, &text, 9).await, 0);
    seconds(1);
    assert_eq!(granted(&fixture.clove, &text, 9).await, 1);
    let grant = fixture.clove.verify(Attempt::new(&text).costing(0)).await.unwrap().granted().unwrap();
    assert_eq!(grant.limits().next().unwrap().resets_at, fixture.clove.now() + TimeDelta::seconds(60));
}

#[tokio::test]
async fn a_sweep_over_all_keys_makes_no_sliding_window_forget() {
    let policy = limits(&[sliding(2, MINUTE)], &[]).active_limit(ActiveLimit::Unlimited).max_records(None);
    let policy = policy.max_creations_per_day(None).cache_bytes(clove::policy::MIN_CACHE_BYTES).build().unwrap();
    let fixture = Fixture::new(policy).unwrap();
    let mut credentials = Vec::new();
    for _ in 0..500 {
        credentials.push(credential(&fixture).await);
    }
    for wanted in [2, 0] {
        for credential in &credentials {
            assert_eq!(granted(&fixture.clove, credential, 3).await, wanted);
        }
    }
}

#[tokio::test]
async fn a_sweep_over_all_accounts_makes_no_sliding_window_forget() {
    let policy = limits(&[], &[sliding(2, MINUTE)]).cache_bytes(clove::policy::MIN_CACHE_BYTES).build().unwrap();
    let fixture = Fixture::new(policy).unwrap();
    let mut credentials = Vec::new();
    for account in 0..500 {
        let owner = Owner::new("acme", format!("account-{account}")).unwrap();
        let issued = fixture.clove.create(&owner, named("a key"), &fixture.by).await.unwrap();
        credentials.push(issued.credential.unwrap().reveal().to_string());
    }
    for wanted in [2, 0] {
        for credential in &credentials {
            assert_eq!(granted(&fixture.clove, credential, 3).await, wanted);
        }
    }
}

#[tokio::test]
async fn two_processes_never_charge_more_than_a_window_has_and_one_busy_one_uses_nearly_all() {
    let (store, clock) = (MemoryStore::new(), TestClock::new());
    let policy = limits(&[per(10_000, MINUTE)], &[]).build().unwrap();
    let processes: Vec<Clove> = (0..4).map(|_| Clove::with_clock(store.clone(), policy.clone(), clock.clone())).collect();
    let fixture = Fixture::on(store.clone(), policy).unwrap();
    let credential = credential(&fixture).await;
    for idle in &processes[1..] {
        assert_eq!(granted(idle, &credential, 1).await, 1);
    }
    let busy = granted(&processes[0], &credential, 10_000).await;
    assert!(busy >= 9_500, "{busy}");
    let mut all = busy + 3;
    for process in &processes {
        all += granted(process, &credential, 100).await;
    }
    assert!(all <= 10_000, "{all}");
}

#[tokio::test]
async fn what_is_given_back_is_there_for_others() {
    let (store, clock) = (MemoryStore::new(), TestClock::new());
    let policy = limits(&[per(100, MINUTE)], &[]).build().unwrap();
    let fixture = Fixture::on(store.clone(), policy.clone()).unwrap();
    let credential = credential(&fixture).await;
    let [first, second] = [(); 2].map(|()| Clove::with_clock(store.clone(), policy.clone(), clock.clone()));
    assert_eq!(granted(&first, &credential, 20).await, 20);
    first.shut_down().await.unwrap();
    assert_eq!(granted(&second, &credential, 100).await, 80);
    // It may have been given back since a window was found used up: after a second the store is asked again.
    clock.advance(Duration::from_secs(1));
    assert_eq!(granted(&second, &credential, 1).await, 0);
}

#[tokio::test]
async fn a_days_count_survives_a_restart() {
    let (store, clock) = (MemoryStore::new(), TestClock::new());
    let policy = limits(&[per(100, DAY)], &[]).build().unwrap();
    let fixture = Fixture::on(store.clone(), policy.clone()).unwrap();
    let credential = credential(&fixture).await;
    let mut used = 0;
    for _ in 0..5 {
        let process = Clove::with_clock(store.clone(), policy.clone(), clock.clone());
        used += granted(&process, &credential, 15).await;
        process.shut_down().await.unwrap();
    }
    let last = Clove::with_clock(store, policy, clock);
    assert_eq!(used + granted(&last, &credential, 100).await, 100);
}

#[tokio::test]
async fn a_clock_that_steps_back_finds_the_old_count_and_one_that_steps_forward_a_new_one() {
    let fixture = Fixture::new(limits(&[per(3, MINUTE)], &[]).build().unwrap()).unwrap();
    let credential = credential(&fixture).await;
    assert_eq!(granted(&fixture.clove, &credential, 9).await, 3);
    for (step, fits) in [(TimeDelta::hours(1), 3), (TimeDelta::hours(-1), 0), (TimeDelta::hours(-1), 3), (TimeDelta::hours(2), 0)]
    {
        fixture.clock().step(step);
        assert_eq!(granted(&fixture.clove, &credential, 9).await, fits, "{step}");
    }
}

#[tokio::test]
async fn counts_outlive_their_window_by_a_day() {
    let store = MemoryStore::new();
    let fixture = Fixture::on(store.clone(), limits(&[per(3, MINUTE)], &[]).build().unwrap()).unwrap();
    let credential = credential(&fixture).await;
    granted(&fixture.clove, &credential, 3).await;
    fixture.clock().advance(DAY + MINUTE - Duration::from_micros(1));
    assert_eq!(store.forget_counts(fixture.clove.now().into(), 9).await.unwrap(), 0);
    fixture.clock().advance(Duration::from_micros(1));
    assert_eq!(store.forget_counts(fixture.clove.now().into(), 9).await.unwrap(), 1);
}

#[tokio::test]
async fn a_refused_request_takes_no_place() {
    let fixture = Fixture::new(limits(&[per(2, MINUTE)], &[]).build().unwrap()).unwrap();
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let credential = issued.credential.unwrap().reveal().to_string();
    let write = clove::Requirement::all_of(["messages:write"]).unwrap();
    for _ in 0..9 {
        assert!(fixture.clove.verify(Attempt::new(&credential).requiring(&write)).await.unwrap().granted().is_none());
        assert!(!is_good(&fixture.clove, &format!("{};clv-00000000000000000000000000000Wt4", issued.key.id)).await);
    }
    assert_eq!(granted(&fixture.clove, &credential, 9).await, 2);
}
