//! The store of clove for many nodes, on Postgres 13 to 18: N processes behave as one.
//!
//! ```no_run
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use clove_core::{By, Clove, NewKey, Owner, Policy};
//! use clove_store_postgres::PostgresStore;
//!
//! let store = PostgresStore::connect("postgres://clove@localhost/keys").await?;
//! let clove = Clove::new(store, Policy::profile_a());
//! let ada = Owner::new("acme", "ada")?;
//! clove.create(&ada, NewKey::named("laptop")?, &By::new("ada", "first steps")?).await?;
//!
//! assert_eq!(clove.active_keys(&ada).await?.to_string(), "1 / 2 active keys");
//! # Ok(()) }
//! ```
//!
//! - **Open** by a URL or with the host's own pool: [`Options`]. The schema `clove` is created and migrated on opening, by however many
//!   nodes at once, or beforehand by its owner ([`Options::migrate_now`]), where the service's role may change no schema.
//! - **The active-key limit, request windows and budgets** hold over all nodes, whatever dies. What one node has disabled, all others obey
//!   within the bound of freshness, 2 seconds unless the policy says otherwise, mostly within 250 ms; `Clove::everywhere`
//!   returns once it is a fact.
//! - **PgBouncer** in transaction mode, and poolers like it, are recognised on opening. Point it at the primary.
//! - **Two connections** are kept for look-ups, which verifications at the same time share, two for creations as long as these come, and
//!   two are taken where creations are refused; a pool needs eight at least.
//! - **Errors** hold what the server said only where that names no values.
//!
//! # On which servers
//!
//! The tests run on Postgres itself, straight and through PgBouncer (1.18) in transaction mode: each time on the server that the machine
//! has, which has been 15.18; as a whole on 18.4 too; and on 13.23, but for the longest of them. The statements are those of 13 to 18.
//! `cargo xtask test` takes the server whose `pg_config` comes first in `PATH`. On CockroachDB and YugabyteDB it runs by construction, with
//! `Options::partitions(false)`, and is not tested: a test keeps whatever they lack out of the statements, such as advisory locks,
//! procedural code and names of Postgres's own storage.
//!
//! # How often it asks the server
//!
//! As `cargo xtask bench --postgres` counts it, where each figure has this name; through a pooler it is the one ending in `-pooled`.
//!
//! | | round trips | of them statements | through a pooler | figure |
//! |---|---|---|---|---|
//! | a verification that reads | 1 | 1 | 4 | `round-trips-verify` |
//! | a creation where a place is free | 1 | 1 | 6 | `round-trips-create` |
//! | one at the limit, refused, under no operation id of the host's own | 6 | 2 | 12 | `round-trips-refused-creation` |
//! | another command: disable | 15 | 13 | 26 | `round-trips-disable` |
//!
//! Through a pooler a statement that is alone stands between `BEGIN` and `COMMIT`, and each is prepared anew, which is a round trip of its
//! own. The pool asks each connection that comes back, twice, whether it lives, which are two more; verifications keep their connections, and
//! creations theirs where there is no pooler.
//!
//! An idle node sends some 4 statements a second, by which what it remembers stays fresh (`idle-statements`), and 1,000 granted requests from
//! memory call the store some 13 times, at limits of 100,000 (`store-calls-per-1000-pg`). Neither is more with 10,000,000 keys than with
//! 1,000: `scale-10m-idle-statements` and `scale-10m-store-calls` of `--scale`.
//!
//! # As which role
//!
//! Whoever opens makes the schema, unless told not to. A service's role can do without that: its owner runs
//! [`Options::migrate_now`] and the statements of [`Options::grants`], and the service opens with `migrate(false)`. Its role then makes,
//! changes and empties no table, and can edit no event of the audit trail.

mod access;
mod budgets;
mod create;
mod cuts;
mod epochs;
mod error;
mod export;
mod grants;
mod import;
mod lookup;
mod open;
mod partitions;
mod places;
mod queue;
mod read;
mod rows;
mod schema;
mod session;
mod share;
mod sights;
#[doc(hidden)]
pub mod sql;
mod transact;
mod usage;
mod write;

pub use error::DriverError;
pub use open::Options;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use clove_core::{
    AccessEntry, BudgetState, Key, KeyId, OrganizationId, Owner, Scope, Store, StoreError, Timestamp,
    digest::Digest,
    id::NodeId,
    store::{
        AccessPage, AccessQuery, AuditPage, AuditQuery, BudgetQuery, CopyPage, CopyPart, CopyPlace, CopyRow, Decision, Epochs,
        ExpiringKey, ExpiringQuery, Freshness, KeyPage, KeyQuery, Lease, Leased, Lookup, OrganizationRecord, OwnerFacts, Rehash,
        Reserve, Reserved, SlidingCharge, SlidingCharged, Transaction, UnrecognizedCount, Unspent, UsageBatch, UsagePage,
        UsageQuery,
    },
    usage::Day,
};
use create::Creations;
use lookup::Lookups;
use partitions::Calendar;
use session::Session;
use sql::SLICE;
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

/// How late another process's command is obeyed, at most, unless the policy says otherwise.
const FRESHNESS: Duration = Duration::from_secs(2);

/// A store on one Postgres database. Clones share it.
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

struct Inner {
    session: Arc<Session>,
    lookups: Lookups,
    creations: Creations,
    calendar: Calendar,
}

