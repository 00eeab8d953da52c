// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes as they stand in a record of the MFT.
//!
//! Layouts: Linux, `fs/ntfs3/ntfs.h` (`struct ATTRIB`, `ATTR_STD_INFO5`, `ATTR_FILE_NAME`).

use super::geometry::{CLUSTER, ClusterRun};
use super::name::{LinkName, Namespace};
use crate::image::times::{FileTime, Times};

/// Types, which is also their order in a record.
pub(super) mod kind {
    pub const STANDARD_INFORMATION: u32 = 0x10;
    pub const FILE_NAME: u32 = 0x30;
    pub const VOLUME_NAME: u32 = 0x60;
    pub const VOLUME_INFORMATION: u32 = 0x70;
    pub const DATA: u32 = 0x80;
    pub const INDEX_ROOT: u32 = 0x90;
    pub const INDEX_ALLOCATION: u32 = 0xA0;
    pub const BITMAP: u32 = 0xB0;
}

/// Bits of a file's attributes.
pub(super) mod flag {
    pub const READ_ONLY: u32 = 0x01;
    pub const HIDDEN: u32 = 0x02;
    pub const SYSTEM: u32 = 0x04;
    pub const ARCHIVE: u32 = 0x20;
    /// In names only: it has an index of names, so it is a directory.
    pub const NAME_INDEX: u32 = 0x1000_0000;
    /// It has an index of something else.
    pub const VIEW_INDEX: u32 = 0x2000_0000;
}

/// Bytes of the header of a resident attribute.
pub(super) const RESIDENT_HEADER: usize = 0x18;
/// Bytes of the header of another.
const HEADER: usize = 0x40;

/// What a name repeats of its file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    pub allocated: u64,
    pub bytes: u64,
}

/// Where the value lies that is not in the record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In these clusters.
    Run(ClusterRun),
    /// Nowhere: so many clusters of hole.
    Hole(u64),
}

/// An attribute with its value in the record. The instance is filled in by the record.
pub(super) fn resident(kind: u32, name: &str, value: &[u8]) -> Vec<u8> {
    let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let offset = (RESIDENT_HEADER + units.len()).next_multiple_of(8);
    let length = (offset + value.len()).next_multiple_of(8);
    let mut attribute = header(kind, length, false, units.len() / 2, RESIDENT_HEADER);
    attribute[0x10..0x14].copy_from_slice(&(value.len() as u32).to_le_bytes());
    attribute[0x14..0x16].copy_from_slice(&(offset as u16).to_le_bytes());
    attribute[0x16] = u8::from(kind == self::kind::FILE_NAME); // it is in an index
    attribute[RESIDENT_HEADER..RESIDENT_HEADER + units.len()].copy_from_slice(&units);
    attribute[offset..offset + value.len()].copy_from_slice(value);
    attribute
}

