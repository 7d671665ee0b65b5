//! Commands that give out secrets: create, import, rotate.

use super::{
    Clove,
    decide::{Books, Order, Subject, decided, not_allowed, replay, require_revision, the_key},
    detail,
};
use crate::{
    audit::{Action, By},
    capability::CapabilitySet,
    credential::is_foreign,
    digest::Scheme,
    error::{Error, Invalid, Refusal, size},
    id::{AuditId, KeyId, Owner, Scope},
    key::{Description, Key, KeyState, Metadata, Name},
    lifecycle::{Effect, effect_on},
    limit::LimitChoice,
    policy::Expiry,
    secret::{Credential, Secret},
    store::{Decision, KeyChange, Reads, SecretRecord, StoredKey},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::fmt;

/// A key to be created or imported.
#[derive(Clone)]
pub struct NewKey {
    name: Name,
    description: Description,
    expiry: Option<Expiry>,
    capabilities: Option<CapabilitySet>,
    limits: LimitChoice,
    metadata: Metadata,
}

impl fmt::Debug for NewKey {
    /// Texts by their size: nobody has looked for secrets in them yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey")
            .field("name", &size(self.name.as_str()))
            .field("description", &size(self.description.as_str()))
            .field("expiry", &self.expiry)
            .field("capabilities", &self.capabilities)
            .field("limits", &self.limits)
            .field("metadata", &self.metadata)
            .finish()
    }
}

impl NewKey {
    /// A key of this name, with the policy's default expiry and capabilities.
    ///
    /// # Errors
    /// If the name breaks the rule of [`Name`].
    pub fn named(name: impl AsRef<str>) -> Result<Self, Invalid> {
        Ok(Self {
            name: Name::new(name)?,
            description: Description::default(),
            expiry: None,
            capabilities: None,
            limits: LimitChoice::Default,
            metadata: Metadata::none(),
        })
    }
    /// What it is for.
    #[must_use]
    pub fn description(mut self, description: Description) -> Self {
        self.description = description;
        self
    }
    /// When it expires; one of those that the policy allows.
    #[must_use]
    pub fn expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = Some(expiry);
        self
    }
    /// What it may do; within what its creator may grant.
    #[must_use]
    pub fn capabilities(mut self, capabilities: CapabilitySet) -> Self {
        self.capabilities = Some(capabilities);
        self
    }
    /// Its request limits; others than the default only by an actor that may set them.
    #[must_use]
    pub fn limits(mut self, limits: LimitChoice) -> Self {
        self.limits = limits;
        self
    }
    /// The host's own data.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    fn arguments(&self) -> [Option<String>; 6] {
        [
            Some(self.name.as_str().to_owned()),
            Some(size(self.description.as_str())),
            Some(size(self.metadata.as_str())),
            self.capabilities.as_ref().map(|capabilities| capabilities.as_str().to_owned()),
            self.expiry.map(Expiry::to_argument),
            Some(self.limits.to_stored()),
        ]
    }
}

/// A key that was given a secret.
#[derive(Debug)]
pub struct Issued {
    /// The key as it is now.
    pub key: Key,
    /// What to show its owner, once. `None` where another call carried the command out under the same operation id: its
    /// secret cannot be told again; rotate the key if it was lost.
    pub credential: Option<Credential>,
    /// Until when the older secret stays good; `None` if there is none.
    pub previous_valid_until: Option<DateTime<Utc>>,
}

impl Clove {
    /// Issues a key.
    ///
    /// # Errors
    /// [`Refusal`] at a limit, for a closed owner, or capabilities, chosen or the policy's default, beyond what the actor may
    /// grant; [`Invalid`] for an expiry that the policy does not allow, or a name or description that holds a secret of this
    /// host; otherwise the store's failure.
    pub async fn create(&self, owner: &Owner, new: NewKey, by: &By) -> Result<Issued, Error> {
        let secret = self.inner.policy.current_format().generate()?;
        self.insert(Action::Create, owner, new, secret, by, Ok(())).await
    }

    /// Makes a key for a secret that clove did not generate. It is hashed with Argon2id, and presented as `id;secret` only.
    ///
    /// # Errors
    /// As [`Clove::create`]; [`Invalid`] where the policy does not allow imports, the secret is not 1 to 256 printable
    /// ASCII characters without spaces, or has the form of the host's own secrets.
    pub async fn import(&self, owner: &Owner, new: NewKey, secret: Secret, by: &By) -> Result<Issued, Error> {
        let allowed = self.may_import(&secret);
        self.insert(Action::Import, owner, new, secret, by, allowed).await
    }

