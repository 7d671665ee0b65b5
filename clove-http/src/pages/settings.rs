//! The settings page: "API Keys".

use super::{
    asked::{Asked, Host},
    assets, respond,
    site::Site,
};
use crate::visitor::{Visitor, Visitors};
use axum::{
    Router,
    extract::{FromRef, State},
    response::{IntoResponse, Response},
    routing::get,
};
use clove_core::{Capability, Clove};
use http::{StatusCode, request::Parts};
use maud::html;
use std::{future::Future, sync::Arc};

/// The settings page, to be made a router.
#[derive(Clone, Debug)]
pub struct Settings {
    clove: Clove,
    who: Visitors,
    site: Site,
    offered: Option<Vec<Offered>>,
}

/// A capability to choose, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    capability: Capability,
    label: String,
}

impl Offered {
    /// A capability, with a few words that say what it is.
    pub fn new(capability: Capability, label: impl Into<String>) -> Self {
        Self { capability, label: label.into() }
    }
}

impl Settings {
    /// The page on these keys. `who` tells who is asking, from the host's own session.
    pub fn new<A, R>(clove: Clove, who: impl Fn(Parts) -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Result<Visitor, R>> + Send + 'static,
        R: IntoResponse,
    {
        Self { clove, who: Visitors::new(who), site: Site::default(), offered: None }
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

    /// The router, to be nested where the host likes.
    pub fn into_router(self) -> Router {
        let host = Host { who: self.who, site: Arc::new(self.site) };
        let app = Arc::new(App { clove: self.clove, host, offered: self.offered });
        Router::new().route("/", get(show)).merge(assets::routes(&[])).with_state(app)
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
}

impl FromRef<Arc<App>> for Host {
    fn from_ref(app: &Arc<App>) -> Self {
        app.host.clone()
    }
}

async fn show(State(_app): State<Arc<App>>, asked: Asked) -> Response {
    respond::page(StatusCode::OK, asked.shell("API Keys").around(&html! { h1 { "API Keys" } }))
}
