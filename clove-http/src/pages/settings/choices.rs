//! What there is to choose from for a new key.

use super::App;
use crate::visitor::Visitor;
use clove_core::{Capability, CapabilitySet, Expiry, ExpiryPolicy};

/// A capability to choose, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub(super) capability: Capability,
    pub(super) label: String,
}

impl Offered {
    /// A capability, with a few words that say what it is.
    pub fn new(capability: Capability, label: impl Into<String>) -> Self {
        Self { capability, label: label.into() }
    }

    /// A capability that the host has no words for.
    fn unnamed(capability: Capability) -> Self {
        let label = match capability.as_str().split_once(':') {
            Some(("*", "*")) => "Everything".to_owned(),
            Some((resource, "*")) => format!("All of {resource}"),
            Some(("*", action)) => format!("{action}, of everything"),
            Some((resource, action)) => format!("{resource}: {action}"),
            None => capability.to_string(),
        };
        Self { capability, label }
    }
}

/// Whether a set holds a capability, by name or by a wildcard.
pub(super) fn holds(set: &CapabilitySet, capability: &Capability) -> bool {
    set.iter().any(|held| held.covers(capability))
}

/// The capabilities that a visitor may choose: those of the host that it may grant, or the very names of what it may grant.
pub(super) fn capabilities(app: &App, visitor: &Visitor) -> Vec<Offered> {
    match &app.offered {
        Some(offered) => offered.iter().filter(|offered| holds(visitor.capabilities(), &offered.capability)).cloned().collect(),
        None => visitor.capabilities().iter().map(Offered::unnamed).collect(),
    }
}

/// An expiry as a form tells it.
pub(super) fn to_value(expiry: Expiry) -> String {
    match expiry {
        Expiry::Days(days) => days.to_string(),
        Expiry::Never => NEVER.to_owned(),
        Expiry::At(at) => at.to_rfc3339(),
    }
}

pub(super) const NEVER: &str = "never";
/// So many days, told in another field.
pub(super) const OTHER: &str = "other";

/// The expiries to choose from, as a form tells them and in words.
pub(super) fn expiries(policy: &ExpiryPolicy) -> Vec<(String, String)> {
    let mut days = policy.days.clone();
    if let Expiry::Days(default) = policy.default
        && !days.contains(&default)
    {
        days.push(default);
        days.sort_unstable();
    }
    let days =
        days.into_iter().map(|days| (days.to_string(), if days == 1 { "1 day".to_owned() } else { format!("{days} days") }));
    days.chain(policy.never.then(|| (NEVER.to_owned(), "Never".to_owned()))).collect()
}

/// What a form chose; `None` where it is nothing of the kind.
pub(super) fn expiry(chosen: &str, days: &str) -> Option<Expiry> {
    match chosen {
        NEVER => Some(Expiry::Never),
        OTHER => days.trim().parse().ok().map(Expiry::Days),
        days => days.parse().ok().map(Expiry::Days),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_among_the_expiries() {
        let policy = ExpiryPolicy { days: vec![30, 1], default: Expiry::Days(7), custom: Some((1, 30)), never: true };
        let values: Vec<String> = expiries(&policy).into_iter().map(|(value, _)| value).collect();
        assert_eq!(values, ["1", "7", "30", "never"]);
    }

    #[test]
    fn what_a_form_chose_is_read_back() {
        for chosen in [Expiry::Days(90), Expiry::Never] {
            assert_eq!(expiry(&to_value(chosen), ""), Some(chosen));
        }
        assert_eq!(expiry(OTHER, " 12 "), Some(Expiry::Days(12)));
        assert_eq!((expiry(OTHER, "soon"), expiry("", ""), expiry("-1", "")), (None, None, None));
    }
}
