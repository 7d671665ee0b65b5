//! What a key may do: sets of `resource:action` names.

use crate::error::{Invalid, size};
use std::{fmt, str::FromStr, sync::Arc};

/// The longest segment of a capability, in bytes.
pub const MAX_SEGMENT_BYTES: usize = 64;
/// The most capabilities in one set.
pub const MAX_CAPABILITIES: usize = 64;

/// One `resource:action` name. Each segment is 1 to 64 characters of `a-z 0-9 _ . -`, or the wildcard `*` that stands
/// for the whole segment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Capability(Box<str>);

impl Capability {
    /// Reads one.
    ///
    /// # Errors
    /// If the text is not two valid segments joined by a colon.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        match text.split_once(':') {
            Some((resource, action)) if valid_segment(resource) && valid_segment(action) => Ok(Self(text.into())),
            _ => Err(Invalid::new(
                "capability",
                "must be resource:action, each 1 to 64 of a-z 0-9 _ . - or a single *",
                size(text),
            )),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a segment is the wildcard.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        let (resource, action) = segments(&self.0);
        resource == "*" || action == "*"
    }

    /// Whether holding this one includes `other`: each segment is equal or a wildcard here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        covers(&self.0, &other.0)
    }
}

fn valid_segment(segment: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    segment == "*" || (1..=MAX_SEGMENT_BYTES).contains(&segment.len()) && segment.bytes().all(plain)
}

fn segments(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or((name, ""))
}

fn covers(held: &str, wanted: &str) -> bool {
    if held == wanted {
        return true;
    }
    let ((held_resource, held_action), (resource, action)) = (segments(held), segments(wanted));
    (held_resource == "*" || held_resource == resource) && (held_action == "*" || held_action == action)
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
impl FromStr for Capability {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::new(text)
    }
}

/// What a key may do, or what an actor may grant. Empty grants nothing; everything is `*:*`, said explicitly.
///
/// Kept as its canonical text: sorted by bytes, without duplicates, joined by single spaces.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CapabilitySet(Arc<str>);

#[cfg(feature = "serde")]
impl serde::Serialize for CapabilitySet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl CapabilitySet {
    /// The empty set, which grants nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything: `*:*`.
    #[must_use]
    pub fn all() -> Self {
        Self("*:*".into())
    }

    /// A set of names.
    ///
    /// # Errors
    /// If a name is not valid, or there are more than 64.
    pub fn new<I: IntoIterator<Item = T>, T: AsRef<str>>(names: I) -> Result<Self, Invalid> {
        let mut set = std::collections::BTreeSet::new();
        for name in names {
            set.insert(Capability::new(name)?);
            if set.len() > MAX_CAPABILITIES {
                return Err(Invalid::new("capabilities", format!("must be at most {MAX_CAPABILITIES}"), "more"));
            }
        }
        let names: Vec<&str> = set.iter().map(Capability::as_str).collect();
        Ok(Self(names.join(" ").into()))
    }

    /// Reads the canonical text, as [`Self::as_str`] gives it.
    ///
    /// # Errors
    /// If the text is not canonical.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut last = "";
        let canonical = text.is_empty()
            || text.split(' ').all(|name| {
                let (resource, action) = segments(name);
                let ascending = last < name;
                last = name;
                ascending && valid_segment(resource) && valid_segment(action)
            });
        if !canonical || text.split(' ').count() > MAX_CAPABILITIES {
            return Err(Invalid::new("capabilities", "must be sorted names joined by spaces", size(text)));
        }
        Ok(Self(text.into()))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the set grants nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = Capability> + '_ {
        self.names().map(|name| Capability(name.into()))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|name| !name.is_empty())
    }

    /// The same, in a text that it shares with nobody.
    pub(crate) fn apart(&self) -> Self {
        Self(self.0.as_ref().into())
    }

    /// Whether anybody else has this text.
    pub(crate) fn is_held_elsewhere(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// What both sets cover, and nothing else. It may be more names than a key can have: an actor may grant it all the same.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        fn meet<'a>(a: &'a str, b: &'a str) -> Option<&'a str> {
            match (a, b) {
                ("*", segment) | (segment, "*") => Some(segment),
                _ => (a == b).then_some(a),
            }
        }
        let mut names = std::collections::BTreeSet::new();
        for (ours, theirs) in self.names().flat_map(|ours| other.names().map(move |theirs| (segments(ours), segments(theirs)))) {
            if let (Some(resource), Some(action)) = (meet(ours.0, theirs.0), meet(ours.1, theirs.1)) {
                names.insert(format!("{resource}:{action}"));
            }
        }
        Self(names.into_iter().collect::<Vec<_>>().join(" ").into())
    }

    /// The first of `wanted` that nothing here covers.
    #[must_use]
    pub fn first_beyond(&self, wanted: &Self) -> Option<Capability> {
        wanted.iter().find(|wanted| !self.names().any(|held| covers(held, wanted.as_str())))
    }
}

impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "nothing" } else { &self.0 })
    }
}
impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// What a request requires: all of these names, none of them with a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Requirement(Vec<Capability>);

impl Requirement {
    /// Requires nothing beyond a valid key.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Requires all of these names.
    ///
    /// # Errors
    /// If a name is not valid or has a wildcard.
    pub fn all_of<I: IntoIterator<Item = T>, T: AsRef<str>>(names: I) -> Result<Self, Invalid> {
        let required: Vec<_> = names.into_iter().map(Capability::new).collect::<Result<_, _>>()?;
        if required.iter().any(Capability::has_wildcard) {
            return Err(Invalid::new(
                "requirement",
                "must name each capability, without a wildcard",
                "1 or more with a wildcard",
            ));
        }
        Ok(Self(required))
    }

    /// Requires this name as well.
    ///
    /// # Errors
    /// If it is not valid or has a wildcard.
    pub fn and(mut self, name: impl AsRef<str>) -> Result<Self, Invalid> {
        let Self(more) = Self::all_of([name])?;
        self.0.extend(more);
        Ok(self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The required names that `held` does not cover; empty if all are.
    #[must_use]
    pub fn missing_from(&self, held: &CapabilitySet) -> Vec<Capability> {
        self.0.iter().filter(|wanted| !held.names().any(|held| covers(held, wanted.as_str()))).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn sets() -> impl Strategy<Value = CapabilitySet> {
        let segment = || proptest::sample::select(vec!["a", "b", "*"]);
        let name = (segment(), segment()).prop_map(|(resource, action)| format!("{resource}:{action}"));
        proptest::collection::vec(name, 0..4).prop_map(|names| CapabilitySet::new(names).unwrap())
    }

    proptest! {
        #[test]
        fn the_intersection_covers_what_both_sets_cover_and_nothing_else(a in sets(), b in sets()) {
            let both = a.intersection(&b);
            for name in ["a:a", "a:b", "a:*", "b:a", "b:b", "b:*", "*:a", "*:b", "*:*", "a:c", "c:c"] {
                let name = CapabilitySet::new([name]).unwrap();
                let covers = |set: &CapabilitySet| set.first_beyond(&name).is_none();
                prop_assert_eq!(covers(&both), covers(&a) && covers(&b), "{:?}", name);
            }
            prop_assert_eq!(CapabilitySet::parse(both.as_str()).unwrap(), both);
        }
    }
}
