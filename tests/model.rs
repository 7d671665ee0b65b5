//! Random commands from several owners on a clock that is turned: a plain model and each store agree after every step.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use chrono::{DateTime, TimeDelta, Utc};
use clove::{
    By, Clove, Error, Expiry, KeyId, ListKeys, MemoryStore, NewKey, Owner, Policy, Refusal, Status, Store, sqlite::SqliteStore,
};
use clove_testkit::TestClock;
use proptest::prelude::*;
use std::time::Duration;

const LIMIT: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Disable(usize, usize),
    Enable(usize, usize),
    Revoke(usize, usize),
    Flag(usize, usize),
    Delete(usize, usize),
    Rotate(usize, usize),
    Close(usize),
    Reopen(usize),
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let owner = 0..2_usize;
    let on_key = || (0..2_usize, 0..8_usize);
    let step = prop_oneof![
        6 => owner.clone().prop_map(Step::Create),
        2 => on_key().prop_map(|(owner, key)| Step::Disable(owner, key)),
        3 => on_key().prop_map(|(owner, key)| Step::Enable(owner, key)),
        1 => on_key().prop_map(|(owner, key)| Step::Revoke(owner, key)),
        1 => on_key().prop_map(|(owner, key)| Step::Flag(owner, key)),
        1 => on_key().prop_map(|(owner, key)| Step::Delete(owner, key)),
        2 => on_key().prop_map(|(owner, key)| Step::Rotate(owner, key)),
        1 => owner.clone().prop_map(Step::Close),
        1 => owner.prop_map(Step::Reopen),
        2 => prop_oneof![Just(11), Just(31), Just(-9)].prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What the model knows of a key.
struct Known {
    id: KeyId,
    owner: usize,
    status: Status,
    expires_at: DateTime<Utc>,
    latched: bool,
    revision: u64,
    secret: String,
}

impl Known {
    fn seen(&self, now: DateTime<Utc>) -> Status {
        let live = matches!(self.status, Status::Active | Status::Suspended);
        if live && (self.latched || now >= self.expires_at) { Status::Expired } else { self.status }
    }
}

struct World {
    clove: Clove,
    clock: TestClock,
    owners: [Owner; 2],
    by: By,
    open: [bool; 2],
    keys: Vec<Known>,
}

impl World {
    fn new(store: impl Store) -> Self {
        let clock = TestClock::new();
        let policy = Policy::builder().max_records(None).max_creations_per_day(None).build().unwrap();
        Self {
            clove: Clove::with_clock(store, policy, clock.clone()),
            clock,
            owners: [Owner::new("acme", "ada").unwrap(), Owner::new("acme", "bob").unwrap()],
            by: By::new("model", "random").unwrap(),
            open: [true; 2],
            keys: Vec::new(),
        }
    }

    /// Takes a place in the model, as the rules say; whether there was one.
    fn take_place(&mut self, owner: usize, now: DateTime<Utc>) -> bool {
        let holds = |key: &&mut Known| key.owner == owner && key.status == Status::Active && !key.latched;
        let held = self.keys.iter_mut().filter(holds).count();
        let expired = self.keys.iter_mut().filter(holds).filter(|key| now >= key.expires_at).count();
        if held < LIMIT {
            return true;
        }
        if held - expired >= LIMIT {
            return false;
        }
        for key in self.keys.iter_mut().filter(holds).filter(|key| now >= key.expires_at) {
            key.latched = true;
            key.revision += 1;
        }
        true
    }

    async fn take(&mut self, step: &Step) {
        let (clove, by, now) = (self.clove.clone(), self.by.clone(), self.clove.now());
        match *step {
            Step::Pass(days) if days > 0 => self.clock.advance(Duration::from_secs(days.unsigned_abs() * 86_400)),
            Step::Pass(days) => self.clock.step(TimeDelta::days(days)),
            Step::Close(owner) => {
                clove.close_owner(&self.owners[owner], &by).await.unwrap();
                self.open[owner] = false;
                for key in self
                    .keys
                    .iter_mut()
                    .filter(|key| key.owner == owner && matches!(key.status, Status::Active | Status::Suspended))
                {
                    key.status = Status::Revoked;
                    key.revision += 1;
                }
            }
            Step::Reopen(owner) => {
                assert_eq!(clove.reopen_owner(&self.owners[owner], &by).await.unwrap(), !self.open[owner]);
                self.open[owner] = true;
            }
            Step::Create(owner) => {
                let result =
                    clove.create(&self.owners[owner], NewKey::named("a key").unwrap().expiry(Expiry::Days(30)), &by).await;
                let admitted = self.open[owner] && self.take_place(owner, now);
                match result {
                    Ok(issued) => {
                        assert!(admitted);
                        let secret = issued.credential.unwrap().secret().reveal().to_owned();
                        let (id, expires_at) = (issued.key.id, issued.key.expires_at.unwrap());
                        self.keys.push(Known {
                            id,
                            owner,
                            status: Status::Active,
                            expires_at,
                            latched: false,
                            revision: 1,
                            secret,
                        });
                    }
                    Err(Error::Refused(Refusal::OwnerClosed)) => assert!(!self.open[owner]),
                    Err(Error::Refused(Refusal::LimitReached { .. })) => assert!(self.open[owner] && !admitted),
                    Err(other) => panic!("{other:?}"),
                }
            }
            Step::Disable(actor, place)
            | Step::Enable(actor, place)
            | Step::Revoke(actor, place)
            | Step::Flag(actor, place)
            | Step::Delete(actor, place)
            | Step::Rotate(actor, place) => self.on_key(step, actor, place, now).await,
        }
    }

    async fn on_key(&mut self, step: &Step, actor: usize, place: usize, now: DateTime<Utc>) {
        if self.keys.is_empty() {
            return;
        }
        let place = place % self.keys.len();
        let (id, owner, status, seen, revision) = {
            let key = &self.keys[place];
            (key.id, key.owner, key.status, key.seen(now), key.revision)
        };
        let (clove, by, scope) = (self.clove.clone(), self.by.clone(), self.owners[actor].clone());
        let result = match step {
            Step::Disable(..) => clove.disable(&scope, id, &by).await.map(drop),
            Step::Enable(..) => clove.enable(&scope, id, &by).await.map(drop),
            Step::Revoke(..) => clove.revoke(&scope, id, &by).await.map(drop),
            Step::Flag(..) => clove.flag_compromised(&scope, id, &by).await.map(drop),
            Step::Delete(..) => clove.delete(&scope, id, &by).await,
            _ => match clove.rotate(&scope, id, revision, TimeDelta::zero(), &by).await {
                Ok(issued) => {
                    self.keys[place].secret = issued.credential.unwrap().secret().reveal().to_owned();
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if owner != actor {
            assert!(matches!(result, Err(Error::Refused(Refusal::NotFound))), "{step:?} on a foreign key: {result:?}");
            return;
        }
        let live = matches!(status, Status::Active | Status::Suspended);
        let becomes = match step {
            Step::Disable(..) if status == Status::Active => Some(Status::Suspended),
            Step::Revoke(..) if live => Some(Status::Revoked),
            Step::Flag(..) if live => Some(Status::Compromised),
            Step::Enable(..) if !matches!(seen, Status::Active | Status::Suspended) => {
                assert!(matches!(result, Err(Error::Refused(Refusal::NotAllowed { .. }))), "{result:?}");
                return;
            }
            Step::Enable(..) if seen == Status::Suspended => {
                if !self.open[owner] {
                    assert!(matches!(result, Err(Error::Refused(Refusal::OwnerClosed))), "{result:?}");
                    return;
                }
                if !self.take_place(owner, now) {
                    assert!(matches!(result, Err(Error::Refused(Refusal::LimitReached { .. }))), "{result:?}");
                    return;
                }
                Some(Status::Active)
            }
            Step::Rotate(..) if matches!(seen, Status::Active | Status::Suspended) && self.open[owner] => Some(status),
            Step::Rotate(..) => {
                assert!(matches!(result, Err(Error::Refused(_))), "{result:?}");
                return;
            }
            _ => None,
        };
        result.unwrap();
        if matches!(step, Step::Delete(..)) {
            self.keys.remove(place);
        } else if let Some(becomes) = becomes {
            self.keys[place].status = becomes;
            self.keys[place].revision += 1;
        }
    }

    async fn agrees(&self) {
        let now = self.clove.now();
        for (place, owner) in self.owners.iter().enumerate() {
            let listed = self.clove.list(owner, &ListKeys { limit: Some(200), ..ListKeys::default() }).await.unwrap().items;
            let mut known: Vec<_> = self.keys.iter().filter(|key| key.owner == place).collect();
            known.sort_by_key(|key| std::cmp::Reverse(key.id));
            let found: Vec<_> = listed.iter().map(|key| (key.id, key.status(now), key.revision, key.expiry_latched)).collect();
            assert_eq!(found, known.iter().map(|key| (key.id, key.seen(now), key.revision, key.latched)).collect::<Vec<_>>());
            let active = known.iter().filter(|key| key.seen(now) == Status::Active).count();
            assert_eq!(self.clove.active_keys(owner).await.unwrap().active as usize, active);
        }
        for key in &self.keys {
            let granted = self.clove.verify(&key.secret).await.unwrap().granted().is_some();
            assert_eq!(granted, key.seen(now) == Status::Active && self.open[key.owner]);
        }
    }
}

async fn run(store: impl Store, steps: &[Step]) {
    let mut world = World::new(store);
    for step in steps {
        world.take(step).await;
        world.agrees().await;
    }
}

fn config(cases: u32) -> ProptestConfig {
    let cases = if std::env::var_os("CLOVE_SOAK").is_some() { cases * 50 } else { cases };
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(config(150))]
    #[test]
    fn the_memory_store_agrees_with_the_model(steps in steps()) {
        block_on(run(MemoryStore::new(), &steps));
    }
}

proptest! {
    #![proptest_config(config(40))]
    #[test]
    fn the_sqlite_store_agrees_with_the_model(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        block_on(run(SqliteStore::open(folder.path().join("keys.db")).unwrap(), &steps));
    }
}
