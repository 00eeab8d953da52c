// SPDX-License-Identifier: MIT OR Apache-2.0
//! One bad client beside a room of good ones, and clients that come late.

use std::time::Duration;

use super::network::Report;
use super::world::{Guest, Kind, Loss, World};
use super::{LIMIT, MIB, room, run};

const KINDS: [Kind; 3] = [Kind::Ours, Kind::Firmware, Kind::Stock];
/// Who speaks first and loses much keeps the rate low until the others speak, which ours do after
/// some 100 ms.
const BEFORE_THE_OTHERS: Duration = Duration::from_millis(100);

/// When the first `guests` of the room are complete.
fn done(report: &Report, guests: usize) -> Duration {
    let done = report.done[..guests].iter();
    let done = done.map(|done| done.expect("completes"));
    done.max().expect("somebody is there")
}

/// How much longer the guests of a world take beside others than without them.
fn cost(world: &World, others: Vec<Guest>) -> (f64, Report) {
    let guests = world.guests.len();
    let alone = run(world, LIMIT);
    let start = alone.first_heard.expect("somebody spoke");
    let mut beside = world.clone();
    beside.guests.extend(others);
    let beside = run(&beside, LIMIT);
    let time = |report| done(report, guests).saturating_sub(start).as_secs_f64();
    (time(&beside) / time(&alone), beside)
}

#[test]
fn one_that_loses_a_tenth_costs_the_others_little() {
    for (kind, bad, parity) in KINDS
        .into_iter()
        .flat_map(|kind| KINDS.map(|bad| (kind, bad, true)))
        .chain([
            (Kind::Ours, Kind::Ours, false),
            (Kind::Firmware, Kind::Ours, false),
        ])
    {
        let mut guests = room(kind, 8, 0.0);
        for guest in &mut guests {
            guest.parity = parity;
        }
        let world = World::gigabit(33, 100 * MIB, guests);
        let one = Guest {
            parity,
            loss: Loss::Independent(0.1),
            ..Guest::new(bad)
        };
        let (cost, report) = cost(&world, vec![one]);
        let speaks_first = kind == Kind::Ours && bad == Kind::Firmware;
        let allowed = if speaks_first {
            1.05 + BEFORE_THE_OTHERS.as_secs_f64() / world.bound().as_secs_f64()
        } else {
            1.05
        };
        assert!(
            cost <= allowed,
            "{kind:?} beside {bad:?}, parity {parity}: {cost} times as long, {report:?}"
        );
        // Nor is it given up for that.
        let last = report.done[8].expect("completes");
        assert!(last < Duration::from_secs(12), "{bad:?}: {last:?}");
    }
}

/// The others lose a block now and then, and do not wait for theirs either.
#[test]
fn repairs_of_the_others_are_not_put_off_with_those_of_the_bad_one() {
    for kind in KINDS {
        let world = World::gigabit(36, 100 * MIB, room(kind, 8, 0.0001));
        let one = Guest {
            loss: Loss::Independent(0.1),
            ..Guest::new(kind)
        };
        let (cost, _) = cost(&world, vec![one]);
        assert!(cost <= 1.05, "{kind:?}: {cost} times as long");
    }
}

#[test]
fn one_that_dies_costs_the_others_little() {
    for kind in KINDS {
        let world = World::gigabit(34, 100 * MIB, room(kind, 8, 0.0));
        let dies = match kind {
            Kind::Stock => Duration::from_millis(1300),
            Kind::Ours | Kind::Firmware => Duration::from_millis(350),
        };
        let one = Guest {
            dies: Some(dies),
            ..Guest::new(kind)
        };
        let (cost, _) = cost(&world, vec![one]);
        assert!(cost <= 1.05, "{kind:?}: {cost} times as long");
    }
}

#[test]
fn late_joiners_cost_the_first_nothing() {
    for kind in KINDS {
        let world = World::gigabit(35, 100 * MIB, room(kind, 4, 0.0));
        let late = (1..=8).map(|number| Guest {
            begins: Duration::from_millis(100) * number,
            ..Guest::new(kind)
        });
        let (cost, report) = cost(&world, late.collect());
        assert!(cost <= 1.05, "{kind:?}: {cost} times as long");
        done(&report, 12);
    }
}
