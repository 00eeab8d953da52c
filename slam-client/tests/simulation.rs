// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole transfers in simulated time: both kinds of client against both kinds of server, over a
//! network that loses, doubles and reorders, and once replaces the file.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use proptest::prelude::*;
use slam_client::parity;
use slam_client::stock::{Build, StockClient};
use slam_client::window::{self, ParityIndex};
use slam_client::wire::{
    BlockSize, ClientPacket, Nack, ServerPacket, TransactionId, TransferHeader, VarInt,
};
use slam_client::{BlockIndex, Config, Failure, Input, Output, Receiver, Timestamp};

const PACKET_TIME: Duration = Duration::from_micros(12);
const LATENCY: Duration = Duration::from_micros(100);
/// How long a server waits for the answer to a solicit: mini-slamd's `SLAM_PING_TIMEOUT`.
const ANSWER_TIME: Duration = Duration::from_millis(100);

/// What a file is made of.
#[derive(Clone, Copy, Debug)]
struct File {
    header: TransferHeader,
    salt: u64,
}

impl File {
    fn new(salt: u64, len: u64, block_size: u64) -> Self {
        let id = TransactionId(VarInt::new(salt).expect("small"));
        let size = BlockSize::new(block_size).expect("in range");
        let header = TransferHeader::new(id, len, size).expect("not empty");
        File { header, salt }
    }

    fn byte(&self, offset: u64) -> u8 {
        (offset
            .wrapping_mul(0x9e37_79b9)
            .wrapping_add(self.salt * 77)
            >> 5) as u8
    }

    fn bytes(&self) -> Vec<u8> {
        (0..self.header.total_bytes())
            .map(|at| self.byte(at))
            .collect()
    }

    fn block(&self, block: u64) -> Vec<u8> {
        let count = self.header.block_count();
        if let Some(index) = ParityIndex::of_number(block, count) {
            return self.parity(index);
        }
        let offset = self.header.block_offset(BlockIndex(block));
        let len = self.header.block_len(BlockIndex(block)) as u64;
        let payload: Vec<u8> = (offset..offset + len).map(|at| self.byte(at)).collect();
        let mut out = Vec::new();
        ServerPacket::Data {
            header: self.header,
            block: BlockIndex(block),
            payload: &payload,
        }
        .encode(&mut out);
        out
    }

    fn parity(&self, index: ParityIndex) -> Vec<u8> {
        let blocks = window::blocks_of(index.window, self.header.block_count());
        let size = usize::from(self.header.block_size().get());
        let span = blocks.start * size as u64..self.header.total_bytes();
        let bytes: Vec<u8> = span.take(128 * size).map(|at| self.byte(at)).collect();
        let mut payload = vec![0; size];
        parity::encode(index.row, bytes.chunks(size), &mut payload);
        let mut out = Vec::new();
        ServerPacket::Parity {
            header: self.header,
            parity: index,
            payload: &payload,
        }
        .encode(&mut out);
        out
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ServerKind {
    /// mini-slamd: sends exactly what one NACK asks, then solicits one client and forgets it.
    Literal,
    /// Streams the whole file after the first NACK, then solicits and repairs.
    Streaming,
}

struct Server {
    kind: ServerKind,
    file: File,
    demand: VecDeque<std::ops::Range<u64>>,
    clients: VecDeque<usize>,
    has_streamed: bool,
    /// Parity blocks made so far, by window.
    rows: BTreeMap<u64, u64>,
    sent: u64,
}

impl Server {
    fn hear(&mut self, from: usize, datagram: &[u8]) {
        self.clients.retain(|&client| client != from);
        let Ok(ClientPacket::Nack(nack)) = ClientPacket::decode(datagram) else {
            return;
        };
        let count = self.file.header.block_count();
        assert!(
            nack.extent() <= count,
            "asked for block {} of {count}: mini-slamd would spin for ever",
            nack.extent()
        );
        if !self.demand.is_empty() {
            self.clients.push_back(from);
            return;
        }
        self.clients.push_front(from);
        match self.kind {
            ServerKind::Streaming if !self.has_streamed => {
                self.has_streamed = true;
                self.demand.push_back(0..count);
            }
            ServerKind::Streaming if nack.takes_parity() => self.repair(&nack),
            ServerKind::Streaming | ServerKind::Literal => {
                self.demand.extend(nack.missing().runs());
            }
        }
    }

    /// New parity blocks, as many as each window misses; a window that misses too many for that
    /// gets its blocks.
    fn repair(&mut self, nack: &Nack) {
        let count = self.file.header.block_count();
        for window in 0..window::windows(count) {
            let blocks = window::blocks_of(window, count);
            let missing = nack.missing().len_within(blocks.clone());
            if missing > parity::MAX_MISSING as u64 {
                self.demand.push_back(blocks);
                continue;
            }
            for _ in 0..missing {
                let row = self.rows.entry(window).or_default();
                let index = ParityIndex {
                    window,
                    row: (*row % window::ROWS) as u8,
                };
                *row += 1;
                let number = index.number(count);
                self.demand.push_back(number..number + 1);
            }
        }
    }

    fn next_block(&mut self) -> Option<u64> {
        let run = self.demand.front_mut()?;
        let block = run.start;
        run.start += 1;
        if run.is_empty() {
            self.demand.pop_front();
        }
        self.sent += 1;
        Some(block)
    }

    fn next_to_ask(&mut self) -> Option<usize> {
        let client = self.clients.pop_front()?;
        if self.kind == ServerKind::Streaming {
            self.clients.push_back(client);
        }
        Some(client)
    }
}

enum Machine {
    Full(Box<Receiver>),
    Stock(StockClient),
}

impl Machine {
    fn handle<'d>(&mut self, now: Timestamp, input: Input<'d>) -> slam_client::Outputs<'d> {
        match self {
            Machine::Full(receiver) => receiver.handle(now, input),
            Machine::Stock(client) => client.handle(now, input),
        }
    }
}

