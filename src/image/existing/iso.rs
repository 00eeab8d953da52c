// SPDX-License-Identifier: MIT OR Apache-2.0
//! ISO images: whether there is something to boot (El Torito, 1995, version 1.0), and whether
//! they are disks, too (isohybrid).

use std::path::Path;

use super::{ExistingError, open, read_at};
use crate::image::inspect::table::{BootCode, Table};
use crate::image::le::{u16_at, u32_at};

const SECTOR: u64 = 2048;
/// Volume descriptors begin here (ECMA-119, 6.2.1).
const FIRST_DESCRIPTOR: u64 = 16;
/// More than any disc has.
const MAX_DESCRIPTORS: u64 = 32;

/// What an ISO boots on, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iso {
    /// Its length.
    pub bytes: u64,
    /// The volume's name.
    pub label: String,
    /// Whether its catalog has an entry for BIOS.
    pub bios: bool,
    /// Whether its catalog has an entry for UEFI.
    pub uefi: bool,
    /// Whether it is a disk with boot code, too.
    pub hybrid: bool,
    /// How its BIOS entry is emulated: `no emulation`, as today's are, or a floppy or disk.
    pub emulation: Option<&'static str>,
}

/// Checks that an ISO has something to boot.
pub fn check(path: &Path) -> Result<Iso, ExistingError> {
    let (file, bytes) = open(path)?;
    let wrong = ExistingError::in_field(path);
    let mut label = String::new();
    let mut catalog = None;
    for number in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + MAX_DESCRIPTORS {
        let offset = number * SECTOR;
        let descriptor = read_at(path, &file, offset, SECTOR as usize)?;
        if descriptor.get(1..6) != Some(b"CD001") {
            if number == FIRST_DESCRIPTOR {
                let found = match descriptor.get(1..6) {
                    Some(found) => format!("{:?}", String::from_utf8_lossy(found)),
                    None => format!("the end of the file at byte {bytes}"),
                };
                let expected = "\"CD001\", a volume descriptor";
                return Err(wrong(
                    "ISO 9660",
                    offset + 1,
                    expected,
                    found,
                    "; it is no ISO image",
                ));
            }
            break;
        }
        match descriptor.first() {
            // Boot record: El Torito 2.0, figure 7.
            Some(0) if descriptor.get(7..30) == Some(b"EL TORITO SPECIFICATION") => {
                catalog = Some(u32_at(&descriptor, 0x47));
            }
            Some(1) => {
                let name = descriptor.get(40..72).unwrap_or_default();
                String::from_utf8_lossy(name).trim().clone_into(&mut label);
            }
            Some(0xFF) => break,
            _ => {}
        }
    }
    let table = Table::decode(&read_at(path, &file, 0, 512)?);
    let hybrid = table.marked && table.boot_code != BootCode::None;
    let mut iso = Iso {
        bytes,
        label,
        bios: false,
        uefi: false,
        hybrid,
        emulation: None,
    };
    let Some(catalog) = catalog else {
        if hybrid {
            return Ok(iso);
        }
        let found = "none".to_owned();
        let offset = FIRST_DESCRIPTOR * SECTOR;
        let expected = "a boot record (El Torito)";
        return Err(wrong(
            "volume descriptors",
            offset,
            expected,
            found,
            "; nothing on it boots",
        ));
    };
    let at = u64::from(catalog) * SECTOR;
    let entries = read_at(path, &file, at, SECTOR as usize)?;
    let sum = entries.get(..32).unwrap_or_default();
    let sum = sum.as_chunks::<2>().0.iter().fold(0u16, |sum, word| {
        sum.wrapping_add(u16::from_le_bytes(*word))
    });
    let valid =
        entries.len() >= 64 && entries[0] == 1 && u16_at(&entries, 30) == 0xAA55 && sum == 0;
    if !valid {
        let expected = "a validation entry whose words add up to 0";
        let found = match entries.len() {
            0..64 => format!("the end of the file at byte {bytes}"),
            _ => format!("id {:#04x}, sum {sum:#06x}", entries[0]),
        };
        return Err(wrong(
            "boot catalog",
            at,
            expected,
            found,
            "; is the copy complete?",
        ));
    }
    let mut platform = entries[1];
    for (index, entry) in entries.as_chunks::<32>().0.iter().enumerate().skip(1) {
        match entry[0] {
            // Section headers name the platform of what follows.
            0x90 | 0x91 => platform = entry[1],
            0x88 if platform == 0xEF => iso.uefi = true,
            0x88 if platform == 0 => {
                iso.bios = true;
                iso.emulation.get_or_insert(match entry[1] & 0x0F {
                    0 => "no emulation",
                    1..=3 => "a floppy",
                    _ => "a hard disk",
                });
                let image = u64::from(u32_at(entry, 8)) * SECTOR;
                if image >= bytes {
                    let found = format!("its first sector at byte {image} of {bytes}");
                    let offset = at + index as u64 * 32 + 8;
                    let expected = "a boot image within the file";
                    return Err(wrong(
                        "boot catalog",
                        offset,
                        expected,
                        found,
                        "; is the copy complete?",
                    ));
                }
            }
            _ => {}
        }
    }
    if !iso.bios && !iso.uefi && !hybrid {
        let found = "none that is bootable".to_owned();
        return Err(wrong(
            "boot catalog",
            at + 32,
            "a bootable entry",
            found,
            "",
        ));
    }
    Ok(iso)
}
