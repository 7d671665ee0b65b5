//! What events say of their commands in words.

use crate::{budget::BudgetChoice, key::Key, limit::LimitChoice, store::ActiveLimit, usage::Unit};
use chrono::{DateTime, Utc};

/// A key was created or imported.
pub(super) fn issued(key: &Key) -> String {
    let limits = match &key.limits {
        LimitChoice::Default => String::new(),
        other => format!(", limits {}", limited_to(other)),
    };
    let expires = key.expires_at.map_or_else(|| "never expires".to_owned(), |at| format!("expires {}", at.format("%Y-%m-%d")));
    format!("{expires}, may do {}{limits}", key.capabilities)
}

/// A key was edited: what changed, empty if nothing did.
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
    if before.limits != after.limits {
        changed.push(format!("limits {} → {}", limited_to(&before.limits), limited_to(&after.limits)));
    }
    if before.name != after.name {
        changed.push(format!("name {:?} → {:?}", before.name, after.name));
    }
    changed.join(", ")
}

/// A key got a new secret: until when the older one is good, if it is.
pub(super) fn rotated(older_until: Option<DateTime<Utc>>) -> String {
    match older_until {
        None => "the older secret ended at once".to_owned(),
        Some(until) => format!("the older secret ends {}", until.format("%Y-%m-%d %H:%M:%S UTC")),
    }
}

/// An owner's own active limit was set.
pub(super) fn limited(limit: Option<ActiveLimit>) -> String {
    match limit {
        Some(ActiveLimit::AtMost(limit)) => format!("at most {limit}"),
        Some(ActiveLimit::Unlimited) => "unlimited".to_owned(),
        None => "as the policy says".to_owned(),
    }
}

/// A budget was set: from what to what.
pub(super) fn budgeted(unit: &Unit, before: Option<BudgetChoice>, after: BudgetChoice) -> String {
    let named = |choice| match choice {
        BudgetChoice::Default => "as the policy says".to_owned(),
        BudgetChoice::Unlimited => "unlimited".to_owned(),
        BudgetChoice::Own(budget) => budget.to_string(),
    };
    let before = before.map_or_else(|| "unreadable".to_owned(), named);
    format!("{unit}: {before} → {}", named(after))
}

/// Request limits, "60/60 5000/86400" for 60 in 60 seconds and 5,000 in a day.
pub(super) fn limited_to(limits: &LimitChoice) -> String {
    match limits {
        LimitChoice::Default => "as the policy says".to_owned(),
        other => other.to_stored(),
    }
}