struct Client {
    machine: Machine,
    start: Timestamp,
    buffer: Vec<u8>,
    header: Option<TransferHeader>,
    due: Option<Timestamp>,
    end: Option<Result<Timestamp, Failure>>,
    said_goodbye: bool,
}

impl Client {
    /// Yields what it sends.
    fn take(&mut self, now: Timestamp, input: Input<'_>) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        self.due = None;
        for output in self.machine.handle(now, input) {
            match output {
                Output::Started { header } => {
                    assert_eq!(self.header, None, "started twice");
                    self.header = Some(header);
                    self.buffer.resize(header.total_bytes() as usize, 0);
                }
                Output::Restarted { header } => {
                    self.header = Some(header);
                    self.buffer = vec![0; header.total_bytes() as usize];
                }
                Output::Write { offset, payload } => {
                    self.buffer[offset as usize..][..payload.len()].copy_from_slice(payload);
                }
                Output::Rebuild(rebuild) => {
                    let span = rebuild.span();
                    let window = self.buffer[span.start as usize..span.end as usize].to_vec();
                    for (offset, block) in rebuild.solve(&window) {
                        self.buffer[offset as usize..][..block.len()].copy_from_slice(&block);
                    }
                }
                Output::Join(_) => unreachable!("no server here moves anybody"),
                Output::Send(datagram) => {
                    self.said_goodbye = datagram == [0];
                    sent.push(datagram);
                }
                Output::Complete => self.end = Some(Ok(now)),
                Output::Failed(failure) => self.end = Some(Err(failure)),
                Output::Timeout(then) => self.due = Some(then),
            }
        }
        sent
    }
}

#[derive(Clone, Copy, Debug)]
struct Network {
    loss: f64,
    doubling: f64,
    /// Share of datagrams that come up to 1 ms late.
    reordering: f64,
    /// Client packets are lost too.
    both_ways: bool,
}

#[derive(Debug)]
enum Event {
    /// The server may send its next block, or ask the next client.
    Send,
    /// Nobody answered the solicit with this number.
    NoAnswer(u64),
    ToClient(usize, bool, Vec<u8>),
    ToServer(usize, Vec<u8>),
    Wake(usize),
    Replace(File),
}

struct Simulation {
    now: Timestamp,
    rng: Rng,
    network: Network,
    server: Server,
    clients: Vec<Client>,
    /// By time, then in the order in which they were scheduled.
    events: BTreeMap<(Timestamp, u64), Event>,
    numbered: u64,
    asked: u64,
    sending: bool,
}

#[derive(Debug)]
struct Report {
    end: Vec<Option<Result<Timestamp, Failure>>>,
    right: Vec<bool>,
    sent: u64,
}

impl Simulation {
    fn new(kind: ServerKind, file: File, network: Network, seed: u64) -> Self {
        Simulation {
            now: Timestamp::ZERO,
            rng: Rng::with_seed(seed),
            network,
            server: Server {
                kind,
                file,
                demand: VecDeque::new(),
                clients: VecDeque::new(),
                has_streamed: false,
                rows: BTreeMap::new(),
                sent: 0,
            },
            clients: Vec::new(),
            events: BTreeMap::new(),
            numbered: 0,
            asked: 0,
            sending: false,
        }
    }

    fn join(&mut self, machine: Machine, start: Timestamp) {
        let number = self.clients.len();
        self.clients.push(Client {
            machine,
            start,
            buffer: Vec::new(),
            header: None,
            due: Some(start),
            end: None,
            said_goodbye: false,
        });
        self.schedule(start, Event::Wake(number));
    }

