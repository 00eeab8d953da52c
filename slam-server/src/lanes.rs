// SPDX-License-Identifier: MIT OR Apache-2.0
//! One file at several speeds: a session for the room, and one more for each group of clients that
//! are too slow for it, which were told to listen elsewhere.
//!
//! Each lane has a multicast group and a rate of its own, and all lanes have the header, so that a
//! client that is moved keeps what it holds.
//! Who is in which lane is known here alone: every question to a moved client names its group, so
//! that a lost one does no harm, and a server that forgot (it was started again) brings it back by
//! asking as it asks everybody.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use site::{BitRate, Priority, SlowClients};
use slam_client::Timestamp;
use slam_client::wire::{EncodedHeader, TransferHeader};

use super::clients::Mobility;
use super::policy::Pace;
use super::room::Start;
use super::session::{Output, Session, SessionConfig, SessionEvent, SessionTotals};
use super::share::Share;
use super::view::{self, Phase, TransferView};

/// Which lane: 0 is that of the URI's group, the others are for slower and slower clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub usize);

impl Lane {
    /// The lane of the group in the URI.
    pub const FIRST: Lane = Lane(0);
}

/// The server side of one transfer.
#[derive(Debug)]
pub struct Lanes {
    config: SessionConfig,
    /// The first is always there; those after it while somebody is moved.
    sessions: Vec<Session>,
    /// Clients that are not in the first.
    moved: BTreeMap<SocketAddr, Lane>,
    /// Which lane is furthest behind, where there are several.
    share: Share,
    /// Since when somebody has been there.
    active_since: Option<Timestamp>,
    /// Of lanes that have ended while others go on.
    totals: SessionTotals,
    events: VecDeque<(Lane, SessionEvent)>,
}

impl Lanes {
    /// A transfer that waits for its first client.
    pub fn new(config: &SessionConfig) -> Self {
        Lanes {
            config: config.clone(),
            sessions: vec![Session::new(config)],
            moved: BTreeMap::new(),
            share: Share::new(config.rate.ceiling),
            active_since: None,
            totals: SessionTotals::default(),
            events: VecDeque::new(),
        }
    }

    /// What every packet of this transfer begins with.
    pub fn encoded_header(&self) -> &EncodedHeader {
        self.sessions[0].encoded_header()
    }

    /// What is transferred.
    pub fn header(&self) -> &TransferHeader {
        self.sessions[0].header()
    }

    /// Bytes of memory that this transfer takes, roughly.
    pub fn memory(&self) -> usize {
        let entry = size_of::<(SocketAddr, Lane)>() * 2;
        let sessions = self.sessions.iter().map(Session::memory).sum::<usize>();
        sessions + self.moved.len() * entry
    }

    /// Whether a client is there.
    pub fn is_active(&self) -> bool {
        self.sessions.iter().any(Session::is_active)
    }

    /// What so many blocks take on the wire, in bytes.
    pub(crate) fn bytes_on_wire(&self, blocks: u64) -> u64 {
        self.sessions[0].bytes_on_wire(blocks)
    }

    /// Whether [`Lanes::poll`] would send blocks now, had it nothing else to do.
    pub(crate) fn is_ready(&self, now: Timestamp) -> bool {
        self.sessions.iter().any(|session| session.is_ready(now))
    }

    /// Takes a datagram that arrived on this transfer's port.
    pub fn handle(&mut self, from: SocketAddr, datagram: &[u8], now: Timestamp) {
        let lane = self.lane_of(from);
        self.sessions[lane.0].handle(from, datagram, now);
        while let Some((client, pace)) = self.sessions[lane.0].next_out_of_pace() {
            self.move_client(client, lane, pace, now);
        }
        if self.active_since.is_none() && self.is_active() {
            self.active_since = Some(now);
        }
    }

    /// Whether a client was asked and has not answered yet.
    pub(crate) fn has_asked(&self, client: SocketAddr) -> bool {
        let mut sessions = self.sessions.iter();
        sessions.any(|session| session.has_asked(client))
    }

