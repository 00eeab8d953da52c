// SPDX-License-Identifier: MIT OR Apache-2.0
//! TFTP at the edge: sockets and the clock, on a thread of its own, for many clients at once.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use slam_client::Timestamp;
use socket2::SockRef;

use super::packet::{self, ErrorCode, FromClient, LONGEST_REQUEST, ReadRequest, Refusal};
use super::transfer::{End, Send, Transfer};
use crate::boot::dhcp::server::Tell;
use crate::net::Content;
use crate::observe::BootEvent;

/// Transfers at one time; whoever comes beyond takes the place of one that does not go on, or is told to
/// come again.
pub const MOST_TRANSFERS: usize = 1024;
/// Transfers of one address at one time: firmware needs one or two.
const MOST_PER_ADDRESS: usize = 16;
/// A client that acknowledged something and is silent for so long makes room for another, where there is
/// none: an honest one answers within a round trip, and one whose answer was lost asks again by itself.
const SILENT: Duration = Duration::from_secs(2);
/// Looks so often whether it is to end.
const TICK: Duration = Duration::from_millis(200);
/// Receive buffer for requests, in bytes.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Requests that are read before transfers go on.
const AT_ONCE: usize = 64;

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum TftpFile {
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
    /// An image.
    Content(Arc<Content>),
}

impl TftpFile {
    fn len(&self) -> u64 {
        match self {
            TftpFile::Bytes(bytes) => bytes.len() as u64,
            TftpFile::Content(content) => content.bytes(),
        }
    }

    /// Appends a range of its bytes.
    fn read(&self, range: std::ops::Range<u64>, to: &mut Vec<u8>) -> io::Result<()> {
        match self {
            TftpFile::Bytes(bytes) => {
                to.extend(&bytes[range.start as usize..range.end as usize]);
                Ok(())
            }
            TftpFile::Content(content) => {
                let start = to.len();
                to.resize(start + (range.end - range.start) as usize, 0);
                content
                    .read_at(&mut to[start..], range.start)
                    .map_err(io::Error::other)
            }
        }
    }
}

/// Names and what they stand for; nothing else is served. The client's address is told, for
/// scripts that are made for it.
pub type TftpFiles = Arc<dyn Fn(&str, Ipv4Addr) -> Option<TftpFile> + std::marker::Send + Sync>;

/// Why TFTP is not served.
#[derive(Debug, thiserror::Error)]
pub enum TftpError {
    /// Somebody else listens there.
    #[error(
        "UDP port {port} of {address} is taken: `ss -lunp 'sport = :{port}'` names the holder (often dnsmasq --enable-tftp or tftpd-hpa)"
    )]
    Taken {
        /// Which.
        port: u16,
        /// Where.
        address: Ipv4Addr,
    },
    /// Only root may.
    #[error(
        "no permission for UDP port {port}: run as root, or give the program CAP_NET_BIND_SERVICE"
    )]
    NotPermitted {
        /// Which.
        port: u16,
    },
    /// Anything else.
    #[error("TFTP at {address}: cannot {step}: {source}")]
    System {
        /// Where.
        address: SocketAddrV4,
        /// Doing what.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A place where TFTP is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TftpStand {
    /// Where requests arrive.
    pub address: SocketAddrV4,
    /// Largest packet of the interface.
    pub mtu: u32,
}

/// Sockets that are bound, and nothing answered yet.
#[derive(Debug)]
pub struct TftpSockets(Vec<(TftpStand, UdpSocket)>);

