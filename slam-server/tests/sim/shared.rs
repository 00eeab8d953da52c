// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server with several files: what its rooms share.

use std::time::Duration;

use site::{BitRate, Priority};

use super::world::{Content, Forged, Kind, Life, World};
use super::{LIMIT, MIB, room, run};

/// Two rooms of one server with a file each, of which the second is four times as important.
fn two_rooms(kind: Kind) -> World {
    let mut guests = room(kind, 8, 0.001);
    for guest in &mut guests[4..] {
        guest.session = 1;
    }
    let mut world = World::gigabit(50, 16 * MIB, guests);
    let content = Content {
        number: 2,
        bytes: 16 * MIB,
    };
    world.lives.push(Life {
        content,
        ..world.lives[0].clone()
    });
    world.total_rate = Some(BitRate::from_bits_per_second(100_000_000));
    world.priorities = [2, 8].map(|number| Priority::new(number).unwrap()).to_vec();
    world
}

/// When the last of these was complete.
fn last(done: &[Option<Duration>]) -> f64 {
    let seconds = done.iter().map(|done| done.expect("completes"));
    seconds.max().unwrap().as_secs_f64()
}

#[test]
fn two_rooms_share_a_total_rate_by_priority() {
    for kind in [Kind::Ours, Kind::Firmware, Kind::Stock] {
        let world = two_rooms(kind);
        let report = run(&world, LIMIT);
        let first = report.first_heard.unwrap().as_secs_f64();
        let (low, high) = (last(&report.done[..4]), last(&report.done[4..]));
        let (low, high) = (low - first, high - first);
        // Both files at the total rate, framing counted.
        let both = 2.0 * 16.0 * MIB as f64 * 8.0 / 100e6;
        println!("{kind:?}: {low:.2} s and {high:.2} s, both files {both:.2} s");
        assert!(low > both, "{kind:?}: faster than the total rate: {low}");
        assert!(low < both * 1.15, "{kind:?}: {low} s for both files");
        // Four fifths of the rate until it is done: 0.625 of the time of both.
        let part = high / low;
        assert!((0.55..0.72).contains(&part), "{kind:?}: {part}");
        assert_eq!(report.totals.finished, 8, "{kind:?}");
    }
}

/// Nobody hears the other room's group, and each room finishes for itself.
#[test]
fn a_room_that_joins_late_takes_its_share() {
    let mut world = two_rooms(Kind::Ours);
    world.priorities.clear();
    for guest in &mut world.guests[4..] {
        guest.begins = Duration::from_millis(700);
    }
    let report = run(&world, LIMIT);
    let (first, second) = (last(&report.done[..4]), last(&report.done[4..]));
    let one = 16.0 * MIB as f64 * 8.0 / 100e6;
    // The first has all of the rate for 0.6 s and half of it then.
    let expected = 2.0 * one - 0.6;
    assert!(
        (first / expected - 1.0).abs() < 0.12,
        "{first} of {expected}"
    );
    assert!(second < 2.0 * one * 1.15, "{second}");
}

/// A host that floods the port of one room is barred: what it asked for until then is sent once
/// more, and that is all.
#[test]
fn a_flood_is_barred_and_costs_a_pass_at_most() {
    let quiet = run(&two_rooms(Kind::Ours), LIMIT);
    let mut world = two_rooms(Kind::Ours);
    for number in 0..60_000_u64 {
        let when = Duration::from_micros(100_000 + number * 25);
        // It asks for everything, from one port and then another.
        let from = Forged::FromOutside(1 + (number % 50) as u16);
        world.attacks.push((when, from, vec![0x20, 0x21, 0]));
    }
    let flooded = run(&world, LIMIT);
    assert!(flooded.refused > 40_000, "{} were refused", flooded.refused);
    let (before, after) = (last(&quiet.done), last(&flooded.done));
    let pass = 16.0 * MIB as f64 * 8.0 / 100e6;
    assert!(
        after < (before + pass) * 1.05,
        "{after} s instead of {before} s"
    );
}
