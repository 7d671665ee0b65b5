//! The audit trail: who did what to which key, when and why.

use crate::{
    error::Invalid,
    id::{AccountId, Actor, AuditId, KeyId, OperationId, OrganizationId, Scope},
    key::{KeyState, Name, Reason},
};
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A management action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Action {
    /// A key was issued.
    Create,
    /// A key was made for a secret that clove did not generate.
    Import,
    /// Name, description, metadata or capabilities changed.
    Edit,
    /// A key was switched off.
    Disable,
    /// A key was switched on again.
    Enable,
    /// A key was switched off for good.
    Revoke,
    /// A key was marked as known to others.
    FlagCompromised,
    /// A secret was reported as leaked.
    ReportLeaked,
    /// A key got a new secret.
    Rotate,
    /// A key was removed.
    Delete,
    /// An expired key's place was given away.
    LatchExpiry,
    /// The active limit of one owner was set.
    SetActiveLimit,
    /// The request limits of one account were set.
    SetRequestLimits,
    /// A budget of one account, or of an organization, was set.
    SetBudget,
    /// An owner was closed.
    CloseOwner,
    /// An owner was opened again.
    ReopenOwner,
    /// An organization was closed.
    CloseOrganization,
    /// An organization was opened again.
    ReopenOrganization,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Create,
        Self::Import,
        Self::Edit,
        Self::Disable,
        Self::Enable,
        Self::Revoke,
        Self::FlagCompromised,
        Self::ReportLeaked,
        Self::Rotate,
        Self::Delete,
        Self::LatchExpiry,
        Self::SetActiveLimit,
        Self::SetRequestLimits,
        Self::SetBudget,
        Self::CloseOwner,
        Self::ReopenOwner,
        Self::CloseOrganization,
        Self::ReopenOrganization,
    ];

    /// The stable name that stores write.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Import => "import",
            Self::Edit => "edit",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Revoke => "revoke",
            Self::FlagCompromised => "flag_compromised",
            Self::ReportLeaked => "report_leaked",
            Self::Rotate => "rotate",
            Self::Delete => "delete",
            Self::LatchExpiry => "latch_expiry",
            Self::SetActiveLimit => "set_active_limit",
            Self::SetRequestLimits => "set_request_limits",
            Self::SetBudget => "set_budget",
            Self::CloseOwner => "close_owner",
            Self::ReopenOwner => "reopen_owner",
            Self::CloseOrganization => "close_organization",
            Self::ReopenOrganization => "reopen_organization",
        }
    }

    /// Reads [`Self::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.as_str().split('_').enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

/// One entry of the audit trail. It outlives what it speaks of, with owner and name as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AuditEvent {
    /// Its own id, made at the event's time: sorted by id, events are sorted by time.
    pub id: AuditId,
    /// The command that wrote it. Unique in the trail: a command that touches several keys gives each further event an
    /// id of its own.
    pub operation: OperationId,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: Actor,
    /// Why.
    pub reason: Reason,
    /// What.
    pub action: Action,
    /// In which organization.
    pub organization: OrganizationId,
    /// Whose; `None` for what was done to a whole organization.
    pub account: Option<AccountId>,
    /// To which key, if to one.
    pub key: Option<AuditedKey>,
    /// Whether anything changed; false where the target already held.
    pub changed: bool,
    /// What changed, in words and figures: capabilities, names, limits and times from and to what; descriptions and metadata
    /// by no more than that they changed. Never a secret.
    pub detail: String,
    /// What the command was given, to tell its repetition from another command.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub arguments: Arguments,
}

impl AuditEvent {
    /// Whether it was written within `scope`. The scope of an owner does not hold events of its whole organization.
    #[must_use]
    pub fn lies_within(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Organization(organization) => self.organization == *organization,
            Scope::Owner(owner) => self.organization == owner.organization && self.account.as_ref() == Some(&owner.account),
        }
    }
}

