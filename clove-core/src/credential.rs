//! What a client presents, read strictly: by a closed list of formats, before any I/O or hashing, without allocation.

use crate::{
    id::{KeyId, parse_uuid_v7},
    secret::{SecretFormat, is_checked},
};

/// The longest imported secret, in bytes.
pub(crate) const MAX_FOREIGN_BYTES: usize = 256;
/// Where the `;` stands in `id;secret`.
const SEPARATOR: usize = 36;

/// A well-formed credential, borrowed from what the client sent. No `Debug`: it holds the secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presented<'a> {
    /// A secret of one of the host's own formats, by itself.
    Bare(&'a [u8]),
    /// `id;secret` with a secret of one of the host's own formats.
    WithId(KeyId, &'a [u8]),
    /// `id;secret` with a secret that clove did not generate.
    Foreign(KeyId, &'a [u8]),
}

impl<'a> Presented<'a> {
    /// The secret's text.
    pub(crate) fn secret(&self) -> &'a [u8] {
        match self {
            Self::Bare(secret) | Self::WithId(_, secret) | Self::Foreign(_, secret) => secret,
        }
    }
}

/// Reads a credential; `None` is malformed, of whatever kind.
pub(crate) fn parse<'a>(text: &'a [u8], formats: &[SecretFormat], foreign: bool) -> Option<Presented<'a>> {
    // Cheapest first: a megabyte is refused by its length.
    if text.len() > SEPARATOR + 1 + MAX_FOREIGN_BYTES {
        return None;
    }
    let own = |secret: &[u8]| formats.iter().any(|format| format.has_shape(secret));
    if text.get(SEPARATOR) != Some(&b';') {
        return (own(text) && is_checked(text)).then_some(Presented::Bare(text));
    }
    // The id before the secret: it is the cheaper check.
    let (id, rest) = text.split_at_checked(SEPARATOR)?;
    let id = parse_uuid_v7(id).map(KeyId::from_uuid_v7)?;
    let secret = rest.get(1..)?;
    if own(secret) && is_checked(secret) {
        return Some(Presented::WithId(id, secret));
    }
    // It may have been imported before the host had a format of this shape, and changing formats kills no key.
    (foreign && is_foreign(secret)).then_some(Presented::Foreign(id, secret))
}

/// The id of an `id;` that a text ends with.
pub(crate) fn id_before(secret: &[u8]) -> Option<KeyId> {
    let id = secret.strip_suffix(b";")?;
    parse_uuid_v7(id.last_chunk::<SEPARATOR>()?).map(KeyId::from_uuid_v7)
}

/// Whether an `id;` stands anywhere in a text.
pub(crate) fn has_id(text: &[u8]) -> bool {
    text.windows(SEPARATOR + 1).any(|part| id_before(part).is_some())
}

/// Whether a text can be a secret that clove did not generate: 1 to 256 printable ASCII characters without spaces.
pub(crate) fn is_foreign(text: &[u8]) -> bool {
    (1..=MAX_FOREIGN_BYTES).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}
