// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the server core on real sockets, files and time: the only reader of the clock.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU64;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use site::{BitRate, Slam, Transfer};
use slam_client::parity;
use slam_client::window::{self, ParityIndex};
use slam_client::wire::{BlockSize, TransactionId, TransferHeader, WireError};
use slam_client::{BlockIndex, Timestamp};

use super::content::{Content, ContentError};
use super::socket::{ReceiveBuffers, SessionSocket, SocketError};
use crate::observe::{Event, EventKind};
use crate::slam::{Output, RateLimits, Server, SessionConfig, SessionEvent, SessionId, Start};

/// How often `stop` is looked at, and how often at least a silent driver wakes.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// How long to send without looking for datagrams: where the link is slower than the pacer, there
/// is always something to send, and what clients say would be heard too late to be understood.
const LONGEST_TURN: Duration = Duration::from_micros(500);
/// How long a full send queue is waited for.
const SEND_WAIT: Duration = Duration::from_millis(20);
/// How long a room is waited for where nothing else is said.
const LONGEST_GATHERING: Duration = Duration::from_mins(1);
/// How often events of one kind that anybody on the network can cause are told.
const QUIET: Duration = Duration::from_secs(1);
/// How often the path of a served file is looked at.
const PATH_CHECK: Duration = Duration::from_secs(2);

/// Why the driver cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A file cannot be served.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A transfer cannot be described on the wire.
    #[error("transfer {name}: {source}")]
    Transfer {
        /// Its name.
        name: String,
        /// Why.
        source: WireError,
    },
    /// The system refused to wait for datagrams.
    #[error("cannot wait for datagrams: {0}")]
    Poll(io::Error),
}

/// What is served, as clients see it.
#[derive(Clone, Debug)]
pub struct Served {
    /// Ports, group and file.
    pub transfer: Transfer,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// The transaction, derived from the digest.
    pub transaction: TransactionId,
}

/// Sockets, files and the server core.
#[derive(Debug)]
pub struct Driver {
    server: Server,
    endpoints: Vec<Endpoint>,
    served: Vec<Served>,
    buffers: ReceiveBuffers,
}

/// The outer side of one session.
#[derive(Debug)]
struct Endpoint {
    name: String,
    socket: SessionSocket,
    content: Rc<Content>,
    header: TransferHeader,
    /// Blocks as they were read.
    read: Vec<u8>,
    /// Datagrams as they are sent.
    datagrams: Vec<u8>,
    rejected: Quiet,
    send_failed: Quiet,
    replaced: bool,
    next_path_check: Timestamp,
}

/// Tells the first of a kind of event, then sums up.
#[derive(Debug, Default)]
struct Quiet {
    until: Option<Timestamp>,
    held_back: u64,
}

impl Quiet {
    /// How many there were since the last one told, if it is time to tell.
    fn count(&mut self, now: Timestamp) -> Option<u64> {
        self.held_back += 1;
        if self.until.is_some_and(|until| now < until) {
            return None;
        }
        self.until = Some(now + QUIET);
        Some(std::mem::take(&mut self.held_back))
    }
}

/// When sessions begin to send. A room that may never be full is not waited for without end.
fn start(slam: &Slam) -> Start {
    Start {
        clients: slam.min_clients.map(|clients| clients as usize),
        wait: slam
            .max_wait
            .or(slam.min_clients.map(|_| LONGEST_GATHERING)),
    }
}

