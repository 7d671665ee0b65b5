//! The settings page, and for administrators the team page, on keys in memory, with a sign-in for show.
//!
//! ```sh
//! cargo run -p clove-http --example settings --features pages
//! ```
//!
//! An address may be given: `-- 127.0.0.1:8080`. Everybody may sign in as anybody: a host has a session of its own.

use axum::{
    Router,
    extract::Query,
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use clove_core::{AccountId, Capability, CapabilitySet, Clove, MemoryStore, OrganizationId, Owner, Policy};
use clove_http::{
    Visitor,
    pages::{Member, Offered, Settings, Site, Team},
};
use http::{HeaderMap, header, request::Parts};
use std::{collections::HashMap, error::Error};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let clove = Clove::new(MemoryStore::new(), Policy::profile_a());
    tokio::spawn(clove.maintenance().run(|error| eprintln!("{error}")));

    let offered = [("messages:create", "Send messages"), ("models:read", "List models"), ("files:write", "Upload files")];
    let offered: Vec<Offered> = offered
        .into_iter()
        .map(|(name, label)| Ok(Offered::new(Capability::new(name)?, label)))
        .collect::<Result<_, clove_core::Invalid>>()?;
    let site = Site::new("Acme gateway", "/")
        .link("API keys", "/settings/api-keys")
        .link("Team", "/team")
        .link("Sign in as somebody else", "/");
    let settings = Settings::new(clove.clone(), who).site(site.clone()).offer(offered);
    let team = Team::new(clove, who, members).site(site);

    let app = Router::new()
        .route("/", get(|| async { Html(SIGN_IN) }))
        .route("/sign-in", get(sign_in))
        .nest("/settings/api-keys", settings.into_router())
        .nest("/team", team.into_router());
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("Open http://{}/", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

const SIGN_IN: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in · Acme gateway</title><link rel="icon" href="data:,"><h1>Sign in</h1>
<p><a href="/sign-in?as=ada">as ada</a>, <a href="/sign-in?as=ben">as ben</a>, <a href="/sign-in?as=eve">as eve, who has left</a>,
<a href="/sign-in?as=root">as root, an administrator</a>"#;

/// A cookie that a page of another site cannot have sent along with a form.
async fn sign_in(Query(query): Query<HashMap<String, String>>) -> Response {
    let account = query.get("as").map_or("ada", String::as_str);
    let cookie = format!("account={account}; Path=/; HttpOnly; SameSite=Lax");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/settings/api-keys")).into_response()
}

/// Who is signed in. Who is not is sent to where that is done.
async fn who(request: Parts) -> Result<Visitor, Redirect> {
    let owner = account(&request.headers).and_then(|account| Owner::new("acme", account).ok());
    let owner = owner.ok_or_else(|| Redirect::to("/"))?;
    let is_administrator = owner.account.as_str() == "root";
    let may_grant =
        if is_administrator { CapabilitySet::new(["*:*"]) } else { CapabilitySet::new(["messages:*", "models:read"]) };
    let visitor = Visitor::new(owner).may_grant(may_grant.unwrap_or_default());
    Ok(if is_administrator { visitor.administrator() } else { visitor })
}

/// Who belongs to an organization now. Keys of anybody else are told on the team page.
async fn members(_: OrganizationId) -> Result<Vec<Member>, clove_core::Invalid> {
    let names = [("ada", "Ada Lovelace"), ("ben", "Ben Okri"), ("root", "")];
    names.into_iter().map(|(account, name)| Ok(Member::new(AccountId::new(account)?, name))).collect()
}

fn account(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    cookies.flat_map(|cookies| cookies.split("; ")).find_map(|cookie| cookie.strip_prefix("account="))
}
