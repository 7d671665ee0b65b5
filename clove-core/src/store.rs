//! What a store promises. The core owns all rules; a store owns atomicity and durability, reports facts, never judges.
//!
//! A store keeps five tables of which rules speak: organizations, owners, keys, secrets and audit events. It has one way to change
//! the first four and add to the fifth, [`Store::transact`]: read some rows, let the core decide, write what it decided, all in one
//! isolated and durable transaction. Beside them it keeps counts of request windows and the access log. No rule lives in a store: it
//! does not know the lifecycle, the limits, nor the time.
//!
//! Every promise below is a test in `clove-testkit`.

mod access;
pub(crate) mod budgets;
mod candidate;
mod copies;
mod epochs;
mod owners;
mod pages;
mod places;
mod roll;
mod transaction;
pub(crate) mod usage;

pub use access::{AccessPage, AccessQuery, UnrecognizedCount, unrecognized_by_hour};
pub use budgets::{BudgetQuery, BudgetRow, BudgetSums, Reported, Reserve, Reserved, Reserving};
pub use candidate::{Candidate, CandidateLimits, Found, Lookup, SecretRecord, Secrets};
pub use copies::{CopyPage, CopyPart, CopyPlace, CopyRow, CountRow, PlaceValue, RecorderRow, ReportRow, SumRow, UnreadableRow};
pub use epochs::{EpochShard, Epochs, Freshness, Marks, OWNER_SHARDS};
pub use owners::{ActiveLimit, OrganizationRecord, OwnerFacts, OwnerRecord};
pub use pages::{AuditPage, AuditQuery, ExpiringKey, ExpiringQuery, ExpiryFilter, KeyPage, KeyQuery, Place};
pub use places::{
    COUNT_LIFETIME_MICROS, Lease, Leased, NODE_LIFETIME_MICROS, SlidingCharge, SlidingCharged, SlidingState, Unspent, Want,
};
pub use transaction::{Changes, Decision, Facts, Flag, KeyChange, Reads, Remains, StoredKey, Transaction};
pub use usage::{Meter, Report, UsageBatch, UsagePage, UsagePlace, UsageQuery};

