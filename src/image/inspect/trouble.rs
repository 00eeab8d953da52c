// SPDX-License-Identifier: MIT OR Apache-2.0
//! What would stop a disk from booting, and what bootmgr would say.
//!
//! Status codes were measured with a Windows 7 bootmgr; where none is named, nothing was measured.

use std::fmt;

use serde::Serialize;

use super::table::BootCode;
use super::{BootSector, Report, STORES, StoreFound, wim_fault};
use crate::image::bcd::{Descriptor, Object, Store, Value, alias::BOOTMGR, code};
use crate::image::bootmgr::BootManager;
use crate::image::unit::SECTOR;
use crate::image::volume::{Kind, Volume};
use crate::image::wim::Architecture;

/// Where boot managers are.
pub(in crate::image) const MANAGERS: [&str; 4] = [
    "\\bootmgr",
    "\\EFI\\Boot\\bootx64.efi",
    "\\EFI\\Boot\\bootia32.efi",
    "\\EFI\\Boot\\bootaa64.efi",
];

/// Something that is wrong with a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Whether it stops the boot, as far as is known.
    pub fatal: bool,
    /// On which firmware.
    pub firmware: &'static str,
    /// What is wrong, where, and what helps.
    pub what: String,
    /// What bootmgr shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.fatal { "fails" } else { "may fail" };
        write!(f, "{verdict} on {}: {}", self.firmware, self.what)?;
        match self.status {
            Some(status) => write!(f, " (bootmgr shows {status})"),
            None => Ok(()),
        }
    }
}

/// What a store names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub role: Role,
    pub path: String,
    /// On which device.
    pub device: Option<Descriptor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Wim,
    Sdi,
}

/// The files that the entries of a store's menu need.
pub(super) fn named_files(store: &Store) -> Vec<Named> {
    let mut named = Vec::new();
    for loader in entries(store) {
        let Some(Value::Device(device)) = loader.elements.get(&code::DEVICE) else {
            continue;
        };
        let Descriptor::Ramdisk(file) = &device.descriptor else {
            continue;
        };
        named.push(Named {
            role: Role::Wim,
            path: file.path.clone(),
            device: Some(file.parent.clone()),
        });
        let options = device.options.and_then(|guid| store.objects.get(&guid));
        let Some(options) = options else { continue };
        if let Some(Value::String(path)) = options.elements.get(&code::RAMDISK_SDI_PATH) {
            let device = options.elements.get(&code::RAMDISK_SDI_DEVICE);
            named.push(Named {
                role: Role::Sdi,
                path: path.clone(),
                device: match device {
                    Some(Value::Device(device)) => Some(device.descriptor.clone()),
                    _ => None,
                },
            });
        }
    }
    named.dedup();
    named
}

/// What the menu offers.
fn entries(store: &Store) -> Vec<&Object> {
    let Some(bootmgr) = store.objects.get(&BOOTMGR) else {
        return Vec::new();
    };
    let mut guids: Vec<_> = bootmgr.object(code::DEFAULT).into_iter().collect();
    guids.extend(bootmgr.objects(code::DISPLAY_ORDER));
    let mut seen = std::collections::BTreeSet::new();
    guids.retain(|guid| seen.insert(*guid));
    guids
        .iter()
        .filter_map(|guid| store.objects.get(guid))
        .collect()
}

/// Collects troubles of one firmware.
struct Finder<'a> {
    report: &'a Report,
    troubles: Vec<Trouble>,
}

/// All that is known to be wrong.
pub(super) fn find(report: &Report) -> Vec<Trouble> {
    let mut finder = Finder {
        report,
        troubles: Vec::new(),
    };
    finder.disk();
    if let Some(sector) = &report.boot_sector {
        finder.boot_sector(sector);
    }
    match &report.volume {
        Some(Ok(volume)) => {
            finder.managers(volume);
            for store in &report.stores {
                finder.store(store, volume);
            }
        }
        Some(Err(error)) => finder.fails("BIOS", super::chain(error), None),
        None => {}
    }
    finder.troubles
}

