//! Random commands of several actors in two processes, each on a clock of its own that is turned forth and back: a plain model
//! and each store agree after every step, on keys, counts, verdicts and the audit trail.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod cases;
mod command;
mod postgres;
mod step;
mod world;
// A store of one's own.
#[path = "../../examples/custom_store.rs"]
mod custom_store;

use clove::{ActiveLimit, Clove, DenialReason, ListAudit, ListKeys, MemoryStore, Status, Store, sqlite::SqliteStore};
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use std::sync::Arc;
use step::{Step, steps};
use world::{Known, LIMIT, Told, World};

impl World {
    async fn agrees(&self) {
        for (clove, _) in &self.processes {
            self.lists_agree(clove).await;
            for key in &self.keys {
                self.verdicts_agree(clove, key).await;
            }
        }
        let mut expected = self.trail.clone();
        expected.sort();
        assert_eq!(self.told().await, expected);
    }

    async fn lists_agree(&self, clove: &Clove) {
        let now = clove.now();
        for (place, owner) in self.owners.iter().enumerate() {
            let listed = clove.list(owner, &ListKeys { limit: Some(200), ..ListKeys::default() }).await.unwrap().items;
            let mut known: Vec<_> = self.keys.iter().filter(|key| key.owner == place).collect();
            known.sort_by_key(|key| std::cmp::Reverse(key.id));
            let found = listed.iter().map(|key| {
                let name = key.name.to_string();
                (key.id, key.state, key.status(now), key.revision, key.expiry_latched, name, key.capabilities.clone())
            });
            let expected = known.iter().map(|key| {
                (key.id, key.state, key.seen(now), key.revision, key.latched, key.name.clone(), key.may.capabilities())
            });
            assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            let active = known.iter().filter(|key| key.holds_place() && key.seen(now) == Status::Active).count();
            let counted = clove.active_keys(owner).await.unwrap();
            let limit = ActiveLimit::AtMost(self.limits[place].unwrap_or(LIMIT));
            assert_eq!((counted.active as usize, counted.limit), (active, limit));
        }
    }

    async fn verdicts_agree(&self, clove: &Clove, key: &Known) {
        let now = clove.now();
        let expected = if !self.is_open(key.owner) {
            Some(DenialReason::OwnerClosed)
        } else {
            match key.seen(now) {
                Status::Active => None,
                Status::Suspended => Some(DenialReason::Suspended),
                Status::Expired => Some(DenialReason::Expired { at: Some(key.expires_at) }),
                Status::Compromised => Some(DenialReason::Compromised),
                Status::Revoked => Some(DenialReason::Revoked),
            }
        };
        assert_eq!(reason(clove, &key.secret).await, expected);
        assert_eq!(reason(clove, &format!("{};{}", key.id, key.secret)).await, expected);
        if let Some((old, until)) = &key.old {
            let expected = if now >= *until { Some(DenialReason::NotRecognized) } else { expected };
            assert_eq!(reason(clove, old).await, expected, "rotated out");
        }
    }

    async fn told(&self) -> Vec<Told> {
        let (organization, clove) = (&self.owners[0].organization, &self.processes[0].0);
        let (mut list, mut told) = (ListAudit { limit: Some(200), ..ListAudit::default() }, Vec::new());
        loop {
            let page = clove.audit(organization, &list).await.unwrap();
            told.extend(page.items.iter().map(|event| self.read(event)));
            list.after = page.next;
            if list.after.is_none() {
                told.sort();
                return told;
            }
        }
    }
}

async fn reason(clove: &Clove, text: &str) -> Option<DenialReason> {
    clove.verify(text).await.unwrap().denied().map(|denial| denial.reason().clone())
}

fn run(stores: [Box<dyn Store>; 2], steps: &[Step]) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let mut world = World::new(stores);
        for step in steps {
            world.take(step).await;
            world.agrees().await;
        }
    });
}

fn on_memory(steps: &[Step]) {
    let store = MemoryStore::new();
    run([Box::new(store.clone()), Box::new(store)], steps);
}

/// Opened twice, as by two processes.
fn on_sqlite(steps: &[Step]) {
    let folder = tempfile::tempdir().unwrap();
    run([(); 2].map(|()| Box::new(SqliteStore::open(folder.path().join("keys.db")).unwrap()) as Box<dyn Store>), steps);
}

fn on_a_store_of_ones_own(steps: &[Step]) {
    let store = Arc::new(custom_store::VecStore::default());
    run([Box::new(store.clone()), Box::new(store)], steps);
}

/// A case that failed is kept in `tests/model/main.regressions`, and run first from then on.
fn config(cases: u32) -> ProptestConfig {
    let cases = if std::env::var_os("CLOVE_SOAK").is_some() { cases * 50 } else { cases };
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(150))]
    #[test]
    fn the_memory_store_agrees_with_the_model(steps in steps()) {
        on_memory(&steps);
    }
}

proptest! {
    #![proptest_config(config(40))]
    #[test]
    fn the_sqlite_store_agrees_with_the_model(steps in steps()) {
        on_sqlite(&steps);
    }
}

proptest! {
    #![proptest_config(config(100))]
    #[test]
    fn a_store_of_ones_own_agrees_with_the_model(steps in steps()) {
        on_a_store_of_ones_own(&steps);
    }
}

proptest! {
    #![proptest_config(config(8))]
    #[test]
    fn the_postgres_store_agrees_with_the_model(steps in steps()) {
        postgres::run("CLOVE_TEST_POSTGRES", &steps);
    }
}

proptest! {
    #![proptest_config(config(6))]
    #[test]
    fn the_postgres_store_agrees_with_the_model_through_a_pooler(steps in steps()) {
        postgres::run("CLOVE_TEST_PGBOUNCER", &steps);
    }
}
