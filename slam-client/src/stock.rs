// SPDX-License-Identifier: MIT OR Apache-2.0
//! A test double of the stock client: what iPXE 1.0 to 2.0 does, quirks included, as measured on
//! running clients. It has the [`Receiver`](crate::Receiver)'s inputs and outputs, so that a
//! simulation can drive both kinds.
//!
//! What it cannot show: the buffer, which a stock client keeps over a [`Output::Restarted`], so
//! that a shorter file after a longer one leaves the old tail.

use std::time::Duration;

use crate::blocks::{BlockIndex, BlockSet};
use crate::event::{Draft, Failure, Input, Output, Outputs};
use crate::time::Timestamp;
use crate::wire::{BlockSize, TransactionId, TransferHeader, VarInt};

const LISTEN: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// Waits double up to this one; when it is over too, the timer gives up.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
const MAX_BLOCKS_PER_NACK: u64 = 4;

/// Longest Int, apart from the transaction, that a build of iPXE reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// 4 bytes: files of at most 2^29 - 1 bytes.
    Bits32,
    /// All 7 bytes.
    Bits64,
}

/// The stock client's state machine.
#[derive(Clone, Debug)]
pub struct StockClient {
    build: Build,
    /// The header as it stood on the wire. Before any is known: one byte that no header begins
    /// with, which makes the datagram `00 20` look like block 0 of a known transfer.
    header: Vec<u8>,
    block_size: u64,
    block_count: u64,
    held: BlockSet,
    /// Runs on multicast silence; its end is the client's.
    listening: Backoff,
    /// Runs from a solicit until data comes.
    answering: Option<Backoff>,
    started: bool,
    has_spoken: bool,
    has_ended: bool,
    nacks: u64,
}

/// A timer that fires after `wait`, then after twice that, and so on.
#[derive(Clone, Copy, Debug)]
struct Backoff {
    due: Timestamp,
    wait: Duration,
}

impl Backoff {
    fn start(now: Timestamp, wait: Duration) -> Self {
        Backoff {
            due: now + wait,
            wait,
        }
    }

    /// The timer after it has fired; `None` if that was the last time.
    fn again(self) -> Option<Self> {
        (self.wait < LONGEST_WAIT).then(|| Self::start(self.due, self.wait * 2))
    }
}

/// The datagram is to be discarded.
struct Discard;

impl StockClient {
    /// A client that opens its URI now.
    pub fn new(now: Timestamp, build: Build) -> Self {
        StockClient {
            build,
            header: vec![0],
            block_size: 0,
            block_count: 1,
            held: BlockSet::new(),
            listening: Backoff::start(now, LISTEN),
            answering: None,
            started: false,
            has_spoken: false,
            has_ended: false,
            nacks: 0,
        }
    }

    /// Whether nothing will follow any more.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// NACKs sent so far.
    pub fn nacks(&self) -> u64 {
        self.nacks
    }

    /// Blocks held of the present transfer.
    pub fn held(&self) -> &BlockSet {
        &self.held
    }

