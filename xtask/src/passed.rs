// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask serve` and `cargo xtask image`: the program's own verbs, built first.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use xtask::paths::Paths;
use xtask::programs;

/// Arguments that are not ours to read.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// Passed on.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds `slamboot` and becomes `slamboot VERB ARGUMENTS`: signals and the exit code are its own.
pub fn run(verb: &str, arguments: &Arguments, paths: &Paths) -> Result<()> {
    let [slamboot] = programs::build(paths, ["slamboot"]).context("building slamboot")?;
    let error = Command::new(&slamboot)
        .arg(verb)
        .args(&arguments.arguments)
        .exec();
    Err(error).with_context(|| format!("cannot start {}", slamboot.display()))
}
