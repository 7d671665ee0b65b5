//! Connections that read, for whoever asks: on the calling thread, or on threads of their own.

use clove_core::StoreError;
use futures_channel::oneshot::{self, Sender};
use rusqlite::Connection;
use std::{
    ffi::c_int,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, TrySendError},
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
    unavailable("reading from a store that was closed")
}

fn unavailable(what: &'static str) -> StoreError {
    StoreError::Unavailable { what, source: None }
}

/// The most reads that wait for a thread. Each has a caller, who has a second at most: what comes on top is told so at once.
const MAX_WAITING: usize = 1024;
/// After how many steps of SQLite's machine a read looks whether anybody waits for it still; some tens of microseconds.
const STEPS: c_int = 1000;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Threads that read, each with a connection of its own: a read that takes long holds up one of them. Closed or dropped, they
/// read what still waits, and end.
pub(crate) struct Pool {
    queue: Mutex<Option<mpsc::SyncSender<Read>>>,
}

impl Pool {
    pub(crate) fn start(name: &str, connections: Vec<Connection>) -> Result<(Self, Vec<JoinHandle<()>>), StoreError> {
        let (queue, reads) = mpsc::sync_channel::<Read>(MAX_WAITING);
        let reads = Arc::new(Mutex::new(reads));
        let start = |connection| {
            let reads = Arc::clone(&reads);
            // One of them waits for a read, the others for their turn.
            let next = move || reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let run = move || {
                while let Ok(read) = next() {
                    read(&connection);
                }
            };
            thread::Builder::new().name(name.into()).spawn(run)
        };
        let threads = connections.into_iter().map(start).collect::<Result<_, _>>();
        let threads = threads.map_err(|error| StoreError::unavailable("starting a reading thread", error))?;
        Ok((Self { queue: Mutex::new(Some(queue)) }, threads))
    }

    /// Reads on a thread. Where the caller stops waiting, the read is not begun, or ends early.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Read = Box::new(move |connection| {
            let reply = Arc::new(reply);
            let result = unless_gone(connection, &reply, read);
            if let Some(reply) = Arc::into_inner(reply) {
                // A caller that has gone does not want to know.
                let _ = reply.send(result);
            }
        });
        self.push(job)?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    fn push(&self, job: Read) -> Result<(), StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.as_ref().ok_or_else(closed)?.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(unavailable("reading: too many reads wait already")),
            Err(TrySendError::Disconnected(_)) => Err(closed()),
        }
    }

    pub(crate) fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Reads for as long as somebody waits for `reply`. A read does not panic; if it does, the thread must outlive it.
fn unless_gone<T: Send + 'static>(
    connection: &Connection,
    reply: &Arc<Sender<Result<T, StoreError>>>,
    read: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let theirs = Arc::clone(reply);
    let gone = move || theirs.is_canceled();
    if gone() {
        return Err(unavailable("reading for a caller that has gone"));
    }
    connection.progress_handler(STEPS, Some(gone)).map_err(crate::read::failed)?;
    let result = catch_unwind(AssertUnwindSafe(|| read(connection)));
    connection.progress_handler(0, None::<fn() -> bool>).map_err(crate::read::failed)?;
    result.unwrap_or(Err(unavailable("reading: the read panicked")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use std::{
        future::Future,
        pin::pin,
        sync::Barrier,
        task::{Context, Waker},
    };

    fn pool(threads: usize) -> Pool {
        let connections = (0..threads).map(|_| Connection::open_in_memory().unwrap()).collect();
        Pool::start("test", connections).unwrap().0
    }

    fn begin<F: Future + Unpin>(future: &mut F) {
        assert!(pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    /// Counts for ever.
    fn endless(connection: &Connection) -> Result<i64, StoreError> {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        connection.query_row(sql, [], |row| row.get(0)).map_err(crate::read::failed)
    }

    #[tokio::test]
    async fn a_read_runs_on_a_thread_of_the_pool() {
        let id = pool(1).read(|_| Ok(thread::current().id())).await.unwrap();
        assert_ne!(id, thread::current().id());
    }

    /// With one thread, the next read is answered only once that thread is free.
    #[tokio::test]
    async fn a_read_whose_caller_has_gone_ends_in_the_midst_of_a_statement() {
        let pool = pool(1);
        let (begun, begins) = oneshot::channel();
        let read = |connection: &Connection| {
            let _ = begun.send(());
            endless(connection)
        };
        tokio::select! {
            biased;
            _ = pool.read(read) => panic!("endless"),
            begins = begins => begins.unwrap(),
        }
        let after = pool.read(|connection| Ok(connection.is_autocommit())).await.unwrap();
        assert!(after, "no transaction is left open");
    }

    #[tokio::test]
    async fn a_long_read_holds_up_no_other() {
        let pool = pool(2);
        let mut long = Box::pin(pool.read(endless));
        begin(&mut long);
        for _ in 0..100 {
            pool.read(|_| Ok(())).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_read_that_panics_says_so_and_the_thread_lives_on() {
        let pool = pool(1);
        for _ in 0..3 {
            let result = pool.read(|_| -> Result<(), _> { panic!("a read that panics, on purpose") }).await;
            assert!(matches!(result, Err(StoreError::Unavailable { what: "reading: the read panicked", .. })), "{result:?}");
        }
        pool.read(|_| Ok(())).await.unwrap();
    }

    /// Keeps a pool's only thread busy, until what is given is called; the read answers true.
    fn occupy(pool: &Pool) -> (impl Future<Output = Result<bool, StoreError>> + Unpin, impl FnOnce()) {
        let (begun, free) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (theirs, release) = (Arc::clone(&begun), Arc::clone(&free));
        let mut read = Box::pin(pool.read(move |_| {
            theirs.wait();
            free.wait();
            Ok(true)
        }));
        begin(&mut read);
        begun.wait();
        (read, move || {
            release.wait();
        })
    }

    #[tokio::test]
    async fn a_read_beyond_what_may_wait_is_refused_at_once_and_the_others_are_answered() {
        let pool = pool(1);
        let (first, release) = occupy(&pool);
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|place| Box::pin(pool.read(move |_| Ok(place)))).collect();
        waiting.iter_mut().for_each(begin);
        let refused = pool.read(|_| Ok(())).await;
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
        release();
        assert!(first.await.unwrap());
        for (place, waiting) in waiting.into_iter().enumerate() {
            assert_eq!(waiting.await.unwrap(), place);
        }
    }

    #[tokio::test]
    async fn what_waits_when_the_pool_is_closed_is_answered_and_what_comes_later_refused() {
        let pool = pool(1);
        let (first, release) = occupy(&pool);
        let mut second = Box::pin(pool.read(|_| Ok(2)));
        begin(&mut second);
        pool.close();
        let refused = pool.read(|_| Ok(())).await;
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
        release();
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (true, 2));
    }
}
