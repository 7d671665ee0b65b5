//! Limit and figure in turn, and their medians.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Instant,
};

/// Medians of a limit and a figure that took turns.
pub(crate) struct Medians {
    pub(crate) limit: f64,
    pub(crate) figure: f64,
}

/// Runs limit, figure, limit, figure … after one round that does not count. Each call is given its round.
pub(crate) fn in_turn(rounds: usize, mut limit: impl FnMut(usize) -> f64, mut figure: impl FnMut(usize) -> f64) -> Medians {
    let (mut limits, mut figures) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (one, other) = (limit(round), figure(round));
        if round > 0 {
            limits.push(one);
            figures.push(other);
        }
    }
    Medians { limit: median(limits), figure: median(figures) }
}

/// Nanoseconds for each item.
pub(crate) fn nanos_each<T>(items: &[T], mut work: impl FnMut(&T)) -> f64 {
    let start = Instant::now();
    items.iter().for_each(&mut work);
    start.elapsed().as_nanos() as f64 / items.len() as f64
}

/// Microseconds that one piece of work takes.
pub(crate) fn micros<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed().as_nanos() as f64 / 1000.0
}

/// The result of a future that never waits.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("this future was not to wait"),
    }
}

/// The result of a future, waited for on this thread; and whether it had to be.
pub(crate) fn wait_for<T>(future: impl Future<Output = T>) -> (T, bool) {
    let mut future = pin!(future);
    if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return (done, false);
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return (done, true),
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] }
}
