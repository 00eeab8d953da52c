// SPDX-License-Identifier: MIT OR Apache-2.0
//! How far beyond a NACK to send.
//!
//! A stock client names its first gap alone, at most four blocks of it (iPXE `slam.c`,
//! `SLAM_MAX_BLOCKS_PER_NACK`), and speaks again only when solicited. A server that sent just
//! that would spend a round trip on every four blocks. The gap is a hint of what is missing, so
//! it is continued: where the gap has moved exactly to the end of what was sent, all of that
//! arrived and the next run is longer; where it stopped short, the gap is a loss and is sent as
//! it was named.

use std::ops::Range;

use slam_client::BlockSet;
use slam_client::wire::Nack;

/// First run for a client of whom nothing is known.
const FIRST_RUN: u64 = 32;
/// Growth of the run while everything arrives.
const GROWTH: u64 = 4;
/// A stock client's longest gap: a shorter one is known to end at a block that it holds.
const STOCK_GAP: u64 = 4;

/// How much to send for one NACK, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length {
    /// No more than this, so that the client is heard again before much is sent at a rate that it
    /// cannot take.
    pub(crate) longest: u64,
    /// A gap that may go on is continued for at least so many blocks: they cost no more time than
    /// asking whether it does.
    pub(crate) worth_a_question: u64,
}

/// What has been sent ahead for one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ahead {
    /// One past the last block that was ever sent ahead for this client.
    frontier: u64,
    /// Length of the run that ended at the frontier.
    run: u64,
    /// The hole behind the frontier that was last sent.
    hole: Range<u64>,
}

impl Ahead {
    /// What to send for `nack` in a transfer of `count` blocks.
    pub(crate) fn want(&mut self, nack: &Nack, count: u64, length: Length) -> BlockSet {
        let longest = length.longest.max(FIRST_RUN);
        let Some(gap) = nack.missing().runs().next().filter(|gap| gap.start < count) else {
            return BlockSet::new();
        };
        if is_open_ended(nack, &gap, count) {
            return BlockSet::from_run(self.continue_gap(&gap, count, length));
        }
        let want = first_blocks(nack.missing(), count, longest);
        let end = want.runs().last().map_or(0, |run| run.end);
        self.frontier = self.frontier.max(end);
        want
    }

    fn continue_gap(&mut self, gap: &Range<u64>, count: u64, length: Length) -> Range<u64> {
        let longest = length.longest.max(FIRST_RUN);
        if gap.start >= self.frontier {
            let all_arrived = self.frontier > 0 && gap.start == self.frontier;
            self.run = if all_arrived {
                self.run.saturating_mul(GROWTH)
            } else {
                FIRST_RUN
            };
            self.run = self
                .run
                .max(length.worth_a_question)
                .clamp(FIRST_RUN, longest);
            self.frontier = (gap.start + self.run).min(count);
            return gap.start..self.frontier;
        }
        let continues = gap.start == self.hole.end && !self.hole.is_empty();
        let named = gap.end - gap.start;
        let grown = if continues {
            (self.hole.end - self.hole.start) * GROWTH
        } else {
            named
        };
        let len = grown.max(length.worth_a_question);
        let end = (gap.start + len.clamp(named, longest))
            .min(self.frontier.max(gap.end))
            .min(count);
        self.hole = gap.start..end;
        self.hole.clone()
    }
}

/// Whether the gap may go on beyond what the NACK names.
fn is_open_ended(nack: &Nack, gap: &Range<u64>, count: u64) -> bool {
    let ends_there = nack.extent() == gap.end && gap.end < count;
    // A client without a header does not know the block count and names block 0 alone.
    let knows_nothing = *gap == (0..1);
    ends_there && (gap.end - gap.start >= STOCK_GAP || knows_nothing)
}

fn first_blocks(missing: &BlockSet, count: u64, longest: u64) -> BlockSet {
    let mut room = longest;
    let mut want = BlockSet::new();
    for run in missing.runs() {
        let end = run.end.min(count).min(run.start.saturating_add(room));
        if run.start >= end {
            break;
        }
        room -= end - run.start;
        want.insert_run(run.start..end);
    }
    want
}

#[cfg(test)]
mod tests {
    use super::*;
    use slam_client::wire::{ClientPacket, MAX_NACK_LEN};

