//! The way of one request.

use super::{ApiKeyLayer, ResponseBody, ResponseFuture, future::Waiting};
use http::{Request, Response};
use http_body::Body;
use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// What [`ApiKeyLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct ApiKeyService<S> {
    inner: S,
    layer: Arc<ApiKeyLayer>,
}

impl<S> ApiKeyService<S> {
    pub(super) fn new(inner: S, layer: Arc<ApiKeyLayer>) -> Self {
        Self { inner, layer }
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
    fn call(&mut self, request: Request<B>) -> ResponseFuture<S, B> {
        let edge = self.layer.edge();
        let (mut parts, body) = request.into_parts();
        let presented = match edge.take(&parts.uri, &mut parts.headers) {
            Ok(presented) => presented,
            Err(refused) => return ResponseFuture::refused(edge.refuse(&refused, &parts.headers)),
        };
        let asked = self.layer.asked(&parts);
        match edge.verify_from_memory(&presented, &asked) {
            Some(Ok(grant)) => {
                parts.extensions.insert(grant.clone());
                ResponseFuture::granted(self.inner.call(Request::from_parts(parts, body)), edge.clone(), grant)
            }
            Some(Err(refused)) => ResponseFuture::refused(edge.refuse(&refused, &parts.headers)),
            None => {
                let (owned, asked) = (edge.clone(), asked.into_owned());
                let verification = Box::pin(async move { owned.verify(&presented, &asked).await });
                // The one that is ready goes along; a clone of it may not be.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                ResponseFuture::waiting(verification, Waiting::new(ready, Request::from_parts(parts, body), edge.clone()))
            }
        }
    }
}
