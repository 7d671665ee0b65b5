//! Servers that hang, connections that are lost, locks of others, and callers that give up.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use clove_core::{By, Clove, Error, Fault, NewKey, Owner, Policy, Store, StoreError, Verdict};
use clove_store_postgres::Options;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::{
    error::Error as _,
    fmt::Write,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};
use support::{Operator, Schemas, Way, url, wire::Wire};

const TIMEOUT: Duration = Duration::from_millis(300);
/// More than any statement of a store with that time-out may take, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(5);

fn ada() -> (Owner, By) {
    (Owner::new("acme", "ada").unwrap(), By::new("ada", "a test").unwrap())
}

async fn create(clove: &Clove) -> Result<String, Error> {
    let (owner, by) = ada();
    let issued = clove.create(&owner, NewKey::named("a key").unwrap(), &by).await?;
    Ok(issued.credential.unwrap().reveal().to_string())
}

fn clove(store: impl Store) -> Clove {
    Clove::new(store, Policy::builder().active_limit(clove_core::ActiveLimit::Unlimited).build().unwrap())
}

/// Whose connections tell of themselves by this name.
fn named(name: &str) -> Options {
    Options::url(&format!("{}?application_name={name}", url(Way::Direct))).unwrap().schema(name).connections(8)
}

/// Ends all connections of that name that are in some state; how many those were.
async fn terminate(operator: &mut Operator, name: &str, which: &str) -> i64 {
    let all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name =";
    operator.number(&format!("{all} '{name}' AND {which}")).await
}

#[tokio::test]
async fn a_server_that_hangs_is_a_fault_in_time_and_work_goes_on_when_it_answers_again() {
    for way in [Way::Direct, Way::Pooled] {
        let schemas = Schemas::new(way);
        let wire = Wire::to(&url(way)).await;
        let store = Options::url(&wire.url).unwrap().schema(schemas.name()).timeout(TIMEOUT).open().await.unwrap();
        let clove = clove(store.clone());
        let credential = create(&clove).await.unwrap();
        wire.stop();
        let began = Instant::now();
        let created = create(&clove).await;
        // What was sent may yet be carried out.
        assert!(matches!(created, Err(Error::Store(_) | Error::OutcomeUnknown { .. })), "{created:?}");
        assert!(matches!(clove.verify(&credential).await, Err(Fault::Store(_) | Fault::DeadlineExceeded { .. })), "{way:?}");
        let polled = store.epochs(Duration::from_secs(2)).await;
        assert!(matches!(polled, Err(StoreError::Unavailable { .. })), "{polled:?}");
        assert!(began.elapsed() < 3 * PATIENCE, "{:?}", began.elapsed());
        wire.resume();
        assert!(clove.verify(&credential).await.unwrap().granted().is_some());
        create(&clove).await.unwrap();
        store.epochs(Duration::from_secs(2)).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_between_two_calls_is_noticed_by_nobody() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    let clove = clove(named(&name).open().await.unwrap());
    let mut operator = Operator::of(&name).await;
    let credential = create(&clove).await.unwrap();
    for _ in 0..5 {
        assert!(terminate(&mut operator, &name, "true").await > 0);
        create(&clove).await.unwrap();
        assert!(terminate(&mut operator, &name, "true").await > 0);
        assert!(clove.verify(&credential).await.unwrap().granted().is_some());
        clove.flush().await.unwrap();
    }
    let rows = "SELECT (SELECT count(*) FROM ~keys), (SELECT held FROM ~owners), (SELECT count(*) FROM ~audit)";
    assert_eq!(operator.rows(rows).await, ["6 6 6"]);
}

#[tokio::test]
async fn commands_come_through_when_all_connections_of_a_busy_pool_are_lost_at_once() {
    const MOST: u32 = 24;
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    let clove = clove(named(&name).connections(MOST).open().await.unwrap());
    let mut operator = Operator::of(&name).await;
    let (owner, by) = ada();
    let credential = create(&clove).await.unwrap();
    let id = credential.split(';').next().unwrap().parse().unwrap();
    for round in 1..=4 {
        lose_all(&clove, &mut operator, &name, MOST).await;
        create(&clove).await.unwrap();
        lose_all(&clove, &mut operator, &name, MOST).await;
        clove.disable(&owner, id, &by).await.unwrap();
        lose_all(&clove, &mut operator, &name, MOST).await;
        assert!(matches!(clove.verify(&credential).await.unwrap(), Verdict::Denied(_)));
        lose_all(&clove, &mut operator, &name, MOST).await;
        lose_all(&clove, &mut operator, &name, MOST).await;
        clove.enable(&owner, id, &by).await.unwrap();
        let rows = "SELECT (SELECT count(*) FROM ~keys), (SELECT held FROM ~owners), (SELECT count(*) FROM ~audit)";
        let keys = 1 + round;
        assert_eq!(operator.rows(rows).await, [format!("{keys} {keys} {}", 1 + 3 * round)]);
    }
}

/// Has the pool open all connections that it may, but for those that it keeps for others, and ends them.
async fn lose_all(clove: &Clove, operator: &mut Operator, name: &str, most: u32) {
    let count = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'");
    while operator.number(&count).await < i64::from(most) - 4 {
        let reads: Vec<_> = (0..200)
            .map(|_| {
                let clove = clove.clone();
                tokio::spawn(async move { clove.active_keys(&ada().0).await })
            })
            .collect();
        for read in reads {
            read.await.unwrap().unwrap();
        }
    }
    assert!(terminate(operator, name, "true").await >= i64::from(most) - 4);
}

#[tokio::test]
async fn a_connection_that_is_lost_within_a_transaction_is_made_up_for() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    let clove = clove(named(&name).open().await.unwrap());
    let (mut operator, mut holder) = (Operator::of(&name).await, Operator::of(&name).await);
    create(&clove).await.unwrap();
    holder.execute("BEGIN; SELECT * FROM ~owners FOR UPDATE").await;
    let creating = tokio::spawn({
        let clove = clove.clone();
        async move { create(&clove).await }
    });
    // It waits for the owner's row.
    while terminate(&mut operator, &name, "wait_event_type = 'Lock'").await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holder.execute("COMMIT").await;
    creating.await.unwrap().unwrap();
    let rows = "SELECT (SELECT count(*) FROM ~keys), (SELECT held FROM ~owners), (SELECT count(*) FROM ~audit)";
    assert_eq!(operator.rows(rows).await, ["2 2 2"]);
}

