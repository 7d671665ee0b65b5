//! CRC-32 as in gzip (RFC 1952 section 8), for texts of a few dozen bytes: the check characters of a secret, on the way of every
//! request. Too short for the vector instructions of other crates; those that go by tables too have each byte wait for the one before.

/// How many bytes are taken at a step.
const STEP: usize = 16;

/// What each byte adds to the sum, with so many bytes of its step behind it.
static TABLES: [[u32; 256]; STEP] = tables();

/// The sum of what it has been given.
pub(crate) struct Crc32(u32);

impl Crc32 {
    pub(crate) const NEW: Self = Self(u32::MAX);

    /// Adds these bytes.
    #[inline]
    #[must_use]
    pub(crate) fn and(self, bytes: &[u8]) -> Self {
        let (steps, rest) = bytes.as_chunks::<STEP>();
        let sum = steps.iter().fold(self.0, |sum, step| {
            let &[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = step;
            // All that does not wait for the sum so far comes first, in pairs, and in pairs of those.
            let free = ((behind(11, e) ^ behind(10, f)) ^ (behind(9, g) ^ behind(8, h)))
                ^ ((behind(7, i) ^ behind(6, j)) ^ (behind(5, k) ^ behind(4, l)))
                ^ ((behind(3, m) ^ behind(2, n)) ^ (behind(1, o) ^ behind(0, p)));
            let [a, b, c, d] = (u32::from_le_bytes([a, b, c, d]) ^ sum).to_le_bytes();
            free ^ ((behind(15, a) ^ behind(14, b)) ^ (behind(13, c) ^ behind(12, d)))
        });
        Self(rest.iter().fold(sum, |sum, byte| {
            let [low, ..] = sum.to_le_bytes();
            (sum >> 8) ^ behind(0, low ^ byte)
        }))
    }

    pub(crate) fn end(self) -> u32 {
        !self.0
    }
}

/// What a byte adds with so many behind it.
#[inline(always)]
fn behind(bytes: usize, byte: u8) -> u32 {
    // Neither is ever out of range.
    TABLES.get(bytes).and_then(|table| table.get(usize::from(byte))).copied().unwrap_or_default()
}

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
const fn tables() -> [[u32; 256]; STEP] {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut tables = [[0; 256]; STEP];
    let mut byte = 0;
    while byte < 256 {
        let (mut sum, mut bits) = (byte as u32, 0);
        while bits < 8 * STEP {
            sum = (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 };
            bits += 1;
            if bits % 8 == 0 {
                tables[bits / 8 - 1][byte] = sum;
            }
        }
        byte += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit.
    fn slowly(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 })
        })
    }

    #[test]
    fn the_sum_of_the_catalogue_is_met() {
        assert_eq!(Crc32::NEW.and(b"123456789").end(), 0xcbf4_3926);
        assert_eq!(slowly(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn texts_of_any_length_have_the_sum_that_is_made_bit_by_bit_whole_or_in_pieces() {
        let text: Vec<u8> = (0..200_u8).map(|byte| byte.wrapping_mul(167) ^ 0x5a).collect();
        for length in 0..=text.len() {
            let (text, _) = text.split_at(length);
            let (first, second) = text.split_at(length / 3);
            assert_eq!(Crc32::NEW.and(text).end(), slowly(text), "{length}");
            assert_eq!(Crc32::NEW.and(first).and(second).end(), slowly(text), "{length}");
        }
    }
}
