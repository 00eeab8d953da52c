// SPDX-License-Identifier: MIT OR Apache-2.0
//! An NTFS volume: its records, bitmaps and descriptors by hand, its tree and files through the
//! crate `ntfs`.

mod clusters;
mod mft;
mod secure;
mod tree;

pub use tree::tree;

use std::collections::BTreeMap;
use std::fs::File;

use super::boot_sector::BootSector;
use super::{
    Structure, VerifyError, expect, expect_bytes, expect_zeros, mismatch, read, read_sector,
};
use crate::image::ntfs::NtfsVolume;
use crate::image::ntfs::decode::{RecordFault, RecordView, Run};
use crate::image::plan::DiskPlan;
use crate::image::unit::SECTOR;

const RECORD: u64 = 1024;
const DATA: u32 = 0x80;
const BITMAP: u32 = 0xB0;

/// The volume, as its boot sector describes it.
struct Volume<'a> {
    file: &'a File,
    start: u64,
    cluster: u64,
    clusters: u64,
    mft: u64,
    mirror: u64,
}

/// Everything but the files' bytes.
pub fn structures(plan: &DiskPlan, ntfs: &NtfsVolume, file: &File) -> Result<(), VerifyError> {
    let volume = boot_sectors(plan, ntfs, file)?;
    let found = mft::records(&volume)?;
    mft::mirror(&volume)?;
    mft::references(&volume, &found)?;
    mft::record_bitmap(&volume, &found)?;
    let bitmap = stream(&volume, &found.streams, 6, DATA, "")?;
    clusters::cluster_bitmap(&volume, found.taken.clone(), bitmap)?;
    clusters::log(&volume, stream(&volume, &found.streams, 2, DATA, "")?)?;
    secure::security(&volume, &found)
}

fn boot_sectors<'a>(
    plan: &DiskPlan,
    ntfs: &NtfsVolume,
    file: &'a File,
) -> Result<Volume<'a>, VerifyError> {
    let boot = BootSector::read(plan, file)?;
    let BootSector { start, sector } = boot;
    boot.common(plan)?;
    boot.bytes(3, b"NTFS    ")?;
    boot.field(13, 1, 8)?;
    boot.bytes(14, &[0, 0, 0, 0, 0, 0, 0, 0xF8, 0, 0])?;
    boot.bytes(32, &[0, 0, 0, 0, 0x80, 0, 0x80, 0])?;
    let sectors = boot.value(40, 8);
    let outside = 1 + u64::from(plan.balanced);
    boot.field(40, 8, u64::from(plan.facts.partition.sectors.0) - outside)?;
    let volume = Volume {
        file,
        start,
        cluster: 8 * SECTOR,
        clusters: sectors / 8,
        mft: boot.value(48, 8),
        mirror: boot.value(56, 8),
    };
    for (at, cluster) in [(48, volume.mft), (56, volume.mirror)] {
        if cluster == 0 || cluster >= volume.clusters {
            let found = cluster.to_string();
            return Err(mismatch(
                Structure::BootSector,
                start + at,
                "a cluster of the volume",
                found,
            ));
        }
    }
    boot.bytes(64, &[0xF6, 0, 0, 0, 1, 0, 0, 0])?;
    boot.field(72, 8, plan.facts.identity.volume_serial())?;
    boot.bytes(80, &[0; 10])?;
    let mut rest = vec![0; 15 * SECTOR as usize];
    read(file, start + SECTOR, &mut rest)?;
    expect_zeros(Structure::BootSector, start + SECTOR, &rest)?;
    expect(
        Structure::BackupBootSector,
        start + 40,
        &u64::from(ntfs.geometry.backup()),
        &sectors,
    )?;
    let backup = start + sectors * SECTOR;
    expect_bytes(
        Structure::BackupBootSector,
        backup,
        &sector,
        &read_sector(file, backup)?,
    )?;
    Ok(volume)
}

impl Volume<'_> {
    fn offset(&self, cluster: u64) -> u64 {
        self.start + cluster * self.cluster
    }

    fn record_offset(&self, number: u64) -> u64 {
        self.offset(self.mft) + number * RECORD
    }

    /// Reads a value whose runs are no longer than what was checked to be on the volume.
    fn bytes(&self, (bytes, runs): &(u64, Vec<Run>)) -> Result<Vec<u8>, VerifyError> {
        let mut value = Vec::new();
        for run in runs {
            let mut part = vec![0; (run.count * self.cluster) as usize];
            if let Some(first) = run.first {
                read(self.file, self.offset(first), &mut part)?;
            }
            value.extend(part);
        }
        value.truncate(*bytes as usize);
        Ok(value)
    }

    fn record(&self, offset: u64, bytes: Vec<u8>) -> Result<RecordView, VerifyError> {
        RecordView::parse(bytes).map_err(|fault| self.fault(offset, &fault))
    }

    #[expect(
        clippy::unused_self,
        reason = "a volume's fault, by the image's offset"
    )]
    fn fault(&self, offset: u64, fault: &RecordFault) -> VerifyError {
        mismatch(
            Structure::Mft,
            offset + fault.at as u64,
            format!("{}: {}", fault.field, fault.expected),
            fault.found.clone(),
        )
    }
}

fn stream<'f>(
    volume: &Volume,
    streams: &'f BTreeMap<(u64, u32, String), (u64, Vec<Run>)>,
    record: u64,
    kind: u32,
    name: &str,
) -> Result<&'f (u64, Vec<Run>), VerifyError> {
    streams
        .get(&(record, kind, name.to_owned()))
        .ok_or_else(|| {
            let offset = volume.record_offset(record);
            let expected = format!("attribute {kind:#x} {name:?} in record {record}");
            mismatch(Structure::Mft, offset, expected, "no such attribute")
        })
}

/// Where a value begins in the image, to point at.
fn place(volume: &Volume, runs: &[Run]) -> u64 {
    volume.offset(runs.first().and_then(|run| run.first).unwrap_or(0))
}
