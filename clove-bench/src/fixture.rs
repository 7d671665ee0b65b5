//! Keys by number: the same number always gives the same key, so that a million of them need no memory.

use clove_core::{By, KeyId, Owner, Policy};
use sha2::{Digest, Sha256};
use uuid::Builder;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 2026-01-01, in milliseconds.
const FIRST_MILLIS: u64 = 1_767_225_600_000;

/// A small generator (splitmix64): what it gives is spread evenly, and the same in each run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The id of key number `number`; ids ascend with it.
pub(crate) fn key_id(number: u64) -> KeyId {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&Numbers(number).next().to_le_bytes());
    let uuid = Builder::from_unix_timestamp_millis(FIRST_MILLIS + number, &random).into_uuid();
    KeyId::from_slice(uuid.as_bytes()).expect("a UUIDv7")
}

/// The well-formed secret of key number `number`.
pub(crate) fn secret(number: u64) -> String {
    let mut numbers = Numbers(!number);
    let mut text = String::from("clv-");
    text.extend((0..29).map(|_| char::from(BASE62[numbers.below(62) as usize])));
    static CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let check = CRC.checksum(text.as_bytes()) % 238_328;
    text.extend([check / 3844, check / 62 % 62, check % 62].map(|digit| char::from(BASE62[digit as usize])));
    text
}

/// `id;secret` of key number `number`.
pub(crate) fn credential(number: u64) -> String {
    format!("{};{}", key_id(number), secret(number))
}

pub(crate) fn sha256(text: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(text.as_ref()).into()
}

/// Profile A, with any number of keys and no request windows.
pub(crate) fn policy() -> Policy {
    let policy = Policy::builder().active_limit(clove_core::ActiveLimit::Unlimited).limits(clove_core::Tier::unlimited());
    policy.max_records(None).max_creations_per_day(None).build().expect("a legal policy")
}

pub(crate) fn owner(number: u64) -> Owner {
    Owner::new("acme", format!("account-{number:04}")).expect("an owner")
}

pub(crate) fn by() -> By {
    By::new("bench", "measuring").expect("an actor and a reason")
}
