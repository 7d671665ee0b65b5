//! Putting a handle together.

use super::{
    Clove, Inner, access_log::Log, buffers::Buffers, charge::Leases, knowledge::Knowledge, known::Keys, metering::Metering,
    server_time::ServerTime, signals::Signals, throttle::Throttle,
};
use crate::{
    clock::{Clock, SystemClock},
    hash_queue::HashQueue,
    policy::Policy,
    signal::Observer,
    store::Store,
    sync::{Arc, atomic::AtomicBool},
};
use std::fmt;

/// Puts a handle together: [`Clove::builder`].
pub struct CloveBuilder {
    store: Arc<dyn Store>,
    policy: Policy,
    clock: Arc<dyn Clock>,
    observers: Vec<Box<dyn Observer>>,
}

impl Clove {
    /// Keys in `store` under `policy`, with more to say about them than [`Clove::new`] asks for.
    #[must_use]
    pub fn builder(store: impl Store, policy: Policy) -> CloveBuilder {
        CloveBuilder { store: Arc::new(store), policy, clock: Arc::new(SystemClock), observers: Vec::new() }
    }
}

impl CloveBuilder {
    /// A clock of the caller's, for tests; the system's unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// One more observer; each is told everything, in the order in which they were given. With any, the handle keeps half a megabyte
    /// to remember what was told, and up to some megabytes where very many keys are about to expire.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Observer) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// The handle.
    #[must_use]
    pub fn build(self) -> Clove {
        let Self { store, policy, clock, observers } = self;
        let leases = Leases::new(clock.now());
        let metering = Arc::new(Metering::new(leases.node));
        let buffers = Arc::new(Buffers::new(Arc::clone(&metering)));
        let log = Arc::<Log>::default();
        let (knowledge, marks) = Knowledge::of(store.freshness(), policy.freshness);
        let inner = Inner {
            store,
            throttle: Throttle::new(policy.imports.unwrap_or_default()),
            keys: Keys::new(&policy, marks, Arc::clone(&buffers), Arc::clone(&log.press)),
            policy,
            clock,
            leases,
            knowledge,
            server_time: ServerTime::default(),
            metering,
            buffers,
            hash_queue: HashQueue::new(),
            has_more_to_forget: AtomicBool::new(false),
            log,
            signals: Signals::new(observers),
        };
        Clove { inner: Arc::new(inner) }
    }
}

impl fmt::Debug for CloveBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloveBuilder")
            .field("policy", &self.policy)
            .field("observers", &self.observers.len())
            .finish_non_exhaustive()
    }
}
