//! What a verification leaves to be written later: last use, and better digests.

use super::{
    Clove, Inner,
    known::Keys,
    metering::Metering,
    tally::{Held, Tally, Used, Uses, lock},
};
use crate::{
    clock::Timestamp,
    error::StoreError,
    id::KeyId,
    limit::Subject,
    store::{Rehash, Store, Unspent},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    usage::Day,
};
use chrono::{DateTime, Utc};
use futures_util::future;
use std::{
    collections::HashMap,
    future::Future,
    pin::pin,
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

/// Lists, each with its own lock, so that verifications seldom meet.
const LISTS: usize = 16;
/// The most keys of a list; the uses of further ones are noted apart at once, which takes a little longer.
const MAX_USED: usize = 2_048;
/// The most last uses that wait after a flush that failed.
const MAX_USES: usize = 131_072;
/// The most places that wait to be given back. What is beyond is lost to its windows, and granted to nobody.
const MAX_UNSPENT: usize = 65_536;
/// The most digests waiting; further ones wait for their secret's next use.
const MAX_REHASHES: usize = 1024;
/// How long maintenance waits for a poll.
const POLL_PATIENCE: Duration = Duration::from_secs(5);
/// How often maintenance flushes.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many rounds of maintenance lie between two that look for what to forget.
const ROUNDS_BETWEEN_FORGETTING: u32 = 60;
/// How many rounds of maintenance lie between two that give back places of subjects that no request came for.
const ROUNDS_BETWEEN_RETURNS: u32 = 10;

type LastUses = HashMap<KeyId, Timestamp, foldhash::fast::RandomState>;

pub(super) struct Buffers {
    metering: Arc<Metering>,
    /// Keys that were used since the last flush, each once: their last use stands beside their windows.
    used: [Mutex<Vec<Weak<Tally>>>; LISTS],
    /// Last uses that could not be written, and those of keys that are not remembered any more.
    uses: Mutex<LastUses>,
    /// Places that nobody is going to spend here, to be given back.
    unspent: Mutex<Vec<Unspent>>,
    /// How many tallies were dropped that were listed as holding places: as long as they are, their memory is not free.
    pub(super) dropped: AtomicUsize,
    rehashes: Mutex<Vec<Rehash>>,
}

/// A number for this thread.
pub(super) fn thread_number() -> usize {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    // A thread that is ending has no number any more.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

impl Buffers {
    pub(super) fn new(metering: Arc<Metering>) -> Self {
        let (used, uses, unspent, dropped, rehashes) = Default::default();
        Self { metering, used, uses, unspent, dropped, rehashes }
    }

    /// Notes a use of a key whose tally is held.
    #[inline]
    pub(super) fn used(&self, tally: &Arc<Tally>, held: &mut Held, at: Timestamp, requests: u64) {
        let day = Day::of(at);
        match &mut held.uses {
            Some(uses) if uses.day == day => {
                uses.last = at.max(uses.last);
                uses.requests = uses.requests.saturating_add(requests);
            }
            _ => self.first_used(tally, held, Uses { last: at, day, requests }),
        }
    }

    /// The first use since the last flush, or on another day.
    fn first_used(&self, tally: &Arc<Tally>, held: &mut Held, uses: Uses) {
        if let Some(before) = held.uses.replace(uses) {
            return tally.used(Some(before)).into_iter().for_each(|used| self.note([used]));
        }
        let Some(list) = self.used.get(thread_number() % LISTS) else { return };
        let mut list = lock(list);
        if list.len() < MAX_USED {
            return list.push(Arc::downgrade(tally));
        }
        drop(list);
        let used = tally.used(held.uses.take());
        used.into_iter().for_each(|used| self.note([used]));
    }

    /// Notes uses apart from their tallies.
    pub(super) fn note<'t>(&self, used: impl IntoIterator<Item = Used<'t>>) {
        for Used { key, owner, uses } in used {
            self.metering.count(key, owner, uses.requests, uses.day);
            self.note_last(key, uses.last);
        }
    }

    fn note_last(&self, key: KeyId, at: Timestamp) {
        let mut uses = lock(&self.uses);
        if let Some(last) = uses.get_mut(&key) {
            *last = at.max(*last);
        } else if uses.len() < MAX_USES {
            uses.insert(key, at);
        }
    }

    pub(super) fn add_unspent(&self, unspent: impl IntoIterator<Item = Unspent>) {
        let mut waiting = lock(&self.unspent);
        let room = MAX_UNSPENT.saturating_sub(waiting.len());
        waiting.extend(unspent.into_iter().take(room));
    }

    /// Has what is held of a subject's windows take back what was to be given back of them: its key was pushed out, and is here again.
    pub(super) fn reclaim(&self, subject: &Subject, held: &mut Held) {
        lock(&self.unspent).retain(|unspent| unspent.subject != *subject || !held.reclaim(unspent));
    }

    pub(super) fn take_unspent(&self) -> Vec<Unspent> {
        std::mem::take(&mut lock(&self.unspent))
    }

    pub(super) fn rehash(&self, change: Rehash) {
        let mut waiting = lock(&self.rehashes);
        if waiting.len() < MAX_REHASHES && !waiting.iter().any(|known| known.key == change.key && known.old == change.old) {
            waiting.push(change);
        }
    }

    async fn flush(&self, store: &dyn Store, keys: &Keys) -> Result<(), StoreError> {
        let mut taken = Taken { buffers: self, uses: self.take_uses(), rehashes: std::mem::take(&mut *lock(&self.rehashes)) };
        if !taken.uses.is_empty() {
            store.touch(&taken.uses).await?;
            taken.uses.clear();
        }
        if !taken.rehashes.is_empty() {
            store.rehash(&taken.rehashes).await?;
            // Else each use of a remembered row would have its secret rehashed again.
            taken.rehashes.drain(..).for_each(|change| keys.outdate(change.key));
        }
        Ok(())
    }

    /// Takes from tallies what was used since the last time.
    pub(super) fn settle(&self) {
        for list in &self.used {
            // The list's lock first, and alone: a verification takes it while it holds its key's.
            let used = std::mem::take(&mut *lock(list));
            // What was dropped has left its uses here by itself.
            used.iter().filter_map(Weak::upgrade).for_each(|tally| self.note(tally.take_used()));
        }
    }

    fn take_uses(&self) -> Vec<(KeyId, DateTime<Utc>)> {
        self.settle();
        let taken = std::mem::take(&mut *lock(&self.uses));
        taken.into_iter().map(|(key, at)| (key, at.into())).collect()
    }
}

/// What is being written. Whatever is left of it when it is dropped, for a failure or because the caller went away, waits again.
struct Taken<'b> {
    buffers: &'b Buffers,
    uses: Vec<(KeyId, DateTime<Utc>)>,
    rehashes: Vec<Rehash>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.uses.drain(..).for_each(|(key, at)| self.buffers.note_last(key, at.into()));
        self.rehashes.drain(..).for_each(|change| self.buffers.rehash(change));
    }
}

