// SPDX-License-Identifier: MIT OR Apache-2.0
//! The firmware's client and mini-slamd, Eric Biederman's server of 2002, which is what SLAM servers
//! in the field are made of (iPXE `contrib/mini-slamd`).
//!
//! A double stands in for it: it decides as that program does, state by state, its quirks included.
//! `SLAMBOOT_MINI_SLAMD=PROGRAM` has the same tests run against the real one.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, ensure};
use slam_client::BlockIndex;
use slam_client::wire::{BlockSize, TransactionId, TransferHeader, VarInt};
use socket2::{Domain, Socket, Type};
use xtask::cmd::Running;
use xtask::console::Console;
use xtask::netlab::{INTERFACE, Namespace, SERVER};

use crate::Test;
use crate::foe::File;
use crate::rig::{self, Rig};
use crate::support::Outcome;

pub const TESTS: [(&str, Test); 3] = [
    ("mini_slamd_serves_our_client", serves),
    ("mini_slamd_answers_from_its_other_address", other_address),
    ("mini_slamd_with_a_dead_client_besides", dead_client),
];

/// `SLAM_BLOCK_SIZE`.
const BLOCK: u64 = 1451;
/// `SLAM_PING_TIMEOUT`.
const PING_TIMEOUT: Duration = Duration::from_millis(100);
/// `SLAM_MAX_CLIENTS`.
const MAX_CLIENTS: usize = 10;
/// `SLAM_MAX_NACK`: what is longer is cut.
const MAX_NACK: usize = 1472;

/// A running server; ends when dropped.
enum Server {
    Double {
        stop: Arc<AtomicBool>,
        /// NACKs that went on after the byte that ends them.
        trailing: Arc<AtomicUsize>,
        thread: Option<JoinHandle<anyhow::Result<()>>>,
    },
    Real(#[expect(dead_code, reason = "dropping it ends the program")] Box<Running>),
}

impl Server {
    /// Serves `file` on the default port and group.
    fn start(rig: &Rig, file: &File) -> anyhow::Result<Server> {
        match env::var_os("SLAMBOOT_MINI_SLAMD") {
            Some(program) => Server::real(rig, &PathBuf::from(program), file),
            None => Server::double(rig.lab.server(), file),
        }
    }

    fn real(rig: &Rig, program: &std::path::Path, file: &File) -> anyhow::Result<Server> {
        let path = rig.dir.path().join("served");
        fs::write(&path, &file.content)?;
        let server = rig.lab.server();
        // It sends wherever the route goes.
        server.ip(["route", "add", "224.0.0.0/4", "dev", INTERFACE])?;
        let console = Console::open("mini-slamd", &rig.dir.path().join("mini-slamd.log"))?;
        let (out, err) = (console.pipe("out")?, console.pipe("err")?);
        let running = server.cmd(program).arg(path).spawn_into(out, err)?;
        Ok(Server::Real(Box::new(running)))
    }

    fn double(namespace: &Namespace, file: &File) -> anyhow::Result<Server> {
        let open = || -> std::io::Result<UdpSocket> {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
            socket.set_multicast_if_v4(&SERVER)?;
            // Any address: the kernel chooses whichever it answers from.
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 10000)).into())?;
            Ok(socket.into())
        };
        let socket = namespace.enter(open)??;
        let (stop, trailing) = (Arc::<AtomicBool>::default(), Arc::default());
        // The file's time of change.
        let transaction = TransactionId(VarInt::new(1_600_000_000).context("a small number")?);
        let length = file.content.len() as u64;
        let double = Double {
            socket,
            header: TransferHeader::new(transaction, length, BlockSize::new(BLOCK)?)?,
            content: file.content.clone(),
            clients: Vec::new(),
            stop: stop.clone(),
            trailing: Arc::clone(&trailing),
        };
        let thread = Some(std::thread::spawn(move || double.run()));
        Ok(Server::Double {
            stop,
            trailing,
            thread,
        })
    }

    /// The server itself found nothing wrong, and heard from the client of this version.
    fn over(mut self) -> Outcome {
        if let Server::Double {
            stop,
            trailing,
            thread,
        } = &mut self
        {
            stop.store(true, Ordering::Relaxed);
            let thread = thread.take().context("it was started")?;
            thread.join().expect("no panic")?;
            let trailing = trailing.load(Ordering::Relaxed);
            ensure!(trailing > 0, "no NACK said what its client can do");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Server::Double { stop, .. } = self {
            stop.store(true, Ordering::Relaxed);
        }
    }
}

/// What mini-slamd is, `main()` and its list of clients.
struct Double {
    socket: UdpSocket,
    header: TransferHeader,
    content: Vec<u8>,
    /// The next one to ping first.
    clients: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    trailing: Arc<AtomicUsize>,
}

/// `slam_decode`: an Int that ends the datagram is an error, a read past the end is none of ours.
fn pull(packet: &mut &[u8]) -> Option<u64> {
    let first = *packet.first()?;
    let length = usize::from(first >> 5);
    if length == 0 || length >= packet.len() {
        return None;
    }
    let (int, rest) = packet.split_at(length);
    *packet = rest;
    let high = u64::from(first & 0x1f);
    Some(
        int[1..]
            .iter()
            .fold(high, |value, byte| value << 8 | u64::from(*byte)),
    )
}

