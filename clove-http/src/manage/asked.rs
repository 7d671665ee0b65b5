//! A request, with who sent it.

use super::{Management, body, headers, presented, shape::KeyBody};
use crate::{problem::Problem, visitor::Visitor, visitor::require_same_origin};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request},
    response::{IntoResponse, Response},
};
use clove_core::{AccountId, By, Clove, Error, Key, KeyId, OperationId, OrganizationId, Owner, Refusal, Role, Scope};
use http::{StatusCode, request::Parts};
use serde::de::DeserializeOwned;
use std::{future::Future, sync::Arc};

/// What every handler is given: whoever may not ask has been answered by then.
pub(super) struct Asked {
    pub(super) clove: Clove,
    pub(super) visitor: Visitor,
    parts: Parts,
    params: Vec<(String, String)>,
    body: Body,
}

impl FromRequest<Arc<Management>> for Asked {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<Management>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        require_same_origin(&parts).map_err(IntoResponse::into_response)?;
        let key = presented::look(&parts, state.clove.policy());
        let key = key.admitted(state.allows_keys).map_err(IntoResponse::into_response)?;
        let visitor = state.visitors.of(&parts).await?;
        let visitor = key.into_iter().fold(visitor, |visitor, grant| visitor.within(grant.capabilities()));
        // Those that are no text name nothing.
        let params = RawPathParams::from_request_parts(&mut parts, state)
            .await
            .map_or(Vec::new(), |params| params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        Ok(Self { clove: state.clove.clone(), visitor, parts, params, body })
    }
}

impl Asked {
    /// A part of the path; where a host's own path has one of this name, the last.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().rev().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The key that the path names. What is no id is that of no key.
    pub(super) fn key_id(&self) -> Result<KeyId, Problem> {
        let id = self.param("id").and_then(|id| KeyId::parse(id).ok());
        id.ok_or_else(|| (&Refusal::NotFound).into())
    }

    /// What the query says.
    pub(super) fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        Query::try_from_uri(&self.parts.uri).map(|Query(query)| query).map_err(|error| body::bad_query(&error))
    }

    /// How far this visitor reaches, or, where an account is named, that account's keys within it.
    pub(super) fn scope(&self, account: Option<&str>) -> Result<Scope, Problem> {
        let scope = self.visitor.scope();
        let Some(account) = account else { return Ok(scope) };
        let account = AccountId::new(account).map_err(|_| body::bad_value("account"))?;
        let owner = Owner { organization: scope.organization().clone(), account };
        if scope.holds(&owner) { Ok(Scope::Owner(owner)) } else { Err(administrators_only()) }
    }

    /// The organization that an administrator administers.
    pub(super) fn administered(&self) -> Result<&OrganizationId, Problem> {
        match self.visitor.role() {
            Role::Administrator => Ok(&self.visitor.owner().organization),
            Role::Owner => Err(administrators_only()),
        }
    }

    /// A key as the visitor is told of it.
    pub(super) fn told(&self, key: &Key) -> KeyBody {
        KeyBody::new(&self.clove, self.visitor.role(), key)
    }

    /// The member of an administrator's organization that the path names. Whether there is one the host knows, and not clove.
    pub(super) fn member(&self) -> Result<Owner, Problem> {
        let organization = self.administered()?.clone();
        let account = self.param("account").and_then(|account| AccountId::new(account).ok());
        let detail = "An account has 1 to 256 bytes without white space.";
        let none = || Problem::new(StatusCode::NOT_FOUND, "no-such-path", "There is no such path", detail);
        Ok(Owner { organization, account: account.ok_or_else(none)? })
    }

    /// The body, which must be JSON.
    pub(super) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        body::require_json(&self.parts.headers)?;
        body::parse(&self.bytes().await?)
    }

    /// The body, which must be JSON where there is one.
    pub(super) async fn json_if_any<T: DeserializeOwned + Default>(&mut self) -> Result<T, Problem> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() {
            return Ok(T::default());
        }
        body::require_json(&self.parts.headers)?;
        body::parse(&bytes)
    }

    async fn bytes(&mut self) -> Result<Bytes, Problem> {
        // The limit of the router's layer is among the extensions.
        let request = Request::from_parts(self.parts.clone(), std::mem::take(&mut self.body));
        Bytes::from_request(request, &()).await.map_err(|error| body::unread(error.status()))
    }

    /// The revision that the visitor has seen.
    pub(super) fn revision(&self) -> Result<u64, Problem> {
        headers::revision(&self.parts.headers)
    }

    /// The visitor as the actor of a command that has no `Idempotency-Key`.
    pub(super) fn by(&self) -> Result<Order, Problem> {
        self.order(None)
    }

    /// The visitor as the actor of a command that may be a repetition.
    pub(super) fn by_once(&self, command: &str) -> Result<Order, Problem> {
        self.order(headers::operation(&self.parts.headers, self.visitor.owner(), command)?)
    }

    fn order(&self, known: Option<OperationId>) -> Result<Order, Problem> {
        let reason = headers::reason(&self.parts.headers)?;
        let by = self.visitor.by(&reason).map_err(|_| headers::bad_reason())?;
        // Without one of the client's the core gives it one that nobody can have used before: what is refused then, is refused sooner.
        Ok(match known {
            Some(known) => Order { by: by.operation(known), is_repeatable: true },
            None => Order { by, is_repeatable: false },
        })
    }
}

fn administrators_only() -> Problem {
    let detail = "Only an administrator of the organization may do this. Ask one.";
    Problem::new(StatusCode::FORBIDDEN, "administrators-only", "This is for administrators", detail)
}

/// By whom a command is given, and under which operation id.
pub(super) struct Order {
    by: By,
    /// Whether the client can repeat it itself.
    is_repeatable: bool,
}

impl Order {
    /// Gives the command. Where nobody can say whether it was carried out, and the client has no way to ask again, asks once more.
    pub(super) async fn give<T, F>(self, command: impl Fn(By) -> F) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let answer = match command(self.by.clone()).await {
            Err(Error::OutcomeUnknown { operation, .. }) if !self.is_repeatable => command(self.by.operation(operation)).await,
            answer => answer,
        };
        answer.map_err(Problem::from)
    }
}
