//! The work that goes on beside verification.

use super::{Clove, Inner, deadline::or_give_up};
use crate::{
    error::StoreError,
    sync::{Arc, Mutex, Weak, atomic::Ordering, lock},
};
use futures_util::future;
use std::{
    future::Future,
    pin::pin,
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

/// How long maintenance waits for a poll.
const POLL_PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits for any other part of its work.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often maintenance flushes.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many rounds of maintenance lie between two that look for what to forget.
const ROUNDS_BETWEEN_FORGETTING: u32 = 60;
/// How many rounds of maintenance lie between two that give back places of subjects that no request came for.
const ROUNDS_BETWEEN_RETURNS: u32 = 10;
/// What is said of the access log where the store gives no answer.
const LOG: &str = "writing the access log: no answer";

impl Clove {
    /// The work that goes on beside verification, for the host to spawn once: without it everything stays right, last uses,
    /// usage and the access log are written only by [`Clove::flush`], and nothing is forgotten.
    #[must_use]
    pub fn maintenance(&self) -> Maintenance {
        Maintenance { inner: Arc::downgrade(&self.inner) }
    }
}

/// The work beside verification; see [`Clove::maintenance`].
pub struct Maintenance {
    inner: Weak<Inner>,
}

impl Maintenance {
    /// Polls the store for what has changed, a few times within the bound of freshness; each second flushes; every ten gives back
    /// places of request windows that nobody has asked for since; and forgets counts of windows that are over for a day, of which
    /// grants usage was reported 15 days ago, and logs beyond their [`Retention`](crate::Retention); and tells observers, if there are
    /// any, each hour of keys that are about to expire. Ends when the last handle is dropped. What could not be written stays for the
    /// next round, since no verification depends on it; `failed` is told why, for the host's log. What gives no answer for a minute, or
    /// panics, is told too, and begun again at its next turn: it keeps nothing else from its own.
    pub async fn run(self, failed: impl FnMut(StoreError)) {
        let told = Mutex::new(failed);
        let tell = |inner: &Inner, error: StoreError| {
            inner.signal_failure(&error);
            (lock(&told))(error);
        };
        // Beside each other: what is long in being written must not keep this process from hearing of changes.
        future::join3(self.poll(&tell), self.flush(&tell), self.dismiss(&tell)).await;
    }

    async fn poll(&self, tell: &impl Fn(&Inner, StoreError)) {
        let mut told_at = None;
        while let Some(inner) = self.inner.upgrade() {
            // One that hangs is asked again: the store may be back, and the last handle gone.
            let polled = inner.within(POLL_PATIENCE, "polling for changes: no answer", inner.poll()).await;
            let now = inner.clock.monotonic();
            if let Err(error) = polled
                && told_at.is_none_or(|told| now.saturating_sub(told) >= INTERVAL)
            {
                told_at = Some(now);
                tell(&inner, error);
            }
            let Some(sleep) = inner.poll_interval().map(|interval| inner.clock.sleep(interval)) else { return };
            drop(inner);
            sleep.await;
        }
    }

    async fn flush(&self, tell: &impl Fn(&Inner, StoreError)) {
        let begin = |inner: Arc<Inner>| (inner.clock.sleep(INTERVAL), Arc::clone(&inner.log.press));
        let mut rounds = 0_u32;
        while let Some((mut sleep, press)) = self.inner.upgrade().map(begin) {
            while press.comes_before(&mut sleep).await {
                let Some(inner) = self.inner.upgrade() else { return };
                if let Err(error) = inner.part(LOG, inner.flush_log()).await {
                    tell(&inner, error);
                }
            }
            let Some(inner) = self.inner.upgrade() else { return };
            rounds = rounds.wrapping_add(1);
            inner.round(rounds, &mut |error| tell(&inner, error)).await;
        }
    }

    async fn dismiss(&self, tell: &impl Fn(&Inner, StoreError)) {
        while let Some(sleep) = self.inner.upgrade().map(|inner| inner.clock.sleep(INTERVAL)) {
            sleep.await;
            let Some(inner) = self.inner.upgrade() else { return };
            let dismissed = inner.part("dismissing nodes that have died: no answer", inner.dismiss_the_dead()).await;
            dismissed.err().into_iter().for_each(|error| tell(&inner, error));
        }
    }

    /// The same on a thread of its own, for hosts without a runtime, or whose runtime may be kept busy. It ends when the last handle is
    /// dropped, at its next poll or flush.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn spawn_thread(self, failed: impl FnMut(StoreError) + Send + 'static) -> std::io::Result<()> {
        let run = move || {
            let mut work = pin!(self.run(failed));
            let waker = Waker::from(Arc::new(Unpark(thread::current())));
            let mut context = Context::from_waker(&waker);
            while work.as_mut().poll(&mut context).is_pending() {
                thread::park();
            }
        };
        thread::Builder::new().name("clove-maintenance".into()).spawn(run).map(drop)
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Inner {
    /// Does a part of maintenance's work, or gives it up: what hangs or panics is not to end all of it. Whatever `work` took to be
    /// written must wait again when it is dropped.
    pub(super) async fn part<T>(
        &self,
        no_answer: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.within(PATIENCE, no_answer, work).await
    }

    async fn within<T>(
        &self,
        patience: Duration,
        no_answer: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        or_give_up(&*self.clock, patience, [no_answer, "maintenance: a part of it panicked"], work).await
    }

    async fn round(&self, rounds: u32, failed: &mut impl FnMut(StoreError)) {
        let touched = self.part("writing last uses: no answer", self.buffers.flush(&*self.store, &self.keys)).await;
        let metered = self.part("writing usage: no answer", self.flush_usage()).await;
        let logged = self.part(LOG, self.flush_log()).await;
        [touched, metered, logged].into_iter().filter_map(Result::err).for_each(&mut *failed);
        self.lift_long_left();
        let looked = self.part("looking for keys that are about to expire: no answer", self.signal_ahead()).await;
        looked.err().into_iter().for_each(&mut *failed);
        if rounds.is_multiple_of(ROUNDS_BETWEEN_RETURNS) {
            let given_back = self.part("giving places back: no answer", self.give_back(false)).await;
            given_back.err().into_iter().for_each(&mut *failed);
        }
        if rounds.is_multiple_of(ROUNDS_BETWEEN_FORGETTING) || self.has_more_to_forget.load(Ordering::Relaxed) {
            let has_more = self.forget(failed).await;
            self.has_more_to_forget.store(has_more, Ordering::Relaxed);
        }
    }
}
