//! Whose windows are counted.

use crate::id::{AccountId, KeyId, OrganizationId, Owner};
use std::sync::Arc;

/// Whose windows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One key's.
    Key(KeyId),
    /// An account's, over all its keys.
    Account(Arc<Owner>),
}

impl Subject {
    /// Bytes that name it among all subjects, for a store to keep.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Key(id) => [b"k".as_slice(), id.as_bytes()].concat(),
            // An organization's id holds no control character.
            Self::Account(owner) => {
                [b"a".as_slice(), owner.organization.as_str().as_bytes(), b"\0", owner.account.as_str().as_bytes()].concat()
            }
        }
    }

    /// Reads [`Self::to_bytes`]; `None` if no version can have written it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (b'k', id) => KeyId::from_slice(id).ok().map(Self::Key),
            (b'a', owner) => {
                let (organization, account) = str::from_utf8(owner).ok()?.split_once('\0')?;
                let organization = OrganizationId::from_stored(organization).ok()?;
                let account = AccountId::from_stored(account).ok()?;
                Some(Self::Account(Arc::new(Owner { organization, account })))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn bytes_name_a_subject_and_nothing_else_is_read() {
        let key = KeyId::new(chrono::DateTime::UNIX_EPOCH);
        for subject in [Subject::Key(key), Subject::Account(Arc::new(Owner::new("acme", "ada").unwrap()))] {
            assert_eq!(Subject::from_bytes(&subject.to_bytes()), Some(subject));
        }
        let bytes = Subject::Key(key).to_bytes();
        let texts = [b"".as_slice(), b"k", b"aacme", b"a\0ada", b"a\xff\0ada"];
        for odd in texts.into_iter().chain([&bytes[1..], &bytes[..16]]) {
            assert_eq!(Subject::from_bytes(odd), None, "{odd:?}");
        }
    }
}
