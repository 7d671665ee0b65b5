//! Secrets in plain text: how they are made, checked, and kept out of sight.

use crate::{
    crc32::Crc32,
    error::{Error, Invalid, size},
};
use std::{fmt, ops::Range};
use zeroize::{Zeroize, Zeroizing};

/// The digits of base62, in the order that the check characters use. Frozen.
pub const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Check characters at the end of a secret.
pub const CHECK_CHARS: usize = 3;
/// The fewest random characters: 131 bits.
pub const MIN_RANDOM_CHARS: usize = 22;
/// The most random characters.
pub const MAX_RANDOM_CHARS: usize = 64;
/// The longest prefix, in characters.
pub const MAX_PREFIX_CHARS: usize = 16;

/// A secret in plain text. Shown once: `Debug` is redacted, there is no `Display`, no `Clone`, no serde form, and the
/// memory is overwritten when it is dropped.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text, to be shown to its owner once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Takes a secret that clove did not generate, for an import.
    #[must_use]
    pub fn from_foreign(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The form of generated secrets: a prefix, random base62 characters, and three check characters.
///
/// The check characters are the CRC-32 (IEEE 802.3) of all before them, modulo 62³, in base62. They find typing errors
/// and tell scanners what is a secret; they never authorise. A format is permanent once secrets of it are issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFormat {
    prefix: Box<str>,
    random_chars: usize,
    /// How a secret begins, and which bits of its first bytes say so: compared at once, since a secret is longer than any prefix.
    begins: u128,
    mask: u128,
}

impl Default for SecretFormat {
    /// `clv-` and 29 random characters (172 bits): 36 in all.
    fn default() -> Self {
        Self::of("clv-", 29)
    }
}

impl SecretFormat {
    /// A format with this prefix (1 to 16 letters, digits, hyphens or underscores, the first a letter or digit) and this
    /// many random characters (22 to 64, that is at least 128 random bits).
    ///
    /// # Errors
    /// If either is outside its range.
    pub fn new(prefix: &str, random_chars: usize) -> Result<Self, Invalid> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        // At a hyphen no word begins, and within one no underscore: scanners would not find the secret by its pattern.
        let begins = prefix.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if !begins || prefix.len() > MAX_PREFIX_CHARS || !prefix.bytes().all(plain) {
            return Err(Invalid::new(
                "secret prefix",
                "must be 1 to 16 letters, digits, hyphens or underscores, the first a letter or digit",
                size(prefix),
            ));
        }
        if !(MIN_RANDOM_CHARS..=MAX_RANDOM_CHARS).contains(&random_chars) {
            return Err(Invalid::new(
                "secret length",
                "must be 22 to 64 random characters, at least 128 bits",
                format!("{random_chars} characters"),
            ));
        }
        Ok(Self::of(prefix, random_chars))
    }

    fn of(prefix: &str, random_chars: usize) -> Self {
        let first_bytes = |bytes: &mut dyn Iterator<Item = u8>| {
            let mut all = [0; MAX_PREFIX_CHARS];
            all.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
            u128::from_ne_bytes(all)
        };
        let (begins, mask) = (first_bytes(&mut prefix.bytes()), first_bytes(&mut prefix.bytes().map(|_| u8::MAX)));
        Self { prefix: prefix.into(), random_chars, begins, mask }
    }

    /// The prefix.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The length of a whole secret, in characters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prefix.len() + self.random_chars + CHECK_CHARS
    }

    /// Never: a format has at least 26 characters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// A regular expression that finds secrets of this format in text, for secret scanners.
    #[must_use]
    pub fn scan_pattern(&self) -> String {
        format!(r"\b{}[0-9A-Za-z]{{{}}}\b", self.prefix, self.random_chars + CHECK_CHARS)
    }

    /// Whether a secret of this format stands anywhere in a text, say one that was pasted where a name belongs: its shape and check
    /// characters, whether it is a key's or not.
    #[must_use]
    pub fn occurs_in(&self, text: &str) -> bool {
        find(std::slice::from_ref(self), text.as_bytes()).next().is_some()
    }

    /// A new secret from the operating system's generator, each character drawn evenly.
    pub(crate) fn generate(&self) -> Result<Secret, Error> {
        let mut text = Zeroizing::new(String::with_capacity(self.len()));
        text.push_str(&self.prefix);
        let mut pool = Zeroizing::new([0_u8; 64]);
        while text.len() < self.prefix.len() + self.random_chars {
            getrandom::fill(&mut *pool).map_err(|_| Error::System { what: "random bytes for a secret" })?;
            // Of six random bits, 62 and 63 are thrown away: the others are evenly distributed.
            let fresh = pool.iter().filter_map(|byte| BASE62.get(usize::from(byte & 63)).copied());
            let missing = self.prefix.len() + self.random_chars - text.len();
            text.extend(fresh.take(missing).map(char::from));
        }
        let check = check_chars(text.as_bytes());
        text.extend(check.map(char::from));
        Ok(Secret(text))
    }

    /// Whether the text has this format's prefix, length and alphabet, right or wrong check characters.
    pub(crate) fn has_shape(&self, text: &[u8]) -> bool {
        let begins = |first: &[u8; MAX_PREFIX_CHARS]| u128::from_ne_bytes(*first) & self.mask == self.begins;
        text.len() == self.len()
            && text.first_chunk().is_some_and(begins)
            && text.get(self.prefix.len()..).is_some_and(is_alphanumeric)
    }
}

