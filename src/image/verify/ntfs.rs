// SPDX-License-Identifier: MIT OR Apache-2.0
//! An NTFS volume: its records, bitmaps and descriptors by hand, its tree and files through the
//! crate `ntfs`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::rc::Rc;

use ntfs::indexes::NtfsFileNameIndex;
use ntfs::structured_values::{NtfsFileAttributeFlags, NtfsFileNamespace};
use ntfs::{Ntfs, NtfsError, NtfsFile, NtfsIndex, NtfsReadSeek};

use super::disk::{Trace, VolumeReader};
use super::volume::{Expected, expected_files, place as file_place};
use super::{
    Meter, Structure, VerifyError, expect, expect_bytes, expect_zeros, long, mismatch, read,
    read_sector, word,
};
use crate::image::ntfs::NtfsVolume;
use crate::image::ntfs::decode::{RecordFault, RecordView, Run, ValueView, file_name, uint};
use crate::image::plan::DiskPlan;
use crate::image::spec::Attributes;
use crate::image::unit::SECTOR;
use crate::image::vbr;

const RECORD: u64 = 1024;
const STANDARD_INFORMATION: u32 = 0x10;
const FILE_NAME: u32 = 0x30;
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

/// What one pass over the MFT has found.
#[derive(Default)]
struct Found {
    /// Of every record: its sequence, where it is in use.
    sequences: Vec<Option<u16>>,
    /// Who refers to which directory.
    parents: Vec<(u64, u64)>,
    /// Clusters of all attributes, and whose they are.
    taken: Vec<(u64, u64, u64)>,
    /// Security descriptors in use.
    securities: Vec<(u64, u32)>,
    /// `$DATA` and other streams of the system's files, by record and name.
    streams: BTreeMap<(u64, u32, String), (u64, Vec<Run>)>,
}

/// Everything but the files' bytes.
pub fn structures(plan: &DiskPlan, ntfs: &NtfsVolume, file: &File) -> Result<(), VerifyError> {
    let volume = boot_sectors(plan, ntfs, file)?;
    let found = records(&volume)?;
    mirror(&volume)?;
    references(&volume, &found)?;
    record_bitmap(&volume, &found)?;
    cluster_bitmap(
        &volume,
        found.taken,
        stream(&volume, &found.streams, 6, DATA, "")?,
    )?;
    log(&volume, stream(&volume, &found.streams, 2, DATA, "")?)?;
    security(
        &volume,
        stream(&volume, &found.streams, 9, DATA, "$SDS")?,
        &found.securities,
    )
}

