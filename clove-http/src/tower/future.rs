//! The response that is on its way.

use super::{ResponseBody, layer::Rules};
use crate::refused::Refused;
use bytes::Bytes;
use clove_core::Grant;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// A verification that has to wait.
type Verification = Pin<Box<dyn Future<Output = Result<Grant, Refused>> + Send>>;

pin_project! {
    /// The future of a response of [`ApiKeyService`](super::ApiKeyService). Dropped, it leaves nothing held; a request that was granted
    /// stays charged.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S::Future, Waiting<S, B>>,
    }
}

pin_project! {
    #[project = StateOf]
    enum State<F, W> {
        Refused { response: Option<Response<Bytes>> },
        Waiting { verification: Verification, waiting: Option<W> },
        Granted { #[pin] response: F, rules: Arc<Rules>, grant: Grant },
    }
}

/// What goes on once there is a grant.
pub(super) struct Waiting<S, B> {
    inner: S,
    request: Request<B>,
    rules: Arc<Rules>,
}

impl<S, B> Waiting<S, B> {
    pub(super) fn new(inner: S, request: Request<B>, rules: Arc<Rules>) -> Self {
        Self { inner, request, rules }
    }
}

impl<S: Service<Request<B>>, B> ResponseFuture<S, B> {
    pub(super) fn refused(response: Response<Bytes>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }

    pub(super) fn waiting(verification: Verification, waiting: Waiting<S, B>) -> Self {
        Self { state: State::Waiting { verification, waiting: Some(waiting) } }
    }

    pub(super) fn granted(response: S::Future, rules: Arc<Rules>, grant: Grant) -> Self {
        Self { state: State::Granted { response, rules, grant } }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
    R::Data: From<Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateOf::Refused { response } => match response.take() {
                    Some(response) => return Poll::Ready(Ok(response.map(ResponseBody::refused))),
                    // Polled again after its end.
                    None => return Poll::Pending,
                },
                StateOf::Waiting { verification, waiting } => {
                    let verified = ready!(verification.as_mut().poll(context));
                    let Some(Waiting { mut inner, mut request, rules }) = waiting.take() else { return Poll::Pending };
                    match verified {
                        Ok(grant) => {
                            request.extensions_mut().insert(grant.clone());
                            State::Granted { response: inner.call(request), rules, grant }
                        }
                        Err(refused) => State::Refused { response: Some(rules.edge().refuse(&refused, request.headers())) },
                    }
                }
                StateOf::Granted { response, rules, grant } => {
                    let mut response = ready!(response.poll(context))?;
                    rules.edge().granted(grant, response.headers_mut());
                    return Poll::Ready(Ok(response.map(ResponseBody::granted)));
                }
            };
            state.set(next);
        }
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
