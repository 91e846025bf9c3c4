//! -c: what is sent can be computed by whoever receives it, and every element is compared.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::mpi_raw::Element;

/// Fills and checks the buffers of one size.
pub(crate) trait Check {
    /// Writes what this rank sends in `iteration`, and poison where it receives.
    fn fill(&self, iteration: usize);
    /// Waits, after an iteration, until its data has arrived. Most operations are complete when they return.
    fn settle(&self) {}
    /// Number of wrong elements among those received in `iteration`.
    fn errors(&self, iteration: usize) -> u64;
    /// Spoils a received byte: a test that validation sees it.
    fn corrupt(&self);
}

/// For operations that carry no data.
pub(crate) struct Nothing;

impl Check for Nothing {
    fn fill(&self, _iteration: usize) {}
    fn errors(&self, _iteration: usize) -> u64 {
        0
    }
    fn corrupt(&self) {}
}

/// A message or a part of one, in this rank's memory.
pub(crate) struct Piece<'m> {
    /// Where it lies.
    pub(crate) bytes: &'m [AtomicU8],
    /// Who sends it.
    pub(crate) sender: usize,
    /// For whom it is, or another number by which pieces of one sender differ.
    pub(crate) receiver: usize,
}

/// Check of an operation that moves data unchanged.
#[derive(Default)]
pub(crate) struct Pieces<'m> {
    /// What this rank sends.
    pub(crate) sends: Vec<Piece<'m>>,
    /// What arrives here.
    pub(crate) receives: Vec<Piece<'m>>,
}

impl Check for Pieces<'_> {
    fn fill(&self, iteration: usize) {
        self.receives.iter().for_each(|piece| poison(piece.bytes));
        self.sends.iter().for_each(|piece| piece.fill(iteration));
    }

    fn errors(&self, iteration: usize) -> u64 {
        self.receives.iter().map(|piece| piece.errors(iteration)).sum()
    }

    fn corrupt(&self) {
        self.receives.iter().take(1).for_each(|piece| flip_first(piece.bytes));
    }
}

impl Piece<'_> {
    /// Value of the byte `index`. Neighbouring senders, receivers, iterations and positions differ, so that a message
    /// in the wrong place, an old one or a shifted one is seen.
    fn value(&self, iteration: usize, index: usize) -> u8 {
        (index.wrapping_mul(7) ^ (index >> 8))
            .wrapping_add(self.sender.wrapping_mul(31))
            .wrapping_add(self.receiver.wrapping_mul(17))
            .wrapping_add(iteration.wrapping_mul(13)) as u8
    }

    fn fill(&self, iteration: usize) {
        for (index, byte) in self.bytes.iter().enumerate() {
            byte.store(self.value(iteration, index), Relaxed);
        }
    }

    fn errors(&self, iteration: usize) -> u64 {
        let wrong = |(index, byte): &(usize, &AtomicU8)| byte.load(Relaxed) != self.value(iteration, *index);
        self.bytes.iter().enumerate().filter(wrong).count() as u64
    }
}

/// Check of a sum over all ranks.
pub(crate) struct Sums {
    /// Terms that this rank gives.
    pub(crate) terms: &'static [AtomicU8],
    /// Where sums arrive; empty if they do not arrive here.
    pub(crate) sums: &'static [AtomicU8],
    /// Index of the first sum among all terms.
    pub(crate) first: usize,
    /// Type of both.
    pub(crate) element: Element,
    /// This rank.
    pub(crate) rank: usize,
    /// Number of ranks that give terms.
    pub(crate) ranks: usize,
}

impl Check for Sums {
    fn fill(&self, iteration: usize) {
        poison(self.sums);
        fill_terms(self.terms, self.element, self.rank, iteration);
    }

    fn errors(&self, iteration: usize) -> u64 {
        expect_sums(self.sums, self.element, self.ranks, iteration, self.first)
    }

    fn corrupt(&self) {
        flip_first(self.sums);
    }
}

/// Overwrites what an earlier iteration left with its complement, which no iteration expects to find unchanged.
fn poison(bytes: &[AtomicU8]) {
    for byte in bytes {
        byte.store(!byte.load(Relaxed), Relaxed);
    }
}

/// Spoils the first byte, if there is one.
pub(crate) fn flip_first(bytes: &[AtomicU8]) {
    if let Some(byte) = bytes.first() {
        byte.fetch_xor(1, Relaxed);
    }
}

/// The term that `rank` adds to element `index` of a sum. Small, so that a sum over many ranks fits into a byte's
/// range for jobs of any usual size and a float holds it exactly.
fn term(rank: usize, iteration: usize, index: usize) -> i64 {
    ((index + iteration) % 5 + rank % 3) as i64
}

