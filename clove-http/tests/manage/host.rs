//! A host of the API, and requests to it.

use crate::conformance;
use axum::{Router, body::Body};
use bytes::Bytes;
use clove_core::{By, CapabilitySet, Clove, NewKey, Owner, Policy};
use clove_http::{NotSignedIn, Visitor, manage::Management};
use clove_testkit::Fixture;
use http::{HeaderMap, Request, StatusCode, request::Parts};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

/// The API under `/api`, for whoever the header `test-user` names: `organization/account`, and `/administrator`.
pub(crate) struct Host {
    pub(crate) fixture: Fixture,
    pub(crate) app: Router,
}

/// Whom a host's session would tell.
pub(crate) async fn who(parts: Parts) -> Result<Visitor, NotSignedIn> {
    let user = parts.headers.get("test-user").and_then(|user| user.to_str().ok()).ok_or(NotSignedIn)?;
    let mut words = user.split('/');
    let owner = Owner::new(words.next().unwrap_or_default(), words.next().unwrap_or_default()).map_err(|_| NotSignedIn)?;
    let visitor = Visitor::new(owner).may_grant(CapabilitySet::new(["models:read", "messages:*"]).unwrap());
    Ok(match words.next() {
        Some("administrator") => visitor.administrator().may_set_limits(),
        _ => visitor,
    })
}

impl Host {
    pub(crate) fn new(policy: Policy) -> Self {
        Self::on(Fixture::new(policy).unwrap())
    }

    pub(crate) fn on(fixture: Fixture) -> Self {
        let router = Management::new(fixture.clove.clone(), who).router();
        Self { app: Router::new().nest("/api", router), fixture }
    }

    pub(crate) fn clove(&self) -> &Clove {
        &self.fixture.clove
    }

    /// A request by `acme/ada`, unless it says otherwise.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        let request = Request::builder().method(method).uri(format!("/api{path}"));
        Ask { app: self.app.clone(), request, user: Some("acme/ada".to_owned()), body: Vec::new() }
    }

    /// An active key of an owner, made behind the API's back.
    pub(crate) async fn key_of(&self, organization: &str, account: &str) -> clove_core::Issued {
        let owner = Owner::new(organization, account).unwrap();
        self.clove().create(&owner, NewKey::named("laptop").unwrap(), &By::new("test", "set up").unwrap()).await.unwrap()
    }
}

pub(crate) struct Ask {
    app: Router,
    request: http::request::Builder,
    user: Option<String>,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn by(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    pub(crate) fn by_nobody(mut self) -> Self {
        self.user = None;
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request = self.request.header(name, value.as_ref());
        self
    }

    pub(crate) fn extension(mut self, extension: impl Clone + Send + Sync + 'static) -> Self {
        self.request = self.request.extension(extension);
        self
    }

    pub(crate) fn json(self, body: Value) -> Self {
        self.text(body.to_string())
    }

    pub(crate) fn text(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", "application/json")
    }

    pub(crate) fn bytes(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn send(mut self) -> Answer {
        if let Some(user) = self.user {
            self.request = self.request.header("test-user", user);
        }
        let request = self.request.body(Body::from(self.body)).unwrap();
        let (method, path) = (request.method().to_string(), request.uri().to_string());
        let (parts, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(parts.headers["cache-control"], "no-store");
        if !parts.status.is_success() {
            assert_eq!(parts.headers["content-type"], "application/problem+json", "{} {body:?}", parts.status);
        }
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        conformance::check(document(self.app).await, &method, path.strip_prefix("/api").unwrap(), &answer);
        answer
    }
}

/// The same for every host here.
async fn document(app: Router) -> &'static Value {
    static DOCUMENT: tokio::sync::OnceCell<Value> = tokio::sync::OnceCell::const_new();
    DOCUMENT
        .get_or_init(|| async move {
            let request = Request::get("/api/openapi.json").body(Body::empty()).unwrap();
            serde_json::from_slice(&app.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()).unwrap()
        })
        .await
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The end of a problem's type.
    pub(crate) fn problem(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        (self.status.as_u16(), json["type"].as_str().unwrap().strip_prefix("urn:clove:problem:").unwrap().to_owned())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        self
    }
}
