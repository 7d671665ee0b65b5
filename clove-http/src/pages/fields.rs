//! What a form or a query says, by the names of its fields.

/// Pairs of names and values as they came. Not to be shown: somebody may have pasted a secret into one.
#[derive(Clone, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl From<Vec<(String, String)>> for Fields {
    fn from(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }
}

impl Fields {
    /// The first value of this name; `None` where there is none, or an empty one.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(named, _)| named == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(named, _)| named == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_and_never_shown() {
        let fields = Fields::from(
            [("name", "a"), ("name", "b"), ("empty", "")].map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        );
        assert_eq!((fields.get("name"), fields.get("empty"), fields.get("none")), (Some("a"), None, None));
        assert_eq!(fields.all("name").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(format!("{fields:?}"), r#"["name", "name", "empty"]"#);
    }
}
