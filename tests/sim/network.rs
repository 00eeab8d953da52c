// SPDX-License-Identifier: MIT OR Apache-2.0
//! A seeded virtual network: one server, many clients, virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use site::BitRate;
use slam_client::stock::{Build, StockClient};
use slam_client::wire::{BlockSize, ServerPacket, TransactionId, TransferHeader, VarInt};
use slam_client::{
    BlockIndex, BlockSet, Config, Failure, Input, Output as Deed, Receiver, Timestamp,
};
use slamboot::slam::{Output, RateLimits, Session, SessionConfig, SessionEvent, SessionTotals};

/// What a frame costs on the wire beside its UDP payload: Ethernet with preamble and gap, IPv4, UDP.
const FRAME_OVERHEAD: u64 = 38 + 20 + 8;
const BLOCK: u16 = 1451;

/// Which client takes part.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// slamboot's receiver.
    Ours,
    /// iPXE's, as documented.
    Stock,
    /// The firmware's, the C that a ROM runs.
    Firmware,
}

/// One client and its way to the server.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    pub kind: Kind,
    pub begins: Duration,
    /// Share of datagrams from the server that get lost.
    pub loss: f64,
    /// Packets that wait in its receive ring, and how long each takes to be taken out.
    pub ring: usize,
    pub service: Duration,
    /// It takes nothing out of its ring for so long, each time so long has passed: a machine whose
    /// processor is needed elsewhere.
    pub pauses: Option<(Duration, Duration)>,
    /// When it is switched off, if ever.
    pub dies: Option<Duration>,
}

impl Guest {
    pub fn new(kind: Kind) -> Self {
        Guest {
            kind,
            begins: Duration::ZERO,
            loss: 0.0,
            ring: 256,
            service: Duration::from_micros(2),
            pauses: None,
            dies: None,
        }
    }

    /// When what reaches the ring at `at` can be taken out at the earliest.
    fn awake(&self, at: Timestamp) -> Timestamp {
        let Some((length, period)) = self.pauses else {
            return at;
        };
        let into = at.since_start().as_nanos() % period.as_nanos();
        at + length.saturating_sub(Duration::from_nanos(into as u64))
    }
}

/// A scenario.
#[derive(Clone, Debug)]
pub struct World {
    pub seed: u64,
    pub bytes: u64,
    pub link: BitRate,
    pub max_rate: BitRate,
    pub latency: Duration,
    pub guests: Vec<Guest>,
    /// Datagrams that anybody throws at the server: when, from which port, what.
    pub attacks: Vec<(Duration, u16, Vec<u8>)>,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Report {
    /// When each client was complete; `None`: never.
    pub done: Vec<Option<Duration>>,
    pub totals: SessionTotals,
    pub solicits: u64,
    /// Datagrams that reached the server.
    pub heard: u64,
    /// Those of them that came before the first block was on its way.
    pub heard_first: u64,
    /// The longest time without multicast while a client that had spoken was waiting.
    pub longest_silence: Duration,
}

impl World {
    pub fn gigabit(seed: u64, bytes: u64, guests: Vec<Guest>) -> Self {
        World {
            seed,
            bytes,
            link: BitRate::from_bits_per_second(1_000_000_000),
            max_rate: BitRate::from_bits_per_second(1_000_000_000),
            latency: Duration::from_micros(50),
            guests,
            attacks: Vec::new(),
        }
    }

    /// The time that the file alone occupies the link.
    pub fn bound(&self) -> Duration {
        self.link.time_for(self.bytes)
    }
}

enum Client {
    Ours(Box<Receiver>),
    Stock(Box<StockClient>),
    Firmware(firmware::core::Client),
}

impl Client {
    fn handle<'d>(&mut self, now: Timestamp, input: Input<'d>) -> Vec<Deed<'d>> {
        match self {
            Client::Ours(client) => client.handle(now, input).collect(),
            Client::Stock(client) => client.handle(now, input).collect(),
            Client::Firmware(client) => firmware_deeds(client, now, input),
        }
    }
}

