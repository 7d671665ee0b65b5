//! The access log: once an entry, whole batches, read in pages; and forgetting what is old.

use super::{list_cases, tools::*};
use chrono::{DateTime, TimeDelta, Utc};
use clove_core::{
    AccessEntry, AccessLimit, AccessOutcome, Action, EndpointLabel, GrantId, KeyId, Limited, OperationId, Owner, Scope,
    Timestamp, Window,
    id::{AuditId, NodeId},
    store::{AccessQuery, AuditQuery, Changes, Decision, Facts, Reads, Transaction, UnrecognizedCount},
};
use std::{
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

list_cases![
    entries_keep_every_field,
    entries_tell_windows_that_slide_from_others,
    an_entry_is_logged_once,
    racing_logs_of_one_batch_log_it_once,
    a_batch_is_logged_whole,
    the_log_is_scoped_filtered_and_paged,
    the_log_is_read_by_times_a_microsecond_sharp,
    old_entries_are_forgotten_the_oldest_first,
    as_many_rows_as_asked_are_forgotten_in_one_call,
    old_events_are_forgotten_and_their_operations_are_free,
    refusals_are_counted_by_process_and_hour,
];

fn micros(micros: i64) -> DateTime<Utc> {
    start() + TimeDelta::microseconds(micros)
}

fn entry(owner: &Owner, key: KeyId, at: DateTime<Utc>) -> AccessEntry {
    AccessEntry {
        id: GrantId::new(at),
        at,
        key,
        owner: owner.clone(),
        outcome: AccessOutcome::Granted,
        limit: None,
        cost: 1,
        endpoint: Some(EndpointLabel::new("GET/v1/models").unwrap()),
    }
}

fn all_of(scope: impl Into<Scope>) -> AccessQuery {
    AccessQuery { scope: scope.into(), key: None, outcome: None, from: None, until: None, before: None, limit: 100 }
}

/// All pages: newest first, none longer than asked for.
async fn read(bench: &Bench, query: AccessQuery) -> Vec<AccessEntry> {
    let (mut entries, mut query) = (Vec::new(), query);
    loop {
        let page = bench.store.access_log(&query).await.unwrap();
        assert!(page.entries.len() <= query.limit && page.corrupt == 0);
        entries.extend(page.entries);
        if !page.more {
            return entries;
        }
        assert!(page.last.is_some() && (query.before.is_none() || page.last < query.before), "a next page begins further on");
        query.before = page.last;
    }
}

async fn log(bench: &Bench, entries: &[AccessEntry]) {
    bench.store.log_access(entries.into()).await.unwrap();
}

async fn entries_keep_every_field(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let limit = |of, count, seconds, left| {
        let window = Window::new(count, Duration::from_secs(seconds)).unwrap();
        Some(AccessLimit { of, window, left })
    };
    let mut entries: Vec<AccessEntry> = Vec::new();
    for (place, outcome) in AccessOutcome::ALL.into_iter().enumerate() {
        let at = micros(i64::try_from(place).unwrap());
        entries.push(AccessEntry { outcome, ..entry(&owner, key, at) });
    }
    let largest = limit(Limited::Account, clove_core::limit::MAX_COUNT, 366 * 86_400, clove_core::limit::MAX_COUNT);
    for (place, limit) in [limit(Limited::Key, 1, 1, 0), largest].into_iter().enumerate() {
        let at = micros(100 + i64::try_from(place).unwrap());
        entries.push(AccessEntry { limit, cost: i64::MAX.unsigned_abs(), ..entry(&owner, key, at) });
    }
    entries.push(AccessEntry { cost: 0, endpoint: None, ..entry(&owner, KeyId::new(start()), micros(200)) });
    log(&bench, &entries).await;
    entries.reverse();
    assert_eq!(read(&bench, all_of(&owner)).await, entries);
}

async fn entries_tell_windows_that_slide_from_others(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let minute = Duration::from_secs(60);
    let windows = [Window::new(5, minute), Window::sliding(5, minute), Window::sliding_shared(5, minute)].map(Result::unwrap);
    let mut entries = Vec::new();
    for (at, window) in windows.into_iter().flat_map(|window| [window; 2]).enumerate() {
        let of = if at % 2 == 0 { Limited::Key } else { Limited::Account };
        let limit = Some(AccessLimit { of, window, left: 4 });
        entries.push(AccessEntry { limit, ..entry(&owner, key, micros(i64::try_from(at).unwrap())) });
    }
    log(&bench, &entries).await;
    entries.reverse();
    assert_eq!(read(&bench, all_of(&owner)).await, entries);
}

async fn an_entry_is_logged_once(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let [first, second] = [entry(&owner, key, micros(0)), entry(&owner, key, micros(1))];
    log(&bench, std::slice::from_ref(&first)).await;
    let other = AccessEntry { outcome: AccessOutcome::Revoked, ..first.clone() };
    log(&bench, &[other, second.clone(), second.clone()]).await;
    assert_eq!(read(&bench, all_of(&owner)).await, [second, first], "the first stays, and those beside it are new");
}

async fn racing_logs_of_one_batch_log_it_once(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let entries: Arc<[AccessEntry]> = (0..50).map(|at| entry(&owner, key, micros(at))).collect();
    let logs = (0..8).map(|_| bench.store.log_access(Arc::clone(&entries)));
    at_once(logs.collect()).into_iter().for_each(|logged| logged.unwrap());
    assert_eq!(read(&bench, all_of(&owner)).await.len(), 50);
}

async fn a_batch_is_logged_whole(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let (mut logged, one_page) = (0, AccessQuery { limit: 10_000, ..all_of(&owner) });
    for round in 0..5 {
        let entries: Arc<[AccessEntry]> = (0..1_100).map(|at| entry(&owner, key, micros(round * 2_000 + at))).collect();
        // A caller that goes away, after some polls.
        let mut call = Box::pin(bench.store.log_access(Arc::clone(&entries)));
        for _ in 0..round {
            if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                break;
            }
        }
        drop(call);
        let seen = bench.store.access_log(&one_page).await.unwrap().entries.len();
        assert!([logged, logged + 1_100].contains(&seen), "{seen} after {logged}");
        log(&bench, &entries).await;
        logged += 1_100;
        assert_eq!(read(&bench, one_page.clone()).await.len(), logged);
    }
}

