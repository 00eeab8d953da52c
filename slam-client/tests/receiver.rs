// SPDX-License-Identifier: MIT OR Apache-2.0
//! The receiver, input by input, in simulated time.

use std::net::SocketAddr;
use std::time::Duration;

use slam_client::wire::{
    BlockSize, ClientPacket, MAX_NACK_LEN, Nack, ServerPacket, TransactionId, TransferHeader,
    VarInt, WireError,
};
use slam_client::{
    BlockIndex, BlockSet, Config, Failure, Input, Output, Receiver, Rejection, Timestamp, Wait,
};

const SEED: u64 = 42;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(ms))
}

fn header(id: u64, total: u64, block_size: u64) -> TransferHeader {
    let id = TransactionId(VarInt::new(id).unwrap());
    TransferHeader::new(id, total, BlockSize::new(block_size).unwrap()).unwrap()
}

fn data(header: TransferHeader, block: u64) -> Vec<u8> {
    let payload = vec![block as u8; header.block_len(BlockIndex(block))];
    let mut out = Vec::new();
    ServerPacket::Data {
        header,
        block: BlockIndex(block),
        payload: &payload,
    }
    .encode(&mut out);
    out
}

fn solicit(header: TransferHeader) -> Vec<u8> {
    header.encode().as_bytes().to_vec()
}

/// A receiver and what came out of it, with payloads copied.
struct Bench {
    receiver: Receiver,
    next: Option<Timestamp>,
}

#[derive(Debug, PartialEq)]
enum Seen {
    Started(TransferHeader),
    Restarted(TransferHeader),
    Write(u64, usize),
    Rebuild(u64),
    Join(Option<SocketAddr>),
    Nack(Nack),
    Disconnect,
    Complete,
    Failed(Failure),
}

impl Bench {
    fn new(config: Config) -> Self {
        Bench::with(Receiver::new(at(0), config, SEED))
    }

    fn with(receiver: Receiver) -> Self {
        let mut bench = Bench {
            receiver,
            next: None,
        };
        assert_eq!(bench.take(at(0), Input::Timeout), []);
        bench
    }

    fn take(&mut self, now: Timestamp, input: Input<'_>) -> Vec<Seen> {
        let mut seen = Vec::new();
        self.next = None;
        for output in self.receiver.handle(now, input) {
            assert_eq!(self.next, None, "the timeout comes last");
            seen.push(match output {
                Output::Started { header } => Seen::Started(header),
                Output::Restarted { header } => Seen::Restarted(header),
                Output::Write { offset, payload } => Seen::Write(offset, payload.len()),
                Output::Rebuild(rebuild) => Seen::Rebuild(rebuild.blocks()),
                Output::Join(group) => Seen::Join(group),
                Output::Send(bytes) => {
                    assert!(bytes.len() <= MAX_NACK_LEN);
                    match ClientPacket::decode(&bytes).expect("valid") {
                        ClientPacket::Nack(nack) => Seen::Nack(nack),
                        ClientPacket::Disconnect => Seen::Disconnect,
                    }
                }
                Output::Complete => Seen::Complete,
                Output::Failed(failure) => Seen::Failed(failure),
                Output::Timeout(then) => {
                    self.next = Some(then);
                    continue;
                }
            });
        }
        assert_eq!(self.next.is_none(), self.receiver.has_ended());
        seen
    }

    fn group(&mut self, ms: u64, datagram: &[u8]) -> Vec<Seen> {
        self.take(at(ms), Input::Multicast(datagram))
    }

    fn server(&mut self, ms: u64, datagram: &[u8]) -> Vec<Seen> {
        self.take(at(ms), Input::Unicast(datagram))
    }

    /// Goes on to the next thing that it does by itself: when (ms), and what.
    fn wait(&mut self) -> (u64, Vec<Seen>) {
        loop {
            let now = self.next.expect("not ended");
            let seen = self.take(now, Input::Timeout);
            if !seen.is_empty() {
                return (now.since_start().as_millis() as u64, seen);
            }
            assert!(self.next > Some(now), "waits for something in the future");
        }
    }
}

