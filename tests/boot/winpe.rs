// SPDX-License-Identifier: MIT OR Apache-2.0
//! A WinPE disk over multicast: the boot manager's stand-in says whether it was loaded as BOOTMGR is.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use xtask::cmd::Cmd;

use super::{Outcome, report, slamboot, verified};

/// Builds a disk of a synthetic WIM and boots it.
pub fn boots(file_system: &str) -> Outcome {
    let slamboot = slamboot()?;
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name);
    let (bootmgr, wim, disk) = (at("bootmgr"), at("winpe.wim"), at("winpe.img"));
    Cmd::new(&slamboot)
        .args(["image", "stand-in", "-o"])
        .arg(&bootmgr)
        .read()?;
    fs::create_dir(at("tree"))?;
    fs::write(at("tree/winload.exe"), "a stand-in")?;
    Cmd::new("wimlib-imagex")
        .arg("capture")
        .arg(at("tree"))
        .arg(&wim)
        .args(["PE", "--boot", "--compress=LZX"])
        .read()?;
    fs::write(at("boot.sdi"), xtask::sdi::empty())?;
    let build = Cmd::new(&slamboot)
        .args(["image", "winpe", "--fs", file_system, "--wim"])
        .arg(&wim)
        .arg("--bootmgr")
        .arg(&bootmgr)
        .arg("--sdi")
        .arg(at("boot.sdi"))
        .arg("-o")
        .arg(&disk);
    build.read()?;
    let image = text(&disk)?;
    let report = report(&["--image", image, "--stand-in"])?;
    ensure!(report["image"] == "winpe", "{report}");
    verified(&report, 1, "x-slam")
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a temporary name is text")
}
