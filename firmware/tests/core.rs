// SPDX-License-Identifier: MIT OR Apache-2.0
//! The firmware's SLAM client, in C, held against the receiver in Rust: the same bytes, the same
//! decisions, at the same moments.

use std::net::SocketAddr;
use std::time::Duration;

use firmware::core::{self, Client, Content, End, Input, MAX_PACKET, Rejection};
use proptest::prelude::*;
use slam_client::parity;
use slam_client::window::{self, ParityIndex};
use slam_client::wire::{
    BlockSize, ClientPacket, MAX_NACK_LEN, Nack, ServerPacket, TransactionId, TransferHeader,
    VarInt, WireError,
};
use slam_client::{self as rust, BlockIndex, BlockSet, Failure, Output, Receiver, Timestamp, Wait};

fn int_bytes(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    VarInt::new(value).unwrap().encode(&mut out);
    out
}

fn wire_rejection(error: WireError) -> Rejection {
    match error {
        WireError::Truncated { .. } => Rejection::Truncated,
        WireError::IntLength { .. } => Rejection::IntLength,
        WireError::EmptyTransfer => Rejection::EmptyTransfer,
        WireError::BlockSize { .. } => Rejection::BlockSize,
        WireError::BlockNumber { .. } => Rejection::BlockNumber,
        WireError::BlockLength { .. } => Rejection::BlockLength,
        WireError::Group { .. } => Rejection::Group,
        other => panic!("no server packet is refused with {other:?}"),
    }
}

fn rejection(rejection: rust::Rejection) -> Rejection {
    match rejection {
        rust::Rejection::Wire(error) => wire_rejection(error),
        rust::Rejection::TooLarge { .. } => Rejection::TooLarge,
        rust::Rejection::SolicitToGroup => Rejection::SolicitToGroup,
        rust::Rejection::DataToClient => Rejection::DataToClient,
        rust::Rejection::Unmovable(_) => Rejection::Group,
    }
}

/// What Rust makes of a datagram, in C's words.
fn decoded(datagram: &[u8]) -> Result<core::Packet<'_>, Rejection> {
    let words = |header: TransferHeader| core::Header {
        transaction: header.transaction().0.get(),
        total_bytes: header.total_bytes(),
        block_size: header.block_size().get().into(),
    };
    match ServerPacket::decode(datagram) {
        Ok(ServerPacket::Data {
            header,
            block,
            payload,
        }) => Ok(core::Packet {
            header: words(header),
            content: Content::Block(block.0, payload),
        }),
        Ok(ServerPacket::Parity {
            header,
            parity,
            payload,
        }) => Ok(core::Packet {
            header: words(header),
            content: Content::Parity(parity.window, parity.row, payload),
        }),
        Ok(ServerPacket::Solicit { header }) => Ok(core::Packet {
            header: words(header),
            content: Content::Solicit,
        }),
        Ok(ServerPacket::Move { header, group }) => Ok(core::Packet {
            header: words(header),
            content: Content::Move(group),
        }),
        Ok(ServerPacket::Dismissal { header }) => Ok(core::Packet {
            header: words(header),
            content: Content::Dismissal,
        }),
        Err(error) => Err(wire_rejection(error)),
    }
}

fn runs(held: &[bool]) -> BlockSet {
    let held = held.iter().enumerate().filter(|(_, held)| **held);
    held.map(|(block, _)| block as u64..block as u64 + 1)
        .collect()
}

fn rust_nack(held: &[bool], max_len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let nack = Nack::for_gaps(&runs(held), held.len() as u64, max_len);
    ClientPacket::Nack(nack).encode(&mut out);
    out
}

