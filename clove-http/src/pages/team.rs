//! The team page: what an organization's keys use, what needs a look, what was done, and cutting off a person at once.

mod administrator;
mod attention;
mod attention_page;
mod audit_page;
mod chart;
mod cut_off;
mod event;
mod figures;
mod members;
mod near;
mod person_page;
mod read;
mod usage;
mod usage_page;
mod words;

pub use members::Member;

use super::{
    asked::Host,
    assets::{self, Asset},
    nowhere::{no_such_method, nothing_here},
    site::Site,
};
use crate::visitor::{Visitor, Visitors};
use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef},
    response::IntoResponse,
    routing::{get, post},
};
use clove_core::{Clove, OrganizationId};
use http::request::Parts;
use members::Members;
use std::{
    future::Future,
    sync::{Arc, LazyLock},
};

/// The longest form, in bytes: an account and a reason, encoded.
const MAX_FORM_BYTES: usize = 16 * 1024;
/// The style sheet of the team page alone.
static TEAM_STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::css("team", concat!(include_str!("assets/chart.css"), "\n", include_str!("assets/team.css"))));

/// The team page, for administrators of an organization, to be made a router.
///
/// It shows what the organization's members and their keys used day by day, limits near their end, keys that expire soon, keys of
/// people who left, and the audit trail; and it cuts off a person at once. Who is no administrator gets a page of status 403.
///
/// ```
/// # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
/// use clove_core::{AccountId, Clove, MemoryStore, OrganizationId, Owner, Policy};
/// use clove_http::{NotSignedIn, Visitor, pages::{Member, Team}};
///
/// let clove = Clove::new(MemoryStore::new(), Policy::profile_a());
/// // The host's own session says who is asking, and in which role. Here everybody is ada, an administrator.
/// let who = |_: http::request::Parts| async {
///     Owner::new("acme", "ada").map(|ada| Visitor::new(ada).administrator()).map_err(|_| NotSignedIn)
/// };
/// // The host's own directory says who belongs to an organization now.
/// let members = |_: OrganizationId| async { AccountId::new("ada").map(|ada| vec![Member::new(ada, "Ada Lovelace")]) };
/// let app = axum::Router::new().nest("/team", Team::new(clove, who, members).into_router());
/// # use tower::ServiceExt;
/// # let response = app.oneshot(http::Request::get("/team").body(axum::body::Body::empty())?).await?;
/// # assert_eq!(response.status(), 200);
/// # Ok(()) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(demo())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Team {
    clove: Clove,
    who: Visitors,
    members: Members,
    site: Site,
}

impl Team {
    /// The page on these keys. `who` tells who is asking, from the host's own session; `members` tells who belongs to an organization
    /// now, from its own directory: whoever else has keys has left. Where that fails, the page says so, and nobody has left.
    pub fn new<A, R, M, E>(
        clove: Clove,
        who: impl Fn(Parts) -> A + Send + Sync + 'static,
        members: impl Fn(OrganizationId) -> M + Send + Sync + 'static,
    ) -> Self
    where
        A: Future<Output = Result<Visitor, R>> + Send + 'static,
        R: IntoResponse,
        M: Future<Output = Result<Vec<Member>, E>> + Send + 'static,
    {
        Self { clove, who: Visitors::new(who), members: Members::new(members), site: Site::default() }
    }

    /// What the head of the page says of the host.
    #[must_use]
    pub fn site(mut self, site: Site) -> Self {
        self.site = site;
        self
    }

    /// The router, to be nested where the host likes.
    pub fn into_router(self) -> Router {
        let host = Host { who: self.who, site: Arc::new(self.site) };
        let app = Arc::new(App { clove: self.clove, host, members: self.members });
        Router::new()
            .route("/", get(usage_page::show))
            .route("/attention", get(attention_page::show))
            .route("/audit", get(audit_page::show))
            .route("/person", get(person_page::show))
            .route("/cut-off", get(cut_off::ask).post(cut_off::cut_off))
            .route("/reopen", post(cut_off::reopen))
            .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
            .merge(assets::routes(&[&TEAM_STYLE]))
            .fallback(nothing_here)
            .method_not_allowed_fallback(no_such_method)
            .with_state(app)
    }
}

impl From<Team> for Router {
    fn from(team: Team) -> Self {
        team.into_router()
    }
}

struct App {
    clove: Clove,
    host: Host,
    members: Members,
}

impl FromRef<Arc<App>> for Host {
    fn from_ref(app: &Arc<App>) -> Self {
        app.host.clone()
    }
}
