//! The host's own data on a key.

#[cfg(feature = "metadata")]
mod json;

use crate::error::{Invalid, size};
use std::fmt;

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

    /// Takes a JSON text: at most 4 KiB, depth at most 8, no duplicate names, no NUL. Without the feature `metadata` nothing
    /// here reads JSON: then only the size and the absence of NUL are checked, and the rest is the host's word.
    ///
    /// # Errors
    /// If the text breaks that rule or is not JSON.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        check_stored(text)?;
        #[cfg(feature = "metadata")]
        json::check(text).map_err(|rule| Invalid::new("metadata", rule, size(text)))?;
        Ok(Self(text.into()))
    }

    /// Takes back what a store kept of [`Metadata::as_str`]. It is not read as JSON again: a key stays good whatever a later
    /// version thinks of its metadata.
    ///
    /// # Errors
    /// If the text has more than 4 KiB or holds a NUL, which no version has ever stored.
    pub fn from_stored(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        check_stored(&text)?;
        Ok(Self(text.into()))
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

fn check_stored(text: &str) -> Result<(), Invalid> {
    let invalid = |rule: String| Err(Invalid::new("metadata", rule, size(text)));
    if text.len() > MAX_METADATA_BYTES {
        return invalid(format!("must have at most {MAX_METADATA_BYTES} bytes"));
    }
    if text.contains('\0') {
        return invalid("must hold no NUL character".to_owned());
    }
    Ok(())
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} bytes)", self.0.len())
    }
}
