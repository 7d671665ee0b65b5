//! The handle that a host holds.

mod buffers;
mod charge;
mod close;
mod decide;
mod detail;
mod issue;
mod leak;
mod manage;
mod metering;
mod pages;
mod stop;
mod throttle;
mod usage;
mod verify;

pub use buffers::Maintenance;
pub(crate) use charge::Lefts;
pub use close::Closed;
pub use issue::{Issued, NewKey};
pub use manage::{ActiveKeys, Applied, Edit};
pub use pages::{Cursor, ListAudit, ListKeys, MAX_PAGE, Page};
pub use stop::Stopped;
pub use usage::ListUsage;

use crate::{
    clock::{Clock, SystemClock},
    hash_queue::HashQueue,
    policy::Policy,
    store::Store,
};
use buffers::Buffers;
use charge::Tallies;
use metering::Metering;
use std::{fmt, sync::Arc};
use throttle::Throttle;

/// Issues, verifies and manages API keys. Cheap to clone, safe to share.
#[derive(Clone)]
pub struct Clove {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    policy: Policy,
    clock: Box<dyn Clock>,
    throttle: Throttle,
    hash_queue: HashQueue,
    buffers: Buffers,
    tallies: Tallies,
    metering: Arc<Metering>,
}

impl Clove {
    /// Keys in `store` under `policy`, on the system's clock.
    #[must_use]
    pub fn new(store: impl Store, policy: Policy) -> Self {
        Self::with_clock(store, policy, SystemClock)
    }

    /// The same on a clock of the caller's, for tests.
    #[must_use]
    pub fn with_clock(store: impl Store, policy: Policy, clock: impl Clock) -> Self {
        let throttle = Throttle::new(policy.imports.unwrap_or_default());
        let tallies = Tallies::new(clock.now());
        let inner = Inner {
            store: Arc::new(store),
            policy,
            metering: Arc::new(Metering::new(tallies.node)),
            tallies,
            clock: Box::new(clock),
            throttle,
            hash_queue: HashQueue::new(),
            buffers: Buffers::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// The time, as this handle's clock tells it, in whole microseconds.
    #[must_use]
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.inner.clock.now().into()
    }
}

impl fmt::Debug for Clove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clove").field("policy", &self.inner.policy).finish_non_exhaustive()
    }
}
