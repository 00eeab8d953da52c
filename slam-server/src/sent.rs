// SPDX-License-Identifier: MIT OR Apache-2.0
//! When each block was last sent: what a client's NACK can speak of, and what not.
//!
//! Time is counted in batches here. A solicit notes how many had left before it; the answer to it
//! speaks of those and of none later, however long it was under way.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use slam_client::wire::Nack;
use slam_client::{BlockSet, Timestamp};

/// Blocks whose extremes are kept together, so that long runs are passed over quickly.
const PAGE: usize = 256;
/// How long the moments of batches are remembered: longer than any round trip on a local network,
/// a busy emulator's included.
const KEPT: Duration = Duration::from_millis(500);
/// Bound on memory; the oldest moments go first.
const MAX_MARKS: usize = 8192;

/// The number of a batch, counted from 1 since the session became active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Serial(u32);

/// What has been sent since the session became active.
///
/// Memory: 8 bytes per block of the transfer, which is 0.6 % of it.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The batch that last carried each block; 0: none has.
    last: Vec<u32>,
    /// The one that carried it before that; 0: none has.
    before: Vec<u32>,
    /// Extremes of each [`PAGE`] of `last`.
    pages: Vec<(u32, u32)>,
    next: Serial,
    blocks: u64,
    /// Batches of late.
    marks: VecDeque<Mark>,
}

/// A batch: when it left, which, how many blocks had left before, and what it carried.
#[derive(Debug)]
struct Mark {
    at: Timestamp,
    serial: Serial,
    before: u64,
    run: Range<u64>,
}

impl Default for Sent {
    fn default() -> Self {
        Sent {
            last: Vec::new(),
            before: Vec::new(),
            pages: Vec::new(),
            next: Serial(1),
            blocks: 0,
            marks: VecDeque::new(),
        }
    }
}

impl Sent {
    /// A log for a transfer of `count` blocks.
    pub(crate) fn of(count: u64) -> Self {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Sent {
            last: vec![0; count],
            before: vec![0; count],
            pages: vec![(0, 0); count.div_ceil(PAGE)],
            ..Sent::default()
        }
    }

    /// Bytes taken.
    pub(crate) fn memory(&self) -> usize {
        self.last.len() * 8 + self.pages.len() * 8 + self.marks.len() * size_of::<Mark>()
    }

    /// How many of these blocks have been sent, be it once or often.
    pub(crate) fn covered(&self, blocks: Range<u64>) -> u64 {
        let (mut at, to) = self.range(&blocks);
        let mut covered = 0;
        while at < to {
            let page = at / PAGE;
            let end = ((page + 1) * PAGE).min(to);
            covered += match self.pages[page] {
                (_, 0) => 0,
                (oldest, _) if oldest > 0 => end - at,
                _ => self.last[at..end].iter().filter(|&&last| last > 0).count(),
            };
            at = end;
        }
        covered as u64
    }

    /// The batch that leaves next.
    pub(crate) fn next(&self) -> Serial {
        self.next
    }

    /// When the last batch left, as far as that is remembered.
    pub(crate) fn last_moment(&self) -> Option<Timestamp> {
        self.marks.back().map(|mark| mark.at)
    }

    /// The first batch that left at `moment` or later, as far as that is remembered.
    pub(crate) fn since(&self, moment: Timestamp) -> Serial {
        let later = self.marks.partition_point(|mark| mark.at < moment);
        self.marks.get(later).map_or(self.next, |mark| mark.serial)
    }

    /// Notes that `run` leaves now.
    pub(crate) fn note(&mut self, run: &Range<u64>, now: Timestamp) {
        let old = |mark: &Mark| now.since(mark.at) > KEPT;
        while self.marks.len() >= MAX_MARKS || self.marks.front().is_some_and(old) {
            self.marks.pop_front();
        }
        self.marks.push_back(Mark {
            at: now,
            serial: self.next,
            before: self.blocks,
            run: run.clone(),
        });
        let (from, to) = self.range(run);
        self.before[from..to].copy_from_slice(&self.last[from..to]);
        self.last[from..to].fill(self.next.0);
        for page in from / PAGE..to.div_ceil(PAGE) {
            let end = ((page + 1) * PAGE).min(self.last.len());
            let oldest = self.last[page * PAGE..end].iter().copied().min();
            self.pages[page] = (oldest.unwrap_or(0), self.next.0);
        }
        self.blocks += run.end - run.start;
        // Five days of batches without a pause; beyond, everything counts as sent long ago.
        self.next = Serial(self.next.0.saturating_add(1));
    }

    /// The batch that last carried `block`.
    pub(crate) fn last(&self, block: u64) -> Option<Serial> {
        let last = *self.last.get(usize::try_from(block).ok()?)?;
        (last > 0).then_some(Serial(last))
    }

    /// The last two batches before `asked` that carried `block`, the later one first, as far as no
    /// later ones have carried it.
    pub(crate) fn carried(&self, block: u64, asked: Serial) -> [Option<Serial>; 2] {
        let Some(block) = usize::try_from(block)
            .ok()
            .filter(|&block| block < self.last.len())
        else {
            return [None; 2];
        };
        let known = |batch: u32| (batch > 0 && batch < asked.0).then_some(Serial(batch));
        match (known(self.last[block]), known(self.before[block])) {
            (None, before) => [before, None],
            (last, before) => [last, before],
        }
    }

    /// How many blocks the batches from `from` on and before `to` carried; those that are no longer
    /// remembered are left out.
    pub(crate) fn blocks_between(&self, from: Serial, to: Serial) -> u64 {
        let before = |serial: Serial| {
            let at = self.marks.partition_point(|mark| mark.serial < serial);
            self.marks.get(at).map_or(self.blocks, |mark| mark.before)
        };
        before(to).saturating_sub(before(from))
    }

