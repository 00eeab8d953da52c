// SPDX-License-Identifier: MIT OR Apache-2.0
//! A FAT32 volume: its allocation table by hand, its tree and files through `fatfs`.

use std::fs::File;
use std::rc::Rc;

use fatfs::{Date, DateTime, Dir, DirEntry, FileAttributes, FileSystem, FsOptions, Time};

use super::boot_sector::BootSector;
use super::disk::{Trace, VolumeReader};
use super::place::{Expected, expected_files, expected_folders, place};
use super::{
    Meter, Structure, VerifyError, expect, expect_bytes, long, mismatch, read, read_sector,
};
use crate::image::plan::{DiskPlan, FatPlan, PlannedFile};
use crate::image::spec::Attributes;
use crate::image::times::FileTime;
use crate::image::unit::SECTOR;

/// The boot record, both tables, and the count of what is free.
pub fn structures(plan: &DiskPlan, fat: &FatPlan, file: &File) -> Result<(), VerifyError> {
    let parameters = boot_sector(plan, fat, file)?;
    tables(plan, file, &parameters)
}

/// What the boot sector says, taken from its bytes.
struct Parameters {
    cluster_bytes: u64,
    fat_offset: u64,
    fat_bytes: u64,
    clusters: u64,
    fs_info: u64,
}

fn boot_sector(plan: &DiskPlan, fat: &FatPlan, file: &File) -> Result<Parameters, VerifyError> {
    let boot = BootSector::read(plan, file)?;
    let start = boot.start;
    boot.common(plan)?;
    boot.bytes(3, b"MSWIN4.1")?;
    let cluster = boot.value(13, 1);
    if !cluster.is_power_of_two() || cluster > 64 {
        return Err(mismatch(
            Structure::BootSector,
            start + 13,
            "a power of two up to 64",
            cluster.to_string(),
        ));
    }
    let reserved = boot.value(14, 2);
    boot.field(14, 2, fat.geometry.reserved().into())?;
    boot.bytes(16, &[2, 0, 0, 0, 0, 0xF8, 0, 0])?;
    let sectors = boot.value(32, 4);
    // The last sector of the partition lies outside the volume.
    boot.field(32, 4, u64::from(plan.facts.partition.sectors.0) - 1)?;
    let table = boot.value(36, 4);
    boot.field(36, 4, fat.geometry.table_sectors().into())?;
    let data = reserved + 2 * table;
    let clusters = sectors.saturating_sub(data) / cluster;
    if clusters < 65_525 || table * 128 < clusters + 2 {
        return Err(mismatch(
            Structure::BootSector,
            start + 36,
            "a table for every cluster, and 65525 of these",
            format!("{table} sectors of table and {clusters} clusters"),
        ));
    }
    boot.bytes(40, &[0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 6, 0])?;
    boot.bytes(52, &[0; 12])?;
    boot.bytes(64, &[0x80, 0, 0x29])?;
    boot.field(67, 4, plan.facts.identity.volume_id.into())?;
    boot.bytes(71, plan.label.padded())?;
    boot.bytes(82, b"FAT32   ")?;

    let third = start + 2 * SECTOR;
    let mut expected = [0; SECTOR as usize];
    expected[510..].copy_from_slice(&[0x55, 0xAA]);
    expect_bytes(
        Structure::BootSector,
        third,
        &expected,
        &read_sector(file, third)?,
    )?;
    for which in 0..3 {
        let backup = start + (6 + which) * SECTOR;
        expect_bytes(
            Structure::BackupBootSector,
            backup,
            &read_sector(file, start + which * SECTOR)?,
            &read_sector(file, backup)?,
        )?;
    }
    Ok(Parameters {
        cluster_bytes: cluster * SECTOR,
        fat_offset: start + reserved * SECTOR,
        fat_bytes: table * SECTOR,
        clusters,
        fs_info: start + SECTOR,
    })
}

