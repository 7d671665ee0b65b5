//! What each command makes of the facts: pure functions that a store calls inside its transaction.

use crate::{
    audit::{Action, Arguments, AuditEvent, AuditedKey, By, Role},
    error::Refusal,
    id::{AuditId, KeyId, OperationId, OrganizationId, Owner, Scope},
    key::{Key, KeyState, Name},
    lifecycle::{Effect, effect_on},
    limit::LimitChoice,
    policy::Policy,
    secret::SecretFormat,
    store::{ActiveLimit, Changes, Decision, EpochShard, Facts, KeyChange, OrganizationRecord, OwnerRecord, Remains, StoredKey},
};
use chrono::{DateTime, Days, NaiveTime, Utc};

/// Who gives a command, when, and under which operation id.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) operation: OperationId,
    /// The id of the event that the command writes, made once a call: whatever event stands under the operation id, by its
    /// own id a call knows whether it was this call's transaction that wrote it.
    pub(super) event: AuditId,
    pub(super) now: DateTime<Utc>,
    arguments: Arguments,
    by: By,
}

impl Order {
    pub(super) fn new(by: &By, now: DateTime<Utc>) -> Self {
        let operation = by.operation.unwrap_or_else(|| OperationId::new(now));
        Self { operation, event: AuditId::new(now), now, arguments: Arguments::default(), by: by.clone() }
    }

    /// The command's arguments beside the key and the scope.
    pub(super) fn given(self, arguments: impl IntoIterator<Item = Option<String>>) -> Self {
        Self { arguments: Arguments::of(self.operation, arguments), ..self }
    }

    /// Whether it may be a repetition: only a caller's own operation id can have been used before.
    pub(super) fn may_repeat(&self) -> bool {
        self.by.operation.is_some()
    }

    /// The same actor and reason under a fresh operation id.
    pub(super) fn next(&self) -> Self {
        Self { operation: OperationId::new(self.now), arguments: Arguments::default(), ..self.later() }
    }

    /// The same command, whose event stands behind those made until now.
    pub(super) fn later(&self) -> Self {
        Self { event: AuditId::new(self.now), ..self.clone() }
    }

    /// The same order, with no secret of these formats in its reason.
    pub(super) fn masked(mut self, formats: &[SecretFormat]) -> Self {
        self.by.reason.mask(formats);
        self
    }

    pub(super) fn role(&self) -> Role {
        self.by.role
    }

    /// The command's own audit event.
    pub(super) fn event(&self, action: Action, subject: Subject<'_>, changed: bool, detail: impl Into<String>) -> AuditEvent {
        let (organization, account, key) = match subject {
            Subject::Organization(organization) => (organization, None, None),
            Subject::Owner(owner) => (&owner.organization, Some(owner.account.clone()), None),
            Subject::Key(key, from, to) => {
                let audited = AuditedKey { id: key.id, name: key.name.clone(), from, to };
                (&key.owner.organization, Some(key.owner.account.clone()), Some(audited))
            }
            Subject::Remains(key, to) => {
                let name = key.name.clone().unwrap_or_else(Name::unreadable);
                let audited = AuditedKey { id: key.id, name, from: key.state, to };
                (&key.owner.organization, Some(key.owner.account.clone()), Some(audited))
            }
        };
        AuditEvent {
            id: self.event,
            operation: self.operation,
            at: self.now,
            actor: self.by.actor.clone(),
            reason: self.by.reason.clone(),
            action,
            organization: organization.clone(),
            account,
            key,
            changed,
            detail: detail.into(),
            arguments: self.arguments,
        }
    }
}

