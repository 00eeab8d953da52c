// SPDX-License-Identifier: MIT OR Apache-2.0
//! All sessions of a server: one for each file, port and group.

use std::net::SocketAddr;

use slam_client::Timestamp;

use super::session::{Output, Session, SessionConfig};

/// Which session: its place in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub usize);

/// The sessions, polled in turn so that none starves another.
#[derive(Debug, Default)]
pub struct Server {
    /// `None`: closed.
    sessions: Vec<Option<Session>>,
    /// Those that have something to do, now or later: of hundreds of files, most are idle.
    active: Vec<usize>,
    /// The place among them to poll first.
    next: usize,
}

impl Server {
    /// A server without sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a session.
    pub fn add(&mut self, config: &SessionConfig) -> SessionId {
        self.sessions.push(Some(Session::new(config)));
        SessionId(self.sessions.len() - 1)
    }

    /// One of the sessions; `None` if it was closed.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id.0)?.as_ref()
    }

    /// Ends a session whose content is gone: nothing more is sent, nobody is heard.
    pub fn close(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id.0) {
            *session = None;
        }
    }

    /// Ends what is under way in every session; poll once more for the totals.
    pub fn stop(&mut self, now: Timestamp) {
        for (at, session) in self.sessions.iter_mut().enumerate() {
            if let Some(session) = session {
                session.stop(now);
                activate(&mut self.active, at);
            }
        }
    }

    /// Takes a datagram that arrived on the port of session `id`.
    pub fn handle(&mut self, id: SessionId, from: SocketAddr, datagram: &[u8], now: Timestamp) {
        if let Some(Some(session)) = self.sessions.get_mut(id.0) {
            session.handle(from, datagram, now);
            activate(&mut self.active, id.0);
        }
    }

    /// The next thing to do, and for which session; `None` with the moment to come back at when
    /// no session has anything to do.
    pub fn poll(&mut self, now: Timestamp) -> Result<(SessionId, Output), Option<Timestamp>> {
        let mut earliest: Option<Timestamp> = None;
        let mut step = 0;
        while step < self.active.len() {
            let place = (self.next + step) % self.active.len();
            let at = self.active[place];
            match self.sessions[at].as_mut().map(|session| session.poll(now)) {
                Some(Output::Timeout(Some(next))) => {
                    earliest = earliest.into_iter().chain([next]).min();
                    step += 1;
                }
                None | Some(Output::Timeout(None)) => {
                    // The order is kept, so that nobody is passed over.
                    self.active.remove(place);
                    if place < self.next {
                        self.next -= 1;
                    }
                }
                Some(output) => {
                    self.next = place + 1;
                    return Ok((SessionId(at), output));
                }
            }
        }
        Err(earliest)
    }
}

fn activate(active: &mut Vec<usize>, at: usize) {
    if !active.contains(&at) {
        active.push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::slam::{RateLimits, Start};
    use site::{BitRate, SlowClients};
    use slam_client::wire::{BlockSize, TransactionId, TransferHeader, VarInt};

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
                Ok((id, Output::Send(_))) => order.push(id.0),
                Ok(_) => {}
                Err(next) => now = next.unwrap(),
            }
        }
        assert_eq!(order, [0, 1, 0, 1]);
        server.close(SessionId(0));
        assert!(server.session(SessionId(0)).is_none());
        server.handle(SessionId(0), client, &[0], now);
        while let Ok((id, _)) = server.poll(now) {
            assert_eq!(id, SessionId(1));
        }
    }
}