impl Double {
    fn run(mut self) -> anyhow::Result<()> {
        // Whom it waits for; without one it waits for ever.
        let mut awaited = false;
        while !self.stop.load(Ordering::Relaxed) {
            let Some((nack, from)) = self.receive(PING_TIMEOUT)? else {
                if awaited {
                    awaited = self.ping()?;
                }
                continue;
            };
            awaited = true;
            self.forget(from);
            let mut rest = &nack[..];
            let (Some(skipped), Some(missing)) = (pull(&mut rest), pull(&mut rest)) else {
                continue;
            };
            // It takes parity, and can be moved.
            if let [.., 0, 0x23] = nack[..] {
                self.trailing.fetch_add(1, Ordering::Relaxed);
            }
            self.clients.truncate(MAX_CLIENTS - 1);
            self.clients.insert(0, from);
            self.transmit(skipped, missing, rest)?;
            awaited = self.ping()?;
        }
        Ok(())
    }

    /// Sends every run that the NACK lists, up to the first Int that is none.
    fn transmit(&mut self, skipped: u64, missing: u64, mut rest: &[u8]) -> anyhow::Result<()> {
        let (mut block, mut left) = (skipped, missing);
        loop {
            // The real one would try to read that block for ever.
            let count = self.header.block_count();
            ensure!(block < count, "asked for block {block} of {count}");
            self.send(block)?;
            while let Some((packet, from)) = self.receive(Duration::ZERO)? {
                self.forget(from);
                if packet.first() != Some(&0) && self.clients.len() < MAX_CLIENTS {
                    self.clients.push(from);
                }
            }
            block += 1;
            // A run of 0 blocks wraps, there.
            left = left.checked_sub(1).context("a run of no blocks")?;
            if left == 0 {
                let (Some(skipped), Some(missing)) = (pull(&mut rest), pull(&mut rest)) else {
                    return Ok(());
                };
                (block, left) = (block + skipped, missing);
            }
        }
    }

    fn send(&self, block: u64) -> anyhow::Result<()> {
        let mut datagram = Vec::new();
        let header = self.header.encode();
        header.encode_data_prefix(BlockIndex(block), &mut datagram);
        let start = (block * BLOCK) as usize;
        let length = self.header.block_len(BlockIndex(block));
        datagram.extend(&self.content[start..start + length]);
        self.socket.send_to(&datagram, rig::group())?;
        Ok(())
    }

    /// Asks the first client, and forgets it: its answer is what makes it known again. Whether there
    /// was one.
    fn ping(&mut self) -> anyhow::Result<bool> {
        if self.clients.is_empty() {
            return Ok(false);
        }
        let client = self.clients.remove(0);
        let header = self.header.encode();
        self.socket.send_to(header.as_bytes(), client)?;
        Ok(true)
    }

    fn forget(&mut self, client: SocketAddr) {
        self.clients.retain(|known| *known != client);
    }

    fn receive(&self, wait: Duration) -> anyhow::Result<Option<(Vec<u8>, SocketAddr)>> {
        self.socket.set_nonblocking(wait.is_zero())?;
        if !wait.is_zero() {
            self.socket.set_read_timeout(Some(wait))?;
        }
        let mut packet = vec![0; MAX_NACK];
        match self.socket.recv_from(&mut packet) {
            Ok((length, from)) => {
                packet.truncate(length);
                Ok(Some((packet, from)))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    // A client that was switched off: its machine says that nobody listens there.
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn serves() -> Outcome {
    let mut rig = Rig::new()?;
    // More than a tap's queue holds: it sends as fast as it can, and what it overruns is lost.
    let file = File::new(30, 4000);
    let server = Server::start(&rig, &file)?;
    let client = rig.client(&format!("x-slam://{SERVER}"), None)?;
    client.has(&file)?;
    server.over()
}

/// Asked at the second address of its interface, it answers from the first.
fn other_address() -> Outcome {
    let mut rig = Rig::new()?;
    let other = "10.77.0.9";
    let server = rig.lab.server();
    server.ip(["addr", "add", "10.77.0.9/16", "dev", INTERFACE])?;
    let file = File::new(31, 500);
    let server = Server::start(&rig, &file)?;
    let client = rig.client(&format!("x-slam://{other}"), None)?;
    client.has(&file)?;
    server.over()
}

/// A machine that was switched off after its first NACK.
fn dead_client() -> Outcome {
    let mut rig = Rig::new()?;
    let file = File::new(32, 500);
    let host = rig.lab.host()?;
    let dead = host.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 1024)))??;
    let server = Server::start(&rig, &file)?;
    let nack = [0x20, 0x21, 0, 0x23];
    dead.send_to(&nack, (SERVER, 10000))?;
    let client = rig.client(&format!("x-slam://{SERVER}"), None)?;
    dead.send_to(&nack, (SERVER, 10000))?;
    client.has(&file)?;
    server.over()
}
