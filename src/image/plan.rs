// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan: every sector of the disk decided, nothing written, no file read.

use sha2::{Digest, Sha256};

use super::facts::{DiskFacts, Identity};
use super::fat::{
    BACKUP_SECTOR, BootSector, FS_INFO_SECTOR, FatContent, FatError, FatFile, FatGeometry,
    FatTable, FatVolume, FileLength, fs_info,
};
use super::geometry::{CYLINDER_BYTES, Cylinders};
use super::mbr::{self, PARTITION_START, Partition, PartitionKind};
use super::size::ByteSize;
use super::source::{Data, Source, SourceFile};
use super::spec::{Attributes, DiskPath, DiskSize, ImageSpec, VolumeLabel};
use super::unit::{Lba, SECTOR, SectorCount};
use super::vbr::{self, BootFileError, SectorRun};

/// Sectors of the partition after the volume's last: what balances the CRC lies there, where no
/// file system looks. (NTFS keeps the copy of its boot sector in the same place.)
const TAIL: u32 = 1;

/// A disk that cannot be laid out as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The content does not fit.
    #[error(
        "the disk would have {found} in whole cylinders, which is too small for its content: it needs at least {minimum} (--size {}, or no --size)",
        minimum.bytes()
    )]
    TooSmall {
        /// What was asked for, rounded up to a cylinder.
        found: ByteSize,
        /// What would do.
        minimum: ByteSize,
    },
    /// Past what an MBR addresses.
    #[error("the disk would have {found}; an MBR disk has at most 2 TiB")]
    TooLarge {
        /// What was asked for, or what the content needs.
        found: ByteSize,
    },
    /// The volume cannot hold the files.
    #[error(transparent)]
    Fat(#[from] FatError),
    /// The boot sector cannot load its file.
    #[error("{path}")]
    BootFile {
        /// The file.
        path: DiskPath,
        /// Why.
        source: BootFileError,
    },
    /// The boot file is not among the files.
    #[error("{path}: the boot sector shall load it, but it is not among the files")]
    NoBootFile {
        /// The path.
        path: DiskPath,
    },
    /// A mistake in the planner itself: two areas meet, or one leaves the disk.
    #[error("internal error: {what} at {at} overlaps its neighbour or the end of the disk")]
    Overlap {
        /// The area.
        what: String,
        /// Its first sector.
        at: Lba,
    },
}

/// A file and where it lies.
#[derive(Debug)]
pub struct PlannedFile {
    /// Its path on the volume.
    pub path: DiskPath,
    /// Its attributes, besides `archive`.
    pub attributes: Attributes,
    /// Its bytes.
    pub data: Data,
    /// Its sectors; none if it is empty.
    pub run: Option<SectorRun>,
}

/// Sectors in a row and where their bytes come from. What no extent covers is zero.
#[derive(Debug)]
pub struct Extent {
    /// Where.
    pub run: SectorRun,
    /// What it is, for people.
    pub what: String,
    /// Its bytes; zeros follow up to the end of the run.
    pub content: Content,
}

/// Where an extent's bytes come from.
#[derive(Debug)]
pub enum Content {
    /// Here they are.
    Bytes(Vec<u8>),
    /// The plan's allocation table.
    FatTable,
    /// The plan's file of that index.
    FileData(usize),
}

/// The whole disk.
#[derive(Debug)]
pub struct DiskPlan {
    /// Length, partition, signature.
    pub facts: DiskFacts,
    /// The volume's name.
    pub label: VolumeLabel,
    /// The volume's areas.
    pub geometry: FatGeometry,
    /// Both copies of its allocation table.
    pub table: FatTable,
    /// The files, in the order in which they lie on the disk.
    pub files: Vec<PlannedFile>,
    /// Index of the file that the boot sector loads.
    pub boot_file: usize,
    /// All that is not zero, ascending, without overlap.
    pub extents: Vec<Extent>,
    /// The disk's last four bytes shall give it the CRC-32 of its identity.
    pub balanced: bool,
}

