// SPDX-License-Identifier: MIT OR Apache-2.0
//! ISO 9660 (ECMA-119), its root directory, and which firmware boots it (El Torito 1.0).

const SECTOR: usize = 2048;
/// Primary volume descriptor, and the one behind it, El Torito's.
const PRIMARY: usize = 16 * SECTOR;
const BOOT_RECORD: usize = 17 * SECTOR;
/// Entries of the root directory that are looked at.
const MOST_FILES: usize = 256;

/// Whether an ISO file system stands in `bytes`.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.get(PRIMARY..PRIMARY + 6) == Some(b"\x01CD001")
}

/// How many bytes the volume has by its own descriptor (ECMA-119, section 8.4.8); what is behind them is padding.
pub(super) fn size(bytes: &[u8]) -> usize {
    let sectors = bytes.get(PRIMARY + 80..).and_then(<[u8]>::first_chunk);
    let sectors = sectors.map_or(0, |field| u32::from_le_bytes(*field) as usize);
    sectors.saturating_mul(SECTOR)
}

/// Files of the root directory: name without version, and content. Files that are not whole in
/// `bytes` are left out.
pub(super) fn files(bytes: &[u8]) -> Vec<(String, &[u8])> {
    let Some(root) = extent(bytes, PRIMARY + 156) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    let mut at = 0;
    while at < root.len() && files.len() < MOST_FILES {
        let length = usize::from(root[at]);
        let record = root
            .get(at..at + length)
            .filter(|record| record.len() >= 34);
        let Some(record) = record else {
            // Records do not cross sectors: what is left of one is zero.
            at = (at + 1).next_multiple_of(SECTOR);
            continue;
        };
        at += length;
        let directory = record[25] & 2 != 0;
        let name = record.get(33..33 + usize::from(record[32]));
        let Some(name) = name.filter(|_| !directory) else {
            continue;
        };
        let name = String::from_utf8_lossy(name);
        let name = name.split(';').next().unwrap_or_default();
        let start = record.as_ptr().addr() - bytes.as_ptr().addr();
        if let Some(content) = extent(bytes, start) {
            files.push((name.replace(|c: char| c.is_control(), "?"), content));
        }
    }
    files
}

/// The bytes that the directory record at `at` is about.
fn extent(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let field = |offset: usize| {
        let field = bytes.get(at + offset..)?.first_chunk()?;
        Some(u32::from_le_bytes(*field) as usize)
    };
    let start = field(2)?.checked_mul(SECTOR)?;
    bytes.get(start..start.checked_add(field(10)?)?)
}

/// Who boots it, as its boot catalogue says: `BIOS`, `UEFI`.
pub(super) fn boots(bytes: &[u8]) -> Vec<&'static str> {
    let mut found = Vec::new();
    if bytes.get(BOOT_RECORD..BOOT_RECORD + 6) != Some(b"\0CD001") {
        return found;
    }
    let catalogue = bytes
        .get(BOOT_RECORD + 0x47..)
        .and_then(<[u8]>::first_chunk);
    let start = catalogue.map_or(0, |field| u32::from_le_bytes(*field) as usize);
    let Some(catalogue) = start.checked_mul(SECTOR).and_then(|at| bytes.get(at..)) else {
        return found;
    };
    // Validation entry, default entry; then sections: a header, and so many entries.
    let platform = |id: u8| match id {
        0 => Some("BIOS"),
        0xef => Some("UEFI"),
        _ => None,
    };
    let entry = |n: usize| catalogue.get(n * 32..n * 32 + 32);
    let mut entries = Vec::new();
    if let (Some(validation), Some(first)) = (entry(0), entry(1)) {
        entries.push((validation[1], first[0]));
    }
    let mut n = 2;
    while let Some(header) = entry(n).filter(|header| matches!(header[0], 0x90 | 0x91)) {
        if let Some(first) = entry(n + 1) {
            entries.push((header[1], first[0]));
        }
        n += 1 + usize::from(header[2]);
        if header[0] == 0x91 || n > 64 {
            break;
        }
    }
    found.extend(
        entries
            .into_iter()
            .filter(|(_, bootable)| *bootable == 0x88)
            .filter_map(|(id, _)| platform(id)),
    );
    found
}
