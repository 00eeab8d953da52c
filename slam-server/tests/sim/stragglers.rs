// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stock clients that come late and only listen, while a slow client keeps the group busy: nobody
//! knows of them before it has been silent for a second.

use std::time::Duration;

use site::BitRate;

use super::network::Report;
use super::world::{Guest, Kind, World};
use super::{LIMIT, MIB, run};

const COME: Duration = Duration::from_secs(3);

/// One that takes 30 Mbit/s, so many that take all there is, and so many that come late.
fn report(kind: Kind, quick: usize, late: u32) -> Report {
    let mut guests = vec![Guest {
        ring: 16,
        service: Duration::from_micros(400),
        ..Guest::new(kind)
    }];
    guests.extend(vec![Guest::new(kind); quick]);
    guests.extend((0..late).map(|number| Guest {
        begins: COME + Duration::from_millis(100) * number,
        ..Guest::new(Kind::Stock)
    }));
    let mut world = World::gigabit(36, 100 * MIB, guests);
    world.max_rate = BitRate::from_bits_per_second(300_000_000);
    run(&world, LIMIT)
}

/// They would wait until the slow one has all, 30 and 38 seconds.
#[test]
fn who_only_listens_is_found_while_a_slow_client_is_served() {
    for (kind, quick) in [(Kind::Firmware, 0), (Kind::Stock, 4)] {
        let alone = report(kind, quick, 0).done[0].expect("completes");
        let report = report(kind, quick, 3);
        println!("{kind:?} alone {alone:?} {:?}", report.done);
        let done = |client: usize| report.done[client].expect("completes");
        for late in quick + 1..quick + 4 {
            let waited = done(late).saturating_sub(COME);
            assert!(waited < Duration::from_secs(24), "{kind:?}: {waited:?}");
        }
        assert!(done(0) < alone.mul_f64(1.15), "{:?} and {alone:?}", done(0));
    }
}
