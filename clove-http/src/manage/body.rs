//! Reading bodies and queries strictly, and saying what is wrong with them without repeating a value.

use super::MAX_BODY_BYTES;
use crate::problem::Problem;
use axum::{
    Json,
    extract::rejection::{JsonRejection, QueryRejection},
};
use http::{HeaderMap, StatusCode, header};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny},
};
use std::error::Error;

/// The longest name of a field that is repeated: all of ours are shorter, and a secret is longer.
const MAX_TOLD: usize = 24;

/// Refuses a body that is not said to be JSON: `application/json`, with parameters or without.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    if let (Some(only), None) = (types.next(), types.next())
        && let Ok(only) = only.to_str()
        && only.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
    {
        return Ok(());
    }
    let detail = "Send the body as application/json.";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is of another type", detail))
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    Json::from_bytes(bytes).map(|Json(value)| value).map_err(|error| match error {
        JsonRejection::JsonDataError(error) => complaint(BAD_BODY, &error),
        // So `serde_json` calls some values of another type as well.
        JsonRejection::JsonSyntaxError(error) if is_json(bytes) => complaint(BAD_BODY, &error),
        _ => Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON", "The body must be one JSON text."),
    })
}

fn is_json(bytes: &[u8]) -> bool {
    // What is ignored is not looked at for its encoding.
    std::str::from_utf8(bytes).is_ok() && Json::<IgnoredAny>::from_bytes(bytes).is_ok()
}

pub(super) fn bad_query(error: &QueryRejection) -> Problem {
    complaint(BAD_QUERY, error)
}

/// A parameter of the query that breaks a rule.
pub(super) fn bad_value(parameter: &'static str) -> Problem {
    problem(BAD_QUERY, format!("{parameter} {OUT_OF_RANGE}.")).with("field", parameter)
}

pub(super) fn unread(status: StatusCode) -> Problem {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("The body may have {MAX_BODY_BYTES} bytes at most.");
        return Problem::new(status, "body-too-large", "The body is too large", detail);
    }
    Problem::new(StatusCode::BAD_REQUEST, "body-unread", "The body could not be read", "The body ended too early.")
}

type Kind = (StatusCode, &'static str, &'static str);

const BAD_BODY: Kind = (StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", "The body is not as described");
const BAD_QUERY: Kind = (StatusCode::BAD_REQUEST, "invalid-query", "The query is not as described");
const OUT_OF_RANGE: &str = "is out of range, or of another type";

/// A problem that names the field which `serde` complains of.
fn complaint(kind: Kind, error: &dyn Error) -> Problem {
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    let (field, wrong) = field_of(&said);
    match field.filter(|field| is_told(field)) {
        Some(field) => problem(kind, format!("{field} {wrong}.")).with("field", field),
        None => problem(kind, format!("A field {wrong}.")),
    }
}

fn problem((status, kind, title): Kind, detail: String) -> Problem {
    Problem::new(status, kind, title, detail)
}

/// Which field, and what is wrong with it, of a message in the form `path: words`. The words of `serde` quote values, and are left out.
fn field_of(said: &str) -> (Option<&str>, &'static str) {
    let wrongs =
        [("unknown field `", "is not a field here"), ("missing field `", "is missing"), ("duplicate field `", "is there twice")];
    for (before, wrong) in wrongs {
        let words = said.strip_prefix(before).or_else(|| said.split_once(": ")?.1.strip_prefix(before));
        if let Some((field, _)) = words.and_then(|words| words.split_once('`')) {
            return (Some(field), wrong);
        }
    }
    (said.split_once(": ").map(|(path, _)| path), OUT_OF_RANGE)
}

fn is_told(field: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']');
    (1..=MAX_TOLD).contains(&field.len()) && field.bytes().all(is_plain)
}

/// A whole number, which JSON Schema finds in `1.0` and `1e2` as well (2020-12 validation, section 6.1.1).
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    // Above 2^53 not each whole number has a form of its own there.
    let exact = |number: f64| (number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&number)).then(|| format!("{number:.0}"));
    let number = number.as_u64().or_else(|| number.as_f64().and_then(exact)?.parse().ok());
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| D::Error::custom("out of range"))
}

const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
