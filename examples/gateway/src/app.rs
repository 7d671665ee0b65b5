//! All that is served at the gateway's address: the API for programs, and pages for people.

use crate::{
    api::{self, MESSAGES_WRITE, MODELS_READ},
    gateway::Gateway,
    hosts::Hosts,
    keys::capabilities,
    organizations::Organizations,
    sign_in::{self, SignIn},
};
use axum::{
    Router,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use clove::{AccountId, Capability, CapabilitySet, Clove, Invalid, OrganizationId};
use clove_http::{
    NotSignedIn, Problem, Visitor, manage,
    pages::{Member, Offered, Settings, Site, Team},
};
use http::{HeaderMap, StatusCode, request::Parts};
use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
};

/// The settings page.
pub(crate) const SETTINGS: &str = "/settings/api-keys";
/// The team page, for administrators.
pub(crate) const TEAM: &str = "/team";

/// The management API, for programs in a person's session.
const MANAGEMENT: &str = "/api";

type Asking = Pin<Box<dyn Future<Output = Result<Visitor, Response>> + Send>>;

/// The whole router.
pub(crate) fn router(gateway: Gateway, sign_in: SignIn, hosts: Hosts) -> Result<Router, Invalid> {
    let clove = gateway.edge.clove().clone();
    let management = manage::router(clove.clone(), who(&clove, &sign_in, NotSignedIn)?);
    let people = Router::new()
        .nest(MANAGEMENT, management)
        .nest(SETTINGS, settings(clove.clone(), &sign_in)?)
        .nest(TEAM, team(clove, &sign_in)?)
        .merge(sign_in::router(sign_in))
        .merge(without_slashes())
        .layer(hosts.layer());
    Ok(api::router(gateway)?.merge(people).fallback(|| async { (StatusCode::NOT_FOUND, "There is nothing here.") }))
}

/// The pages are also found by who types a slash too much.
fn without_slashes() -> Router {
    let to = |page| get(move || async move { Redirect::permanent(page) });
    [SETTINGS, TEAM].into_iter().fold(Router::new(), |router, page| router.route(&format!("{page}/"), to(page)))
}

fn settings(clove: Clove, sign_in: &SignIn) -> Result<Router, Invalid> {
    let offered = [
        Offered::new(Capability::new(MESSAGES_WRITE)?, "Send messages to models"),
        Offered::new(Capability::new(MODELS_READ)?, "List models"),
    ];
    Ok(Settings::new(clove.clone(), who(&clove, sign_in, to_sign_in())?).site(site()).offer(offered).into_router())
}

fn team(clove: Clove, sign_in: &SignIn) -> Result<Router, Invalid> {
    let organizations = Arc::clone(&sign_in.organizations);
    let members = move |id: OrganizationId| ready(members(&organizations, &id));
    Ok(Team::new(clove.clone(), who(&clove, sign_in, to_sign_in())?, members).site(site()).into_router())
}

fn site() -> Site {
    Site::new("AI gateway", SETTINGS)
        .link("API keys", SETTINGS)
        .link_for_administrators("Team", TEAM)
        .link("Switch person", sign_in::PATH)
}

fn to_sign_in() -> Redirect {
    Redirect::to(sign_in::PATH)
}

/// Who is asking, by the session; whoever has none gets the answer. Who was cut off could let itself in again, if its session were of use.
fn who<R>(clove: &Clove, sign_in: &SignIn, otherwise: R) -> Result<impl Fn(Parts) -> Asking + Send + Sync + use<R>, Invalid>
where
    R: IntoResponse + Clone + Send + Sync + 'static,
{
    let (clove, sign_in, may_grant) = (clove.clone(), sign_in.clone(), capabilities()?);
    Ok(move |request: Parts| -> Asking {
        let visitor = visitor(&sign_in, &may_grant, &request.headers).ok_or_else(|| otherwise.clone().into_response());
        let clove = clove.clone();
        Box::pin(async move {
            let visitor = visitor?;
            match visitor.is_open(&clove).await {
                Ok(true) => Ok(visitor),
                Ok(false) => {
                    let detail = "You are cut off here. An administrator of your organization can let you in again.";
                    Err(Problem::new(StatusCode::FORBIDDEN, "cut-off", "You are cut off", detail).into_response())
                }
                Err(error) => Err(Problem::from(error).into_response()),
            }
        })
    })
}

/// The people of an organization, as they are now.
fn members(organizations: &Organizations, id: &OrganizationId) -> Result<Vec<Member>, Invalid> {
    let organization = organizations.iter().find(|one| one.id() == id.as_str());
    let people = organization.into_iter().flat_map(|one| &one.people);
    people.map(|person| Ok(Member::new(AccountId::new(&person.id)?, &person.name))).collect()
}

/// Limits and budgets are the operator's, so that nobody in an organization lifts its usage policy.
fn visitor(sign_in: &SignIn, may_grant: &CapabilitySet, request: &HeaderMap) -> Option<Visitor> {
    let owner = sign_in.sessions.of(request)?;
    let (_, person) = sign_in.organizations.person(owner.organization.as_str(), owner.account.as_str())?;
    let visitor = Visitor::new(owner).may_grant(may_grant.clone());
    Some(if person.administrator { visitor.administrator() } else { visitor })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{meter::Units, organizations::DEMO, sessions::Sessions, upstream::Upstream};
    use axum::body::Body;
    use clove::{MemoryStore, Owner, Policy};
    use clove_http::Edge;
    use http::{Request, header};
    use http_body_util::BodyExt as _;
    use std::time::Duration;
    use tower_service::Service as _;

    /// What a person of Acme is answered.
    async fn answer(person: &str, path: &str) -> Response {
        let organizations = Arc::new(Organizations::read(DEMO).unwrap());
        let sessions = Sessions::new(false);
        let cookie = sessions.begin(Owner::new("acme", person).unwrap()).unwrap();
        let gateway = Gateway {
            edge: Edge::new(Clove::new(MemoryStore::new(), Policy::profile_a())),
            upstream: Upstream::new("http://127.0.0.1:9".parse().unwrap(), "none", Duration::ZERO).unwrap(),
            organizations: Arc::clone(&organizations),
            units: Arc::new(Units::new().unwrap()),
            silence: Duration::ZERO,
        };
        let mut app =
            router(gateway, SignIn { organizations, sessions }, Hosts::new(([127, 0, 0, 1], 8080).into(), None)).unwrap();
        let request =
            Request::get(path).header(header::HOST, "localhost:8080").header(header::COOKIE, cookie).body(Body::empty()).unwrap();
        app.call(request).await.unwrap()
    }

    #[tokio::test]
    async fn only_administrators_are_shown_the_way_to_the_team_page() {
        for (person, is_shown) in [("ada", true), ("grace", false)] {
            let page = answer(person, SETTINGS).await.into_body().collect().await.unwrap().to_bytes();
            let page = String::from_utf8(page.to_vec()).unwrap();
            assert!(page.contains(r#"href="/sign-in""#), "{person}: {page}");
            assert_eq!(page.contains(r#"href="/team""#), is_shown, "{person}");
        }
        assert_eq!(answer("grace", TEAM).await.status(), StatusCode::FORBIDDEN);
    }

    #[tokio::test]
    async fn a_slash_too_much_leads_to_the_page_all_the_same() {
        for (path, page) in [("/team/", TEAM), ("/settings/api-keys/", SETTINGS)] {
            let answer = answer("ada", path).await;
            assert_eq!(
                (answer.status(), answer.headers()[header::LOCATION].as_bytes()),
                (StatusCode::PERMANENT_REDIRECT, page.as_bytes())
            );
        }
    }
}
