//! What a verification reads: a key with its secrets, found at once or waited for.

use crate::{
    capability::CapabilitySet,
    clock::Timestamp,
    digest::{Digest, Scheme},
    error::{CorruptRow, StoreError},
    id::{KeyId, Owner},
    key::KeyState,
    limit::LimitChoice,
    store::{ActiveLimit, OrganizationRecord, OwnerRecord, StoredKey},
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// What a look-up found: here at once, or to be waited for.
#[must_use = "a look-up that nobody awaits finds nothing"]
pub enum Lookup<'a> {
    /// Known without I/O, so that no deadline needs to watch over it.
    Ready(Found),
    /// To be waited for, or to be read when it is polled. [`Lookup::waits`] boxes it.
    Waits(Pin<Box<dyn Future<Output = Found> + Send + 'a>>),
}

/// The candidate, or `None` where there is none.
pub type Found = Result<Option<Arc<Candidate>>, StoreError>;

impl<'a> Lookup<'a> {
    /// A look-up that has to wait.
    pub fn waits(found: impl Future<Output = Found> + Send + 'a) -> Self {
        Self::Waits(Box::pin(found))
    }
}

impl Future for Lookup<'_> {
    type Output = Found;

    /// Ready once: like any future, it is not to be polled again afterwards.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Found> {
        match &mut *self {
            Self::Ready(found) => Poll::Ready(std::mem::replace(found, Ok(None))),
            Self::Waits(found) => found.as_mut().poll(context),
        }
    }
}

impl fmt::Debug for Lookup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Lookup::Ready(..)",
            Self::Waits(_) => "Lookup::Waits(..)",
        })
    }
}

/// What a verification knows of a key. Read-only, shared.
///
/// What every verification looks at comes first, so that it lies together in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Candidate {
    /// The key's id.
    pub id: KeyId,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// The stored state.
    pub state: KeyState,
    /// Expired for good.
    pub expiry_latched: bool,
    /// Whether both the owner and the organization are open.
    pub owner_open: bool,
    /// Its secrets, the current one among them if found by id.
    pub secrets: Secrets,
    /// What its request limits follow from; `None` where nothing differs from the policy.
    pub limits: Option<Box<CandidateLimits>>,
    /// What it may do.
    pub capabilities: CapabilitySet,
    /// Whose key.
    pub owner: Arc<Owner>,
    /// The record's revision.
    pub revision: u64,
}

impl Candidate {
    /// What a verification needs of a whole key, its owner's row and its organization's.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the key has no secret, or more than two.
    pub fn of(
        stored: &StoredKey,
        owner: Option<&OwnerRecord>,
        organization: Option<&OrganizationRecord>,
    ) -> Result<Arc<Self>, StoreError> {
        let key = &stored.key;
        let corrupt = || StoreError::Corrupt { row: CorruptRow::Key(key.id), what: "the number of its secrets" };
        let secrets = Secrets::from_slice(&stored.secrets).ok_or_else(corrupt)?;
        Ok(Arc::new(Self {
            secrets,
            expires_at: key.expires_at.map(Into::into),
            state: key.state,
            expiry_latched: key.expiry_latched,
            owner_open: owner.is_none_or(|record| record.open) && organization.is_none_or(|record| record.open),
            id: key.id,
            capabilities: key.capabilities.clone(),
            owner: Arc::new(key.owner.clone()),
            limits: CandidateLimits::unless_default(
                key.limits.clone(),
                owner.map(|record| record.request_limits.clone()).unwrap_or_default(),
                owner.and_then(|record| record.limit),
            ),
            revision: key.revision,
        }))
    }
}

/// What the request limits of a key and its account follow from. Apart, since few keys have any of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CandidateLimits {
    /// The key's request limits.
    pub key: LimitChoice,
    /// The account's over all its keys.
    pub account: LimitChoice,
    /// The account's own active limit, where it has one: its request limits by default follow from it.
    pub active: Option<ActiveLimit>,
}

impl CandidateLimits {
    /// Nothing where all is as the policy says.
    #[must_use]
    pub fn unless_default(key: LimitChoice, account: LimitChoice, active: Option<ActiveLimit>) -> Option<Box<Self>> {
        let limits = Self { key, account, active };
        (limits != Self::default()).then(|| Box::new(limits))
    }
}

/// One or two secrets of a key: the current one in line, so that a verification finds it where it found the key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Secrets {
    second: Option<Box<SecretRecord>>,
    first: SecretRecord,
}

impl Secrets {
    /// One secret.
    #[must_use]
    pub fn one(secret: SecretRecord) -> Self {
        Self { first: secret, second: None }
    }

    /// The one or two of a list; `None` if it has none or more.
    #[must_use]
    pub fn from_slice(secrets: &[SecretRecord]) -> Option<Self> {
        let (first, rest) = secrets.split_first()?;
        let mut all = Self::one(*first);
        rest.iter().try_for_each(|secret| all.add(*secret)).ok().map(|()| all)
    }

    /// Adds a second one, and puts the current one first.
    ///
    /// # Errors
    /// If there are two already; it is given back.
    pub fn add(&mut self, mut secret: SecretRecord) -> Result<(), SecretRecord> {
        if self.second.is_some() {
            return Err(secret);
        }
        if secret.valid_until.is_none() {
            std::mem::swap(&mut self.first, &mut secret);
        }
        self.second = Some(Box::new(secret));
        Ok(())
    }

    /// The first, at 0, or the second, at 1.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&SecretRecord> {
        self.iter().nth(place)
    }

    /// A copy as a list.
    #[must_use]
    pub fn to_vec(&self) -> Vec<SecretRecord> {
        self.iter().copied().collect()
    }

    /// The place of the first that is wanted.
    pub fn position(&self, wanted: impl FnMut(&SecretRecord) -> bool) -> Option<usize> {
        self.iter().position(wanted)
    }

    /// The secrets, the current one first.
    pub fn iter(&self) -> impl Iterator<Item = &SecretRecord> {
        std::iter::once(&self.first).chain(self.second.as_deref())
    }
}

/// A secret as it is stored: a row of its own. Last is what few have: the cost and the salt of a slow scheme.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct SecretRecord {
    /// The digest; unique over all secrets.
    pub digest: Digest,
    /// Until when it is good; `None` for the current secret of a key.
    pub valid_until: Option<Timestamp>,
    /// How it was made.
    pub scheme: Scheme,
}

impl SecretRecord {
    /// Whether a bare secret can be looked up by this digest.
    #[must_use]
    pub fn is_fast(&self) -> bool {
        !matches!(self.scheme, Scheme::Argon2id { .. })
    }
}

impl fmt::Debug for SecretRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretRecord")
            .field("scheme", &self.scheme.name())
            .field("valid_until", &self.valid_until)
            .finish_non_exhaustive()
    }
}
