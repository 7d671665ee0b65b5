//! What can go wrong: a bad argument, a refused command, a store that failed, a verification that cannot say.

use crate::{
    audit::Action,
    capability::Capability,
    id::{GrantId, KeyId, OperationId},
    key::Status,
};
use chrono::{DateTime, Utc};

/// An argument that breaks a rule. It names the field, the rule and the size of the value, never the value itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule} (got {size})")]
#[non_exhaustive]
pub struct Invalid {
    /// The argument or setting.
    pub field: &'static str,
    /// What would be right.
    pub rule: String,
    /// The size of what was given, with its unit.
    pub size: String,
}

impl Invalid {
    /// States that `field` breaks `rule`; `size` tells how large the value was, with its unit.
    pub fn new(field: &'static str, rule: impl Into<String>, size: impl Into<String>) -> Self {
        Self { field, rule: rule.into(), size: size.into() }
    }
}

/// What is said of a value that is not to be shown.
pub(crate) fn size(value: impl AsRef<[u8]>) -> String {
    format!("{} bytes", value.as_ref().len())
}

/// What a store can fail with. Facts only: a store never judges.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A key id, a secret's digest, an operation id or an audit id exists already. Nothing was written.
    #[error("{0} exists already")]
    Conflict(Unique),
    /// The store cannot be reached, is busy past its time-out, full, read-only, or damaged as a whole. Nothing was written.
    #[error("the store is unavailable: {what}")]
    Unavailable {
        /// What the store was doing.
        what: &'static str,
        /// The driver's error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The connection was lost while committing: the change may be there or not. Run the same transaction again.
    #[error("the outcome of the transaction is unknown")]
    OutcomeUnknown {
        /// The driver's error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A stored row cannot be read.
    #[error("the stored row of {row} is corrupt: {what}")]
    Corrupt {
        /// Whose row.
        row: CorruptRow,
        /// Which column, and what is wrong with it; never its value.
        what: &'static str,
    },
    /// The database was written by a newer version of clove.
    #[error("the database has schema version {found}, this build knows versions up to {supported}; update clove")]
    NewerSchema {
        /// The version found.
        found: i64,
        /// The newest version that this build knows.
        supported: i64,
    },
    /// The file or database belongs to something else than clove.
    #[error("this is not a database of clove: {what}")]
    Foreign {
        /// What was found instead.
        what: &'static str,
    },
}

impl StoreError {
    /// [`StoreError::Unavailable`] with its source.
    pub fn unavailable(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable { what, source: Some(source.into()) }
    }
}

/// What was not unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unique {
    /// A key's id.
    KeyId,
    /// A secret's digest.
    Digest,
    /// An operation id in the audit trail.
    OperationId,
    /// An audit event's own id.
    AuditId,
    /// A row that is written as it is in another store.
    Row,
}

impl std::fmt::Display for Unique {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::KeyId => "the key id",
            Self::Digest => "the secret's digest",
            Self::OperationId => "the operation id",
            Self::AuditId => "the audit event's id",
            Self::Row => "the row of another store",
        })
    }
}

/// Whose stored row is corrupt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum CorruptRow {
    /// The key with this id, or one of its secrets.
    Key(KeyId),
    /// A key whose very id cannot be read.
    UnreadableKeyId,
    /// An owner.
    Owner,
    /// An organization.
    Organization,
    /// An audit event.
    AuditEvent,
    /// A sum of usage.
    Usage,
    /// What was reported for the grant with this id.
    Report(GrantId),
    /// Which batches of usage a process has written.
    Node,
    /// An entry of the access log.
    AccessEntry,
    /// Which budget an account or an organization has chosen.
    Budget,
}

impl std::fmt::Display for CorruptRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key {id}"),
            Self::UnreadableKeyId => f.write_str("a key with an unreadable id"),
            Self::Owner => f.write_str("an owner"),
            Self::Organization => f.write_str("an organization"),
            Self::AuditEvent => f.write_str("an audit event"),
            Self::Usage => f.write_str("a sum of usage"),
            Self::Report(id) => write!(f, "what was reported for grant {id}"),
            Self::Node => f.write_str("a process"),
            Self::AccessEntry => f.write_str("an entry of the access log"),
            Self::Budget => f.write_str("a budget"),
        }
    }
}

