//! The document around what a page shows.

use super::{
    assets::{Asset, ICON, SCRIPT, STYLE},
    links::Links,
    respond,
    site::Site,
};
use crate::{problem::Problem, visitor::Visitor};
use axum::response::Response;
use maud::{DOCTYPE, Markup, html};
use std::sync::LazyLock;

/// What is around a page's own part.
pub(crate) struct Shell<'a> {
    pub(crate) links: &'a Links,
    pub(crate) site: &'a Site,
    /// Who is signed in, if that is known.
    pub(crate) visitor: Option<&'a Visitor>,
    /// The title, before the site's name.
    pub(crate) title: &'a str,
    /// The address that the script puts in the place of this one, so that a reload or the back button repeats no command and no
    /// message.
    pub(crate) address: Option<&'a str>,
    /// Style sheets and scripts beside those of all pages.
    pub(crate) more: &'a [&'static LazyLock<Asset>],
}

impl Shell<'_> {
    /// The whole document.
    pub(crate) fn around(&self, main: &Markup) -> Markup {
        let assets = || [&STYLE, &SCRIPT].into_iter().chain(self.more.iter().copied());
        let head = self.site.name().is_some() || self.site.links().len() > 0 || self.visitor.is_some();
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    title { (self.title) @if let Some((name, _)) = self.site.name() { " · " (name) } }
                    // Without, browsers ask the host for one, and complain where there is none.
                    link rel="icon" type="image/svg+xml" href=(self.links.within(&ICON.path()));
                    @for asset in assets() {
                        @if asset.is_script() {
                            script src=(self.links.within(&asset.path())) defer {}
                        } @else {
                            link rel="stylesheet" href=(self.links.within(&asset.path()));
                        }
                    }
                }
                body data-address=[self.address] {
                    a .skip href="#main" { "Skip to content" }
                    @if head { (self.head()) }
                    main #main tabindex="-1" { (main) }
                    // What the script has to say to who does not see it.
                    p #said .unseen role="status" {}
                }
            }
        }
    }

    fn head(&self) -> Markup {
        html! {
            header .site {
                div {
                    @if let Some((name, home)) = self.site.name() { a .name href=(home) { (name) } }
                    @if self.site.links().len() > 0 {
                        nav aria-label="Site" {
                            @for (label, address) in self.site.links() { a href=(address) { (label) } }
                        }
                    }
                    @if let Some(visitor) = self.visitor {
                        p .visitor {
                            span .unseen { "Signed in as " }
                            span .account { (visitor.owner().account) }
                            span .organization { (visitor.owner().organization) }
                        }
                    }
                }
            }
        }
    }

    /// A page that says what went wrong, and leads back.
    pub(crate) fn problem(&self, problem: &Problem) -> Response {
        let main = html! {
            div .problem {
                p .eyebrow { "Error " (problem.status().as_u16()) }
                h1 { (problem.title()) }
                p { (problem.detail()) }
                p { a .button href=(self.links.page()) { "Back to the page" } }
            }
        };
        let mut response = respond::page(problem.status(), self.around(&main));
        if let Some(seconds) = problem.retries_after() {
            response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
