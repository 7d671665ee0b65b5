//! Names for things: every id is a type of its own, parsed once and valid from then on.

use crate::{
    clock::Timestamp,
    error::{Invalid, size},
    text::{check_stored, is_deceptive},
};
use std::{
    cell::Cell,
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};
use uuid::Uuid;

/// Reads the one canonical form of a UUIDv7: 36 bytes, lower case, hyphens. Without branches on single digits, so that the
/// compiler takes many at a time: this is on the way of every request.
pub(crate) fn parse_uuid_v7(text: &[u8]) -> Option<Uuid> {
    let text: &[u8; 36] = text.try_into().ok()?;
    // Hyphens, version 7 and the variant of RFC 9562 are told from the text: the bytes below are then whole to the compiler.
    if [text[8], text[13], text[18], text[23]] != [b'-'; 4] || text[14] != b'7' || !matches!(text[19], b'8' | b'9' | b'a' | b'b')
    {
        return None;
    }
    let mut digits = [0_u8; 32];
    digits[..8].copy_from_slice(&text[..8]);
    digits[8..12].copy_from_slice(&text[9..13]);
    digits[12..16].copy_from_slice(&text[14..18]);
    digits[16..20].copy_from_slice(&text[19..23]);
    digits[20..].copy_from_slice(&text[24..]);
    let mut bad = 0;
    for digit in &mut digits {
        let (decimal, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
        bad |= u8::from(decimal >= 10) & u8::from(letter >= 6);
        *digit = if decimal < 10 { decimal } else { letter.wrapping_add(10) };
    }
    let mut bytes = [0_u8; 16];
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
        *byte = (high << 4) | low;
    }
    (bad == 0).then(|| Uuid::from_bytes(bytes))
}

/// A UUIDv7 whose first 12 bits after the milliseconds are the fraction of one (RFC 9562 section 6.2, method 3), so that ids
/// sort by time to the microsecond. The rest is the low 62 bits of `tail`.
fn uuid_v7(now: Timestamp, tail: u64) -> Uuid {
    let micros = u64::try_from(now.as_micros()).unwrap_or(0);
    let (millis, fraction) = ((micros / 1000).min((1 << 48) - 1), micros % 1000 * 4096 / 1000);
    Uuid::from_u64_pair((millis << 16) | 0x7000 | fraction, (1 << 63) | (tail & (u64::MAX >> 2)))
}

/// A count of this thread's, hashed: quicker than a generator of random bits, on the way of every request. The id of a grant has to be
/// like no other, and not to be chosen by a client; it is no secret. The count begins at random, so that no two threads or processes
/// share it but those forked from one that has counted.
fn quick_tail(_: Timestamp) -> u64 {
    static HASH: LazyLock<foldhash::quality::RandomState> = LazyLock::new(Default::default);
    thread_local!(static COUNT: Cell<Option<u64>> = const { Cell::new(None) });
    let next = |count: &Cell<Option<u64>>| {
        let next = count.get().unwrap_or_else(rand::random).wrapping_add(1);
        count.set(Some(next));
        next
    };
    HASH.hash_one(COUNT.try_with(next).unwrap_or_else(|_| rand::random()))
}

/// Bits of the operating system, which no fork shares.
fn random_tail(_: Timestamp) -> u64 {
    // Where the system has none, an id of the process's generator is still one.
    getrandom::u64().unwrap_or_else(|_| rand::random())
}

