//! The rows of organizations and owners.

use crate::{
    id::{OrganizationId, Owner},
    limit::LimitChoice,
};
use chrono::NaiveDate;

/// An organization's row. Exists from the first command in the organization on, other than to close or reopen an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationRecord {
    /// Its id.
    pub id: OrganizationId,
    /// Whether keys of the organization may be verified, created and enabled.
    pub open: bool,
}

/// An owner's row. Exists from the first command for the owner on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRecord {
    /// Whose.
    pub owner: Owner,
    /// Whether keys of the owner may be verified, created and enabled.
    pub open: bool,
    /// How many keys are stored Active and not latched as expired.
    pub held: u32,
    /// How many keys there are, of whatever state.
    pub records: u32,
    /// The owner's own active limit, where it differs from the policy's.
    pub limit: Option<ActiveLimit>,
    /// Which request limits the account has over all its keys.
    pub request_limits: LimitChoice,
    /// The UTC day on which the owner last created a key.
    pub creation_day: Option<NaiveDate>,
    /// How many were created on that day.
    pub creations: u32,
}

impl OwnerRecord {
    /// The row of an owner who is open and has no keys yet.
    #[must_use]
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            open: true,
            held: 0,
            records: 0,
            limit: None,
            request_limits: LimitChoice::Default,
            creation_day: None,
            creations: 0,
        }
    }
}

/// How many keys of an owner may be active at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum ActiveLimit {
    /// At most so many; 0 allows none.
    AtMost(u32),
    /// Any number.
    Unlimited,
}

/// [`ActiveLimit::Unlimited`], as stores keep it.
const UNLIMITED: i64 = -1;

impl ActiveLimit {
    /// The form that stores keep: -1 for any number.
    #[must_use]
    pub fn to_stored(self) -> i64 {
        match self {
            Self::AtMost(limit) => i64::from(limit),
            Self::Unlimited => UNLIMITED,
        }
    }

    /// Reads that form; `None` if it is none.
    #[must_use]
    pub fn from_stored(number: i64) -> Option<Self> {
        match number {
            UNLIMITED => Some(Self::Unlimited),
            _ => u32::try_from(number).ok().map(Self::AtMost),
        }
    }
}

/// An owner's row with what only a count can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerFacts {
    /// The row.
    pub record: OwnerRecord,
    /// How many of [`OwnerRecord::held`] belong to keys whose `expires_at` is at or before the `now` given.
    pub held_by_expired: u32,
}