/// What a command was given, descriptions and metadata by their length alone, cut to 64 bits: a repetition under the same
/// operation id must give the same. Guards against mistakes, not against forgery. Mixed with the operation id, so that two
/// events say nothing of each other.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Arguments([u8; 8]);

impl Arguments {
    /// Takes stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a store to keep.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// Arguments in a fixed order, `None` where one was left out.
    pub(crate) fn of(operation: OperationId, given: impl IntoIterator<Item = Option<String>>) -> Self {
        let mut hash = Sha256::new_with_prefix(operation.as_bytes());
        for argument in given {
            let length = argument.as_ref().map_or(u64::MAX, |text| u64::try_from(text.len()).unwrap_or(u64::MAX));
            hash.update(length.to_be_bytes());
            hash.update(argument.unwrap_or_default());
        }
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        Self([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Arguments(..)")
    }
}

/// A key as it was when the event was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AuditedKey {
    /// Its id.
    pub id: KeyId,
    /// Its name after the command.
    pub name: Name,
    /// Its state before; `None` if it did not exist, or could not be read.
    pub from: Option<KeyState>,
    /// Its state after; `None` if it is gone.
    pub to: Option<KeyState>,
}

/// By whom, why and under which operation id a command is given, and what that actor may grant.
#[derive(Clone)]
pub struct By {
    pub(crate) actor: Actor,
    pub(crate) reason: Reason,
    pub(crate) operation: Option<OperationId>,
    pub(crate) may_grant: crate::capability::CapabilitySet,
    pub(crate) may_limit: bool,
    pub(crate) role: Role,
}

impl fmt::Debug for By {
    /// The reason by its size: nobody has looked for secrets in it yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("By")
            .field("actor", &self.actor)
            .field("reason", &format_args!("{} bytes", self.reason.as_str().len()))
            .field("operation", &self.operation)
            .field("may_grant", &self.may_grant)
            .field("may_limit", &self.may_limit)
            .field("role", &self.role)
            .finish()
    }
}

impl By {
    /// An actor with a reason, both kept in the audit trail. It may grant nothing and has the role of an owner.
    ///
    /// # Errors
    /// If the actor is not 1 to 256 bytes without white space, or the reason not 1 to 500 visible characters.
    pub fn new(actor: impl AsRef<str>, reason: impl AsRef<str>) -> Result<Self, Invalid> {
        Ok(Self {
            actor: Actor::new(actor)?,
            reason: Reason::new(reason)?,
            operation: None,
            may_grant: crate::capability::CapabilitySet::none(),
            may_limit: false,
            role: Role::Owner,
        })
    }

    /// What this actor may give to keys: create, import and edit refuse capabilities beyond it, and rotate refuses to give out
    /// the secret of a key that has them.
    #[must_use]
    pub fn may_grant(mut self, capabilities: crate::capability::CapabilitySet) -> Self {
        self.may_grant = capabilities;
        self
    }

    /// This actor may choose request limits of keys and set budgets: without it create, import and edit refuse limits other than the
    /// default, and [`Clove::set_budget`](crate::Clove::set_budget) is refused.
    #[must_use]
    pub fn may_set_limits(mut self) -> Self {
        self.may_limit = true;
        self
    }

    /// Gives the command under this id, so that it can be repeated after an unknown outcome. For one command only: another
    /// one, or the same with other arguments, is refused as [`crate::Refusal::OperationReused`]. Descriptions and metadata are
    /// compared by their length, the revision that it is based on and an imported secret not at all. Without it, each call has a
    /// fresh one.
    #[must_use]
    pub fn operation(mut self, operation: OperationId) -> Self {
        self.operation = Some(operation);
        self
    }

    /// As which role: it decides what a refusal offers instead.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }
}

/// Who looks at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Role {
    /// The key's owner.
    Owner,
    /// An administrator of the organization.
    Administrator,
}
