// SPDX-License-Identifier: MIT OR Apache-2.0
//! A FAT file system, as far as finding small files in it takes (Microsoft's FAT specification
//! 1.03): bounded on any input.

/// Bytes in a directory entry.
const ENTRY: usize = 32;
/// Directories, and entries in each, that are looked at.
const MOST_DIRECTORIES: usize = 32;
const MOST_ENTRIES: usize = 1024;

/// A file system in `bytes`.
pub(super) struct Fat<'a> {
    bytes: &'a [u8],
    cluster: usize,
    table: usize,
    width: Width,
    root: Root,
    data: usize,
    clusters: u32,
}

#[derive(Clone, Copy)]
enum Width {
    Twelve,
    Sixteen,
    ThirtyTwo,
}

/// Where the root directory is: a fixed place, or a chain of clusters.
#[derive(Clone, Copy)]
enum Root {
    Fixed { start: usize, bytes: usize },
    Chain(u32),
}

impl<'a> Fat<'a> {
    /// The file system at the start of `bytes`, if there is one.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Fat<'a>> {
        let byte = |at: usize| bytes.get(at).map(|byte| usize::from(*byte));
        let word = |at: usize| Some(byte(at)? | byte(at + 1)? << 8);
        let long = |at: usize| Some(word(at)? | word(at + 2)? << 16);
        let sector = word(11)?;
        let per_cluster = byte(13)?;
        let (reserved, tables, entries) = (word(14)?, byte(16)?, word(17)?);
        let sound = [512, 1024, 2048, 4096].contains(&sector)
            && per_cluster.is_power_of_two()
            && reserved > 0
            && (1..=2).contains(&tables)
            && byte(21)? >= 0xf0
            && matches!(byte(0)?, 0xeb | 0xe9);
        if !sound {
            return None;
        }
        let total = match word(19)? {
            0 => long(32)?,
            total => total,
        };
        let table_sectors = match word(22)? {
            0 => long(36)?,
            sectors => sectors,
        };
        let root_sectors = (entries * ENTRY).div_ceil(sector);
        let root = reserved.checked_add(tables.checked_mul(table_sectors)?)?;
        let data = root.checked_add(root_sectors)?;
        let clusters = u32::try_from(total.checked_sub(data)? / per_cluster).ok()?;
        // The number of clusters alone decides (specification, section 3.5).
        let width = match clusters {
            ..4085 => Width::Twelve,
            4085..65525 => Width::Sixteen,
            _ => Width::ThirtyTwo,
        };
        Some(Fat {
            bytes,
            cluster: sector * per_cluster,
            table: reserved * sector,
            width,
            root: match width {
                Width::ThirtyTwo => Root::Chain(u32::try_from(long(44)?).ok()?),
                _ => Root::Fixed {
                    start: root.checked_mul(sector)?,
                    bytes: entries * ENTRY,
                },
            },
            data: data.checked_mul(sector)?,
            clusters,
        })
    }

    /// All files of at most `largest` bytes, by path in short names: `/EFI/BOOT/BOOTX64.EFI`. A
    /// directory or a file whose chain is broken ends where it breaks.
    pub(super) fn files(&self, largest: usize) -> Vec<(String, Vec<u8>)> {
        let root = match self.root {
            Root::Fixed { start, bytes } => {
                let end = start.saturating_add(bytes).min(self.bytes.len());
                self.bytes.get(start..end).unwrap_or_default().to_vec()
            }
            Root::Chain(first) => self.chain(first, MOST_ENTRIES * ENTRY),
        };
        let mut directories = vec![(String::new(), root)];
        let mut files = Vec::new();
        let mut left = largest;
        let mut seen = 0;
        while let Some((path, directory)) = directories.pop() {
            seen += 1;
            for entry in directory.chunks_exact(ENTRY).take(MOST_ENTRIES) {
                let attributes = entry[11];
                match entry[0] {
                    0 => break,
                    // Deleted; volume labels and parts of long names; `.` and `..`.
                    0xe5 | b'.' => continue,
                    _ if attributes & 0x08 != 0 => continue,
                    _ => {}
                }
                let word = |at: usize| u32::from(entry[at]) | u32::from(entry[at + 1]) << 8;
                let first = word(26) | word(20) << 16;
                let size = (word(28) | word(30) << 16) as usize;
                let path = format!("{path}/{}", name(entry));
                if attributes & 0x10 != 0 {
                    if seen + directories.len() < MOST_DIRECTORIES {
                        directories.push((path, self.chain(first, MOST_ENTRIES * ENTRY)));
                    }
                } else if size <= left {
                    let mut content = self.chain(first, size);
                    content.truncate(size);
                    left -= content.len();
                    files.push((path, content));
                }
            }
        }
        files
    }

    /// The clusters from `first` on, at most `limit` bytes and one cluster.
    fn chain(&self, first: u32, limit: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut cluster = first;
        while bytes.len() < limit && (2..self.clusters.saturating_add(2)).contains(&cluster) {
            let start = self.data + (cluster as usize - 2) * self.cluster;
            let end = start.saturating_add(self.cluster).min(self.bytes.len());
            let Some(content) = self.bytes.get(start..end).filter(|c| !c.is_empty()) else {
                break;
            };
            bytes.extend_from_slice(content);
            cluster = self.next(cluster).unwrap_or(0);
        }
        bytes
    }

    fn next(&self, cluster: u32) -> Option<u32> {
        let index = cluster as usize;
        let word = |at: usize| {
            let word = self.bytes.get(self.table + at..)?.first_chunk()?;
            Some(u32::from(u16::from_le_bytes(*word)))
        };
        match self.width {
            Width::Twelve => {
                let both = word(index + index / 2)?;
                Some(if index.is_multiple_of(2) {
                    both & 0xfff
                } else {
                    both >> 4
                })
            }
            Width::Sixteen => word(index * 2),
            Width::ThirtyTwo => Some((word(index * 4)? | word(index * 4 + 2)? << 16) & 0x0fff_ffff),
        }
    }
}

fn name(entry: &[u8]) -> String {
    let part = |range| {
        let text = String::from_utf8_lossy(&entry[range]);
        text.trim_end().replace(|c: char| c.is_control(), "?")
    };
    let (stem, ending) = (part(0..8), part(8..11));
    if ending.is_empty() {
        stem
    } else {
        format!("{stem}.{ending}")
    }
}
