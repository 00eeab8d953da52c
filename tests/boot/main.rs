// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real machines in QEMU: firmware, server, image and guest, end to end, through `cargo xtask boot`.

mod crowd;
mod large;
mod off;
mod race;
mod releases;
#[path = "../support/mod.rs"]
mod support;
mod winpe;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use support::{Outcome, paths, trial, trial_alone};
use xtask::cmd::Cmd;
use xtask::console::Console;
use xtask::host::{self, Need};

/// Longer than anything here takes on two slow cores.
const LIMIT: Duration = Duration::from_mins(5);
/// The same for iPXE's library, from scratch.
const BUILD_LIMIT: Duration = Duration::from_mins(15);
/// Boots beside each other: a machine waits about half of its time, and one processor emulates it.
const AT_ONCE: usize = 2;

fn main() -> ExitCode {
    let boot = [Need::Boot, Need::Serve];
    let here = support::lacking(&boot);
    let stock = support::lacking(&[&boot[..], &[Need::Prebuilt]].concat());
    let slam = here.clone().or_else(no_rom);
    let judges = [&boot[..], &[Need::Prebuilt, Need::Test]].concat();
    let measured = support::lacking(&judges).or_else(no_rom);
    let guest = support::lacking(&[&boot[..], &[Need::Guest]].concat()).or_else(no_rom);
    let trials = vec![
        trial("http_one_machine_boots_the_demo", stock, || {
            boot_demo(&["--http"], 1, "http")
        }),
        trial("slam_one_machine_boots_the_demo", slam.clone(), || {
            boot_demo(&[], 1, "x-slam")
        }),
        trial("slam_three_machines_boot_the_demo", slam.clone(), || {
            boot_demo(&[], 3, "x-slam")
        }),
        trial("slam_virtio_boots_the_demo", slam.clone(), || {
            boot_demo(&["--nic", "virtio"], 1, "x-slam")
        }),
        trial_alone(
            "slam_is_not_slower_than_upstreams_client",
            measured.clone(),
            race::not_slower_than_upstreams,
        ),
        trial("slam_a_winpe_disk_boots_fat32", measured.clone(), || {
            winpe::boots("fat32")
        }),
        trial("slam_a_winpe_disk_boots_ntfs", measured.clone(), || {
            winpe::boots("ntfs")
        }),
        trial_alone(
            "slam_the_first_block_comes_at_once",
            measured,
            race::the_first_block_comes_at_once,
        ),
        trial(
            "slam_one_machine_boots_600_mib",
            slam.clone(),
            large::six_hundred_mib,
        ),
        trial(
            "slam_an_image_larger_than_the_memory_is_an_error",
            slam.clone(),
            large::more_than_the_memory,
        ),
        trial_alone(
            "slam_32_clients_at_once_receive_the_file",
            crowd::lacking(slam.clone()),
            crowd::all_verified,
        ),
        trial(
            "slam_a_slow_client_is_moved_out_of_the_room",
            crowd::lacking(slam.clone()),
            crowd::a_slow_one_is_moved,
        ),
        trial(
            "slam_boots_behind_a_switch_that_snoops",
            slam.clone(),
            || boot_demo(&["--snooping"], 1, "x-slam"),
        ),
        trial(
            "upstreams_client_boots_but_a_switch_that_snoops_makes_it_deaf",
            slam.clone(),
            upstream,
        ),
        trial(
            "slam_ipxe_1_21_1_boots",
            releases::lacking(slam.clone(), "v1.21.1"),
            || releases::boots("v1.21.1", "8086100e.mrom"),
        ),
        trial(
            "slam_ipxe_head_boots",
            releases::lacking(slam.clone(), "head"),
            || releases::boots("head", "8086100e.mrom"),
        ),
        trial(
            "slam_ipxe_1_20_1_boots",
            releases::lacking(slam.clone(), "v1.20.1"),
            || releases::boots("v1.20.1", "8086100e.mrom"),
        ),
        // It has no .mrom yet.
        trial(
            "slam_gpxe_boots",
            releases::lacking(slam.clone(), "gpxe"),
            || releases::boots("gpxe", "8086100e.rom"),
        ),
        trial(
            "a_build_with_slam_off_is_told_apart",
            releases::lacking(slam.clone(), "v2.0.0"),
            off::is_told_apart,
        ),
        trial("slam_a_debian_kernel_prints_its_banner", guest, boot_debian),
        trial("an_interrupted_boot_leaves_nothing", here, interrupt),
    ];
    let code = support::run(trials, AT_ONCE);
    // Here and not while the runner writes its lines.
    for said in REPORTS.lock().expect("no test panics here").iter() {
        println!("{said}\n");
    }
    code
}

/// For the end, beside what the boots printed.
fn say(line: String) {
    REPORTS.lock().expect("no test panics here").push(line);
}

/// The server.
fn slamboot() -> anyhow::Result<PathBuf> {
    let [slamboot] = xtask::programs::build(paths(), ["slamboot"])?;
    Ok(slamboot)
}

