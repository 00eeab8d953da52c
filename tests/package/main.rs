// SPDX-License-Identifier: MIT OR Apache-2.0
//! What takes a Debian with its own kernel and systemd. The Debian package (`cargo xtask package`) where it is
//! to run: installed, updated and removed as an administrator would, while a PC boots from it. And VLANs.

mod debian;
#[path = "../support/roms.rs"]
mod roms;
#[path = "../support/mod.rs"]
mod support;
mod vlans;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use support::{Outcome, only_if_thorough, paths, trial};
use xtask::cmd::Cmd;
use xtask::console::Line;
use xtask::host::{self, Need};
use xtask::netlab::Netlab;
use xtask::qemu::{Nic, SERIAL, Screen, Spec};

/// A whole Debian starts, emulated, beside other work.
const START: Duration = Duration::from_mins(10);
/// A PC from power-on to the demo.
const BOOT: Duration = Duration::from_mins(10);
/// What the administrator does after that.
const REST: Duration = Duration::from_mins(15);

fn main() -> ExitCode {
    let needs = support::lacking(&[Need::Boot, Need::Serve, Need::Prebuilt, Need::Package]);
    let alone = only_if_thorough().or(needs);
    let firmware = support::lacking(&[Need::Firmware, Need::Test]);
    let skip = alone.clone().or_else(no_package);
    let with_roms = alone.or(firmware).or_else(roms::no_source);
    let trials = vec![
        trial("lintian_has_nothing_against_it", skip.clone(), lintian),
        trial("a_debian_with_systemd_serves_from_it", skip, on_debian),
        trial(
            "a_debian_serves_vlans",
            with_roms.or_else(vlans::no_programs),
            vlans::a_debian_serves_vlans,
        ),
    ];
    support::run(trials, 1)
}

fn no_package() -> Option<String> {
    package().err().map(|error| format!("{error:#}"))
}

/// The package that was made last.
fn package() -> anyhow::Result<PathBuf> {
    let folder = paths().root.join("target/debian");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let packages = entries.map(|entry| entry.path());
    packages
        .filter(|path| path.extension().is_some_and(|ending| ending == "deb"))
        .max_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok())
        .with_context(|| format!("no package in {} (cargo xtask package)", folder.display()))
}

/// What Debian's own judge of packages says. It is not uploaded to Debian, and has no address yet to which
/// anybody could write.
fn lintian() -> Outcome {
    Cmd::new("lintian")
        .args(["--allow-root", "--fail-on", "error,warning"])
        .args([
            "--suppress-tags",
            "bogus-mail-host,bogus-mail-host-in-debian-changelog",
        ])
        .args(["--suppress-tags", "initial-upload-closes-no-bugs"])
        .arg(package()?)
        .read()?;
    Ok(())
}

/// The same package under a version that is newer.
fn newer(package: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let tree = folder.join("next");
    Cmd::new("dpkg-deb")
        .arg("--raw-extract")
        .arg(package)
        .arg(&tree)
        .read()?;
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control)?;
    let version = text.lines().find_map(|line| line.strip_prefix("Version: "));
    let version = version.context("a package without a version")?;
    let next = format!("Version: {version}.1");
    fs::write(
        &control,
        text.replace(&format!("Version: {version}"), &next),
    )?;
    let made = folder.join("next.deb");
    Cmd::new("dpkg-deb")
        .args(["--root-owner-group", "-Znone", "--build"])
        .arg(&tree)
        .arg(&made)
        .read()?;
    Ok(made)
}

fn on_debian() -> Outcome {
    let folder = tempfile::tempdir()?;
    let inside = folder.path().join("inside");
    fs::create_dir(&inside)?;
    let package = package()?;
    fs::copy(&package, inside.join("this.deb"))?;
    fs::copy(newer(&package, folder.path())?, inside.join("next.deb"))?;
    script("guest.sh", &inside)?;
    let disk = debian::disk(&inside, &folder.path().join("trial.img"), "256M")?;
    let debian = debian::Debian::at(&paths().target.join("test/debian"))?;

    let mut lab = Netlab::new()?;
    let _dhcp = lab.dhcp_addresses(folder.path())?;
    let (of_debian, of_pc) = (lab.tap()?, lab.tap()?);
    let log = paths().target.join("test/debian/console.log");
    let server = debian.start(lab.switch(), &of_debian, &disk, &log)?;
    let ready = server.wait_for("TRIAL serving", START);
    ready.with_context(|| said(&server.lines()))?;
    let rom = host::prebuilt_roms().context("no ROMs")?;
    let pc = Spec {
        memory_mib: 512,
        nic: Nic::E1000,
        rom: rom.join(Nic::E1000.stock_rom()),
        tap: of_pc,
        screen: Screen::OnSerial,
    };
    let pc = pc.start("pc", lab.switch(), &folder.path().join("pc.log"))?;
    let booted = pc.console().wait_for("slamboot demo: ok", BOOT);
    booted.with_context(|| said(&server.lines()))?;
    let done = server.wait_for("TRIAL DONE", REST);
    done.with_context(|| said(&server.lines()))?;
    judge(&server.lines(), 40)
}

/// Puts a script where the Debian starts it, beside what it reads.
fn script(name: &str, inside: &Path) -> Outcome {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/package");
    fs::copy(ours.join(name), inside.join("guest.sh"))?;
    fs::copy(ours.join("steps.sh"), inside.join("steps.sh"))?;
    Ok(())
}

/// Shows what the Debian said when it was done; more steps than so many were taken, and none failed.
fn judge(lines: &[Line], steps: usize) -> Outcome {
    println!("\n{}", said(lines));
    let ok = |line: &&Line| line.text.starts_with("TRIAL ok");
    ensure!(lines.iter().filter(ok).count() > steps, "too few steps");
    if lines.iter().any(|line| line.text.contains("TRIAL FAILED")) {
        bail!("a step failed");
    }
    Ok(())
}

/// What the Debian said of its steps, with the seconds since it was switched on.
fn said(lines: &[Line]) -> String {
    let ours = lines.iter().filter(|line| line.source == SERIAL);
    let ours = ours.filter_map(|line| {
        let text = line.text.split_once("TRIAL ")?.1;
        Some(format!("{:>7.1} s  {text}\n", line.at.as_secs_f64()))
    });
    ours.collect()
}
