//! The check that guards headers, control payloads and extensions against bit flips which the frame CRC missed.
//!
//! A multilinear hash: each 64-bit word times its own odd key, summed modulo 2^64, of which the top bits are kept. Five multiplications
//! per header, against forty table look-ups of a CRC. It detects for certain every flip of a single bit: flipping bit `b` of a word changes
//! the sum by plus or minus `key << b`, and the keys have no run of nine equal bits, so the top 16 bits of that difference are neither
//! all zero nor all one, which a borrow from below would need to hide it. Other damage passes once in 65 536.

const KEYS: [u64; 8] = [
    0xf2a7_4de4_52e6_b439,
    0xe513_270e_269e_0d37,
    0xd23f_0824_128b_2f33,
    0x9531_985d_5d9d_c9f9,
    0xe8e2_5d94_0ed9_0475,
    0xb6f6_75cc_81e7_4ef5,
    0xeb0d_549b_6f03_675b,
    0xbd9c_1724_11e2_0b8f,
];
/// Keeps a run of zeros from being its own check.
const START: u64 = 0x8d11_6ece_1738_f7d9;

#[inline]
fn sum(words: impl Iterator<Item = u64>) -> u64 {
    words.zip(KEYS).fold(START, |sum, (word, key)| sum.wrapping_add(word.wrapping_mul(key)))
}

/// The 16-bit check of up to eight words.
#[inline]
pub(crate) fn check16<const N: usize>(words: [u64; N]) -> u16 {
    const { assert!(N <= KEYS.len()) };
    (sum(words.into_iter()) >> 48) as u16
}

/// The 16-bit check of up to 64 bytes, read as little-endian words; a last short word counts as filled with zeros.
pub(crate) fn check16_bytes(bytes: &[u8]) -> u16 {
    debug_assert!(bytes.len() <= KEYS.len() * 8);
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    (sum(bytes.chunks(8).map(word)) >> 48) as u16
}

/// The 32-bit check of a bitmap.
pub(crate) fn check32<const N: usize>(words: [u64; N]) -> u32 {
    const { assert!(N <= KEYS.len()) };
    (sum(words.into_iter()) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_no_run_that_could_hide_a_flip() {
        for key in KEYS {
            assert_eq!(key & 1, 1);
            for shift in 0..64 {
                let top = (key << shift) >> 48;
                assert!(top != 0 && top != 0xffff, "key {key:#x} shifted by {shift}");
            }
        }
    }
}
