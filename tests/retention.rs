//! How long logs are kept, and who waits while they are forgotten.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::{DateTime, TimeDelta, Utc};
use clove::{
    AccessEntry, AccessLog, AccessOutcome, Action, ActiveLimit, By, Clove, GrantId, KeyId, MemoryStore, NewKey, OperationId,
    Owner, Policy, Retention, Status, Store, Tier, Timestamp, Unit, Window,
    id::NodeId,
    limit::Subject,
    sqlite::SqliteStore,
    store::{AccessQuery, Lease, Meter, Report, UsageBatch, Want},
    usage::Day,
};
use clove_testkit::Fixture;
use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};
use support::{DAY, Spy, actions, is_good, named};

fn keeping(access_log: Option<i64>, audit: Option<i64>) -> Policy {
    let days = |days: Option<i64>| days.map(TimeDelta::days);
    let retention = Retention { access_log: days(access_log), audit: days(audit) };
    Policy::builder().limits(Tier::unlimited()).access_log(AccessLog::BestEffort).retention(retention).build().unwrap()
}

fn entries(owner: &Owner, at: DateTime<Utc>, count: usize) -> Arc<[AccessEntry]> {
    let key = KeyId::new(at);
    let entry = |_| AccessEntry {
        id: GrantId::new(at),
        at,
        key,
        owner: owner.clone(),
        outcome: AccessOutcome::Granted,
        limit: None,
        cost: 1,
        endpoint: None,
    };
    (0..count).map(entry).collect()
}

async fn entries_left(store: &impl Store, owner: &Owner) -> usize {
    let query =
        AccessQuery { scope: owner.into(), key: None, outcome: None, from: None, until: None, before: None, limit: usize::MAX };
    store.access_log(&query).await.unwrap().entries.len()
}