    /// The newest of `batches` of which `nack` shows that something has arrived.
    pub(crate) fn newest_held(&self, nack: &Nack, batches: Range<Serial>) -> Option<Serial> {
        let to = self.marks.partition_point(|mark| mark.serial < batches.end);
        let marks = self.marks.range(..to).rev();
        let mut marks = marks.take_while(|mark| mark.serial >= batches.start);
        let known = nack.extent().min(self.last.len() as u64);
        let arrived = |mark: &&Mark| {
            let run = mark.run.start..mark.run.end.min(known);
            run.start < run.end
                && self.last(run.start) == Some(mark.serial)
                && nack.missing().len_within(run.clone()) < run.end - run.start
        };
        marks.find(arrived).map(|mark| mark.serial)
    }

    /// Calls `each` with the runs of `run` that were last sent by one of `batches`; never sent is
    /// before the first.
    pub(crate) fn each(
        &self,
        run: &Range<u64>,
        batches: Range<Serial>,
        mut each: impl FnMut(Range<u64>) -> bool,
    ) {
        let (mut at, to) = self.range(run);
        let wanted = |last: u32| (batches.start.0..batches.end.0).contains(&last);
        let mut begun: Option<usize> = None;
        while at < to {
            let end = ((at / PAGE + 1) * PAGE).min(to);
            let (oldest, newest) = self.pages[at / PAGE];
            if newest < batches.start.0 || oldest >= batches.end.0 {
                if let Some(start) = begun.take()
                    && !each(start as u64..at as u64)
                {
                    return;
                }
            } else if wanted(oldest) && wanted(newest) {
                begun.get_or_insert(at);
            } else {
                for block in at..end {
                    if wanted(self.last[block]) {
                        begun.get_or_insert(block);
                    } else if let Some(start) = begun.take()
                        && !each(start as u64..block as u64)
                    {
                        return;
                    }
                }
            }
            at = end;
        }
        if let Some(start) = begun {
            each(start as u64..to as u64);
        }
    }

    /// Those of `blocks` that were last sent by one of `batches`.
    pub(crate) fn pick(&self, blocks: &BlockSet, batches: Range<Serial>) -> BlockSet {
        let mut picked = BlockSet::new();
        for run in blocks.runs() {
            self.each(&run, batches.clone(), |run| {
                picked.insert_run(run);
                true
            });
        }
        picked
    }

    /// The first `most` blocks from `from` on that were not sent since `since`.
    pub(crate) fn unsent(&self, from: u64, since: Serial, most: u64) -> BlockSet {
        let mut found = BlockSet::new();
        let all = from..self.last.len() as u64;
        self.each(&all, Serial(0)..since, |run| {
            let room = most - found.len();
            found.insert_run(run.start..run.end.min(run.start.saturating_add(room)));
            found.len() < most
        });
        found
    }

    fn range(&self, run: &Range<u64>) -> (usize, usize) {
        let place = |block: u64| {
            usize::try_from(block)
                .unwrap_or(usize::MAX)
                .min(self.last.len())
        };
        (place(run.start), place(run.end))
    }
}

impl Serial {
    /// Before every batch.
    pub(crate) const NEVER: Serial = Serial(0);

    /// The one after this.
    pub(crate) fn after(self) -> Serial {
        Serial(self.0.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(ms))
    }

    fn runs(set: &BlockSet) -> Vec<Range<u64>> {
        set.runs().collect()
    }

    #[test]
    fn an_answer_speaks_of_what_left_before_its_question() {
        let mut sent = Sent::of(1000);
        sent.note(&(0..10), at(1));
        let asked = sent.next();
        sent.note(&(20..30), at(5));
        let missing = BlockSet::from_run(0..25);
        assert_eq!(runs(&sent.pick(&missing, Serial(1)..asked)), [0..10]);
        assert_eq!(
            runs(&sent.pick(&missing, Serial::NEVER..Serial(1))),
            [10..20]
        );
        assert_eq!(sent.last(25), Some(asked));
        assert_eq!(sent.last(999), None);
        assert_eq!(sent.last(1000), None);
        assert_eq!(sent.since(at(0)), Serial(1));
        assert_eq!(sent.since(at(3)), asked);
        assert_eq!(sent.since(at(6)), sent.next());
        assert_eq!(sent.blocks_between(Serial(1), asked), 10);
        assert_eq!(sent.blocks_between(Serial(1), sent.next()), 20);
    }

    #[test]
    fn long_runs_are_joined_over_pages() {
        let mut sent = Sent::of(10_000);
        sent.note(&(100..5000), at(1));
        sent.note(&(3000..3001), at(2));
        let all = BlockSet::from_run(0..20_000);
        let first = Serial(1)..Serial(2);
        assert_eq!(runs(&sent.pick(&all, first)), [100..3000, 3001..5000]);
        let since = Serial(2);
        assert_eq!(runs(&sent.unsent(50, since, 60)), [50..110]);
        assert_eq!(
            runs(&sent.unsent(2990, since, 20)),
            [2990..3000, 3001..3011]
        );
        assert_eq!(runs(&sent.unsent(4990, Serial(1), 20)), [5000..5020]);
        assert_eq!(runs(&sent.unsent(9990, Serial(1), 20)), vec![9990..10_000]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut sent = Sent::of(10);
        for _ in 0..20_000 {
            sent.note(&(0..1), Timestamp::ZERO);
        }
        assert_eq!(sent.marks.len(), MAX_MARKS);
        sent.note(&(0..1), at(1000));
        assert_eq!(sent.marks.len(), 1);
    }
}
