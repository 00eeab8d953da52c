// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directory tree and its entries of 32 bytes (fatgen103, sections 6 and 7).

use std::collections::HashMap;

use super::name::{EntryName, LONG_UNITS, ShortName, ShortNames, checksum, entry_name};
use super::{ClusterRun, FatError, FatFile};
use crate::image::spec::{Attributes, DiskName, FolderSpec, VolumeLabel};
use crate::image::times::Times;

const ENTRY: usize = 32;
/// The largest directory that every driver reads: 2 MiB.
const MAX_ENTRIES: usize = 65_536;

mod attribute {
    pub const READ_ONLY: u8 = 0x01;
    pub const HIDDEN: u8 = 0x02;
    pub const SYSTEM: u8 = 0x04;
    pub const VOLUME_ID: u8 = 0x08;
    pub const DIRECTORY: u8 = 0x10;
    pub const ARCHIVE: u8 = 0x20;
    pub const LONG_NAME: u8 = 0x0F;
}

/// The directories, each with what it holds; the root is the first.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    directories: Vec<Directory>,
}

#[derive(Clone, Debug)]
struct Directory {
    parent: usize,
    attributes: Attributes,
    children: Vec<(EntryName, Child)>,
    /// Entries of 32 bytes.
    entries: usize,
}

#[derive(Clone, Copy, Debug)]
enum Child {
    /// Index of the directory.
    Directory(usize),
    /// Index and attributes of the file.
    File(usize, Attributes),
}

/// A tree while names are still coming in.
struct Draft {
    directories: Vec<Directory>,
    /// By directory and folded name.
    known: HashMap<(usize, String), Child>,
    /// Of each directory.
    taken: Vec<ShortNames>,
}

impl Default for Draft {
    fn default() -> Self {
        Draft {
            // The root has the label, others `.` and `..`.
            directories: vec![Directory::new(0, 1)],
            known: HashMap::new(),
            taken: vec![ShortNames::default()],
        }
    }
}

impl Draft {
    /// The directory of that path, made where it is not there yet.
    fn directory(
        &mut self,
        names: &[DiskName],
        duplicate: impl Fn() -> FatError,
    ) -> Result<usize, FatError> {
        let mut at = 0;
        for name in names {
            let key = (at, name.folded());
            at = match self.known.get(&key) {
                Some(Child::Directory(found)) => *found,
                Some(Child::File(..)) => return Err(duplicate()),
                None => {
                    let new = self.directories.len();
                    self.add(at, name, Child::Directory(new))?;
                    self.directories.push(Directory::new(at, 2));
                    self.taken.push(ShortNames::default());
                    self.known.insert(key, Child::Directory(new));
                    new
                }
            };
        }
        Ok(at)
    }

    fn add(&mut self, at: usize, name: &DiskName, child: Child) -> Result<(), FatError> {
        let entry = entry_name(name, &mut self.taken[at]);
        self.directories[at].entries += entry.entries();
        let found = self.directories[at].entries;
        self.directories[at].children.push((entry, child));
        if found > MAX_ENTRIES {
            return Err(FatError::DirectoryTooLarge {
                directory: self.path(at),
                found,
            });
        }
        Ok(())
    }

    /// For people.
    fn path(&self, directory: usize) -> String {
        let parent = self.directories[directory].parent;
        let known = self.known.iter();
        let name = known
            .filter(|(_, child)| matches!(child, Child::Directory(found) if *found == directory))
            .map(|((_, name), _)| name.as_str())
            .next();
        match (name, parent) {
            (None, _) => "\\".to_owned(),
            (Some(name), 0) => format!("\\{name}"),
            (Some(name), parent) => format!("{}\\{name}", self.path(parent)),
        }
    }
}

impl Tree {
    /// The tree of these files. Directories take the spelling of the first path that names them.
    pub fn new(files: &[FatFile], folders: &[FolderSpec]) -> Result<Self, FatError> {
        let mut draft = Draft::default();
        for (index, file) in files.iter().enumerate() {
            let duplicate = || FatError::Duplicate {
                path: file.path.clone(),
            };
            let (name, parents) = file.path.names().split_last().ok_or_else(duplicate)?;
            let at = draft.directory(parents, duplicate)?;
            let child = Child::File(index, file.attributes);
            if draft.known.insert((at, name.folded()), child).is_some() {
                return Err(duplicate());
            }
            draft.add(at, name, child)?;
        }
        for folder in folders {
            let duplicate = || FatError::Duplicate {
                path: folder.path.clone(),
            };
            let at = draft.directory(folder.path.names(), duplicate)?;
            draft.directories[at].attributes = folder.attributes;
        }
        Ok(Tree {
            directories: draft.directories,
        })
    }

