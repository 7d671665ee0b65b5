//! What people write, and other people read: names, descriptions and reasons.

use crate::{
    error::{Invalid, size},
    secret::{self, SecretFormat},
};
use std::{fmt, ops::Range};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_script::{Script, UnicodeScript};
use unicode_security::MixedScript;

/// The longest name, in characters.
pub const MAX_NAME_CHARS: usize = 64;
/// The longest description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 500;
/// The longest reason, in characters.
pub const MAX_REASON_CHARS: usize = 500;
/// The longest text that is taken back from a store, in bytes: above what any rule has ever let in.
pub const MAX_STORED_TEXT_BYTES: usize = 4096;
/// The most combining marks in a row in a name (UTS 39 section 5.4).
const MAX_MARKS: usize = 4;

/// A key's name: 1 to 64 characters on one line, kept in the composed form (NFC), so that one look is one text, whichever
/// keyboard wrote it.
///
/// Refused is what looks like something else or like nothing: white space at the ends; control, format, invisible,
/// private-use and unassigned characters; spaces other than U+0020; a word that begins with a combining mark, and more than
/// 4 marks in a row; a word that mixes scripts (UTS 39), such as Latin and Cyrillic.
///
/// A word all of one script is admitted even where it looks like one of another, as Cyrillic `сосо` does: to refuse it would
/// refuse whole languages. Names need not be unique: the id tells keys apart.
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
        let invalid = |rule: &str| Err(Invalid::new("name", rule, size(text)));
        check_size("name", text, MAX_NAME_CHARS)?;
        let name: String = text.nfc().collect();
        // A few characters have only a decomposed form, which is longer.
        check_size("name", &name, MAX_NAME_CHARS)?;
        if name.is_empty() {
            return invalid("must have at least 1 character");
        }
        if name.trim() != name {
            return invalid("must not begin or end with white space");
        }
        if name.chars().any(is_deceptive) {
            return invalid("must hold no control, invisible, private-use or unassigned character, and no space but U+0020");
        }
        if name.split(' ').any(|word| word.starts_with(is_combining_mark)) || has_many_marks(&name) {
            return invalid("must hold no word that begins with a combining mark, and at most 4 of them in a row");
        }
        if !name.split(' ').all(|word| word.is_single_script()) {
            return invalid("must not mix scripts within a word, such as Latin and Cyrillic");
        }
        Ok(Self(name.into()))
    }

    /// What the audit trail calls a key whose name cannot be read.
    pub(crate) fn unreadable() -> Self {
        Self("(unreadable)".into())
    }

    /// Takes back what a store kept of [`Name::as_str`]. What a name may be is judged once, by the rules and tables of that
    /// day: a key stays good when they change.
    ///
    /// # Errors
    /// If the text is empty, above 4 KiB, or holds a control character, which no version has ever stored.
    pub fn from_stored(text: impl AsRef<str>) -> Result<Self, Invalid> {
        check_stored("name", text.as_ref(), false).map(|text| Self(text.into()))
    }
}

/// What a key is for: at most 500 characters; line breaks are welcome, other control, invisible, private-use and unassigned
/// characters are not.
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
        check_size("description", text, MAX_DESCRIPTION_CHARS)?;
        if text.chars().any(|c| is_deceptive(c) && c != '\n') {
            return Err(Invalid::new(
                "description",
                "must hold no control, invisible, private-use or unassigned character but line breaks",
                size(text),
            ));
        }
        Ok(Self(text.into()))
    }

    /// Takes back what a store kept of [`Description::as_str`], as [`Name::from_stored`] does.
    ///
    /// # Errors
    /// If the text is above 4 KiB, or holds a control character other than a line break, which no version has ever stored.
    pub fn from_stored(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        if text.is_empty() {
            return Ok(Self::default());
        }
        check_stored("description", text, true).map(|text| Self(text.into()))
    }
}

/// Why an actor did something: 1 to 500 characters on one line, for the audit trail. A secret of the host's own in it, say a
/// leaked one in the reason of a revocation, is kept as `[secret]`: to refuse it would let the key live meanwhile.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Reason(Box<str>);

impl Reason {
    /// Takes a reason.
    ///
    /// # Errors
    /// If the text is empty, too long, or holds a control, invisible, private-use or unassigned character.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        check_size("reason", text, MAX_REASON_CHARS)?;
        if text.trim().is_empty() || text.chars().any(is_deceptive) {
            return Err(Invalid::new("reason", "must have 1 to 500 visible characters on one line", size(text)));
        }
        Ok(Self(text.into()))
    }

    /// Takes back what a store kept of [`Reason::as_str`], as [`Name::from_stored`] does.
    ///
    /// # Errors
    /// If the text is empty, above 4 KiB, or holds a control character, which no version has ever stored.
    pub fn from_stored(text: impl AsRef<str>) -> Result<Self, Invalid> {
        check_stored("reason", text.as_ref(), false).map(|text| Self(text.into()))
    }

    fn first_secret(&self, formats: &[SecretFormat]) -> Option<Range<usize>> {
        secret::find(formats, self.0.as_bytes()).next()
    }

    /// Puts `[secret]` in the place of each secret of these formats.
    pub(crate) fn mask(&mut self, formats: &[SecretFormat]) {
        while let Some(found) = self.first_secret(formats) {
            let mut text = String::from(std::mem::take(&mut self.0));
            text.replace_range(found, "[secret]");
            self.0 = text.into();
        }
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

/// Characters that show nothing, or change how their neighbours show: control and format characters, fillers, variation
/// selectors, spaces other than U+0020, and what has no meaning that two readers share (private use, unassigned). They let two
/// texts look alike, or hide text.
pub(crate) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || c.script() == Script::Unknown
        || matches!(u32::from(c),
            0x00AD | 0x034F | 0x061C | 0x070F | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F
            | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0x2800 | 0x3164 | 0xE000..=0xF8FF
            | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFF | 0x13430..=0x1343F | 0x16FE4
            | 0x1BCA0..=0x1BCA3 | 0x1D159 | 0x1D173..=0x1D17A | 0xE0000..=0x10FFFF)
}

/// What can never become right or wrong by a change of rules, whatever version wrote it.
pub(crate) fn check_stored<'t>(field: &'static str, text: &'t str, lines: bool) -> Result<&'t str, Invalid> {
    let invalid = |rule: &str| Err(Invalid::new(field, rule, size(text)));
    if text.is_empty() || text.len() > MAX_STORED_TEXT_BYTES {
        return invalid("must have 1 to 4096 bytes");
    }
    if text.chars().any(|c| c.is_control() && !(lines && c == '\n')) {
        return invalid("must hold no control character");
    }
    Ok(text)
}

fn has_many_marks(text: &str) -> bool {
    let mut run = 0;
    text.chars().any(|c| {
        run = if is_combining_mark(c) { run + 1 } else { 0 };
        run > MAX_MARKS
    })
}

fn check_size(field: &'static str, text: &str, max_chars: usize) -> Result<(), Invalid> {
    // A character has at most four bytes: a megabyte is refused without counting it.
    if text.len() > max_chars * 4 || text.chars().count() > max_chars {
        return Err(Invalid::new(field, format!("must have at most {max_chars} characters"), size(text)));
    }
    Ok(())
}
