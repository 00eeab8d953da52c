// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the server core on real sockets, files and time: the only reader of the clock.

mod attend;
mod settle;

use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, epoll};
use slam_client::Timestamp;
use slam_client::wire::{TransactionId, WireError};

pub use self::attend::Watch;
use super::batch::{Batch, send_blocking, wait_for};
use super::content::{Content, ContentError};
use super::endpoint::{Endpoint, Reason, Serving};
use super::library::Library;
use super::plan::{Plan, Planned};
use super::shelf::Shelf;
use super::socket::{ReceiveBuffers, SocketError};
use crate::observe::{Event, EventKind};
use crate::slam::{Guard, Lane, Output, Server, SessionId};

/// How often `stop` is looked at, and how often at least a silent driver wakes.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// How long to send without looking for datagrams: where the link is slower than the pacer, there
/// is always something to send, and what clients say would be heard too late to be understood.
const LONGEST_TURN: Duration = Duration::from_micros(500);
/// How often what waits for an idle session is looked at.
const SETTLE: Duration = Duration::from_millis(50);
/// Sockets that are read before blocks are sent again.
const MAX_READY: usize = 64;

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
    /// Where, and which file.
    pub planned: Planned,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// The transaction, derived from the digest.
    pub transaction: TransactionId,
}

/// What came of a wish to serve something else: nobody has wished, or a new plan with what takes
/// part in it only after a restart, or why there is none.
pub type Reload = Option<Result<(Plan, Vec<String>), String>>;

/// Sockets, files and the server core.
#[derive(Debug)]
pub struct Driver {
    server: Server,
    /// By the number of their session; `None`: free.
    endpoints: Vec<Option<Endpoint>>,
    library: Library,
    stock_clients: bool,
    shelf: Arc<Shelf>,
    guard: Guard,
    received: ReceiveBuffers,
    batch: Batch,
    /// Watches all sockets, however many.
    epoll: OwnedFd,
    next_settle: Timestamp,
    next_look: Timestamp,
}

type OnEvent<'a> = &'a mut dyn FnMut(&Event);

impl Driver {
    /// Binds one socket per session, opens and digests each file; `progress` is told which
    /// transfer, and how many bytes of how many are done. What is served is put on `shelf`.
    pub fn open(
        plan: &Plan,
        shelf: Arc<Shelf>,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Driver, DriverError> {
        let mut driver = Driver {
            server: Server::new(),
            endpoints: Vec::new(),
            library: Library::new(plan.stock_clients),
            stock_clients: plan.stock_clients,
            shelf,
            guard: Guard::default(),
            received: ReceiveBuffers::default(),
            batch: Batch::default(),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)
                .map_err(|error| DriverError::Poll(error.into()))?,
            next_settle: Timestamp::ZERO,
            next_look: Timestamp::ZERO,
        };
        driver.server.set_total_rate(plan.total_rate);
        // Sockets first: a taken port is told before gigabytes are digested.
        for planned in &plan.sessions {
            driver.add(planned)?;
        }
        for (at, planned) in plan.sessions.iter().enumerate() {
            let name = planned.transfer.name();
            let progress = &mut |done, total| progress(&name, done, total);
            let content = driver.library.open(&planned.transfer.path, progress)?;
            driver.serve(at, content)?;
        }
        Ok(driver)
    }

    /// What is served, in the order of the plan.
    pub fn served(&self) -> Vec<Served> {
        let endpoints = self.endpoints.iter().flatten();
        let served = endpoints.filter_map(|endpoint| {
            let serving = endpoint.serving.as_ref()?;
            Some(Served {
                planned: endpoint.planned.clone(),
                bytes: serving.content.bytes(),
                sha256: *serving.content.sha256(),
                transaction: serving.header.transaction(),
            })
        });
        served.collect()
    }

