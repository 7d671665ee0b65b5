//! What the headers of a command say: based on which revision, under which key of idempotency, and why.

use crate::problem::Problem;
use clove_core::{OperationId, Owner};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
pub(super) const AUDIT_REASON: HeaderName = HeaderName::from_static("audit-reason");

/// The longest `Idempotency-Key`, in characters.
const MAX_IDEMPOTENCY_KEY: usize = 255;
/// Keys begin at 1: a tag that names no revision conflicts with that of each key.
const NO_REVISION: u64 = 0;
const DEFAULT_REASON: &str = "management API";

/// The strong entity tag of a revision (RFC 9110 section 8.8.3).
pub(super) fn entity_tag(revision: u64) -> HeaderValue {
    // Digits in quotes are a header's value.
    HeaderValue::from_str(&format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The revision that `If-Match` names: one entity tag. A list, or `*`, would be a change of what nobody has looked at.
pub(super) fn revision(headers: &HeaderMap) -> Result<u64, Problem> {
    let Some(tag) = only(headers, &header::IF_MATCH, "if-match")? else {
        let detail = "Send If-Match with the ETag of the key as you have seen it.";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "if-match-required", "If-Match is required", detail));
    };
    let opaque = tag.strip_prefix(b"W/").unwrap_or(tag).strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\""));
    let Some(opaque) = opaque.filter(|opaque| opaque.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..))) else {
        return Err(bad_header("if-match", "If-Match must be one entity tag, as an ETag gave it."));
    };
    // Compared as texts: no other spelling of a revision is one, and nor is a weak tag.
    let revision = std::str::from_utf8(opaque).ok().and_then(|text| text.parse::<u64>().ok());
    Ok(revision.filter(|revision| entity_tag(*revision).as_bytes() == tag).unwrap_or(NO_REVISION))
}

/// The operation id that an `Idempotency-Key` of this owner's stands for: always the same one for a command, and nobody else's.
pub(super) fn operation(headers: &HeaderMap, owner: &Owner, command: &str) -> Result<Option<OperationId>, Problem> {
    let Some(key) = only(headers, &IDEMPOTENCY_KEY, "idempotency-key")? else { return Ok(None) };
    if !(1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()) || !key.iter().all(u8::is_ascii_graphic) {
        return Err(bad_header("idempotency-key", "Idempotency-Key must be 1 to 255 visible ASCII characters."));
    }
    let mut hash = Sha256::new_with_prefix("clove: the operation id of an Idempotency-Key");
    for part in [owner.organization.as_str().as_bytes(), owner.account.as_str().as_bytes(), command.as_bytes(), key] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let hash = <[u8; 32]>::from(hash.finalize());
    let bits = hash.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
    // Version 7 and the variant of RFC 9562, which an operation id has: 122 bits of the hash are left.
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | 0x7 << 76 | 0b10 << 62;
    Ok(OperationId::from_slice(&bits.to_be_bytes()).ok())
}

/// Why, for the audit trail: UTF-8, with percent signs for what no header takes as it is (RFC 3986 section 2.1).
pub(super) fn reason(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(reason) = only(headers, &AUDIT_REASON, "audit-reason")? else { return Ok(DEFAULT_REASON.to_owned()) };
    // A percent sign that begins nothing was meant as one, and not sent as one.
    let is_whole = |rest: &[u8]| matches!(rest, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    if !reason.is_ascii() || !reason.split(|byte| *byte == b'%').skip(1).all(is_whole) {
        return Err(bad_reason());
    }
    let text = percent_encoding::percent_decode(reason).decode_utf8().map_err(|_| bad_reason())?;
    Ok(text.into_owned())
}

pub(super) fn bad_reason() -> Problem {
    let detail = "Audit-Reason must be 1 to 500 visible characters on one line, as percent-encoded UTF-8.";
    bad_header("audit-reason", detail)
}

/// The value of a header that may be sent once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName, told: &'static str) -> Result<Option<&'a [u8]>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(HeaderValue::as_bytes)),
        (_, Some(_)) => Err(bad_header(told, "This header may be sent once.")),
    }
}

fn bad_header(name: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-header", "A header breaks a rule", detail).with("header", name)
}
