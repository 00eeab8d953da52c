// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whose connections they are, and whose go when there are too many.
//!
//! Connections that get nothing are cheap to open and cheap to hold, so whoever holds many of them
//! must not keep others out: when there is no room, a connection that has got nothing for a while
//! ends, first of all one of the address that has the most.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// Connections of one address: a room behind one router comes with many.
const PER_ADDRESS: usize = 256;
/// Whoever was written nothing for so long makes room for others, when there is none.
const STALLED: Duration = Duration::from_secs(1);
/// Whoever has so few connections waits for room and is never turned away.
const FEW: usize = 4;

/// Every connection.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    next: u64,
    of: HashMap<IpAddr, HashMap<u64, Held>>,
}

/// One connection.
#[derive(Debug)]
struct Held {
    /// When something was written to it for the last time, or it came.
    served: Instant,
    /// Tells it to end; `None`: it was told.
    leave: Option<oneshot::Sender<()>>,
}

/// Whether one more can be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Another one was told to end.
    Soon,
    /// When another one ends, or has got nothing for a while.
    Later,
    /// Its address has enough of them.
    None,
}

impl Crowd {
    /// One more of this address, unless it has too many: its number, and what says that it must end.
    pub(super) fn enter(
        &mut self,
        address: IpAddr,
        now: Instant,
    ) -> Option<(u64, oneshot::Receiver<()>)> {
        let own = self.of.entry(address).or_default();
        if own.len() >= PER_ADDRESS {
            return None;
        }
        let id = self.next;
        self.next += 1;
        let (leave, left) = oneshot::channel();
        let held = Held {
            served: now,
            leave: Some(leave),
        };
        own.insert(id, held);
        Some((id, left))
    }

    /// Something was written to it.
    pub(super) fn served(&mut self, address: IpAddr, id: u64, now: Instant) {
        let own = self.of.get_mut(&address);
        if let Some(held) = own.and_then(|own| own.get_mut(&id)) {
            held.served = now;
        }
    }

    /// It ended.
    pub(super) fn leave(&mut self, address: IpAddr, id: u64) {
        if let Some(own) = self.of.get_mut(&address) {
            own.remove(&id);
            if own.is_empty() {
                self.of.remove(&address);
            }
        }
    }

    /// Looks for room for this one, which has entered.
    pub(super) fn make_room(&mut self, address: IpAddr, id: u64, now: Instant) -> Room {
        let own = self.of.get(&address).map_or(0, HashMap::len);
        let few = own <= FEW;
        let stalled = self
            .of
            .values_mut()
            .filter(|all| few || all.len() > own)
            .flat_map(|all| {
                let many = all.len();
                all.iter_mut().map(move |(other, held)| (many, other, held))
            })
            .filter(|(_, other, held)| {
                let idle = now.saturating_duration_since(held.served);
                **other != id && held.leave.is_some() && idle >= STALLED
            })
            .max_by_key(|(many, _, held)| (*many, Reverse(held.served)));
        match stalled.and_then(|(_, _, held)| held.leave.take()) {
            Some(leave) => {
                // One that has ended meanwhile makes room, too.
                let _ = leave.send(());
                Room::Soon
            }
            None if few => Room::Later,
            None => Room::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    struct Full {
        crowd: Crowd,
        now: Instant,
        leaves: Vec<(u8, oneshot::Receiver<()>)>,
    }

    /// Each of these addresses with so many connections.
    fn full(of: &[(u8, usize)]) -> Full {
        let mut crowd = Crowd::default();
        let now = Instant::now();
        let mut leaves = Vec::new();
        for &(number, many) in of {
            for _ in 0..many {
                let (_, left) = crowd.enter(address(number), now).unwrap();
                leaves.push((number, left));
            }
        }
        Full { crowd, now, leaves }
    }

    impl Full {
        fn asks(&mut self, number: u8) -> Room {
            let (id, _) = self.crowd.enter(address(number), self.now).unwrap();
            let room = self.crowd.make_room(address(number), id, self.now);
            self.crowd.leave(address(number), id);
            room
        }

        /// Whose connections were told to end.
        fn told(&mut self) -> Vec<u8> {
            let told = |left: &mut oneshot::Receiver<()>| {
                !matches!(left.try_recv(), Err(oneshot::error::TryRecvError::Empty))
            };
            let leaves = self.leaves.iter_mut();
            leaves
                .filter_map(|(number, left)| told(left).then_some(*number))
                .collect()
        }
    }

    #[test]
    fn who_holds_the_most_makes_room() {
        let mut full = full(&[(1, 3), (2, 30), (3, 1)]);
        assert_eq!(full.asks(9), Room::Later, "everybody just came");
        full.now += STALLED;
        assert_eq!(full.asks(9), Room::Soon);
        assert_eq!(full.told(), [2]);
    }

    #[test]
    fn what_is_being_served_stays() {
        let mut full = full(&[(1, 2)]);
        full.now += STALLED;
        full.crowd.served(address(1), 0, full.now);
        full.crowd.served(address(1), 1, full.now);
        assert_eq!(full.asks(9), Room::Later);
        assert!(full.told().is_empty());
        full.now += STALLED / 2;
        full.crowd.served(address(1), 1, full.now);
        full.now += STALLED / 2;
        assert_eq!(full.asks(9), Room::Soon);
        assert_eq!(full.asks(9), Room::Later, "the other one is being served");
    }

    #[test]
    fn who_holds_many_takes_no_room_from_others() {
        let mut full = full(&[(1, 40), (2, 40), (3, 1)]);
        full.now += STALLED;
        assert_eq!(full.asks(1), Room::None, "the others have no more than it");
        assert!(full.told().is_empty());
        assert_eq!(full.asks(3), Room::Soon);
        assert!(full.told() == [1] || full.told() == [2]);
    }

    #[test]
    fn an_address_has_so_many_and_no_more() {
        let mut full = full(&[(1, PER_ADDRESS)]);
        assert!(full.crowd.enter(address(1), full.now).is_none());
        full.crowd.leave(address(1), 7);
        assert!(full.crowd.enter(address(1), full.now).is_some());
        for id in 0..=PER_ADDRESS as u64 {
            full.crowd.leave(address(1), id);
        }
        assert!(full.crowd.of.is_empty());
    }
}