#[test]
fn the_vectors_of_the_wire_page() {
    let vectors: [(u64, &[u8]); 8] = [
        (0, &[0x20]),
        (1, &[0x21]),
        (31, &[0x3f]),
        (32, &[0x40, 0x20]),
        (8191, &[0x5f, 0xff]),
        (8192, &[0x60, 0x20, 0x00]),
        ((1 << 29) - 1, &[0x9f, 0xff, 0xff, 0xff]),
        ((1 << 53) - 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
    ];
    for (value, bytes) in vectors {
        assert_eq!(core::encode_int(value), bytes);
        assert_eq!(int_bytes(value), bytes);
        assert_eq!(core::decode_int(bytes), Ok((value, bytes.len())));
    }
    // Longer than need be is read all the same.
    assert_eq!(core::decode_int(&[0xe0, 0, 0, 0, 0, 0, 5, 9]), Ok((5, 7)));
    assert_eq!(core::decode_int(&[0x1f]), Err(Rejection::IntLength));
    assert_eq!(core::decode_int(&[]), Err(Rejection::Truncated));
    assert_eq!(core::nack(&[false], MAX_PACKET), [0x20, 0x21, 0x00]);
    // The page's list: 0..5, 7..9 and 10..20 of 20.
    let held: Vec<bool> = (0..20).map(|block| !matches!(block, 5 | 6 | 9)).collect();
    assert_eq!(
        core::nack(&held, MAX_PACKET),
        [0x25, 0x22, 0x22, 0x21, 0x2a, 0x00]
    );
    assert_eq!(MAX_PACKET, MAX_NACK_LEN);
}

/// Numbers of every length, the limits of each length among them.
fn int() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0_u32..53, any::<u64>()).prop_map(|(bits, value)| value & ((1 << (bits + 1)) - 1)),
        (0_u32..53).prop_map(|bits| 1_u64 << bits),
        (0_u32..53).prop_map(|bits| (1_u64 << bits) - 1),
    ]
}

proptest! {
    #[test]
    fn ints_agree(value in int(), tail in proptest::collection::vec(any::<u8>(), 0..9)) {
        let mut bytes = int_bytes(value);
        prop_assert_eq!(&core::encode_int(value), &bytes);
        let len = bytes.len();
        bytes.extend(tail);
        prop_assert_eq!(core::decode_int(&bytes), Ok((value, len)));
    }

    #[test]
    fn any_bytes_are_read_alike(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert_eq!(core::decode(&bytes), decoded(&bytes));
    }

    #[test]
    fn any_ints_are_read_alike(ints in proptest::collection::vec(int(), 2..5), tail in 0_usize..3000) {
        let mut bytes: Vec<u8> = ints.into_iter().flat_map(int_bytes).collect();
        bytes.extend(std::iter::repeat_n(0xa5, tail));
        prop_assert_eq!(core::decode(&bytes), decoded(&bytes));
    }

    #[test]
    fn blocks_are_read_alike(
        transaction in int(),
        total in 1_u64..1 << 53,
        size in 1_u64..3000,
        at in any::<u64>(),
        off in -2_i64..3,
    ) {
        // Right, or wrong by little: around the last block, and around the right length.
        let header = TransferHeader::new(
            TransactionId(VarInt::new(transaction).unwrap()),
            total,
            BlockSize::new(size).unwrap(),
        ).unwrap();
        let count = header.block_count();
        let sums = window::windows(count) * window::ROWS;
        for block in [at % count, count - 1, count, count + at % sums, count + sums - 1, count + sums] {
            let block = block.min((1 << 53) - 1);
            let mut bytes = header.encode().as_bytes().to_vec();
            bytes.extend(int_bytes(block));
            let len = match ParityIndex::of_number(block, count) {
                Some(_) => i64::try_from(size).unwrap(),
                None => header.block_len(BlockIndex(block)).cast_signed() as i64,
            } + off;
            bytes.extend(std::iter::repeat_n(7, len.max(0) as usize));
            prop_assert_eq!(core::decode(&bytes), decoded(&bytes));
        }
    }

    #[test]
    fn nacks_agree(
        held in proptest::collection::vec(any::<bool>(), 1..4000),
        runs in 1_usize..200,
        max_len in 16_usize..=MAX_PACKET,
    ) {
        prop_assert_eq!(core::nack(&held, max_len), rust_nack(&held, max_len));
        // Long runs, too.
        let held: Vec<bool> = held.iter().flat_map(|&held| std::iter::repeat_n(held, runs)).collect();
        prop_assert_eq!(core::nack(&held, max_len), rust_nack(&held, max_len));
    }
}