/// Lays out the disk.
pub fn plan(spec: &ImageSpec, sources: Vec<SourceFile>) -> Result<DiskPlan, PlanError> {
    let boot_file = sources
        .iter()
        .position(|file| file.path.folded() == spec.boot.folded())
        .ok_or_else(|| PlanError::NoBootFile {
            path: spec.boot.clone(),
        })?;
    let content = FatContent::new(
        sources
            .iter()
            .map(|file| FatFile {
                path: file.path.clone(),
                attributes: file.attributes,
                bytes: match &file.source {
                    Source::Data(data) => FileLength::Bytes(data.bytes()),
                    Source::Fill(_) => FileLength::Rest,
                    Source::Late(late) => FileLength::Bytes(late.bytes()),
                },
            })
            .collect(),
    )?;
    let (disk, geometry) = disk_size(spec.size, &content)?;
    let volume = content.place(geometry, &spec.label)?;
    vbr::check_length(volume.files[boot_file].0).map_err(|source| PlanError::BootFile {
        path: spec.boot.clone(),
        source,
    })?;

    let facts = DiskFacts {
        sectors: disk.sectors(),
        partition: partition(disk),
        identity: identity(spec, disk, &sources),
    };
    let FatVolume {
        table,
        directories,
        files,
        ..
    } = volume;
    let lba = |sector: u32| PARTITION_START + SectorCount(sector);
    let files: Vec<PlannedFile> = sources
        .into_iter()
        .zip(files)
        .map(|(file, (bytes, clusters))| PlannedFile {
            path: file.path,
            attributes: file.attributes,
            run: clusters.map(|run| SectorRun {
                start: lba(geometry.cluster_sector(run.first)),
                sectors: SectorCount(bytes.div_ceil(SECTOR) as u32), // a file: below 4 GiB
            }),
            data: match file.source {
                Source::Data(data) => data,
                Source::Fill(filler) => Data::Filler { filler, bytes },
                Source::Late(late) => Data::Bytes(late.render(&facts)),
            },
        })
        .collect();

    let mut extents = vec![extent(
        Lba(0),
        "MBR",
        mbr::encode(facts.identity.signature, facts.partition),
    )];
    let mut boot_sector = BootSector {
        geometry: &geometry,
        start: PARTITION_START,
        volume_id: facts.identity.volume_id,
        label: &spec.label,
    }
    .encode();
    let runs: Vec<SectorRun> = files[boot_file].run.into_iter().collect();
    vbr::install(&mut boot_sector, &runs).map_err(|source| PlanError::BootFile {
        path: spec.boot.clone(),
        source,
    })?;
    // The third sector of the boot record is empty but for its mark (fatgen103, section 3.1).
    let mut third = vec![0; SECTOR as usize];
    third[0x1FE..].copy_from_slice(&[0x55, 0xAA]);
    for (sector, which) in [(0, ""), (BACKUP_SECTOR, "backup ")] {
        let info = fs_info(&geometry, table.used());
        extents.push(extent(
            lba(sector),
            format!("{which}boot sector"),
            boot_sector.clone(),
        ));
        extents.push(extent(
            lba(sector + FS_INFO_SECTOR),
            format!("{which}FSInfo"),
            info,
        ));
        extents.push(extent(
            lba(sector + 2),
            format!("{which}third boot sector"),
            third.clone(),
        ));
    }
    for copy in 0..2 {
        extents.push(Extent {
            run: SectorRun {
                start: lba(geometry.reserved() + copy * geometry.table_sectors()),
                sectors: SectorCount(table.used().div_ceil(SECTOR as u32 / 4)),
            },
            what: format!("FAT {}", copy + 1),
            content: Content::FatTable,
        });
    }
    for (clusters, bytes) in directories {
        extents.push(extent(
            lba(geometry.cluster_sector(clusters.first)),
            "directory",
            bytes,
        ));
    }
    extents.extend(files.iter().enumerate().filter_map(|(index, file)| {
        Some(Extent {
            run: file.run?,
            what: file.path.to_string(),
            content: Content::FileData(index),
        })
    }));
    check(&mut extents, facts.sectors)?;
    Ok(DiskPlan {
        facts,
        label: spec.label.clone(),
        geometry,
        table,
        files,
        boot_file,
        extents,
        balanced: spec.self_check,
    })
}

fn extent(start: Lba, what: impl Into<String>, bytes: Vec<u8>) -> Extent {
    Extent {
        run: SectorRun {
            start,
            // A sector or a directory of at most 2 MiB.
            sectors: SectorCount((bytes.len() as u64).div_ceil(SECTOR) as u32),
        },
        what: what.into(),
        content: Content::Bytes(bytes),
    }
}

