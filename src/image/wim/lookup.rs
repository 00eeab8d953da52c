// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lookup table: where each resource of the file lies.

use std::io::{Read, Seek, SeekFrom};

use super::header::Resource;
use super::{WimError, read_at};

/// A resource header, part number (u16), reference count (u32), SHA-1.
const ENTRY: usize = Resource::BYTES + 2 + 4 + 20;
/// Read at a time: a whole number of entries.
const BUFFER: usize = ENTRY * 1024;

/// What the table tells that matters here.
pub(super) struct Table {
    /// Where each image's metadata is.
    pub metadata: Vec<u64>,
    /// Whether any resource is solid.
    pub solid: bool,
}

/// Reads it whole, and checks that each resource lies within the file.
pub(super) fn read(
    from: &mut (impl Read + Seek),
    place: Resource,
    length: u64,
) -> Result<Table, WimError> {
    let mut table = Table {
        metadata: Vec::new(),
        solid: false,
    };
    if place.is_compressed() || place.is_solid() {
        // Only solid WIMs may have that; bootmgr reads neither.
        table.solid = true;
        return Ok(table);
    }
    let mut buffer = vec![0; BUFFER];
    let entries = place.stored / ENTRY as u64;
    let mut offset = place.offset;
    let end = place.offset + entries * ENTRY as u64;
    from.seek(SeekFrom::Start(offset))
        .map_err(read_at(offset))?;
    while offset < end {
        let part = (end - offset).min(BUFFER as u64) as usize;
        from.read_exact(&mut buffer[..part])
            .map_err(read_at(offset))?;
        for entry in buffer[..part].chunks_exact(ENTRY) {
            let resource = Resource::decode(entry);
            table.solid |= resource.is_solid();
            // What lies in a solid resource counts from that one's start.
            if !resource.is_solid() && !table.solid {
                resource.must_lie_within("content", length)?;
            }
            if resource.is_metadata() {
                table.metadata.push(resource.offset);
            }
        }
        offset += part as u64;
    }
    Ok(table)
}
