//! Random commands from several owners on a clock that is turned: a plain model and each store agree after every step.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use chrono::{DateTime, TimeDelta, Utc};
use clove::{
    ActiveLimit, By, Clove, DenialReason, Edit, Error, Expiry, KeyId, ListKeys, MemoryStore, Name, NewKey, Owner, Policy,
    Refusal, Status, Store, sqlite::SqliteStore,
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
    /// With so many days of grace.
    Rotate(usize, usize, i64),
    Edit(usize, usize),
    Leak(usize, bool),
    Limit(usize, Option<u32>),
    CloseAll,
    ReopenAll,
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
        3 => (0..2_usize, 0..8_usize, prop_oneof![Just(0), Just(5), Just(30)])
            .prop_map(|(owner, key, grace)| Step::Rotate(owner, key, grace)),
        1 => on_key().prop_map(|(owner, key)| Step::Edit(owner, key)),
        1 => (0..8_usize, any::<bool>()).prop_map(|(key, old)| Step::Leak(key, old)),
        1 => (0..2_usize, proptest::option::of(0..4_u32)).prop_map(|(owner, limit)| Step::Limit(owner, limit)),
        1 => Just(Step::CloseAll),
        2 => Just(Step::ReopenAll),
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
    /// The rotated-out secret, and until when it is good.
    old: Option<(String, DateTime<Utc>)>,
    name: usize,
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
    all_open: bool,
    limits: [usize; 2],
    keys: Vec<Known>,
    edits: usize,
}

impl World {
    fn new(store: impl Store) -> Self {
        let clock = TestClock::new();
        let policy =
            Policy::builder().max_records(None).max_creations_per_day(None).limits(clove::Tier::unlimited()).build().unwrap();
        Self {
            clove: Clove::with_clock(store, policy, clock.clone()),
            clock,
            owners: [Owner::new("acme", "ada").unwrap(), Owner::new("acme", "bob").unwrap()],
            by: By::new("model", "random").unwrap(),
            open: [true; 2],
            all_open: true,
            limits: [LIMIT; 2],
            keys: Vec::new(),
            edits: 0,
        }
    }

    fn is_open(&self, owner: usize) -> bool {
        self.open[owner] && self.all_open
    }

    /// What a close does to the keys behind it.
    fn revoke(&mut self, behind: impl Fn(usize) -> bool) {
        let live = |key: &&mut Known| behind(key.owner) && matches!(key.status, Status::Active | Status::Suspended);
        for key in self.keys.iter_mut().filter(live) {
            key.status = Status::Revoked;
            key.revision += 1;
        }
    }