    /// Lets nobody else in: another content waits for this one to end. Who comes now hears what the
    /// others are sent, so that it does not give up, and asks again.
    pub fn call_last(&mut self) {
        for session in &mut self.sessions {
            session.call_last();
        }
    }

    fn lane_of(&mut self, client: SocketAddr) -> Lane {
        let Some(&lane) = self.moved.get(&client) else {
            return Lane::FIRST;
        };
        if self.sessions[lane.0].has(client) {
            return lane;
        }
        // It had gone, and comes anew.
        self.moved.remove(&client);
        Lane::FIRST
    }

    fn move_client(&mut self, client: SocketAddr, from: Lane, pace: Pace, now: Timestamp) {
        let (to, goodput) = match pace {
            Pace::Slow(goodput) => (self.lane_for(from, goodput), goodput),
            // What is sent elsewhere does not reach it.
            Pace::Deaf => (Some(Lane::FIRST), None),
        };
        let Some(to) = to.filter(|&to| to != from) else {
            return;
        };
        let Some(mut state) = self.sessions[from.0].release(client, now) else {
            return;
        };
        if matches!(pace, Pace::Deaf) {
            state.mobility = Mobility::Stays;
        }
        if to.0 >= self.sessions.len() {
            let mut session = Session::new(&SessionConfig {
                start: Start::AT_ONCE,
                ..self.config.clone()
            });
            session.be_slower();
            if to.0 + 1 == self.most() {
                session.be_last();
            }
            self.sessions.push(session);
        }
        let session = &mut self.sessions[to.0];
        if to != Lane::FIRST && !session.is_active() {
            session.start_at(goodput);
        }
        session.admit(client, &state, now);
        if to == Lane::FIRST {
            self.moved.remove(&client);
        } else {
            self.moved.insert(client, to);
        }
        self.totals.moved += 1;
        let event = SessionEvent::ClientMoved { client, goodput };
        self.events.push_back((to, event));
    }

    /// How many lanes there may be.
    fn most(&self) -> usize {
        match self.config.slow_clients {
            SlowClients::Split(groups) => groups.get(),
            SlowClients::Serve | SlowClients::DropBelow(_) | SlowClients::Cap => 1,
        }
    }

    /// Where a client that gets `goodput` belongs that is too slow for lane `from`.
    fn lane_for(&self, from: Lane, goodput: Option<BitRate>) -> Option<Lane> {
        let (most, next) = (self.most(), from.0 + 1);
        let too_slow = |session: &Session| session.is_out_of_pace(goodput);
        let next = match self.sessions.get(next) {
            Some(session) if next + 1 < most && too_slow(session) => next + 1,
            _ => next,
        };
        (next < most).then_some(Lane(next))
    }

    /// What people see of it.
    pub fn view(&self) -> TransferView {
        let header = self.header();
        let blocks = header.block_count();
        let mut view = TransferView {
            phase: Phase::Idle,
            held: false,
            total_bytes: header.total_bytes(),
            blocks,
            since: self.active_since,
            sent_blocks: self.totals.sent_blocks,
            sent_bytes: self.totals.sent_bytes,
            first_blocks: 0,
            lanes: Vec::new(),
            clients: Vec::new(),
            map: Vec::new(),
        };
        let mut held = vec![0; view::parts(blocks) as usize];
        for (lane, session) in self.sessions.iter().enumerate().rev() {
            session.add_to(lane, &mut view, &mut held);
        }
        view.lanes.reverse();
        let clients = view.clients.len().max(1) as u32;
        for (part, held) in view.map.iter_mut().zip(held) {
            part.held = (held * 100 / clients) as u8;
        }
        view
    }

    /// Begins to send, whoever is there; whether a room waited.
    pub fn begin_now(&mut self) -> bool {
        self.sessions[0].begin_now()
    }

