// SPDX-License-Identifier: MIT OR Apache-2.0
//! One file, multicast to whoever asks, until everybody has it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use site::{BitRate, SlowClients};
use slam_client::Timestamp;
use slam_client::wire::{
    ClientPacket, EncodedHeader, MAX_INT_LEN, Nack, TransferHeader, WireError,
};

use super::ahead::{Context, STOCK_GAP, Want};
use super::clients::{Clients, Horizon, MAX_CLIENTS, SILENCE};
use super::demand::Demand;
use super::hush::Hush;
use super::pacer::Pacer;
use super::policy;
use super::rate::{RateControl, RateLimits};
use super::repair::Repair;
use super::room::{Room, Start};
use super::sent::Sent;
use super::window::{self, Window};

/// Events that wait to be drained; beyond, rejections are counted but no longer told.
const MAX_EVENTS: usize = 1024;
/// How often a client is asked while blocks are sent: often enough to find the rate quickly and
/// to have more ready before what is to be sent runs out.
const INTERVAL: Duration = Duration::from_millis(10);
/// All clients of a large room together are asked no more often than once for so many blocks.
const BLOCKS_PER_QUESTION: u64 = 40;
/// Blocks are ready for so many intervals.
const WINDOW: u32 = 2;
/// A client that has just joined heard what was sent so shortly before.
const JOINING: Duration = Duration::from_millis(5);
/// Longer than a first NACK waits in our socket while its client hears blocks already.
const QUEUED: Duration = Duration::from_millis(400);

/// What a session is made of.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// What is transferred.
    pub header: TransferHeader,
    /// How fast.
    pub rate: RateLimits,
    /// When it begins to send.
    pub start: Start,
    /// What becomes of clients that are slower than the others.
    pub slow_clients: SlowClients,
}

/// What to do next. Drain [`Session::poll`] until it says [`Output::Timeout`].
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send these to the group, in this order, at once: blocks, or sums over the blocks of one window
    /// ([`ParityIndex::of_number`](slam_client::window::ParityIndex::of_number)).
    Send(Range<u64>),
    /// Send the header alone to this client.
    Solicit(SocketAddr),
    /// Send this client away: a dismissal.
    Dismiss(SocketAddr),
    /// Tell whoever watches.
    Event(SessionEvent),
    /// Nothing more until this moment, or until a datagram arrives.
    Timeout(Option<Timestamp>),
}

/// What happened in a session.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionEvent {
    /// The first client has asked; the session waits for more.
    Waiting(Start),
    /// Sending begins.
    Started,
    /// A client has asked for the first time.
    ClientJoined(SocketAddr),
    /// A client has disconnected: it has everything.
    ClientFinished {
        /// Which one.
        client: SocketAddr,
        /// From its first NACK on.
        after: Duration,
    },
    /// A client has disconnected that got nowhere: its first gap had not moved for several NACKs, or
    /// fewer blocks were sent in its time than the file has. On the wire this is the same goodbye
    /// (iPXE `slam.c`, `slam_finished`).
    ClientGaveUp {
        /// Which one.
        client: SocketAddr,
        /// From its first NACK on.
        after: Duration,
        /// The block that it asked for again and again, in vain; `None`: it broke off.
        missing: Option<u64>,
    },
    /// A client no longer answers. It may have finished: a disconnect can get lost.
    ClientSilent {
        /// Which one.
        client: SocketAddr,
        /// Since it was last asked something and answered.
        silent_for: Duration,
    },
    /// A client was slower than the policy allows, and is no longer waited for.
    ClientDropped {
        /// Which one.
        client: SocketAddr,
        /// From its first NACK on.
        after: Duration,
        /// What it got lately.
        goodput: Option<BitRate>,
    },
    /// A datagram that was not acted upon.
    Rejected {
        /// Where it came from.
        from: SocketAddr,
        /// Why.
        reason: Rejection,
    },
    /// Nobody is left; the session waits for the next client.
    Idle(SessionTotals),
}

