//! Commands that are interrupted: dropped at each point where they wait, or ended by a store that panics there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod gate;
mod support;

use chrono::TimeDelta;
use clove::{
    Action, ActiveLimit, AuditEvent, By, Edit, Error, Expiry, GuessLimit, Key, KeyId, KeyState, ListAudit, ListKeys, MemoryStore,
    Name, OperationId, Policy, Scope, Secret, Store,
    sqlite::SqliteStore,
    store::{Candidate, OrganizationRecord, OwnerFacts},
};
use clove_testkit::Fixture;
use gate::{Gate, Interruption};
use std::{cell::Cell, collections::BTreeMap, sync::Arc};
use support::{DAY, named, poll_and_drop};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Command {
    Create,
    Import,
    Edit,
    Disable,
    Enable,
    Revoke,
    Flag,
    ReportCurrent,
    ReportRotatedOut,
    Rotate,
    Delete,
    CloseOwner,
    CloseOrganization,
    ReopenOwner,
    ReopenOrganization,
    SetActiveLimit,
}

impl Command {
    const ALL: [Self; 16] = [
        Self::Create,
        Self::Import,
        Self::Edit,
        Self::Disable,
        Self::Enable,
        Self::Revoke,
        Self::Flag,
        Self::ReportCurrent,
        Self::ReportRotatedOut,
        Self::Rotate,
        Self::Delete,
        Self::CloseOwner,
        Self::CloseOrganization,
        Self::ReopenOwner,
        Self::ReopenOrganization,
        Self::SetActiveLimit,
    ];

    /// Gives the command; where it makes a secret, whether that was told.
    async fn give(self, scene: &Scene, by: &By) -> Result<Option<bool>, Error> {
        let (clove, owner, id) = (&scene.fixture.clove, &scene.fixture.owner, scene.key.id);
        let revision = scene.key.revision;
        let done = match self {
            Self::Create => Some(clove.create(owner, named("new"), by).await?.credential.is_some()),
            Self::Import => {
                let secret = Secret::from_foreign("an-older-secret".to_owned());
                Some(clove.import(owner, named("new"), secret, by).await?.credential.is_some())
            }
            Self::Rotate => Some(clove.rotate(owner, id, revision, TimeDelta::hours(1), by).await?.credential.is_some()),
            Self::Edit => {
                let edit = Edit::new().name(Name::new("renamed").unwrap());
                clove.edit(owner, id, revision, edit, by).await.map(|_| None)?
            }
            Self::Disable => clove.disable(owner, id, by).await.map(|_| None)?,
            Self::Enable => clove.enable(owner, id, by).await.map(|_| None)?,
            Self::Revoke => clove.revoke(owner, id, by).await.map(|_| None)?,
            Self::Flag => clove.flag_compromised(owner, id, by).await.map(|_| None)?,
            Self::ReportCurrent | Self::ReportRotatedOut => clove.report_leaked(&scene.credential, by).await.map(|()| None)?,
            Self::Delete => clove.delete(owner, id, by).await.map(|()| None)?,
            Self::CloseOwner => clove.close_owner(owner, by).await.map(|_| None)?,
            Self::CloseOrganization => clove.close_organization(&owner.organization, by).await.map(|_| None)?,
            Self::ReopenOwner => clove.reopen_owner(owner, by).await.map(|_| None)?,
            Self::ReopenOrganization => clove.reopen_organization(&owner.organization, by).await.map(|_| None)?,
            Self::SetActiveLimit => clove.set_active_limit(owner, Some(ActiveLimit::AtMost(7)), by).await.map(|()| None)?,
        };
        Ok(done)
    }

    /// Whether what the command is for holds.
    fn holds(self, scene: &Scene, seen: &Snapshot) -> bool {
        let key = seen.keys.iter().find(|key| key.id == scene.key.id);
        let state = |wanted| key.is_some_and(|key| key.state == wanted);
        let secrets = || seen.candidates.iter().find(|found| found.id == scene.key.id).map(|found| found.secrets.iter().count());
        let is_open = seen.owner.record.open && seen.organization.open;
        match self {
            Self::Create => seen.keys.len() == 3 && key.is_some_and(|key| key.expiry_latched),
            Self::Import => seen.keys.len() == 3,
            Self::Edit => key.is_some_and(|key| key.name.as_str() == "renamed"),
            Self::Disable => state(KeyState::Suspended),
            Self::Enable => state(KeyState::Active),
            Self::Revoke => state(KeyState::Revoked),
            Self::Flag | Self::ReportCurrent => state(KeyState::Compromised),
            Self::ReportRotatedOut => state(KeyState::Active) && secrets() == Some(1),
            Self::Rotate => secrets() == Some(2),
            Self::Delete => key.is_none(),
            // The keys are revoked after, in transactions of their own.
            Self::CloseOwner | Self::CloseOrganization => !is_open,
            Self::ReopenOwner | Self::ReopenOrganization => is_open && seen.keys.iter().all(|key| key.state == KeyState::Revoked),
            Self::SetActiveLimit => seen.owner.record.limit == Some(ActiveLimit::AtMost(7)),
        }
    }
}

