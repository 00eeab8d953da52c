// SPDX-License-Identifier: MIT OR Apache-2.0
//! A set of cells: one bit for each place where a cell can begin, 1/64 of the hive's size.

use super::cell::ALIGNMENT;

/// Cells, by their offset.
#[derive(Clone, Default)]
pub(super) struct CellSet {
    words: Vec<u64>,
}

impl CellSet {
    /// None of the cells of so many bytes of hive bins.
    pub fn new(bins_size: u32) -> Self {
        let places = bins_size.div_ceil(ALIGNMENT) as usize;
        CellSet {
            words: vec![0; places.div_ceil(64)],
        }
    }

    /// `None` where no cell can begin.
    fn place(offset: u32) -> Option<(usize, u64)> {
        let place = (offset / ALIGNMENT) as usize;
        offset
            .is_multiple_of(ALIGNMENT)
            .then_some((place / 64, 1 << (place % 64)))
    }

    pub fn contains(&self, offset: u32) -> bool {
        Self::place(offset)
            .is_some_and(|(word, bit)| self.words.get(word).is_some_and(|word| word & bit != 0))
    }

    /// True if it was not there before.
    pub fn insert(&mut self, offset: u32) -> bool {
        let Some((word, bit)) = Self::place(offset) else {
            return false;
        };
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    pub fn remove(&mut self, offset: u32) {
        if let Some((word, bit)) = Self::place(offset)
            && let Some(word) = self.words.get_mut(word)
        {
            *word &= !bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_and_go() {
        let mut set = CellSet::new(4096);
        assert!(!set.contains(0x20));
        assert!(set.insert(0x20));
        assert!(!set.insert(0x20));
        assert!(set.contains(0x20) && !set.contains(0x28) && !set.contains(0x24));
        assert!(!set.insert(0x24));
        // The hive grew.
        assert!(set.insert(0x10_0000));
        assert!(set.contains(0x10_0000) && !set.contains(0xFFFF_FFF8));
        set.remove(0x20);
        set.remove(0xFFFF_FFF8);
        assert!(!set.contains(0x20));
    }
}