/// A running server; it ends when it is dropped.
#[derive(Debug)]
pub struct TftpServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TftpSockets {
    /// Binds every address.
    pub fn bind(stands: Vec<TftpStand>) -> Result<TftpSockets, TftpError> {
        let bound = stands.into_iter().map(|stand| {
            let address = stand.address;
            let system = |step| {
                move |source| TftpError::System {
                    address,
                    step,
                    source,
                }
            };
            let socket = UdpSocket::bind(address).map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => TftpError::Taken {
                    port: address.port(),
                    address: *address.ip(),
                },
                io::ErrorKind::PermissionDenied => TftpError::NotPermitted {
                    port: address.port(),
                },
                _ => system("bind")(source),
            })?;
            socket
                .set_nonblocking(true)
                .map_err(system("prepare the socket"))?;
            // Requests of a whole room at once. Best effort: the system may allow less.
            let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
            Ok((stand, socket))
        });
        Ok(TftpSockets(bound.collect::<Result<_, _>>()?))
    }

    /// Where they are bound.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let local = |(_, socket): &(TftpStand, UdpSocket)| socket.local_addr().ok();
        self.0.iter().filter_map(local).collect()
    }

    /// Answers from a thread of its own, with one `files` for each stand.
    pub fn serve(self, files: Vec<TftpFiles>, tell: Tell) -> Result<TftpServer, io::Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("tftp".to_owned())
            .spawn(move || {
                let mut server = Server {
                    sockets: self.0.into_iter().zip(files).collect(),
                    transfers: Vec::new(),
                    clock: Clock::start(),
                    tell,
                };
                while !stopped.load(Ordering::Relaxed) {
                    server.turn();
                }
            })?;
        Ok(TftpServer {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for TftpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed by its thread.
            let _ = thread.join();
        }
    }
}

#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the edge: the driver's clock")]
    fn start() -> Clock {
        Clock(Instant::now())
    }

    fn now(self) -> Timestamp {
        Timestamp::from_start(self.0.elapsed())
    }
}

/// A transfer with its own socket: its port is the transfer's identifier (RFC 1350, section 4).
struct Running {
    socket: UdpSocket,
    client: SocketAddr,
    name: String,
    file: TftpFile,
    transfer: Transfer,
    began: Timestamp,
    /// When the client said something last, if it did since it asked.
    heard: Option<Timestamp>,
}

struct Server {
    sockets: Vec<((TftpStand, UdpSocket), TftpFiles)>,
    transfers: Vec<Running>,
    clock: Clock,
    tell: Tell,
}

impl Server {
    /// Waits for something to do, and does it.
    fn turn(&mut self) {
        let now = self.clock.now();
        let deadlines = self.transfers.iter().map(|one| one.transfer.deadline());
        let wait = deadlines.min().map_or(TICK, |at| at.since(now)).min(TICK);
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let ready: Vec<bool> = {
            let main = self.sockets.iter().map(|((_, socket), _)| socket);
            let own = self.transfers.iter().map(|one| &one.socket);
            let mut all: Vec<PollFd<'_>> = main
                .chain(own)
                .map(|socket| PollFd::new(socket, PollFlags::IN))
                .collect();
            // Interrupted or not: what is there is read without waiting.
            let _ = poll(&mut all, Some(&timeout));
            all.iter().map(|fd| !fd.revents().is_empty()).collect()
        };
        let now = self.clock.now();
        let (main, own) = ready.split_at(self.sockets.len());
        for (one, ready) in self.transfers.iter_mut().zip(own) {
            one.turn(*ready, now);
        }
        let tell = &self.tell;
        self.transfers.retain(|one| !one.ended(now, tell));
        for (number, ready) in main.iter().enumerate() {
            if *ready {
                self.accept(number, now);
            }
        }
    }

