//! Two gateways on one Postgres.

use crate::{
    database::Database,
    support::{Start, Upstream, by, message, until},
};
use clove::{Clove, Policy, postgres::PostgresStore};
use std::time::{Duration, Instant};

const HELLO: &str = r#"{"model": "demo-small", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_works_at_both_and_is_dead_at_both_within_two_seconds() {
    let database = Database::new();
    let url = &database.url;
    let upstream = Upstream::start().await;
    let keys = || async { Clove::new(PostgresStore::connect(url).await.unwrap(), Policy::profile_a()) };
    let start = || Start::before(&upstream).with("--postgres", url);
    let (one, two) = (start().run_on(keys().await).await, start().run_on(keys().await).await);
    let key = one.key("acme", "ada").await;
    for program in [&one, &two] {
        let answer = message(&program.url, &key.credential, HELLO).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(one.used(&key, "requests", |used| used >= 2).await, 2, "both nodes' requests are summed");
    one.keys.disable(&key.owner, key.id, &by()).await.unwrap();
    let dead = Instant::now();
    for program in [&one, &two] {
        until(|| async { message(&program.url, &key.credential, HELLO).await.status.as_u16() }, |status| *status == 401).await;
    }
    assert!(dead.elapsed() < Duration::from_secs(2), "{:?}", dead.elapsed());
    for program in [&one, &two] {
        assert_eq!(message(&program.url, &key.credential, HELLO).await.status, 401);
    }
}
