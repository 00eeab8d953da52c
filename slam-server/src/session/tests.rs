// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use site::BitRate;
use slam_client::wire::{BlockSize, MAX_NACK_LEN, Nack, TransactionId, VarInt};
use slam_client::{BlockIndex, BlockSet};

const BLOCK: u64 = 1000;

fn session(blocks: u64) -> Session {
    let transaction = TransactionId(VarInt::new(7).unwrap());
    let size = BlockSize::new(BLOCK).unwrap();
    Session::new(&SessionConfig {
        header: TransferHeader::new(transaction, blocks * BLOCK - 1, size).unwrap(),
        rate: RateLimits::below(BitRate::from_bits_per_second(1_000_000_000)),
        start: Start::AT_ONCE,
        slow_clients: SlowClients::Serve,
    })
}

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], number))
}

fn nack(held: &BlockSet, count: u64) -> Vec<u8> {
    let mut out = Vec::new();
    ClientPacket::Nack(Nack::for_gaps(held, count, MAX_NACK_LEN)).encode(&mut out);
    out
}

/// Runs a session against clients that list all gaps, answer every solicit after `trip`, and
/// lose the blocks that `lost` says, the first time.
fn run(session: &mut Session, clients: &[u16], lost: &dyn Fn(u16, u64) -> bool) -> (u64, Duration) {
    let count = session.header().block_count();
    let trip = Duration::from_micros(200);
    let mut now = Timestamp::from_start(Duration::from_secs(1));
    let mut held: Vec<BlockSet> = clients.iter().map(|_| BlockSet::new()).collect();
    let mut seen: Vec<BlockSet> = held.clone();
    let mut inbox: VecDeque<(Timestamp, usize, Vec<u8>)> = (0..clients.len())
        .map(|at| (now, at, vec![0x20, 0x21, 0]))
        .collect();
    let (start, mut sent) = (now, 0);
    for _ in 0..10_000_000 {
        while let Some((_, at, datagram)) = inbox.pop_front_if(|(due, ..)| *due <= now) {
            session.handle(address(clients[at]), &datagram, now);
        }
        match session.poll(now) {
            Output::Send(run) => {
                sent += run.end - run.start;
                for (at, number) in clients.iter().enumerate() {
                    for block in run.clone() {
                        let first_time = seen[at].insert(BlockIndex(block));
                        if !(first_time && lost(*number, block)) {
                            held[at].insert(BlockIndex(block));
                        }
                    }
                }
            }
            Output::Solicit(client) => {
                let at = clients
                    .iter()
                    .position(|&number| address(number) == client)
                    .unwrap();
                let answer = if held[at].len() == count {
                    vec![0]
                } else {
                    nack(&held[at], count)
                };
                inbox.push_back((now + trip, at, answer));
            }
            Output::Event(SessionEvent::Idle(totals)) => {
                assert_eq!(totals.finished, clients.len() as u64);
                assert!(held.iter().all(|held| held.len() == count));
                return (sent, now.since(start));
            }
            Output::Event(_) | Output::Dismiss(_) => {}
            Output::Timeout(next) => {
                let next = next
                    .into_iter()
                    .chain(inbox.front().map(|(due, ..)| *due))
                    .min();
                now = now.max(next.expect("an active session always has a next moment"));
            }
        }
    }
    panic!("no end: {session:?}");
}

#[test]
fn one_client_without_loss_gets_the_file_once_at_the_ceiling() {
    let blocks = 100_000;
    let (sent, took) = run(&mut session(blocks), &[1], &|_, _| false);
    assert_eq!(sent, blocks);
    let bound = blocks * 8 * (BLOCK + 66 + 12) / 1000;
    assert!(
        took.as_micros() < u128::from(bound) * 110 / 100,
        "{took:?} of {bound} us"
    );
}

#[test]
fn thirty_clients_cost_what_one_does() {
    let blocks = 20_000;
    let clients: Vec<u16> = (1..=30).collect();
    let (sent, _) = run(&mut session(blocks), &clients, &|_, _| false);
    assert!(sent < blocks * 101 / 100, "{sent}");
}

#[test]
fn different_losses_are_merged() {
    let blocks = 20_000;
    let clients: Vec<u16> = (1..=4).collect();
    let lost = |client: u16, block: u64| block % 200 == u64::from(client);
    let (sent, _) = run(&mut session(blocks), &clients, &lost);
    assert!(sent < blocks * 105 / 100, "{sent}");
}

