// SPDX-License-Identifier: MIT OR Apache-2.0
//! FAT12, FAT16 and FAT32 as others write them (Microsoft, fatgen103).

use std::collections::HashSet;
use std::fs::File;

use super::{
    Bytes, Content, Kind, MAX_DEPTH, MAX_NODES, Node, Piece, Place, Volume, VolumeError, append,
    field, read_at,
};
use crate::image::le::{u16_at, u32_at};
use crate::image::spec::Attributes;
use crate::image::times::{DosTime, FileTime, Times};

const ENTRY: usize = 32;
/// The longest directory: 65,536 entries.
const MAX_DIRECTORY: u64 = 65_536 * ENTRY as u64;
/// Bytes of the table that are read at a time.
const BLOCK: u64 = 1 << 16;

mod attribute {
    pub const READ_ONLY: u8 = 0x01;
    pub const HIDDEN: u8 = 0x02;
    pub const SYSTEM: u8 = 0x04;
    pub const VOLUME_ID: u8 = 0x08;
    pub const DIRECTORY: u8 = 0x10;
    pub const ARCHIVE: u8 = 0x20;
    pub const LONG_NAME: u8 = 0x0F;
}

/// Sizes and places, as the boot sector says.
struct Fat<'a> {
    file: &'a File,
    kind: Kind,
    /// All from the image's start.
    table: u64,
    table_bytes: u64,
    data: u64,
    cluster_bytes: u64,
    clusters: u32,
    /// Where the root directory is: a fixed area, or a chain.
    root: Root,
    /// A part of the table, and where that begins in it.
    block: (u64, Vec<u8>),
    /// First clusters of the directories that were read.
    seen: HashSet<u32>,
}

#[derive(Clone, Copy)]
enum Root {
    Area { offset: u64, bytes: u64 },
    Chain(u32),
}

pub(super) fn read(
    file: &File,
    start: u64,
    length: u64,
    sector: &[u8; 512],
) -> Result<Volume, VolumeError> {
    let unknown = || VolumeError::Unknown {
        offset: start,
        found: format!("{:?}", String::from_utf8_lossy(&sector[3..11])),
    };
    let bytes = u64::from(u16_at(sector, 11));
    let per_cluster = u64::from(sector[13]);
    let reserved = u64::from(u16_at(sector, 14));
    let tables = u64::from(sector[16]);
    let plausible = [512, 1024, 2048, 4096].contains(&bytes)
        && per_cluster.is_power_of_two()
        && reserved > 0
        && (1..=2).contains(&tables)
        && u16_at(sector, 510) == 0xAA55;
    if !plausible {
        return Err(unknown());
    }
    let either = |short: u16, long: u32| match short {
        0 => u64::from(long),
        short => u64::from(short),
    };
    let sectors = either(u16_at(sector, 19), u32_at(sector, 32));
    let table = either(u16_at(sector, 22), u32_at(sector, 36));
    let root_entries = u64::from(u16_at(sector, 17));
    if sectors * bytes > length {
        let expected = format!("at most the partition's {length} bytes");
        let found = (sectors * bytes).to_string();
        return Err(field("length of the volume", start + 32, expected, found));
    }
    let root_sectors = (root_entries * ENTRY as u64).div_ceil(bytes);
    let before = reserved + tables * table + root_sectors;
    let clusters = sectors.saturating_sub(before) / per_cluster;
    let kind = match clusters {
        0 => return Err(unknown()),
        1..4085 => Kind::Fat12,
        4085..65_525 => Kind::Fat16,
        _ => Kind::Fat32,
    };
    let (label_at, root) = if kind == Kind::Fat32 {
        (0x47, Root::Chain(u32_at(sector, 44)))
    } else {
        let offset = start + (reserved + tables * table) * bytes;
        let bytes = root_entries * ENTRY as u64;
        (0x2B, Root::Area { offset, bytes })
    };
    let mut fat = Fat {
        file,
        kind,
        table: start + reserved * bytes,
        table_bytes: table * bytes,
        data: start + before * bytes,
        cluster_bytes: per_cluster * bytes,
        clusters: clusters as u32, // at most sectors, of which there are u32
        root,
        block: (0, Vec::new()),
        seen: HashSet::new(),
    };
    let mut volume = Volume {
        kind,
        label: text(&sector[label_at..label_at + 11]),
        serial: u32_at(sector, label_at - 4).into(),
        cluster_bytes: fat.cluster_bytes,
        nodes: Vec::new(),
    };
    let root = match fat.root {
        Root::Area { offset, bytes } => {
            let mut root = vec![0; bytes as usize]; // at most 65,535 entries
            read_at(file, offset, &mut root)?;
            root
        }
        Root::Chain(first) => fat.directory(first, "\\")?,
    };
    fat.walk("", &root, 0, &mut volume)?;
    Ok(volume)
}

