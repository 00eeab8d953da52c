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
/// Growth of the run while losses are repaired.
const SLOW_GROWTH: u64 = 2;
/// A stock client's longest gap: a shorter one is known to end at a block that it holds.
pub(crate) const STOCK_GAP: u64 = 4;
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
        let Context {
            sent, asked, count, ..
        } = *context;
        let Some(gap) = nack.missing().runs().next().filter(|gap| gap.start < count) else {
            return Want::default();
        };
        let sent_to_it = context.joined..asked;
        if is_open_ended(nack, &gap, count) {
            let lost = sent
                .last(gap.start)
                .is_some_and(|last| sent_to_it.contains(&last));
            if lost && !context.demand.repairs(gap.start) {
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
        let sent_to_it = |block| context.sent.last(block) >= Some(context.joined);
        if first < self.frontier && !sent_to_it(first) && !context.demand.contains(first) {
            // It has forgotten what it held: it has met another content before this.
            self.frontier = first;
            self.run = 0;
        } else if first >= self.frontier {
            // If it holds what was never sent since it joined, it may hold more.
            let next = context.sent.unsent(self.frontier, context.joined, 1);
            let skipped = next.runs().next().is_some_and(|run| run.start < first);
            self.frontier = first;
            if skipped {
                self.run = 0;
            }
        } else if waiting > context.window / 2 || self.frontier - first > context.window * MAX_LAG {
            return BlockSet::new();
        }
        let growth = if all_well { GROWTH } else { SLOW_GROWTH };
        self.run = (self.run * growth).clamp(FIRST_RUN, context.window.max(FIRST_RUN));
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
        let len = len
            .max(context.worth_a_question)
            .min(context.window.max(named));
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

#[cfg(test)]
mod tests {
    use super::*;
    use slam_client::Timestamp;
    use slam_client::wire::{ClientPacket, MAX_NACK_LEN};

    const COUNT: u64 = 100_000;

    /// A server that has one client.
    struct Server {
        sent: Sent,
        demand: Demand,
        ahead: Ahead,
    }

    impl Server {
        fn new() -> Self {
            Server {
                sent: Sent::of(COUNT),
                demand: Demand::default(),
                ahead: Ahead::default(),
            }
        }

        /// What is sent for a NACK that speaks of all that was sent; it is then sent.
        fn want(&mut self, nack: &Nack) -> (Vec<Range<u64>>, Vec<Range<u64>>) {
            let want = self.ahead.want(
                nack,
                &Context {
                    sent: &self.sent,
                    demand: &self.demand,
                    joined: Serial::NEVER.after(),
                    asked: self.sent.next(),
                    count: COUNT,
                    window: 1000,
                    worth_a_question: 0,
                },
            );
            let runs = |set: &BlockSet| set.runs().collect::<Vec<_>>();
            for run in want.repairs.runs().chain(want.fresh.runs()) {
                self.sent.note(&run, Timestamp::ZERO);
            }
            (runs(&want.repairs), runs(&want.fresh))
        }
    }

    fn stock(gap: Range<u64>) -> Nack {
        let held = [0..gap.start, gap.end..gap.end + 1].into_iter().collect();
        // A list cut after its first gap is what a stock client sends.
        let mut nack = Nack::for_gaps(&held, gap.end + 1, MAX_NACK_LEN);
        if gap.end - gap.start >= STOCK_GAP || gap == (0..1) {
            nack = Nack::for_gaps(&BlockSet::from_run(0..gap.start), gap.end, MAX_NACK_LEN);
        }
        nack
    }

    #[test]
    fn runs_grow_while_everything_arrives() {
        let mut server = Server::new();
        assert_eq!(server.want(&Nack::initial()).1, [0..32]);
        assert_eq!(server.want(&stock(32..36)).1, [32..160]);
        assert_eq!(server.want(&stock(160..164)).1, [160..672]);
        assert_eq!(server.want(&stock(672..676)), (vec![], vec![672..1672]));
    }

    #[test]
    fn a_loss_is_repaired_as_named_while_sending_goes_on() {
        let mut server = Server::new();
        server.want(&Nack::initial());
        server.want(&stock(32..36));
        assert_eq!(server.want(&stock(40..41)).0, [40..41]);
        assert_eq!(server.want(&stock(50..54)).0, [50..54]);
        // The hole goes on beyond the four blocks that were named.
        assert_eq!(server.want(&stock(54..58)).0, [54..70]);
        assert_eq!(server.want(&stock(70..74)).0, [70..134]);
        let (repairs, fresh) = server.want(&stock(134..138));
        assert!(repairs[0].start == 134 && !fresh.is_empty());
    }

    #[test]
    fn a_client_that_holds_what_it_was_not_sent_is_not_hurried() {
        let mut server = Server::new();
        server.want(&Nack::initial());
        server.want(&stock(32..36));
        assert_eq!(server.want(&stock(5000..5004)).1, [5000..5032]);
        assert_eq!(server.want(&stock(5032..5036)).1, [5032..5160]);
    }

    #[test]
    fn a_client_that_begins_again_is_sent_everything() {
        let mut server = Server::new();
        assert_eq!(server.want(&stock(900..904)).1, [900..932]);
        assert_eq!(server.want(&stock(0..4)).1, [0..32]);
        assert_eq!(server.want(&stock(32..36)).1, [32..160]);
    }

    #[test]
    fn a_complete_list_is_taken_as_it_is() {
        let held: BlockSet = [0..10, 12..20, 30..COUNT].into_iter().collect();
        let nack = Nack::for_gaps(&held, COUNT, MAX_NACK_LEN);
        let mut server = Server::new();
        assert_eq!(server.want(&nack), (vec![], vec![10..12, 20..30]));
        assert_eq!(server.want(&nack), (vec![10..12, 20..30], vec![]));
        let nothing_held = Nack::for_gaps(&BlockSet::new(), COUNT, MAX_NACK_LEN);
        let mut server = Server::new();
        assert_eq!(server.want(&nothing_held).1, vec![0..COUNT]);
    }

    #[test]
    fn blocks_past_the_end_are_nobodys() {
        // mini-slamd never serves again after one such NACK.
        let Ok(ClientPacket::Nack(past)) = ClientPacket::decode(&[0x9f, 0xff, 0xff, 0xff, 0x21, 0])
        else {
            panic!("a well-formed NACK");
        };
        assert_eq!(Server::new().want(&past), (vec![], vec![]));
        assert_eq!(
            Server::new().want(&stock(COUNT - 1..COUNT + 3)).1,
            vec![COUNT - 1..COUNT]
        );
    }
}
