//! The settings page: "API Keys".

mod card;
mod choices;
mod command;
mod confirm;
mod copy;
mod create;
mod errors;
mod flash;
mod issued;
mod page;
mod view;

pub use choices::Offered;

use super::{
    asked::{Around, Asked, Host},
    assets::{self, Asset},
    links::Links,
    site::Site,
};
use crate::{
    problem::Problem,
    visitor::{Visitor, Visitors},
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef, Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use clove_core::{Action, Clove, Role, Status};
use http::{StatusCode, request::Parts};
use std::{
    future::Future,
    sync::{Arc, LazyLock},
};

/// The largest form, in bytes: a description has at most 2,000.
const MAX_FORM_BYTES: usize = 64 * 1024;
/// How many keys are on one page.
const PAGE_SIZE: usize = 20;
const TITLE: &str = "API Keys";

static STYLE: LazyLock<Asset> = LazyLock::new(|| Asset::css("settings", include_str!("assets/settings.css")));

/// The settings page, to be made a router.
///
/// ```
/// # fn demo() -> Result<axum::Router, clove_core::Invalid> {
/// use clove_core::{Capability, CapabilitySet, Clove, MemoryStore, Owner, Policy};
/// use clove_http::{NotSignedIn, Visitor, pages::{Offered, Settings, Site}};
///
/// let clove = Clove::new(MemoryStore::new(), Policy::profile_a());
/// let ada = Visitor::new(Owner::new("acme", "ada")?).may_grant(CapabilitySet::new(["models:*"])?);
/// let page = Settings::new(clove, move |_request| std::future::ready(Ok::<_, NotSignedIn>(ada.clone())))
///     .site(Site::new("Acme gateway", "/").link("Team", "/team"))
///     .offer([Offered::new(Capability::new("models:read")?, "List models")]);
/// Ok(axum::Router::new().nest("/settings/api-keys", page.into_router()))
/// # }
/// # demo().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    clove: Clove,
    who: Visitors,
    site: Site,
    offered: Option<Vec<Offered>>,
    variable: String,
}

impl Settings {
    /// The page on these keys. `who` tells who is asking, from the host's own session.
    pub fn new<A, R>(clove: Clove, who: impl Fn(Parts) -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Result<Visitor, R>> + Send + 'static,
        R: IntoResponse,
    {
        let variable = "ANTHROPIC_API_KEY".to_owned();
        Self { clove, who: Visitors::new(who), site: Site::default(), offered: None, variable }
    }

    /// What the head of the page says of the host.
    #[must_use]
    pub fn site(mut self, site: Site) -> Self {
        self.site = site;
        self
    }

    /// Which capabilities there are to choose from, in this order; each is shown to who may grant it. Without, what a visitor may
    /// grant is shown by its names, wildcards as such.
    #[must_use]
    pub fn offer(mut self, offered: impl IntoIterator<Item = Offered>) -> Self {
        self.offered = Some(offered.into_iter().collect());
        self
    }

    /// The setting of the visitor's client that takes a credential, `id;secret`. `ANTHROPIC_API_KEY` unless named.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>) -> Self {
        self.variable = name.into();
        self
    }

    /// The router, to be nested where the host likes.
    pub fn into_router(self) -> Router {
        let host = Host { who: self.who, site: Arc::new(self.site) };
        let app = App { clove: self.clove, host, offered: self.offered, variable: self.variable };
        Router::new()
            .route("/", get(page::show).post(command::run))
            .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
            .merge(assets::routes(&[&STYLE]))
            .fallback(nothing_here)
            .method_not_allowed_fallback(no_such_method)
            .with_state(Arc::new(app))
    }
}

impl From<Settings> for Router {
    fn from(settings: Settings) -> Self {
        settings.into_router()
    }
}

struct App {
    clove: Clove,
    host: Host,
    offered: Option<Vec<Offered>>,
    variable: String,
}

impl App {
    /// Whether the policy offers an action to a role at all. Of which status a key is now, the command finds out.
    fn offers(&self, role: Role, action: Action) -> bool {
        Status::ALL.into_iter().any(|status| self.clove.policy().offered(role, status).contains(&action))
    }
}

impl FromRef<Arc<App>> for Host {
    fn from_ref(app: &Arc<App>) -> Self {
        app.host.clone()
    }
}

async fn nothing_here(State(app): State<Arc<App>>, request: Request) -> Response {
    let problem = Problem::new(StatusCode::NOT_FOUND, "no-such-page", "There is no such page", "Look at the address again.");
    refuse(&app, request, &problem)
}

async fn no_such_method(State(app): State<Arc<App>>, request: Request) -> Response {
    let detail = "A page is only read, and its forms are sent by POST.";
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-such-method", "This cannot be asked of the page", detail);
    refuse(&app, request, &problem)
}

/// Answers who need not be signed in.
fn refuse(app: &App, request: Request, problem: &Problem) -> Response {
    let links = Links::of(&request.into_parts().0);
    Around { links: &links, site: &app.host.site }.shell(problem.title()).problem(problem)
}

/// Answers a command or a look that failed as a whole.
fn failed(asked: &Asked, problem: &Problem) -> Response {
    asked.shell(problem.title()).problem(problem)
}
