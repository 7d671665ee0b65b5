//! Closing and reopening owners and organizations: someone leaves, an account is deleted.

use super::{
    Clove,
    decide::{Order, Subject, replay},
    fences::Fence,
};
use crate::{
    audit::{Action, By},
    error::{Error, Refusal},
    id::{KeyId, OrganizationId, Owner, Scope},
    key::KeyState,
    lifecycle::{Effect, effect},
    store::{Changes, Decision, EpochShard, Facts, Flag, KeyChange, OrganizationRecord, Reads},
};
use std::collections::BTreeSet;

/// How many keys one transaction revokes.
const BATCH: usize = 256;

/// What closing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Whether it was open before, or nobody could tell.
    pub changed: bool,
    /// How many keys this call revoked, at least: of a batch of up to 256, one is counted where the store lost its answer.
    pub revoked: usize,
    /// The first key that could not be revoked, since it or its owner cannot be read. Behind the closed flag it is granted to nobody;
    /// while it stays, reopening is refused: revoke or delete it.
    pub unreadable: Option<KeyId>,
}

impl Clove {
    /// Cuts off an owner: from the return of the flag's transaction on, none of its keys is granted and none can be created
    /// or enabled. Then its keys are revoked, in batches. If that is interrupted, the owner stays closed: close again. What cannot
    /// be read of its row or its keys keeps it from nothing: [`Closed::unreadable`] tells of it.
    ///
    /// # Errors
    /// The store's failure; [`Error::OutcomeUnknown`] where it came once the owner was closed: repeated, the rest is revoked.
    pub async fn close_owner(&self, owner: &Owner, by: &By) -> Result<Closed, Error> {
        self.close(owner.into(), by).await
    }

    /// Cuts off an organization with all its owners, as [`Clove::close_owner`] does one.
    ///
    /// # Errors
    /// As [`Clove::close_owner`].
    pub async fn close_organization(&self, organization: &OrganizationId, by: &By) -> Result<Closed, Error> {
        self.close(organization.into(), by).await
    }

    /// Opens an owner again. It revives no key: what closing has not yet revoked is revoked first, even where reopening is refused
    /// then.
    ///
    /// # Errors
    /// [`Refusal::Unreadable`] while a key that may live cannot be read; [`Refusal::FlagUnreadable`] where it cannot be read whether
    /// the owner is open; the store's failure, [`Error::OutcomeUnknown`] where it came once keys were revoked.
    pub async fn reopen_owner(&self, owner: &Owner, by: &By) -> Result<bool, Error> {
        self.reopen(owner.into(), by).await
    }

    /// Opens an organization again; owners that were closed by themselves stay closed. It revives no key.
    ///
    /// # Errors
    /// As [`Clove::reopen_owner`].
    pub async fn reopen_organization(&self, organization: &OrganizationId, by: &By) -> Result<bool, Error> {
        self.reopen(organization.into(), by).await
    }

    async fn close(&self, scope: Scope, by: &By) -> Result<Closed, Error> {
        let order = Order::new(by, self.now());
        let action = action(&scope, false);
        let reads = Reads::Flag(scope.clone());
        let flagged = scope.clone();
        let decision = self
            .run(order.clone(), reads, move |order, facts| {
                replay(facts, order, action, &flagged, None)
                    .unwrap_or_else(|| Decision::Commit(set_flag(false, order, action, &flagged, facts)))
            })
            .await?;
        let mut closed = Closed { changed: changed(decision)?, ..Closed::default() };
        match self.revoke_closed(&scope, &order, &mut closed).await {
            Ok(()) => Ok(closed),
            Err(error) => Err(resumable(error, &order, true)),
        }
    }

    async fn reopen(&self, scope: Scope, by: &By) -> Result<bool, Error> {
        let order = Order::new(by, self.now());
        let mut closed = Closed::default();
        let reopened = self.reopen_closed(&scope, &order, &mut closed).await;
        reopened.map_err(|error| resumable(error, &order, closed.revoked > 0))
    }

    async fn reopen_closed(&self, scope: &Scope, order: &Order, closed: &mut Closed) -> Result<bool, Error> {
        let action = action(scope, true);
        loop {
            self.revoke_closed(scope, order, closed).await?;
            // From the first key on: what another call let live meanwhile may have an id below the last one revoked here.
            let reads = batch_reads(scope, None, 1);
            let flagged = scope.clone();
            let decision = self
                .run_behind(Fence::around(scope.clone()), order.later(), reads, move |order, facts| {
                    replay(facts, order, action, &flagged, None).unwrap_or_else(|| open_again(order, action, &flagged, facts))
                })
                .await?;
            if !matches!(&decision, Decision::Commit(changes) if changes.events.is_empty()) {
                return changed(decision);
            }
        }
    }

