// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server that can do what no honest one does: every datagram is made by hand.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use slam_client::BlockIndex;
use slam_client::wire::{BlockSize, ClientPacket, TransactionId, TransferHeader, VarInt};
use socket2::{Domain, Protocol, Socket, Type};
use xtask::console::Deadline;
use xtask::netlab::{INTERFACE, Namespace};

/// Bytes in a block of every transfer here.
pub const BLOCK: usize = 1024;
/// Longer than a client waits before it speaks, or than it takes to start.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between handfuls of blocks: a tap's queue is not long.
const PACE: Duration = Duration::from_millis(1);

/// A file as it goes over the wire.
#[derive(Clone, Debug)]
pub struct File {
    pub header: TransferHeader,
    pub content: Vec<u8>,
}

impl File {
    /// `blocks` blocks and half of one, the same bytes for the same `seed` on every run.
    pub fn new(seed: u64, blocks: usize) -> File {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut content = vec![0; blocks * BLOCK + BLOCK / 2];
        random.fill(&mut content);
        let length = content.len() as u64;
        File::claiming(seed, content, length)
    }

    /// `content` under a header that claims another length.
    pub fn claiming(seed: u64, content: Vec<u8>, length: u64) -> File {
        let transaction = TransactionId(VarInt::new(0x1_0000 + seed).expect("a small number"));
        let size = BlockSize::new(BLOCK as u64).expect("a size that fits");
        let header = TransferHeader::new(transaction, length, size).expect("a length that fits");
        File { header, content }
    }

    /// The datagram with this block: what the header claims beyond the content is zero.
    pub fn data(&self, block: u64) -> Vec<u8> {
        let mut datagram = Vec::new();
        let index = BlockIndex(block);
        self.header
            .encode()
            .encode_data_prefix(index, &mut datagram);
        let start = block as usize * BLOCK;
        let length = self.header.block_len(index);
        let bytes = self.content.iter().skip(start).take(length).copied();
        let end = datagram.len() + length;
        datagram.extend(bytes);
        datagram.resize(end, 0);
        datagram
    }

    /// The question what is missing.
    pub fn solicit(&self) -> Vec<u8> {
        self.header.encode().as_bytes().to_vec()
    }

    pub fn blocks(&self) -> u64 {
        self.header.block_count()
    }
}

/// One sender: the client's server, or somebody else on its network.
pub struct Foe {
    socket: UdpSocket,
    group: SocketAddr,
}

impl Foe {
    /// Binds `address` inside `namespace` and sends to `group`.
    pub fn new(
        namespace: &Namespace,
        address: SocketAddr,
        group: SocketAddr,
    ) -> anyhow::Result<Foe> {
        let open = || -> io::Result<UdpSocket> {
            let socket = Socket::new(
                Domain::for_address(address),
                Type::DGRAM,
                Some(Protocol::UDP),
            )?;
            match address {
                SocketAddr::V4(v4) => socket.set_multicast_if_v4(v4.ip())?,
                SocketAddr::V6(_) => {
                    socket.set_multicast_if_v6(nix::net::if_::if_nametoindex(INTERFACE)?)?;
                }
            }
            socket.bind(&address.into())?;
            Ok(socket.into())
        };
        let socket = namespace.enter(open)??;
        Ok(Foe { socket, group })
    }

    /// The same sender, to another group.
    pub fn to(&self, group: SocketAddr) -> anyhow::Result<Foe> {
        let socket = self.socket.try_clone()?;
        Ok(Foe { socket, group })
    }

    /// To everybody.
    pub fn send(&self, datagram: &[u8]) -> anyhow::Result<()> {
        self.send_to(datagram, self.group)
    }

    /// To one.
    pub fn send_to(&self, datagram: &[u8], to: SocketAddr) -> anyhow::Result<()> {
        self.socket.send_to(datagram, to)?;
        Ok(())
    }

    /// These blocks, in order, as fast as a tap can take them.
    pub fn stream(&self, file: &File, blocks: std::ops::Range<u64>) -> anyhow::Result<()> {
        for block in blocks {
            self.send(&file.data(block))?;
            if block % 8 == 7 {
                std::thread::sleep(PACE);
            }
        }
        Ok(())
    }

    /// The next thing that a client says.
    pub fn hear(&self, patience: Duration) -> anyhow::Result<Option<(SocketAddr, ClientPacket)>> {
        self.socket.set_read_timeout(Some(patience))?;
        let mut datagram = [0; 2048];
        match self.socket.recv_from(&mut datagram) {
            Ok((length, from)) => {
                let packet = ClientPacket::decode(&datagram[..length]);
                Ok(Some((from, packet.context("the client's datagram")?)))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A client's first NACK; where it came from.
    pub fn first_nack(&self) -> anyhow::Result<SocketAddr> {
        let heard = self.hear(PATIENCE)?;
        let (from, packet) = heard.context("no client asked")?;
        ensure!(matches!(packet, ClientPacket::Nack(_)), "{packet:?}");
        Ok(from)
    }

    /// Gives what is asked for, as an honest server does, until the client takes its leave.
    pub fn serve(&self, file: &File) -> anyhow::Result<()> {
        let deadline = Deadline::after(PATIENCE);
        while deadline.left().is_some() {
            match self.hear(Duration::from_millis(200))? {
                Some((_, ClientPacket::Disconnect)) => return Ok(()),
                Some((from, ClientPacket::Nack(nack))) => {
                    // Who knows nothing yet asks for block 0 of unknown many.
                    let ignorant = nack.extent() <= 1;
                    for run in nack.missing().runs() {
                        let end = if ignorant { file.blocks() } else { run.end };
                        self.stream(file, run.start..end.min(file.blocks()))?;
                    }
                    self.send_to(&file.solicit(), from)?;
                }
                None => {}
            }
        }
        bail!("the client never took its leave")
    }
}
