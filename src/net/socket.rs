// SPDX-License-Identifier: MIT OR Apache-2.0
//! The socket of a session: NACKs in, blocks out to the group.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::socket::setsockopt;
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use site::BitRate;
use socket2::{Domain, Protocol, Socket, Type};

/// Receive buffer: NACKs of a whole room at once, in bytes.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Longest datagram that is read whole; longer ones are cut and so rejected.
const MAX_DATAGRAM: usize = 2048;
/// How many batches of datagrams are received before the next blocks leave.
const RECEIVES_AT_ONCE: usize = 4;
/// Most bytes in one segmented send (the kernel's limit is an IPv4 datagram).
const MAX_SEND: usize = 65_000;

sockopt_impl!(
    /// Most bytes per second that the queue of the interface sends for a socket, if that queue is
    /// `fq` (socket(7), tc-fq(8)).
    MaxPacingRate,
    Both,
    libc::SOL_SOCKET,
    libc::SO_MAX_PACING_RATE,
    u64
);
/// No ceiling (`sk_max_pacing_rate` before it is set).
const UNPACED: u64 = u64::MAX;
/// What the kernel's pacing is above ours, so that it never holds up what keeps to the rate: it
/// counts Ethernet headers, and not preambles.
const PACING_SLACK_PERCENT: u64 = 5;

/// Why a socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody else listens there.
    #[error(
        "UDP port {port} of {address} is taken; another SLAM server, or another slamboot, may run: \
         `ss -lunp sport = :{port}` names it. Stop it, or choose a port with --port \
         (`port` under [slam])"
    )]
    PortTaken {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// The address is on no interface of this host.
    #[error("{address} is no address of this host, or not yet; `ip address` lists them")]
    NotOurAddress {
        /// The address.
        address: IpAddr,
    },
    /// Anything else.
    #[error("UDP {address}:{port}: cannot {step}: {source}")]
    System {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A session's socket.
#[derive(Debug)]
pub struct SessionSocket {
    socket: UdpSocket,
    state: UdpSocketState,
}

/// Where datagrams are received into: one for all sockets of a driver, which reads one at a time.
#[derive(Debug, Default)]
pub struct ReceiveBuffers(Vec<u8>);

impl SessionSocket {
    /// Binds `local` and sends to groups over the interface with that address; for IPv6, over the
    /// one that the address's scope names.
    pub fn open(local: SocketAddr, ttl: u8) -> Result<Self, SocketError> {
        let (address, port) = (local.ip(), local.port());
        let failed = |step| {
            move |source| SocketError::System {
                address,
                port,
                step,
                source,
            }
        };
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))
            .map_err(failed("open a socket"))?;
        socket
            .bind(&local.into())
            .map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => SocketError::PortTaken { address, port },
                io::ErrorKind::AddrNotAvailable => SocketError::NotOurAddress { address },
                _ => failed("bind it")(source),
            })?;
        // Clients on this host take part too.
        let (interface, hops, looped) = match local {
            SocketAddr::V4(v4) => (
                socket.set_multicast_if_v4(v4.ip()),
                socket.set_multicast_ttl_v4(u32::from(ttl)),
                socket.set_multicast_loop_v4(true),
            ),
            SocketAddr::V6(v6) => (
                socket.set_multicast_if_v6(v6.scope_id()),
                socket.set_multicast_hops_v6(u32::from(ttl)),
                socket.set_multicast_loop_v6(true),
            ),
        };
        interface.map_err(failed("choose the interface"))?;
        hops.map_err(failed("set the TTL"))?;
        looped.map_err(failed("set multicast loopback"))?;
        // Best effort: the system may allow less.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into()).map_err(failed("prepare it"))?;
        Ok(SessionSocket { socket, state })
    }

    /// Has the kernel spread out what leaves at once after a late wake-up, where the interface's
    /// queue is `fq`; no other queue knows of it. `None`: however fast.
    pub fn pace_below(&self, rate: Option<BitRate>) {
        let ceiling = rate.map_or(UNPACED, |rate| {
            let bytes = rate.bits_per_second() / 8;
            bytes.saturating_add(bytes / 100 * PACING_SLACK_PERCENT)
        });
        // Best effort: our own pacer keeps to the rate without.
        let _ = setsockopt(&self.socket, MaxPacingRate, &ceiling);
    }

    /// How many datagrams of `segment` bytes go out in one [`SessionSocket::send_group`].
    pub fn segments_per_send(&self, segment: usize) -> usize {
        (MAX_SEND / segment.max(1)).clamp(1, self.state.max_gso_segments().max(1))
    }

    /// Sends `datagrams`, each `segment` bytes long but for the last, to a group.
    pub fn send_group(
        &self,
        group: SocketAddr,
        datagrams: &[u8],
        segment: usize,
    ) -> io::Result<()> {
        let sent = self.transmit(group, datagrams, Some(segment));
        match sent {
            // Segmentation offload turned out not to work here: it is off from now on.
            Err(error) if self.state.max_gso_segments() == 1 && datagrams.len() > segment => {
                if matches!(error.kind(), io::ErrorKind::WouldBlock) {
                    return Err(error);
                }
                datagrams
                    .chunks(segment)
                    .try_for_each(|one| self.transmit(group, one, None))
            }
            sent => sent,
        }
    }

    /// Sends one datagram to one client.
    pub fn send_to(&self, client: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        self.transmit(client, datagram, None)
    }

    /// Hands datagrams that have arrived to `take`, without waiting. A flood is left for the next
    /// time, so that blocks go on leaving meanwhile.
    pub fn receive(
        &self,
        buffers: &mut ReceiveBuffers,
        mut take: impl FnMut(SocketAddr, &[u8]),
    ) -> io::Result<()> {
        let each = MAX_DATAGRAM * self.state.gro_segments();
        if buffers.0.len() < each * BATCH_SIZE {
            buffers.0.resize(each * BATCH_SIZE, 0);
        }
        for _ in 0..RECEIVES_AT_ONCE {
            let mut meta = [RecvMeta::default(); BATCH_SIZE];
            let mut chunks = buffers.0.chunks_exact_mut(each);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            let count = match self
                .state
                .recv((&self.socket).into(), &mut slices, &mut meta)
            {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            for (meta, buffer) in meta.iter().zip(buffers.0.chunks(each)).take(count) {
                for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    take(meta.addr, datagram);
                }
                if meta.len == 0 {
                    take(meta.addr, &[]);
                }
            }
            if count < BATCH_SIZE {
                break;
            }
        }
        Ok(())
    }

    fn transmit(&self, to: SocketAddr, contents: &[u8], segment: Option<usize>) -> io::Result<()> {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: segment,
            src_ip: None,
        };
        self.state.try_send((&self.socket).into(), &transmit)
    }
}

impl AsFd for SessionSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
impl SessionSocket {
    /// What the kernel was told, in bytes per second.
    pub(super) fn ceiling(&self) -> u64 {
        nix::sys::socket::getsockopt(&self.socket, MaxPacingRate).expect("Linux knows it")
    }
}