/// Where secrets of the formats stand in a text: shape and check characters.
pub(crate) fn find<'a>(formats: &'a [SecretFormat], text: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
    let secret_at = move |start: usize| {
        formats.iter().find_map(|format| {
            let end = start + format.len();
            text.get(start..end).filter(|part| format.has_shape(part) && is_checked(part)).map(|_| start..end)
        })
    };
    (0..text.len()).filter_map(secret_at)
}

/// Looks at every byte, so that the compiler takes many at a time.
fn is_alphanumeric(text: &[u8]) -> bool {
    text.iter().fold(true, |good, byte| good & byte.is_ascii_alphanumeric())
}

/// Whether a text of some format's shape ends in the check characters of what is before them.
pub(crate) fn is_checked(text: &[u8]) -> bool {
    let Some((body, &[high, middle, low])) = text.split_last_chunk::<CHECK_CHARS>() else { return false };
    let digit = |char: u8| u32::from(*BASE62_VALUES.get(usize::from(char)).unwrap_or(&NO_DIGIT));
    let (high, middle, low) = (digit(high), digit(middle), digit(low));
    high.max(middle).max(low) < 62 && checksum(body) == high * 3844 + middle * 62 + low
}

/// CRC-32 (IEEE 802.3) modulo 62³.
fn checksum(body: &[u8]) -> u32 {
    Crc32::NEW.and(body).end() % 238_328
}

fn check_chars(body: &[u8]) -> [u8; CHECK_CHARS] {
    let rest = checksum(body);
    // Each digit is below 62: the fallback is never taken.
    let digit = |value: u32| usize::try_from(value % 62).ok().and_then(|digit| BASE62.get(digit)).copied().unwrap_or_default();
    [digit(rest / 3844), digit(rest / 62), digit(rest)]
}

/// What is no base62 digit.
const NO_DIGIT: u8 = 0xff;

/// The value of each base62 digit, by its byte: to read three digits costs less, on the way of every request, than to write them
/// by dividing.
const BASE62_VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 62 {
        #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            values[BASE62[value as usize] as usize] = value;
        }
        value += 1;
    }
    values
};

/// What a new key's owner is given, once: the key's id and its secret.
pub struct Credential {
    id: crate::id::KeyId,
    secret: Secret,
}

impl Credential {
    pub(crate) fn new(id: crate::id::KeyId, secret: Secret) -> Self {
        Self { id, secret }
    }

    /// The key's id, which is public.
    #[must_use]
    pub fn id(&self) -> crate::id::KeyId {
        self.id
    }

    /// The secret alone.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// `id;secret`, what a client presents. Overwritten when dropped.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(37 + self.secret.0.len()));
        let mut id = [0; 36];
        text.push_str(self.id.as_uuid().hyphenated().encode_lower(&mut id));
        text.push(';');
        text.push_str(self.secret.reveal());
        id.zeroize();
        text
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({};..)", self.id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn a_generated_secret_has_its_format_and_its_check_characters() {
        for format in [SecretFormat::default(), SecretFormat::new("sk_live_", 64).unwrap()] {
            let secret = format.generate().unwrap();
            assert_eq!(secret.reveal().len(), format.len());
            assert!(format.has_shape(secret.as_bytes()) && is_checked(secret.as_bytes()));
        }
    }

    #[test]
    fn the_check_characters_are_frozen() {
        for (body, check) in [
            ("clv-00000000000000000000000000000", "Wt4"),
            ("clv-abcdefghijklmnopqrstuvwxyz012", "TVJ"),
            ("clv-ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ", "Hu3"),
        ] {
            assert_eq!(std::str::from_utf8(&check_chars(body.as_bytes())).unwrap(), check, "{body}");
        }
    }

    #[test]
    fn a_secret_is_found_in_a_text_by_shape_and_check_characters() {
        let format = SecretFormat::default();
        let secret = format.generate().unwrap();
        assert!(format.occurs_in(secret.reveal()) && format.occurs_in(&format!("my key: {}!", secret.reveal())));
        assert!(
            !format.occurs_in("") && !format.occurs_in("laptop") && !format.occurs_in("clv-000000000000000000000000000000000")
        );
        assert!(!SecretFormat::new("other-", 29).unwrap().occurs_in(secret.reveal()));
    }

    #[test]
    fn one_changed_character_is_found() {
        let secret = SecretFormat::default().generate().unwrap();
        let mut text = secret.as_bytes().to_vec();
        text[10] = if text[10] == b'a' { b'b' } else { b'a' };
        assert!(!is_checked(&text));
    }
}
