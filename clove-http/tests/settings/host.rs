//! A host with the page, and what it answers.

use axum::{Router, body::Body};
use clove_core::{ActiveLimit, CapabilitySet, OperationId, Owner, Policy};
use clove_http::{NotSignedIn, Visitor, pages};
use clove_testkit::Fixture;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use std::future::ready;
use tower::ServiceExt;

pub(crate) const PAGE: &str = "/settings/api-keys";

/// A host whose visitor is always the same.
pub(crate) struct Host {
    pub(crate) fixture: Fixture,
    pub(crate) app: Router,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The value of a hidden field.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.between(&format!(r#"name="{name}" value=""#), "\"")
    }

    pub(crate) fn between(&self, before: &str, after: &str) -> &str {
        let (_, rest) = self.body.split_once(before).unwrap_or_else(|| panic!("{before} is not in {}", self.body));
        rest.split_once(after).unwrap().0
    }

    /// What the menus offer, in the order of the page.
    pub(crate) fn offered(&self) -> Vec<&str> {
        let menus = self.body.split("<details class=\"menu\"").skip(1).map(|menu| menu.split_once("</details>").unwrap().0);
        let items = menus.flat_map(|menu| menu.split("<li>").skip(1));
        items.map(|item| item.split("</").next().unwrap().rsplit('>').next().unwrap()).collect()
    }
}

impl Host {
    pub(crate) fn new(policy: Policy, visitor: impl Fn(&Fixture) -> Visitor) -> Self {
        let fixture = Fixture::new(policy).unwrap();
        let visitor = visitor(&fixture);
        Self::on(fixture, visitor)
    }

    pub(crate) fn on(fixture: Fixture, visitor: Visitor) -> Self {
        let settings = pages::settings(fixture.clove.clone(), move |_| ready(Ok::<_, NotSignedIn>(visitor.clone())));
        Self { fixture, app: Router::new().nest(PAGE, settings) }
    }

    pub(crate) fn of_an_owner(policy: Policy) -> Self {
        Self::new(policy, |fixture| Visitor::new(fixture.owner.clone()))
    }

    pub(crate) fn of_an_administrator(policy: Policy) -> Self {
        let root = Owner::new("acme", "root").unwrap();
        Self::new(policy, move |_| Visitor::new(root.clone()).administrator().may_grant(CapabilitySet::all()))
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(format!("{PAGE}{path}")).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask(posted(path).body(body(fields)).unwrap()).await
    }

    /// Sends the form of a page, as it stands but for these fields.
    pub(crate) async fn create(&self, fields: &[(&str, &str)]) -> Answer {
        let operation = OperationId::new(self.fixture.clove.now()).to_string();
        let mut all = vec![("do", "create"), ("expiry", "90")];
        if !fields.iter().any(|(name, _)| *name == "operation") {
            all.push(("operation", &operation));
        }
        all.retain(|(name, _)| !fields.iter().any(|(given, _)| given == name));
        all.extend(fields);
        self.post("", &all).await
    }

    pub(crate) async fn keys(&self) -> Vec<clove_core::Key> {
        self.fixture.keys().await.unwrap()
    }
}

pub(crate) fn posted(path: &str) -> http::request::Builder {
    Request::post(format!("{PAGE}{path}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "same-origin")
}

pub(crate) fn body(fields: &[(&str, &str)]) -> Body {
    Body::from(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish())
}

/// What the page shows as the secret and the credential.
pub(crate) fn issued(answer: &Answer) -> (String, String) {
    let of = |id: &str| answer.between(&format!(r#"<code id="issued-{id}" translate="no">"#), "<").to_owned();
    (of("secret"), of("credential"))
}

pub(crate) fn unlimited() -> Policy {
    Policy::builder().active_limit(ActiveLimit::Unlimited).build().unwrap()
}
