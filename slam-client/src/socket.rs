// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two sockets of a client: one joined to the group, one that talks to the server.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs, UdpSocket};

use quinn_udp::UdpSocketState;
use rustix::net::sockopt;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::uri::SlamUri;

/// How to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Names or addresses of the interfaces to join on; where there is none, that which leads to
    /// the server.
    pub interfaces: Vec<String>,
    /// Take multicast data from any sender, not only from the server's address. With several
    /// interfaces it is so in any case.
    pub any_source: bool,
    /// Receive buffer to ask the kernel for, in bytes. It grants at most `net.core.rmem_max`,
    /// unless run with `CAP_NET_ADMIN`.
    pub receive_buffer: usize,
}

impl Default for SocketOptions {
    fn default() -> Self {
        SocketOptions {
            interfaces: Vec::new(),
            any_source: false,
            // 250 ms at 2 Gbit/s, in the kernel's own accounting (about two bytes per byte).
            receive_buffer: 128 << 20,
        }
    }
}

/// Why the sockets could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The server's name has no address of the group's family.
    #[error("server '{server}': no address of the group's family found: {source}")]
    Resolve {
        /// As given.
        server: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No such interface, or it has no address of the group's family.
    #[error("interface '{interface}': expected the name or an address of an interface: {source}")]
    Interface {
        /// As given.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
    /// No route leads to the server.
    #[error(
        "server {server}: no way to reach it: {source}; check the address, or name an interface"
    )]
    Route {
        /// Where to.
        server: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The group's address and port cannot be bound.
    #[error(
        "group {group}: cannot listen: {source}; \
         another program may hold the port without sharing it (see `ss -ulpn`)"
    )]
    Bind {
        /// Address and port.
        group: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The group cannot be joined on the interface.
    #[error("group {group}: cannot join on the interface that has {interface}: {source}")]
    Join {
        /// Address and port.
        group: SocketAddr,
        /// The interface's address.
        interface: IpAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A socket could not be made or set up.
    #[error("cannot set up a UDP socket: {0}")]
    Setup(#[from] io::Error),
}

/// A socket joined to the group (on every interface chosen), and one connected to the server.
#[derive(Debug)]
pub struct Sockets {
    pub(crate) group: UdpSocket,
    pub(crate) batching: UdpSocketState,
    pub(crate) unicast: UdpSocket,
    pub(crate) data_from: Option<IpAddr>,
    server: SocketAddr,
    interfaces: Vec<SocketAddr>,
    /// The group of the URI.
    home: SocketAddr,
    /// What was asked for of each group's socket, and what was granted.
    asked_buffer: usize,
    receive_buffer: usize,
}

impl Sockets {
    /// Resolves the server, finds the interface and joins the group.
    pub fn open(uri: &SlamUri, options: &SocketOptions) -> Result<Self, SocketError> {
        let mut server = resolve(uri)?;
        let domain = Domain::for_address(uri.group);
        let chosen = options
            .interfaces
            .iter()
            .map(|interface| {
                interface_address(interface, domain).map_err(|source| SocketError::Interface {
                    interface: interface.clone(),
                    source,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        // A link-local server is on the (first) interface that was named.
        if let (SocketAddr::V6(server), Some(SocketAddr::V6(chosen))) =
            (&mut server, chosen.first())
            && server.ip().is_unicast_link_local()
            && server.scope_id() == 0
        {
            server.set_scope_id(chosen.scope_id());
        }

        // Connected, so that the kernel itself drops what is not from the server. With several
        // interfaces, the route decides which of them leads to it.
        let unicast = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        let local = match (&chosen[..], domain) {
            ([only], _) => *only,
            (_, Domain::IPV6) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            (_, _) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        };
        let unicast: UdpSocket = unicast
            .bind(&local.into())
            .and_then(|()| unicast.connect(&server.into()))
            .map(|()| unicast.into())
            .map_err(|source| SocketError::Route { server, source })?;
        unicast.set_nonblocking(true)?;
        let mut interfaces = if chosen.is_empty() {
            vec![unicast.local_addr()?]
        } else {
            chosen
        };
        // Named twice, by name and by address perhaps: joining twice is an error (EADDRINUSE).
        let mut seen = HashSet::new();
        interfaces.retain(|interface| seen.insert(interface.ip()));

        let group = open_group(uri.group, &interfaces, options.receive_buffer)?;
        let receive_buffer = sockopt::socket_recv_buffer_size(&group).map_err(io::Error::from)?;
        let batching = UdpSocketState::new((&group).into())?;

        Ok(Sockets {
            group,
            home: uri.group,
            asked_buffer: options.receive_buffer,
            batching,
            unicast,
            // On each of several networks a server has another address.
            data_from: (!options.any_source && interfaces.len() == 1).then_some(server.ip()),
            server,
            interfaces,
            receive_buffer,
        })
    }

    /// Leaves the group and joins another one of the same family, or that of the URI again. Where
    /// that fails, all stays as it was.
    pub fn join(&mut self, group: Option<SocketAddr>) -> Result<(), SocketError> {
        let address = group.unwrap_or(self.home);
        let socket = open_group(address, &self.interfaces, self.asked_buffer)?;
        self.batching = UdpSocketState::new((&socket).into())?;
        self.group = socket;
        Ok(())
    }

    /// The server, resolved.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// Addresses of the interfaces that the group was joined on.
    pub fn interfaces(&self) -> impl Iterator<Item = IpAddr> {
        self.interfaces.iter().map(SocketAddr::ip)
    }

    /// Receive buffer that the kernel granted, in its own accounting (it doubles what is asked
    /// for, and charges each datagram its bookkeeping; `socket(7)`).
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }
}

/// A socket that is joined to the group `address` on each of these interfaces.
fn open_group(
    address: SocketAddr,
    interfaces: &[SocketAddr],
    receive_buffer: usize,
) -> Result<UdpSocket, SocketError> {
    let group = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // Several clients on one host share the group's port.
    group.set_reuse_address(true)?;
    if sockopt::set_socket_recv_buffer_size_force(&group, receive_buffer).is_err() {
        group.set_recv_buffer_size(receive_buffer)?;
    }
    let join = |interface: &SocketAddr, source| SocketError::Join {
        group: address,
        interface: interface.ip(),
        source,
    };
    let mut bound = address;
    // Only what this socket joined, not what other programs did.
    match &mut bound {
        SocketAddr::V4(_) => group.set_multicast_all_v4(false)?,
        SocketAddr::V6(bound) => {
            group.set_only_v6(true)?;
            group.set_multicast_all_v6(false)?;
            match interfaces {
                [only] => {
                    bound.set_scope_id(index_of(only).map_err(|source| join(only, source))?);
                }
                // An address of link-local scope is bound on one link only.
                _ => bound.set_ip(Ipv6Addr::UNSPECIFIED),
            }
        }
    }
    group
        .bind(&bound.into())
        .map_err(|source| SocketError::Bind {
            group: address,
            source,
        })?;
    for interface in interfaces {
        match (address.ip(), interface.ip()) {
            (IpAddr::V6(address), IpAddr::V6(_)) => {
                index_of(interface).and_then(|index| group.join_multicast_v6(&address, index))
            }
            (IpAddr::V4(address), IpAddr::V4(on)) => {
                group.join_multicast_v4_n(&address, &InterfaceIndexOrAddress::Address(on))
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
        .map_err(|source| join(interface, source))?;
    }
    Ok(group.into())
}

fn resolve(uri: &SlamUri) -> Result<SocketAddr, SocketError> {
    let failed = |source| SocketError::Resolve {
        server: uri.server.clone(),
        source,
    };
    let mut addresses = (uri.server.as_str(), uri.port)
        .to_socket_addrs()
        .map_err(failed)?;
    addresses
        .find(|address| address.is_ipv6() == uri.group.is_ipv6())
        .ok_or_else(|| {
            let other = if uri.group.is_ipv6() { "IPv4" } else { "IPv6" };
            let message = format!("it has only {other} addresses, and the group is none");
            failed(io::Error::new(io::ErrorKind::NotFound, message))
        })
}

/// Address of the interface with this name, or the address that was given itself; a routable one
/// is preferred. IPv6 addresses carry the interface's number.
fn interface_address(interface: &str, domain: Domain) -> io::Result<SocketAddr> {
    let given: Option<IpAddr> = interface.parse().ok();
    let mut names: Vec<String> = Vec::new();
    let mut found: Option<SocketAddr> = None;
    for (name, address) in addresses(domain)? {
        if given == Some(address.ip()) {
            return Ok(address);
        }
        if name == interface && found.is_none_or(|found| is_link_local(&found)) {
            found = Some(address);
        }
        names.push(name);
    }
    names.dedup();
    found.ok_or_else(|| {
        let message = format!("found none; there are: {}", names.join(", "));
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}

/// Every address of this family, with its interface's name.
fn addresses(domain: Domain) -> io::Result<Vec<(String, SocketAddr)>> {
    let mut found = Vec::new();
    for entry in nix::ifaddrs::getifaddrs()? {
        let Some(any) = entry.address else { continue };
        let name = entry.interface_name;
        if let (Domain::IPV4, Some(v4)) = (domain, any.as_sockaddr_in()) {
            found.push((name, SocketAddr::from((v4.ip(), 0))));
        } else if let (Domain::IPV6, Some(v6)) = (domain, any.as_sockaddr_in6()) {
            let index = nix::net::if_::if_nametoindex(name.as_str())?;
            let address = SocketAddrV6::new(v6.ip(), 0, 0, index);
            found.push((name, address.into()));
        }
    }
    Ok(found)
}

fn is_link_local(address: &SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local())
}

/// Number of the interface that has this IPv6 address.
fn index_of(local: &SocketAddr) -> io::Result<u32> {
    if let SocketAddr::V6(v6) = local
        && v6.scope_id() != 0
    {
        return Ok(v6.scope_id());
    }
    addresses(Domain::IPV6)?
        .into_iter()
        .find_map(|(_, address)| match address {
            SocketAddr::V6(v6) if v6.ip() == &local.ip() => Some(v6.scope_id()),
            _ => None,
        })
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no interface has that address"))
}
