// SPDX-License-Identifier: MIT OR Apache-2.0
//! Garbage, forged datagrams, servers that restart, change their content or fight.

use std::time::Duration;

use super::world::{Content, Forged, Guest, Kind, Life, World};
use super::{LIMIT, MIB, figures, room, run};

#[test]
fn garbage_and_strangers_harm_nobody() {
    let mut random = fastrand::Rng::with_seed(8);
    let mut world = World::gigabit(8, 16 * MIB, room(Kind::Stock, 2, 0.0));
    let quiet = figures(&world);
    for number in 0..3000u64 {
        let when = Duration::from_micros(900_000 + number * 200);
        let datagram = match number % 3 {
            // What mini-slamd never recovers from: a block past the end.
            0 => vec![0x9f, 0xff, 0xff, 0xff, 0x21, 0],
            // A disconnect of somebody else.
            1 => vec![0],
            _ => (0..random.usize(0..40)).map(|_| random.u8(..)).collect(),
        };
        // As many as one address may have: the guard hears no more.
        let from = Forged::FromOutside(random.u16(1..=60));
        world.attacks.push((when, from, datagram));
    }
    let attacked = figures(&world);
    assert!(
        attacked.report.totals.rejected > 500,
        "{:?}",
        attacked.report.totals
    );
    assert!(
        attacked.time < quiet.time * 1.5,
        "{} and {}",
        attacked.time,
        quiet.time
    );
}

#[test]
fn garbage_to_clients_is_ignored() {
    let mut random = fastrand::Rng::with_seed(12);
    for kind in [Kind::Ours, Kind::Firmware, Kind::Stock] {
        let mut world = World::gigabit(12, 16 * MIB, room(kind, 2, 0.0));
        for number in 0..1000u64 {
            let when = Duration::from_micros(1_000_000 + number * 100);
            // An Int of no length first: no header, for anybody.
            let len = random.usize(0..60);
            let mut bytes = vec![0; len + 1];
            bytes[1..].fill_with(|| random.u8(0x21..));
            let to = match number % 2 {
                0 => Forged::ToGroup,
                _ => Forged::ToGuest(random.usize(0..2)),
            };
            world.attacks.push((when, to, bytes));
        }
        figures(&world);
    }
}

#[test]
fn forged_words_of_clients_cost_time_at_most() {
    let mut random = fastrand::Rng::with_seed(13);
    for kind in [Kind::Ours, Kind::Firmware, Kind::Stock] {
        let mut world = World::gigabit(13, 16 * MIB, room(kind, 3, 0.001));
        for number in 0..200u64 {
            let when = Duration::from_micros(900_000 + number * 5000);
            let bytes = match number % 4 {
                0 => vec![0],
                1 => vec![0x20, 0x21, 0],
                // Block 3 alone is missing; block 5,000 alone is.
                2 => vec![0x23, 0x21, 0],
                _ => vec![0x53, 0x88, 0x21, 0],
            };
            let from = Forged::FromGuest(random.usize(0..3));
            world.attacks.push((when, from, bytes));
        }
        let figures = figures(&world);
        assert!(figures.sent < 12.0, "{kind:?}: {}", figures.sent);
    }
}

/// Whole, well-formed blocks of another content, in the middle of the transfer and as if the server
/// had sent them: a client begins anew each time, and never has bytes of both.
#[test]
fn forged_headers_of_another_content_cost_time_and_no_byte() {
    let content = Content {
        number: 9,
        bytes: 5 * MIB,
    };
    for kind in [Kind::Ours, Kind::Firmware, Kind::Stock] {
        let mut world = World::gigabit(20, 16 * MIB, room(kind, 3, 0.001));
        let quiet = figures(&world);
        for number in 0..6_u32 {
            let when = Duration::from_millis(50) + Duration::from_millis(200) * number;
            let from = Forged::Block(content, u64::from(number) * 100);
            world.attacks.push((when, from, Vec::new()));
            // And a solicit with that header, to one of them.
            let when = when + Duration::from_millis(97);
            let solicit = super::network::header(content).encode();
            let from = Forged::ToGuest((number % 3) as usize);
            world
                .attacks
                .push((when, from, solicit.as_bytes().to_vec()));
        }
        let forged = figures(&world);
        // What was held is sent again, for each of them at worst.
        assert!(forged.sent < quiet.sent + 13.0, "{kind:?}: {}", forged.sent);
        assert!(
            forged.sent > quiet.sent + 0.1,
            "{kind:?}: nothing was forged"
        );
    }
}

