// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who takes part in a session, and whose turn it is to be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use slam_client::{BlockSet, Timestamp};

use super::ahead::Ahead;

/// Bound on memory: a client costs a few hundred bytes and the runs last sent for it.
pub(crate) const MAX_CLIENTS: usize = 4096;
/// Solicits under way at once: all answers together must not overrun a socket buffer or a ring.
const MAX_ASKED: usize = 32;
/// First wait for an answer where no round trip is known.
const FIRST_PATIENCE: Duration = Duration::from_millis(10);
/// A lost solicit must be repeated long before the stock client's own retry after 250 ms.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(4);
/// A client that does not answer is asked this often at least.
const LONGEST_PATIENCE: Duration = Duration::from_millis(500);
/// A stock client dies of 15 s without multicast (iPXE `slam.c`, `SLAM_SLAVE_TIMEOUT` retried);
/// nobody who has been silent for longer is still there.
pub(crate) const SILENCE: Duration = Duration::from_secs(16);
/// So many NACKs in a row with the same first gap, and a client is getting nowhere.
const STUCK: u32 = 3;
/// Longest pause before a client is asked again whose first gap does not move.
const LONGEST_PAUSE: Duration = Duration::from_millis(256);
/// Round trip assumed of a client that has not been measured.
const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(5);

/// One client, known by the address that it speaks from.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) joined: Timestamp,
    pub(crate) ahead: Ahead,
    /// What was last put into the demand for it.
    pub(crate) last_want: BlockSet,
    first_missing: Option<u64>,
    fruitless: u32,
    round_trip: Option<RoundTrip>,
    turn: Turn,
    takes_parity: bool,
}

#[derive(Clone, Copy, Debug)]
struct RoundTrip {
    smoothed: Duration,
    shortest: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    /// It has spoken. Once what it wants is sent it is asked again, but not before a moment.
    Served { not_before: Timestamp },
    /// It was asked and has not answered yet.
    Asked {
        first: Timestamp,
        last: Timestamp,
        tries: u32,
        again: Timestamp,
    },
}

/// All clients of a session.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_address: BTreeMap<SocketAddr, Client>,
    /// How many of them did not say that they take parity.
    without_parity: usize,
    /// Served clients by the moment before which they are not asked.
    served: BTreeSet<(Timestamp, SocketAddr)>,
    /// Asked clients by the moment when they are asked again.
    asked: BTreeSet<(Timestamp, SocketAddr)>,
}

impl Clients {
    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    pub(crate) fn contains(&self, address: SocketAddr) -> bool {
        self.by_address.contains_key(&address)
    }

    /// Notes whether a client said that it takes parity.
    pub(crate) fn note_parity(&mut self, address: SocketAddr, takes_parity: bool) {
        if let Some(client) = self.by_address.get_mut(&address) {
            self.without_parity -= usize::from(!client.takes_parity);
            self.without_parity += usize::from(!takes_parity);
            client.takes_parity = takes_parity;
        }
    }

    /// Whether parity serves more than one client, and everybody. Beside clients that know nothing
    /// of it, a block that all of them lost would be sent twice: as itself and as a sum.
    pub(crate) fn share_parity(&self) -> bool {
        self.without_parity == 0 && self.by_address.len() > 1
    }

    pub(crate) fn get_mut(&mut self, address: SocketAddr) -> Option<&mut Client> {
        self.by_address.get_mut(&address)
    }

    pub(crate) fn add(&mut self, address: SocketAddr, now: Timestamp) {
        let client = Client {
            joined: now,
            ahead: Ahead::default(),
            last_want: BlockSet::new(),
            first_missing: None,
            fruitless: 0,
            round_trip: None,
            turn: Turn::Served { not_before: now },
            takes_parity: false,
        };
        self.without_parity += 1;
        self.served.insert((now, address));
        self.by_address.insert(address, client);
    }

    pub(crate) fn remove(&mut self, address: SocketAddr) -> Option<Client> {
        let client = self.by_address.remove(&address)?;
        self.without_parity -= usize::from(!client.takes_parity);
        match client.turn {
            Turn::Served { not_before } => self.served.remove(&(not_before, address)),
            Turn::Asked { again, .. } => self.asked.remove(&(again, address)),
        };
        Some(client)
    }

