// SPDX-License-Identifier: MIT OR Apache-2.0
//! How far beyond a NACK to send.
//!
//! A stock client names its first gap alone, at most four blocks of it (iPXE `slam.c`,
//! `SLAM_MAX_BLOCKS_PER_NACK`), and speaks again only when solicited. A server that sent just
//! that would spend a round trip on every four blocks. So the gap is taken as a hint:
//!
//! - it begins at a block that was not sent when the question was: all that was sent arrived, and
//!   sending goes on, further each time;
//! - it begins at a block that was: that one is lost, everything before it is not. It is repaired
//!   as named; where four are named, there may be more, and if the next gap begins just where the
//!   repair ended, there were. What was to be sent ahead goes on meanwhile, so that a round trip
//!   costs nobody time.

use std::ops::Range;

use slam_client::BlockSet;
use slam_client::wire::Nack;

use super::demand::Demand;
use super::sent::{Sent, Serial};

/// First run for a client of whom nothing is known.
const FIRST_RUN: u64 = 32;
/// Growth of the run while everything arrives, and of a repair while its hole goes on.
const GROWTH: u64 = 4;
/// A stock client's longest gap: a shorter one is known to end at a block that it holds.
const STOCK_GAP: u64 = 4;
/// How many windows may be sent beyond a block that a client misses. Beyond, it is not ready for
/// more at this rate.
const MAX_LAG: u64 = 8;

/// What a NACK is to be held against.
pub(crate) struct Context<'c> {
    pub(crate) sent: &'c Sent,
    pub(crate) demand: &'c Demand,
    /// What this client has been there for.
    pub(crate) joined: Serial,
    /// Batches from here on cannot have been known to the client when it spoke.
    pub(crate) asked: Serial,
    /// Blocks in the transfer.
    pub(crate) count: u64,
    /// How many blocks to have ready to be sent.
    pub(crate) window: u64,
    /// Blocks that could be sent while a question is under way; 0 where others are to be sent
    /// meanwhile. A hole that may go on is repaired for at least so many.
    pub(crate) worth_a_question: u64,
}

/// What follows from a NACK.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Want {
    /// Sent before, and lost.
    pub(crate) repairs: BlockSet,
    /// Not sent yet since the client joined.
    pub(crate) fresh: BlockSet,
}

/// What has been sent ahead for one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ahead {
    /// One past the last block that was ever asked ahead for this client.
    frontier: u64,
    /// Length of the last run that was.
    run: u64,
    /// The hole that was last repaired.
    hole: Range<u64>,
    /// How long holes that go on were of late, the last one from its beginning.
    hole_began: u64,
    typical_hole: u64,
}

impl Ahead {
    /// What to send for `nack`.
    pub(crate) fn want(&mut self, nack: &Nack, context: &Context<'_>) -> Want {
        let Context { sent, asked, count, .. } = *context;
        let Some(gap) = nack.missing().runs().next().filter(|gap| gap.start < count) else {
            return Want::default();
        };
        let sent_to_it = context.joined..asked;
        if is_open_ended(nack, &gap, count) {
            let lost = sent.last(gap.start).is_some_and(|last| sent_to_it.contains(&last));
            if lost && !context.demand.contains(gap.start) {
                return Want {
                    repairs: self.repair_hole(&gap, context),
                    fresh: self.go_on(gap.start, false, context),
                };
            }
            return Want {
                repairs: BlockSet::new(),
                fresh: self.go_on(gap.start, true, context),
            };
        }
        let missing: BlockSet = nack
            .missing()
            .runs()
            .map(|run| run.start.min(count)..run.end.min(count))
            .collect();
        let repairs = sent.pick(&missing, sent_to_it);
        let mut fresh = sent.pick(&missing, Serial::NEVER..context.joined);
        if nack.extent() >= count {
            // Everything is named.
            self.frontier = count;
        } else if self.frontier > 0 {
            let lost = !repairs.is_empty();
            fresh.union_with(&self.go_on(gap.start, !lost, context));
        }
        Want { repairs, fresh }
    }

    /// Whether this client must be asked before more than it has named can be sent.
    pub(crate) fn is_followed(&self, count: u64) -> bool {
        self.frontier > 0 && self.frontier < count
    }

    /// More to be sent ahead for a client whose first gap begins at `first`, if not enough is.
    fn go_on(&mut self, first: u64, all_well: bool, context: &Context<'_>) -> BlockSet {
        let waiting = context.demand.len();
        if first >= self.frontier {
            // Where it was sent to, all arrived; if it has jumped, who knows.
            let reached = self.frontier > 0 && first == self.frontier;
            self.frontier = first;
            if !reached {
                self.run = 0;
            }
        } else if waiting > context.window / 2 || self.frontier - first > context.window * MAX_LAG {
            return BlockSet::new();
        }
        if all_well || self.run == 0 {
            self.run = (self.run * GROWTH).clamp(FIRST_RUN, context.window.max(FIRST_RUN));
        }
        let more = context.sent.unsent(self.frontier, context.joined, self.run);
        self.frontier = more.runs().last().map_or(context.count, |run| run.end);
        more
    }

    /// The part of a hole beginning with `gap` that is to be repaired.
    fn repair_hole(&mut self, gap: &Range<u64>, context: &Context<'_>) -> BlockSet {
        let continues = gap.start == self.hole.end && !self.hole.is_empty();
        let named = gap.end - gap.start;
        let len = if continues {
            ((self.hole.end - self.hole.start) * GROWTH).max(self.typical_hole / 2)
        } else {
            if !self.hole.is_empty() {
                self.typical_hole = self.hole.end - self.hole_began;
            }
            self.hole_began = gap.start;
            named.max(self.typical_hole / 4)
        };
        let len = len.max(context.worth_a_question).min(context.window.max(named));
        let end = (gap.start + len).min(context.count);
        self.hole = gap.start..end;
        let hole = BlockSet::from_run(self.hole.clone());
        context.sent.pick(&hole, context.joined..context.asked)
    }
}

/// Whether the gap may go on beyond what the NACK names.
fn is_open_ended(nack: &Nack, gap: &Range<u64>, count: u64) -> bool {
    let ends_there = nack.extent() == gap.end && gap.end < count;
    // A client without a header does not know the block count and names block 0 alone.
    let knows_nothing = *gap == (0..1);
    ends_there && (gap.end - gap.start >= STOCK_GAP || knows_nothing)
}
