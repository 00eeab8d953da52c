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
    fs::write(at("boot.sdi"), sdi())?;
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

/// The least boot.sdi: a header, and an empty place for the WIM.
fn sdi() -> Vec<u8> {
    let mut file = vec![0; 0x2000];
    file[..8].copy_from_slice(b"$SDI0001");
    file[0x70] = 2;
    file[0x400..0x403].copy_from_slice(b"WIM");
    file[0x411] = 0x20;
    let sum = file[..0x200]
        .iter()
        .fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    file[0x1FF] = sum.wrapping_neg();
    file
}
