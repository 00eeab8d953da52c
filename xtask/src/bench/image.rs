// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bench --image`: how long a WinPE disk takes, beside copying its parts and beside
//! mkwinpeimg.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use xtask::cmd::{Cmd, interrupted};
use xtask::console;
use xtask::host;
use xtask::paths::Paths;
use xtask::programs::{self, Profile};
use xtask::sdi;
use xtask::table::Table;

use super::machine::Machine;
use super::report::Spread;
use super::{Scratch, digest};

/// A turn of somebody: what is run, one after the other.
struct Contestant {
    label: &'static str,
    steps: Vec<Cmd>,
}

/// Everyone takes a turn, round by round; every turn begins with its file not there and the disk
/// at rest.
pub(super) fn run(rounds: u32, mib: u64, paths: &Paths) -> Result<()> {
    let Some(wimlib) = host::program("wimlib-imagex") else {
        bail!("no wimlib-imagex to make a WIM with: apt-get install wimtools (Debian, Ubuntu)");
    };
    // On a disk: memory has nothing to be synced to.
    let scratch = Scratch::under(&paths.target.join("bench"))?;
    let dir = scratch.dir.as_path();
    let release = Paths {
        profile: Profile::Release,
        ..paths.clone()
    };
    let [slamboot] = programs::build(&release, ["slamboot"])?;
    inputs(dir, &slamboot, &wimlib, mib)?;
    eprintln!("{}", Machine::here());

    let contestants = contestants(dir, &slamboot);
    let mut seconds = vec![Vec::new(); contestants.len()];
    for round in 1..=rounds {
        for (contestant, seconds) in contestants.iter().zip(&mut seconds) {
            if interrupted() {
                bail!("interrupted");
            }
            let out = dir.join("out");
            let _ = fs::remove_dir_all(&out);
            fs::create_dir(&out).with_context(|| out.display().to_string())?;
            Cmd::new("sync").read()?;
            let start = console::now();
            for step in &contestant.steps {
                step.read()?;
            }
            let taken = start.elapsed().as_secs_f64();
            eprintln!("  {round}/{rounds}  {:28}  {taken:6.3} s", contestant.label);
            seconds.push(taken);
        }
    }
    let mut table = Table::new(["a WIM to a disk", "median s", "× cp + sync", "all"]);
    let medians = seconds
        .iter()
        .filter_map(|seconds| Some(Spread::of(seconds.iter().copied())?.median));
    let medians: Vec<f64> = medians.collect();
    for ((contestant, seconds), taken) in contestants.iter().zip(&seconds).zip(&medians) {
        let all: Vec<String> = seconds.iter().map(|taken| format!("{taken:.3}")).collect();
        table.row([
            contestant.label.to_owned(),
            format!("{taken:.3}"),
            format!("{:.2}", taken / medians[0]),
            all.join(" "),
        ]);
    }
    println!("\n{mib} MiB that do not compress, {rounds} rounds in turn\n\n{table}");
    Ok(())
}

/// A WIM of so many MiB, a stand-in for bootmgr, a boot.sdi that holds nothing; and the same as
/// Windows media.
fn inputs(dir: &Path, slamboot: &Path, wimlib: &Path, mib: u64) -> Result<()> {
    let tree = dir.join("tree/Windows");
    fs::create_dir_all(&tree).with_context(|| tree.display().to_string())?;
    digest::write(&tree.join("content"), mib << 20)?;
    let wim = Cmd::new(wimlib).dir(dir);
    let capture = [
        "capture",
        "tree",
        "boot.wim",
        "PE",
        "--compress=none",
        "--boot",
    ];
    wim.clone().args(capture).read()?;
    wim.args([
        "info",
        "boot.wim",
        "1",
        "--image-property",
        "WINDOWS/ARCH=9",
    ])
    .read()?;
    fs::remove_dir_all(dir.join("tree"))?;
    Cmd::new(slamboot)
        .dir(dir)
        .args(["image", "stand-in", "-o", "bootmgr"])
        .read()?;
    Cmd::new(slamboot)
        .dir(dir)
        .args(["bcd", "create", "BCD", "--winpe"])
        .read()?;
    fs::write(dir.join("boot.sdi"), sdi::empty())?;
    let media = dir.join("media");
    for (from, to) in [
        ("boot.wim", "sources/boot.wim"),
        ("bootmgr", "bootmgr"),
        ("boot.sdi", "boot/boot.sdi"),
        ("BCD", "boot/bcd"),
    ] {
        let to = media.join(to);
        fs::create_dir_all(to.parent().unwrap_or(&media))?;
        fs::hard_link(dir.join(from), &to).with_context(|| to.display().to_string())?;
    }
    Ok(())
}

/// Copying first: it is the measure of all others.
fn contestants(dir: &Path, slamboot: &Path) -> Vec<Contestant> {
    let sync = || Cmd::new("sync");
    let winpe = |file_system: &str| {
        let parts = [
            "--wim",
            "boot.wim",
            "--bootmgr",
            "bootmgr",
            "--sdi",
            "boot.sdi",
        ];
        Cmd::new(slamboot)
            .dir(dir)
            .args(["image", "winpe", "-o", "out/disk.img", "--fs", file_system])
            .args(parts)
    };
    let copy = Cmd::new("cp").dir(dir);
    let mut contestants = vec![
        Contestant {
            label: "cp, sync",
            steps: vec![
                copy.args(["boot.wim", "bootmgr", "boot.sdi", "out/"]),
                sync(),
            ],
        },
        Contestant {
            label: "slamboot image winpe, FAT32",
            steps: vec![winpe("fat32")],
        },
        Contestant {
            label: "slamboot image winpe, NTFS",
            steps: vec![winpe("ntfs")],
        },
    ];
    match host::program("mkwinpeimg") {
        Some(mkwinpeimg) => contestants.push(Contestant {
            label: "mkwinpeimg, sync",
            steps: vec![
                Cmd::new(mkwinpeimg).dir(dir).args([
                    "--windows-dir=media",
                    "--wim=boot.wim",
                    "out/disk.img",
                ]),
                sync(),
            ],
        }),
        None => eprintln!("mkwinpeimg is absent: apt-get install wimtools (Debian, Ubuntu)"),
    }
    contestants
}
