// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan: every sector of the disk decided, nothing written, no file read.

mod fat;
mod ntfs;
mod volume;

use sha2::{Digest, Sha256};

use super::facts::{DiskFacts, Identity};
use super::fat::{self as fat_format, FatError, FatGeometry, FatTable};
use super::geometry::{CYLINDER_BYTES, Cylinders};
use super::late::Late;
use super::mbr::{self, PARTITION_START, Partition};
use super::ntfs::{self as ntfs_format, CLUSTER, NtfsError, NtfsVolume};
use super::size::ByteSize;
use super::source::{Data, Source, SourceError, SourceFile};
use super::spec::{Attributes, DiskPath, DiskSize, FileSystem, FolderSpec, ImageSpec, VolumeLabel};
use super::times::Times;
use super::unit::{Lba, SECTOR, SectorCount};
use super::vbr::{self, BootFileError, SectorRun};
use volume::{Layout, VolumeContent};

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
    /// The volume cannot hold the files.
    #[error(transparent)]
    Ntfs(#[from] NtfsError),
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
    /// Its attributes.
    pub attributes: Attributes,
    /// Its bytes.
    pub data: Data,
    /// Its sectors; none if it is empty.
    pub run: Option<SectorRun>,
}

/// Sectors in a row and where their bytes come from. What no extent covers is zero.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Where.
    pub run: SectorRun,
    /// What it is, for people.
    pub what: String,
    /// Its bytes; zeros follow up to the end of the run.
    pub content: Content,
}

/// Where an extent's bytes come from.
#[derive(Clone, Debug)]
pub enum Content {
    /// Here they are.
    Bytes(Vec<u8>),
    /// The plan's allocation table.
    FatTable,
    /// 0xFF throughout.
    Ones,
    /// The plan's MFT.
    NtfsRecords,
    /// The plan's cluster bitmap, from this byte on.
    NtfsBitmap(u64),
    /// The plan's file of that index.
    FileData(usize),
}

/// What is decided of a volume as a whole.
#[derive(Clone, Debug)]
pub enum VolumePlan {
    /// A FAT32.
    Fat32(FatPlan),
    /// An NTFS.
    Ntfs(NtfsVolume),
}

/// The areas of a FAT32 volume.
#[derive(Clone, Debug)]
pub struct FatPlan {
    /// Where they lie.
    pub geometry: FatGeometry,
    /// Both copies of the allocation table.
    pub table: FatTable,
}

impl VolumePlan {
    /// Puts the volume's serial number into its boot sector.
    fn number(&self, boot_sector: &mut [u8], identity: &Identity) {
        match self {
            VolumePlan::Fat32(_) => fat_format::set_volume_id(boot_sector, identity.volume_id),
            VolumePlan::Ntfs(_) => ntfs_format::set_serial(boot_sector, identity.volume_serial()),
        }
    }

    /// Which it is.
    pub fn file_system(&self) -> FileSystem {
        match self {
            VolumePlan::Fat32(_) => FileSystem::Fat32,
            VolumePlan::Ntfs(_) => FileSystem::Ntfs,
        }
    }

    /// Bytes in a cluster.
    pub fn cluster_bytes(&self) -> u64 {
        match self {
            VolumePlan::Fat32(fat) => fat.geometry.cluster_bytes(),
            VolumePlan::Ntfs(_) => CLUSTER,
        }
    }
}

/// A disk that is laid out: every sector has its place. What is derived from the files' content,
/// the numbers by which disk and volume are known, is still to come; so the files can be written,
/// and their checksums taken, in one pass.
#[derive(Debug)]
pub struct Draft {
    disk: Cylinders,
    partition: Partition,
    label: VolumeLabel,
    volume: VolumePlan,
    files: Vec<DraftFile>,
    folders: Vec<FolderSpec>,
    boot_file: usize,
    /// All that is not zero but the MBR and the boot sectors.
    extents: Vec<Extent>,
    /// The boot sector, without serial number, and where its copies go.
    boot_sector: Vec<u8>,
    boot_sectors: Vec<Lba>,
    balanced: bool,
}

