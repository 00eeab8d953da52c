// SPDX-License-Identifier: MIT OR Apache-2.0
//! Repairs by parity: for a window of which a client misses few blocks, as many sums as it misses.
//!
//! The sums serve every other client that misses something of that window, whatever it is, so what
//! a room costs is what its worst client costs, window by window. They are block numbers beyond the
//! last ([`ParityIndex::number`]), so demand, carousel and pacing treat them as blocks.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use slam_client::parity::MAX_MISSING;
use slam_client::window::{self, ParityIndex, ROWS, WINDOW};
use slam_client::wire::Nack;
use slam_client::{BlockIndex, BlockSet};

use super::clients::BYTES_PER_RUN;
use super::demand::Demand;
use super::sent::Serial;

/// Bound on memory: batches of sums that are remembered; the oldest go first.
const MAX_NOTES: usize = 4096;

/// The sums of a transfer.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    /// Blocks in the transfer.
    count: u64,
    /// Windows of which sums were sent, and the next row.
    next: BTreeMap<u64, u64>,
    /// Sums sent of late: by which batch, and their numbers.
    sent: VecDeque<(Serial, Range<u64>)>,
}

impl Repair {
    /// For a transfer of `count` blocks.
    pub(crate) fn of(count: u64) -> Self {
        Repair {
            count,
            ..Repair::default()
        }
    }

    /// Bytes taken.
    pub(crate) fn memory(&self) -> usize {
        self.next.len() * BYTES_PER_RUN + self.sent.len() * size_of::<(Serial, Range<u64>)>()
    }

    /// Puts sums in the place of blocks, where that serves: of `repairs`, which `nack` asks for,
    /// knowing the batches before `asked`. Sums that are on their way anyway, in `demand` or since
    /// then, are left out.
    pub(crate) fn replace(
        &mut self,
        repairs: &mut BlockSet,
        nack: &Nack,
        asked: Serial,
        demand: &Demand,
    ) {
        let mut sums = BlockSet::new();
        let mut at = 0;
        while let Some(run) = repairs.run_from(BlockIndex(at * WINDOW)) {
            let window = run.start / WINDOW;
            let blocks = window::blocks_of(window, self.count);
            let missing = nack.missing().len_within(blocks.clone());
            // A client that holds nothing of a window is served best by its blocks, as is one that
            // may miss more than it says.
            let few = missing < blocks.end - blocks.start && missing <= MAX_MISSING as u64;
            if few && nack.extent() >= blocks.end {
                let wanted = repairs.remove_run(blocks);
                let first = ParityIndex { window, row: 0 }.number(self.count);
                let all = first..first + ROWS;
                let under_way = demand.repairs_within(all.clone()) + self.sent_since(&all, asked);
                self.add(&mut sums, window, first, wanted.saturating_sub(under_way));
            }
            at = window + 1;
        }
        repairs.union_with(&sums);
    }

    /// Notes that `run` leaves with batch `serial`, if it is one of sums.
    pub(crate) fn note(&mut self, run: &Range<u64>, serial: Serial) {
        if run.start < self.count {
            return;
        }
        if self.sent.len() >= MAX_NOTES {
            self.sent.pop_front();
        }
        self.sent.push_back((serial, run.clone()));
    }

    /// How many of these sums left with batch `from` or later.
    fn sent_since(&self, numbers: &Range<u64>, from: Serial) -> u64 {
        let sent = self.sent.iter().rev();
        let sent = sent.take_while(|(serial, _)| *serial >= from);
        let within = |run: &Range<u64>| {
            let end = run.end.min(numbers.end);
            end.saturating_sub(run.start.max(numbers.start))
        };
        sent.map(|(_, run)| within(run)).sum()
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

    /// Sums for a client that misses these; nothing is on its way but what `demand` has.
    fn repairs(repair: &mut Repair, missing: &[Range<u64>], demand: &Demand) -> Vec<Range<u64>> {
        let (mut repairs, nack) = list(missing);
        repair.replace(&mut repairs, &nack, Serial::NEVER.after(), demand);
        repairs.runs().collect()
    }

    #[test]
    fn as_many_sums_as_blocks_are_missing() {
        let mut repair = Repair::of(COUNT);
        let mut demand = Demand::default();
        let first = repairs(&mut repair, &[3..4, 100..102, 300..301], &demand);
        assert_eq!(first, [1000..1003, 1256..1257]);
        demand.repair(&first.into_iter().collect());
        // The next client misses others: three of four sums are on their way to it already.
        assert_eq!(repairs(&mut repair, &[50..54], &demand), [1003..1004]);
        // So they are once they have left, for those who cannot have known.
        while let Some(run) = demand.take(8, COUNT) {
            repair.note(&run, Serial::NEVER.after());
        }
        assert_eq!(repairs(&mut repair, &[60..65], &demand), [1004..1006]);
        let (mut later, nack) = list(&[60..65]);
        repair.replace(&mut later, &nack, Serial::NEVER.after().after(), &demand);
        assert_eq!(runs(&later), [1006..1011]);
    }

    #[test]
    fn many_losses_and_whole_windows_are_sent_as_they_are() {
        let mut repair = Repair::of(COUNT);
        let demand = Demand::default();
        // 33 of a window; the last window, of 104 blocks, whole.
        let missing = [0..33, 896..1000];
        assert_eq!(repairs(&mut repair, &missing, &demand), missing);
        // What a list does not reach may be missing, too.
        let nack = Nack::for_gaps(&BlockSet::from_run(0..10), 20, MAX_NACK_LEN);
        let mut want = BlockSet::from_run(10..20);
        repair.replace(&mut want, &nack, Serial::NEVER.after(), &demand);
        assert_eq!(runs(&want), [10..20]);
    }

    #[test]
    fn rows_come_round_again() {
        let mut repair = Repair::of(COUNT);
        let demand = Demand::default();
        for _ in 0..4 {
            repairs(&mut repair, &[128..158], &demand);
        }
        let round = repairs(&mut repair, &[128..140], &demand);
        assert_eq!(round, [1128..1132, 1248..1256]);
    }

    #[test]
    fn runs_are_cut_where_their_kind_changes() {
        assert_eq!(cut(990..1010, COUNT), 990..1000);
        assert_eq!(cut(1000..1010, COUNT), 1000..1010);
        assert_eq!(cut(1120..1140, COUNT), 1120..1128);
        assert_eq!(cut(0..10, COUNT), 0..10);
    }
}
