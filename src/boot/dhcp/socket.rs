// SPDX-License-Identifier: MIT OR Apache-2.0
//! A UDP socket of one interface, for broadcasts in and out.
//!
//! Bound to the device (`SO_BINDTODEVICE`), or else a broadcast would come from, and go to, any
//! network; the source address is set for each answer (`IP_PKTINFO`), since the socket's own is that
//! of nobody, which alone hears broadcasts.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};

/// Requests of a whole room at once, in bytes.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A socket of one interface.
#[derive(Debug)]
pub struct InterfaceSocket {
    socket: UdpSocket,
    server: Ipv4Addr,
    index: u32,
}

/// Why a port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody else listens there.
    #[error(
        "UDP port {port} is taken on {interface}: `ss -lunp 'sport = :{port}'` names the holder (often dnsmasq or another DHCP server on this very host)"
    )]
    Taken {
        /// Which.
        port: u16,
        /// Where.
        interface: String,
    },
    /// Only root may.
    #[error(
        "no permission for UDP port {port}: run as root, or give the program CAP_NET_BIND_SERVICE and CAP_NET_RAW"
    )]
    NotPermitted {
        /// Which.
        port: u16,
    },
    /// Anything else.
    #[error("UDP port {port} on {interface}: cannot {step}: {source}")]
    System {
        /// Which.
        port: u16,
        /// Where.
        interface: String,
        /// Doing what.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl InterfaceSocket {
    /// Binds a port of an interface; answers come from `server`.
    pub fn open(
        interface: &str,
        index: u32,
        server: Ipv4Addr,
        port: u16,
    ) -> Result<InterfaceSocket, PortError> {
        let failed = |step| {
            move |source: io::Error| match source.kind() {
                io::ErrorKind::AddrInUse => PortError::Taken {
                    port,
                    interface: interface.to_owned(),
                },
                io::ErrorKind::PermissionDenied => PortError::NotPermitted { port },
                _ => PortError::System {
                    port,
                    interface: interface.to_owned(),
                    step,
                    source,
                },
            }
        };
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))
            .map_err(failed("open a socket"))?;
        socket
            .bind_device(Some(interface.as_bytes()))
            .map_err(failed("bind it to the interface"))?;
        socket
            .set_broadcast(true)
            .map_err(failed("allow broadcasts"))?;
        socket.set_nonblocking(true).map_err(failed("prepare it"))?;
        // Best effort: the system may allow less.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        socket.bind(&any.into()).map_err(failed("bind it"))?;
        Ok(InterfaceSocket {
            socket: socket.into(),
            server,
            index,
        })
    }

    /// One datagram, if there is one, and where it came from.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddrV4)>> {
        match self.socket.recv_from(buffer) {
            Ok((length, SocketAddr::V4(from))) => Ok(Some((length, from))),
            Ok((_, SocketAddr::V6(_))) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a datagram from the server's address.
    pub fn send(&self, datagram: &[u8], to: SocketAddrV4) -> io::Result<()> {
        let info = libc::in_pktinfo {
            ipi_ifindex: self.index.cast_signed(),
            ipi_spec_dst: libc::in_addr {
                s_addr: u32::from(self.server).to_be(),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let to = SockaddrIn::from(to);
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(datagram)],
            &[ControlMessage::Ipv4PacketInfo(&info)],
            MsgFlags::empty(),
            Some(&to),
        )?;
        Ok(())
    }
}

impl AsFd for InterfaceSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
