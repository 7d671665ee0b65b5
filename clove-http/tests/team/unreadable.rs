//! Rows that cannot be read are told, and take nothing else down.

use crate::house::{House, owner, policy};
use clove_core::{Clove, Expiry};
use clove_store_sqlite::SqliteStore;
use http::StatusCode;
use rusqlite::Connection;
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;

const TOLD: &str = "Some stored rows could not be read and are missing here.";

struct Spoilt {
    house: House,
    file: PathBuf,
    _folder: TempDir,
}

impl Spoilt {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("keys.db");
        let mut house =
            House::on(SqliteStore::open(&file).unwrap(), policy(), &[("ada", "Ada"), ("ben", "Ben"), ("grace", "Grace")]);
        for (account, name) in [("ben", "b1"), ("ben", "b2"), ("grace", "g")] {
            house.key(account, name, Expiry::Days(20)).await;
            house.uses(name, 100, 10).await;
        }
        Self { house, file, _folder: folder }
    }

    fn spoil(&self, sql: &str) {
        assert!(Connection::open(&self.file).unwrap().execute(sql, ()).unwrap() > 0);
    }
}

#[tokio::test]
async fn nothing_is_told_where_all_can_be_read() {
    let spoilt = Spoilt::new().await;
    for path in ["", "attention", "audit", "person?account=ben"] {
        let answer = spoilt.house.get(path).await;
        assert!(answer.status == StatusCode::OK && !answer.text().contains(TOLD), "{path}");
    }
}

#[tokio::test]
async fn sums_of_usage_that_cannot_be_read_are_told_and_the_others_are_there() {
    let spoilt = Spoilt::new().await;
    spoilt.spoil("UPDATE usage SET total = -1 WHERE level = 1 AND account = 'ben'");
    let answer = spoilt.house.get("").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.says(&[TOLD, "requests 300", "Grace grace 1 key 100"]));
    assert!(spoilt.house.get("person?account=ben").await.says(&[TOLD, "b1", "b2"]));
    assert!(!spoilt.house.get("person?account=grace").await.text().contains(TOLD));
}

#[tokio::test]
async fn keys_and_events_that_cannot_be_read_are_told_and_the_others_are_there() {
    let spoilt = Spoilt::new().await;
    spoilt.spoil("UPDATE keys SET state = 'odd' WHERE name = 'b1'");
    spoilt.spoil("UPDATE audit SET action = 'odd' WHERE key_name = 'b1'");
    assert!(spoilt.house.get("attention").await.says(&[TOLD, "b2 of Ben ben", "g of Grace grace"]));
    assert!(spoilt.house.get("audit").await.says(&[TOLD, "“b2”", "“g”"]));
    assert!(spoilt.house.get("person?account=ben").await.says(&[TOLD, "b2"]));
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_told_where_those_of_people_who_left_are_looked_for() {
    let mut spoilt = Spoilt::new().await;
    spoilt.house.key("mallory", "m1", Expiry::Never).await;
    spoilt.house.key("mallory", "m2", Expiry::Never).await;
    spoilt.spoil("UPDATE keys SET name = '' WHERE name = 'm1'");
    assert!(spoilt.house.get("attention").await.says(&[TOLD, "mallory 1 active key"]));
}

#[tokio::test]
async fn a_person_with_a_key_that_cannot_be_read_is_cut_off_all_the_same() {
    let spoilt = Spoilt::new().await;
    spoilt.spoil("UPDATE keys SET name = '' WHERE name = 'b1'");
    let answer = cut_off(&spoilt.house).await;
    assert!(answer.says(&["Ben is cut off", "could not be read, so that the key could not be revoked"]), "{}", answer.text());
    assert!(!spoilt.house.is_good("b2").await);
    let answer = spoilt.house.post("reopen", &[("account", "ben"), ("reason", "Back")]).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "not before the key is gone");
}

/// Cuts off ben, while time passes for whoever waits.
async fn cut_off(house: &House) -> crate::house::Answer {
    let mut answer = Box::pin(house.post("cut-off", &[("account", "ben"), ("reason", "Left")]));
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = tokio::time::sleep(Duration::from_millis(1)) => house.clock().advance(Duration::from_millis(20)),
        }
    }
}

#[tokio::test]
async fn a_node_that_has_not_heard_of_it_is_told_and_not_taken_for_one_that_has() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keys.db");
    let policy = policy().to_builder().freshness(Duration::from_secs(60)).build().unwrap();
    let mut house = House::on(SqliteStore::open(&file).unwrap(), policy.clone(), &[("ben", "Ben")]);
    house.key("ben", "b", Expiry::Never).await;
    // Another node, which uses rows from memory, and then hangs.
    let other = Clove::with_clock(SqliteStore::open(&file).unwrap(), policy, house.clock().clone());
    let count = || -> i64 {
        Connection::open(&file).unwrap().query_row("SELECT count(*) FROM roll_nodes", (), |row| row.get(0)).unwrap()
    };
    // On a slow machine the clock runs past what a poll may take: then it polls again.
    let maintenance = tokio::spawn(other.maintenance().run(|_| ()));
    for polls in 0.. {
        if count() > 0 {
            break;
        }
        assert!(polls < 30_000, "the other node has not polled within 30 seconds");
        house.clock().advance(Duration::from_millis(20));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    maintenance.abort();

    let answer = cut_off(&house).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.says(&["On this node no request with these keys is granted any more. 1 other node has not confirmed it yet: it holds on all nodes in"]));
    assert!(!answer.text().contains("on any node"));
    assert!(!house.is_good("b").await);
    assert!(!house.clove().is_open(&owner("ben")).await.unwrap());
}
