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
};
use clove::{AccountId, Capability, CapabilitySet, Clove, Invalid, OrganizationId, Owner};
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
        .layer(hosts.layer());
    Ok(api::router(gateway)?.merge(people).fallback(|| async { (StatusCode::NOT_FOUND, "There is nothing here.") }))
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
    Site::new("AI gateway", SETTINGS).link("API keys", SETTINGS).link("Team", TEAM).link("Switch person", sign_in::PATH)
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
            match is_open(&clove, visitor.owner()).await {
                Ok(true) => Ok(visitor),
                Ok(false) => {
                    let detail = "You are cut off here. An administrator of your organization can let you in again.";
                    Err(Problem::new(StatusCode::FORBIDDEN, "cut-off", "You are cut off", detail).into_response())
                }
                Err(error) => Err(Problem::from(&error).into_response()),
            }
        })
    })
}

async fn is_open(clove: &Clove, owner: &Owner) -> Result<bool, clove::Error> {
    Ok(clove.is_open(owner).await? && clove.is_open(&owner.organization).await?)
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
