// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sets of block numbers, held as runs: what is missing, what is held, what is to be sent.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// Number of a block within a transfer, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockIndex(pub u64);

impl fmt::Display for BlockIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of block numbers below 2^64 - 1.
///
/// Memory grows with the number of runs, not of blocks: a transfer without loss is one run,
/// however long. Runs never touch each other: `[0, 2)` and `[2, 5)` become `[0, 5)`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BlockSet {
    /// First block of a run → one past its last.
    runs: BTreeMap<u64, u64>,
    blocks: u64,
}

impl BlockSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The blocks `run.start` to `run.end - 1`.
    pub fn from_run(run: Range<u64>) -> Self {
        let mut set = Self::new();
        set.insert_run(run);
        set
    }

    /// How many blocks are in the set.
    pub fn len(&self) -> u64 {
        self.blocks
    }

    /// Whether no block is in the set.
    pub fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// How many runs the set consists of, which is what it costs in memory.
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Whether `block` is in the set.
    pub fn contains(&self, block: BlockIndex) -> bool {
        self.run_holding(block.0).is_some()
    }

    /// Adds a block; whether it was new.
    pub fn insert(&mut self, block: BlockIndex) -> bool {
        self.insert_run(block.0..block.0.saturating_add(1)) == 1
    }

    /// Adds a run; how many of its blocks were new. An empty run adds nothing.
    pub fn insert_run(&mut self, run: Range<u64>) -> u64 {
        if run.is_empty() {
            return 0;
        }
        let (mut start, mut end) = (run.start, run.end);
        let mut held = 0;
        if let Some((&before, &before_end)) = self.runs.range(..=start).next_back()
            && before_end >= start
        {
            if before_end >= end {
                return 0;
            }
            start = before;
            held += before_end - before;
            self.runs.remove(&before);
        }
        while let Some((&next, &next_end)) = self.runs.range(start..=end).next() {
            end = end.max(next_end);
            held += next_end - next;
            self.runs.remove(&next);
        }
        self.runs.insert(start, end);
        let new = (end - start) - held;
        self.blocks += new;
        new
    }

    /// Removes a run; how many blocks were there to remove.
    pub fn remove_run(&mut self, run: Range<u64>) -> u64 {
        if run.is_empty() {
            return 0;
        }
        let mut removed = 0;
        if let Some((&before, &before_end)) = self.runs.range(..run.start).next_back()
            && before_end > run.start
        {
            self.runs.insert(before, run.start);
            removed += before_end.min(run.end) - run.start;
            if before_end > run.end {
                self.runs.insert(run.end, before_end);
            }
        }
        while let Some((&next, &next_end)) = self.runs.range(run.clone()).next() {
            self.runs.remove(&next);
            removed += next_end.min(run.end) - next;
            if next_end > run.end {
                self.runs.insert(run.end, next_end);
            }
        }
        self.blocks -= removed;
        removed
    }

    /// The runs in ascending order.
    pub fn runs(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.runs.iter().map(|(&start, &end)| start..end)
    }

    /// The first run that holds a block at or after `from`, cut to begin no earlier than `from`.
    pub fn run_from(&self, from: BlockIndex) -> Option<Range<u64>> {
        let from = from.0;
        if let Some(end) = self.run_holding(from) {
            return Some(from..end);
        }
        self.runs
            .range(from..)
            .next()
            .map(|(&start, &end)| start..end)
    }

    /// The first block not in the set.
    pub fn first_gap(&self) -> BlockIndex {
        BlockIndex(self.runs.get(&0).copied().unwrap_or(0))
    }

    /// The runs of `0..count` that are not in the set, in ascending order.
    pub fn gaps(&self, count: u64) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut from = 0;
        self.runs()
            .map(Some)
            .chain(std::iter::once(None))
            .map(move |run| {
                let (start, end) = run.map_or((count, count), |run| (run.start, run.end));
                let gap = from.min(count)..start.min(count);
                from = end;
                gap
            })
            .filter(|gap| !gap.is_empty())
    }

    /// How many blocks of `range` are in the set.
    pub fn len_within(&self, range: Range<u64>) -> u64 {
        let before = self.runs.range(..=range.start).next_back();
        let inside = self
            .runs
            .range(range.clone())
            .filter(|&(&start, _)| start > range.start);
        before
            .into_iter()
            .chain(inside)
            .map(|(&start, &end)| end.min(range.end).saturating_sub(start.max(range.start)))
            .sum()
    }

    /// Adds every block of `other`.
    pub fn union_with(&mut self, other: &BlockSet) {
        for run in other.runs() {
            self.insert_run(run);
        }
    }

    /// Removes every block of `other`.
    pub fn subtract(&mut self, other: &BlockSet) {
        for run in other.runs() {
            self.remove_run(run);
        }
    }

    fn run_holding(&self, block: u64) -> Option<u64> {
        self.runs
            .range(..=block)
            .next_back()
            .map(|(_, &end)| end)
            .filter(|&end| end > block)
    }
}

