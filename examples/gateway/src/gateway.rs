//! The way of a request: its key, its body, the usage policy, the upstream.

use crate::{
    answer::Answer,
    asks::Asks,
    body::{self, Coming},
    headers,
    meter::{Meter, Seen, Tokens, Units, estimate},
    organizations::{Objection, Organizations},
    upstream::{NoAnswer, Upstream},
};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use clove::{Grant, KeyId, OrganizationId};
use clove_http::{AnthropicError, Asked, Edge, Presented, REQUEST_ID, Refused};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use std::{error::Error, sync::Arc, time::Duration};

const GATEWAY_REQUEST_ID: HeaderName = HeaderName::from_static("gateway-request-id");

/// In seconds.
const RETRY_SHORTLY: HeaderValue = HeaderValue::from_static("2");

/// What the requests of the API share. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) edge: Edge,
    pub(crate) upstream: Upstream,
    pub(crate) organizations: Arc<Organizations>,
    pub(crate) units: Arc<Units>,
    /// How long the upstream may be silent in an answer that it has begun.
    pub(crate) silence: Duration,
}

/// A request that goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Because of its key.
    Key(Refused),
    /// Because of what it asks, or of the upstream.
    Other(AnthropicError),
}

/// A request whose key has been looked at, and its body read.
struct Opened {
    presented: Presented,
    organization: OrganizationId,
    body: Bytes,
}

impl Gateway {
    /// `POST /v1/messages`.
    pub(crate) async fn message(&self, parts: &mut Parts, body: Coming, asked: &Asked) -> Result<Response, Stop> {
        let Opened { presented, organization, body } = self.open(parts, body, asked).await?;
        let most = match self.most(&organization, &body) {
            Ok(most) => most,
            Err(objection) => return Err(self.object(&presented, asked, objection).await),
        };
        let asked = asked.clone().reserving(self.units.tokens.clone(), most.total());
        let grant = self.edge.verify(&presented, &asked).await?;
        let mut meter = Meter::new(self.edge.clove().clone(), grant.clone(), Arc::clone(&self.units), most);
        let answer = match self.ask(parts, body).await {
            Ok(answer) => answer,
            Err(error) => {
                if error.costs_nothing() {
                    meter.seen = Seen::Failure;
                }
                return Err(Stop::from(error).of_grant(&grant));
            }
        };
        meter.seen = match answer.status().is_success() {
            false => Seen::Failure,
            true if is_stream(answer.headers()) => Seen::Stream(Box::default()),
            true => Seen::Plain(Vec::new()),
        };
        let is_stream = meter.seen.is_stream();
        let mut answer = answer.map(|upstream| Body::new(Answer::metered(upstream, meter, self.silence)));
        if is_stream {
            // It may end with an event of ours.
            answer.headers_mut().remove(header::CONTENT_LENGTH);
        }
        Ok(self.pass(answer, &grant))
    }

    /// `POST /v1/messages/count_tokens`, which uses no tokens.
    pub(crate) async fn count_tokens(&self, parts: &mut Parts, body: Coming, asked: &Asked) -> Result<Response, Stop> {
        let Opened { presented, organization, body } = self.open(parts, body, asked).await?;
        if let Err(objection) = self.may_use(&organization, &body) {
            return Err(self.object(&presented, asked, objection).await);
        }
        let grant = self.edge.verify(&presented, asked).await?;
        let answer = self.ask(parts, body).await.map_err(|error| Stop::from(error).of_grant(&grant))?;
        let answer = answer.map(|upstream| Body::new(self.unmetered(upstream, &grant)));
        Ok(self.pass(answer, &grant))
    }

    /// The most that a request may use, if it is within the policy of its organization.
    fn most(&self, organization: &OrganizationId, body: &[u8]) -> Result<Tokens, Stop> {
        let asks = Asks::read(body)?;
        let output = asks.max_tokens()?;
        self.organizations.check(organization, &asks.model, Some(output))?;
        Ok(Tokens { input: estimate(body.len()), output })
    }

    fn may_use(&self, organization: &OrganizationId, body: &[u8]) -> Result<(), Stop> {
        Ok(self.organizations.check(organization, &Asks::read(body)?.model, None)?)
    }

    /// Looks at the key before a byte of the body is kept: a stranger has nothing kept. It is neither counted nor logged yet, since it is
    /// verified again when it is known what it asks.
    async fn open(&self, parts: &mut Parts, body: Coming, asked: &Asked) -> Result<Opened, Stop> {
        let (presented, key, organization) = match self.look(parts, asked).await {
            Ok(known) => known,
            Err(refused) => {
                body::discard(&parts.headers, body).await;
                return Err(refused.into());
            }
        };
        match body::read(&parts.headers, body, key).await {
            Ok(body) => Ok(Opened { presented, organization, body }),
            Err(objection) => Err(self.object(&presented, asked, objection.into()).await),
        }
    }

