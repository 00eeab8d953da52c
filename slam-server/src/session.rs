// SPDX-License-Identifier: MIT OR Apache-2.0
//! One file, multicast to whoever asks, until everybody has it.

mod answer;
mod event;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use site::{BitRate, SlowClients};
use slam_client::Timestamp;
use slam_client::wire::{ClientPacket, EncodedHeader, MAX_INT_LEN, TransferHeader};

use super::clients::{Client, Clients, MAX_CLIENTS, SILENCE};
use super::demand::Demand;
use super::hush::Hush;
use super::pacer::Pacer;
use super::policy::{self, Pace};
use super::quiet::Quiet;
use super::rate::{RateControl, RateLimits};
use super::repair::Repair;
use super::room::{Room, Start};
use super::sent::Sent;
use super::view::{self, LaneView, PartView, Phase, TransferView};
use super::window::{self, Reach, Window};

pub use self::event::{Output, Rejection, SessionEvent, SessionTotals};

/// Events that wait to be drained; beyond, rejections are counted but no longer told.
const MAX_EVENTS: usize = 1024;
/// At less than one in so many parts of the highest rate, others may do with far more.
const SLOW: u64 = 4;
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

/// The server side of one transfer, or of one of its [`Lanes`](super::Lanes).
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
    /// How far sending may run ahead of a client that is alone.
    reach: Reach,
    hush: Hush,
    /// `None` in a slower lane, where nobody comes by himself.
    quiet: Option<Quiet>,
    room: Room,
    slow_clients: SlowClients,
    /// Dropped clients, and whether each is still to be told.
    dropped: BTreeMap<SocketAddr, bool>,
    /// Clients that belong in another lane.
    out_of_pace: VecDeque<(SocketAddr, Pace)>,
    /// Whether newcomers are to wait for what comes after this.
    last_call: bool,
    /// Whether there is no slower lane.
    is_last: bool,
    limits: RateLimits,
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
            reach: Reach::default(),
            hush: Hush::default(),
            quiet: Some(Quiet::default()),
            room: Room::new(config.start),
            slow_clients: config.slow_clients,
            dropped: BTreeMap::new(),
            out_of_pace: VecDeque::new(),
            last_call: false,
            is_last: !matches!(config.slow_clients, SlowClients::Split(_)),
            limits: config.rate,
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

    /// There is no slower lane than this: its rate is that of the slowest, too.
    pub(crate) fn be_last(&mut self) {
        self.is_last = true;
    }

    /// It is a lane of those who were moved.
    pub(crate) fn be_slower(&mut self) {
        self.quiet = None;
    }

    /// Lets nobody else in: another content waits for this one to end. Who gets nowhere is no longer
    /// waited for.
    pub(crate) fn call_last(&mut self) {
        self.last_call = true;
    }

    /// Adds what people see of it, which is lane `lane` of its transfer. `held` counts the clients
    /// that hold each part, `sent` is how much of it was sent, in percent.
    pub(crate) fn add_to(&self, lane: usize, view: &mut TransferView, held: &mut [u32]) {
        if lane == 0 {
            view.phase = match self.room.phase() {
                // Everybody is in a slower lane.
                Phase::Idle if view.phase != Phase::Idle => Phase::Sending,
                phase => phase,
            };
            view.held = self.room.is_held();
        } else if self.is_active() {
            view.phase = Phase::Sending;
        }
        view.since = [view.since, self.active_since].into_iter().flatten().min();
        view.sent_blocks += self.totals.sent_blocks;
        view.sent_bytes += self.totals.sent_bytes;
        view.lanes.push(LaneView {
            rate: self.rate.rate(),
            clients: self.clients.len(),
        });
        self.clients.view(lane, held, &mut view.clients);
        if self.active_since.is_none() {
            return;
        }
        let count = self.header.block_count();
        view.map.resize(held.len(), PartView::default());
        for (number, part) in view.map.iter_mut().enumerate() {
            let blocks = view::part(number as u64, count);
            let covered = self.sent.covered(blocks.clone());
            view.first_blocks += covered;
            let percent = covered * 100 / (blocks.end - blocks.start).max(1);
            part.sent = part.sent.max(percent as u8);
        }
    }

    /// Begins to send, whoever is there; whether a room waited.
    pub(crate) fn begin_now(&mut self) -> bool {
        let begins = self.room.begin();
        if begins {
            self.tell(SessionEvent::Started);
        }
        begins
    }

    /// Keeps rooms from beginning, or no longer.
    pub(crate) fn hold(&mut self, held: bool) {
        self.room.hold(held);
    }

    /// Gives a client up that somebody wants gone, and tells it so; whether it was here.
    pub(crate) fn drop_client(&mut self, client: SocketAddr, now: Timestamp) -> bool {
        let Some(left) = self.clients.remove(client) else {
            return false;
        };
        self.dismiss(client, &left, true, now);
        true
    }

    /// Gives up a client that was removed.
    fn dismiss(&mut self, client: SocketAddr, left: &Client, by_hand: bool, now: Timestamp) {
        self.totals.dropped += 1;
        while self.dropped.len() >= MAX_CLIENTS {
            self.dropped.pop_first();
        }
        self.dropped.insert(client, true);
        self.tell(SessionEvent::ClientDropped {
            client,
            after: now.since(left.joined),
            goodput: left.progress.goodput(),
            by_hand,
        });
        self.end_if_alone(now);
    }

    /// Whether nobody is there, and all was told.
    pub(crate) fn is_over(&self) -> bool {
        let all_told = !self.dropped.values().any(|&untold| untold);
        !self.is_active() && self.events.is_empty() && all_told
    }

    /// Whether a client is here.
    pub(crate) fn has(&self, client: SocketAddr) -> bool {
        self.clients.contains(client)
    }

    /// Whether a client here was asked and has not answered yet.
    pub(crate) fn has_asked(&self, client: SocketAddr) -> bool {
        self.clients.is_asked(client)
    }

    /// Whether a client that gets `goodput` would be too slow for those who are here.
    pub(crate) fn is_out_of_pace(&self, goodput: Option<BitRate>) -> bool {
        policy::is_out_of_pace(goodput, self.clients.best_arrived())
    }

    /// A client that belongs in another lane.
    pub(crate) fn next_out_of_pace(&mut self) -> Option<(SocketAddr, Pace)> {
        self.out_of_pace.pop_front()
    }

    /// The first clients are known to take about this rate.
    pub(crate) fn start_at(&mut self, rate: Option<BitRate>) {
        let limits = RateLimits {
            start: rate.unwrap_or(self.limits.floor),
            ..self.limits
        };
        self.rate = RateControl::new(limits, self.slow_clients == SlowClients::Cap);
    }

    /// Gives a client up that goes to another lane.
    pub(crate) fn release(&mut self, client: SocketAddr, now: Timestamp) -> Option<Client> {
        let state = self.clients.remove(client)?;
        self.end_if_alone(now);
        Some(state)
    }

    /// Takes a client over from another lane. It is not waited for, and asked at once.
    pub(crate) fn admit(&mut self, address: SocketAddr, client: &Client, now: Timestamp) {
        self.begin(now);
        self.room.skip();
        let since = self.sent.next();
        self.clients.take_over(address, client, since, now);
    }

    /// Begins, unless it has; whether it did.
    fn begin(&mut self, now: Timestamp) -> bool {
        let begins = self.active_since.is_none();
        if begins {
            self.active_since = Some(now);
            self.reach.disturb(now);
            let count = self.header.block_count();
            self.sent = Sent::of(count);
            self.repair = Repair::of(count);
        }
        begins
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
        !self.demand.is_empty()
            && self.pacer.next_batch() <= now
            && self.held(now).is_none()
            && !self.quiet.is_some_and(|quiet| quiet.is_quiet(now))
    }

    /// What is under way to the client that is alone.
    fn window(&self, now: Timestamp) -> Option<Window> {
        let client = self.clients.only()?;
        let under_way = self
            .sent
            .blocks_between(client.known_until, self.sent.next());
        let time = client.shortest_round_trip() * window::ROUND_TRIPS;
        let mut ahead = self.pacer.blocks_in(self.rate.rate(), time);
        if let Some(speed) = self.reach.speed() {
            // Of a rate that it does not take, all would wait in queues.
            ahead = ahead.min((window::QUICKER * speed * time.as_secs_f64()) as u64);
        }
        let ease = self.rate.ease();
        Some(self.reach.window(under_way, ahead, ease, now))
    }

    /// Whether the only client's answers, and not the rate, decide what is sent.
    fn is_held_back(&self) -> bool {
        let taken = self
            .pacer
            .blocks_in(self.rate.rate(), Duration::from_secs(1));
        let speed = self.reach.speed().filter(|_| self.clients.len() == 1);
        speed.is_some_and(|speed| speed < window::TAKEN * taken as f64)
    }

    /// Until when nothing leaves, for want of answers.
    fn held(&self, now: Timestamp) -> Option<Timestamp> {
        if let Some(until) = self.hush.pauses(now) {
            return Some(until);
        }
        self.window(now)?.holds_until(self.sent.last_moment(), now)
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
        let window = self.window(now).filter(|_| !idle);
        let is_full = window.is_some_and(|window| window.is_full());
        if self.reach.fills(is_full) {
            // The ring that is full of blocks had no place for a question either, perhaps.
            self.clients.ask_only_one_again(now);
        }
        if is_full {
            self.reach.disturb(now);
            // The answer is the clock: a burst when it comes would only find the ring too small.
            self.pacer.rest();
        }
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
        if let Some(until) = self.quiet_until(now) {
            // Whoever is asked already is asked again; to ask others would be to send.
            let ask = self.clients.next_deadline(false);
            return Output::Timeout(ask.into_iter().chain([until]).min());
        }
        if turn && held.is_none() && self.pacer.next_batch() <= now {
            let (rate, ease) = (self.rate.rate(), self.rate.ease());
            let mut longest = self.pacer.batch_blocks(rate, ease);
            if let Some(window) = window {
                if self.rate.is_rising() && self.is_held_back() {
                    // Answers are the clock, and nothing was ever lost: the fewer wake-ups, the better.
                    longest = u64::MAX;
                }
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
        // Until then, a question more would only be one more that is answered.
        let answers_by = window.and_then(|_| self.clients.only_answers_by(now));
        let waits = waits && answers_by.is_none();
        let at_once =
            waits || answers_by.is_none() && window.is_some_and(|window| window.wants_answer());
        // While blocks are sent, one solicit for each batch of them: neither the link nor the
        // socket is to be full of questions and answers.
        if (waits || self.may_ask && !self.demand.has_repairs())
            && let Some(client) = self.clients.ask_next(at_once, self.sent.next(), now)
        {
            self.may_ask = false;
            return Output::Solicit(client);
        }
        let batch = (!idle).then(|| self.pacer.next_batch().max(held.unwrap_or_default()));
        let ask = self.clients.next_deadline(waits);
        Output::Timeout(batch.into_iter().chain(ask).chain(answers_by).min())
    }

    /// Until when nothing is sent, so that those speak who only listen.
    fn quiet_until(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.demand.is_empty() {
            return None;
        }
        let (sent, count) = (self.totals.sent_blocks, self.header.block_count());
        let (rate, ceiling) = (self.rate.rate(), self.limits.ceiling);
        let is_slow = rate.bits_per_second() < ceiling.bits_per_second() / SLOW;
        let quiet = self.quiet.as_mut()?;
        quiet.pause(sent, count, self.sent.last_moment(), is_slow, now)
    }

    /// What a room that waits needs.
    fn wait(&mut self, now: Timestamp) -> Output {
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        if let Some(client) = self.next_to_dismiss() {
            return Output::Dismiss(client);
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
        // Who was not told yet still is.
        self.dropped.retain(|_, untold| *untold);
        self.out_of_pace.clear();
        self.quiet = self.quiet.map(|_| Quiet::default());
        self.sent = Sent::default();
        self.repair = Repair::default();
        self.rate.forget_votes();
        self.reach.forget_speed();
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
mod tests;
