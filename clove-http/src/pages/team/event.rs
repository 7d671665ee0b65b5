//! An event of the audit trail as a sentence.

use super::administrator::Administrator;
use crate::pages::time::time;
use clove_core::{AccountId, Action, AuditEvent};
use maud::{Markup, html};

/// What an event is about, in the sentence's order.
enum About {
    /// "created the key … of …".
    Key(&'static str),
    /// "cut off …".
    Person(&'static str),
    /// "set the budget of …".
    Of(&'static str),
    /// "closed the whole organization".
    Organization(&'static str),
}

/// What was done, as a verb.
fn about(action: Action) -> Option<About> {
    Some(match action {
        Action::Create => About::Key("created"),
        Action::Import => About::Key("imported"),
        Action::Edit => About::Key("edited"),
        Action::Disable => About::Key("disabled"),
        Action::Enable => About::Key("enabled"),
        Action::Revoke => About::Key("revoked"),
        Action::FlagCompromised => About::Key("marked as compromised"),
        Action::ReportLeaked => About::Key("reported as leaked"),
        Action::Rotate => About::Key("gave a new secret to"),
        Action::Delete => About::Key("deleted"),
        Action::LatchExpiry => About::Key("gave away the place of"),
        Action::SetActiveLimit => About::Of("set how many keys may be active of"),
        Action::SetRequestLimits => About::Of("set the request limits of"),
        Action::SetBudget => About::Of("set a budget of"),
        Action::CloseOwner => About::Person("cut off"),
        Action::ReopenOwner => About::Person("opened again the account of"),
        Action::CloseOrganization => About::Organization("closed"),
        Action::ReopenOrganization => About::Organization("opened again"),
        _ => return None,
    })
}

/// What an action is called in a list to choose from.
pub(super) fn label(action: Action) -> &'static str {
    match action {
        Action::Create => "Key created",
        Action::Import => "Key imported",
        Action::Edit => "Key edited",
        Action::Disable => "Key disabled",
        Action::Enable => "Key enabled",
        Action::Revoke => "Key revoked",
        Action::FlagCompromised => "Key marked as compromised",
        Action::ReportLeaked => "Secret reported as leaked",
        Action::Rotate => "New secret",
        Action::Delete => "Key deleted",
        Action::LatchExpiry => "Place of an expired key given away",
        Action::SetActiveLimit => "Limit of active keys set",
        Action::SetRequestLimits => "Request limits set",
        Action::SetBudget => "Budget set",
        Action::CloseOwner => "Person cut off",
        Action::ReopenOwner => "Account opened again",
        Action::CloseOrganization => "Organization closed",
        Action::ReopenOrganization => "Organization opened again",
        // What later versions add is called as it is stored.
        other => other.as_str(),
    }
}

/// Who did what, why, and when.
pub(super) fn event(administrator: &Administrator, event: &AuditEvent) -> Markup {
    html! {
        div .event {
            p .head {
                strong { (administrator.called(event.actor.as_str())) }
                " "
                (said(administrator, event))
                @if event.changed { "." } @else { ", which changed nothing." }
            }
            @if !event.detail.is_empty() { p .detail { (event.detail) } }
            p .hint {
                (time(event.at)) " · Reason: " q { (event.reason.as_str()) }
                @if let Some(key) = &event.key { " · " code { (key.id) } }
            }
        }
    }
}

fn said(administrator: &Administrator, event: &AuditEvent) -> Markup {
    let of = |account: &Option<AccountId>| {
        html! {
            @match account { Some(account) => (administrator.person(account)), None => "the whole organization" }
        }
    };
    html! {
        @match about(event.action) {
            Some(About::Key(verb)) => {
                (verb) " the key "
                @if let Some(key) = &event.key {
                    a href=(administrator.href("audit", &[("key", &key.id.to_string())])) { "“" (key.name) "”" }
                }
                @if event.account.is_some() { " of " (of(&event.account)) }
            }
            Some(About::Person(verb) | About::Of(verb)) => { (verb) " " (of(&event.account)) }
            Some(About::Organization(verb)) => { (verb) " the whole organization" }
            None => { (event.action) " " (of(&event.account)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_words_of_its_own() {
        let mut labels = std::collections::BTreeSet::new();
        for action in Action::ALL {
            assert!(about(action).is_some(), "{action}");
            assert!(labels.insert(label(action)), "{action} is called as another");
        }
    }
}
