// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask test`: the tests of every crate, then the proofs on real parts.

mod tally;

use std::ffi::OsString;

use anyhow::{Context, Result};
use xtask::cmd::{Cmd, CmdError};
use xtask::console;
use xtask::firmware as build;
use xtask::host::{self, Need};
use xtask::netlab;
use xtask::paths::Paths;
use xtask::programs::Profile;

use self::tally::Tally;
use crate::dist;

/// Proofs on real parts, which a plain `cargo test` leaves out (`test = false`).
pub const PROOFS: [&str; 7] = [
    "lab", "boot", "tap", "services", "firmware", "face", "package",
];

/// Run all tests: every crate's own, then real parts: firmware built from source, server and
/// client in network namespaces, machines in QEMU.
///
/// What cannot run here is skipped, and said so: proofs of multicast need iPXE's source (--source
/// DIR, or the cache), namespaces need root.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where iPXE's source is: a clone, a git URL, or a tarball [default: the cache, then upstream].
    #[arg(long, value_name = "DIR|URL|FILE")]
    source: Option<String>,
    /// Only the tests of the crates: no firmware, no namespaces, no machines.
    #[arg(long)]
    crates: bool,
    /// Build and boot every pinned release besides, and simulate thousands of random networks:
    /// minutes for each.
    #[arg(long, conflicts_with = "crates")]
    thorough: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let start = console::now();
    let needs = [Need::Test];
    if let Err(error) = host::ensure(&needs) {
        // Their tests say that they are skipped.
        println!("{error:#}\n");
    }
    let mut tally = Tally::default();
    let env = thorough(arguments.thorough);
    println!("== crates ==\n");
    let crates = ["--workspace", "--no-fail-fast"];
    run_cargo_test(paths, &mut tally, &crates, env)?;
    if arguments.thorough {
        thousands_of_worlds(paths, &mut tally)?;
    }
    if !arguments.crates {
        proofs(arguments, paths, &mut tally)?;
    }
    println!("\nall of it took {:.0} s", start.elapsed().as_secs_f64());
    for skipped in &tally.skipped_tests {
        println!("skipped: {skipped}");
    }
    for failed in &tally.failed_tests {
        println!("FAILED: {failed}");
    }
    println!("{tally}");
    if tally.failed > 0 {
        // The counts are the last word: no error line after them.
        std::process::exit(1);
    }
    Ok(())
}

/// On real parts, in a `dist/` of their own: the user's stays as it is.
fn proofs(arguments: &Arguments, paths: &Paths, tally: &mut Tally) -> Result<()> {
    let paths = Paths {
        dist: paths.target.join("test/dist"),
        profile: if arguments.thorough {
            Profile::Release
        } else {
            Profile::Dev
        },
        ..paths.clone()
    };
    for needs in [
        &[Need::Boot, Need::Serve, Need::Prebuilt][..],
        &[Need::Guest],
        &[Need::Browser],
        // The Debian that the package is installed on takes minutes: it is for those who have them.
        if arguments.thorough {
            &[Need::Package]
        } else {
            &[]
        },
    ] {
        if let Err(error) = host::ensure(needs) {
            println!("{error:#}\n");
        }
    }
    println!("\n== dist: firmware, server, client, image ==\n");
    let thorough = arguments.thorough;
    let arguments = dist::Arguments::of(arguments.source.clone());
    let source = build::find_source(&arguments.firmware(), &paths).is_ok();
    match dist::make(&arguments, &paths) {
        Ok(multicast) if multicast == source => tally.pass(),
        Ok(_) => tally.fail("dist: there is a source, but the set has no multicast"),
        Err(error) => tally.fail(&format!("dist: {error:#}")),
    }
    if !source {
        println!(
            "\nskipped: no iPXE source: the firmware was not built, and nothing boots by multicast"
        );
        tally.skip("firmware: no iPXE source (cargo xtask test --source DIR|URL|FILE)");
    }
    if let Some(why) = netlab::unavailable() {
        println!("\nskipped: {why}: no server and client in namespaces, no machine boots");
    }
    if thorough {
        fuzz(&paths, tally)?;
    }
    let dist = paths.dist.clone();
    if !thorough {
        println!(
            "\nNOT RUN: the other releases of iPXE, built and booted, the slowest UEFI boots, and programs \
             without the checks of debug builds; `cargo xtask test --thorough` does"
        );
    }
    for name in PROOFS {
        println!("\n== {name} ==");
        let mut env = self::thorough(thorough);
        env.extend([
            ("SLAMBOOT_DIST", dist.clone().into_os_string()),
            (Profile::VARIABLE, paths.profile.name().into()),
        ]);
        run_cargo_test(
            &paths,
            tally,
            // With the whole workspace's features, as everything was built already: those of one package
            // alone would build most of it once more.
            &["--workspace", "--test", name],
            env,
        )?;
    }
    Ok(())
}

/// A million damaged files for the inspector, by a program without the checks of debug builds.
fn fuzz(paths: &Paths, tally: &mut Tally) -> Result<()> {
    println!("\n== fuzz ==\n");
    let arguments = [
        "--release",
        "--package",
        "firmware",
        "--test",
        "inspect",
        "seeded",
    ];
    let env = vec![("SLAMBOOT_FUZZ", "1000000".into())];
    run_cargo_test(paths, tally, &arguments, env)
}

/// What makes tests take minutes that could: fuzz tests try a million inputs then.
fn thorough(thorough: bool) -> Vec<(&'static str, OsString)> {
    let set = ("SLAMBOOT_THOROUGH", OsString::from("1"));
    thorough.then_some(set).into_iter().collect()
}

/// The simulation, optimised: thousands of random networks, rooms of full size.
fn thousands_of_worlds(paths: &Paths, tally: &mut Tally) -> Result<()> {
    println!("\n== sim ==\n");
    #[rustfmt::skip]
    let arguments = [
        "--release", "--package", "slam-server", "--test", "sim", "--", "--include-ignored",
    ];
    let env = vec![
        ("SLAMBOOT_SIM_SEEDS", "3000".into()),
        ("SLAMBOOT_SIM_FULL", "1".into()),
    ];
    run_cargo_test(paths, tally, &arguments, env)
}

fn run_cargo_test(
    paths: &Paths,
    tally: &mut Tally,
    arguments: &[&str],
    env: Vec<(&str, OsString)>,
) -> Result<()> {
    let mut cmd = Cmd::new("cargo")
        .dir(&paths.root)
        .arg("test")
        .args(arguments);
    for (name, value) in env {
        cmd = cmd.env(name, value);
    }
    println!("$ {cmd}");
    let failed = tally.failed;
    let result = cmd.lines(|line| {
        println!("{line}");
        tally.line(line);
    });
    match result {
        Ok(()) => Ok(()),
        // Counted already, test by test.
        Err(CmdError::Failed { .. }) if tally.failed > failed => Ok(()),
        Err(error @ CmdError::Failed { .. }) => {
            // It did not even compile, or a test brought its runner down.
            tally.fail(&error.to_string());
            Ok(())
        }
        Err(error) => Err(error).context("running the tests"),
    }
}
