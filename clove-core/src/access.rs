//! The access log: which key was presented when, where, and what came of it.

use crate::{
    error::{Invalid, size},
    id::{GrantId, KeyId, Owner},
    limit::Window,
    text::check_stored,
    verdict::{DenialReason, Limited},
};
use chrono::{DateTime, Utc};
use std::{fmt, sync::Arc};

/// The longest label of an endpoint, in bytes.
pub const MAX_LABEL_BYTES: usize = 64;

/// What becomes of the access log: one entry a request whose secret was proven, granted or denied. Refusals without a proven
/// secret are counted, and never written under the id that was presented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum AccessLog {
    /// Nothing is written: the default, since a log grows with each request and tells what people do. A host chooses it.
    #[default]
    Off,
    /// Entries wait in memory, up to some 130,000, and are written by [`Clove::maintenance`](crate::Clove::maintenance) each
    /// second, earlier where many wait, and by [`Clove::flush`](crate::Clove::flush). What does not fit is lost, and counted by
    /// [`Clove::access_log_lost`](crate::Clove::access_log_lost); a crash loses what waited. So is what was asked of keys that were
    /// pushed out of memory faster than the log is written: entries that wait name a key by its id, and whose it was is known of so
    /// many pushed out as have room in a share of `cache_bytes`.
    BestEffort,
    /// A grant's entry is durable before the grant is returned, and a grant that cannot be written is a
    /// [`Fault`](crate::Fault). Each request waits for the store, those at one time for one write. The entry of a request whose
    /// caller went away may be there all the same.
    ///
    /// A request that ends in that fault leaves its windows and the count of requests as they were, but for windows that slide in one
    /// process, and for a count that was written meanwhile. One that ends at the deadline, or whose caller went away, may have been
    /// charged: it errs on the side that grants less.
    ///
    /// Denials are written as with [`AccessLog::BestEffort`]: nothing happens on a denial that has to be on record first, and
    /// none is to wait for the store, nor to become a fault where it fails.
    Required,
}

/// One request whose secret was proven. It holds neither the credential nor anything else that the client chose.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AccessEntry {
    /// The id of the request, minted at its time: sorted by id, entries are sorted by time. Of a grant it is
    /// [`Grant::id`](crate::Grant::id); a denial has one for the log alone.
    pub id: GrantId,
    /// When it was judged.
    pub at: DateTime<Utc>,
    /// Which key.
    pub key: KeyId,
    /// Whose key.
    pub owner: Owner,
    /// What came of it.
    pub outcome: AccessOutcome,
    /// The window that refused it, or the one with the smallest share left after a grant; `None` where there are no windows,
    /// or something else refused it.
    pub limit: Option<AccessLimit>,
    /// How many places of each window it took, or asked for where it was denied; 0 where it was only checked. At most 2^63 - 1.
    pub cost: u64,
    /// The host's label of the endpoint, if it gave one.
    pub endpoint: Option<EndpointLabel>,
}

/// A window as a request left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AccessLimit {
    /// Whose.
    pub of: Limited,
    /// The window.
    pub window: Window,
    /// How many requests were left in it, as far as the process knew.
    pub left: u64,
}

/// What came of a request whose secret was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum AccessOutcome {
    /// It was granted.
    Granted,
    /// It was granted and counted by no window, since the store was away and the policy allows for that.
    GrantedUncounted,
    /// The owner or its organization is closed.
    OwnerClosed,
    /// The key is switched off.
    Suspended,
    /// The key has expired.
    Expired,
    /// The key is known to others.
    Compromised,
    /// The key is off for good.
    Revoked,
    /// The key may not do what the request requires.
    CapabilityMissing,
    /// A window has no place left.
    LimitReached,
    /// A budget has not left what it was going to use.
    BudgetExhausted,
}

impl AccessOutcome {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Granted,
        Self::GrantedUncounted,
        Self::OwnerClosed,
        Self::Suspended,
        Self::Expired,
        Self::Compromised,
        Self::Revoked,
        Self::CapabilityMissing,
        Self::LimitReached,
        Self::BudgetExhausted,
    ];

    /// The stable name that stores write.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::GrantedUncounted => "granted_uncounted",
            Self::OwnerClosed => "owner_closed",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Compromised => "compromised",
            Self::Revoked => "revoked",
            Self::CapabilityMissing => "capability_missing",
            Self::LimitReached => "limit_reached",
            Self::BudgetExhausted => "budget_exhausted",
        }
    }

    /// Reads [`Self::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }

    /// The outcome that a denial is; `None` where no secret was proven, of which there are no entries.
    #[must_use]
    pub fn of_denial(reason: &DenialReason) -> Option<Self> {
        match reason {
            DenialReason::NotRecognized => None,
            DenialReason::OwnerClosed => Some(Self::OwnerClosed),
            DenialReason::Suspended => Some(Self::Suspended),
            DenialReason::Expired { .. } => Some(Self::Expired),
            DenialReason::Compromised => Some(Self::Compromised),
            DenialReason::Revoked => Some(Self::Revoked),
            DenialReason::CapabilityMissing { .. } => Some(Self::CapabilityMissing),
            DenialReason::LimitReached(_) => Some(Self::LimitReached),
            DenialReason::BudgetExhausted(_) => Some(Self::BudgetExhausted),
        }
    }
}

impl fmt::Display for AccessOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_str().replace('_', " "))
    }
}

/// The host's own label of an endpoint, for the access log: its route, say, and never the path that a client sent. Cheap to
/// clone; make a few of them once, and keep them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointLabel(Arc<str>);

impl EndpointLabel {
    /// Takes a label: 1 to 64 printable ASCII characters without spaces.
    ///
    /// # Errors
    /// If the text breaks that rule.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        if (1..=MAX_LABEL_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            let rule = "must have 1 to 64 printable ASCII characters without spaces";
            Err(Invalid::new("endpoint label", rule, size(text)))
        }
    }

    /// Takes back what a store kept of [`Self::as_str`]: judged once, when it was new.
    ///
    /// # Errors
    /// If the text is empty, above 4 KiB, or holds a control character, which no version has ever stored.
    pub fn from_stored(text: impl AsRef<str>) -> Result<Self, Invalid> {
        check_stored("endpoint label", text.as_ref(), false).map(|text| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the same one, or a clone of it.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Display for EndpointLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for EndpointLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for EndpointLabel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
