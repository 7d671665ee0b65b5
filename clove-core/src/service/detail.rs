//! What events say of their commands in words, and whether a command is visibly another one than an event tells of.

use super::{decide::replay, manage::Edit};
use crate::{
    audit::{Action, AuditEvent},
    error::Refusal,
    id::{KeyId, Scope},
    key::Key,
    store::{ActiveLimit, Decision, Facts},
};
use chrono::{DateTime, TimeDelta, Utc};

/// As [`replay`], for a command with arguments: an event that is not the `same` as what is asked for now is another command's,
/// and its operation id used up. To answer with it would say that something was done which never was.
pub(super) fn replay_of(
    facts: &Facts,
    action: Action,
    scope: &Scope,
    key: Option<KeyId>,
    same: impl FnOnce(&AuditEvent) -> bool,
) -> Option<Decision> {
    match replay(facts, action, scope, key)? {
        Decision::Replay(event, _) if !same(&event) => {
            Some(Decision::Refuse(Refusal::OperationReused { operation: event.operation }))
        }
        decision => Some(decision),
    }
}

const NEVER: &str = "never expires";
const MAY_DO: &str = ", may do ";

/// A key was created or imported.
pub(super) fn issued(key: &Key) -> String {
    let expires = key.expires_at.map_or_else(|| NEVER.to_owned(), |at| format!("expires {}", at.format("%Y-%m-%d")));
    format!("{expires}{MAY_DO}{}", key.capabilities)
}

/// Whether the key to be created is visibly another one. A date is not compared: it moves with the day of the repetition.
pub(super) fn is_other_issue(event: &AuditEvent, key: &Key) -> bool {
    let told = event.detail.split_once(MAY_DO);
    event.key.as_ref().is_some_and(|audited| audited.name != key.name)
        || told.is_some_and(|(expires, capabilities)| {
            (expires == NEVER) != key.expires_at.is_none() || capabilities != key.capabilities.to_string()
        })
}

/// A key was edited: what changed, empty if nothing did. The name comes last, since it may hold anything.
pub(super) fn edited(before: &Key, after: &Key) -> String {
    let mut changed = Vec::new();
    if before.description != after.description {
        changed.push("description".to_owned());
    }
    if before.metadata != after.metadata {
        changed.push("metadata".to_owned());
    }
    if before.capabilities != after.capabilities {
        changed.push(format!("capabilities {} → {}", before.capabilities, after.capabilities));
    }
    if before.name != after.name {
        changed.push(format!("name {:?} → {:?}", before.name, after.name));
    }
    changed.join(", ")
}

/// Whether the edit is visibly another one: it names another value, or does not name what was changed.
pub(super) fn is_other_edit(event: &AuditEvent, edit: &Edit) -> bool {
    let named = event.key.as_ref().map(|audited| &audited.name);
    if edit.name.as_ref().zip(named).is_some_and(|(wanted, named)| wanted != named) {
        return true;
    }
    let mut rest = event.detail.as_str();
    while !rest.is_empty() {
        let (field, value) = rest.split_once([',', ' ']).unwrap_or((rest, ""));
        let unnamed = match field {
            "description" => edit.description.is_none(),
            "metadata" => edit.metadata.is_none(),
            "capabilities" => {
                // No capability holds a comma.
                let told = value.split(',').next().and_then(|change| change.split_once(" → "));
                told.is_some_and(|(_, new)| edit.capabilities.as_ref().is_none_or(|wanted| wanted.to_string() != new))
            }
            // What follows is the name, compared above.
            "name" => return edit.name.is_none(),
            _ => false,
        };
        if unnamed {
            return true;
        }
        rest = rest.split_once(", ").map_or("", |(_, rest)| rest);
    }
    false
}

const ENDS: &str = "the older secret ends ";

/// A key got a new secret: until when the older one is good, if it is.
pub(super) fn rotated(older_until: Option<DateTime<Utc>>) -> String {
    match older_until {
        None => "the older secret ended at once".to_owned(),
        Some(until) => format!("{ENDS}{}", until.format("%Y-%m-%d %H:%M:%S UTC")),
    }
}

/// Whether the rotation is visibly another one: the older secret has an end that this grace does not lead to. One that ended at
/// once tells nothing, as it does for a suspended key whatever the grace.
pub(super) fn is_other_rotation(event: &AuditEvent, grace: TimeDelta, facts: &Facts) -> bool {
    // Of a key that is gone since, the expiry is not known, nor needed.
    let Some(stored) = facts.keys.first() else { return false };
    let until = event.at.checked_add_signed(grace).map(|until| stored.key.expires_at.map_or(until, |end| end.min(until)));
    event.detail.starts_with(ENDS) && until.is_none_or(|until| event.detail != rotated(Some(until)))
}

/// An owner's own active limit was set.
pub(super) fn limited(limit: Option<ActiveLimit>) -> String {
    match limit {
        Some(ActiveLimit::AtMost(limit)) => format!("at most {limit}"),
        Some(ActiveLimit::Unlimited) => "unlimited".to_owned(),
        None => "as the policy says".to_owned(),
    }
}