impl Clove {
    /// Writes what waited to be written when it was called: last uses, better digests, usage, and the access log. Hosts call it before
    /// they stop.
    ///
    /// # Errors
    /// If the store fails; what it did not write is kept for the next flush.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let flushed = self.inner.buffers.flush(&*self.inner.store, &self.inner.keys).await;
        // None keeps another from being written.
        let metered = self.inner.flush_usage().await;
        self.inner.flush_log().await.and(metered).and(flushed)
    }

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
    /// grants usage was reported 15 days ago, and logs beyond their [`Retention`](crate::Retention); and tells
    /// observers, if there are any, each hour of keys that are about to expire. Ends when the last handle is dropped. What could not be written stays for the next round, since no verification depends on it;
    /// `failed` is told why, for the host's log.
    pub async fn run(self, failed: impl FnMut(StoreError)) {
        let told = Mutex::new(failed);
        let tell = |inner: &Inner, error: StoreError| {
            inner.signal_failure(&error);
            (lock(&told))(error);
        };
        // Beside each other: what is long in being written must not keep this process from hearing of changes.
        future::join(self.poll(&tell), self.flush(&tell)).await;
    }

    async fn poll(&self, tell: &impl Fn(&Inner, StoreError)) {
        let mut told_at = None;
        while let Some(inner) = self.inner.upgrade() {
            // One that hangs is asked again: the store may be back, and the last handle gone.
            let polled = match future::select(pin!(inner.poll()), inner.clock.sleep(POLL_PATIENCE)).await {
                future::Either::Left((polled, _)) => polled,
                future::Either::Right(_) => Err(StoreError::Unavailable { what: "polling for changes: no answer", source: None }),
            };
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
                if let Err(error) = inner.flush_log().await {
                    tell(&inner, error);
                }
            }
            let Some(inner) = self.inner.upgrade() else { return };
            rounds = rounds.wrapping_add(1);
            inner.round(rounds, &mut |error| tell(&inner, error)).await;
        }
    }
}

impl Maintenance {
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
    async fn round(&self, rounds: u32, failed: &mut impl FnMut(StoreError)) {
        let flushed = [self.buffers.flush(&*self.store, &self.keys).await, self.flush_usage().await, self.flush_log().await];
        flushed.into_iter().filter_map(Result::err).for_each(&mut *failed);
        self.lift_long_left();
        self.signal_ahead().await.err().into_iter().for_each(&mut *failed);
        if rounds.is_multiple_of(ROUNDS_BETWEEN_RETURNS) {
            self.give_back(false).await.err().into_iter().for_each(&mut *failed);
        }
        if rounds.is_multiple_of(ROUNDS_BETWEEN_FORGETTING) || self.has_more_to_forget.load(Ordering::Relaxed) {
            let has_more = self.forget(failed).await;
            self.has_more_to_forget.store(has_more, Ordering::Relaxed);
        }
    }
}
