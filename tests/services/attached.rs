// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine with UEFI attaches a disk over HTTP, since memdisk is the BIOS's.

use std::fs;

use xtask::cmd::Cmd;

use super::Room;
use super::machines::uefi;
use crate::support::Outcome;

/// Its firmware reads the disk's boot manager through iPXE's block device, as it would from a disk.
pub fn uefi_attaches_a_disk() -> Outcome {
    let mut room = Room::new()?;
    let slamboot = || Cmd::new(env!("CARGO_BIN_EXE_slamboot"));
    let (bootmgr, efi) = (room.path("bootmgr"), room.path("bootx64.efi"));
    slamboot()
        .args(["image", "stand-in", "-o"])
        .arg(&bootmgr)
        .read()?;
    slamboot()
        .args(["image", "stand-in", "--uefi", "-o"])
        .arg(&efi)
        .read()?;
    fs::create_dir(room.path("tree"))?;
    fs::write(room.path("tree/winload.efi"), "a stand-in")?;
    Cmd::new("wimlib-imagex")
        .arg("capture")
        .arg(room.path("tree"))
        .arg(room.path("winpe.wim"))
        .args(["PE", "--boot", "--compress=LZX"])
        .read()?;
    fs::write(room.path("boot.sdi"), xtask::sdi::empty())?;
    let disk = room.path("winpe.img");
    slamboot()
        .args(["image", "winpe", "--uefi", "--wim"])
        .arg(room.path("winpe.wim"))
        .arg("--bootmgr")
        .arg(&bootmgr)
        .arg("--bootx64")
        .arg(&efi)
        .arg("--sdi")
        .arg(room.path("boot.sdi"))
        .arg("-o")
        .arg(&disk)
        .read()?;
    let config = format!(
        "[dhcp]\nmode = \"pool\"\npool = \"10.77.0.50-10.77.0.60\"\n\
         [[image]]\nname = \"winpe\"\nkind = \"disk\"\npath = \"{}\"\n",
        disk.display()
    );
    let server = room.serve("serve", &config)?;
    let tap = room.lab.tap()?;
    let machine = uefi(&room, &tap)?;
    machine.says(
        "slamboot: UEFI cannot use memdisk: attaching winpe as a network disk over http",
        &server,
    )?;
    machine.says("slamboot stand-in: ok uefi", &server)
}