#[test]
fn waits_stay_in_their_range_and_most_are_late() {
    let mut random = 7;
    let drawn = |random: &mut u64, late| -> Vec<u32> {
        (0..20_000).map(|_| core::draw(random, 99, late)).collect()
    };
    let even = drawn(&mut random, false);
    let late = drawn(&mut random, true);
    for draws in [&even, &late] {
        assert!(draws.contains(&99) && draws.iter().all(|&wait| wait <= 99));
    }
    let early = |draws: &[u32]| draws.iter().filter(|&&wait| wait < 50).count();
    assert!((9_000..11_000).contains(&early(&even)), "{}", early(&even));
    // (sqrt(1024) - 1) / 1023 of them by RFC 5740's distribution: 606.
    assert!((450..800).contains(&early(&late)), "{}", early(&late));
    assert_eq!(core::draw(&mut random, 0, true), 0);
    assert_eq!(core::draw(&mut random, 0, false), 0);
    let full = (0..2000).map(|_| core::draw(&mut random, u32::MAX, true));
    assert!(full.max() > Some(u32::MAX / 2));
}

/// Waits that leave nothing to chance, so that C and Rust do the same at the same moment.
fn configs(max_parity: u32) -> (core::Config, rust::Config) {
    let ms = Duration::from_millis;
    let c = core::Config {
        first_nack: (20, 20),
        introduce: (50, 50),
        silence: (100, 100),
        stall: (1000, 1000),
        max_doublings: 4,
        max_restarts: 5,
        give_up: 30_000,
        max_bytes: 1 << 20,
        max_parity,
        group_len: 6,
    };
    let wait =
        |(shortest, longest): (u32, u32)| Wait::between(ms(shortest.into()), ms(longest.into()));
    let rust = rust::Config {
        first_nack: wait(c.first_nack),
        introduce: wait(c.introduce),
        silence: wait(c.silence),
        stall: wait(c.stall),
        max_doublings: c.max_doublings,
        give_up: ms(c.give_up),
        max_bytes: c.max_bytes,
        max_gaps: usize::MAX,
        reach: u64::MAX,
        max_parity: max_parity as usize,
        can_move: true,
        max_restarts: c.max_restarts,
    };
    (c, rust)
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(ms))
}

fn end(failure: &Failure) -> End {
    match failure {
        Failure::NoServer { .. } => End::NoServer,
        Failure::NoData { .. } => End::NoData,
        Failure::Silent { .. } => End::Silent,
        Failure::Refused { .. } => End::Refused,
        Failure::Unstable { .. } => End::Unstable,
        Failure::Dismissed { .. } => End::Dismissed,
    }
}

type Blocks = Vec<(u64, Vec<u8>)>;

