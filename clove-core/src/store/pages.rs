//! What is asked of a store page by page, and its pages.

use crate::{
    audit::{Action, AuditEvent},
    clock::Timestamp,
    error::CorruptRow,
    id::{AuditId, KeyId, Owner, Scope},
    key::{Key, KeyState},
};
use chrono::{DateTime, Utc};

/// Which keys by expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryFilter {
    /// Whatever their expiry.
    Any,
    /// Latched, or `expires_at` at or before the time.
    PassedAt(DateTime<Utc>),
    /// Not latched, and `expires_at` after the time or none.
    PendingAt(DateTime<Utc>),
}

/// A page of keys, newest id first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyQuery {
    /// How far the look-up reaches.
    pub scope: Scope,
    /// In one of these states.
    pub states: Vec<KeyState>,
    /// Which by expiry.
    pub expiry: ExpiryFilter,
    /// Only ids below this one.
    pub before: Option<KeyId>,
    /// How many rows at most, at least 1.
    pub limit: usize,
}

/// A page of keys that expire in a time range and are in state Active or Suspended, unlatched; soonest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringQuery {
    /// How far the look-up reaches.
    pub scope: Scope,
    /// `expires_at` after this time.
    pub from: DateTime<Utc>,
    /// `expires_at` at or before this time.
    pub until: DateTime<Utc>,
    /// Only keys after this one in the order (`expires_at`, id); it may be one that lies before `from`.
    pub after: Option<(DateTime<Utc>, KeyId)>,
    /// How many rows at most, at least 1.
    pub limit: usize,
}

/// Keys in the order asked for. A row that cannot be read is named, and counts as one of the page, unless not even its place
/// can be read: then it is passed over.
#[derive(Clone, Debug, Default)]
pub struct KeyPage {
    /// The readable keys.
    pub keys: Vec<Key>,
    /// The others.
    pub corrupt: Vec<CorruptRow>,
    /// Whether further rows match; then the next page begins after `last`.
    pub more: bool,
    /// Where the last row of the page stands, whether the rest of it could be read or not.
    pub last: Option<Place>,
}

/// As much of a key that is about to expire as it takes to tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringKey {
    /// Its id.
    pub id: KeyId,
    /// Whose key.
    pub owner: Owner,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// Where a key stands in the order of a page, by id or by (`expires_at`, id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its id.
    pub id: KeyId,
    /// Its expiry.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Place {
    /// The place of a key that could be read.
    #[must_use]
    pub fn of(key: &Key) -> Self {
        Self { id: key.id, expires_at: key.expires_at }
    }
}

/// A page of the audit trail, newest id first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditQuery {
    /// How far the look-up reaches. The scope of an owner does not hold events of its whole organization.
    pub scope: Scope,
    /// Only events of this key.
    pub key: Option<KeyId>,
    /// Only this action.
    pub action: Option<Action>,
    /// Only events at this time or later. An event's id is made at its time: see [`AuditId::first_at`].
    pub from: Option<DateTime<Utc>>,
    /// Only events before this time.
    pub until: Option<DateTime<Utc>>,
    /// Only ids below this one.
    pub before: Option<AuditId>,
    /// How many rows at most, at least 1.
    pub limit: usize,
}

/// Events in the order asked for. A row that cannot be read is counted and passed over.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    /// The readable events.
    pub events: Vec<AuditEvent>,
    /// How many could not be read.
    pub corrupt: usize,
    /// Whether further rows match; then the last row read is in `last`.
    pub more: bool,
    /// The id of the last row read, readable or not.
    pub last: Option<AuditId>,
}
