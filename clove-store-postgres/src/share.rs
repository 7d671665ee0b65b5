//! How tasks that take from one queue divide what waits there, each carrying a part of it to the server and back.

use crate::queue::{Queue, Taker};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task;

/// For how long a task that has less to take than the others carry goes on letting everything else run first. Those whose answers it
/// has just given are about to ask again: taking the first of them alone costs a statement, and they all wait behind it.
const GATHERS_FOR: Duration = Duration::from_micros(100);

/// One task's share of a queue.
pub(crate) struct Share<T> {
    queue: Taker<T>,
    others: usize,
    /// How much all tasks carry.
    carried: Arc<AtomicUsize>,
}

/// That so much is under way, until it is dropped.
pub(crate) struct UnderWay {
    carried: Arc<AtomicUsize>,
    many: usize,
}

impl<T> Share<T> {
    /// One for each of so many tasks.
    pub(crate) fn each(queue: &Arc<Queue<T>>, tasks: usize) -> Vec<Self> {
        let carried = Arc::new(AtomicUsize::new(0));
        let share = |_| Self { queue: Taker::of(queue), others: tasks.saturating_sub(1), carried: Arc::clone(&carried) };
        (0..tasks).map(share).collect()
    }

    /// What `take` takes of so many, as soon as it takes anything; `None` once the queue is closed. At once where the others carry no
    /// more than what waits, or one more each; an equal part of that and what they carry, so that none of them is left with what the
    /// others could have answered meanwhile. For a task that carries nothing.
    pub(crate) async fn next(&self, take: impl Fn(&mut VecDeque<T>, usize) -> Vec<T>) -> Option<(Vec<T>, UnderWay)> {
        loop {
            self.queue.some_wait().await;
            self.gather().await;
            let taken = self.queue.take(|waiting| {
                let carried = self.carried.load(Ordering::Relaxed);
                let taken = take(waiting, waiting.len().saturating_add(carried).div_ceil(self.others + 1));
                // Under the queue's lock: the next one that looks knows of it.
                self.carried.fetch_add(taken.len(), Ordering::Relaxed);
                taken
            })?;
            if !taken.is_empty() {
                let under_way = UnderWay { carried: Arc::clone(&self.carried), many: taken.len() };
                return Some((taken, under_way));
            }
        }
    }

    /// Lets everything that is ready run first, once at least, while less waits than the others carry; not for long by the clock, since
    /// what another task carries may hang. The clock is looked at in this task's own turns, so that this is no bound where the runtime's
    /// worker is busy.
    async fn gather(&self) {
        let mut began = None;
        // Of an odd number the first has taken the greater part, and more than that is not to be waited for.
        while self.queue.waiting().saturating_add(1).saturating_mul(self.others) < self.carried.load(Ordering::Relaxed) {
            // A look-up that is alone asks for no time.
            if began.get_or_insert_with(Instant::now).elapsed() >= GATHERS_FOR {
                return;
            }
            task::yield_now().await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.carried.fetch_sub(self.many, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    fn take(waiting: &mut VecDeque<u32>, many: usize) -> Vec<u32> {
        waiting.drain(..many.min(waiting.len())).collect()
    }

    fn two(waiting: std::ops::Range<u32>) -> (Arc<Queue<u32>>, Share<u32>, Share<u32>) {
        let queue = Arc::new(Queue::new());
        let [one, other] = Share::each(&queue, 2).try_into().unwrap_or_else(|_| panic!("two"));
        push(&queue, waiting);
        (queue, one, other)
    }

    fn push(queue: &Queue<u32>, waiting: std::ops::Range<u32>) {
        waiting.for_each(|number| queue.push(number).unwrap());
    }

    /// What it takes without letting anything else run.
    fn at_once(share: &Share<u32>) -> Option<(Vec<u32>, UnderWay)> {
        match pin!(share.next(take)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => taken,
            Poll::Pending => None,
        }
    }

    #[test]
    fn two_take_half_each_and_at_once() {
        let (queue, one, other) = two(0..32);
        let (first, _first) = at_once(&one).unwrap();
        let (second, _second) = at_once(&other).unwrap();
        assert_eq!((first.len(), second.len()), (16, 16));
        drop(queue);
    }

    #[test]
    fn of_an_odd_number_two_take_as_good_as_half_each_and_at_once() {
        for (many, halves) in [(3, (2, 1)), (33, (17, 16))] {
            let (_queue, one, other) = two(0..many);
            let (first, _first) = at_once(&one).unwrap();
            let (second, _second) = at_once(&other).unwrap();
            assert_eq!((first.len(), second.len()), halves);
        }
    }

    #[test]
    fn one_that_waits_alone_is_taken_at_once() {
        let (_queue, one, other) = two(0..1);
        let (taken, under_way) = at_once(&one).unwrap();
        assert_eq!(taken, [0]);
        drop(under_way);
        assert!(at_once(&other).is_none());
    }

    #[test]
    fn what_is_answered_is_carried_no_more() {
        let (queue, one, other) = two(0..9);
        drop(at_once(&one).unwrap());
        drop(at_once(&other).unwrap());
        drop(at_once(&other).unwrap());
        drop(at_once(&other).unwrap());
        push(&queue, 9..10);
        assert_eq!(at_once(&one).unwrap().0, [9]);
    }

    #[tokio::test]
    async fn fewer_than_the_other_carries_are_taken_when_more_have_come() {
        let (queue, one, other) = two(0..8);
        let _first = at_once(&one).unwrap();
        drop(at_once(&other).unwrap());
        push(&queue, 8..9);
        assert!(at_once(&other).is_none());
        let (taken, ()) = tokio::join!(other.next(take), async { push(&queue, 9..12) });
        assert_eq!(taken.unwrap().0, [8, 9, 10, 11]);
    }

    #[tokio::test]
    async fn fewer_than_the_other_carries_are_taken_in_the_end_though_no_more_come() {
        let (queue, one, other) = two(0..8);
        let _first = at_once(&one).unwrap();
        drop(at_once(&other).unwrap());
        push(&queue, 8..9);
        assert_eq!(other.next(take).await.unwrap().0, [8]);
    }

    #[tokio::test]
    async fn two_that_wait_are_both_told_of_what_comes() {
        let (queue, one, other) = two(0..0);
        let (first, second, ()) = tokio::join!(one.next(take), other.next(take), async { push(&queue, 0..2) });
        let mut taken = [first.unwrap().0, second.unwrap().0].concat();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1]);
    }

    #[tokio::test]
    async fn a_closed_queue_ends_its_takers() {
        let (queue, one, _other) = two(0..0);
        let (taken, _) = tokio::join!(one.next(take), async { queue.close() });
        assert!(taken.is_none());
    }
}