/// What Rust's outputs say, in C's words, and the blocks that it computed. Rust says goodbye always,
/// C only if it ever spoke.
fn actions(
    outputs: rust::Outputs<'_>,
    stopped: bool,
    spoke: bool,
) -> (core::Actions<'_>, Option<Blocks>) {
    let mut computed = None;
    let mut actions = core::Actions {
        started: None,
        restarted: None,
        write: None,
        rebuild: false,
        join: None,
        send: None,
        end: stopped.then_some(End::Stopped),
        wake: None,
    };
    let header = |header: TransferHeader| core::Header {
        transaction: header.transaction().0.get(),
        total_bytes: header.total_bytes(),
        block_size: header.block_size().get().into(),
    };
    for output in outputs {
        match output {
            Output::Started { header: h } => actions.started = Some(header(h)),
            Output::Restarted { header: h } => actions.restarted = Some(header(h)),
            Output::Write { offset, payload } => actions.write = Some((offset, payload)),
            Output::Rebuild(rebuild) => {
                actions.rebuild = true;
                let window: Vec<u8> = rebuild.span().map(stored).collect();
                computed = Some(rebuild.solve(&window).collect());
            }
            Output::Join(group) => actions.join = Some(group),
            Output::Send(bytes) if bytes == [0] && !spoke => {}
            Output::Send(bytes) => actions.send = Some(bytes),
            Output::Complete => actions.end = Some(End::Complete),
            Output::Failed(failure) => actions.end = Some(end(&failure)),
            Output::Timeout(at) => actions.wake = Some(at.since_start().as_millis() as u64),
        }
    }
    (actions, computed)
}

/// What stands at `offset` of every file here.
fn stored(offset: u64) -> u8 {
    (offset * 7 + (offset >> 8)) as u8
}

struct Pair {
    c: Client,
    rust: Receiver,
    now: u64,
    wake: Option<u64>,
    /// Windows completed.
    rebuilt: u64,
}

impl Pair {
    fn new(max_parity: u32) -> Pair {
        let (c, rust) = configs(max_parity);
        Pair {
            c: Client::new(0, &c, 1),
            rust: Receiver::new(at(0), rust, 1),
            now: 0,
            wake: Some(20),
            rebuilt: 0,
        }
    }

    /// Both take the same at the same moment, and must say the same.
    fn handle(&mut self, input: Input<'_>) -> Option<End> {
        let spoke = self.c.nacks() > 0;
        let c = self.c.handle(self.now, input);
        let now = at(self.now);
        let spoke = spoke || self.c.nacks() > 0;
        let (rust, rebuilt) = match input {
            Input::Multicast(datagram) => {
                let outputs = self.rust.handle(now, rust::Input::Multicast(datagram));
                actions(outputs, false, spoke)
            }
            Input::Unicast(datagram) => {
                let outputs = self.rust.handle(now, rust::Input::Unicast(datagram));
                actions(outputs, false, spoke)
            }
            Input::Timeout => actions(self.rust.handle(now, rust::Input::Timeout), false, spoke),
            Input::Stop => actions(self.rust.stop(), true, spoke),
        };
        assert_eq!(c, rust, "at {} ms, after {input:02x?}", self.now);
        if let Some(rebuilt) = rebuilt {
            let read = |offset: u64, block: &mut [u8]| {
                for (at, byte) in (offset..).zip(block) {
                    *byte = stored(at);
                }
            };
            assert_eq!(self.c.rebuild(read), rebuilt);
            self.rebuilt += 1;
        }
        let stats = self.rust.stats();
        let last = stats.last_rejection.map(rejection);
        assert_eq!(self.c.rejected(), (stats.rejected, last));
        self.wake = c.wake;
        c.end
    }
}

fn transfer(transaction: u64, total: u64, size: u64) -> TransferHeader {
    let transaction = TransactionId(VarInt::new(transaction).unwrap());
    TransferHeader::new(transaction, total, BlockSize::new(size).unwrap()).unwrap()
}

fn data(header: &TransferHeader, block: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let offset = header.block_offset(BlockIndex(block));
    let end = offset + header.block_len(BlockIndex(block)) as u64;
    let payload: Vec<u8> = (offset..end).map(stored).collect();
    ServerPacket::Data {
        header: *header,
        block: BlockIndex(block),
        payload: &payload,
    }
    .encode(&mut out);
    out
}

