// SPDX-License-Identifier: MIT OR Apache-2.0
//! One rate for several sessions, shared by weight: who may send next, and when.
//!
//! Start-time fair queuing (Goyal, Vin, Cheng 1996): what a session sends moves its virtual time
//! by bytes over weight, and of those who have something to send the one that is furthest behind
//! goes first. What one leaves, the others have; who was away has not saved anything up.

use std::time::Duration;

use site::{BitRate, Priority};
use slam_client::Timestamp;

/// How much of a late wake-up may be made up for at once.
const CATCH_UP: Duration = Duration::from_millis(1);
/// Virtual time of one byte at weight 1; divisible by every weight.
const BYTE: u64 = 2520;

/// A rate, and where each session stands in virtual time, by its number.
#[derive(Debug)]
pub(crate) struct Share {
    rate: BitRate,
    next: Timestamp,
    /// Virtual time: where the one stood that was served last.
    virtual_time: u64,
    stands: Vec<u64>,
}

impl Share {
    pub(crate) fn new(rate: BitRate) -> Self {
        Share {
            rate,
            next: Timestamp::ZERO,
            virtual_time: 0,
            stands: Vec::new(),
        }
    }

    /// When the next batch, of whomever, may leave.
    pub(crate) fn next_batch(&self) -> Timestamp {
        self.next
    }

    /// Of these sessions, all with something to send, the one whose turn it is.
    pub(crate) fn choose(&self, ready: impl IntoIterator<Item = usize>) -> Option<usize> {
        ready.into_iter().min_by_key(|&id| (self.stand(id), id))
    }

    /// Notes that session `id` sends so many bytes, as they go over the wire.
    pub(crate) fn sent(&mut self, id: usize, weight: Priority, bytes: u64, now: Timestamp) {
        let from = self.next.max(now - CATCH_UP);
        self.next = from + self.rate.time_for(bytes);
        self.virtual_time = self.stand(id);
        if self.stands.len() <= id {
            self.stands.resize(id + 1, 0);
        }
        let step = bytes.saturating_mul(BYTE) / u64::from(weight.get());
        self.stands[id] = self.virtual_time.saturating_add(step);
    }

    /// Where session `id` stands in virtual time: the least comes first.
    pub(crate) fn stand(&self, id: usize) -> u64 {
        let stand = self.stands.get(id).copied().unwrap_or(0);
        stand.max(self.virtual_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGABIT: u64 = 1_000_000;

    /// Sends batches of 1,500 bytes for a second: `ready` says who has something to send.
    fn second(
        share: &mut Share,
        from: Timestamp,
        weights: &[u8],
        ready: impl Fn(usize, Timestamp) -> bool,
    ) -> Vec<u64> {
        let mut bits = vec![0; weights.len()];
        let mut now = from;
        while now.since(from) < Duration::from_secs(1) {
            while share.next_batch() <= now {
                let Some(id) = share.choose((0..weights.len()).filter(|&id| ready(id, now))) else {
                    break;
                };
                share.sent(id, Priority::new(weights[id]).unwrap(), 1500, now);
                bits[id] += 1500 * 8;
            }
            now += Duration::from_micros(130);
        }
        bits
    }

    fn near(found: u64, expected: u64) -> bool {
        found.abs_diff(expected) <= expected / 50 + 24_000
    }

    #[test]
    fn the_rate_is_kept_and_shared_by_weight() {
        let mut share = Share::new(BitRate::from_bits_per_second(100 * MEGABIT));
        let bits = second(&mut share, Timestamp::ZERO, &[1, 2, 5, 2], |_, _| true);
        for (found, expected) in bits.iter().zip([10, 20, 50, 20]) {
            assert!(near(*found, expected * MEGABIT), "{bits:?}");
        }
    }

    #[test]
    fn what_one_leaves_the_others_have() {
        let mut share = Share::new(BitRate::from_bits_per_second(100 * MEGABIT));
        // The second one has a batch now and then: a tenth of its share.
        let sparse = |id: usize, now: Timestamp| {
            id != 1 || now.since_start().as_micros().is_multiple_of(2340)
        };
        let bits = second(&mut share, Timestamp::ZERO, &[5, 5, 5], sparse);
        assert!(bits[1] < 8 * MEGABIT, "{bits:?}");
        assert!(near(bits[0], bits[2]), "{bits:?}");
        assert!(near(bits.iter().sum(), 100 * MEGABIT), "{bits:?}");
    }

    #[test]
    fn who_comes_late_gets_its_share_and_no_more() {
        let mut share = Share::new(BitRate::from_bits_per_second(100 * MEGABIT));
        let alone = second(&mut share, Timestamp::ZERO, &[5, 5], |id, _| id == 0);
        assert!(near(alone[0], 100 * MEGABIT), "{alone:?}");
        let later = Timestamp::from_start(Duration::from_secs(10));
        let both = second(&mut share, later, &[5, 5], |_, _| true);
        assert!(near(both[0], 50 * MEGABIT), "{both:?}");
        assert!(near(both[1], 50 * MEGABIT), "{both:?}");
    }
}