fn list(held: &[std::ops::Range<u64>], count: u64) -> Seen {
    let held: BlockSet = held.iter().cloned().collect();
    Seen::Nack(Nack::for_gaps(&held, count, MAX_NACK_LEN - 1).able_to_move())
}

#[test]
fn asks_soon_when_nothing_is_heard_then_ever_more_rarely_then_gives_up() {
    let mut bench = Bench::new(Config::default());
    let (first, seen) = bench.wait();
    assert!((20..=100).contains(&first), "{first} ms");
    assert_eq!(seen, [Seen::Nack(Nack::initial())]);
    let mut last = first;
    let mut gaps = Vec::new();
    let (end, seen) = loop {
        let (ms, seen) = bench.wait();
        if seen != [Seen::Nack(Nack::initial())] {
            break (ms, seen);
        }
        gaps.push(ms - last);
        last = ms;
    };
    assert!((200..=500).contains(&gaps[0]), "{gaps:?}");
    assert!((400..=1000).contains(&gaps[1]), "{gaps:?}");
    assert!(
        gaps[3..].iter().all(|gap| (1600..=4000).contains(gap)),
        "{gaps:?}"
    );
    assert_eq!(end, 30_000);
    let nacks = gaps.len() as u64 + 1;
    assert_eq!(
        seen,
        [Seen::Disconnect, Seen::Failed(Failure::NoServer { nacks })]
    );
    assert!(nacks < 30_000 / 1600 + 5, "{nacks} NACKs");
}