/// What an event speaks of.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    Organization(&'a OrganizationId),
    Owner(&'a Owner),
    /// A key, its state before and its state after.
    Key(&'a Key, Option<KeyState>, Option<KeyState>),
    /// A key that could not be read, and its state after.
    Remains(&'a Remains, Option<KeyState>),
}

/// A command that was carried out before answers with what it did, if it was this one: the same action, within the scope
/// that it is given for now, on the same key, with the same arguments. To answer another with it would say that something was
/// done which never was.
///
/// Every command asks here, the batches of a close excepted, whose operation ids no caller chooses. The scope is asked of the
/// event and not of the key: a deletion has left no key to ask. An operation id of a foreign event is refused in the words for
/// one used up at home, which say no more than that the caller cannot have it: not where it was used, nor for which key.
pub(super) fn replay(facts: &Facts, order: &Order, action: Action, scope: &Scope, key: Option<KeyId>) -> Option<Decision> {
    let event = facts.replayed.as_ref()?;
    let same = event.action == action
        && event.lies_within(scope)
        && event.arguments == order.arguments
        && key.is_none_or(|key| event.key.as_ref().is_some_and(|audited| audited.id == key));
    if !same {
        return Some(Decision::Refuse(Refusal::OperationReused { operation: event.operation }));
    }
    let current = facts.keys.first().map(|stored| Box::new(stored.clone()));
    Some(Decision::Replay(Box::new(event.clone()), current))
}

/// The rows of one owner as a command leaves them.
pub(super) struct Books {
    pub(super) owner: OwnerRecord,
    organization: OrganizationRecord,
    organization_is_new: bool,
    latched: Vec<Key>,
    /// What of the owner's row every verification goes by, as it was.
    before: (bool, Option<ActiveLimit>, LimitChoice),
}

impl Books {
    pub(super) fn of(facts: &Facts, owner: &Owner) -> Self {
        let record = facts.owners.iter().find(|record| record.owner == *owner).cloned();
        let organization = facts.organization.clone();
        let owner_record = record.unwrap_or_else(|| OwnerRecord::new(owner.clone()));
        Self {
            before: verified_by(&owner_record),
            owner: owner_record,
            organization_is_new: organization.is_none(),
            organization: organization.unwrap_or_else(|| OrganizationRecord { id: owner.organization.clone(), open: true }),
            latched: Vec::new(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.owner.open && self.organization.open
    }

    pub(super) fn require_open(&self) -> Result<(), Refusal> {
        if self.is_open() { Ok(()) } else { Err(Refusal::OwnerClosed) }
    }

    /// Takes a place for an active key. At the limit, and only then, the places of expired keys are given away.
    pub(super) fn take_place(&mut self, policy: &Policy, facts: &Facts) -> Result<(), Refusal> {
        if let ActiveLimit::AtMost(limit) = self.owner.limit.unwrap_or(policy.active_limit)
            && self.owner.held >= limit
        {
            self.latched =
                facts.expired.iter().filter(|key| key.owner == self.owner.owner && key.holds_place()).cloned().collect();
            let freed = u32::try_from(self.latched.len()).unwrap_or(u32::MAX);
            self.owner.held = self.owner.held.saturating_sub(freed);
            if self.owner.held >= limit {
                return Err(Refusal::LimitReached { active: self.owner.held, limit });
            }
        }
        self.owner.held = self.owner.held.saturating_add(1);
        Ok(())
    }

    /// Counts a new record, on the UTC day of `now`. A clock that steps back by a day at most does not begin the day anew; a day
    /// that lies further ahead was counted by a wrong clock, and would shut the owner out until it comes.
    pub(super) fn add_record(&mut self, policy: &Policy, now: DateTime<Utc>) -> Result<(), Refusal> {
        let owner = &mut self.owner;
        if let Some(limit) = policy.max_records.filter(|limit| owner.records >= *limit) {
            return Err(Refusal::TooManyRecords { records: owner.records, limit });
        }
        let today = now.date_naive();
        let tomorrow = today.checked_add_days(Days::new(1)).unwrap_or(today);
        if owner.creation_day.is_none_or(|day| day < today || day > tomorrow) {
            (owner.creation_day, owner.creations) = (Some(today), 0);
        }
        if let Some(limit) = policy.max_creations_per_day.filter(|limit| owner.creations >= *limit) {
            let day = owner.creation_day.unwrap_or(today);
            let resets_at = day.checked_add_days(Days::new(1)).unwrap_or(day).and_time(NaiveTime::MIN).and_utc();
            return Err(Refusal::TooManyCreations { limit, resets_at });
        }
        owner.records = owner.records.saturating_add(1);
        owner.creations = owner.creations.saturating_add(1);
        Ok(())
    }

    /// Gives back the place of a key that no longer is as `before`.
    pub(super) fn release(&mut self, before: &Key) {
        if before.holds_place() {
            self.owner.held = self.owner.held.saturating_sub(1);
        }
    }

    /// All that is to be written: a key's change, the command's event, and the expiries latched on the way.
    pub(super) fn commit(self, order: &Order, change: Option<KeyChange>, event: AuditEvent) -> Decision {
        let mut changes = Changes { events: vec![event], ..Changes::default() };
        // What is new is remembered by nobody.
        let is_old = change.as_ref().is_some_and(|change| !matches!(change, KeyChange::Insert(_)));
        if is_old || !self.latched.is_empty() || self.before != verified_by(&self.owner) {
            changes.outdates.insert(EpochShard::of(&self.owner.owner));
        }
        for mut key in self.latched {
            let detail = "expired; its place was given to another key";
            let own = order.next();
            changes.events.push(own.event(
                Action::LatchExpiry,
                Subject::Key(&key, Some(key.state), Some(key.state)),
                true,
                detail,
            ));
            key.expiry_latched = true;
            key.revision = key.revision.saturating_add(1);
            changes.keys.push(KeyChange::Update { key, secrets: None });
        }
        changes.keys.extend(change);
        changes.organization = self.organization_is_new.then_some(self.organization);
        changes.owners.push(self.owner);
        Decision::Commit(changes)
    }
}

fn verified_by(record: &OwnerRecord) -> (bool, Option<ActiveLimit>, LimitChoice) {
    (record.open, record.limit, record.request_limits.clone())
}

/// The one key that a command is about.
pub(super) fn the_key(facts: &Facts) -> Result<&StoredKey, Refusal> {
    facts.keys.first().ok_or(Refusal::NotFound)
}

pub(super) fn decided(result: Result<Decision, Refusal>) -> Decision {
    result.unwrap_or_else(Decision::Refuse)
}

/// disable, enable, revoke, flag and delete.
pub(super) fn change_state(command: Action, order: &Order, policy: &Policy, facts: &Facts) -> Result<Decision, Refusal> {
    let before = &the_key(facts)?.key;
    let mut books = Books::of(facts, &before.owner);
    match effect_on(command, before, order.now) {
        Effect::Becomes(state) => {
            if state == KeyState::Active {
                books.require_open()?;
                books.take_place(policy, facts)?;
            } else {
                books.release(before);
            }
            let mut key = before.clone();
            key.state = state;
            key.revision = key.revision.saturating_add(1);
            let event = order.event(command, Subject::Key(before, Some(before.state), Some(state)), true, "");
            Ok(books.commit(order, Some(KeyChange::Update { key, secrets: None }), event))
        }
        Effect::Gone => {
            books.release(before);
            books.owner.records = books.owner.records.saturating_sub(1);
            let event = order.event(command, Subject::Key(before, Some(before.state), None), true, "");
            Ok(books.commit(order, Some(KeyChange::Delete(before.id)), event))
        }
        Effect::NoChange | Effect::NewSecret { .. } => {
            let event = order.event(command, Subject::Key(before, Some(before.state), Some(before.state)), false, "");
            Ok(books.commit(order, None, event))
        }
        Effect::Refused => Err(not_allowed(command, before, order, policy)),
    }
}

pub(super) fn not_allowed(command: Action, key: &Key, order: &Order, policy: &Policy) -> Refusal {
    let status = key.status(order.now);
    Refusal::NotAllowed { command, status, offered: policy.offered(order.role(), status) }
}

/// An edit or a rotation names the revision that it is based on.
pub(super) fn require_revision(key: &Key, expected: u64) -> Result<(), Refusal> {
    if key.revision == expected { Ok(()) } else { Err(Refusal::RevisionConflict { expected, found: key.revision }) }
}
