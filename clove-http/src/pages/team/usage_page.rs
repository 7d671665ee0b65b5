//! The first page: what the team used.

use super::{
    App,
    administrator::{Administrator, Choice, DAYS, Tab, corrupt, left_out},
    chart::{chart, swatch},
    figures::MAX_BANDS,
    usage::{KeyUse, MAX_MEMBERS, MemberUse, OfTeam, of_team},
    words,
};
use crate::pages::time::distance;
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use clove_core::{AccountId, Unit};
use maud::{Markup, html};
use std::sync::Arc;

/// How many units a table has columns for.
const MAX_COLUMNS: usize = 4;
/// How many members are offered as somebody types; the others are looked up all the same.
const MAX_OFFERED: usize = 500;

pub(super) async fn show(State(app): State<Arc<App>>, administrator: Administrator) -> Response {
    let choice = Choice::of(&administrator.asked.query);
    match of_team(&app.clove, administrator.organization(), &administrator.people, &choice).await {
        Ok(used) => administrator.page(Tab::Usage, &usage(&administrator, &choice, &used, app.clove.now())),
        Err(error) => administrator.failed(&error),
    }
}

fn usage(administrator: &Administrator, choice: &Choice, used: &OfTeam, now: DateTime<Utc>) -> Markup {
    let what = words::unit(&choice.unit);
    html! {
        (corrupt(used.corrupt))
        (left_out(!used.is_whole, "some numbers are too low, and keys that used something may be missing"))
        section .panel aria-labelledby="usage" {
            div .between {
                h2 #usage { "What the team used" }
                (days(administrator, "", &[], choice))
            }
            (units(administrator, "", &[], choice, &used.units))
            @if used.figures.total() == 0 {
                p .empty { "No " (what) " in these " (choice.days) " days." }
            } @else {
                (chart(&used.figures, &what))
            }
        }
        section .panel aria-labelledby="members" {
            div .between {
                h2 #members { "Members" }
                (find(administrator))
            }
            @if used.members.is_empty() {
                p .empty { "Nobody used any " (what) " in these " (choice.days) " days." }
            } @else {
                ol .members {
                    @for (place, member) in used.members.iter().enumerate() {
                        li { (of_member(administrator, choice, used, place, member, now)) }
                    }
                }
                (others(used, &what))
            }
            (idle(administrator, used, &what))
        }
    }
}

/// Members that used nothing, so that everybody is found here.
fn idle(administrator: &Administrator, used: &OfTeam, what: &str) -> Markup {
    let (members, more) = &used.idle;
    html! {
        @if !members.is_empty() {
            h3 { "Members who used no " (what) }
            ul .rows {
                @for account in members { li { div .row { p .head { (administrator.person(account)) } span .amount { "0" } } } }
            }
        }
        @if *more > 0 { p .hint { "And " (words::count(*more, "more member")) " who used none; look one up to see it." } }
    }
}

fn others(used: &OfTeam, what: &str) -> Markup {
    let (many, amount) = used.others;
    html! {
        @if many > 0 {
            p .hint {
                "These are the " (MAX_MEMBERS) " who used the most. "
                (words::count(many, "other member")) " used " (words::number(amount)) " " (what) " together; look one up to see it."
            }
        }
        @if !used.are_all_members {
            p .hint {
                "There are more members than this page looks through, and one who used more may be missing in the list."
                @if used.is_whole { " The numbers of the whole team are complete." }
            }
        }
    }
}

/// The choice of days.
pub(super) fn days(administrator: &Administrator, path: &str, query: &[(&str, &str)], choice: &Choice) -> Markup {
    html! {
        nav .tabs aria-label="Days (UTC)" {
            @for days in DAYS {
                @let text = days.to_string();
                @let chosen = [("unit", choice.unit.as_str()), ("days", text.as_str())];
                a href=(administrator.href(path, &[query, &chosen].concat())) aria-current=[(days == choice.days).then_some("true")] {
                    (days) " days"
                }
            }
        }
    }
}

/// The choice of what is counted, with how much there was of each.
pub(super) fn units(
    administrator: &Administrator,
    path: &str,
    query: &[(&str, &str)],
    choice: &Choice,
    units: &[(Unit, u64)],
) -> Markup {
    let days = choice.days.to_string();
    html! {
        nav .units aria-label="What is counted" {
            @for (unit, amount) in units {
                @let chosen = [("unit", unit.as_str()), ("days", days.as_str())];
                a href=(administrator.href(path, &[query, &chosen].concat())) aria-current=[(*unit == choice.unit).then_some("true")] {
                    span .label { (words::unit(unit)) }
                    " "
                    span .amount { (words::number(*amount)) }
                }
            }
        }
    }
}