fn sum(header: &TransferHeader, window: u64, row: u8) -> Vec<u8> {
    let size = usize::from(header.block_size().get());
    let blocks = window::blocks_of(window, header.block_count());
    let start = header.block_offset(BlockIndex(blocks.start));
    let end = header
        .total_bytes()
        .min(header.block_offset(BlockIndex(blocks.end)));
    let bytes: Vec<u8> = (start..end).map(stored).collect();
    let mut payload = vec![0; size];
    parity::encode(row, bytes.chunks(size), &mut payload);
    let mut out = Vec::new();
    ServerPacket::Parity {
        header: *header,
        parity: ParityIndex { window, row },
        payload: &payload,
    }
    .encode(&mut out);
    out
}

/// One random life of a client; how it ended, and how many windows it completed from parity.
fn life(seed: u64) -> (Option<End>, u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut transfers: Vec<TransferHeader> = (0..random.u64(1..4))
        .map(|id| transfer(id, random.u64(1..20_000), random.u64(1..1500)))
        .collect();
    transfers.push(transfer(9, (1 << 20) + 1, 1451));
    let mischief = [0.0, 0.02, 0.3][random.usize(0..3)];
    let silence = [0.0, 0.05, 0.5][random.usize(0..3)];
    let mut pair = Pair::new([0, 3, 48][random.usize(0..3)]);
    let parity = [0.0, 0.05, 0.3][random.usize(0..3)];
    let mut current = random.usize(0..transfers.len());
    let mut next = 0;
    for _ in 0..3000 {
        if random.f64() < silence {
            // Nothing comes until something is due.
            pair.now = pair.now.max(pair.wake.unwrap_or(0));
            if let Some(end) = pair.handle(Input::Timeout) {
                return (Some(end), pair.rebuilt);
            }
            continue;
        }
        pair.now += random.u64(0..40);
        if random.f64() < mischief / 20.0 {
            current = random.usize(0..transfers.len());
            next = 0;
        }
        let header = &transfers[current];
        let mut datagram = if random.f64() < 0.1 {
            header.encode().as_bytes().to_vec()
        } else if random.f64() < parity {
            // Few rows, so that some come twice.
            let window = random.u64(0..window::windows(header.block_count()));
            sum(header, window, random.u8(0..16))
        } else {
            next = if random.f64() < 0.7 {
                (next + 1) % header.block_count()
            } else {
                random.u64(0..header.block_count())
            };
            data(header, next)
        };
        let solicit = datagram.len() == header.encode().as_bytes().len();
        if solicit && random.f64() < 0.002 {
            datagram.push(0);
        } else if solicit && random.f64() < 0.3 {
            // Two groups, one that has no port, and one that is none.
            let (address, port) = [(239, 7), (239, 8), (239, 0), (10, 7)][random.usize(0..4)];
            datagram.extend([0, address, 255, 2, 1, 39, port]);
        }
        if random.f64() < mischief {
            match random.u8(0..4) {
                0 => datagram.truncate(random.usize(0..=datagram.len())),
                1 => datagram.push(random.u8(..)),
                2 => {
                    let at = random.usize(0..datagram.len());
                    datagram[at] ^= 1 << random.u8(0..8);
                }
                _ => datagram = (0..random.usize(0..30)).map(|_| random.u8(..)).collect(),
            }
        }
        let input = match (solicit, random.f64() < mischief) {
            (true, false) | (false, true) => Input::Unicast(&datagram),
            (true, true) | (false, false) => Input::Multicast(&datagram),
        };
        let ended = pair.handle(input).or_else(|| {
            // Timers that came due meanwhile.
            let due = pair.wake.is_some_and(|wake| wake <= pair.now);
            due.then(|| pair.handle(Input::Timeout)).flatten()
        });
        if ended.is_some() {
            // Nothing moves the dead.
            for input in [Input::Timeout, Input::Multicast(&datagram), Input::Stop] {
                let actions = pair.c.handle(pair.now + 1, input);
                assert_eq!(
                    (actions.write, actions.send, actions.wake),
                    (None, None, None)
                );
            }
            return (ended, pair.rebuilt);
        }
    }
    (pair.handle(Input::Stop), pair.rebuilt)
}

