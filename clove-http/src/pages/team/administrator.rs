//! Who may see the team page, and the frame around what they see.

use super::{App, TEAM_STYLE, members::People, read::MAX_ROWS, words};
use crate::{
    pages::{asked::Asked, fields::Fields, icon::Icon, links::with_query, respond},
    problem::Problem,
};
use axum::{extract::FromRequestParts, response::Response};
use clove_core::{AccountId, Clove, Error, ListKeys, ListUsage, OrganizationId, Owner, Role, Unit};
use http::{StatusCode, request::Parts};
use maud::{Markup, html};
use std::sync::Arc;

/// A page of the team's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Usage,
    Attention,
    Audit,
}

impl Tab {
    const ALL: [Self; 3] = [Self::Usage, Self::Attention, Self::Audit];

    fn label(self) -> &'static str {
        match self {
            Self::Usage => "Usage",
            Self::Attention => "Attention",
            Self::Audit => "Audit trail",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Usage => "",
            Self::Attention => "attention",
            Self::Audit => "audit",
        }
    }
}

/// A request by an administrator.
#[derive(Debug)]
pub(super) struct Administrator {
    pub(super) asked: Asked,
    pub(super) people: People,
}

impl FromRequestParts<Arc<App>> for Administrator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let asked = Asked::from_request_parts(parts, app).await?;
        if asked.visitor.role() != Role::Administrator {
            return Err(for_administrators_only(&asked));
        }
        let people = app.members.of(&asked.visitor.owner().organization).await;
        Ok(Self { asked, people })
    }
}

fn for_administrators_only(asked: &Asked) -> Response {
    let main = html! {
        div .problem {
            p .eyebrow { "Error 403" }
            h1 { "For administrators" }
            p { "This page shows the whole team's keys, and only administrators of the organization may see it. If you need it, ask one of them." }
        }
    };
    respond::page(StatusCode::FORBIDDEN, asked.shell("Team").around(&main))
}

impl Administrator {
    /// The organization of the visitor: nothing outside it is ever looked at.
    pub(super) fn organization(&self) -> &OrganizationId {
        &self.asked.visitor.owner().organization
    }

    /// An account of the visitor's organization as an owner.
    pub(super) fn owner(&self, account: &AccountId) -> Owner {
        Owner { organization: self.organization().clone(), account: account.clone() }
    }

    /// The account that the query names, if it can be one.
    pub(super) fn account(&self) -> Option<AccountId> {
        account(&self.asked.query)
    }

    /// Whether there is, or was, anybody of this account: a member, or one that has keys, has used any, or was cut off.
    pub(super) async fn knows(&self, clove: &Clove, account: &AccountId) -> Result<bool, Error> {
        if self.people.has(account) {
            return Ok(true);
        }
        let owner = self.owner(account);
        let keys = clove.list(&owner, &ListKeys { limit: Some(1), ..ListKeys::default() }).await?;
        if !keys.items.is_empty() || !keys.corrupt.is_empty() || !clove.is_open(&owner).await? {
            return Ok(true);
        }
        let used = clove.usage(&owner, &ListUsage { limit: Some(1), ..ListUsage::default() }).await?;
        Ok(!used.items.is_empty() || !used.corrupt.is_empty())
    }

    /// Whether an account is the visitor's own.
    pub(super) fn is_self(&self, account: &AccountId) -> bool {
        self.asked.visitor.owner().account == *account
    }

    /// The address of something within the team's pages; empty values are left out.
    pub(super) fn href(&self, path: &str, query: &[(&str, &str)]) -> String {
        let address = if path.is_empty() { self.asked.links.page().to_owned() } else { self.asked.links.within(path) };
        with_query(address, query.iter().copied().filter(|(_, value)| !value.is_empty()))
    }

    /// A member by name, and its account, as a link to its page.
    pub(super) fn person(&self, account: &AccountId) -> Markup {
        let address = self.href("person", &[("account", account.as_str())]);
        html! { a .person href=(address) { (self.called(account.as_str())) } }
    }

