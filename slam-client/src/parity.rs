// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parity blocks: repairs that serve clients with different losses at once.
//!
//! A thousand clients that each lose one block in a thousand miss two thirds of all blocks between
//! them. Sent one by one, those cost two thirds of the file again. A parity block is a sum over a
//! whole window of blocks, and any n of them stand in for any n blocks that a client misses of the
//! window, whichever they are: so the server sends as many as the *worst* client misses, not as
//! many as all together (RFC 5740 section 1.1, Reed-Solomon repair; Nonnenmacher, Biersack and
//! Towsley, "Parity-based loss recovery for reliable multicast transmission", 1997).
//!
//! On the wire a parity block is a data packet whose block number is beyond the last block: stock
//! clients discard it (iPXE `slam.c`, `slam_mc_socket_deliver`), so both kinds share a group.
//!
//! The code is a Cauchy matrix over GF(2^8): each square part of it can be inverted, so that any
//! rows will do. Row r over column c has the coefficient 1 / ((128 + r) + c).

use std::ops::Range;

use crate::blocks::BlockIndex;
use crate::field::{add_scaled, invert, multiply, scale};
use crate::window::{ROWS, WINDOW};
use crate::wire::TransferHeader;

/// Parity serves windows of which a client misses no more than this: a bound on what clients must
/// keep, and on the matrix that they invert.
pub const MAX_MISSING: usize = 32;

/// What the block in `column` of its window counts for in parity block `row`; never 0.
fn coefficient(row: u8, column: u8) -> u8 {
    debug_assert!(u64::from(row) < ROWS && u64::from(column) < WINDOW);
    invert((ROWS as u8 | row) ^ column)
}

/// Makes parity block `row` of a window whose blocks are given in their order, the first in column
/// 0. `parity` is as long as the longest block; shorter ones count as if zeros followed.
pub fn encode<'b>(row: u8, blocks: impl Iterator<Item = &'b [u8]>, parity: &mut [u8]) {
    parity.fill(0);
    for (column, block) in (0..).zip(blocks) {
        add_scaled(parity, coefficient(row, column), block);
    }
}

/// A window that can be completed: the blocks that are held are to be given to it, then it has
/// those that were missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    header: TransferHeader,
    blocks: Range<u64>,
    /// Columns that are missing, ascending.
    missing: Vec<u8>,
    /// As many parity blocks, with their rows.
    parity: Vec<(u8, Vec<u8>)>,
}

impl Rebuild {
    /// `missing` and `parity` are equally many; rows differ.
    pub(crate) fn new(
        header: TransferHeader,
        blocks: Range<u64>,
        missing: Vec<u8>,
        parity: Vec<(u8, Vec<u8>)>,
    ) -> Self {
        debug_assert_eq!(missing.len(), parity.len());
        Rebuild {
            header,
            blocks,
            missing,
            parity,
        }
    }

    /// The blocks that it computes.
    pub fn missing(&self) -> impl Iterator<Item = BlockIndex> + '_ {
        let first = self.blocks.start;
        let block = move |&column| BlockIndex(first + u64::from(column));
        self.missing.iter().map(block)
    }

    /// How many they are.
    pub fn blocks(&self) -> u64 {
        self.missing.len() as u64
    }

    /// How many bytes these have.
    pub fn bytes(&self) -> u64 {
        let block = |&column| BlockIndex(self.blocks.start + u64::from(column));
        let lengths = self
            .missing
            .iter()
            .map(block)
            .map(|b| self.header.block_len(b));
        lengths.sum::<usize>() as u64
    }

    /// The bytes of the file that the window covers: what [`Rebuild::solve`] wants to see. What
    /// stands there in the place of missing blocks does not matter.
    pub fn span(&self) -> Range<u64> {
        let size = u64::from(self.header.block_size().get());
        let end = self.blocks.end.saturating_mul(size);
        self.blocks.start * size..end.min(self.header.total_bytes())
    }

    /// Completes the window, whose bytes as they are now are `window` ([`Rebuild::span`]). Each
    /// missing block with its offset from the start of the file.
    pub fn solve(mut self, window: &[u8]) -> impl Iterator<Item = (u64, Vec<u8>)> {
        let size = usize::from(self.header.block_size().get());
        // What is held is taken out of the sums...
        for (column, block) in (0u8..).zip(window.chunks(size)) {
            if !self.missing.contains(&column) {
                for (row, sum) in &mut self.parity {
                    add_scaled(sum, coefficient(*row, column), block);
                }
            }
        }
        // ... and the rest are as many equations as there are unknowns.
        eliminate(&self.missing, &mut self.parity);
        let (header, first) = (self.header, self.blocks.start);
        let blocks = self.missing.into_iter().zip(self.parity);
        blocks.map(move |(column, (_, mut block))| {
            let index = BlockIndex(first + u64::from(column));
            block.truncate(header.block_len(index));
            (header.block_offset(index), block)
        })
    }
}

