//! A key's record, and the values in it.

use crate::{
    capability::CapabilitySet,
    error::{Invalid, size},
    id::{KeyId, Owner},
    limit::LimitChoice,
};
use chrono::{DateTime, Utc};
use std::fmt;

pub use crate::{
    metadata::{MAX_METADATA_BYTES, MAX_METADATA_DEPTH, Metadata},
    text::{Description, MAX_DESCRIPTION_CHARS, MAX_NAME_CHARS, MAX_REASON_CHARS, MAX_STORED_TEXT_BYTES, Name, Reason},
};

/// A key as it is stored, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Key {
    /// The public id.
    pub id: KeyId,
    /// Whose key it is. Never changes.
    pub owner: Owner,
    /// What the owner calls it.
    pub name: Name,
    /// What it is for.
    pub description: Description,
    /// What it may do.
    pub capabilities: CapabilitySet,
    /// Its request limits.
    pub limits: LimitChoice,
    /// The host's own data, opaque to clove.
    pub metadata: Metadata,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it expires; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used; moves forward only, and is written in batches.
    pub last_used_at: Option<DateTime<Utc>>,
    /// The stored state.
    pub state: KeyState,
    /// Its place under the active limit was given away after it expired: expired for good, whatever a clock says.
    pub expiry_latched: bool,
    /// Counts the changes of the record; edits and rotations name the one that they are based on.
    pub revision: u64,
}

impl Key {
    /// Whether the expiry has passed at `now`.
    #[must_use]
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expiry_latched || self.expires_at.is_some_and(|at| now >= at)
    }

    /// What a person sees at `now`.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        Status::of(self.state, self.is_expired(now))
    }

    /// Whether it counts towards its owner's active limit: stored Active and not latched as expired.
    #[must_use]
    pub fn holds_place(&self) -> bool {
        self.state == KeyState::Active && !self.expiry_latched
    }
}

/// The stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum KeyState {
    /// In use.
    Active,
    /// Switched off, may be switched on again.
    Suspended,
    /// Known to others; off for good.
    Compromised,
    /// Off for good.
    Revoked,
}

impl KeyState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Suspended, Self::Compromised, Self::Revoked];

    /// The stable name that stores write.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Compromised => "compromised",
            Self::Revoked => "revoked",
        }
    }

    /// Reads [`Self::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What a person sees: the stored state, or Expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Status {
    /// In use.
    Active,
    /// Switched off, may be switched on again.
    Suspended,
    /// Past its expiry.
    Expired,
    /// Known to others; off for good.
    Compromised,
    /// Off for good.
    Revoked,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Active, Self::Suspended, Self::Expired, Self::Compromised, Self::Revoked];

    /// What a stored state looks like once its expiry has passed or not.
    #[must_use]
    pub fn of(state: KeyState, expired: bool) -> Self {
        match state {
            KeyState::Compromised => Self::Compromised,
            KeyState::Revoked => Self::Revoked,
            KeyState::Active | KeyState::Suspended if expired => Self::Expired,
            KeyState::Active => Self::Active,
            KeyState::Suspended => Self::Suspended,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "Active",
            Self::Suspended => "Suspended",
            Self::Expired => "Expired",
            Self::Compromised => "Compromised",
            Self::Revoked => "Revoked",
        })
    }
}

impl std::str::FromStr for Status {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|status| status.to_string().eq_ignore_ascii_case(text))
            .ok_or_else(|| Invalid::new("status", "must be active, suspended, expired, compromised or revoked", size(text)))
    }
}
