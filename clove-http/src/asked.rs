//! What a request is verified for.

use crate::presented::Presented;
use clove_core::{Attempt, EndpointLabel, Invalid, Requirement, Unit};

/// What a request requires of its key, and what it takes: [`Attempt`] without a credential, to be kept beside a route.
#[derive(Clone, Debug)]
pub struct Asked {
    required: Requirement,
    cost: u64,
    endpoint: Option<EndpointLabel>,
    reserving: Option<(Unit, u64)>,
    peer: Box<str>,
}

impl Default for Asked {
    /// [`Asked::new`].
    fn default() -> Self {
        Self::new()
    }
}

impl Asked {
    /// Requires a valid key and no capability, and takes one place of each window.
    #[must_use]
    pub fn new() -> Self {
        Self { required: Requirement::none(), cost: 1, endpoint: None, reserving: None, peer: Box::default() }
    }

    /// Requires this capability as well.
    ///
    /// # Errors
    /// If it is no name of a capability, or has a wildcard.
    pub fn require(mut self, capability: impl AsRef<str>) -> Result<Self, Invalid> {
        self.required = self.required.and(capability)?;
        Ok(self)
    }

    /// How many places of each window a request takes; see [`Attempt::costing`].
    #[must_use]
    pub fn cost(mut self, places: u64) -> Self {
        self.cost = places;
        self
    }

    /// Its label in the access log.
    #[must_use]
    pub fn at_endpoint(mut self, label: EndpointLabel) -> Self {
        self.endpoint = Some(label);
        self
    }

    /// How much of a unit it may use, to be settled by [`clove_core::Clove::settle`]; see [`Attempt::reserving`].
    #[must_use]
    pub fn reserving(mut self, unit: Unit, amount: u64) -> Self {
        self.reserving = Some((unit, amount));
        self
    }

    /// Who sends it, in the host's terms, such as its network address; see [`Attempt::from_peer`].
    #[must_use]
    pub fn from_peer(mut self, label: impl Into<Box<str>>) -> Self {
        self.peer = label.into();
        self
    }

    pub(crate) fn attempt<'a>(&'a self, presented: &'a Presented) -> Attempt<'a> {
        let mut attempt = Attempt::new(presented.as_bytes()).requiring(&self.required).costing(self.cost).from_peer(&self.peer);
        if let Some(label) = &self.endpoint {
            attempt = attempt.at_endpoint(label);
        }
        if let Some((unit, amount)) = &self.reserving {
            attempt = attempt.reserving(unit, *amount);
        }
        attempt
    }
}
