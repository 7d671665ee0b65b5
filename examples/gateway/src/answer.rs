//! The body of an answer on its way to the client: passed on piece by piece as it comes, counted, and ended when its key is.

use crate::meter::{Meter, Seen};
use bytes::Bytes;
use clove::{Clove, Denial, Fault, Grant};
use clove_http::AnthropicError;
use futures_util::future::BoxFuture;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// How often a key is looked at while its stream runs.
const RECHECK: Duration = Duration::from_secs(1);
/// How long an event that has begun may take to end, once the key is no longer good.
const UNFINISHED: Duration = Duration::from_secs(2);

/// An answer of the upstream. Dropping it, as hyper does when the client goes away, breaks the upstream's off, and settles.
pub(crate) struct Answer<B = Incoming> {
    /// `None` once it has ended.
    upstream: Option<B>,
    /// `None` where no tokens are used.
    meter: Option<Meter>,
    clove: Clove,
    grant: Grant,
    ticks: Interval,
    looking: Option<Looking>,
    /// Why it is going to end, and since when that is known.
    denied: Option<(Denial, Instant)>,
    /// The event that says so, once it has.
    last_words: Option<Bytes>,
    silence: Duration,
    /// Since when there is nothing to pass on. A client that reads slowly is not the upstream's silence.
    silent_since: Option<Instant>,
}

type Looking = BoxFuture<'static, Result<Option<Denial>, Fault>>;

/// Why an answer ends before its time.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Its key is no longer good.
    Denied(Denial),
    /// The upstream has said nothing for too long.
    Silent,
    /// The upstream's connection broke.
    Broken(Box<dyn Error + Send + Sync>),
}

impl<B: Body<Data = Bytes> + Unpin> Answer<B>
where
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Passes a body on and counts it; the upstream may be silent for so long.
    pub(crate) fn metered(upstream: B, meter: Meter, silence: Duration) -> Self {
        let (clove, grant) = (meter.clove().clone(), meter.grant().clone());
        Self { meter: Some(meter), ..Self::of(upstream, clove, grant, silence) }
    }

    /// Passes on a body that uses no tokens.
    pub(crate) fn of(upstream: B, clove: Clove, grant: Grant, silence: Duration) -> Self {
        let mut ticks = tokio::time::interval_at(Instant::now() + RECHECK, RECHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            upstream: Some(upstream),
            meter: None,
            clove,
            grant,
            ticks,
            looking: None,
            denied: None,
            last_words: None,
            silence,
            silent_since: None,
        }
    }

    fn seen(&self) -> Option<&Seen> {
        self.meter.as_ref().map(|meter| &meter.seen)
    }

    fn is_between_events(&self) -> bool {
        self.seen().is_some_and(Seen::is_between_events)
    }

    /// Looks each second whether the key is still good. It ticks on when it is not, and while a store does not answer: what waits for a
    /// deadline is woken.
    fn look(&mut self, context: &mut Context<'_>) {
        while self.ticks.poll_tick(context).is_ready() {
            if let Some(meter) = &self.meter {
                meter.note();
            }
            if self.denied.is_none() && self.looking.is_none() {
                let (clove, grant) = (self.clove.clone(), self.grant.clone());
                self.looking = Some(Box::pin(async move { clove.recheck(&grant).await }));
            }
        }
        if let Some(Poll::Ready(found)) = self.looking.as_mut().map(|looking| looking.as_mut().poll(context)) {
            self.looking = None;
            // That nothing can be said of a key now does not end what was granted: the next look may tell.
            self.denied = found.ok().flatten().map(|denial| (denial, Instant::now()));
        }
    }

    /// Why it has to end now. In a stream an event that has begun may end first, if that does not take long.
    fn is_over(&mut self) -> Option<Ended> {
        let may_finish = self.seen().is_some_and(Seen::is_stream) && !self.is_between_events();
        let over = self.denied.take_if(|(_, since)| !may_finish || since.elapsed() >= UNFINISHED);
        over.map(|(denial, _)| Ended::Denied(denial))
    }

    /// Leaves the upstream, and says why, where an event can be put. Elsewhere the connection has to tell, by breaking.
    fn finish(&mut self, ended: Ended, is_between_events: bool) -> Result<(), Ended> {
        self.upstream = None;
        tracing::info!(key_id = %self.grant.key_id(), why = %ended, "an answer was ended");
        if is_between_events {
            self.last_words = Some(ended.to_event());
            return Ok(());
        }
        Err(ended)
    }

    /// The next piece.
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Ended>>> {
        self.look(context);
        let is_between_events = self.is_between_events();
        if let Some(ended) = self.is_over() {
            self.finish(ended, is_between_events)?;
        }
        let Some(upstream) = &mut self.upstream else { return Poll::Ready(self.last_words.take().map(Ok)) };
        let mut data = match Pin::new(upstream).poll_frame(context) {
            // Trailers have no data: this API has none.
            Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Poll::Ready(Some(Err(error))) => {
                self.finish(Ended::Broken(error.into()), is_between_events)?;
                return Poll::Ready(self.last_words.take().map(Ok));
            }
            Poll::Ready(None) => {
                self.upstream = None;
                if let Some(meter) = &mut self.meter {
                    meter.seen.end();
                }
                return Poll::Ready(None);
            }
            Poll::Pending if self.silent_since.get_or_insert_with(Instant::now).elapsed() < self.silence => return Poll::Pending,
            Poll::Pending => {
                self.finish(Ended::Silent, is_between_events)?;
                return Poll::Ready(self.last_words.take().map(Ok));
            }
        };
        self.silent_since = None;
        let first_end = self.meter.as_mut().and_then(|meter| meter.seen.read(&data));
        if let Some(((denial, _), first_end)) = first_end.and_then(|first_end| Some((self.denied.take()?, first_end))) {
            data.truncate(first_end);
            self.finish(Ended::Denied(denial), true)?;
        }
        Poll::Ready(Some(Ok(data)))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B>
where
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Ended;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Ended>>> {
        self.get_mut().next(context).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.last_words.is_none() && self.upstream.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.upstream {
            // It may end with an event of ours.
            Some(upstream) if !self.seen().is_some_and(Seen::is_stream) => upstream.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl Ended {
    fn to_event(&self) -> Bytes {
        let (status, kind) = match self {
            Self::Denied(_) => (StatusCode::UNAUTHORIZED, "authentication_error"),
            Self::Silent | Self::Broken(_) => (StatusCode::BAD_GATEWAY, "api_error"),
        };
        let body = AnthropicError::new(status, self.to_string()).of_type(kind).to_response().into_body();
        [b"event: error\ndata: ", body.as_ref(), b"\n\n"].concat().into()
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Denied(denial) => std::fmt::Display::fmt(denial, f),
            Self::Silent => f.write_str("The model service has fallen silent. Try again."),
            Self::Broken(_) => f.write_str("The connection to the model service broke. Try again."),
        }
    }
}

impl Error for Ended {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Broken(error) => Some(&**error),
            Self::Denied(_) | Self::Silent => None,
        }
    }
}

#[cfg(test)]
mod tests;
