// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many that do not answer, or no longer: whoever is left is served as if they were not there.

use std::time::Duration;

use super::world::{Forged, Guest, Kind, World};
use super::{MIB, figures, room};

const FIRST_WORD: &[u8] = &[0x20, 0x21, 0];

/// When half of what a room gets has been sent.
fn midway(kind: Kind) -> Duration {
    match kind {
        Kind::Stock => Duration::from_millis(1150),
        Kind::Ours | Kind::Firmware => Duration::from_millis(200),
    }
}

/// A switch of the room loses its power.
#[test]
fn forty_of_sixty_four_who_die_together_cost_the_rest_nothing() {
    for kind in [Kind::Ours, Kind::Firmware, Kind::Stock] {
        let mut world = World::gigabit(31, 32 * MIB, room(kind, 64, 0.001));
        let alive = figures(&world).time;
        for guest in &mut world.guests[24..] {
            guest.dies = Some(midway(kind));
        }
        let rest = figures(&world).time;
        assert!(rest < alive * 1.05, "{kind:?}: {rest} instead of {alive}");
    }
}

/// Requests from 64 ports of a host, of which none is a client.
#[test]
fn those_who_never_were_cost_the_rest_nothing() {
    for kind in [Kind::Ours, Kind::Firmware, Kind::Stock] {
        let mut world = World::gigabit(32, 32 * MIB, room(kind, 8, 0.001));
        let alone = figures(&world).time;
        for number in 0..64u16 {
            let when = midway(kind) + Duration::from_micros(10) * u32::from(number);
            let from = Forged::FromOutside(2000 + number);
            world.attacks.push((when, from, FIRST_WORD.to_vec()));
        }
        let beside = figures(&world).time;
        assert!(
            beside < alone * 1.05,
            "{kind:?}: {beside} instead of {alone}"
        );
    }
}

/// Requests in the name of 61 hosts, before it is known how fast three can be served: those who
/// are not there have no voice in that.
#[test]
fn hosts_that_never_were_do_not_keep_the_rate_low() {
    for kind in [Kind::Ours, Kind::Firmware, Kind::Stock] {
        let mut world = World::gigabit(33, 32 * MIB, room(kind, 3, 0.0));
        let alone = figures(&world).time;
        let nobody = Guest {
            begins: Duration::MAX / 4,
            dies: Some(Duration::ZERO),
            ..Guest::new(kind)
        };
        world.guests.extend(vec![nobody; 61]);
        for guest in 3..64 {
            let first = match kind {
                Kind::Stock => Duration::from_millis(1002),
                Kind::Ours | Kind::Firmware => Duration::from_millis(60),
            };
            world
                .attacks
                .push((first, Forged::FromGuest(guest), FIRST_WORD.to_vec()));
        }
        let beside = figures(&world).time;
        // Once, until they have been asked in vain: some 40 ms.
        let once = 0.04 / world.bound().as_secs_f64();
        assert!(
            beside < alone * 1.05 + once,
            "{kind:?}: {beside} instead of {alone}"
        );
    }
}
