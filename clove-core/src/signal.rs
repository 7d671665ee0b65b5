//! What a handle has to tell beside its answers: each verdict, and what a host wants to be woken for.
//!
//! An [`Observer`] is given to [`Clove::builder`](crate::Clove::builder). It is told of every verification and, by the policy's
//! [`SignalThresholds`], of limits that are near, of keys that are about to expire, of keys flagged as compromised that are still
//! used, and of bursts of refusals. Without an observer a verification does not stop for any of it.
//!
//! Two are ready-made: `TracingObserver` (feature `tracing`) and `MetricsObserver` (feature `metrics`). Their names are public API:
//! they change only with a major version.
//!
#![doc = include_str!("signal/names.md")]

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(any(feature = "tracing", feature = "metrics"))]
mod names;
mod thresholds;
#[cfg(feature = "tracing")]
mod tracing;

#[cfg(feature = "metrics")]
pub use metrics::MetricsObserver;
pub use thresholds::SignalThresholds;
#[cfg(feature = "tracing")]
pub use tracing::TracingObserver;

use crate::{
    budget::BudgetState,
    error::{Fault, StoreError},
    id::{KeyId, Owner},
    verdict::{Denial, Grant, LimitState, Limited},
};
use chrono::{DateTime, Utc};
use std::{sync::Arc, time::Duration};

/// Is told what goes on. Any closure over a [`Signal`] is one.
///
/// It is called on the thread that verifies, or that runs the maintenance, in the midst of its work: it must be quick and must not
/// block. What takes longer belongs in a queue of the host's. It is called from many threads at once, in no order among them.
///
/// If it panics, the panic is caught and counted ([`Clove::signals_lost`](crate::Clove::signals_lost)), the signal goes on to the other
/// observers, and the verification to its end. It must not hold the handle that it observes, nor call it: the one would keep the
/// handle for ever, the other would not end.
pub trait Observer: Send + Sync + 'static {
    /// Is told of one thing, once.
    fn signal(&self, signal: &Signal<'_>);

    /// Whether it wants to know how long verifications take, which costs each of them two looks at a clock. Asked once, as the
    /// handle is built; no unless said otherwise.
    fn is_timed(&self) -> bool {
        false
    }
}

impl<F: Fn(&Signal<'_>) + Send + Sync + 'static> Observer for F {
    fn signal(&self, signal: &Signal<'_>) {
        self(signal);
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn signal(&self, signal: &Signal<'_>) {
        (**self).signal(signal);
    }

    fn is_timed(&self) -> bool {
        (**self).is_timed()
    }
}

/// One thing that an observer is told. No signal holds a credential, a digest or metadata, and none names a key or an owner whose
/// secret was not proven, but for those that maintenance finds, and for a row that cannot be read.
///
/// `took` is how long the verification took from its first poll on, where an observer asked for it ([`Observer::is_timed`]).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Signal<'a> {
    /// A verification was granted; one that [only checked](crate::Attempt::only_checking) too.
    #[non_exhaustive]
    Granted {
        /// What was granted.
        grant: &'a Grant,
        /// How long it took.
        took: Option<Duration>,
    },
    /// A verification was denied.
    #[non_exhaustive]
    Denied {
        /// Why, and, where the secret was proven, of which key.
        denial: &'a Denial,
        /// How long it took.
        took: Option<Duration>,
    },
    /// Nothing could be said of a credential. One whose caller went away is not among them.
    #[non_exhaustive]
    Faulted {
        /// Why.
        fault: &'a Fault,
        /// How long it took.
        took: Option<Duration>,
    },
    /// A request was granted in a window of which [`SignalThresholds::limit_near`] is used. Once a window's name and process; of one
    /// that slides, once in each stretch that a fixed one of its length has for a name.
    #[non_exhaustive]
    LimitNear {
        /// The key that was used.
        key: KeyId,
        /// Whose key.
        owner: &'a Owner,
        /// The window, and what is left of it.
        limit: LimitState,
    },
    /// A request that reserves was judged by a budget of which [`SignalThresholds::budget_near`], or all, is used or reserved. Once a
    /// budget, period, threshold and process.
    #[non_exhaustive]
    BudgetThreshold {
        /// The key that was used.
        key: KeyId,
        /// Whose key.
        owner: &'a Owner,
        /// The budget, and how it stands.
        budget: &'a BudgetState,
        /// Which threshold, in percent.
        percent: u8,
    },
    /// A key, active or suspended, expires within [`SignalThresholds::expiry_notice`]. Once a key and process, by
    /// [`Clove::maintenance`](crate::Clove::maintenance).
    #[non_exhaustive]
    KeyExpiring {
        /// The key.
        key: KeyId,
        /// Whose key.
        owner: &'a Owner,
        /// When.
        expires_at: DateTime<Utc>,
    },
    /// The secret of a key that is flagged as compromised was presented: whoever has it still tries. Once a minute and key.
    #[non_exhaustive]
    FlaggedKeyUsed {
        /// The key.
        key: KeyId,
        /// Whose key.
        owner: &'a Owner,
    },
    /// [`SignalThresholds::refusals_a_minute`] requests with a proven secret were denied within a minute, of one key or of one owner's
    /// keys. Once a minute and key or owner, counted from the first of them.
    #[non_exhaustive]
    RefusalBurst {
        /// Whether they were one key's, or any keys' of the account.
        of: Limited,
        /// The key that was refused last.
        key: KeyId,
        /// Whose key.
        owner: &'a Owner,
        /// How many were denied.
        refusals: u32,
    },
    /// [`Maintenance`](crate::service::Maintenance) could not do part of its work; it will try again.
    #[non_exhaustive]
    MaintenanceFailed {
        /// Why.
        error: &'a StoreError,
    },
    /// Signals were lost since this was last told: an observer panicked at them, or there was no room to remember that a limit was
    /// near. By [`Clove::maintenance`](crate::Clove::maintenance).
    #[non_exhaustive]
    Lost {
        /// How many.
        count: u64,
    },
}
