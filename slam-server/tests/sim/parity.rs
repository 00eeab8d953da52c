// SPDX-License-Identifier: MIT OR Apache-2.0
//! What parity saves, by the size of the room and by loss: the table in `docs/slam-wire.md`.
//!
//! Each client loses packets by itself. Where nothing but the file's own blocks is sent, each is
//! sent until the last client has it ([`least_sent`]); how often that is, no pacing changes.

use std::time::Duration;

use super::figures::{least_sent, without_parity};
use super::world::{Guest, Kind, World};
use super::{Figures, MIB, figures, room};

const SEED: u64 = 40;
const LAST_ROUND: Duration = Duration::from_millis(120);
const ROOMS: [usize; 3] = [10, 100, 1000];

/// A room with parity, and the same without.
struct Cell {
    with: Figures,
    without: Figures,
    least: f64,
}

fn cell(clients: usize, loss: f64, bytes: u64) -> Cell {
    let room = room(Kind::Ours, clients, loss);
    let without = without_parity(room.clone());
    Cell {
        with: figures(&World::gigabit(SEED, bytes, room)),
        without: figures(&World::gigabit(SEED, bytes, without)),
        least: least_sent(clients as u32, loss),
    }
}

impl Cell {
    /// Parity saves packets, and what is sent without it is what must be. Its last round of a small
    /// file can take longer than that of blocks would.
    fn judge(&self, what: &str, bytes: u64) {
        let Cell {
            with,
            without,
            least,
        } = self;
        assert!(
            with.sent < without.sent + 0.001,
            "{what}: {} with, {} without",
            with.sent,
            without.sent
        );
        let bound = World::gigabit(SEED, bytes, Vec::new()).bound();
        let most = without.time + LAST_ROUND.div_duration_f64(bound);
        assert!(
            with.time < most,
            "{what}: {} with, {} without",
            with.time,
            without.time
        );
        assert!(
            without.sent < least * 1.05,
            "{what}: {} of {least}",
            without.sent
        );
    }
}

#[test]
fn parity_wins_in_small_rooms_and_large_ones() {
    for (clients, loss) in [(10, 0.001), (100, 0.01)] {
        let cell = cell(clients, loss, 8 * MIB);
        cell.judge(&format!("{clients} clients, {loss} lost"), 8 * MIB);
    }
}

/// Of a short file and much loss the last rounds are most of the time, and single seeds go either way.
#[test]
fn parity_wins_on_the_whole_where_files_are_short() {
    let seeds = SEED..SEED + 16;
    let mean = |room: &[Guest]| {
        let times = seeds.clone().map(|seed| {
            let figures = figures(&World::gigabit(seed, 8 * MIB, room.to_vec()));
            figures.time
        });
        times.sum::<f64>() / 16.0
    };
    let room = room(Kind::Ours, 10, 0.05);
    let (with, without) = (mean(&room), mean(&without_parity(room.clone())));
    assert!(with < without, "{with} with, {without} without");
}

/// One row of the table for each size of room.
fn row(loss: f64) {
    let cells = ROOMS.map(|clients| (clients, cell(clients, loss, 64 * MIB)));
    for (clients, cell) in &cells {
        let (with, without) = (&cell.with, &cell.without);
        println!(
            "| {} % | {clients} | {:.3} | {:.3} | {:.3} | {:.2} | {:.2} |",
            loss * 100.0,
            cell.least,
            without.sent,
            with.sent,
            without.time,
            with.time,
        );
    }
    for (clients, cell) in &cells {
        cell.judge(&format!("{clients} clients, {loss} lost"), 64 * MIB);
    }
}

#[test]
#[ignore = "takes minutes (cargo xtask test --thorough runs it)"]
fn parity_wins_at_a_tenth_of_a_percent() {
    row(0.001);
}

#[test]
#[ignore = "takes minutes (cargo xtask test --thorough runs it)"]
fn parity_wins_at_one_percent() {
    row(0.01);
}

#[test]
#[ignore = "takes minutes (cargo xtask test --thorough runs it)"]
fn parity_wins_at_five_percent() {
    row(0.05);
}
