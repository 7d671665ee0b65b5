//! The future of a verification. Written out, since the verdict is then made where the caller reads it: an `async fn` moves it on
//! its way.

use super::{
    Clove,
    deadline::Deadline,
    prove::{Boxed, Proven},
    reserve::hand_over,
    verify::Read,
};
use crate::{
    error::Fault,
    verdict::{Attempt, Verdict},
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// How far a verification came.
pub(super) type Verified = Poll<Result<Verdict, Fault>>;

/// A verification that is going on, of [`Clove::verify`]: a future of a [`Verdict`], or of a [`Fault`] where nothing can be said.
/// Polled again after its end, it begins anew.
#[must_use = "nothing is verified before it is polled"]
pub struct Verification<'a> {
    clove: &'a Clove,
    attempt: Attempt<'a>,
    rest: Option<Box<Rest<'a>>>,
}

/// What is left of a verification that something holds up.
struct Rest<'a> {
    work: Work<'a>,
    deadline: Deadline,
}

/// What has to be waited for.
pub(super) enum Work<'a> {
    /// The proof of what is presented.
    Proof(Boxed<'a, Option<Proven>>, Read<'a>),
    /// Places of windows, budgets, or the access log.
    Verdict(Boxed<'a, Verdict>),
}

impl<'a> Verification<'a> {
    pub(super) fn new(clove: &'a Clove, attempt: Attempt<'a>) -> Self {
        Self { clove, attempt, rest: None }
    }

    #[inline(always)]
    fn begin(&mut self, context: &mut Context<'_>) -> Verified {
        let Self { clove, attempt, rest } = self;
        clove.begin(attempt, |work| Rest::begin(work, clove, attempt, rest, context))
    }

    /// The same where observers are told how it ended. A copy: who has none pays for one look whether there are any.
    #[inline(never)]
    fn begin_observed(&mut self, context: &mut Context<'_>) -> Verified {
        let Self { clove, attempt, rest } = self;
        let (began, mut is_held_up) = (clove.begin_signal(), false);
        let end = clove.begin(attempt, |work| {
            is_held_up = true;
            Rest::begin(work, clove, attempt, rest, context)
        });
        if let Poll::Ready(end) = &end
            && !is_held_up
        {
            clove.signal_end(end, began);
        }
        end
    }
}

impl Future for Verification<'_> {
    type Output = Result<Verdict, Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Verified {
        match self.rest.take() {
            None if self.clove.is_observed() => self.begin_observed(context),
            None => self.begin(context),
            Some(rest) => {
                let Self { clove, attempt, rest: left } = &mut *self;
                rest.go_on(clove, attempt, left, context)
            }
        }
    }
}

impl<'a> Rest<'a> {
    #[cold]
    fn begin(
        work: Work<'a>,
        clove: &'a Clove,
        attempt: &Attempt<'a>,
        left: &mut Option<Box<Self>>,
        context: &mut Context<'_>,
    ) -> Verified {
        Box::new(Self { work, deadline: Deadline::from_now(clove) }).go_on(clove, attempt, left, context)
    }

    fn go_on(
        mut self: Box<Self>,
        clove: &'a Clove,
        attempt: &Attempt<'a>,
        left: &mut Option<Box<Self>>,
        context: &mut Context<'_>,
    ) -> Verified {
        let done = self.work.poll(clove, attempt, context);
        let end = self.deadline.hold(done, context);
        if let Poll::Ready(end) = &end {
            hand_over(end);
            clove.signal_end(end, self.deadline.began());
        } else {
            *left = Some(self);
        }
        end
    }
}

impl<'a> Work<'a> {
    fn poll(&mut self, clove: &'a Clove, attempt: &Attempt<'a>, context: &mut Context<'_>) -> Verified {
        let (proof, read) = match self {
            Self::Verdict(rest) => return rest.as_mut().poll(context),
            Self::Proof(proof, read) => (proof, read),
        };
        let Some(proven) = ready!(proof.as_mut().poll(context))? else { return Poll::Ready(clove.not_recognized()) };
        let mut rest = None;
        let end = clove.judge_read(&proven, read, attempt, |work| rest.insert(work).as_mut().poll(context));
        if let Some(rest) = rest {
            *self = Self::Verdict(rest);
        }
        end
    }
}

impl fmt::Debug for Verification<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verification").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}