/// Writes `value` to all elements of `bytes`.
pub(crate) fn fill_value(bytes: &[AtomicU8], element: Element, value: i64) {
    fill_values(bytes, element, |_| value);
}

/// Number of elements of `bytes` that are not `value`.
pub(crate) fn expect_value(bytes: &[AtomicU8], element: Element, value: i64) -> u64 {
    expect_values(bytes, element, |_| value)
}

fn fill_values(bytes: &[AtomicU8], element: Element, value: impl Fn(usize) -> i64) {
    for (index, place) in bytes.chunks_exact(element.size_bytes()).enumerate() {
        for (byte, value) in place.iter().zip(encode(element, value(index))) {
            byte.store(value, Relaxed);
        }
    }
}

fn expect_values(bytes: &[AtomicU8], element: Element, value: impl Fn(usize) -> i64) -> u64 {
    let mut wrong = 0;
    for (index, place) in bytes.chunks_exact(element.size_bytes()).enumerate() {
        let same = place.iter().zip(encode(element, value(index))).all(|(byte, value)| byte.load(Relaxed) == value);
        wrong += u64::from(!same);
    }
    wrong
}

/// Fills `bytes` with the elements that `rank` gives to a sum.
fn fill_terms(bytes: &[AtomicU8], element: Element, rank: usize, iteration: usize) {
    fill_values(bytes, element, |index| term(rank, iteration, index));
}

/// Number of elements that are not the sum of what `ranks` ranks gave; `first` is the index of the first one.
fn expect_sums(bytes: &[AtomicU8], element: Element, ranks: usize, iteration: usize, first: usize) -> u64 {
    expect_values(bytes, element, |index| (0..ranks).map(|rank| term(rank, iteration, first + index)).sum())
}

/// The bytes of `value` as one element; a char wraps as its sum does.
fn encode(element: Element, value: i64) -> impl Iterator<Item = u8> {
    let mut bytes = [0; 8];
    match element {
        Element::Char => bytes[0] = value as u8,
        Element::Int => bytes[..4].copy_from_slice(&(value as i32).to_ne_bytes()),
        Element::Float => bytes[..4].copy_from_slice(&(value as f32).to_ne_bytes()),
        Element::Long => bytes = value.to_ne_bytes(),
    }
    bytes.into_iter().take(element.size_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(len: usize, sender: usize, receiver: usize) -> Piece<'static> {
        let bytes: Vec<AtomicU8> = (0..len).map(|_| AtomicU8::new(0)).collect();
        Piece { bytes: bytes.leak(), sender, receiver }
    }

    #[test]
    fn every_single_wrong_byte_is_counted() {
        let piece = piece(700, 1, 0);
        piece.fill(3);
        assert_eq!(piece.errors(3), 0);
        for byte in [&piece.bytes[0], &piece.bytes[256], &piece.bytes[699]] {
            byte.fetch_xor(0x40, Relaxed);
        }
        assert_eq!(piece.errors(3), 3);
    }

    #[test]
    fn a_message_of_another_rank_or_iteration_is_wrong_everywhere() {
        let sent = piece(64, 1, 0);
        sent.fill(3);
        let seen_as = |sender, receiver| Piece { bytes: sent.bytes, sender, receiver };
        assert_eq!(seen_as(2, 0).errors(3), 64);
        assert_eq!(seen_as(1, 1).errors(3), 64);
        assert_eq!(seen_as(1, 0).errors(4), 64);
    }

    #[test]
    fn poison_leaves_nothing_of_the_last_message() {
        let piece = piece(64, 0, 1);
        piece.fill(0);
        poison(piece.bytes);
        assert_eq!(piece.errors(0), 64);
    }

    #[test]
    fn one_flipped_byte_of_a_received_message_is_found() {
        let pieces = Pieces { sends: Vec::new(), receives: vec![piece(8, 0, 1)] };
        pieces.receives[0].fill(5);
        assert_eq!(pieces.errors(5), 0);
        pieces.corrupt();
        assert_eq!(pieces.errors(5), 1);
    }

    #[test]
    fn sums_are_checked_for_each_type() {
        for element in [Element::Char, Element::Int, Element::Float] {
            let bytes: Vec<AtomicU8> = (0..16 * element.size_bytes()).map(|_| AtomicU8::new(0)).collect();
            for (index, place) in bytes.chunks_exact(element.size_bytes()).enumerate() {
                let sum = term(0, 2, index) + term(1, 2, index);
                place.iter().zip(encode(element, sum)).for_each(|(byte, value)| byte.store(value, Relaxed));
            }
            assert_eq!(expect_sums(&bytes, element, 2, 2, 0), 0, "{element:?}");
            assert_eq!(expect_sums(&bytes, element, 3, 2, 0), 16, "{element:?}: a missing rank is seen");
        }
    }
}
