// SPDX-License-Identifier: MIT OR Apache-2.0
//! Worlds drawn at random: whoever lives completes, nobody waits in silence, and nothing is sent
//! without need.
//!
//! A failing seed is printed with the command that replays it. `SLAMBOOT_SIM_SEEDS=N` tries the
//! first N seeds instead of a thousand, `SLAMBOOT_SIM_SEED=N` that one.

use std::time::Duration;

use site::{BitRate, SlowClients};
use slam_server::Start;

use super::world::{Content, Forged, Guest, Kind, Loss, World};
use super::{Figures, MIB, figures};

/// Seeds that failed once: a client of whose words none arrived; sums sent without end to one whom
/// they did not help; the first gap repaired last, again and again; five seconds of silence.
const REGRESSIONS: &[u64] = &[627, 985, 9745, 2863];
const SEEDS: u64 = 1000;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

fn guest(random: &mut fastrand::Rng) -> Guest {
    let rarely = |random: &mut fastrand::Rng| random.u8(..) < 64;
    let loss = [0.0, 0.001, 0.01, 0.05][random.usize(0..4)];
    let mut guest = Guest {
        begins: Duration::from_millis(random.u64(0..3000)),
        drift: random.i64(-200..=200),
        loss: if random.bool() {
            Loss::Independent(loss)
        } else {
            // Bursts of 10 datagrams on average.
            Loss::Bursts {
                begin: loss / 10.0,
                end: 0.1,
            }
        },
        loss_back: loss,
        ring: random.usize(8..256),
        service: Duration::from_micros(random.u64(1..40)),
        ..Guest::new([Kind::Stock, Kind::Ours, Kind::Firmware][random.usize(0..3)])
    };
    guest.parity = !rarely(random);
    if rarely(random) {
        guest.jitter = Duration::from_micros(random.u64(0..500));
    }
    if rarely(random) {
        guest.duplicates = 0.02;
        guest.overtaken = 0.02;
    }
    if rarely(random) {
        let from = Duration::from_millis(random.u64(0..3000));
        guest.cut = from..from + Duration::from_millis(random.u64(0..5000));
    }
    if rarely(random) {
        let length = Duration::from_micros(random.u64(100..20_000));
        guest.pauses = Some((length, length * random.u32(2..10)));
    }
    if rarely(random) {
        guest.dies = Some(Duration::from_millis(random.u64(0..5000)));
    }
    guest
}

fn world(seed: u64) -> World {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut guests: Vec<Guest> = (0..random.usize(1..8))
        .map(|_| guest(&mut random))
        .collect();
    guests[0].dies = None;
    let mut world = World::gigabit(seed, random.u64(1..4 * MIB), guests);
    world.latency = Duration::from_micros(random.u64(10..5000));
    world
}

/// The same clients behind another link, at other rates, with smaller rings, another policy, a room
/// that waits, a server that is restarted or late, or an adversary.
fn strange_world(seed: u64) -> World {
    let mut world = world(seed);
    // Draws of its own: what the seed says of the clients stays.
    let random = &mut fastrand::Rng::with_seed(seed ^ 0x5712_a9ce);
    let rarely = |random: &mut fastrand::Rng| random.u8(..) < 64;
    let megabits = |megabits: u64| BitRate::from_bits_per_second(megabits * 1_000_000);
    let link = [100, 1000, 1000, 2500, 10_000][random.usize(0..5)];
    world.link = megabits(link);
    world.max_rate = megabits(random.u64(link / 4..link * 3 / 2));
    world.send_buffer = random.u32(10..500);
    if rarely(random) {
        let rate = megabits(random.u64(link / 3..link));
        world.bottleneck = Some((rate, random.u32(20..500)));
    }
    if random.bool() {
        for guest in &mut world.guests {
            guest.begins = Duration::ZERO;
        }
    }
    for guest in &mut world.guests {
        if rarely(random) {
            guest.ring = random.usize(4..16);
        }
    }
    world.slow_clients = match random.u8(0..8) {
        0 => SlowClients::DropBelow(megabits(random.u64(1..40))),
        1 => SlowClients::Cap,
        2 => "split".parse().expect("a policy"),
        _ => SlowClients::Serve,
    };
    if rarely(random) {
        world.start = Start {
            clients: Some(random.usize(1..=world.guests.len())),
            wait: Some(Duration::from_millis(random.u64(0..5000))),
        };
    }
    if rarely(random) {
        let ends = Duration::from_millis(random.u64(1..3000));
        let mut second = world.lives[0].clone();
        world.lives[0].runs.end = ends;
        second.runs.start = ends + Duration::from_millis(random.u64(10..3000));
        world.lives.push(second);
    }
    if rarely(random) {
        attack(&mut world, random);
    }
    if rarely(random) {
        world.late = Duration::from_micros(random.u64(0..2000));
    }
    if rarely(random) {
        let length = Duration::from_micros(random.u64(100..20_000));
        world.stops = Some((length, length * random.u32(2..20)));
    }
    world
}

