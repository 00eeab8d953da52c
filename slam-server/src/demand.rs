// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is to be sent: the union of what clients miss, repairs first, the rest as a carousel.

use std::ops::Range;

use slam_client::{BlockIndex, BlockSet};

use super::clients::BYTES_PER_RUN;
use super::repair;

/// Blocks to send, each in it once, however many clients miss it.
///
/// Repairs go first: a stock client that has lost a block speaks of nothing beyond it until it
/// has it. They go round, too: whoever asks for everything again and again does not keep the last
/// block from anybody. But when all were sent they begin at the first one: it is the one that such a client
/// speaks of, and at the end of a long run its ring would be full. The others are taken in ascending order from where the last one was taken, and round
/// again: a client that comes late adds blocks behind the carousel's position, which are reached
/// when it comes round, and nobody else waits for them.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    repairs: BlockSet,
    carousel: BlockSet,
    position: BlockIndex,
    repaired: BlockIndex,
}

impl Demand {
    /// Adds blocks that were sent and got lost.
    pub(crate) fn repair(&mut self, blocks: &BlockSet) {
        self.repairs.union_with(blocks);
    }

    /// Adds blocks that some client has not been sent yet.
    pub(crate) fn add(&mut self, blocks: &BlockSet) {
        self.carousel.union_with(blocks);
    }

    /// Takes what is pending out of `blocks`.
    pub(crate) fn subtract_from(&self, blocks: &mut BlockSet) {
        blocks.subtract(&self.repairs);
        blocks.subtract(&self.carousel);
    }

    /// Takes the repairs that are pending out of `blocks`.
    pub(crate) fn subtract_repairs_from(&self, blocks: &mut BlockSet) {
        blocks.subtract(&self.repairs);
    }

    /// Whether something other than repairs is to be sent.
    pub(crate) fn has_fresh(&self) -> bool {
        !self.carousel.is_empty()
    }

    /// Whether `block` will be sent as a repair.
    pub(crate) fn repairs(&self, block: u64) -> bool {
        self.repairs.contains(BlockIndex(block))
    }

    /// How many of these repairs are pending.
    pub(crate) fn repairs_within(&self, numbers: Range<u64>) -> u64 {
        self.repairs.len_within(numbers)
    }

    /// Takes the next run of at most `longest` numbers, all of one kind, in a transfer of `count`
    /// blocks.
    pub(crate) fn take(&mut self, longest: u64, count: u64) -> Option<Range<u64>> {
        let cut = |run: Range<u64>| {
            let end = run.end.min(run.start.saturating_add(longest.max(1)));
            repair::cut(run.start..end, count)
        };
        let repair = self
            .repairs
            .run_from(self.repaired)
            .or_else(|| self.repairs.run_from(BlockIndex(0)));
        if let Some(run) = repair.map(cut) {
            self.repairs.remove_run(run.clone());
            self.repaired = if self.repairs.is_empty() {
                BlockIndex(0)
            } else {
                BlockIndex(run.end)
            };
            self.carousel.remove_run(run.clone());
            return Some(run);
        }
        let run = self
            .carousel
            .run_from(self.position)
            .or_else(|| self.carousel.run_from(BlockIndex(0)))
            .map(cut)?;
        self.carousel.remove_run(run.clone());
        self.position = BlockIndex(run.end);
        Some(run)
    }

    /// Whether `block` will be sent.
    pub(crate) fn contains(&self, block: u64) -> bool {
        self.carousel.contains(BlockIndex(block)) || self.repairs.contains(BlockIndex(block))
    }

    /// How many blocks are to be sent.
    pub(crate) fn len(&self) -> u64 {
        self.repairs.len() + self.carousel.len()
    }

    /// Whether nothing is to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.repairs.is_empty() && self.carousel.is_empty()
    }

    /// Whether a repair is to be sent.
    pub(crate) fn has_repairs(&self) -> bool {
        !self.repairs.is_empty()
    }

    /// Forgets everything: nobody is left who wants it.
    pub(crate) fn clear(&mut self) {
        *self = Demand {
            position: self.position,
            repaired: self.repaired,
            ..Demand::default()
        };
    }

    /// Bytes taken, roughly.
    pub(crate) fn memory(&self) -> usize {
        (self.repairs.run_count() + self.carousel.run_count()) * BYTES_PER_RUN
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
        assert_eq!(demand.take(4, 100), Some(0..4));
        demand.add(&set(&[0..2, 5..8]));
        assert_eq!(demand.take(4, 100), Some(4..8));
        assert_eq!(demand.take(4, 100), Some(0..2));
        assert_eq!(demand.take(4, 100), None);
        assert!(demand.is_empty());
    }

    #[test]
    fn repairs_go_first_and_once() {
        let mut demand = Demand::default();
        demand.add(&set(&[10..20]));
        assert_eq!(demand.take(4, 100), Some(10..14));
        demand.repair(&set(&[3..4, 16..17]));
        assert!(demand.has_repairs() && demand.contains(3));
        assert_eq!(demand.take(4, 100), Some(3..4));
        assert_eq!(demand.take(4, 100), Some(16..17));
        assert_eq!(demand.take(4, 100), Some(14..16));
        assert_eq!(demand.take(4, 100), Some(17..20));
        assert_eq!(demand.take(4, 100), None);
    }

    #[test]
    fn repairs_that_are_asked_for_again_and_again_go_round() {
        let mut demand = Demand::default();
        let mut reached = BlockSet::new();
        for _ in 0..10 {
            demand.repair(&BlockSet::from_run(0..100));
            reached.insert_run(demand.take(10, 100).unwrap());
        }
        assert_eq!(reached.len(), 100);
    }

    #[test]
    fn repairs_begin_at_the_first_one_where_none_are_left_over() {
        let mut demand = Demand::default();
        demand.repair(&set(&[0..60]));
        while demand.take(40, 100).is_some() {}
        demand.repair(&set(&[10..70]));
        assert_eq!(demand.take(40, 100), Some(10..50));
    }
}
