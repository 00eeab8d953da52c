// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a written image back with code that did not write it.
//!
//! The boot sectors and the allocation table are taken apart here, from their documents and not
//! with the encoders; the volume's directories and files are read by the crates `fatfs` and
//! `ntfs`, which say where each file's bytes lie: where they were written. The CRC-32 of the whole
//! disk, taken from what is read back, is the one that was taken of the inputs while copying.

mod boot_sector;
pub(super) mod disk;
mod fat;
mod ntfs;
mod place;
mod whole;

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use super::mbr;
use super::plan::{DiskPlan, PlannedFile, VolumePlan};
use super::source::SourceError;
use super::unit::SECTOR;
use super::vbr;
use super::write::{Progress, Step, Watch};

/// An image that is not what was planned.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A structure says something else.
    #[error(
        "verification failed: {structure}, byte {offset} of the image: expected {expected}, found {found}"
    )]
    Mismatch {
        /// Which.
        structure: Structure,
        /// From the image's start.
        offset: u64,
        /// What it should say.
        expected: String,
        /// What it says.
        found: String,
    },
    /// The independent reader refuses the volume.
    #[error("verification failed: {structure} cannot be read")]
    Volume {
        /// What it was reading.
        structure: Structure,
        /// What it says.
        source: io::Error,
    },
    /// The image cannot be read back.
    #[error("cannot read the image back at byte {offset}")]
    Read {
        /// From the image's start.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// An input cannot be read again.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The watcher said so.
    #[error("interrupted; nothing is left behind")]
    Interrupted,
}

/// The structures that are looked at, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Structure {
    /// The image's length.
    Length,
    /// Sector 0: code, signature, mark.
    Mbr,
    /// The four entries in sector 0.
    PartitionTable,
    /// The volume's first sector, its code and parameter block.
    BootSector,
    /// Copies of the boot record's sectors.
    BackupBootSector,
    /// The count of free clusters.
    FsInfo,
    /// The allocation table.
    Fat,
    /// A record of the MFT.
    Mft,
    /// The copy of the MFT's first records.
    MftMirror,
    /// Which records are in use.
    MftBitmap,
    /// Which clusters are in use.
    ClusterBitmap,
    /// The journal.
    LogFile,
    /// The security descriptors.
    Security,
    /// The table by which names are compared.
    UpCase,
    /// A directory, or the tree as a whole.
    Directory,
    /// A file's content.
    File(String),
    /// Where the boot sector finds the boot file.
    ExtentTable,
    /// Anything else: the CRC-32 of the whole.
    Disk,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Structure::Length => "length of the image",
            Structure::Mbr => "MBR",
            Structure::PartitionTable => "partition table",
            Structure::BootSector => "boot sector",
            Structure::ExtentTable => "extent table of the boot sector",
            Structure::BackupBootSector => "backup of the boot sector",
            Structure::FsInfo => "FSInfo",
            Structure::Fat => "allocation table",
            Structure::Mft => "MFT",
            Structure::MftMirror => "$MFTMirr",
            Structure::MftBitmap => "bitmap of the MFT",
            Structure::ClusterBitmap => "$Bitmap",
            Structure::LogFile => "$LogFile",
            Structure::Security => "$Secure",
            Structure::UpCase => "$UpCase",
            Structure::Directory => "directory",
            Structure::File(path) => return write!(f, "content of {path}"),
            Structure::Disk => "CRC-32 of the whole disk",
        })
    }
}

/// Compares the image with its plan, and with the CRC-32 that was taken while writing it: the
/// structures one by one here, the disk as a whole beside that. Files are where the tree says they
/// are, and there are their bytes.
pub fn verify(
    plan: &DiskPlan,
    file: &File,
    crc32: u32,
    watch: &mut Watch,
) -> Result<(), VerifyError> {
    let length = file
        .metadata()
        .map_err(|source| VerifyError::Read { offset: 0, source })?
        .len();
    let total = plan.facts.sectors.bytes();
    expect(Structure::Length, 0, &total, &length)?;
    let stop = AtomicBool::new(false);
    let found = std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let running = whole::start(scope, file, total, &stop, &tell);
        drop(tell);
        let mut meter = Meter {
            watch,
            beside: told,
            done: 0,
            reported: 0,
            total,
        };
        let checked = structures(plan, file, &mut meter).and_then(|()| meter.wait());
        stop.store(checked.is_err(), Ordering::Relaxed);
        let found = running.finish();
        checked?;
        found.map_err(|source| VerifyError::Read { offset: 0, source })
    })?;
    if found == crc32 {
        return Ok(());
    }
    whole::blame(plan, file, crc32, found)
}

