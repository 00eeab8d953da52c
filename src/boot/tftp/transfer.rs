// SPDX-License-Identifier: MIT OR Apache-2.0
//! One file on its way to one client: which blocks go out, and when again.
//!
//! Only acknowledgements that move on are answered at once; repeated ones are not, or each packet
//! that the network doubled would go on to double all that follow (RFC 1123, section 4.2.3.1:
//! "Sorcerer's Apprentice"). A window's last block that is missing comes again after the time-out.

use std::time::Duration;

use slam_client::Timestamp;

use super::packet::{DEFAULT_BLOCK_SIZE, FromClient, Options};

/// Sent again after so long, unless the client asks otherwise.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The longest time-out that a client gets: who asks for more holds a transfer for longer.
const LONGEST_TIMEOUT: u8 = 10;
/// Sent so often before the client is given up.
const TRIES: u32 = 6;
/// The largest block that fits an Ethernet frame with IPv4 (20), UDP (8) and TFTP (4) headers: iPXE
/// takes fragments in order only, and many ROMs take none.
const LARGEST_BLOCK: u16 = 1468;
/// The largest window: what a small receive ring holds.
const LARGEST_WINDOW: u16 = 16;

/// A transfer.
#[derive(Clone, Debug)]
pub struct Transfer {
    bytes: u64,
    block_size: u16,
    window: u16,
    timeout: Duration,
    agreed: Option<Options>,
    state: State,
    tries: u32,
    deadline: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Options are on their way, and nothing else.
    Agreeing,
    /// All blocks before this one have arrived, counted from 1.
    Sending(u64),
    /// All has arrived.
    Done,
    /// The client said that it ended.
    Aborted,
    /// The client is silent.
    Lost,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Send {
    /// The options that were agreed on.
    Options(Options),
    /// These blocks, counted from 1: `number` on the wire is the lowest 16 bits.
    Blocks(std::ops::Range<u64>),
    /// Nothing.
    Nothing,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything arrived.
    Done,
    /// The client ended it: many firmwares only ask for the size that way.
    Aborted,
    /// The client fell silent.
    Lost,
}

impl Transfer {
    /// A transfer of a file of this length, and what is sent first. `mtu` is the largest packet of
    /// the interface.
    pub fn new(bytes: u64, wanted: Options, mtu: u32, now: Timestamp) -> (Transfer, Send) {
        let fits = u16::try_from(mtu.saturating_sub(32)).unwrap_or(u16::MAX);
        let largest = LARGEST_BLOCK.min(fits.max(8));
        let agreed = Options {
            block_size: wanted.block_size.map(|size| size.min(largest)),
            timeout: wanted.timeout.filter(|s| *s <= LONGEST_TIMEOUT),
            size: wanted.size.map(|_| bytes),
            window: wanted.window.map(|window| window.min(LARGEST_WINDOW)),
        };
        let agreed = Some(agreed).filter(|agreed| !agreed.is_empty());
        let options = agreed.unwrap_or_default();
        let mut transfer = Transfer {
            bytes,
            block_size: options.block_size.unwrap_or(DEFAULT_BLOCK_SIZE),
            window: options.window.unwrap_or(1),
            timeout: options.timeout().unwrap_or(TIMEOUT),
            agreed,
            state: match agreed {
                Some(_) => State::Agreeing,
                None => State::Sending(1),
            },
            tries: 0,
            deadline: now,
        };
        let first = transfer.send(now);
        (transfer, first)
    }

    /// Bytes in a block.
    pub fn block_size(&self) -> u16 {
        self.block_size
    }

    /// The number of blocks: the last one is shorter than the others, and may be empty.
    fn blocks(&self) -> u64 {
        self.bytes / u64::from(self.block_size) + 1
    }

    /// The bytes of the file that are in a block.
    pub fn range(&self, block: u64) -> std::ops::Range<u64> {
        let size = u64::from(self.block_size);
        let start = block.saturating_sub(1).saturating_mul(size).min(self.bytes);
        start..start.saturating_add(size).min(self.bytes)
    }

    /// When [`Transfer::wake`] is due.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// How it ended, if it did.
    pub fn end(&self) -> Option<End> {
        match self.state {
            State::Agreeing | State::Sending(_) => None,
            State::Done => Some(End::Done),
            State::Aborted => Some(End::Aborted),
            State::Lost => Some(End::Lost),
        }
    }

    /// What came from the client.
    pub fn receive(&mut self, packet: FromClient, now: Timestamp) -> Send {
        let next = match (packet, self.state) {
            (FromClient::Error, _) => {
                self.state = State::Aborted;
                return Send::Nothing;
            }
            (FromClient::Ack(0), State::Agreeing) => 1,
            (FromClient::Ack(block), State::Sending(next)) => {
                // Counted on from the last block that arrived; numbers of 16 bits go round.
                let arrived = next - 1;
                let ahead = u64::from(block.wrapping_sub(arrived as u16));
                let sent = u64::from(self.window).min(self.blocks() - arrived);
                if ahead == 0 || ahead > sent {
                    return Send::Nothing;
                }
                next + ahead
            }
            _ => return Send::Nothing,
        };
        self.tries = 0;
        if next > self.blocks() {
            self.state = State::Done;
            return Send::Nothing;
        }
        self.state = State::Sending(next);
        self.send(now)
    }

    /// Nothing came in time.
    pub fn wake(&mut self, now: Timestamp) -> Send {
        if now < self.deadline {
            return Send::Nothing;
        }
        self.send(now)
    }

