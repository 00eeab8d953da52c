// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a client stands between being asked and being served.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use slam_client::Timestamp;

/// After so many questions in a row, whoever has answered before is taken for one who does not.
const FEW_TRIES: u32 = 3;

/// Whether a client is to be asked, or has been.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// It has spoken, and is asked again: when nothing is left to send, but not before a moment,
    /// and while there is, at another. `new`: it has never answered.
    Served {
        not_before: Timestamp,
        due: Timestamp,
        new: bool,
    },
    /// It was asked and has not answered yet.
    Asked {
        first: Timestamp,
        tries: u32,
        again: Timestamp,
        new: bool,
    },
}

/// Whether a client answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Answers,
    /// It has not been asked, or just now.
    Unknown,
    /// It does not, or no longer.
    Mute,
}

impl Turn {
    /// What it says of the client.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Turn::Served { new: false, .. } => Kind::Answers,
            Turn::Served { new: true, .. } => Kind::Unknown,
            Turn::Asked {
                new: true, tries, ..
            } if tries <= 1 => Kind::Unknown,
            Turn::Asked {
                new: false, tries, ..
            } if tries <= FEW_TRIES => Kind::Answers,
            Turn::Asked { .. } => Kind::Mute,
        }
    }
}

/// Clients that were served and are to be asked.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// By the moment before which they are not asked.
    pub(crate) free: BTreeSet<(Timestamp, SocketAddr)>,
    /// By the moment when they are asked while there is something to send.
    pub(crate) due: BTreeSet<(Timestamp, SocketAddr)>,
}

impl Queue {
    /// Who is first, and when.
    pub(crate) fn first(&self, at_once: bool) -> Option<(Timestamp, SocketAddr)> {
        let order = if at_once { &self.free } else { &self.due };
        order.first().copied()
    }
}
