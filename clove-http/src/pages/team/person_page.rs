//! One person: whether it is cut off, what its keys used, and all of them.

use super::{
    App,
    administrator::{Administrator, Choice, corrupt, left_out},
    chart::chart,
    cut_off,
    usage::{MAX_OWN_KEYS, OfPerson, of_person},
    usage_page::{days, of_keys, status, units},
    words,
};
use crate::pages::{icon::Icon, respond, time::distance};
use axum::{extract::State, response::Response};
use clove_core::{AccountId, ActiveKeys, Clove, Cursor, Error, Key, ListKeys, Owner, Page};
use http::StatusCode;
use maud::{Markup, html};
use std::sync::Arc;

/// How many keys are listed at a time.
const KEYS: usize = 50;

pub(super) async fn show(State(app): State<Arc<App>>, administrator: Administrator) -> Response {
    let Some(account) = administrator.account() else { return by_name(&administrator) };
    let (owner, choice) = (administrator.owner(&account), Choice::of(&administrator.asked.query));
    match administrator.knows(&app.clove, &account).await {
        Ok(true) => {}
        Ok(false) => return by_name(&administrator),
        Err(error) => return administrator.failed(&error),
    }
    let after = administrator.asked.query.get("after").and_then(|after| after.parse().ok());
    match Person::read(&app.clove, &owner, &choice, after).await {
        Ok(person) => {
            let title = administrator.people.called(account.as_str()).to_owned();
            let main = person.show(&administrator, &app.clove, &account, &choice);
            administrator.below(StatusCode::OK, &title, None, &main)
        }
        Err(error) => administrator.failed(&error),
    }
}

/// What is no account may be a member's name: accounts come first, since anybody may be called like another's.
fn by_name(administrator: &Administrator) -> Response {
    match administrator.asked.query.get("account").and_then(|name| administrator.people.named(name)) {
        Some(account) => respond::see_other(&administrator.href("person", &[("account", account.as_str())])),
        None => administrator.no_such_person(),
    }
}

struct Person {
    is_open: bool,
    is_organization_open: bool,
    active: ActiveKeys,
    used: OfPerson,
    keys: Page<Key>,
}

impl Person {
    async fn read(clove: &Clove, owner: &Owner, choice: &Choice, after: Option<Cursor>) -> Result<Self, Error> {
        Ok(Self {
            is_open: clove.is_open(owner).await?,
            is_organization_open: clove.is_open(&owner.organization).await?,
            active: clove.active_keys(owner).await?,
            used: of_person(clove, owner, choice).await?,
            keys: clove.list(owner, &ListKeys { limit: Some(KEYS), after, ..ListKeys::default() }).await?,
        })
    }

    fn show(&self, administrator: &Administrator, clove: &Clove, account: &AccountId, choice: &Choice) -> Markup {
        let (what, now) = (words::unit(&choice.unit), clove.now());
        let query = [("account", account.as_str())];
        let address = |path| administrator.href(path, &query);
        html! {
            div .title {
                div {
                    h1 { (administrator.called(account.as_str())) }
                    p .lead .tags {
                        @if self.is_open { span .tag .good { "Open" } } @else { span .tag .bad { "Cut off" } }
                        " "
                        @if administrator.people.has_left(account) { span .tag .warn { "Left the team" } " " }
                        span { (self.active) }
                    }
                }
                div .buttons {
                    a .button href=(address("audit")) { "What was done with these keys" }
                    @if self.is_open { (cut_off::button(administrator, account, "button danger")) }
                }
            }
            @if !self.is_open { (cut_off::reopen_form(administrator, account)) }
            @if !self.is_organization_open {
                div .note .warn role="note" { (Icon::Alert.draw()) p { "The whole organization is closed: none of its keys is granted." } }
            }
            (corrupt(self.used.corrupt + self.keys.corrupt.len()))
            (left_out(!self.used.is_whole, "some numbers of the keys are too low, and keys that used something may be missing"))
            section .panel aria-labelledby="usage" {
                div .between {
                    h2 #usage { "What the keys used" }
                    (days(administrator, "person", &query, choice))
                }
                (units(administrator, "person", &query, choice, &self.used.units))
                @if self.used.figures.total() == 0 {
                    p .empty { "No " (what) " in these " (choice.days) " days." }
                } @else {
                    (chart(&self.used.figures, &what))
                }
                @if !self.used.keys.is_empty() {
                    (of_keys(administrator, account, choice, &self.used.units, &self.used.keys, now))
                    @if self.used.more_keys > 0 {
                        p .hint { "These are the " (MAX_OWN_KEYS) " keys that used the most; " (self.used.more_keys) " more used something." }
                    }
                }
            }
            section .panel aria-labelledby="keys" {
                h2 #keys { "All keys, newest first" }
                @if self.keys.items.is_empty() {
                    p .empty { "No keys here." }
                } @else {
                    div .scrolls tabindex="0" role="region" aria-label="All keys" {
                        table .stacks {
                            thead { tr {
                                th scope="col" { "Key" }
                                th scope="col" { "Status" }
                                th scope="col" { "Created" }
                                th scope="col" { "Last used" }
                                th scope="col" { "Expires" }
                            } }
                            tbody {
                                @for key in &self.keys.items {
                                    tr {
                                        th scope="row" {
                                            a href=(administrator.href("audit", &[("key", &key.id.to_string())])) { (key.name) }
                                            code { (key.id) }
                                        }
                                        td data-label="Status" { (status(key.status(now))) }
                                        td data-label="Created" { (distance(key.created_at, now)) }
                                        td data-label="Last used" { @match key.last_used_at { Some(at) => (distance(at, now)), None => "Never used" } }
                                        td data-label="Expires" { @match key.expires_at { Some(at) => (distance(at, now)), None => "Never" } }
                                    }
                                }
                            }
                        }
                    }
                }
                @if let Some(next) = &self.keys.next {
                    p { a .button href=(administrator.href("person", &[("account", account.as_str()), ("after", &next.to_string())])) { "Older keys" } }
                }
            }
            (cut_off::dialog(administrator))
        }
    }
}