    /// Length of each directory in bytes, never zero.
    pub fn lengths(&self) -> impl Iterator<Item = u64> {
        let directories = self.directories.iter();
        directories.map(|directory| (directory.entries * ENTRY) as u64)
    }

    /// Each directory's bytes, given where directories and files lie.
    pub fn encode(
        &self,
        label: &VolumeLabel,
        directories: &[ClusterRun],
        files: &[(u64, Option<ClusterRun>)],
    ) -> Vec<Vec<u8>> {
        let encode = |(index, directory): (usize, &Directory)| {
            let mut bytes = Vec::with_capacity(directory.entries * ENTRY);
            if index == 0 {
                let times = Times::default();
                bytes.extend(short_entry(
                    label.padded(),
                    attribute::VOLUME_ID,
                    times,
                    0,
                    0,
                ));
            } else {
                // `..` of a directory in the root says 0, not the root's cluster.
                let parent = match directory.parent {
                    0 => 0,
                    parent => directories[parent].first,
                };
                let dots = [
                    (b".          ", directories[index].first),
                    (b"..         ", parent),
                ];
                for (name, cluster) in dots {
                    let times = directory.attributes.times;
                    bytes.extend(short_entry(name, attribute::DIRECTORY, times, cluster, 0));
                }
            }
            for (name, child) in &directory.children {
                let (flags, times, cluster, length) = match child {
                    Child::Directory(child) => {
                        let attributes = self.directories[*child].attributes;
                        let flags = attribute::DIRECTORY | flags(attributes) & !attribute::ARCHIVE;
                        (flags, attributes.times, directories[*child].first, 0)
                    }
                    Child::File(file, attributes) => {
                        let (length, run) = files[*file];
                        let cluster = run.map_or(0, |run| run.first);
                        // At most MAX_FILE, which is u32::MAX.
                        (flags(*attributes), attributes.times, cluster, length as u32)
                    }
                };
                long_entries(name, &mut bytes);
                bytes.extend(short_entry(&name.short, flags, times, cluster, length));
            }
            bytes
        };
        self.directories.iter().enumerate().map(encode).collect()
    }
}

impl Directory {
    fn new(parent: usize, entries: usize) -> Self {
        Directory {
            parent,
            attributes: Attributes::default(),
            children: Vec::new(),
            entries,
        }
    }
}

fn flags(attributes: Attributes) -> u8 {
    [
        (!attributes.archived, attribute::ARCHIVE),
        (attributes.hidden, attribute::HIDDEN),
        (attributes.system, attribute::SYSTEM),
        (attributes.read_only, attribute::READ_ONLY),
    ]
    .iter()
    .filter(|(set, _)| *set)
    .fold(0, |flags, (_, flag)| flags | flag)
}

fn short_entry(
    name: &ShortName,
    flags: u8,
    times: Times,
    cluster: u32,
    length: u32,
) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[0x00..0x0B].copy_from_slice(name);
    entry[0x0B] = flags;
    let (created, written) = (times.created.dos(), times.written.dos());
    entry[0x0D] = created.hundredths;
    for (offset, value) in [
        (0x0E, created.time),
        (0x10, created.date),
        (0x12, times.accessed.dos().date),
        (0x16, written.time),
        (0x18, written.date),
    ] {
        entry[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
    }
    entry[0x14..0x16].copy_from_slice(&((cluster >> 16) as u16).to_le_bytes());
    entry[0x1A..0x1C].copy_from_slice(&(cluster as u16).to_le_bytes());
    entry[0x1C..0x20].copy_from_slice(&length.to_le_bytes());
    entry
}

