//! The handle that a host holds.

mod buffers;
mod builder;
mod charge;
mod close;
mod decide;
mod detail;
mod issue;
mod leak;
mod manage;
mod pages;
mod signals;
mod stop;
mod throttle;
mod verify;

pub use buffers::Maintenance;
pub use builder::CloveBuilder;
pub(crate) use charge::Lefts;
pub use close::Closed;
pub use issue::{Issued, NewKey};
pub use manage::{ActiveKeys, Applied, Edit};
pub use pages::{Cursor, ListAudit, ListKeys, MAX_PAGE, Page};
pub use stop::Stopped;

use crate::{clock::Clock, hash_queue::HashQueue, policy::Policy, store::Store};
use buffers::Buffers;
use charge::Tallies;
use signals::Signals;
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