use crate::{
    access::AccessEntry,
    budget::BudgetState,
    clock::Timestamp,
    digest::{Digest, Scheme},
    error::StoreError,
    id::{KeyId, NodeId, OrganizationId, Owner, Scope},
    key::Key,
    usage::Day,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

/// Where keys live.
///
/// Identifiers compare and sort by bytes. Times have microsecond precision. Any number of processes may use one store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// How verifications learn that a row they remember has changed.
    fn freshness(&self) -> Freshness;

    /// Reads all epochs, the roll and who is registered in it, in one snapshot that began after this call; notes `bound` if none
    /// shorter is noted, durably, and tells the shortest and the first. [`Duration::MAX`] asks for none: it is not noted. Costs the same
    /// however many keys there are, and little: it is asked several times within the bound.
    ///
    /// A store that processes on several machines share tells what its own clock showed meanwhile, of this answer and no earlier one.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) or [`Corrupt`](StoreError::Corrupt): rows are read then, and not remembered. A node or
    /// a number of the roll that cannot be read is an error, and not passed over.
    async fn epochs(&self, bound: Duration) -> Result<Arc<Epochs>, StoreError>;

    /// Calls the roll by the next number, durably: one that was never given before, and above all that were. Whatever was committed
    /// when this was called, each snapshot holds that finds the number.
    ///
    /// Cancelled at any point, or with an unknown outcome, a number may be gone that nobody asks for.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) or [`OutcomeUnknown`](StoreError::OutcomeUnknown).
    async fn call_roll(&self) -> Result<u64, StoreError>;

    /// Notes, durably, that a node has answered the roll of this number, and registers the node where it is not; a higher number that
    /// it has answered stays.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) or [`OutcomeUnknown`](StoreError::OutcomeUnknown); it may be done again.
    async fn answer_roll(&self, node: NodeId, number: u64) -> Result<(), StoreError>;

    /// Takes these nodes off the roll, each only where it has answered no call of this number or a higher one. Need not be durable when
    /// it returns.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) or [`OutcomeUnknown`](StoreError::OutcomeUnknown); it may be done again.
    async fn dismiss(&self, nodes: &[NodeId], number: u64) -> Result<(), StoreError>;

    /// Finds what a verification needs by key id: the row whatever its state, all its secrets, and whether its owner and
    /// organization are open, read in one snapshot that began after this call.
    ///
    /// Every request comes this way: a store that answers from memory gives [`Lookup::Ready`], and nobody pays for waiting.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) where it cannot be read; [`Corrupt`](StoreError::Corrupt) where the row of this key,
    /// a secret of it, or whether it is open cannot be made out. Another key's row is no reason.
    fn find_by_id(&self, id: KeyId) -> Lookup<'_>;

    /// The same by a secret's digest: at most four digests, one statement. Argon2id secrets are never found this way.
    /// The candidate holds at least the secret that matched.
    ///
    /// # Errors
    /// As [`Store::find_by_id`]; `Corrupt` names the key where its id can be read.
    fn find_by_digest(&self, digests: &[Digest]) -> Lookup<'_>;

    /// Runs `transaction`: reads [`Reads`], calls [`Transaction::decide`] with the facts, and on [`Decision::Commit`]
    /// writes all its changes and events; on anything else, nothing of them. Returns the decision once it is durable.
    ///
    /// - **Isolated**: the outcome is that of running transactions one after another. `decide` may be called again if the
    ///   store has to start over; only the last call's decision counts.
    /// - **Replays**: where an event with the transaction's operation id exists, it is in [`Facts::replayed`], as it was
    ///   written: by its own id the core knows which call wrote it.
    /// - **Unique**: key ids, digests, operation ids and audit ids. A second one is [`StoreError::Conflict`], and nothing
    ///   is written.
    /// - **Epochs**: those of [`Changes::outdates`] move with the changes, and no others; telemetry moves none.
    /// - **Refused**: from then on no earlier run of the same operation is written, also one whose outcome was unknown and that arrives
    ///   late. A later run may be. A store may keep a row of an owner that had none, with nothing in it, if that is how it rules this out.
    /// - **Cancelled** at any point, it has happened whole or not at all; running the same transaction again tells.
    ///
    /// Where rows are locked, the order is organization, owner, key.
    ///
    /// # Errors
    /// In each case but one nothing was written:
    /// - [`Conflict`](StoreError::Conflict): a row to be inserted is not unique.
    /// - [`Unavailable`](StoreError::Unavailable): the store cannot be reached, is busy, full, read-only or closed, or caught a
    ///   panic of `decide`.
    /// - [`Corrupt`](StoreError::Corrupt): a row that [`Reads`] names, or the event to be replayed, cannot be read; or, for
    ///   [`Reads::Owner`] and [`Reads::Key`], the row of an owner or organization that has keys was lost: taken for new, it would be
    ///   open, closed or not before. A batch passes over such keys instead, and [`Reads::Remains`] needs no more of one than whose it is.
    /// - [`OutcomeUnknown`](StoreError::OutcomeUnknown): the answer to the commit was lost, and all is written, or nothing.
    async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError>;

    /// Reads one key within `scope`; a foreign one is `None`.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable), or [`Corrupt`](StoreError::Corrupt) where the row of this key cannot be read.
    async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError>;

    /// A page of keys within the scope, newest id first.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) only: a row that cannot be read is told in the page.
    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError>;

    /// A page of keys within the scope that expire in a time range, ordered by (`expires_at`, id), soonest first.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) only: a row that cannot be read is told in the page.
    async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError>;

    /// Keys of any owner, Active or Suspended and unlatched, whose `expires_at` is after `from` and at or before `until`, ordered by
    /// (`expires_at`, id), soonest first: at most `limit`, and only those after the place `after`, which may lie before `from`. For
    /// maintenance alone; it costs what it gives, whatever number of owners there are.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) only: a key whose id, owner, state or expiry cannot be read is passed over.
    async fn expiring_soon(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, KeyId)>,
        limit: usize,
    ) -> Result<Vec<ExpiringKey>, StoreError>;

    /// Reads an owner's row, and how many of its places are held by keys that have expired at `now`.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable), or [`Corrupt`](StoreError::Corrupt) where the row of this owner cannot be read.
    async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError>;

    /// Reads an organization's row.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable), or [`Corrupt`](StoreError::Corrupt) where that row cannot be read.
    async fn organization(&self, organization: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError>;

    /// A page of the audit trail, newest id first.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) only: events that cannot be read are counted in the page.
    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError>;

    /// The pepper versions under which secrets are stored, of keys of whatever state.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) only: a version that cannot be read is passed over.
    async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError>;

    /// A page of the ids of keys with a secret under this pepper version, ascending, after `after`.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) only: an id that cannot be read is passed over.
    async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError>;

    /// Replaces digests, each only where the key still has a secret with the old digest. Touches neither revision nor
    /// audit trail. Need not be durable when it returns, but is written whole or not at all.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable): nothing was written. [`OutcomeUnknown`](StoreError::OutcomeUnknown): all or nothing.
    /// Either way it may be done again. A digest that another secret has already is no error, and that change is left out.
    async fn rehash(&self, changes: &[Rehash]) -> Result<(), StoreError>;

    /// Moves each key's last use forward, never back; unknown keys are passed over. Touches neither revision nor audit
    /// trail. Need not be durable when it returns.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) or [`OutcomeUnknown`](StoreError::OutcomeUnknown): some uses may be written, and all
    /// may be written again.
    async fn touch(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError>;

    /// Takes places of windows: in one isolated and durable transaction, for each [`Want`] reads how many are charged to its
    /// window's name, takes as many as [`Want::take`] says, and charges them. Notes that the node took some at that time, if it
    /// did; the nodes that count are those that did within [`NODE_LIFETIME_MICROS`] before it, and this one. One answer a want.
    ///
    /// Cancelled at any point, or with an unknown outcome, places may be charged that nobody spends; never the other way about.
    async fn lease(&self, lease: Arc<Lease>) -> Result<Vec<Leased>, StoreError>;

    /// Charges a request to sliding windows that processes share, in one isolated and durable transaction: reads for each window how
    /// much is charged to its names after [`SlidingCharge::since`], as [`Store::lease`] keeps them, and where
    /// [`SlidingCharge::decide`] charges, charges its places to the name [`SlidingCharge::at`] of each. No node counts for it.
    ///
    /// Cancelled at any point, or with an unknown outcome, places may be charged for nothing; never the other way about.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) or [`OutcomeUnknown`](StoreError::OutcomeUnknown).
    async fn charge_sliding(&self, charge: Arc<SlidingCharge>) -> Result<SlidingCharged, StoreError>;

    /// Gives places back to their names. Never run twice for the same places, unless nothing was given back the first time; need not be
    /// durable when it returns.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable): nothing was given back. [`OutcomeUnknown`](StoreError::OutcomeUnknown): any of the
    /// places may be.
    async fn give_back(&self, unspent: &[Unspent]) -> Result<(), StoreError>;

    /// Forgets counts of windows that were over [`COUNT_LIFETIME_MICROS`] before `now`, at most `limit`; how many it were. As of all that
    /// is forgotten, fewer than `limit` say that there are no more, or that another process is forgetting them. Need not be durable when it
    /// returns.
    async fn forget_counts(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Writes usage, in one isolated and durable transaction.
    ///
    /// - **Once**: where a batch of the same node with this sequence or a higher one was written before, nothing is done.
    /// - **Requests** are added to their sums.
    /// - **Reports**: of a grant and unit the ledger keeps the largest total, and what is reserved. Sums and ledger move as
    ///   [`Report::moves`] says: by what the total has grown; so one that was reported before, by whichever process, moves nothing.
    ///   One that settles is in the ledger whatever its total, so that no reservation comes after it.
    /// - **Sums** stay at [`MAX_AMOUNT`](crate::usage::MAX_AMOUNT) once they are there. One that cannot be read stays so, and takes
    ///   nothing else down.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable): nothing was written; [`Corrupt`](StoreError::Corrupt): nothing was written, since the
    /// ledger cannot be read, of a grant ([`CorruptRow::Report`](crate::error::CorruptRow::Report)) or of the node;
    /// [`OutcomeUnknown`](StoreError::OutcomeUnknown): all or nothing. In each case it may be sent again.
    async fn record(&self, batch: Arc<UsageBatch>) -> Result<(), StoreError>;

    /// A page of sums.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) only: sums that cannot be read are counted in the page.
    async fn usage(&self, query: &UsageQuery) -> Result<UsagePage, StoreError>;

    /// Forgets what the ledger knows of grants of days before `before`, and of nodes whose last batch was made before it, at most
    /// `limit` rows; how many it were, as for [`Store::forget_counts`]. Sums stay. Need not be durable when it returns.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) or [`OutcomeUnknown`](StoreError::OutcomeUnknown): it may be done again.
    async fn forget_reports(&self, before: Day, limit: usize) -> Result<usize, StoreError>;

    /// Reserves an amount of all budgets that there are, or of none, in one isolated and durable transaction: reads for each of
    /// [`Reserve::queries`] its holder's own choice and, where [`BudgetQuery::period`] gives a budget, the sums of its days; reads what
    /// the ledger knows of the grant and unit; and does what [`Reserve::decide`] says. Moves no epoch.
    ///
    /// Cancelled at any point, it has happened whole or not at all; a report that settles frees it either way, before or after.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable): nothing was written. [`Corrupt`](StoreError::Corrupt): nothing was written, since a
    /// choice, a sum or the ledger cannot be read; what is not known is not given out. [`OutcomeUnknown`](StoreError::OutcomeUnknown):
    /// all or nothing; the same may be done again, and is done once.
    async fn reserve(&self, reserve: Arc<Reserve>) -> Result<Reserved, StoreError>;

    /// How a budget stands; `None` if there is none.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable), or [`Corrupt`](StoreError::Corrupt) where the choice or a sum cannot be read.
    async fn budget(&self, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError>;

    /// Adds entries to the access log, all or none, durable when it returns. An entry whose id is there already is passed over, so
    /// that after an unknown outcome the same may be written again. Cancelled at any point, it has happened whole or not at all.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable): nothing was written. [`OutcomeUnknown`](StoreError::OutcomeUnknown): all or nothing.
    async fn log_access(&self, entries: Arc<[AccessEntry]>) -> Result<(), StoreError>;

    /// A page of the access log, newest id first.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) only: entries that cannot be read are counted in the page.
    async fn access_log(&self, query: &AccessQuery) -> Result<AccessPage, StoreError>;

    /// Forgets at most `limit` entries of the access log whose ids were made before `before`, the oldest first, and after them
    /// counts of hours that began before it; how many rows it were, as for [`Store::forget_counts`]. A store that keeps
    /// its log in a table for each month may instead forget a month that was over before `before` at once, however many entries it had, and
    /// says `limit` then: there may be more. Need not be durable when it returns.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) or [`OutcomeUnknown`](StoreError::OutcomeUnknown); it may be done again.
    async fn forget_access(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Forgets at most `limit` audit events whose ids were made before `before`, the oldest first; how many it were. Their operation
    /// ids are free again. As for [`Store::forget_access`], a month may go at once, which its operations may do first: `limit` as
    /// well. Need not be durable when it returns.
    ///
    /// # Errors
    /// As [`Store::forget_access`].
    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Raises how many requests a process has refused in an hour to each given count, and never lowers it. Need not be durable when
    /// it returns.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) or [`OutcomeUnknown`](StoreError::OutcomeUnknown); it may be done again.
    async fn count_unrecognized(&self, counts: &[UnrecognizedCount]) -> Result<(), StoreError>;

    /// How many requests all processes have refused in each hour that begins at `from` or later and before `until`, ascending; hours
    /// without any are left out.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) only: a count that cannot be read is passed over.
    async fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, u64)>, StoreError>;

    /// Up to `limit` rows of a part, at least 1, ascending by [`CopyRow::place`], with places after `after`, a last place of a page of
    /// this store. A key comes with its secrets, of one moment. For moving to another store ([`copy`](crate::copy)): it costs what it
    /// gives, however much lies before.
    ///
    /// # Errors
    /// [`Unavailable`](StoreError::Unavailable) only: a row that cannot be read is named in the page, and none is left out.
    async fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> Result<CopyPage, StoreError>;

    /// Writes rows of another store as they are, in one isolated and durable transaction, and tells how many were written. A row that is
    /// there already and equal is passed over, so that the same may be written again. Nothing is ever overwritten. Where something of
    /// [`CopyRow::is_remembered`] is written, the epoch of [`EpochShard::EVERYONE`] moves, and no other.
    ///
    /// Cancelled at any point, it has happened whole or not at all.
    ///
    /// # Errors
    /// In each case but one nothing was written. [`Conflict`](StoreError::Conflict): a row of this place is there and differs
    /// ([`Unique::Row`](crate::error::Unique::Row)) or cannot be read, or what is to be unique is another row's;
    /// [`Unavailable`](StoreError::Unavailable); [`OutcomeUnknown`](StoreError::OutcomeUnknown): all or nothing.
    async fn import(&self, rows: Arc<[CopyRow]>) -> Result<usize, StoreError>;
}

macro_rules! forward {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<S: Store + ?Sized> Store for $pointer<S> {
            fn freshness(&self) -> Freshness {
                (**self).freshness()
            }
            async fn epochs(&self, bound: Duration) -> Result<Arc<Epochs>, StoreError> {
                (**self).epochs(bound).await
            }
            async fn call_roll(&self) -> Result<u64, StoreError> {
                (**self).call_roll().await
            }
            async fn answer_roll(&self, node: NodeId, number: u64) -> Result<(), StoreError> {
                (**self).answer_roll(node, number).await
            }
            async fn dismiss(&self, nodes: &[NodeId], number: u64) -> Result<(), StoreError> {
                (**self).dismiss(nodes, number).await
            }
            fn find_by_id(&self, id: KeyId) -> Lookup<'_> {
                (**self).find_by_id(id)
            }
            fn find_by_digest(&self, digests: &[Digest]) -> Lookup<'_> {
                (**self).find_by_digest(digests)
            }
            async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
                (**self).transact(transaction).await
            }
            async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
                (**self).get(scope, id).await
            }
            async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
                (**self).list(query).await
            }
            async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
                (**self).expiring(query).await
            }
            async fn expiring_soon(
                &self,
                from: Timestamp,
                until: Timestamp,
                after: Option<(Timestamp, KeyId)>,
                limit: usize,
            ) -> Result<Vec<ExpiringKey>, StoreError> {
                (**self).expiring_soon(from, until, after, limit).await
            }
            async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
                (**self).owner(owner, now).await
            }
            async fn organization(&self, organization: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
                (**self).organization(organization).await
            }
            async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
                (**self).audit(query).await
            }
            async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError> {
                (**self).peppers_in_use().await
            }
            async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError> {
                (**self).keys_under_pepper(version, after, limit).await
            }
            async fn rehash(&self, changes: &[Rehash]) -> Result<(), StoreError> {
                (**self).rehash(changes).await
            }
            async fn touch(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
                (**self).touch(uses).await
            }
            async fn lease(&self, lease: Arc<Lease>) -> Result<Vec<Leased>, StoreError> {
                (**self).lease(lease).await
            }
            async fn charge_sliding(&self, charge: Arc<SlidingCharge>) -> Result<SlidingCharged, StoreError> {
                (**self).charge_sliding(charge).await
            }
            async fn give_back(&self, unspent: &[Unspent]) -> Result<(), StoreError> {
                (**self).give_back(unspent).await
            }
            async fn forget_counts(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
                (**self).forget_counts(now, limit).await
            }
            async fn record(&self, batch: Arc<UsageBatch>) -> Result<(), StoreError> {
                (**self).record(batch).await
            }
            async fn usage(&self, query: &UsageQuery) -> Result<UsagePage, StoreError> {
                (**self).usage(query).await
            }
            async fn forget_reports(&self, before: Day, limit: usize) -> Result<usize, StoreError> {
                (**self).forget_reports(before, limit).await
            }
            async fn reserve(&self, reserve: Arc<Reserve>) -> Result<Reserved, StoreError> {
                (**self).reserve(reserve).await
            }
            async fn budget(&self, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
                (**self).budget(query).await
            }
            async fn log_access(&self, entries: Arc<[AccessEntry]>) -> Result<(), StoreError> {
                (**self).log_access(entries).await
            }
            async fn access_log(&self, query: &AccessQuery) -> Result<AccessPage, StoreError> {
                (**self).access_log(query).await
            }
            async fn forget_access(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
                (**self).forget_access(before, limit).await
            }
            async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
                (**self).forget_audit(before, limit).await
            }
            async fn count_unrecognized(&self, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
                (**self).count_unrecognized(counts).await
            }
            async fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, u64)>, StoreError> {
                (**self).unrecognized(from, until).await
            }
            async fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> Result<CopyPage, StoreError> {
                (**self).export(part, after, limit).await
            }
            async fn import(&self, rows: Arc<[CopyRow]>) -> Result<usize, StoreError> {
                (**self).import(rows).await
            }
        }
    )*};
}
forward!(Arc, Box);

/// A digest to be replaced by a better one of the same secret.
#[derive(Clone)]
pub struct Rehash {
    /// Whose secret.
    pub key: KeyId,
    /// The digest that it must still have.
    pub old: Digest,
    /// The digest that it gets.
    pub new: Digest,
    /// How the new one was made.
    pub scheme: Scheme,
}

impl fmt::Debug for Rehash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehash").field("key", &self.key).field("scheme", &self.scheme.name()).finish_non_exhaustive()
    }
}
