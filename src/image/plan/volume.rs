// SPDX-License-Identifier: MIT OR Apache-2.0
//! The volume, whichever its file system: its content before the size is known, and its places.

use super::{Extent, FileSystem, PlanError, VolumePlan, fat as fat_volume, ntfs as ntfs_volume};
use crate::image::fat::{FatContent, FatGeometry};
use crate::image::mbr::PartitionKind;
use crate::image::ntfs::{NtfsContent, NtfsGeometry};
use crate::image::source::SourceFile;
use crate::image::spec::{ImageSpec, VolumeLabel};
use crate::image::unit::{Lba, SectorCount};
use crate::image::vbr::SectorRun;

/// Names and lengths, checked against what the file system can hold.
pub(super) enum VolumeContent {
    Fat32(FatContent),
    /// And how many sectors of the partition stay outside of the volume.
    Ntfs(NtfsContent, u32),
}

/// The areas of a volume of a certain size.
pub(super) enum Layout {
    Fat32(FatGeometry),
    Ntfs(NtfsGeometry),
}

/// Everything on the volume has its place.
pub(super) struct Placed {
    pub volume: VolumePlan,
    /// In the order of the sources.
    pub files: Vec<FilePlace>,
    /// All that is neither a file's data nor a boot sector.
    pub extents: Vec<Extent>,
    /// The boot sector, without code and serial number.
    pub boot_sector: Vec<u8>,
    /// Where it lies, and where its copies do.
    pub boot_sectors: Vec<Lba>,
}

/// Where a file lies.
pub(super) struct FilePlace {
    pub bytes: u64,
    /// None where it has no sectors of its own.
    pub run: Option<SectorRun>,
}

/// What the partition table calls it.
pub(super) fn partition_kind(file_system: FileSystem) -> PartitionKind {
    match file_system {
        FileSystem::Fat32 => PartitionKind::Fat32Lba,
        FileSystem::Ntfs => PartitionKind::Ntfs,
    }
}

impl VolumeContent {
    /// `boot_file` is the one that the boot sector loads by its sectors.
    pub fn new(
        spec: &ImageSpec,
        sources: &[SourceFile],
        boot_file: usize,
    ) -> Result<Self, PlanError> {
        match spec.file_system {
            // The boot sector's copy belongs into the partition's last sector, unless what
            // balances the CRC does.
            FileSystem::Ntfs => {
                let content = ntfs_volume::content(sources, &spec.folders, boot_file)?;
                Ok(VolumeContent::Ntfs(content, spec.self_check.into()))
            }
            FileSystem::Fat32 => Ok(VolumeContent::Fat32(fat_volume::content(
                sources,
                &spec.folders,
            )?)),
        }
    }

    /// Bytes below which no volume holds it.
    pub fn least_bytes(&self) -> u64 {
        match self {
            VolumeContent::Fat32(content) => fat_volume::least_bytes(content),
            VolumeContent::Ntfs(content, _) => ntfs_volume::least_bytes(content),
        }
    }

    /// The areas on a partition of that length, if it holds the content and `free` bytes more.
    pub fn layout(&self, partition: SectorCount, free: u64) -> Option<Layout> {
        match self {
            VolumeContent::Fat32(content) => {
                fat_volume::layout(content, partition, free).map(Layout::Fat32)
            }
            VolumeContent::Ntfs(content, tail) => {
                ntfs_volume::layout(content, partition, *tail, free).map(Layout::Ntfs)
            }
        }
    }

    /// Gives everything its place.
    pub fn place(
        &self,
        layout: &Layout,
        start: Lba,
        label: &VolumeLabel,
    ) -> Result<Placed, PlanError> {
        match (self, layout) {
            (VolumeContent::Fat32(content), Layout::Fat32(geometry)) => {
                fat_volume::place(content, *geometry, start, label)
            }
            (VolumeContent::Ntfs(content, _), Layout::Ntfs(geometry)) => {
                ntfs_volume::place(content, *geometry, start, label)
            }
            (_, Layout::Fat32(_) | Layout::Ntfs(_)) => {
                unreachable!("a layout comes from the content that it is for")
            }
        }
    }
}