#[test]
fn clients_do_not_speak_at_once() {
    let mut times: Vec<u64> = (0..50)
        .map(|seed| {
            let mut receiver = Receiver::new(at(0), Config::default(), seed);
            match receiver.handle(at(0), Input::Timeout).last() {
                Some(Output::Timeout(then)) => then.since_start().as_micros() as u64,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), 50);
    assert!(times[49] - times[0] > 50_000, "{times:?}");
}

#[test]
fn a_solicit_starts_the_transfer_and_is_answered_with_all_gaps() {
    let header = header(7, 10 * 100 - 1, 100);
    let mut bench = Bench::new(Config::default());
    assert_eq!(
        bench.server(1, &solicit(header)),
        [Seen::Started(header), list(&[], 10)]
    );
    for block in [1, 2, 5, 9] {
        let len = header.block_len(BlockIndex(block));
        assert_eq!(
            bench.group(2, &data(header, block)),
            [Seen::Write(block * 100, len)]
        );
    }
    assert_eq!(bench.group(3, &data(header, 5)), []);
    assert_eq!(
        bench.server(4, &solicit(header)),
        [list(&[1..3, 5..6, 9..10], 10)]
    );
    for block in [8, 7, 6, 4, 3] {
        bench.group(5, &data(header, block));
    }
    assert_eq!(
        bench.group(6, &data(header, 0)),
        [Seen::Write(0, 100), Seen::Disconnect, Seen::Complete]
    );
    let stats = *bench.receiver.stats();
    assert_eq!((stats.blocks, stats.bytes, stats.duplicates), (10, 999, 1));
    assert_eq!((stats.solicits, stats.nacks), (2, 2));
    // Nothing more, whatever comes.
    assert_eq!(bench.server(7, &solicit(header)), []);
    assert_eq!(bench.take(at(99_999), Input::Timeout), []);
}

#[test]
fn a_client_is_moved_and_asked_back() {
    let header = header(7, 1000, 100);
    let mut bench = Bench::new(Config::default());
    bench.group(1, &data(header, 0));
    let group = |last: u8| SocketAddr::from(([239, 255, 2, last], 10000));
    let moving = |last| header.encode().move_to(group(last));
    let told = |group| [Seen::Join(group), list(&[0..1], 10)];
    assert_eq!(bench.server(2, &moving(1)), told(Some(group(1))));
    assert_eq!(bench.receiver.group(), Some(group(1)));
    // What is known already is a question like any other.
    assert_eq!(bench.server(3, &moving(1)), [list(&[0..1], 10)]);
    assert_eq!(bench.server(4, &moving(2)), told(Some(group(2))));
    assert_eq!(bench.server(5, &solicit(header)), told(None));
    assert_eq!(bench.server(6, &solicit(header)), [list(&[0..1], 10)]);
    assert_eq!(bench.receiver.stats().moves, 3);
    // To the group it is nobody's.
    assert_eq!(bench.group(7, &moving(1)), []);
    let last = bench.receiver.stats().last_rejection;
    assert_eq!(last, Some(Rejection::Unmovable(group(1))));
    assert_eq!(bench.receiver.group(), None);
}

#[test]
fn who_cannot_move_says_so_and_stays() {
    let header = header(7, 1000, 100);
    let config = Config {
        can_move: false,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    let held = BlockSet::new();
    let asks = Seen::Nack(Nack::for_gaps(&held, 10, MAX_NACK_LEN));
    assert_eq!(
        bench.server(1, &solicit(header)),
        [Seen::Started(header), asks]
    );
    let group = SocketAddr::from(([239, 255, 2, 1], 10000));
    assert_eq!(bench.server(2, &header.encode().move_to(group)), []);
    let last = bench.receiver.stats().last_rejection;
    assert_eq!(last, Some(Rejection::Unmovable(group)));
}

#[test]
fn who_only_listened_says_good_bye_too() {
    let header = header(7, 100, 100);
    let mut bench = Bench::new(Config::default());
    assert_eq!(
        bench.group(1, &data(header, 0)),
        [
            Seen::Started(header),
            Seen::Write(0, 100),
            Seen::Disconnect,
            Seen::Complete
        ]
    );
}

#[test]
fn a_nack_never_exceeds_a_datagram() {
    let header = header(7, 5_000 * 100, 100);
    let mut bench = Bench::new(Config::default());
    for block in (0..5_000).step_by(2) {
        bench.group(1, &data(header, block));
    }
    let seen = bench.server(2, &solicit(header));
    let [Seen::Nack(nack)] = &seen[..] else {
        panic!("{seen:?}")
    };
    let named: Vec<_> = nack.missing().runs().collect();
    assert!(named.len() > 700, "{} gaps named", named.len());
    assert!(
        named
            .iter()
            .zip(0..)
            .all(|(run, n)| *run == (2 * n + 1..2 * n + 2))
    );
}

#[test]
fn a_late_starter_introduces_itself_once_and_then_listens() {
    let header = header(7, 100_000 * 100, 100);
    let mut bench = Bench::new(Config::default());
    bench.group(10, &data(header, 500));
    let mut nacks = Vec::new();
    for ms in 11..5_000 {
        bench.group(ms, &data(header, 490 + ms));
        while let Some(then) = bench.next.filter(|&then| then <= at(ms)) {
            nacks.extend(
                bench
                    .take(then, Input::Timeout)
                    .into_iter()
                    .map(|seen| (ms, seen)),
            );
        }
    }
    // Data kept coming: no more words are needed, until the server sends nothing new.
    let [(ms, Seen::Nack(nack))] = &nacks[..] else {
        panic!("{nacks:?}")
    };
    assert!((30..=210).contains(ms), "{ms} ms");
    assert_eq!(nack.missing().runs().next(), Some(0..500));
}

#[test]
fn silence_is_broken_after_a_moment() {
    let header = header(7, 1000, 100);
    let mut bench = Bench::new(Config::default());
    bench.server(0, &solicit(header));
    bench.group(1000, &data(header, 0));
    let (ms, seen) = bench.wait();
    assert!((1100..=1250).contains(&ms), "{ms} ms");
    assert_eq!(seen, [list(&[0..1], 10)]);
    // Nothing helps: rarer and rarer.
    let (second, _) = bench.wait();
    assert!((200..=500).contains(&(second - ms)), "{} ms", second - ms);
    // Something helps: soon again.
    bench.group(5000, &data(header, 1));
    let (third, seen) = bench.wait();
    assert!((5100..=5250).contains(&third), "{third} ms");
    assert_eq!(seen, [list(&[0..2], 10)]);
}

#[test]
fn blocks_for_others_are_no_silence_but_no_progress_either() {
    let header = header(7, 1000, 100);
    let mut bench = Bench::new(Config::default());
    bench.server(0, &solicit(header));
    bench.group(0, &data(header, 0));
    let mut nacks = Vec::new();
    for ms in 1..10_000 {
        bench.group(ms, &data(header, 0));
        while let Some(then) = bench.next.filter(|&then| then <= at(ms)) {
            bench.take(then, Input::Timeout);
            nacks.push(ms);
        }
    }
    assert!((1000..=2000).contains(&nacks[0]), "{nacks:?}");
    assert!((1..=4).contains(&nacks.len()), "{nacks:?}");
}

#[test]
fn solicits_and_rubbish_keep_nobody_alive() {
    let header = header(7, 1000, 100);
    let mut bench = Bench::new(Config::default());
    bench.group(0, &data(header, 3));
    let mut end = None;
    for ms in (0..40_000).step_by(100) {
        bench.server(ms, &solicit(header));
        bench.group(ms, b"rubbish");
        let due = bench.next.filter(|&then| then <= at(ms));
        if let Some(then) = due {
            let seen = bench.take(then, Input::Timeout);
            if bench.receiver.has_ended() {
                end = Some((ms, seen));
                break;
            }
        }
    }
    let (ms, seen) = end.expect("gave up");
    assert!((30_000..30_200).contains(&ms), "{ms} ms");
    assert_eq!(
        seen,
        [
            Seen::Disconnect,
            Seen::Failed(Failure::Silent { held: 1, count: 10 })
        ]
    );
}

#[test]
fn the_reason_of_a_failure_is_told() {
    let config = Config {
        give_up: Duration::from_secs(2),
        max_bytes: 1_000_000,
        ..Config::default()
    };
    let end = |datagrams: &[Input<'_>]| {
        let mut bench = Bench::new(config.clone());
        for &datagram in datagrams {
            bench.take(at(1), datagram);
        }
        loop {
            if let Seen::Failed(failure) = bench.wait().1.pop().unwrap() {
                return failure;
            }
        }
    };
    let good = solicit(header(7, 1000, 100));
    assert_eq!(
        end(&[Input::Unicast(&good)]),
        Failure::NoData { solicits: 1 }
    );
    let large = data(header(7, 1_000_001, 100), 0);
    assert_eq!(
        end(&[Input::Multicast(b"x"), Input::Multicast(&large)]),
        Failure::Refused {
            datagrams: 2,
            last: Rejection::TooLarge {
                limit: 1_000_000,
                found: 1_000_001
            }
        }
    );
    assert!(matches!(end(&[]), Failure::NoServer { .. }));
}

#[test]
fn another_header_starts_anew_with_nothing_kept() {
    let (old, new) = (header(7, 500, 100), header(8, 300, 100));
    let mut bench = Bench::new(Config::default());
    for block in 0..4 {
        bench.group(0, &data(old, block));
    }
    assert_eq!(
        bench.group(1, &data(new, 2)),
        [Seen::Restarted(new), Seen::Write(200, 100)]
    );
    let (now, held) = bench.receiver.transfer().unwrap();
    assert_eq!((*now, held), (new, &BlockSet::from_run(2..3)));
    // Same numbers, another transaction; by solicit.
    let newer = header(9, 300, 100);
    assert_eq!(
        bench.server(2, &solicit(newer)),
        [Seen::Restarted(newer), list(&[], 3)]
    );
    for block in 0..3 {
        bench.group(3, &data(newer, block));
    }
    assert!(bench.receiver.has_ended());
    assert_eq!(bench.receiver.stats().restarts, 2);
}

#[test]
fn two_servers_in_one_group_are_noticed() {
    let mut bench = Bench::new(Config::default());
    let servers = [header(7, 50_000, 100), header(8, 50_000, 100)];
    for n in 0_u64.. {
        let seen = bench.group(n, &data(servers[n as usize % 2], n));
        if bench.receiver.has_ended() {
            assert_eq!(
                seen.last(),
                Some(&Seen::Failed(Failure::Unstable { restarts: 65 }))
            );
            break;
        }
        assert!(n < 100, "goes on for ever");
    }
}

#[test]
fn what_is_not_slam_is_counted_and_changes_nothing() {
    let header = header(7, 950, 100);
    let long = {
        let mut datagram = data(header, 9);
        datagram.push(0);
        datagram
    };
    let cut = |n: usize| data(header, 9)[..data(header, 9).len() - n].to_vec();
    let rejected: &[(Input<'_>, Rejection)] = &[
        (
            Input::Multicast(&[]),
            WireError::Truncated {
                offset: 0,
                expected: 1,
                found: 0,
            }
            .into(),
        ),
        // Stock clients take this for a success without a byte.
        (
            Input::Multicast(&[0x00, 0x20]),
            WireError::IntLength { offset: 0 }.into(),
        ),
        // No bytes; a block size of 0; a block beyond the end and its parity.
        (
            Input::Multicast(&[0x21, 0x20, 0x21, 0x20]),
            WireError::EmptyTransfer.into(),
        ),
        (
            Input::Multicast(&[0x21, 0x21, 0x20, 0x20]),
            WireError::BlockSize { found: 0 }.into(),
        ),
        (
            Input::Multicast(&[0x21, 0x21, 0x21, 0x40, 0x81, 0xff]),
            WireError::BlockNumber {
                count: 1,
                found: 129,
            }
            .into(),
        ),
        // The last block, too long and too short.
        (
            Input::Multicast(&long),
            WireError::BlockLength {
                block: 9,
                expected: 50,
                found: 51,
            }
            .into(),
        ),
        (
            Input::Multicast(&cut(1)),
            WireError::BlockLength {
                block: 9,
                expected: 50,
                found: 49,
            }
            .into(),
        ),
        (
            Input::Multicast(&solicit(header)),
            Rejection::SolicitToGroup,
        ),
        (Input::Unicast(&data(header, 0)), Rejection::DataToClient),
    ];
    let mut bench = Bench::new(Config::default());
    let next = bench.next;
    for (number, &(input, rejection)) in (1..).zip(rejected) {
        assert_eq!(bench.take(at(0), input), [], "{rejection}");
        assert_eq!(bench.next, next, "{rejection} moved a timer");
        assert_eq!(bench.receiver.stats().rejected, number);
        assert_eq!(bench.receiver.stats().last_rejection, Some(rejection));
    }
    assert_eq!(bench.receiver.transfer(), None);
}

#[test]
fn resumes_what_is_the_same() {
    let header = header(7, 1000, 100);
    let held: BlockSet = [0..4, 6..10, 12..40].into_iter().collect();
    let resume = || {
        Bench::with(Receiver::resume(
            at(0),
            Config::default(),
            SEED,
            header,
            held.clone(),
        ))
    };
    let mut bench = resume();
    // Before the server has confirmed it, nothing is asked but block 0.
    assert_eq!(bench.wait().1, [Seen::Nack(Nack::initial())]);
    assert_eq!(
        bench.server(200, &solicit(header)),
        [Seen::Started(header), list(&[0..4, 6..10], 10)]
    );
    assert_eq!(bench.group(201, &data(header, 0)), []);
    bench.group(202, &data(header, 5));
    assert_eq!(
        bench.group(203, &data(header, 4)),
        [Seen::Write(400, 100), Seen::Disconnect, Seen::Complete]
    );

    let other = self::header(8, 1000, 100);
    assert_eq!(
        resume().server(1, &solicit(other)),
        [Seen::Restarted(other), list(&[], 10)]
    );
}

#[test]
fn a_whole_file_is_resumed_only_once_the_server_confirms_it() {
    let header = header(7, 1000, 100);
    let whole = BlockSet::from_run(0..10);
    for by_data in [false, true] {
        let mut bench = Bench::with(Receiver::resume(
            at(0),
            Config::default(),
            SEED,
            header,
            whole.clone(),
        ));
        let seen = if by_data {
            bench.group(1, &data(header, 3))
        } else {
            bench.server(1, &solicit(header))
        };
        assert_eq!(
            seen,
            [Seen::Started(header), Seen::Disconnect, Seen::Complete]
        );
    }
}

#[test]
fn leaves_politely_when_stopped() {
    let mut bench = Bench::new(Config::default());
    let mut outputs = bench.receiver.stop();
    assert_eq!(outputs.next(), Some(Output::Send(vec![0])));
    assert_eq!(outputs.next(), None);
    assert_eq!(bench.receiver.stop().next(), None);
    assert_eq!(bench.take(at(5), Input::Timeout), []);
}

#[test]
fn memory_is_bounded_by_gaps() {
    let header = header(7, 1 << 40, 1000);
    let config = Config {
        max_gaps: 100,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    let mut writes = 0;
    for n in 0..10_000 {
        writes += bench
            .group(0, &data(header, n * 7919))
            .iter()
            .filter(|seen| matches!(seen, Seen::Write(..)))
            .count();
    }
    let (_, held) = bench.receiver.transfer().unwrap();
    assert!(held.run_count() <= 101);
    assert_eq!(held.len(), writes as u64);
    assert_eq!(bench.receiver.stats().unkept, 10_000 - writes as u64);
    // What fills a gap is still welcome.
    assert_eq!(bench.group(1, &data(header, 1)), [Seen::Write(1000, 1000)]);
    assert_eq!(
        bench.group(1, &data(header, 7918)),
        [Seen::Write(7_918_000, 1000)]
    );
}

#[test]
fn only_what_is_within_reach_is_kept_and_asked_for() {
    let header = header(8, 100_000, 1000);
    let config = Config {
        reach: 10_500,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    bench.group(0, &data(header, 9));
    assert_eq!(bench.group(0, &data(header, 10)), [], "too far ahead");
    assert_eq!(bench.receiver.stats().unkept, 1);
    assert_eq!(bench.group(0, &data(header, 0)), [Seen::Write(0, 1000)]);
    // The first gap has moved, and with it what is within reach.
    assert_eq!(
        bench.group(0, &data(header, 10)),
        [Seen::Write(10_000, 1000)]
    );
    let held: BlockSet = [0..1, 9..11].into_iter().collect();
    let asked = bench.take(at(0), Input::Unicast(&solicit(header)));
    assert_eq!(
        asked,
        [Seen::Nack(
            Nack::for_gaps(&held, 11, MAX_NACK_LEN).able_to_move()
        )]
    );
    // The first missing block is always within reach, and it all comes to an end.
    let config = Config {
        reach: 0,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    for block in 0..99 {
        assert_eq!(
            bench.group(0, &data(header, block)).last(),
            Some(&Seen::Write(block * 1000, 1000))
        );
    }
    let end = bench.group(0, &data(header, 99));
    assert_eq!(end.last(), Some(&Seen::Complete));
}

#[test]
fn waits_can_be_configured() {
    let config = Config {
        first_nack: Wait::between(Duration::from_secs(1), Duration::from_secs(1)),
        give_up: Duration::from_millis(1500),
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    assert_eq!(bench.wait().0, 1000);
    let (ms, seen) = loop {
        let (ms, seen) = bench.wait();
        if bench.receiver.has_ended() {
            break (ms, seen);
        }
    };
    assert_eq!(ms, 1500);
    assert!(matches!(seen[1], Seen::Failed(Failure::NoServer { .. })));
}
