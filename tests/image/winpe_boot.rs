// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU boots WinPE disks: the stand-ins for boot managers say what they found, and Microsoft's
//! own, where there is one, what became of it.

use std::path::PathBuf;

use slamboot::image::standin;

use crate::judge::skip;
use crate::machine::{Machine, Medium, have_qemu, memdisk};
use crate::support::flip;
use crate::winpe_parts::{Parts, done, has_wimlib, text};

const ENDS: [&str; 2] = ["stand-in: ok", "stand-in: BAD"];

fn ready(name: &str) -> bool {
    have_qemu(name) && has_wimlib(name)
}

fn success() -> String {
    format!(
        "slamboot stand-in: start drive=0x80 bytes=512 hidden=2048\r\n{}\r\n",
        standin::success_line()
    )
}

/// All file systems.
const KINDS: [&str; 2] = ["fat32", "ntfs"];

#[test]
fn the_stand_in_finds_all_that_bootmgr_relies_on() {
    let name = "the_stand_in_finds_all_that_bootmgr_relies_on";
    if !ready(name) {
        return;
    }
    let parts = Parts::new();
    for kind in KINDS {
        let disk = parts.build(&["--fs", kind]);
        let said = Machine::start(&Medium::Disk(&disk), 64).until(&ENDS);
        assert_eq!(said, success(), "{kind}");
        if let Some(memdisk) = memdisk(name) {
            let said = Machine::start(&Medium::Memdisk(memdisk, &disk), 256).until(&ENDS);
            assert_eq!(said, success(), "{kind} through memdisk");
        }
    }
}

#[test]
fn the_stand_in_notices_what_is_wrong() {
    if !ready("the_stand_in_notices_what_is_wrong") {
        return;
    }
    let parts = Parts::new();
    let disk = parts.build(&["--fs", "fat32"]);
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&disk)
        .unwrap();
    let vbr = 1 << 20;
    let bytes = std::fs::read(&disk).unwrap();
    let extent = u32::from_le_bytes(bytes[vbr + 0x196..vbr + 0x19A].try_into().unwrap());
    for (offset, expected) in [
        (vbr as u64 + 0x1C, "BAD hidden sectors at 0:7C1C"),
        (vbr as u64 + 0x0C, "BAD bytes per sector at 0:7C0B"),
        (u64::from(extent) * 512 + 300_000, "BAD load crc32="),
    ] {
        flip(&file, offset);
        let said = Machine::start(&Medium::Disk(&disk), 64).until(&ENDS);
        flip(&file, offset);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn uefi_starts_its_boot_manager_and_bios_the_other() {
    let name = "uefi_starts_its_boot_manager_and_bios_the_other";
    if !ready(name) {
        return;
    }
    let ovmf = ["/usr/share/ovmf/OVMF.fd", "/usr/share/edk2/x64/OVMF.fd"];
    let Some(ovmf) = ovmf.iter().map(PathBuf::from).find(|path| path.is_file()) else {
        return skip(name, "no OVMF.fd (package ovmf)");
    };
    let parts = Parts::new();
    let disk = parts.build(&["--uefi", "--bootx64", text(&parts.efi)]);
    let said = Machine::start(&Medium::Uefi(&ovmf, &disk), 512).says("stand-in: ok uefi");
    assert!(said.contains("slamboot stand-in: start uefi\r\n"), "{said}");
    let said = Machine::start(&Medium::Disk(&disk), 64).until(&ENDS);
    assert_eq!(said, success());
}

/// Microsoft's boot manager and boot.sdi from `SLAMBOOT_WINPE_MEDIA` (a folder or ISO), with a WIM
/// whose winload.exe is a dummy: bootmgr must find store, boot.sdi and WIM, and then say that
/// winload cannot be run.
#[test]
fn microsofts_boot_manager_gets_as_far_as_winload() {
    let name = "microsofts_boot_manager_gets_as_far_as_winload";
    let Some(media) = std::env::var_os("SLAMBOOT_WINPE_MEDIA").map(PathBuf::from) else {
        return skip(
            name,
            "no SLAMBOOT_WINPE_MEDIA=DIR with bootmgr and boot.sdi of Windows",
        );
    };
    if !ready(name) {
        return;
    }
    let parts = Parts::new();
    let disk = parts.at("disk.img");
    for kind in KINDS {
        let (media, wim) = (text(&media), text(&parts.wim));
        let disk_name = text(&disk);
        done(&[
            "image", "winpe", "--media", media, "--wim", wim, "--fs", kind, "-o", disk_name,
        ]);
        let mut media = vec![Medium::Disk(&disk)];
        media.extend(memdisk(name).map(|memdisk| Medium::Memdisk(memdisk, &disk)));
        for medium in media {
            // "reached winload, which is a dummy": 0xc0000098 on its path; of the wrong kind: 7b.
            let screen = Machine::start(&medium, 512).screen(&["0xc0000098", "0xc000007b"]);
            assert!(screen.to_lowercase().contains("winload.exe"), "{screen}");
        }
    }
}