impl fmt::Debug for BlockSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.runs()).finish()
    }
}

impl FromIterator<Range<u64>> for BlockSet {
    fn from_iter<T: IntoIterator<Item = Range<u64>>>(runs: T) -> Self {
        let mut set = Self::new();
        for run in runs {
            set.insert_run(run);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(set: &BlockSet) -> Vec<Range<u64>> {
        set.runs().collect()
    }

    #[test]
    fn runs_join_when_they_touch() {
        let mut set: BlockSet = [0..2, 5..7].into_iter().collect();
        assert_eq!(set.insert_run(2..5), 3);
        assert_eq!((runs(&set), set.len()), (vec![0..7], 7));
        assert_eq!(set.insert_run(3..9), 2);
        assert_eq!((runs(&set), set.len()), (vec![0..9], 9));
        assert!(!set.insert(BlockIndex(8)));
        assert!(set.insert(BlockIndex(9)));
    }

    #[test]
    fn removing_splits() {
        let mut set = BlockSet::from_run(0..10);
        assert_eq!(set.remove_run(3..5), 2);
        assert_eq!((runs(&set), set.len()), (vec![0..3, 5..10], 8));
        assert_eq!(set.remove_run(2..7), 3);
        assert_eq!((runs(&set), set.len()), (vec![0..2, 7..10], 5));
        assert_eq!(set.remove_run(0..100), 5);
        assert!(set.is_empty());
    }

    #[test]
    fn gaps_end_at_the_count() {
        let set: BlockSet = [2..4, 6..8].into_iter().collect();
        assert_eq!(set.gaps(10).collect::<Vec<_>>(), [0..2, 4..6, 8..10]);
        assert_eq!(set.gaps(7).collect::<Vec<_>>(), [0..2, 4..6]);
        assert_eq!(set.gaps(3).collect::<Vec<_>>(), vec![0..2]);
        assert_eq!(BlockSet::new().gaps(3).collect::<Vec<_>>(), vec![0..3]);
        assert_eq!(BlockSet::from_run(0..3).gaps(3).count(), 0);
        assert_eq!(set.first_gap(), BlockIndex(0));
        assert_eq!(BlockSet::from_run(0..3).first_gap(), BlockIndex(3));
    }

    #[test]
    fn counts_within_a_range() {
        let set: BlockSet = [2..4, 6..8].into_iter().collect();
        let expected = |range: Range<u64>| range.filter(|&at| set.contains(BlockIndex(at))).count();
        for start in 0..10 {
            for end in start..10 {
                assert_eq!(set.len_within(start..end), expected(start..end) as u64);
            }
        }
    }

    #[test]
    fn finds_the_next_run_from_anywhere() {
        let set: BlockSet = [2..4, 6..8].into_iter().collect();
        assert_eq!(set.run_from(BlockIndex(0)), Some(2..4));
        assert_eq!(set.run_from(BlockIndex(3)), Some(3..4));
        assert_eq!(set.run_from(BlockIndex(4)), Some(6..8));
        assert_eq!(set.run_from(BlockIndex(8)), None);
    }
}
