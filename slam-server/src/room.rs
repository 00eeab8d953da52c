// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a session begins to send: at once, when a room is full, or when it has waited long enough.
//!
//! Until then, whoever has come must be kept alive. A stock client gives up after 15 s without
//! multicast (iPXE `slam.c`), and whatever it hears makes it wait for another second in silence; it
//! can only be counted when that second has passed. So a block is sent every few seconds: often
//! enough that nobody gives up even if one gets lost, rarely enough that everybody speaks in
//! between. It is a block of the file, a different one each time: nothing is sent in vain.

use std::time::Duration;

use slam_client::Timestamp;

use super::view::Phase;

/// How often a room that waits hears a block.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// What a session waits for before it sends; whichever comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// So many clients are there. `None`: not waited for.
    pub clients: Option<usize>,
    /// So much time has passed since the first one came. `None`: however long it takes.
    pub wait: Option<Duration>,
}

impl Start {
    /// The first client need not wait.
    pub const AT_ONCE: Start = Start {
        clients: None,
        wait: None,
    };

    fn is_at_once(self) -> bool {
        self == Start::AT_ONCE || self.clients == Some(1) || self.wait == Some(Duration::ZERO)
    }
}

/// Where a session stands.
#[derive(Debug)]
pub(crate) struct Room {
    start: Start,
    state: State,
    /// Somebody keeps it from beginning.
    held: bool,
}

#[derive(Debug)]
enum State {
    Empty,
    Waiting {
        opens_at: Option<Timestamp>,
        keep_alive: Timestamp,
        /// The block that keeps clients alive next.
        next_block: u64,
    },
    Open,
}

impl Room {
    pub(crate) fn new(start: Start) -> Self {
        let (state, held) = (State::Empty, false);
        Room { start, state, held }
    }

    /// What it waits for.
    pub(crate) fn start(&self) -> Start {
        self.start
    }

    /// The first client has come. Whether sending begins.
    pub(crate) fn enter(&mut self, now: Timestamp) -> bool {
        if self.start.is_at_once() && !self.held {
            self.state = State::Open;
            return true;
        }
        self.state = State::Waiting {
            opens_at: self.start.wait.map(|wait| now + wait),
            keep_alive: now,
            next_block: 0,
        };
        false
    }

    /// Somebody comes who has waited elsewhere.
    pub(crate) fn skip(&mut self) {
        self.state = State::Open;
    }

    /// Whether clients are there that wait for others.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// Keeps it from beginning until it is released or begun; or no longer.
    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether it is kept from beginning.
    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Begins, whoever is there; whether it did.
    pub(crate) fn begin(&mut self) -> bool {
        self.held = false;
        let waits = self.is_waiting();
        if waits {
            self.state = State::Open;
        }
        waits
    }

    /// What it is doing, as people see it.
    pub(crate) fn phase(&self) -> Phase {
        match self.state {
            State::Empty => Phase::Idle,
            State::Waiting { opens_at, .. } => Phase::Waiting {
                for_clients: self.start.clients,
                opens_at,
            },
            State::Open => Phase::Sending,
        }
    }

    /// Opens, if `present` clients are enough or they have waited long enough; whether it did.
    pub(crate) fn open(&mut self, present: usize, now: Timestamp) -> bool {
        let State::Waiting { opens_at, .. } = self.state else {
            return false;
        };
        let full = self.start.clients.is_some_and(|clients| present >= clients);
        let over = opens_at.is_some_and(|opens_at| now >= opens_at);
        // Released, a room that nobody is waited for begins at once.
        let opens = !self.held && (full || over || self.start.is_at_once());
        if opens {
            self.state = State::Open;
        }
        opens
    }

    /// The block to keep clients alive with, if it is time for one, in a transfer of `count`.
    pub(crate) fn keep_alive(&mut self, count: u64, now: Timestamp) -> Option<u64> {
        match &mut self.state {
            State::Waiting {
                keep_alive,
                next_block,
                ..
            } if *keep_alive <= now => {
                *keep_alive = now + KEEP_ALIVE;
                let block = *next_block;
                *next_block = (block + 1) % count;
                Some(block)
            }
            _ => None,
        }
    }

    /// When it must be looked at again.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Waiting {
                opens_at,
                keep_alive,
                ..
            } => {
                let opens_at = opens_at.filter(|_| !self.held);
                Some(opens_at.map_or(keep_alive, |opens_at| opens_at.min(keep_alive)))
            }
            State::Empty | State::Open => None,
        }
    }

    /// Everybody has gone: the next one waits anew.
    pub(crate) fn leave(&mut self) {
        self.state = State::Empty;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    fn waiting(clients: Option<usize>, wait: Option<u64>) -> Room {
        let wait = wait.map(Duration::from_secs);
        let mut room = Room::new(Start { clients, wait });
        assert!(!room.enter(at(10)));
        room
    }

    #[test]
    fn opens_at_once_unless_told_otherwise() {
        let at_once = [(None, None), (Some(1), Some(60)), (Some(5), Some(0))];
        for (clients, wait) in at_once {
            let wait = wait.map(Duration::from_secs);
            assert!(Room::new(Start { clients, wait }).enter(at(0)));
        }
    }

    #[test]
    fn opens_when_it_is_full_or_has_waited_whichever_is_first() {
        assert!(waiting(Some(3), Some(60)).open(3, at(11)));
        assert!(waiting(Some(3), Some(60)).open(1, at(70)));
        assert!(waiting(None, Some(60)).open(1, at(70)));
        let mut room = waiting(Some(3), Some(60));
        assert!(!room.open(2, at(69)) && room.is_waiting());
        assert!(!waiting(Some(3), None).open(2, at(100_000)));
        assert!(!waiting(None, Some(60)).open(1000, at(69)));
    }

    #[test]
    fn a_held_room_begins_when_it_is_let_or_told_to() {
        let mut room = waiting(Some(2), Some(60));
        room.hold(true);
        assert!(!room.open(9, at(1000)));
        assert!(room.next_deadline().is_some_and(|at| at < self::at(70)));
        room.hold(false);
        assert!(room.open(2, at(1000)));

        // Also where nobody is waited for.
        let mut room = Room::new(Start::AT_ONCE);
        room.hold(true);
        assert!(!room.enter(at(0)) && !room.open(1, at(1)));
        room.hold(false);
        assert!(room.open(1, at(2)));
        room.leave();
        room.hold(true);
        assert!(!room.enter(at(3)) && room.begin() && !room.is_held());
        assert_eq!(room.phase(), Phase::Sending);
        assert!(!room.begin());
    }

    #[test]
    fn nobody_is_without_a_block_for_15_seconds_and_none_comes_twice() {
        let mut room = waiting(Some(3), None);
        let mut heard = Vec::new();
        let mut now = at(10);
        while heard.len() < 5 {
            heard.extend(room.keep_alive(3, now).map(|block| (block, now)));
            assert_eq!(room.keep_alive(3, now), None);
            now = room.next_deadline().unwrap();
        }
        let blocks: Vec<u64> = heard.iter().map(|&(block, _)| block).collect();
        assert_eq!(blocks, [0, 1, 2, 0, 1]);
        for pair in heard.windows(3) {
            // Even with one lost.
            assert!(pair[2].1.since(pair[0].1) < Duration::from_secs(15));
            // And long enough for a stock client to speak up.
            assert!(pair[1].1.since(pair[0].1) > Duration::from_secs(2));
        }
    }
}
