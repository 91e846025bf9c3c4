//! A configuration space: words, of which the driver may write some bits.

/// Words with a write mask each. What the device itself changes goes through [`ConfigSpace::set`].
#[derive(Debug, Clone)]
pub struct ConfigSpace {
    values: Vec<u32>,
    writable: Vec<u32>,
}

impl ConfigSpace {
    /// A space of `len_words` zeros that the driver may write everywhere.
    pub fn new(len_words: usize) -> ConfigSpace {
        ConfigSpace { values: vec![0; len_words], writable: vec![!0; len_words] }
    }

    /// Length in words.
    pub fn len_words(&self) -> usize {
        self.values.len()
    }

    /// Sets a word and which of its bits the driver may write. Used to lay out the space, at an index inside it.
    pub fn define(&mut self, index: usize, value: u32, writable: u32) {
        self.values[index] = value;
        self.writable[index] = writable;
    }

    /// The word at `index`, 0 outside the space.
    pub fn get(&self, index: usize) -> u32 {
        self.values.get(index).copied().unwrap_or(0)
    }

    /// The device's own change; ignored outside the space.
    pub fn set(&mut self, index: usize, value: u32) {
        if let Some(word) = self.values.get_mut(index) {
            *word = value;
        }
    }

    /// The device's own change of the bits in `mask`.
    pub fn set_bits(&mut self, index: usize, mask: u32, value: u32) {
        self.set(index, self.get(index) & !mask | value & mask);
    }

    /// The driver's write; read-only bits keep their value. Returns what the word was before.
    pub fn write(&mut self, index: usize, value: u32) -> u32 {
        let old = self.get(index);
        let mask = self.writable.get(index).copied().unwrap_or(0);
        self.set_bits(index, mask, value);
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_bits_survive_a_write_and_the_outside_reads_zero() {
        let mut space = ConfigSpace::new(2);
        space.define(1, 0xabcd_0000, 0x0000_ffff);
        assert_eq!(space.write(1, 0x1234_5678), 0xabcd_0000);
        assert_eq!(space.get(1), 0xabcd_5678);
        space.write(2, 1);
        assert_eq!(space.get(2), 0);
    }
}