/// Why a datagram was not acted upon.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// It is no SLAM.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// More clients than a session keeps.
    #[error("more than {MAX_CLIENTS} clients in this session")]
    TooManyClients,
    /// It was dropped as too slow.
    #[error("was dropped as too slow")]
    Dropped,
    /// It asks for blocks that the transfer does not have.
    #[error("asks for block {found} of a transfer of {count} blocks")]
    PastTheEnd {
        /// First block asked for.
        found: u64,
        /// Blocks in the transfer.
        count: u64,
    },
}

/// What a session has done since it last was idle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SessionTotals {
    /// Blocks sent, repeats included.
    pub sent_blocks: u64,
    /// Bytes of blocks sent, repeats included, headers not.
    pub sent_bytes: u64,
    /// From the first NACK to the last disconnect.
    pub took: Duration,
    /// Clients that disconnected with everything.
    pub finished: u64,
    /// Clients that disconnected without having got anywhere.
    pub gave_up: u64,
    /// Clients that went silent.
    pub silent: u64,
    /// Clients that were dropped as too slow.
    pub dropped: u64,
    /// Datagrams that were not acted upon.
    pub rejected: u64,
}

/// The server side of one transfer.
#[derive(Debug)]
pub struct Session {
    header: TransferHeader,
    encoded: EncodedHeader,
    clients: Clients,
    demand: Demand,
    sent: Sent,
    repair: Repair,
    rate: RateControl,
    pacer: Pacer,
    /// Whether a client may be asked before more blocks leave.
    may_ask: bool,
    hush: Hush,
    room: Room,
    slow_clients: SlowClients,
    /// Dropped clients, and whether each is still to be told.
    dropped: BTreeMap<SocketAddr, bool>,
    /// Since when somebody has been there.
    active_since: Option<Timestamp>,
    totals: SessionTotals,
    events: VecDeque<SessionEvent>,
}

impl Session {
    /// A session that waits for its first client.
    pub fn new(config: &SessionConfig) -> Self {
        let encoded = config.header.encode();
        let datagram =
            encoded.as_bytes().len() + MAX_INT_LEN + usize::from(config.header.block_size().get());
        Session {
            header: config.header,
            encoded,
            clients: Clients::default(),
            demand: Demand::default(),
            sent: Sent::default(),
            repair: Repair::default(),
            rate: RateControl::new(config.rate, config.slow_clients == SlowClients::Cap),
            pacer: Pacer::new(datagram),
            may_ask: true,
            hush: Hush::default(),
            room: Room::new(config.start),
            slow_clients: config.slow_clients,
            dropped: BTreeMap::new(),
            active_since: None,
            totals: SessionTotals::default(),
            events: VecDeque::new(),
        }
    }

    /// What every packet of this session begins with.
    pub fn encoded_header(&self) -> &EncodedHeader {
        &self.encoded
    }

    /// What is transferred.
    pub fn header(&self) -> &TransferHeader {
        &self.header
    }

    /// Bytes of memory that this session takes, roughly.
    pub fn memory(&self) -> usize {
        self.clients.memory() + self.demand.memory() + self.sent.memory() + self.repair.memory()
    }

    /// What so many blocks take on the wire, in bytes.
    pub(crate) fn bytes_on_wire(&self, blocks: u64) -> u64 {
        self.pacer.bytes_on_wire(blocks)
    }