fn boot_sectors<'a>(
    plan: &DiskPlan,
    ntfs: &NtfsVolume,
    file: &'a File,
) -> Result<Volume<'a>, VerifyError> {
    let start = plan.facts.partition.start.byte_offset();
    let sector = read_sector(file, start)?;
    let field = |at: u64, expected: u64, found: u64| {
        expect(Structure::BootSector, start + at, &expected, &found)
    };
    let bytes = |at: usize, expected: &[u8]| {
        let found = &sector[at..at + expected.len()];
        expect_bytes(Structure::BootSector, start + at as u64, expected, found)
    };
    bytes(0, &[0xEB, 0x58, 0x90])?;
    bytes(3, b"NTFS    ")?;
    field(11, 512, word(&sector, 11))?;
    field(13, 8, sector[13].into())?;
    bytes(14, &[0, 0, 0, 0, 0, 0, 0, 0xF8, 0, 0])?;
    field(24, 63, word(&sector, 24))?;
    field(26, 255, word(&sector, 26))?;
    field(28, plan.facts.partition.start.0.into(), long(&sector, 28))?;
    bytes(32, &[0, 0, 0, 0, 0x80, 0, 0x80, 0])?;
    let sectors = uint(&sector, 40, 8);
    let outside = 1 + u64::from(plan.balanced);
    field(
        40,
        u64::from(plan.facts.partition.sectors.0) - outside,
        sectors,
    )?;
    let volume = Volume {
        file,
        start,
        cluster: 8 * SECTOR,
        clusters: sectors / 8,
        mft: uint(&sector, 48, 8),
        mirror: uint(&sector, 56, 8),
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
    bytes(64, &[0xF6, 0, 0, 0, 1, 0, 0, 0])?;
    field(
        72,
        plan.facts.identity.volume_serial(),
        uint(&sector, 72, 8),
    )?;
    bytes(80, &[0; 10])?;
    bytes(vbr::CODE_OFFSET, vbr::CODE)?;
    let end = vbr::CODE_OFFSET + vbr::CODE.len();
    bytes(end, &vec![0; vbr::TABLE_OFFSET - end])?;
    bytes(510, &[0x55, 0xAA])?;
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

/// Every record of the MFT, one after the other.
fn records(volume: &Volume) -> Result<Found, VerifyError> {
    let mut found = Found::default();
    let first = volume.offset(volume.mft);
    let mut bytes = vec![0; RECORD as usize];
    read(volume.file, first, &mut bytes)?;
    let head = volume.record(first, bytes)?;
    let attributes = head
        .attributes()
        .map_err(|fault| volume.fault(first, &fault))?;
    let data = attributes
        .iter()
        .find(|attribute| attribute.kind == DATA && attribute.name.is_empty());
    let Some(ValueView::Runs { bytes, runs, .. }) = data.map(|data| &data.value) else {
        return Err(mismatch(
            Structure::Mft,
            first,
            "where the MFT lies",
            "nothing",
        ));
    };
    let [
        Run {
            first: Some(cluster),
            count,
        },
    ] = runs[..]
    else {
        let pieces = format!("{} pieces", runs.len());
        return Err(mismatch(
            Structure::Mft,
            first,
            "an MFT in one piece",
            pieces,
        ));
    };
    if cluster != volume.mft
        || cluster + count > volume.clusters
        || count * volume.cluster != *bytes
    {
        return Err(mismatch(
            Structure::Mft,
            first,
            format!("whole clusters from {} on", volume.mft),
            format!("{bytes} bytes in {count} clusters from {cluster} on"),
        ));
    }
    for number in 0..bytes / RECORD {
        let offset = first + number * RECORD;
        let mut record = vec![0; RECORD as usize];
        read(volume.file, offset, &mut record)?;
        let record = volume.record(offset, record)?;
        let mft = |what: &str, expected: u64, found: u64| {
            let show = |value| format!("{what} {value} in record {number}");
            expect(Structure::Mft, offset, &show(expected), &show(found))
        };
        mft("number", number, record.number().into())?;
        let sequence = if (1..24).contains(&number) { number } else { 1 };
        mft("sequence", sequence, record.sequence().into())?;
        mft("base", 0, record.base().unwrap_or(0))?;
        found
            .sequences
            .push(record.in_use().then(|| record.sequence()));
        one_record(volume, offset, number, &record, &mut found)?;
    }
    Ok(found)
}

fn one_record(
    volume: &Volume,
    offset: u64,
    number: u64,
    record: &RecordView,
    found: &mut Found,
) -> Result<(), VerifyError> {
    let attributes = record
        .attributes()
        .map_err(|fault| volume.fault(offset, &fault))?;
    let mut names = 0;
    let mut before = (0, String::new());
    for attribute in attributes {
        let bad = |expected: &str, saw: String| {
            let expected = format!("{expected} in record {number}");
            Err(mismatch(Structure::Mft, offset, expected, saw))
        };
        let order = (attribute.kind, attribute.name.clone());
        if order < before {
            return bad(
                "attributes in order",
                format!("{:#x} after {:#x}", order.0, before.0),
            );
        }
        before = order;
        match attribute.value {
            ValueView::Resident(value) => match attribute.kind {
                STANDARD_INFORMATION if value.len() == 0x48 => {
                    found.securities.push((offset, uint(value, 0x34, 4) as u32));
                }
                FILE_NAME => match file_name(value) {
                    Some(name) => {
                        names += 1;
                        found.parents.push((offset, name.parent));
                    }
                    None => return bad("a name", "one cut off".into()),
                },
                _ => {}
            },
            ValueView::Runs {
                lowest,
                allocated,
                bytes,
                initialized,
                runs,
            } => {
                let clusters: u64 = runs.iter().map(|run| run.count).sum();
                let hole = runs.iter().all(|run| run.first.is_none());
                let initial = if hole { 0 } else { bytes };
                if (lowest, allocated, initialized) != (0, clusters * volume.cluster, initial)
                    || bytes > allocated
                    || allocated - bytes >= volume.cluster
                {
                    let saw =
                        format!("{bytes} of {allocated}, {initialized} written, in {clusters}");
                    return bad("lengths that agree with the runs", saw);
                }
                for run in &runs {
                    let Some(first) = run.first else { continue };
                    if first + run.count > volume.clusters {
                        let saw = format!("{} from {first} on", run.count);
                        return bad("clusters of the volume", saw);
                    }
                    found.taken.push((first, run.count, offset));
                }
                if number < 24 {
                    let key = (number, attribute.kind, attribute.name);
                    found.streams.insert(key, (bytes, runs));
                }
            }
        }
    }
    let links = format!("{names} names in record {number}");
    let said = format!("{} names in record {number}", record.links());
    expect(Structure::Mft, offset, &links, &said)
}

fn mirror(volume: &Volume) -> Result<(), VerifyError> {
    let mut records = vec![0; 4 * RECORD as usize];
    let mut copy = records.clone();
    let offset = volume.offset(volume.mirror);
    read(volume.file, volume.offset(volume.mft), &mut records)?;
    read(volume.file, offset, &mut copy)?;
    expect_bytes(Structure::MftMirror, offset, &records, &copy)
}

/// Names lead to directories that are there, of the sequence that they say.
fn references(volume: &Volume, found: &Found) -> Result<(), VerifyError> {
    for (offset, parent) in &found.parents {
        let number = parent & 0xFFFF_FFFF_FFFF;
        let sequence = found.sequences.get(number as usize).copied().flatten();
        let reference = |sequence: Option<u16>| match sequence {
            Some(sequence) => format!("record {number}, sequence {sequence}, as parent"),
            None => format!("record {number}, which is free"),
        };
        expect(
            Structure::Mft,
            *offset,
            &reference(sequence),
            &reference(Some((parent >> 48) as u16)),
        )?;
    }
    let root = found.sequences.get(5).copied().flatten();
    expect(
        Structure::Mft,
        volume.offset(volume.mft),
        &true,
        &root.is_some(),
    )
}

fn record_bitmap(volume: &Volume, found: &Found) -> Result<(), VerifyError> {
    let (bytes, runs) = stream(volume, &found.streams, 0, BITMAP, "")?;
    let bits = volume.bytes(&(*bytes, runs.clone()))?;
    let mut expected = vec![0u8; found.sequences.len().div_ceil(8).next_multiple_of(8)];
    for (number, sequence) in found.sequences.iter().enumerate() {
        expected[number / 8] |= u8::from(sequence.is_some()) << (number % 8);
    }
    expect_bytes(Structure::MftBitmap, place(volume, runs), &expected, &bits)
}

/// Every cluster has at most one owner, and those that have one are marked.
fn cluster_bitmap(
    volume: &Volume,
    mut taken: Vec<(u64, u64, u64)>,
    (bytes, runs): &(u64, Vec<Run>),
) -> Result<(), VerifyError> {
    taken.sort_unstable();
    for pair in taken.windows(2) {
        if pair[0].0 + pair[0].1 > pair[1].0 {
            let found = format!("cluster {} has two owners", pair[1].0);
            return Err(mismatch(
                Structure::Mft,
                pair[1].2,
                "clusters of its own",
                found,
            ));
        }
    }
    let length = volume.clusters.div_ceil(8).next_multiple_of(8);
    let at = place(volume, runs);
    expect(Structure::ClusterBitmap, at, &length, bytes)?;
    // The last word's bits past the volume are set.
    taken.push((volume.clusters, length * 8 - volume.clusters, 0));
    let mut owner = taken.iter().peekable();
    let mut part = vec![0; 1 << 16];
    let mut expected = part.clone();
    for from in (0..length).step_by(1 << 16) {
        let size = (length - from).min(1 << 16) as usize;
        expected[..size].fill(0);
        let end = (from + size as u64) * 8;
        while let Some((first, count, _)) = owner.peek() {
            for cluster in (*first).max(from * 8)..(first + count).min(end) {
                expected[(cluster / 8 - from) as usize] |= 1 << (cluster % 8);
            }
            if first + count > end {
                break;
            }
            owner.next();
        }
        read(volume.file, at + from, &mut part[..size])?;
        expect_bytes(
            Structure::ClusterBitmap,
            at + from,
            &expected[..size],
            &part[..size],
        )?;
    }
    Ok(())
}

/// A log with nothing in it.
fn log(volume: &Volume, value: &(u64, Vec<Run>)) -> Result<(), VerifyError> {
    let bytes = volume.bytes(value)?;
    let offset = place(volume, &value.1);
    expect_bytes(Structure::LogFile, offset, &vec![0xFF; bytes.len()], &bytes)
}

/// Each descriptor stands where it says, twice, with the hash that belongs to it; those that
/// files name are there. (The indexes are checked by whoever mounts the volume.)
fn security(
    volume: &Volume,
    value: &(u64, Vec<Run>),
    used: &[(u64, u32)],
) -> Result<(), VerifyError> {
    const MIRROR: usize = 0x4_0000;
    let bytes = volume.bytes(value)?;
    let offset = place(volume, &value.1);
    let length = bytes.len().saturating_sub(MIRROR);
    let (first, second) = bytes.split_at(bytes.len().min(MIRROR));
    expect_bytes(
        Structure::Security,
        offset + MIRROR as u64,
        first.get(..length).unwrap_or_default(),
        second,
    )?;
    expect_zeros(
        Structure::Security,
        offset + length as u64,
        &first[length.min(first.len())..],
    )?;
    let mut ids = Vec::new();
    let mut at = 0;
    while at < length {
        let entry = &second[at..];
        let size = uint(entry, 16, 4) as usize;
        let Some(descriptor) = entry.get(20..size) else {
            let found = format!("an entry of {size} bytes");
            return Err(mismatch(
                Structure::Security,
                offset + at as u64,
                "a descriptor",
                found,
            ));
        };
        let hash = descriptor.chunks_exact(4).fold(0u32, |hash, part| {
            hash.rotate_left(3).wrapping_add(uint(part, 0, 4) as u32)
        });
        let here = offset + at as u64;
        expect(
            Structure::Security,
            here,
            &u64::from(hash),
            &uint(entry, 0, 4),
        )?;
        expect(
            Structure::Security,
            here + 8,
            &(at as u64),
            &uint(entry, 8, 8),
        )?;
        ids.push(uint(entry, 4, 4) as u32);
        at += size.next_multiple_of(16);
    }
    for (offset, id) in used {
        if !ids.contains(id) {
            let found = format!("{id:#x}, which $Secure has not");
            return Err(mismatch(
                Structure::Mft,
                *offset,
                "a security descriptor",
                found,
            ));
        }
    }
    Ok(())
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
            let offset = volume.offset(volume.mft) + record * RECORD;
            let expected = format!("attribute {kind:#x} {name:?} in record {record}");
            mismatch(Structure::Mft, offset, expected, "no such attribute")
        })
}

