//! Entries that must be on record before their requests go on: those of concurrent requests share one call of the store.

use super::{
    Inner,
    access_log::{CHUNK, Flight, lock, told},
};
use crate::{
    access::AccessEntry,
    clock::Clock,
    error::{Fault, StoreError},
    store::Store,
};
use futures_util::future::{BoxFuture, Either, FutureExt, select};
use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The entry of one request being written.
pub(super) type Written = BoxFuture<'static, Result<(), Fault>>;

/// One call of the store after another. While one goes on, the next round gathers.
#[derive(Default)]
pub(super) struct Rounds {
    last: Mutex<Option<Round>>,
}

struct Round {
    /// What the round is going to write; `None` once it is on its way.
    basket: Arc<Mutex<Option<Vec<AccessEntry>>>>,
    flight: Flight,
}

impl Rounds {
    /// Has an entry written with the next round.
    pub(super) fn join(&self, entry: AccessEntry, inner: &Inner) -> Written {
        let flight = self.flight(entry, inner);
        async move { Ok(flight.await.map_err(told)?) }.boxed()
    }

    fn flight(&self, entry: AccessEntry, inner: &Inner) -> Flight {
        let mut last = lock(&self.last);
        if let Some(round) = &*last
            && let Some(gathered) = &mut *lock(&round.basket)
            && gathered.len() < CHUNK
        {
            gathered.push(entry);
            return round.flight.clone();
        }
        let before = last.take().map(|round| round.flight);
        let basket = Arc::new(Mutex::new(Some(vec![entry])));
        let (gathered, store, clock) = (Arc::clone(&basket), Arc::clone(&inner.store), Arc::clone(&inner.clock));
        let deadline = inner.policy.deadline;
        let flight = async move {
            // Whoever waited for the one before may have gone: then it is brought to its end here. Its outcome is its own.
            if let Some(before) = before {
                let _ = before.await;
            }
            let entries = lock(&gathered).take().unwrap_or_default();
            // Who waits for it began before it, and has its own deadline: past that nobody does, and others go on.
            write(&*store, &*clock, entries.into(), deadline).await.map_err(Arc::new)
        };
        let flight = flight.boxed().shared();
        *last = Some(Round { basket, flight: flight.clone() });
        flight
    }
}

/// One call of the store, given up after `bound`, since a call that never ends must not end the log. It may be made again, whatever
/// came of it.
pub(super) async fn write(
    store: &dyn Store,
    clock: &dyn Clock,
    entries: Arc<[AccessEntry]>,
    bound: Duration,
) -> Result<(), StoreError> {
    let failed = |what| Err(StoreError::Unavailable { what, source: None });
    let call = pin!(AssertUnwindSafe(store.log_access(entries)).catch_unwind());
    match select(call, clock.sleep(bound)).await {
        Either::Left((Ok(written), _)) => written,
        Either::Left((Err(_), _)) => failed("writing the access log: the store panicked"),
        Either::Right(_) => failed("writing the access log: the store gave no answer"),
    }
}