/// A file of a draft.
#[derive(Debug)]
pub struct DraftFile {
    /// Its path on the volume.
    pub path: DiskPath,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its bytes, or what makes them once the disk has its numbers.
    pub content: DraftContent,
    /// Its sectors; none where it has none of its own.
    pub run: Option<SectorRun>,
}

/// What a file of a draft holds.
#[derive(Debug)]
pub enum DraftContent {
    /// Bytes that can be read.
    Data(Data),
    /// What says where it lies.
    Late(Late),
}

/// The whole disk.
#[derive(Debug)]
pub struct DiskPlan {
    /// Length, partition, signature.
    pub facts: DiskFacts,
    /// The volume's name.
    pub label: VolumeLabel,
    /// The volume's areas.
    pub volume: VolumePlan,
    /// The files, in the order in which they lie on the disk.
    pub files: Vec<PlannedFile>,
    /// Folders of which more is said than their names.
    pub folders: Vec<FolderSpec>,
    /// Index of the file that the boot sector loads.
    pub boot_file: usize,
    /// All that is not zero, ascending, without overlap.
    pub extents: Vec<Extent>,
    /// The disk's last four bytes shall give it the CRC-32 of its identity.
    pub balanced: bool,
}

/// Lays out the disk; no input is read.
pub fn draft(spec: &ImageSpec, sources: Vec<SourceFile>) -> Result<Draft, PlanError> {
    let boot_file = sources
        .iter()
        .position(|file| file.path.folded() == spec.boot.folded())
        .ok_or_else(|| PlanError::NoBootFile {
            path: spec.boot.clone(),
        })?;
    let content = VolumeContent::new(spec, &sources, boot_file)?;
    let (disk, layout) = disk_size(spec.size, &content)?;
    let partition = partition(spec.file_system, disk);
    let boot_error = |source| PlanError::BootFile {
        path: spec.boot.clone(),
        source,
    };
    let placed = content.place(&layout, partition.start, &spec.label)?;
    vbr::check_length(placed.files[boot_file].bytes).map_err(boot_error)?;
    let runs: Vec<SectorRun> = placed.files[boot_file].run.into_iter().collect();
    let mut boot_sector = placed.boot_sector;
    vbr::install(&mut boot_sector, &runs).map_err(boot_error)?;

    let files: Vec<DraftFile> = sources
        .into_iter()
        .zip(placed.files)
        .map(|(file, place)| DraftFile {
            path: file.path,
            attributes: file.attributes,
            run: place.run,
            content: match file.source {
                Source::Data(data) => DraftContent::Data(data),
                Source::Fill(filler) => DraftContent::Data(Data::Filler {
                    filler,
                    bytes: place.bytes,
                }),
                Source::Late(late) => DraftContent::Late(late),
            },
        })
        .collect();
    let mut extents = placed.extents;
    extents.extend(files.iter().enumerate().filter_map(|(index, file)| {
        Some(Extent {
            run: file.run?,
            what: file.path.to_string(),
            content: Content::FileData(index),
        })
    }));
    // With what is to come, which is as long whatever it says.
    let mut all = extents.clone();
    all.extend(heads(
        &mbr::encode(1, partition),
        &boot_sector,
        &placed.boot_sectors,
    ));
    check(&mut all, disk.sectors())?;
    Ok(Draft {
        disk,
        partition,
        label: spec.label.clone(),
        volume: placed.volume,
        files,
        folders: spec.folders.clone(),
        boot_file,
        extents,
        boot_sector,
        boot_sectors: placed.boot_sectors,
        balanced: spec.self_check,
    })
}