#[tokio::test]
async fn a_commit_of_which_nothing_is_heard_is_unknown_and_is_found_out_by_its_operation() {
    for way in [Way::Direct, Way::Pooled] {
        let schemas = Schemas::new(way);
        let name = schemas.name();
        let wire = Wire::to(&url(way)).await;
        let store = Options::url(&wire.url).unwrap().schema(&name).open().await.unwrap();
        wire.cut_behind_a_commit();
        let called = store.call_roll().await;
        assert!(matches!(called, Err(StoreError::OutcomeUnknown { .. })), "{called:?}");
        let clove = clove(store);
        let mut operator = Operator::of(&name).await;
        for keys in 1..4 {
            wire.cut_behind_a_commit();
            let (owner, by) = ada();
            let by = by.operation(clove_core::OperationId::new(clove.now()));
            let new = NewKey::named("a key").unwrap();
            if let Err(error) = clove.create(&owner, new.clone(), &by).await {
                assert!(matches!(error, Error::Store(StoreError::OutcomeUnknown { .. })), "{error:?}");
                clove.create(&owner, new, &by).await.unwrap();
            }
            let rows = "SELECT (SELECT count(*) FROM ~keys), (SELECT held FROM ~owners), (SELECT count(*) FROM ~audit)";
            assert_eq!(operator.rows(rows).await, [format!("{keys} {keys} {keys}")]);
        }
    }
}

#[tokio::test]
async fn a_server_that_panics_behind_a_commit_may_have_committed() {
    let schemas = Schemas::new(Way::Direct);
    let name = schemas.name();
    let wire = Wire::to(&url(Way::Direct)).await;
    let store = Options::url(&wire.url).unwrap().schema(&name).open().await.unwrap();
    wire.panic_behind("COMMIT\0");
    let called = store.call_roll().await;
    assert!(matches!(called, Err(StoreError::OutcomeUnknown { .. })), "{called:?}");
    // A creation is one statement, which commits by itself.
    let clove = clove(store);
    for keys in 1..4 {
        wire.panic_behind("a key");
        create(&clove).await.unwrap();
        let rows = "SELECT (SELECT count(*) FROM ~keys), (SELECT held FROM ~owners), (SELECT count(*) FROM ~audit)";
        assert_eq!(Operator::of(&name).await.rows(rows).await, [format!("{keys} {keys} {keys}")]);
    }
}