    fn schedule(&mut self, at: Timestamp, event: Event) {
        self.numbered += 1;
        self.events.insert((at, self.numbered), event);
    }

    /// Over the wire, with what happens there.
    fn carry(&mut self, lossy: bool, mut event: impl FnMut() -> Event) {
        let Network {
            loss,
            doubling,
            reordering,
            ..
        } = self.network;
        let copies = match self.rng.f64() {
            lot if lossy && lot < loss => 0,
            lot if lossy && lot < loss + doubling => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let late = if lossy && self.rng.f64() < reordering {
                Duration::from_micros(self.rng.u64(0..1000))
            } else {
                Duration::ZERO
            };
            self.schedule(self.now + LATENCY + late, event());
        }
    }

    fn client(&mut self, number: usize, input: Input<'_>) {
        if self.now < self.clients[number].start {
            return; // not switched on yet
        }
        let sent = self.clients[number].take(self.now, input);
        if let Some(due) = self.clients[number].due {
            self.schedule(due.max(self.now), Event::Wake(number));
        }
        let lossy = self.network.both_ways;
        for datagram in sent {
            self.carry(lossy, || Event::ToServer(number, datagram.clone()));
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Wake(number) => {
                if self.clients[number].due.is_some_and(|due| due <= self.now) {
                    self.client(number, Input::Timeout);
                }
            }
            Event::ToClient(number, true, datagram) => {
                self.client(number, Input::Multicast(&datagram));
            }
            Event::ToClient(number, false, datagram) => {
                self.client(number, Input::Unicast(&datagram));
            }
            Event::ToServer(number, datagram) => {
                self.server.hear(number, &datagram);
                self.start_sending();
            }
            Event::Send => {
                if let Some(block) = self.server.next_block() {
                    let datagram = self.server.file.block(block);
                    for number in 0..self.clients.len() {
                        self.carry(true, || Event::ToClient(number, true, datagram.clone()));
                    }
                    self.schedule(self.now + PACKET_TIME, Event::Send);
                } else {
                    self.sending = false;
                    self.ask();
                }
            }
            Event::NoAnswer(asked) => {
                if asked == self.asked && !self.sending {
                    self.ask();
                }
            }
            Event::Replace(file) => {
                self.server.file = file;
                self.server.demand.clear();
                self.server.has_streamed = false;
            }
        }
    }

    fn start_sending(&mut self) {
        if !self.sending && !self.server.demand.is_empty() {
            self.sending = true;
            self.schedule(self.now, Event::Send);
        }
    }

    fn ask(&mut self) {
        if let Some(number) = self.server.next_to_ask() {
            let datagram = self.server.file.header.encode().as_bytes().to_vec();
            self.carry(true, || Event::ToClient(number, false, datagram.clone()));
            self.asked += 1;
            self.schedule(self.now + ANSWER_TIME, Event::NoAnswer(self.asked));
        }
    }

    fn run(mut self) -> Report {
        let mut steps = 0;
        while let Some(((at, _), event)) = self.events.pop_first() {
            assert!(at >= self.now);
            self.now = at;
            self.step(event);
            steps += 1;
            assert!(steps < 20_000_000, "goes on for ever");
            if self.clients.iter().all(|client| client.end.is_some()) {
                break;
            }
        }
        let bytes = self.server.file.bytes();
        for client in &self.clients {
            if let Machine::Full(_) = client.machine {
                assert!(client.end.is_none() || client.said_goodbye);
            }
        }
        Report {
            end: self.clients.iter().map(|client| client.end).collect(),
            right: self
                .clients
                .iter()
                .map(|client| client.buffer == bytes)
                .collect(),
            sent: self.server.sent,
        }
    }
}

const CLEAN: Network = Network {
    loss: 0.0,
    doubling: 0.0,
    reordering: 0.0,
    both_ways: false,
};

fn at(ms: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(ms))
}

fn full(start: Timestamp, seed: u64) -> Machine {
    Machine::Full(Box::new(Receiver::new(start, Config::default(), seed)))
}

/// One that takes parity blocks.
fn with_parity(start: Timestamp, seed: u64) -> Machine {
    let config = Config {
        max_parity: 4096,
        ..Config::default()
    };
    Machine::Full(Box::new(Receiver::new(start, config, seed)))
}

fn stock(start: Timestamp) -> Machine {
    Machine::Stock(StockClient::new(start, Build::Bits64))
}