    async fn look(&self, parts: &mut Parts, asked: &Asked) -> Result<(Presented, KeyId, OrganizationId), Refused> {
        let presented = self.edge.take(&parts.uri, &mut parts.headers)?;
        let grant = self.edge.verify(&presented, &asked.clone().looking_ahead()).await?;
        Ok((presented, grant.key_id(), grant.owner().organization.clone()))
    }

    /// A request that the gateway itself objects to counts and is logged as one, unless its key is refused by now.
    async fn object(&self, presented: &Presented, asked: &Asked, objection: Stop) -> Stop {
        match self.edge.verify(presented, asked).await {
            Ok(grant) => objection.of_grant(&grant),
            Err(refused) => refused.into(),
        }
    }

    /// Asks the upstream for what has no body.
    pub(crate) async fn get(&self, path: &str, request: &HeaderMap, grant: &Grant) -> Result<Response<Answer>, Stop> {
        let answer = self.upstream.send(Method::GET, path, headers::to_upstream(request), Bytes::new()).await?;
        Ok(answer.map(|upstream| self.unmetered(upstream, grant)))
    }

    async fn ask(&self, parts: &Parts, body: Bytes) -> Result<Response<Incoming>, NoAnswer> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        self.upstream.send(Method::POST, path, headers::to_upstream(&parts.headers), body).await
    }

    /// The body of an answer that uses no tokens.
    fn unmetered(&self, upstream: Incoming, grant: &Grant) -> Answer {
        Answer::of(upstream, self.edge.clove().clone(), grant.clone(), self.silence)
    }

    /// An answer as the client gets it.
    pub(crate) fn pass(&self, mut answer: Response, grant: &Grant) -> Response {
        headers::to_client(answer.headers_mut());
        // The upstream's id is in its answer, and what its support asks for; the access log has ours.
        let upstreams_id = answer.headers_mut().remove(REQUEST_ID);
        self.edge.granted(grant, answer.headers_mut());
        if let Some(ours) = upstreams_id.and_then(|id| answer.headers_mut().insert(REQUEST_ID, id)) {
            answer.headers_mut().insert(GATEWAY_REQUEST_ID, ours);
        }
        answer
    }

    /// The response to a request that goes no further.
    pub(crate) fn stop(&self, stop: &Stop, request: &HeaderMap) -> Response {
        let mut response = match stop {
            Stop::Key(refused) => self.edge.refuse(refused, request),
            Stop::Other(error) => error.to_response(),
        };
        if response.status() == body::OVERLOADED {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_SHORTLY);
        }
        response.map(Body::from)
    }
}

/// Whether an answer is a stream of events.
fn is_stream(headers: &HeaderMap) -> bool {
    let essence = |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b';').next().map(<[u8]>::to_ascii_lowercase);
    headers.get(header::CONTENT_TYPE).and_then(essence).is_some_and(|essence| essence.trim_ascii() == b"text/event-stream")
}

fn unreachable(status: StatusCode) -> AnthropicError {
    AnthropicError::new(status, "The gateway gets no answer from the model service. Try again shortly.")
}

impl Stop {
    /// The same under the request id that the access log has.
    pub(crate) fn of_grant(self, grant: &Grant) -> Self {
        match self {
            Self::Key(refused) => Self::Key(refused),
            Self::Other(error) => Self::Other(error.of_grant(grant)),
        }
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Key(refused)
    }
}

impl From<AnthropicError> for Stop {
    fn from(error: AnthropicError) -> Self {
        Self::Other(error)
    }
}

impl From<Objection> for Stop {
    fn from(objection: Objection) -> Self {
        let status = match objection {
            Objection::NoPolicy | Objection::Model { .. } => StatusCode::FORBIDDEN,
            Objection::MaxTokens { .. } => StatusCode::BAD_REQUEST,
        };
        AnthropicError::new(status, objection.to_string()).into()
    }
}

impl From<NoAnswer> for Stop {
    fn from(error: NoAnswer) -> Self {
        let source = error.source().map(ToString::to_string);
        tracing::error!(%error, source, "the upstream gave no answer");
        unreachable(match error {
            NoAnswer::Late(_) => StatusCode::GATEWAY_TIMEOUT,
            NoAnswer::Unreachable(_) | NoAnswer::Unspeakable(_) | NoAnswer::Redirect(_) => StatusCode::BAD_GATEWAY,
        })
        .into()
    }
}
