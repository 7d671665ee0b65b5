//! Signing in, as the demonstration has it: whoever comes picks a person. A host has its own sessions in this place.

use crate::{app::SETTINGS, organizations::Organizations, sessions::Sessions};
use axum::{
    Form, Router,
    extract::State,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use clove::Owner;
use clove_http::require_same_origin;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// Where one signs in.
pub(crate) const PATH: &str = "/sign-in";
const SIGN_OUT: &str = "/sign-out";
const STYLE: &str = include_str!("sign_in.css");
const ICON: &str = include_str!("icon.svg");

#[derive(Clone, Debug)]
pub(crate) struct SignIn {
    pub(crate) organizations: Arc<Organizations>,
    pub(crate) sessions: Sessions,
}

#[derive(Deserialize)]
struct Choice {
    organization: String,
    person: String,
}

/// The page, and what its buttons do.
pub(crate) fn router(sign_in: SignIn) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::to(SETTINGS) }))
        .route(PATH, get(page).post(begin))
        .route("/sign-in.css", get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }))
        .route("/icon.svg", get(|| async { ([(header::CONTENT_TYPE, "image/svg+xml")], ICON) }))
        .route(SIGN_OUT, post(end))
        .with_state(sign_in)
}

async fn page(State(sign_in): State<SignIn>, request: HeaderMap) -> Response {
    let headers = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::CACHE_CONTROL, "no-store"),
        // Not `no-referrer`: with it a browser sends `Origin: null` with forms, and those are refused.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let signed_in = sign_in.sessions.of(&request);
    (headers, Html(choose(&sign_in.organizations, signed_in.as_ref()).into_string())).into_response()
}

fn choose(organizations: &Organizations, signed_in: Option<&Owner>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Sign in - AI gateway" }
                link rel="icon" type="image/svg+xml" href="/icon.svg";
                link rel="stylesheet" href="/sign-in.css";
            }
            body {
                main {
                    h1 { "Who are you?" }
                    @if let Some(owner) = signed_in {
                        form method="post" action=(SIGN_OUT) {
                            p { "You are signed in as " (owner.account.as_str()) " of " (owner.organization.as_str()) "." }
                            button { "Sign out" }
                        }
                    }
                    p { "This is a demonstration: pick somebody. A real gateway asks for proof." }
                    @for organization in organizations.iter() {
                        section aria-labelledby={ "organization-" (organization.id()) } {
                            h2 id={ "organization-" (organization.id()) } { (organization.name) }
                            form method="post" action=(PATH) {
                                input type="hidden" name="organization" value=(organization.id());
                                @for person in &organization.people {
                                    button name="person" value=(person.id) {
                                        (person.name)
                                        @if person.administrator { " " small { "Administrator" } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

async fn begin(State(sign_in): State<SignIn>, request: Parts, Form(choice): Form<Choice>) -> Response {
    // Another site is to sign nobody in or out.
    if let Err(problem) = require_same_origin(&request) {
        return problem.into_response();
    }
    let found = sign_in.organizations.person(&choice.organization, &choice.person);
    let Some(owner) = found.and_then(|(organization, person)| organization.owner(person).ok()) else {
        return (StatusCode::NOT_FOUND, "There is nobody of that name here.").into_response();
    };
    redirect(sign_in.sessions.begin(owner), SETTINGS)
}

async fn end(State(sign_in): State<SignIn>, request: Parts) -> Response {
    if let Err(problem) = require_same_origin(&request) {
        return problem.into_response();
    }
    redirect(sign_in.sessions.end(&request.headers), PATH)
}

fn redirect(cookie: Result<HeaderValue, String>, to: &str) -> Response {
    match cookie {
        Ok(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response(),
        Err(error) => {
            tracing::error!(error, "nobody could be signed in");
            (StatusCode::SERVICE_UNAVAILABLE, "Nobody can sign in just now. Try again shortly.").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::organizations::DEMO;
    use axum::body::Body;
    use http::Request;
    use tower_service::Service as _;

    /// What signing in as Grace is answered, sent with these headers.
    async fn signing_in(headers: &[(&'static str, &'static str)]) -> Response {
        let organizations = Arc::new(Organizations::read(DEMO).unwrap());
        let mut app = router(SignIn { organizations, sessions: Sessions::new(false) });
        let request = headers.iter().fold(Request::post(PATH), |request, (name, value)| request.header(*name, *value));
        let request = request.header("host", "keys.example").header("content-type", "application/x-www-form-urlencoded");
        app.call(request.body(Body::from("organization=acme&person=grace")).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_page_of_another_site_signs_nobody_in() {
        for forged in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("origin", "null")] {
            let answer = signing_in(&[forged]).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{forged:?}");
            assert!(!answer.headers().contains_key(header::SET_COOKIE), "{forged:?}");
        }
    }

    #[tokio::test]
    async fn the_page_itself_signs_in_by_browsers_old_and_new() {
        for own in [("sec-fetch-site", "same-origin"), ("origin", "http://keys.example")] {
            let answer = signing_in(&[own]).await;
            assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{own:?}");
            assert!(answer.headers().contains_key(header::SET_COOKIE), "{own:?}");
        }
    }
}
