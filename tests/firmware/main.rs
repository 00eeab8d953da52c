// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real builds of iPXE, minutes each (`cargo xtask test --thorough`): every format, inputs that change, and builds
//! that are killed.

mod flashed;
mod formats;
mod interrupted;
#[path = "../support/loopback.rs"]
mod loopback;
#[path = "../support/mod.rs"]
mod support;
mod traps;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::ensure;
use firmware::manifest::{Artefact, Manifest};
use support::{only_if_thorough, paths, trial};
use xtask::cmd::Cmd;
use xtask::firmware::{self as build, Arguments};
use xtask::host::{self, Need};
use xtask::paths::Paths;

fn main() -> ExitCode {
    let skip = only_if_thorough()
        .or_else(|| host::lacking(&[Need::Firmware]))
        .or_else(|| {
            let at_hand = build::source_at_hand(&Arguments::default(), paths());
            (!at_hand.unwrap_or(false)).then(|| "no iPXE source".to_owned())
        });
    let every = host::lacking(&[
        Need::Media,
        Need::UefiUsb,
        Need::Arm64,
        Need::Boot,
        Need::BootArm64,
        Need::Guest,
    ]);
    let trials = vec![
        trial(
            "every_format_is_built_booted_and_reproducible",
            skip.clone().or(every.clone()),
            formats::all,
        ),
        trial(
            "a_stick_that_was_written_starts",
            skip.clone().or(every.clone()).or_else(flashed::no_stick),
            flashed::sticks,
        ),
        trial(
            "the_line_for_a_virtual_machine_starts_it",
            skip.clone().or(every),
            flashed::virtual_machines,
        ),
        trial(
            "whatever_input_changes_the_files_are_those_of_a_fresh_build",
            skip.clone(),
            traps::changes,
        ),
        trial(
            "the_environment_of_whoever_builds_does_not_show",
            skip.clone(),
            traps::environment,
        ),
        trial(
            "a_manifest_is_enough_to_build_the_same_bytes_from",
            skip.clone(),
            traps::rebuilt,
        ),
        trial(
            "a_killed_build_leaves_a_manifest_that_does_not_lie",
            skip,
            interrupted::killed,
        ),
    ];
    support::run(trials, 1)
}

/// The digest of each file.
type Digests = BTreeMap<String, String>;

/// Where a trial builds: nothing there is the user's, or another trial's.
fn place(name: &str) -> anyhow::Result<Paths> {
    let target = paths().target.join("test/firmware").join(name);
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    fs::create_dir_all(&target)?;
    Ok(Paths {
        dist: target.join("dist"),
        target,
        ..paths().clone()
    })
}

/// Builds `targets` for the site that `toml` describes.
fn built(toml: &str, targets: &[&str], at: &Paths) -> anyhow::Result<Digests> {
    let config = at.target.join("slamboot.toml");
    fs::write(&config, toml)?;
    let arguments = Arguments {
        targets: targets.iter().map(|&name| name.to_owned()).collect(),
        config: Some(config),
        ..Arguments::default()
    };
    let manifest = build::build(&arguments, at)?.manifest;
    as_listed(&at.dist)?;
    let digest = |artefact: &Artefact| (artefact.path.clone(), artefact.sha256.clone());
    Ok(manifest.artefacts.iter().map(digest).collect())
}

/// `cargo xtask firmware` as a user types it, into `dist`.
fn typed(config: &Path, targets: &[&str], dist: &Path) -> Cmd {
    let mut command = Cmd::new("cargo")
        .dir(&paths().root)
        .args(["xtask", "firmware", "--config"])
        .arg(config);
    for target in targets {
        command = command.args(["--target", target]);
    }
    command.env("SLAMBOOT_DIST", dist)
}

/// Every file that the manifest lists is there, and as it says.
fn as_listed(dist: &Path) -> anyhow::Result<Manifest> {
    let manifest = Manifest::read(&dist.join("manifest.json"))?;
    for artefact in &manifest.artefacts {
        let path = dist.join(&artefact.path);
        let found = Artefact::of_file(&artefact.path, &path, artefact.kind)?;
        ensure!(
            found.sha256 == artefact.sha256,
            "{}: not what the manifest says",
            path.display()
        );
    }
    Ok(manifest)
}
