// SPDX-License-Identifier: MIT OR Apache-2.0
//! The receiving side: datagrams and the time go in, blocks to write, datagrams to send and the
//! next moment come out. No socket, no clock, no file.

use std::net::SocketAddr;

use crate::blocks::{BlockIndex, BlockSet};
use crate::event::{Draft, Failure, Input, Output, Outputs, Rejection};
use crate::parity::Rebuild;
use crate::patience::{Config, Patience};
use crate::stash::{Kept, Stash, window_of};
use crate::time::Timestamp;
use crate::window::ParityIndex;
use crate::wire::{ClientPacket, MAX_NACK_LEN, Nack, ServerPacket, TransferHeader};

/// Receives one file.
///
/// Blocks may come in any order, twice, and from the middle on. It holds no payload but parity
/// blocks that wait for their window ([`Config::max_parity`]): memory grows with the number of
/// gaps alone ([`Config::max_gaps`]).
///
/// ```
/// use slam_client::{Config, Input, Output, Receiver, Timestamp};
///
/// let mut receiver = Receiver::new(Timestamp::ZERO, Config::default(), 1);
/// for output in receiver.handle(Timestamp::ZERO, Input::Timeout) {
///     assert!(matches!(output, Output::Timeout(_)), "first it listens");
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Receiver {
    config: Config,
    phase: Phase,
    /// The group that it was moved to; `None`: it is at that of its URI.
    group: Option<SocketAddr>,
    patience: Patience,
    stats: Stats,
}

#[derive(Clone, Debug)]
enum Phase {
    /// The server has not been heard. `claim` is what an earlier run left behind, if any: it may
    /// or may not be what the server sends.
    Seeking { claim: Option<Transfer> },
    /// The server has been heard.
    Receiving(Transfer),
    /// Complete, failed or stopped.
    Ended,
}

#[derive(Clone, Debug)]
struct Transfer {
    header: TransferHeader,
    held: BlockSet,
    parity: Stash,
}

impl Transfer {
    fn is_complete(&self) -> bool {
        self.held.len() == self.header.block_count()
    }

    /// One past the last block that is kept for now, `reach` bytes after the first missing one,
    /// but always that one.
    fn horizon(&self, reach: u64) -> u64 {
        let blocks = reach / u64::from(self.header.block_size().get());
        let first = self.held.first_gap().0;
        first
            .saturating_add(blocks.max(1))
            .min(self.header.block_count())
    }
}

/// What has been seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blocks that were new.
    pub blocks: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Blocks that were held already.
    pub duplicates: u64,
    /// Blocks not kept because of [`Config::max_gaps`] or [`Config::reach`].
    pub unkept: u64,
    /// Parity blocks that were of use.
    pub parity: u64,
    /// Blocks that were computed from them, among the new ones.
    pub rebuilt: u64,
    /// Solicits answered.
    pub solicits: u64,
    /// NACKs sent, answers to solicits among them.
    pub nacks: u64,
    /// Moves to another group, and back.
    pub moves: u32,
    /// How often the transfer changed.
    pub restarts: u32,
    /// Datagrams ignored.
    pub rejected: u64,
    /// Why the last of them was.
    pub last_rejection: Option<Rejection>,
}

impl Receiver {
    /// A receiver that begins now, holding nothing. `seed` decides its random waits; clients of
    /// one group should differ in it.
    pub fn new(now: Timestamp, config: Config, seed: u64) -> Self {
        Self::seeking(now, config, seed, None)
    }

    /// A receiver that already holds `held` of the transfer `header`.
    ///
    /// What it holds counts once the server is heard to send the very same header
    /// ([`Output::Started`]); any other makes it start anew ([`Output::Restarted`]). Blocks
    /// beyond the end are dropped.
    pub fn resume(
        now: Timestamp,
        config: Config,
        seed: u64,
        header: TransferHeader,
        mut held: BlockSet,
    ) -> Self {
        held.remove_run(header.block_count()..u64::MAX);
        Self::seeking(
            now,
            config,
            seed,
            Some(Transfer {
                header,
                held,
                parity: Stash::default(),
            }),
        )
    }

