//! The body of a response.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// The body of what is wrapped, or of a refusal.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        of: Of<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = OfWhom]
    enum Of<B> {
        Granted { #[pin] body: B },
        Refused { body: Option<Bytes> },
    }
}

impl<B> ResponseBody<B> {
    pub(super) fn granted(body: B) -> Self {
        Self { of: Of::Granted { body } }
    }

    pub(super) fn refused(body: Bytes) -> Self {
        Self { of: Of::Refused { body: Some(body).filter(|body| !body.is_empty()) } }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().of.project() {
            OfWhom::Granted { body } => body.poll_frame(context),
            OfWhom::Refused { body } => Poll::Ready(body.take().map(|body| Ok(Frame::data(body.into())))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.of {
            Of::Granted { body } => body.is_end_stream(),
            Of::Refused { body } => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.of {
            Of::Granted { body } => body.size_hint(),
            Of::Refused { body } => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
        }
    }
}
