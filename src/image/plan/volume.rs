// SPDX-License-Identifier: MIT OR Apache-2.0
//! The volume, whichever its file system: its content before the size is known, and its places.

use super::fat as fat_volume;
use super::{Extent, FileSystem, PlanError, VolumePlan};
use crate::image::facts::DiskFacts;
use crate::image::fat::{FatContent, FatGeometry};
use crate::image::mbr::PartitionKind;
use crate::image::source::SourceFile;
use crate::image::spec::VolumeLabel;
use crate::image::unit::{Lba, SectorCount};
use crate::image::vbr::SectorRun;

/// Names and lengths, checked against what the file system can hold.
pub(super) enum VolumeContent {
    Fat32(FatContent),
}

/// The areas of a volume of a certain size.
pub(super) enum Layout {
    Fat32(FatGeometry),
}

/// Everything on the volume has its place.
pub(super) struct Placed {
    pub volume: VolumePlan,
    /// In the order of the sources.
    pub files: Vec<FilePlace>,
    /// All that is neither a file's data nor a boot sector.
    pub extents: Vec<Extent>,
    /// The boot sector, without code.
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
    }
}

impl VolumeContent {
    /// `boot_file` is the one that the boot sector loads by its sectors.
    pub fn new(
        file_system: FileSystem,
        sources: &[SourceFile],
        _boot_file: usize,
    ) -> Result<Self, PlanError> {
        match file_system {
            FileSystem::Fat32 => Ok(VolumeContent::Fat32(fat_volume::content(sources)?)),
        }
    }

    /// Bytes below which no volume holds it.
    pub fn least_bytes(&self) -> u64 {
        match self {
            VolumeContent::Fat32(content) => fat_volume::least_bytes(content),
        }
    }

    /// The areas on a partition of that length, if it holds the content.
    pub fn layout(&self, partition: SectorCount) -> Option<Layout> {
        match self {
            VolumeContent::Fat32(content) => {
                fat_volume::layout(content, partition).map(Layout::Fat32)
            }
        }
    }

    /// Gives everything its place.
    pub fn place(
        &self,
        layout: Layout,
        facts: &DiskFacts,
        label: &VolumeLabel,
    ) -> Result<Placed, PlanError> {
        match (self, layout) {
            (VolumeContent::Fat32(content), Layout::Fat32(geometry)) => {
                fat_volume::place(content, geometry, facts, label)
            }
        }
    }
}
