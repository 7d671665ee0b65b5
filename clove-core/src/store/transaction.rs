//! The one way to change a store: what a transaction reads, what it has read, and what is made of it.

use super::{BudgetRow, EpochShard, OrganizationRecord, OwnerRecord, SecretRecord};
use crate::{
    audit::AuditEvent,
    budget::BudgetChoice,
    error::Refusal,
    id::{KeyId, OperationId, Owner, Scope},
    key::{Key, KeyState, Name},
    usage::Unit,
};
use chrono::{DateTime, Utc};
use std::{collections::BTreeSet, fmt, sync::Arc};

/// One atomic read, decision and write.
pub struct Transaction {
    /// The command's id.
    pub operation: OperationId,
    /// What to read.
    pub reads: Reads,
    is_first: bool,
    decide: Arc<dyn Fn(&Facts) -> Decision + Send + Sync>,
}

impl Transaction {
    /// A transaction that reads `reads` and writes what `decide` makes of them. `decide` is pure and may run more than once.
    pub fn new(operation: OperationId, reads: Reads, decide: impl Fn(&Facts) -> Decision + Send + Sync + 'static) -> Self {
        Self { operation, reads, is_first: false, decide: Arc::new(decide) }
    }

    /// The first run of an operation whose id was made for it.
    pub(crate) fn first(self) -> Self {
        Self { is_first: true, ..self }
    }

    /// Another run of the same operation.
    pub(crate) fn again(&self) -> Self {
        Self { operation: self.operation, reads: self.reads.clone(), is_first: false, decide: Arc::clone(&self.decide) }
    }

    /// Whether nothing of this operation can be under way, or have been written. Then a store may refuse it by rows that it has read in
    /// one snapshot and does not hold: it was refused at that moment. Of any other, an earlier run might be written after
    /// it, which a refusal is to rule out.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.is_first
    }

    /// What to write, given the facts.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> Decision {
        (self.decide)(facts)
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("operation", &self.operation).field("reads", &self.reads).finish_non_exhaustive()
    }
}

/// What a transaction reads, besides an event under its operation id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reads {
    /// An owner's row and its organization's; with `expired_at`, also the owner's keys that hold a place and whose
    /// `expires_at` is at or before that time.
    Owner {
        /// Whose.
        owner: Owner,
        /// Read expired keys that hold places at this time.
        expired_at: Option<DateTime<Utc>>,
    },
    /// Whether what the scope names, an owner or an organization, is open. Nothing else need be readable, and not even that.
    Flag(Scope),
    /// A key within a scope with its secrets, its owner's row and its organization's; with `expired_at` as above.
    Key {
        /// How far the look-up reaches.
        scope: Scope,
        /// Which key.
        id: KeyId,
        /// Read expired keys of its owner that hold places at this time.
        expired_at: Option<DateTime<Utc>>,
    },
    /// Which budget of a unit what the scope names has chosen.
    Budget {
        /// Whose.
        scope: Scope,
        /// Of what.
        unit: Unit,
    },
    /// What is left of a key within a scope whose row or secrets may be beyond reading, and its owner's row if that can be read.
    Remains {
        /// How far the look-up reaches.
        scope: Scope,
        /// Which key.
        id: KeyId,
    },
    /// Up to `limit` keys of the scope in one of the states with ids above `after`, ascending by id, of one owner or of
    /// several; the rows of all their owners; and as [`Reads::Flag`] whether what the scope names is open. A page costs what lies
    /// behind `after` until it is full, however much lies before.
    Batch {
        /// Which keys.
        scope: Scope,
        /// In which states.
        states: Vec<KeyState>,
        /// Only ids above this one.
        after: Option<KeyId>,
        /// How many at most.
        limit: usize,
    },
}

