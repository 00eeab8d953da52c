// SPDX-License-Identifier: MIT OR Apache-2.0
//! Receives one file and does nothing else: no digest, no sync, no progress, as `curl -o` would.
//! `cargo xtask bench` measures with it; nobody is given it.
//!
//! ```text
//! bench-client ours|stock x-slam://SERVER FILE
//! ```
//!
//! `ours` is this crate's receiver with its own driver. `stock` is the test double of iPXE's client
//! behind sockets: it takes what comes in the order in which it came, as iPXE takes it off the
//! ring. What it does not show is the ring: the kernel's buffer holds more than 4 to 16 packets,
//! because clients that share a processor would lose packets which a PC of its own would not.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::{Context, bail};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use slam_client::stock::{Build, StockClient};
use slam_client::wire::TransferHeader;
use slam_client::{
    Clock, Config, Ended, Failure, Input, Output, Outputs, Receiver, Sink, SlamUri, SocketOptions,
    Sockets, Timestamp, drive,
};
use socket2::{Domain, Protocol, Socket, Type};

/// Largest datagram, or several that the kernel has joined into one (GRO): 64 KiB.
const BUFFER_LEN: usize = 1 << 16;
/// Most parts that one system call writes (`IOV_MAX`, writev(2)).
const MAX_PARTS: usize = 1024;
/// Batches that `stock` reads before it looks for solicits.
const AT_ONCE: usize = 64;
/// Parity blocks that `ours` keeps.
const MAX_PARITY: usize = 4096;
/// While data flows, `stock` reads it so often, as `ours` does: this machine has not a processor for
/// each of many clients, as PCs have. A solicit is answered at once.
const READ_EVERY: Duration = Duration::from_millis(2);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, uri, path] = &arguments[..] else {
        bail!("usage: bench-client ours|stock x-slam://SERVER FILE");
    };
    let uri: SlamUri = uri.parse()?;
    // Read back where parity completes a window.
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .with_context(|| format!("cannot create {path}"))?;
    match &kind[..] {
        "ours" => ours(&uri, Store { file }),
        "stock" => stock(&uri, &Store { file }),
        other => bail!("expected ours or stock, found {other}"),
    }
}

/// Where blocks go.
struct Store {
    file: File,
}

impl Store {
    fn put(&self, mut offset: u64, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        while !parts.is_empty() {
            let written = rustix::io::pwritev(&self.file, parts, offset)?;
            offset += written as u64;
            IoSlice::advance_slices(&mut parts, written);
        }
        Ok(())
    }
}

impl Sink for Store {
    fn begin(&mut self, _now: Timestamp, header: &TransferHeader, _anew: bool) -> io::Result<()> {
        self.file.set_len(header.total_bytes())
    }

    fn write(&mut self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.put(offset, parts)
    }

    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(data, offset)
    }

    fn observe(&mut self, _now: Timestamp, _receiver: &Receiver) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

fn ours(uri: &SlamUri, mut store: Store) -> anyhow::Result<()> {
    let mut sockets = Sockets::open(uri, &SocketOptions::default())?;
    let clock = Clock::start();
    // As the command does with files.
    let config = Config {
        max_parity: MAX_PARITY,
        ..Config::default()
    };
    let mut receiver = Receiver::new(clock.now(), config, fastrand::u64(..));
    match drive(&mut sockets, clock, &mut receiver, &mut store)? {
        Ended::Complete => Ok(()),
        Ended::Failed { failure, .. } => Err(failure.into()),
        Ended::Stopped => bail!("stopped"),
    }
}

/// The stock client's two sockets: they share nothing with the driver that they are compared to.
struct Stock {
    group: UdpSocket,
    unicast: UdpSocket,
    batching: UdpSocketState,
    server: SocketAddrV4,
}

impl Stock {
    fn open(uri: &SlamUri) -> anyhow::Result<Stock> {
        let server = SocketAddrV4::new(uri.server.parse().context("an address")?, uri.port);
        let unicast = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        unicast.connect(server)?;
        let addresses = (unicast.local_addr()?.ip(), uri.group.ip());
        let (IpAddr::V4(local), IpAddr::V4(address)) = addresses else {
            bail!("IPv4 only");
        };
        unicast.set_nonblocking(true)?;
        let group = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        group.set_reuse_address(true)?;
        sockopt::set_socket_recv_buffer_size_force(
            &group,
            SocketOptions::default().receive_buffer,
        )?;
        group.bind(&uri.group.into())?;
        group.join_multicast_v4(&address, &local)?;
        let group: UdpSocket = group.into();
        let batching = UdpSocketState::new((&group).into())?;
        Ok(Stock {
            group,
            unicast,
            batching,
            server,
        })
    }

