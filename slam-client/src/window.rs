// SPDX-License-Identifier: MIT OR Apache-2.0
//! Windows of blocks, and the numbers of their parity blocks: arithmetic alone, for the codec.

use std::ops::Range;

/// Blocks that one parity block is a sum of: half the field, so that as many rows are left.
pub const WINDOW: u64 = 128;
/// Different parity blocks of one window.
pub const ROWS: u64 = 128;
/// Which parity block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParityIndex {
    /// The window that it sums up, from 0.
    pub window: u64,
    /// Which of the window's parity blocks, below [`ROWS`].
    pub row: u8,
}

impl ParityIndex {
    /// Its block number on the wire, in a transfer of `count` blocks.
    pub fn number(self, count: u64) -> u64 {
        count + self.window * ROWS + u64::from(self.row)
    }

    /// What block `number` of a transfer of `count` blocks sums up, if it is a parity block.
    pub fn of_number(number: u64, count: u64) -> Option<Self> {
        let beyond = number.checked_sub(count)?;
        let window = beyond / ROWS;
        (window < windows(count)).then_some(ParityIndex {
            window,
            row: (beyond % ROWS) as u8,
        })
    }
}

/// Windows in a transfer of `count` blocks.
pub fn windows(count: u64) -> u64 {
    count.div_ceil(WINDOW)
}

/// The blocks of a window; the last one of a transfer of `count` blocks may be shorter.
pub fn blocks_of(window: u64, count: u64) -> Range<u64> {
    let start = window.saturating_mul(WINDOW).min(count);
    start..start.saturating_add(WINDOW).min(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_beyond_the_last_block_and_come_back() {
        let count = 300;
        assert_eq!(windows(count), 3);
        assert_eq!(blocks_of(2, count), 256..300);
        let index = ParityIndex {
            window: 2,
            row: 127,
        };
        assert_eq!(index.number(count), 300 + 2 * 128 + 127);
        assert_eq!(
            ParityIndex::of_number(index.number(count), count),
            Some(index)
        );
        assert_eq!(ParityIndex::of_number(index.number(count) + 1, count), None);
        assert_eq!(ParityIndex::of_number(299, count), None);
    }
}
