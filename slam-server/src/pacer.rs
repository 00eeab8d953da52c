// SPDX-License-Identifier: MIT OR Apache-2.0
//! When the next blocks may leave.

use std::time::Duration;

use site::BitRate;
use slam_client::Timestamp;

/// What a block costs on the wire beside itself: Ethernet preamble, header, check sequence and
/// gap (8 + 14 + 4 + 12, IEEE 802.3), IPv4 (20), UDP (8).
const FRAME_OVERHEAD: u64 = 38 + 20 + 8;
/// Blocks leave in batches of this time on the wire: fine enough for receive rings of 4 to 16
/// packets at the rates of such cards, coarse enough for a timer.
const BATCH: Duration = Duration::from_micros(100);
/// At the highest rate, which is the link's or nobody suffers from: fewer wake-ups, and
/// segmentation offload earns more. At 1 Gbit/s it is about what one segmented send takes (44
/// datagrams, 64 KiB).
const COARSE_BATCH: Duration = Duration::from_micros(540);
/// At low rates these times are a block or none, and each would cost a wake-up. What a small ring
/// holds may leave at once, unless so much of it takes longer than this: Realtek's has 4 places
/// under iPXE. While the rate is being found, half of one.
const SMALL_RING: u64 = 4;
const HALF_RING: u64 = 2;
const LONGEST_BATCH: Duration = Duration::from_micros(400);
const LONGEST_COARSE_BATCH: Duration = Duration::from_millis(2);
/// How much of a late wake-up may be made up for at once.
const CATCH_UP: Duration = Duration::from_millis(1);
/// What is later still, a process that had to wait for a processor, is made up for bit by bit, by
/// so large a share of the rate, and no more than so much of it.
const MAKE_UP: u32 = 4;
const LONGEST_DEBT: Duration = Duration::from_millis(20);

/// How the clients take what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ease {
    /// The rate is what they can take, or is on its way there: it is kept to, finely.
    Careful,
    /// They take the highest rate: the link or the configuration is the limit.
    Easy,
}

/// Spaces batches so that their sum keeps to a rate.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// Bytes that a full block's datagram takes on the wire.
    block_on_wire: u64,
    next: Timestamp,
    /// Time lost that may still be made up for.
    debt: Duration,
    resting: bool,
}

impl Pacer {
    /// A pacer for datagrams of up to `datagram_len` bytes of UDP payload.
    pub(crate) fn new(datagram_len: usize) -> Self {
        Pacer {
            block_on_wire: datagram_len as u64 + FRAME_OVERHEAD,
            next: Timestamp::ZERO,
            debt: Duration::ZERO,
            resting: true,
        }
    }

    /// When the next batch may leave.
    pub(crate) fn next_batch(&self) -> Timestamp {
        self.next
    }

    /// The longest batch at `rate`: at least one block.
    pub(crate) fn batch_blocks(&self, rate: BitRate, ease: Ease) -> u64 {
        let (time, longest, ring) = match ease {
            Ease::Careful => (BATCH, LONGEST_BATCH, HALF_RING),
            Ease::Easy => (COARSE_BATCH, LONGEST_COARSE_BATCH, SMALL_RING),
        };
        let ring = self.blocks_in(rate, longest).min(ring);
        self.blocks_in(rate, time).max(ring)
    }

    /// How many blocks `time` has room for at `rate`: at least one.
    pub(crate) fn blocks_in(&self, rate: BitRate, time: Duration) -> u64 {
        let each = rate.time_for(self.block_on_wire).as_nanos().max(1);
        u64::try_from(time.as_nanos() / each)
            .unwrap_or(u64::MAX)
            .max(1)
    }

    /// What `blocks` take on the wire.
    pub(crate) fn bytes_on_wire(&self, blocks: u64) -> u64 {
        blocks.saturating_mul(self.block_on_wire)
    }

    /// How long `blocks` take at `rate`.
    pub(crate) fn time_for(&self, blocks: u64, rate: BitRate) -> Duration {
        rate.time_for(self.bytes_on_wire(blocks))
    }