#[test]
fn c_and_rust_live_the_same_lives() {
    let seeds = match std::env::var("SLAMBOOT_CORE_SEED") {
        Ok(seed) => vec![seed.parse().expect("SLAMBOOT_CORE_SEED is a number")],
        Err(_) => (0..2000).collect::<Vec<u64>>(),
    };
    let mut ends = std::collections::BTreeMap::new();
    let mut rebuilt = 0;
    for seed in seeds.iter().copied() {
        let life = std::panic::catch_unwind(|| life(seed));
        let Ok((end, windows)) = life else {
            panic!("seed {seed}: SLAMBOOT_CORE_SEED={seed} cargo test -p firmware --test core");
        };
        *ends.entry(format!("{end:?}")).or_insert(0) += 1;
        rebuilt += windows;
    }
    println!("{ends:?}, {rebuilt} windows completed from parity");
    if seeds.len() > 1 {
        assert!(rebuilt > 300, "{rebuilt} windows completed from parity");
        for end in [
            "Complete",
            "Stopped",
            "Silent",
            "Unstable",
            "Refused",
            "Dismissed",
        ] {
            assert!(
                ends.contains_key(&format!("Some({end})")),
                "no {end}: {ends:?}"
            );
        }
    }
}

/// As `docs/slam-wire.md` says.
#[test]
fn a_client_is_moved_and_asked_back() {
    let header = transfer(1, 5000, 1000);
    let mut client = Client::new(0, &core::Config::default(), 3);
    let solicit = header.encode();
    let group: SocketAddr = "239.255.2.1:10000".parse().unwrap();
    let moving = solicit.move_to(group);
    assert_eq!(
        moving[solicit.as_bytes().len()..],
        [0, 239, 255, 2, 1, 0x27, 0x10]
    );
    let decoded = core::decode(&moving).unwrap();
    assert_eq!(decoded.content, Content::Move(group));
    let first = data(&header, 0);
    client.handle(1, Input::Multicast(&first));
    // It says that it can be moved, and that it takes parity.
    let nack = Some(vec![0x21, 0x24, 0, 0x23]);
    let mut ask = |now, datagram: &[u8]| {
        let actions = client.handle(now, Input::Unicast(datagram));
        assert_eq!(actions.send, nack, "it answers, and keeps what it has");
        actions.join
    };
    assert_eq!(ask(2, solicit.as_bytes()), None);
    assert_eq!(ask(3, &moving), Some(Some(group)));
    // Lost, and said again: it is there already.
    assert_eq!(ask(4, &moving), None);
    let third: SocketAddr = "239.255.2.2:10000".parse().unwrap();
    assert_eq!(ask(5, &solicit.move_to(third)), Some(Some(third)));
    assert_eq!(ask(6, solicit.as_bytes()), Some(None));
    assert_eq!(ask(7, solicit.as_bytes()), None);

    let mut refuse = |datagram: &[u8]| {
        let (before, _) = client.rejected();
        let actions = client.handle(8, Input::Unicast(datagram));
        assert_eq!((actions.join, actions.send), (None, None));
        assert_eq!(client.rejected(), (before + 1, Some(Rejection::Group)));
    };
    for wrong in ["10.0.0.1:10000", "239.255.2.1:0", "[ff15::5a]:10000"] {
        refuse(&solicit.move_to(wrong.parse().unwrap()));
    }
    // To the group it is nobody's.
    let actions = client.handle(8, Input::Multicast(&moving));
    assert_eq!((actions.join, actions.send), (None, None));
    // A download by IPv6 is moved by IPv6.
    let config = core::Config {
        group_len: 18,
        ..core::Config::default()
    };
    let mut client = Client::new(0, &config, 3);
    let group = "[ff15::15a]:10000".parse().unwrap();
    let actions = client
        .handle(1, Input::Unicast(&solicit.move_to(group)))
        .join;
    assert_eq!(actions, Some(Some(group)));
}

