// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disk images of any maker: of which format, and whether a BIOS would start one.

use std::fs::File;
use std::path::Path;

use super::{ExistingError, open, read_at};
use crate::image::inspect::table::{BootCode, Table};
use crate::image::le::u16_at;
use crate::image::tool::{QEMU_IMG, ToolError, Work};
use crate::image::unit::SECTOR;
use crate::image::write::{Step, Watch};

/// How the bytes of a disk are kept in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As they are.
    Raw,
    /// QEMU's.
    Qcow2,
    /// Virtual PC's, fixed or dynamic.
    Vhd,
    /// Hyper-V's.
    Vhdx,
    /// `VMware`'s.
    Vmdk,
    /// `VirtualBox`'s.
    Vdi,
}

impl Format {
    /// As qemu-img calls it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
            Format::Vhd => "vpc",
            Format::Vhdx => "vhdx",
            Format::Vmdk => "vmdk",
            Format::Vdi => "vdi",
        }
    }

    /// For people.
    pub fn shown(self) -> &'static str {
        match self {
            Format::Vhd => "VHD",
            other => other.name(),
        }
    }

    /// By its marks: of the first KiB, and of the last 512 bytes (a fixed VHD has only a footer).
    fn of(head: &[u8], tail: &[u8]) -> Self {
        const VDI: [u8; 4] = [0x7F, 0x10, 0xDA, 0xBE];
        if head.starts_with(b"QFI\xFB") {
            Format::Qcow2
        } else if head.starts_with(b"conectix") || tail.starts_with(b"conectix") {
            Format::Vhd
        } else if head.starts_with(b"vhdxfile") {
            Format::Vhdx
        } else if head.starts_with(b"KDMV") || head.starts_with(b"# Disk DescriptorFile") {
            Format::Vmdk
        } else if head.get(0x40..0x44) == Some(&VDI) {
            Format::Vdi
        } else {
            Format::Raw
        }
    }
}

/// A raw disk that a BIOS starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootable {
    /// Its length.
    pub bytes: u64,
    /// Its sector 0.
    pub table: Table,
    /// What may not work.
    pub doubts: Vec<String>,
}

/// Tells the format of an image.
pub fn format(path: &Path) -> Result<Format, ExistingError> {
    let (file, length) = open(path)?;
    let head = read_at(path, &file, 0, 1024)?;
    let tail = read_at(path, &file, length.saturating_sub(512), 512)?;
    Ok(Format::of(&head, &tail))
}

/// Converts an image into a raw one, with holes where it is zero.
pub fn convert(
    path: &Path,
    format: Format,
    raw: &Path,
    watch: &mut Watch,
) -> Result<(), ToolError> {
    let name = format.name();
    let options = ["convert", "-p", "-f", name, "-O", "raw", "-S", "4k"].map(AsRef::as_ref);
    let files = [path.as_os_str(), raw.as_os_str()];
    let work = Work {
        what: "converting a disk image",
        step: Step::Convert,
        total: std::fs::metadata(path).map_or(0, |file| file.len()),
    };
    QEMU_IMG.run_watched(work, options.into_iter().chain(files), b"", watch)
}

/// Checks that a BIOS, and so memdisk, would start a raw disk.
pub fn check(path: &Path) -> Result<Bootable, ExistingError> {
    let (file, bytes) = open(path)?;
    check_file(path, &file, bytes)
}