/// The partition goes up to the disk's last sector, and so to the end of a cylinder.
fn partition(disk: Cylinders) -> Partition {
    Partition {
        kind: PartitionKind::Fat32Lba,
        start: PARTITION_START,
        sectors: SectorCount(disk.sectors().0 - PARTITION_START.0),
    }
}

/// The volume of a disk that size, if it can be a FAT32 at all.
fn volume_of(disk: Cylinders) -> Option<FatGeometry> {
    FatGeometry::of(SectorCount(partition(disk).sectors.0 - TAIL))
}

fn fits(disk: Cylinders, content: &FatContent) -> Option<FatGeometry> {
    volume_of(disk).filter(|geometry| {
        content.clusters(geometry.cluster_bytes()) <= u64::from(geometry.clusters())
    })
}

fn disk_size(size: DiskSize, content: &FatContent) -> Result<(Cylinders, FatGeometry), PlanError> {
    match size {
        DiskSize::Smallest => smallest(content),
        DiskSize::AtLeast(asked) => {
            let disk =
                Cylinders::holding(asked.bytes()).ok_or(PlanError::TooLarge { found: asked })?;
            match fits(disk, content) {
                Some(geometry) => Ok((disk, geometry)),
                None => Err(PlanError::TooSmall {
                    found: byte_size(disk),
                    minimum: byte_size(smallest(content)?.0),
                }),
            }
        }
    }
}

/// The fewest cylinders on which a legal FAT32 with that content fits.
fn smallest(content: &FatContent) -> Result<(Cylinders, FatGeometry), PlanError> {
    // Content alone, without tables, in the smallest clusters: a lower bound. What is missing
    // grows much slower than the disk, so few steps lead from there to the answer.
    let bytes = content.clusters(SECTOR) * SECTOR;
    let mut cylinders = (bytes / CYLINDER_BYTES).max(1);
    loop {
        let bytes = cylinders.saturating_mul(CYLINDER_BYTES);
        let disk = Cylinders::holding(bytes).ok_or_else(|| PlanError::TooLarge {
            found: ByteSize::new(bytes).expect("at least a cylinder"),
        })?;
        if let Some(geometry) = fits(disk, content) {
            return Ok((disk, geometry));
        }
        cylinders += 1;
    }
}

fn byte_size(disk: Cylinders) -> ByteSize {
    ByteSize::new(disk.sectors().bytes()).expect("at least a cylinder")
}

/// Numbers that differ where any input does.
fn identity(spec: &ImageSpec, disk: Cylinders, sources: &[SourceFile]) -> Identity {
    let mut hasher = Sha256::new();
    hasher.update(b"slamboot image 1\0");
    hasher.update(disk.count().to_le_bytes());
    hasher.update(spec.label.padded());
    for code in [mbr::CODE, vbr::CODE] {
        hasher.update(code);
    }
    for file in sources {
        let path = file.path.to_string();
        hasher.update((path.len() as u64).to_le_bytes());
        hasher.update(path);
        let Attributes {
            hidden,
            system,
            read_only,
        } = file.attributes;
        hasher.update([u8::from(hidden), u8::from(system), u8::from(read_only)]);
        let (kind, bytes, fingerprint) = match &file.source {
            Source::Data(data) => (0u8, data.bytes(), data.fingerprint()),
            Source::Fill(filler) => (1, 0, filler.fingerprint()),
            Source::Late(late) => (2, late.bytes(), late.fingerprint()),
        };
        hasher.update([kind]);
        hasher.update(bytes.to_le_bytes());
        hasher.update(fingerprint.to_le_bytes());
    }
    let digest = hasher.finalize();
    let word = |at: usize| {
        let bytes = &digest[at * 4..at * 4 + 4];
        bytes
            .iter()
            .fold(0, |word, byte| word << 8 | u32::from(*byte))
    };
    Identity {
        signature: word(0).max(1),
        volume_id: word(1),
        crc32: word(2),
    }
}

/// Sorts the extents and refuses any that meet.
fn check(extents: &mut [Extent], disk: SectorCount) -> Result<(), PlanError> {
    extents.sort_by_key(|extent| extent.run.start);
    let ends = extents.iter().skip(1).map(|next| next.run.start);
    let ends: Vec<Lba> = ends.chain([Lba(disk.0)]).collect();
    for (extent, end) in extents.iter().zip(ends) {
        if extent.run.start + extent.run.sectors > end {
            return Err(PlanError::Overlap {
                what: extent.what.clone(),
                at: extent.run.start,
            });
        }
    }
    Ok(())
}