#[tokio::test]
async fn a_lock_that_another_session_holds_ends_in_an_error_in_time() {
    for way in [Way::Direct, Way::Pooled] {
        let schemas = Schemas::new(way);
        let name = schemas.name();
        let store = schemas.options_of(&name).timeout(TIMEOUT).open().await.unwrap();
        let clove = clove(store);
        let mut operator = Operator::of(&name).await;
        create(&clove).await.unwrap();
        operator.execute("BEGIN; SELECT * FROM ~owners FOR UPDATE").await;
        let began = Instant::now();
        let refused = create(&clove).await.unwrap_err();
        assert!(matches!(refused, Error::Store(StoreError::Unavailable { .. })), "{refused:?}");
        assert!(began.elapsed() >= TIMEOUT && began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        operator.execute("COMMIT").await;
        create(&clove).await.unwrap();
    }
}

/// Polls a future so often, and drops it then; whether it was done.
async fn give_up_after(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

/// Whether half a second later no connection of that name is within a transaction.
async fn is_soon_at_rest(operator: &mut Operator, name: &str) -> bool {
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND application_name";
    let began = Instant::now();
    while operator.number(&format!("{busy} = '{name}'")).await > 0 {
        if began.elapsed() > Duration::from_millis(500) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

#[tokio::test]
async fn a_caller_that_gives_up_anywhere_holds_nothing() {
    for way in [Way::Direct, Way::Pooled] {
        let schemas = Schemas::new(way);
        let name = schemas.name();
        let connect = url(way).parse::<PgConnectOptions>().unwrap().extra_float_digits(None).application_name(&name);
        let pool = PgPoolOptions::new().max_connections(8).acquire_timeout(PATIENCE).connect_with(connect).await.unwrap();
        let clove = clove(Options::pool(pool.clone()).schema(&name).open().await.unwrap());
        let mut operator = Operator::of(&name).await;
        create(&clove).await.unwrap();
        let (owner, by) = ada();
        for is_long in [false, true] {
            let mut polls = 1;
            loop {
                // A creation waits for one statement; a limit is set in a transaction of several.
                let limit = Some(clove_core::ActiveLimit::Unlimited);
                let is_done = match is_long {
                    false => give_up_after(polls, create(&clove)).await,
                    true => give_up_after(polls, clove.set_active_limit(&owner, limit, &by)).await,
                };
                // Two connections are the look-ups'.
                let whole = [pool.acquire().await, pool.acquire().await, pool.acquire().await];
                assert!(whole.iter().all(Result::is_ok), "{way:?}: after {polls} polls");
                // The server ends what is left alone after a second: nothing is to be left to it.
                assert!(is_soon_at_rest(&mut operator, &name).await, "{way:?}: in a transaction after {polls} polls");
                drop(whole);
                operator.execute("SET lock_timeout = 2000; BEGIN; SELECT * FROM ~owners FOR UPDATE; COMMIT").await;
                if is_done {
                    break;
                }
                polls += 1;
            }
            // On a busy machine several answers are there at a poll.
            assert!(polls > 1, "{polls}");
        }
        let count = "SELECT (SELECT count(*) FROM ~keys) = (SELECT held FROM ~owners)";
        assert_eq!(operator.rows(count).await, ["t"]);
    }
}

/// All that an error says, to whomever.
fn said(error: &dyn std::error::Error) -> String {
    let mut said = format!("{error:?} {error}");
    let mut cause = error.source();
    while let Some(source) = cause {
        write!(said, " {source:?} {source}").unwrap();
        cause = source.source();
    }
    said
}

#[tokio::test]
async fn no_error_quotes_a_row() {
    for damage in [
        "ALTER TABLE ~keys ADD CHECK (name <> 'hush hush')",
        "ALTER TABLE ~keys ADD CHECK (CAST(name AS bigint) > 0)",
        "ALTER TABLE ~secrets ADD CHECK (length(digest) < 9)",
        "CREATE UNIQUE INDEX ON ~audit (actor)",
        "ALTER TABLE ~keys DROP COLUMN metadata",
    ] {
        let schemas = Schemas::new(Way::Direct);
        let name = schemas.name();
        let store = schemas.options_of(&name).partitions(false).open().await.unwrap();
        let clove = clove(store);
        let mut operator = Operator::of(&name).await;
        create(&clove).await.unwrap();
        if damage.contains("digest") || damage.contains("name") {
            operator.execute("DELETE FROM ~keys; DELETE FROM ~secrets").await;
        }
        operator.execute(damage).await;
        let (owner, by) = ada();
        let failed = clove.create(&owner, NewKey::named("hush hush").unwrap(), &by).await.unwrap_err();
        assert!(failed.source().is_some() || !said(&failed).is_empty());
        let said = said(&failed);
        for hushed in ["hush", "\\x", "clv-"] {
            assert!(!said.contains(hushed), "{damage}: {said}");
        }
    }
}