    /// Takes what happened at `now`; yields what follows from it.
    pub fn handle<'d>(&mut self, now: Timestamp, input: Input<'d>) -> Outputs<'d> {
        let mut draft = Draft::default();
        if !self.has_ended {
            // Discarding is silent.
            let _ = match input {
                Input::Multicast(datagram) => self.multicast(now, datagram, &mut draft),
                Input::Unicast(datagram) => self.unicast(now, datagram, &mut draft),
                Input::Timeout => {
                    self.timeout(now, &mut draft);
                    Ok(())
                }
            };
        }
        let next = self.answering.map_or(self.listening.due, |timer| {
            timer.due.min(self.listening.due)
        });
        draft.finish((!self.has_ended).then_some(next))
    }

    fn multicast<'d>(
        &mut self,
        now: Timestamp,
        datagram: &'d [u8],
        draft: &mut Draft<'d>,
    ) -> Result<(), Discard> {
        // Even garbage restarts the timer.
        self.answering = None;
        self.listening = Backoff::start(now, LISTEN);

        let rest = self.take_header(datagram, draft)?;
        let (block, payload) = self.int(rest)?;
        let is_last = block + 1 == self.block_count;
        let len = payload.len() as u64;
        // The last block may be of any length up to the block size.
        if block >= self.block_count || len > self.block_size || (!is_last && len < self.block_size)
        {
            return Err(Discard);
        }
        if self.held.insert(BlockIndex(block)) {
            let offset = block * self.block_size;
            draft.write = Some(Output::Write { offset, payload });
            if self.held.len() == self.block_count {
                self.end(Output::Complete, draft);
            }
        }
        Ok(())
    }

    fn unicast<'d>(
        &mut self,
        now: Timestamp,
        datagram: &'d [u8],
        draft: &mut Draft<'d>,
    ) -> Result<(), Discard> {
        self.answering = Some(Backoff::start(now, FIRST_RETRY));
        if !self.take_header(datagram, draft)?.is_empty() {
            return Err(Discard);
        }
        self.nack(draft);
        Ok(())
    }

    /// One timer at a time: the driver calls again while the next moment has passed.
    fn timeout(&mut self, now: Timestamp, draft: &mut Draft<'_>) {
        if let Some(timer) = self.answering
            && timer.due <= now
        {
            self.answering = timer.again();
            if self.answering.is_some() {
                self.nack(draft);
            }
        } else if self.listening.due <= now {
            if let Some(timer) = self.listening.again() {
                self.listening = timer;
                self.nack(draft);
            } else {
                let nacks = self.nacks;
                self.end(Output::Failed(Failure::NoServer { nacks }), draft);
            }
        }
    }

    /// What follows the header. One that differs in a byte from the last resets everything.
    fn take_header<'d>(
        &mut self,
        datagram: &'d [u8],
        draft: &mut Draft<'d>,
    ) -> Result<&'d [u8], Discard> {
        if let Some(rest) = datagram.strip_prefix(&self.header[..]) {
            return Ok(rest);
        }
        let (transaction, rest) = any_int(datagram)?;
        let (total_bytes, rest) = self.int(rest)?;
        let (block_size, rest) = self.int(rest)?;
        if block_size == 0 {
            return Err(Discard);
        }
        self.header = datagram[..datagram.len() - rest.len()].to_vec();
        self.block_size = block_size;
        // No block at all where there are no bytes: such a transfer never completes.
        self.block_count = total_bytes.div_ceil(block_size);
        self.held = BlockSet::new();
        let representable = BlockSize::new(block_size).and_then(|block_size| {
            let transaction =
                TransactionId(VarInt::new(transaction).expect("7 bytes hold 53 bits"));
            TransferHeader::new(transaction, total_bytes, block_size)
        });
        if let Ok(header) = representable {
            draft.header = Some(if self.started {
                Output::Restarted { header }
            } else {
                Output::Started { header }
            });
        }
        self.started = true;
        Ok(rest)
    }

    fn int<'d>(&self, bytes: &'d [u8]) -> Result<(u64, &'d [u8]), Discard> {
        let longest = match self.build {
            Build::Bits32 => 4,
            Build::Bits64 => 7,
        };
        let (value, rest) = any_int(bytes)?;
        if bytes.len() - rest.len() > longest {
            return Err(Discard);
        }
        Ok((value, rest))
    }

    /// The first gap, at most 4 blocks of it. Before any header: block 0 of 1.
    fn nack(&mut self, draft: &mut Draft<'_>) {
        self.has_spoken = true;
        self.nacks += 1;
        let first = self.held.first_gap().0;
        let gap_end = self
            .held
            .run_from(BlockIndex(first))
            .map_or(self.block_count, |run| run.start);
        // At least one block is named, though there be none.
        let missing = gap_end.saturating_sub(first).clamp(1, MAX_BLOCKS_PER_NACK);
        let mut datagram = Vec::new();
        for run in [first, missing] {
            VarInt::new(run)
                .expect("below the block count, which an Int held")
                .encode(&mut datagram);
        }
        datagram.push(0);
        draft.send = Some(Output::Send(datagram));
    }

    fn end<'d>(&mut self, how: Output<'d>, draft: &mut Draft<'d>) {
        self.has_ended = true;
        if self.has_spoken {
            draft.send = Some(Output::Send(vec![0]));
        }
        draft.end = Some(how);
    }
}