    /// Begins what was asked for.
    fn accept(&mut self, number: usize, now: Timestamp) {
        let ((stand, socket), files) = &self.sockets[number];
        let mut per_address: HashMap<IpAddr, usize> = HashMap::new();
        for one in &self.transfers {
            *per_address.entry(one.client.ip()).or_default() += 1;
        }
        let mut buffer = [0; LONGEST_REQUEST + 1];
        for _ in 0..AT_ONCE {
            let Ok((length, client)) = socket.recv_from(&mut buffer) else {
                break;
            };
            // A request that the network doubled, or that was sent again before the answer came.
            if self.transfers.iter().any(|one| one.client == client) {
                continue;
            }
            let refuse = |code, text: &str| {
                // Errors are sent once, whether they arrive or not (RFC 1350, section 7).
                let _ = socket.send_to(&packet::error(code, text), client);
            };
            let request = match ReadRequest::decode(&buffer[..length]) {
                Ok(request) => request,
                Err(Refusal::NoRequest) => continue,
                Err(refusal) => {
                    if let Some(answer) = refusal.answer() {
                        let _ = socket.send_to(&answer, client);
                    }
                    continue;
                }
            };
            let SocketAddr::V4(from) = client else {
                continue;
            };
            let mine = per_address.entry(client.ip()).or_default();
            if *mine >= MOST_PER_ADDRESS {
                refuse(ErrorCode::Undefined, "busy: too many transfers, try again");
                continue;
            }
            if self.transfers.len() >= MOST_TRANSFERS {
                let Some(idle) = idlest(&self.transfers, now) else {
                    refuse(ErrorCode::Undefined, "busy: too many transfers, try again");
                    continue;
                };
                let given_up = self.transfers.swap_remove(idle);
                if let Some(count) = per_address.get_mut(&given_up.client.ip()) {
                    *count -= 1;
                }
            }
            let Some(file) = files(&request.name, *from.ip()) else {
                refuse(ErrorCode::NotFound, "not served here");
                (self.tell)(BootEvent::TftpFailed {
                    client,
                    file: printable(&request.name),
                    why: "no such file is served",
                });
                continue;
            };
            let own = UdpSocket::bind(SocketAddrV4::new(*stand.address.ip(), 0)).and_then(|own| {
                own.connect(client)?;
                own.set_nonblocking(true)?;
                Ok(own)
            });
            let Ok(own) = own else {
                refuse(ErrorCode::Undefined, "busy: no socket, try again");
                continue;
            };
            *per_address.entry(client.ip()).or_default() += 1;
            let (transfer, first) = Transfer::new(file.len(), request.options, stand.mtu, now);
            let mut running = Running {
                socket: own,
                client,
                name: request.name,
                file,
                transfer,
                began: now,
                heard: None,
            };
            running.send(&first);
            self.transfers.push(running);
        }
    }
}

/// The transfer that makes room: of those that were begun and never acknowledged the oldest, for that is
/// all that a flood of requests with borrowed addresses can do; else the one that is silent the longest.
fn idlest(transfers: &[Running], now: Timestamp) -> Option<usize> {
    let since = |one: &Running| (one.heard.is_some(), one.heard.unwrap_or(one.began));
    let (number, one) = transfers
        .iter()
        .enumerate()
        .min_by_key(|(_, one)| since(one))?;
    let silent = one.heard.is_none_or(|at| now.since(at) >= SILENT);
    silent.then_some(number)
}

impl Running {
    fn turn(&mut self, ready: bool, now: Timestamp) {
        // Whatever the client sends, more than a window's answers are not read in one turn.
        for _ in 0..if ready { 32 } else { 0 } {
            let mut buffer = [0; 64];
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    if let Some(packet) = FromClient::decode(&buffer[..length]) {
                        self.heard = Some(now);
                        let send = self.transfer.receive(packet, now);
                        self.send(&send);
                    }
                }
                // Nobody listens there any more (ICMP): that is an end, too.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.transfer.receive(FromClient::Error, now);
                    break;
                }
                Err(_) => break,
            }
        }
        if self.transfer.end().is_none() && now >= self.transfer.deadline() {
            let send = self.transfer.wake(now);
            self.send(&send);
        }
    }

    /// Best effort: what does not leave is sent again.
    fn send(&mut self, send: &Send) {
        match send {
            Send::Nothing => {}
            Send::Options(options) => {
                let _ = self.socket.send(&options.encode());
            }
            Send::Blocks(blocks) => {
                for block in blocks.clone() {
                    let range = self.transfer.range(block);
                    let mut packet = packet::data(block as u16, self.transfer.block_size().into());
                    if let Err(error) = self.file.read(range, &mut packet) {
                        let _ = self
                            .socket
                            .send(&packet::error(ErrorCode::Undefined, &error.to_string()));
                        self.transfer
                            .receive(FromClient::Error, self.transfer.deadline());
                        return;
                    }
                    let _ = self.socket.send(&packet);
                }
            }
        }
    }

    /// Whether it is over, which is told.
    fn ended(&self, now: Timestamp, tell: &Tell) -> bool {
        let (client, file) = (self.client, printable(&self.name));
        match self.transfer.end() {
            None => return false,
            Some(End::Done) => tell(BootEvent::TftpSent {
                client,
                file,
                bytes: self.file.len(),
                took: now.since(self.began),
            }),
            // Firmware asks for the size first, and breaks off: nothing to tell.
            Some(End::Aborted) => {}
            Some(End::Lost) => tell(BootEvent::TftpFailed {
                client,
                file,
                why: "it fell silent; a firewall may be in the way: TFTP answers come from a port of their own",
            }),
        }
        true
    }
}

/// As it can stand in a line of a log.
fn printable(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(100)
        .collect()
}