async fn the_log_is_scoped_filtered_and_paged(bench: Arc<Bench>) {
    let (ada, bob, other) = (bench.owner("acme", "ada"), bench.owner("acme", "bob"), bench.owner("other", "ada"));
    let [key, second, foreign] = [0, 1, 2].map(|_| KeyId::new(start()));
    let mut own: Vec<AccessEntry> = (0..7).map(|at| entry(&ada, key, micros(at))).collect();
    own[3].outcome = AccessOutcome::Suspended;
    own[4].key = second;
    let mut all = own.clone();
    all.extend((0..3).map(|at| entry(&bob, foreign, micros(10 + at))));
    all.push(entry(&other, foreign, micros(20)));
    log(&bench, &all).await;
    own.reverse();
    for limit in 1..=8 {
        assert_eq!(read(&bench, AccessQuery { limit, ..all_of(&ada) }).await, own, "{limit} a page");
    }
    let count = async |query: AccessQuery| read(&bench, AccessQuery { limit: 2, ..query }).await.len();
    assert_eq!(count(AccessQuery { key: Some(key), ..all_of(&ada) }).await, 6);
    assert_eq!(count(AccessQuery { key: Some(second), ..all_of(&ada.organization) }).await, 1);
    assert_eq!(count(AccessQuery { outcome: Some(AccessOutcome::Suspended), ..all_of(&ada) }).await, 1);
    assert_eq!(count(AccessQuery { outcome: Some(AccessOutcome::Expired), ..all_of(&ada) }).await, 0);
    assert_eq!(count(AccessQuery { key: Some(foreign), ..all_of(&ada) }).await, 0, "a foreign key");
    assert_eq!(count(AccessQuery { key: Some(key), ..all_of(&other.organization) }).await, 0, "a foreign key");
    assert_eq!(count(all_of(&ada.organization)).await, 10);
    assert_eq!(count(all_of(&bob)).await, 3);
    assert_eq!(count(all_of(&bench.owner("acme", "Ada"))).await, 0, "identifiers compare by bytes");
}

