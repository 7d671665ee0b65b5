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
// Behind one pointer: a router that has no state yet lays its layers anew around each request.
#[derive(Clone)]
pub struct ApiKeyLayer {
    rules: Arc<Rules>,
}

/// Who verifies, and what for.
#[derive(Clone)]
pub(super) struct Rules {
    edge: Edge,
    asked: Asked,
    asks: Option<Asks>,
}

impl ApiKeyLayer {
    /// Requires a valid key.
    #[must_use]
    pub fn new(edge: Edge) -> Self {
        Self { rules: Arc::new(Rules { edge, asked: Asked::new(), asks: None }) }
    }

    /// Requires this capability as well.
    ///
    /// # Errors
    /// If it is no name of a capability, or has a wildcard.
    pub fn require(self, capability: impl AsRef<str>) -> Result<Self, Invalid> {
        let asked = self.rules.asked.clone().require(capability)?;
        Ok(self.asking(asked))
    }

    /// How many places of each of its windows a request takes; 1 unless said.
    #[must_use]
    pub fn cost(self, places: u64) -> Self {
        let asked = self.rules.asked.clone().cost(places);
        self.asking(asked)
    }

    /// The label of these routes in the access log.
    #[must_use]
    pub fn at_endpoint(self, label: EndpointLabel) -> Self {
        let asked = self.rules.asked.clone().at_endpoint(label);
        self.asking(asked)
    }

    /// What is asked of each request by itself, such as a cost by its route or who sends it: the closure is shown the request's head, its
    /// credential already taken out, and changes what the layer asks of all.
    #[must_use]
    pub fn ask(mut self, asks: impl Fn(&Parts, Asked) -> Asked + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.rules).asks = Some(Arc::new(asks));
        self
    }

    fn asking(mut self, asked: Asked) -> Self {
        Arc::make_mut(&mut self.rules).asked = asked;
        self
    }
}

impl Rules {
    pub(super) fn edge(&self) -> &Edge {
        &self.edge
    }

    /// What is asked of all requests.
    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// What is asked of one, where it is each by itself.
    pub(super) fn asks(&self) -> Option<impl FnOnce(&Parts) -> Asked + '_> {
        let asks = self.asks.as_ref()?;
        Some(|parts: &Parts| asks(parts, self.asked.clone()))
    }
}

impl<S> Layer<S> for ApiKeyLayer {
    type Service = ApiKeyService<S>;

    fn layer(&self, inner: S) -> ApiKeyService<S> {
        ApiKeyService::new(inner, Arc::clone(&self.rules))
    }
}

impl fmt::Debug for ApiKeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.rules, f)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyLayer").field("edge", &self.edge).field("asked", &self.asked).finish_non_exhaustive()
    }
}
