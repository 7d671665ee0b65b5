//! A key's record, and the values in it.

use crate::{
    capability::CapabilitySet,
    error::Invalid,
    id::{KeyId, Owner},
};
use chrono::{DateTime, Utc};
use std::fmt;
use unicode_security::MixedScript;

/// A key as it is stored, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Key {
    /// The public id.
    pub id: KeyId,
    /// Whose key it is. Never changes.
    pub owner: Owner,
    /// What the owner calls it.
    pub name: Name,
    /// What it is for.
    pub description: Description,
    /// What it may do.
    pub capabilities: CapabilitySet,
    /// The host's own data, opaque to clove.
    pub metadata: Metadata,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it expires; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used; moves forward only, and is written in batches.
    pub last_used_at: Option<DateTime<Utc>>,
    /// The stored state.
    pub state: KeyState,
    /// Its place under the active limit was given away after it expired: expired for good, whatever a clock says.
    pub expiry_latched: bool,
    /// Counts the changes of the record; edits and rotations name the one that they are based on.
    pub revision: u64,
}

impl Key {
    /// Whether the expiry has passed at `now`.
    #[must_use]
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expiry_latched || self.expires_at.is_some_and(|at| now >= at)
    }

    /// What a person sees at `now`.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        Status::of(self.state, self.is_expired(now))
    }

    /// Whether it counts towards its owner's active limit: stored Active and not latched as expired.
    #[must_use]
    pub fn holds_place(&self) -> bool {
        self.state == KeyState::Active && !self.expiry_latched
    }
}

/// The stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum KeyState {
    /// In use.
    Active,
    /// Switched off, may be switched on again.
    Suspended,
    /// Known to others; off for good.
    Compromised,
    /// Off for good.
    Revoked,
}

impl KeyState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Suspended, Self::Compromised, Self::Revoked];

    /// The stable name that stores write.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Compromised => "compromised",
            Self::Revoked => "revoked",
        }
    }

    /// Reads [`Self::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What a person sees: the stored state, or Expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Status {
    /// In use.
    Active,
    /// Switched off, may be switched on again.
    Suspended,
    /// Past its expiry.
    Expired,
    /// Known to others; off for good.
    Compromised,
    /// Off for good.
    Revoked,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Active, Self::Suspended, Self::Expired, Self::Compromised, Self::Revoked];

    /// What a stored state looks like once its expiry has passed or not.
    #[must_use]
    pub fn of(state: KeyState, expired: bool) -> Self {
        match state {
            KeyState::Compromised => Self::Compromised,
            KeyState::Revoked => Self::Revoked,
            KeyState::Active | KeyState::Suspended if expired => Self::Expired,
            KeyState::Active => Self::Active,
            KeyState::Suspended => Self::Suspended,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "Active",
            Self::Suspended => "Suspended",
            Self::Expired => "Expired",
            Self::Compromised => "Compromised",
            Self::Revoked => "Revoked",
        })
    }
}

impl std::str::FromStr for Status {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|status| status.to_string().eq_ignore_ascii_case(text)).ok_or_else(|| {
            Invalid::new("status", "must be active, suspended, expired, compromised or revoked", format!("{} bytes", text.len()))
        })
    }
}

/// The longest name, in characters.
pub const MAX_NAME_CHARS: usize = 64;
/// The longest description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 500;
/// The longest reason, in characters.
pub const MAX_REASON_CHARS: usize = 500;

/// Characters that show nothing, or change how their neighbours show (Unicode categories Cc, Cf, Zl, Zp, Co, Cn-like
/// fillers, variation selectors and spaces other than U+0020): they let two texts look alike, or hide text.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(u32::from(c),
            0x00AD | 0x034F | 0x061C | 0x070F | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F
            | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0x2800 | 0x3164 | 0xE000..=0xF8FF
            | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFF | 0x1D173..=0x1D17A | 0xE0000..=0x10FFFF)
}