impl Driver {
    /// Binds one socket per transfer, opens and digests each file; `progress` is told which
    /// transfer, and how many bytes of how many are done. IPv6 groups are served from `address6`,
    /// which is scoped to the interface.
    pub fn open(
        address: Ipv4Addr,
        address6: Option<SocketAddrV6>,
        slam: &Slam,
        transfers: &[Transfer],
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Driver, DriverError> {
        // Sockets first: a taken port is told before gigabytes are digested.
        let sockets: Vec<SessionSocket> = transfers
            .iter()
            .map(|transfer| {
                let (mut local, mut group) = (SocketAddr::from((address, 0)), transfer.group);
                if let (SocketAddr::V6(group), Some(address6)) = (&mut group, address6) {
                    local = address6.into();
                    group.set_scope_id(address6.scope_id());
                }
                local.set_port(transfer.port);
                SessionSocket::open(local, group, slam.ttl)
            })
            .collect::<Result<_, _>>()?;
        let mut driver = Driver {
            server: Server::new(),
            endpoints: Vec::new(),
            served: Vec::new(),
            buffers: ReceiveBuffers::default(),
        };
        for (transfer, socket) in transfers.iter().zip(sockets) {
            let name = transfer.name();
            // A file with a group of each family is digested once.
            let content = match driver.endpoints.last() {
                Some(last) if last.content.path() == transfer.path => Rc::clone(&last.content),
                _ => {
                    let progress = &mut |done, total| progress(&name, done, total);
                    Rc::new(Content::open(&transfer.path, slam.stock_clients, progress)?)
                }
            };
            let transaction = TransactionId::from_digest(content.sha256());
            let header = BlockSize::new(u64::from(slam.block_size))
                .and_then(|size| TransferHeader::new(transaction, content.bytes(), size))
                .map_err(|source| DriverError::Transfer {
                    name: name.clone(),
                    source,
                })?;
            driver.server.add(&SessionConfig {
                header,
                rate: RateLimits::below(slam.max_rate),
                start: start(slam),
                slow_clients: slam.slow_clients,
            });
            driver.served.push(Served {
                transfer: transfer.clone(),
                bytes: content.bytes(),
                sha256: *content.sha256(),
                transaction,
            });
            driver.endpoints.push(Endpoint {
                name: match transfer.group {
                    SocketAddr::V6(_) if slam.group.v4().is_some() => format!("{name} (IPv6)"),
                    _ => name,
                },
                socket,
                content,
                header,
                read: Vec::new(),
                datagrams: Vec::new(),
                rejected: Quiet::default(),
                send_failed: Quiet::default(),
                replaced: false,
                next_path_check: Timestamp::ZERO,
            });
        }
        Ok(driver)
    }

    /// What is served, in the order of the transfers.
    pub fn served(&self) -> &[Served] {
        &self.served
    }

    /// Serves until `stop` is raised.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the edge that reads the clock"
    )]
    pub fn run(
        mut self,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<(), DriverError> {
        // Timers are 50 microseconds late by default, half a batch at 1 Gbit/s. Best effort.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let start = Instant::now();
        let clock = || Timestamp::from_start(start.elapsed());
        let mut readable = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            self.receive(&readable, &clock, on_event);
            let turn = clock();
            let wake = loop {
                let now = clock();
                if now.since(turn) >= LONGEST_TURN {
                    break Some(now);
                }
                match self.server.poll(now) {
                    Ok((id, output)) => self.act(id, output, now, on_event),
                    Err(wake) => break wake,
                }
            };
            self.look_at_paths(clock(), on_event);
            readable = self.wait(wake.map(|wake| wake.since(clock())))?;
        }
        let now = clock();
        self.server.stop(now);
        while let Ok((id, output)) = self.server.poll(now) {
            self.act(id, output, now, on_event);
        }
        Ok(())
    }

    fn receive(
        &mut self,
        readable: &[usize],
        clock: &dyn Fn() -> Timestamp,
        on_event: &mut dyn FnMut(&Event),
    ) {
        for &at in readable {
            let endpoint = &mut self.endpoints[at];
            let server = &mut self.server;
            let received = endpoint
                .socket
                .receive(&mut self.buffers, |from, datagram| {
                    server.handle(SessionId(at), from, datagram, clock());
                });
            if let Err(error) = received {
                endpoint.trouble(&error, clock(), on_event);
            }
        }
    }

    fn act(
        &mut self,
        id: SessionId,
        output: Output,
        now: Timestamp,
        on_event: &mut dyn FnMut(&Event),
    ) {
        let Some(endpoint) = self.endpoints.get_mut(id.0) else {
            return;
        };
        let Some(session) = self.server.session(id) else {
            return;
        };
        match output {
            Output::Send(run) => {
                if let Err(error) = endpoint.read_run(&run) {
                    let transfer = endpoint.name.clone();
                    let path = endpoint.content.path().to_owned();
                    let what = error.to_string();
                    let kind = match error {
                        ContentError::Changed { what, .. } => {
                            EventKind::ImageChanged { path, what }
                        }
                        _ => EventKind::ImageUnreadable { path, what },
                    };
                    self.server.close(id);
                    on_event(&Event {
                        at: now,
                        transfer,
                        kind,
                    });
                    return;
                }
                if let Err(error) = endpoint.send_run(&run, session.encoded_header()) {
                    endpoint.trouble(&error, now, on_event);
                }
            }
            Output::Solicit(client) => {
                let header = session.encoded_header().as_bytes();
                let socket = &endpoint.socket;
                if let Err(error) = send_blocking(socket, || socket.send_to(client, header)) {
                    endpoint.trouble(&error, now, on_event);
                }
            }
            Output::Dismiss(client) => {
                let dismissal = session.encoded_header().dismissal();
                if let Err(error) = endpoint.socket.send_to(client, &dismissal) {
                    endpoint.trouble(&error, now, on_event);
                }
            }
            Output::Event(event) => endpoint.tell(event, now, on_event),
            Output::Timeout(_) => {}
        }
    }

    fn look_at_paths(&mut self, now: Timestamp, on_event: &mut dyn FnMut(&Event)) {
        for endpoint in &mut self.endpoints {
            if endpoint.replaced || now < endpoint.next_path_check {
                continue;
            }
            endpoint.next_path_check = now + PATH_CHECK;
            if !endpoint.content.is_at_path() {
                endpoint.replaced = true;
                let path = endpoint.content.path().to_owned();
                endpoint.event(now, EventKind::ImageReplaced { path }, on_event);
            }
        }
    }

    /// Waits for datagrams; which endpoints have some, or an error to tell.
    fn wait(&self, time: Option<Duration>) -> Result<Vec<usize>, DriverError> {
        let time = time.map_or(LONGEST_WAIT, |time| time.min(LONGEST_WAIT));
        let mut fds: Vec<PollFd<'_>> = self
            .endpoints
            .iter()
            .map(|endpoint| PollFd::new(&endpoint.socket, PollFlags::IN))
            .collect();
        wait_for(&mut fds, time).map_err(DriverError::Poll)?;
        let ready = fds
            .iter()
            .enumerate()
            .filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(at, _)| at).collect())
    }
}

