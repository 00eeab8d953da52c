// SPDX-License-Identifier: MIT OR Apache-2.0
//! A seeded virtual network in virtual time: servers, a switch, many clients.
//!
//! What must hold is asserted on every event: only the bytes of the transfer are stored, each at
//! its place; nobody completes with gaps; the server never spins; its memory stays bounded.
//!
//! A thousand clients and 200 MiB are 145 million arrivals, so an arrival costs no event of its
//! own: what is sent goes into each client's inbox at once, with the moment when it will be taken
//! out, and a client looks into its inbox when its last datagram of a batch is due, or a timer.
//! Each datagram is handed over with its own moment.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use site::{IpNet, SlowClients};
use slam_client::wire::{BlockSize, EncodedHeader, TransactionId, TransferHeader, VarInt};
use slam_client::{BlockIndex, Input, Output as Deed, Timestamp};
use slam_server::{
    Guard, Lane, Output, RateLimits, Server, SessionConfig, SessionEvent, SessionId, SessionTotals,
};

use slam_client::window::ParityIndex;

use super::client::{Act, Client};
use super::seat::{Carried, Datagram, Seat, Stored};
use super::world::{Content, Forged, World};

/// What a datagram costs on the link beside its UDP payload, as `tbf` counts: Ethernet, IPv4, UDP.
const FRAME_OVERHEAD: u64 = 14 + 20 + 8;
pub const BLOCK: u16 = 1451;
const CLIENT_PORT: u16 = 1000;
/// Bytes that a session may take beside 12 per block and group, and 2,000 per client.
const SESSION_MEMORY: usize = 2 << 20;

/// How it went.
#[derive(Clone, Debug)]
pub struct Report {
    /// When each client was complete; `None`: never.
    pub done: Vec<Option<Duration>>,
    /// Whether a word of each reached a server, after the last goodbye that was forged in its name: a stock
    /// client says three, and leaves.
    pub known: Vec<bool>,
    pub totals: SessionTotals,
    /// Whom a server dropped for being too slow.
    pub dropped: Vec<bool>,
    /// Bytes of blocks that left all servers, those that were ended among them.
    pub sent_bytes: u64,
    pub solicits: u64,
    /// Datagrams that reached a server.
    pub heard: u64,
    /// Those of them that the guard did not let in.
    pub refused: u64,
    /// When the first of them came.
    pub first_heard: Option<Duration>,
    /// Those of them that came before the first block was on its way.
    pub heard_first: u64,
    /// The longest time without multicast while a stock client that had spoken was waiting, and
    /// nothing that it and the server said to each other got lost.
    pub longest_silence: Duration,
    /// Most bytes that a session took.
    pub memory: usize,
}

enum Event {
    Begin(usize),
    Timer(usize),
    /// One client looks into its inbox, or all whom nothing delays do.
    Look(usize),
    LookAll,
    /// A datagram that was overtaken comes after all.
    Overtaken(usize, Rc<Datagram>),
    ToServer(Port, SocketAddr, Vec<u8>),
    Attack(usize),
    Life(usize),
    ServerWakes(usize),
}

struct Queued {
    at: Timestamp,
    serial: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

/// Where one of a server's sessions is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Port {
    place: usize,
    session: usize,
}

/// What was sent to a server, and what one sends: its place and which of its groups.
#[derive(Clone, Copy)]
struct Group {
    port: Port,
    lane: Lane,
}

/// A server's process: what each of its sessions serves.
struct Process {
    server: Server,
    guard: Guard,
    contents: Vec<Content>,
}

/// A server's place on the network, with the process that runs there now.
struct Place {
    process: Option<Process>,
    until: Duration,
    wakes: Option<Timestamp>,
    link_free: Timestamp,
    bottleneck_free: Timestamp,
}