/// A server that ends in the middle, and one that begins soon after at the same address.
fn followed_by(world: &mut World, second: Content) {
    let ends = Duration::from_millis(1080);
    world.lives[0].runs.end = ends;
    world.lives.push(Life {
        content: second,
        runs: ends + Duration::from_millis(300)..Duration::MAX,
        place: 0,
    });
}

#[test]
fn a_server_restarted_in_mid_transfer_goes_on() {
    for kind in [Kind::Ours, Kind::Firmware, Kind::Stock] {
        let mut world = World::gigabit(14, 16 * MIB, room(kind, 3, 0.001));
        for guest in &mut world.guests {
            guest.begins = match kind {
                Kind::Stock => Duration::ZERO,
                Kind::Ours | Kind::Firmware => Duration::from_secs(1),
            };
        }
        let second = world.content();
        followed_by(&mut world, second);
        let figures = figures(&world);
        // What the second one had to send: not all again, for the blocks are still held.
        assert!(figures.sent < 0.95, "{kind:?}: {}", figures.sent);
    }
}

#[test]
fn a_content_that_changes_in_mid_transfer_is_never_mixed() {
    for kind in [Kind::Ours, Kind::Firmware, Kind::Stock] {
        let mut world = World::gigabit(15, 16 * MIB, room(kind, 3, 0.001));
        let second = Content {
            number: 2,
            bytes: 17 * MIB,
        };
        followed_by(&mut world, second);
        figures(&world);
    }
}

#[test]
fn two_servers_with_the_same_content_help_each_other() {
    for kind in [Kind::Ours, Kind::Firmware, Kind::Stock] {
        let mut world = World::gigabit(16, 16 * MIB, room(kind, 3, 0.0));
        let mut other = world.lives[0].clone();
        other.place = 1;
        world.lives.push(other);
        figures(&world);
    }
}

/// Two servers whose administrators know nothing of each other, with a room each.
fn two_contents(seed: u64, kind: Kind, believes_its_own: bool) -> World {
    let asking = |asks| Guest {
        asks,
        believes_its_own,
        ..Guest::new(kind)
    };
    let guests = [0, 0, 0, 1, 1, 1].map(asking).to_vec();
    let mut world = World::gigabit(seed, 4 * MIB, guests);
    world.lives.push(Life {
        content: Content {
            number: 2,
            bytes: 5 * MIB,
        },
        place: 1,
        ..world.lives[0].clone()
    });
    world
}

#[test]
fn two_servers_with_different_contents_serve_those_who_know_their_own() {
    for kind in [Kind::Ours, Kind::Firmware] {
        let report = run(&two_contents(17, kind, true), LIMIT);
        assert!(
            report.done.iter().all(Option::is_some),
            "{kind:?}: {report:?}"
        );
    }
}

/// Stock clients begin anew with every block of the other server, ours give up. Nobody ever
/// completes with bytes of both, which is asserted on every event; and where nobody is left, nothing
/// is sent.
#[test]
fn two_servers_with_different_contents_are_never_mixed() {
    for kind in [Kind::Ours, Kind::Firmware, Kind::Stock] {
        let mut world = two_contents(18, kind, false);
        for guest in &mut world.guests {
            guest.dies = Some(Duration::from_secs(4));
        }
        let report = run(&world, Duration::from_mins(1));
        // Three rooms of four seconds at most, at the rate of the link.
        let most = world.link.bits_per_second() / 8 * 4;
        assert!(report.totals.sent_bytes < most, "{kind:?}: {report:?}");
    }
}

/// A host that speaks from 64 ports and says that it loses nearly everything.
#[test]
fn a_host_with_many_ports_does_not_outvote_the_room() {
    let world = World::gigabit(19, 64 * MIB, room(Kind::Ours, 4, 0.0));
    let quiet = figures(&world);
    let mut attacked = world;
    for round in 0..80u64 {
        for port in 0..64 {
            let when = Duration::from_micros(100_000 + round * 10_000 + u64::from(port) * 50);
            // It holds every other block of 2,000: 500 losses in each.
            let mut bytes = Vec::new();
            for _ in 0..500 {
                bytes.extend([0x21, 0x21]);
            }
            bytes.push(0);
            attacked
                .attacks
                .push((when, Forged::FromOutside(2000 + port), bytes));
        }
    }
    let attacked = figures(&attacked);
    assert!(
        attacked.time < quiet.time * 1.6,
        "{} and {}",
        attacked.time,
        quiet.time
    );
}