/// What each boot printed.
static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Why there is no multicast to test, if there is none.
fn no_rom() -> Option<String> {
    let roms = ["8086100e.mrom", "1af41000.rom"];
    let built = roms
        .iter()
        .all(|rom| paths().dist_firmware().join(rom).exists());
    (!built).then(|| "no iPXE source (no ROM with SLAM was built)".to_owned())
}

fn cargo_xtask_boot(arguments: &[&str]) -> Cmd {
    Cmd::new("cargo")
        .dir(&paths().root)
        .args(["xtask", "boot"])
        .args(arguments)
        .limit(LIMIT)
}

/// Boots, and reads the report that the command writes for programs.
fn report(arguments: &[&str]) -> anyhow::Result<Value> {
    let dir = tempfile::tempdir()?;
    let json = dir.path().join("report.json");
    let json = json.to_str().context("a temporary name is text")?;
    let said = cargo_xtask_boot(&[arguments, &["--json", json]].concat()).read()?;
    say(said);
    Ok(serde_json::from_slice(&fs::read(json)?)?)
}

fn verified(report: &Value, clients: usize, protocol: &str) -> Outcome {
    ensure!(report["protocol"] == protocol, "{report}");
    let found = report["clients"].as_array().context("no clients")?;
    ensure!(found.len() == clients, "{report}");
    for client in found {
        ensure!(client["verified"] == true, "{client}");
        ensure!(client["protocol"] == protocol, "{client}");
        for figure in ["seconds", "mib_per_s", "seconds_to_rom"] {
            ensure!(client[figure].as_f64().is_some_and(|f| f > 0.0), "{client}");
        }
    }
    Ok(())
}

fn boot_demo(arguments: &[&str], clients: usize, protocol: &str) -> Outcome {
    let number = clients.to_string();
    let report = report(&[arguments, &["-n", &number]].concat())?;
    ensure!(report["image"] == "demo", "{report}");
    let bytes = report["bytes"].as_u64().context("no bytes")?;
    if arguments.contains(&"200MiB") {
        ensure!(bytes >= 200 << 20, "{report}");
    }
    verified(&report, clients, protocol)
}

/// Upstream's SLAM client as it is, without membership: it boots from our server, and does not
/// behind a switch that snoops, or that switch does not snoop.
fn upstream() -> Outcome {
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("slamboot.toml");
    fs::write(&config, "[firmware]\nclient = \"stock\"\nigmp = false\n")?;
    Cmd::new("cargo")
        .dir(&paths().root)
        .args(["xtask", "firmware", "--target", "8086100e.mrom", "--config"])
        .arg(&config)
        .env("SLAMBOOT_DIST", dir.path().join("dist"))
        .limit(BUILD_LIMIT)
        .read()?;
    let rom = dir.path().join("dist/firmware/8086100e.mrom");
    let rom = rom.to_str().context("a temporary name is text")?;
    boot_demo(&["--rom", rom], 1, "x-slam")?;
    let Err(error) = cargo_xtask_boot(&["--snooping", "--rom", rom]).read() else {
        bail!("a ROM that never reports its group got it");
    };
    let said = format!("{error:#}");
    ensure!(said.contains("the ROM fell back from x-slam"), "{said}");
    Ok(())
}

fn boot_debian() -> Outcome {
    let (kernel, initrd) = host::netboot().context("no netboot files")?;
    let file = |path: std::path::PathBuf| path.display().to_string();
    let (kernel, initrd) = (file(kernel), file(initrd));
    let report = report(&["--kernel", &kernel, "--initrd", &initrd])?;
    ensure!(report["image"] == "linux", "{report}");
    verified(&report, 1, "x-slam")
}

fn interrupt() -> Outcome {
    let dir = tempfile::tempdir()?;
    let console = Console::open("boot", &dir.path().join("boot.log"))?;
    let (out, err) = (console.pipe("out")?, console.pipe("err")?);
    let boot = cargo_xtask_boot(&["-n", "2"]).spawn_into(out, err)?;
    console.wait_for("booting 2 machines", LIMIT)?;
    // Cargo becomes what it runs: the process keeps its number, and labs are named by it.
    let pid = boot.pid().context("no pid")?;
    let ours = format!("slamboot-{pid}-");
    let namespaces = || -> anyhow::Result<Vec<String>> {
        let names = Cmd::new("ip").args(["netns", "list"]).read()?;
        let ours = |line: &&str| line.starts_with(&ours);
        Ok(names.lines().filter(ours).map(str::to_owned).collect())
    };
    let deadline = xtask::console::Deadline::after(Duration::from_mins(1));
    while namespaces()?.len() < 2 {
        ensure!(deadline.left().is_some(), "no lab{}", console.tail());
        std::thread::sleep(Duration::from_millis(20));
    }
    boot.signal(Signal::INT);
    let ended = boot.wait(Some(Duration::from_secs(30)));
    ensure!(
        ended.is_err(),
        "it says that it succeeded{}",
        console.tail()
    );
    ensure!(namespaces()?.is_empty(), "left: {:?}", namespaces()?);
    Ok(())
}
