// SPDX-License-Identifier: MIT OR Apache-2.0
//! A transfer as people look at it: how far it is, who takes part, which parts have arrived.
//!
//! Made a few times a second from what the session knows anyway; what is kept for it alone is one
//! [`Gaps`] for each client.

use std::net::SocketAddr;
use std::ops::Range;

use site::BitRate;
use slam_client::Timestamp;
use slam_client::wire::Nack;

/// Most parts that a block map shows, whatever the length of the file.
pub const PARTS: u64 = 512;
const WORDS: usize = (PARTS / 64) as usize;

/// A transfer at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TransferView {
    /// What it is doing.
    pub phase: Phase,
    /// Whether rooms are kept from beginning until somebody says so.
    pub held: bool,
    /// Bytes of the file.
    pub total_bytes: u64,
    /// Blocks of the file.
    pub blocks: u64,
    /// Since when somebody has been there.
    pub since: Option<Timestamp>,
    /// Blocks sent since then, repeated ones and sums included.
    pub sent_blocks: u64,
    /// Bytes of payload in them.
    pub sent_bytes: u64,
    /// Of the blocks sent, those that were sent for the first time in their lane.
    pub first_blocks: u64,
    /// The lanes, the first one first.
    pub lanes: Vec<LaneView>,
    /// Who takes part.
    pub clients: Vec<ClientView>,
    /// Which parts were sent and have arrived; empty where nobody is there.
    pub map: Vec<PartView>,
}

/// What a transfer is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is there.
    #[default]
    Idle,
    /// A room gathers.
    Waiting {
        /// Sending begins when so many are there.
        for_clients: Option<usize>,
        /// Or at this moment.
        opens_at: Option<Timestamp>,
    },
    /// Blocks are sent to those who miss them.
    Sending,
}

/// One lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// What it sends at most.
    pub rate: BitRate,
    /// How many clients are in it.
    pub clients: usize,
}

/// One client.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientView {
    /// Its address and port.
    pub address: SocketAddr,
    /// Its lane: 0 is that of the URI's group.
    pub lane: usize,
    /// When it first asked.
    pub joined: Timestamp,
    /// Blocks that it holds, as far as its lists of what is missing tell: at least so many.
    pub held_blocks: u64,
    /// The share of what was sent to it lately that got lost, where there is enough to tell.
    pub lost: Option<f64>,
    /// Whether what it misses was sent again and again in vain.
    pub stuck: bool,
}

/// One part of the block map: as many blocks as there are for each of at most [`PARTS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartView {
    /// How much of it was sent, in percent.
    pub sent: u8,
    /// How many of the clients have all of it, in percent.
    pub held: u8,
}

/// How many parts the map of so many blocks has.
pub(crate) fn parts(blocks: u64) -> u64 {
    blocks.min(PARTS)
}

/// The blocks of one part.
pub(crate) fn part(number: u64, blocks: u64) -> Range<u64> {
    let parts = parts(blocks).max(1);
    let at = |number: u64| (number * blocks).div_ceil(parts);
    at(number)..at(number + 1)
}

/// In which parts of the map a client misses something, as far as it has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gaps {
    words: [u64; WORDS],
    held_blocks: u64,
}

impl Default for Gaps {
    /// Of somebody who has nothing.
    fn default() -> Self {
        Gaps {
            words: [u64::MAX; WORDS],
            held_blocks: 0,
        }
    }
}

impl Gaps {
    /// Learns from a list of what is missing. Beyond its extent nothing is known anew, and what was
    /// held once is not lost; but for somebody who begins anew.
    pub(crate) fn learn(&mut self, nack: &Nack, blocks: u64) {
        if blocks == 0 {
            return;
        }
        let extent = nack.extent().min(blocks);
        let held = extent - nack.missing().len_within(0..extent);
        if held == 0 && extent <= 1 {
            *self = Gaps::default();
            return;
        }
        self.held_blocks = self.held_blocks.max(held);
        let parts = parts(blocks);
        let of = |block: u64| block * parts / blocks;
        let mut missing = [0; WORDS];
        for run in nack.missing().runs() {
            if run.start >= blocks {
                break;
            }
            set(&mut missing, of(run.start), of(run.end.min(blocks) - 1));
        }
        if extent < blocks {
            set(&mut missing, of(extent), parts - 1);
        }
        for (word, missing) in self.words.iter_mut().zip(missing) {
            *word &= missing;
        }
    }

