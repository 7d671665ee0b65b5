//! The body of an answer on its way to the client: passed on piece by piece as it comes, counted, and ended when its key is.

use crate::meter::Meter;
use bytes::Bytes;
use clove::{Denial, Fault};
use clove_http::AnthropicError;
use futures_util::future::BoxFuture;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// How often a key is looked at while its stream runs.
const RECHECK: Duration = Duration::from_secs(1);

/// An answer of the upstream. Dropping it, as hyper does when the client goes away, breaks the upstream's off, and settles.
pub(crate) struct Answer {
    /// `None` once it has ended.
    upstream: Option<Incoming>,
    meter: Meter,
    ticks: Interval,
    looking: Option<Looking>,
    /// Why it is going to end.
    end: Option<Ended>,
    /// The event that says so, once it has.
    last_words: Option<Bytes>,
    silence: Duration,
    heard_at: Instant,
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
    Broken(hyper::Error),
}

impl Answer {
    /// Passes a body on; the upstream may be silent for so long.
    pub(crate) fn new(upstream: Incoming, meter: Meter, silence: Duration) -> Self {
        let now = Instant::now();
        let mut ticks = tokio::time::interval_at(now + RECHECK, RECHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { upstream: Some(upstream), meter, ticks, looking: None, end: None, last_words: None, silence, heard_at: now }
    }

    /// Looks each second whether the key is still good, and whether the upstream is still there.
    fn look(&mut self, context: &mut Context<'_>) {
        while self.end.is_none() {
            if let Some(looking) = &mut self.looking {
                let Poll::Ready(found) = looking.as_mut().poll(context) else { return };
                self.looking = None;
                // That nothing can be said of a key now does not end what was granted: the next look may tell.
                self.end = found.ok().flatten().map(Ended::Denied);
            } else if self.ticks.poll_tick(context).is_ready() {
                self.meter.note();
                if self.heard_at.elapsed() >= self.silence {
                    self.end = Some(Ended::Silent);
                }
                let (clove, grant) = (self.meter.clove().clone(), self.meter.grant().clone());
                self.looking = Some(Box::pin(async move { clove.recheck(&grant).await }));
            } else {
                return;
            }
        }
    }

    /// Leaves the upstream, and says why, where an event can be put. Elsewhere the connection has to tell, by breaking.
    fn finish(&mut self, ended: Ended, is_between_events: bool) -> Result<(), Ended> {
        self.upstream = None;
        tracing::info!(key_id = %self.meter.grant().key_id(), why = %ended, "an answer was ended");
        if is_between_events {
            self.last_words = Some(ended.to_event());
            return Ok(());
        }
        Err(ended)
    }

    /// The next piece.
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Ended>>> {
        self.look(context);
        let is_between_events = self.meter.seen.is_between_events();
        // An event that has begun may end first, if anything still comes.
        let waits = |ended: &Ended| matches!(ended, Ended::Denied(_)) && !is_between_events && self.meter.seen.is_stream();
        if let Some(ended) = self.end.take_if(|ended| !waits(ended)) {
            self.finish(ended, is_between_events)?;
        }
        let Some(upstream) = &mut self.upstream else { return Poll::Ready(self.last_words.take().map(Ok)) };
        let mut data = match ready!(Pin::new(upstream).poll_frame(context)) {
            // Trailers have no data: this API has none.
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => {
                self.finish(Ended::Broken(error), is_between_events)?;
                return Poll::Ready(self.last_words.take().map(Ok));
            }
            None => {
                self.upstream = None;
                return Poll::Ready(None);
            }
        };
        self.heard_at = Instant::now();
        let first_end = self.meter.seen.read(&data);
        if let Some((ended, first_end)) = first_end.and_then(|first_end| Some((self.end.take()?, first_end))) {
            data.truncate(first_end);
            self.finish(ended, true)?;
        }
        Poll::Ready(Some(Ok(data)))
    }
}

impl Body for Answer {
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
            Some(upstream) if !self.meter.seen.is_stream() => upstream.size_hint(),
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

impl std::error::Error for Ended {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Broken(error) => Some(error),
            Self::Denied(_) | Self::Silent => None,
        }
    }
}
