// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask firmware`: the steps in order.

use anyhow::Result;

use crate::paths::Paths;

/// Build iPXE with SLAM from pinned source and prove that SLAM is in the finished files.
#[derive(clap::Args)]
pub struct Arguments {}

/// Runs the verb.
pub fn run(_arguments: &Arguments, _paths: &Paths) -> Result<()> {
    anyhow::bail!("not built yet on this branch")
}
