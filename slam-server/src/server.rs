// SPDX-License-Identifier: MIT OR Apache-2.0
//! All transfers of a server: one for each file, port and group.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use site::{BitRate, Priority};
use slam_client::Timestamp;
use slam_client::wire::ClientPacket;

use super::lanes::{Lane, Lanes};
use super::session::{Output, SessionConfig};
use super::share::Share;

/// Which session: its place in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub usize);

/// The sessions, polled in turn so that none starves another; where they share one rate, by the
/// priority of what they send.
#[derive(Debug, Default)]
pub struct Server {
    /// `None`: closed.
    sessions: Vec<Option<Place>>,
    /// Sessions that may have something to do: a server of hundreds of files looks only at those
    /// that somebody asked.
    awake: BTreeSet<usize>,
    /// The session to poll first.
    next: usize,
    share: Option<Share>,
}

/// Who may send.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// Nothing is shared.
    Everybodys,
    /// One, or nobody.
    Of(Option<usize>),
}

#[derive(Debug)]
struct Place {
    lanes: Lanes,
    priority: Priority,
}

impl Server {
    /// A server without sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets all sessions together send at most at this rate.
    pub fn set_total_rate(&mut self, rate: Option<BitRate>) {
        self.share = rate.map(Share::new);
    }

    /// Adds a session.
    pub fn add(&mut self, config: &SessionConfig) -> SessionId {
        let id = SessionId(self.sessions.len());
        self.sessions.push(None);
        self.replace(id, config, Priority::default());
        id
    }

    /// Puts a new session at the place of one that was closed, or that nobody needs any more.
    pub fn replace(&mut self, id: SessionId, config: &SessionConfig, priority: Priority) {
        if self.sessions.len() <= id.0 {
            self.sessions.resize_with(id.0 + 1, || None);
        }
        self.sessions[id.0] = Some(Place {
            lanes: Lanes::new(config),
            priority,
        });
        self.awake.insert(id.0);
    }

    /// One of the sessions; `None` if it was closed.
    pub fn session(&self, id: SessionId) -> Option<&Lanes> {
        Some(&self.sessions.get(id.0)?.as_ref()?.lanes)
    }

    /// Lets nobody else into a session ([`Lanes::call_last`]).
    pub fn call_last(&mut self, id: SessionId) {
        if let Some(Some(place)) = self.sessions.get_mut(id.0) {
            place.lanes.call_last();
        }
    }

    /// A session to do something with that nobody on the network asked for; it is looked at again.
    pub fn session_mut(&mut self, id: SessionId) -> Option<&mut Lanes> {
        let place = self.sessions.get_mut(id.0)?.as_mut()?;
        self.awake.insert(id.0);
        Some(&mut place.lanes)
    }

    /// Ends a session whose content is gone: nothing more is sent, nobody is heard.
    pub fn close(&mut self, id: SessionId) {
        if let Some(place) = self.sessions.get_mut(id.0) {
            *place = None;
        }
    }

    /// Ends what is under way in every session; poll once more for the totals.
    pub fn stop(&mut self, now: Timestamp) {
        for (id, place) in self.sessions.iter_mut().enumerate() {
            if let Some(place) = place {
                place.lanes.stop(now);
                self.awake.insert(id);
            }
        }
    }

    /// Takes a datagram that arrived on the port of session `id`.
    pub fn handle(&mut self, id: SessionId, from: SocketAddr, datagram: &[u8], now: Timestamp) {
        if let Some(Some(place)) = self.sessions.get_mut(id.0) {
            place.lanes.handle(from, datagram, now);
            self.awake.insert(id.0);
        }
    }

    /// Whether `datagram` is what session `id` waits for: the answer of a client that was asked.
    pub fn awaits(&self, id: SessionId, from: SocketAddr, datagram: &[u8]) -> bool {
        let asked = self.session(id).is_some_and(|lanes| lanes.has_asked(from));
        asked && matches!(ClientPacket::decode(datagram), Ok(ClientPacket::Nack(_)))
    }

