// SPDX-License-Identifier: MIT OR Apache-2.0
//! `$AttrDef`: which attributes there are, and how long each may be (NTFS 3.1).

/// Bytes of the table: fifteen definitions and an empty one.
pub(super) const BYTES: usize = 16 * ENTRY;
const ENTRY: usize = 160;

const INDEXED: u32 = 0x02;
const RESIDENT: u32 = 0x40;
const ANYWHERE: u32 = 0x80;
const NO_LIMIT: u64 = u64::MAX;

/// Name, type, flags, least and greatest length.
const DEFINITIONS: [(&str, u32, u32, u64, u64); 15] = [
    ("$STANDARD_INFORMATION", 0x10, RESIDENT, 0x30, 0x48),
    ("$ATTRIBUTE_LIST", 0x20, ANYWHERE, 0, NO_LIMIT),
    ("$FILE_NAME", 0x30, RESIDENT | INDEXED, 0x44, 0x242),
    ("$OBJECT_ID", 0x40, RESIDENT, 0, 0x100),
    ("$SECURITY_DESCRIPTOR", 0x50, ANYWHERE, 0, NO_LIMIT),
    ("$VOLUME_NAME", 0x60, RESIDENT, 0x02, 0x100),
    ("$VOLUME_INFORMATION", 0x70, RESIDENT, 0x0C, 0x0C),
    ("$DATA", 0x80, 0, 0, NO_LIMIT),
    ("$INDEX_ROOT", 0x90, RESIDENT, 0, NO_LIMIT),
    ("$INDEX_ALLOCATION", 0xA0, ANYWHERE, 0, NO_LIMIT),
    ("$BITMAP", 0xB0, ANYWHERE, 0, NO_LIMIT),
    ("$REPARSE_POINT", 0xC0, ANYWHERE, 0, 0x4000),
    ("$EA_INFORMATION", 0xD0, RESIDENT, 0x08, 0x08),
    ("$EA", 0xE0, 0, 0, 0x1_0000),
    ("$LOGGED_UTILITY_STREAM", 0x100, ANYWHERE, 0, 0x1_0000),
];

/// The table.
pub(super) fn table() -> Vec<u8> {
    let mut table = vec![0; BYTES];
    for ((name, kind, flags, least, greatest), entry) in
        DEFINITIONS.iter().zip(table.chunks_exact_mut(ENTRY))
    {
        for (unit, place) in name.encode_utf16().zip(entry.chunks_exact_mut(2)) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
        entry[0x80..0x84].copy_from_slice(&kind.to_le_bytes());
        entry[0x8C..0x90].copy_from_slice(&flags.to_le_bytes());
        entry[0x90..0x98].copy_from_slice(&least.to_le_bytes());
        entry[0x98..0xA0].copy_from_slice(&greatest.to_le_bytes());
    }
    table
}
