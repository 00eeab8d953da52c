// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small SLAM server on loopback, which does as it is told.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use slam_client::BlockIndex;
use slam_client::wire::{
    BlockSize, ClientPacket, ServerPacket, TransactionId, TransferHeader, VarInt,
};
use socket2::{Domain, Socket, Type};

/// Sends what each NACK asks, then solicits; until it is dropped.
pub struct TestServer {
    /// Where it listens.
    pub address: SocketAddrV4,
    /// Where it sends.
    pub group: SocketAddrV4,
    /// What it sends.
    pub header: TransferHeader,
    /// Blocks it may still send.
    allowance: Arc<AtomicU64>,
    backwards: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// Bytes that differ from block to block.
pub fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

/// A socket on `address` that sends multicast by loopback.
pub fn multicast_sender(address: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    Ok(socket.into())
}

impl TestServer {
    /// A server of `content`, with a port and a group of its own.
    pub fn start(content: Vec<u8>, transaction: u64) -> Self {
        let any_port = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        Self::start_at(any_port, content, transaction)
    }

    /// The same on a given port, as after a restart.
    pub fn start_at(address: SocketAddrV4, content: Vec<u8>, transaction: u64) -> Self {
        let socket = multicast_sender(address).expect("bind on loopback");
        socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .expect("timeout");
        let std::net::SocketAddr::V4(address) = socket.local_addr().expect("bound") else {
            unreachable!("an IPv4 socket")
        };
        // The port is ours alone, so the group is too.
        let [high, low] = address.port().to_be_bytes();
        let group = SocketAddrV4::new(Ipv4Addr::new(239, 255, high, low), address.port());
        let header = TransferHeader::new(
            TransactionId(VarInt::new(transaction).expect("an Int")),
            content.len() as u64,
            BlockSize::new(1451).expect("in range"),
        )
        .expect("not empty");
        let allowance = Arc::new(AtomicU64::new(u64::MAX));
        let stop = Arc::new(AtomicBool::new(false));
        let backwards = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (allowance, stop) = (Arc::clone(&allowance), Arc::clone(&stop));
            let backwards = Arc::clone(&backwards);
            move || {
                serve(
                    &socket, group, header, &content, &allowance, &backwards, &stop,
                )
            }
        });
        TestServer {
            address,
            group,
            header,
            allowance,
            backwards,
            stop,
            thread: Some(thread),
        }
    }

    /// Sends this many blocks more, then none.
    pub fn allow(&self, blocks: u64) {
        self.allowance.store(blocks, Ordering::SeqCst);
    }

    /// From now on, sends the last block first.
    pub fn backwards(&self) {
        self.backwards.store(true, Ordering::SeqCst);
    }

    /// How clients name what it sends.
    pub fn uri(&self) -> String {
        format!("x-slam://{}/{}", self.address, self.group)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended
                .expect("a thread")
                .expect("no panic")
                .expect("no I/O error");
        }
    }
}

fn serve(
    socket: &UdpSocket,
    group: SocketAddrV4,
    header: TransferHeader,
    content: &[u8],
    allowance: &AtomicU64,
    backwards: &AtomicBool,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut buffer = [0; 2048];
    let mut waiting = VecDeque::new();
    while !stop.load(Ordering::SeqCst) {
        let (len, client) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Some(client) = waiting.pop_front() {
                    ignore_refusal(socket.send_to(header.encode().as_bytes(), client))?;
                }
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error),
        };
        waiting.retain(|&other| other != client);
        let Ok(ClientPacket::Nack(nack)) = ClientPacket::decode(&buffer[..len]) else {
            continue;
        };
        let mut blocks: Vec<u64> = nack.missing().runs().flatten().collect();
        if backwards.load(Ordering::SeqCst) {
            blocks.reverse();
        }
        for block in blocks {
            let left = allowance.load(Ordering::SeqCst);
            if left == 0 || block >= header.block_count() {
                break;
            }
            allowance.store(left - 1, Ordering::SeqCst);
            let offset = header.block_offset(BlockIndex(block)) as usize;
            let payload = &content[offset..][..header.block_len(BlockIndex(block))];
            let mut datagram = Vec::new();
            let block = BlockIndex(block);
            ServerPacket::Data {
                header,
                block,
                payload,
            }
            .encode(&mut datagram);
            ignore_refusal(socket.send_to(&datagram, group))?;
        }
        if allowance.load(Ordering::SeqCst) > 0 {
            waiting.push_back(client);
        }
    }
    Ok(())
}

/// ICMP errors of clients that have left come back with the next call.
fn ignore_refusal(sent: io::Result<usize>) -> io::Result<()> {
    match sent {
        Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => Err(error),
        _ => Ok(()),
    }
}
