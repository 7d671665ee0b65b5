//! The page of what needs a look.

use super::{
    App,
    administrator::{Administrator, Tab, corrupt, left_out},
    attention::{Attention, EXPIRES_WITHIN, Leaver, Leavers, MAX_LEAVERS},
    cut_off,
    near::{BUSIEST_KEYS, Found, LARGEST, MAX_UNITS, NEAR_PERCENT, Near, Whose},
    usage_page::status,
    words,
};
use crate::pages::{
    icon::Icon,
    time::{distance, time},
};
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use clove_core::{Cursor, Key, Page};
use maud::{Markup, html};
use std::sync::Arc;

pub(super) async fn show(State(app): State<Arc<App>>, administrator: Administrator) -> Response {
    let after: Option<Cursor> = administrator.asked.query.get("after").and_then(|after| after.parse().ok());
    match Attention::read(&app.clove, administrator.organization(), &administrator.people, after.as_ref()).await {
        Ok(found) => {
            let now = app.clove.now();
            let main = html! {
                (corrupt(found.corrupt))
                (left(&administrator, &found.left, now))
                (near(&administrator, &found.near, now))
                (expiring(&administrator, &found.expiring, after.is_some(), now))
                (cut_off::dialog(&administrator))
            };
            administrator.page(Tab::Attention, &main)
        }
        Err(error) => administrator.failed(&error),
    }
}

fn left(administrator: &Administrator, found: &Leavers, now: DateTime<Utc>) -> Markup {
    html! {
        section .panel aria-labelledby="left" {
            h2 #left { "Keys of people who left" }
            @if !administrator.people.are_known() {
                div .note .warn role="note" {
                    (Icon::Alert.draw())
                    p { "Who belongs to the team could not be read just now, so nobody can say who has left. Load the page again in a while." }
                }
            } @else if found.leavers.is_empty() {
                p .empty { "All keys that live belong to people in the team." }
            } @else {
                p .hint { "These accounts are not in the team any more and have keys that live. Cutting one off takes effect at once, and touches nobody else." }
                ul .rows {
                    @for leaver in &found.leavers { li { (leaver_row(administrator, leaver, now)) } }
                }
            }
            @if found.more > 0 { p .hint { "These are the first " (MAX_LEAVERS) ", by account; there are " (words::number(u64::try_from(found.more).unwrap_or(u64::MAX))) " more." } }
            @if administrator.people.are_known() && !found.is_whole {
                p .hint { "There are more keys than this page looks through: there may be more people who left." }
            }
        }
    }
}

fn leaver_row(administrator: &Administrator, leaver: &Leaver, now: DateTime<Utc>) -> Markup {
    html! {
        div .row {
            div .grows {
                p .head { (administrator.person(&leaver.account)) }
                p .hint {
                    (words::count(leaver.active, "active key"))
                    @if leaver.suspended > 0 { ", " (leaver.suspended) " suspended" }
                    " · " @match leaver.last_used_at { Some(at) => { "last used " (distance(at, now)) } None => "never used" }
                }
            }
            (cut_off::button(administrator, &leaver.account, "button danger small"))
        }
    }
}

fn near(administrator: &Administrator, found: &Found, now: DateTime<Utc>) -> Markup {
    let is_all = !found.is_cut && found.more_units == 0;
    html! {
        (left_out(found.is_cut, "a limit near its end may be missing"))
        section .panel aria-labelledby="near" {
            h2 #near { "Limits near their end" }
            @if found.near.is_empty() {
                p .empty { "No limit " @if !is_all { "that was looked at " } "is used by " (NEAR_PERCENT) "% or more." }
            } @else {
                ul .rows {
                    @for near in &found.near { li { (near_row(administrator, near, now)) } }
                }
            }
            p .hint {
                "Looked at are the request windows of the " (BUSIEST_KEYS) " keys with the most requests today, and for each unit the budgets of the organization and of the "
                (LARGEST) " accounts and keys that used the most in a month"
                @if found.more_units > 0 {
                    ", but only for the first " (MAX_UNITS) " units by name: " (words::count(found.more_units, "more unit")) " had some use"
                }
                ". Requests that servers have set aside in a window count as used."
            }
        }
    }
}

fn near_row(administrator: &Administrator, near: &Near, now: DateTime<Utc>) -> Markup {
    let percent = near.percent();
    let is_spent = percent >= 100;
    html! {
        div .row {
            div .grows {
                p .head {
                    @match &near.whose {
                        Whose::Organization => "The whole organization",
                        Whose::Account(account) => { (administrator.person(account)) ", all keys" }
                        Whose::Key { account, id, name } => {
                            "Key " a href=(administrator.href("audit", &[("key", &id.to_string())])) { (name) } " of " (administrator.person(account))
                        }
                    }
                }
                p .hint {
                    (words::number(near.used)) " of " (near.allowed)
                    @match near.resets_at { Some(at) => { " · full again " (distance(at, now)) } None => " · never full again" }
                }
            }
            div .gauge {
                span .tag .(if is_spent { "bad" } else { "warn" }) { (percent) "%" @if is_spent { " · used up" } }
                svg .meter width="100%" height="8" aria-hidden="true" focusable="false" {
                    rect .track width="100%" height="8" rx="4" {}
                    rect .(if is_spent { "spent" } else { "filled" }) width={ (percent.min(100)) "%" } height="8" rx="4" {}
                }
            }
        }
    }
}

fn expiring(administrator: &Administrator, found: &Page<Key>, is_later: bool, now: DateTime<Utc>) -> Markup {
    html! {
        section .panel aria-labelledby="expiring" {
            h2 #expiring { "Keys that expire within " (EXPIRES_WITHIN) " days" }
            @if found.items.is_empty() {
                p .empty { @if is_later { "No more keys." } @else { "None." } }
            } @else {
                ul .rows {
                    @for key in &found.items {
                        li {
                            div .row {
                                div .grows {
                                    p .head {
                                        a href=(administrator.href("audit", &[("key", &key.id.to_string())])) { (key.name) }
                                        " of " (administrator.person(&key.owner.account))
                                    }
                                    p .hint {
                                        code { (key.id) }
                                        @if let Some(at) = key.expires_at { " · " (time(at)) }
                                    }
                                }
                                div .tags {
                                    (status(key.status(now)))
                                    @if let Some(at) = key.expires_at { " " span .tag .warn { (distance(at, now)) } }
                                }
                            }
                        }
                    }
                }
            }
            @if is_later || found.next.is_some() {
                nav .buttons aria-label="Pages of keys that expire" {
                    @if is_later { a .button .small href=(administrator.href("attention", &[])) { "Soonest" } }
                    @if let Some(next) = &found.next {
                        a .button .small rel="next" href=(administrator.href("attention", &[("after", &next.to_string())])) { "Later" }
                    }
                }
            }
        }
    }
}
