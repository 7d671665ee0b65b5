//! Commands on existing keys and on limits, and how every command is run.

use super::{
    Clove,
    decide::{Books, Order, Subject, change_state, decided, replay, require_revision, the_key},
    detail,
    fences::Fence,
};
use crate::{
    audit::{Action, By, Role},
    capability::CapabilitySet,
    error::{Error, Invalid, Refusal, StoreError, Unique, size},
    id::{KeyId, Owner, Scope},
    key::{Description, Key, Metadata, Name},
    limit::LimitChoice,
    store::{ActiveLimit, Decision, Facts, KeyChange, OwnerRecord, Reads, Transaction},
};
use chrono::{DateTime, Utc};
use std::{fmt, sync::Arc};

/// How often a transaction with an unknown outcome is run again.
const MAX_RERUNS: usize = 3;

/// What a command did to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The key as it is now.
    pub key: Key,
    /// Whether the command changed it; false where the target already held.
    pub changed: bool,
}

/// What to change of a key; what is not named stays.
#[derive(Clone, Default)]
pub struct Edit {
    name: Option<Name>,
    description: Option<Description>,
    metadata: Option<Metadata>,
    capabilities: Option<CapabilitySet>,
    limits: Option<LimitChoice>,
}

impl fmt::Debug for Edit {
    /// Texts by their size: nobody has looked for secrets in them yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit")
            .field("name", &self.name.as_ref().map(|name| size(name.as_str())))
            .field("description", &self.description.as_ref().map(|description| size(description.as_str())))
            .field("metadata", &self.metadata)
            .field("capabilities", &self.capabilities)
            .field("limits", &self.limits)
            .finish()
    }
}

impl Edit {
    /// Changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// A new name.
    #[must_use]
    pub fn name(mut self, name: Name) -> Self {
        self.name = Some(name);
        self
    }
    /// A new description.
    #[must_use]
    pub fn description(mut self, description: Description) -> Self {
        self.description = Some(description);
        self
    }
    /// New metadata.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = Some(metadata);
        self
    }
    /// New capabilities, all within what the actor may grant.
    #[must_use]
    pub fn capabilities(mut self, capabilities: CapabilitySet) -> Self {
        self.capabilities = Some(capabilities);
        self
    }

    /// New request limits; by an actor that may set them.
    #[must_use]
    pub fn limits(mut self, limits: LimitChoice) -> Self {
        self.limits = Some(limits);
        self
    }

    fn arguments(&self) -> [Option<String>; 5] {
        [
            self.name.as_ref().map(|name| name.as_str().to_owned()),
            self.description.as_ref().map(|description| size(description.as_str())),
            self.metadata.as_ref().map(|metadata| size(metadata.as_str())),
            self.capabilities.as_ref().map(|capabilities| capabilities.as_str().to_owned()),
            self.limits.as_ref().map(LimitChoice::to_stored),
        ]
    }

    fn apply(&self, key: &mut Key) {
        fn set<T: Clone>(field: &mut T, new: Option<&T>) {
            if let Some(new) = new {
                field.clone_from(new);
            }
        }
        set(&mut key.name, self.name.as_ref());
        set(&mut key.description, self.description.as_ref());
        set(&mut key.metadata, self.metadata.as_ref());
        set(&mut key.capabilities, self.capabilities.as_ref());
        set(&mut key.limits, self.limits.as_ref());
    }
}

/// How many active keys an owner has; shown as "1 / 2 active keys".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ActiveKeys {
    /// Keys that are Active now.
    pub active: u32,
    /// How many may be.
    pub limit: ActiveLimit,
}

impl fmt::Display for ActiveKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            ActiveLimit::AtMost(limit) => write!(f, "{} / {limit} active keys", self.active),
            ActiveLimit::Unlimited => write!(f, "{} active keys", self.active),
        }
    }
}

impl Clove {
    /// Switches a suspended key on, if a place is free and its owner open. What the actor may grant is not asked: the key can do
    /// what it could before, for whoever holds its secret, and the actor learns nothing by it.
    ///
    /// # Errors
    /// [`Refusal`] if the key is not here, at the limit, its owner closed, or it is expired, compromised or revoked;
    /// otherwise the store's failure.
    pub async fn enable(&self, scope: impl Into<Scope>, id: KeyId, by: &By) -> Result<Applied, Error> {
        let scope = scope.into();
        let decision = self.change_state(Action::Enable, scope.clone(), id, Order::new(by, self.now())).await?;
        self.applied(decision, &scope, id).await
    }

