// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask serve` and `cargo xtask image`: the program's own verbs, built first.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use xtask::paths::Paths;
use xtask::programs;

use crate::dist;

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
    become_it(&slamboot, verb, arguments)
}

/// The same for `slamboot serve`. Where nothing says what is to be served, as in a new clone, that is
/// the demo in dist/, which is made first.
pub fn serve(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let there = site::default_config(Some(&paths.dist)).is_some();
    if !there && !names_something(&arguments.arguments) {
        println!(
            "no slamboot.toml here, and no FILE given: making {} first (cargo xtask dist)",
            paths.shown(&paths.dist)
        );
        dist::make(&dist::Arguments::of(None), paths)?;
    }
    run("serve", arguments, paths)
}

/// Whether arguments say themselves what is to be served, or only ask how it is done.
fn names_something(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| {
        let text = argument.to_string_lossy();
        matches!(&*text, "-h" | "--help" | "-V" | "--version")
            || text.starts_with("--config")
            || (!text.starts_with('-') && Path::new(argument).exists())
    })
}

fn become_it(slamboot: &Path, verb: &str, arguments: &Arguments) -> Result<()> {
    let error = Command::new(slamboot)
        .arg(verb)
        .args(&arguments.arguments)
        .exec();
    Err(error).with_context(|| format!("cannot start {}", slamboot.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_clone_is_told_from_somebody_who_knows() {
        let here = env!("CARGO_MANIFEST_DIR");
        let named = |arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
            names_something(&arguments)
        };
        assert!(!named(&[]));
        assert!(!named(&[
            "--interface",
            "no-such-interface",
            "--dhcp",
            "pool"
        ]));
        assert!(named(&["--config", "room.toml"]));
        assert!(named(&["--config=room.toml"]));
        assert!(named(&["--interface", "lo", &format!("{here}/Cargo.toml")]));
        assert!(named(&["--help"]));
    }
}