fn check_file(path: &Path, file: &File, bytes: u64) -> Result<Bootable, ExistingError> {
    let wrong = ExistingError::in_field(path);
    if bytes == 0 || !bytes.is_multiple_of(SECTOR) {
        let found = format!("{bytes} bytes");
        let expected = "whole sectors of 512 bytes";
        return Err(wrong(
            "length",
            0,
            expected,
            found,
            "; is the copy complete?",
        ));
    }
    let sector = read_at(path, file, 0, 512)?;
    let table = Table::decode(&sector);
    if !table.marked {
        let found = format!("{:#06x}", u16_at(&sector, 510));
        return Err(wrong(
            "mark of a boot sector",
            510,
            "0xaa55",
            found,
            "; it is no bootable disk",
        ));
    }
    if table.boot_code == BootCode::None {
        let remedy = if table.gpt {
            "; a GPT disk without BIOS boot code boots on UEFI only, from a real disk"
        } else {
            "; install a boot loader for BIOS on it"
        };
        let expected = "boot code for BIOS";
        return Err(wrong("sector 0", 0, expected, "zeros".to_owned(), remedy));
    }
    let mut doubts = Vec::new();
    let active: Vec<_> = table
        .partitions
        .iter()
        .filter(|entry| entry.active)
        .collect();
    match active.as_slice() {
        // A floppy image, or a loader that needs no partition.
        [] if table.partitions.is_empty() => doubts.push(
            "it has no partition table: memdisk takes images up to 2.88 MB as floppies, and \
             guesses the geometry of others"
                .to_owned(),
        ),
        [] if !table.gpt => doubts.push(
            "no partition is active: boot code that looks for one, as Windows' does, stops"
                .to_owned(),
        ),
        [] | [_] => {}
        [_, second, ..] => {
            let offset = 0x1BE + (second.number as u64 - 1) * 16;
            let found = format!("partition {} active, too", second.number);
            let remedy = "; sfdisk --activate DISK NUMBER leaves one";
            return Err(wrong(
                "partition table",
                offset,
                "one active partition",
                found,
                remedy,
            ));
        }
    }
    for entry in &table.partitions {
        let end = (u64::from(entry.start) + u64::from(entry.sectors)) * SECTOR;
        // A protective entry may claim more than there is.
        if end > bytes && !table.gpt {
            let offset = 0x1BE + (entry.number as u64 - 1) * 16 + 8;
            let found = format!("partition {} up to byte {end}", entry.number);
            let remedy = "; is the copy complete?";
            return Err(wrong(
                "partition table",
                offset,
                "partitions within the image",
                found,
                remedy,
            ));
        }
    }
    if let [entry] = active.as_slice() {
        let start = u64::from(entry.start) * SECTOR;
        let boot = read_at(path, file, start, 512)?;
        match BootCode::of(&boot, 0x5A, crate::image::vbr::CODE) {
            // Many loaders (GRUB, syslinux' MBR on GPT) never look there.
            BootCode::None if table.boot_code == BootCode::Slamboot => {
                let found = "no boot code".to_owned();
                let expected = "a boot sector in the active partition";
                return Err(wrong("boot sector", start, expected, found, ""));
            }
            BootCode::Refusal => doubts.push(format!(
                "the active partition's boot sector (byte {start:#x}) only says that it is not \
                 bootable"
            )),
            _ => {}
        }
    }
    if !active.iter().all(|entry| entry.ends_on_cylinder) {
        doubts.push(
            "the active partition does not end on a cylinder of 255 heads and 63 sectors: \
             memdisk guesses the geometry, which code that reads by CHS may not like"
                .to_owned(),
        );
    }
    Ok(Bootable {
        bytes,
        table,
        doubts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let of = Format::of;
        assert_eq!(of(b"QFI\xFB\0\0\0\x03", b""), Format::Qcow2);
        assert_eq!(of(b"\xFA\xEB", b"conectix\0"), Format::Vhd);
        assert_eq!(of(b"conectix", b""), Format::Vhd);
        assert_eq!(of(b"vhdxfile", b""), Format::Vhdx);
        assert_eq!(of(b"KDMV", b""), Format::Vmdk);
        let mut vdi = vec![0; 0x44];
        vdi[0x40..].copy_from_slice(&[0x7F, 0x10, 0xDA, 0xBE]);
        assert_eq!(of(&vdi, b""), Format::Vdi);
        assert_eq!(of(b"", b""), Format::Raw);
    }
}
