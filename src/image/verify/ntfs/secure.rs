// SPDX-License-Identifier: MIT OR Apache-2.0
//! `$Secure`: descriptors, and the two indexes by which drivers find them.
//!
//! Layouts: Linux, `fs/ntfs3/ntfs.h` (`SECURITY_HDR`, `SECURITY_KEY`, `NTFS_DE_SDH`,
//! `NTFS_DE_SII`, `struct INDEX_ROOT`).

use super::mft::Found;
use super::{DATA, Volume, place, stream};
use crate::image::ntfs::decode::uint;
use crate::image::verify::{Structure, VerifyError, expect, expect_bytes, expect_zeros, mismatch};

/// `$Secure`'s record.
const SECURE: u64 = 9;
/// Distance of the two copies in the stream.
const MIRROR: usize = 0x4_0000;
/// Hash, number, offset, size.
const HEADER: usize = 0x14;
const COLLATION_UNSIGNED_LONG: u64 = 0x10;
const COLLATION_SECURITY_HASH: u64 = 0x12;

/// Each descriptor stands where it says, twice, with the hash that belongs to it; both indexes
/// lead to all of them; those that files name are there.
pub(super) fn security(volume: &Volume, found: &Found) -> Result<(), VerifyError> {
    let headers = descriptors(volume, found)?;
    let by_id = headers
        .iter()
        .map(|header| (header[4..8].to_vec(), *header));
    index(volume, found, "$SII", COLLATION_UNSIGNED_LONG, by_id)?;
    let by_hash = headers.iter().map(|header| (header[..8].to_vec(), *header));
    index(volume, found, "$SDH", COLLATION_SECURITY_HASH, by_hash)?;
    for (offset, id) in &found.securities {
        let known = headers
            .iter()
            .any(|header| uint(header, 4, 4) == u64::from(*id));
        if !known {
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

/// The headers of all descriptors in `$SDS`.
fn descriptors(volume: &Volume, found: &Found) -> Result<Vec<[u8; HEADER]>, VerifyError> {
    let value = stream(volume, &found.streams, SECURE, DATA, "$SDS")?;
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
    let mut headers = Vec::new();
    let mut at = 0;
    while at < length {
        let entry = &second[at..];
        let here = offset + at as u64;
        let size = uint(entry, 16, 4) as usize;
        let (Some(descriptor), Some(header)) = (entry.get(HEADER..size), entry.first_chunk())
        else {
            let found = format!("an entry of {size} bytes");
            return Err(mismatch(Structure::Security, here, "a descriptor", found));
        };
        let hash = descriptor.chunks_exact(4).fold(0u32, |hash, part| {
            hash.rotate_left(3).wrapping_add(uint(part, 0, 4) as u32)
        });
        for (at, expected, found) in [
            (0, u64::from(hash), uint(entry, 0, 4)),
            (8, at as u64, uint(entry, 8, 8)),
        ] {
            expect(Structure::Security, here + at, &expected, &found)?;
        }
        headers.push(*header);
        at += size.next_multiple_of(16);
    }
    Ok(headers)
}

/// An index holds these keys with these headers, in the order of the keys' numbers.
fn index(
    volume: &Volume,
    found: &Found,
    name: &str,
    collation: u64,
    entries: impl Iterator<Item = (Vec<u8>, [u8; HEADER])>,
) -> Result<(), VerifyError> {
    let record = volume.record_offset(SECURE);
    let wrong = |expected: String, found: String| {
        let expected = format!("{expected} in {name}");
        mismatch(Structure::Security, record, expected, found)
    };
    let root = found.roots.get(&(SECURE, name.to_owned()));
    let root = root.ok_or_else(|| wrong("an index".into(), "none".into()))?;
    // Of no attribute, so ordered, within the record.
    for (at, bytes, expected) in [(0, 4, 0), (4, 4, collation), (0x1C, 1, 0)] {
        let value = uint(root, at, bytes);
        if value != expected {
            let expected = format!("{expected:#x} at {at:#x}");
            return Err(wrong(expected, format!("{value:#x}")));
        }
    }
    let mut wanted: Vec<_> = entries.collect();
    let number = |key: &[u8], at: usize| uint(key, at, 4);
    wanted.sort_by_key(|(key, _)| (number(key, 0), number(key, 4)));
    let mut at = 0x10 + uint(root, 0x10, 4) as usize;
    for (key, header) in &wanted {
        let entry = root.get(at..).unwrap_or_default();
        let data = uint(entry, 0, 2) as usize;
        let good = uint(entry, 0x0C, 2) == 0
            && uint(entry, 0x0A, 2) == key.len() as u64
            && uint(entry, 2, 2) == HEADER as u64
            && entry.get(0x10..0x10 + key.len()) == Some(key.as_slice())
            && entry.get(data..data + HEADER) == Some(header.as_slice());
        if !good {
            let expected = format!("descriptor {:#x}", uint(header, 4, 4));
            return Err(wrong(expected, format!("another entry at {at:#x}")));
        }
        at += uint(entry, 8, 2) as usize;
    }
    let last = root.get(at..).unwrap_or_default();
    if uint(last, 0x0C, 2) != 2 {
        return Err(wrong("an end".into(), format!("more at {at:#x}")));
    }
    Ok(())
}