#[test]
fn a_nack_past_the_end_is_rejected_and_costs_nothing() {
    let mut session = session(10);
    let now = Timestamp::ZERO;
    session.handle(address(1), &[0x9f, 0xff, 0xff, 0xff, 0x21, 0], now);
    assert_eq!(
        session.poll(now),
        Output::Event(SessionEvent::Rejected {
            from: address(1),
            reason: Rejection::PastTheEnd {
                found: (1 << 29) - 1,
                count: 10
            }
        })
    );
    assert_eq!(session.poll(now), Output::Timeout(None));
}

#[test]
fn garbage_is_counted_and_bounded() {
    let mut session = session(10);
    for _ in 0..10_000 {
        session.handle(address(1), b"garbage", Timestamp::ZERO);
    }
    assert_eq!(session.events.len(), MAX_EVENTS);
    assert_eq!(session.totals.rejected, 10_000);
    assert!(!session.is_active());
}

#[test]
fn a_client_that_vanishes_ends_the_session_after_its_silence() {
    let mut session = session(10);
    let mut now = Timestamp::from_start(Duration::from_secs(1));
    session.handle(address(1), &[0x20, 0x21, 0], now);
    let (mut silent, mut sent) = (None, 0);
    loop {
        match session.poll(now) {
            Output::Timeout(Some(next)) => now = now.max(next),
            Output::Timeout(None) => break,
            Output::Event(SessionEvent::ClientSilent { silent_for, .. }) => {
                silent = Some(silent_for);
            }
            Output::Send(run) => sent += run.end - run.start,
            Output::Solicit(_) | Output::Event(_) | Output::Dismiss(_) => {}
        }
    }
    assert_eq!(sent, 10);
    let silent = silent.expect("the client was noticed to be gone");
    assert!((16..18).contains(&silent.as_secs()), "{silent:?}");
}

#[test]
fn a_client_that_hears_nothing_gives_up_and_is_not_called_finished() {
    let mut session = session(10);
    let mut now = Timestamp::from_start(Duration::from_secs(1));
    session.handle(address(1), &[0x20, 0x21, 0], now);
    for _ in 0..200 {
        match session.poll(now) {
            Output::Timeout(Some(next)) => now = now.max(next),
            // It answers every solicit, but no block ever reaches it.
            Output::Solicit(client) => session.handle(client, &[0x20, 0x21, 0], now),
            _ => {}
        }
    }
    session.handle(address(1), &[0], now);
    let mut events = std::iter::from_fn(|| match session.poll(now) {
        Output::Event(event) => Some(event),
        _ => None,
    });
    let gave_up = |event| {
        matches!(
            event,
            SessionEvent::ClientGaveUp {
                missing: Some(0),
                ..
            }
        )
    };
    assert!(events.any(gave_up));
}

/// As one without memory for the file does, as soon as it knows the length.
#[test]
fn a_client_that_breaks_off_is_not_called_finished() {
    let mut session = session(100_000);
    let mut now = Timestamp::from_start(Duration::from_secs(1));
    let mut sent = 0;
    let mut left = Vec::new();
    // The second one comes when the session runs already.
    for client in [1, 2] {
        session.handle(address(client), &[0x20, 0x21, 0, 0x21], now);
        let enough = sent + 50;
        while sent < enough {
            match session.poll(now) {
                Output::Send(run) => sent += run.end - run.start,
                Output::Solicit(at) if at == address(1) => {
                    session.handle(at, &[0x20, 0x21, 0, 0x21], now);
                }
                Output::Timeout(next) => now = now.max(next.unwrap()),
                _ => {}
            }
        }
    }
    for client in [1, 2] {
        session.handle(address(client), &[0], now);
        while let Output::Event(event) = session.poll(now) {
            left.push(event);
        }
    }
    let broke_off =
        |event: &&SessionEvent| matches!(event, SessionEvent::ClientGaveUp { missing: None, .. });
    assert_eq!(left.iter().filter(broke_off).count(), 2, "{left:?}");
    let Some(SessionEvent::Idle(totals)) = left.last() else {
        panic!("{left:?}");
    };
    assert_eq!((totals.gave_up, totals.finished), (2, 0));
}