fn structures(plan: &DiskPlan, file: &File, meter: &mut Meter) -> Result<(), VerifyError> {
    master_boot_record(plan, file)?;
    match &plan.volume {
        VolumePlan::Fat32(volume) => {
            fat::structures(plan, volume, file)?;
            fat::tree(plan, volume, file, meter)?;
        }
        VolumePlan::Ntfs(volume) => {
            ntfs::structures(plan, volume, file)?;
            ntfs::tree(plan, volume, file, meter)?;
        }
    }
    extent_table(plan, file)
}

/// Counts bytes for the watcher.
struct Meter<'a, 'b> {
    watch: &'a mut Watch<'b>,
    /// Bytes that were read beside this.
    beside: Receiver<u64>,
    done: u64,
    reported: u64,
    total: u64,
}

impl Meter<'_, '_> {
    /// Until what is done beside this is done, too.
    fn wait(&mut self) -> Result<(), VerifyError> {
        while let Ok(bytes) = self.beside.recv() {
            self.done += bytes;
            self.look()?;
        }
        Ok(())
    }

    /// Something was done here, which counts for nothing.
    fn look(&mut self) -> Result<(), VerifyError> {
        const REPORT: u64 = 1 << 22;
        self.done += self.beside.try_iter().sum::<u64>();
        if self.done < self.total && self.done - self.reported < REPORT {
            return Ok(());
        }
        self.reported = self.done;
        let progress = Progress {
            step: Step::Verify,
            done: self.done,
            total: self.total,
        };
        match (self.watch)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(VerifyError::Interrupted),
        }
    }
}

fn read(file: &File, offset: u64, into: &mut [u8]) -> Result<(), VerifyError> {
    file.read_exact_at(into, offset)
        .map_err(|source| VerifyError::Read { offset, source })
}

fn read_sector(file: &File, offset: u64) -> Result<[u8; SECTOR as usize], VerifyError> {
    let mut sector = [0; SECTOR as usize];
    read(file, offset, &mut sector)?;
    Ok(sector)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from(bytes[at]) | u64::from(bytes[at + 1]) << 8
}

fn long(bytes: &[u8], at: usize) -> u64 {
    word(bytes, at) | word(bytes, at + 2) << 16
}