    /// Blocks held at least.
    pub(crate) fn held_blocks(&self) -> u64 {
        self.held_blocks
    }

    /// Adds one to each part that is held whole.
    pub(crate) fn count_held(&self, counts: &mut [u32]) {
        for (number, count) in counts.iter_mut().enumerate() {
            *count += u32::from(self.words[number / 64] >> (number % 64) & 1 == 0);
        }
    }
}

/// Sets the bits from `first` to `last`.
fn set(words: &mut [u64; WORDS], first: u64, last: u64) {
    let (from, to) = ((first / 64) as usize, (last / 64) as usize);
    for (number, word) in words.iter_mut().enumerate().take(to + 1).skip(from) {
        let low = if number == from { first % 64 } else { 0 };
        let high = if number == to { last % 64 } else { 63 };
        *word |= (u64::MAX >> (63 - (high - low))) << low;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use slam_client::BlockSet;
    use slam_client::wire::MAX_NACK_LEN;

    fn nack(held: &BlockSet, blocks: u64) -> Nack {
        Nack::for_gaps(held, blocks, MAX_NACK_LEN)
    }

    fn held(gaps: &Gaps, blocks: u64) -> Vec<u32> {
        let mut counts = vec![0; parts(blocks) as usize];
        gaps.count_held(&mut counts);
        counts
    }

    #[test]
    fn parts_cover_all_blocks_once() {
        for blocks in [1, 5, 511, 512, 513, 1000, 145_000] {
            let ranges: Vec<_> = (0..parts(blocks)).map(|n| part(n, blocks)).collect();
            assert_eq!(ranges[0].start, 0);
            assert_eq!(ranges.last().unwrap().end, blocks);
            assert!(ranges.windows(2).all(|two| two[0].end == two[1].start));
            assert!(ranges.iter().all(|range| !range.is_empty()), "{blocks}");
        }
    }

    #[test]
    fn what_is_held_once_stays_held_until_somebody_begins_anew() {
        let blocks = 1024;
        let mut gaps = Gaps::default();
        assert_eq!(held(&gaps, blocks).iter().sum::<u32>(), 0);
        let mut has = BlockSet::from_run(0..512);
        has.insert_run(1022..1024);
        gaps.learn(&nack(&has, blocks), blocks);
        assert_eq!(gaps.held_blocks(), 514);
        let parts = held(&gaps, blocks);
        assert!(parts[..256].iter().all(|&n| n == 1) && parts[511] == 1);
        assert!(parts[256..511].iter().all(|&n| n == 0));
        // A stock client speaks of its first gap alone.
        let stock = Nack::for_gaps(&BlockSet::from_run(0..600), 601, MAX_NACK_LEN);
        gaps.learn(&stock, blocks);
        assert_eq!((gaps.held_blocks(), held(&gaps, blocks)[511]), (600, 1));
        let anew = Nack::for_gaps(&BlockSet::new(), 1, MAX_NACK_LEN);
        gaps.learn(&anew, blocks);
        assert_eq!(gaps, Gaps::default());
    }

    proptest! {
        /// Nothing that is missing is ever shown as held.
        #[test]
        fn the_map_never_shows_more_than_there_is(
            blocks in 1u64..5000,
            runs in proptest::collection::vec((0u64..5000, 1u64..400), 0..20),
        ) {
            let mut has = BlockSet::new();
            for (start, length) in runs {
                let run = start.min(blocks)..(start + length).min(blocks);
                has.insert_run(run);
            }
            let mut gaps = Gaps::default();
            gaps.learn(&nack(&has, blocks), blocks);
            for (number, count) in held(&gaps, blocks).into_iter().enumerate() {
                let part = part(number as u64, blocks);
                let whole = has.len_within(part.clone()) == part.end - part.start;
                prop_assert!(count == 0 || whole, "part {number}");
            }
            prop_assert!(gaps.held_blocks() <= has.len());
        }
    }
}
