//! What is known once a person was cut off: no more than is.

use crate::pages::team::{administrator::Administrator, words};
use axum::response::Response;
use clove_core::{AccountId, Closed, Everywhere};
use http::StatusCode;
use maud::{Markup, html};
use std::time::Duration;

/// That somebody is cut off, and how far it is known to hold.
pub(super) fn cut_off(administrator: &Administrator, account: &AccountId, closed: &Closed, everywhere: &Everywhere) -> Response {
    let title = format!("{} is cut off", administrator.people.called(account.as_str()));
    let is_fact = matches!(everywhere, Everywhere::Obeyed);
    let main = html! {
        section .panel .told aria-labelledby="told" {
            h1 #told { (title) }
            div .note .(if is_fact { "good" } else { "warn" }) role="status" { p { strong { (holds(everywhere)) } } }
            p { (done(closed)) }
            @if let Some(key) = closed.unreadable {
                div .note .warn role="note" {
                    p {
                        "A stored row of key " code { (key) } " could not be read, so that the key could not be revoked. It is granted to nobody while the account "
                        "stays closed, and the account cannot be opened again until the key is revoked or deleted."
                    }
                }
            }
            p .hint {
                "A request that was granted before may still be answered. Opening the account again revives no key."
            }
            (back(administrator, account))
        }
    };
    respond(administrator, account, &title, &main)
}

/// How far it is known to hold.
fn holds(everywhere: &Everywhere) -> String {
    match everywhere {
        Everywhere::Obeyed => "No request with these keys is granted any more, on any node.".to_owned(),
        Everywhere::NotYet { nodes, at_the_latest } => {
            let here = "On this node no request with these keys is granted any more.";
            let latest = at_the_latest_in(*at_the_latest);
            match nodes.len() {
                0 => format!(
                    "{here} Of the other nodes it is not known yet: it holds on all of them in {latest} at the latest, whatever fails."
                ),
                many => {
                    let have = if many == 1 { "has" } else { "have" };
                    format!(
                        "{here} {} {have} not confirmed it yet: it holds on all nodes in {latest} at the latest, whatever fails.",
                        words::count(many, "other node")
                    )
                }
            }
        }
        _ => "On this node no request with these keys is granted any more. Of the other nodes it is not known yet.".to_owned(),
    }
}

/// A time, rounded up to seconds.
fn at_the_latest_in(time: Duration) -> String {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    format!("{} second{}", words::number(seconds), if seconds == 1 { "" } else { "s" })
}

/// What was done.
fn done(closed: &Closed) -> String {
    let account = if closed.changed { "The account was closed just now" } else { "The account was closed before" };
    match closed.revoked {
        0 if closed.changed => format!("{account}. It had no keys that could be used."),
        0 => format!("{account}, and no key was left to revoke."),
        many => format!("{account}, and {} revoked for good.", were(many)),
    }
}

fn were(many: usize) -> String {
    format!("{} {}", words::count(many, "key"), if many == 1 { "was" } else { "were" })
}

/// That nobody can say whether it was done.
pub(super) fn unknown(administrator: &Administrator, account: &AccountId) -> Response {
    let title = "Nobody knows yet whether it was done";
    let main = html! {
        section .panel .told aria-labelledby="told" {
            h1 #told { (title) }
            div .note .bad role="alert" {
                p { "The key store did not answer to the end. On this node no key of the account is granted for the next minute but by what the store says then. Do it again: it goes on where it was interrupted." }
            }
            (back(administrator, account))
        }
    };
    administrator.below(StatusCode::SERVICE_UNAVAILABLE, title, None, &main)
}

/// That an account is open again.
pub(super) fn reopened(administrator: &Administrator, account: &AccountId, changed: bool) -> Response {
    let called = administrator.people.called(account.as_str());
    let title = if changed { format!("{called} is open again") } else { format!("{called} was open before") };
    let main = html! {
        section .panel .told aria-labelledby="told" {
            h1 #told { (title) }
            div .note .good role="status" { p { strong { "New keys can be created. No old key was revived: what was revoked stays revoked." } } }
            (back(administrator, account))
        }
    };
    respond(administrator, account, &title, &main)
}

fn back(administrator: &Administrator, account: &AccountId) -> Markup {
    let query = [("account", account.as_str())];
    html! {
        div .buttons {
            a .button href=(administrator.href("person", &query)) { "To the person" }
            a .button href=(administrator.href("audit", &query)) { "To the audit trail" }
            a .button href=(administrator.href("attention", &[])) { "To what needs attention" }
        }
    }
}

fn respond(administrator: &Administrator, account: &AccountId, title: &str, main: &Markup) -> Response {
    let address = administrator.href("person", &[("account", account.as_str())]);
    administrator.below(StatusCode::OK, title, Some(&address), main)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use clove_core::id::NodeId;

    #[test]
    fn only_a_fact_is_told_as_one() {
        assert_eq!(holds(&Everywhere::Obeyed), "No request with these keys is granted any more, on any node.");
        let nodes = |many| (0..many).map(|_| NodeId::new(DateTime::UNIX_EPOCH)).collect();
        for (nodes, told) in [
            (
                nodes(0),
                "Of the other nodes it is not known yet: it holds on all of them in 2 seconds at the latest, whatever fails.",
            ),
            (
                nodes(1),
                "1 other node has not confirmed it yet: it holds on all nodes in 2 seconds at the latest, whatever fails.",
            ),
            (
                nodes(3),
                "3 other nodes have not confirmed it yet: it holds on all nodes in 2 seconds at the latest, whatever fails.",
            ),
        ] {
            let text = holds(&Everywhere::NotYet { nodes, at_the_latest: Duration::from_millis(1_001) });
            assert_eq!(text, format!("On this node no request with these keys is granted any more. {told}"));
        }
    }

    #[test]
    fn what_was_done_is_told_and_what_was_done_before() {
        let closed = |changed, revoked| done(&Closed { changed, revoked, unreadable: None });
        assert_eq!(closed(true, 2), "The account was closed just now, and 2 keys were revoked for good.");
        assert_eq!(closed(true, 1), "The account was closed just now, and 1 key was revoked for good.");
        assert_eq!(closed(true, 0), "The account was closed just now. It had no keys that could be used.");
        assert_eq!(closed(false, 3), "The account was closed before, and 3 keys were revoked for good.");
        assert_eq!(closed(false, 0), "The account was closed before, and no key was left to revoke.");
    }
}