/// Noise, words that no client said, and headers of another content, here and there.
fn attack(world: &mut World, random: &mut fastrand::Rng) {
    let guests = world.guests.len();
    for _ in 0..random.usize(1..200) {
        let when = Duration::from_micros(random.u64(0..3_000_000));
        let mut noise = vec![0; random.usize(1..60)];
        random.fill(&mut noise);
        let (from, bytes) = match random.u8(0..4) {
            0 => (Forged::FromOutside(random.u16(1..60)), noise),
            1 => (Forged::FromGuest(random.usize(0..guests)), vec![0]),
            // Block 3 alone is missing.
            2 => {
                let from = Forged::FromGuest(random.usize(0..guests));
                (from, vec![0x23, 0x21, 0])
            }
            // An Int of no length first: no header, for anybody.
            _ => {
                noise[0] = 0;
                (Forged::ToGroup, noise)
            }
        };
        world.attacks.push((when, from, bytes));
    }
    if random.bool() {
        let when = Duration::from_micros(random.u64(0..3_000_000));
        let content = Content {
            number: 99,
            bytes: random.u64(10_000..4 * MIB),
        };
        world
            .attacks
            .push((when, Forged::Block(content, 0), Vec::new()));
    }
}

/// What the file costs at the least: where all begin at once, each block as often as the last client
/// needs it; where they do not, each client by itself.
fn least(world: &World) -> f64 {
    let once = |guest: &Guest| {
        let asleep = guest.pauses.map_or(0.0, |(length, period)| {
            length.as_secs_f64() / period.as_secs_f64()
        });
        (1.0 - guest.loss.share()) * (1.0 - asleep)
    };
    let at_once = |guest: &Guest| guest.begins.is_zero() && guest.cut.is_empty();
    let together = world.guests.iter().all(at_once);
    if together {
        let all_by = |times: i32| {
            let each = world.guests.iter().map(once);
            each.map(|once| 1.0 - (1.0 - once).powi(times))
                .product::<f64>()
        };
        (0..1000).map(|times| 1.0 - all_by(times)).sum()
    } else {
        world.guests.iter().map(|guest| 1.0 / once(guest)).sum()
    }
}

fn seeds() -> Vec<u64> {
    let fresh = 0..number("SLAMBOOT_SIM_SEEDS").unwrap_or(SEEDS);
    match number("SLAMBOOT_SIM_SEED") {
        Some(seed) => vec![seed],
        None => REGRESSIONS.iter().copied().chain(fresh).collect(),
    }
}

/// Runs all of them. What is sent beside what must be is `most_on_average` at most on average, and in each
/// world what `most` says.
fn try_all(
    test: &'static str,
    world: fn(u64) -> World,
    most_on_average: f64,
    most: impl Fn(&World) -> f64,
) {
    let (mut worst, mut sum, mut failed) = ((0.0, 0), 0.0, Vec::new());
    let seeds = seeds();
    for &seed in &seeds {
        let world = world(seed);
        if seeds.len() == 1 {
            println!("{world:#?}");
        }
        let Ok(Figures { report, .. }) = std::panic::catch_unwind(|| figures(&world)) else {
            eprintln!(
                "replay: SLAMBOOT_SIM_SEED={seed} cargo test -p slam-server --test sim {test} -- \
                 --nocapture"
            );
            failed.push(seed);
            continue;
        };
        // Some for a file of few blocks.
        let file = world.content().bytes as f64;
        let excess = (
            report.sent_bytes as f64 / (file * least(&world) + 500_000.0),
            seed,
        );
        sum += excess.0;
        println!(
            "seed {seed}: excess {:.3} at {} Mbit/s",
            excess.0,
            world.link.bits_per_second() / 1_000_000
        );
        if excess.0 > most(&world) {
            eprintln!("seed {seed}: {} times what must be sent", excess.0);
            failed.push(seed);
        }
        if excess > worst {
            worst = excess;
        }
    }
    assert!(failed.is_empty(), "{test}: failed at the seeds {failed:?}");
    let mean = sum / seeds.len() as f64;
    println!(
        "{test}: {} seeds, {mean:.3} of what must be sent, {:.3} at seed {}",
        seeds.len(),
        worst.0,
        worst.1
    );
    assert!(
        seeds.len() < 100 || mean < most_on_average,
        "{test}: {mean}"
    );
}

/// Of 20,000 seeds none exceeds 2.0. The mean was 0.70: one seed says little, the mean of a thousand tells a few
/// percent.
#[test]
fn everybody_completes_in_any_world() {
    try_all("any_world", world, 0.77, |_| 2.0);
}

/// The search for a rate takes longer than a small file where the link is much faster than the
/// clients: at 10 Gbit/s, with clients that take 0.3 and sleep, seed 1649 sends 5.2 times what it must. Of 20,000
/// seeds five exceed this, by up to two fifths (10047, 10356, 14158, 15831, 17961); all complete.
#[test]
fn everybody_completes_in_any_strange_world() {
    let gigabit = BitRate::from_bits_per_second(1_000_000_000);
    let most = |world: &World| if world.link > gigabit { 6.0 } else { 2.5 };
    try_all("any_strange_world", strange_world, 0.66, most);
}