/// The MBR and all copies of the boot sector.
fn heads<'a>(
    mbr: &'a [u8],
    boot_sector: &'a [u8],
    copies: &'a [Lba],
) -> impl Iterator<Item = Extent> + 'a {
    let copies = copies
        .iter()
        .map(|copy| extent(*copy, "boot sector", boot_sector.to_vec()));
    std::iter::once(extent(Lba(0), "MBR", mbr.to_vec())).chain(copies)
}

impl DraftFile {
    /// Length of what can be read before the disk has its numbers.
    pub fn data_bytes(&self) -> u64 {
        match &self.content {
            DraftContent::Data(data) => data.bytes(),
            DraftContent::Late(_) => 0,
        }
    }
}

impl DiskPlan {
    /// Fills `into` with an extent's bytes from `at` on.
    pub fn read_at(&self, extent: &Extent, at: u64, into: &mut [u8]) -> Result<(), SourceError> {
        let given = |bytes: u64| bytes.saturating_sub(at).min(into.len() as u64) as usize;
        match &extent.content {
            Content::Bytes(bytes) => {
                let (head, rest) = into.split_at_mut(given(bytes.len() as u64));
                head.copy_from_slice(&bytes[at as usize..][..head.len()]);
                rest.fill(0);
            }
            Content::FatTable => {
                if let VolumePlan::Fat32(fat) = &self.volume {
                    fat.table.read_at(at, into);
                }
            }
            Content::Ones => into.fill(0xFF),
            Content::NtfsRecords => {
                if let VolumePlan::Ntfs(volume) = &self.volume {
                    let mut read =
                        |file: usize, into: &mut [u8]| self.files[file].data.read_at(0, into);
                    volume.records_at(at, into, &mut read)?;
                }
            }
            Content::NtfsBitmap(from) => {
                if let VolumePlan::Ntfs(volume) = &self.volume {
                    volume.bitmap_at(from + at, into);
                }
            }
            Content::FileData(index) => {
                let data = &self.files[*index].data;
                let (head, rest) = into.split_at_mut(given(data.bytes()));
                data.read_at(at, head)?;
                rest.fill(0);
            }
        }
        Ok(())
    }
}

impl Draft {
    /// The disk's length.
    pub fn sectors(&self) -> SectorCount {
        self.disk.sectors()
    }

    /// The files, in the order in which they lie on the disk.
    pub fn files(&self) -> &[DraftFile] {
        &self.files
    }

    /// The plan of the disk whose files have these checksums, in their order; none where a file
    /// is still to be made.
    pub fn complete(self, checksums: &[Option<u32>]) -> DiskPlan {
        let facts = DiskFacts {
            sectors: self.disk.sectors(),
            partition: self.partition,
            identity: self.identity(checksums),
        };
        let mut boot_sector = self.boot_sector;
        self.volume.number(&mut boot_sector, &facts.identity);
        let mbr = mbr::encode(facts.identity.signature, facts.partition);
        let mut extents = self.extents;
        extents.extend(heads(&mbr, &boot_sector, &self.boot_sectors));
        extents.sort_by_key(|extent| extent.run.start);
        let files = self.files.into_iter().map(|file| PlannedFile {
            path: file.path,
            attributes: file.attributes,
            run: file.run,
            data: match file.content {
                DraftContent::Data(data) => data,
                DraftContent::Late(late) => Data::Bytes(late.render(&facts)),
            },
        });
        DiskPlan {
            facts,
            label: self.label,
            volume: self.volume,
            files: files.collect(),
            folders: self.folders,
            boot_file: self.boot_file,
            extents,
            balanced: self.balanced,
        }
    }

