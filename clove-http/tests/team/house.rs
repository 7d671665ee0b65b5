//! An organization with members, keys and weeks of use, on a clock to turn.

#![allow(dead_code, reason = "each test uses a part")]

use axum::{Router, body::Body};
use chrono::TimeDelta;
use clove_core::{
    AccountId, ActiveLimit, Attempt, Budget, BudgetOf, By, CapabilitySet, Clove, Credential, Expiry, ExpiryPolicy, Key, Limits,
    MemoryStore, NewKey, OrganizationId, Owner, Policy, Refill, Store, Tier, Unit, Window,
};
use clove_http::{
    NotSignedIn, Visitor,
    pages::{Member, Site, Team},
};
use clove_testkit::{Fixture, TestClock};
use http::{HeaderMap, Request, StatusCode, request::Parts};
use http_body_util::BodyExt;
use std::{collections::BTreeMap, time::Duration};
use tower::ServiceExt;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) struct House {
    pub(crate) fixture: Fixture,
    pub(crate) app: Router,
    credentials: BTreeMap<String, (Key, Credential)>,
}

/// What a request was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) html: String,
}

impl Answer {
    /// Whether all of these texts are there.
    pub(crate) fn says(&self, texts: &[&str]) -> bool {
        let missing: Vec<&&str> = texts.iter().filter(|text| !self.text().contains(**text)).collect();
        if !missing.is_empty() {
            eprintln!("{missing:?} is not in:\n{}", self.text());
        }
        missing.is_empty()
    }

    /// What people read, without the marks of HTML, with single spaces.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (place, part) in self.html.split('<').enumerate() {
            text.push_str(if place == 0 { part } else { part.split_once('>').map_or("", |(_, text)| text) });
            text.push(' ');
        }
        let text = text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        [" .", " ,", " ?", " …", " :", " %"].into_iter().fold(words, |text, mark| text.replace(mark, mark.trim()))
    }

    /// Where a link of this text leads, below the mount point.
    pub(crate) fn link(&self, label: &str) -> Option<String> {
        let (before, _) = self.html.split_once(&format!(">{label}<"))?;
        let (_, tag) = before.rsplit_once("<a ")?;
        let address = tag.split_once("href=\"")?.1.split_once('"')?.0.replace("&amp;", "&");
        Some(
            address
                .trim_start_matches("./")
                .trim_start_matches("../")
                .trim_start_matches("team")
                .trim_start_matches('/')
                .to_owned(),
        )
    }
}

pub(crate) fn tokens() -> Unit {
    Unit::new("output_tokens").unwrap()
}

/// Any number of keys, 1,000 requests a day for each, and a budget of tokens for each account.
pub(crate) fn policy() -> Policy {
    let day = Limits::new([Window::new(1_000, DAY).unwrap()]).unwrap();
    Policy::builder()
        .active_limit(ActiveLimit::Unlimited)
        .max_creations_per_day(None)
        .max_records(None)
        .expiry(ExpiryPolicy { never: true, custom: Some((1, 365)), ..ExpiryPolicy::default() })
        .limits(Tier { key: day, account: Some(Limits::unlimited()) })
        .budget(BudgetOf::Account, tokens(), Budget::new(1_000_000, Refill::Monthly).unwrap())
        .build()
        .unwrap()
}

impl House {
    pub(crate) fn new() -> Self {
        Self::on(MemoryStore::new(), policy(), &[("ada", "Ada Lovelace"), ("ben", "Ben Okri"), ("grace", "Grace Hopper")])
    }

    pub(crate) fn on(store: impl Store, policy: Policy, members: &[(&str, &str)]) -> Self {
        let fixture = Fixture::on(store, policy).unwrap();
        let members: Vec<Member> =
            members.iter().map(|(account, name)| Member::new(AccountId::new(account).unwrap(), *name)).collect();
        let app = router(fixture.clove.clone(), Some(members));
        Self { fixture, app, credentials: BTreeMap::new() }
    }

    /// The host's directory is away.
    pub(crate) fn without_members(mut self) -> Self {
        self.app = router(self.fixture.clove.clone(), None);
        self
    }

    pub(crate) fn clove(&self) -> &Clove {
        &self.fixture.clove
    }