/// An Int of any length, read without the codec that is to be tested against this.
fn any_int(bytes: &[u8]) -> Result<(u64, &[u8]), Discard> {
    let first = *bytes.first().ok_or(Discard)?;
    let len = usize::from(first >> 5);
    if len == 0 || len > bytes.len() {
        return Err(Discard);
    }
    let (int, rest) = bytes.split_at(len);
    let value = int[1..]
        .iter()
        .fold(u64::from(first & 0x1f), |value, &byte| {
            value * 256 + u64::from(byte)
        });
    Ok((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(ms))
    }

    /// Lets time pass until `end`; what is sent, and when.
    fn sends(client: &mut StockClient, end: u64) -> Vec<(u64, Vec<u8>)> {
        let mut sent = Vec::new();
        let mut now = Timestamp::ZERO;
        while now <= at(end) {
            let mut next = None;
            for output in client.handle(now, Input::Timeout) {
                match output {
                    Output::Send(bytes) => {
                        sent.push((now.since_start().as_millis() as u64, bytes));
                    }
                    Output::Timeout(then) => next = Some(then),
                    _ => {}
                }
            }
            match next {
                Some(then) => now = then.max(now),
                None => break,
            }
        }
        sent
    }

    fn new(build: Build) -> StockClient {
        StockClient::new(Timestamp::ZERO, build)
    }

    fn hear<'d>(client: &mut StockClient, ms: u64, input: Input<'d>) -> Vec<Output<'d>> {
        client.handle(at(ms), input).collect()
    }

    #[test]
    fn silence_is_asked_at_1_3_and_7_and_ends_at_15_seconds() {
        let first = vec![0x20, 0x21, 0x00];
        let expected = [
            (1000, first.clone()),
            (3000, first.clone()),
            (7000, first),
            (15000, vec![0]),
        ];
        assert_eq!(sends(&mut new(Build::Bits64), 60_000), expected);
    }

    #[test]
    fn solicits_are_answered_and_repeated_and_save_nobody() {
        let mut client = new(Build::Bits64);
        // Transaction 1, 10 bytes, blocks of 2.
        let outputs = hear(&mut client, 0, Input::Unicast(&[0x21, 0x2a, 0x22]));
        assert!(outputs.contains(&Output::Send(vec![0x20, 0x24, 0x00])));
        let times: Vec<_> = sends(&mut client, 60_000)
            .into_iter()
            .map(|(ms, _)| ms)
            .collect();
        assert_eq!(times, [250, 750, 1000, 1750, 3000, 3750, 7000, 7750, 15000]);
    }

    #[test]
    fn garbage_on_the_group_keeps_it_listening() {
        let mut client = new(Build::Bits64);
        for ms in (0..10_000).step_by(900) {
            let outputs = hear(&mut client, ms, Input::Multicast(b""));
            assert_eq!(outputs, [Output::Timeout(at(ms + 1000))]);
        }
        // On the other socket it does not.
        hear(&mut client, 10_000, Input::Unicast(b""));
        assert_eq!(client.listening.due, at(10_900));
    }

    #[test]
    fn a_nack_ends_at_a_block_that_is_held() {
        let mut client = new(Build::Bits64);
        let header = [0x21, 0x34, 0x22];
        for block in [0, 3, 9] {
            let datagram = [&header[..], &[0x20 + block, 1, 2]].concat();
            hear(&mut client, 0, Input::Multicast(&datagram));
        }
        let answer = |client: &mut StockClient| hear(client, 1, Input::Unicast(&header));
        assert!(answer(&mut client).contains(&Output::Send(vec![0x21, 0x22, 0x00])));
        for block in [1, 2] {
            let datagram = [&header[..], &[0x20 + block, 1, 2]].concat();
            hear(&mut client, 2, Input::Multicast(&datagram));
        }
        assert!(answer(&mut client).contains(&Output::Send(vec![0x24, 0x24, 0x00])));
        for block in 4..8 {
            let datagram = [&header[..], &[0x20 + block, 1, 2]].concat();
            hear(&mut client, 3, Input::Multicast(&datagram));
        }
        assert!(answer(&mut client).contains(&Output::Send(vec![0x28, 0x21, 0x00])));
        let datagram = [&header[..], &[0x28, 1, 2]].concat();
        let outputs = hear(&mut client, 4, Input::Multicast(&datagram));
        assert_eq!(
            outputs,
            [
                Output::Write {
                    offset: 16,
                    payload: &[1, 2]
                },
                Output::Send(vec![0]),
                Output::Complete
            ]
        );
    }

    #[test]
    fn who_only_listened_leaves_without_a_word() {
        let mut client = new(Build::Bits64);
        let outputs = hear(
            &mut client,
            0,
            Input::Multicast(&[0x21, 0x22, 0x22, 0x20, 7, 8]),
        );
        assert_eq!(outputs.last(), Some(&Output::Complete));
        assert!(!outputs.iter().any(|o| matches!(o, Output::Send(_))));
    }

    #[test]
    fn one_byte_of_the_header_resets_the_bitmap() {
        let mut client = new(Build::Bits64);
        hear(
            &mut client,
            0,
            Input::Multicast(&[0x21, 0x24, 0x22, 0x20, 7, 8]),
        );
        assert_eq!(client.held().len(), 1);
        // The same numbers, not in the fewest bytes.
        let outputs = hear(&mut client, 0, Input::Unicast(&[0x21, 0x24, 0x40, 0x02]));
        assert!(matches!(outputs[0], Output::Restarted { .. }));
        assert_eq!(client.held().len(), 0);
    }

    #[test]
    fn quirks() {
        // Success without a byte.
        let outputs = hear(&mut new(Build::Bits64), 0, Input::Multicast(&[0x00, 0x20]));
        assert_eq!(outputs.last(), Some(&Output::Complete));
        // A file of no bytes never completes.
        let mut client = new(Build::Bits64);
        hear(&mut client, 0, Input::Multicast(&[0x21, 0x20, 0x22, 0x20]));
        assert!(!client.has_ended());
        // A short last block counts.
        let outputs = hear(
            &mut new(Build::Bits64),
            0,
            Input::Multicast(&[0x21, 0x22, 0x22, 0x20]),
        );
        assert_eq!(outputs.last(), Some(&Output::Complete));
        // 2^29 bytes are too many for 32 bits.
        let big = [0x21, 0xa0, 0x20, 0, 0, 0, 0x22];
        for (build, answers) in [(Build::Bits32, false), (Build::Bits64, true)] {
            let outputs = hear(&mut new(build), 0, Input::Unicast(&big));
            assert_eq!(
                outputs.iter().any(|o| matches!(o, Output::Send(_))),
                answers
            );
        }
    }
}
