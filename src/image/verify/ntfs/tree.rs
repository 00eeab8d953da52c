// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree, as the crate `ntfs` walks it: names, attributes, and where each file lies.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::rc::Rc;

use ntfs::indexes::NtfsFileNameIndex;
use ntfs::structured_values::{NtfsFileAttributeFlags, NtfsFileNamespace};
use ntfs::{Ntfs, NtfsError, NtfsFile, NtfsIndex, NtfsReadSeek};

use crate::image::ntfs::NtfsVolume;
use crate::image::ntfs::decode::uint;
use crate::image::plan::DiskPlan;
use crate::image::spec::Attributes;
use crate::image::verify::disk::{Trace, VolumeReader};
use crate::image::verify::place::{
    Expected, ExpectedFolders, expected_files, expected_folders, place,
};
use crate::image::verify::{Meter, Structure, VerifyError, expect, expect_bytes, mismatch};

/// The tree has the planned files, all of them and no others, with their attributes and bytes.
pub fn tree(
    plan: &DiskPlan,
    volume: &NtfsVolume,
    file: &File,
    meter: &mut Meter,
) -> Result<(), VerifyError> {
    let start = plan.facts.partition.start.byte_offset();
    let trace = Rc::new(Trace::default());
    let bytes = volume.geometry.sectors().bytes();
    let mut reader = VolumeReader::new(file, start, bytes, 0, Rc::clone(&trace));
    let ntfs = Ntfs::new(&mut reader).map_err(unreadable)?;
    let name = ntfs
        .volume_name(&mut reader)
        .transpose()
        .map_err(unreadable)?;
    expect(
        Structure::Directory,
        start,
        &plan.label.to_string(),
        &name
            .map(|name| name.name().to_string_lossy())
            .unwrap_or_default(),
    )?;
    let info = ntfs.volume_info(&mut reader).map_err(unreadable)?;
    expect(
        Structure::Directory,
        start,
        "3.1 ()",
        &format!(
            "{}.{} ({})",
            info.major_version(),
            info.minor_version(),
            info.flags()
        ),
    )?;
    let mut check = Tree {
        ntfs: &ntfs,
        trace: &trace,
        start,
        upcase: upcase(&ntfs, &mut reader)?,
        expected: expected_files(plan),
        folders: expected_folders(plan),
        pending: vec![(String::new(), 5)],
    };
    while let Some((path, record)) = check.pending.pop() {
        check.directory(&path, record, &mut reader, meter)?;
    }
    if let Some(missing) = check.folders.keys().next() {
        let found = "no such folder";
        return Err(mismatch(Structure::Directory, start, missing, found));
    }
    match check.expected.values().next() {
        None => Ok(()),
        Some(missing) => Err(mismatch(
            Structure::Directory,
            start,
            missing.path.to_string(),
            "no such file",
        )),
    }
}

fn unreadable(error: NtfsError) -> VerifyError {
    VerifyError::Volume {
        structure: Structure::Directory,
        source: io::Error::from(error),
    }
}

fn upcase<T: Read + Seek>(ntfs: &Ntfs, reader: &mut T) -> Result<Vec<u16>, VerifyError> {
    let file = ntfs.file(reader, 10).map_err(unreadable)?;
    let bytes = content(&file, reader)?;
    let table: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|unit| uint(unit, 0, 2) as u16)
        .collect();
    expect(Structure::UpCase, 0, &65_536, &table.len())?;
    Ok(table)
}

fn content<T: Read + Seek>(file: &NtfsFile, reader: &mut T) -> Result<Vec<u8>, VerifyError> {
    let mut bytes = Vec::new();
    if let Some(item) = file.data(reader, "") {
        let item = item.map_err(unreadable)?;
        let attribute = item.to_attribute().map_err(unreadable)?;
        let mut value = attribute.value(reader).map_err(unreadable)?;
        bytes.resize(value.len() as usize, 0);
        value.read_exact(reader, &mut bytes).map_err(unreadable)?;
    }
    Ok(bytes)
}

