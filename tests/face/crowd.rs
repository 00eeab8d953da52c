// SPDX-License-Identifier: MIT OR Apache-2.0
//! A room of clients on loopback, each with an address of its own (127.1.x.y): they fetch their script,
//! ask for everything, lose a share of it, and answer for what they hold. One thread listens for all.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use slam_client::wire::{ClientPacket, MAX_NACK_LEN, Nack, ServerPacket};
use slam_client::{BlockIndex, BlockSet};

use super::Server;

/// Blocks that reach the slowest and the best of a room, in a thousand.
const WORST: usize = 30;

pub(super) struct Crowd {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

struct Client {
    socket: UdpSocket,
    held: BlockSet,
    /// Blocks that it loses of a thousand.
    loses: usize,
    done: bool,
}

pub(super) fn mac(number: usize) -> String {
    format!("52:54:00:77:{:02x}:{:02x}", number >> 8, number & 255)
}

pub(super) fn name(number: usize) -> String {
    format!("pc-{number:03}")
}

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (number >> 8) as u8, (number & 255) as u8)
}

impl Crowd {
    /// So many join the room of the first file.
    pub(super) fn join(server: &Server, count: usize) -> anyhow::Result<Crowd> {
        let (http, slam) = (server.http, server.slam);
        let group = super::serve::group(slam);
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
        listener.set_reuse_address(true)?;
        listener.set_recv_buffer_size(8 << 20)?;
        listener.bind(&SocketAddrV4::new(group, 10_000).into())?;
        listener.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
        let listener = UdpSocket::from(listener);
        listener.set_read_timeout(Some(Duration::from_millis(5)))?;
        for number in 1..=count {
            script(number, http).context("fetching a script")?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut clients = Vec::new();
            for number in 1..=count {
                let socket = UdpSocket::bind((address(number), 49_152))?;
                socket.connect((Ipv4Addr::LOCALHOST, slam))?;
                socket.set_nonblocking(true)?;
                socket.send(&asks(&BlockSet::new(), 1))?;
                // Most lose next to nothing, a few a lot.
                let loses = if number % 23 == 7 { WORST } else { number % 5 };
                clients.push(Client {
                    socket,
                    held: BlockSet::new(),
                    loses,
                    done: false,
                });
            }
            receive(&listener, &mut clients, &stopped)
        });
        Ok(Crowd { stop, thread })
    }

    /// All go, if they have not finished.
    pub(super) fn leave(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the crowd panicked"))?
    }
}

/// What iPXE does first.
fn script(number: usize, http: u16) -> anyhow::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddrV4::new(address(number), 0).into())?;
    socket.connect(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, http).into())?;
    let mut stream = TcpStream::from(socket);
    let version = if number.is_multiple_of(9) {
        "1.21.1 (g988d2)"
    } else {
        "2.0.0 (g12ea7)"
    };
    write!(
        stream,
        "GET /boot.ipxe?mac={} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: iPXE/{version}\r\n\r\n",
        mac(number)
    )?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn asks(held: &BlockSet, count: u64) -> Vec<u8> {
    let mut datagram = Vec::new();
    ClientPacket::Nack(Nack::for_gaps(held, count, MAX_NACK_LEN)).encode(&mut datagram);
    datagram
}

fn receive(listener: &UdpSocket, clients: &mut [Client], stop: &AtomicBool) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(8);
    let mut buffer = [0; 2048];
    let mut count = 0;
    let mut goodbye = Vec::new();
    ClientPacket::Disconnect.encode(&mut goodbye);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..64 {
            let length = match listener.recv(&mut buffer) {
                Ok(length) => length,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let Ok(ServerPacket::Data { header, block, .. }) =
                ServerPacket::decode(&buffer[..length])
            else {
                continue;
            };
            count = header.block_count();
            if block.0 >= count {
                continue;
            }
            for client in clients.iter_mut().filter(|client| !client.done) {
                if random.usize(..1000) >= client.loses {
                    client.held.insert(BlockIndex(block.0));
                }
            }
        }
        for client in clients.iter_mut().filter(|client| !client.done) {
            let mut asked = false;
            while let Ok(length) = client.socket.recv(&mut buffer) {
                match ServerPacket::decode(&buffer[..length]) {
                    Ok(ServerPacket::Solicit { header }) => {
                        count = header.block_count();
                        asked = true;
                    }
                    Ok(ServerPacket::Dismissal { .. }) => client.done = true,
                    _ => {}
                }
            }
            if asked && !client.done {
                client.done = client.held.len() == count;
                let answer = if client.done {
                    goodbye.clone()
                } else {
                    asks(&client.held, count)
                };
                client.socket.send(&answer)?;
            }
        }
    }
    for client in clients.iter().filter(|client| !client.done) {
        client.socket.send(&goodbye)?;
    }
    Ok(())
}