impl Finder<'_> {
    fn add(
        &mut self,
        fatal: bool,
        firmware: &'static str,
        what: String,
        status: Option<&'static str>,
    ) {
        self.troubles.push(Trouble {
            fatal,
            firmware,
            what,
            status,
        });
    }

    fn fails(
        &mut self,
        firmware: &'static str,
        what: impl Into<String>,
        status: Option<&'static str>,
    ) {
        self.add(true, firmware, what.into(), status);
    }

    fn may(&mut self, firmware: &'static str, what: impl Into<String>) {
        self.add(false, firmware, what.into(), None);
    }

    fn disk(&mut self) {
        let Report { table, bytes, .. } = self.report;
        if !table.marked {
            self.fails(
                "BIOS",
                "sector 0 does not end with 55 AA: it is no bootable disk",
                None,
            );
        }
        if table.gpt {
            self.fails(
                "BIOS",
                "the disk has a GPT; expected an MBR with one active partition: make the disk \
                 anew (slamboot image winpe), or partition it with sfdisk --label dos",
                None,
            );
            return;
        }
        match table.boot_code {
            BootCode::None => {
                self.fails("BIOS", "sector 0 has no boot code, only zeros", None);
            }
            BootCode::Refusal => {
                self.fails("BIOS", "sector 0 only says that it is not bootable", None);
            }
            BootCode::Slamboot | BootCode::Other => {}
        }
        let active: Vec<usize> = table
            .partitions
            .iter()
            .filter(|partition| partition.active)
            .map(|partition| partition.number)
            .collect();
        match active.as_slice() {
            [] => self.fails(
                "BIOS",
                "no partition is active; mark the one with bootmgr: sfdisk --activate IMAGE NUMBER",
                None,
            ),
            [_] => {}
            several => self.fails(
                "BIOS",
                format!(
                    "partitions {several:?} are active; expected one: sfdisk --activate IMAGE NUMBER"
                ),
                None,
            ),
        }
        for partition in &table.partitions {
            if let Some(status) = partition.odd_status {
                let number = partition.number;
                self.fails(
                    "BIOS",
                    format!(
                        "partition {number} has the status {status:#04x}; expected 0x80 (active) or 0"
                    ),
                    None,
                );
            }
            let end = (u64::from(partition.start) + u64::from(partition.sectors)) * SECTOR;
            if end > *bytes {
                let number = partition.number;
                self.fails(
                    "BIOS",
                    format!(
                        "partition {number} ends at byte {end}, the image at byte {bytes}: it is cut off"
                    ),
                    None,
                );
            }
        }
        if let Some(active) = table.active()
            && !active.ends_on_cylinder
        {
            self.may(
                "BIOS",
                "the active partition does not end on a cylinder of 255 heads and 63 sectors: \
                 memdisk guesses the geometry",
            );
        }
    }

    fn boot_sector(&mut self, sector: &BootSector) {
        let at = sector.offset;
        if !sector.marked {
            self.fails(
                "BIOS",
                format!("the boot sector (byte {at:#x}) does not end with 55 AA"),
                None,
            );
        }
        match (sector.code, sector.loads_bootmgr) {
            (BootCode::None, _) => self.fails(
                "BIOS",
                format!("the boot sector (byte {at:#x}) has no code, only zeros"),
                None,
            ),
            (BootCode::Refusal, _) => self.fails(
                "BIOS",
                format!(
                    "the boot sector (byte {at:#x}) is mkfs.vfat's or mkntfs's, which only says that \
                     the disk is not bootable; slamboot image update installs one that loads bootmgr"
                ),
                None,
            ),
            (BootCode::Slamboot, Some(false)) => self.fails(
                "BIOS",
                format!(
                    "the boot sector's extent table (byte {:#x}) loads {:?}, which is not \\bootmgr: \
                     it was moved or replaced; slamboot image update writes the table anew",
                    at + crate::image::vbr::TABLE_OFFSET as u64,
                    sector.extents
                ),
                None,
            ),
            _ => {}
        }
        if sector.sector_bytes != 512 {
            let found = sector.sector_bytes;
            self.fails(
                "BIOS",
                format!("boot sector, bytes per sector at 0x0B: expected 512, found {found}"),
                None,
            );
        }
        let expected = at / SECTOR;
        if u64::from(sector.hidden) != expected {
            self.fails(
                "BIOS",
                format!(
                    "boot sector, hidden sectors at 0x1C: expected {expected}, where the partition \
                     begins, found {}: bootmgr looks for its store elsewhere",
                    sector.hidden
                ),
                Some("0xc0000225 on \\Boot\\BCD"),
            );
        }
    }

    fn managers(&mut self, volume: &Volume) {
        let managers = &self.report.managers;
        let of = |path: &str| {
            managers
                .iter()
                .find(|(known, _)| known == path)
                .map(|(_, kind)| *kind)
        };
        let demo = volume.file("\\SLAMBOOT.BIN").is_some();
        match of("\\bootmgr") {
            None if !demo => self.fails("BIOS", "there is no \\bootmgr", None),
            Some(found @ (BootManager::Efi(_) | BootManager::Program(_))) => self.fails(
                "BIOS",
                format!(
                    "\\bootmgr is {found}; a boot sector starts the file bootmgr of Windows media"
                ),
                None,
            ),
            Some(BootManager::Unrecognised) => {
                self.may("BIOS", "\\bootmgr is not recognised as a boot manager");
            }
            _ => {}
        }
        let efi: Vec<_> = managers
            .iter()
            .filter(|(path, _)| path.starts_with("\\EFI"))
            .collect();
        let mut found = Vec::new();
        for (path, kind) in efi {
            match kind {
                BootManager::Efi(_) => found.push(path.clone()),
                other => found.push(format!("{path}, which is {other}")),
            }
        }
        for path in &found {
            if path.contains(", which is ") {
                self.fails("UEFI", path.clone(), None);
            }
        }
        if !found.is_empty() && volume.kind == Kind::Ntfs {
            self.fails(
                "UEFI",
                "the volume is NTFS, and firmware reads FAT alone",
                None,
            );
        }
        for (firmware, path) in STORES {
            let wanted = match firmware {
                "BIOS" => of("\\bootmgr").is_some(),
                _ => !found.is_empty(),
            };
            if wanted && volume.file(path).is_none() {
                self.fails(
                    firmware,
                    format!("there is no store {path}"),
                    Some("0xc000000f on \\Boot\\BCD"),
                );
            }
        }
    }

    fn store(&mut self, found: &StoreFound, volume: &Volume) {
        let firmware = found.firmware;
        let path = &found.path;
        let store = match &found.store {
            Ok(store) => store,
            Err(why) => {
                self.fails(
                    firmware,
                    format!("{path} is no store: {why}"),
                    Some("0xc000014c"),
                );
                return;
            }
        };
        for warning in &found.warnings {
            self.may(firmware, format!("{path}: {warning}"));
        }
        for loader in entries(store) {
            self.loader(firmware, path, loader);
        }
        for named in named_files(store) {
            self.named(firmware, path, &named, volume);
        }
    }

    /// The loader is of the firmware's kind.
    fn loader(&mut self, firmware: &'static str, store: &str, loader: &Object) {
        let Some(Value::String(path)) = loader.elements.get(&code::PATH) else {
            return;
        };
        let ending = if firmware == "UEFI" { "efi" } else { "exe" };
        let found = path.rsplit('.').next().unwrap_or_default().to_lowercase();
        if found != ending && ["efi", "exe"].contains(&found.as_str()) {
            self.fails(
                firmware,
                format!(
                    "{store}: the entry's path is {path}; on {firmware} it should end in .{ending}"
                ),
                Some("0xc000007b"),
            );
        }
    }

    fn named(&mut self, firmware: &'static str, store: &str, named: &Named, volume: &Volume) {
        let path = &named.path;
        let role = match named.role {
            Role::Wim => "WIM",
            Role::Sdi => "boot.sdi",
        };
        self.device(firmware, store, role, named);
        if volume.file(path).is_none() {
            let leaf = path.rsplit('\\').next().unwrap_or(path).to_uppercase();
            let elsewhere = volume.nodes.iter().find(|node| {
                node.path.to_uppercase().rsplit('\\').next() == Some(&leaf) && node.path != *path
            });
            let hint = elsewhere.map_or_else(String::new, |node| {
                format!("; there is {}: file and store must agree", node.path)
            });
            self.fails(
                firmware,
                format!("{store} names the {role} {path}, which is not there{hint}"),
                Some("0xc000000f, \"a required device is inaccessible\""),
            );
            return;
        }
        match named.role {
            Role::Sdi => {
                let found = self.report.sdis.iter().find(|(known, _)| known == path);
                match found.map(|(_, sdi)| sdi) {
                    Some(Err(why)) => {
                        self.fails(firmware, format!("{path}: {why}"), Some("0xc000000d"));
                    }
                    Some(Ok(sdi)) => {
                        for doubt in sdi.doubts() {
                            self.may(firmware, format!("{path}: {doubt}"));
                        }
                    }
                    None => {}
                }
            }
            Role::Wim => {
                let found = self.report.wims.iter().find(|(known, _)| known == path);
                match found.map(|(_, wim)| wim) {
                    Some(Err(why)) => {
                        self.fails(firmware, format!("{path}: {why}"), Some("0xc000000d"));
                    }
                    Some(Ok(wim)) => {
                        if let Some(fault) = wim_fault(wim) {
                            self.fails(firmware, format!("{path}: {fault}"), Some("0xc000000d"));
                        }
                        for doubt in wim.doubts() {
                            self.may(firmware, format!("{path}: {doubt}"));
                        }
                        if let Ok(Some(image)) = wim.bootable()
                            && let Some(architecture) = image.architecture
                        {
                            self.machine(firmware, path, architecture);
                        }
                    }
                    None => {}
                }
            }
        }
    }

    /// On UEFI, boot manager and WIM are for the same machines.
    fn machine(&mut self, firmware: &'static str, wim: &str, architecture: Architecture) {
        if firmware != "UEFI" {
            return;
        }
        let wrong: Vec<String> = self
            .report
            .managers
            .iter()
            .filter_map(|(path, kind)| match kind {
                BootManager::Efi(machine) if !machine.starts(architecture) => {
                    Some(format!("{path} is for {machine}, {wim} for {architecture}"))
                }
                _ => None,
            })
            .collect();
        for what in wrong {
            self.fails(firmware, what, Some("0xc000007b"));
        }
    }

    /// A partition that is named by signature and offset is this one.
    fn device(&mut self, firmware: &'static str, store: &str, role: &str, named: &Named) {
        let Some(Descriptor::Mbr(partition)) = &named.device else {
            return;
        };
        let signature = self.report.table.signature;
        if partition.signature != signature {
            self.fails(
                firmware,
                format!(
                    "{store} looks for the {role} on a disk of signature {:08x}, this one has \
                     {signature:08x} (LBA 0, 0x1B8)",
                    partition.signature
                ),
                Some("0xc000000e"),
            );
            return;
        }
        let partitions = &self.report.table.partitions;
        let starts = |offset: u64| {
            partitions
                .iter()
                .any(|entry| u64::from(entry.start) * SECTOR == offset)
        };
        if !starts(partition.offset) {
            self.fails(
                firmware,
                format!(
                    "{store} looks for the {role} on a partition at byte {}, where none begins",
                    partition.offset
                ),
                Some("0xc0000225"),
            );
        }
    }
}
