//! What is asked of the requests of some routes.

use super::ApiKeyService;
use crate::{asked::Asked, edge::Edge};
use clove_core::{EndpointLabel, Invalid};
use http::request::Parts;
use std::{fmt, sync::Arc};
use tower_layer::Layer;

type Asks = Arc<dyn Fn(&Parts, Asked) -> Asked + Send + Sync>;

/// Lets requests through that have a valid key with the required capabilities, with their [`Grant`](clove_core::Grant) in their
/// extensions and without their credential; all others are refused, and what is wrapped is never called.
///
/// There is no exception: a CORS preflight, which has no credential, is refused as well. Put a layer that answers preflights outside of
/// this one, and so a layer that logs or counts responses, to see the refusals. Wrap what asks for different things by layers of
/// different kinds, side by side: behind another of these layers no credential is left.
#[derive(Clone)]
pub struct ApiKeyLayer {
    edge: Edge,
    asked: Asked,
    asks: Option<Asks>,
}

impl ApiKeyLayer {
    /// Requires a valid key.
    #[must_use]
    pub fn new(edge: Edge) -> Self {
        Self { edge, asked: Asked::new(), asks: None }
    }

    /// Requires this capability as well.
    ///
    /// # Errors
    /// If it is no name of a capability, or has a wildcard.
    pub fn require(mut self, capability: impl AsRef<str>) -> Result<Self, Invalid> {
        self.asked = self.asked.require(capability)?;
        Ok(self)
    }

    /// How many places of each of its windows a request takes; 1 unless said.
    #[must_use]
    pub fn cost(mut self, places: u64) -> Self {
        self.asked = self.asked.cost(places);
        self
    }

    /// The label of these routes in the access log.
    #[must_use]
    pub fn at_endpoint(mut self, label: EndpointLabel) -> Self {
        self.asked = self.asked.at_endpoint(label);
        self
    }

    /// What is asked of each request by itself, such as a cost by its route or who sends it: the closure is shown the request's head, its
    /// credential already taken out, and changes what the layer asks of all.
    #[must_use]
    pub fn ask(mut self, asks: impl Fn(&Parts, Asked) -> Asked + Send + Sync + 'static) -> Self {
        self.asks = Some(Arc::new(asks));
        self
    }

    pub(super) fn edge(&self) -> &Edge {
        &self.edge
    }

    /// What is asked of one request.
    pub(super) fn asked(&self, parts: &Parts) -> std::borrow::Cow<'_, Asked> {
        match &self.asks {
            None => std::borrow::Cow::Borrowed(&self.asked),
            Some(asks) => std::borrow::Cow::Owned(asks(parts, self.asked.clone())),
        }
    }
}

impl<S> Layer<S> for ApiKeyLayer {
    type Service = ApiKeyService<S>;

    fn layer(&self, inner: S) -> ApiKeyService<S> {
        ApiKeyService::new(inner, Arc::new(self.clone()))
    }
}

impl fmt::Debug for ApiKeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyLayer").field("edge", &self.edge).field("asked", &self.asked).finish_non_exhaustive()
    }
}