struct Tree<'a> {
    ntfs: &'a Ntfs,
    trace: &'a Trace,
    start: u64,
    upcase: Vec<u16>,
    expected: Expected<'a>,
    folders: ExpectedFolders,
    pending: Vec<(String, u64)>,
}

/// One name of a directory's index.
struct Entry {
    units: Vec<u16>,
    name: String,
    namespace: NtfsFileNamespace,
    record: u64,
    sequence: u16,
    parent: u64,
    bytes: u64,
    allocated: u64,
    flags: NtfsFileAttributeFlags,
    times: [u64; 4],
}

impl Tree<'_> {
    fn directory<T: Read + Seek>(
        &mut self,
        path: &str,
        record: u64,
        reader: &mut T,
        meter: &mut Meter,
    ) -> Result<(), VerifyError> {
        let directory = self.ntfs.file(reader, record).map_err(unreadable)?;
        let index = directory.directory_index(reader).map_err(unreadable)?;
        let entries = entries(&index, reader)?;
        let raised = |units: &[u16]| -> Vec<u16> {
            units
                .iter()
                .map(|unit| self.upcase[usize::from(*unit)])
                .collect()
        };
        for pair in entries.windows(2) {
            if raised(&pair[0].units) >= raised(&pair[1].units) {
                return Err(mismatch(
                    Structure::Directory,
                    self.start,
                    format!("names of {path}\\ in order"),
                    format!("{} before {}", pair[0].name, pair[1].name),
                ));
            }
        }
        for entry in entries {
            let file = self.ntfs.file(reader, entry.record).map_err(unreadable)?;
            let path = format!("{path}\\{}", entry.name);
            let parents = format!("{path} in record {record}");
            let said = format!("{path} in record {}", entry.parent);
            expect(Structure::Directory, self.start, &parents, &said)?;
            let sequence = format!("{path} of sequence {}", file.sequence_number());
            let said = format!("{path} of sequence {}", entry.sequence);
            expect(Structure::Directory, self.start, &sequence, &said)?;
            // The system's own; and a short name, whose long one is in the index, too.
            let system = record == 5 && entry.record < 24;
            if system || entry.namespace == NtfsFileNamespace::Dos {
                continue;
            }
            if file.is_directory() {
                let folder = self.folders.remove(&path.to_uppercase());
                self.attributes(&path, &entry, &file, folder.unwrap_or_default())?;
                self.pending.push((path, entry.record));
                continue;
            }
            self.file(&path, &entry, &file, reader, meter)?;
        }
        Ok(())
    }

    /// Attributes and times, in the record and in the index.
    fn attributes(
        &self,
        path: &str,
        entry: &Entry,
        file: &NtfsFile,
        attributes: Attributes,
    ) -> Result<(), VerifyError> {
        let information = file.info().map_err(unreadable)?;
        let wanted = flags(attributes, file.is_directory());
        // That there is an index of names is said in the index only.
        let index = NtfsFileAttributeFlags::IS_DIRECTORY;
        for found in [entry.flags.difference(index), information.file_attributes()] {
            let show = |flags: NtfsFileAttributeFlags| format!("{path} with {:#x}", flags.bits());
            expect(
                Structure::Directory,
                self.start,
                &show(wanted),
                &show(found),
            )?;
        }
        let times = attributes.times;
        let wanted = [times.created, times.written, times.changed, times.accessed];
        let wanted = wanted.map(|time| time.0);
        let found = [
            information.creation_time(),
            information.modification_time(),
            information.mft_record_modification_time(),
            information.access_time(),
        ];
        let found = found.map(|time| time.nt_timestamp());
        for found in [found, entry.times] {
            let show = |times: [u64; 4]| format!("{path} of {times:?}");
            expect(
                Structure::Directory,
                self.start,
                &show(wanted),
                &show(found),
            )?;
        }
        Ok(())
    }

    fn file<T: Read + Seek>(
        &mut self,
        path: &str,
        entry: &Entry,
        file: &NtfsFile,
        reader: &mut T,
        meter: &mut Meter,
    ) -> Result<(), VerifyError> {
        let Some(planned) = self.expected.remove(&path.to_uppercase()) else {
            return Err(mismatch(
                Structure::Directory,
                self.start,
                "nothing of that name",
                path,
            ));
        };
        let asked = planned.path.names().last().map_or("", |name| name.as_str());
        expect(Structure::Directory, self.start, asked, entry.name.as_str())?;
        self.attributes(path, entry, file, planned.attributes)?;
        let bytes = planned.data.bytes();
        let length = |bytes: u64| format!("{path} of {bytes} bytes");
        expect(
            Structure::Directory,
            self.start,
            &length(bytes),
            &length(entry.bytes),
        )?;
        let item = file.data(reader, "").transpose().map_err(unreadable)?;
        let Some(item) = item else {
            return Err(mismatch(Structure::Directory, self.start, "data", path));
        };
        let attribute = item.to_attribute().map_err(unreadable)?;
        let unit = if attribute.is_resident() { 8 } else { 4096 };
        expect(
            Structure::Directory,
            self.start,
            &format!("{path} in {} bytes", bytes.next_multiple_of(unit)),
            &format!("{path} in {} bytes", entry.allocated),
        )?;
        let value = attribute.value(reader).map_err(unreadable)?;
        expect(
            Structure::Directory,
            self.start,
            &length(bytes),
            &length(value.len()),
        )?;
        let resident = attribute.is_resident();
        let mut attached = value.attach(reader);
        if !resident {
            place(planned, &mut attached, self.trace, self.start)?;
            return meter.look();
        }
        let mut found = Vec::new();
        attached
            .read_to_end(&mut found)
            .map_err(|source| VerifyError::Volume {
                structure: Structure::File(path.to_owned()),
                source,
            })?;
        let mut wanted = vec![0; bytes as usize]; // less than a record
        planned.data.read_at(0, &mut wanted)?;
        expect_bytes(
            Structure::File(path.to_owned()),
            self.start,
            &wanted,
            &found,
        )
    }
}