    fn may_import(&self, secret: &Secret) -> Result<(), Invalid> {
        let (policy, size) = (&self.inner.policy, size(secret.as_bytes()));
        if !policy.takes_imports {
            return Err(Invalid::new("import", "must be allowed by the policy: PolicyBuilder::imports", "not allowed"));
        }
        if !is_foreign(secret.as_bytes()) {
            return Err(Invalid::new("imported secret", "must be 1 to 256 printable ASCII characters without spaces", size));
        }
        if policy.formats.iter().any(|format| format.has_shape(secret.as_bytes())) {
            return Err(Invalid::new("imported secret", "must not have the form of this host's own secrets", size));
        }
        Ok(())
    }

    /// When a new key of this kind expires, if the policy and the actor's authority allow for it.
    fn may_make(
        &self,
        new: &NewKey,
        capabilities: &CapabilitySet,
        by: &By,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Error> {
        if let Some(capability) = by.may_grant.first_beyond(capabilities) {
            return Err(Refusal::BeyondAuthority { capability }.into());
        }
        if new.limits != LimitChoice::Default && !by.may_limit {
            return Err(Refusal::MayNotSetLimits.into());
        }
        self.refuse_secrets(Some(&new.name), Some(&new.description))?;
        let expiry = &self.inner.policy.expiry;
        Ok(expiry.resolve(new.expiry.unwrap_or(expiry.default), now)?.map(crate::clock::to_micros))
    }

    async fn insert(
        &self,
        action: Action,
        owner: &Owner,
        new: NewKey,
        secret: Secret,
        by: &By,
        allowed: Result<(), Invalid>,
    ) -> Result<Issued, Error> {
        let policy = self.inner.policy.clone();
        let order = Order::new(by, self.now()).given(new.arguments());
        let (within, own) = (Scope::from(owner), order.event);
        let reads = |expired_at| Reads::Owner { owner: owner.clone(), expired_at };
        let capabilities = new.capabilities.clone().unwrap_or_else(|| policy.default_capabilities.clone());
        let expires_at = allowed.map_err(Error::from).and_then(|()| self.may_make(&new, &capabilities, by, order.now));
        let expires_at = match expires_at {
            Ok(expires_at) => expires_at,
            Err(refused) => {
                let decision = self.unless_repeated(refused, order, reads(None), action, &within, None).await?;
                return self.issued(decision, own, &within, secret, None).await;
            }
        };
        let id = KeyId::new(order.now);
        let record = self.hash_new(id, &secret, action == Action::Import).await?;
        let key = Key {
            id,
            owner: owner.clone(),
            name: new.name,
            description: new.description,
            capabilities,
            limits: new.limits,
            metadata: new.metadata,
            created_at: order.now,
            expires_at,
            last_used_at: None,
            state: KeyState::Active,
            expiry_latched: false,
            revision: 1,
        };
        let made = key.clone();
        let decision = self
            .run_for_a_place(order, reads, move |order, facts| {
                if let Some(replayed) = replay(facts, order, action, &within, None) {
                    return replayed;
                }
                let mut books = Books::of(facts, &key.owner);
                let admitted = books
                    .require_open()
                    .and_then(|()| books.take_place(&policy, facts))
                    .and_then(|()| books.add_record(&policy, order.now));
                let event = order.event(action, Subject::Key(&key, None, Some(key.state)), true, detail::issued(&key));
                let insert = KeyChange::Insert(StoredKey { key: key.clone(), secrets: vec![record] });
                decided(admitted.map(|()| books.commit(order, Some(insert), event)))
            })
            .await?;
        self.issued(decision, own, &owner.into(), secret, Some(made)).await
    }

    /// Gives a key a new secret. The older one stays good for `grace`, 0 for a suspended key, and no longer than the key;
    /// a second rotation ends the oldest. Whoever is shown the secret can do what the key may: so the actor must be one that may
    /// grant all of it.
    ///
    /// # Errors
    /// [`Refusal`] if the key is not here, has changed since `revision`, is expired, compromised or revoked, may do what the actor
    /// may not grant, or its owner is closed; [`Invalid`] if the grace is negative or above the policy's.
    pub async fn rotate(
        &self,
        scope: impl Into<Scope>,
        id: KeyId,
        revision: u64,
        grace: TimeDelta,
        by: &By,
    ) -> Result<Issued, Error> {
        let (scope, policy) = (scope.into(), self.inner.policy.clone());
        let order = Order::new(by, self.now()).given([Some(format!("{} ms", grace.num_milliseconds()))]);
        let reads = Reads::Key { scope: scope.clone(), id, expired_at: None };
        let secret = policy.current_format().generate()?;
        if grace < TimeDelta::zero() || grace > policy.max_grace {
            let rule = format!("must be 0 to {} seconds", policy.max_grace.num_seconds());
            let refused = Invalid::new("grace", rule, format!("{} seconds", grace.num_seconds())).into();
            let own = order.event;
            let decision = self.unless_repeated(refused, order, reads, Action::Rotate, &scope, Some(id)).await?;
            return self.issued(decision, own, &scope, secret, None).await;
        }
        let record = self.hash_new(id, &secret, false).await?;
        let (within, own, may_grant) = (scope.clone(), order.event, by.may_grant.clone());
        let decision = self
            .run(order, reads, move |order, facts| {
                if let Some(replayed) = replay(facts, order, Action::Rotate, &within, Some(id)) {
                    return replayed;
                }
                decided((|| {
                    let stored = the_key(facts)?;
                    let books = Books::of(facts, &stored.key.owner);
                    let Effect::NewSecret { grace: allowed } = effect_on(Action::Rotate, &stored.key, order.now) else {
                        return Err(not_allowed(Action::Rotate, &stored.key, order, &policy));
                    };
                    books.require_open()?;
                    if let Some(capability) = may_grant.first_beyond(&stored.key.capabilities) {
                        return Err(Refusal::BeyondAuthority { capability });
                    }
                    require_revision(&stored.key, revision)?;
                    let until =
                        order.now.checked_add_signed(if allowed { grace } else { TimeDelta::zero() }).unwrap_or(order.now);
                    let until = crate::clock::to_micros(stored.key.expires_at.map_or(until, |end| end.min(until)));
                    let mut secrets = vec![record];
                    let old = stored.secrets.iter().find(|secret| secret.valid_until.is_none());
                    secrets.extend(
                        old.filter(|_| until > order.now).map(|old| SecretRecord { valid_until: Some(until.into()), ..*old }),
                    );
                    let mut key = stored.key.clone();
                    key.revision = key.revision.saturating_add(1);
                    let detail = detail::rotated((secrets.len() > 1).then_some(until));
                    let event = order.event(Action::Rotate, Subject::Key(&key, Some(key.state), Some(key.state)), true, detail);
                    Ok(books.commit(order, Some(KeyChange::Update { key, secrets: Some(secrets) }), event))
                })())
            })
            .await?;
        self.issued(decision, own, &scope, secret, None).await
    }

    async fn hash_new(&self, key: KeyId, secret: &Secret, foreign: bool) -> Result<SecretRecord, Error> {
        let hashing = &self.inner.policy.hashing;
        if let Some((digest, scheme)) = hashing.fast_digest(secret.as_bytes()).filter(|_| !foreign) {
            return Ok(SecretRecord { digest, scheme, valid_until: None });
        }
        let (cost, mut salt) = (hashing.argon2_cost, [0; 16]);
        getrandom::fill(&mut salt).map_err(|_| Error::System { what: "random bytes for a salt" })?;
        let digest = self.inner.hash_queue.hash(key, "", secret.as_bytes(), cost, salt).await?;
        Ok(SecretRecord { digest, scheme: Scheme::Argon2id { cost, salt, imported: foreign }, valid_until: None })
    }

    /// Answers with the credential where the transaction that stored its secret was this call's: `own` is the id of its event, and
    /// `made` a new key as it was made.
    async fn issued(
        &self,
        decision: Decision,
        own: AuditId,
        scope: &Scope,
        secret: Secret,
        made: Option<Key>,
    ) -> Result<Issued, Error> {
        match decision {
            Decision::Commit(changes) => {
                let written = changes.keys.into_iter().next_back();
                let (key, secrets) = match written {
                    Some(KeyChange::Insert(stored)) => (stored.key, stored.secrets),
                    Some(KeyChange::Update { key, secrets }) => (key, secrets.unwrap_or_default()),
                    Some(KeyChange::Stop { .. } | KeyChange::Delete(_)) | None => return Err(Refusal::NotFound.into()),
                };
                let previous_valid_until = older_valid_until(&secrets);
                Ok(Issued { credential: Some(Credential::new(key.id, secret)), key, previous_valid_until })
            }
            Decision::Replay(event, current) => {
                let id = event.key.map(|audited| audited.id);
                let (key, previous_valid_until) = match (current, id) {
                    // Nothing needs to be read to give out what this call has made.
                    (None, _) if event.id == own && made.is_some() => (made, None),
                    (Some(stored), _) => (Some(stored.key), older_valid_until(&stored.secrets)),
                    (None, Some(id)) => (self.inner.store.get(scope, id).await?, None),
                    (None, None) => (None, None),
                };
                let key = key.ok_or(Refusal::NotFound)?;
                // The answer of this call's own commit was lost, and the event says that it came to be: the secret made
                // here was written beside it. Another call's event stands beside another secret, which nobody here knows.
                let credential = (event.id == own).then(|| Credential::new(key.id, secret));
                Ok(Issued { key, credential, previous_valid_until })
            }
            Decision::Refuse(refusal) => Err(refusal.into()),
        }
    }
}

fn older_valid_until(secrets: &[SecretRecord]) -> Option<DateTime<Utc>> {
    secrets.iter().find_map(|secret| secret.valid_until).map(Into::into)
}