    /// Takes a place in the model, as the rules say; whether there was one.
    fn take_place(&mut self, owner: usize, now: DateTime<Utc>) -> bool {
        let holds = |key: &&mut Known| key.owner == owner && key.status == Status::Active && !key.latched;
        let held = self.keys.iter_mut().filter(holds).count();
        let expired = self.keys.iter_mut().filter(holds).filter(|key| now >= key.expires_at).count();
        if held < self.limits[owner] {
            return true;
        }
        if held - expired >= self.limits[owner] {
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
                self.revoke(|of| of == owner);
            }
            Step::CloseAll => {
                let closed = clove.close_organization(&self.owners[0].organization, &by).await.unwrap();
                assert_eq!(closed.changed, self.all_open);
                self.all_open = false;
                self.revoke(|_| true);
            }
            Step::ReopenAll => {
                assert_eq!(clove.reopen_organization(&self.owners[0].organization, &by).await.unwrap(), !self.all_open);
                self.all_open = true;
            }
            Step::Limit(owner, limit) => {
                clove.set_active_limit(&self.owners[owner], limit.map(ActiveLimit::AtMost), &by).await.unwrap();
                self.limits[owner] = limit.map_or(LIMIT, |limit| limit as usize);
            }
            Step::Leak(place, old) => self.leak(place, old).await,
            Step::Reopen(owner) => {
                assert_eq!(clove.reopen_owner(&self.owners[owner], &by).await.unwrap(), !self.open[owner]);
                self.open[owner] = true;
            }
            Step::Create(owner) => {
                let result =
                    clove.create(&self.owners[owner], NewKey::named("a key").unwrap().expiry(Expiry::Days(30)), &by).await;
                let admitted = self.is_open(owner) && self.take_place(owner, now);
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
                            old: None,
                            name: 0,
                        });
                    }
                    Err(Error::Refused(Refusal::OwnerClosed)) => assert!(!self.is_open(owner)),
                    Err(Error::Refused(Refusal::LimitReached { .. })) => assert!(self.is_open(owner) && !admitted),
                    Err(other) => panic!("{other:?}"),
                }
            }
            Step::Disable(actor, place)
            | Step::Enable(actor, place)
            | Step::Revoke(actor, place)
            | Step::Flag(actor, place)
            | Step::Delete(actor, place)
            | Step::Edit(actor, place)
            | Step::Rotate(actor, place, _) => self.on_key(step, actor, place, now).await,
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
            Step::Edit(..) => {
                let name = Name::new(format!("name {}", self.edits + 1)).unwrap();
                clove.edit(&scope, id, revision, Edit::new().name(name), &by).await.map(drop)
            }
            Step::Rotate(_, _, grace) => match clove.rotate(&scope, id, revision, TimeDelta::days(*grace), &by).await {
                Ok(issued) => {
                    let key = &mut self.keys[place];
                    let old = std::mem::replace(&mut key.secret, issued.credential.unwrap().secret().reveal().to_owned());
                    let until = key.expires_at.min(now + TimeDelta::days(*grace));
                    let graced = status == Status::Active && *grace > 0;
                    assert_eq!(issued.previous_valid_until, graced.then_some(until));
                    key.old = graced.then_some((old, until));
                    Ok(())
                }
                Err(error) => Err(error),
            },
            other => panic!("{other:?} is not on a key"),
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
                if !self.is_open(owner) {
                    assert!(matches!(result, Err(Error::Refused(Refusal::OwnerClosed))), "{result:?}");
                    return;
                }
                if !self.take_place(owner, now) {
                    assert!(matches!(result, Err(Error::Refused(Refusal::LimitReached { .. }))), "{result:?}");
                    return;
                }
                Some(Status::Active)
            }
            Step::Rotate(..) if matches!(seen, Status::Active | Status::Suspended) && self.is_open(owner) => Some(status),
            Step::Rotate(..) => {
                assert!(matches!(result, Err(Error::Refused(_))), "{result:?}");
                return;
            }
            Step::Edit(..) => {
                self.edits += 1;
                self.keys[place].name = self.edits;
                Some(status)
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

    /// Reports the current secret of a key as leaked, or its rotated-out one.
    async fn leak(&mut self, place: usize, old: bool) {
        let count = self.keys.len().max(1);
        let Some(key) = self.keys.get_mut(place % count) else { return };
        match (old, &key.old) {
            (false, _) => {
                self.clove.report_leaked(&key.secret, &self.by).await.unwrap();
                if matches!(key.status, Status::Active | Status::Suspended) {
                    key.status = Status::Compromised;
                    key.revision += 1;
                }
            }
            (true, Some((secret, _))) => {
                self.clove.report_leaked(secret, &self.by).await.unwrap();
                key.old = None;
                key.revision += 1;
            }
            (true, None) => {}
        }
    }

    async fn agrees(&self) {
        let now = self.clove.now();
        for (place, owner) in self.owners.iter().enumerate() {
            let listed = self.clove.list(owner, &ListKeys { limit: Some(200), ..ListKeys::default() }).await.unwrap().items;
            let mut known: Vec<_> = self.keys.iter().filter(|key| key.owner == place).collect();
            known.sort_by_key(|key| std::cmp::Reverse(key.id));
            let found: Vec<_> = listed
                .iter()
                .map(|key| (key.id, key.status(now), key.revision, key.expiry_latched, key.name.as_str() == self.name(key.id)))
                .collect();
            assert_eq!(
                found,
                known.iter().map(|key| (key.id, key.seen(now), key.revision, key.latched, true)).collect::<Vec<_>>()
            );
            let active = known.iter().filter(|key| key.seen(now) == Status::Active).count();
            assert_eq!(self.clove.active_keys(owner).await.unwrap().active as usize, active);
        }
        for key in &self.keys {
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
            assert_eq!(self.reason(&key.secret).await, expected);
            assert_eq!(self.reason(&format!("{};{}", key.id, key.secret)).await, expected);
            if let Some((old, until)) = &key.old {
                let expected = if now >= *until { Some(DenialReason::NotRecognized) } else { expected };
                assert_eq!(self.reason(old).await, expected, "rotated out");
            }
        }
    }

    async fn reason(&self, text: &str) -> Option<DenialReason> {
        self.clove.verify(text).await.unwrap().denied().map(|denial| denial.reason().clone())
    }

    fn name(&self, id: KeyId) -> String {
        let edit = self.keys.iter().find(|key| key.id == id).map_or(0, |key| key.name);
        if edit == 0 { "a key".into() } else { format!("name {edit}") }
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
