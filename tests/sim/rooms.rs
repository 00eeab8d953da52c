// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rooms that wait for each other, and clients that are too slow for theirs.

use std::time::Duration;

use site::{BitRate, SlowClients};
use slamboot::slam::Start;

use super::world::{Guest, Kind, World};
use super::{LIMIT, MIB, figures, room, run};

fn joining(kind: Kind, clients: u32, apart: Duration) -> Vec<Guest> {
    let joiner = |number| Guest {
        begins: apart * number,
        ..Guest::new(kind)
    };
    (0..clients).map(joiner).collect()
}

/// Seconds between the first and the last client's completion.
fn spread(done: &[Option<Duration>]) -> f64 {
    let seconds = |done: &Option<Duration>| done.expect("completes").as_secs_f64();
    let done = done.iter().map(seconds);
    done.clone().fold(0.0, f64::max) - done.fold(f64::MAX, f64::min)
}

#[test]
fn a_full_room_gets_the_file_once() {
    // Half a second apart: served at once, they would cost 3.5 times the file.
    let apart = Duration::from_millis(500);
    for kind in [Kind::Stock, Kind::Firmware, Kind::Ours] {
        let mut world = World::gigabit(21, 200 * MIB, joining(kind, 16, apart));
        world.start.clients = Some(16);
        let figures = figures(&world);
        assert!(figures.sent < 1.05, "{kind:?}: {}", figures.sent);
        assert!(spread(&figures.report.done) < 0.5, "{kind:?}");
    }
}

#[test]
fn a_room_that_does_not_fill_begins_all_the_same() {
    for kind in [Kind::Stock, Kind::Firmware, Kind::Ours] {
        let mut world = World::gigabit(22, 8 * MIB, room(kind, 3, 0.0));
        // Longer than a stock client lives without multicast.
        let wait = Duration::from_secs(40);
        world.start = Start {
            clients: Some(30),
            wait: Some(wait),
        };
        let report = run(&world, LIMIT);
        for done in &report.done {
            let done = done.unwrap_or_else(|| panic!("{kind:?} gave up while waiting"));
            assert!(done > wait, "{kind:?}: {done:?}");
            assert!(done < wait + Duration::from_secs(3), "{kind:?}: {done:?}");
        }
        assert_eq!(report.totals.finished, 3);
    }
}

#[test]
fn who_leaves_a_waiting_room_is_not_counted_any_more() {
    let mut guests = joining(Kind::Stock, 4, Duration::from_secs(1));
    guests[0].dies = Some(Duration::from_secs(3));
    // Noticed by the time the third one comes.
    guests[2].begins = Duration::from_secs(24);
    guests[3].begins = Duration::from_secs(40);
    let mut world = World::gigabit(23, 8 * MIB, guests);
    world.start.clients = Some(3);
    let report = run(&world, LIMIT);
    assert!(report.done[0].is_none());
    for done in &report.done[1..] {
        assert!(done.expect("completes") > Duration::from_secs(40));
    }
}

#[test]
fn who_comes_late_is_served_by_the_carousel() {
    let mut guests = room(Kind::Ours, 4, 0.0);
    guests[3].begins = Duration::from_millis(400);
    let mut world = World::gigabit(24, 64 * MIB, guests);
    world.start.clients = Some(3);
    let figures = figures(&world);
    assert!(figures.sent < 2.0, "{}", figures.sent);
}

/// Takes 30 Mbit/s where others take all there is.
fn slow(kind: Kind) -> Guest {
    Guest {
        ring: 16,
        service: Duration::from_micros(400),
        ..Guest::new(kind)
    }
}

fn with_a_slow_one(kind: Kind, policy: SlowClients) -> World {
    let mut guests = room(kind, 8, 0.0);
    guests.push(slow(kind));
    let mut world = World::gigabit(25, 500 * MIB, guests);
    world.max_rate = BitRate::from_bits_per_second(300_000_000);
    world.slow_clients = policy;
    world
}

#[test]
fn a_slow_client_is_dropped_where_that_is_the_policy() {
    let least = BitRate::from_bits_per_second(60_000_000);
    for kind in [Kind::Firmware, Kind::Ours] {
        let report = run(&with_a_slow_one(kind, SlowClients::DropBelow(least)), LIMIT);
        assert_eq!(report.totals.dropped, 1, "{kind:?}");
        assert!(report.done[..8].iter().all(Option::is_some), "{kind:?}");
        // It may not have heard that, and is then served once nobody else is there.
        assert!(report.done[8].is_none_or(|done| Some(done) > report.done[0]));
    }
}

#[test]
fn a_slow_client_costs_the_others_little_where_it_is_served() {
    let quick = |world: &World| {
        let report = run(world, LIMIT);
        assert_eq!(report.totals.dropped, 0);
        let done = report.done[..8].iter().map(|done| done.expect("completes"));
        done.max().unwrap().as_secs_f64()
    };
    let mut without = with_a_slow_one(Kind::Ours, SlowClients::Serve);
    without.guests.pop();
    let alone = quick(&without);
    let beside = quick(&with_a_slow_one(Kind::Ours, SlowClients::Serve));
    assert!(beside < alone * 1.05, "{beside} s instead of {alone} s");
}

#[test]
fn the_slowest_decides_where_that_is_the_policy() {
    let mut world = with_a_slow_one(Kind::Ours, SlowClients::Cap);
    world.lives[0].content.bytes = 200 * MIB;
    let figures = figures(&world);
    // Nobody is left behind for long, and hardly anything is sent twice.
    assert!(
        spread(&figures.report.done) < 3.0,
        "{:?}",
        figures.report.done
    );
    assert!(figures.sent < 1.25, "{}", figures.sent);
}
