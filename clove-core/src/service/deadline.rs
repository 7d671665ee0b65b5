//! The deadline of the policy, for whatever has to be waited for.

use super::{Clove, prove::Boxed};
use crate::{
    clock::{Clock, Sleep},
    error::{Fault, StoreError},
};
use futures_util::future::{Either, FutureExt, select};
use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// When work began, and how long it may take.
pub(super) struct Deadline {
    clock: Arc<dyn Clock>,
    /// On the monotonic clock.
    began: Duration,
    bound: Duration,
    timer: Option<Sleep>,
}

impl Deadline {
    pub(super) fn from_now(clove: &Clove) -> Self {
        let clock = Arc::clone(&clove.inner.clock);
        Self { began: clock.monotonic(), clock, bound: clove.inner.policy.deadline, timer: None }
    }

    pub(super) fn began(&self) -> Duration {
        self.began
    }

    /// What work has come to, or a fault once the deadline has passed, be it that it waits or that it took too long at a stretch.
    pub(super) fn hold<T>(&mut self, done: Poll<Result<T, Fault>>, context: &mut Context<'_>) -> Poll<Result<T, Fault>> {
        let left = self.bound.saturating_sub(self.clock.monotonic().saturating_sub(self.began));
        let exceeded = Err(Fault::DeadlineExceeded { deadline: self.bound });
        if left.is_zero() {
            return Poll::Ready(exceeded);
        }
        if done.is_ready() {
            return done;
        }
        let timer = self.timer.get_or_insert_with(|| self.clock.sleep(left));
        timer.as_mut().poll(context).map(|()| exceeded)
    }
}

/// Does work of the store's, or gives it up after `patience`: what hangs or panics ends nothing else. Each is said in its own words.
pub(super) async fn or_give_up<T>(
    clock: &dyn Clock,
    patience: Duration,
    [no_answer, panicked]: [&'static str; 2],
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let failed = |what| Err(StoreError::Unavailable { what, source: None });
    match select(pin!(AssertUnwindSafe(work).catch_unwind()), clock.sleep(patience)).await {
        Either::Left((Ok(done), _)) => done,
        Either::Left((Err(_), _)) => failed(panicked),
        Either::Right(_) => failed(no_answer),
    }
}

impl Clove {
    /// Ends `work` with a fault once the policy's deadline has passed.
    pub(super) async fn within_deadline<T>(&self, mut work: Boxed<'_, T>) -> Result<T, Fault> {
        let mut deadline = Deadline::from_now(self);
        std::future::poll_fn(|context| {
            let done = work.as_mut().poll(context);
            deadline.hold(done, context)
        })
        .await
    }
}