async fn the_log_is_read_by_times_a_microsecond_sharp(bench: Arc<Bench>) {
    let (owner, key) = (bench.owner("acme", "ada"), KeyId::new(start()));
    let entries: Vec<AccessEntry> = (0..10).map(|at| entry(&owner, key, micros(at))).collect();
    log(&bench, &entries).await;
    for (from, until) in [(0, 10), (3, 7), (3, 4), (3, 3), (9, 99), (10, 99)] {
        let query = AccessQuery { from: Some(micros(from)), until: Some(micros(until)), limit: 2, ..all_of(&owner) };
        let found: Vec<DateTime<Utc>> = read(&bench, query).await.iter().map(|entry| entry.at).collect();
        let wanted: Vec<DateTime<Utc>> = (from..until.min(10)).rev().map(micros).collect();
        assert_eq!(found, wanted, "{from} to {until}");
    }
}

async fn old_entries_are_forgotten_the_oldest_first(bench: Arc<Bench>) {
    let (ada, other) = (bench.owner("acme", "ada"), bench.owner("other", "ada"));
    let entries: Vec<AccessEntry> =
        (0..6).map(|at| entry(if at % 2 == 0 { &ada } else { &other }, KeyId::new(start()), micros(at))).collect();
    log(&bench, &entries).await;
    let [hour, later] = [micros(0), micros(3)].map(Timestamp::from);
    let count = |hour| UnrecognizedCount { node: NodeId::new(start()), hour, count: 7 };
    bench.store.count_unrecognized(&[count(hour), count(later)]).await.unwrap();
    let forget = async |before: i64, limit| bench.store.forget_access(micros(before).into(), limit).await.unwrap();
    let left = async || read(&bench, all_of(&ada)).await.len() + read(&bench, all_of(&other)).await.len();
    assert_eq!((forget(0, 9).await, left().await), (0, 6), "nothing is older");
    assert_eq!((forget(4, 3).await, left().await), (3, 3), "no more than asked");
    assert_eq!(read(&bench, all_of(&ada)).await.last().unwrap().at, micros(4), "the oldest first");
    assert_eq!((forget(4, 9).await, left().await), (3, 2), "one more entry, and two hours");
    assert_eq!(bench.store.unrecognized(hour, micros(9).into()).await.unwrap(), []);
    assert_eq!((forget(4, 9).await, left().await), (0, 2));
}

/// Fewer than the limit say that there are no more: what a store forgets in parts, it goes on with until there are as many.
async fn as_many_rows_as_asked_are_forgotten_in_one_call(bench: Arc<Bench>) {
    let (ada, first, late) = (bench.owner("acme", "ada"), micros(0), Timestamp::from(micros(1)));
    let counts: Vec<_> =
        (0..1_500).map(|_| UnrecognizedCount { node: NodeId::new(start()), hour: first.into(), count: 1 }).collect();
    bench.store.count_unrecognized(&counts).await.unwrap();
    let entries: Vec<_> = (0..1_500).map(|_| entry(&ada, KeyId::new(start()), first)).collect();
    log(&bench, &entries).await;
    for (limit, forgotten) in [(1_200, 1_200), (1_500, 1_500), (1_000, 300), (1_000, 0)] {
        assert_eq!(bench.store.forget_access(late, limit).await.unwrap(), forgotten);
    }
    let events: Vec<_> = (0..1_500)
        .map(|_| {
            let mut event = event(OperationId::new(start()), Action::Edit, &key(&ada));
            (event.id, event.at) = (AuditId::new(first), first);
            event
        })
        .collect();
    let operation = events[0].operation;
    let decide = move |_: &Facts| Decision::Commit(Changes { events: events.clone(), ..Changes::default() });
    let reads = Reads::Owner { owner: ada.clone(), expired_at: None };
    committed(bench.transact(Transaction::new(operation, reads, decide)).await);
    for (limit, forgotten) in [(1_200, 1_200), (1_000, 300), (1_000, 0)] {
        assert_eq!(bench.store.forget_audit(late, limit).await.unwrap(), forgotten);
    }
}

