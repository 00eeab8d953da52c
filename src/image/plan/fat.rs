// SPDX-License-Identifier: MIT OR Apache-2.0
//! A FAT32 volume's extents.

use super::volume::{FilePlace, Placed};
use super::{Content, Extent, FatPlan, PlanError, VolumePlan, extent};
use crate::image::fat::{
    BACKUP_SECTOR, BootSector, FS_INFO_SECTOR, FatContent, FatError, FatFile, FatGeometry,
    FatVolume, FileLength, fs_info,
};
use crate::image::source::{Source, SourceFile};
use crate::image::spec::{FolderSpec, VolumeLabel};
use crate::image::unit::{Lba, SECTOR, SectorCount};
use crate::image::vbr::SectorRun;

/// Sectors of the partition after the volume's last: what balances the CRC lies there, where no
/// file system looks.
const TAIL: u32 = 1;

pub(super) fn content(
    sources: &[SourceFile],
    folders: &[FolderSpec],
) -> Result<FatContent, FatError> {
    FatContent::new(
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
        folders,
    )
}

pub(super) fn least_bytes(content: &FatContent) -> u64 {
    content.clusters(SECTOR) * SECTOR
}

/// None where it is too small for the content, or for a FAT32 at all.
pub(super) fn layout(
    content: &FatContent,
    partition: SectorCount,
    free: u64,
) -> Option<FatGeometry> {
    FatGeometry::of(SectorCount(partition.0 - TAIL)).filter(|geometry| {
        let cluster = geometry.cluster_bytes();
        content.clusters(cluster) + free.div_ceil(cluster) <= u64::from(geometry.clusters())
    })
}

pub(super) fn place(
    content: &FatContent,
    geometry: FatGeometry,
    start: Lba,
    label: &VolumeLabel,
) -> Result<Placed, PlanError> {
    let FatVolume {
        table,
        directories,
        files,
        ..
    } = content.place(geometry, label)?;
    let lba = |sector: u32| start + SectorCount(sector);
    let files = files
        .into_iter()
        .map(|(bytes, clusters)| FilePlace {
            bytes,
            run: clusters.map(|run| SectorRun {
                start: lba(geometry.cluster_sector(run.first)),
                sectors: SectorCount(bytes.div_ceil(SECTOR) as u32), // a file: below 4 GiB
            }),
        })
        .collect();

    let mut extents = Vec::new();
    // The third sector of the boot record is empty but for its mark (fatgen103, section 3.1).
    let mut third = vec![0; SECTOR as usize];
    third[0x1FE..].copy_from_slice(&[0x55, 0xAA]);
    for (sector, which) in [(0, ""), (BACKUP_SECTOR, "backup ")] {
        let info = fs_info(&geometry, table.used());
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
    let boot_sector = BootSector {
        geometry: &geometry,
        start,
        label,
    };
    Ok(Placed {
        boot_sector: boot_sector.encode(),
        boot_sectors: vec![start, lba(BACKUP_SECTOR)],
        volume: VolumePlan::Fat32(FatPlan { geometry, table }),
        files,
        extents,
    })
}
