//! Rows that cannot be read, as a host meets them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use chrono::TimeDelta;
use clove_core::{ActiveLimit, Expiry, ExpiryPolicy, Key, KeyId, NewKey, Policy, error::CorruptRow};
use clove_store_sqlite::SqliteStore;
use clove_testkit::Fixture;
use rusqlite::Connection;
use std::path::PathBuf;
use tempfile::TempDir;

struct File {
    fixture: Fixture,
    path: PathBuf,
    _folder: TempDir,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.db");
        let any = ExpiryPolicy { custom: Some((1, 99)), ..ExpiryPolicy::default() };
        let policy = Policy::builder().active_limit(ActiveLimit::Unlimited).expiry(any).build().unwrap();
        let fixture = Fixture::on(SqliteStore::open(&path).unwrap(), policy).unwrap();
        Self { fixture, path, _folder: folder }
    }

    async fn create(&self, days: u32) -> Key {
        let new = NewKey::named("a key").unwrap().expiry(Expiry::Days(days));
        self.fixture.clove.create(&self.fixture.owner, new, &self.fixture.by).await.unwrap().key
    }

    /// Executes a statement on one row, which it names by `?1`.
    fn tamper(&self, sql: &str, id: KeyId) {
        assert_eq!(Connection::open(&self.path).unwrap().execute(sql, [id.as_bytes().as_slice()]).unwrap(), 1);
    }
}

#[tokio::test]
async fn pages_by_expiry_go_on_after_a_row_that_cannot_be_read_and_name_it_once() {
    let file = File::new();
    let mut ids = Vec::new();
    for days in 1..=5 {
        ids.push(file.create(days).await.id);
    }
    for place in [1, 2, 4] {
        file.tamper("UPDATE keys SET capabilities = 'Not A Set' WHERE id = ?1", ids[place]);
    }
    for limit in 1..=6 {
        let (mut seen, mut corrupt, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let (clove, owner) = (&file.fixture.clove, &file.fixture.owner);
            let page = clove.expiring(owner, TimeDelta::days(9), Some(limit), after.as_ref()).await.unwrap();
            assert!(page.items.len() + page.corrupt.len() <= limit, "{limit} a page");
            seen.extend(page.items.iter().map(|key| key.id));
            corrupt.extend(page.corrupt);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, [ids[0], ids[3]], "{limit} a page");
        assert_eq!(corrupt, [1, 2, 4].map(|place| CorruptRow::Key(ids[place])), "{limit} a page");
    }
}

#[tokio::test]
async fn a_key_whose_texts_the_rules_of_today_refuse_stays_good() {
    let file = File::new();
    let key = file.create(9).await;
    for (column, text) in [("name", "pаypal \u{202e}"), ("description", "a\u{200b}b"), ("metadata", "not json")] {
        file.tamper(&format!("UPDATE keys SET {column} = '{text}' WHERE id = ?1"), key.id);
    }
    let read = file.fixture.clove.get(&file.fixture.owner, key.id).await.unwrap();
    assert_eq!((read.name.as_str(), read.metadata.as_str()), ("pаypal \u{202e}", "not json"));
    file.fixture.clove.revoke(&file.fixture.owner, key.id, &file.fixture.by).await.unwrap();
    let trail = file.fixture.clove.audit(&file.fixture.owner, &clove_core::ListAudit::default()).await.unwrap();
    assert_eq!((trail.items.len(), trail.corrupt.len()), (2, 0));
}

#[tokio::test]
async fn metadata_that_no_version_stored_is_corrupt() {
    let file = File::new();
    let key = file.create(9).await;
    file.tamper("UPDATE keys SET metadata = printf('%5000d', 1) WHERE id = ?1", key.id);
    let page = file.fixture.clove.list(&file.fixture.owner, &clove_core::ListKeys::default()).await.unwrap();
    assert_eq!(page.corrupt, [CorruptRow::Key(key.id)]);
}
