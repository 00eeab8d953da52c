// SPDX-License-Identifier: MIT OR Apache-2.0
//! A ROM that decides by itself what boots: no DHCP, and no script of the server's.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;

use super::machines::{BOOT, bios_with};
use super::{Room, demo, roms, small};
use crate::support::Outcome;

/// For all others the first image, which could not boot at all; for this card the menu, which boots
/// the demo when nobody chooses; and a room that never fills.
pub fn by_card_and_menu_without_dhcp() -> Outcome {
    let mut room = Room::new()?;
    let (other, own) = (small(&room)?, demo(&room)?);
    let tap = room.lab.tap()?;
    let site = format!(
        "[firmware]\ntargets = [\"8086100e.mrom\"]\n\
         [firmware.script]\nask_server = false\nstatic_network = \"10.77.0.0/24\"\n\
         [slam]\nmin_clients = 2\nmax_wait = 3\n\
         [dhcp]\nmode = \"off\"\n[boot]\ndefault = \"demo\"\ntimeout = 2\n{other}{own}\
         [[host]]\nmac = \"52:54:00:ff:ff:01\"\naddress = \"10.77.0.61\"\nboot = \"local\"\n\
         [[host]]\nmac = \"{}\"\naddress = \"10.77.0.60\"\nboot = \"menu\"\n",
        tap.mac
    );
    let option_rom = rom(&room, "menu", &site)?;
    let server = room.serve("serve", &site)?;
    let machine = bios_with(&room, &tap, &option_rom)?;
    for said in [
        "slamboot: 10.77.0.60 without DHCP, as 10.77.0.0/24 was built in",
        "slamboot: this machine is 10.77.0.60, the server is 10.77.0.1",
        "slamboot: menu",
        "slamboot: waiting for a room of 2 machines, 3 s at most",
        "slamboot: fetched demo over x-slam",
        "slamboot demo: ok",
    ] {
        machine.says(said, &server)?;
    }
    Ok(())
}

/// This card's own image, though no multicast comes: the server hears nobody from this network, and the ROM
/// fetches over HTTP what then boots.
pub fn own_image_over_http_without_multicast() -> Outcome {
    let mut room = Room::new()?;
    let (other, own) = (small(&room)?, demo(&room)?);
    let tap = room.lab.tap()?;
    let site = format!(
        "[firmware]\ntargets = [\"8086100e.mrom\"]\n[firmware.script]\nask_server = false\n\
         [slam]\nallowed = [\"192.0.2.0/24\"]\n\
         [boot]\ndefault = \"small\"\n{other}{own}\
         [[host]]\nmac = \"{}\"\nimage = \"demo\"\n",
        tap.mac
    );
    let option_rom = rom(&room, "fallback", &site)?;
    let server = room.serve("serve", &site)?;
    let _dhcp = room.lab.dhcp_addresses(room.dir.path())?;
    let machine = bios_with(&room, &tap, &option_rom)?;
    for said in [
        "slamboot: fetch demo over x-slam",
        "slamboot: no demo over x-slam, falling back to http",
        "slamboot: fetched demo over http",
        "slamboot demo: ok",
    ] {
        machine.says(said, &server)?;
    }
    Ok(())
}

/// Nobody serves what it was built for until it has failed twice, the second time with a longer wait.
pub fn tries_again() -> Outcome {
    let mut room = Room::new()?;
    let image = demo(&room)?;
    let tap = room.lab.tap()?;
    let site = format!(
        "[firmware]\ntargets = [\"8086100e.mrom\"]\nretries = 0\n[firmware.script]\nask_server = false\n{image}"
    );
    let option_rom = rom(&room, "again", &site)?;
    let _dhcp = room.lab.dhcp_addresses(room.dir.path())?;
    let machine = bios_with(&room, &tap, &option_rom)?;
    for failed in [
        "slamboot: attempt 1 failed, next in 1 s",
        "slamboot: attempt 2 failed, next in 2 s",
    ] {
        machine.console.wait_for(failed, BOOT)?;
    }
    let server = room.serve("serve", &image)?;
    machine.says("slamboot: fetched demo over x-slam", &server)?;
    machine.says("slamboot demo: ok", &server)
}

/// The first machine waits until the second is there; both get the image.
pub fn waits_for_its_room() -> Outcome {
    const ALONE: Duration = Duration::from_secs(15);
    let waits = "slamboot: waiting for a room of 2 machines, 300 s at most";
    let mut room = Room::new()?;
    let image = demo(&room)?;
    let site = format!(
        "[firmware]\ntargets = [\"8086100e.mrom\"]\n[firmware.script]\nask_server = false\n\
         [slam]\nmin_clients = 2\nmax_wait = 300\n{image}"
    );
    let option_rom = rom(&room, "room", &site)?;
    let server = room.serve("serve", &site)?;
    let _dhcp = room.lab.dhcp_addresses(room.dir.path())?;
    let (one, two) = (room.lab.tap()?, room.lab.tap()?);
    let first = bios_with(&room, &one, &option_rom)?;
    first.says(waits, &server)?;
    std::thread::sleep(ALONE);
    let lines = first.console.lines();
    let early = lines.iter().any(|line| line.text.contains("fetched demo"));
    ensure!(!early, "it did not wait{}", first.console.tail());
    let second = bios_with(&room, &two, &option_rom)?;
    for machine in [&second, &first] {
        machine.says("slamboot: fetched demo over x-slam", &server)?;
        machine.says("slamboot demo: ok", &server)?;
    }
    Ok(())
}

/// A script of the site's own, in place of slamboot's.
pub fn own_script() -> Outcome {
    const SCRIPT: &str = "#!ipxe
echo room 12: a script of its own
:again
dhcp || goto again
kernel --name memdisk http://10.77.0.1:8080/memdisk harddisk || goto again
mcjoin 239.255.1.1 || goto again
initrd --name disk x-slam://10.77.0.1:10000/239.255.1.1:10000 || goto again
mcleave 239.255.1.1 ||
echo room 12: the disk is here
boot || goto again
";
    let mut room = Room::new()?;
    let image = demo(&room)?;
    let tap = room.lab.tap()?;
    fs::write(room.path("room.ipxe"), SCRIPT)?;
    let site = format!(
        "[firmware]\ntargets = [\"8086100e.mrom\"]\n[firmware.script]\nfile = \"room.ipxe\"\n{image}"
    );
    let option_rom = rom(&room, "own-script", &site)?;
    let server = room.serve("serve", &image)?;
    let _dhcp = room.lab.dhcp_addresses(room.dir.path())?;
    let machine = bios_with(&room, &tap, &option_rom)?;
    for said in [
        "room 12: a script of its own",
        "room 12: the disk is here",
        "slamboot demo: ok",
    ] {
        machine.says(said, &server)?;
    }
    Ok(())
}

/// Built for `site`, and for the server's address in every lab.
fn rom(room: &Room, name: &str, site: &str) -> anyhow::Result<PathBuf> {
    let site = format!("[server]\naddress = \"10.77.0.1\"\n{site}");
    roms::built_for(room.dir.path(), name, &site)
}