    /// Keeps rooms from beginning until they are let, or told to begin; or no longer.
    pub fn hold(&mut self, held: bool) {
        self.sessions[0].hold(held);
    }

    /// Gives a client up that somebody wants gone, and tells it so; whether it was here.
    pub fn drop_client(&mut self, client: SocketAddr, now: Timestamp) -> bool {
        let lane = self.lane_of(client);
        self.sessions[lane.0].drop_client(client, now)
    }

    /// Ends whatever is under way; its totals are told, if there was anything.
    pub fn stop(&mut self, now: Timestamp) {
        for session in &mut self.sessions {
            session.stop(now);
        }
    }

    /// The next thing to do, and in which lane.
    pub fn poll(&mut self, now: Timestamp) -> (Lane, Output) {
        self.poll_in_turn(now, true)
    }

    /// The next thing to do; blocks are sent only if it is this transfer's turn.
    pub(crate) fn poll_in_turn(&mut self, now: Timestamp, turn: bool) -> (Lane, Output) {
        loop {
            if let Some((lane, event)) = self.events.pop_front() {
                return (lane, Output::Event(event));
            }
            match self.poll_sessions(now, turn) {
                (lane, Output::Event(event)) => {
                    if let Some(event) = self.tell(lane, event, now) {
                        return (lane, Output::Event(event));
                    }
                }
                output => return output,
            }
        }
    }

    /// The lane that is furthest behind goes first.
    fn poll_sessions(&mut self, now: Timestamp, turn: bool) -> (Lane, Output) {
        if let [only] = &mut self.sessions[..] {
            return (Lane::FIRST, only.poll_in_turn(now, turn));
        }
        let mut order: Vec<usize> = (0..self.sessions.len()).collect();
        order.sort_by_key(|&lane| self.share.stand(lane));
        let mut earliest = None;
        for lane in order {
            let session = &mut self.sessions[lane];
            match session.poll_in_turn(now, turn) {
                Output::Timeout(None) => {}
                Output::Timeout(Some(next)) => {
                    earliest =
                        Some(earliest.map_or(next, |earliest: Timestamp| earliest.min(next)));
                }
                output => {
                    if let Output::Send(run) = &output {
                        let bytes = session.bytes_on_wire(run.end - run.start);
                        self.share.sent(lane, Priority::default(), bytes, now);
                    }
                    return (Lane(lane), output);
                }
            }
        }
        (Lane::FIRST, Output::Timeout(earliest))
    }

    /// What whoever watches is told of what happened in one lane.
    fn tell(&mut self, lane: Lane, event: SessionEvent, now: Timestamp) -> Option<SessionEvent> {
        let mut others = self.sessions.iter().enumerate();
        let alone = others.all(|(number, session)| number == lane.0 || session.is_over());
        match event {
            SessionEvent::Started | SessionEvent::Waiting(_) => alone.then_some(event),
            SessionEvent::Idle(totals) => {
                self.totals.add(&totals);
                alone.then(|| {
                    let mut totals = std::mem::take(&mut self.totals);
                    let since = self.active_since.take();
                    totals.took = since.map_or(totals.took, |since| now.since(since));
                    if self.sessions[0].is_active() {
                        self.active_since = Some(now);
                    }
                    if lane == Lane::FIRST || !self.sessions[lane.0].is_active() {
                        self.sessions.truncate(1);
                        self.moved.clear();
                    }
                    SessionEvent::Idle(totals)
                })
            }
            SessionEvent::ClientFinished { client, .. }
            | SessionEvent::ClientGaveUp { client, .. }
            | SessionEvent::ClientSilent { client, .. }
            | SessionEvent::ClientDropped { client, .. } => {
                self.lane_of(client);
                Some(event)
            }
            SessionEvent::ClientJoined(_)
            | SessionEvent::ClientMoved { .. }
            | SessionEvent::Rejected { .. } => Some(event),
        }
    }
}
