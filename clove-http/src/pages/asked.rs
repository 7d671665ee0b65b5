//! What every page has to know of a request before it does anything.

use super::{fields::Fields, links::Links, shell::Shell, site::Site};
use crate::visitor::{Visitor, Visitors, require_same_origin};
use axum::{
    extract::{FromRef, FromRequestParts, Query},
    response::Response,
};
use http::request::Parts;
use std::sync::Arc;

/// What the host has given to a page.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) who: Visitors,
    pub(crate) site: Arc<Site>,
}

/// A request by somebody who is signed in, which no other site had sent if it changes something.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) visitor: Visitor,
    pub(crate) links: Links,
    pub(crate) site: Arc<Site>,
    pub(crate) query: Fields,
}

impl<S> FromRequestParts<S> for Asked
where
    S: Send + Sync,
    Host: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let (host, links) = (Host::from_ref(state), Links::of(parts));
        if let Err(problem) = require_same_origin(parts) {
            return Err(Around { links: &links, site: &host.site }.shell("Refused").problem(&problem));
        }
        let visitor = host.who.of(parts).await?;
        let query =
            Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_or_else(|_| Fields::default(), |query| query.0.into());
        let site = Arc::new(host.site.seen_as(visitor.role()));
        Ok(Self { visitor, links, site, query })
    }
}

impl Asked {
    /// The document around a page of this title.
    pub(crate) fn shell<'a>(&'a self, title: &'a str) -> Shell<'a> {
        Shell { visitor: Some(&self.visitor), ..Around { links: &self.links, site: &self.site }.shell(title) }
    }
}

/// What is known of a request from anybody.
pub(crate) struct Around<'a> {
    pub(crate) links: &'a Links,
    pub(crate) site: &'a Site,
}

impl<'a> Around<'a> {
    /// The document around a page of this title.
    pub(crate) fn shell(&self, title: &'a str) -> Shell<'a> {
        Shell { links: self.links, site: self.site, visitor: None, title, address: None, more: &[] }
    }
}
