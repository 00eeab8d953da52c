// SPDX-License-Identifier: MIT OR Apache-2.0
//! Repairs by parity: for a window of which a client misses few blocks, as many sums as it misses.
//!
//! The sums serve every other client that misses something of that window, whatever it is, so what
//! a room costs is what its worst client costs, window by window. They are block numbers beyond the
//! last ([`ParityIndex::number`]), so demand, carousel and pacing treat them as blocks.

use std::collections::BTreeMap;
use std::ops::Range;

use slam_client::BlockSet;
use slam_client::parity::{self, MAX_MISSING, ParityIndex, ROWS};
use slam_client::wire::Nack;

/// Which sums come next.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    /// Windows of which sums were sent, and the next row.
    next: BTreeMap<u64, u64>,
}

impl Repair {
    /// Puts sums in the place of blocks, where that serves: `want` is what `nack` asks for in a
    /// transfer of `count` blocks, less what is on its way anyway; `under_way` says how many sums of
    /// a range of numbers are.
    pub(crate) fn replace(
        &mut self,
        want: &mut BlockSet,
        nack: &Nack,
        count: u64,
        under_way: impl Fn(Range<u64>) -> u64,
    ) {
        let mut sums = BlockSet::new();
        let mut window = 0;
        while let Some(run) = want.run_from(slam_client::BlockIndex(window * parity::WINDOW)) {
            window = run.start / parity::WINDOW;
            let blocks = parity::blocks_of(window, count);
            let len = blocks.end - blocks.start;
            let missing = nack.missing().len_within(blocks.clone());
            // A client that holds nothing of a window is served best by its blocks, as is one that
            // may miss more than it says.
            let few = missing < len && missing <= MAX_MISSING as u64;
            if few && nack.extent() >= blocks.end {
                let wanted = want.remove_run(blocks);
                let first = ParityIndex { window, row: 0 }.number(count);
                let more = wanted.saturating_sub(under_way(first..first + ROWS));
                self.add(&mut sums, window, first, more);
            }
            window += 1;
        }
        want.union_with(&sums);
    }

    /// The next `more` rows of a window, whose first has the number `first`; after the last comes
    /// the first again, which by then is long forgotten.
    fn add(&mut self, sums: &mut BlockSet, window: u64, first: u64, more: u64) {
        if more == 0 {
            return;
        }
        let next = self.next.entry(window).or_default();
        let end = *next + more;
        sums.insert_run(first + *next..first + end.min(ROWS));
        if end > ROWS {
            sums.insert_run(first..first + end - ROWS);
        }
        *next = end % ROWS;
    }

    /// Forgets everything: nobody is left who could hold a sum.
    pub(crate) fn clear(&mut self) {
        self.next.clear();
    }
}

/// Cuts `run` where the kind of its numbers changes: blocks, then the sums of one window each.
pub(crate) fn cut(run: Range<u64>, count: u64) -> Range<u64> {
    let end = match ParityIndex::of_number(run.start, count) {
        Some(sum) => sum.number(count) - u64::from(sum.row) + ROWS,
        None => count,
    };
    run.start..run.end.min(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use slam_client::wire::MAX_NACK_LEN;

    const COUNT: u64 = 1000;

    fn list(missing: &[Range<u64>]) -> (BlockSet, Nack) {
        let missing: BlockSet = missing.iter().cloned().collect();
        let mut held = BlockSet::from_run(0..COUNT);
        held.subtract(&missing);
        (missing, Nack::for_gaps(&held, COUNT, MAX_NACK_LEN))
    }

    fn runs(set: &BlockSet) -> Vec<Range<u64>> {
        set.runs().collect()
    }

    #[test]
    fn as_many_sums_as_blocks_are_missing() {
        let mut repair = Repair::default();
        let (mut want, nack) = list(&[3..4, 100..102, 300..301]);
        repair.replace(&mut want, &nack, COUNT, |_| 0);
        assert_eq!(runs(&want), [1000..1003, 1256..1257]);
        // The next client misses others, and one is on its way to it already.
        let (mut want, nack) = list(&[50..54]);
        repair.replace(&mut want, &nack, COUNT, |numbers| {
            assert_eq!(numbers, 1000..1128);
            3
        });
        assert_eq!(runs(&want), [1003..1004]);
    }

    #[test]
    fn many_losses_and_whole_windows_are_sent_as_they_are() {
        let mut repair = Repair::default();
        // 33 of a window; the last window, of 104 blocks, whole.
        let (mut want, nack) = list(&[0..33, 896..1000]);
        repair.replace(&mut want, &nack, COUNT, |_| 0);
        assert_eq!(runs(&want), [0..33, 896..1000]);
        // What a list does not reach may be missing, too.
        let nack = Nack::for_gaps(&BlockSet::from_run(0..10), 20, MAX_NACK_LEN);
        let mut want = BlockSet::from_run(10..20);
        repair.replace(&mut want, &nack, COUNT, |_| 0);
        assert_eq!(runs(&want), [10..20]);
    }

    #[test]
    fn rows_come_round_again() {
        let mut repair = Repair::default();
        for _ in 0..4 {
            let (mut want, nack) = list(&[128..158]);
            repair.replace(&mut want, &nack, COUNT, |_| 0);
            assert_eq!(want.len(), 30);
        }
        let (mut want, nack) = list(&[128..140]);
        repair.replace(&mut want, &nack, COUNT, |_| 0);
        assert_eq!(runs(&want), [1128..1132, 1248..1256]);
    }

    #[test]
    fn runs_are_cut_where_their_kind_changes() {
        assert_eq!(cut(990..1010, COUNT), 990..1000);
        assert_eq!(cut(1000..1010, COUNT), 1000..1010);
        assert_eq!(cut(1120..1140, COUNT), 1120..1128);
        assert_eq!(cut(0..10, COUNT), 0..10);
    }
}