    /// Numbers that differ where any input does.
    fn identity(&self, checksums: &[Option<u32>]) -> Identity {
        let mut hasher = Sha256::new();
        hasher.update(b"slamboot image 1\0");
        hasher.update(self.disk.count().to_le_bytes());
        hasher.update(self.label.padded());
        for code in [mbr::CODE, vbr::CODE] {
            hasher.update(code);
        }
        for (file, checksum) in self.files.iter().zip(checksums) {
            let path = file.path.to_string();
            hasher.update((path.len() as u64).to_le_bytes());
            hasher.update(path);
            describe(&mut hasher, file.attributes);
            let (kind, bytes, fingerprint) = match &file.content {
                DraftContent::Data(Data::Filler { filler, .. }) => (1u8, 0, filler.fingerprint()),
                DraftContent::Data(data) => (0, data.bytes(), checksum.unwrap_or(0).into()),
                DraftContent::Late(late) => (2, late.bytes(), late.fingerprint()),
            };
            hasher.update([kind]);
            hasher.update(bytes.to_le_bytes());
            hasher.update(fingerprint.to_le_bytes());
        }
        for FolderSpec { path, attributes } in &self.folders {
            let path = path.to_string();
            hasher.update([3]);
            hasher.update((path.len() as u64).to_le_bytes());
            hasher.update(path);
            describe(&mut hasher, *attributes);
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
fn partition(file_system: FileSystem, disk: Cylinders) -> Partition {
    Partition {
        kind: volume::partition_kind(file_system),
        start: PARTITION_START,
        sectors: SectorCount(disk.sectors().0 - PARTITION_START.0),
    }
}

/// The areas of a disk that size, if the content fits and so much stays free.
fn fits(disk: Cylinders, content: &VolumeContent, free: u64) -> Option<Layout> {
    content.layout(SectorCount(disk.sectors().0 - PARTITION_START.0), free)
}

fn disk_size(size: DiskSize, content: &VolumeContent) -> Result<(Cylinders, Layout), PlanError> {
    match size {
        DiskSize::Smallest => smallest(content, 0),
        DiskSize::Fitted { free } => smallest(content, free.bytes()),
        DiskSize::AtLeast(asked) => {
            let disk =
                Cylinders::holding(asked.bytes()).ok_or(PlanError::TooLarge { found: asked })?;
            match fits(disk, content, 0) {
                Some(layout) => Ok((disk, layout)),
                None => Err(PlanError::TooSmall {
                    found: byte_size(disk),
                    minimum: byte_size(smallest(content, 0)?.0),
                }),
            }
        }
    }
}

/// The fewest cylinders on which a legal volume with that content fits, and `free` bytes more.
fn smallest(content: &VolumeContent, free: u64) -> Result<(Cylinders, Layout), PlanError> {
    // Content alone, without tables, in the smallest clusters: a lower bound. What is missing
    // grows much slower than the disk, so few steps lead from there to the answer.
    let bytes = content.least_bytes().saturating_add(free);
    let mut cylinders = (bytes / CYLINDER_BYTES).max(1);
    loop {
        let bytes = cylinders.saturating_mul(CYLINDER_BYTES);
        let disk = Cylinders::holding(bytes).ok_or_else(|| PlanError::TooLarge {
            found: ByteSize::new(bytes).expect("at least a cylinder"),
        })?;
        if let Some(layout) = fits(disk, content, free) {
            return Ok((disk, layout));
        }
        cylinders += 1;
    }
}

fn byte_size(disk: Cylinders) -> ByteSize {
    ByteSize::new(disk.sectors().bytes()).expect("at least a cylinder")
}

/// Attributes, for a digest.
fn describe(hasher: &mut Sha256, attributes: Attributes) {
    let Attributes {
        hidden,
        system,
        read_only,
        archived,
        times,
    } = attributes;
    hasher.update([hidden, system, read_only].map(u8::from));
    // Of what was on an image.
    if archived || times != Times::default() {
        let Times {
            created,
            written,
            changed,
            accessed,
        } = times;
        hasher.update([0xFF, archived.into()]);
        for time in [created, written, changed, accessed] {
            hasher.update(time.0.to_le_bytes());
        }
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
