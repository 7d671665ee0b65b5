//! The access log: what a page looks at, and rows that cannot be read.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::{DateTime, TimeDelta, Utc};
use clove_core::{
    AccessEntry, AccessLog, AccessOutcome, Clove, GrantId, KeyId, ListAccess, Owner, Policy, Store, error::CorruptRow,
};
use clove_store_postgres::PostgresStore;
use support::Damaged;

fn entry(owner: &Owner, key: KeyId, at: DateTime<Utc>) -> AccessEntry {
    AccessEntry {
        id: GrantId::new(at),
        at,
        key,
        owner: owner.clone(),
        outcome: AccessOutcome::Granted,
        limit: None,
        cost: 1,
        endpoint: None,
    }
}

fn moment(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_614_400, 0).unwrap() + TimeDelta::microseconds(micros)
}

fn clove(store: &PostgresStore) -> Clove {
    Clove::new(store.clone(), Policy::builder().access_log(AccessLog::BestEffort).build().unwrap())
}

#[tokio::test]
async fn a_key_seldom_used_in_a_busy_organization_is_found_by_later_pages() {
    let damaged = Damaged::new().await;
    let store = damaged.open().await;
    let (ada, bob) = (Owner::new("acme", "ada").unwrap(), Owner::new("acme", "bob").unwrap());
    let (seldom, often) = (KeyId::new(moment(0)), KeyId::new(moment(0)));
    let mut entries = vec![entry(&ada, seldom, moment(0))];
    entries.extend((1..=20_000).map(|at| entry(&bob, often, moment(at))));
    entries.push(entry(&ada, seldom, moment(20_001)));
    store.log_access(entries.into()).await.unwrap();
    let (clove, mut pages) = (clove(&store), Vec::new());
    let mut list = ListAccess { key: Some(seldom), ..ListAccess::default() };
    loop {
        let page = clove.access_log(&ada, &list).await.unwrap();
        pages.push(page.items.iter().map(|entry| entry.at).collect::<Vec<_>>());
        list.after = page.next;
        if list.after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![moment(20_001)], vec![], vec![moment(0)]]);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_counted_and_takes_no_other_down() {
    for damage in [
        "outcome = 'dreamt'",
        "key_id = '00000000-0000-4000-8000-000000000000'",
        "at = 9223372036854775807",
        "cost = -1",
        "limit_of = 'nobody'",
        "limit_of = 'key', limit_count = 0, limit_seconds = 60, limit_kind = 'fixed', limit_left = 1",
        "limit_of = 'key', limit_count = 1, limit_seconds = 60, limit_kind = 'bouncing', limit_left = 1",
        "limit_of = 'key', limit_count = 100001, limit_seconds = 60, limit_kind = 'sliding', limit_left = 1",
        "endpoint = chr(7)",
    ] {
        let damaged = Damaged::new().await;
        let store = damaged.open().await;
        let (ada, key) = (Owner::new("acme", "ada").unwrap(), KeyId::new(moment(0)));
        let entries: Vec<AccessEntry> = (0..3).map(|at| entry(&ada, key, moment(at))).collect();
        store.log_access(entries.clone().into()).await.unwrap();
        let sql = format!("UPDATE ~access SET {damage} WHERE id = ?1");
        assert_eq!(damaged.execute(&sql.replace("?1", &format!("'{}'", entries[1].id))).await, 1);
        let page = clove(&store).access_log(&ada, &ListAccess::default()).await.unwrap();
        assert_eq!(page.items, [entries[2].clone(), entries[0].clone()], "{damage}");
        assert_eq!(page.corrupt, [CorruptRow::AccessEntry], "{damage}");
    }
}

#[tokio::test]
async fn a_count_that_cannot_be_read_takes_no_other_down() {
    let damaged = Damaged::new().await;
    let store = damaged.open().await;
    let [one, bad, other] = [1, 2, 3].map(|number| format!("0, '00000000-0000-7000-8000-00000000000{number}'"));
    damaged.execute(&format!("INSERT INTO ~unrecognized VALUES ({one}, 3), ({bad}, -1), ({other}, 4)")).await;
    let all = store.unrecognized(moment(0).into(), moment(1).into()).await.unwrap();
    assert!(all.is_empty());
    let epoch = DateTime::UNIX_EPOCH.into();
    assert_eq!(store.unrecognized(epoch, moment(0).into()).await.unwrap(), [(epoch, 7)]);
}
