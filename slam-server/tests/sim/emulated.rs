// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lone machines that take less than the link gives: in an emulator, with a long queue before a guest that
//! the host stops now and then, and PCs with the small rings of iPXE's drivers.

use std::time::Duration;

use site::BitRate;

use super::world::{Guest, Kind, World};
use super::{MIB, figures};

const BYTES: u64 = 64 * MIB;
const KINDS: [Kind; 3] = [Kind::Ours, Kind::Firmware, Kind::Stock];

/// What it took over what the guest takes at the least, and how often the file was sent.
fn beside_its_own_speed(world: &World) -> (f64, f64) {
    let figures = figures(world);
    let guest = &world.guests[0];
    let awake = guest.pauses.map_or(1.0, |(length, period)| {
        1.0 - length.as_secs_f64() / period.as_secs_f64()
    });
    let blocks = BYTES as f64 / f64::from(super::network::BLOCK);
    let bound = world.bound().as_secs_f64();
    let least = (guest.service.as_secs_f64() * blocks).max(bound) / awake;
    let took = figures.time * bound;
    (took / least, figures.sent)
}

/// How long something stops, each time how long has passed.
fn milliseconds((length, period): (u64, u64)) -> (Duration, Duration) {
    (Duration::from_millis(length), Duration::from_millis(period))
}

/// The link to a machine in an emulator on the server's own host is its memory.
fn behind_a_tap(seed: u64, guest: Guest) -> World {
    World {
        link: BitRate::from_bits_per_second(20_000_000_000),
        max_rate: BitRate::from_bits_per_second(10_000_000_000),
        ..World::gigabit(seed, BYTES, vec![guest])
    }
}

/// A tap device queues 500 or 1,000 packets and the file is sent at up to 10 Gbit/s: however slow the guest
/// is, what it cannot take yet is neither sent into the queue until that is full, nor taken for lost
/// because answers are late.
#[test]
fn an_emulated_machine_sets_the_pace() {
    let stops = [None, Some((1, 20)), Some((10, 100))];
    for (kind, queue, micros) in KINDS
        .into_iter()
        .flat_map(|kind| [500, 1000].map(|queue| (kind, queue)))
        .flat_map(|(kind, queue)| [14, 30, 60].map(|micros| (kind, queue, micros)))
    {
        for stops in stops {
            let guest = Guest {
                ring: queue,
                service: Duration::from_micros(micros),
                pauses: stops.map(milliseconds),
                ..Guest::new(kind)
            };
            let world = behind_a_tap(50, guest);
            let (time, sent) = beside_its_own_speed(&world);
            let what = format!("{kind:?}, {queue} packets, {micros} us each, stops {stops:?}");
            assert!(time < 1.15, "{what}: {time}");
            assert!(sent < 1.02, "{what}: {sent}");
        }
    }
}

/// Beside an emulator the server is one of many processes on few processors: it wakes up late, and is stopped now and then.
#[test]
fn a_late_server_keeps_an_emulated_machine_busy() {
    for kind in KINDS {
        for (micros, late, stops) in [14, 30].into_iter().flat_map(|micros| {
            let lates = [
                (60, None),
                (300, None),
                (60, Some((1, 20))),
                (60, Some((5, 100))),
            ];
            lates.map(|(late, stops)| (micros, late, stops))
        }) {
            let guest = Guest {
                ring: 500,
                service: Duration::from_micros(micros),
                ..Guest::new(kind)
            };
            let mut world = behind_a_tap(53, guest);
            world.late = Duration::from_micros(late);
            world.stops = stops.map(milliseconds);
            let (time, sent) = beside_its_own_speed(&world);
            let what =
                format!("{kind:?}, {micros} us each, server {late} us late, stops {stops:?}");
            println!("{what}: {time:.2} {sent:.2}");
            assert!(time < 1.12, "{what}: {time}");
            assert!(sent < 1.02, "{what}: {sent}");
        }
    }
}

/// At 1 Gbit/s a packet comes every 12 us.
#[test]
fn a_slow_machine_with_a_small_ring_is_sent_what_it_takes() {
    for kind in [Kind::Ours, Kind::Firmware] {
        for (ring, micros) in [4, 8, 16, 64]
            .into_iter()
            .flat_map(|ring| [14, 30, 60].map(|micros| (ring, micros)))
        {
            let guest = Guest {
                ring,
                service: Duration::from_micros(micros),
                ..Guest::new(kind)
            };
            let (time, sent) = beside_its_own_speed(&World::gigabit(51, BYTES, vec![guest]));
            let what = format!("{kind:?}, a ring of {ring}, {micros} us each");
            println!("{what}: {time:.2} {sent:.2}");
            assert!(time < 1.4, "{what}: {time}");
            assert!(sent < 1.1, "{what}: {sent}");
        }
    }
}

/// Its host stops it now and then, and its ring holds little of what comes meanwhile: what is lost so is
/// no reason to send more slowly. With a lower rate after each stop, such a machine took up to 26 times as long.
#[test]
fn a_machine_with_a_small_ring_may_stop_now_and_then() {
    let rings = [4, 16, 64].map(|ring| [5, 30].map(|micros| (ring, micros)));
    let machines = rings.as_flattened().iter().flat_map(|&(ring, micros)| {
        [(1, 20), (10, 100)].map(|stops| (ring, Duration::from_micros(micros), stops))
    });
    for (ring, service, (length, period)) in machines {
        for kind in KINDS {
            for clients in [1, 3] {
                let guest = Guest {
                    ring,
                    service,
                    pauses: Some(milliseconds((length, period))),
                    ..Guest::new(kind)
                };
                let world = World::gigabit(52, BYTES, vec![guest; clients]);
                let (time, sent) = beside_its_own_speed(&world);
                let what = format!(
                    "{clients} x {kind:?}, a ring of {ring}, {service:?} each, stops {length} of {period} ms"
                );
                println!("{what}: {time:.2} {sent:.2}");
                assert!(time < 4.5, "{what}: {time}");
                assert!(sent < 2.5, "{what}: {sent}");
            }
        }
    }
}
