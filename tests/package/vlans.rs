// SPDX-License-Identifier: MIT OR Apache-2.0
//! VLANs by a kernel that has them: one server in a room of each, and PCs whose ROM tags by itself.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use xtask::cmd::{Cmd, Running};
use xtask::console::Console;
use xtask::host;
use xtask::netlab::{Namespace, Netlab, Tap};
use xtask::qemu::{Machine, Nic, Screen, Spec};

use super::debian::{self, Debian};
use super::support::{Outcome, paths};
use super::{BOOT, REST, START, judge, roms, said, script};

/// tcpdump has nothing to do before it listens.
const LISTENS: Duration = Duration::from_mins(1);
/// Programs of the server's, and what the rooms fetch.
const PROGRAMS: [&str; 2] = ["slamboot", "slam-client"];

/// Why there is nothing to serve with, if there is not.
pub fn no_programs() -> Option<String> {
    let bin = paths().dist.join("bin");
    let lacking = PROGRAMS.iter().find(|name| !bin.join(name).exists())?;
    Some(format!("no {lacking} was built (cargo xtask dist)"))
}

/// `tests/package/vlans.sh` in the Debian, beside which two PCs boot in VLAN 30: one by the addresses and
/// the script that the server has for it, and one that asks nobody.
pub fn a_debian_serves_vlans() -> Outcome {
    let folder = tempfile::tempdir()?;
    let inside = folder.path().join("inside");
    fs::create_dir(&inside)?;
    for name in PROGRAMS {
        // What is for a debugger is ten times the rest.
        Cmd::new("strip")
            .arg("-o")
            .arg(inside.join(name))
            .arg(paths().dist.join("bin").join(name))
            .read()?;
    }
    Cmd::new(env!("CARGO_BIN_EXE_slamboot"))
        .args(["image", "demo", "--fs", "ntfs", "--output"])
        .arg(inside.join("demo.img"))
        .read()?;
    script("vlans.sh", &inside)?;
    let disk = debian::disk(&inside, &folder.path().join("trial.img"), "256M")?;
    let debian = Debian::at(&paths().target.join("test/debian"))?;

    let mut lab = Netlab::new()?;
    let _dhcp = lab.dhcp_addresses(folder.path())?;
    let (of_debian, asking, deciding) = (lab.tap()?, lab.tap()?, lab.tap()?);
    let site = "[firmware]\ntargets = [\"8086100e.mrom\"]\n[firmware.script]\nvlan = 30\nhttp_fallback = false\n";
    let asks = roms::built_for(folder.path(), "vlan", site)?;
    let site = format!(
        "[server]\naddress = \"10.30.0.1\"\n{site}ask_server = false\nstatic_network = \"10.30.0.0/24\"\n\
         [[image]]\nname = \"demo\"\nkind = \"disk\"\npath = \"{}\"\n\
         [[host]]\nmac = \"{}\"\naddress = \"10.30.0.60\"\n",
        inside.join("demo.img").display(),
        deciding.mac,
    );
    let decides = roms::built_for(folder.path(), "vlan-alone", &site)?;

    let log = paths().target.join("test/debian/vlans.log");
    let server = debian.start(lab.switch(), &of_debian, &disk, &log)?;
    let ready = server.wait_for("TRIAL serving", START);
    ready.with_context(|| said(&server.lines()))?;
    let boots = |tap: &Tap, rom: &Path, addressed: &str| -> Outcome {
        let sent = Sent::by(tap, lab.switch(), folder.path())?;
        let pc = pc(tap, rom, lab.switch(), folder.path())?;
        for text in [addressed, "fetched demo over x-slam", "slamboot demo: ok"] {
            let waited = pc.console().wait_for(text, BOOT);
            waited.with_context(|| said(&server.lines()))?;
        }
        sent.is_tagged(30)
    };
    boots(
        &asking,
        &asks,
        "this machine is 10.30.0.100, the server is 10.30.0.1",
    )?;
    boots(
        &deciding,
        &decides,
        "10.30.0.60 without DHCP, as 10.30.0.0/24 was built in",
    )?;
    let done = server.wait_for("TRIAL DONE", REST);
    done.with_context(|| said(&server.lines()))?;
    judge(&server.lines(), 30)
}

fn pc(tap: &Tap, rom: &Path, place: &Namespace, folder: &Path) -> anyhow::Result<Machine> {
    let pc = Spec {
        memory_mib: 512,
        nic: Nic::E1000,
        rom: rom.to_owned(),
        tap: tap.clone(),
        screen: Screen::None,
    };
    let log = folder.join(format!("{}.log", tap.interface));
    Ok(pc.start("pc", place, &log)?)
}

/// Every frame that a machine has sent.
struct Sent {
    console: Console,
    _running: Running,
}

impl Sent {
    fn by(tap: &Tap, place: &Namespace, folder: &Path) -> anyhow::Result<Sent> {
        let tcpdump = host::tcpdump().context("no tcpdump")?;
        let log = folder.join(format!("{}.frames", tap.interface));
        let console = Console::open("tcpdump", &log)?;
        let (out, err) = (console.pipe("out")?, console.pipe("err")?);
        let running = place
            .cmd(tcpdump)
            .args(["-i", &tap.interface, "-n", "-e", "-l", "--immediate-mode"])
            .args(["-s", "96", &format!("ether src {}", tap.mac)])
            .spawn_into(out, err)?;
        console.wait_for("listening on", LISTENS)?;
        Ok(Sent {
            console,
            _running: running,
        })
    }

    /// All of them are of this VLAN, and are what a boot takes. Port access control (802.1X) comes before any
    /// VLAN, and iPXE begins it without a tag.
    fn is_tagged(&self, vlan: u16) -> Outcome {
        let lines = self.console.lines();
        let frames = lines.iter().filter(|line| {
            let text = &line.text;
            text.contains(", ethertype ") && !text.contains(", ethertype EAPOL (0x888e), ")
        });
        let (tagged, others): (Vec<_>, Vec<_>) =
            frames.partition(|line| line.text.contains(&format!("vlan {vlan}, ")));
        println!("{} frames of VLAN {vlan}", tagged.len());
        ensure!(others.is_empty(), "not of VLAN {vlan}: {}", others[0].text);
        ensure!(tagged.len() > 10, "{}", self.console.tail());
        Ok(())
    }
}