/// Answers every wake with nothing, until the client gives up.
fn abandoned(client: &mut Client, mut now: u64) -> (End, u64, Vec<Vec<u8>>) {
    let mut sent = Vec::new();
    loop {
        let actions = client.handle(now, Input::Timeout);
        sent.extend(actions.send);
        match (actions.end, actions.wake) {
            (Some(end), _) => return (end, now, sent),
            (None, Some(wake)) => {
                assert!(wake > now, "it would spin at {now}");
                now = wake;
            }
            (None, None) => panic!("neither ended nor waiting"),
        }
    }
}

#[test]
fn an_unheard_client_asks_at_once_backs_off_and_says_so() {
    for seed in 0..200 {
        let mut client = Client::new(0, &core::Config::default(), seed);
        let first = client.handle(0, Input::Timeout);
        let asked = first.wake.unwrap_or(0);
        assert!(asked <= 20, "first NACK after {asked} ms");
        let (end, now, sent) = abandoned(&mut client, asked.max(1));
        assert_eq!((end, now), (End::NoServer, 30_000), "seed {seed}");
        assert_eq!(sent.last(), Some(&vec![0]), "it says goodbye");
        assert!(
            sent[..sent.len() - 1]
                .iter()
                .all(|nack| nack == &[0x20, 0x21, 0]),
            "{sent:?}"
        );
        // 250 ms, 500 ms, ... 4 s at the longest; 1.6 s at the shortest.
        assert!((8..=24).contains(&sent.len()), "{} datagrams", sent.len());
    }
}

#[test]
fn a_listener_that_never_spoke_leaves_quietly() {
    let header = transfer(1, 1000, 1451);
    let mut client = Client::new(0, &core::Config::default(), 1);
    let block = data(&header, 0);
    let actions = client.handle(0, Input::Multicast(&block));
    assert_eq!(actions.end, Some(End::Complete));
    assert_eq!(actions.send, None);
}

#[test]
fn garbage_keeps_nobody_alive() {
    let header = transfer(1, 100_000, 1000);
    let mut client = Client::new(0, &core::Config::default(), 3);
    let block = data(&header, 0);
    client.handle(10, Input::Multicast(&block));
    let mut zero = int_bytes(5);
    zero.extend([0x20, 0x41, 0x00, 0x20]);
    let mut long = block.clone();
    long.push(0);
    let solicit = header.encode().as_bytes().to_vec();
    let mut ended = None;
    for now in 11..40_000 {
        for junk in [&b"\x00\x20"[..], &zero, &long, &block[..9], &[]] {
            client.handle(now, Input::Multicast(junk));
        }
        if now % 500 == 0 {
            // Not garbage, but no data either.
            client.handle(now, Input::Unicast(&solicit));
        }
        if let Some(end) = client.handle(now, Input::Timeout).end {
            ended = Some((end, now));
            break;
        }
    }
    assert_eq!(ended, Some((End::Silent, 30_010)));
}

#[test]
fn what_cannot_be_held_is_refused_and_costs_nothing() {
    let good = transfer(1, 3000, 1000);
    let mut client = Client::new(0, &core::Config::default(), 3);
    client.handle(1, Input::Multicast(&data(&good, 0)));
    // 2^52 blocks: no machine has the memory to count them.
    let vast = transfer(2, 1 << 52, 1);
    let actions_end = client.handle(2, Input::Multicast(&data(&vast, 0))).end;
    assert_eq!(actions_end, None);
    assert_eq!(client.rejected(), (1, Some(Rejection::NoMemory)));
    client.handle(3, Input::Multicast(&data(&good, 1)));
    let last = data(&good, 2);
    let actions = client.handle(4, Input::Multicast(&last));
    assert_eq!(actions.end, Some(End::Complete));
    // From the start it is refused, too, and the end says why.
    let mut client = Client::new(0, &core::Config::default(), 3);
    client.handle(1, Input::Multicast(&data(&vast, 0)));
    let (end, ..) = abandoned(&mut client, 40);
    assert_eq!(end, End::Refused);
    assert_eq!(client.rejected(), (1, Some(Rejection::NoMemory)));
}

