//! Digests of secrets, and the schemes that make them.

use crate::error::{Invalid, size};
use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256, block_api::compress256};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::optimization_barrier;

/// 32 bytes that stand for a secret. Compared in constant time, shown nowhere.
// Aligned as ids are, and as the words that are compared.
#[repr(align(8))]
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Takes stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a store to keep.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As good as random, and all that indexes need.
    pub(crate) fn first_word(&self) -> u64 {
        let [first, ..] = self.words();
        first
    }

    fn words(&self) -> [u64; 4] {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(self.0.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        }
        words
    }
}

impl PartialEq for Digest {
    /// Constant in time: all that differs is gathered in one word, and the compiler knows nothing of what it is for before it is whole.
    /// To hide each of 32 bytes from it takes seven times as long as each of four words, and that as long again.
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.words().into_iter().zip(other.words());
        let differs = pairs.fold(0, |differs, (one, other)| differs | (one ^ other));
        optimization_barrier(&differs);
        differs.ct_eq(&0).into()
    }
}
impl Eq for Digest {}

impl std::hash::Hash for Digest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.first_word());
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// How a digest was made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// SHA-256 of the secret's text.
    Sha256,
    /// HMAC-SHA-256 of the secret's text under the pepper of this version.
    HmacSha256 {
        /// The pepper's version.
        pepper: u16,
    },
    /// Argon2id of the secret's text.
    Argon2id {
        /// Its cost.
        cost: Argon2Cost,
        /// Its salt.
        salt: [u8; 16],
        /// Whether the secret was imported; if not, it is of the host's own form.
        imported: bool,
    },
}

impl Scheme {
    /// The stable name that stores write.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::HmacSha256 { .. } => "hmac-sha256",
            Self::Argon2id { imported: false, .. } => "argon2id",
            Self::Argon2id { imported: true, .. } => "argon2id-imported",
        }
    }
}

impl fmt::Debug for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HmacSha256 { pepper } => write!(f, "hmac-sha256 (pepper {pepper})"),
            _ => f.write_str(self.name()),
        }
    }
}

/// The cost of an Argon2id hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    memory_kib: u32,
    iterations: u32,
    lanes: u32,
}

impl Argon2Cost {
    /// The most memory for one hash, in KiB: 256 MiB.
    pub const MAX_MEMORY_KIB: u32 = 256 * 1024;
    /// The most iterations.
    pub const MAX_ITERATIONS: u32 = 16;
    /// The most lanes.
    pub const MAX_LANES: u32 = 8;
    /// The most memory times iterations, in KiB: 1 GiB, which takes some 400 ms. A hash must end well within a verification's
    /// deadline.
    pub const MAX_WORK_KIB: u32 = 1024 * 1024;

    /// The first choice of the OWASP Password Storage Cheat Sheet for servers: 19 MiB, 2 iterations, 1 lane.
    pub const OWASP: Self = Self { memory_kib: 19_456, iterations: 2, lanes: 1 };

    /// A cost of at least one of the OWASP Password Storage Cheat Sheet's equivalents: (47104 KiB, 1), (19456, 2),
    /// (12288, 3), (9216, 4) or (7168, 5).
    ///
    /// # Errors
    /// If it is weaker, or above 256 MiB, 16 iterations, 8 lanes, or 1 GiB of memory times iterations.
    pub fn new(memory_kib: u32, iterations: u32, lanes: u32) -> Result<Self, Invalid> {
        const LEAST: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];
        let strong = LEAST.iter().any(|&(memory, passes)| memory_kib >= memory && iterations >= passes);
        Self::within_bounds(memory_kib, iterations, lanes).ok().filter(|_| strong).ok_or_else(|| {
            Invalid::new(
                "argon2id cost",
                "must be at least (47104 KiB, 1), (19456, 2), (12288, 3), (9216, 4) or (7168, 5) and at most (262144 KiB, 16), their \
                 product 1048576 KiB, with 1 to 8 lanes",
                format!("{memory_kib} KiB, {iterations} iterations, {lanes} lanes"),
            )
        })
    }

    /// The form that stores keep: memory in KiB, iterations and lanes, with commas.
    #[must_use]
    pub fn to_stored(self) -> String {
        let Self { memory_kib, iterations, lanes } = self;
        format!("{memory_kib},{iterations},{lanes}")
    }

    /// Reads that form, however weak the cost is by the rules of today: a rule that has become stricter must not make a living key corrupt.
    ///
    /// # Errors
    /// If it is above what a hash may cost, or below what one can, or the text is no cost.
    pub fn from_stored(text: &str) -> Result<Self, Invalid> {
        let parts: Option<Vec<u32>> = text.split(',').map(|part| part.parse().ok()).collect();
        match parts.as_deref() {
            Some(&[memory_kib, iterations, lanes]) => Self::within_bounds(memory_kib, iterations, lanes),
            _ => Err(Invalid::new("argon2id cost", "must be memory, iterations and lanes, with commas", size(text))),
        }
    }

    fn within_bounds(memory_kib: u32, iterations: u32, lanes: u32) -> Result<Self, Invalid> {
        let work = memory_kib.saturating_mul(iterations);
        // RFC 9106 section 3.1: at least 8 KiB a lane.
        if memory_kib < lanes.saturating_mul(8)
            || memory_kib > Self::MAX_MEMORY_KIB
            || !(1..=Self::MAX_ITERATIONS).contains(&iterations)
            || !(1..=Self::MAX_LANES).contains(&lanes)
            || work > Self::MAX_WORK_KIB
        {
            let size = format!("{memory_kib} KiB, {iterations} iterations, {lanes} lanes");
            return Err(Invalid::new(
                "argon2id cost",
                "must be at most (262144 KiB, 16), their product 1048576 KiB, 8 lanes",
                size,
            ));
        }
        Ok(Self { memory_kib, iterations, lanes })
    }
}

