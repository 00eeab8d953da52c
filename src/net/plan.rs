// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a server is to serve: every session with its place, decided from the configuration and the
//! interfaces before anything is opened.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6};

use site::{BitRate, IpNet, Site, Slam, SlowClients, Transfer};
use slam_client::wire::{BlockSize, TransactionId, TransferHeader, WireError};

use super::content::Content;
use crate::slam::{Lane, RateLimits, SessionConfig, Start};

/// An interface to serve on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Its name.
    pub interface: String,
    /// Its address, which clients are told, and which names it here.
    pub host: Ipv4Addr,
    /// Its address for IPv6 groups, scoped to the interface.
    pub host6: Option<SocketAddrV6>,
    /// Its networks: those of its addresses.
    pub networks: Vec<IpNet>,
    /// Bytes in a block, as its packets have room for.
    pub block_size: u16,
}

/// One session: a transfer by one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The file, its port and group.
    pub transfer: Transfer,
    /// Address of the interface.
    pub host: Ipv4Addr,
    /// Where requests arrive.
    pub local: SocketAddr,
    /// Where data goes, scoped to the interface.
    pub group: SocketAddr,
    /// Where data goes for slow clients that were moved, scoped likewise.
    pub slow_groups: Vec<SocketAddr>,
    /// What events call it.
    pub label: String,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Bytes in a block.
    pub block_size: u16,
    /// Ceiling of the rate.
    pub max_rate: BitRate,
    /// When a session begins to send.
    pub start: Start,
    /// What becomes of slow clients.
    pub slow_clients: SlowClients,
    /// Networks that are heard; `None`: all.
    pub allowed: Option<Vec<IpNet>>,
}

/// All sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In the order of interfaces, then of the configuration.
    pub sessions: Vec<Planned>,
    /// Whether stock clients take part, which limits a file's length.
    pub stock_clients: bool,
    /// Ceiling of all sessions together.
    pub total_rate: Option<BitRate>,
}

/// When sessions begin to send. A room that may never be full is not waited for without end.
fn start(slam: &Slam) -> Start {
    Start {
        clients: slam.min_clients.map(|clients| clients as usize),
        wait: slam.gathering(),
    }
}

impl Plan {
    /// A session of every transfer of `site` at every stand.
    pub fn new(site: &Site, stands: &[Stand]) -> Plan {
        let transfers = site.transfers();
        let sessions = stands.iter().flat_map(|stand| {
            transfers.iter().map(move |transfer| {
                let mut label = transfer.name();
                if transfer.group.is_ipv6() && site.slam.group.v4().is_some() {
                    label.push_str(" (IPv6)");
                }
                if stands.len() > 1 {
                    label.push_str(" on ");
                    label.push_str(&stand.interface);
                }
                let mut local = SocketAddr::from((stand.host, 0));
                if let (SocketAddr::V6(_), Some(host6)) = (transfer.group, stand.host6) {
                    local = host6.into();
                }
                local.set_port(transfer.port);
                let scoped = |mut group: SocketAddr| {
                    if let (SocketAddr::V6(group), Some(host6)) = (&mut group, stand.host6) {
                        group.set_scope_id(host6.scope_id());
                    }
                    group
                };
                Planned {
                    transfer: transfer.clone(),
                    host: stand.host,
                    local,
                    group: scoped(transfer.group),
                    slow_groups: transfer.slow_groups.iter().copied().map(scoped).collect(),
                    label,
                    ttl: site.slam.ttl,
                    block_size: stand.block_size,
                    max_rate: site.slam.max_rate,
                    start: start(&site.slam),
                    slow_clients: site.slam.slow_clients,
                    allowed: stand.allowed(site),
                }
            })
        });
        Plan {
            sessions: sessions.collect(),
            stock_clients: site.slam.stock_clients,
            total_rate: site.slam.total_rate,
        }
    }
}

impl Stand {
    /// Networks that are heard here: those that are named, else the interface's own. Beyond
    /// routers (a TTL above 1), and where an interface has no network but itself, everybody.
    pub fn allowed(&self, site: &Site) -> Option<Vec<IpNet>> {
        if site.slam.allowed.is_some() {
            return site.slam.allowed.clone();
        }
        let alone = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
        let any = site.slam.ttl > 1 || self.networks.iter().all(alone);
        (!any).then(|| self.networks.clone())
    }
}

impl Planned {
    /// What its packets begin with when it serves `content`.
    pub(super) fn header(&self, content: &Content) -> Result<TransferHeader, WireError> {
        let transaction = TransactionId::from_digest(content.sha256());
        let size = BlockSize::new(u64::from(self.block_size))?;
        TransferHeader::new(transaction, content.bytes(), size)
    }

    /// Where data goes for those in one lane.
    pub(super) fn group(&self, lane: Lane) -> SocketAddr {
        match lane.0.checked_sub(1) {
            Some(slow) => self.slow_groups.get(slow).copied().unwrap_or(self.group),
            None => self.group,
        }
    }

    /// The session that sends `header`.
    pub(super) fn session(&self, header: TransferHeader) -> SessionConfig {
        SessionConfig {
            header,
            rate: RateLimits::below(self.max_rate),
            start: self.start,
            slow_clients: self.slow_clients,
        }
    }

    /// Whether `other` cannot use the same socket.
    pub(super) fn needs_socket(&self, other: &Planned) -> bool {
        (self.local, self.group, self.ttl) != (other.local, other.group, other.ttl)
    }
}