impl Fat<'_> {
    /// The entry of a cluster; `None` for the end of a chain.
    fn next(&mut self, cluster: u32) -> Result<Option<u32>, VolumeError> {
        let index = u64::from(cluster);
        let (offset, length) = match self.kind {
            Kind::Fat12 => (index + index / 2, 2),
            Kind::Fat16 => (index * 2, 2),
            _ => (index * 4, 4),
        };
        let at = self.table + offset;
        if offset + length > self.table_bytes {
            let found = format!("cluster {cluster}, past its end");
            return Err(field("allocation table", at, "a cluster in it", found));
        }
        let (start, block) = &mut self.block;
        let wanted = offset / BLOCK * BLOCK;
        // A FAT12 entry may lie across two blocks, so each has a byte more.
        if block.is_empty() || *start != wanted {
            let length = (self.table_bytes - wanted).min(BLOCK + 1);
            block.resize(length as usize, 0);
            read_at(self.file, self.table + wanted, block)?;
            *start = wanted;
        }
        let from = (offset - wanted) as usize;
        let (value, end) = match self.kind {
            Kind::Fat12 => {
                let pair = u32::from(u16_at(block, from));
                (
                    if cluster & 1 == 0 {
                        pair & 0xFFF
                    } else {
                        pair >> 4
                    },
                    0xFF8,
                )
            }
            Kind::Fat16 => (u16_at(block, from).into(), 0xFFF8),
            _ => (u32_at(block, from) & 0x0FFF_FFFF, 0x0FFF_FFF8),
        };
        if value >= end {
            return Ok(None);
        }
        if self.is_cluster(value) {
            return Ok(Some(value));
        }
        let expected = "the next cluster of a chain, or its end";
        let found = format!("{value:#x} for cluster {cluster}");
        Err(field("allocation table", at, expected, found))
    }

    fn is_cluster(&self, value: u32) -> bool {
        (2..self.clusters + 2).contains(&value)
    }

    /// Where a chain lies, up to `length` bytes or to its end.
    fn pieces(&mut self, first: u32, length: u64, path: &str) -> Result<Vec<Piece>, VolumeError> {
        let wrong = |expected: String, found: String| {
            field(format!("the chain of {path}"), self.table, expected, found)
        };
        if !self.is_cluster(first) {
            let expected = format!("a first cluster of 2 to {}", self.clusters + 1);
            return Err(wrong(expected, first.to_string()));
        }
        let most = length
            .div_ceil(self.cluster_bytes)
            .min(self.clusters.into());
        let mut pieces = Vec::new();
        let (mut cluster, mut count) = (first, 0);
        loop {
            let offset = self.data + u64::from(cluster - 2) * self.cluster_bytes;
            append(
                &mut pieces,
                Piece {
                    offset: Some(offset),
                    length: self.cluster_bytes,
                },
            );
            count += 1;
            if count == most {
                break;
            }
            match self.next(cluster)? {
                Some(next) => cluster = next,
                None => break,
            }
        }
        Ok(pieces)
    }

    fn directory(&mut self, first: u32, path: &str) -> Result<Vec<u8>, VolumeError> {
        if !self.seen.insert(first) {
            let found = format!("cluster {first} again");
            return Err(field(path, self.table, "each directory once", found));
        }
        let pieces = self.pieces(first, MAX_DIRECTORY, path)?;
        let mut bytes = Vec::new();
        for piece in pieces {
            let old = bytes.len();
            let offset = piece.offset.unwrap_or_default();
            // A chain that loops gives the same entries again; it ends at the longest directory.
            let length = piece.length.min(MAX_DIRECTORY - old as u64) as usize;
            bytes.resize(old + length, 0);
            read_at(self.file, offset, &mut bytes[old..])?;
        }
        Ok(bytes)
    }

    fn walk(
        &mut self,
        path: &str,
        directory: &[u8],
        depth: usize,
        volume: &mut Volume,
    ) -> Result<(), VolumeError> {
        let mut long = LongName::default();
        for entry in directory.chunks_exact(ENTRY) {
            let flags = entry[11];
            match entry[0] {
                0 => break,
                0xE5 => {
                    long = LongName::default();
                    continue;
                }
                _ => {}
            }
            if flags & 0x3F == attribute::LONG_NAME {
                long.add(entry);
                continue;
            }
            let name = long.take(entry).unwrap_or_else(|| short_name(entry));
            if flags & attribute::VOLUME_ID != 0 {
                if path.is_empty() {
                    volume.label = text(&entry[..11]);
                }
                continue;
            }
            if entry[0] == b'.' {
                continue;
            }
            let path = format!("{path}\\{name}");
            if volume.nodes.len() >= MAX_NODES || depth >= MAX_DEPTH {
                let expected = format!("at most {MAX_NODES} files, {MAX_DEPTH} deep");
                return Err(field("directory tree", self.data, expected, path));
            }
            let high = match self.kind {
                Kind::Fat32 => u16_at(entry, 20),
                _ => 0,
            };
            let first = u32::from(high) << 16 | u32::from(u16_at(entry, 26));
            let length = u64::from(u32_at(entry, 28));
            let attributes = Attributes {
                hidden: flags & attribute::HIDDEN != 0,
                system: flags & attribute::SYSTEM != 0,
                read_only: flags & attribute::READ_ONLY != 0,
                archived: flags & (attribute::ARCHIVE | attribute::DIRECTORY) == 0,
                times: times(entry),
            };
            let node = |content| Node {
                path: path.clone(),
                content,
                attributes,
                losses: Vec::new(),
            };
            if flags & attribute::DIRECTORY != 0 {
                volume.nodes.push(node(Content::Directory));
                let inside = self.directory(first, &path)?;
                self.walk(&path, &inside, depth + 1, volume)?;
                continue;
            }
            let pieces = match length {
                0 => Vec::new(),
                length => self.pieces(first, length, &path)?,
            };
            let found: u64 = pieces.iter().map(|piece| piece.length).sum();
            if found < length {
                let what = format!("the chain of {path}");
                let expected = format!("clusters for its {length} bytes");
                return Err(field(what, self.table, expected, format!("for {found}")));
            }
            let place = Place::Pieces(pieces);
            volume
                .nodes
                .push(node(Content::File(Bytes { length, place })));
        }
        Ok(())
    }
}

