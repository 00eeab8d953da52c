// SPDX-License-Identifier: MIT OR Apache-2.0
//! NTFS, through the crate `ntfs`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Seek as _, SeekFrom};

use ntfs::attribute_value::NtfsAttributeValue;
use ntfs::structured_values::{NtfsFileAttributeFlags, NtfsFileNamespace};
use ntfs::{KnownNtfsFileRecordNumber, Ntfs, NtfsAttributeFlags, NtfsError, NtfsFile};

use super::{
    Bytes, Content, Kind, MAX_DEPTH, MAX_NODES, Node, Piece, Place, Volume, VolumeError, append,
};
use crate::image::spec::Attributes;
use crate::image::verify::disk::VolumeReader;

/// File records below this are the file system's own.
const FIRST_USER_RECORD: u64 = 16;

fn error(what: &str) -> impl Fn(NtfsError) -> VolumeError {
    let what = what.to_owned();
    move |error| VolumeError::Ntfs {
        what: what.clone(),
        why: error.to_string(),
    }
}

pub(super) fn read(file: &File, start: u64, length: u64) -> Result<Volume, VolumeError> {
    let mut disk = VolumeReader::new(file, start, length);
    let mut ntfs = Ntfs::new(&mut disk).map_err(error("NTFS boot sector"))?;
    ntfs.read_upcase_table(&mut disk)
        .map_err(error("$UpCase"))?;
    let label = match ntfs.volume_name(&mut disk) {
        Some(label) => label.map_err(error("$Volume"))?.name().to_string_lossy(),
        None => String::new(),
    };
    let mut volume = Volume {
        kind: Kind::Ntfs,
        label,
        serial: ntfs.serial_number(),
        cluster_bytes: ntfs.cluster_size().into(),
        nodes: Vec::new(),
    };
    let mut walk = Walk {
        ntfs: &ntfs,
        disk,
        start,
        seen: HashSet::new(),
        volume: &mut volume,
    };
    walk.directory("", KnownNtfsFileRecordNumber::RootDirectory as u64, 0)?;
    Ok(volume)
}

struct Walk<'a, 'v> {
    ntfs: &'a Ntfs,
    disk: VolumeReader<'a>,
    start: u64,
    /// Directories that were read.
    seen: HashSet<u64>,
    volume: &'v mut Volume,
}

impl Walk<'_, '_> {
    fn directory(&mut self, path: &str, record: u64, depth: usize) -> Result<(), VolumeError> {
        let shown = if path.is_empty() { "\\" } else { path };
        let wrong = error(shown);
        let odd = |why: &str| VolumeError::Ntfs {
            what: shown.to_owned(),
            why: why.to_owned(),
        };
        if !self.seen.insert(record) || depth > MAX_DEPTH {
            return Err(odd("it is in the tree twice, or too deep in it"));
        }
        let file = self.ntfs.file(&mut self.disk, record).map_err(&wrong)?;
        let index = file.directory_index(&mut self.disk).map_err(&wrong)?;
        let mut entries = index.entries();
        let mut children = Vec::new();
        while let Some(entry) = entries.next(&mut self.disk) {
            let entry = entry.map_err(&wrong)?;
            let Some(key) = entry.key() else { continue };
            let key = key.map_err(&wrong)?;
            let record = entry.file_reference().file_record_number();
            // The 8.3 alias of a name; the root's entry for itself; $MFT and its kind.
            let system = path.is_empty() && record < FIRST_USER_RECORD;
            if key.namespace() == NtfsFileNamespace::Dos || system {
                continue;
            }
            children.push((key.name().to_string_lossy(), record));
            if children.len() + self.volume.nodes.len() > MAX_NODES {
                return Err(odd("it has too many files"));
            }
        }
        for (name, record) in children {
            let path = format!("{path}\\{name}");
            let wrong = error(&path);
            let file = self.ntfs.file(&mut self.disk, record).map_err(&wrong)?;
            let flags = file.info().map_err(&wrong)?.file_attributes();
            let attributes = Attributes {
                hidden: flags.contains(NtfsFileAttributeFlags::HIDDEN),
                system: flags.contains(NtfsFileAttributeFlags::SYSTEM),
                read_only: flags.contains(NtfsFileAttributeFlags::READ_ONLY),
            };
            let content = if file.is_directory() {
                Content::Directory
            } else {
                self.content(&file, &path)?
            };
            let directory = content == Content::Directory;
            self.volume.nodes.push(Node {
                path: path.clone(),
                content,
                attributes,
            });
            // A reparse point has what is elsewhere.
            if directory && !flags.contains(NtfsFileAttributeFlags::REPARSE_POINT) {
                self.directory(&path, record, depth + 1)?;
            }
        }
        Ok(())
    }

    fn content(&mut self, file: &NtfsFile, path: &str) -> Result<Content, VolumeError> {
        let wrong = error(path);
        let Some(item) = file.data(&mut self.disk, "") else {
            return Ok(Content::Unreadable("it has no data"));
        };
        let item = item.map_err(&wrong)?;
        let attribute = item.to_attribute().map_err(&wrong)?;
        if attribute.flags().contains(NtfsAttributeFlags::ENCRYPTED) {
            return Ok(Content::Unreadable("it is encrypted by NTFS"));
        }
        if attribute.flags().contains(NtfsAttributeFlags::COMPRESSED) {
            return Ok(Content::Unreadable("it is compressed by NTFS"));
        }
        let value = attribute.value(&mut self.disk).map_err(&wrong)?;
        let length = value.len();
        let place = match value {
            NtfsAttributeValue::Resident(value) => Place::Here(value.data().to_vec()),
            NtfsAttributeValue::NonResident(value) => {
                let mut pieces = Vec::new();
                for run in value.data_runs() {
                    let run = run.map_err(&wrong)?;
                    let at = run.data_position().value().map(|at| at.get() + self.start);
                    append(
                        &mut pieces,
                        Piece {
                            offset: at,
                            length: run.allocated_size(),
                        },
                    );
                }
                Place::Pieces(pieces)
            }
            // In many pieces, described in several records: where each cluster is, one by one.
            value @ NtfsAttributeValue::AttributeListNonResident(_) => {
                let cluster = u64::from(self.ntfs.cluster_size());
                let mut pieces = Vec::new();
                let mut value = value.attach(&mut self.disk);
                let mut offset = 0;
                while offset < length {
                    let failed = |source| VolumeError::Read { offset, source };
                    value.seek(SeekFrom::Start(offset)).map_err(failed)?;
                    let at = value.data_position().value();
                    append(
                        &mut pieces,
                        Piece {
                            offset: at.map(|at| at.get() + self.start),
                            length: cluster,
                        },
                    );
                    offset += cluster;
                }
                Place::Pieces(pieces)
            }
        };
        Ok(Content::File(Bytes { length, place }))
    }
}
