//! Closing and reopening owners and organizations: someone leaves, an account is deleted.

use super::{
    Clove,
    decide::{Order, Subject, replay},
};
use crate::{
    audit::{Action, By},
    error::{Error, Refusal},
    id::{KeyId, OrganizationId, Owner, Scope},
    key::KeyState,
    lifecycle::{Effect, effect},
    store::{Changes, Decision, Facts, KeyChange, OrganizationRecord, Reads},
};

/// How many keys one transaction revokes.
const BATCH: usize = 256;

/// What closing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Whether it was open before.
    pub changed: bool,
    /// How many keys were revoked.
    pub revoked: usize,
}

impl Clove {
    /// Cuts off an owner: from the return of the flag's transaction on, none of its keys is granted and none can be created
    /// or enabled. Then its keys are revoked, in batches. If that is interrupted, the owner stays closed: close again.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn close_owner(&self, owner: &Owner, by: &By) -> Result<Closed, Error> {
        self.close(owner.into(), by).await
    }

    /// Cuts off an organization with all its owners, as [`Clove::close_owner`] does one.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn close_organization(&self, organization: &OrganizationId, by: &By) -> Result<Closed, Error> {
        self.close(organization.into(), by).await
    }

    /// Opens an owner again. It revives no key: what closing has not yet revoked is revoked first.
    ///
    /// # Errors
    /// [`Refusal::Unreadable`] while a key that may live cannot be read; the store's failure.
    pub async fn reopen_owner(&self, owner: &Owner, by: &By) -> Result<bool, Error> {
        self.reopen(owner.into(), by).await
    }

    /// Opens an organization again; owners that were closed by themselves stay closed. It revives no key.
    ///
    /// # Errors
    /// [`Refusal::Unreadable`] while a key that may live cannot be read; the store's failure.
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
        let changed = changed(decision)?;
        Ok(Closed { changed, revoked: self.revoke_closed(&scope, &order).await? })
    }

    async fn reopen(&self, scope: Scope, by: &By) -> Result<bool, Error> {
        let order = Order::new(by, self.now());
        let action = action(&scope, true);
        loop {
            self.revoke_closed(&scope, &order).await?;
            // From the first key on: what another call let live meanwhile may have an id below the last one revoked here.
            let reads = batch_reads(&scope, None, 1);
            let flagged = scope.clone();
            let decision = self
                .run(order.later(), reads, move |order, facts| {
                    replay(facts, order, action, &flagged, None).unwrap_or_else(|| {
                        let open = is_open(facts);
                        if !open && !facts.keys.is_empty() {
                            // Not all are revoked yet.
                            return Decision::Commit(Changes::default());
                        }
                        if let Some(id) = facts.passed_over.filter(|_| !open) {
                            return Decision::Refuse(Refusal::Unreadable { id });
                        }
                        Decision::Commit(set_flag(true, order, action, &flagged, facts))
                    })
                })
                .await?;
            if !matches!(&decision, Decision::Commit(changes) if changes.events.is_empty()) {
                return changed(decision);
            }
        }
    }

    /// Revokes what lives behind a closed flag, batch by batch, each after the keys of the one before; does nothing where the
    /// flag is open.
    ///
    /// No key slips through below the last one: while the flag stands, none is created or enabled, whatever its id. Where it
    /// did not stand all the while, another call has reopened, and the transaction that reopens looks for itself.
    async fn revoke_closed(&self, scope: &Scope, order: &Order) -> Result<usize, Error> {
        let (mut revoked, mut after) = (0, None);
        loop {
            let decision = self.run(order.next(), batch_reads(scope, after, BATCH), revoke_batch).await?;
            match decision {
                Decision::Commit(changes) => {
                    let Some(KeyChange::Update { key, .. }) = changes.keys.last() else { return Ok(revoked) };
                    after = Some(key.id);
                    revoked += changes.keys.len();
                }
                // A batch that is already done under its operation id, after an unknown outcome. Its event names its first key.
                Decision::Replay(event, _) => after = event.key.map(|audited| audited.id).or(after),
                Decision::Refuse(refusal) => return Err(refusal.into()),
            }
        }
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

fn revoke_batch(order: &Order, facts: &Facts) -> Decision {
    if let Some(event) = &facts.replayed {
        // The operation id is of this call's making: whatever stands under it is this batch.
        return Decision::Replay(Box::new(event.clone()), None);
    }
    let mut changes = Changes::default();
    if is_open(facts) {
        return Decision::Commit(changes);
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
        changes.keys.push(KeyChange::Update { key, secrets: None });
    }
    changes.owners = owners;
    Decision::Commit(changes)
}

/// Opens or closes what the scope names, whether the rest of an owner's row can be read or not.
fn set_flag(open: bool, order: &Order, action: Action, scope: &Scope, facts: &Facts) -> Changes {
    let subject = match scope {
        Scope::Owner(owner) => Subject::Owner(owner),
        Scope::Organization(organization) => Subject::Organization(organization),
    };
    let mut changes = Changes { events: vec![order.event(action, subject, is_open(facts) != open, "")], ..Changes::default() };
    let organization = |open| Some(OrganizationRecord { id: scope.organization().clone(), open });
    match scope {
        Scope::Owner(owner) => {
            changes.owner_flag = Some((owner.clone(), open));
            changes.organization = if facts.organization.is_none() { organization(true) } else { None };
        }
        Scope::Organization(_) => changes.organization = organization(open),
    }
    changes
}

fn is_open(facts: &Facts) -> bool {
    facts.open.unwrap_or(true)
}

fn action(scope: &Scope, open: bool) -> Action {
    match (scope, open) {
        (Scope::Owner(_), false) => Action::CloseOwner,
        (Scope::Owner(_), true) => Action::ReopenOwner,
        (Scope::Organization(_), false) => Action::CloseOrganization,
        (Scope::Organization(_), true) => Action::ReopenOrganization,
    }
}
