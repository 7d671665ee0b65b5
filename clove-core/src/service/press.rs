//! A call to maintenance not to sleep on.

use crate::{
    clock::Sleep,
    sync::atomic::{AtomicBool, Ordering},
};
use futures_util::task::AtomicWaker;
use std::{
    future::{Future, poll_fn},
    task::Poll,
};

#[derive(Default)]
pub(super) struct Press {
    pressed: AtomicBool,
    waker: AtomicWaker,
}

impl Press {
    pub(super) fn press(&self) {
        self.pressed.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn is_pressed(&self) -> bool {
        self.pressed.load(Ordering::Acquire)
    }

    /// Waits for a press, true, or for the end of `sleep`, false. A press is answered once.
    pub(super) fn comes_before<'p>(&'p self, sleep: &'p mut Sleep) -> impl Future<Output = bool> + 'p {
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.pressed.swap(false, Ordering::AcqRel) {
                return Poll::Ready(true);
            }
            sleep.as_mut().poll(context).map(|()| false)
        })
    }
}
