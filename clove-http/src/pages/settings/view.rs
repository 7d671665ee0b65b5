//! Which keys a visitor looks at.

use crate::{
    pages::{fields::Fields, links::Links},
    visitor::Visitor,
};
use clove_core::{Cursor, Invalid, Role, Scope};

/// A part of a list of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// All keys of the organization, not just the visitor's own.
    pub(super) everyone: bool,
    /// The page after this one.
    pub(super) after: Option<Cursor>,
}

impl View {
    /// What a query asks for. Who is no administrator sees its own keys, whatever it asks for.
    pub(super) fn of(query: &Fields, visitor: &Visitor) -> Result<Self, Invalid> {
        let everyone = visitor.role() == Role::Administrator && query.get("of") == Some("everyone");
        Ok(Self { everyone, after: query.get("after").map(str::parse).transpose()? })
    }

    pub(super) fn scope(&self, visitor: &Visitor) -> Scope {
        if self.everyone { visitor.scope() } else { visitor.owner().into() }
    }

    /// Whose menu the keys have: among its own, an administrator is an owner as others are.
    pub(super) fn role(&self, visitor: &Visitor) -> Role {
        if self.everyone { visitor.role() } else { Role::Owner }
    }

    /// The first page of the same list.
    pub(super) fn first(&self) -> Self {
        Self { after: None, ..self.clone() }
    }

    /// The address of this view, with more in its query.
    pub(super) fn address(&self, links: &Links, more: &[(&str, &str)]) -> String {
        let after = self.after.as_ref().map(ToString::to_string);
        let mut query = Vec::new();
        query.extend(self.everyone.then_some(("of", "everyone")));
        query.extend(after.as_deref().map(|after| ("after", after)));
        query.extend(more);
        links.page_with(&query)
    }
}