    const COUNT: u64 = 100_000;
    const SOME: Length = Length {
        longest: 1000,
        worth_a_question: 1,
    };

    fn stock(gap: Range<u64>) -> Nack {
        let held = [0..gap.start, gap.end..gap.end + 1].into_iter().collect();
        // A list cut after its first gap is what a stock client sends.
        let mut nack = Nack::for_gaps(&held, gap.end + 1, MAX_NACK_LEN);
        if gap.end - gap.start >= STOCK_GAP || gap == (0..1) {
            nack = Nack::for_gaps(&BlockSet::from_run(0..gap.start), gap.end, MAX_NACK_LEN);
        }
        nack
    }

    fn runs(set: &BlockSet) -> Vec<Range<u64>> {
        set.runs().collect()
    }

    #[test]
    fn runs_grow_while_everything_arrives() {
        let mut ahead = Ahead::default();
        assert_eq!(runs(&ahead.want(&Nack::initial(), COUNT, SOME)), [0..32]);
        assert_eq!(runs(&ahead.want(&stock(32..36), COUNT, SOME)), [32..160]);
        assert_eq!(runs(&ahead.want(&stock(160..164), COUNT, SOME)), [160..672]);
        assert_eq!(
            runs(&ahead.want(&stock(672..676), COUNT, SOME)),
            [672..1672]
        );
    }

    #[test]
    fn a_loss_is_sent_as_named_and_growth_goes_on_at_the_frontier() {
        let mut ahead = Ahead::default();
        ahead.want(&Nack::initial(), COUNT, SOME);
        ahead.want(&stock(32..36), COUNT, SOME);
        assert_eq!(runs(&ahead.want(&stock(40..41), COUNT, SOME)), [40..41]);
        assert_eq!(runs(&ahead.want(&stock(50..54), COUNT, SOME)), [50..54]);
        // The hole goes on beyond the four blocks that were named.
        assert_eq!(runs(&ahead.want(&stock(54..58), COUNT, SOME)), [54..70]);
        assert_eq!(runs(&ahead.want(&stock(70..74), COUNT, SOME)), [70..134]);
        assert_eq!(runs(&ahead.want(&stock(160..164), COUNT, SOME)), [160..672]);
    }

    #[test]
    fn a_hole_never_runs_into_what_is_beyond_the_frontier() {
        let mut ahead = Ahead::default();
        ahead.want(&Nack::initial(), COUNT, SOME);
        assert_eq!(runs(&ahead.want(&stock(26..30), COUNT, SOME)), [26..30]);
        assert_eq!(runs(&ahead.want(&stock(30..34), COUNT, SOME)), [30..34]);
    }

    #[test]
    fn a_hole_is_continued_as_far_as_the_round_trip_would_take() {
        let far = Length {
            longest: 1000,
            worth_a_question: 200,
        };
        let mut ahead = Ahead::default();
        assert_eq!(runs(&ahead.want(&Nack::initial(), COUNT, far)), [0..200]);
        assert_eq!(runs(&ahead.want(&stock(20..24), COUNT, far)), [20..200]);
        assert_eq!(runs(&ahead.want(&stock(40..43), COUNT, far)), [40..43]);
    }

    #[test]
    fn a_complete_list_is_taken_as_it_is_but_for_its_length() {
        let held: BlockSet = [0..10, 12..20, 30..COUNT].into_iter().collect();
        let nack = Nack::for_gaps(&held, COUNT, MAX_NACK_LEN);
        let mut ahead = Ahead::default();
        assert_eq!(runs(&ahead.want(&nack, COUNT, SOME)), [10..12, 20..30]);
        let nothing_held = Nack::for_gaps(&BlockSet::new(), COUNT, MAX_NACK_LEN);
        assert_eq!(runs(&ahead.want(&nothing_held, COUNT, SOME)), [0..1000]);
    }

    #[test]
    fn blocks_past_the_end_are_nobodys() {
        // mini-slamd never serves again after one such NACK.
        let Ok(ClientPacket::Nack(past)) = ClientPacket::decode(&[0x9f, 0xff, 0xff, 0xff, 0x21, 0])
        else {
            panic!("a well-formed NACK");
        };
        assert!(Ahead::default().want(&past, COUNT, SOME).is_empty());
        assert_eq!(runs(&Ahead::default().want(&stock(0..4), 2, SOME)), [0..2]);
    }
}