/// Both tables agree, every entry is a possible one, and there are as many chains and free
/// clusters as there should be.
fn tables(plan: &DiskPlan, file: &File, parameters: &Parameters) -> Result<(), VerifyError> {
    let mut copies = [vec![0; 1 << 16], vec![0; 1 << 16]];
    let (mut used, mut chains) = (0u64, 0u64);
    let mut done = 0;
    let clusters = 2..parameters.clusters + 2;
    while done < parameters.fat_bytes {
        let length = (parameters.fat_bytes - done).min(1 << 16) as usize;
        let [first, second] = &mut copies;
        let offset = parameters.fat_offset + done;
        read(file, offset, &mut first[..length])?;
        read(file, offset + parameters.fat_bytes, &mut second[..length])?;
        let copy = offset + parameters.fat_bytes;
        expect_bytes(Structure::Fat, copy, &first[..length], &second[..length])?;
        for at in (0..length).step_by(4) {
            let entry = long(first, at);
            let cluster = (done + at as u64) / 4;
            let possible = match cluster {
                0 => entry == 0x0FFF_FFF8,
                1 => entry == 0x0FFF_FFFF,
                _ if entry == 0 => true,
                _ if !clusters.contains(&cluster) => false,
                _ if entry == 0x0FFF_FFFF => {
                    chains += 1;
                    used += 1;
                    true
                }
                _ => {
                    used += 1;
                    clusters.contains(&entry) && entry != cluster
                }
            };
            if !possible {
                return Err(mismatch(
                    Structure::Fat,
                    offset + at as u64,
                    "a free cluster, the next of a chain, or its end",
                    format!("{entry:#010x} for cluster {cluster}"),
                ));
            }
        }
        done += length as u64;
    }
    let length = |file: &PlannedFile| file.data.bytes().div_ceil(parameters.cluster_bytes);
    let files: u64 = plan.files.iter().map(length).sum();
    let full = plan.files.iter().filter(|file| file.run.is_some()).count() as u64;
    let directories = chains.checked_sub(full);
    if directories.is_none_or(|directories| directories == 0 || used < files + directories) {
        return Err(mismatch(
            Structure::Fat,
            parameters.fat_offset,
            format!("{full} files of {files} clusters, and directories"),
            format!("{chains} chains of {used} clusters"),
        ));
    }

    let sector = read_sector(file, parameters.fs_info)?;
    let free = parameters.clusters - used;
    let next = if free == 0 { 0xFFFF_FFFF } else { used + 2 };
    for (at, expected) in [
        (0, 0x4161_5252),
        (484, 0x6141_7272),
        (488, free),
        (492, next),
        (508, 0xAA55_0000),
    ] {
        let offset = parameters.fs_info + at as u64;
        expect(Structure::FsInfo, offset, &expected, &long(&sector, at))?;
    }
    Ok(())
}

/// The tree has the planned files, all of them and no others, with their attributes and bytes.
pub fn tree(
    plan: &DiskPlan,
    fat: &FatPlan,
    file: &File,
    meter: &mut Meter,
) -> Result<(), VerifyError> {
    let start = plan.facts.partition.start.byte_offset();
    let bytes = fat.geometry.sectors().bytes();
    let root = |source| VerifyError::Volume {
        structure: Structure::Directory,
        source,
    };
    let trace = Rc::new(Trace::default());
    // Before the first cluster there are tables, which are read.
    let data = u64::from(fat.geometry.cluster_sector(2)) * SECTOR;
    let reader = VolumeReader::new(file, start, bytes, data, Rc::clone(&trace));
    let volume = FileSystem::new(reader, FsOptions::new()).map_err(root)?;
    let label = volume.read_volume_label_from_root_dir().map_err(root)?;
    expect(
        Structure::Directory,
        start,
        &plan.label.to_string(),
        &label.unwrap_or_default(),
    )?;

    let mut expected = expected_files(plan);
    let mut folders = expected_folders(plan);
    let mut pending = vec![(String::new(), volume.root_dir())];
    while let Some((path, directory)) = pending.pop() {
        let found = check_directory(&path, &directory, start, &mut expected, &trace, meter)?;
        for (path, entry) in found {
            let attributes = folders.remove(&path.to_uppercase()).unwrap_or_default();
            check_attributes(&path, &entry, attributes, start)?;
            pending.push((path, entry.to_dir()));
        }
    }
    if let Some(missing) = folders.keys().next() {
        let found = "no such folder";
        return Err(mismatch(Structure::Directory, start, missing, found));
    }
    if let Some(missing) = expected.values().next() {
        return Err(mismatch(
            Structure::Directory,
            start,
            missing.path.to_string(),
            "no such file",
        ));
    }
    Ok(())
}