    /// The next thing to do, for which session and in which lane of it; `None` with the moment to come back at when
    /// no session has anything to do.
    pub fn poll(&mut self, now: Timestamp) -> Result<(SessionId, Lane, Output), Option<Timestamp>> {
        // Those whose turn it was, and who had something better to do than to send: a pause begins
        // when it is looked for. Without them somebody else may have the turn.
        let mut passed = Vec::new();
        loop {
            let turn = self.turn(&passed, now);
            match self.poll_in_turn(turn, now) {
                Err(earliest) => match turn {
                    Turn::Of(Some(id)) => passed.push(id),
                    Turn::Of(None) | Turn::Everybodys => return Err(earliest),
                },
                found => return found,
            }
        }
    }

    /// Who may send now, apart from those who passed.
    fn turn(&self, passed: &[usize], now: Timestamp) -> Turn {
        let Some(share) = &self.share else {
            return Turn::Everybodys;
        };
        if share.next_batch() > now {
            return Turn::Of(None);
        }
        let ready = self.awake.iter().copied().filter(|&id| {
            let place = self.sessions[id].as_ref();
            !passed.contains(&id) && place.is_some_and(|place| place.lanes.is_ready(now))
        });
        Turn::Of(share.choose(ready))
    }

    fn poll_in_turn(
        &mut self,
        turn: Turn,
        now: Timestamp,
    ) -> Result<(SessionId, Lane, Output), Option<Timestamp>> {
        let mut earliest: Option<Timestamp> = None;
        let mut asleep = Vec::new();
        let (before, from) = (..self.next, self.next..);
        let order = self.awake.range(from).chain(self.awake.range(before));
        let mut found = None;
        for &at in order {
            let Some(place) = &mut self.sessions[at] else {
                asleep.push(at);
                continue;
            };
            let may_send = match turn {
                Turn::Everybodys => true,
                Turn::Of(id) => id == Some(at),
            };
            match place.lanes.poll_in_turn(now, may_send) {
                (_, Output::Timeout(None)) => asleep.push(at),
                (_, Output::Timeout(Some(mut next))) => {
                    // What waits for its turn alone comes back when the next batch may leave.
                    if let (Some(share), false) = (&self.share, may_send)
                        && next <= now
                    {
                        next = share.next_batch().max(now);
                    }
                    earliest = Some(earliest.map_or(next, |earliest| earliest.min(next)));
                }
                (lane, output) => {
                    found = Some((at, lane, output));
                    break;
                }
            }
        }
        for at in asleep {
            self.awake.remove(&at);
        }
        let Some((at, lane, output)) = found else {
            return Err(earliest);
        };
        self.next = at + 1;
        if let (Output::Send(run), Some(share), Some(place)) =
            (&output, &mut self.share, &self.sessions[at])
        {
            let bytes = place.lanes.bytes_on_wire(run.end - run.start);
            share.sent(at, place.priority, bytes, now);
        }
        Ok((SessionId(at), lane, output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::{RateLimits, Start};
    use site::SlowClients;
    use slam_client::BlockSet;
    use slam_client::wire::{BlockSize, MAX_NACK_LEN, Nack, TransactionId, TransferHeader, VarInt};

    fn config(header: TransferHeader, rate: RateLimits) -> SessionConfig {
        SessionConfig {
            header,
            rate,
            start: Start::default(),
            slow_clients: SlowClients::Serve,
        }
    }

    #[test]
    fn sessions_take_turns() {
        let mut server = Server::new();
        let size = BlockSize::new(1000).unwrap();
        for number in 1..=2 {
            let transaction = TransactionId(VarInt::new(number).unwrap());
            let header = TransferHeader::new(transaction, 100_000, size).unwrap();
            let rate = RateLimits::below(BitRate::from_bits_per_second(1_000_000_000));
            server.add(&SessionConfig {
                header,
                rate,
                start: Start::AT_ONCE,
                slow_clients: SlowClients::Serve,
            });
        }
        assert_eq!(server.poll(Timestamp::ZERO), Err(None));
        let client = SocketAddr::from(([10, 0, 0, 1], 1));
        let now = Timestamp::from_start(Duration::from_secs(1));
        for id in [SessionId(0), SessionId(1)] {
            server.handle(id, client, &[0x20, 0x21, 0], now);
        }
        let (mut now, mut order) = (now, Vec::new());
        while order.len() < 4 {
            match server.poll(now) {
                Ok((id, _, Output::Send(_))) => order.push(id.0),
                Ok(_) => {}
                Err(next) => now = next.unwrap(),
            }
        }
        assert_eq!(order, [0, 1, 0, 1]);
        server.close(SessionId(0));
        assert!(server.session(SessionId(0)).is_none());
        server.handle(SessionId(0), client, &[0], now);
        while let Ok((id, ..)) = server.poll(now) {
            assert_eq!(id, SessionId(1));
        }
    }

    /// Three clients of three files, one of them important, on one rate.
    #[test]
    fn a_total_rate_is_shared_by_priority() {
        let mut server = Server::new();
        server.set_total_rate(Some(BitRate::from_bits_per_second(100_000_000)));
        let size = BlockSize::new(1000).unwrap();
        for (at, priority) in [2, 2, 4].into_iter().enumerate() {
            let transaction = TransactionId(VarInt::new(at as u64 + 1).unwrap());
            let header = TransferHeader::new(transaction, 100_000_000, size).unwrap();
            let rate = RateLimits::below(BitRate::from_bits_per_second(1_000_000_000));
            let priority = Priority::new(priority).unwrap();
            server.replace(SessionId(at), &config(header, rate), priority);
        }
        let start = Timestamp::from_start(Duration::from_secs(1));
        let (mut now, mut blocks) = (start, [0; 3]);
        let mut held = [BlockSet::new(), BlockSet::new(), BlockSet::new()];
        let mut asked = Vec::new();
        let clients = [1, 2, 3].map(|host| SocketAddr::from(([10, 0, 0, host], 1)));
        let nack = |held: &BlockSet| {
            let mut out = Vec::new();
            ClientPacket::Nack(Nack::for_gaps(held, 100_000, MAX_NACK_LEN)).encode(&mut out);
            out
        };
        while now.since(start) < Duration::from_secs(2) {
            // Each asks for what it has not, now and whenever it is asked.
            if now == start {
                for (at, client) in clients.into_iter().enumerate() {
                    server.handle(SessionId(at), client, &nack(&held[at]), now);
                }
            }
            let wake = loop {
                match server.poll(now) {
                    Ok((id, _, Output::Send(run))) => {
                        blocks[id.0] += run.end - run.start;
                        held[id.0].insert_run(run);
                    }
                    Ok((id, _, Output::Solicit(client))) => asked.push((id, client)),
                    Ok(_) => {}
                    Err(wake) => break wake,
                }
            };
            assert!(wake.is_some_and(|wake| wake > now), "{wake:?} at {now:?}");
            now += Duration::from_micros(100);
            for (id, client) in asked.drain(..) {
                server.handle(id, client, &nack(&held[id.0]), now);
            }
        }
        let bits = |blocks: u64| blocks as f64 * 8.0 * 1080.0 / 2e6;
        let [a, b, c] = blocks.map(bits);
        assert!((95.0..=101.0).contains(&(a + b + c)), "{a} {b} {c} Mbit/s");
        assert!((a / b - 1.0).abs() < 0.1, "{a} {b} {c} Mbit/s");
        assert!((c / a - 2.0).abs() < 0.2, "{a} {b} {c} Mbit/s");
    }

    #[test]
    fn only_those_who_were_asked_are_looked_at() {
        let mut server = Server::new();
        let size = BlockSize::new(1000).unwrap();
        let transaction = TransactionId(VarInt::new(1).unwrap());
        let header = TransferHeader::new(transaction, 100_000, size).unwrap();
        let rate = RateLimits::below(BitRate::from_bits_per_second(1_000_000_000));
        for _ in 0..300 {
            server.add(&config(header, rate));
        }
        assert_eq!(server.poll(Timestamp::ZERO), Err(None));
        assert!(server.awake.is_empty());
        let client = SocketAddr::from(([10, 0, 0, 1], 1));
        server.handle(SessionId(7), client, &[0x20, 0x21, 0], Timestamp::ZERO);
        assert_eq!(server.awake.len(), 1);
        assert!(server.poll(Timestamp::ZERO).is_ok());
    }
}
