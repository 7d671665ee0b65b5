//! Slow hashes, off the caller's thread, in a queue that is bounded per key, per peer and in all.

use crate::{
    digest::{Argon2Cost, Digest, argon2id},
    error::Fault,
    id::KeyId,
};
use futures_channel::oneshot;
use std::{
    collections::VecDeque,
    hash::BuildHasher,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};
use zeroize::Zeroizing;

/// The most hashes waiting or running: at 15 ms each on two threads, all are done within half a second.
const MAX_JOBS: usize = 64;
/// The most hashes waiting or running for one key.
const MAX_JOBS_PER_KEY: usize = 8;
/// The most hashes waiting or running for one labelled peer: whoever makes up ids by the dozen leaves room for others.
const MAX_JOBS_PER_PEER: usize = 16;

/// Threads that compute Argon2id; started with the first hash, ended with the queue.
pub(crate) struct HashQueue {
    shared: Arc<Shared>,
    threads: usize,
    labels: foldhash::fast::RandomState,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    running: Vec<Asker>,
    started: usize,
    closed: bool,
}

/// For whom a hash is made: the key, and the peer's label as a number, if it has one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Asker {
    key: KeyId,
    peer: Option<u64>,
}

struct Job {
    asker: Asker,
    secret: Zeroizing<Vec<u8>>,
    cost: Argon2Cost,
    salt: [u8; 16],
    reply: oneshot::Sender<Result<Digest, argon2::Error>>,
}

impl HashQueue {
    pub(crate) fn new() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
        Self { shared: Arc::default(), threads, labels: foldhash::fast::RandomState::default() }
    }

    /// Argon2id of `secret`, for `key` and `peer`, empty for none. Dropping the future takes a waiting hash out of the queue.
    pub(crate) async fn hash(
        &self,
        key: KeyId,
        peer: &str,
        secret: &[u8],
        cost: Argon2Cost,
        salt: [u8; 16],
    ) -> Result<Digest, Fault> {
        let (reply, answer) = oneshot::channel();
        let asker = Asker { key, peer: (!peer.is_empty()).then(|| self.labels.hash_one(peer)) };
        self.push(Job { asker, secret: Zeroizing::new(secret.to_vec()), cost, salt, reply })?;
        match answer.await {
            Ok(Ok(digest)) => Ok(digest),
            Ok(Err(_)) | Err(_) => Err(Fault::System { what: "memory for a slow hash" }),
        }
    }

    fn push(&self, job: Job) -> Result<(), Fault> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.retain(|waiting| !waiting.reply.is_canceled());
        let all = || state.waiting.iter().map(|waiting| waiting.asker).chain(state.running.iter().copied());
        let of_key = all().filter(|other| other.key == job.asker.key).count();
        let of_peer = all().filter(|other| other.peer.is_some() && other.peer == job.asker.peer).count();
        if of_key >= MAX_JOBS_PER_KEY || of_peer >= MAX_JOBS_PER_PEER || all().count() >= MAX_JOBS {
            return Err(Fault::Overloaded);
        }
        if state.started < self.threads && state.started <= state.waiting.len() + state.running.len() {
            let shared = Arc::clone(&self.shared);
            let spawned = thread::Builder::new().name("clove-hash".into()).spawn(move || shared.work());
            match spawned {
                Ok(_) => state.started += 1,
                Err(_) if state.started == 0 => return Err(Fault::System { what: "a thread for slow hashes" }),
                Err(_) => {}
            }
        }
        state.waiting.push_back(job);
        self.shared.work.notify_one();
        Ok(())
    }
}

impl Drop for HashQueue {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            while let Some(job) = state.waiting.pop_front() {
                if job.reply.is_canceled() {
                    continue;
                }
                state.running.push(job.asker);
                drop(state);
                // It does not panic; if it does, its caller hears of a fault, and the thread goes on.
                let digest = catch_unwind(AssertUnwindSafe(|| argon2id(&job.secret, job.cost, &job.salt)));
                if let Ok(digest) = digest {
                    // The caller may have gone: then nobody wants to know.
                    let _ = job.reply.send(digest);
                }
                state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(place) = state.running.iter().position(|asker| *asker == job.asker) {
                    state.running.swap_remove(place);
                }
            }
            if state.closed {
                return;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