type Directory<'v, 'f> = Dir<'v, VolumeReader<'f>>;
type Entry<'v, 'f> = DirEntry<'v, VolumeReader<'f>>;

/// Checks the files in a directory; the directories that are in it.
fn check_directory<'v, 'f>(
    path: &str,
    directory: &Directory<'v, 'f>,
    start: u64,
    expected: &mut Expected,
    trace: &Trace,
    meter: &mut Meter,
) -> Result<Vec<(String, Entry<'v, 'f>)>, VerifyError> {
    let mut inside = Vec::new();
    for entry in directory.iter() {
        let entry = entry.map_err(|source| VerifyError::Volume {
            structure: Structure::Directory,
            source,
        })?;
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        let path = format!("{path}\\{name}");
        if entry.is_dir() {
            inside.push((path, entry));
            continue;
        }
        let Some(planned) = expected.remove(&path.to_uppercase()) else {
            return Err(mismatch(
                Structure::Directory,
                start,
                "nothing of that name",
                path,
            ));
        };
        // Spelled as asked for, except that directories keep their first spelling.
        let asked = planned.path.names().last().map_or("", |name| name.as_str());
        expect(Structure::Directory, start, asked, name.as_str())?;
        check_attributes(&path, &entry, planned.attributes, start)?;
        let length = |bytes: u64| format!("{path} of {bytes} bytes");
        expect(
            Structure::Directory,
            start,
            &length(planned.data.bytes()),
            &length(entry.len()),
        )?;
        let mut content = entry.to_file();
        place(planned, &mut content, trace, start)?;
        meter.look()?;
    }
    Ok(inside)
}

fn check_attributes(
    path: &str,
    entry: &Entry,
    attributes: Attributes,
    start: u64,
) -> Result<(), VerifyError> {
    let mut flags = FileAttributes::empty();
    let directory = entry.is_dir();
    flags.set(FileAttributes::DIRECTORY, directory);
    flags.set(FileAttributes::ARCHIVE, !attributes.archived && !directory);
    flags.set(FileAttributes::HIDDEN, attributes.hidden);
    flags.set(FileAttributes::SYSTEM, attributes.system);
    flags.set(FileAttributes::READ_ONLY, attributes.read_only);
    let show = |flags: FileAttributes| format!("{path} with {flags:?}");
    let found = show(entry.attributes());
    expect(Structure::Directory, start, &show(flags), &found)?;

    let date = |date: Date| (date.year - 1980) << 9 | date.month << 5 | date.day;
    let moment = |moment: DateTime| {
        let Time { hour, min, sec, .. } = moment.time;
        (date(moment.date), hour << 11 | min << 5 | (sec / 2))
    };
    let dos = |time: FileTime| (time.dos().date, time.dos().time);
    let times = attributes.times;
    for (what, wanted, found) in [
        ("made", dos(times.created), moment(entry.created())),
        ("written", dos(times.written), moment(entry.modified())),
        (
            "looked at",
            (times.accessed.dos().date, 0),
            (date(entry.accessed()), 0),
        ),
    ] {
        let show = |(date, time): (u16, u16)| format!("{path} {what} at {date:#06x} {time:#06x}");
        expect(Structure::Directory, start, &show(wanted), &show(found))?;
    }
    Ok(())
}