/// A management command that the rules refuse. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No such key for this owner or organization; a foreign key looks the same.
    #[error("no such key here")]
    NotFound,
    /// All places for active keys are taken.
    #[error("{active} / {limit} active keys: {}", limit_remedy(*.limit))]
    LimitReached {
        /// Active keys of the owner now.
        active: u32,
        /// The limit.
        limit: u32,
    },
    /// The owner has as many records of keys, of whatever status, as the policy allows.
    #[error("{records} / {limit} key records: delete keys that are no longer needed first")]
    TooManyRecords {
        /// Records of the owner now.
        records: u32,
        /// The limit.
        limit: u32,
    },
    /// The owner has created as many keys today (UTC) as the policy allows.
    #[error("{limit} keys were created today, the most that is allowed; try again after {resets_at}")]
    TooManyCreations {
        /// The limit.
        limit: u32,
        /// The next UTC midnight.
        resets_at: DateTime<Utc>,
    },
    /// The owner or its organization is closed.
    #[error("the owner or its organization is closed: reopen it first")]
    OwnerClosed,
    /// The status of the key does not allow this command.
    #[error("cannot {command} a key that is {status}; offered: {}", Menu(.offered))]
    NotAllowed {
        /// The command.
        command: Action,
        /// The key's status now.
        status: Status,
        /// What is offered to the caller's role for a key of that status.
        offered: Vec<Action>,
    },
    /// The key has changed since the caller read it.
    #[error("the key is at revision {found}, not {expected}: read it again and repeat the change")]
    RevisionConflict {
        /// The revision that the caller knows.
        expected: u64,
        /// The key's revision now.
        found: u64,
    },
    /// The actor may not grant this capability, chosen or the policy's default: [`crate::By::may_grant`] says what it may.
    #[error(
        "{capability} is beyond what the actor may grant: choose capabilities within that, or have one do it who may grant it"
    )]
    BeyondAuthority {
        /// The first capability that is beyond.
        capability: Capability,
    },
    /// What is stored of this key cannot be read, so that suspending it, or opening its owner or organization again, might revive
    /// it later.
    #[error("key {id} cannot be read, and might be revived: revoke or delete it")]
    Unreadable {
        /// The key.
        id: KeyId,
    },
    /// The actor may not choose request limits.
    #[error("the actor may not choose request limits: leave them at the default, or ask an administrator")]
    MayNotSetLimits,
    /// Whether the owner or organization is open cannot be read, or its row is lost while it has keys: reopened, it might revive
    /// keys. Closing it writes its flag whatever stands there, and revokes them.
    #[error("whether it is open cannot be read: close it first")]
    FlagUnreadable,
    /// The operation id belongs to another command already carried out.
    #[error("operation id {operation} was used for another command: choose a new one")]
    OperationReused {
        /// The operation id.
        operation: OperationId,
    },
}

fn limit_remedy(limit: u32) -> &'static str {
    if limit == 0 {
        "none is allowed to this owner; an administrator can raise the limit"
    } else {
        "disable or delete one before creating or enabling another"
    }
}

struct Menu<'a>(&'a [Action]);
impl std::fmt::Display for Menu<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (i, action) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{action}")?;
        }
        Ok(())
    }
}

/// Why a management command did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The rules refuse the command.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed; nothing was changed.
    #[error(transparent)]
    Store(StoreError),
    /// The store cannot tell whether the change was made, or failed amidst a close or a reopening, which goes on where it was:
    /// repeat the command with this operation id.
    #[error("the outcome is unknown: repeat the command under operation id {operation}")]
    OutcomeUnknown {
        /// The operation id to repeat the command under.
        operation: OperationId,
        /// What the store said.
        #[source]
        source: StoreError,
    },
    /// The operating system gave no randomness, or no thread.
    #[error("the operating system failed: {what}")]
    System {
        /// What was asked of it.
        what: &'static str,
    },
    /// The secret could not be proven or hashed for now.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Nothing can be said about a credential: infrastructure failed. Never a reason to grant, nor to tell the client that
/// its key is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The store failed.
    #[error("the key store failed")]
    Store(#[from] StoreError),
    /// The queue of slow hashes is full; try again shortly.
    #[error("too many slow hashes are waiting; try again shortly")]
    Overloaded,
    /// The verification took longer than its deadline.
    #[error("the verification took longer than its deadline of {deadline:?}")]
    DeadlineExceeded {
        /// The deadline.
        deadline: std::time::Duration,
    },
    /// The key store holds secrets under a pepper that this process was not given.
    #[error("pepper version {version} is in use and was not given to this process; deploy it, or declare it dropped")]
    UnknownPepper {
        /// The version.
        version: u16,
    },
    /// The operating system gave no thread or no randomness.
    #[error("the operating system failed: {what}")]
    System {
        /// What was asked of it.
        what: &'static str,
    },
}

/// Why an amount was not recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The request said nothing of what it was going to use: there is nothing to settle.
    #[error("the request reserved nothing: record what it used, by unit")]
    NotReserved,
    /// Verification itself counts requests.
    #[error("requests are counted by verification itself: record in another unit")]
    Reserved,
    /// The grant is too old: whether a part of the amount is counted already is about to be forgotten.
    #[error("the request was granted at {at}, over {days} days ago: too late to record what it used")]
    TooLate {
        /// When the request was granted.
        at: DateTime<Utc>,
        /// For how many days amounts are taken.
        days: u32,
    },
    /// As many amounts wait to be written as may: the store fails, or flushes are missing.
    #[error("{waiting} amounts wait to be written, the most that may: flush first")]
    Full {
        /// How many wait.
        waiting: usize,
    },
    /// The store failed. The amount waits for the next flush, unless what was reported for its grant before cannot be read
    /// ([`CorruptRow::Report`]).
    #[error("the amount is not written yet, since the store failed")]
    Store(#[source] StoreError),
}
