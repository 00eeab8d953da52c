// SPDX-License-Identifier: MIT OR Apache-2.0
//! All that can be built: built twice from nothing, started, and damaged.

use std::time::Duration;

use anyhow::ensure;
use firmware::pins::Pins;
use xtask::cmd::Cmd;

use crate::support::{Outcome, paths};

/// Two libraries for each of four machines, and two dozen machines without acceleration.
const LIMIT: Duration = Duration::from_hours(2);

pub fn all() -> Outcome {
    let dist = paths().target.join("test/formats");
    Cmd::new("cargo")
        .dir(&paths().root)
        .args(["xtask", "firmware", "--set", "all"])
        .args(["--boot", "--check-reproducible", "--compare"])
        .env("SLAMBOOT_DIST", &dist)
        .limit(LIMIT)
        .run()?;
    let manifest = crate::as_listed(&dist)?;
    let built = manifest.artefacts.iter().filter(|a| a.target.is_some());
    let wanted = Pins::builtin()?.set("all")?.len();
    ensure!(built.count() == wanted, "not all of {wanted} were built");
    // Each is read, and a flipped bit in any packed block of any of them is told.
    Ok(Cmd::new("cargo")
        .dir(&paths().root)
        .args(["test", "--workspace", "--test", "inspect", "--"])
        .args(["a_flipped_bit_in_any_block_is_told", "built_firmware"])
        .env("SLAMBOOT_DIST", &dist)
        .limit(LIMIT)
        .run()?)
}