impl Endpoint {
    /// Reads blocks, or what makes sums of them.
    fn read_run(&mut self, run: &Range<u64>) -> Result<(), ContentError> {
        let count = self.header.block_count();
        let Some(first) = ParityIndex::of_number(run.start, count) else {
            return self.read_blocks(run);
        };
        self.read_blocks(&window::blocks_of(first.window, count))?;
        let size = usize::from(self.header.block_size().get());
        let blocks = std::mem::take(&mut self.read);
        self.read.resize((run.end - run.start) as usize * size, 0);
        for (row, sum) in (first.row..).zip(self.read.chunks_mut(size)) {
            parity::encode(row, blocks.chunks(size), sum);
        }
        Ok(())
    }

    fn read_blocks(&mut self, run: &Range<u64>) -> Result<(), ContentError> {
        let from = self.header.block_offset(BlockIndex(run.start));
        let to = self
            .header
            .block_offset(BlockIndex(run.end))
            .min(self.header.total_bytes());
        // A run is a batch of the pacer: far below the address space.
        self.read.resize(to.saturating_sub(from) as usize, 0);
        self.content.read_at(&mut self.read, from)
    }

    /// Sends a run that was read: datagrams of equal length go out together.
    fn send_run(
        &mut self,
        run: &Range<u64>,
        header: &slam_client::wire::EncodedHeader,
    ) -> io::Result<()> {
        let size = usize::from(self.header.block_size().get());
        self.datagrams.clear();
        let mut segment = 0;
        for (block, payload) in run.clone().zip(self.read.chunks(size)) {
            let at = self.datagrams.len();
            header.encode_data_prefix(BlockIndex(block), &mut self.datagrams);
            self.datagrams.extend_from_slice(payload);
            let len = self.datagrams.len() - at;
            if at == 0 {
                segment = len;
                continue;
            }
            // The last datagram of a send may be shorter, none may be longer, and a number that
            // takes one more byte makes it so.
            let full = at / segment >= self.socket.segments_per_send(segment);
            if full || len > segment || !at.is_multiple_of(segment) {
                self.send(at, segment)?;
                self.datagrams.copy_within(at.., 0);
                self.datagrams.truncate(len);
                segment = len;
            }
        }
        if self.datagrams.is_empty() {
            return Ok(());
        }
        self.send(self.datagrams.len(), segment)
    }