fn finished_ms(report: &Report) -> Vec<u64> {
    report
        .end
        .iter()
        .map(|end| match end {
            Some(Ok(end)) => end.since_start().as_millis() as u64,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn without_loss_the_file_travels_once_and_without_pauses() {
    for kind in [ServerKind::Literal, ServerKind::Streaming] {
        let file = File::new(3, 2_000_001, 1000);
        let mut simulation = Simulation::new(kind, file, CLEAN, 1);
        simulation.join(full(at(0), 1), at(0));
        let report = simulation.run();
        assert_eq!(report.right, [true]);
        // First NACK within 100 ms; 2001 packets of 12 us.
        let end = finished_ms(&report)[0];
        assert!(end < 130, "{kind:?}: {end} ms");
        assert!(report.sent <= 2002, "{kind:?}: {} blocks sent", report.sent);
    }
}

#[test]
fn a_stock_client_beside_ours_from_mini_slamd() {
    let file = File::new(3, 300_000, 1451);
    let mut simulation = Simulation::new(ServerKind::Literal, file, CLEAN, 1);
    simulation.join(stock(at(0)), at(0));
    simulation.join(full(at(0), 5), at(0));
    let report = simulation.run();
    assert_eq!(report.right, [true, true]);
    // Ours asks for all of it; the stock client only listens.
    assert!(
        finished_ms(&report).iter().all(|&end| end < 200),
        "{report:?}"
    );
}

#[test]
fn a_late_starter_gets_the_rest() {
    for kind in [ServerKind::Literal, ServerKind::Streaming] {
        let file = File::new(3, 20_000_000, 1000);
        let mut simulation = Simulation::new(kind, file, CLEAN, 1);
        simulation.join(full(at(0), 1), at(0));
        simulation.join(full(at(200), 2), at(200));
        let report = simulation.run();
        assert_eq!(report.right, [true, true], "{kind:?}");
        let end = finished_ms(&report);
        assert!(end[0] < 400 && end[1] < 700, "{kind:?}: {end:?} ms");
        assert!(
            report.sent < 40_000,
            "{kind:?}: {} of 20000 blocks sent",
            report.sent
        );
    }
}

#[test]
fn the_file_is_replaced_midway() {
    for kind in [ServerKind::Literal, ServerKind::Streaming] {
        for len in [100_000, 2_000_000, 5_000_000] {
            let file = File::new(3, 2_000_000, 1000);
            let mut simulation = Simulation::new(kind, file, CLEAN, 1);
            simulation.join(full(at(0), 1), at(0));
            simulation.schedule(at(110), Event::Replace(File::new(4, len, 1000)));
            let report = simulation.run();
            assert_eq!(report.right, [true], "{kind:?} {len}");
        }
    }
}

/// What a room of `clients` costs at `loss`, in blocks sent for each block of the file.
fn cost(machine: fn(Timestamp, u64) -> Machine, clients: u64, loss: f64) -> f64 {
    let file = File::new(3, 1_280_000, 1000);
    let network = Network { loss, ..CLEAN };
    let mut simulation = Simulation::new(ServerKind::Streaming, file, network, 7);
    for number in 0..clients {
        simulation.join(machine(at(0), number), at(0));
    }
    let report = simulation.run();
    assert!(report.right.iter().all(|&right| right));
    report.sent as f64 / file.header.block_count() as f64
}

#[test]
fn parity_repairs_different_losses_with_the_same_packets() {
    for (loss, without, with) in [(0.01, 1.3, 1.08), (0.05, 1.9, 1.25)] {
        let blocks = cost(full, 40, loss);
        let parity = cost(with_parity, 40, loss);
        assert!(blocks > without, "{loss}: {blocks}");
        assert!(parity < with, "{loss}: {parity}, {blocks} without");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_network_any_server_the_right_bytes(
        seed in any::<u64>(),
        kind in prop_oneof![Just(ServerKind::Literal), Just(ServerKind::Streaming)],
        len in 1_u64..400_000,
        block_size in 100_u64..1500,
        loss in 0.0..0.3,
        doubling in 0.0..0.1,
        reordering in 0.0..0.5,
        both_ways in any::<bool>(),
        parity in any::<bool>(),
        starts in proptest::collection::vec(0_u64..300, 1..5),
    ) {
        let network = Network { loss, doubling, reordering, both_ways };
        let file = File::new(seed % 1000, len, block_size);
        let mut simulation = Simulation::new(kind, file, network, seed);
        for (number, &start) in (0..).zip(&starts) {
            let machine = if parity { with_parity } else { full };
            simulation.join(machine(at(start), seed ^ number), at(start));
        }
        let report = simulation.run();
        prop_assert!(report.right.iter().all(|&right| right), "{:?}", report);
        let last = finished_ms(&report).into_iter().max();
        prop_assert!(last < Some(30_000), "{:?}", report);
    }
}