    /// Changes a key's name, description, metadata, capabilities or request limits, if it still is at `revision`.
    ///
    /// # Errors
    /// [`Refusal`] if the key is not here, has changed since, or gets capabilities beyond what the actor may grant; [`Invalid`]
    /// if name or description hold a secret of this host; otherwise the store's failure.
    pub async fn edit(&self, scope: impl Into<Scope>, id: KeyId, revision: u64, edit: Edit, by: &By) -> Result<Applied, Error> {
        let scope = scope.into();
        let reads = Reads::Key { scope: scope.clone(), id, expired_at: None };
        let within = scope.clone();
        let order = Order::new(by, self.now()).given(edit.arguments());
        if let Err(refused) = self.may_edit(&edit, by) {
            let decision = self.unless_repeated(refused, order, reads, Action::Edit, &scope, Some(id)).await?;
            return self.applied(decision, &scope, id).await;
        }
        let decision = self
            .run(order, reads, move |order, facts| {
                if let Some(replayed) = replay(facts, order, Action::Edit, &within, Some(id)) {
                    return replayed;
                }
                decided((|| {
                    let before = &the_key(facts)?.key;
                    require_revision(before, revision)?;
                    let mut key = before.clone();
                    edit.apply(&mut key);
                    let detail = detail::edited(before, &key);
                    let changed = !detail.is_empty();
                    key.revision = key.revision.saturating_add(u64::from(changed));
                    let event = order.event(Action::Edit, Subject::Key(&key, Some(key.state), Some(key.state)), changed, detail);
                    let change = changed.then_some(KeyChange::Update { key, secrets: None });
                    Ok(Books::of(facts, &before.owner).commit(order, change, event))
                })())
            })
            .await?;
        self.applied(decision, &scope, id).await
    }

    fn may_edit(&self, edit: &Edit, by: &By) -> Result<(), Error> {
        if let Some(capability) = edit.capabilities.as_ref().and_then(|wanted| by.may_grant.first_beyond(wanted)) {
            return Err(Refusal::BeyondAuthority { capability }.into());
        }
        if edit.limits.is_some() && !by.may_limit {
            return Err(Refusal::MayNotSetLimits.into());
        }
        Ok(self.refuse_secrets(edit.name.as_ref(), edit.description.as_ref())?)
    }

    /// A command that is refused by its arguments may be the repetition of one that was carried out, before the policy, the actor
    /// or the time were others: then it is answered as such.
    pub(super) async fn unless_repeated(
        &self,
        refused: Error,
        order: Order,
        reads: Reads,
        action: Action,
        scope: &Scope,
        key: Option<KeyId>,
    ) -> Result<Decision, Error> {
        if !order.may_repeat() {
            return Err(refused);
        }
        let within = scope.clone();
        let decide = move |order: &Order, facts: &Facts| {
            replay(facts, order, action, &within, key).unwrap_or(Decision::Refuse(Refusal::NotFound))
        };
        match self.run(order, reads, decide).await? {
            Decision::Refuse(Refusal::NotFound) => Err(refused),
            repeated => Ok(repeated),
        }
    }