/// Where a value begins in the image, to point at.
fn place(volume: &Volume, runs: &[Run]) -> u64 {
    volume.offset(runs.first().and_then(|run| run.first).unwrap_or(0))
}

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
        pending: vec![(String::new(), 5)],
    };
    while let Some((path, record)) = check.pending.pop() {
        check.directory(&path, record, &mut reader, meter)?;
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
                self.pending.push((path, entry.record));
                continue;
            }
            self.file(&path, &entry, &file, reader, meter)?;
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
        let information = file.info().map_err(unreadable)?;
        let wanted = flags(planned.attributes);
        for found in [entry.flags, information.file_attributes()] {
            let show = |flags: NtfsFileAttributeFlags| format!("{path} with {:#x}", flags.bits());
            expect(
                Structure::Directory,
                self.start,
                &show(wanted),
                &show(found),
            )?;
        }
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
            file_place(planned, &mut attached, self.trace, self.start)?;
            return meter.look();
        }
        let mut found = Vec::new();
        attached.read_to_end(&mut found).map_err(|source| VerifyError::Volume {
            structure: Structure::File(path.to_owned()),
            source,
        })?;
        let mut wanted = vec![0; bytes as usize]; // less than a record
        planned.data.read_at(0, &mut wanted)?;
        expect_bytes(Structure::File(path.to_owned()), self.start, &wanted, &found)
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
        });
    }
    Ok(entries)
}

fn flags(attributes: Attributes) -> NtfsFileAttributeFlags {
    let mut flags = NtfsFileAttributeFlags::ARCHIVE;
    flags.set(NtfsFileAttributeFlags::HIDDEN, attributes.hidden);
    flags.set(NtfsFileAttributeFlags::SYSTEM, attributes.system);
    flags.set(NtfsFileAttributeFlags::READ_ONLY, attributes.read_only);
    flags
}