fn mismatch(
    structure: Structure,
    offset: u64,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> VerifyError {
    VerifyError::Mismatch {
        structure,
        offset,
        expected: expected.into(),
        found: found.into(),
    }
}

fn expect<T: PartialEq + fmt::Display + ?Sized>(
    structure: Structure,
    offset: u64,
    expected: &T,
    found: &T,
) -> Result<(), VerifyError> {
    if expected == found {
        return Ok(());
    }
    Err(mismatch(
        structure,
        offset,
        expected.to_string(),
        found.to_string(),
    ))
}

/// Byte by byte; `offset` is where `found` begins. Names the first that differs.
fn expect_bytes(
    structure: Structure,
    offset: u64,
    expected: &[u8],
    found: &[u8],
) -> Result<(), VerifyError> {
    if expected == found {
        return Ok(());
    }
    let at = expected
        .iter()
        .zip(found)
        .position(|(a, b)| a != b)
        .unwrap_or(expected.len().min(found.len()));
    let show = |bytes: &[u8]| {
        bytes
            .get(at)
            .map_or("its end".into(), |b| format!("{b:#04x}"))
    };
    Err(mismatch(
        structure,
        offset + at as u64,
        show(expected),
        show(found),
    ))
}

fn expect_zeros(structure: Structure, offset: u64, found: &[u8]) -> Result<(), VerifyError> {
    expect_bytes(structure, offset, &vec![0; found.len()], found)
}

fn master_boot_record(plan: &DiskPlan, file: &File) -> Result<(), VerifyError> {
    let sector = read_sector(file, 0)?;
    let code = mbr::CODE.len();
    expect_bytes(Structure::Mbr, 0, mbr::CODE, &sector[..code])?;
    expect_zeros(Structure::Mbr, code as u64, &sector[code..440])?;
    let signature = u64::from(plan.facts.identity.signature);
    expect(Structure::Mbr, 440, &signature, &long(&sector, 440))?;
    expect_zeros(Structure::Mbr, 444, &sector[444..446])?;
    expect_bytes(Structure::Mbr, 510, &[0x55, 0xAA], &sector[510..])?;

    let entry = &sector[446..462];
    let table = |at, expected: u64, found: u64| {
        expect(Structure::PartitionTable, 446 + at, &expected, &found)
    };
    table(0, 0x80, entry[0].into())?;
    let kind = match plan.volume {
        VolumePlan::Fat32(_) => 0x0C,
        VolumePlan::Ntfs(_) => 0x07,
    };
    table(4, kind, entry[4].into())?;
    let first = long(entry, 8);
    let sectors = long(entry, 12);
    table(8, plan.facts.partition.start.0.into(), first)?;
    table(12, u64::from(plan.facts.sectors.0) - first, sectors)?;
    // CHS must say the same as the LBA for 255 heads of 63 sectors, where it can.
    for (at, lba) in [(1, first), (5, first + sectors - 1)] {
        let (head, packed, low) = (entry[at], entry[at + 1], entry[at + 2]);
        let cylinder = u64::from(packed >> 6) << 8 | u64::from(low);
        let found = (cylinder * 255 + u64::from(head)) * 63 + u64::from(packed & 0x3F);
        let largest = (1023 * 255 + 254) * 63 + 63;
        table(at as u64, (lba + 1).min(largest), found)?;
    }
    expect_zeros(Structure::PartitionTable, 462, &sector[462..510])
}

/// Loads the boot file as the boot sector would and compares it with what lies where the file is.
fn extent_table(plan: &DiskPlan, file: &File) -> Result<(), VerifyError> {
    let start = plan.facts.partition.start.byte_offset();
    let sector = read_sector(file, start)?;
    let table = &sector[vbr::TABLE_OFFSET..510];
    let at = start + vbr::TABLE_OFFSET as u64;
    let mut loaded = Vec::new();
    let mut ended = false;
    for (index, entry) in table.chunks_exact(8).enumerate() {
        let (lba, count) = (long(entry, 0), long(entry, 4));
        let offset = at + index as u64 * 8;
        if ended || count == 0 {
            ended = true;
            expect_zeros(Structure::ExtentTable, offset, entry)?;
            continue;
        }
        let length = count * SECTOR;
        let found = format!("{count} sectors at LBA {lba}");
        if lba + count > plan.facts.sectors.0.into()
            || loaded.len() as u64 + length > vbr::MAX_FILE.next_multiple_of(SECTOR)
        {
            return Err(mismatch(
                Structure::ExtentTable,
                offset,
                "sectors on the disk that fit into memory",
                found,
            ));
        }
        let old = loaded.len();
        loaded.resize(old + length as usize, 0);
        read(file, lba * SECTOR, &mut loaded[old..])?;
    }
    // What lies there is judged with all other files' bytes.
    let PlannedFile { run, path, .. } = &plan.files[plan.boot_file];
    let mut expected = Vec::new();
    if let Some(run) = run {
        expected.resize(run.sectors.bytes() as usize, 0); // at most vbr::MAX_FILE
        read(file, run.start.byte_offset(), &mut expected)?;
    }
    if loaded != expected {
        let differing = expected.iter().zip(&loaded).filter(|(a, b)| a != b).count();
        return Err(mismatch(
            Structure::ExtentTable,
            at,
            format!("the sectors of {path}"),
            format!(
                "{} bytes, of which {differing} differ from its {}",
                loaded.len(),
                expected.len()
            ),
        ));
    }
    Ok(())
}