/// Gauss-Jordan elimination: `sums` become the blocks in the columns `missing`, in that order.
/// No pivot is ever 0: every leading square part of a Cauchy matrix can be inverted.
fn eliminate(missing: &[u8], sums: &mut [(u8, Vec<u8>)]) {
    let mut matrix: Vec<Vec<u8>> = sums
        .iter()
        .map(|(row, _)| missing.iter().map(|&c| coefficient(*row, c)).collect())
        .collect();
    for pivot in 0..missing.len() {
        let inverse = invert(matrix[pivot][pivot]);
        scale(&mut matrix[pivot], inverse);
        scale(&mut sums[pivot].1, inverse);
        let (row, sum) = (matrix[pivot].clone(), std::mem::take(&mut sums[pivot].1));
        for other in (0..missing.len()).filter(|&other| other != pivot) {
            let factor = matrix[other][pivot];
            add_scaled(&mut matrix[other], factor, &row);
            add_scaled(&mut sums[other].1, factor, &sum);
        }
        sums[pivot].1 = sum;
    }
    debug_assert!((0..missing.len()).all(|at| multiply(matrix[at][at], 1) == 1));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{BlockSize, TransactionId, VarInt};
    use proptest::prelude::*;

    fn header(total: u64, size: u64) -> TransferHeader {
        let transaction = TransactionId(VarInt::new(1).unwrap());
        TransferHeader::new(transaction, total, BlockSize::new(size).unwrap()).unwrap()
    }

    /// Every coefficient in use, summed up: what the C core must have too.
    #[test]
    fn the_matrix_is_the_documented_one() {
        assert_eq!(coefficient(0, 0), invert(128));
        assert_eq!(coefficient(127, 127), invert(255 ^ 127));
        assert_eq!(multiply(coefficient(5, 9), (128 + 5) ^ 9), 1);
    }

    proptest! {
        /// Any n rows stand in for any n blocks.
        #[test]
        fn any_rows_rebuild_any_blocks(
            seed: u64,
            total in 1u64..=128 * 7,
            losses in 1usize..=MAX_MISSING,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let header = header(total, 7);
            let count = header.block_count();
            let file: Vec<u8> = (0..total).map(|_| random.u8(..)).collect();
            let mut columns: Vec<u8> = (0..count as u8).collect();
            random.shuffle(&mut columns);
            let mut missing: Vec<u8> = columns.into_iter().take(losses).collect();
            missing.sort_unstable();
            let mut rows: Vec<u8> = (0..ROWS as u8).collect();
            random.shuffle(&mut rows);
            let parity = rows.iter().take(missing.len()).map(|&row| {
                let mut sum = vec![0; 7];
                encode(row, file.chunks(7), &mut sum);
                (row, sum)
            });
            let rebuild = Rebuild::new(header, 0..count, missing.clone(), parity.collect());
            prop_assert_eq!(rebuild.span(), 0..total);
            let mut found = file.clone();
            for &column in &missing {
                let offset = usize::from(column) * 7;
                let end = file.len().min(offset + 7);
                found[offset..end].fill(0xee);
            }
            for (offset, block) in rebuild.solve(&found.clone()) {
                let offset = offset as usize;
                found[offset..offset + block.len()].copy_from_slice(&block);
            }
            prop_assert_eq!(found, file);
        }
    }
}
