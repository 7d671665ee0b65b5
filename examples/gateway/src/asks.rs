//! What the gateway reads of a request's body; the rest is the upstream's.

use clove_http::AnthropicError;
use http::StatusCode;
use serde::Deserialize;
use std::borrow::Cow;

/// The members that decide. One that is there twice is refused: the upstream might read the other.
#[derive(Debug, Deserialize)]
pub(crate) struct Asks<'a> {
    #[serde(borrow)]
    pub(crate) model: Cow<'a, str>,
    pub(crate) max_tokens: Option<u64>,
}

impl<'a> Asks<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, AnthropicError> {
        serde_json::from_slice(body).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let what = match error.classify() {
                // Its words are about the members above, and quote no other part of the body.
                serde_json::error::Category::Data => format!("The body of the request cannot be used: {error}."),
                _ => format!("The body of the request is not valid JSON ({place})."),
            };
            AnthropicError::new(StatusCode::BAD_REQUEST, what)
        })
    }

    /// The most tokens that its answer may have.
    pub(crate) fn max_tokens(&self) -> Result<u64, AnthropicError> {
        self.max_tokens.ok_or_else(|| AnthropicError::new(StatusCode::BAD_REQUEST, "max_tokens: Field required"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_decides_is_read_and_the_rest_is_not() {
        let asks = Asks::read(br#"{"messages": [{"role": "user"}], "mod\u0065l": "d\u0065mo", "max_tokens": 5}"#).unwrap();
        assert_eq!((&*asks.model, asks.max_tokens), ("demo", Some(5)));
    }

    #[test]
    fn a_member_that_is_there_twice_or_of_another_kind_is_refused() {
        for body in [
            r#"{"model": "allowed", "model": "forbidden", "max_tokens": 1}"#,
            r#"{"model": "allowed", "mod\u0065l": "forbidden", "max_tokens": 1}"#,
            r#"{"model": "a", "max_tokens": 1, "max_tokens": 1000000}"#,
            r#"{"model": 5, "max_tokens": 1}"#,
            r#"{"model": "a", "max_tokens": -1}"#,
            r#"{"model": "a", "max_tokens": 1e9}"#,
            r#"{"max_tokens": 1}"#,
            r#"{"model": "a", "max_tokens": 1} {"model": "b"}"#,
            "[]",
            "",
        ] {
            assert!(Asks::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
