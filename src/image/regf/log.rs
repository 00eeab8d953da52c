// SPDX-License-Identifier: MIT OR Apache-2.0
//! Transaction logs, which hold what was being written when a hive became dirty (section "Format
//! of transaction log files").

use super::base::{self, BINS_SIZE, CHECKSUM, KIND, PRIMARY, SECONDARY, WRITTEN};
use super::le::{put, put_u32, u32_at, u64_at};
use super::marvin;

/// Of a log's copy of the base block, and of everything behind it.
pub(super) const SECTOR: usize = 512;

/// What a log is, by the file type in its base block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogKind {
    /// A bitmap of dirty sectors and the sectors, until Windows 8.
    Old,
    /// A chain of entries with hashes.
    New,
}

/// A log whose base block is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log<'a> {
    bytes: &'a [u8],
    pub kind: LogKind,
}

/// One entry of a new log, whose hashes are right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    bytes: &'a [u8],
    pub sequence: u32,
    pub bins_size: u32,
}

impl<'a> Log<'a> {
    /// `None` if this is no log, or one that was not written to its end.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let block = bytes.get(..SECTOR)?;
        let kind = match u32_at(block, KIND) {
            1 | 2 => LogKind::Old,
            6 => LogKind::New,
            _ => return None,
        };
        let right = block.starts_with(b"regf")
            && u32_at(block, CHECKSUM) == base::checksum(block)
            && u32_at(block, PRIMARY) == u32_at(block, SECONDARY);
        right.then_some(Log { bytes, kind })
    }

    /// The sequence number of its first entry, if that is still there.
    pub fn sequence(self) -> u32 {
        u32_at(self.bytes, PRIMARY)
    }

    pub fn written(self) -> u64 {
        u64_at(self.bytes, WRITTEN)
    }

    /// Puts its copy of the base block where the hive has lost its own.
    pub fn restore_base_block(self, hive: &mut [u8]) {
        put(hive, 0, &self.bytes[..SECTOR]);
        put_u32(hive, KIND, 0);
    }

    /// Entries, until one that is not right or does not follow the one before it.
    pub fn entries(self) -> impl Iterator<Item = Entry<'a>> {
        let mut rest = &self.bytes[SECTOR..];
        let mut next = self.sequence();
        std::iter::from_fn(move || {
            let entry = Entry::parse(rest)?;
            if entry.sequence != next {
                return None;
            }
            next = next.wrapping_add(1);
            rest = &rest[entry.bytes.len()..];
            Some(entry)
        })
    }

    /// Writes the sectors of an old log over those of the hive; how many, `None` if it is broken.
    pub fn apply(self, hive: &mut Vec<u8>) -> Option<usize> {
        let bins_size = u32_at(self.bytes, BINS_SIZE);
        grow(hive, bins_size)?;
        let vector = self.bytes.get(SECTOR..)?.strip_prefix(b"DIRT")?;
        let bitmap = vector.get(..(bins_size as usize / SECTOR).div_ceil(8))?;
        let dirty = |sector: usize| bitmap[sector / 8] >> (sector % 8) & 1 == 1;
        let dirty: Vec<usize> = (0..bins_size as usize / SECTOR)
            .filter(|sector| dirty(*sector))
            .collect();
        let first = (SECTOR + 4 + bitmap.len()).next_multiple_of(SECTOR);
        let sectors = self.bytes.get(first..first + dirty.len() * SECTOR)?;
        for (sector, content) in dirty.iter().zip(sectors.chunks_exact(SECTOR)) {
            put(hive, base::SIZE + sector * SECTOR, content);
        }
        put_u32(hive, BINS_SIZE, bins_size);
        Some(dirty.len())
    }
}

/// Where the fields of an entry lie.
mod field {
    pub const SIZE: usize = 4;
    pub const FLAGS: usize = 8;
    pub const SEQUENCE: usize = 12;
    pub const BINS_SIZE: usize = 16;
    pub const PAGES: usize = 20;
    pub const HASH_1: usize = 24;
    pub const HASH_2: usize = 32;
    pub const REFERENCES: usize = 40;
}

/// Flags of the base block, in Windows 10.
const BASE_FLAGS: usize = 144;

impl<'a> Entry<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let size = u32_at(bytes, field::SIZE) as usize;
        if !bytes.starts_with(b"HvLE") || size < SECTOR || !size.is_multiple_of(SECTOR) {
            return None;
        }
        let bytes = bytes.get(..size)?;
        let hash = |bytes| marvin::hash(marvin::SEED, bytes);
        let right = u64_at(bytes, field::HASH_1) == hash(&bytes[field::REFERENCES..])
            && u64_at(bytes, field::HASH_2) == hash(&bytes[..field::HASH_2]);
        let bins_size = u32_at(bytes, field::BINS_SIZE);
        (right && bins_size.is_multiple_of(4096)).then_some(Entry {
            bytes,
            sequence: u32_at(bytes, field::SEQUENCE),
            bins_size,
        })
    }

    /// Writes its pages over those of the hive; `None` if they are not where they should be.
    pub fn apply(self, hive: &mut Vec<u8>) -> Option<()> {
        grow(hive, self.bins_size)?;
        let count = u32_at(self.bytes, field::PAGES) as usize;
        let references = &self.bytes[field::REFERENCES..];
        let first = count.checked_mul(8)?;
        let references = references.get(..first)?;
        let mut pages = &self.bytes[field::REFERENCES + first..];
        let mut writes = Vec::new();
        for reference in references.chunks_exact(8) {
            let (offset, size) = (u32_at(reference, 0), u32_at(reference, 4));
            let page = pages.get(..size as usize)?;
            pages = &pages[page.len()..];
            if offset.checked_add(size)? > self.bins_size {
                return None;
            }
            writes.push((base::SIZE + offset as usize, page));
        }
        for (at, page) in writes {
            put(hive, at, page);
        }
        put_u32(hive, BINS_SIZE, self.bins_size);
        // The transaction manager's lock, alone of these flags (note 11).
        let locked = u32_at(self.bytes, field::FLAGS) & 1;
        let flags = u32_at(hive, BASE_FLAGS) & !1;
        put_u32(hive, BASE_FLAGS, flags | locked);
        Some(())
    }
}

/// Makes room for so many bytes of hive bins; at most what a log of it can ask for.
fn grow(hive: &mut Vec<u8>, bins_size: u32) -> Option<()> {
    if bins_size > super::cell::MOST {
        return None;
    }
    let end = base::SIZE + bins_size as usize;
    // Bins are added a few at a time; more than this is no log of this hive.
    if end > hive.len().saturating_mul(2) + (64 << 20) {
        return None;
    }
    if hive.len() < end {
        hive.resize(end, 0);
    }
    Some(())
}
