// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parity blocks that wait until their window can be completed.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::blocks::{BlockIndex, BlockSet};
use crate::parity::{MAX_MISSING, Rebuild};
use crate::window::{self, ParityIndex, WINDOW};
use crate::wire::TransferHeader;

/// Parity blocks by window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stash {
    windows: BTreeMap<u64, Vec<(u8, Vec<u8>)>>,
    blocks: usize,
}

/// What became of a parity block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It was new, and is of use.
    New,
    /// It is held already, or nothing is missing that it could stand in for.
    Useless,
    /// Its window misses too much, or there is no room.
    NoRoom,
}

impl Stash {
    /// Keeps a parity block, at most `limit` of them; `held` are the blocks that are there.
    pub(crate) fn keep(
        &mut self,
        index: ParityIndex,
        payload: &[u8],
        held: &BlockSet,
        count: u64,
        limit: usize,
    ) -> Kept {
        let missing = missing(index.window, held, count);
        if missing == 0 {
            return Kept::Useless;
        }
        if missing > MAX_MISSING as u64 || self.blocks >= limit {
            return Kept::NoRoom;
        }
        let kept = self.windows.entry(index.window).or_default();
        if kept.iter().any(|(row, _)| *row == index.row) {
            return Kept::Useless;
        }
        kept.push((index.row, payload.to_vec()));
        self.blocks += 1;
        Kept::New
    }

    /// What completes the window of `block`, now that something was added to it; the blocks that
    /// it computes count as `held` from here on.
    pub(crate) fn complete(
        &mut self,
        window: u64,
        header: &TransferHeader,
        held: &mut BlockSet,
    ) -> Option<Rebuild> {
        let kept = self.windows.get(&window)?;
        let count = header.block_count();
        let missing = missing(window, held, count);
        if kept.len() as u64 >= missing {
            let blocks = window::blocks_of(window, count);
            let columns: Vec<u8> = blocks
                .clone()
                .filter(|&block| !held.contains(BlockIndex(block)))
                .map(|block| (block - blocks.start) as u8)
                .collect();
            let mut kept = self.windows.remove(&window)?;
            self.blocks -= kept.len();
            kept.truncate(columns.len());
            held.insert_run(blocks.clone());
            return (!columns.is_empty()).then(|| Rebuild::new(*header, blocks, columns, kept));
        }
        None
    }

    /// What to tell the server of `held`: as many of a window's missing blocks as parity was kept
    /// count as there, for any as many more blocks or sums complete it.
    pub(crate) fn credit(&self, held: &BlockSet, count: u64) -> BlockSet {
        let mut credited = held.clone();
        for (&window, kept) in &self.windows {
            let blocks = window::blocks_of(window, count);
            let absent = blocks
                .rev()
                .filter(|&block| !held.contains(BlockIndex(block)));
            for block in absent.take(kept.len()) {
                credited.insert(BlockIndex(block));
            }
        }
        credited
    }
}

/// The window that `block` belongs to.
pub(crate) fn window_of(block: BlockIndex) -> u64 {
    block.0 / WINDOW
}

fn missing(window: u64, held: &BlockSet, count: u64) -> u64 {
    let blocks: Range<u64> = window::blocks_of(window, count);
    (blocks.end - blocks.start) - held.len_within(blocks)
}
