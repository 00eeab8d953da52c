// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client's place on the virtual network: what gets lost on the way to it, and its receive ring.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use slam_client::Timestamp;
use slam_server::Lane;

use super::client::Client;
use super::world::{Guest, Kind, Loss};

/// A datagram on its way.
pub struct Datagram {
    pub bytes: Vec<u8>,
    pub kind: Carried,
}

impl Datagram {
    /// Where its block begins; nowhere, if it has none.
    pub fn payload_at(&self) -> usize {
        match self.kind {
            Carried::Block { payload_at, .. } => payload_at,
            Carried::Unicast | Carried::Forged => self.bytes.len(),
        }
    }
}

pub enum Carried {
    /// Content number, block, and where its bytes begin.
    Block {
        content: u64,
        block: u64,
        payload_at: usize,
    },
    Unicast,
    /// To the group, by nobody of this world.
    Forged,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each tells of something else, and any may be with any"
)]
pub struct Seat {
    pub guest: Guest,
    pub random: fastrand::Rng,
    pub client: Option<Client>,
    pub ended: bool,
    /// Whose group it listens to: the switch forwards no other to it.
    pub lane: Lane,
    /// What has passed the network, and when it will have been taken out of the ring, in order.
    pub inbox: VecDeque<(Timestamp, Rc<Datagram>)>,
    /// When it looks into its inbox, by an event of its own.
    pub wake: Option<Timestamp>,
    /// When its timer is due, and for when an event stands in the queue.
    pub timer: Option<Timestamp>,
    pub timer_event: Option<Timestamp>,
    /// Datagrams until the next loss; whether in a burst of losses.
    until_loss: u64,
    in_burst: bool,
    /// Nothing delays this one's datagrams: it looks when everybody does.
    pub plain: bool,
    pub transaction: u64,
    pub stored: Stored,
    /// Whether a word of it reached the server that runs now, and nobody has said goodbye in its name since.
    pub known: bool,
    /// When the server that runs now first heard it, and when a word of either to the other was
    /// last lost.
    pub spoke: Option<Timestamp>,
    pub word_lost: Option<Timestamp>,
    pub done: Option<Duration>,
}

/// Which blocks a client has stored.
#[derive(Default)]
pub struct Stored {
    words: Vec<u64>,
    pub blocks: u64,
}

impl Stored {
    pub fn insert(&mut self, block: u64) {
        let (word, bit) = ((block / 64) as usize, 1 << (block % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.blocks += u64::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }
}

impl Extend<u64> for Stored {
    fn extend<T: IntoIterator<Item = u64>>(&mut self, blocks: T) {
        blocks.into_iter().for_each(|block| self.insert(block));
    }
}

impl Seat {
    pub fn new(guest: Guest, seed: u64) -> Seat {
        let plain = guest.pauses.is_none()
            && guest.jitter.is_zero()
            && guest.overtaken == 0.0
            && guest.service <= Duration::from_micros(5);
        let mut seat = Seat {
            guest,
            random: fastrand::Rng::with_seed(seed),
            client: None,
            ended: false,
            lane: Lane::FIRST,
            inbox: VecDeque::new(),
            wake: None,
            timer: None,
            timer_event: None,
            until_loss: 0,
            in_burst: true,
            plain,
            transaction: 0,
            stored: Stored::default(),
            known: false,
            spoke: None,
            word_lost: None,
            done: None,
        };
        seat.next_loss();
        seat
    }

    /// Draws how many datagrams pass before one is lost, or how many are lost in a row.
    fn next_loss(&mut self) {
        let geometric = |random: &mut fastrand::Rng, p: f64| {
            if p <= 0.0 {
                return u64::MAX;
            }
            // Inverse of the geometric distribution.
            let u = 1.0 - random.f64();
            (u.ln() / (1.0 - p.min(0.999_999)).ln()) as u64
        };
        let random = &mut self.random;
        self.until_loss = match self.guest.loss {
            Loss::Independent(p) => geometric(random, p),
            Loss::Bursts { begin, end } => {
                self.in_burst = !self.in_burst;
                let p = if self.in_burst { end } else { begin };
                geometric(random, p).saturating_add(1)
            }
        };
    }

    pub fn is_lost(&mut self) -> bool {
        match self.guest.loss {
            Loss::Independent(_) => {
                if self.until_loss > 0 {
                    self.until_loss -= 1;
                    return false;
                }
                self.next_loss();
                true
            }
            Loss::Bursts { .. } => {
                if self.until_loss == 0 {
                    self.next_loss();
                }
                self.until_loss -= 1;
                self.in_burst
            }
        }
    }

    pub fn is_there(&self, now: Timestamp) -> bool {
        self.client.is_some() && self.guest.dies.is_none_or(|dies| now.since_start() < dies)
    }

    /// For how long a stock client has waited for multicast, the last of which was sent at `last`,
    /// and no word between it and the server was lost; nothing if it does not wait.
    pub fn waited(&self, last: Timestamp, now: Timestamp) -> Duration {
        let (Kind::Stock, Some(spoke), true) = (self.guest.kind, self.spoke, self.is_there(now))
        else {
            return Duration::ZERO;
        };
        let mut since = last.max(spoke);
        since = since.max(self.word_lost.unwrap_or(since));
        if !self.guest.cut.is_empty() {
            if self.guest.is_cut_off(now) {
                return Duration::ZERO;
            }
            let cut = Timestamp::from_start(self.guest.cut.end);
            since = if cut < now { since.max(cut) } else { since };
        }
        now.since(since)
    }

    /// The network has lost a datagram, or there was no room for it.
    pub fn miss(&mut self, at: Timestamp, datagram: &Datagram) {
        if matches!(datagram.kind, Carried::Unicast) {
            self.word_lost = self.word_lost.max(Some(at));
        }
    }

    /// A datagram has passed the network.
    pub fn arrive(&mut self, at: Timestamp, datagram: &Rc<Datagram>) {
        // As many places before the end stands the one whose leaving makes room.
        let full = self.inbox.len().checked_sub(self.guest.ring);
        if full.is_some_and(|place| self.inbox[place].0 > at) {
            self.miss(at, datagram);
            return;
        }
        let free = self.inbox.back().map_or(at, |&(last, _)| last.max(at));
        let taken_out = self.guest.awake(free) + self.guest.service;
        self.inbox.push_back((taken_out, Rc::clone(datagram)));
    }
}