/// 30 bits that count up in this process, before random ones: ids made at one reading of the clock still sort as they were made. The
/// count begins at another secret number with each reading, so that ids tell nobody how many others were made in between.
fn counted_tail(now: Timestamp) -> u64 {
    const HALF: u64 = (1 << 29) - 1;
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static STARTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let count = (STARTS.hash_one(now) & HALF) + (COUNT.fetch_add(1, Ordering::Relaxed) & HALF);
    (count << 32) | (random_tail(now) >> 32)
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $field:literal, $tail:expr) => {
        $(#[$doc])*
        // Aligned: beside a tag it would else lie at odd places, and be moved in pieces that the processor has to wait for.
        #[repr(align(8))]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        pub struct $name(Uuid);

        impl Hash for $name {
            /// As one number: of bytes the length would be hashed too, and after it.
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write_u128(u128::from_ne_bytes(*self.0.as_bytes()));
            }
        }

        impl $name {
            /// A new one at `now`, distinct from any other.
            #[must_use]
            pub fn new(now: impl Into<Timestamp>) -> Self {
                let now = now.into();
                Self(uuid_v7(now, $tail(now)))
            }

            /// The canonical text's 16 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads 16 stored bytes.
            ///
            /// # Errors
            /// If they are not 16 bytes that form a UUID of version 7.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, Invalid> {
                Uuid::from_slice(bytes)
                    .ok()
                    .filter(|uuid| uuid.get_version_num() == 7 && uuid.get_variant() == uuid::Variant::RFC4122)
                    .map(Self)
                    .ok_or_else(|| Invalid::new($field, "must be the 16 bytes of a UUIDv7", size(bytes)))
            }

            /// Reads the canonical form: lower case, hyphens, version 7.
            ///
            /// # Errors
            /// If the text is anything else.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                parse_uuid_v7(text.as_bytes()).map(Self).ok_or_else(|| {
                    Invalid::new($field, "must be a UUIDv7 of 36 characters in lower case with hyphens", size(text))
                })
            }

            /// The value as a `Uuid`.
            #[must_use]
            pub fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::parse(text)
            }
        }
    };
}

uuid_id!(
    /// A key's public id: a UUIDv7 in its one canonical form (RFC 9562 section 5.7).
    KeyId,
    "key id",
    counted_tail
);
uuid_id!(
    /// The id of one verified request, minted here; no client can choose it. Sorts by the time at which it was judged, which is told to
    /// the microsecond and may be [`COARSE_LAG`](crate::clock::COARSE_LAG) ago.
    GrantId,
    "grant id",
    quick_tail
);
uuid_id!(
    /// One management command. Unique in the audit trail: repeating a command under its operation id changes nothing.
    OperationId,
    "operation id",
    random_tail
);
uuid_id!(
    /// One audit event; sorts by time.
    AuditId,
    "audit id",
    counted_tail
);

uuid_id!(
    /// One process, as long as it runs, that takes places of request windows, writes usage, counts refusals and uses rows from memory.
    NodeId,
    "node id",
    random_tail
);

impl AuditId {
    /// The lowest id of an event at `at` or later: a store may look for times by id.
    #[must_use]
    pub fn first_at(at: impl Into<Timestamp>) -> Self {
        Self(uuid_v7(at.into(), 0))
    }
}

impl GrantId {
    /// The lowest id of a request at `at` or later: a store may look for times by id.
    #[must_use]
    pub fn first_at(at: impl Into<Timestamp>) -> Self {
        Self(uuid_v7(at.into(), 0))
    }
}

impl KeyId {
    pub(crate) fn from_uuid_v7(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

/// The longest opaque identifier, in bytes.
pub const MAX_IDENTIFIER_BYTES: usize = 256;

fn check_opaque(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() || text.len() > MAX_IDENTIFIER_BYTES {
        return Err(Invalid::new(field, format!("must have 1 to {MAX_IDENTIFIER_BYTES} bytes"), size(text)));
    }
    if text.chars().any(|c| c == ' ' || is_deceptive(c)) {
        return Err(Invalid::new(
            field,
            "must hold no white space and no control, invisible, private-use or unassigned character",
            size(text),
        ));
    }
    Ok(())
}

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes an id of the host's: 1 to 256 bytes, no white space, and as in a [`crate::Name`] no control, invisible,
            /// private-use or unassigned character, so that no entry of the audit trail reads as another's. Kept and
            /// compared by bytes.
            ///
            /// # Errors
            /// If the text breaks that rule.
            pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
                check_opaque($field, text.as_ref())?;
                Ok(Self(text.as_ref().into()))
            }

            /// Takes back what a store kept of [`Self::as_str`]: judged once, when it was new.
            ///
            /// # Errors
            /// If the text is empty, above 4 KiB, or holds a control character, which no version has ever stored.
            pub fn from_stored(text: impl AsRef<str>) -> Result<Self, Invalid> {
                check_stored($field, text.as_ref(), false).map(|text| Self(text.into()))
            }