/// An attribute with its value elsewhere.
pub(super) fn non_resident(kind: u32, name: &str, place: Place, bytes: u64) -> Vec<u8> {
    let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let offset = (HEADER + units.len()).next_multiple_of(8);
    let pairs = mapping_pairs(place);
    let length = (offset + pairs.len()).next_multiple_of(8);
    let (clusters, initialized) = match place {
        Place::Run(run) => (run.count, bytes),
        Place::Hole(count) => (count, 0),
    };
    let mut attribute = header(kind, length, true, units.len() / 2, HEADER);
    let mut put = |at: usize, value: u64| {
        attribute[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    put(0x18, clusters - 1); // the last cluster's number within it
    put(0x20, offset as u64);
    put(0x28, clusters * CLUSTER);
    put(0x30, bytes);
    put(0x38, initialized);
    attribute[HEADER..HEADER + units.len()].copy_from_slice(&units);
    attribute[offset..offset + pairs.len()].copy_from_slice(&pairs);
    attribute
}

fn header(kind: u32, length: usize, elsewhere: bool, name: usize, name_offset: usize) -> Vec<u8> {
    let mut attribute = vec![0; length];
    attribute[0x00..0x04].copy_from_slice(&kind.to_le_bytes());
    attribute[0x04..0x08].copy_from_slice(&(length as u32).to_le_bytes());
    attribute[0x08] = u8::from(elsewhere);
    attribute[0x09] = name as u8; // "$Info" is the longest
    attribute[0x0A..0x0C].copy_from_slice(&(name_offset as u16).to_le_bytes());
    attribute
}

/// A length and a place, each in as few bytes as a signed number needs; then a zero.
fn mapping_pairs(place: Place) -> Vec<u8> {
    let few = |value: u64| {
        let mut bytes = value.to_le_bytes().to_vec();
        while let [.., below, 0] = bytes[..] {
            if below >= 0x80 {
                break;
            }
            bytes.pop();
        }
        bytes
    };
    let (length, start) = match place {
        Place::Run(run) => (few(run.count), few(run.first)),
        Place::Hole(count) => (few(count), Vec::new()),
    };
    let mut pairs = vec![(start.len() << 4 | length.len()) as u8];
    pairs.extend(length);
    pairs.extend(start);
    pairs.push(0);
    pairs
}

/// `$STANDARD_INFORMATION` of NTFS 3: times, attributes, security.
pub(super) fn standard_information(flags: u32, times: Times, security: u32) -> Vec<u8> {
    let mut value = [0; 0x48];
    put_times(&mut value, times);
    value[0x20..0x24].copy_from_slice(&flags.to_le_bytes());
    value[0x34..0x38].copy_from_slice(&security.to_le_bytes());
    resident(kind::STANDARD_INFORMATION, "", &value)
}

/// The value of `$FILE_NAME`, which is also the key in the directory's index.
pub(super) fn file_name(
    parent: u64,
    name: &LinkName,
    flags: u32,
    times: Times,
    sizes: Sizes,
) -> Vec<u8> {
    let mut value = vec![0; file_name_length(name)];
    value[0x00..0x08].copy_from_slice(&parent.to_le_bytes());
    put_times(&mut value[0x08..], times);
    value[0x28..0x30].copy_from_slice(&sizes.allocated.to_le_bytes());
    value[0x30..0x38].copy_from_slice(&sizes.bytes.to_le_bytes());
    value[0x38..0x3C].copy_from_slice(&flags.to_le_bytes());
    value[0x40] = name.units.len() as u8; // at most 255
    value[0x41] = match name.namespace {
        Namespace::Win32 => 1,
        Namespace::Dos => 2,
        Namespace::Both => 3,
    };
    for (unit, place) in name.units.iter().zip(value[0x42..].chunks_exact_mut(2)) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
    value
}

/// Bytes of such a value.
pub(super) fn file_name_length(name: &LinkName) -> usize {
    0x42 + name.units.len() * 2
}

fn put_times(value: &mut [u8], times: Times) {
    let Times {
        created,
        written,
        changed,
        accessed,
    } = times;
    let times = [created, written, changed, accessed];
    for (FileTime(time), slot) in times.iter().zip(value.chunks_exact_mut(8)) {
        slot.copy_from_slice(&time.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_written_in_as_few_bytes_as_a_sign_allows() {
        let run = |first, count| mapping_pairs(Place::Run(ClusterRun { first, count }));
        assert_eq!(run(0, 2), [0x11, 2, 0, 0]);
        assert_eq!(run(0x806, 1), [0x21, 1, 6, 8, 0]);
        assert_eq!(run(0x7F, 0x7F), [0x11, 0x7F, 0x7F, 0]);
        // 0x80 would be negative in one byte.
        assert_eq!(run(0x80, 0x80), [0x22, 0x80, 0, 0x80, 0, 0]);
        assert_eq!(mapping_pairs(Place::Hole(0x3FFF)), [0x02, 0xFF, 0x3F, 0]);
    }
}