/// What a transaction has read.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The event already written under the transaction's operation id. Where there is one, the other facts are read too.
    pub replayed: Option<AuditEvent>,
    /// The organization's row, if it was asked for and there is one.
    pub organization: Option<OrganizationRecord>,
    /// Whether what [`Reads::Flag`] or [`Reads::Batch`] names is open; `None` if it has no row.
    pub flag: Option<Flag>,
    /// What [`Reads::Budget`] names has chosen, the default if it has not; `None` if that cannot be read.
    pub budget: Option<BudgetChoice>,
    /// The owners' rows, as far as they exist.
    pub owners: Vec<OwnerRecord>,
    /// The key asked for, or the batch; ascending by id.
    pub keys: Vec<StoredKey>,
    /// Keys that hold a place and have expired, if asked for.
    pub expired: Vec<Key>,
    /// What is left of the key asked for by [`Reads::Remains`].
    pub remains: Option<Remains>,
    /// The first key of a batch that could not be read, and was passed over.
    pub passed_over: Option<KeyId>,
}

/// Whether an owner or an organization is open, as its row tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// It is.
    Open,
    /// It is not.
    Closed,
    /// The row does not tell. Verifications and commands that read the row are [`StoreError::Corrupt`](crate::StoreError::Corrupt).
    Unreadable,
}

impl From<bool> for Flag {
    fn from(open: bool) -> Self {
        if open { Self::Open } else { Self::Closed }
    }
}

/// As much of a key as it takes to stop or delete it. A store that never finds a row beyond reading gives it of sound ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// The key's id.
    pub id: KeyId,
    /// Whose key; where that cannot be read, there is nothing to go by, and reading is [`StoreError::Corrupt`](crate::StoreError::Corrupt).
    pub owner: Owner,
    /// Its name, if that can be read.
    pub name: Option<Name>,
    /// Its stored state, if that can be read.
    pub state: Option<KeyState>,
    /// Its revision, if that can be read.
    pub revision: Option<u64>,
    /// How many other keys of the owner there are, counted by their rows.
    pub others: u32,
    /// How many of those are stored Active and not latched.
    pub others_held: u32,
}

/// A key with its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// The record.
    pub key: Key,
    /// One or two secrets, the current one first.
    pub secrets: Vec<SecretRecord>,
}

/// What the core made of the facts.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Write this.
    Commit(Changes),
    /// Write nothing: the command was carried out before, by this event; with the key as it is now.
    Replay(Box<AuditEvent>, Option<Box<StoredKey>>),
    /// Write nothing: the rules refuse.
    Refuse(Refusal),
}

/// What to write.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// An organization's row as it is to be, new or not.
    pub organization: Option<OrganizationRecord>,
    /// Owners' rows as they are to be, new or not.
    pub owners: Vec<OwnerRecord>,
    /// Opens or closes an owner. The rest of its row stays, readable or not; a new row has no keys, no limit and no creations.
    pub owner_flag: Option<(Owner, bool)>,
    /// A budget as it is to be chosen, chosen before or not.
    pub budget: Option<BudgetRow>,
    /// Changes of keys, in order.
    pub keys: Vec<KeyChange>,
    /// What to add to the audit trail.
    pub events: Vec<AuditEvent>,
    /// Whose rows other processes are to read anew: in the same transaction, and in ascending order where rows are locked, each of
    /// these epochs takes a value that it never had.
    pub outdates: BTreeSet<EpochShard>,
}

/// A change of one key.
#[derive(Clone, Debug)]
pub enum KeyChange {
    /// A new key with its secrets.
    Insert(StoredKey),
    /// A key as it is to be, all but its `owner`, `created_at` and `last_used_at`, which stay. `secrets` replaces all its
    /// secrets where given.
    Update {
        /// The record.
        key: Key,
        /// Its secrets, if they change.
        secrets: Option<Vec<SecretRecord>>,
    },
    /// The key's state and revision as they are to be. The rest of its row and its secrets stay, readable or not.
    Stop {
        /// Which key.
        id: KeyId,
        /// Its state.
        state: KeyState,
        /// Its revision.
        revision: u64,
    },
    /// The key and its secrets go.
    Delete(KeyId),
}
