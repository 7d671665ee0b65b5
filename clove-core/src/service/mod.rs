//! The handle that a host holds.

mod access_log;
mod accounts;
mod budgets;
mod buffers;
mod builder;
mod charge;
mod close;
mod deadline;
mod decide;
mod detail;
mod everywhere;
mod fences;
mod issue;
mod knowledge;
mod known;
mod leak;
mod maintenance;
mod manage;
mod metering;
mod pages;
mod press;
mod prove;
mod recheck;
mod reserve;
mod retention;
mod rounds;
mod server_time;
mod sets;
mod share;
mod signals;
mod slide;
mod stop;
mod tally;
mod throttle;
mod uncharge;
mod unrecognized;
mod usage;
mod verification;
mod verify;
mod windows;

pub use builder::CloveBuilder;
pub(crate) use charge::Lefts;
pub use close::Closed;
pub use everywhere::Everywhere;
pub use issue::{Issued, NewKey};
pub(crate) use known::Known;
pub use maintenance::Maintenance;
pub use manage::{ActiveKeys, Applied, Edit};
pub use pages::{Cursor, ListAccess, ListAudit, ListKeys, MAX_PAGE, Page};
pub(crate) use reserve::Hold;
pub use stop::Stopped;
pub use usage::ListUsage;
pub use verification::Verification;

use crate::{
    clock::Clock,
    hash_queue::HashQueue,
    policy::Policy,
    store::Store,
    sync::{Arc, atomic::AtomicBool},
};
use access_log::Log;
use buffers::Buffers;
use charge::Leases;
use knowledge::Knowledge;
use known::Keys;
use metering::Metering;
use server_time::ServerTime;
use signals::Signals;
use std::fmt;
use throttle::Throttle;

/// Issues, verifies and manages API keys. Cheap to clone, safe to share.
#[derive(Clone)]
pub struct Clove {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    policy: Policy,
    clock: Arc<dyn Clock>,
    throttle: Throttle,
    hash_queue: HashQueue,
    buffers: Arc<Buffers>,
    leases: Leases,
    keys: Keys,
    knowledge: Knowledge,
    server_time: ServerTime,
    /// Whether the last round that forgot had not the time for all.
    has_more_to_forget: AtomicBool,
    metering: Arc<Metering>,
    log: Arc<Log>,
    /// `None` without observers. Apart, since a verification looks at no more than that.
    signals: Option<Box<Signals>>,
}

impl Clove {
    /// Keys in `store` under `policy`, on the system's clock.
    #[must_use]
    pub fn new(store: impl Store, policy: Policy) -> Self {
        Self::builder(store, policy).build()
    }

    /// The same on a clock of the caller's, for tests.
    #[must_use]
    pub fn with_clock(store: impl Store, policy: Policy, clock: impl Clock) -> Self {
        Self::builder(store, policy).clock(clock).build()
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// The time that keys are judged by, in whole microseconds: as this handle's clock tells it, corrected by what the clock of a store
    /// that several machines share has last told.
    #[must_use]
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.inner.now().into()
    }
}

impl fmt::Debug for Clove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clove").field("policy", &self.inner.policy).finish_non_exhaustive()
    }
}