/// An owner with two keys, and what the command is about.
struct Scene {
    fixture: Fixture,
    gate: Gate,
    key: Key,
    credential: String,
}

impl Scene {
    async fn new(command: Command, store: impl Store) -> Self {
        let gate = Gate::new(store);
        let policy = Policy::builder().imports(GuessLimit::default()).build().unwrap();
        let fixture = Fixture::on(gate.clone(), policy).unwrap();
        let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
        let issued = clove.create(owner, named("first").expiry(Expiry::Days(30)), by).await.unwrap();
        let second = clove.create(owner, named("second"), by).await.unwrap().key;
        let (mut key, credential) = (issued.key, issued.credential.unwrap().reveal().to_string());
        match command {
            // At the limit, with an expired key whose place can be given away.
            Command::Create => fixture.clock().advance(31 * DAY),
            Command::Import => drop(clove.disable(owner, second.id, by).await.unwrap()),
            Command::Enable => key = clove.disable(owner, key.id, by).await.unwrap().key.unwrap(),
            Command::ReportRotatedOut => key = clove.rotate(owner, key.id, 1, TimeDelta::hours(1), by).await.unwrap().key,
            // The flag stands, and no key is revoked yet.
            Command::ReopenOwner => {
                gate.interrupt(Gate::POINTS, Interruption::Hang, clove.close_owner(owner, by)).await;
            }
            Command::ReopenOrganization => {
                gate.interrupt(Gate::POINTS, Interruption::Hang, clove.close_organization(&owner.organization, by)).await;
            }
            _ => {}
        }
        Self { fixture, gate, key, credential }
    }

    async fn look(&self) -> Snapshot {
        let (clove, owner) = (&self.fixture.clove, &self.fixture.owner);
        // What was sent before it is written before it.
        self.gate.rehash(&[]).await.unwrap();
        let scope = Scope::from(&owner.organization);
        let keys = clove.list(&scope, &ListKeys { limit: Some(200), ..ListKeys::default() }).await.unwrap().items;
        let mut candidates = Vec::new();
        for key in &keys {
            candidates.push(self.gate.find_by_id(key.id).await.unwrap().unwrap());
        }
        let mut events = clove.audit(&scope, &ListAudit { limit: Some(200), ..ListAudit::default() }).await.unwrap().items;
        events.reverse();
        Snapshot {
            keys,
            candidates,
            owner: self.gate.owner(owner, clove.now()).await.unwrap().unwrap(),
            organization: self.gate.organization(&owner.organization).await.unwrap().unwrap(),
            events,
        }
    }
}

/// All that there is in the store.
#[derive(Debug, PartialEq)]
struct Snapshot {
    keys: Vec<Key>,
    candidates: Vec<Arc<Candidate>>,
    owner: OwnerFacts,
    organization: OrganizationRecord,
    events: Vec<AuditEvent>,
}

impl Snapshot {
    fn events_of(&self, operation: OperationId) -> usize {
        self.events.iter().filter(|event| event.operation == operation).count()
    }

    /// The trail, replayed, gives the states, revisions and flags, and the counts are those of the rows.
    fn assert_sound(&self) {
        let (mut states, mut revisions) = (BTreeMap::<KeyId, KeyState>::new(), BTreeMap::<KeyId, u64>::new());
        let (mut owner, mut organization) = (true, true);
        for event in &self.events {
            match event.action {
                Action::CloseOwner | Action::ReopenOwner => owner = event.action == Action::ReopenOwner,
                Action::CloseOrganization | Action::ReopenOrganization => {
                    organization = event.action == Action::ReopenOrganization;
                }
                _ => {}
            }
            let Some(audited) = &event.key else { continue };
            assert_eq!(states.get(&audited.id).copied(), audited.from, "{event:?}");
            *revisions.entry(audited.id).or_default() += u64::from(event.changed);
            match audited.to {
                Some(state) => states.insert(audited.id, state),
                None => states.remove(&audited.id),
            };
        }
        assert_eq!((self.owner.record.open, self.organization.open), (owner, organization));
        assert_eq!(self.keys.iter().map(|key| (key.id, key.state)).collect::<BTreeMap<_, _>>(), states);
        for key in &self.keys {
            assert_eq!(key.revision, revisions[&key.id], "{key:?}");
        }
        let held = self.keys.iter().filter(|key| key.holds_place()).count();
        assert_eq!((self.owner.record.held as usize, self.owner.record.records as usize), (held, self.keys.len()));
    }
}

