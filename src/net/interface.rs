// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which interface, and which of its addresses, to serve on.
//!
//! Multicast leaves through one interface: a guess among several would boot the wrong room, so
//! whatever is not clear is refused, with the options to type.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};

use nix::net::if_::InterfaceFlags;
use site::Groups;

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
    /// The interface's number.
    pub index: u32,
    /// Whether it is connected now.
    pub link: Link,
    /// Largest IP packet in bytes, where the system tells.
    pub mtu: Option<u32>,
}

/// Why no interface could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// The system does not list its interfaces.
    #[error("cannot list the network interfaces: {0}")]
    List(#[from] nix::Error),
    /// Nobody has this name.
    #[error("no interface {name:?}{}\n{table}", did_you_mean(near.as_deref()))]
    NoSuchInterface {
        /// What was asked for.
        name: String,
        /// The name that it most likely meant.
        near: Option<String>,
        /// What there is.
        table: Table,
    },
    /// An address where a name belongs.
    #[error(
        "{found} is an address\n  expected: the name of an interface\n  help: --address {found}"
    )]
    AddressAsName {
        /// What was asked for.
        found: Ipv4Addr,
    },
    /// Nobody has this address.
    #[error("no interface has the address {address}\n{table}")]
    NoSuchAddress {
        /// What was asked for.
        address: Ipv4Addr,
        /// What there is.
        table: Table,
    },
    /// The address is not on the interface.
    #[error(
        "{interface} does not have the address {address}\n  expected: {}\n  help: leave out --address or --interface",
        list(has)
    )]
    NotOnInterface {
        /// What was asked for.
        address: Ipv4Addr,
        /// Where.
        interface: String,
        /// What it has.
        has: Vec<Ipv4Addr>,
    },
    /// Switched off.
    #[error("{interface} is down\n  help: ip link set {interface} up")]
    Down {
        /// Which.
        interface: String,
    },
    /// An IPv6 group, and no IPv6 address to send from.
    #[error(
        "{interface} has no IPv6 address\n  expected: one, for the IPv6 group\n  help: sysctl net.ipv6.conf.{interface}.disable_ipv6=0, or choose an IPv4 group"
    )]
    NoIpv6 {
        /// Which.
        interface: String,
    },
    /// The IPv6 address is not on the interface.
    #[error(
        "{interface} does not have the address {address}\n  expected: {}\n  help: leave out address6 under [server]",
        list6(has)
    )]
    NotOnInterface6 {
        /// What was asked for.
        address: Ipv6Addr,
        /// Where.
        interface: String,
        /// What it has.
        has: Vec<Ipv6Addr>,
    },
    /// Only other address families, or none.
    #[error(
        "{interface} has no IPv4 address (DHCP, scripts and HTTP need one)\n  help: ip address add 192.168.77.1/24 dev {interface}"
    )]
    NoIpv4 {
        /// Which.
        interface: String,
    },
    /// Its driver carries no multicast.
    #[error(
        "{interface} does not carry multicast\n  help: ip link set {interface} multicast on, or choose another interface"
    )]
    NoMulticast {
        /// Which.
        interface: String,
    },
    /// Several would do.
    #[error(
        "{} interfaces could serve, and multicast leaves through one\n{table}\n  help: type one of these, or name it in slamboot.toml: [server] interface = \"...\"",
        table.rows.len()
    )]
    Ambiguous {
        /// Those that would do.
        table: Table,
    },
    /// None would do.
    #[error(
        "no interface can serve: it must be up, carry multicast and have an IPv4 address\n{table}\n  help: repair one of them, or try on this host alone with --interface lo"
    )]
    NoneUsable {
        /// What there is.
        table: Table,
    },
    /// A whole block does not fit.
    #[error(
        "{interface} carries packets of at most {mtu} bytes\n  expected: {needed} for blocks of {block_size} bytes\n  help: --block-size {fits}, or ip link set {interface} mtu 1500"
    )]
    MtuTooSmall {
        /// Which.
        interface: String,
        /// What it carries.
        mtu: u32,
        /// What is needed.
        needed: u32,
        /// For blocks of this size.
        block_size: u16,
        /// The largest block that fits.
        fits: u16,
    },
}