async fn old_events_are_forgotten_and_their_operations_are_free(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let write = async |operation: OperationId, at: i64| {
        let mut event = event(operation, Action::Edit, &key(&owner));
        (event.id, event.at) = (AuditId::new(micros(at)), micros(at));
        let decide = move |_: &Facts| Decision::Commit(Changes { events: vec![event.clone()], ..Changes::default() });
        let reads = Reads::Owner { owner: owner.clone(), expired_at: None };
        bench.transact(Transaction::new(operation, reads, decide)).await
    };
    let operations: Vec<OperationId> = (0..4).map(|_| OperationId::new(start())).collect();
    for (at, operation) in operations.iter().enumerate() {
        committed(write(*operation, i64::try_from(at).unwrap()).await);
    }
    let query = AuditQuery { scope: (&owner).into(), key: None, action: None, from: None, until: None, before: None, limit: 100 };
    let left = async || bench.store.audit(&query).await.unwrap().events.iter().map(|event| event.operation).collect::<Vec<_>>();
    let forget = async |before: i64, limit| bench.store.forget_audit(micros(before).into(), limit).await.unwrap();
    assert_eq!(forget(0, 9).await, 0);
    assert_eq!(forget(3, 2).await, 2, "no more than asked");
    assert_eq!(left().await, [operations[3], operations[2]], "the oldest first");
    assert_eq!((forget(3, 9).await, forget(3, 9).await), (1, 0));
    let reads = Reads::Owner { owner: owner.clone(), expired_at: None };
    assert!(bench.read(operations[0], reads.clone()).await.replayed.is_none());
    assert!(bench.read(operations[3], reads).await.replayed.is_some());
    committed(write(operations[0], 9).await);
    assert!(write(operations[3], 10).await.is_err());
    assert_eq!(left().await, [operations[0], operations[3]]);
}

async fn refusals_are_counted_by_process_and_hour(bench: Arc<Bench>) {
    let [one, two] = [NodeId::new(start()), NodeId::new(start())];
    let hour = |hour: i64| Timestamp::from(after(3_600 * hour));
    let count = async |counts: &[(NodeId, i64, u64)]| {
        let count = |&(node, at, count)| UnrecognizedCount { node, hour: hour(at), count };
        bench.store.count_unrecognized(&counts.iter().map(count).collect::<Vec<_>>()).await.unwrap();
    };
    count(&[(one, 0, 5), (two, 0, 2), (one, 1, 1), (one, 3, i64::MAX.unsigned_abs())]).await;
    count(&[(one, 0, 5), (two, 0, 4), (one, 1, 0), (two, 3, i64::MAX.unsigned_abs())]).await;
    let all = bench.store.unrecognized(hour(0), hour(9)).await.unwrap();
    assert_eq!(all, [(hour(0), 9), (hour(1), 1), (hour(3), 2 * i64::MAX.unsigned_abs())], "raised, and not added to");
    assert_eq!(bench.store.unrecognized(hour(1), hour(3)).await.unwrap(), [(hour(1), 1)], "from, and before until");
    count(&[(one, 0, i64::MAX.unsigned_abs()), (two, 0, i64::MAX.unsigned_abs()), (NodeId::new(start()), 0, 9)]).await;
    assert_eq!(bench.store.unrecognized(hour(0), hour(1)).await.unwrap(), [(hour(0), u64::MAX)], "it saturates");
}