    /// Whether a client is there.
    pub fn is_active(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Takes a datagram that arrived on this session's port.
    pub fn handle(&mut self, from: SocketAddr, datagram: &[u8], now: Timestamp) {
        match ClientPacket::decode(datagram) {
            Ok(ClientPacket::Nack(nack)) => self.handle_nack(from, &nack, now),
            Ok(ClientPacket::Disconnect) => self.handle_disconnect(from, now),
            Err(reason) => self.reject(from, reason.into()),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self, now: Timestamp) -> Output {
        self.poll_in_turn(now, true)
    }

    /// Whether [`Session::poll`] would send blocks now, had it nothing else to do.
    pub(crate) fn is_ready(&self, now: Timestamp) -> bool {
        !self.demand.is_empty() && self.pacer.next_batch() <= now && self.held(now).is_none()
    }

    /// What is under way to the client that is alone.
    fn window(&self) -> Option<Window> {
        let client = self.clients.only()?;
        let under_way = self
            .sent
            .blocks_between(client.known_until, self.sent.next());
        let ahead = client.shortest_round_trip() * window::ROUND_TRIPS;
        let ahead = self.pacer.blocks_in(self.rate.rate(), ahead);
        Some(Window::new(under_way, ahead))
    }

    /// Until when nothing leaves, for want of answers.
    fn held(&self, now: Timestamp) -> Option<Timestamp> {
        self.window()?.holds_until(self.sent.last_moment(), now)
    }

    /// The next thing to do; blocks are sent only if it is this session's turn.
    pub(crate) fn poll_in_turn(&mut self, now: Timestamp, turn: bool) -> Output {
        if self.room.is_waiting() {
            self.open(now);
        }
        if self.room.is_waiting() {
            return self.wait(now);
        }
        while let Some((client, silent_for)) = self.clients.find_silent(now) {
            self.remove_silent(client, silent_for, now);
        }
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        if let Some(client) = self.next_to_dismiss() {
            return Output::Dismiss(client);
        }
        let idle = self.demand.is_empty();
        let window = self.window().filter(|_| !idle);
        let held = window.and_then(|window| window.holds_until(self.sent.last_moment(), now));
        let waits = idle || held.is_some();
        if let Some(client) = self.clients.ask_again(waits, self.sent.next(), now) {
            return Output::Solicit(client);
        }
        if let Some(client) = self.hush.next_to_ask() {
            self.clients.ask_anew(client, self.sent.next(), now);
            return Output::Solicit(client);
        }
        if !self.demand.is_empty()
            && let Some(until) = self.hush.pause(|| self.clients.unheard(now), now)
        {
            if until > now {
                return Output::Timeout(Some(until));
            }
            return self.poll_in_turn(now, turn);
        }
        if turn && held.is_none() && self.pacer.next_batch() <= now {
            let (rate, ease) = (self.rate.rate(), self.rate.ease());
            let mut longest = self.pacer.batch_blocks(rate, ease);
            if let Some(window) = window {
                longest = longest.min(window.batch()).max(1);
            }
            if let Some(run) = self.demand.take(longest, self.header.block_count()) {
                let blocks = run.end - run.start;
                self.pacer.sent(blocks, rate, ease, now);
                if self.demand.is_empty() {
                    // What comes next may not make up for time in which nobody wanted anything.
                    self.pacer.rest();
                }
                self.repair.note(&run, self.sent.next());
                self.sent.note(&run, now);
                self.totals.sent_blocks += blocks;
                self.totals.sent_bytes += self.bytes_in(&run);
                self.may_ask = true;
                return Output::Send(run);
            }
        }
        // While blocks are sent, one solicit for each batch of them: neither the link nor the
        // socket is to be full of questions and answers.
        let at_once = waits || window.is_some_and(|window| window.wants_answer());
        if (waits || self.may_ask && !self.demand.has_repairs())
            && let Some(client) = self.clients.ask_next(at_once, self.sent.next(), now)
        {
            self.may_ask = false;
            return Output::Solicit(client);
        }
        let batch = (!idle).then(|| self.pacer.next_batch().max(held.unwrap_or_default()));
        let ask = self.clients.next_deadline(waits);
        Output::Timeout(batch.into_iter().chain(ask).min())
    }

    /// What a room that waits needs.
    fn wait(&mut self, now: Timestamp) -> Output {
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        let Some(block) = self.room.keep_alive(self.header.block_count(), now) else {
            return Output::Timeout(self.room.next_deadline());
        };
        // All have spoken since the last two: nobody else is there.
        for client in self.clients.not_heard_since(now - SILENCE) {
            self.remove_silent(client, SILENCE, now);
        }
        if self.clients.is_empty() {
            return self.poll(now);
        }
        let run = block..block + 1;
        self.sent.note(&run, now);
        self.totals.sent_blocks += 1;
        self.totals.sent_bytes += self.bytes_in(&run);
        Output::Send(run)
    }

    /// Begins to send, if there is no more to wait for; everybody is asked then.
    fn open(&mut self, now: Timestamp) {
        if self.room.open(self.clients.len(), now) {
            self.tell(SessionEvent::Started);
        }
    }

    fn remove_silent(&mut self, client: SocketAddr, silent_for: Duration, now: Timestamp) {
        self.clients.remove(client);
        self.totals.silent += 1;
        self.tell(SessionEvent::ClientSilent { client, silent_for });
        self.end_if_alone(now);
    }

    fn next_to_dismiss(&mut self) -> Option<SocketAddr> {
        let (client, untold) = self.dropped.iter_mut().find(|(_, untold)| **untold)?;
        *untold = false;
        Some(*client)
    }

    /// Judges a client by what it holds; whether it was dropped.
    fn judge(&mut self, from: SocketAddr, nack: &Nack, now: Timestamp) -> bool {
        if !matches!(self.slow_clients, SlowClients::DropBelow(_)) {
            return false;
        }
        let size = u64::from(self.header.block_size().get());
        let (count, total) = (self.header.block_count(), self.header.total_bytes());
        let held = policy::held(nack, count, size).min(total);
        let sent = self.totals.sent_bytes;
        let Some(client) = self.clients.get_mut(from) else {
            return false;
        };
        let Some(stretch) = client.progress.note(held, total, sent, now) else {
            return false;
        };
        let best = self.clients.best_goodput(from);
        if !policy::drops(self.slow_clients, stretch, best) {
            return false;
        }
        if let Some(left) = self.clients.remove(from) {
            self.totals.dropped += 1;
            while self.dropped.len() >= MAX_CLIENTS {
                self.dropped.pop_first();
            }
            self.dropped.insert(from, true);
            self.tell(SessionEvent::ClientDropped {
                client: from,
                after: now.since(left.joined),
                goodput: left.progress.goodput(),
            });
            self.end_if_alone(now);
        }
        true
    }

    fn handle_nack(&mut self, from: SocketAddr, nack: &Nack, now: Timestamp) {
        let count = self.header.block_count();
        let first = nack.missing().runs().next().map(|run| run.start);
        if !self.clients.contains(from) {
            if let Some(found) = first.filter(|&first| first >= count) {
                // A client of an earlier, longer content must learn of the new header; a stranger
                // costs us nothing.
                self.reject(from, Rejection::PastTheEnd { found, count });
                return;
            }
            if let Some(untold) = self.dropped.get_mut(&from) {
                // It did not hear that.
                *untold = true;
                self.reject(from, Rejection::Dropped);
                return;
            }
            if self.clients.len() >= MAX_CLIENTS {
                self.reject(from, Rejection::TooManyClients);
                return;
            }
            if self.active_since.is_none() {
                self.active_since = Some(now);
                self.sent = Sent::of(count);
                self.repair = Repair::of(count);
                let begins = if self.room.enter(now) {
                    SessionEvent::Started
                } else {
                    SessionEvent::Waiting(self.room.start())
                };
                self.tell(begins);
            }
            let since = self.sent.since(now - JOINING);
            self.clients.add(from, since, now);
            // Whoever asks for block 0 and names no other knows no header: it holds nothing.
            if nack.extent() == 1
                && let Some(client) = self.clients.get_mut(from)
            {
                let heard = self.sent.since(now - QUEUED);
                let heard = self.sent.blocks_between(heard, self.sent.next());
                client.deaf_to = Some(self.totals.sent_blocks - heard);
            }
            self.tell(SessionEvent::ClientJoined(from));
        }
        let asked = match self.clients.heard(from, nack, &self.sent, now) {
            None => return,
            Some(Horizon::Asked(serial)) => serial,
            Some(Horizon::Spoke(moment)) => self.sent.since(moment),
        };
        if self.room.is_waiting() {
            let last_sent = first.and_then(|first| self.sent.last(first));
            self.clients
                .served(from, first, last_sent, asked, Duration::ZERO, now);
            return;
        }
        if self.judge(from, nack, now) {
            return;
        }
        let present = self.clients.len();
        self.clients.note_parity(from, nack.takes_parity());
        let share_parity = self.clients.share_parity();
        let Some(client) = self.clients.get_mut(from) else {
            return;
        };
        client.lists |= nack.missing().run_count() > 1 || nack.missing().len() > STOCK_GAP;
        client
            .evidence
            .start_at(self.rate.epoch().max(client.since));
        let mut verdict = None;
        if let Some((sample, until)) = self.sent.sample(nack, client.evidence.until, asked, count) {
            client.evidence.until = until;
            verdict = client.evidence.add(sample, self.rate.is_rising());
        }
        if let Some(lost) = verdict {
            let cap = self.slow_clients == SlowClients::Cap;
            let all_judged = !cap || self.clients.all_judged_since(self.rate.epoch());
            self.rate.vote(lost, present, self.sent.next(), all_judged);
        }
        let Some(client) = self.clients.get_mut(from) else {
            return;
        };
        let rate = self.rate.rate();
        let interval = self
            .pacer
            .time_for(BLOCKS_PER_QUESTION * present as u64, rate)
            .max(INTERVAL);
        let round_trip = client.round_trip();
        let window = self.pacer.blocks_in(rate, (interval + round_trip) * WINDOW);
        // While nothing else is sent, half a round trip of blocks that it may hold costs what
        // asking would; but the link is everybody's.
        let worth_a_question = if self.demand.is_empty() {
            self.pacer.blocks_in(rate, round_trip / 2) / present as u64
        } else {
            0
        };
        let Want {
            mut repairs,
            mut fresh,
        } = client.ahead.want(
            nack,
            &Context {
                sent: &self.sent,
                demand: &self.demand,
                joined: client.since,
                asked,
                count,
                window,
                worth_a_question,
            },
        );
        let followed = client.ahead.is_followed(count);
        client.note_list(first, nack.missing().len());
        let is_full = client.lists && nack.missing().run_count() > 1 && nack.extent() < count;
        if is_full && present > 1 && self.slow_clients != SlowClients::Cap {
            // It misses more than fits a list: the others do not wait for all that.
            fresh.union_with(&std::mem::take(&mut repairs));
        }
        if share_parity && !client.is_unmoved() {
            // What was sent before it first spoke it may have heard but for a few blocks, too.
            let mut both = repairs;
            both.union_with(&fresh);
            self.repair.replace(&mut both, nack, asked, &self.demand);
            repairs = both.clone();
            repairs.subtract(&fresh);
            fresh = both;
            fresh.subtract(&repairs);
        }
        self.demand.repair(&repairs);
        self.demand.add(&fresh);
        let again = if !repairs.is_empty() && !client.lists {
            // As soon as that is sent: of what lies beyond, it has said nothing yet.
            Duration::ZERO
        } else if followed {
            // Before what is ready for it is sent.
            let half = self.pacer.time_for(self.demand.len() / 2, rate);
            half.min(interval)
        } else {
            interval
        };
        let last_sent = first.and_then(|first| self.sent.last(first));
        self.clients
            .served(from, first, last_sent, asked, again, now);
    }

    fn handle_disconnect(&mut self, client: SocketAddr, now: Timestamp) {
        self.dropped.remove(&client);
        let Some(left) = self.clients.remove(client) else {
            return;
        };
        let after = now.since(left.joined);
        let broke_off = left
            .deaf_to
            .is_some_and(|deaf_to| self.totals.sent_blocks - deaf_to < self.header.block_count());
        if left.is_stuck() || broke_off {
            self.totals.gave_up += 1;
            let missing = left.first_missing().filter(|_| left.is_stuck());
            self.tell(SessionEvent::ClientGaveUp {
                client,
                after,
                missing,
            });
        } else {
            self.totals.finished += 1;
            self.tell(SessionEvent::ClientFinished { client, after });
        }
        self.end_if_alone(now);
    }

    fn end_if_alone(&mut self, now: Timestamp) {
        if self.clients.is_empty() {
            self.end(now);
        }
    }

    /// Ends whatever is under way; its totals are told, if there was anything.
    pub fn stop(&mut self, now: Timestamp) {
        if self.is_active() {
            self.clients = Clients::default();
            self.end(now);
        }
    }

    fn end(&mut self, now: Timestamp) {
        self.demand.clear();
        self.room.leave();
        self.dropped.clear();
        self.sent = Sent::default();
        self.repair = Repair::default();
        self.rate.forget_votes();
        let mut totals = std::mem::take(&mut self.totals);
        totals.took = self
            .active_since
            .take()
            .map_or(Duration::ZERO, |since| now.since(since));
        self.tell(SessionEvent::Idle(totals));
    }

    fn reject(&mut self, from: SocketAddr, reason: Rejection) {
        self.totals.rejected += 1;
        self.tell(SessionEvent::Rejected { from, reason });
    }

    fn tell(&mut self, event: SessionEvent) {
        let droppable = matches!(event, SessionEvent::Rejected { .. });
        if !droppable || self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }

    fn bytes_in(&self, run: &Range<u64>) -> u64 {
        let total = self.header.total_bytes();
        let size = u64::from(self.header.block_size().get());
        if run.start >= self.header.block_count() {
            return (run.end - run.start).saturating_mul(size);
        }
        run.end.saturating_mul(size).min(total) - run.start.saturating_mul(size).min(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use site::BitRate;
    use slam_client::wire::{BlockSize, MAX_NACK_LEN, TransactionId, VarInt};
    use slam_client::{BlockIndex, BlockSet};

    const BLOCK: u64 = 1000;

    fn session(blocks: u64) -> Session {
        let transaction = TransactionId(VarInt::new(7).unwrap());
        let size = BlockSize::new(BLOCK).unwrap();
        Session::new(&SessionConfig {
            header: TransferHeader::new(transaction, blocks * BLOCK - 1, size).unwrap(),
            rate: RateLimits::below(BitRate::from_bits_per_second(1_000_000_000)),
            start: Start::AT_ONCE,
            slow_clients: SlowClients::Serve,
        })
    }

    fn address(number: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], number))
    }

    fn nack(held: &BlockSet, count: u64) -> Vec<u8> {
        let mut out = Vec::new();
        ClientPacket::Nack(Nack::for_gaps(held, count, MAX_NACK_LEN)).encode(&mut out);
        out
    }

    /// Runs a session against clients that list all gaps, answer every solicit after `trip`, and
    /// lose the blocks that `lost` says, the first time.
    fn run(
        session: &mut Session,
        clients: &[u16],
        lost: &dyn Fn(u16, u64) -> bool,
    ) -> (u64, Duration) {
        let count = session.header().block_count();
        let trip = Duration::from_micros(200);
        let mut now = Timestamp::from_start(Duration::from_secs(1));
        let mut held: Vec<BlockSet> = clients.iter().map(|_| BlockSet::new()).collect();
        let mut seen: Vec<BlockSet> = held.clone();
        let mut inbox: VecDeque<(Timestamp, usize, Vec<u8>)> = (0..clients.len())
            .map(|at| (now, at, vec![0x20, 0x21, 0]))
            .collect();
        let (start, mut sent) = (now, 0);
        for _ in 0..10_000_000 {
            while let Some((_, at, datagram)) = inbox.pop_front_if(|(due, ..)| *due <= now) {
                session.handle(address(clients[at]), &datagram, now);
            }
            match session.poll(now) {
                Output::Send(run) => {
                    sent += run.end - run.start;
                    for (at, number) in clients.iter().enumerate() {
                        for block in run.clone() {
                            let first_time = seen[at].insert(BlockIndex(block));
                            if !(first_time && lost(*number, block)) {
                                held[at].insert(BlockIndex(block));
                            }
                        }
                    }
                }
                Output::Solicit(client) => {
                    let at = clients
                        .iter()
                        .position(|&number| address(number) == client)
                        .unwrap();
                    let answer = if held[at].len() == count {
                        vec![0]
                    } else {
                        nack(&held[at], count)
                    };
                    inbox.push_back((now + trip, at, answer));
                }
                Output::Event(SessionEvent::Idle(totals)) => {
                    assert_eq!(totals.finished, clients.len() as u64);
                    assert!(held.iter().all(|held| held.len() == count));
                    return (sent, now.since(start));
                }
                Output::Event(_) | Output::Dismiss(_) => {}
                Output::Timeout(next) => {
                    let next = next
                        .into_iter()
                        .chain(inbox.front().map(|(due, ..)| *due))
                        .min();
                    now = now.max(next.expect("an active session always has a next moment"));
                }
            }
        }
        panic!("no end: {session:?}");
    }

    #[test]
    fn one_client_without_loss_gets_the_file_once_at_the_ceiling() {
        let blocks = 100_000;
        let (sent, took) = run(&mut session(blocks), &[1], &|_, _| false);
        assert_eq!(sent, blocks);
        let bound = blocks * 8 * (BLOCK + 66 + 12) / 1000;
        assert!(
            took.as_micros() < u128::from(bound) * 110 / 100,
            "{took:?} of {bound} us"
        );
    }

    #[test]
    fn thirty_clients_cost_what_one_does() {
        let blocks = 20_000;
        let clients: Vec<u16> = (1..=30).collect();
        let (sent, _) = run(&mut session(blocks), &clients, &|_, _| false);
        assert!(sent < blocks * 101 / 100, "{sent}");
    }

    #[test]
    fn different_losses_are_merged() {
        let blocks = 20_000;
        let clients: Vec<u16> = (1..=4).collect();
        let lost = |client: u16, block: u64| block % 200 == u64::from(client);
        let (sent, _) = run(&mut session(blocks), &clients, &lost);
        assert!(sent < blocks * 105 / 100, "{sent}");
    }

    #[test]
    fn a_nack_past_the_end_is_rejected_and_costs_nothing() {
        let mut session = session(10);
        let now = Timestamp::ZERO;
        session.handle(address(1), &[0x9f, 0xff, 0xff, 0xff, 0x21, 0], now);
        assert_eq!(
            session.poll(now),
            Output::Event(SessionEvent::Rejected {
                from: address(1),
                reason: Rejection::PastTheEnd {
                    found: (1 << 29) - 1,
                    count: 10
                }
            })
        );
        assert_eq!(session.poll(now), Output::Timeout(None));
    }

    #[test]
    fn garbage_is_counted_and_bounded() {
        let mut session = session(10);
        for _ in 0..10_000 {
            session.handle(address(1), b"garbage", Timestamp::ZERO);
        }
        assert_eq!(session.events.len(), MAX_EVENTS);
        assert_eq!(session.totals.rejected, 10_000);
        assert!(!session.is_active());
    }

    #[test]
    fn a_client_that_vanishes_ends_the_session_after_its_silence() {
        let mut session = session(10);
        let mut now = Timestamp::from_start(Duration::from_secs(1));
        session.handle(address(1), &[0x20, 0x21, 0], now);
        let (mut silent, mut sent) = (None, 0);
        loop {
            match session.poll(now) {
                Output::Timeout(Some(next)) => now = now.max(next),
                Output::Timeout(None) => break,
                Output::Event(SessionEvent::ClientSilent { silent_for, .. }) => {
                    silent = Some(silent_for);
                }
                Output::Send(run) => sent += run.end - run.start,
                Output::Solicit(_) | Output::Event(_) | Output::Dismiss(_) => {}
            }
        }
        assert_eq!(sent, 10);
        let silent = silent.expect("the client was noticed to be gone");
        assert!((16..18).contains(&silent.as_secs()), "{silent:?}");
    }

    #[test]
    fn a_client_that_hears_nothing_gives_up_and_is_not_called_finished() {
        let mut session = session(10);
        let mut now = Timestamp::from_start(Duration::from_secs(1));
        session.handle(address(1), &[0x20, 0x21, 0], now);
        for _ in 0..200 {
            match session.poll(now) {
                Output::Timeout(Some(next)) => now = now.max(next),
                // It answers every solicit, but no block ever reaches it.
                Output::Solicit(client) => session.handle(client, &[0x20, 0x21, 0], now),
                _ => {}
            }
        }
        session.handle(address(1), &[0], now);
        let mut events = std::iter::from_fn(|| match session.poll(now) {
            Output::Event(event) => Some(event),
            _ => None,
        });
        let gave_up = |event| {
            matches!(
                event,
                SessionEvent::ClientGaveUp {
                    missing: Some(0),
                    ..
                }
            )
        };
        assert!(events.any(gave_up));
    }

    /// As one without memory for the file does, as soon as it knows the length.
    #[test]
    fn a_client_that_breaks_off_is_not_called_finished() {
        let mut session = session(100_000);
        let mut now = Timestamp::from_start(Duration::from_secs(1));
        let mut sent = 0;
        let mut left = Vec::new();
        // The second one comes when the session runs already.
        for client in [1, 2] {
            session.handle(address(client), &[0x20, 0x21, 0, 0x21], now);
            let enough = sent + 50;
            while sent < enough {
                match session.poll(now) {
                    Output::Send(run) => sent += run.end - run.start,
                    Output::Solicit(at) if at == address(1) => {
                        session.handle(at, &[0x20, 0x21, 0, 0x21], now);
                    }
                    Output::Timeout(next) => now = now.max(next.unwrap()),
                    _ => {}
                }
            }
        }
        for client in [1, 2] {
            session.handle(address(client), &[0], now);
            while let Output::Event(event) = session.poll(now) {
                left.push(event);
            }
        }
        let broke_off = |event: &&SessionEvent| {
            matches!(event, SessionEvent::ClientGaveUp { missing: None, .. })
        };
        assert_eq!(left.iter().filter(broke_off).count(), 2, "{left:?}");
        let Some(SessionEvent::Idle(totals)) = left.last() else {
            panic!("{left:?}");
        };
        assert_eq!((totals.gave_up, totals.finished), (2, 0));
    }

    /// It was here before, so it may hold whatever it does not ask for.
    #[test]
    fn a_client_that_a_restarted_server_serves_the_rest_is_finished() {
        let mut session = session(2000);
        let mut now = Timestamp::from_start(Duration::from_secs(1));
        let held: BlockSet = [0..1000, 1001..2000].into_iter().collect();
        session.handle(address(1), &nack(&held, 2000), now);
        loop {
            match session.poll(now) {
                Output::Send(_) => break,
                Output::Timeout(next) => now = now.max(next.unwrap()),
                _ => {}
            }
        }
        session.handle(address(1), &[0], now);
        let mut events = std::iter::from_fn(|| match session.poll(now) {
            Output::Event(event) => Some(event),
            _ => None,
        });
        assert!(events.any(|event| matches!(event, SessionEvent::ClientFinished { .. })));
    }

    #[test]
    fn stopping_tells_what_was_sent() {
        let mut session = session(10);
        let now = Timestamp::from_start(Duration::from_secs(1));
        session.handle(address(1), &[0x20, 0x21, 0], now);
        while !matches!(session.poll(now), Output::Send(_)) {}
        session.stop(now);
        let Output::Event(SessionEvent::Idle(totals)) = session.poll(now) else {
            panic!("totals");
        };
        assert!(totals.sent_blocks > 0);
        assert_eq!(session.poll(now), Output::Timeout(None));
    }

    #[test]
    fn a_disconnect_by_a_stranger_ends_nothing() {
        let mut session = session(10);
        session.handle(address(1), &[0x20, 0x21, 0], Timestamp::ZERO);
        session.handle(address(2), &[0], Timestamp::ZERO);
        assert!(session.is_active());
        session.handle(address(1), &[0], Timestamp::ZERO);
        assert!(!session.is_active());
    }
}
