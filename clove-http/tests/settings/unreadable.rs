//! What cannot be read is told, can be deleted, and takes no secret down with it.

use crate::host::{Host, issued};
use clove_core::{Policy, Status};
use clove_http::Visitor;
use clove_store_sqlite::SqliteStore;
use clove_testkit::Fixture;
use http::StatusCode;
use rusqlite::Connection;
use std::path::PathBuf;
use tempfile::TempDir;

struct Spoilt {
    host: Host,
    file: PathBuf,
    _folder: TempDir,
}

impl Spoilt {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("keys.db");
        let fixture = Fixture::on(SqliteStore::open(&file).unwrap(), Policy::profile_a()).unwrap();
        let visitor = Visitor::new(fixture.owner.clone());
        Self { host: Host::on(fixture, visitor), file, _folder: folder }
    }

    fn spoil(&self, sql: &str) {
        Connection::open(&self.file).unwrap().execute_batch(sql).unwrap();
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_told_and_can_be_deleted() {
    let spoilt = Spoilt::new();
    let id = spoilt.host.fixture.key_in(Status::Active).await.unwrap().key.id.to_string();
    spoilt.host.fixture.key_in(Status::Suspended).await.unwrap();
    spoilt.spoil("UPDATE keys SET name = '' WHERE name = 'Active key'");
    let page = spoilt.host.get("").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("Some of what is stored cannot be read.") && page.body.contains("Suspended key"));
    let question = spoilt.host.get(&format!("?confirm=delete&key={id}")).await;
    assert!(question.body.contains("A key that cannot be read"));
    let done = spoilt.host.post("", &[("do", "delete"), ("key", question.field("key"))]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert!(!spoilt.host.get("").await.body.contains("cannot be read"));
}

#[tokio::test]
async fn a_new_secret_is_shown_even_where_the_keys_cannot_be_listed_after_it() {
    let spoilt = Spoilt::new();
    spoilt.spoil("CREATE TRIGGER spoil AFTER INSERT ON audit BEGIN UPDATE owners SET held = -7; END");
    let created = spoilt.host.create(&[("name", "laptop")]).await;
    assert_eq!(created.status, StatusCode::OK);
    assert!(created.body.contains("Ask an administrator.") && !created.body.contains("active keys"), "the list is not there");
    let (_, credential) = issued(&created);
    spoilt.spoil("UPDATE owners SET held = 1");
    assert!(spoilt.host.fixture.clove.verify(credential.as_bytes()).await.unwrap().granted().is_some());
}
