//! The host around the pages.

/// What the head of each page says of the host: its name, and its other pages. Without, there is none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    name: String,
    home: String,
    links: Vec<(String, String)>,
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
        self.links.push((label.into(), address.into()));
        self
    }

    /// The name and the address of the first page; `None` where the host gave none.
    pub(crate) fn name(&self) -> Option<(&str, &str)> {
        (!self.name.is_empty()).then_some((&self.name, &self.home))
    }

    /// Labels and addresses of other pages.
    pub(crate) fn links(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.links.iter().map(|(label, address)| (label.as_str(), address.as_str()))
    }
}