    /// Notes that `address` spoke, its first missing block being `first_missing`; since when
    /// whatever was sent cannot have been known to it.
    pub(crate) fn heard(
        &mut self,
        address: SocketAddr,
        first_missing: Option<u64>,
        now: Timestamp,
    ) -> Timestamp {
        let Some(client) = self.by_address.get_mut(&address) else {
            return now;
        };
        let unknown_since = client.measure(now);
        client.fruitless = match client.first_missing {
            before if before == first_missing => client.fruitless.saturating_add(1),
            _ => 0,
        };
        client.first_missing = first_missing;
        let pause = match client.fruitless {
            0 => Duration::ZERO,
            times => Duration::from_millis(1u64 << times.min(16)).min(LONGEST_PAUSE),
        };
        let turn = Turn::Served {
            not_before: now + pause,
        };
        self.set_turn(address, turn);
        unknown_since
    }

    /// The next client to ask now that nothing is left to send.
    pub(crate) fn ask_next(&mut self, now: Timestamp) -> Option<SocketAddr> {
        if self.asked.len() >= MAX_ASKED {
            return None;
        }
        let &(not_before, address) = self.served.first()?;
        (not_before <= now).then(|| {
            let patience = self.by_address[&address].patience();
            let turn = Turn::Asked {
                first: now,
                last: now,
                tries: 1,
                again: now + patience,
            };
            self.set_turn(address, turn);
            address
        })
    }

    /// The next client to ask again: it, or our solicit, or its answer got lost.
    pub(crate) fn ask_again(&mut self, now: Timestamp) -> Option<SocketAddr> {
        let &(again, address) = self.asked.first()?;
        if again > now {
            return None;
        }
        let client = &self.by_address[&address];
        let Turn::Asked { first, tries, .. } = client.turn else {
            return None;
        };
        let patience = client
            .patience()
            .saturating_mul(1 << tries.min(10))
            .min(LONGEST_PATIENCE);
        let turn = Turn::Asked {
            first,
            last: now,
            tries: tries + 1,
            again: now + patience,
        };
        self.set_turn(address, turn);
        Some(address)
    }

    /// A client whose next solicit is due and that has answered none for [`SILENCE`]; for how
    /// long.
    pub(crate) fn find_silent(&self, now: Timestamp) -> Option<(SocketAddr, Duration)> {
        let &(again, address) = self.asked.first()?;
        match self.by_address[&address].turn {
            Turn::Asked { first, .. } if again <= now && now.since(first) >= SILENCE => {
                Some((address, now.since(first)))
            }
            _ => None,
        }
    }

    /// When somebody must be asked next; those who were served only if nothing is left to send.
    pub(crate) fn next_deadline(&self, nothing_to_send: bool) -> Option<Timestamp> {
        let may_ask = nothing_to_send && self.asked.len() < MAX_ASKED;
        let served = self.served.first().filter(|_| may_ask).map(|&(at, _)| at);
        let asked = self.asked.first().map(|&(at, _)| at);
        served.into_iter().chain(asked).min()
    }

    fn set_turn(&mut self, address: SocketAddr, turn: Turn) {
        let Some(client) = self.by_address.get_mut(&address) else {
            return;
        };
        match client.turn {
            Turn::Served { not_before } => self.served.remove(&(not_before, address)),
            Turn::Asked { again, .. } => self.asked.remove(&(again, address)),
        };
        match turn {
            Turn::Served { not_before } => self.served.insert((not_before, address)),
            Turn::Asked { again, .. } => self.asked.insert((again, address)),
        };
        client.turn = turn;
    }
}

impl Client {
    /// Whether what is sent to it does not seem to arrive.
    pub(crate) fn is_stuck(&self) -> bool {
        self.fruitless >= STUCK
    }

    /// The usual time from a solicit to its answer.
    pub(crate) fn round_trip(&self) -> Duration {
        self.round_trip
            .map_or(Duration::ZERO, |known| known.smoothed)
    }