/// The long name's entries, last part first.
fn long_entries(name: &EntryName, bytes: &mut Vec<u8>) {
    let Some(units) = &name.long else { return };
    let sum = checksum(&name.short);
    let parts = units.chunks(LONG_UNITS);
    let count = parts.len();
    for (index, part) in parts.enumerate().rev() {
        // A last part that is not full ends with one 0x0000, then 0xFFFF.
        let mut padded = [0xFFFF; LONG_UNITS];
        padded[..part.len()].copy_from_slice(part);
        if let Some(end) = padded.get_mut(part.len()) {
            *end = 0;
        }
        let mut entry = [0; ENTRY];
        // At most 20 parts: a name has at most 255 units.
        let last = if index + 1 == count { 0x40 } else { 0 };
        entry[0x00] = (index + 1) as u8 | last;
        entry[0x0B] = attribute::LONG_NAME;
        entry[0x0D] = sum;
        let places = (0x01..0x0B).chain(0x0E..0x1A).chain(0x1C..0x20).step_by(2);
        for (place, unit) in places.zip(padded) {
            entry[place..place + 2].copy_from_slice(&unit.to_le_bytes());
        }
        bytes.extend(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::super::FileLength;
    use super::*;

    fn files(paths: &[&str]) -> Vec<FatFile> {
        let file = |path: &&str| FatFile {
            path: path.parse().unwrap(),
            attributes: Attributes::default(),
            bytes: FileLength::Bytes(1),
        };
        paths.iter().map(file).collect()
    }

    #[test]
    fn entries_stand_where_they_are_documented() {
        let mut list = files(&["\\The quick brown.fox", "\\Boot\\BCD"]);
        list[0].attributes.hidden = true;
        list[0].attributes.system = true;
        let tree = Tree::new(&list, &[]).unwrap();
        assert_eq!(tree.lengths().collect::<Vec<_>>(), [6 * 32, 3 * 32]);
        let run = |first| ClusterRun { first, count: 1 };
        let encoded = tree.encode(
            &"SLAMBOOT".parse().unwrap(),
            &[run(2), run(3)],
            &[(0x1234, Some(run(0x0009_0008))), (5, Some(run(7)))],
        );
        let root: Vec<&[u8]> = encoded[0].chunks(32).collect();
        assert_eq!(&root[0][..12], b"SLAMBOOT   \x08");
        // The example of fatgen103: two long entries, the second part first.
        assert_eq!(root[1][0], 0x42);
        assert_eq!(&root[1][1..11], b"w\0n\0.\0f\0o\0");
        assert_eq!(root[1][11..14], [0x0F, 0, 0x07]);
        assert_eq!(&root[1][14..26], b"x\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
        assert_eq!(root[1][26..28], [0, 0]);
        assert_eq!(root[2][0], 0x01);
        assert_eq!(&root[2][1..11], b"T\0h\0e\0 \0q\0");
        assert_eq!(&root[2][14..26], b"u\0i\0c\0k\0 \0b\0");
        assert_eq!(&root[2][28..32], b"r\0o\0");
        assert_eq!(&root[3][..12], b"THEQUI~1FOX\x26");
        assert_eq!(root[3][0x14..0x16], [0x09, 0x00]);
        assert_eq!(root[3][0x18..0x1A], [0x21, 0x00]);
        assert_eq!(root[3][0x1A..], [0x08, 0x00, 0x34, 0x12, 0, 0]);
        assert_eq!(&root[5][..12], b"BOOT       \x10");
        let boot: Vec<&[u8]> = encoded[1].chunks(32).collect();
        assert_eq!(&boot[0][..12], b".          \x10");
        assert_eq!(boot[0][0x1A..0x1C], [3, 0]);
        assert_eq!(&boot[1][..12], b"..         \x10");
        assert_eq!(boot[1][0x1A..0x1C], [0, 0]);
        assert_eq!(&boot[2][..12], b"BCD        \x20");
    }

    #[test]
    fn names_taken_twice() {
        for paths in [
            ["\\a", "\\A"],
            ["\\boot", "\\Boot\\BCD"],
            ["\\Boot\\BCD", "\\boot"],
            ["\\grüße", "\\GRÜSSE"],
        ] {
            assert!(
                matches!(
                    Tree::new(&files(&paths), &[]),
                    Err(FatError::Duplicate { .. })
                ),
                "{paths:?}"
            );
        }
        let tree = Tree::new(&files(&["\\Boot\\a", "\\BOOT\\b", "\\boot\\Boot\\a"]), &[]).unwrap();
        assert_eq!(tree.lengths().count(), 3);
    }

    #[test]
    fn a_directory_past_what_drivers_read() {
        let name = "n".repeat(240);
        let paths: Vec<String> = (0..3_300).map(|n| format!("\\d\\{name}{n}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        assert!(Tree::new(&files(&paths[..3_200]), &[]).is_ok());
        assert!(matches!(
            Tree::new(&files(&paths), &[]),
            Err(FatError::DirectoryTooLarge { .. })
        ));
    }
}