    /// Until something comes, or `until`; while data flows, until it is time to read it.
    fn wait(&self, now: Timestamp, until: Timestamp, flowing: bool) -> anyhow::Result<()> {
        let wait = until.since(now);
        let mut sockets = [
            PollFd::new(&self.unicast, PollFlags::IN),
            PollFd::new(&self.group, PollFlags::IN),
        ];
        let (sockets, wait) = if flowing {
            (&mut sockets[..1], wait.min(READ_EVERY))
        } else {
            (&mut sockets[..], wait)
        };
        poll(sockets, Some(&Timespec::try_from(wait)?))?;
        Ok(())
    }
}

/// The stock machine at work.
struct Run<'a> {
    client: StockClient,
    sockets: Stock,
    store: &'a Store,
    next: Timestamp,
    end: Option<Result<(), Failure>>,
    /// Whether there was data at the last look.
    flowing: bool,
}

fn stock(uri: &SlamUri, store: &Store) -> anyhow::Result<()> {
    let clock = Clock::start();
    let mut run = Run {
        client: StockClient::new(clock.now(), Build::Bits64),
        sockets: Stock::open(uri)?,
        store,
        next: Timestamp::ZERO,
        end: None,
        flowing: false,
    };
    run.take(clock.now(), Input::Timeout)?;
    let mut buffers = vec![0; BATCH_SIZE * BUFFER_LEN];
    loop {
        if let Some(end) = run.end {
            return end.with_context(|| format!("no file from {}", run.sockets.server));
        }
        run.sockets.wait(clock.now(), run.next, run.flowing)?;
        run.flowing = run.data(clock.now(), &mut buffers)?;
        if run.flowing {
            let mut read = 0;
            while read < AT_ONCE && run.end.is_none() && run.data(clock.now(), &mut buffers)? {
                read += 1;
            }
        }
        run.solicits(clock.now())?;
        let now = clock.now();
        if run.end.is_none() && run.next <= now {
            run.take(now, Input::Timeout)?;
        }
    }
}

impl Run<'_> {
    /// One batch from the group; whether there was one.
    fn data(&mut self, now: Timestamp, buffers: &mut [u8]) -> anyhow::Result<bool> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let count = {
            let mut slices = buffers.chunks_exact_mut(BUFFER_LEN).map(IoSliceMut::new);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| slices.next().expect("one for each of the batch"));
            let group = (&self.sockets.group).into();
            match self.sockets.batching.recv(group, &mut slices, &mut metas) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        };
        let mut gather = Gather::default();
        for (meta, buffer) in metas[..count].iter().zip(buffers.chunks_exact(BUFFER_LEN)) {
            for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                let outputs = self.client.handle(now, Input::Multicast(datagram));
                self.follow(outputs, &mut gather)?;
            }
        }
        gather.flush(self.store)?;
        Ok(true)
    }

    fn solicits(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let mut buffer = [0; 64];
        while self.end.is_none() {
            match self.sockets.unicast.recv(&mut buffer) {
                Ok(len) => self.take(now, Input::Unicast(&buffer[..len]))?,
                // Or the server is not there, which a stock client does not notice.
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, now: Timestamp, input: Input<'_>) -> anyhow::Result<()> {
        let mut gather = Gather::default();
        let outputs = self.client.handle(now, input);
        self.follow(outputs, &mut gather)?;
        gather.flush(self.store)
    }

    fn follow<'d>(&mut self, outputs: Outputs<'d>, gather: &mut Gather<'d>) -> anyhow::Result<()> {
        for output in outputs {
            match output {
                Output::Write { offset, payload } => gather.push(self.store, offset, payload)?,
                Output::Send(datagram) => {
                    // Lost, as any datagram may be, where it cannot be sent.
                    let _ = self.sockets.unicast.send(&datagram);
                }
                Output::Started { header } | Output::Restarted { header } => {
                    self.store.file.set_len(header.total_bytes())?;
                }
                // Upstream's client stays where it is, and takes no parity.
                Output::Join(_) | Output::Rebuild(_) => {}
                Output::Complete => self.end = Some(Ok(())),
                Output::Failed(failure) => self.end = Some(Err(failure)),
                Output::Timeout(next) => self.next = next,
            }
        }
        Ok(())
    }
}

/// Blocks that lie one right after the other, to be written by one system call: one for each would
/// be this machine's cost, not that of a PC, which has them in memory.
#[derive(Default)]
struct Gather<'d> {
    offset: u64,
    len: u64,
    parts: Vec<IoSlice<'d>>,
}

impl<'d> Gather<'d> {
    fn push(&mut self, store: &Store, offset: u64, payload: &'d [u8]) -> anyhow::Result<()> {
        if offset != self.offset + self.len || self.parts.len() == MAX_PARTS {
            self.flush(store)?;
            self.offset = offset;
        }
        self.len += payload.len() as u64;
        self.parts.push(IoSlice::new(payload));
        Ok(())
    }

    fn flush(&mut self, store: &Store) -> anyhow::Result<()> {
        store.put(self.offset, &mut self.parts)?;
        self.offset += self.len;
        self.len = 0;
        self.parts.clear();
        Ok(())
    }
}
