// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a driver shows of its transfers, a few times a second.

use std::net::{Ipv4Addr, SocketAddr};

use slam_client::Timestamp;

use crate::slam::TransferView;

/// All transfers at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// When, since the driver began.
    pub at: Timestamp,
    /// In the order of the configuration.
    pub transfers: Vec<LookedAt>,
}

/// One transfer.
#[derive(Clone, Debug, PartialEq)]
pub struct LookedAt {
    /// What events call it.
    pub transfer: String,
    /// The image that it is a part of.
    pub image: String,
    /// The server's address there.
    pub address: Ipv4Addr,
    /// Where data goes.
    pub group: SocketAddr,
    /// So many clients are waited for.
    pub expected: Option<usize>,
    /// Bytes of the file; `None`: none is served now.
    pub bytes: Option<u64>,
    /// Its session, unless it is closed.
    pub view: Option<TransferView>,
}
