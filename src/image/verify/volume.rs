// SPDX-License-Identifier: MIT OR Apache-2.0
//! A FAT32 volume: its allocation table by hand, its tree and files through `fatfs`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::rc::Rc;

use fatfs::{Dir, FileAttributes, FileSystem, FsOptions};

use super::disk::{Trace, VolumeReader};
use super::{
    Meter, Parameters, Structure, VerifyError, expect, expect_bytes, long, mismatch, read,
    read_sector,
};
use crate::image::plan::{DiskPlan, FatPlan, PlannedFile};
use crate::image::spec::Attributes;
use crate::image::unit::SECTOR;

/// Bytes of a file that are read at a time.
const BUFFER: usize = 1 << 16;

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

/// Files that are to be found, by folded path.
pub type Expected<'a> = BTreeMap<String, &'a PlannedFile>;

/// All of the plan.
pub fn expected_files(plan: &DiskPlan) -> Expected<'_> {
    let files = plan.files.iter();
    files.map(|file| (file.path.folded(), file)).collect()
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
    let mut pending = vec![(String::new(), volume.root_dir())];
    while let Some((path, directory)) = pending.pop() {
        let found = check_directory(&path, &directory, start, &mut expected, &trace, meter)?;
        pending.extend(found);
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

/// Checks the files in a directory; the directories that are in it.
fn check_directory<'v, 'f>(
    path: &str,
    directory: &Directory<'v, 'f>,
    start: u64,
    expected: &mut Expected,
    trace: &Trace,
    meter: &mut Meter,
) -> Result<Vec<(String, Directory<'v, 'f>)>, VerifyError> {
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
            inside.push((path, entry.to_dir()));
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
        let mut content = entry.to_file();
        place(planned, &mut content, trace, start)?;
        meter.look()?;
    }
    Ok(inside)
}

fn flags(attributes: Attributes) -> FileAttributes {
    let mut flags = FileAttributes::ARCHIVE;
    flags.set(FileAttributes::HIDDEN, attributes.hidden);
    flags.set(FileAttributes::SYSTEM, attributes.system);
    flags.set(FileAttributes::READ_ONLY, attributes.read_only);
    flags
}

/// A file lies where it was written, and nowhere else: then the CRC-32 of the disk covers its
/// bytes. `start` is where the volume begins.
pub fn place(
    planned: &PlannedFile,
    found: &mut impl Read,
    trace: &Trace,
    start: u64,
) -> Result<(), VerifyError> {
    let structure = || Structure::File(planned.path.to_string());
    let (read, pieces) = trace.during(|| {
        let mut buffer = vec![0; BUFFER];
        let mut left = planned.data.bytes();
        while left > 0 {
            let length = left.min(BUFFER as u64) as usize;
            read_whole(found, &mut buffer[..length])?;
            left -= length as u64;
        }
        Ok(())
    });
    read.map_err(|source| VerifyError::Volume {
        structure: structure(),
        source,
    })?;
    let bytes = planned.data.bytes();
    let wanted = planned
        .run
        .map(|run| (run.start.byte_offset() - start, bytes));
    if pieces.iter().copied().eq(wanted) {
        return Ok(());
    }
    let show = |pieces: &[(u64, u64)]| -> String {
        let shown = pieces.iter().take(3).map(|(offset, bytes)| {
            let offset = start + offset;
            format!("{bytes} bytes at {offset}")
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        let more = pieces.len().saturating_sub(3);
        match (pieces.len(), more) {
            (0, _) => "no bytes".to_owned(),
            (_, 0) => shown,
            _ => format!("{shown}, and {more} pieces more"),
        }
    };
    Err(mismatch(
        structure(),
        start + pieces.first().or(wanted.as_ref()).map_or(0, |piece| piece.0),
        show(&wanted.into_iter().collect::<Vec<_>>()),
        show(&pieces),
    ))
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