fn check_text(field: &'static str, text: &str, max_chars: usize) -> Result<(), Invalid> {
    // A character has at most four bytes: a megabyte is refused without counting it.
    if text.len() > max_chars * 4 || text.chars().count() > max_chars {
        return Err(Invalid::new(field, format!("must have at most {max_chars} characters"), format!("{} bytes", text.len())));
    }
    Ok(())
}

/// A key's name: 1 to 64 characters on one line, no white space at its ends, nothing invisible (control, format and
/// private-use characters, spaces other than U+0020), and no word that mixes scripts (UTS 39), so that names are what
/// they look like. Names need not be unique: the id tells keys apart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Name(Box<str>);

impl Name {
    /// Takes a name.
    ///
    /// # Errors
    /// If the text breaks the rule above.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        let invalid = |rule: &str| Err(Invalid::new("name", rule, format!("{} bytes", text.len())));
        check_text("name", text, MAX_NAME_CHARS)?;
        if text.is_empty() {
            return invalid("must have at least 1 character");
        }
        if text.trim() != text {
            return invalid("must not begin or end with white space");
        }
        if text.chars().any(is_deceptive) {
            return invalid("must hold no control, invisible or private-use character, and no space but U+0020");
        }
        if !text.split(' ').all(|word| word.is_single_script()) {
            return invalid("must not mix scripts within a word, such as Latin and Cyrillic");
        }
        Ok(Self(text.into()))
    }
}

impl Name {
    /// What the audit trail calls a key whose name cannot be read.
    pub(crate) fn unreadable() -> Self {
        Self("(unreadable)".into())
    }
}

/// What a key is for: at most 500 characters; line breaks are welcome, other control and invisible characters are not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Description(Box<str>);

impl Description {
    /// Takes a description; empty is none.
    ///
    /// # Errors
    /// If the text breaks the rule above.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        check_text("description", text, MAX_DESCRIPTION_CHARS)?;
        if text.chars().any(|c| is_deceptive(c) && c != '\n') {
            return Err(Invalid::new(
                "description",
                "must hold no control or invisible character but line breaks",
                format!("{} bytes", text.len()),
            ));
        }
        Ok(Self(text.into()))
    }
}

/// Why an actor did something: 1 to 500 characters on one line, for the audit trail.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Reason(Box<str>);

impl Reason {
    /// Takes a reason.
    ///
    /// # Errors
    /// If the text is empty, too long, or holds a control or invisible character.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        check_text("reason", text, MAX_REASON_CHARS)?;
        if text.trim().is_empty() || text.chars().any(is_deceptive) {
            return Err(Invalid::new(
                "reason",
                "must have 1 to 500 visible characters on one line",
                format!("{} bytes", text.len()),
            ));
        }
        Ok(Self(text.into()))
    }
}

macro_rules! text_value {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    )*};
}
text_value!(Name, Description, Reason);

/// The most metadata on one key, in bytes of its text.
pub const MAX_METADATA_BYTES: usize = 4096;
/// How deep objects and lists may nest in metadata.
pub const MAX_METADATA_DEPTH: usize = 8;

/// The host's own data on a key: a JSON text of at most 4 KiB, kept exactly as given, never logged.
#[derive(Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Metadata(Box<str>);

impl Metadata {
    /// No metadata: the empty text.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes a JSON text: at most 4 KiB, depth at most 8, no duplicate names, no NUL.
    ///
    /// # Errors
    /// If the text breaks that rule or is not JSON.
    #[cfg(feature = "metadata")]
    pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        let size = format!("{} bytes", text.len());
        if text.len() > MAX_METADATA_BYTES {
            return Err(Invalid::new("metadata", format!("must have at most {MAX_METADATA_BYTES} bytes"), size));
        }
        crate::metadata::check(text).map_err(|rule| Invalid::new("metadata", rule, size))?;
        Ok(Self(text.into()))
    }

    /// Takes back what a store kept of [`Metadata::as_str`].
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text.into())
    }

    /// The text as given; empty for none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} bytes)", self.0.len())
    }
}
