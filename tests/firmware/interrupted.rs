// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds that are killed without warning, at every moment from the first to the last.

use std::fs;
use std::time::Duration;

use anyhow::ensure;
use rustix::process::Signal;
use xtask::console;

use crate::support::Outcome;
use crate::{as_listed, built, place, typed};

const TARGETS: [&str; 3] = ["8086100e.rom", "1af41000.rom", "undionly.kpxe"];
/// Kills, spread over the time that a build takes.
const KILLS: u32 = 20;

fn site(number: u32) -> String {
    format!("[firmware]\nretries = {}\n", 2 + number)
}

pub fn killed() -> Outcome {
    let at = place("killed")?;
    let config = at.target.join("killed.toml");
    let command = || typed(&config, &TARGETS, &at.dist);
    fs::write(&config, site(0))?;
    command().run()?;
    // Now only the script changes: what a build takes from here on is what may be cut short.
    fs::write(&config, site(1))?;
    let start = console::now();
    command().run()?;
    let took = start.elapsed();
    for kill in 0..KILLS {
        fs::write(&config, site(2 + kill))?;
        let log = at.target.join(format!("kill-{kill}.log"));
        let running = command().spawn(&log)?;
        // More of them at the end, where files get their names.
        let share = 1.0 - (1.0 - f64::from(kill + 1) / f64::from(KILLS)).powi(2);
        std::thread::sleep(took.mul_f64(share * 1.1));
        running.signal(Signal::KILL);
        drop(running);
        as_listed(&at.dist)?;
    }
    fs::write(&config, site(1))?;
    command().limit(Duration::from_mins(15)).run()?;
    let after = as_listed(&at.dist)?;
    let fresh = built(&site(1), &TARGETS, &place("never-killed")?)?;
    ensure!(after.artefacts.len() == TARGETS.len(), "{after:?}");
    for artefact in after.artefacts {
        ensure!(
            fresh[&artefact.path] == artefact.sha256,
            "{}: what was killed shows in it",
            artefact.path
        );
    }
    let names = fs::read_dir(at.dist_firmware())?;
    let names: Vec<_> = names.map(|entry| entry.map(|e| e.file_name())).collect();
    ensure!(names.len() == TARGETS.len(), "left behind: {names:?}");
    Ok(())
}
