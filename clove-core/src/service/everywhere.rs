//! The barrier: when it is a fact that nobody goes by what was known before.
//!
//! The roll is called by a new number, after whatever was changed. Each process that uses rows from memory is registered in the store,
//! and answers once its next poll has turned stale what was changed ([`Inner::poll`]). Two things make it a fact, whichever is first:
//!
//! - All who are registered have answered. Whoever is not registered then has no row that it may use from memory, or comes by one only
//!   by a poll that finds it registered, which is later than the call.
//! - The longest bound that anyone can be going by has passed since the call, and a margin. No clock is compared with another's: that
//!   time passes on this process's clock, and what each knows has run out on its own.
//!
//! Who has not answered after that time since the roll was called is dismissed, so that nobody waits for the dead. Someone who lives,
//! stopped or cut off, knows nothing any more that it might use: all of it was asked for before the call. Its next poll does not
//! find it registered, and counts for nothing until one does. An answer that was on its way while it was dismissed registers it
//! again, with a number that it did hear: it is waited for again, and its next poll says whether that is the last one.

use super::{Clove, Inner, deadline::or_give_up};
use crate::{
    error::StoreError,
    id::NodeId,
    store::{Epochs, Store},
    sync::{Mutex, atomic::Ordering, lock},
};
use futures_util::future::{Either, select};
use std::{future::Future, pin::pin, time::Duration};

/// The margin is a tenth of the bound, for clocks that go at different speeds, and at least this.
const LEAST_MARGIN: Duration = Duration::from_millis(50);
/// How often the answers are looked at.
const INTERVAL: Duration = Duration::from_millis(10);
/// How long a call of the store is waited for before it is made again.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many nodes are registered when maintenance looks whether they live.
const MANY_NODES: usize = 16;

/// Whether a change is obeyed by all processes: [`Clove::everywhere`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Everywhere {
    /// It is a fact: no verification that starts from now on, in whatever process, is granted on what was known before the call.
    Obeyed,
    /// It may not be a fact yet.
    NotYet {
        /// Who has not acknowledged it, as far as this process could hear.
        nodes: Vec<NodeId>,
        /// In how long it is a fact, whatever fails.
        at_the_latest: Duration,
    },
}

/// What was heard while waiting.
struct Awaited {
    /// The longest bound that anyone can be going by.
    longest: Duration,
    nodes: Vec<NodeId>,
}

impl Awaited {
    fn hear(&mut self, epochs: &Epochs, own: NodeId, number: u64) {
        self.longest = self.longest.min(epochs.longest);
        let waits = |(node, answered): &(NodeId, u64)| (*node != own && *answered < number).then_some(*node);
        self.nodes = epochs.nodes.iter().filter_map(waits).collect();
    }
}

fn margin(longest: Duration) -> Duration {
    (longest / 10).max(LEAST_MARGIN)
}

impl Clove {
    /// Waits until whatever was changed before is obeyed everywhere: no verification that starts after it, in whatever process, is
    /// granted on what was known before this call. For when a command that kills has returned, and others than this handle and its
    /// clones, which obey already, are to be waited for.
    ///
    /// It is a fact when all processes have acknowledged it, mostly a quarter of the bound of freshness later, or when the bound and a
    /// tenth of it, at least 50 milliseconds, have passed since the call: by then nobody knows anything that is older. So it is told
    /// within that time whatever fails, be it the store, this process's way to it, or another process; the longest bound that any
    /// process has ever asked for counts, a minute where the store has never told it. Where `timeout` is shorter than that, who has not
    /// acknowledged is named. In memory alone it is a fact at once.
    ///
    /// A process whose maintenance does not run reads each row, and is not waited for. Dropped, nothing is held.
    pub async fn everywhere(&self, timeout: Duration) -> Everywhere {
        self.inner.everywhere(timeout).await
    }
}

impl Inner {
    async fn everywhere(&self, timeout: Duration) -> Everywhere {
        let Some(longest) = self.knowledge.longest else { return Everywhere::Obeyed };
        // On a clock that stands still while the machine sleeps: then it takes longer, and is no less true.
        let began = self.clock.monotonic();
        let awaited = Mutex::new(self.awaited(longest));
        let mut called = pin!(self.call_the_roll(&awaited));
        loop {
            let left = |whole: Duration| whole.saturating_sub(self.clock.monotonic().saturating_sub(began));
            let fact = || {
                let longest = lock(&awaited).longest;
                left(longest.saturating_add(margin(longest)))
            };
            // The bound may turn out shorter than what was known.
            let pause = self.clock.sleep(left(timeout).min(fact()).min(INTERVAL));
            if let Either::Left(_) = select(called.as_mut(), pause).await {
                return Everywhere::Obeyed;
            }
            match fact() {
                Duration::ZERO => return Everywhere::Obeyed,
                at_the_latest if left(timeout).is_zero() => {
                    return Everywhere::NotYet { nodes: std::mem::take(&mut lock(&awaited).nodes), at_the_latest };
                }
                _ => {}
            }
        }
    }

    /// Who is to be waited for, as far as is known before the call.
    fn awaited(&self, longest: Duration) -> Awaited {
        let mut awaited = Awaited { longest, nodes: Vec::new() };
        if let Some(seen) = self.knowledge.seen() {
            awaited.hear(&seen, self.leases.node, u64::MAX);
        }
        awaited
    }

    /// Calls the roll, and ends when all have answered, or those who have not are dismissed. What fails is tried again.
    async fn call_the_roll(&self, awaited: &Mutex<Awaited>) {
        let number = loop {
            match self.asked(self.store.call_roll()).await {
                Ok(number) => break number,
                Err(_) => self.clock.sleep(INTERVAL).await,
            }
        };
        let called_at = self.clock.monotonic();
        loop {
            // What is heard is obeyed here at once. It asks for no bound, and uses none.
            if let Ok(heard) = self.asked(self.ask(Duration::MAX)).await {
                let (nodes, longest) = {
                    let mut awaited = lock(awaited);
                    awaited.hear(&heard.epochs, self.leases.node, number);
                    (awaited.nodes.clone(), awaited.longest)
                };
                if nodes.is_empty() {
                    return;
                }
                // Counted from when the call was over, and not from when it began: what was asked for in between has not heard of it. Of
                // the margin half is left for that, so that it is done before the time is up.
                let passed = self.clock.monotonic().saturating_sub(called_at);
                if passed >= longest.saturating_add(margin(longest) / 2)
                    && self.asked(self.store.dismiss(&nodes, number)).await.is_ok()
                {
                    return;
                }
            }
            self.clock.sleep(INTERVAL).await;
        }
    }

    /// Does a call of the store, or gives it up.
    async fn asked<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        or_give_up(&*self.clock, PATIENCE, ["calling the roll: no answer", "calling the roll: the store panicked"], call).await
    }

    /// Dismisses nodes that have died, where many are registered: each process that is killed leaves one. Not again before there are
    /// twice as many as were left.
    pub(super) async fn dismiss_the_dead(&self) -> Result<(), StoreError> {
        let count = || self.knowledge.seen().map_or(0, |seen| seen.nodes.len());
        let Some(longest) = self.knowledge.longest else { return Ok(()) };
        let many = self.knowledge.alive.load(Ordering::Relaxed).saturating_mul(2).max(MANY_NODES);
        if count() < many {
            return Ok(());
        }
        self.call_the_roll(&Mutex::new(self.awaited(longest))).await;
        self.ask(Duration::MAX).await?;
        self.knowledge.alive.store(count(), Ordering::Relaxed);
        Ok(())
    }
}
