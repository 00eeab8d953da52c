// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server core against many clients on a virtual network, in virtual time.
//!
//! Bound: the time that the file alone occupies the link. Time counts from the first word that
//! reaches the server: a stock client listens for a second before, ours for up to 100 ms.

mod adversary;
mod client;
mod dying;
mod emulated;
mod figures;
mod flooded;
mod lossy;
mod network;
mod parity;
mod rooms;
mod seat;
mod shared;
mod stragglers;
mod world;
mod worlds;

use std::time::Duration;

use network::{Report, run};
use slam_server::Start;
use world::{Guest, Kind, Loss, World};

const MIB: u64 = 1 << 20;
const LIMIT: Duration = Duration::from_mins(3);
/// How long a stock client hears nothing before it asks, and in a room that waits to begin.
const LISTENS: Duration = Duration::from_secs(1);
/// A server that has sent for so long may be silent for so long.
const BETWEEN_SILENCES: Duration = Duration::from_secs(20);
const ON_PURPOSE: Duration = Duration::from_millis(1051);
const KEPT_ALIVE: Duration = Duration::from_millis(4100);

/// What a world came to.
struct Figures {
    /// From the first client's first word to the last one's last block, over the bound.
    time: f64,
    /// Bytes sent over bytes in the file.
    sent: f64,
    report: Report,
}

/// Runs a world in which everybody who lives is to complete.
fn figures(world: &World) -> Figures {
    let wall = Wall::start();
    let report = run(world, LIMIT);
    let live = world.guests.iter().zip(&report.done).enumerate();
    let last = live
        .filter(|(number, (guest, _))| guest.dies.is_none() && !report.dropped[*number])
        // All that it said was lost: no server can know of it.
        .filter(|(number, (guest, _))| guest.kind != Kind::Stock || report.known[*number])
        .map(|(number, (_, done))| {
            done.unwrap_or_else(|| {
                panic!(
                    "seed {}: client {number} never completed: {report:?}",
                    world.seed
                )
            })
        })
        .max()
        .unwrap_or_default();
    let first = report.first_heard.unwrap_or_default();
    let time = last.saturating_sub(first).as_secs_f64() / world.bound().as_secs_f64();
    let sent = report.totals.sent_bytes as f64 / world.content().bytes as f64;
    // Those who wait for others hear a block every four seconds, on purpose; and so is the silence in which
    // those may speak who only listen.
    let silence = match world.start {
        Start::AT_ONCE if report.totals.took >= BETWEEN_SILENCES => ON_PURPOSE,
        Start::AT_ONCE => LISTENS,
        _ => KEPT_ALIVE,
    };
    assert!(
        report.longest_silence < silence,
        "seed {}: silent for {:?} while a stock client waited",
        world.seed,
        report.longest_silence
    );
    println!(
        "seed {}: {time:.3} x the bound, {sent:.3} x the file, {} solicits, {} heard, \
         {} KiB of server memory, {:.1} s to simulate",
        world.seed,
        report.solicits,
        report.heard,
        report.memory >> 10,
        wall.seconds(),
    );
    Figures { time, sent, report }
}

/// How long the simulation itself takes.
struct Wall(std::time::Instant);

impl Wall {
    #[expect(
        clippy::disallowed_methods,
        reason = "what a simulation costs is told in real time; nothing is decided by it"
    )]
    fn start() -> Wall {
        Wall(std::time::Instant::now())
    }

    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

fn room(kind: Kind, clients: usize, loss: f64) -> Vec<Guest> {
    (0..clients)
        .map(|_| Guest {
            loss: Loss::Independent(loss),
            ..Guest::new(kind)
        })
        .collect()
}

#[test]
fn one_stock_client_gets_the_file_once_at_the_speed_of_the_link() {
    let figures = figures(&World::gigabit(1, 64 * MIB, room(Kind::Stock, 1, 0.0)));
    assert!(figures.time < 1.25, "{}", figures.time);
    assert!(figures.sent < 1.001, "{}", figures.sent);
}

#[test]
fn thirty_stock_clients_take_the_time_of_one() {
    let figures = figures(&World::gigabit(2, 32 * MIB, room(Kind::Stock, 30, 0.0)));
    assert!(figures.time < 1.6, "{}", figures.time);
    assert!(figures.sent < 1.01, "{}", figures.sent);
}

#[test]
fn a_stock_client_with_one_percent_loss_is_repaired_quickly() {
    // mini-slamd takes 211 times the bound here: it forgets the client whose solicit got lost.
    let figures = figures(&World::gigabit(3, 32 * MIB, room(Kind::Stock, 1, 0.01)));
    assert!(figures.time < 4.0, "{}", figures.time);
    assert!(figures.sent < 1.03, "{}", figures.sent);
}

