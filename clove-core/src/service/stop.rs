//! Commands that kill: disable, revoke, flag, delete. None is refused for what the key is, nor for the time, nor for a row that
//! cannot be read, as long as it tells whose it is.

use super::{
    Clove,
    decide::{Order, Subject, decided, replay},
};
use crate::{
    audit::{Action, By},
    error::{Error, Refusal, StoreError},
    id::{KeyId, Scope},
    key::{Key, KeyState},
    lifecycle::{Effect, effect},
    store::{Changes, Decision, EpochShard, Facts, KeyChange, Reads},
};

/// What a command that kills did to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The key as it is now; `None` where it has gone since, or its row cannot be read. It is stopped all the same.
    pub key: Option<Key>,
    /// Whether the command changed it; false where the target already held.
    pub changed: bool,
}

impl Clove {
    /// Switches a key off until it is enabled. Never refused; "no change" if it is off already.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]; [`Refusal::Unreadable`] where its state cannot be read: revoke or delete it; or the store's failure.
    pub async fn disable(&self, scope: impl Into<Scope>, id: KeyId, by: &By) -> Result<Stopped, Error> {
        self.kill(Action::Disable, scope.into(), id, by).await
    }

    /// Switches a key off for good; its record stays. Never refused.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], or the store's failure.
    pub async fn revoke(&self, scope: impl Into<Scope>, id: KeyId, by: &By) -> Result<Stopped, Error> {
        self.kill(Action::Revoke, scope.into(), id, by).await
    }

    /// Marks a key as known to others: it is off for good. Never refused.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], or the store's failure.
    pub async fn flag_compromised(&self, scope: impl Into<Scope>, id: KeyId, by: &By) -> Result<Stopped, Error> {
        self.kill(Action::FlagCompromised, scope.into(), id, by).await
    }

    /// Removes a key and its secrets; the audit trail stays. Never refused.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], or the store's failure.
    pub async fn delete(&self, scope: impl Into<Scope>, id: KeyId, by: &By) -> Result<(), Error> {
        self.kill(Action::Delete, scope.into(), id, by).await.map(drop)
    }

    async fn kill(&self, command: Action, scope: Scope, id: KeyId, by: &By) -> Result<Stopped, Error> {
        let order = Order::new(by, self.now());
        let by_row = self.change_state(command, scope.clone(), id, order.clone()).await;
        let decision = self.or_stop_remains(by_row, command, scope.clone(), id, order).await?;
        let (key, changed) = match decision {
            Decision::Commit(changes) => match changes.keys.into_iter().next_back() {
                Some(KeyChange::Update { key, .. }) => (Some(key), true),
                change => (None, change.is_some()),
            },
            Decision::Replay(event, current) => (current.map(|stored| stored.key), event.changed),
            Decision::Refuse(refusal) => return Err(refusal.into()),
        };
        let key = match key {
            // What the command did is known; that the key cannot be shown now is no failure of it.
            None if command != Action::Delete => self.inner.store.get(&scope, id).await.ok().flatten(),
            key => key,
        };
        Ok(Stopped { key, changed })
    }

    /// What was decided by the whole row; where that could not be read, kills the key by what is left of its row, of its owner's
    /// and of its organization's.
    pub(super) async fn or_stop_remains(
        &self,
        by_row: Result<Decision, Error>,
        command: Action,
        scope: Scope,
        id: KeyId,
        order: Order,
    ) -> Result<Decision, Error> {
        let Err(Error::Store(StoreError::Corrupt { .. })) = by_row else { return by_row };
        let reads = Reads::Remains { scope: scope.clone(), id };
        self.run(order, reads, move |order, facts| {
            replay(facts, order, command, &scope, Some(id)).unwrap_or_else(|| decided(stop(command, order, facts)))
        })
        .await
    }
}

/// Whether the key held a place may be told by what cannot be read, so the owner's counts are made anew from the other rows. An
/// owner's row that cannot be read stays as it is.
fn stop(command: Action, order: &Order, facts: &Facts) -> Result<Decision, Refusal> {
    let remains = facts.remains.as_ref().ok_or(Refusal::NotFound)?;
    let state = match (remains.state, command) {
        (Some(state), _) => state,
        // It might have been revoked: suspended, it could be enabled.
        (None, Action::Disable) => return Err(Refusal::Unreadable { id: remains.id }),
        (None, _) => KeyState::Active,
    };
    let (to, change) = match effect(command, state, false) {
        Effect::Becomes(state) => {
            let revision = remains.revision.unwrap_or_default().saturating_add(1);
            (Some(state), Some(KeyChange::Stop { id: remains.id, state, revision }))
        }
        Effect::Gone => (None, Some(KeyChange::Delete(remains.id))),
        Effect::NoChange | Effect::NewSecret { .. } | Effect::Refused => (remains.state, None),
    };
    let mut owner = facts.owners.first().cloned();
    if let Some(owner) = &mut owner {
        (owner.held, owner.records) = (remains.others_held, remains.others.saturating_add(u32::from(to.is_some())));
    }
    let detail = "what is stored of the key or its owner could not be read";
    let event = order.event(command, Subject::Remains(remains, to), change.is_some(), detail);
    let outdates = change.iter().map(|_| EpochShard::of(&remains.owner)).collect();
    let (owners, keys) = (owner.into_iter().collect(), change.into_iter().collect());
    Ok(Decision::Commit(Changes { owners, keys, events: vec![event], outdates, ..Changes::default() }))
}