impl PostgresStore {
    /// Opens a database with the default [`Options`].
    ///
    /// # Errors
    /// As [`Options::url`] and [`Options::open`].
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Options::url(url)?.open().await
    }

    /// Ends look-ups and closes the pool, the host's too where it gave one; later calls fail.
    pub async fn close(&self) {
        self.inner.lookups.close();
        self.inner.creations.close();
        self.inner.session.pool.close().await;
    }

    fn session(&self) -> &Session {
        &self.inner.session
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("is_pooled", &self.session().is_pooled).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn freshness(&self) -> Freshness {
        Freshness::Polled(FRESHNESS)
    }

    async fn epochs(&self, bound: Duration) -> Result<Arc<Epochs>, StoreError> {
        epochs::poll(self.session(), bound).await
    }

    async fn call_roll(&self) -> Result<u64, StoreError> {
        epochs::call_roll(self.session()).await
    }

    async fn answer_roll(&self, node: NodeId, number: u64) -> Result<(), StoreError> {
        epochs::answer_roll(self.session(), node, number).await
    }

    async fn dismiss(&self, nodes: &[NodeId], number: u64) -> Result<(), StoreError> {
        epochs::dismiss(self.session(), nodes, number).await
    }

    fn find_by_id(&self, id: KeyId) -> Lookup<'_> {
        Lookup::waits(self.inner.lookups.by_id(id))
    }

    fn find_by_digest(&self, digests: &[Digest]) -> Lookup<'_> {
        Lookup::waits(self.inner.lookups.by_digest(digests.to_vec()))
    }

    async fn transact(&self, transaction: Arc<Transaction>) -> Result<Decision, StoreError> {
        transact::transact(self.session(), &self.inner.creations, &transaction).await
    }

    async fn get(&self, scope: &Scope, id: KeyId) -> Result<Option<Key>, StoreError> {
        read::get(self.session(), scope, id).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        read::list(self.session(), query).await
    }

    async fn expiring(&self, query: &ExpiringQuery) -> Result<KeyPage, StoreError> {
        read::expiring(self.session(), query).await
    }

    async fn expiring_soon(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, KeyId)>,
        limit: usize,
    ) -> Result<Vec<ExpiringKey>, StoreError> {
        read::expiring_soon(self.session(), from, until, after, limit).await
    }

    async fn owner(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Option<OwnerFacts>, StoreError> {
        read::owner_facts(self.session(), owner, now).await
    }

    async fn organization(&self, organization: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
        read::organization(self.session(), organization).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        read::audit(self.session(), query).await
    }

    async fn peppers_in_use(&self) -> Result<BTreeSet<u16>, StoreError> {
        read::peppers_in_use(self.session()).await
    }

    async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError> {
        read::keys_under_pepper(self.session(), version, after, limit).await
    }

    async fn rehash(&self, changes: &[Rehash]) -> Result<(), StoreError> {
        write::rehash(self.session(), changes).await
    }

    async fn touch(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
        for slice in uses.chunks(SLICE) {
            write::touch(self.session(), slice).await?;
        }
        Ok(())
    }

    async fn lease(&self, lease: Arc<Lease>) -> Result<Vec<Leased>, StoreError> {
        places::lease(self.session(), &lease).await
    }

    async fn charge_sliding(&self, charge: Arc<SlidingCharge>) -> Result<SlidingCharged, StoreError> {
        places::charge_sliding(self.session(), &charge).await
    }

    async fn give_back(&self, unspent: &[Unspent]) -> Result<(), StoreError> {
        for (done, slice) in unspent.chunks(SLICE).enumerate() {
            places::give_back(self.session(), slice).await.map_err(|error| match error {
                // Some are given back already.
                StoreError::Unavailable { source, .. } if done > 0 => StoreError::OutcomeUnknown { source },
                error => error,
            })?;
        }
        Ok(())
    }

    async fn forget_counts(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        // Every round of forgetting begins with it, whatever else is kept for good.
        let session = self.session();
        self.inner.calendar.provide_if_due(session).await;
        places::forget(session, now, limit).await
    }

    async fn record(&self, batch: Arc<UsageBatch>) -> Result<(), StoreError> {
        usage::record(self.session(), &batch).await
    }

    async fn usage(&self, query: &UsageQuery) -> Result<UsagePage, StoreError> {
        usage::page(self.session(), query).await
    }

    async fn forget_reports(&self, before: Day, limit: usize) -> Result<usize, StoreError> {
        usage::forget(self.session(), before, limit).await
    }

    async fn reserve(&self, reserve: Arc<Reserve>) -> Result<Reserved, StoreError> {
        budgets::reserve(self.session(), &reserve).await
    }

    async fn budget(&self, query: &BudgetQuery) -> Result<Option<BudgetState>, StoreError> {
        budgets::read(self.session(), query).await
    }

    async fn log_access(&self, entries: Arc<[AccessEntry]>) -> Result<(), StoreError> {
        access::log(self.session(), &entries).await
    }

    async fn access_log(&self, query: &AccessQuery) -> Result<AccessPage, StoreError> {
        access::page(self.session(), query).await
    }

    async fn forget_access(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        access::forget(self.session(), before, limit).await
    }

    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        access::forget_audit(self.session(), before, limit).await
    }

    async fn count_unrecognized(&self, counts: &[UnrecognizedCount]) -> Result<(), StoreError> {
        access::count_unrecognized(self.session(), counts).await
    }

    async fn unrecognized(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        access::unrecognized(self.session(), from, until).await
    }

    async fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> Result<CopyPage, StoreError> {
        export::page(self.session(), part, after, limit).await
    }

    async fn import(&self, rows: Arc<[CopyRow]>) -> Result<usize, StoreError> {
        import::write(self.session(), &rows).await
    }
}