    pub(crate) fn clock(&self) -> &TestClock {
        self.fixture.clock()
    }

    pub(crate) fn by(&self) -> By {
        By::new("ada", "set up").unwrap().may_grant(CapabilitySet::all()).may_set_limits()
    }

    /// A key of `account`, to be named by its name from then on.
    pub(crate) async fn key(&mut self, account: &str, name: &str, expiry: Expiry) -> Key {
        let owner = owner(account);
        let issued = self.clove().create(&owner, NewKey::named(name).unwrap().expiry(expiry), &self.by()).await.unwrap();
        self.credentials.insert(name.to_owned(), (issued.key.clone(), issued.credential.unwrap()));
        issued.key
    }

    /// So many requests and tokens of a key, now.
    pub(crate) async fn uses(&self, name: &str, requests: u64, used: u64) {
        let credential = self.credentials[name].1.reveal();
        let grant = self.clove().verify(Attempt::new(&*credential).costing(requests)).await.unwrap().granted().expect("granted");
        if used > 0 {
            self.clove().record(&grant, &tokens(), used).unwrap();
        }
        self.clove().flush().await.unwrap();
    }

    /// One of each of so many units, of a key, now.
    pub(crate) async fn uses_units(&self, name: &str, units: usize) {
        let credential = self.credentials[name].1.reveal();
        let grant = self.clove().verify(&*credential).await.unwrap().granted().expect("granted");
        for unit in 0..units {
            self.clove().record(&grant, &Unit::new(format!("unit_{unit:05}")).unwrap(), 1).unwrap();
        }
        self.clove().flush().await.unwrap();
    }

    /// What a client has of a key: `id;secret`.
    pub(crate) fn credential(&self, name: &str) -> String {
        self.credentials[name].1.reveal().to_string()
    }

    pub(crate) async fn is_good(&self, name: &str) -> bool {
        let credential = self.credentials[name].1.reveal();
        self.clove().verify(&*credential).await.unwrap().granted().is_some()
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.clock().advance(by.to_std().unwrap());
    }

    /// GET as an administrator of acme.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_as("ada, administrator", path).await
    }

    pub(crate) async fn get_as(&self, who: &str, path: &str) -> Answer {
        self.ask(Request::get(format!("/team{}", at(path))).header("x-who", who).body(Body::empty()).unwrap()).await
    }

    /// POST by a form of the page's own.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.post_from("same-origin", path, form).await
    }

    pub(crate) async fn post_from(&self, site: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        self.post_as("ada, administrator", site, path, form).await
    }

    pub(crate) async fn post_as(&self, who: &str, site: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let encode = |text: &str| text.replace('%', "%25").replace('&', "%26").replace(' ', "+").replace('/', "%2F");
        let form: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let request = Request::post(format!("/team{}", at(path)))
            .header("x-who", who)
            .header("sec-fetch-site", site)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.join("&")));
        self.ask(request.unwrap()).await
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let html = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, html }
    }
}

fn at(path: &str) -> String {
    if path.is_empty() || path.starts_with('?') { path.to_owned() } else { format!("/{path}") }
}

pub(crate) fn owner(account: &str) -> Owner {
    Owner::new("acme", account).unwrap()
}

fn router(clove: Clove, members: Option<Vec<Member>>) -> Router {
    let members = move |organization: OrganizationId| {
        let members = members.clone().ok_or("the directory is away");
        async move { if organization.as_str() == "acme" { members } else { Ok(Vec::new()) } }
    };
    let team = Team::new(clove, who, members)
        .site(Site::new("Acme gateway", "/").link("API keys", "/settings/api-keys").link_for_administrators("Team", "/team"));
    Router::new().nest("/team", team.into_router())
}

/// `ada`, `ada, administrator` or `eve@globex, administrator`.
async fn who(request: Parts) -> Result<Visitor, NotSignedIn> {
    let who = request.headers.get("x-who").and_then(|who| who.to_str().ok()).ok_or(NotSignedIn)?;
    let (account, role) = who.split_once(", ").unwrap_or((who, "owner"));
    let (account, organization) = account.split_once('@').unwrap_or((account, "acme"));
    let visitor = Visitor::new(Owner::new(organization, account).unwrap());
    Ok(if role == "administrator" { visitor.administrator() } else { visitor })
}
