// SPDX-License-Identifier: MIT OR Apache-2.0
//! A FAT32 volume: its allocation table by hand, its tree and files through `fatfs`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use fatfs::{Dir, FileAttributes, FileSystem, FsOptions};

use super::disk::VolumeReader;
use super::{
    Meter, Parameters, Structure, VerifyError, expect, expect_bytes, long, mismatch, read,
    read_sector,
};
use crate::image::plan::{DiskPlan, FatPlan, PlannedFile};
use crate::image::source::Data;
use crate::image::spec::Attributes;

/// Both tables agree, every entry is a possible one, and there are as many chains and free
/// clusters as there should be.
pub fn fat(plan: &DiskPlan, file: &File, parameters: &Parameters) -> Result<(), VerifyError> {
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
    let volume =
        FileSystem::new(VolumeReader::new(file, start, bytes), FsOptions::new()).map_err(root)?;
    let label = volume.read_volume_label_from_root_dir().map_err(root)?;
    expect(
        Structure::Directory,
        start,
        &plan.label.to_string(),
        &label.unwrap_or_default(),
    )?;

    let mut expected: BTreeMap<String, &PlannedFile> = BTreeMap::new();
    for file in &plan.files {
        expected.insert(file.path.folded(), file);
    }
    let mut pending = vec![(String::new(), volume.root_dir())];
    while let Some((path, directory)) = pending.pop() {
        check_directory(&path, &directory, start, &mut expected, &mut pending, meter)?;
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

fn check_directory<'v, 'f>(
    path: &str,
    directory: &Directory<'v, 'f>,
    start: u64,
    expected: &mut BTreeMap<String, &PlannedFile>,
    pending: &mut Vec<(String, Directory<'v, 'f>)>,
    meter: &mut Meter,
) -> Result<(), VerifyError> {
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
            pending.push((path, entry.to_dir()));
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
        let show = |flags: FileAttributes| format!("{path} with {flags:?}");
        let wanted = flags(planned.attributes);
        expect(
            Structure::Directory,
            start,
            &show(wanted),
            &show(entry.attributes()),
        )?;
        let length = |bytes: u64| format!("{path} of {bytes} bytes");
        expect(
            Structure::Directory,
            start,
            &length(planned.data.bytes()),
            &length(entry.len()),
        )?;
        compare(&planned.data, &mut entry.to_file(), &path, start, meter)?;
    }
    Ok(())
}

fn flags(attributes: Attributes) -> FileAttributes {
    let mut flags = FileAttributes::ARCHIVE;
    flags.set(FileAttributes::HIDDEN, attributes.hidden);
    flags.set(FileAttributes::SYSTEM, attributes.system);
    flags.set(FileAttributes::READ_ONLY, attributes.read_only);
    flags
}

/// `start` is only where to look: `fatfs` does not say where a file lies.
pub fn compare(
    data: &Data,
    found: &mut impl Read,
    path: &str,
    start: u64,
    meter: &mut Meter,
) -> Result<(), VerifyError> {
    let structure = || Structure::File(path.to_owned());
    let mut buffers = [vec![0; 1 << 16], vec![0; 1 << 16]];
    let mut offset = 0;
    while offset < data.bytes() {
        let length = (data.bytes() - offset).min(1 << 16) as usize;
        let [wanted, got] = &mut buffers;
        data.read_at(offset, &mut wanted[..length])?;
        read_whole(found, &mut got[..length]).map_err(|source| VerifyError::Volume {
            structure: structure(),
            source,
        })?;
        if wanted[..length] != got[..length] {
            let differs = |(a, b): (&u8, &u8)| a != b;
            let at = wanted.iter().zip(got.iter()).position(differs);
            let at = offset + at.unwrap_or(0) as u64;
            return Err(mismatch(
                structure(),
                start,
                "the bytes of its input",
                format!("others, from byte {at} of the file on"),
            ));
        }
        offset += length as u64;
        meter.advance(length as u64)?;
    }
    Ok(())
}

/// Like `read_exact`, with an error that says what was short.
fn read_whole(from: &mut impl Read, into: &mut [u8]) -> io::Result<()> {
    from.read_exact(into).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "its chain of clusters ends before its length",
        ),
        _ => error,
    })
}