/// The firmware counts milliseconds, and learns of a moment when it is over.
fn firmware_deeds<'d>(
    client: &mut firmware::core::Client,
    now: Timestamp,
    input: Input<'d>,
) -> Vec<Deed<'d>> {
    use firmware::core::{End, Input as In};
    let actions = client.handle(
        now.since_start().as_millis() as u64,
        match input {
            Input::Multicast(datagram) => In::Multicast(datagram),
            Input::Unicast(datagram) => In::Unicast(datagram),
            Input::Timeout => In::Timeout,
        },
    );
    assert_eq!(
        actions.restarted, None,
        "there is one transfer in the world"
    );
    let mut deeds = Vec::new();
    deeds.extend(
        actions
            .write
            .map(|(offset, payload)| Deed::Write { offset, payload }),
    );
    deeds.extend(actions.send.map(Deed::Send));
    deeds.extend(actions.end.map(|end| match end {
        End::Complete => Deed::Complete,
        // Which failure it is does not matter to the network.
        _ => Deed::Failed(Failure::NoServer {
            nacks: client.nacks(),
        }),
    }));
    deeds.extend(actions.wake.map(|wake| {
        let wake = Timestamp::from_start(Duration::from_millis(wake));
        Deed::Timeout(wake.max(now))
    }));
    deeds
}

struct Seat {
    guest: Guest,
    client: Option<Client>,
    timer: Option<Timestamp>,
    /// When each packet in its ring will have been taken out, in order.
    ring: VecDeque<Timestamp>,
    stored: BlockSet,
    spoke: Option<Timestamp>,
    done: Option<Duration>,
}

impl Seat {
    fn waits_since(&self, moment: Timestamp) -> bool {
        self.client.is_some() && self.spoke.is_some_and(|spoke| spoke <= moment)
    }
}

enum Happening {
    Begin(usize),
    Timer(usize),
    Multicast(usize, Rc<Vec<u8>>),
    Unicast(usize, Rc<Vec<u8>>),
    ToServer(SocketAddr, Vec<u8>),
    ServerWakes,
}

struct Run<'w> {
    world: &'w World,
    random: fastrand::Rng,
    queue: BinaryHeap<Reverse<(Timestamp, u64)>>,
    happenings: std::collections::HashMap<u64, Happening>,
    serial: u64,
    session: Session,
    server_wakes: Option<Timestamp>,
    link_free: Timestamp,
    seats: Vec<Seat>,
    report: Report,
    last_multicast: Option<Timestamp>,
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 1000 + number as u16))
}

/// What stands in a block: anything that differs from block to block.
fn payload(header: &TransferHeader, block: u64) -> Vec<u8> {
    let word = block.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    word.iter()
        .copied()
        .cycle()
        .take(header.block_len(BlockIndex(block)))
        .collect()
}

/// Runs a world until the session is idle and nobody is left, or until `limit`.
pub fn run(world: &World, limit: Duration) -> Report {
    let transaction = TransactionId(VarInt::new(0x1234_5678_9abc).unwrap());
    let header = TransferHeader::new(
        transaction,
        world.bytes,
        BlockSize::new(BLOCK.into()).unwrap(),
    )
    .unwrap();
    let rate = RateLimits::below(world.max_rate);
    let mut run = Run {
        world,
        random: fastrand::Rng::with_seed(world.seed),
        queue: BinaryHeap::new(),
        happenings: std::collections::HashMap::new(),
        serial: 0,
        session: Session::new(&SessionConfig { header, rate }),
        server_wakes: None,
        link_free: Timestamp::ZERO,
        seats: Vec::new(),
        report: Report {
            done: Vec::new(),
            totals: SessionTotals::default(),
            solicits: 0,
            heard: 0,
            heard_first: 0,
            longest_silence: Duration::ZERO,
        },
        last_multicast: None,
    };
    for (number, guest) in world.guests.iter().enumerate() {
        run.seats.push(Seat {
            guest: *guest,
            client: None,
            timer: None,
            ring: VecDeque::new(),
            stored: BlockSet::new(),
            spoke: None,
            done: None,
        });
        run.push(
            Timestamp::from_start(guest.begins),
            Happening::Begin(number),
        );
    }
    for (when, port, datagram) in &world.attacks {
        let from = SocketAddr::from(([10, 6, 6, 6], *port));
        run.push(
            Timestamp::from_start(*when),
            Happening::ToServer(from, datagram.clone()),
        );
    }
    run.go(Timestamp::from_start(limit));
    run.report.done = run.seats.iter().map(|seat| seat.done).collect();
    run.report
}

