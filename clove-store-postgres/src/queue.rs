//! What waits for a task that takes all of it at once.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// A queue that a task empties as soon as it has time: at once where it is idle.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    came: Notify,
    takers: AtomicUsize,
}

struct State<T> {
    waiting: VecDeque<T>,
    is_closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State { waiting: VecDeque::new(), is_closed: false }),
            came: Notify::new(),
            takers: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to it; given back once it is closed.
    pub(crate) fn push(&self, waiting: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(waiting);
        }
        state.waiting.push_back(waiting);
        drop(state);
        self.came.notify_one();
        Ok(())
    }

    /// What `take` takes of all that waits, in order, as soon as it takes anything; `None` once it is closed. Each time it takes some,
    /// or drops what nobody waits for.
    async fn next(&self, take: impl Fn(&mut VecDeque<T>) -> Vec<T>) -> Option<Vec<T>> {
        loop {
            self.some_wait().await;
            let taken = self.take(&take)?;
            if !taken.is_empty() {
                return Some(taken);
            }
        }
    }

    /// Returns once something waits, or the queue is closed.
    async fn some_wait(&self) {
        loop {
            let came = self.came.notified();
            {
                let state = self.lock();
                if state.is_closed || !state.waiting.is_empty() {
                    return;
                }
            }
            came.await;
        }
    }

    /// The same of what waits just now: nothing where another task was first.
    fn take(&self, take: impl Fn(&mut VecDeque<T>) -> Vec<T>) -> Option<Vec<T>> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        let mut taken = Vec::new();
        // Nobody may wait any more for what was taken first.
        while taken.is_empty() && !state.waiting.is_empty() {
            taken = take(&mut state.waiting);
        }
        let is_some_left = !state.waiting.is_empty();
        drop(state);
        if is_some_left {
            // Of two that came while no task slept, one has told nobody: another task may sleep beside what it could take.
            self.came.notify_one();
        }
        Some(taken)
    }

    /// Ends the tasks; what waits still.
    pub(crate) fn close(&self) -> VecDeque<T> {
        let waiting = {
            let mut state = self.lock();
            state.is_closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.came.notify_waiters();
        waiting
    }
}

/// What a task takes by. With the last one the queue is closed: nobody is to wait for a task that has ended with its runtime.
pub(crate) struct Taker<T>(Arc<Queue<T>>);

impl<T> Taker<T> {
    pub(crate) fn of(queue: &Arc<Queue<T>>) -> Self {
        queue.takers.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(queue))
    }

    /// As [`Queue::next`].
    pub(crate) async fn next(&self, take: impl Fn(&mut VecDeque<T>) -> Vec<T>) -> Option<Vec<T>> {
        self.0.next(take).await
    }

    /// As [`Queue::some_wait`].
    pub(crate) async fn some_wait(&self) {
        self.0.some_wait().await;
    }

    /// As [`Queue::take`].
    pub(crate) fn take(&self, take: impl Fn(&mut VecDeque<T>) -> Vec<T>) -> Option<Vec<T>> {
        self.0.take(take)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().waiting.len()
    }
}

impl<T> Drop for Taker<T> {
    fn drop(&mut self) {
        if self.0.takers.fetch_sub(1, Ordering::SeqCst) == 1 {
            // What waits still learns of it by the loss of the other end.
            drop(self.0.close());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    fn one(waiting: &mut VecDeque<u32>) -> Vec<u32> {
        waiting.pop_front().into_iter().collect()
    }

    #[test]
    fn what_a_task_leaves_wakes_another_one() {
        let queue = Queue::new();
        let mut sleeper = pin!(queue.some_wait());
        let mut poll = || sleeper.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(poll(), Poll::Pending);
        // As if both had come just before it slept, and their one wake-up been another task's.
        queue.lock().waiting.extend([1, 2]);
        assert_eq!(poll(), Poll::Pending);
        assert_eq!(queue.take(one), Some(vec![1]));
        assert_eq!(poll(), Poll::Ready(()));
    }
}