    fn seeking(now: Timestamp, config: Config, seed: u64, claim: Option<Transfer>) -> Self {
        let patience = Patience::new(now, &config, seed);
        Receiver {
            config,
            phase: Phase::Seeking { claim },
            group: None,
            patience,
            stats: Stats::default(),
        }
    }

    /// The transfer and the blocks of it that were handed out, once the server has been heard and
    /// until the end.
    pub fn transfer(&self) -> Option<(&TransferHeader, &BlockSet)> {
        match &self.phase {
            Phase::Receiving(transfer) => Some((&transfer.header, &transfer.held)),
            Phase::Seeking { .. } | Phase::Ended => None,
        }
    }

    /// The group that the server moved it to; `None`: it is at that of its URI.
    pub fn group(&self) -> Option<SocketAddr> {
        self.group
    }

    /// Whether nothing will follow any more.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// What has been seen so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Takes what happened at `now`; yields what follows from it.
    pub fn handle<'d>(&mut self, now: Timestamp, input: Input<'d>) -> Outputs<'d> {
        let mut draft = Draft::default();
        if !self.has_ended() {
            let taken = match input {
                Input::Multicast(datagram) => self.multicast(now, datagram, &mut draft),
                Input::Unicast(datagram) => self.unicast(now, datagram, &mut draft),
                Input::Timeout => {
                    self.timeout(now, &mut draft);
                    Ok(())
                }
            };
            if let Err(rejection) = taken {
                self.stats.rejected += 1;
                self.stats.last_rejection = Some(rejection);
            }
        }
        draft.finish((!self.has_ended()).then(|| self.patience.next()))
    }

    /// Leaves before the end: tells the server.
    pub fn stop(&mut self) -> Outputs<'static> {
        let mut draft = Draft::default();
        if !self.has_ended() {
            self.disconnect(&mut draft);
        }
        draft.finish(None)
    }

    fn multicast<'d>(
        &mut self,
        now: Timestamp,
        datagram: &'d [u8],
        draft: &mut Draft<'d>,
    ) -> Result<(), Rejection> {
        match ServerPacket::decode(datagram)? {
            ServerPacket::Data {
                header,
                block,
                payload,
            } => self.data(now, header, block, payload, draft),
            ServerPacket::Parity {
                header,
                parity,
                payload,
            } => self.parity(now, header, parity, payload, draft),
            ServerPacket::Solicit { .. } | ServerPacket::Dismissal { .. } => {
                Err(Rejection::SolicitToGroup)
            }
            ServerPacket::Move { group, .. } => Err(Rejection::Unmovable(group)),
        }
    }

    fn data<'d>(
        &mut self,
        now: Timestamp,
        header: TransferHeader,
        block: BlockIndex,
        payload: &'d [u8],
        draft: &mut Draft<'d>,
    ) -> Result<(), Rejection> {
        let Config {
            max_gaps, reach, ..
        } = self.config;
        let Some(transfer) = self.enter(now, header, draft)? else {
            return Ok(());
        };
        let too_far = block.0 >= transfer.horizon(reach);
        let too_many = transfer.held.run_count() > max_gaps && !touches(&transfer.held, block);
        let new = if too_far || too_many {
            self.stats.unkept += 1;
            false
        } else if transfer.held.insert(block) {
            let Transfer { held, parity, .. } = transfer;
            let rebuild = parity.complete(window_of(block), &header, held);
            self.stats.blocks += 1;
            self.stats.bytes += payload.len() as u64;
            let offset = header.block_offset(block);
            draft.write = Some(Output::Write { offset, payload });
            self.rebuild(rebuild, draft);
            true
        } else {
            self.stats.duplicates += 1;
            false
        };
        self.heard(now, new, draft);
        Ok(())
    }

    fn parity<'d>(
        &mut self,
        now: Timestamp,
        header: TransferHeader,
        index: ParityIndex,
        payload: &'d [u8],
        draft: &mut Draft<'d>,
    ) -> Result<(), Rejection> {
        let limit = self.config.max_parity;
        let Some(transfer) = self.enter(now, header, draft)? else {
            return Ok(());
        };
        let Transfer { held, parity, .. } = transfer;
        let kept = parity.keep(index, payload, held, header.block_count(), limit);
        match kept {
            Kept::New => {
                let rebuild = parity.complete(index.window, &header, held);
                self.stats.parity += 1;
                self.rebuild(rebuild, draft);
            }
            Kept::Useless => self.stats.duplicates += 1,
            Kept::NoRoom => self.stats.unkept += 1,
        }
        self.heard(now, kept == Kept::New, draft);
        Ok(())
    }

    fn rebuild(&mut self, rebuild: Option<Rebuild>, draft: &mut Draft<'_>) {
        if let Some(rebuild) = rebuild {
            self.stats.blocks += rebuild.blocks();
            self.stats.rebuilt += rebuild.blocks();
            self.stats.bytes += rebuild.bytes();
            draft.rebuild = Some(Output::Rebuild(Box::new(rebuild)));
        }
    }

    /// Data came; `new` if it brought us on.
    fn heard(&mut self, now: Timestamp, new: bool, draft: &mut Draft<'_>) {
        let complete = self.is_complete();
        let spoken = self.stats.nacks > 0;
        self.patience.heard_data(now, new, spoken, &self.config);
        if complete {
            self.complete(draft);
        }
    }

    fn unicast(
        &mut self,
        now: Timestamp,
        datagram: &[u8],
        draft: &mut Draft<'_>,
    ) -> Result<(), Rejection> {
        let (header, group) = match ServerPacket::decode(datagram)? {
            ServerPacket::Solicit { header } => (header, None),
            ServerPacket::Move { header, group } if self.config.can_move => (header, Some(group)),
            ServerPacket::Move { group, .. } => return Err(Rejection::Unmovable(group)),
            ServerPacket::Dismissal { header } => {
                self.dismissed(header, draft);
                return Ok(());
            }
            ServerPacket::Data { .. } | ServerPacket::Parity { .. } => {
                return Err(Rejection::DataToClient);
            }
        };
        if self.enter(now, header, draft)?.is_none() {
            return Ok(());
        }
        self.stats.solicits += 1;
        if self.group != group {
            self.group = group;
            self.stats.moves += 1;
            draft.join = Some(Output::Join(group));
        }
        if self.is_complete() {
            self.complete(draft);
        } else {
            self.nack(now, false, draft);
        }
        Ok(())
    }

    /// Of another transfer than the one at hand it says nothing.
    fn dismissed(&mut self, header: TransferHeader, draft: &mut Draft<'_>) {
        if let Phase::Receiving(transfer) = &self.phase
            && transfer.header == header
        {
            let (held, count) = (transfer.held.len(), header.block_count());
            self.fail(Failure::Dismissed { held, count }, draft);
        }
    }

    fn timeout(&mut self, now: Timestamp, draft: &mut Draft<'_>) {
        if self.patience.is_over(now) {
            self.fail(self.diagnosis(), draft);
        } else if self.patience.wants_to_speak(now) {
            self.nack(now, true, draft);
        }
    }

    /// The transfer that `header` belongs to, which is the one at hand from now on; `None` if it
    /// changed once too often.
    fn enter(
        &mut self,
        now: Timestamp,
        header: TransferHeader,
        draft: &mut Draft<'_>,
    ) -> Result<Option<&mut Transfer>, Rejection> {
        let same = matches!(&self.phase, Phase::Receiving(transfer) if transfer.header == header);
        if !same {
            let (limit, found) = (self.config.max_bytes, header.total_bytes());
            if found > limit {
                return Err(Rejection::TooLarge { limit, found });
            }
            let (known, restarted) = match std::mem::replace(&mut self.phase, Phase::Ended) {
                Phase::Seeking { claim: None } => (None, false),
                Phase::Seeking { claim: Some(claim) } if claim.header == header => {
                    (Some(claim), false)
                }
                Phase::Seeking { claim: Some(_) } | Phase::Receiving(_) | Phase::Ended => {
                    (None, true)
                }
            };
            draft.header = Some(if restarted {
                self.stats.restarts += 1;
                Output::Restarted { header }
            } else {
                Output::Started { header }
            });
            self.phase = Phase::Receiving(known.unwrap_or(Transfer {
                header,
                held: BlockSet::new(),
                parity: Stash::default(),
            }));
            if self.stats.restarts > self.config.max_restarts {
                let restarts = self.stats.restarts;
                self.fail(Failure::Unstable { restarts }, draft);
                return Ok(None);
            }
            self.patience.introduce(now, &self.config);
        }
        Ok(match &mut self.phase {
            Phase::Receiving(transfer) => Some(transfer),
            Phase::Seeking { .. } | Phase::Ended => None,
        })
    }

    fn is_complete(&self) -> bool {
        matches!(&self.phase, Phase::Receiving(transfer) if transfer.is_complete())
    }

    fn nack(&mut self, now: Timestamp, unasked: bool, draft: &mut Draft<'_>) {
        let can_move = self.config.can_move;
        let room = MAX_NACK_LEN - usize::from(can_move);
        let mut nack = match &self.phase {
            // A claim is not trusted yet: a NACK for a block past the end of what the server now
            // has makes mini-slamd spin for ever.
            Phase::Seeking { .. } => Nack::initial(),
            Phase::Receiving(transfer) if self.config.max_parity == 0 => {
                let count = transfer.horizon(self.config.reach);
                Nack::for_gaps(&transfer.held, count, room)
            }
            Phase::Receiving(Transfer {
                header,
                held,
                parity,
            }) => {
                let count = header.block_count();
                let held = parity.credit(held, count);
                Nack::for_gaps(&held, count, MAX_NACK_LEN - 1).taking_parity()
            }
            Phase::Ended => return,
        };
        if can_move && matches!(self.phase, Phase::Receiving(_)) {
            nack = nack.able_to_move();
        }
        self.stats.nacks += 1;
        self.patience.spoke(now, unasked, &self.config);
        draft.send = Some(send(&ClientPacket::Nack(nack)));
    }

    fn complete(&mut self, draft: &mut Draft<'_>) {
        self.disconnect(draft);
        draft.end = Some(Output::Complete);
    }

    fn fail(&mut self, failure: Failure, draft: &mut Draft<'_>) {
        self.disconnect(draft);
        draft.end = Some(Output::Failed(failure));
    }

    /// Also after listening only: the server may know us from an earlier run.
    fn disconnect(&mut self, draft: &mut Draft<'_>) {
        self.phase = Phase::Ended;
        draft.send = Some(send(&ClientPacket::Disconnect));
    }

    fn diagnosis(&self) -> Failure {
        let Stats {
            blocks,
            duplicates,
            unkept,
            parity,
            solicits,
            nacks,
            rejected,
            last_rejection,
            ..
        } = self.stats;
        match (&self.phase, last_rejection) {
            (Phase::Receiving(transfer), _) if blocks + duplicates + unkept + parity > 0 => {
                Failure::Silent {
                    held: transfer.held.len(),
                    count: transfer.header.block_count(),
                }
            }
            (_, Some(last)) => Failure::Refused {
                datagrams: rejected,
                last,
            },
            _ if solicits > 0 => Failure::NoData { solicits },
            _ => Failure::NoServer { nacks },
        }
    }
}

/// Whether `block` would not become a run of its own.
fn touches(held: &BlockSet, block: BlockIndex) -> bool {
    let before = block.0.saturating_sub(1);
    held.run_from(BlockIndex(before))
        .is_some_and(|run| run.start <= block.0.saturating_add(1))
}

fn send(packet: &ClientPacket) -> Output<'static> {
    let mut datagram = Vec::new();
    packet.encode(&mut datagram);
    Output::Send(datagram)
}
