// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a session decides and tells.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use site::BitRate;
use slam_client::Timestamp;
use slam_client::wire::WireError;

use super::super::clients::MAX_CLIENTS;
use super::super::room::Start;

/// What to do next. Drain [`Lanes::poll`](super::super::Lanes::poll) until it says [`Output::Timeout`].
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
    /// A client was slower than the policy allows, or somebody wanted it gone, and is no longer
    /// waited for.
    ClientDropped {
        /// Which one.
        client: SocketAddr,
        /// From its first NACK on.
        after: Duration,
        /// What it got lately.
        goodput: Option<BitRate>,
        /// Whether somebody wanted it gone.
        by_hand: bool,
    },
    /// A client was moved to another lane: to a slower one, or back where it heard nothing there.
    ClientMoved {
        /// Which one.
        client: SocketAddr,
        /// What it got lately, if anything.
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
    /// It was dropped, as too slow or by hand.
    #[error("was dropped")]
    Dropped,
    /// The file was replaced, and whoever comes now gets the new one.
    #[error("comes too late for a file that was replaced, and waits for the new one")]
    Replaced,
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
    /// Moves of clients to another lane.
    pub moved: u64,
    /// Datagrams that were not acted upon.
    pub rejected: u64,
}

impl SessionTotals {
    /// Adds what another lane of the same transfer has done, or another session.
    pub fn add(&mut self, other: &SessionTotals) {
        self.sent_blocks += other.sent_blocks;
        self.sent_bytes += other.sent_bytes;
        self.took = self.took.max(other.took);
        self.finished += other.finished;
        self.gave_up += other.gave_up;
        self.silent += other.silent;
        self.dropped += other.dropped;
        self.moved += other.moved;
        self.rejected += other.rejected;
    }
}
