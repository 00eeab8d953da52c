// SPDX-License-Identifier: MIT OR Apache-2.0
//! All that can be built: built twice from nothing, started, and damaged.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use firmware::pins::Pins;
use xtask::cmd::Cmd;

use crate::support::{Outcome, paths};

/// Two libraries for each of four machines, and two dozen machines without acceleration.
const LIMIT: Duration = Duration::from_hours(2);

/// QEMU's cards cannot read the first, have no ROM without a card, and the third is a program of Linux (`tests/tap`).
const NOT_STARTED: [&str; 3] = ["1af41000.mrom", "ipxe.mrom", "tap.linux"];

pub fn all() -> Outcome {
    let dist = paths().target.join("test/formats");
    let said = Cmd::new("cargo")
        .dir(&paths().root)
        .args(["xtask", "firmware", "--set", "all"])
        .args(["--boot", "--check-reproducible"])
        .env("SLAMBOOT_DIST", &dist)
        .limit(LIMIT)
        .read()?;
    println!("{said}");
    let of = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let not_started = said.lines().filter(|line| line.contains("not started: "));
    let mut not_started: Vec<String> = not_started.filter_map(of).collect();
    not_started.sort();
    ensure!(not_started == NOT_STARTED, "not started: {not_started:?}");
    ensure!(said.contains("both builds gave the same bytes"), "{said}");
    let manifest = crate::as_listed(&dist)?;
    let built = manifest.artefacts.iter().filter(|a| a.target.is_some());
    let wanted = Pins::builtin()?.set("all")?.len();
    ensure!(built.count() == wanted, "not all of {wanted} were built");
    compared(&dist)?;
    // Each is read, and a flipped bit in any packed block of any of them is told.
    Ok(Cmd::new("cargo")
        .dir(&paths().root)
        .args(["test", "--workspace", "--test", "inspect", "--"])
        .args(["a_flipped_bit_in_any_block_is_told", "built_firmware"])
        .env("SLAMBOOT_DIST", &dist)
        .limit(LIMIT)
        .run()?)
}

/// What slamboot's C adds is told of each file that is built when nobody chooses.
fn compared(dist: &Path) -> anyhow::Result<()> {
    let said = Cmd::new("cargo")
        .dir(&paths().root)
        .args(["xtask", "firmware", "--compare"])
        .env("SLAMBOOT_DIST", dist)
        .limit(LIMIT)
        .read()?;
    println!("{said}");
    let (_, table) = said.rsplit_once("added").unwrap_or_default();
    for target in Pins::builtin()?.targets() {
        ensure!(table.contains(target), "{target}: what was added to it?");
    }
    Ok(())
}