    fn send(&mut self, now: Timestamp) -> Send {
        if self.tries == TRIES {
            self.state = State::Lost;
        }
        self.tries += 1;
        self.deadline = now + self.timeout;
        match self.state {
            State::Agreeing => Send::Options(self.agreed.unwrap_or_default()),
            State::Sending(next) => {
                let last = self.blocks();
                Send::Blocks(next..(next + u64::from(self.window)).min(last + 1))
            }
            State::Done | State::Aborted | State::Lost => Send::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::ZERO;

    fn ack(block: u64) -> FromClient {
        FromClient::Ack(block as u16)
    }

    #[test]
    fn without_options_one_block_at_a_time() {
        let (mut transfer, first) = Transfer::new(1024, Options::default(), 1500, START);
        assert_eq!(first, Send::Blocks(1..2));
        assert_eq!(transfer.range(1), 0..512);
        assert_eq!(transfer.receive(ack(1), START), Send::Blocks(2..3));
        // Whole blocks are followed by an empty one.
        assert_eq!(transfer.receive(ack(2), START), Send::Blocks(3..4));
        assert_eq!(transfer.range(3), 1024..1024);
        assert_eq!(transfer.receive(ack(3), START), Send::Nothing);
        assert_eq!(transfer.end(), Some(End::Done));
    }

    #[test]
    fn options_are_agreed_on_first() {
        let wanted = Options {
            block_size: Some(65_464),
            timeout: Some(255),
            size: Some(0),
            window: Some(1000),
        };
        let (mut transfer, first) = Transfer::new(100_000, wanted, 1400, START);
        let agreed = Options {
            block_size: Some(1368),
            timeout: None,
            size: Some(100_000),
            window: Some(16),
        };
        assert_eq!(first, Send::Options(agreed));
        assert_eq!(transfer.receive(ack(7), START), Send::Nothing);
        assert_eq!(transfer.receive(ack(0), START), Send::Blocks(1..17));
        // Block 5 was lost: the client says what it has, and that moves on.
        assert_eq!(transfer.receive(ack(4), START), Send::Blocks(5..21));
        // The same again, or from before, is not answered.
        assert_eq!(transfer.receive(ack(4), START), Send::Nothing);
        assert_eq!(transfer.receive(ack(3), START), Send::Nothing);
        assert_eq!(transfer.receive(ack(21), START), Send::Nothing);
    }

    #[test]
    fn silence_is_answered_six_times_and_then_given_up() {
        let (mut transfer, _) = Transfer::new(10, Options::default(), 1500, START);
        let mut now = START;
        for _ in 1..TRIES {
            assert_eq!(transfer.wake(now), Send::Nothing);
            now = transfer.deadline();
            assert_eq!(transfer.wake(now), Send::Blocks(1..2));
        }
        now = transfer.deadline();
        assert_eq!(transfer.wake(now), Send::Nothing);
        assert_eq!(transfer.end(), Some(End::Lost));
        assert_eq!(now.since_start(), Duration::from_secs(6));
    }

    #[test]
    fn a_client_that_only_wants_the_size_ends_it() {
        let wanted = Options {
            size: Some(0),
            ..Options::default()
        };
        let (mut transfer, _) = Transfer::new(10, wanted, 1500, START);
        assert_eq!(transfer.receive(FromClient::Error, START), Send::Nothing);
        assert_eq!(transfer.end(), Some(End::Aborted));
    }

    #[test]
    fn block_numbers_go_round() {
        let bytes = 200_000 * 8;
        let wanted = Options {
            block_size: Some(8),
            window: Some(16),
            ..Options::default()
        };
        let (mut transfer, _) = Transfer::new(bytes, wanted, 1500, START);
        let mut sent = transfer.receive(ack(0), START);
        let mut last = 0;
        while let Send::Blocks(blocks) = sent {
            assert_eq!(blocks.start, last + 1);
            last = blocks.end - 1;
            sent = transfer.receive(ack(last), START);
        }
        assert_eq!((last, transfer.end()), (200_001, Some(End::Done)));
    }

    proptest! {
        /// A client that loses packets at random gets every byte, or both give up.
        #[test]
        fn lossy_networks(bytes in 0u64..40_000, block in 8u16..2000, window in 1u16..40, seed in any::<u64>()) {
            let mut random = fastrand::Rng::with_seed(seed);
            let wanted = Options { block_size: Some(block), window: Some(window), ..Options::default() };
            let (mut transfer, mut send) = Transfer::new(bytes, wanted, 1500, START);
            let (mut now, mut got, mut have) = (START, 0u64, 0u64);
            while transfer.end().is_none() {
                let reply = match send {
                    Send::Options(_) => (random.f32() < 0.8).then_some(0),
                    Send::Blocks(blocks) => {
                        prop_assert!(blocks.end - blocks.start <= 16);
                        for number in blocks {
                            if random.f32() < 0.9 && number == got + 1 {
                                got += 1;
                                have += transfer.range(number).end - transfer.range(number).start;
                            }
                        }
                        (random.f32() < 0.9).then_some(got)
                    }
                    Send::Nothing => None,
                };
                send = match reply {
                    Some(block) => transfer.receive(ack(block), now),
                    None => Send::Nothing,
                };
                if send == Send::Nothing && transfer.end().is_none() {
                    now = transfer.deadline();
                    send = transfer.wake(now);
                }
            }
            if transfer.end() == Some(End::Done) {
                prop_assert_eq!(have, bytes);
            }
        }
    }
}