#[test]
fn our_clients_repair_their_losses_together() {
    let figures = figures(&World::gigabit(4, 32 * MIB, room(Kind::Ours, 4, 0.01)));
    assert!(figures.time < 2.0, "{}", figures.time);
    assert!(figures.sent < 1.06, "{}", figures.sent);
}

#[test]
fn thirty_firmware_clients_take_the_time_of_one() {
    let figures = figures(&World::gigabit(9, 32 * MIB, room(Kind::Firmware, 30, 0.0)));
    assert!(figures.time < 1.6, "{}", figures.time);
    assert!(figures.sent < 1.01, "{}", figures.sent);
}

#[test]
fn firmware_clients_repair_their_losses_together() {
    let figures = figures(&World::gigabit(10, 32 * MIB, room(Kind::Firmware, 4, 0.01)));
    assert!(figures.time < 2.0, "{}", figures.time);
    assert!(figures.sent < 1.06, "{}", figures.sent);
}

#[test]
fn a_thousand_firmware_clients_do_not_ask_at_once() {
    // They begin at one moment; the first to ask silences the others.
    let figures = figures(&World::gigabit(
        11,
        4 * MIB,
        room(Kind::Firmware, 1000, 0.0),
    ));
    let first = figures.report.heard_first;
    assert!(
        first < 20,
        "{first} of 1000 asked before anybody was answered"
    );
}

#[test]
fn slow_receive_rings_are_not_overrun_again_and_again() {
    // 16 packets and 30 microseconds for each: 387 Mbit/s at best, 2.6 times the bound.
    let slow = Guest {
        ring: 16,
        service: Duration::from_micros(30),
        ..Guest::new(Kind::Stock)
    };
    let figures = figures(&World::gigabit(5, 20 * MIB, vec![slow; 3]));
    assert!(figures.time < 8.0, "{}", figures.time);
    assert!(figures.sent < 1.3, "{}", figures.sent);
}

#[test]
fn a_machine_that_is_busy_elsewhere_is_not_repaired_block_by_block() {
    let busy = Guest {
        ring: 64,
        service: Duration::from_micros(10),
        pauses: Some((Duration::from_millis(8), Duration::from_millis(20))),
        ..Guest::new(Kind::Stock)
    };
    let mut world = World::gigabit(9, 64 * MIB, vec![busy]);
    world.latency = Duration::from_millis(2);
    let figures = figures(&world);
    // It sleeps through 40 % of the time; each loss costs a round trip of 4 ms and a nap.
    assert!(figures.time < 8.0, "{}", figures.time);
    assert!(figures.sent < 2.5, "{}", figures.sent);
}

#[test]
fn a_virtual_machine_that_is_busy_elsewhere_sets_the_pace() {
    // Its queue holds 500 packets, as a tap device's does; half the time nothing is taken out of it.
    let busy = |kind| Guest {
        ring: 500,
        service: Duration::from_micros(13),
        pauses: Some((Duration::from_millis(10), Duration::from_millis(20))),
        ..Guest::new(kind)
    };
    for kind in [Kind::Stock, Kind::Firmware] {
        let figures = figures(&World::gigabit(12, 100 * MIB, vec![busy(kind)]));
        assert!(figures.time < 2.7, "{kind:?}: {}", figures.time);
        assert!(figures.sent < 1.01, "{kind:?}: {}", figures.sent);
    }
}

#[test]
fn the_last_repairs_of_a_small_ring_are_not_waited_for() {
    // Half of what is sent in a row gets lost, the same block again and again.
    let small = Guest {
        ring: 8,
        service: Duration::from_micros(20),
        ..Guest::new(Kind::Firmware)
    };
    let figures = figures(&World::gigabit(13, 100 * MIB, vec![small]));
    assert!(figures.time < 6.0, "{}", figures.time);
    assert!(figures.sent < 2.0, "{}", figures.sent);
}

#[test]
fn late_joiners_are_served_by_the_carousel() {
    let joiner = |number: u32| Guest {
        begins: Duration::from_millis(40) * number,
        ..Guest::new(Kind::Ours)
    };
    let figures = figures(&World::gigabit(6, 64 * MIB, (0..8).map(joiner).collect()));
    // The last one joins 280 ms late, half a file behind: nobody needs more than two passes.
    assert!(figures.sent < 2.0, "{}", figures.sent);
}

#[test]
fn a_dead_client_costs_the_others_nothing() {
    let alive = figures(&World::gigabit(7, 64 * MIB, room(Kind::Ours, 4, 0.0)));
    let mut guests = room(Kind::Ours, 5, 0.0);
    guests[4].dies = Some(Duration::from_millis(350));
    let with_dead = figures(&World::gigabit(7, 64 * MIB, guests));
    assert_eq!(with_dead.report.totals.silent, 1);
    assert!(
        with_dead.time < alive.time * 1.1,
        "{} and {}",
        with_dead.time,
        alive.time
    );
}
