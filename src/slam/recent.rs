// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was sent so recently that a client's NACK cannot speak of it.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use slam_client::{BlockSet, Timestamp};

/// How long a block is remembered: longer than any round trip on a local network, a busy
/// emulator's included.
const KEPT: Duration = Duration::from_millis(250);
/// Bound on memory and on the work of one look-up; the oldest entries go first.
const MAX_ENTRIES: usize = 4096;

/// The runs sent of late, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    sent: VecDeque<(Timestamp, Range<u64>)>,
}

impl Recent {
    /// Notes that `run` leaves now.
    pub(crate) fn note(&mut self, run: &Range<u64>, now: Timestamp) {
        let old = |(at, _): &(Timestamp, Range<u64>)| now.since(*at) > KEPT;
        while self.sent.len() >= MAX_ENTRIES || self.sent.front().is_some_and(old) {
            self.sent.pop_front();
        }
        self.sent.push_back((now, run.clone()));
    }

    /// How many of `numbers` were sent at or after `since`.
    pub(crate) fn len_since(&self, numbers: &Range<u64>, since: Timestamp) -> u64 {
        let sent = self.sent.iter().rev().take_while(|(at, _)| *at >= since);
        let within = |run: &Range<u64>| {
            let end = run.end.min(numbers.end);
            end.saturating_sub(run.start.max(numbers.start))
        };
        sent.map(|(_, run)| within(run)).sum()
    }

    /// Takes out of `blocks` what was sent at or after `since`: it is still under way.
    pub(crate) fn subtract_since(&self, blocks: &mut BlockSet, since: Timestamp) {
        for (at, run) in self.sent.iter().rev() {
            if *at < since || blocks.is_empty() {
                return;
            }
            blocks.remove_run(run.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_under_way_is_taken_out() {
        let at = |ms| Timestamp::from_start(Duration::from_millis(ms));
        let mut recent = Recent::default();
        recent.note(&(0..10), at(1));
        recent.note(&(20..30), at(5));
        let mut wanted = BlockSet::from_run(0..25);
        recent.subtract_since(&mut wanted, at(3));
        assert_eq!(wanted.runs().collect::<Vec<_>>(), [0..20]);
        assert_eq!(recent.len_since(&(5..22), at(3)), 2);
        assert_eq!(recent.len_since(&(5..22), at(1)), 7);
        recent.subtract_since(&mut wanted, at(1));
        assert_eq!(wanted.runs().collect::<Vec<_>>(), [10..20]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut recent = Recent::default();
        for block in 0..10_000 {
            recent.note(&(block..block + 1), Timestamp::ZERO);
        }
        assert_eq!(recent.sent.len(), MAX_ENTRIES);
        recent.note(&(0..1), Timestamp::ZERO + Duration::from_secs(1));
        assert_eq!(recent.sent.len(), 1);
    }
}