#[test]
fn a_file_beyond_what_32_bits_count_completes() {
    // 5 GiB in blocks of 64 KiB less a little: offsets beyond 2^32, and a short last block.
    let header = transfer(1, 5 << 30, 65_507);
    let mut client = Client::new(0, &core::Config::default(), 3);
    let count = header.block_count();
    let mut bytes = 0;
    for block in (0..count).rev() {
        let datagram = data(&header, block);
        let actions = client.handle(1, Input::Multicast(&datagram));
        let (offset, payload) = actions.write.expect("each block is new");
        assert_eq!(offset, header.block_offset(BlockIndex(block)));
        bytes += payload.len() as u64;
        assert_eq!(actions.end.is_some(), block == 0);
    }
    assert_eq!(bytes, 5 << 30);
}

/// One sum with a wrong byte would make wrong blocks of right ones.
#[test]
fn a_neighbours_parity_is_forgotten_with_its_blocks() {
    let header = transfer(1, 3000, 1000);
    let mut client = Client::new(0, &core::Config::default(), 3);
    assert!(client.heed(false));
    let whole = data(&header, 0);
    client.handle(1, Input::Multicast(&whole));
    assert!(client.heed(false));
    let mut forged = Vec::new();
    let number = BlockIndex(header.block_count());
    header.encode().encode_data_prefix(number, &mut forged);
    forged.extend([0xee; 1000]);
    client.handle(1, Input::Multicast(&forged));
    for block in 0..3 {
        assert!(client.heed(true));
        let honest = data(&header, block);
        let actions = client.handle(2, Input::Multicast(&honest));
        assert!(actions.write.is_some(), "block {block} is the server's");
        assert_eq!(actions.end, (block == 2).then_some(End::Complete));
    }
}

/// A neighbour that knows the transfer is believed only as long as the server was not heard, and
/// what it sent is asked for again.
#[test]
fn nobody_but_the_server_is_believed_once_it_was_heard() {
    let header = transfer(1, 3000, 1000);
    let mut client = Client::new(0, &core::Config::default(), 3);
    let forged = |block| {
        let mut datagram = data(&header, block);
        *datagram.last_mut().unwrap() ^= 1;
        datagram
    };
    // The server may send from another of its addresses: until it is heard, all are one.
    assert!(client.heed(false));
    let first = forged(0);
    assert!(client.handle(1, Input::Multicast(&first)).write.is_some());
    assert!(client.heed(false));
    let second = forged(1);
    assert!(client.handle(1, Input::Multicast(&second)).write.is_some());
    assert!(client.heed(true));
    let last = data(&header, 2);
    let actions = client.handle(2, Input::Multicast(&last));
    assert_eq!(actions.end, None, "two of three blocks are the neighbour's");
    assert!(!client.heed(false));
    assert_eq!(client.rejected(), (1, Some(Rejection::Foreign)));
    let mut written = Vec::new();
    for block in [0, 1] {
        assert!(client.heed(true));
        let honest = data(&header, block);
        let actions = client.handle(3, Input::Multicast(&honest));
        written.extend(
            actions
                .write
                .map(|(offset, bytes)| (offset, bytes.to_vec())),
        );
        assert_eq!(actions.end, (block == 1).then_some(End::Complete));
    }
    let block = |number: u64| data(&header, number).split_off(data(&header, 0).len() - 1000);
    assert_eq!(written, [(0, block(0)), (1000, block(1))]);
}