/// SHA-256 of a secret's text.
pub(crate) fn sha256(secret: &[u8]) -> Digest {
    sha256_of_one_block(secret).unwrap_or_else(|| Digest(Sha256::digest(secret).into()))
}

/// SHA-256 of a text of up to 55 bytes, which is one block with its padding (FIPS 180-4 section 5.1.1). A default secret is
/// one, and without the buffering that longer texts need it takes little more than half the time.
fn sha256_of_one_block(text: &[u8]) -> Option<Digest> {
    /// FIPS 180-4 section 5.3.3.
    const INITIAL: [u32; 8] =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    let mut block = [0_u8; 64];
    let (padded, bits) = block.split_last_chunk_mut::<8>()?;
    let (start, rest) = padded.split_at_mut_checked(text.len())?;
    *rest.first_mut()? = 0x80;
    match (text.first_chunk::<32>(), text.last_chunk::<32>()) {
        // Pieces of a fixed size are moved without a call; the first ones last, whole, since it is them that hashing begins with.
        (Some(first), Some(last)) => {
            *start.last_chunk_mut()? = *last;
            *start.first_chunk_mut()? = *first;
        }
        _ => start.copy_from_slice(text),
    }
    *bits = (u64::try_from(text.len()).ok()? * 8).to_be_bytes();
    let mut state = INITIAL;
    compress256(&mut state, std::slice::from_ref(&block));
    block = [0; 64];
    // Else the compiler would leave the text where it was.
    optimization_barrier(&block);
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    Some(Digest(digest))
}

/// Argon2id of a secret's text: milliseconds, megabytes.
pub(crate) fn argon2id(secret: &[u8], cost: Argon2Cost, salt: &[u8; 16]) -> Result<Digest, argon2::Error> {
    let mut out = [0; 32];
    let params = Params::new(cost.memory_kib, cost.iterations, cost.lanes, Some(out.len()))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(secret, salt, &mut out)?;
    Ok(Digest(out))
}

/// A secret key that is kept apart from the key store and mixed into every digest (NIST SP 800-63B section 3.1.1.2).
#[derive(Clone)]
pub struct Pepper {
    version: u16,
    keyed: Hmac<Sha256>,
}

impl Pepper {
    /// The fewest bytes of a pepper.
    pub const MIN_BYTES: usize = 32;

    /// A pepper with its version, 1 or more. A version means the same bytes for ever and everywhere.
    ///
    /// # Errors
    /// If the version is 0 or there are fewer than 32 bytes.
    pub fn new(version: u16, bytes: &[u8]) -> Result<Self, Invalid> {
        if version == 0 {
            return Err(Invalid::new("pepper version", "must be 1 or more", "0"));
        }
        if bytes.len() < Self::MIN_BYTES {
            return Err(Invalid::new("pepper", "must have at least 32 random bytes", size(bytes)));
        }
        let keyed =
            Hmac::new_from_slice(bytes).map_err(|_| Invalid::new("pepper", "must be usable as an HMAC key", size(bytes)))?;
        Ok(Self { version, keyed })
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.version
    }

    pub(crate) fn digest(&self, secret: &[u8]) -> Digest {
        Digest(self.keyed.clone().chain_update(secret).finalize().into_bytes().into())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper(version {})", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_gives_what_the_long_way_gives() {
        for length in 0..=u8::MAX {
            let text: Vec<u8> = (0..length).collect();
            assert_eq!(sha256(&text), Digest(Sha256::digest(&text).into()), "{length}");
            assert_eq!(sha256_of_one_block(&text).is_some(), length <= 55, "{length}");
        }
    }
}