    /// Notes that `blocks` leave now.
    pub(crate) fn sent(&mut self, blocks: u64, rate: BitRate, ease: Ease, now: Timestamp) {
        if std::mem::take(&mut self.resting) {
            self.next = self.next.max(now);
        }
        let late = now.since(self.next).saturating_sub(CATCH_UP);
        let mut time = self.time_for(blocks, rate);
        if ease == Ease::Easy {
            self.debt = (self.debt + late).min(LONGEST_DEBT);
            let made_up = (time / MAKE_UP).min(self.debt);
            self.debt -= made_up;
            time -= made_up;
        } else {
            self.debt = Duration::ZERO;
        }
        self.next = self.next.max(now - CATCH_UP) + time;
    }

    /// Nothing is left to send: time that passes from now on is not lost.
    pub(crate) fn rest(&mut self) {
        self.debt = Duration::ZERO;
        self.resting = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_to_the_rate_and_makes_up_for_late_wakeups() {
        let rate = BitRate::from_bits_per_second(1_000_000_000);
        let mut pacer = Pacer::new(1472);
        let batch = pacer.batch_blocks(rate, Ease::Careful);
        assert_eq!(batch, 8);
        let mut now = Timestamp::from_start(Duration::from_secs(5));
        let (start, mut blocks) = (now, 0);
        while now.since(start) < Duration::from_secs(1) {
            // Every wake-up is 60 microseconds late.
            now = now.max(pacer.next_batch()) + Duration::from_micros(60);
            while pacer.next_batch() <= now {
                pacer.sent(batch, rate, Ease::Careful, now);
                blocks += batch;
            }
        }
        let bits = blocks * 8 * (1472 + FRAME_OVERHEAD);
        assert!((990_000_000..1_010_000_000).contains(&bits), "{bits}");
    }

    #[test]
    fn a_long_pause_is_not_made_up_for() {
        let rate = BitRate::from_bits_per_second(1_000_000_000);
        let mut pacer = Pacer::new(1472);
        let now = Timestamp::from_start(Duration::from_secs(100));
        let mut blocks = 0;
        while pacer.next_batch() <= now {
            pacer.sent(8, rate, Ease::Careful, now);
            blocks += 8;
        }
        assert!(blocks <= pacer.blocks_in(rate, CATCH_UP) + 8, "{blocks}");
    }

    #[test]
    fn a_process_that_had_to_wait_makes_up_for_it_gently() {
        let rate = BitRate::from_bits_per_second(1_000_000_000);
        let mut pacer = Pacer::new(1472);
        let batch = pacer.batch_blocks(rate, Ease::Easy);
        assert_eq!(batch, 43);
        let start = Timestamp::from_start(Duration::from_secs(5));
        let (mut now, mut blocks, mut most) = (start, 0, 0);
        while now.since(start) < Duration::from_secs(1) {
            now = now.max(pacer.next_batch());
            // Every 50 ms it waits for 10.
            let into = now.since_start().as_millis() % 50;
            if into < 10 {
                now += Duration::from_millis(10 - into as u64);
            }
            let before = blocks;
            while pacer.next_batch() <= now {
                pacer.sent(batch, rate, Ease::Easy, now);
                blocks += batch;
            }
            most = most.max(blocks - before);
        }
        let bits = blocks * 8 * (1472 + FRAME_OVERHEAD);
        assert!((970_000_000..1_010_000_000).contains(&bits), "{bits}");
        let burst = pacer.blocks_in(rate, CATCH_UP) * 4 / 3 + 2 * batch;
        assert!(most <= burst, "{most} at once");
    }

    /// At the default block size: 1,454 bytes and the header's 18.
    #[test]
    fn no_batch_of_a_low_rate_is_more_than_the_smallest_ring_holds() {
        let pacer = Pacer::new(1472);
        let batch = |megabits: u64, ease| {
            pacer.batch_blocks(BitRate::from_bits_per_second(megabits * 1_000_000), ease)
        };
        for megabits in 1..=600 {
            assert!((1..=4).contains(&batch(megabits, Ease::Careful)));
        }
        for megabits in 1..=110 {
            assert!((1..=4).contains(&batch(megabits, Ease::Easy)));
        }
        // 100 and 540 microseconds: of rates that only larger rings take.
        assert_eq!(batch(1000, Ease::Careful), 8);
        assert_eq!(batch(1000, Ease::Easy), 43);
    }

    #[test]
    fn slow_rates_send_single_blocks() {
        let pacer = Pacer::new(1472);
        assert_eq!(
            pacer.batch_blocks(BitRate::from_bits_per_second(1_000), Ease::Careful),
            1
        );
    }
}