    /// A member's name, with its account where that is another.
    pub(super) fn called(&self, account: &str) -> Markup {
        html! {
            @if let Some(name) = self.people.name(account) {
                (name) " " span .account { (account) }
            } @else { (account) }
        }
    }

    /// A page under one of the tabs.
    pub(super) fn page(&self, tab: Tab, main: &Markup) -> Response {
        let title = tab.label();
        let framed = html! {
            div .team {
                div .title {
                    div {
                        p .eyebrow { (self.organization()) }
                        h1 { "Team" }
                    }
                    (self.tabs(Some(tab)))
                }
                (main)
            }
        };
        self.respond(StatusCode::OK, title, None, &framed)
    }

    /// A page below the tabs, with a title of its own.
    pub(super) fn below(&self, status: StatusCode, title: &str, address: Option<&str>, main: &Markup) -> Response {
        let framed = html! {
            div .team {
                div .title {
                    p .eyebrow { (self.organization()) }
                    (self.tabs(None))
                }
                (main)
            }
        };
        self.respond(status, title, address, &framed)
    }

    fn tabs(&self, current: Option<Tab>) -> Markup {
        html! {
            nav .tabs aria-label="Team" {
                @for tab in Tab::ALL {
                    a href=(self.href(tab.path(), &[])) aria-current=[(current == Some(tab)).then_some("page")] { (tab.label()) }
                }
            }
        }
    }

    fn respond(&self, status: StatusCode, title: &str, address: Option<&str>, framed: &Markup) -> Response {
        let title = format!("{title} · Team");
        let more = [&TEAM_STYLE];
        let mut shell = self.asked.shell(&title);
        shell.address = address;
        shell.more = &more;
        respond::page(status, shell.around(framed))
    }

    /// What went wrong, as a page.
    pub(super) fn problem(&self, problem: &Problem) -> Response {
        self.asked.shell("Team").problem(problem)
    }

    /// What the keys could not say, as a page.
    pub(super) fn failed(&self, error: &Error) -> Response {
        self.problem(&error.into())
    }

    /// That no such account can be.
    pub(super) fn no_such_person(&self) -> Response {
        let detail = "Nobody in the organization has this account, or is the only one of this name, and no keys were ever used under it. Look whether it is written right.";
        self.problem(&Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such person here", detail))
    }
}

/// The account that fields name, if it can be one.
pub(super) fn account(fields: &Fields) -> Option<AccountId> {
    fields.get("account").and_then(|account| AccountId::new(account.trim()).ok())
}

/// The unit and the number of days that a query chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) unit: Unit,
    pub(super) days: u32,
}

/// How many days there are to choose from; the second unless chosen.
pub(super) const DAYS: [u32; 3] = [7, 30, 90];

impl Choice {
    /// Requests of the last 30 days, unless the query says otherwise.
    pub(super) fn of(query: &Fields) -> Self {
        let days = query.get("days").and_then(|days| days.parse().ok()).filter(|days| DAYS.contains(days));
        let unit = query.get("unit").and_then(|unit| Unit::new(unit).ok());
        Self { unit: unit.unwrap_or_else(Unit::requests), days: days.unwrap_or(DAYS[1]) }
    }
}

/// That a list was too long to be read to its end, if so, and what that does to the page.
pub(super) fn left_out(is_any: bool, so: &str) -> Markup {
    html! {
        @if is_any {
            div .note .warn role="note" {
                (Icon::Alert.draw())
                p { "There is more than this page looks through, which is " (words::number(MAX_ROWS)) " rows of a list: " (so) "." }
            }
        }
    }
}

/// That something could not be read and is missing on the page, if so. One row may have been looked for several times: how many there
/// are, nobody counted.
pub(super) fn corrupt(rows: usize) -> Markup {
    html! {
        @if rows > 0 {
            div .note .warn role="note" {
                (Icon::Alert.draw())
                p { "Some stored rows could not be read and are missing here. Everything else is complete. Tell who runs the key store." }
            }
        }
    }
}