struct Run<'w> {
    world: &'w World,
    queue: BinaryHeap<Reverse<Queued>>,
    serial: u64,
    places: Vec<Place>,
    seats: Vec<Seat>,
    look_all: Option<Timestamp>,
    report: Report,
    /// Of each session.
    last_multicast: Vec<Option<Timestamp>>,
    allowed: Vec<IpNet>,
    /// How late servers wake up.
    lateness: fastrand::Rng,
}

/// Each client is a host of its own.
fn address(number: usize) -> SocketAddr {
    let [high, low] = (number as u16).to_be_bytes();
    SocketAddr::from(([10, 1, high, low], CLIENT_PORT))
}

/// The client at an address, unless a stranger is there.
fn guest_at(address: SocketAddr) -> Option<usize> {
    match address {
        SocketAddr::V4(v4) if v4.port() == CLIENT_PORT => match v4.ip().octets() {
            [10, 1, high, low] => Some(u16::from_be_bytes([high, low]).into()),
            _ => None,
        },
        _ => None,
    }
}

/// The group of a session's lane, and the lane of a group.
fn group(session: usize, lane: Lane) -> SocketAddr {
    SocketAddr::from(([239, 255, 1 + lane.0 as u8, 1 + session as u8], 10000))
}

fn lane(group: Option<SocketAddr>) -> Lane {
    group.map_or(Lane::FIRST, |group| match group {
        SocketAddr::V4(v4) => Lane(usize::from(v4.ip().octets()[2] - 1)),
        SocketAddr::V6(_) => panic!("{group} is no group of this world"),
    })
}

pub fn header(content: Content) -> TransferHeader {
    let transaction = TransactionId(VarInt::new(content.number << 40).unwrap());
    let size = BlockSize::new(BLOCK.into()).unwrap();
    TransferHeader::new(transaction, content.bytes, size).unwrap()
}

/// A block of a content, or a sum: zeros.
fn data(
    encoded: &EncodedHeader,
    header: &TransferHeader,
    content: Content,
    block: u64,
) -> Datagram {
    let mut bytes = Vec::with_capacity(1500);
    encoded.encode_data_prefix(BlockIndex(block), &mut bytes);
    let payload_at = bytes.len();
    let len = match ParityIndex::of_number(block, header.block_count()) {
        Some(_) => usize::from(BLOCK),
        None => header.block_len(BlockIndex(block)),
    };
    bytes.resize(payload_at + len, 0);
    let kind = Carried::Block {
        content: content.number,
        block,
        payload_at,
    };
    Datagram { bytes, kind }
}

/// Runs a world until nobody is left, or until `limit`.
pub fn run(world: &World, limit: Duration) -> Report {
    let places = world.lives.iter().map(|life| life.place + 1).max();
    let mut random = fastrand::Rng::with_seed(world.seed);
    let mut run = Run {
        world,
        queue: BinaryHeap::new(),
        serial: 0,
        places: (0..places.unwrap_or(0))
            .map(|_| Place {
                process: None,
                until: Duration::ZERO,
                wakes: None,
                link_free: Timestamp::ZERO,
                bottleneck_free: Timestamp::ZERO,
            })
            .collect(),
        seats: world
            .guests
            .iter()
            .map(|guest| Seat::new(guest.clone(), random.u64(..)))
            .collect(),
        look_all: None,
        report: Report {
            done: Vec::new(),
            known: Vec::new(),
            totals: SessionTotals::default(),
            dropped: vec![false; world.guests.len()],
            sent_bytes: 0,
            solicits: 0,
            heard: 0,
            refused: 0,
            first_heard: None,
            heard_first: 0,
            longest_silence: Duration::ZERO,
            memory: 0,
        },
        last_multicast: vec![None; world.lives.len()],
        allowed: vec!["10.0.0.0/8".parse().expect("a network")],
        lateness: fastrand::Rng::with_seed(!world.seed),
    };
    for (number, life) in world.lives.iter().enumerate() {
        run.push(Timestamp::from_start(life.runs.start), Event::Life(number));
    }
    for (number, guest) in world.guests.iter().enumerate() {
        run.push(Timestamp::from_start(guest.begins), Event::Begin(number));
    }
    for (number, (when, ..)) in world.attacks.iter().enumerate() {
        run.push(Timestamp::from_start(*when), Event::Attack(number));
    }
    run.go(Timestamp::from_start(limit));
    run.report.known = run.seats.iter().map(|seat| seat.known).collect();
    run.report.done = run.seats.iter().map(|seat| seat.done).collect();
    run.report
}

