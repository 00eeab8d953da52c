// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which interface, and which of its addresses, to serve on.
//!
//! Multicast leaves through one interface: a guess among several would boot the wrong room, so
//! whatever is not clear is refused, with the options to type.

mod error;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};

use nix::net::if_::InterfaceFlags;
use site::{Groups, IpNet};

pub use self::error::{InterfaceError, Table};

/// IP and UDP headers, and the longest SLAM header: what a datagram has besides its block.
fn overhead(groups: Groups) -> u32 {
    let ip = if groups.v6().is_some() { 40 } else { 20 };
    ip + 8 + 18
}

/// A network interface of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// Whether it is switched on and connected.
    pub link: Link,
    /// Whether it carries multicast (`IFF_MULTICAST`).
    pub multicast: bool,
    /// Whether it leads back to this host.
    pub loopback: bool,
    /// Its IPv4 addresses, in the system's order.
    pub addresses: Vec<Ipv4Addr>,
    /// Its IPv6 addresses, in the system's order.
    pub addresses6: Vec<Ipv6Addr>,
    /// The networks of its addresses.
    pub networks: Vec<IpNet>,
    /// Its number, which scopes IPv6 addresses; 0 where the system does not tell.
    pub index: u32,
    /// Largest IP packet in bytes, where the system tells.
    pub mtu: Option<u32>,
}

/// Whether an interface is switched on and connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Switched off (no `IFF_UP`).
    Down,
    /// Switched on without a carrier (no `IFF_RUNNING`): with PCs on a direct cable it comes with
    /// them.
    NoCarrier,
    /// Switched on and connected.
    Up,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Name of the interface.
    pub interface: String,
    /// Address to bind, and to tell clients.
    pub address: Ipv4Addr,
    /// Other addresses of the same interface.
    pub others: Vec<Ipv4Addr>,
    /// IPv6 addresses of the same interface.
    pub addresses6: Vec<Ipv6Addr>,
    /// Networks of the interface.
    pub networks: Vec<IpNet>,
    /// The interface's number.
    pub index: u32,
    /// Whether it is connected now.
    pub link: Link,
    /// Largest IP packet in bytes, where the system tells.
    pub mtu: Option<u32>,
}
/// The interfaces of this host.
pub fn list_interfaces() -> Result<Vec<Interface>, InterfaceError> {
    let mut found: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in nix::ifaddrs::getifaddrs()? {
        let flags = entry.flags;
        let name = entry.interface_name;
        let interface = found.entry(name).or_insert_with_key(|name| Interface {
            name: name.clone(),
            link: if !flags.contains(InterfaceFlags::IFF_UP) {
                Link::Down
            } else if flags.contains(InterfaceFlags::IFF_RUNNING) {
                Link::Up
            } else {
                Link::NoCarrier
            },
            multicast: flags.contains(InterfaceFlags::IFF_MULTICAST),
            loopback: flags.contains(InterfaceFlags::IFF_LOOPBACK),
            addresses: Vec::new(),
            addresses6: Vec::new(),
            networks: Vec::new(),
            index: nix::net::if_::if_nametoindex(name.as_str()).unwrap_or(0),
            mtu: read_mtu(name),
        });
        let (address, mask) = (entry.address.as_ref(), entry.netmask.as_ref());
        if let Some(address) = address.and_then(|any| any.as_sockaddr_in()) {
            interface.addresses.push(address.ip());
            let mask = mask.and_then(|any| any.as_sockaddr_in());
            interface.add_network(address.ip().into(), mask.map(|mask| mask.ip().into()));
        }
        if let Some(address) = address.and_then(|any| any.as_sockaddr_in6()) {
            interface.addresses6.push(address.ip());
            let mask = mask.and_then(|any| any.as_sockaddr_in6());
            interface.add_network(address.ip().into(), mask.map(|mask| mask.ip().into()));
        }
    }
    Ok(found.into_values().collect())
}

/// Linux tells in sysfs (`Documentation/ABI/testing/sysfs-class-net`).
fn read_mtu(interface: &str) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).ok()?;
    text.trim().parse().ok()
}

