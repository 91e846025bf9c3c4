//! Random numbers for the fault plan: the same for the same seed, on every machine and in every release.

/// SplitMix64 (Steele, Lea, Flood 2014): one addition and three multiplications, and every seed is good.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// A sequence of its own for each seed and stream.
    pub(crate) fn new(seed: u64, stream: u64) -> Random {
        let mut random = Random { state: seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95) };
        random.state = random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from 0 to `bound` - 1; `bound` is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True with a probability of 0 to 1.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && (self.next() >> 11) as f64 / ((1_u64 << 53) as f64) < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_come_out_as_asked_and_repeat_with_the_seed() {
        let draw = |seed, stream| {
            let mut random = Random::new(seed, stream);
            (0..100_000).filter(|_| random.chance(0.01)).count()
        };
        assert!((800..1200).contains(&draw(1, 0)), "{}", draw(1, 0));
        assert_eq!(draw(1, 5), draw(1, 5));
        assert_ne!(draw(1, 0), draw(2, 0));
        let mut random = Random::new(1, 1);
        assert!((0..1000).all(|_| random.below(3) < 3 && !random.chance(0.0) && random.chance(1.0)));
    }
}
