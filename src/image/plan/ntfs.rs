// SPDX-License-Identifier: MIT OR Apache-2.0
//! An NTFS volume's extents.

use super::volume::{FilePlace, Placed};
use super::{Content, Extent, PlanError, VolumePlan};
use crate::image::ntfs::{
    AreaContent, CLUSTER, FileLength, NtfsContent, NtfsError, NtfsFile, NtfsGeometry,
};
use crate::image::source::{Source, SourceFile};
use crate::image::spec::{FolderSpec, VolumeLabel};
use crate::image::unit::{Lba, SECTOR, SectorCount};
use crate::image::vbr::SectorRun;

pub(super) fn content(
    sources: &[SourceFile],
    folders: &[FolderSpec],
    boot_file: usize,
) -> Result<NtfsContent, NtfsError> {
    NtfsContent::new(
        sources
            .iter()
            .enumerate()
            .map(|(index, file)| NtfsFile {
                path: file.path.clone(),
                attributes: file.attributes,
                bytes: match &file.source {
                    Source::Data(data) => FileLength::Bytes(data.bytes()),
                    Source::Fill(_) => FileLength::Rest,
                    Source::Late(late) => FileLength::Bytes(late.bytes()),
                },
                in_clusters: index == boot_file,
            })
            .collect(),
        folders,
    )
}

pub(super) fn least_bytes(content: &NtfsContent) -> u64 {
    content.least_clusters() * CLUSTER
}

/// None where it is too small for the content. `tail` sectors of the partition stay outside.
pub(super) fn layout(
    content: &NtfsContent,
    partition: SectorCount,
    tail: u32,
    free: u64,
) -> Option<NtfsGeometry> {
    NtfsGeometry::of(SectorCount(partition.0 - tail)).filter(|geometry| {
        content.clusters(geometry) + free.div_ceil(CLUSTER) <= geometry.clusters()
    })
}

pub(super) fn place(
    content: &NtfsContent,
    geometry: NtfsGeometry,
    start: Lba,
    label: &VolumeLabel,
) -> Result<Placed, PlanError> {
    let volume = content.place(geometry, start, label)?;
    // All of the volume lies within u32 sectors of the disk.
    let run = |offset: u64, bytes: u64| SectorRun {
        start: start + SectorCount((offset / SECTOR) as u32),
        sectors: SectorCount(bytes.div_ceil(SECTOR) as u32),
    };
    let files = volume
        .files
        .iter()
        .map(|file| FilePlace {
            bytes: file.bytes,
            run: file.run.map(|place| run(place.first * CLUSTER, file.bytes)),
        })
        .collect();
    let extents = volume
        .areas
        .iter()
        .map(|area| Extent {
            run: run(area.offset, area.bytes),
            what: area.what.to_owned(),
            content: match &area.content {
                AreaContent::Bytes(bytes) => Content::Bytes(bytes.clone()),
                AreaContent::Ones => Content::Ones,
                AreaContent::Records => Content::NtfsRecords,
                AreaContent::Bitmap(from) => Content::NtfsBitmap(*from),
            },
        })
        .collect();
    Ok(Placed {
        boot_sector: volume.boot_sector.clone(),
        boot_sectors: vec![start, start + SectorCount(geometry.backup())],
        volume: VolumePlan::Ntfs(volume),
        files,
        extents,
    })
}
