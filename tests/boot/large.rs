// SPDX-License-Identifier: MIT OR Apache-2.0
//! What upstream's client cannot take, and what no client can.

use anyhow::{bail, ensure};

use crate::support::Outcome;
use crate::{boot_demo, cargo_xtask_boot, say};

/// Beyond the 2^29 - 1 bytes that end upstream's client on 32-bit builds.
pub fn six_hundred_mib() -> Outcome {
    boot_demo(&["--size", "600MiB"], 1, "x-slam")
}

/// An image that the machine's memory cannot hold: said in so many words, the script's `||` runs,
/// and nothing boots.
pub fn more_than_the_memory() -> Outcome {
    let arguments = ["--size", "200MiB", "--memory", "160"];
    let Err(error) = cargo_xtask_boot(&arguments).read() else {
        bail!("200 MiB fitted into 160");
    };
    let said = format!("{error:#}");
    for part in [
        "SLAM: no memory for an image of 20",
        "slamboot: no demo over x-slam, falling back to http",
        "this machine has not the memory that the image needs",
    ] {
        ensure!(said.contains(part), "expected {part:?} in {said}");
    }
    let line = said.lines().find(|line| line.contains("SLAM: no memory"));
    say(format!(
        "200 MiB into a machine of 160 MiB: {}",
        line.unwrap_or_default().trim()
    ));
    Ok(())
}