/// A form to look one person up.
pub(super) fn find(administrator: &Administrator) -> Markup {
    html! {
        form .find role="search" method="get" action=(administrator.href("person", &[])) {
            label .unseen for="find" { "Account or name of a person" }
            input #find type="search" name="account" placeholder="Account or name" required autocomplete="off" spellcheck="false" list="people";
            datalist #people {
                @for (account, name) in administrator.people.iter().take(MAX_OFFERED) { option value=(account) label=(name) {} }
            }
            button .button .small type="submit" { "Look up" }
        }
    }
}

fn of_member(
    administrator: &Administrator,
    choice: &Choice,
    used: &OfTeam,
    place: usize,
    member: &MemberUse,
    now: DateTime<Utc>,
) -> Markup {
    let total = used.figures.total();
    let keys = member.keys.len() + member.more_keys;
    html! {
        details .member {
            summary {
                @if place < MAX_BANDS { (swatch(place, false)) } @else { (swatch(place, true)) }
                span .who {
                    (administrator.called(member.account.as_str()))
                    @if administrator.people.has_left(&member.account) { " " span .tag .warn { "Left" } }
                }
                span .keys { (words::count(keys, "key")) }
                span .amount { (words::number(member.amount)) }
                span .share { (words::share(member.amount, total)) }
            }
            div .inside {
                (of_keys(administrator, &member.account, choice, &used.units, &member.keys, now))
                @if member.more_keys > 0 { p .hint { "And " (words::count(member.more_keys, "more key")) " with less." } }
                p { a href=(administrator.href("person", &[
                    ("account", member.account.as_str()), ("unit", choice.unit.as_str()), ("days", &choice.days.to_string()),
                ])) { "Day by day, all keys, and cutting off" span .unseen { ": " (administrator.called(member.account.as_str())) } } }
            }
        }
    }
}

/// Keys with what they used: of the chosen unit, and of some others.
pub(super) fn of_keys(
    administrator: &Administrator,
    account: &AccountId,
    choice: &Choice,
    units: &[(Unit, u64)],
    keys: &[KeyUse],
    now: DateTime<Utc>,
) -> Markup {
    let others = units.iter().map(|(unit, _)| unit).filter(|unit| **unit != choice.unit);
    let units: Vec<&Unit> = std::iter::once(&choice.unit).chain(others).take(MAX_COLUMNS).collect();
    html! {
        div .scrolls tabindex="0" role="region" aria-label={ "What the keys of " (administrator.people.called(account.as_str())) " used" } {
            table .stacks {
                thead {
                    tr {
                        th scope="col" { "Key" }
                        th scope="col" { "Status" }
                        @for unit in &units { th .number scope="col" { (words::unit(unit)) } }
                        th scope="col" { "Last used" }
                        th scope="col" { "Expires" }
                    }
                }
                tbody {
                    @for key in keys {
                        tr {
                            th scope="row" {
                                a href=(administrator.href("audit", &[("key", &key.id.to_string())])) { (key.name()) }
                                code { (key.id) }
                            }
                            td data-label="Status" {
                                @match &key.key {
                                    Some(row) => { (status(row.status(now))) }
                                    None => { span .tag { "Deleted" } }
                                }
                            }
                            @for unit in &units { td .number data-label=(words::unit(unit)) { (words::number(key.of(unit))) } }
                            td data-label="Last used" { @match key.key.as_ref().and_then(|row| row.last_used_at) { Some(at) => (distance(at, now)), None => "–" } }
                            td data-label="Expires" {
                                @match key.key.as_ref() {
                                    Some(row) => { @match row.expires_at { Some(at) => (distance(at, now)), None => "Never" } }
                                    None => "–",
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A key's status, as a word with a colour.
pub(super) fn status(status: clove_core::Status) -> Markup {
    use clove_core::Status;
    let class = match status {
        Status::Active => "good",
        Status::Suspended | Status::Expired => "warn",
        Status::Compromised => "bad",
        Status::Revoked => "still",
    };
    html! { span .tag .(class) { (status) } }
}