    /// Revokes what lives behind a closed flag, batch by batch, each after the keys of the one before, and tells it in `closed`;
    /// does nothing where the flag is not known to be closed.
    ///
    /// No key slips through below the last one: while the flag stands, none is created or enabled, whatever its id. Where it
    /// did not stand all the while, another call has reopened, and the transaction that reopens looks for itself.
    async fn revoke_closed(&self, scope: &Scope, order: &Order, closed: &mut Closed) -> Result<(), Error> {
        let mut after = None;
        loop {
            let told = closed.unreadable.is_some();
            let revoke = move |order: &Order, facts: &Facts| revoke_batch(order, facts, told);
            match self.run(order.next(), batch_reads(scope, after, BATCH), revoke).await? {
                Decision::Commit(changes) => {
                    let Some(KeyChange::Update { key, .. }) = changes.keys.last() else { return Ok(()) };
                    after = Some(key.id);
                    closed.revoked += changes.keys.len();
                }
                // A batch that is already done under its operation id, after an unknown outcome. Its event names its first key.
                Decision::Replay(event, _) => {
                    after = event.key.map(|audited| audited.id).or(after);
                    closed.revoked += 1;
                }
                Decision::Refuse(Refusal::Unreadable { id }) => closed.unreadable = Some(id),
                Decision::Refuse(refusal) => return Err(refusal.into()),
            }
        }
    }
}

/// The failure of a command in several transactions, some of which may be done: repeated, it goes on. A batch's own operation id is
/// none that a caller could repeat it under.
fn resumable(error: Error, order: &Order, begun: bool) -> Error {
    match error {
        Error::OutcomeUnknown { source, .. } => Error::OutcomeUnknown { operation: order.operation, source },
        Error::Store(source) if begun => Error::OutcomeUnknown { operation: order.operation, source },
        error => error,
    }
}

fn batch_reads(scope: &Scope, after: Option<KeyId>, limit: usize) -> Reads {
    Reads::Batch { scope: scope.clone(), states: vec![KeyState::Active, KeyState::Suspended], after, limit }
}

fn changed(decision: Decision) -> Result<bool, Error> {
    match decision {
        Decision::Commit(changes) => Ok(changes.events.iter().any(|event| event.changed)),
        Decision::Replay(event, _) => Ok(event.changed),
        Decision::Refuse(refusal) => Err(refusal.into()),
    }
}

/// Revokes a batch's keys. The first that cannot be read is told by a refusal, once: what is committed tells of changes alone.
fn revoke_batch(order: &Order, facts: &Facts, told: bool) -> Decision {
    if let Some(event) = &facts.replayed {
        // The operation id is of this call's making: whatever stands under it is this batch.
        return Decision::Replay(Box::new(event.clone()), None);
    }
    let mut changes = Changes::default();
    if facts.flag != Some(Flag::Closed) {
        return Decision::Commit(changes);
    }
    if let Some(id) = facts.passed_over.filter(|_| !told) {
        return Decision::Refuse(Refusal::Unreadable { id });
    }
    let mut owners = facts.owners.clone();
    for stored in &facts.keys {
        let before = &stored.key;
        let Effect::Becomes(state) = effect(Action::Revoke, before.state, before.expiry_latched) else { continue };
        if before.holds_place()
            && let Some(owner) = owners.iter_mut().find(|owner| owner.owner == before.owner)
        {
            owner.held = owner.held.saturating_sub(1);
        }
        // The first event is the batch's own, under its operation id.
        let own = if changes.events.is_empty() { order.clone() } else { order.next() };
        let subject = Subject::Key(before, Some(before.state), Some(state));
        changes.events.push(own.event(Action::Revoke, subject, true, "its owner or organization was closed"));
        let mut key = before.clone();
        key.state = state;
        key.revision = key.revision.saturating_add(1);
        changes.outdates.insert(EpochShard::of(&key.owner));
        changes.keys.push(KeyChange::Update { key, secrets: None });
    }
    changes.owners = owners;
    Decision::Commit(changes)
}

/// Opens what the scope names, unless that might revive a key; commits nothing while some are yet to be revoked.
fn open_again(order: &Order, action: Action, scope: &Scope, facts: &Facts) -> Decision {
    let lives = !facts.keys.is_empty();
    match (facts.flag, facts.passed_over) {
        (Some(Flag::Unreadable), _) => Decision::Refuse(Refusal::FlagUnreadable),
        // Its row is lost: what has never been closed has one from its first key on.
        (None, passed_over) if lives || passed_over.is_some() => Decision::Refuse(Refusal::FlagUnreadable),
        (Some(Flag::Closed), _) if lives => Decision::Commit(Changes::default()),
        (Some(Flag::Closed), Some(id)) => Decision::Refuse(Refusal::Unreadable { id }),
        _ => Decision::Commit(set_flag(true, order, action, scope, facts)),
    }
}

/// Opens or closes what the scope names, whatever else of its row can be read.
fn set_flag(open: bool, order: &Order, action: Action, scope: &Scope, facts: &Facts) -> Changes {
    let changed = facts.flag.unwrap_or(Flag::Open) != Flag::from(open);
    let event = |subject| vec![order.event(action, subject, changed, "")];
    let outdates = BTreeSet::from([EpochShard::of_scope(scope)]);
    match scope {
        Scope::Owner(owner) => {
            let events = event(Subject::Owner(owner));
            Changes { owner_flag: Some((owner.clone(), open)), events, outdates, ..Changes::default() }
        }
        Scope::Organization(id) => Changes {
            organization: Some(OrganizationRecord { id: id.clone(), open }),
            events: event(Subject::Organization(id)),
            outdates,
            ..Changes::default()
        },
    }
}

fn action(scope: &Scope, open: bool) -> Action {
    match (scope, open) {
        (Scope::Owner(_), false) => Action::CloseOwner,
        (Scope::Owner(_), true) => Action::ReopenOwner,
        (Scope::Organization(_), false) => Action::CloseOrganization,
        (Scope::Organization(_), true) => Action::ReopenOrganization,
    }
}