/// Decides among `interfaces`: the one named, or the one that has the address, or the only one
/// that can serve.
pub fn choose(
    interfaces: &[Interface],
    name: Option<&str>,
    address: Option<Ipv4Addr>,
) -> Result<Chosen, InterfaceError> {
    let all = || Table {
        rows: interfaces.to_vec(),
    };
    let interface = match (name, address) {
        (Some(name), _) => interfaces
            .iter()
            .find(|interface| interface.name == name)
            .ok_or_else(|| match name.parse() {
                Ok(found) => InterfaceError::AddressAsName { found },
                Err(_) => InterfaceError::NoSuchInterface {
                    name: name.to_owned(),
                    near: site::nearest(name, interfaces.iter().map(|i| i.name.as_str()))
                        .map(str::to_owned),
                    table: all(),
                },
            })?,
        (None, Some(address)) => interfaces
            .iter()
            .find(|interface| interface.addresses.contains(&address))
            .ok_or_else(|| InterfaceError::NoSuchAddress {
                address,
                table: all(),
            })?,
        (None, None) => {
            let usable: Vec<_> = interfaces.iter().filter(|i| i.is_candidate()).collect();
            match usable.as_slice() {
                &[only] => only,
                [] => return Err(InterfaceError::NoneUsable { table: all() }),
                several => {
                    let rows = several.iter().map(|&i| i.clone()).collect();
                    let table = Table { rows };
                    return Err(InterfaceError::Ambiguous { table });
                }
            }
        }
    };
    interface.usable_at(address)
}

impl Interface {
    /// Whether it may be chosen without being named: loopback serves nobody else.
    fn is_candidate(&self) -> bool {
        !self.loopback && self.usable_at(None).is_ok()
    }

    /// Notes the network of an address; where the system tells no mask, the address alone.
    fn add_network(&mut self, address: IpAddr, mask: Option<IpAddr>) {
        let network = mask.and_then(|mask| IpNet::with_netmask(address, mask).ok());
        let network = network.unwrap_or_else(|| address.into()).trunc();
        if !self.networks.contains(&network) {
            self.networks.push(network);
        }
    }

    fn usable_at(&self, address: Option<Ipv4Addr>) -> Result<Chosen, InterfaceError> {
        let interface = self.name.clone();
        if self.link == Link::Down {
            return Err(InterfaceError::Down { interface });
        }
        // Linux's loopback delivers multicast without having the flag.
        if !self.multicast && !self.loopback {
            return Err(InterfaceError::NoMulticast { interface });
        }
        let Some(first) = self.addresses.first() else {
            return Err(InterfaceError::NoIpv4 { interface });
        };
        let address = address.unwrap_or(*first);
        if !self.addresses.contains(&address) {
            return Err(InterfaceError::NotOnInterface {
                address,
                interface,
                has: self.addresses.clone(),
            });
        }
        let others = self.addresses.iter().filter(|&&other| other != address);
        Ok(Chosen {
            interface,
            address,
            others: others.copied().collect(),
            addresses6: self.addresses6.clone(),
            networks: self.networks.clone(),
            index: self.index,
            link: self.link,
            mtu: self.mtu,
        })
    }

    fn state(&self) -> &'static str {
        match self {
            Interface {
                link: Link::Down, ..
            } => "down",
            Interface { loopback: true, .. } => "this host only",
            Interface {
                multicast: false, ..
            } => "no multicast",
            Interface {
                link: Link::NoCarrier,
                ..
            } => "no carrier",
            _ => "up",
        }
    }
}

impl Chosen {
    /// The IPv6 address to serve from, scoped to this interface: the one that is `wanted`, else the
    /// first that is routable, else the first.
    pub fn address6(&self, wanted: Option<Ipv6Addr>) -> Result<SocketAddrV6, InterfaceError> {
        let interface = self.interface.clone();
        let mut routable = self
            .addresses6
            .iter()
            .filter(|a| !a.is_unicast_link_local());
        let address = match wanted {
            Some(address) if self.addresses6.contains(&address) => address,
            Some(address) => {
                return Err(InterfaceError::NotOnInterface6 {
                    address,
                    interface,
                    has: self.addresses6.clone(),
                });
            }
            None => *routable
                .next()
                .or(self.addresses6.first())
                .ok_or(InterfaceError::NoIpv6 { interface })?,
        };
        Ok(SocketAddrV6::new(address, 0, 0, self.index))
    }

    /// The largest block whose datagram fits one packet, if `block_size` does not. iPXE
    /// reassembles fragments only in order (`ipv4.c`, `ipv4_reassemble`).
    pub fn smaller_block(&self, block_size: u16, groups: Groups) -> Option<u16> {
        let room = self.mtu?.saturating_sub(overhead(groups)).max(1);
        u16::try_from(room).ok().filter(|&fits| fits < block_size)
    }

    /// Whether a datagram with a block of `block_size` bytes fits one packet.
    pub fn check_mtu(&self, block_size: u16, groups: Groups) -> Result<(), InterfaceError> {
        match (self.smaller_block(block_size, groups), self.mtu) {
            (Some(fits), Some(mtu)) => Err(InterfaceError::MtuTooSmall {
                interface: self.interface.clone(),
                mtu,
                needed: u32::from(block_size) + overhead(groups),
                block_size,
                fits,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
