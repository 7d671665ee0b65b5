//! The way of one request.

use super::{ResponseBody, ResponseFuture, future::Waiting, layer::Rules};
use http::{Request, Response};
use http_body::Body;
use std::{
    borrow::Cow,
    mem,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// What [`ApiKeyLayer`](super::ApiKeyLayer) makes of a service.
#[derive(Clone, Debug)]
pub struct ApiKeyService<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S> ApiKeyService<S> {
    pub(super) fn new(inner: S, rules: Arc<Rules>) -> Self {
        Self { inner, rules }
    }
}

impl<S, B, R> Service<Request<B>> for ApiKeyService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body,
    R::Data: From<bytes::Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    /// What is known of the key is asked here and now, since that takes less than a microsecond and no box: a grant goes straight on.
    fn call(&mut self, mut request: Request<B>) -> ResponseFuture<S, B> {
        let edge = self.rules.edge();
        let presented = match edge.take_from(&mut request) {
            Ok(presented) => presented,
            Err(refused) => return ResponseFuture::refused(edge.refuse(&refused, request.headers())),
        };
        // Only where its head is asked for: a request is large, and moving it takes as long as a look-up.
        let asked = match self.rules.asks() {
            Some(asks) => {
                let (parts, body) = request.into_parts();
                let asked = asks(&parts);
                request = Request::from_parts(parts, body);
                Cow::Owned(asked)
            }
            None => Cow::Borrowed(self.rules.asked()),
        };
        match edge.verify_from_memory(&presented, &asked) {
            Some(Ok(grant)) => {
                request.extensions_mut().insert(grant.clone());
                ResponseFuture::granted(self.inner.call(request), Arc::clone(&self.rules), grant)
            }
            Some(Err(refused)) => ResponseFuture::refused(edge.refuse(&refused, request.headers())),
            None => {
                let (owned, asked) = (edge.clone(), asked.into_owned());
                let verification = Box::pin(async move { owned.verify(&presented, &asked).await });
                // The one that is ready goes along; a clone of it may not be.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                ResponseFuture::waiting(verification, Waiting::new(ready, request, Arc::clone(&self.rules)))
            }
        }
    }
}