/// A long name, collected from the entries that stand before its short one.
#[derive(Default)]
struct LongName {
    /// By part.
    units: Vec<[u16; 13]>,
    sum: u8,
}

impl LongName {
    fn add(&mut self, entry: &[u8]) {
        let part = usize::from(entry[0] & 0x3F);
        if entry[0] & 0x40 != 0 {
            self.units = vec![[0; 13]; part.min(20)];
            self.sum = entry[13];
        }
        let places = (1..11).chain(14..26).chain(28..32).step_by(2);
        let number = part.wrapping_sub(1);
        match self.units.get_mut(number) {
            Some(units) if entry[13] == self.sum => {
                for (unit, place) in units.iter_mut().zip(places) {
                    *unit = u16_at(entry, place);
                }
            }
            // An orphan.
            _ => self.units.clear(),
        }
    }

    fn take(&mut self, short: &[u8]) -> Option<String> {
        let LongName { units, sum } = std::mem::take(self);
        let found = short[..11]
            .iter()
            .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        (!units.is_empty() && sum == found).then_some(())?;
        let units = units.concat();
        let end = units
            .iter()
            .position(|unit| *unit == 0)
            .unwrap_or(units.len());
        Some(String::from_utf16_lossy(&units[..end]))
    }
}

/// Times that were never written are as those of new files.
fn times(entry: &[u8]) -> Times {
    let time = |date: usize, time: u16, hundredths: u8| {
        let date = u16_at(entry, date);
        let dos = DosTime {
            date,
            time,
            hundredths,
        };
        FileTime::of_dos(dos).unwrap_or_default()
    };
    let written = time(0x18, u16_at(entry, 0x16), 0);
    Times {
        created: time(0x10, u16_at(entry, 0x0E), entry[0x0D]),
        written,
        changed: written,
        accessed: time(0x12, 0, 0),
    }
}

fn short_name(entry: &[u8]) -> String {
    // 0x05 stands for 0xE5, which would mean "deleted". Bits 3 and 4 of byte 12: lower case.
    let mut bytes = [0; 11];
    bytes.copy_from_slice(&entry[..11]);
    if bytes[0] == 0x05 {
        bytes[0] = 0xE5;
    }
    let part = |range: std::ops::Range<usize>, lower: bool| {
        let part = text(&bytes[range]);
        if lower {
            part.to_ascii_lowercase()
        } else {
            part
        }
    };
    let base = part(0..8, entry[12] & 0x08 != 0);
    let extension = part(8..11, entry[12] & 0x10 != 0);
    match extension.as_str() {
        "" => base,
        extension => format!("{base}.{extension}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .trim_end_matches([' ', '\0'])
        .to_owned()
}
