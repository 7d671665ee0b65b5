//! Connections that read, for whoever asks: on the calling thread, or on a thread of their own.

use clove_core::StoreError;
use futures_channel::oneshot;
use rusqlite::Connection;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

/// Connections for point reads on the calling thread. A reader waits for another only when all are in use, for microseconds.
pub(crate) struct Readers {
    connections: Vec<Mutex<Option<Connection>>>,
    next: AtomicUsize,
}

impl Readers {
    pub(crate) fn new(connections: Vec<Connection>) -> Self {
        Self {
            connections: connections.into_iter().map(|connection| Mutex::new(Some(connection))).collect(),
            next: AtomicUsize::new(0),
        }
    }

    pub(crate) fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        read(self.free().as_deref().and_then(Option::as_ref).ok_or_else(closed)?)
    }

    pub(crate) fn close(&self) {
        for connection in &self.connections {
            connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    fn free(&self) -> Option<MutexGuard<'_, Option<Connection>>> {
        for connection in &self.connections {
            match connection.try_lock() {
                Ok(free) => return Some(free),
                Err(TryLockError::Poisoned(free)) => return Some(free.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let place = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len().max(1);
        self.connections.get(place).map(|connection| connection.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable { what: "reading from a store that was closed", source: None }
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// A thread with a connection of its own.
///
/// Closed or dropped, it reads what still waits by itself, and ends.
pub(crate) struct Scanner {
    queue: Mutex<Option<mpsc::Sender<Read>>>,
}

impl Scanner {
    pub(crate) fn start(name: &str, connection: Connection) -> Result<(Self, JoinHandle<()>), StoreError> {
        let (queue, reads) = mpsc::channel::<Read>();
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || reads.into_iter().for_each(|read| read(&connection)))
            .map_err(|error| StoreError::unavailable("starting a reading thread", error))?;
        Ok((Self { queue: Mutex::new(Some(queue)) }, thread))
    }

    /// Reads on the thread. Where the caller has stopped waiting, nothing is read.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Read = Box::new(move |connection| {
            if !reply.is_canceled() {
                let _ = reply.send(read(connection));
            }
        });
        let sent =
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|queue| queue.send(job).is_ok());
        if sent { answer.await.unwrap_or_else(|_| Err(closed())) } else { Err(closed()) }
    }

    pub(crate) fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