/// Interrupts the command at each point in turn, until it comes to its end before.
async fn interrupted_at_each_point<S: Store>(command: Command, how: Interruption, make: impl Fn() -> S) {
    for point in 0.. {
        let scene = Scene::new(command, make()).await;
        let operation = OperationId::new(scene.fixture.clove.now());
        let by = scene.fixture.by.clone().operation(operation);
        let before = scene.look().await;
        before.assert_sound();
        let reached = scene.gate.interrupt(point, how, command.give(&scene, &by)).await;
        let context = format!("{command:?}, {how:?} at point {point}");

        let seen = scene.look().await;
        seen.assert_sound();
        let done = seen.events_of(operation) == 1;
        if seen.events == before.events {
            assert_eq!(seen, before, "{context}: nothing without its event");
        }
        assert_eq!(command.holds(&scene, &seen), done, "{context}: half done");

        // The same handle, the same operation id.
        let told = command.give(&scene, &by).await.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(told.unwrap_or(!done), !done, "{context}: a secret is told to the call that made it");
        let after = scene.look().await;
        after.assert_sound();
        assert!(command.holds(&scene, &after), "{context}: not done after all");
        let closes = matches!(command, Command::CloseOwner | Command::CloseOrganization);
        assert!(!closes || after.keys.iter().all(|key| key.state == KeyState::Revoked), "{context}: keys left alive");
        assert_eq!(after.events_of(operation), 1, "{context}");
        command.give(&scene, &by).await.unwrap();
        assert_eq!(scene.look().await, after, "{context}: it acted twice");
        if !reached {
            assert!(point >= Gate::POINTS, "{context}: no call was interrupted");
            return;
        }
    }
}

async fn interrupted_in_memory(how: Interruption) {
    for command in Command::ALL {
        interrupted_at_each_point(command, how, MemoryStore::new).await;
    }
}

async fn interrupted_on_sqlite(how: Interruption) {
    let (folder, files) = (tempfile::tempdir().unwrap(), Cell::new(0));
    // An import goes the way of a creation, after a hash that takes long where nothing is optimized.
    for command in Command::ALL.into_iter().filter(|command| *command != Command::Import) {
        interrupted_at_each_point(command, how, || {
            files.set(files.get() + 1);
            SqliteStore::open(folder.path().join(format!("{}.db", files.get()))).unwrap()
        })
        .await;
    }
}

#[tokio::test]
async fn a_command_dropped_at_any_point_has_acted_whole_or_not_at_all_in_memory() {
    interrupted_in_memory(Interruption::Hang).await;
}

#[tokio::test]
async fn a_command_dropped_at_any_point_has_acted_whole_or_not_at_all_on_sqlite() {
    interrupted_on_sqlite(Interruption::Hang).await;
}

#[tokio::test]
async fn a_store_that_panics_at_any_point_leaves_the_handle_usable_and_nothing_half_done_in_memory() {
    interrupted_in_memory(Interruption::Panic).await;
}

#[tokio::test]
async fn a_store_that_panics_at_any_point_leaves_the_handle_usable_and_nothing_half_done_on_sqlite() {
    interrupted_on_sqlite(Interruption::Panic).await;
}

#[tokio::test]
async fn a_command_dropped_before_it_came_to_the_store_has_not_acted() {
    for command in Command::ALL {
        let scene = Scene::new(command, MemoryStore::new()).await;
        let by = scene.fixture.by.clone().operation(OperationId::new(scene.fixture.clove.now()));
        let before = scene.look().await;
        drop(command.give(&scene, &by));
        if command == Command::Import {
            // It waits for the slow hash of its secret first.
            assert!(poll_and_drop(command.give(&scene, &by)).is_pending());
        }
        assert_eq!(scene.look().await, before);
        command.give(&scene, &by).await.unwrap();
        assert!(command.holds(&scene, &scene.look().await), "{command:?}");
    }
}
