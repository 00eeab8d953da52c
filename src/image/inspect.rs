// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disk images taken apart: what is on them, and what would fail at boot.
//!
//! [`Report::of`] reads partition table, boot sector, volume, stores, WIMs and boot.sdi of any raw
//! disk image, ours or one made by hand; [`trouble`] says what is known to stop it, with the status
//! that bootmgr would show.

pub mod show;
pub mod table;
pub mod trouble;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::bcd::{Store, warn};
use super::bootmgr::BootManager;
use super::le::{u16_at, u32_at};
use super::regf::Hive;
use super::sdi::Sdi;
use super::source::open_regular;
use super::unit::SECTOR;
use super::vbr;
use super::volume::{Bytes, Volume, VolumeError};
use super::wim::{BootFault, Wim};
use table::{BootCode, Table};
use trouble::Trouble;

/// Where bootmgr looks for its store, by firmware.
pub const STORES: [(&str, &str); 2] = [
    ("BIOS", "\\Boot\\BCD"),
    ("UEFI", "\\EFI\\Microsoft\\Boot\\BCD"),
];
/// No store, boot.sdi or boot manager is longer.
pub(super) const MOST: u64 = 64 << 20;

/// An image that cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It cannot be read.
    #[error("{}: cannot read it", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not even a sector.
    #[error(
        "{}: expected a raw disk image of at least one sector, found {found} bytes", path.display()
    )]
    Short {
        /// Which.
        path: PathBuf,
        /// Its length.
        found: u64,
    },
    /// Another format.
    #[error(
        "{0}: this is a {format} image, not a raw one; slamboot image disk {0} -o RAW.img makes one of it", path.display()
    )]
    Format {
        /// Which.
        path: PathBuf,
        /// Which.
        format: &'static str,
    },
}

/// What is on a disk image.
#[derive(Debug)]
pub struct Report {
    /// Its file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Sector 0.
    pub table: Table,
    /// The boot sector of the partition that a BIOS would start.
    pub boot_sector: Option<BootSector>,
    /// What is on that partition, or why that cannot be told.
    pub volume: Option<Result<Volume, VolumeError>>,
    /// The boot managers that are there, by path.
    pub managers: Vec<(String, BootManager)>,
    /// The stores that are there, by firmware and path.
    pub stores: Vec<StoreFound>,
    /// The WIMs that stores name.
    pub wims: Vec<(String, Result<Wim, String>)>,
    /// The boot.sdi files that stores name.
    pub sdis: Vec<(String, Result<Sdi, String>)>,
    /// What would fail, and what may.
    pub troubles: Vec<Trouble>,
}

/// A boot sector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootSector {
    /// Where it is, from the image's start.
    pub offset: u64,
    /// Whether it ends with 55 AA.
    pub marked: bool,
    /// Whose code is in it.
    pub code: BootCode,
    /// At 0x0B.
    pub sector_bytes: u16,
    /// At 0x1C: where the volume begins, in sectors of the disk.
    pub hidden: u32,
    /// What slamboot's code would load: LBA and sectors.
    pub extents: Vec<(u32, u32)>,
    /// Whether that is the content of `\bootmgr`; `None` where it cannot be told.
    pub loads_bootmgr: Option<bool>,
}

/// A store.
#[derive(Debug)]
pub struct StoreFound {
    /// `BIOS` or `UEFI`.
    pub firmware: &'static str,
    /// Its path.
    pub path: String,
    /// What it says, or why that cannot be told.
    pub store: Result<Store, String>,
    /// What is odd about it in itself.
    pub warnings: Vec<warn::Warning>,
}

impl Report {
    /// Takes an image apart.
    pub fn of(path: &Path) -> Result<Self, InspectError> {
        let read = |source| InspectError::Read {
            path: path.to_owned(),
            source,
        };
        let (file, bytes) = open_regular(path).map_err(read)?;
        if bytes < SECTOR {
            return Err(InspectError::Short {
                path: path.to_owned(),
                found: bytes,
            });
        }
        let format = super::existing::disk::format(path);
        if let Ok(format) = format
            && format != super::existing::disk::Format::Raw
        {
            return Err(InspectError::Format {
                path: path.to_owned(),
                format: format.shown(),
            });
        }
        let table = Table::decode(&sector(&file, 0).map_err(read)?);
        let mut report = Report {
            path: path.to_owned(),
            bytes,
            table,
            boot_sector: None,
            volume: None,
            managers: Vec::new(),
            stores: Vec::new(),
            wims: Vec::new(),
            sdis: Vec::new(),
            troubles: Vec::new(),
        };
        report.look(&file).map_err(read)?;
        report.troubles = trouble::find(&report);
        Ok(report)
    }

    /// The partition that is looked at: the active one, or else the first.
    pub fn partition(&self) -> Option<&table::PartitionEntry> {
        let partitions = &self.table.partitions;
        let active = partitions.iter().find(|partition| partition.active);
        active.or(partitions.first())
    }

