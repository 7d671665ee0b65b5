//! Who asks for a page or a command: the host knows it from its own session, never from the request's body.

mod same_origin;

use crate::problem::Problem;
use axum_core::response::{IntoResponse, Response};
use clove_core::{By, CapabilitySet, Clove, Error, Owner, Role, Scope};
use http::{StatusCode, request::Parts};
use std::{future::Future, pin::Pin, sync::Arc};

pub use same_origin::require_same_origin;

/// A person, as the host's own session knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    owner: Owner,
    role: Role,
    may_grant: CapabilitySet,
    may_set_limits: bool,
}

impl Visitor {
    /// Who manages its own keys, and may grant nothing. Its account is the actor of the audit trail.
    #[must_use]
    pub fn new(owner: Owner) -> Self {
        Self { owner, role: Role::Owner, may_grant: CapabilitySet::none(), may_set_limits: false }
    }

    /// Who manages all keys of its organization.
    #[must_use]
    pub fn administrator(mut self) -> Self {
        self.role = Role::Administrator;
        self
    }

    /// What this person may give to keys.
    #[must_use]
    pub fn may_grant(mut self, capabilities: CapabilitySet) -> Self {
        self.may_grant = capabilities;
        self
    }

    /// This person may choose request limits.
    #[must_use]
    pub fn may_set_limits(mut self) -> Self {
        self.may_set_limits = true;
        self
    }

    /// The same one at work through an API key: it gives to keys nothing beyond what that key may do, and chooses no request limits.
    #[cfg(feature = "manage")]
    pub(crate) fn within(self, capabilities: &CapabilitySet) -> Self {
        Self { may_grant: self.may_grant.intersection(capabilities), may_set_limits: false, ..self }
    }

    /// Whether this person may choose request limits.
    #[must_use]
    pub fn is_limiter(&self) -> bool {
        self.may_set_limits
    }

    /// Whose own keys are this person's.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// As which role this person looks at keys.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// What this person may give to keys.
    #[must_use]
    pub fn capabilities(&self) -> &CapabilitySet {
        &self.may_grant
    }

    /// Which keys this person may see and change: all of its organization as an administrator, else its own.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self.role {
            Role::Administrator => Scope::Organization(self.owner.organization.clone()),
            Role::Owner => Scope::Owner(self.owner.clone()),
        }
    }

    /// Whether neither this person nor its organization is closed.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn is_open(&self, clove: &Clove) -> Result<bool, Error> {
        Ok(clove.is_open(&self.owner).await? && clove.is_open(&self.owner.organization).await?)
    }

    /// This person as the actor of a command, for a reason.
    ///
    /// # Errors
    /// If the reason is not 1 to 500 visible characters.
    pub fn by(&self, reason: &str) -> Result<By, Error> {
        let by = By::new(self.owner.account.as_str(), reason)?.may_grant(self.may_grant.clone()).role(self.role);
        Ok(if self.may_set_limits { by.may_set_limits() } else { by })
    }
}

/// Nobody is signed in: the answer of a host that has no page to send them to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSignedIn;

impl IntoResponse for NotSignedIn {
    fn into_response(self) -> Response {
        Problem::new(StatusCode::UNAUTHORIZED, "not-signed-in", "Nobody is signed in", "Sign in first.").into_response()
    }
}

type Found = Pin<Box<dyn Future<Output = Result<Visitor, Response>> + Send>>;

/// The host's closure: request to who is asking.
#[derive(Clone)]
pub(crate) struct Visitors(Arc<dyn Fn(Parts) -> Found + Send + Sync>);

impl Visitors {
    pub(crate) fn new<A, R>(ask: impl Fn(Parts) -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Result<Visitor, R>> + Send + 'static,
        R: IntoResponse,
    {
        Self(Arc::new(move |parts| {
            let asked = ask(parts);
            Box::pin(async move { asked.await.map_err(IntoResponse::into_response) })
        }))
    }

    /// Who sent a request.
    pub(crate) async fn of(&self, parts: &Parts) -> Result<Visitor, Response> {
        (self.0)(parts.clone()).await
    }
}

impl std::fmt::Debug for Visitors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Visitors(..)")
    }
}
