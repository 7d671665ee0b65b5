//! Slow hashes, off the caller's thread, in a queue that is bounded per key and in all.

use crate::{
    digest::{Argon2Cost, Digest, argon2id},
    error::Fault,
    id::KeyId,
};
use futures_channel::oneshot;
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};
use zeroize::Zeroizing;

/// The most hashes waiting or running: at 15 ms each on two threads, all are done within half a second.
const MAX_JOBS: usize = 64;
/// The most hashes waiting or running for one key.
const MAX_JOBS_PER_KEY: usize = 8;

/// Threads that compute Argon2id; started with the first hash, ended with the queue.
pub(crate) struct HashQueue {
    shared: Arc<Shared>,
    threads: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    running: Vec<KeyId>,
    started: usize,
    closed: bool,
}

struct Job {
    key: KeyId,
    secret: Zeroizing<Vec<u8>>,
    cost: Argon2Cost,
    salt: [u8; 16],
    reply: oneshot::Sender<Result<Digest, argon2::Error>>,
}

impl HashQueue {
    pub(crate) fn new() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
        Self { shared: Arc::default(), threads }
    }

    /// Argon2id of `secret`, for `key`. Dropping the future takes a waiting hash out of the queue.
    pub(crate) async fn hash(&self, key: KeyId, secret: &[u8], cost: Argon2Cost, salt: [u8; 16]) -> Result<Digest, Fault> {
        let (reply, answer) = oneshot::channel();
        self.push(Job { key, secret: Zeroizing::new(secret.to_vec()), cost, salt, reply })?;
        match answer.await {
            Ok(Ok(digest)) => Ok(digest),
            Ok(Err(_)) | Err(_) => Err(Fault::System { what: "memory for a slow hash" }),
        }
    }

    fn push(&self, job: Job) -> Result<(), Fault> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.retain(|waiting| !waiting.reply.is_canceled());
        let of_key =
            state.waiting.iter().map(|waiting| waiting.key).chain(state.running.iter().copied()).filter(|key| *key == job.key);
        if of_key.count() >= MAX_JOBS_PER_KEY || state.waiting.len() + state.running.len() >= MAX_JOBS {
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
                state.running.push(job.key);
                drop(state);
                let digest = argon2id(&job.secret, job.cost, &job.salt);
                // The caller may have gone: then nobody wants to know.
                let _ = job.reply.send(digest);
                state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(place) = state.running.iter().position(|key| *key == job.key) {
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