impl Run<'_> {
    fn push(&mut self, at: Timestamp, event: Event) {
        self.serial += 1;
        let serial = self.serial;
        self.queue.push(Reverse(Queued { at, serial, event }));
    }

    fn go(&mut self, limit: Timestamp) {
        while let Some(Reverse(Queued { at: now, event, .. })) = self.queue.pop() {
            if now > limit {
                return;
            }
            match event {
                Event::Begin(number) => self.begin(number, now),
                Event::Timer(number) => self.timer(number, now),
                Event::Look(number) => {
                    let seat = &mut self.seats[number];
                    if seat.wake == Some(now) {
                        seat.wake = None;
                        self.look(number, now);
                    }
                }
                Event::LookAll => self.look_all(now),
                Event::Overtaken(number, datagram) => {
                    self.seats[number].arrive(now, &datagram);
                    self.wake_for_inbox(number);
                }
                Event::ToServer(port, from, datagram) => {
                    let read = self.world.server_awake(now);
                    if read > now {
                        // It lies in the socket.
                        self.push(read, Event::ToServer(port, from, datagram));
                    } else {
                        self.hear(port, from, &datagram, now);
                    }
                }
                Event::Attack(number) => self.attack(number, now),
                Event::Life(number) => self.live(number, now),
                Event::ServerWakes(place) => {
                    if self.places[place].wakes == Some(now) {
                        self.places[place].wakes = None;
                        self.serve(place, now);
                    }
                }
            }
        }
    }

    /// What runs at a place.
    fn running(&mut self, place: usize, now: Timestamp) -> Option<&mut Process> {
        let place = &mut self.places[place];
        if now.since_start() >= place.until {
            place.process = None;
        }
        place.process.as_mut()
    }

    /// A process begins, or one more session of the one that runs at this place.
    fn live(&mut self, number: usize, now: Timestamp) {
        let world = self.world;
        let life = &world.lives[number];
        let config = SessionConfig {
            header: header(life.content),
            rate: RateLimits::below(world.max_rate),
            start: world.start,
            slow_clients: world.slow_clients,
        };
        if self.running(life.place, now).is_none() {
            let mut server = Server::new();
            server.set_total_rate(world.total_rate);
            let place = &mut self.places[life.place];
            place.until = life.runs.end;
            place.process = Some(Process {
                server,
                guard: Guard::default(),
                contents: Vec::new(),
            });
            for seat in &mut self.seats {
                if seat.guest.asks == life.place {
                    seat.spoke = None;
                    seat.known = false;
                }
            }
        }
        let process = self.running(life.place, now).expect("it has begun");
        let session = process.contents.len();
        let priority = world.priorities.get(session).copied().unwrap_or_default();
        process
            .server
            .replace(SessionId(session), &config, priority);
        process.contents.push(life.content);
    }

    /// A datagram reaches a server, whose guard comes before everything.
    fn hear(&mut self, port: Port, from: SocketAddr, datagram: &[u8], now: Timestamp) {
        self.report.heard += 1;
        if guest_at(from).is_some() {
            self.report.first_heard.get_or_insert(now.since_start());
        }
        let first = self.last_multicast[port.session].is_none();
        self.report.heard_first += u64::from(first);
        let allowed = std::mem::take(&mut self.allowed);
        if let Some(process) = self.running(port.place, now) {
            let session = SessionId(port.session);
            let server = &process.server;
            let is_awaited = || server.awaits(session, from, datagram);
            match process.guard.admit(from, Some(&allowed), is_awaited, now) {
                Ok(()) => {
                    process.server.handle(session, from, datagram, now);
                }
                Err(_) => self.report.refused += 1,
            }
            self.serve(port.place, now);
        }
        self.allowed = allowed;
    }

    fn begin(&mut self, number: usize, now: Timestamp) {
        let seat = &mut self.seats[number];
        let seed = seat.random.u64(..);
        let local = seat.guest.local(now);
        seat.client = Some(Client::new(seat.guest.kind, seat.guest.parity, local, seed));
        self.deliver(number, Input::Timeout, None, now, now);
    }

    fn timer(&mut self, number: usize, now: Timestamp) {
        if self.seats[number].timer_event == Some(now) {
            self.seats[number].timer_event = None;
            self.look(number, now);
            if self.seats[number].timer.is_some_and(|due| due <= now) {
                self.deliver(number, Input::Timeout, None, now, now);
            }
            self.arm(number, now);
        }
    }

    /// Sees to it that an event stands in the queue for the client's timer.
    fn arm(&mut self, number: usize, now: Timestamp) {
        let seat = &mut self.seats[number];
        if let Some(due) = seat.timer
            && seat.timer_event.is_none_or(|event| event > due.max(now))
        {
            let due = due.max(now);
            seat.timer_event = Some(due);
            self.push(due, Event::Timer(number));
        }
    }

    fn look_all(&mut self, now: Timestamp) {
        if self.look_all == Some(now) {
            self.look_all = None;
        }
        for number in 0..self.seats.len() {
            if self.seats[number].plain {
                self.look(number, now);
            }
        }
    }

    /// Takes everything out of the inbox that is due.
    fn look(&mut self, number: usize, now: Timestamp) {
        while let Some((at, datagram)) = self.seats[number].inbox.pop_front_if(|(at, _)| *at <= now)
        {
            let input = match datagram.kind {
                Carried::Unicast => Input::Unicast(&datagram.bytes),
                Carried::Block { .. } | Carried::Forged => Input::Multicast(&datagram.bytes),
            };
            self.deliver(number, input, Some(&datagram), at, now);
        }
        self.arm(number, now);
        if !self.seats[number].plain {
            self.wake_for_inbox(number);
        }
    }

    /// Has the client look when all that is in its inbox is due, or its next solicit.
    fn wake_for_inbox(&mut self, number: usize) {
        let seat = &mut self.seats[number];
        if let Some(&(at, _)) = seat.inbox.back()
            && seat.wake.is_none()
        {
            seat.wake = Some(at);
            self.push(at, Event::Look(number));
        }
    }

    /// Hands an input that is due at `at` over; what follows is sent no earlier than `now`.
    fn deliver(
        &mut self,
        number: usize,
        input: Input<'_>,
        datagram: Option<&Datagram>,
        at: Timestamp,
        now: Timestamp,
    ) {
        let seat = &mut self.seats[number];
        if !seat.is_there(at) {
            seat.client = None;
            seat.timer = None;
            return;
        }
        let Some(client) = &mut seat.client else {
            return;
        };
        let (mut reply, mut failed) = (None, None);
        let (guest, transaction, stored) = (&seat.guest, &mut seat.transaction, &mut seat.stored);
        let (timer, done, ended) = (&mut seat.timer, &mut seat.done, &mut seat.ended);
        let listens = &mut seat.lane;
        client.handle(guest.local(at), input, |act| {
            let deed = match act {
                Act::Deed(deed) => deed,
                Act::Rebuilt(blocks) => return stored.extend(blocks),
            };
            match deed {
                Deed::Write { offset, payload } => {
                    let Some(Carried::Block {
                        content,
                        block,
                        payload_at,
                    }) = datagram.map(|datagram| &datagram.kind)
                    else {
                        panic!("client {number} stores what is no block");
                    };
                    let bytes = &datagram.expect("it is a block").bytes[*payload_at..];
                    assert!(
                        *transaction == content << 40
                            && offset == block * u64::from(BLOCK)
                            && std::ptr::eq(bytes, payload),
                        "client {number} stores wrong bytes at {offset}"
                    );
                    stored.insert(*block);
                }
                Deed::Join(group) => *listens = lane(group),
                Deed::Send(datagram) => reply = Some(datagram),
                Deed::Complete => {
                    let transfer = self.world.lives.iter().map(|life| header(life.content));
                    let mut transfer =
                        transfer.filter(|header| header.transaction().0.get() == *transaction);
                    let blocks = transfer.next().map(|header| header.block_count());
                    assert_eq!(Some(stored.blocks), blocks, "client {number} has gaps");
                    *done = Some(at.since_start());
                    *ended = true;
                }
                Deed::Failed(failure) => {
                    failed = Some(failure);
                    *ended = true;
                }
                Deed::Timeout(due) => *timer = Some(guest.global(due)),
                Deed::Started { header } | Deed::Restarted { header } => {
                    *transaction = header.transaction().0.get();
                    *stored = Stored::default();
                }
                Deed::Rebuild(_) => unreachable!("told as Act::Rebuilt"),
            }
        });
        if *ended {
            seat.client = None;
            seat.timer = None;
        }
        if let Some(failure) = failed {
            println!("client {number} gives up at {at:?}: {failure}");
        }
        if let Some(reply) = reply {
            let lost = seat.random.f64() < seat.guest.loss_back || seat.guest.is_cut_off(at);
            if lost {
                seat.word_lost = Some(at);
            } else {
                // A goodbye tells nobody that it waits.
                if reply != [0] {
                    seat.known = true;
                    seat.spoke.get_or_insert(at);
                }
                let from = address(number);
                let arrives = (at + self.world.latency).max(now);
                let port = Port {
                    place: seat.guest.asks,
                    session: seat.guest.session,
                };
                self.push(arrives, Event::ToServer(port, from, reply));
            }
        }
        if datagram.is_none() {
            self.arm(number, now);
        }
    }

    fn serve(&mut self, place: usize, now: Timestamp) {
        loop {
            // A full send buffer holds the whole process up.
            let datagram = u64::from(BLOCK) + FRAME_OVERHEAD;
            let each = self.world.link.time_for(datagram);
            let may_wait = each * self.world.send_buffer;
            let room_at = self.places[place].link_free - may_wait;
            if room_at > now {
                self.wake_server(place, room_at);
                return;
            }
            let Some(process) = self.running(place, now) else {
                return;
            };
            let (session, lane, output) = match process.server.poll(now) {
                Ok(output) => output,
                Err(None) => return,
                Err(Some(at)) => {
                    assert!(at > now, "the server would spin");
                    self.wake_server(place, at);
                    return;
                }
            };
            let port = Port {
                place,
                session: session.0,
            };
            match output {
                Output::Send(run) => self.multicast(Group { port, lane }, run, now),
                Output::Solicit(client) | Output::Dismiss(client) => {
                    let lanes = process.server.session(session).expect("it was polled");
                    let header = lanes.encoded_header();
                    let bytes = if matches!(output, Output::Dismiss(_)) {
                        header.dismissal()
                    } else if lane == Lane::FIRST {
                        header.as_bytes().to_vec()
                    } else {
                        header.move_to(group(session.0, lane))
                    };
                    self.solicit(place, client, bytes, now);
                }
                Output::Event(SessionEvent::Idle(totals)) => self.report.totals.add(&totals),
                Output::Event(SessionEvent::ClientMoved { client, goodput }) => {
                    println!("{now:?}: {client} moved to {lane:?}, it got {goodput:?}");
                }
                Output::Event(SessionEvent::ClientDropped { client, .. }) => {
                    if let Some(number) = guest_at(client) {
                        self.report.dropped[number] = true;
                    }
                }
                Output::Event(_) | Output::Timeout(_) => {}
            }
        }
    }

    fn solicit(&mut self, place: usize, client: SocketAddr, bytes: Vec<u8>, now: Timestamp) {
        self.report.solicits += 1;
        let kind = Carried::Unicast;
        let at = self.on_the_link(place, bytes.len(), now);
        let Some(number) = guest_at(client) else {
            return;
        };
        match at {
            Some(at) => {
                self.carry(number, at, &Rc::new(Datagram { bytes, kind }));
                self.wake_for_solicit(number);
            }
            None => self.seats[number].word_lost = Some(now),
        }
    }

    fn wake_server(&mut self, place: usize, at: Timestamp) {
        let late = self.world.late.mul_f64(self.lateness.f64());
        let at = self.world.server_awake(at + late);
        if self.places[place].wakes != Some(at) {
            self.places[place].wakes = Some(at);
            self.push(at, Event::ServerWakes(place));
        }
    }

    fn multicast(&mut self, group: Group, blocks: Range<u64>, now: Timestamp) {
        let Port { place, session } = group.port;
        // Stock clients are never moved.
        if group.lane == Lane::FIRST {
            self.notice_silence(session, now);
            self.last_multicast[session] = Some(now);
        }
        let clients = self.seats.len();
        let Some(process) = &self.places[place].process else {
            return;
        };
        let Some(lanes) = process.server.session(SessionId(session)) else {
            return;
        };
        let content = process.contents[session];
        let memory = lanes.memory();
        let header = *lanes.header();
        let groups = match self.world.slow_clients {
            SlowClients::Split(_) => 3,
            _ => 1,
        };
        let kept = groups * header.block_count() as usize;
        let allowed = SESSION_MEMORY + 12 * kept + 2000 * clients;
        assert!(memory < allowed, "{memory} bytes for {clients} clients");
        self.report.memory = self.report.memory.max(memory);
        let encoded = lanes.encoded_header().clone();
        let mut batch = Vec::new();
        for block in blocks {
            let datagram = data(&encoded, &header, content, block);
            let len = datagram.bytes.len();
            self.report.sent_bytes += (len - datagram.payload_at()) as u64;
            if let Some(at) = self.on_the_link(place, len, now) {
                batch.push((at, Rc::new(datagram)));
            }
        }
        if group.lane.0 < self.world.forwarded {
            self.carry_to_all(group, false, &batch);
        }
    }

    /// While nothing was sent, did somebody wait?
    fn notice_silence(&mut self, session: usize, now: Timestamp) {
        if let Some(last) = self.last_multicast[session]
            && now.since(last) > self.report.longest_silence
        {
            let seats = self.seats.iter();
            let waited = seats
                .filter(|seat| seat.guest.session == session)
                .map(|seat| seat.waited(last, now));
            let longest = waited.max().unwrap_or_default();
            self.report.longest_silence = self.report.longest_silence.max(longest);
        }
    }

    /// Client by client, since a thousand of them do not fit a processor's cache.
    fn carry_to_all(&mut self, group: Group, forged: bool, batch: &[(Timestamp, Rc<Datagram>)]) {
        for number in 0..self.seats.len() {
            let seat = &self.seats[number];
            let listens = seat.guest.session == group.port.session && seat.lane == group.lane;
            let foreign = !forged && group.port.place != seat.guest.asks;
            if !listens || foreign && seat.guest.believes_its_own {
                continue;
            }
            for (at, datagram) in batch {
                self.carry(number, *at, datagram);
            }
        }
        self.look_soon();
    }

    /// Has everybody look when what is in all the inboxes is due.
    fn look_soon(&mut self) {
        let mut latest = None;
        for number in 0..self.seats.len() {
            if self.seats[number].plain {
                let back = self.seats[number].inbox.back().map(|&(at, _)| at);
                latest = latest.max(back);
            } else {
                self.wake_for_inbox(number);
            }
        }
        if let Some(at) = latest
            && self.look_all.is_none_or(|look| look < at)
        {
            self.look_all = Some(at);
            self.push(at, Event::LookAll);
        }
    }

    /// A solicit is answered at its own moment.
    fn wake_for_solicit(&mut self, number: usize) {
        let seat = &mut self.seats[number];
        if let Some(&(at, _)) = seat.inbox.back() {
            if seat.wake.is_none_or(|wake| wake > at) {
                seat.wake = Some(at);
            }
            let at = seat.wake.unwrap_or(at);
            self.push(at, Event::Look(number));
        }
    }

    /// When a datagram has passed the link, which carries one at a time; `None` if it was dropped
    /// further on.
    fn on_the_link(&mut self, place: usize, len: usize, now: Timestamp) -> Option<Timestamp> {
        let place = &mut self.places[place];
        let len = len as u64 + FRAME_OVERHEAD;
        place.link_free = place.link_free.max(now) + self.world.link.time_for(len);
        let at = place.link_free;
        let Some((rate, queue)) = self.world.bottleneck else {
            return Some(at + self.world.latency);
        };
        let time = rate.time_for(len);
        if place.bottleneck_free.since(at) > time * queue {
            return None;
        }
        place.bottleneck_free = place.bottleneck_free.max(at) + time;
        Some(place.bottleneck_free + self.world.latency)
    }

    /// Brings a datagram to a client's ring, unless the network loses it.
    fn carry(&mut self, number: usize, at: Timestamp, datagram: &Rc<Datagram>) {
        let seat = &mut self.seats[number];
        if seat.client.is_none() {
            return;
        }
        if seat.is_lost() || seat.guest.is_cut_off(at) {
            seat.miss(at, datagram);
            return;
        }
        if seat.plain && seat.guest.duplicates == 0.0 {
            seat.arrive(at, datagram);
            return;
        }
        let jitter = seat.random.f64();
        let at = at + seat.guest.jitter.mul_f64(jitter);
        if seat.random.f64() < seat.guest.overtaken {
            let late = at + Duration::from_micros(seat.random.u64(50..3000));
            self.push(late, Event::Overtaken(number, Rc::clone(datagram)));
            return;
        }
        // The ring keeps the order.
        let times = 1 + usize::from(seat.random.f64() < seat.guest.duplicates);
        for _ in 0..times {
            seat.arrive(at, datagram);
        }
    }

    fn attack(&mut self, number: usize, now: Timestamp) {
        let (_, to, bytes) = &self.world.attacks[number];
        let (bytes, kind) = (bytes.clone(), Carried::Forged);
        let port = Port {
            place: 0,
            session: 0,
        };
        match *to {
            Forged::FromOutside(from) => {
                let from = SocketAddr::from(([10, 6, 6, 6], from));
                self.push(now, Event::ToServer(port, from, bytes));
            }
            Forged::FromGuest(guest) => {
                if bytes == [0] {
                    // The server believes that it has gone, until it speaks again.
                    self.seats[guest].spoke = None;
                    self.seats[guest].known = false;
                }
                self.push(now, Event::ToServer(port, address(guest), bytes));
            }
            Forged::ToGroup => {
                let lane = Lane::FIRST;
                let batch = [(now, Rc::new(Datagram { bytes, kind }))];
                self.carry_to_all(Group { port, lane }, true, &batch);
            }
            Forged::Block(content, block) => {
                let (lane, encoded) = (Lane::FIRST, header(content).encode());
                let datagram = data(&encoded, &header(content), content, block);
                self.carry_to_all(Group { port, lane }, true, &[(now, Rc::new(datagram))]);
            }
            Forged::ToGuest(guest) => {
                let kind = Carried::Unicast;
                self.carry(guest, now, &Rc::new(Datagram { bytes, kind }));
                self.wake_for_solicit(guest);
            }
        }
    }
}