fn entries<T: Read + Seek>(
    index: &NtfsIndex<NtfsFileNameIndex>,
    reader: &mut T,
) -> Result<Vec<Entry>, VerifyError> {
    let mut entries = Vec::new();
    let mut iterator = index.entries();
    while let Some(entry) = iterator.next(reader) {
        let entry = entry.map_err(unreadable)?;
        let Some(key) = entry.key().transpose().map_err(unreadable)? else {
            continue;
        };
        let reference = entry.file_reference();
        entries.push(Entry {
            units: key.name().u16_iter().collect(),
            name: key.name().to_string_lossy(),
            namespace: key.namespace(),
            record: reference.file_record_number(),
            sequence: reference.sequence_number(),
            parent: key.parent_directory_reference().file_record_number(),
            bytes: key.data_size(),
            allocated: key.allocated_size(),
            flags: key.file_attributes(),
            times: [
                key.creation_time(),
                key.modification_time(),
                key.mft_record_modification_time(),
                key.access_time(),
            ]
            .map(|time| time.nt_timestamp()),
        });
    }
    Ok(entries)
}

fn flags(attributes: Attributes, directory: bool) -> NtfsFileAttributeFlags {
    let mut flags = NtfsFileAttributeFlags::empty();
    let archive = !attributes.archived && !directory;
    flags.set(NtfsFileAttributeFlags::ARCHIVE, archive);
    flags.set(NtfsFileAttributeFlags::HIDDEN, attributes.hidden);
    flags.set(NtfsFileAttributeFlags::SYSTEM, attributes.system);
    flags.set(NtfsFileAttributeFlags::READ_ONLY, attributes.read_only);
    flags
}
