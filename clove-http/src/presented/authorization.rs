//! What stands in an `Authorization` header.

/// Its scheme, as far as it matters here.
pub(super) enum Authorization<'a> {
    /// A bearer token, well formed or not: what follows the scheme and its one space.
    Bearer(&'a [u8]),
    /// Another scheme.
    Other,
    /// Another scheme, to which a bearer token was joined by a comma.
    Joined,
}

impl<'a> Authorization<'a> {
    /// Reads a header's value. The scheme is the token at its start (RFC 9110 section 11.4).
    pub(super) fn read(value: &'a [u8]) -> Self {
        match bearer(value) {
            Some(credential) => Self::Bearer(credential),
            None if value.split(|&byte| byte == b',').any(|part| bearer(part.trim_ascii_start()).is_some()) => Self::Joined,
            None => Self::Other,
        }
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().position(|&byte| !is_token(byte)).unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(end)?;
    // What is no space stays: no credential begins with it.
    scheme.eq_ignore_ascii_case(b"bearer").then(|| rest.strip_prefix(b" ").unwrap_or(rest))
}

/// A character of a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