/// It was here before, so it may hold whatever it does not ask for.
#[test]
fn a_client_that_a_restarted_server_serves_the_rest_is_finished() {
    let mut session = session(2000);
    let mut now = Timestamp::from_start(Duration::from_secs(1));
    let held: BlockSet = [0..1000, 1001..2000].into_iter().collect();
    session.handle(address(1), &nack(&held, 2000), now);
    loop {
        match session.poll(now) {
            Output::Send(_) => break,
            Output::Timeout(next) => now = now.max(next.unwrap()),
            _ => {}
        }
    }
    session.handle(address(1), &[0], now);
    let mut events = std::iter::from_fn(|| match session.poll(now) {
        Output::Event(event) => Some(event),
        _ => None,
    });
    assert!(events.any(|event| matches!(event, SessionEvent::ClientFinished { .. })));
}

#[test]
fn stopping_tells_what_was_sent() {
    let mut session = session(10);
    let now = Timestamp::from_start(Duration::from_secs(1));
    session.handle(address(1), &[0x20, 0x21, 0], now);
    while !matches!(session.poll(now), Output::Send(_)) {}
    session.stop(now);
    let Output::Event(SessionEvent::Idle(totals)) = session.poll(now) else {
        panic!("totals");
    };
    assert!(totals.sent_blocks > 0);
    assert_eq!(session.poll(now), Output::Timeout(None));
}

#[test]
fn a_disconnect_by_a_stranger_ends_nothing() {
    let mut session = session(10);
    session.handle(address(1), &[0x20, 0x21, 0], Timestamp::ZERO);
    session.handle(address(2), &[0], Timestamp::ZERO);
    assert!(session.is_active());
    session.handle(address(1), &[0], Timestamp::ZERO);
    assert!(!session.is_active());
}

/// A stream of newcomers would keep a file alive for ever that was replaced.
#[test]
fn after_the_last_call_nobody_else_comes_in() {
    let mut session = session(100);
    let now = Timestamp::from_start(Duration::from_secs(1));
    session.handle(address(1), &[0x20, 0x21, 0], now);
    session.call_last();
    session.handle(address(2), &[0x20, 0x21, 0], now);
    assert!(session.has(address(1)) && !session.has(address(2)));
    // Who is there is served to the end.
    session.handle(
        address(1),
        &[0x20, 0x24, 0],
        now + Duration::from_millis(100),
    );
    let mut events = std::iter::from_fn(|| match session.poll(now) {
        Output::Event(event) => Some(event),
        _ => None,
    });
    let replaced = |event| {
        matches!(
            event,
            SessionEvent::Rejected {
                reason: Rejection::Replaced,
                ..
            }
        )
    };
    assert!(events.any(replaced));
    session.handle(address(1), &[0], now);
    assert!(!session.is_active());
}

/// A client that answers each question, and never gets anything; when it was let go, and whether it was told so.
fn let_go(replaced: bool) -> (Option<Duration>, bool) {
    let mut session = session(100);
    let start = Timestamp::from_start(Duration::from_secs(1));
    let mut now = start;
    session.handle(address(1), &[0x20, 0x21, 0], now);
    if replaced {
        session.call_last();
    }
    let (mut dropped, mut told) = (None, false);
    while now.since(start) < Duration::from_mins(3) {
        match session.poll(now) {
            Output::Timeout(Some(next)) => now = now.max(next),
            Output::Timeout(None) => break,
            Output::Solicit(client) => {
                now += Duration::from_micros(200);
                session.handle(client, &nack(&BlockSet::new(), 100), now);
            }
            Output::Event(SessionEvent::ClientDropped { after, by_hand, .. }) => {
                assert!(!by_hand);
                dropped = Some(after);
            }
            Output::Dismiss(client) => told = client == address(1),
            Output::Send(_) | Output::Event(_) => {}
        }
    }
    (dropped, told)
}

#[test]
fn who_gets_nowhere_is_let_go_once_others_wait_for_the_end() {
    assert_eq!(let_go(false), (None, false));
    let (dropped, told) = let_go(true);
    let after = dropped.expect("it was let go");
    assert!((60..70).contains(&after.as_secs()), "{after:?}");
    assert!(told);
}