/// Interfaces, printed as a table with the option to type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    rows: Vec<Interface>,
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
            index: nix::net::if_::if_nametoindex(name.as_str()).unwrap_or(0),
            mtu: read_mtu(name),
        });
        let address = entry.address.as_ref().and_then(|any| any.as_sockaddr_in());
        if let Some(address) = address {
            interface.addresses.push(address.ip());
        }
        let address = entry.address.as_ref().and_then(|any| any.as_sockaddr_in6());
        if let Some(address) = address {
            interface.addresses6.push(address.ip());
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

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = |row: &Interface| match row.addresses.len() {
            0 => "none".to_owned(),
            _ => list(&row.addresses),
        };
        let width = |header: &str, cell: &dyn Fn(&Interface) -> usize| {
            self.rows
                .iter()
                .map(cell)
                .max()
                .unwrap_or(0)
                .max(header.len())
        };
        let name = width("interface", &|row| row.name.len());
        let address = width("IPv4 address", &|row| addresses(row).len());
        let state = width("state", &|row| row.state().len());
        write!(
            f,
            "  {:name$}  {:address$}  {:state$}  option",
            "interface", "IPv4 address", "state"
        )?;
        for row in &self.rows {
            let line = format!(
                "  {:name$}  {:address$}  {:state$}  {}",
                row.name,
                addresses(row),
                row.state(),
                match row.usable_at(None) {
                    Ok(_) => format!("--interface {}", row.name),
                    Err(_) => String::new(),
                }
            );
            write!(f, "\n{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn list(addresses: &[Ipv4Addr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(Ipv4Addr::to_string).collect();
    addresses.join(", ")
}

fn list6(addresses: &[Ipv6Addr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(Ipv6Addr::to_string).collect();
    addresses.join(", ")
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, addresses: &[[u8; 4]]) -> Interface {
        Interface {
            name: name.to_owned(),
            link: Link::Up,
            multicast: true,
            loopback: false,
            addresses: addresses.iter().copied().map(Ipv4Addr::from).collect(),
            addresses6: Vec::new(),
            index: 2,
            mtu: Some(1500),
        }
    }

    fn lo() -> Interface {
        Interface {
            multicast: false,
            loopback: true,
            mtu: Some(65536),
            ..interface("lo", &[[127, 0, 0, 1]])
        }
    }

    fn eth0() -> Interface {
        interface("eth0", &[[192, 0, 2, 2], [192, 0, 2, 3]])
    }

    fn eth1() -> Interface {
        interface("enp5s0", &[[10, 0, 0, 1]])
    }

    fn error(interfaces: &[Interface], name: Option<&str>, address: Option<[u8; 4]>) -> String {
        choose(interfaces, name, address.map(Ipv4Addr::from))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_only_usable_one_is_taken() {
        let down = Interface {
            link: Link::Down,
            ..eth1()
        };
        let bare = interface("eth2", &[]);
        let chosen = choose(&[lo(), eth0(), down, bare], None, None).unwrap();
        assert_eq!(chosen.interface, "eth0");
        assert_eq!(chosen.address, Ipv4Addr::new(192, 0, 2, 2));
        assert_eq!(chosen.others, [Ipv4Addr::new(192, 0, 2, 3)]);
    }

    #[test]
    fn a_name_or_an_address_decides() {
        let all = [lo(), eth0(), eth1()];
        let by = |name, address: Option<[u8; 4]>| {
            let chosen = choose(&all, name, address.map(Ipv4Addr::from)).unwrap();
            (chosen.interface, chosen.address.octets())
        };
        assert_eq!(by(Some("lo"), None), ("lo".into(), [127, 0, 0, 1]));
        assert_eq!(by(Some("enp5s0"), None), ("enp5s0".into(), [10, 0, 0, 1]));
        assert_eq!(
            by(None, Some([192, 0, 2, 3])),
            ("eth0".into(), [192, 0, 2, 3])
        );
        assert_eq!(
            by(Some("eth0"), Some([192, 0, 2, 3])),
            ("eth0".into(), [192, 0, 2, 3])
        );
    }

    #[test]
    fn several_are_refused_with_the_options_to_type() {
        let dark = Interface {
            link: Link::NoCarrier,
            ..eth1()
        };
        assert_eq!(
            error(&[lo(), eth0(), dark], None, None),
            "2 interfaces could serve, and multicast leaves through one\n  \
             interface  IPv4 address          state       option\n  \
             eth0       192.0.2.2, 192.0.2.3  up          --interface eth0\n  \
             enp5s0     10.0.0.1              no carrier  --interface enp5s0\n  \
             help: type one of these, or name it in slamboot.toml: [server] interface = \"...\""
        );
    }

    #[test]
    fn none_usable_shows_why() {
        let down = Interface {
            link: Link::Down,
            ..eth1()
        };
        assert_eq!(
            error(&[lo(), down, interface("eth2", &[])], None, None),
            "no interface can serve: it must be up, carry multicast and have an IPv4 address\n  \
             interface  IPv4 address  state           option\n  \
             lo         127.0.0.1     this host only  --interface lo\n  \
             enp5s0     10.0.0.1      down\n  \
             eth2       none          up\n  \
             help: repair one of them, or try on this host alone with --interface lo"
        );
    }

    #[test]
    fn wrong_names_and_addresses_are_explained() {
        let all = [lo(), eth0()];
        assert_eq!(
            error(&all, Some("eht0"), None),
            "no interface \"eht0\"; did you mean \"eth0\"?\n  \
             interface  IPv4 address          state           option\n  \
             lo         127.0.0.1             this host only  --interface lo\n  \
             eth0       192.0.2.2, 192.0.2.3  up              --interface eth0"
        );
        assert_eq!(
            error(&all, Some("192.0.2.2"), None),
            "192.0.2.2 is an address\n  expected: the name of an interface\n  \
             help: --address 192.0.2.2"
        );
        assert!(
            error(&all, None, Some([10, 9, 9, 9]))
                .starts_with("no interface has the address 10.9.9.9\n  interface")
        );
        assert_eq!(
            error(&all, Some("eth0"), Some([127, 0, 0, 1])),
            "eth0 does not have the address 127.0.0.1\n  expected: 192.0.2.2, 192.0.2.3\n  \
             help: leave out --address or --interface"
        );
    }

    #[test]
    fn a_named_interface_must_be_able_to_serve() {
        let down = Interface {
            link: Link::Down,
            ..eth0()
        };
        let deaf = Interface {
            multicast: false,
            ..eth0()
        };
        for (interface, text) in [
            (down, "eth0 is down\n  help: ip link set eth0 up"),
            (
                deaf,
                "eth0 does not carry multicast\n  help: ip link set eth0 multicast on, or choose \
                 another interface",
            ),
            (
                interface("eth0", &[]),
                "eth0 has no IPv4 address (DHCP, scripts and HTTP need one)\n  help: ip address add \
                 192.168.77.1/24 dev eth0",
            ),
        ] {
            assert_eq!(error(&[interface], Some("eth0"), None), text);
        }
    }

    #[test]
    fn a_block_must_fit_one_packet() {
        let at = |mtu| Chosen {
            interface: "wg0".to_owned(),
            address: Ipv4Addr::LOCALHOST,
            others: Vec::new(),
            addresses6: Vec::new(),
            index: 2,
            link: Link::Up,
            mtu,
        };
        let v4 = Groups::V4(site::DEFAULT_GROUP);
        assert!(at(Some(1500)).check_mtu(1451, v4).is_ok());
        assert!(at(Some(1500)).check_mtu(1454, v4).is_ok());
        assert!(at(None).check_mtu(1454, v4).is_ok());
        let error = at(Some(1420)).check_mtu(1451, v4).unwrap_err().to_string();
        assert_eq!(
            error,
            "wg0 carries packets of at most 1420 bytes\n  expected: 1497 for blocks of 1451 bytes\n  \
             help: --block-size 1374, or ip link set wg0 mtu 1500"
        );
        assert!(at(Some(1420)).check_mtu(1374, v4).is_ok());
        assert_eq!(at(Some(1420)).smaller_block(1451, v4), Some(1374));
        assert_eq!(at(Some(1420)).smaller_block(1374, v4), None);
        assert_eq!(at(Some(65536)).smaller_block(1451, v4), None);
        let both: Groups = "239.255.1.1, ff15::5a".parse().unwrap();
        assert_eq!(at(Some(1500)).smaller_block(1451, both), Some(1434));
        assert!(at(Some(1500)).check_mtu(1434, both).is_ok());
    }

    #[test]
    fn a_routable_ipv6_address_is_preferred() {
        let (local, global): (Ipv6Addr, Ipv6Addr) =
            ("fe80::1".parse().unwrap(), "fd00::1".parse().unwrap());
        let with = |addresses6: &[Ipv6Addr]| {
            let interface = Interface {
                addresses6: addresses6.to_vec(),
                ..eth0()
            };
            choose(&[interface], None, None).unwrap()
        };
        let found = |chosen: &Chosen, wanted| chosen.address6(wanted).map(|a| a.to_string());
        let both = with(&[local, global]);
        assert_eq!(found(&both, None).unwrap(), "[fd00::1%2]:0");
        assert_eq!(found(&both, Some(local)).unwrap(), "[fe80::1%2]:0");
        assert_eq!(found(&with(&[local]), None).unwrap(), "[fe80::1%2]:0");
        let error = found(&with(&[local]), Some(global)).unwrap_err();
        assert!(error.to_string().contains("expected: fe80::1"), "{error}");
        let error = found(&with(&[]), None).unwrap_err();
        assert!(error.to_string().contains("eth0 has no IPv6"), "{error}");
    }

    /// Whatever this machine has, its loopback is listed and serves when named.
    #[test]
    fn this_host_has_a_loopback() {
        let interfaces = list_interfaces().unwrap();
        let lo = interfaces.iter().find(|i| i.loopback).unwrap();
        assert!(!lo.is_candidate());
        let chosen = choose(&interfaces, Some(&lo.name), None).unwrap();
        assert!(chosen.address.is_loopback());
    }
}
