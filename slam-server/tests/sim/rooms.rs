// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rooms that wait for each other, and clients that are too slow for theirs.

use std::time::Duration;

use site::{BitRate, SlowClients};
use slam_server::Start;

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

/// Takes about so many Mbit/s.
fn of_speed(kind: Kind, megabits: u32) -> Guest {
    Guest {
        ring: 16,
        service: Duration::from_millis(12) / megabits,
        ..Guest::new(kind)
    }
}

/// Some five seconds at 300 Mbit/s.
const SPLIT: u64 = 180 * MIB;

fn split() -> SlowClients {
    "split".parse().unwrap()
}

/// Eight clients that get 300 Mbit/s, and slower ones; when the last of the eight and each of the others
/// was done, and how many were moved.
fn beside_eight(seed: u64, kind: Kind, slow: Vec<Guest>) -> (f64, Vec<f64>, u64) {
    let mut guests = room(kind, 8, 0.0);
    guests.extend(slow);
    let mut world = World::gigabit(seed, SPLIT, guests);
    world.slow_clients = split();
    world.max_rate = BitRate::from_bits_per_second(300_000_000);
    let report = run(&world, LIMIT);
    let done = report.done.iter();
    let done: Vec<f64> = done
        .map(|done| done.expect("completes").as_secs_f64())
        .collect();
    let quick = done[..8].iter().copied().fold(0.0, f64::max);
    println!("{kind:?}: {done:.2?}, {} moved", report.totals.moved);
    assert_eq!(report.totals.finished, guests_of(&world));
    (quick, done[8..].to_vec(), report.totals.moved)
}

fn guests_of(world: &World) -> u64 {
    world.guests.len() as u64
}

#[test]
fn slow_clients_of_a_split_room_cost_the_others_nothing_and_keep_their_speed() {
    for kind in [Kind::Ours, Kind::Firmware] {
        let (alone, ..) = beside_eight(26, kind, Vec::new());
        let world = World::gigabit(26, SPLIT, vec![of_speed(kind, 30)]);
        let by_itself = run(&world, LIMIT).done[0].expect("completes");
        let by_itself = by_itself.as_secs_f64();
        for slow in 1..=3 {
            let (quick, slow, moved) = beside_eight(26, kind, vec![of_speed(kind, 30); slow]);
            assert!(
                quick < alone * 1.05,
                "{kind:?}: {quick} s instead of {alone} s"
            );
            // One of them may take a little less than the others, and go on to the third group.
            let n = slow.len() as u64;
            assert!(
                (n..=2 * n).contains(&moved),
                "{kind:?}: {moved} moves of {n}"
            );
            for done in slow {
                assert!(
                    done < by_itself * 1.1,
                    "{kind:?}: {done} s instead of {by_itself} s"
                );
            }
        }
    }
}

#[test]
fn three_speeds_are_three_groups() {
    let slow = |kind| vec![of_speed(kind, 100), of_speed(kind, 25), of_speed(kind, 25)];
    for kind in [Kind::Ours, Kind::Firmware] {
        let (alone, ..) = beside_eight(27, kind, Vec::new());
        let (quick, done, moved) = beside_eight(27, kind, slow(kind));
        assert!(
            quick < alone * 1.05,
            "{kind:?}: {quick} s instead of {alone} s"
        );
        // Once or twice, according to who was judged first.
        assert!((2..=5).contains(&moved), "{kind:?}: {moved}");
        assert!(done[0] * 2.0 < done[1], "{kind:?}: {done:?}");
    }
}

#[test]
fn who_cannot_be_moved_stays_and_completes() {
    let slow = vec![of_speed(Kind::Stock, 100), of_speed(Kind::Firmware, 30)];
    let (quick, done, moved) = beside_eight(28, Kind::Ours, slow);
    assert_eq!(moved, 1);
    assert!(done.iter().all(|&done| done > quick), "{done:?}");
}

/// Where a switch forwards only groups that somebody configured.
#[test]
fn who_hears_nothing_elsewhere_is_brought_back() {
    for kind in [Kind::Ours, Kind::Firmware] {
        let mut guests = room(kind, 4, 0.0);
        guests.push(of_speed(kind, 30));
        let mut world = World::gigabit(29, SPLIT, guests);
        world.slow_clients = split();
        world.max_rate = BitRate::from_bits_per_second(300_000_000);
        world.forwarded = 1;
        let report = run(&world, LIMIT);
        assert!(
            report.done.iter().all(Option::is_some),
            "{kind:?}: {report:?}"
        );
        assert_eq!(
            report.totals.moved, 2,
            "{kind:?}: there and back, and no more"
        );
    }
}

/// It forgot whom it had moved.
#[test]
fn a_server_that_was_restarted_brings_moved_clients_back() {
    for kind in [Kind::Ours, Kind::Firmware] {
        let mut guests = room(kind, 4, 0.0);
        guests.push(of_speed(kind, 30));
        let mut world = World::gigabit(30, SPLIT, guests);
        world.slow_clients = split();
        world.max_rate = BitRate::from_bits_per_second(300_000_000);
        let mut second = world.lives[0].clone();
        world.lives[0].runs.end = Duration::from_secs(4);
        second.runs.start = Duration::from_secs(5);
        world.lives.push(second);
        let report = run(&world, LIMIT);
        assert!(
            report.done.iter().all(Option::is_some),
            "{kind:?}: {report:?}"
        );
    }
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
