//! How secrets are hashed.

use super::MAX_LOOKUP_SCHEMES;
use crate::{
    digest::{Argon2Cost, Digest, Pepper, Scheme, sha256},
    error::Invalid,
};
use std::collections::BTreeSet;

/// How secrets are hashed. SHA-256 and HMAC are the fast schemes: a secret of over 112 random bits gains nothing from a
/// slow one (NIST SP 800-63B, OWASP ASVS 5.0 6.5.2).
///
/// SHA-256 digests stay readable unless excluded; peppers are readable when given. Deploy a pepper as
/// [`Hashing::readable`] everywhere before making it current anywhere. A pepper version found in the store and not given
/// is a [`crate::error::Fault`], never a refusal; declare it [`Hashing::dropped`] to let its keys go.
#[derive(Clone, Debug)]
pub struct Hashing {
    current: Current,
    sha256: bool,
    peppers: Vec<Pepper>,
    dropped: BTreeSet<u16>,
    pub(crate) argon2_cost: Argon2Cost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Current {
    Sha256,
    Hmac(u16),
    Argon2id,
}

impl Hashing {
    fn with(current: Current, peppers: Vec<Pepper>) -> Self {
        Self { current, sha256: true, peppers, dropped: BTreeSet::new(), argon2_cost: Argon2Cost::OWASP }
    }

    /// New secrets under SHA-256: the default.
    #[must_use]
    pub fn sha256() -> Self {
        Self::with(Current::Sha256, Vec::new())
    }

    /// New secrets under HMAC-SHA-256 with this pepper: the choice for production.
    #[must_use]
    pub fn hmac(current: Pepper) -> Self {
        Self::with(Current::Hmac(current.version()), vec![current])
    }

    /// New secrets under Argon2id, for hosts whose policy demands a slow hash. Such keys are presented as `id;secret` only.
    #[must_use]
    pub fn argon2id(cost: Argon2Cost) -> Self {
        Self { argon2_cost: cost, ..Self::with(Current::Argon2id, Vec::new()) }
    }

    /// The cost of Argon2id for imported secrets.
    #[must_use]
    pub fn argon2_cost(mut self, cost: Argon2Cost) -> Self {
        self.argon2_cost = cost;
        self
    }

    /// A pepper whose digests are read and not made: one to come, or one to go.
    #[must_use]
    pub fn readable(mut self, pepper: Pepper) -> Self {
        self.peppers.push(pepper);
        self
    }

    /// A pepper version that is gone for good: its keys' secrets are as unknown.
    #[must_use]
    pub fn dropped(mut self, version: u16) -> Self {
        self.dropped.insert(version);
        self
    }

    /// SHA-256 digests are not read: for hosts that have had a pepper from their first key on.
    #[must_use]
    pub fn without_sha256(mut self) -> Self {
        self.sha256 = false;
        self
    }

    pub(super) fn check(&self) -> Result<(), Invalid> {
        let versions: BTreeSet<u16> = self.peppers.iter().map(Pepper::version).collect();
        if versions.len() != self.peppers.len() || versions.iter().any(|version| self.dropped.contains(version)) {
            return Err(Invalid::new(
                "peppers",
                "must have each version once, and not also dropped",
                format!("{} peppers", self.peppers.len()),
            ));
        }
        let schemes = self.peppers.len() + usize::from(self.sha256);
        if schemes > MAX_LOOKUP_SCHEMES {
            return Err(Invalid::new("hashing", "must read at most 4 of SHA-256 and peppers", format!("{schemes}")));
        }
        if self.current == Current::Sha256 && !self.sha256 {
            return Err(Invalid::new("hashing", "must read SHA-256 where it is current", "without_sha256"));
        }
        Ok(())
    }

    /// The digests under which a bare secret may be stored.
    #[inline(always)]
    pub(crate) fn lookup_digests(&self, secret: &[u8]) -> LookupDigests {
        let mut digests = LookupDigests { all: [Digest::from_bytes([0; 32]); MAX_LOOKUP_SCHEMES], count: 0 };
        let own = self.sha256.then(|| sha256(secret));
        let all = own.into_iter().chain(self.peppers.iter().map(|pepper| pepper.digest(secret)));
        for (place, digest) in digests.all.iter_mut().zip(all) {
            *place = digest;
            digests.count += 1;
        }
        digests
    }

    pub(crate) fn reads_sha256(&self) -> bool {
        self.sha256
    }

    pub(crate) fn pepper(&self, version: u16) -> PepperStatus<'_> {
        match self.peppers.iter().find(|pepper| pepper.version() == version) {
            Some(pepper) => PepperStatus::Given(pepper),
            None if self.dropped.contains(&version) => PepperStatus::Dropped,
            None => PepperStatus::Unknown,
        }
    }

    /// The digest of a new secret under the current scheme, if that is a fast one.
    pub(crate) fn fast_digest(&self, secret: &[u8]) -> Option<(Digest, Scheme)> {
        let scheme = match self.current {
            Current::Sha256 => Scheme::Sha256,
            Current::Hmac(pepper) => Scheme::HmacSha256 { pepper },
            Current::Argon2id => return None,
        };
        Some((self.current_fast_digest(secret)?, scheme))
    }

    /// The digest alone.
    #[inline(always)]
    pub(crate) fn current_fast_digest(&self, secret: &[u8]) -> Option<Digest> {
        match self.current {
            Current::Sha256 => Some(sha256(secret)),
            Current::Hmac(version) => {
                self.peppers.iter().find(|pepper| pepper.version() == version).map(|pepper| pepper.digest(secret))
            }
            Current::Argon2id => None,
        }
    }

    /// Whether new secrets are stored under this scheme, and it is a fast one.
    pub(crate) fn is_current(&self, scheme: &Scheme) -> bool {
        match (self.current, scheme) {
            (Current::Sha256, Scheme::Sha256) => true,
            (Current::Hmac(current), Scheme::HmacSha256 { pepper }) => *pepper == current,
            _ => false,
        }
    }

    /// Whether a digest under `scheme` should be replaced on use: among fast schemes, forward only.
    pub(crate) fn is_behind(&self, scheme: &Scheme) -> bool {
        match (self.current, scheme) {
            (Current::Hmac(_), Scheme::Sha256) => true,
            (Current::Hmac(current), Scheme::HmacSha256 { pepper }) => *pepper < current,
            _ => false,
        }
    }
}

/// One digest a readable fast scheme.
#[derive(Clone, Copy)]
pub(crate) struct LookupDigests {
    all: [Digest; MAX_LOOKUP_SCHEMES],
    count: usize,
}

impl std::ops::Deref for LookupDigests {
    type Target = [Digest];

    fn deref(&self) -> &[Digest] {
        self.all.get(..self.count).unwrap_or(&self.all)
    }
}

pub(crate) enum PepperStatus<'a> {
    Given(&'a Pepper),
    Dropped,
    Unknown,
}
