// SPDX-License-Identifier: MIT OR Apache-2.0
//! A flood in the name of a client, through the guard that stands before the server.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use site::{BitRate, Priority, SlowClients};
use slam_client::wire::{
    BlockSize, ClientPacket, MAX_NACK_LEN, Nack, TransactionId, TransferHeader, VarInt,
};
use slam_client::{BlockSet, Timestamp};
use slam_server::{Guard, Output, RateLimits, Server, SessionConfig, SessionId, Start};

const BLOCKS: u64 = 50_000;
const TRIP: Duration = Duration::from_micros(150);

/// When a client that loses every hundredth block is complete, `flood` arriving in its name 10,000
/// times a second; `None`: not within a minute.
fn done(flood: Option<&[u8]>) -> Option<Duration> {
    let client = SocketAddr::from(([10, 0, 0, 1], 1000));
    let transaction = TransactionId(VarInt::new(7).unwrap());
    let size = BlockSize::new(1000).unwrap();
    let (id, mut server, mut guard) = (SessionId(0), Server::new(), Guard::default());
    let config = SessionConfig {
        header: TransferHeader::new(transaction, BLOCKS * 1000, size).unwrap(),
        rate: RateLimits::below(BitRate::from_bits_per_second(1_000_000_000)),
        start: Start::AT_ONCE,
        slow_clients: SlowClients::Serve,
    };
    server.replace(id, &config, Priority::default());
    let (mut held, mut sent) = (BlockSet::new(), 0_u64);
    let start = Timestamp::from_start(Duration::from_secs(1));
    let mut now = start;
    let mut answers: VecDeque<(Timestamp, Vec<u8>)> = [(now, vec![0x20, 0x21, 0])].into();
    let mut next_forged = now + Duration::from_millis(10);
    while now.since(start) < Duration::from_mins(1) {
        let mut hear = |datagram: &[u8], server: &mut Server| {
            let is_awaited = || server.awaits(id, client, datagram);
            if guard.admit(client, None, is_awaited, now).is_ok() {
                server.handle(id, client, datagram, now);
            }
        };
        while next_forged <= now {
            if let Some(flood) = flood {
                hear(flood, &mut server);
            }
            next_forged += Duration::from_micros(100);
        }
        while let Some((_, answer)) = answers.pop_front_if(|(due, _)| *due <= now) {
            hear(&answer, &mut server);
        }
        let wake = loop {
            match server.poll(now) {
                Ok((_, _, Output::Send(run))) => {
                    for block in run {
                        sent += 1;
                        if !sent.is_multiple_of(100) && block < BLOCKS {
                            held.insert_run(block..block + 1);
                        }
                    }
                }
                Ok((_, _, Output::Solicit(_))) => {
                    let mut answer = Vec::new();
                    let nack = Nack::for_gaps(&held, BLOCKS, MAX_NACK_LEN);
                    ClientPacket::Nack(nack).encode(&mut answer);
                    answers.push_back((now + TRIP, answer));
                }
                Ok(_) => {}
                Err(wake) => break wake,
            }
        };
        if held.len() == BLOCKS {
            return Some(now.since(start));
        }
        let next = answers.front().map(|(due, _)| *due);
        let next = next.into_iter().chain(wake).chain([next_forged]).min();
        now = next.expect("a forged one always comes").max(now);
    }
    None
}

/// Answers that are waited for are heard although the address is barred; but not those that come
/// after a forged one, which is believed.
#[test]
fn noise_in_the_name_of_a_client_does_not_silence_it() {
    let quiet = done(None).expect("completes");
    let flooded = done(Some(b"noise")).expect("completes");
    assert!(flooded < quiet * 2, "{flooded:?} instead of {quiet:?}");
}
