//! Tests of which thread does what, and of what it compiles for that. SQLite asks an authorizer whenever it compiles a statement,
//! for the first time or again, on the thread that it does so on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::Options;
use crate::{SqliteStore, epochs::Poller};
use chrono::TimeDelta;
use clove_core::{ActiveLimit, Edit, Hashing, ListAudit, ListKeys, Name, NewKey, Pepper, Policy, Status};
use clove_testkit::Fixture;
use rusqlite::{
    Connection,
    hooks::{AuthContext, Authorization},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    thread,
};
use tempfile::TempDir;

/// A store that notes the name of the thread on which something is compiled, each time.
struct Watched {
    store: SqliteStore,
    compiled: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Watched {
    fn new(inline: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // One connection of a kind: which of several is taken is chance, and each compiles for itself.
        let options = Options::new(folder.path().join("keys.db")).readers(1).inline_reads(inline);
        drop(options.clone().open().unwrap());
        let compiled = Arc::<Mutex<Vec<String>>>::default();
        let watch = |connection: &Connection| {
            let theirs = Arc::clone(&compiled);
            let note = move |_: AuthContext<'_>| {
                let name = thread::current().name().unwrap_or_default().to_owned();
                theirs.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                Authorization::Allow
            };
            connection.authorizer(Some(note)).unwrap();
        };
        let writer = options.connect().unwrap();
        let [poller, scanner, reader] = [(); 3].map(|()| options.connect_to_read().unwrap());
        [&writer, &poller, &scanner, &reader].into_iter().for_each(watch);
        let store = options.start(writer, Poller::new(poller), vec![scanner], vec![reader]).unwrap();
        Self { store, compiled, _folder: folder }
    }

    fn compiled(&self) -> Vec<String> {
        std::mem::take(&mut self.compiled.lock().unwrap())
    }
}

/// Everything that a host has a store do, once.
async fn live(fixture: &Fixture) {
    let Fixture { clove, owner, by, .. } = fixture;
    for status in [Status::Active, Status::Suspended, Status::Compromised, Status::Revoked] {
        fixture.key_in(status).await.unwrap();
    }
    let issued = clove.create(owner, NewKey::named("a key").unwrap(), by).await.unwrap();
    let (id, credential) = (issued.key.id, issued.credential.unwrap());
    let rotated = clove.rotate(owner, id, 1, TimeDelta::hours(1), by).await.unwrap();
    clove.edit(owner, id, rotated.key.revision, Edit::new().name(Name::new("another").unwrap()), by).await.unwrap();
    assert!(clove.verify(&*credential.reveal()).await.unwrap().granted().is_some());
    assert!(clove.verify(credential.secret().reveal()).await.unwrap().granted().is_some());
    clove.flush().await.unwrap();
    clove.disable(owner, id, by).await.unwrap();
    clove.enable(owner, id, by).await.unwrap();
    clove.report_leaked(&*rotated.credential.unwrap().reveal(), by).await.unwrap();
    scan(fixture).await;
    clove.get(owner, id).await.unwrap();
    clove.delete(owner, id, by).await.unwrap();
    clove.close_owner(owner, by).await.unwrap();
    clove.reopen_owner(owner, by).await.unwrap();
    clove.close_organization(&owner.organization, by).await.unwrap();
    clove.reopen_organization(&owner.organization, by).await.unwrap();
}

/// Every read that is not of one row.
async fn scan(fixture: &Fixture) {
    let Fixture { clove, owner, .. } = fixture;
    clove.active_keys(owner).await.unwrap();
    clove.list(owner, &ListKeys::default()).await.unwrap();
    clove.list(&owner.organization, &ListKeys::default()).await.unwrap();
    clove.expiring(owner, TimeDelta::days(90), None, None).await.unwrap();
    clove.keys_under_pepper(1, None, None).await.unwrap();
    let key = clove.list(owner, &ListKeys::default()).await.unwrap().items.first().map(|key| key.id);
    for list in [ListAudit::default(), ListAudit { key, ..ListAudit::default() }] {
        clove.audit(owner, &list).await.unwrap();
        clove.audit(&owner.organization, &list).await.unwrap();
    }
}

fn fixture(store: &SqliteStore) -> Fixture {
    let hashing = Hashing::hmac(Pepper::new(1, &[7; 32]).unwrap());
    let policy = Policy::builder()
        .limits(clove_core::Tier::unlimited())
        .active_limit(ActiveLimit::Unlimited)
        .hashing(hashing)
        .build()
        .unwrap();
    Fixture::on(store.clone(), policy).unwrap()
}

#[tokio::test]
async fn each_statement_is_compiled_once_a_connection() {
    for inline in [true, false] {
        let watched = Watched::new(inline);
        let fixture = fixture(&watched.store);
        live(&fixture).await;
        assert!(!watched.compiled().is_empty());
        for _ in 0..3 {
            live(&fixture).await;
        }
        assert_eq!(watched.compiled(), [""; 0], "of what was compiled before");
    }
}

#[tokio::test]
async fn writes_and_scans_never_run_on_the_calling_thread_and_point_reads_only_if_they_may() {
    for inline in [true, false] {
        let watched = Watched::new(inline);
        let fixture = fixture(&watched.store);
        let caller = thread::current().name().unwrap().to_owned();
        let only = |name: &str| assert_eq!(watched.compiled().into_iter().collect::<BTreeSet<_>>(), [name.to_owned()].into());
        let issued = fixture.key_in(Status::Active).await.unwrap();
        only("clove-sqlite-write");
        scan(&fixture).await;
        only("clove-sqlite-scan");
        assert!(fixture.clove.verify(&*issued.credential.unwrap().reveal()).await.unwrap().granted().is_some());
        fixture.clove.get(&fixture.owner, issued.key.id).await.unwrap();
        only(if inline { &caller } else { "clove-sqlite-read" });
        fixture.clove.flush().await.unwrap();
        only("clove-sqlite-write");
    }
}
