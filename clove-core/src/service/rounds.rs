//! Entries that must be on record before their requests go on: those of concurrent requests share one call of the store.

use super::{
    Inner,
    access_log::{CHUNK, Flight, told},
    deadline::or_give_up,
};
use crate::{
    access::AccessEntry,
    clock::Clock,
    error::{Fault, StoreError},
    store::Store,
    sync::{Arc, Mutex, lock},
};
use futures_util::future::{BoxFuture, FutureExt};
use std::time::Duration;

/// The entry of one request being written.
pub(super) type Written = BoxFuture<'static, Result<(), Fault>>;

/// One call of the store after another. While one goes on, the next round gathers.
#[derive(Default)]
pub(super) struct Rounds {
    last: Mutex<Option<Round>>,
}

struct Round {
    basket: Arc<Mutex<Basket>>,
    flight: Flight,
}

/// What a round is going to write, and until when somebody waits for it.
struct Basket {
    /// `None` once it is on its way.
    entries: Option<Vec<AccessEntry>>,
    until: Duration,
}

impl Rounds {
    /// Has an entry written with the next round.
    pub(super) fn join(&self, entry: AccessEntry, inner: &Inner) -> Written {
        let flight = self.flight(entry, inner);
        async move { Ok(flight.await.map_err(told)?) }.boxed()
    }

    fn flight(&self, entry: AccessEntry, inner: &Inner) -> Flight {
        let mut last = lock(&self.last);
        let until = inner.clock.monotonic().saturating_add(inner.policy.deadline);
        if let Some(round) = &*last {
            let mut basket = lock(&round.basket);
            if let Some(entries) = basket.entries.as_mut().filter(|entries| entries.len() < CHUNK) {
                entries.push(entry);
                basket.until = until;
                return round.flight.clone();
            }
        }
        let before = last.take().map(|round| round.flight);
        let basket = Arc::new(Mutex::new(Basket { entries: Some(vec![entry]), until }));
        let (gathered, store, clock) = (Arc::clone(&basket), Arc::clone(&inner.store), Arc::clone(&inner.clock));
        let flight = async move {
            // Whoever waited for the one before may have gone: then it is brought to its end here. Its outcome is its own.
            if let Some(before) = before {
                let _ = before.await;
            }
            let (entries, until) = {
                let mut basket = lock(&gathered);
                (basket.entries.take().unwrap_or_default(), basket.until)
            };
            // Past the last deadline nobody waits for it, and others go on.
            let bound = until.saturating_sub(clock.monotonic());
            write(&*store, &*clock, entries.into(), bound).await.map_err(Arc::new)
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
    let said = ["writing the access log: the store gave no answer", "writing the access log: the store panicked"];
    or_give_up(clock, bound, said, store.log_access(entries)).await
}