            /// The text as given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

opaque_id!(
    /// The host's id of a tenant.
    OrganizationId,
    "organization"
);
opaque_id!(
    /// The host's id of the user or service in an organization that owns keys.
    AccountId,
    "account"
);
opaque_id!(
    /// Who did a management action, in the host's terms.
    Actor,
    "actor"
);

/// Whose keys: an account in an organization. It comes from the host's authenticated session, never from a request body.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Owner {
    /// The tenant.
    pub organization: OrganizationId,
    /// The account in it.
    pub account: AccountId,
}

impl Owner {
    /// An owner from the host's ids.
    ///
    /// # Errors
    /// If either id breaks the rule of [`OrganizationId::new`].
    pub fn new(organization: impl AsRef<str>, account: impl AsRef<str>) -> Result<Self, Invalid> {
        Ok(Self { organization: OrganizationId::new(organization)?, account: AccountId::new(account)? })
    }
}

/// How far a management look-up reaches. What lies outside is indistinguishable from what does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One owner's keys.
    Owner(Owner),
    /// All keys of an organization.
    Organization(OrganizationId),
}

impl Scope {
    /// Whether `owner` lies within.
    #[must_use]
    pub fn holds(&self, owner: &Owner) -> bool {
        match self {
            Self::Owner(own) => own == owner,
            Self::Organization(organization) => *organization == owner.organization,
        }
    }

    /// The organization that the scope is, or lies in.
    #[must_use]
    pub fn organization(&self) -> &OrganizationId {
        match self {
            Self::Owner(owner) => &owner.organization,
            Self::Organization(organization) => organization,
        }
    }
}

impl From<&Owner> for Scope {
    fn from(owner: &Owner) -> Self {
        Self::Owner(owner.clone())
    }
}
impl From<&OrganizationId> for Scope {
    fn from(organization: &OrganizationId) -> Self {
        Self::Organization(organization.clone())
    }
}
impl From<&Scope> for Scope {
    fn from(scope: &Scope) -> Self {
        scope.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ids_of_events_lie_between_the_first_ones_of_their_microsecond_and_of_the_next() {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        for micros in (0..3_000).chain(1_767_614_400_123_000..1_767_614_400_125_000) {
            let (first, next) = (AuditId::first_at(at(micros)), AuditId::first_at(at(micros + 1)));
            for id in [AuditId::new(at(micros)), AuditId::new(at(micros))] {
                assert!(first <= id && id < next, "{micros}");
            }
        }
        assert_eq!(AuditId::first_at(at(-1)), AuditId::first_at(at(0)));
        assert!(AuditId::first_at(at(1_767_614_400_123_000)) < AuditId::first_at(Timestamp::LAST), "it does not wrap");
    }

    #[test]
    fn ids_of_one_reading_sort_as_they_were_made_whatever_is_made_at_others() {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let mut last = KeyId::new(at(7));
        for other in 0..100_000 {
            let _ = AuditId::new(at(other));
            let next = KeyId::new(at(7));
            assert!(last < next);
            last = next;
        }
    }

    #[test]
    fn grants_of_all_threads_at_one_reading_have_ids_of_their_own() {
        const EACH: usize = 50_000;
        let at = Timestamp::from_micros(7).unwrap();
        let make = || (0..EACH).map(|_| GrantId::new(at)).collect::<Vec<_>>();
        let all = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(make));
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<std::collections::HashSet<_>>()
        });
        assert_eq!(all.len(), 4 * EACH);
    }

    #[test]
    fn ids_of_two_readings_do_not_tell_how_many_were_made_in_between() {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let count = |id: KeyId| (id.as_uuid().as_u64_pair().1 >> 32) & 0x3fff_ffff;
        let steps: Vec<u64> =
            (0..100).map(|micros| count(KeyId::new(at(micros + 1))).wrapping_sub(count(KeyId::new(at(micros))))).collect();
        assert!(steps.iter().filter(|step| **step > 1_000).count() > 90, "{steps:?}");
    }
}
