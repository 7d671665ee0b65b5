//! The host around the pages.

use clove_core::Role;

/// What the head of each page says of the host: its name, and its other pages. Without, there is none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    name: String,
    home: String,
    links: Vec<Link>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    label: String,
    address: String,
    for_administrators: bool,
}

impl Site {
    /// A host of this name, with its first page at an address. The address is the host's own to choose: never one that a visitor
    /// has given.
    pub fn new(name: impl Into<String>, home: impl Into<String>) -> Self {
        Self { name: name.into(), home: home.into(), links: Vec::new() }
    }

    /// A link to another page of the host, in the head of each page.
    #[must_use]
    pub fn link(mut self, label: impl Into<String>, address: impl Into<String>) -> Self {
        self.links.push(Link { label: label.into(), address: address.into(), for_administrators: false });
        self
    }

    /// A link like [`link`](Self::link) that only administrators see, as to the team page, which refuses everybody else.
    #[must_use]
    pub fn link_for_administrators(mut self, label: impl Into<String>, address: impl Into<String>) -> Self {
        self.links.push(Link { label: label.into(), address: address.into(), for_administrators: true });
        self
    }

    /// As a visitor of this role sees it.
    pub(crate) fn seen_as(&self, role: Role) -> Self {
        let mut site = self.clone();
        if role == Role::Administrator {
            site.links.iter_mut().for_each(|link| link.for_administrators = false);
        }
        site
    }

    /// The name and the address of the first page; `None` where the host gave none.
    pub(crate) fn name(&self) -> Option<(&str, &str)> {
        (!self.name.is_empty()).then_some((&self.name, &self.home))
    }

    /// Labels and addresses of other pages, but of those for administrators.
    pub(crate) fn links(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let links = self.links.iter().filter(|link| !link.for_administrators);
        links.map(|link| (link.label.as_str(), link.address.as_str())).collect::<Vec<_>>().into_iter()
    }
}
