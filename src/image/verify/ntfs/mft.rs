// SPDX-License-Identifier: MIT OR Apache-2.0
//! The MFT: every record by itself, their mirror, and what they say of each other.

use std::collections::BTreeMap;

use super::{BITMAP, DATA, RECORD, Volume, place, stream};
use crate::image::ntfs::decode::{RecordView, Run, ValueView, file_name, uint};
use crate::image::verify::{Structure, VerifyError, expect, expect_bytes, mismatch, read};

const STANDARD_INFORMATION: u32 = 0x10;
const FILE_NAME: u32 = 0x30;
const INDEX_ROOT: u32 = 0x90;

/// What one pass over the MFT has found.
#[derive(Default)]
pub(super) struct Found {
    /// Of every record: its sequence, where it is in use.
    pub sequences: Vec<Option<u16>>,
    /// Who refers to which directory.
    pub parents: Vec<(u64, u64)>,
    /// Clusters of all attributes, and whose they are.
    pub taken: Vec<(u64, u64, u64)>,
    /// Security descriptors in use.
    pub securities: Vec<(u64, u32)>,
    /// Indexes of the system's files that are in their records, by record and name.
    pub roots: BTreeMap<(u64, String), Vec<u8>>,
    /// `$DATA` and other streams of the system's files, by record and name.
    pub streams: BTreeMap<(u64, u32, String), (u64, Vec<Run>)>,
}

/// Every record of the MFT, one after the other.
pub(super) fn records(volume: &Volume) -> Result<Found, VerifyError> {
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
                INDEX_ROOT if number < 24 => {
                    let key = (number, attribute.name);
                    found.roots.insert(key, value.to_vec());
                }
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

pub(super) fn mirror(volume: &Volume) -> Result<(), VerifyError> {
    let mut records = vec![0; 4 * RECORD as usize];
    let mut copy = records.clone();
    let offset = volume.offset(volume.mirror);
    read(volume.file, volume.offset(volume.mft), &mut records)?;
    read(volume.file, offset, &mut copy)?;
    expect_bytes(Structure::MftMirror, offset, &records, &copy)
}

/// Names lead to directories that are there, of the sequence that they say.
pub(super) fn references(volume: &Volume, found: &Found) -> Result<(), VerifyError> {
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

pub(super) fn record_bitmap(volume: &Volume, found: &Found) -> Result<(), VerifyError> {
    let (bytes, runs) = stream(volume, &found.streams, 0, BITMAP, "")?;
    let bits = volume.bytes(&(*bytes, runs.clone()))?;
    let mut expected = vec![0u8; found.sequences.len().div_ceil(8).next_multiple_of(8)];
    for (number, sequence) in found.sequences.iter().enumerate() {
        expected[number / 8] |= u8::from(sequence.is_some()) << (number % 8);
    }
    expect_bytes(Structure::MftBitmap, place(volume, runs), &expected, &bits)
}