    /// The first block that it asked for when it last spoke.
    pub(crate) fn first_missing(&self) -> Option<u64> {
        self.first_missing
    }

    /// Learns from an answer; since when whatever was sent cannot have been known to the client.
    ///
    /// Datagrams arrive in order, so an answer speaks of all that was sent before its solicit. If
    /// it comes too soon to be an answer to the last solicit, or unasked, a round trip is taken.
    fn measure(&mut self, now: Timestamp) -> Timestamp {
        let known = self.round_trip;
        if let Turn::Asked { last, tries, .. } = self.turn {
            let took = now.since(last);
            let too_soon = known.is_some_and(|known| took < known.shortest.mul_f64(0.8));
            if !too_soon {
                // A repeated solicit's answer may be to the earlier one (Karn's rule).
                if tries == 1 {
                    let smoothed = known.map_or(took, |known| (known.smoothed * 7 + took) / 8);
                    let shortest = known.map_or(took, |known| known.shortest.min(took));
                    self.round_trip = Some(RoundTrip { smoothed, shortest });
                }
                return last;
            }
        }
        now - known.map_or(ASSUMED_ROUND_TRIP, |known| known.smoothed)
    }

    fn patience(&self) -> Duration {
        self.round_trip
            .map_or(FIRST_PATIENCE, |known| known.smoothed * 3)
            .clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(ms))
    }

    fn address(number: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], number))
    }

    #[test]
    fn a_lost_solicit_is_repeated_soon_and_silence_ends_it() {
        let mut clients = Clients::default();
        clients.add(address(1), at(0));
        assert_eq!(clients.ask_next(at(0)), Some(address(1)));
        assert_eq!(clients.ask_again(at(9)), None);
        assert_eq!(clients.next_deadline(true), Some(at(10)));
        assert_eq!(clients.ask_again(at(10)), Some(address(1)));
        assert_eq!(clients.ask_again(at(29)), None);
        assert_eq!(clients.ask_again(at(30)), Some(address(1)));
        let mut asked = 0;
        let mut now = at(30);
        while clients.find_silent(now).is_none() {
            now = clients.next_deadline(true).unwrap();
            if clients.find_silent(now).is_none() {
                assert_eq!(clients.ask_again(now), Some(address(1)));
                asked += 1;
            }
        }
        assert!(
            (16_000..17_000).contains(&now.since_start().as_millis()),
            "{now:?}"
        );
        assert!((30..40).contains(&asked), "{asked}");
    }

    #[test]
    fn few_are_asked_at_a_time() {
        let mut clients = Clients::default();
        for number in 0..100 {
            clients.add(address(number), at(0));
        }
        let asked = std::iter::from_fn(|| clients.ask_next(at(1))).count();
        assert_eq!(asked, MAX_ASKED);
        clients.heard(address(0), Some(5), at(2));
        assert_eq!(std::iter::from_fn(|| clients.ask_next(at(2))).count(), 1);
    }

    #[test]
    fn an_answer_speaks_of_all_before_its_solicit() {
        let mut clients = Clients::default();
        clients.add(address(1), at(0));
        clients.ask_next(at(100));
        assert_eq!(clients.heard(address(1), Some(1), at(102)), at(100));
        clients.ask_next(at(200));
        // Too soon: this answers an earlier solicit, so a round trip (2 ms) is taken.
        let now = at(200) + Duration::from_micros(500);
        assert_eq!(
            clients.heard(address(1), Some(2), now),
            now - Duration::from_millis(2)
        );
    }

    #[test]
    fn a_client_that_gets_nowhere_is_asked_less_and_less_often() {
        let mut clients = Clients::default();
        clients.add(address(1), at(0));
        let mut now = at(0);
        for _ in 0..20 {
            now = clients.next_deadline(true).unwrap().max(now);
            assert_eq!(clients.ask_next(now), Some(address(1)));
            now += Duration::from_micros(100);
            clients.heard(address(1), Some(0), now);
        }
        assert!(now.since_start() > Duration::from_secs(2), "{now:?}");
    }
}