impl Run<'_> {
    fn push(&mut self, at: Timestamp, happening: Happening) {
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial)));
        self.happenings.insert(self.serial, happening);
    }

    fn go(&mut self, limit: Timestamp) {
        while let Some(Reverse((now, serial))) = self.queue.pop() {
            if now > limit {
                return;
            }
            let Some(happening) = self.happenings.remove(&serial) else {
                continue;
            };
            match happening {
                Happening::Begin(number) => self.begin(number, now),
                Happening::Timer(number) => {
                    if self.seats[number].timer == Some(now) {
                        self.seats[number].timer = None;
                        self.deliver(number, Input::Timeout, now);
                    }
                }
                Happening::Multicast(number, datagram) => {
                    self.deliver(number, Input::Multicast(&datagram), now);
                }
                Happening::Unicast(number, datagram) => {
                    self.deliver(number, Input::Unicast(&datagram), now);
                }
                Happening::ToServer(from, datagram) => {
                    self.report.heard += 1;
                    self.report.heard_first += u64::from(self.last_multicast.is_none());
                    self.session.handle(from, &datagram, now);
                    self.serve(now);
                }
                Happening::ServerWakes => {
                    if self.server_wakes == Some(now) {
                        self.server_wakes = None;
                        self.serve(now);
                    }
                }
            }
        }
    }

    fn begin(&mut self, number: usize, now: Timestamp) {
        let client = match self.seats[number].guest.kind {
            Kind::Ours => {
                let seed = self.random.u64(..);
                Client::Ours(Box::new(Receiver::new(now, Config::default(), seed)))
            }
            Kind::Stock => Client::Stock(Box::new(StockClient::new(now, Build::Bits32))),
            Kind::Firmware => {
                let seed = self.random.u64(..);
                let now = now.since_start().as_millis() as u64;
                let config = firmware::core::Config::default();
                Client::Firmware(firmware::core::Client::new(now, &config, seed))
            }
        };
        self.seats[number].client = Some(client);
        self.deliver(number, Input::Timeout, now);
    }

    fn deliver(&mut self, number: usize, input: Input<'_>, now: Timestamp) {
        let header = *self.session.header();
        let seat = &mut self.seats[number];
        if seat
            .guest
            .dies
            .is_some_and(|dies| now.since_start() >= dies)
        {
            seat.client = None;
        }
        let Some(client) = &mut seat.client else {
            return;
        };
        let mut replies = Vec::new();
        let mut ended = false;
        for deed in client.handle(now, input) {
            match deed {
                Deed::Write {
                    offset,
                    payload: bytes,
                } => {
                    let block = offset / u64::from(header.block_size().get());
                    assert_eq!(
                        bytes,
                        payload(&header, block),
                        "client {number} stores wrong bytes"
                    );
                    seat.stored.insert(BlockIndex(block));
                }
                Deed::Send(datagram) => replies.push(datagram),
                Deed::Complete => {
                    assert_eq!(
                        seat.stored.len(),
                        header.block_count(),
                        "complete with gaps"
                    );
                    seat.done = Some(now.since_start());
                    ended = true;
                }
                Deed::Failed(_) => ended = true,
                Deed::Timeout(at) => {
                    seat.timer = Some(at);
                    self.serial += 1;
                    self.queue.push(Reverse((at, self.serial)));
                    self.happenings
                        .insert(self.serial, Happening::Timer(number));
                }
                Deed::Started { .. } | Deed::Restarted { .. } => {}
            }
        }
        if ended {
            seat.client = None;
        }
        if !replies.is_empty() {
            seat.spoke.get_or_insert(now);
        }
        for datagram in replies {
            let at = now + self.world.latency;
            self.push(at, Happening::ToServer(address(number), datagram));
        }
    }

    fn serve(&mut self, now: Timestamp) {
        loop {
            match self.session.poll(now) {
                Output::Send(run) => {
                    for block in run {
                        self.multicast(block, now);
                    }
                }
                Output::Solicit(client) => {
                    self.report.solicits += 1;
                    let datagram = Rc::new(self.session.encoded_header().as_bytes().to_vec());
                    let at = self.on_the_link(datagram.len(), now);
                    if client.ip() == address(0).ip() {
                        let number = usize::from(client.port() - 1000);
                        self.arrive(
                            number,
                            at,
                            |datagram| Happening::Unicast(number, datagram),
                            &datagram,
                        );
                    }
                }
                Output::Event(SessionEvent::Idle(totals)) => {
                    let sum = &mut self.report.totals;
                    sum.sent_blocks += totals.sent_blocks;
                    sum.sent_bytes += totals.sent_bytes;
                    sum.finished += totals.finished;
                    sum.silent += totals.silent;
                    sum.rejected += totals.rejected;
                }
                Output::Event(_) => {}
                Output::Timeout(None) => return,
                Output::Timeout(Some(at)) => {
                    assert!(at > now, "the server would spin");
                    self.server_wakes = Some(at);
                    self.push(at, Happening::ServerWakes);
                    return;
                }
            }
        }
    }

    fn multicast(&mut self, block: u64, now: Timestamp) {
        let header = *self.session.header();
        let mut datagram = Vec::new();
        let bytes = payload(&header, block);
        ServerPacket::Data {
            header,
            block: BlockIndex(block),
            payload: &bytes,
        }
        .encode(&mut datagram);
        let datagram = Rc::new(datagram);
        let at = self.on_the_link(datagram.len(), now);
        if let Some(last) = self.last_multicast
            && self.seats.iter().any(|seat| seat.waits_since(last))
        {
            self.report.longest_silence = self.report.longest_silence.max(now.since(last));
        }
        self.last_multicast = Some(now);
        for number in 0..self.seats.len() {
            if self.seats[number].client.is_some() {
                self.arrive(
                    number,
                    at,
                    |datagram| Happening::Multicast(number, datagram),
                    &datagram,
                );
            }
        }
    }

    /// When a datagram has passed the link, which carries one at a time.
    fn on_the_link(&mut self, len: usize, now: Timestamp) -> Timestamp {
        let time = self.world.link.time_for(len as u64 + FRAME_OVERHEAD);
        self.link_free = self.link_free.max(now) + time;
        self.link_free + self.world.latency
    }

    fn arrive(
        &mut self,
        number: usize,
        at: Timestamp,
        happening: impl Fn(Rc<Vec<u8>>) -> Happening,
        datagram: &Rc<Vec<u8>>,
    ) {
        let seat = &mut self.seats[number];
        if self.random.f64() < seat.guest.loss {
            return;
        }
        while seat.ring.front().is_some_and(|&taken_out| taken_out <= at) {
            seat.ring.pop_front();
        }
        if seat.ring.len() >= seat.guest.ring {
            return;
        }
        let free = seat.ring.back().map_or(at, |&last| last.max(at));
        let taken_out = seat.guest.awake(free) + seat.guest.service;
        seat.ring.push_back(taken_out);
        self.push(taken_out, happening(Rc::clone(datagram)));
    }
}