    /// Serves until `stop` is raised; `reload` is asked again and again whether to serve something
    /// else, and `watch` is shown what is under way.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the edge that reads the clock"
    )]
    pub fn run(
        mut self,
        stop: &AtomicBool,
        reload: &mut dyn FnMut() -> Reload,
        mut watch: Watch<'_>,
        on_event: OnEvent<'_>,
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
                    Ok((id, lane, output)) => self.act(id, lane, output, now, on_event),
                    Err(wake) => break wake,
                }
            };
            match reload() {
                None => {}
                Some(Ok((plan, later))) => self.reload(&plan, later, clock(), on_event),
                Some(Err(what)) => tell(clock(), EventKind::ReloadFailed { what }, on_event),
            }
            self.settle(clock(), on_event);
            self.attend(&mut watch, clock());
            readable = self.wait(wake.map(|wake| wake.since(clock())))?;
        }
        let now = clock();
        self.server.stop(now);
        while let Ok((id, lane, output)) = self.server.poll(now) {
            self.act(id, lane, output, now, on_event);
        }
        for endpoint in self.endpoints.iter_mut().flatten() {
            endpoint.tell_held_back(now, on_event);
        }
        Ok(())
    }

    fn receive(
        &mut self,
        readable: &[usize],
        clock: &dyn Fn() -> Timestamp,
        on_event: OnEvent<'_>,
    ) {
        for &at in readable {
            let Some(Some(endpoint)) = self.endpoints.get_mut(at) else {
                continue;
            };
            let Endpoint {
                socket,
                planned,
                refused,
                ..
            } = endpoint;
            let (server, guard) = (&mut self.server, &mut self.guard);
            let allowed = planned.allowed.as_deref();
            let received = socket.receive(&mut self.received, |from, datagram| {
                let now = clock();
                let is_awaited = || server.awaits(SessionId(at), from, datagram);
                match guard.admit(from, allowed, is_awaited, now) {
                    Ok(()) => server.handle(SessionId(at), from, datagram, now),
                    Err(refusal) => refused.hold(from, Reason::Refused(refusal)),
                }
            });
            endpoint.tell_refused(clock(), on_event);
            if let Err(error) = received {
                endpoint.trouble(&error, clock(), on_event);
            }
        }
    }

    fn act(
        &mut self,
        id: SessionId,
        lane: Lane,
        output: Output,
        now: Timestamp,
        on_event: OnEvent<'_>,
    ) {
        let Some(Some(endpoint)) = self.endpoints.get_mut(id.0) else {
            return;
        };
        let (Some(session), Some(serving)) = (self.server.session(id), &endpoint.serving) else {
            return;
        };
        match output {
            Output::Send(run) => {
                let Serving { content, header } = serving;
                if let Err(error) = self.batch.read_run(content, *header, &run) {
                    self.lose(id, error, now, on_event);
                    return;
                }
                let encoded = session.encoded_header();
                let group = endpoint.planned.group(lane);
                let sent = self
                    .batch
                    .send_run(&endpoint.socket, group, &run, *header, encoded);
                if let Err(error) = sent {
                    endpoint.trouble(&error, now, on_event);
                }
            }
            Output::Solicit(client) => {
                let header = session.encoded_header();
                let moving =
                    (lane != Lane::FIRST).then(|| header.move_to(endpoint.planned.group(lane)));
                let question = moving.as_deref().unwrap_or(header.as_bytes());
                let socket = &endpoint.socket;
                if let Err(error) = send_blocking(socket, || socket.send_to(client, question)) {
                    endpoint.trouble(&error, now, on_event);
                }
            }
            Output::Dismiss(client) => {
                let dismissal = session.encoded_header().dismissal();
                if let Err(error) = endpoint.socket.send_to(client, &dismissal) {
                    endpoint.trouble(&error, now, on_event);
                }
            }
            Output::Event(event) => {
                endpoint.tell(lane, event, now, on_event);
                self.look_soon(now);
            }
            Output::Timeout(_) => {}
        }
    }

    /// Opens an endpoint, which serves nothing yet.
    fn add(&mut self, planned: &Planned) -> Result<usize, SocketError> {
        let endpoint = Endpoint::open(planned)?;
        let free = self.endpoints.iter().position(Option::is_none);
        let at = free.unwrap_or(self.endpoints.len());
        if at == self.endpoints.len() {
            self.endpoints.push(None);
        }
        self.watch(&endpoint, at)?;
        self.endpoints[at] = Some(endpoint);
        Ok(at)
    }

    /// Has its socket watched; it ends with the socket.
    fn watch(&self, endpoint: &Endpoint, at: usize) -> Result<(), SocketError> {
        let data = epoll::EventData::new_u64(at as u64);
        epoll::add(&self.epoll, &endpoint.socket, data, epoll::EventFlags::IN).map_err(|error| {
            SocketError::System {
                address: endpoint.planned.local.ip(),
                port: endpoint.planned.local.port(),
                step: "watch it",
                source: error.into(),
            }
        })
    }

    /// Begins a session for `content` at an endpoint whose last one is over.
    fn serve(&mut self, at: usize, content: Arc<Content>) -> Result<(), DriverError> {
        let Some(Some(endpoint)) = self.endpoints.get_mut(at) else {
            return Ok(());
        };
        content.check_length(self.stock_clients)?;
        let planned = &endpoint.planned;
        let header = planned
            .header(&content)
            .map_err(|source| DriverError::Transfer {
                name: planned.transfer.name(),
                source,
            })?;
        let priority = planned.transfer.priority;
        self.server
            .replace(SessionId(at), &planned.session(header), priority);
        self.shelf
            .put(planned.host, &planned.transfer, Arc::clone(&content));
        endpoint.serving = Some(Serving { content, header });
        Ok(())
    }

    /// Waits for datagrams; which endpoints have some.
    fn wait(&self, time: Option<Duration>) -> Result<Vec<usize>, DriverError> {
        let time = time.map_or(LONGEST_WAIT, |time| time.min(LONGEST_WAIT));
        // By its own descriptor, since epoll counts in milliseconds.
        let mut all = [PollFd::new(&self.epoll, PollFlags::IN)];
        wait_for(&mut all, time).map_err(DriverError::Poll)?;
        if all[0].revents().is_empty() {
            return Ok(Vec::new());
        }
        let mut events = Vec::with_capacity(MAX_READY);
        let now = Timespec::default();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&now),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(DriverError::Poll(error.into())),
        }
        let ready = events.iter().map(|event| event.data.u64() as usize);
        Ok(ready.collect())
    }
}

/// Tells what is about the whole server.
fn tell(at: Timestamp, kind: EventKind, on_event: OnEvent<'_>) {
    on_event(&Event {
        at,
        transfer: None,
        kind,
    });
}
