// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes into a client's state machine, and what comes out.

use std::array;
use std::iter::Flatten;
use std::net::SocketAddr;

use crate::parity::Rebuild;
use crate::time::Timestamp;
use crate::wire::{TransferHeader, WireError};

/// One thing that happened, at a moment given beside it.
#[derive(Clone, Copy, Debug)]
pub enum Input<'d> {
    /// A datagram came to the group.
    Multicast(&'d [u8]),
    /// A datagram came from the server to this client alone.
    Unicast(&'d [u8]),
    /// The moment of the last [`Output::Timeout`] has come, or the client has just begun.
    Timeout,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<'d> {
    /// The server has been heard: this is the transfer, or it is the very one to be resumed.
    Started {
        /// What will come.
        header: TransferHeader,
    },
    /// The server now sends something else than before (or than what was to be resumed): nothing
    /// of what is held belongs to it.
    Restarted {
        /// What will come.
        header: TransferHeader,
    },
    /// A block to be stored.
    Write {
        /// Bytes from the start of the file.
        offset: u64,
        /// The block; a part of the datagram that was handed in.
        payload: &'d [u8],
    },
    /// A window whose missing blocks can be computed: it is to be given what is stored, and what
    /// it gives is to be stored.
    Rebuild(Box<Rebuild>),
    /// The server sends to another group from now on: leave the present one and join this one, or
    /// that of the URI again (`None`). What is held stays. Only with
    /// [`Config::can_move`](crate::Config::can_move).
    Join(Option<SocketAddr>),
    /// A datagram to be sent to the server.
    Send(Vec<u8>),
    /// Every block has been handed out. Nothing follows.
    Complete,
    /// It will not work out. Nothing follows.
    Failed(Failure),
    /// Nothing more to do until the next datagram or this moment, whichever comes first.
    Timeout(Timestamp),
}

/// What follows from one input, in the order in which it is to be done. The last is
/// [`Output::Timeout`], unless the transfer has ended.
///
/// A block that is not taken from here is lost for good: its arrival has been recorded.
#[must_use = "a block that is not taken is lost for good"]
#[derive(Clone, Debug)]
pub struct Outputs<'d> {
    slots: Flatten<array::IntoIter<Option<Output<'d>>, 7>>,
}

/// An [`Outputs`] in the making: one slot for each step.
#[derive(Debug, Default)]
pub(crate) struct Draft<'d> {
    pub(crate) header: Option<Output<'d>>,
    pub(crate) write: Option<Output<'d>>,
    pub(crate) rebuild: Option<Output<'d>>,
    pub(crate) join: Option<Output<'d>>,
    pub(crate) send: Option<Output<'d>>,
    pub(crate) end: Option<Output<'d>>,
}

impl<'d> Draft<'d> {
    pub(crate) fn finish(self, timeout: Option<Timestamp>) -> Outputs<'d> {
        let timeout = timeout.map(Output::Timeout);
        let slots = [
            self.header,
            self.write,
            self.rebuild,
            self.join,
            self.send,
            self.end,
            timeout,
        ];
        Outputs {
            slots: slots.into_iter().flatten(),
        }
    }
}

impl<'d> Iterator for Outputs<'d> {
    type Item = Output<'d>;

    fn next(&mut self) -> Option<Output<'d>> {
        self.slots.next()
    }
}

/// Why a datagram was ignored. Ignored datagrams extend no timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is not SLAM, or contradicts itself.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The file is larger than this client takes.
    #[error("expected a transfer of at most {limit} bytes, found {found}")]
    TooLarge {
        /// [`Config::max_bytes`](crate::Config::max_bytes).
        limit: u64,
        /// Bytes that the header announces.
        found: u64,
    },
    /// A solicit that went to the group instead of to one client.
    #[error("a solicit came to the group, where only data belongs")]
    SolicitToGroup,
    /// A move to another group that went to the group, or to a client that stays.
    #[error("was told to move to group {0}, and does not move")]
    Unmovable(SocketAddr),
    /// A block that went to one client instead of to the group.
    #[error("a block came to this client alone, where only solicits belong")]
    DataToClient,
}

/// Why a transfer ended without the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing at all was heard.
    #[error("no server answered: sent {nacks} request(s), heard nothing")]
    NoServer {
        /// NACKs sent.
        nacks: u64,
    },
    /// The server asks, but what it sends to the group does not arrive.
    #[error(
        "the server answers ({solicits} solicit(s)), but no multicast data arrives: \
         look for a firewall, IGMP snooping without a querier, or the wrong interface or group"
    )]
    NoData {
        /// Solicits heard.
        solicits: u64,
    },
    /// Data came, then no more.
    #[error("the server fell silent with {held} of {count} blocks received")]
    Silent {
        /// Blocks received.
        held: u64,
        /// Blocks in the transfer.
        count: u64,
    },
    /// The server no longer waits for this client.
    #[error(
        "the server dropped this client as too slow for its room, with {held} of {count} blocks \
         received"
    )]
    Dismissed {
        /// Blocks received.
        held: u64,
        /// Blocks in the transfer.
        count: u64,
    },
    /// Something was heard, and none of it was acceptable.
    #[error("refused all of {datagrams} datagram(s); the last because: {last}")]
    Refused {
        /// Datagrams ignored.
        datagrams: u64,
        /// Why the last one was.
        last: Rejection,
    },
    /// The transfer changed again and again: two servers in one group, most likely.
    #[error(
        "the transfer changed {restarts} times: is there more than one server \
         on this group and port?"
    )]
    Unstable {
        /// How often.
        restarts: u32,
    },
}