/// A round of maintenance a second, so many.
fn rounds(fixture: &Fixture, work: &mut Pin<&mut impl Future<Output = ()>>, rounds: usize) {
    for _ in 0..rounds {
        assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        fixture.clock().advance(Duration::from_secs(1));
    }
    assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[tokio::test]
async fn the_access_log_is_kept_for_ninety_days_and_the_trail_for_ever() {
    let store = MemoryStore::new();
    let fixture = Fixture::on(store.clone(), Policy::profile_a()).unwrap();
    assert_eq!(fixture.clove.policy().retention(), Retention { access_log: Some(TimeDelta::days(90)), audit: None });
    fixture.key_in(Status::Active).await.unwrap();
    let began = fixture.clove.now();
    store.log_access(entries(&fixture.owner, began, 3)).await.unwrap();
    store.log_access(entries(&fixture.owner, began + TimeDelta::days(1), 2)).await.unwrap();
    let mut work = pin!(fixture.clove.maintenance().run(|error| panic!("{error}")));
    fixture.clock().advance(90 * DAY - Duration::from_secs(61));
    rounds(&fixture, &mut work, 60);
    assert_eq!(entries_left(&store, &fixture.owner).await, 5, "not a day too early");
    rounds(&fixture, &mut work, 62);
    assert_eq!(entries_left(&store, &fixture.owner).await, 2);
    assert_eq!(actions(&fixture).await, [(Action::Create, true)]);
}

#[tokio::test]
async fn the_trail_is_forgotten_where_the_host_says_so_and_its_operations_with_it() {
    let fixture = Fixture::new(keeping(None, Some(30))).unwrap();
    let operation = OperationId::new(fixture.clove.now());
    let by = fixture.by.clone().operation(operation);
    let first = fixture.clove.create(&fixture.owner, named("first"), &by).await.unwrap();
    let mut work = pin!(fixture.clove.maintenance().run(|error| panic!("{error}")));
    rounds(&fixture, &mut work, 60);
    let again = fixture.clove.create(&fixture.owner, named("first"), &by).await.unwrap();
    assert_eq!((again.key.id, again.credential.is_some()), (first.key.id, false), "a repetition");
    fixture.clock().advance(30 * DAY);
    rounds(&fixture, &mut work, 60);
    assert!(actions(&fixture).await.is_empty());
    let new = fixture.clove.create(&fixture.owner, named("first"), &by).await.unwrap();
    assert!(new.key.id != first.key.id && new.credential.is_some(), "a new command");
}

#[tokio::test]
async fn logs_are_forgotten_slice_by_slice_and_more_often_while_there_is_more() {
    let spy = Spy::new();
    let fixture = Fixture::on(spy.clone(), keeping(Some(1), None)).unwrap();
    let old = fixture.clove.now() - TimeDelta::days(2);
    spy.inner.log_access(entries(&fixture.owner, old, 33 * 1024 + 7)).await.unwrap();
    let mut work = pin!(fixture.clove.maintenance().run(|error| panic!("{error}")));
    rounds(&fixture, &mut work, 59);
    spy.calls();
    let slices = |calls: Vec<&str>| calls.into_iter().filter(|call| *call == "forget_access").count();
    rounds(&fixture, &mut work, 1);
    assert_eq!((slices(spy.calls()), entries_left(&spy.inner, &fixture.owner).await), (32, 1024 + 7));
    rounds(&fixture, &mut work, 1);
    assert_eq!((slices(spy.calls()), entries_left(&spy.inner, &fixture.owner).await), (2, 0));
    rounds(&fixture, &mut work, 58);
    assert_eq!(slices(spy.calls()), 0);
}

#[tokio::test]
async fn counts_of_windows_and_the_ledger_are_forgotten_as_fast_as_logs() {
    const ROWS: i64 = 33 * 1024 + 7;
    let spy = Spy::new();
    let fixture = Fixture::on(spy.clone(), keeping(None, None)).unwrap();
    let (at, owner) = (Timestamp::from(fixture.clove.now()), fixture.owner.clone());
    let (node, window) = (NodeId::new(at), Window::new(1, Duration::from_secs(1)).unwrap());
    let subject = Subject::Account(Arc::new(owner.clone()));
    let want = |second| {
        let start = Timestamp::from_micros(window.start(at).as_micros() + second * 1_000_000).unwrap();
        Want { window, start, least: 1, wanted: 1 }
    };
    spy.inner.lease(Arc::new(Lease { node, at, subject, wants: (0..ROWS).map(want).collect() })).await.unwrap();
    let meter = Meter { owner, key: KeyId::new(at), unit: Unit::new("tokens").unwrap(), day: Day::of(at) };
    let report = |_| Report { grant: GrantId::new(at), meter: meter.clone(), total: 1, settles: false };
    let batch = UsageBatch { node, sequence: 1, at, requests: Vec::new(), reports: (0..ROWS - 1).map(report).collect() };
    spy.inner.record(Arc::new(batch)).await.unwrap();
    fixture.clock().advance(17 * DAY);
    let mut work = pin!(fixture.clove.maintenance().run(|error| panic!("{error}")));
    rounds(&fixture, &mut work, 59);
    let slices =
        |calls: &[&str]| ["forget_counts", "forget_reports"].map(|kind| calls.iter().filter(|call| **call == kind).count());
    for wanted in [[32, 32], [2, 2], [0, 0]] {
        assert_eq!(slices(&spy.calls()), [0, 0]);
        rounds(&fixture, &mut work, 1);
        assert_eq!(slices(&spy.calls()), wanted);
    }
}

#[tokio::test]
async fn what_cannot_be_forgotten_is_told_and_keeps_nothing_else_up() {
    let spy = Spy::new();
    let fixture = Fixture::on(spy.clone(), keeping(Some(1), Some(1))).unwrap();
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    fixture.clock().advance(2 * DAY);
    assert!(is_good(&fixture.clove, &credential).await);
    let mut failed = 0;
    spy.fail_only("forget_access");
    {
        let mut work = pin!(fixture.clove.maintenance().run(|_| failed += 1));
        rounds(&fixture, &mut work, 60);
    }
    assert_eq!(failed, 1);
    assert!(actions(&fixture).await.is_empty());
    assert_eq!(entries_left(&spy.inner, &fixture.owner).await, 1);
}

#[test]
fn a_retention_is_a_day_at_least() {
    for (kept, is_good) in [(TimeDelta::days(1), true), (TimeDelta::days(36_500), true), (TimeDelta::days(36_501), false)]
        .into_iter()
        .chain([TimeDelta::hours(23), TimeDelta::zero(), TimeDelta::days(-9), TimeDelta::MAX].map(|kept| (kept, false)))
    {
        for retention in [
            Retention { access_log: Some(kept), ..Retention::default() },
            Retention { audit: Some(kept), ..Retention::default() },
        ] {
            assert_eq!(Policy::builder().retention(retention).build().is_ok(), is_good, "{kept}");
        }
    }
}

/// What a command waits while logs of a file are forgotten, slice after slice without a pause. A million rows where `CLOVE_SOAK` is
/// set, and few otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgetting_blocks_no_writer() {
    let rows = if std::env::var_os("CLOVE_SOAK").is_some() { 1_000_000 } else { 40_000 };
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("keys.db")).unwrap();
    let policy = Policy::builder().active_limit(ActiveLimit::Unlimited).max_records(None).max_creations_per_day(None);
    let clove = Clove::new(store.clone(), policy.build().unwrap());
    let (now, owners) = (clove.now(), (0..50).map(|org| Owner::new(format!("org-{org}"), "ada").unwrap()).collect::<Vec<_>>());
    let (mut logged, began) = (0, Instant::now());
    while logged < rows {
        let at = now - TimeDelta::days(100) + TimeDelta::microseconds(i64::try_from(logged).unwrap());
        let batch: Vec<AccessEntry> = owners.iter().flat_map(|owner| entries(owner, at, 20).to_vec()).collect();
        logged += batch.len();
        store.log_access(batch.into()).await.unwrap();
    }
    println!("a batch of 1,000 took {:?}", began.elapsed() * 1_000 / u32::try_from(logged).unwrap());
    let (before, forgetting) = (Timestamp::from(now), store.clone());
    let mut forgotten = tokio::spawn(async move {
        let (mut slices, mut rows) = (0, 0);
        loop {
            let count = forgetting.forget_access(before, 1024).await.unwrap();
            (slices, rows) = (slices + 1, rows + count);
            if count == 0 {
                return (slices, rows);
            }
        }
    });
    let (by, mut waits) = (By::new("ada", "meanwhile").unwrap(), Vec::new());
    let (slices, gone) = loop {
        let began = Instant::now();
        clove.create(&owners[0], NewKey::named("meanwhile").unwrap(), &by).await.unwrap();
        waits.push(began.elapsed());
        if forgotten.is_finished() {
            break (&mut forgotten).await.unwrap();
        }
    };
    waits.sort_unstable();
    println!(
        "{} commands in {slices} slices: half waited {:?}, the longest {:?}",
        waits.len(),
        waits[waits.len() / 2],
        waits[waits.len() - 1]
    );
    assert_eq!(gone, logged);
    assert!(waits.len() >= slices / 4, "{} commands in {slices} slices", waits.len());
}