    /// Sends the first `len` bytes of the datagrams.
    fn send(&self, len: usize, segment: usize) -> io::Result<()> {
        let datagrams = &self.datagrams[..len];
        send_blocking(&self.socket, || self.socket.send_group(datagrams, segment))
    }

    fn tell(&mut self, event: SessionEvent, now: Timestamp, on_event: &mut dyn FnMut(&Event)) {
        let file_bytes = self.header.total_bytes();
        let kind = match event {
            SessionEvent::Waiting(start) => EventKind::SessionWaiting {
                for_clients: start.clients,
                at_most: start.wait,
            },
            SessionEvent::Started => EventKind::SessionStarted,
            SessionEvent::ClientJoined(client) => EventKind::ClientJoined { client },
            SessionEvent::ClientFinished { client, after } => EventKind::ClientFinished {
                client,
                file_bytes,
                took: after,
            },
            SessionEvent::ClientGaveUp {
                client,
                after,
                missing,
            } => EventKind::ClientGaveUp {
                client,
                took: after,
                missing,
            },
            SessionEvent::ClientSilent { client, silent_for } => {
                EventKind::ClientSilent { client, silent_for }
            }
            SessionEvent::ClientDropped {
                client,
                after,
                goodput,
            } => EventKind::ClientDropped {
                client,
                took: after,
                bits_per_second: goodput.map(BitRate::bits_per_second),
            },
            SessionEvent::Rejected { from, reason } => {
                let Some(count) = self.rejected.count(now) else {
                    return;
                };
                EventKind::Rejected {
                    client: from,
                    reason: reason.to_string(),
                    count,
                }
            }
            SessionEvent::Idle(totals) => EventKind::SessionIdle {
                sent_blocks: totals.sent_blocks,
                sent_bytes: totals.sent_bytes,
                file_bytes,
                took: totals.took,
            },
        };
        self.event(now, kind, on_event);
    }

    fn trouble(&mut self, error: &io::Error, now: Timestamp, on_event: &mut dyn FnMut(&Event)) {
        if self.send_failed.count(now).is_some() {
            self.event(
                now,
                EventKind::SendFailed {
                    what: error.to_string(),
                },
                on_event,
            );
        }
    }

    fn event(&self, at: Timestamp, kind: EventKind, on_event: &mut dyn FnMut(&Event)) {
        on_event(&Event {
            at,
            transfer: self.name.clone(),
            kind,
        });
    }
}

/// Sends; a full queue is waited for, since what is dropped here costs a round trip later.
fn send_blocking(
    socket: &SessionSocket,
    mut attempt: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for(&mut [PollFd::new(socket, PollFlags::OUT)], SEND_WAIT)?;
            }
            sent => return sent,
        }
    }
}

fn wait_for(fds: &mut [PollFd<'_>], time: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(time).map_err(io::Error::other)?;
    match poll(fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
