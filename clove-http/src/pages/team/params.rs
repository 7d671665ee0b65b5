//! What a query or a form says.

use axum::{
    extract::{FromRequestParts, Query},
    response::Response,
};
use clove_core::AccountId;
use http::request::Parts;

/// Names and values. Of one name that is given twice, the last value counts; an empty one is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(pub(super) Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        // Whatever it is, there are pairs in it, or none.
        Ok(Self(Query::from_request_parts(parts, state).await.map(|Query(pairs)| pairs).unwrap_or_default()))
    }
}

impl Params {
    /// A value, without white space around it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rev().find(|(given, _)| given == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    /// The account that `account` names, if it can be one.
    pub(super) fn account(&self) -> Option<AccountId> {
        self.get("account").and_then(|account| AccountId::new(account).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_several_values_counts_and_an_empty_one_is_none() {
        let params = Params(
            [("a", "1"), ("a", " 2 "), ("b", "x"), ("b", " ")].map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        );
        assert_eq!((params.get("a"), params.get("b"), params.get("c")), (Some("2"), None, None));
    }
}
