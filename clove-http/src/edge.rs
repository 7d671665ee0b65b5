//! Where HTTP meets keys: four functions that any middleware is made of.

mod caching;

use crate::{
    asked::Asked,
    grpc::Grpc,
    limits,
    presented::Presented,
    refused::Refused,
    renderer::{Problems, Renderer},
};
use bytes::Bytes;
use clove_core::{Clove, Grant};
#[cfg(feature = "tower")]
use http::Request;
use http::{HeaderMap, Response, Uri};
use std::{fmt, sync::Arc};

/// Credentials in, responses out, for one [`Clove`]. Cheap to clone.
///
/// A middleware of whatever framework [takes](Edge::take) the credential, has it [verified](Edge::verify), and either
/// [refuses](Edge::refuse) or lets the request go on and [marks](Edge::granted) its response.
#[derive(Clone)]
pub struct Edge {
    clove: Clove,
    renderer: Arc<dyn Renderer>,
    answers_grpc: bool,
}

impl Edge {
    /// Refusals are told as problem details.
    #[must_use]
    pub fn new(clove: Clove) -> Self {
        Self { clove, renderer: Arc::new(Problems), answers_grpc: false }
    }

    /// Refusals are told in another form.
    #[must_use]
    pub fn rendered_by(mut self, renderer: impl Renderer) -> Self {
        self.renderer = Arc::new(renderer);
        self
    }

    /// Refuses requests whose content type is one of gRPC in gRPC's form, as [`Edge::refuse`] says: for services that speak it. Others must not,
    /// since the client chooses the content type, and gRPC has every refusal at status 200.
    #[must_use]
    pub fn answering_grpc(mut self) -> Self {
        self.answers_grpc = true;
        self
    }

    /// The keys.
    #[must_use]
    pub fn clove(&self) -> &Clove {
        &self.clove
    }

    /// Takes the credential out of a request's headers: exactly one, from `x-api-key` or `Authorization: Bearer`, or the same in both.
    /// See [`Presented`] for what is one. Both headers are gone afterwards, whatever comes of it, so that nothing that is shown the
    /// request later sees a credential.
    ///
    /// # Errors
    /// [`Refused::NoCredential`], or [`Refused::Ambiguous`] where there is more than one answer, or a credential in the query string.
    pub fn take(&self, uri: &Uri, headers: &mut HeaderMap) -> Result<Presented, Refused> {
        let policy = self.clove.policy();
        Presented::take(policy, Presented::is_in(policy, uri), headers)
    }

    /// The same, out of a whole request.
    #[cfg(feature = "tower")]
    pub(crate) fn take_from<B>(&self, request: &mut Request<B>) -> Result<Presented, Refused> {
        let policy = self.clove.policy();
        Presented::take(policy, Presented::is_in(policy, request.uri()), request.headers_mut())
    }

    /// Verifies what was presented. Dropping the future leaves nothing held.
    ///
    /// # Errors
    /// [`Refused::Denied`], or [`Refused::Failed`] where nothing can be said.
    pub async fn verify(&self, presented: &Presented, asked: &Asked) -> Result<Grant, Refused> {
        Refused::unless_granted(self.clove.verify(asked.attempt(presented)).await?)
    }

    /// The same where it is known at once, without a wait and without the store; `None` says nothing and has done nothing, and
    /// [`Edge::verify`] answers. See [`Clove::verify_from_memory`].
    #[must_use = "a request may go on only with a grant"]
    pub fn verify_from_memory(&self, presented: &Presented, asked: &Asked) -> Option<Result<Grant, Refused>> {
        self.clove.verify_from_memory(asked.attempt(presented)).map(Refused::unless_granted)
    }

    /// The response to a request that does not go on. Where the request, by the content type in its headers, is one of gRPC, and the service
    /// [speaks it](Edge::answering_grpc), it is a response of gRPC, with its status and metadata.
    #[must_use]
    pub fn refuse(&self, refused: &Refused, request: &HeaderMap) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = refused.status();
        refused.set_headers(response.headers_mut(), self.clove.now());
        match self.answers_grpc.then(|| Grpc::of(request)).flatten() {
            Some(grpc) => grpc.refused(refused, &mut response),
            None => self.renderer.refused(refused, &mut response),
        }
        response
    }

    /// Sets what a granted request's response says beside what the host answers: what is left of the key's windows, and that no shared
    /// cache may keep it.
    ///
    /// `Vary` gets `Authorization` and `X-Api-Key` beside what it has. A `Cache-Control` that has `private` or `no-store` stays as it is;
    /// any other becomes `private`, loses `public` and `s-maxage`, and keeps the rest.
    pub fn granted(&self, grant: &Grant, response: &mut HeaderMap) {
        caching::set_private(response);
        caching::set_vary(response);
        limits::set_left(response, grant, || self.clove.now());
        self.renderer.granted(grant, response);
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("clove", &self.clove).finish_non_exhaustive()
    }
}