    /// Sets an owner's own active limit; `None` goes back to the policy's. A lowered limit disables nothing, and refuses
    /// until the owner is below it.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn set_active_limit(&self, owner: &Owner, limit: Option<ActiveLimit>, by: &By) -> Result<(), Error> {
        self.set_limit(Action::SetActiveLimit, owner, detail::limited(limit), by, move |row| row.limit = limit).await
    }

    /// Sets the request limits of an account over all its keys. They count from the next request that reads the account's row.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn set_request_limits(&self, owner: &Owner, limits: LimitChoice, by: &By) -> Result<(), Error> {
        let detail = detail::limited_to(&limits);
        let set = move |row: &mut OwnerRecord| row.request_limits.clone_from(&limits);
        self.set_limit(Action::SetRequestLimits, owner, detail, by, set).await
    }

    async fn set_limit(
        &self,
        action: Action,
        owner: &Owner,
        detail: String,
        by: &By,
        set: impl Fn(&mut OwnerRecord) + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let subject = owner.clone();
        let order = Order::new(by, self.now()).given([Some(detail.clone())]);
        let reads = Reads::Owner { owner: owner.clone(), expired_at: None };
        let decision = self
            .run_behind(Fence::around(owner.into()), order, reads, move |order, facts| {
                if let Some(replayed) = replay(facts, order, action, &(&subject).into(), None) {
                    return replayed;
                }
                let mut books = Books::of(facts, &subject);
                let before = books.owner.clone();
                set(&mut books.owner);
                let changed = books.owner != before;
                let event = order.event(action, Subject::Owner(&subject), changed, detail.as_str());
                books.commit(order, None, event)
            })
            .await?;
        match decision {
            Decision::Commit(_) | Decision::Replay(..) => Ok(()),
            Decision::Refuse(refusal) => Err(refusal.into()),
        }
    }

    /// How many active keys an owner has, and may have.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn active_keys(&self, owner: &Owner) -> Result<ActiveKeys, Error> {
        let facts = self.inner.store.owner(owner, self.now()).await?;
        let (active, own) =
            facts.map_or((0, None), |facts| (facts.record.held.saturating_sub(facts.held_by_expired), facts.record.limit));
        Ok(ActiveKeys { active, limit: own.unwrap_or(self.inner.policy.active_limit) })
    }

    /// The actions offered to a role for this key now.
    #[must_use]
    pub fn offered(&self, key: &Key, role: Role) -> Vec<Action> {
        self.inner.policy.offered(role, key.status(self.now()))
    }

    /// A secret pasted where a name or a description belongs would be shown to everyone who may look at the key.
    pub(super) fn refuse_secrets(&self, name: Option<&Name>, description: Option<&Description>) -> Result<(), Invalid> {
        for (field, text) in [("name", name.map(Name::as_str)), ("description", description.map(Description::as_str))] {
            if let Some(text) =
                text.filter(|text| crate::secret::find(self.inner.policy.secret_formats(), text.as_bytes()).next().is_some())
            {
                return Err(Invalid::new(field, "must not hold a secret of a key", size(text)));
            }
        }
        Ok(())
    }

    /// Moves a key to the state that the command leads to.
    pub(super) async fn change_state(&self, command: Action, scope: Scope, id: KeyId, order: Order) -> Result<Decision, Error> {
        let policy = self.inner.policy.clone();
        let within = scope.clone();
        let reads = move |expired_at| Reads::Key { scope: scope.clone(), id, expired_at };
        self.run_for_a_place(order, reads, move |order, facts| {
            replay(facts, order, command, &within, Some(id))
                .unwrap_or_else(|| decided(change_state(command, order, &policy, facts)))
        })
        .await
    }

    async fn applied(&self, decision: Decision, scope: &Scope, id: KeyId) -> Result<Applied, Error> {
        let (written, changed) = match decision {
            Decision::Commit(changes) => match changes.keys.into_iter().next_back() {
                Some(KeyChange::Update { key, .. }) => (Some(key), true),
                _ => (None, false),
            },
            Decision::Replay(event, current) => (current.map(|stored| stored.key), event.changed),
            Decision::Refuse(refusal) => return Err(refusal.into()),
        };
        let key = match written {
            Some(key) => key,
            None => self.inner.store.get(scope, id).await?.ok_or(Refusal::NotFound)?,
        };
        Ok(Applied { key, changed })
    }

    /// Runs a command that may need a place under the active limit. Only at the limit does it run a second time, to give
    /// away the places of expired keys.
    pub(super) async fn run_for_a_place<D>(
        &self,
        order: Order,
        reads: impl Fn(Option<DateTime<Utc>>) -> Reads,
        decide: D,
    ) -> Result<Decision, Error>
    where
        D: Fn(&Order, &Facts) -> Decision + Clone + Send + Sync + 'static,
    {
        match self.run(order.clone(), reads(None), decide.clone()).await? {
            Decision::Refuse(Refusal::LimitReached { .. }) => {
                let at = order.now;
                self.run(order, reads(Some(at)), decide).await
            }
            decision => Ok(decision),
        }
    }

    /// Runs a command's transaction. An unknown outcome is resolved by running it again under the same operation id.
    pub(super) async fn run<D>(&self, order: Order, reads: Reads, decide: D) -> Result<Decision, Error>
    where
        D: Fn(&Order, &Facts) -> Decision + Send + Sync + 'static,
    {
        let fence = Fence::of(&reads);
        self.run_behind(fence, order, reads, decide).await
    }

    /// The same behind a fence around what it may change. Where the outcome stays unknown, or the caller goes away, it is left standing.
    pub(super) async fn run_behind<D>(&self, fence: Fence, order: Order, reads: Reads, decide: D) -> Result<Decision, Error>
    where
        D: Fn(&Order, &Facts) -> Decision + Send + Sync + 'static,
    {
        let raised = self.inner.raise(fence);
        let result = self.run_transaction(order, reads, decide).await;
        if !matches!(result, Err(Error::OutcomeUnknown { .. })) {
            raised.lift();
        }
        result
    }

    async fn run_transaction<D>(&self, order: Order, reads: Reads, decide: D) -> Result<Decision, Error>
    where
        D: Fn(&Order, &Facts) -> Decision + Send + Sync + 'static,
    {
        let (operation, may_repeat) = (order.operation, order.may_repeat());
        let order = order.masked(self.inner.policy.secret_formats());
        let transaction = Transaction::new(operation, reads, move |facts| decide(&order, facts));
        let mut transaction = Arc::new(if may_repeat { transaction } else { transaction.first() });
        let mut unknown = None;
        for _ in 0..=MAX_RERUNS {
            match self.inner.store.transact(Arc::clone(&transaction)).await {
                Ok(decision) => return Ok(decision),
                // Another run of the same command was first: the next run finds its event. After an unknown outcome it may
                // have been this very transaction, and then each of its ids is there already.
                Err(StoreError::Conflict(unique)) if unique == Unique::OperationId || unknown.is_some() => {}
                Err(error @ StoreError::OutcomeUnknown { .. }) => {
                    unknown = Some(error);
                    transaction = Arc::new(transaction.again());
                }
                // After an unknown outcome, that the store is away now does not tell what happened before.
                Err(source) if unknown.is_some() => return Err(Error::OutcomeUnknown { operation, source }),
                Err(error) => return Err(error.into()),
            }
        }
        let source = unknown.unwrap_or(StoreError::Conflict(Unique::OperationId));
        Err(Error::OutcomeUnknown { operation, source })
    }
}