    fn look(&mut self, file: &File) -> io::Result<()> {
        let Some(partition) = self.partition() else {
            return Ok(());
        };
        let start = u64::from(partition.start) * SECTOR;
        let length = (u64::from(partition.sectors) * SECTOR).min(self.bytes.saturating_sub(start));
        if self.table.gpt || length < SECTOR {
            return Ok(());
        }
        let boot = sector(file, start)?;
        let volume = Volume::read(file, start, length);
        if let Ok(volume) = &volume {
            self.read_parts(file, volume);
        }
        let extents = boot[vbr::TABLE_OFFSET..0x1FE].as_chunks::<8>().0.iter();
        let extents = extents.map(|entry| (u32_at(entry, 0), u32_at(entry, 4)));
        let code = BootCode::of(&boot, vbr::CODE_OFFSET, vbr::CODE);
        let mut found = BootSector {
            offset: start,
            marked: u16_at(&boot, 0x1FE) == 0xAA55,
            code,
            sector_bytes: u16_at(&boot, 0x0B),
            hidden: u32_at(&boot, 0x1C),
            extents: match code {
                BootCode::Slamboot => extents.take_while(|(_, count)| *count > 0).collect(),
                _ => Vec::new(),
            },
            loads_bootmgr: None,
        };
        if code == BootCode::Slamboot
            && let Ok(volume) = &volume
        {
            found.loads_bootmgr = Some(loads(file, &found.extents, volume)?);
        }
        self.boot_sector = Some(found);
        self.volume = Some(volume);
        Ok(())
    }

    fn read_parts(&mut self, file: &File, volume: &Volume) {
        for path in trouble::MANAGERS {
            if let Some(bytes) = volume.file(path)
                && let Ok(content) = bytes.whole(file, MOST)
            {
                self.managers
                    .push((path.to_owned(), BootManager::of(&content)));
            }
        }
        for (firmware, path) in STORES {
            let Some(bytes) = volume.file(path) else {
                continue;
            };
            let store = read_store(file, bytes);
            let warnings = store.as_ref().map(warn::check).unwrap_or_default();
            if let Ok(store) = &store {
                for named in trouble::named_files(store) {
                    self.read_named(file, volume, &named);
                }
            }
            self.stores.push(StoreFound {
                firmware,
                path: path.to_owned(),
                store,
                warnings,
            });
        }
    }

    fn read_named(&mut self, file: &File, volume: &Volume, named: &trouble::Named) {
        let Some(bytes) = volume.file(&named.path) else {
            return;
        };
        let path = named.path.clone();
        match named.role {
            trouble::Role::Wim if !self.wims.iter().any(|(known, _)| *known == path) => {
                let wim = Wim::read(&mut bytes.reader(file));
                self.wims.push((path, wim.map_err(|error| chain(&error))));
            }
            trouble::Role::Sdi if !self.sdis.iter().any(|(known, _)| *known == path) => {
                let sdi = Sdi::read(&mut bytes.reader(file));
                self.sdis.push((path, sdi.map_err(|error| chain(&error))));
            }
            _ => {}
        }
    }
}

/// Why a WIM that was read would not boot.
pub fn wim_fault(wim: &Wim) -> Option<BootFault> {
    wim.bootable().err()
}

fn read_store(file: &File, bytes: &Bytes) -> Result<Store, String> {
    let content = bytes.whole(file, MOST).map_err(|error| chain(&error))?;
    let hive = Hive::read(content).map_err(|error| chain(&error))?;
    Store::read(&hive).map_err(|error| chain(&error))
}

/// An error and its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn sector(file: &File, offset: u64) -> io::Result<[u8; SECTOR as usize]> {
    let mut sector = [0; SECTOR as usize];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut sector, offset)?;
    Ok(sector)
}

/// Whether the boot sector loads `\bootmgr`, or the demo's second stage.
fn loads(file: &File, extents: &[(u32, u32)], volume: &Volume) -> io::Result<bool> {
    let mut loaded = Vec::new();
    for (lba, count) in extents {
        let length = u64::from(*count) * SECTOR;
        if loaded.len() as u64 + length > vbr::MAX_FILE.next_multiple_of(SECTOR) {
            return Ok(false);
        }
        let old = loaded.len();
        loaded.resize(old + length as usize, 0);
        let offset = u64::from(*lba) * SECTOR;
        let read = std::os::unix::fs::FileExt::read_exact_at(file, &mut loaded[old..], offset);
        match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
    }
    for path in ["\\bootmgr", "\\SLAMBOOT.BIN"] {
        if let Some(bytes) = volume.file(path) {
            let whole = bytes.whole(file, vbr::MAX_FILE);
            return Ok(whole.is_ok_and(|whole| loaded.starts_with(&whole) && !whole.is_empty()));
        }
    }
    Ok(false)
}
