//! Nodes whose clocks are minutes off go by the server's time. In real time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

mod support;

use clove_core::{
    By, Clock, Clove, DenialReason, Limits, NewKey, Owner, Policy, SystemClock, Tier, Timestamp, Verdict, Window, clock::Sleep,
};
use clove_store_postgres::Options;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::time::{Duration, Instant};
use support::{Schemas, Way, url};

const MINUTE: i64 = 60_000_000;
/// How far nodes may be from each other.
const SKEW: i64 = 1_000_000;

/// The system's clock, so many microseconds ahead.
struct Wrong(i64);

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().as_micros() + self.0).unwrap()
    }
    fn recent(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.recent().as_micros() + self.0).unwrap()
    }
    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
    fn coarse(&self) -> Duration {
        SystemClock.coarse()
    }
    fn sleep(&self, duration: Duration) -> Sleep {
        SystemClock.sleep(duration)
    }
}

fn now() -> i64 {
    SystemClock.now().as_micros()
}

async fn node(schema: &str, ahead: i64) -> Clove {
    let store = Options::url(&url(Way::Direct)).unwrap().schema(schema).connections(8).open().await.unwrap();
    let limits = Limits::new([Window::new(1_000_000, Duration::from_secs(5)).unwrap()]).unwrap();
    let policy = Policy::builder().limits(Tier { key: limits, account: None }).build().unwrap();
    let clove = Clove::with_clock(store, policy, Wrong(ahead));
    tokio::spawn(clove.maintenance().run(|_| {}));
    clove
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_clocks_are_minutes_off_agree_on_expiry_and_names_of_windows() {
    let schemas = Schemas::new(Way::Direct);
    let schema = schemas.name();
    let mut nodes = Vec::new();
    for ahead in [0, 3 * MINUTE, -7 * MINUTE] {
        nodes.push(node(&schema, ahead).await);
    }
    // Until each has polled.
    let began = Instant::now();
    while nodes.iter().any(|node| (node.now().timestamp_micros() - now()).abs() > SKEW) {
        assert!(began.elapsed() < Duration::from_secs(10), "a node goes by its own clock");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "testing").unwrap());
    let issued = nodes[1].create(&owner, NewKey::named("a key").unwrap(), &by).await.unwrap();
    assert!((issued.key.created_at.timestamp_micros() - now()).abs() < SKEW);
    let credential = issued.credential.unwrap().reveal().to_string();
    let ends = now() + 7_000_000;
    let mut connection = PgConnection::connect(&url(Way::Direct)).await.unwrap();
    connection.execute(AssertSqlSafe(format!("UPDATE {schema}.keys SET expires_at = {ends}"))).await.unwrap();
    let mut expired = vec![None; nodes.len()];
    let (mut grants, mut furthest) = (0, 0);
    while expired.iter().any(Option::is_none) {
        for (node, expired) in nodes.iter().zip(&mut expired) {
            let before = now();
            match node.verify(&credential).await.unwrap() {
                Verdict::Granted(grant) => {
                    let resets_at = grant.limits().next().unwrap().resets_at.timestamp_micros();
                    // The window that is on now, or, by less than the skew, the one beside it.
                    let into = 5_000_000 - (resets_at - before);
                    furthest = furthest.max(-into).max(into - 5_000_000);
                    assert!((-SKEW..=5_000_000 + SKEW).contains(&into), "{into}");
                    grants += 1;
                }
                Verdict::Denied(denial) => {
                    assert!(matches!(denial.reason(), DenialReason::Expired { .. }), "{denial:?}");
                    expired.get_or_insert(before);
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let late: Vec<i64> = expired.into_iter().flatten().map(|at| at - ends).collect();
    println!("{grants} grants, a window's edge off by {furthest} us at most; expired {late:?} us late");
    assert!(late.iter().all(|late| late.abs() < SKEW), "{late:?}");
}
