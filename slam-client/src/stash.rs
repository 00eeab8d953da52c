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
        let kept = self.windows.get(&index.window);
        if kept.is_some_and(|kept| kept.iter().any(|(row, _)| *row == index.row)) {
            return Kept::Useless;
        }
        let needed = missing - kept.map_or(0, Vec::len) as u64;
        if missing > MAX_MISSING as u64 || limit == 0 {
            return Kept::NoRoom;
        }
        // What completes its window takes no room for long.
        if self.blocks >= limit && needed > 1 && !self.make_room(index.window, needed, held, count)
        {
            return Kept::NoRoom;
        }
        let kept = self.windows.entry(index.window).or_default();
        kept.push((index.row, payload.to_vec()));
        self.blocks += 1;
        Kept::New
    }

    /// Gives up the sums of the window that needs most, if that is another than `window` and needs
    /// no less: so those that need least are completed, and room is made for the next. Whether
    /// there is room now.
    fn make_room(&mut self, window: u64, needed: u64, held: &BlockSet, count: u64) -> bool {
        let others = self.windows.iter().filter(|(other, _)| **other != window);
        let worst = others
            .map(|(&other, kept)| (missing(other, held, count) - kept.len() as u64, other))
            .max();
        match worst {
            Some((most, other)) if most >= needed => {
                let given_up = self.windows.remove(&other);
                self.blocks -= given_up.map_or(0, |kept| kept.len());
                true
            }
            _ => false,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{BlockSize, TransactionId, VarInt};

    const COUNT: u64 = 512;

    /// Keeps a sum that says nothing; what became of it, and how many blocks it completed.
    fn keep(stash: &mut Stash, held: &mut BlockSet, window: u64, row: u8) -> (Kept, u64) {
        let id = TransactionId(VarInt::new(1).unwrap());
        let header = TransferHeader::new(id, COUNT, BlockSize::new(1).unwrap()).unwrap();
        let kept = stash.keep(ParityIndex { window, row }, &[0], held, COUNT, 4);
        let rebuild = stash.complete(window, &header, held);
        (kept, rebuild.map_or(0, |rebuild| rebuild.blocks()))
    }

    #[test]
    fn a_full_stash_goes_on_completing_windows() {
        let mut stash = Stash::default();
        // Three, four and five blocks are missing.
        let mut held = BlockSet::from_run(0..COUNT);
        held.remove_run(0..3);
        held.remove_run(128..132);
        held.remove_run(256..261);
        for (window, row) in [(2, 0), (2, 1), (1, 0), (1, 1)] {
            assert_eq!(keep(&mut stash, &mut held, window, row), (Kept::New, 0));
        }
        assert_eq!(stash.blocks, 4);
        // The first window needs three, as the last does: those of the last are given up.
        assert_eq!(keep(&mut stash, &mut held, 0, 0), (Kept::New, 0));
        assert_eq!(stash.credit(&held, COUNT).len(), COUNT - 12 + 3);
        assert_eq!(keep(&mut stash, &mut held, 2, 2), (Kept::New, 0));
        // The last needs most again.
        assert_eq!(keep(&mut stash, &mut held, 0, 1), (Kept::New, 0));
        assert_eq!(keep(&mut stash, &mut held, 2, 3), (Kept::NoRoom, 0));
        assert_eq!(keep(&mut stash, &mut held, 0, 2), (Kept::New, 3));
        assert_eq!(keep(&mut stash, &mut held, 0, 3), (Kept::Useless, 0));
        assert_eq!(keep(&mut stash, &mut held, 1, 2), (Kept::New, 0));
        assert_eq!(keep(&mut stash, &mut held, 1, 3), (Kept::New, 4));
        assert_eq!(held.len(), COUNT - 5);
        assert_eq!(stash.blocks, 0);
    }
}
