// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is to be sent: the union of what clients miss, served as a carousel.

use std::ops::Range;

use slam_client::{BlockIndex, BlockSet};

use super::repair::cut;

/// Blocks to send, taken in ascending order from where the last one was taken, and round again.
///
/// A block that several clients miss is in it once. A client that comes late adds blocks behind
/// the carousel's position, which are reached when it comes round: nobody else waits for them.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    pending: BlockSet,
    position: BlockIndex,
}

impl Demand {
    /// Adds blocks; those that are pending already cost nothing.
    pub(crate) fn add(&mut self, blocks: &BlockSet) {
        self.pending.union_with(blocks);
    }

    /// What is to be sent.
    pub(crate) fn pending(&self) -> &BlockSet {
        &self.pending
    }

    /// Takes the next run of at most `longest` numbers, all of one kind, in a transfer of `count`
    /// blocks.
    pub(crate) fn take(&mut self, longest: u64, count: u64) -> Option<Range<u64>> {
        let run = self
            .pending
            .run_from(self.position)
            .or_else(|| self.pending.run_from(BlockIndex(0)))?;
        let run = run.start..run.end.min(run.start.saturating_add(longest.max(1)));
        let run = cut(run, count);
        self.pending.remove_run(run.clone());
        self.position = BlockIndex(run.end);
        Some(run)
    }

    /// Whether nothing is to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Forgets everything: nobody is left who wants it.
    pub(crate) fn clear(&mut self) {
        self.pending = BlockSet::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(runs: &[Range<u64>]) -> BlockSet {
        runs.iter().cloned().collect()
    }

    #[test]
    fn a_late_joiner_is_served_when_the_carousel_comes_round() {
        let mut demand = Demand::default();
        demand.add(&set(&[0..6]));
        assert_eq!(demand.take(4, 8), Some(0..4));
        demand.add(&set(&[0..2, 5..8]));
        assert_eq!(demand.take(4, 8), Some(4..8));
        assert_eq!(demand.take(4, 8), Some(0..2));
        assert_eq!(demand.take(4, 8), None);
        assert!(demand.is_empty());
    }
}
