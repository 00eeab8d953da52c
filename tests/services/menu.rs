// SPDX-License-Identifier: MIT OR Apache-2.0
//! What machines tell of themselves, from a real iPXE: that they boot what a menu has chosen, that they
//! go on by HTTP, why neither worked. And UEFI's HTTP boot without any other DHCP server.

use std::fs;

use anyhow::{Context, ensure};
use xtask::console::Deadline;
use xtask::host;
use xtask::netlab::SERVER;

use super::machines::{BOOT, bios_with, linux, told, uefi};
use super::{Room, SOON, demo, small};
use crate::support::{Outcome, paths};

const POOL: &str = "[dhcp]\nmode = \"pool\"\npool = \"10.77.0.50-10.77.0.60\"\n";

/// Nobody chooses, so that the default boots, which is not the first image: that could not boot at all.
pub fn of_the_server() -> Outcome {
    let mut room = Room::new()?;
    let (other, own) = (small(&room)?, demo(&room)?);
    let menu = "[boot]\nmenu = true\ntimeout = 2\ndefault = \"demo\"\n";
    let server = room.serve("serve", &format!("{POOL}{menu}{other}{own}"))?;
    let tap = room.lab.tap()?;
    let option_rom = paths().dist_firmware().join("8086100e.mrom");
    let machine = bios_with(&room, &tap, &option_rom)?;
    for words in [
        "slamboot: menu",
        "slamboot: fetched demo over x-slam",
        "slamboot demo: ok",
    ] {
        machine.says(words, &server)?;
    }
    for words in ["gets the script for the menu", "boots demo"] {
        told(&server, &[&tap.mac, words])?;
    }
    Ok(())
}

/// A firewall on the server lets nothing of SLAM in.
fn closed_to_slam(room: &Room) -> Outcome {
    let place = room.lab.server();
    for rule in [
        "add table inet closed",
        "add chain inet closed input { type filter hook input priority 0; }",
        "add rule inet closed input udp dport 10000 drop",
    ] {
        place.cmd("nft").arg(rule).read()?;
    }
    Ok(())
}

/// What the page of the only machine says, without its tags.
fn page_of_the_machine(room: &Room) -> anyhow::Result<String> {
    let get = |path: &str| {
        let url = format!("http://{SERVER}:8080{path}");
        let curl = room.lab.server().cmd("curl");
        curl.args(["--silent", "--show-error", "--fail", &url])
            .read()
    };
    let room = get("/status")?;
    let at = room
        .find("/status/client/")
        .context("no client on the page")?;
    let path = room[at..].split('"').next().unwrap_or_default();
    let page = get(path)?;
    let texts = page.split('<').filter_map(|tag| tag.split_once('>'));
    Ok(texts.map(|(_, text)| text).collect())
}

/// First the server has lost what boots disks; when that is back, nothing comes by multicast. Both stand
/// on the machine's page, in iPXE's words and in ours.
pub fn what_fails_is_explained() -> Outcome {
    let mut room = Room::new()?;
    let config = demo(&room)?;
    let (memdisk, at_hand) = (room.path("memdisk"), host::memdisk().context("no memdisk")?);
    fs::copy(&at_hand, &memdisk)?;
    let own = format!("memdisk = \"{}\"\n", memdisk.display());
    let server = room.serve("serve", &format!("{own}{POOL}{config}"))?;
    fs::remove_file(&memdisk)?;
    closed_to_slam(&room)?;
    let tap = room.lab.tap()?;
    let option_rom = paths().dist_firmware().join("8086100e.mrom");
    let machine = bios_with(&room, &tap, &option_rom)?;
    for (event, text, meaning) in [
        (
            "could not boot demo",
            "No such file or directory (iPXE 2d",
            "Most likely the server has no such file",
        ),
        (
            "got nothing by multicast",
            "Connection timed out (iPXE 4c",
            "Most likely nothing that was multicast reached it: does a switch snoop IGMP",
        ),
    ] {
        server.console.wait_for(event, BOOT)?;
        // The page is made once a second at most.
        let soon = Deadline::after(SOON);
        loop {
            let page = page_of_the_machine(&room)?;
            if page.contains(text) && page.contains(meaning) {
                break;
            }
            ensure!(
                soon.left().is_some(),
                "neither {text:?} nor {meaning:?}: {page}"
            );
        }
        // It tries again by itself.
        fs::copy(&at_hand, &memdisk)?;
    }
    machine.says("slamboot demo: ok", &server)
}

pub fn falls_back_to_http() -> Outcome {
    let mut room = Room::new()?;
    let config = demo(&room)?;
    let server = room.serve("serve", &format!("{POOL}{config}"))?;
    closed_to_slam(&room)?;
    let tap = room.lab.tap()?;
    let option_rom = paths().dist_firmware().join("8086100e.mrom");
    let machine = bios_with(&room, &tap, &option_rom)?;
    machine.says("slamboot demo: ok", &server)?;
    let failed = "got nothing by multicast, and downloads demo: Connection timed out";
    told(&server, &[&tap.mac, failed])?;
    told(&server, &[&tap.mac, "boots demo"])?;
    Ok(())
}

/// Address, name and URL come from one server, and no TFTP is there to fall back on.
pub fn uefi_http_from_our_pool() -> Outcome {
    let mut room = Room::new()?;
    let config = linux()?;
    let server = room.serve("serve", &format!("[tftp]\nport = 0\n{POOL}{config}"))?;
    let tap = room.lab.tap()?;
    let machine = uefi(&room, &tap)?;
    machine.says("Linux version", &server)?;
    let booted =
        "UEFI HTTP boot on efi-x64 (HTTP boot) boots http://10.77.0.1:8080/firmware/snponly.efi";
    for words in ["leases 10.77.0.50", booted, "boots debian"] {
        told(&server, &[&tap.mac, words])?;
    }
    Ok(())
}
