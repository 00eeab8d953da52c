// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two sockets of a client: one joined to the group, one that talks to the server.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs, UdpSocket};

use quinn_udp::UdpSocketState;
use rustix::net::sockopt;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::uri::SlamUri;

/// How to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Names or IPv4 addresses of the interfaces to join on; where there is none, that which
    /// leads to the server.
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
    /// The server's name has no IPv4 address.
    #[error("server '{server}': no IPv4 address found: {source}")]
    Resolve {
        /// As given.
        server: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No such interface, or it has no IPv4 address.
    #[error(
        "interface '{interface}': expected the name or an IPv4 address of an interface: {source}"
    )]
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
        server: SocketAddrV4,
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
        group: SocketAddrV4,
        /// What the system said.
        source: io::Error,
    },
    /// The group cannot be joined on the interface.
    #[error("group {group}: cannot join on the interface that has {interface}: {source}")]
    Join {
        /// Address and port.
        group: SocketAddrV4,
        /// The interface's address.
        interface: Ipv4Addr,
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
    pub(crate) data_from: Option<Ipv4Addr>,
    server: SocketAddrV4,
    interfaces: Vec<Ipv4Addr>,
    receive_buffer: usize,
}

impl Sockets {
    /// Resolves the server, finds the interface and joins the group.
    pub fn open(uri: &SlamUri, options: &SocketOptions) -> Result<Self, SocketError> {
        let server = resolve(uri)?;
        let chosen = options
            .interfaces
            .iter()
            .map(|interface| {
                interface_address(interface).map_err(|source| SocketError::Interface {
                    interface: interface.clone(),
                    source,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;

        // Connected, so that the kernel itself drops what is not from the server.
        let unicast = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        // With several, the route decides which of them leads to the server.
        let local = match chosen[..] {
            [only] => only,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let local = SocketAddrV4::new(local, 0);
        let unicast: UdpSocket = unicast
            .bind(&local.into())
            .and_then(|()| unicast.connect(&server.into()))
            .map(|()| unicast.into())
            .map_err(|source| SocketError::Route { server, source })?;
        unicast.set_nonblocking(true)?;
        let mut interfaces = match (chosen.is_empty(), unicast.local_addr()?) {
            (false, _) => chosen,
            (true, SocketAddr::V4(local)) => vec![*local.ip()],
            (true, SocketAddr::V6(_)) => vec![Ipv4Addr::UNSPECIFIED],
        };
        // Named twice, by name and by address perhaps: joining twice is an error (EADDRINUSE).
        let mut seen = HashSet::new();
        interfaces.retain(|&interface| seen.insert(interface));

        let group = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        // Several clients on one host share the group's port.
        group.set_reuse_address(true)?;
        // Only what this socket joined, not what other programs did.
        group.set_multicast_all_v4(false)?;
        if sockopt::set_socket_recv_buffer_size_force(&group, options.receive_buffer).is_err() {
            group.set_recv_buffer_size(options.receive_buffer)?;
        }
        group
            .bind(&uri.group.into())
            .map_err(|source| SocketError::Bind {
                group: uri.group,
                source,
            })?;
        for &interface in &interfaces {
            group
                .join_multicast_v4_n(uri.group.ip(), &InterfaceIndexOrAddress::Address(interface))
                .map_err(|source| SocketError::Join {
                    group: uri.group,
                    interface,
                    source,
                })?;
        }
        let receive_buffer = group.recv_buffer_size()?;
        let group: UdpSocket = group.into();
        let batching = UdpSocketState::new((&group).into())?;

        Ok(Sockets {
            group,
            batching,
            unicast,
            // On each of several networks a server has another address.
            data_from: (!options.any_source && interfaces.len() == 1).then_some(*server.ip()),
            server,
            interfaces,
            receive_buffer,
        })
    }

    /// The server, resolved.
    pub fn server(&self) -> SocketAddrV4 {
        self.server
    }

    /// Addresses of the interfaces that the group was joined on.
    pub fn interfaces(&self) -> &[Ipv4Addr] {
        &self.interfaces
    }

    /// Receive buffer that the kernel granted, in its own accounting (it doubles what is asked
    /// for, and charges each datagram its bookkeeping; `socket(7)`).
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }
}

fn resolve(uri: &SlamUri) -> Result<SocketAddrV4, SocketError> {
    let addresses = (uri.server.as_str(), uri.port)
        .to_socket_addrs()
        .map_err(|source| SocketError::Resolve {
            server: uri.server.clone(),
            source,
        })?;
    addresses
        .into_iter()
        .find_map(|address| match address {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        })
        .ok_or_else(|| SocketError::Resolve {
            server: uri.server.clone(),
            source: io::Error::new(io::ErrorKind::NotFound, "it has only IPv6 addresses"),
        })
}

/// First IPv4 address of the interface with this name, or the address that was given itself.
fn interface_address(interface: &str) -> io::Result<Ipv4Addr> {
    let given: Option<Ipv4Addr> = interface.parse().ok();
    let mut names: Vec<String> = Vec::new();
    for entry in nix::ifaddrs::getifaddrs()? {
        let address = entry.address.as_ref().and_then(|any| any.as_sockaddr_in());
        if let Some(address) = address.map(nix::sys::socket::SockaddrIn::ip) {
            if given == Some(address) || entry.interface_name == interface {
                return Ok(address);
            }
            names.push(entry.interface_name);
        }
    }
    names.dedup();
    let message = format!("found none; with IPv4 there are: {}", names.join(", "));
    Err(io::Error::new(io::ErrorKind::NotFound, message))
}
