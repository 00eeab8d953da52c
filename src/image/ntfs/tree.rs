// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directory tree: records' numbers, names, and the shape of every directory's index.

use std::collections::HashMap;

use super::attribute::{RESIDENT_HEADER, file_name_length};
use super::geometry::CLUSTER;
use super::index::{BLOCK, LARGE_ROOT, ROOT_HEADER, Shape, entry_length};
use super::name::{LinkName, Namespace, links};
use super::record::ROOM;
use super::system::{FIRST_USER_RECORD, ROOT_NAMES};
use super::upcase::UpCase;
use super::{NtfsError, NtfsFile};
use crate::image::spec::{Attributes, DiskName, DiskPath, FolderSpec};

/// Bytes of `$STANDARD_INFORMATION`.
const STANDARD: usize = RESIDENT_HEADER + 0x48;
/// Most bytes of an attribute of one run: name of four units, lengths of up to five bytes.
const ONE_RUN: usize = 0x40 + 8 + 16;

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A record of the system's.
    System(u32),
    /// Index of a directory; 0 is the root.
    Directory(usize),
    /// Index of a file.
    Content(usize),
}

/// One directory.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    pub parent: usize,
    pub attributes: Attributes,
    /// Its own names; none for the root, whose name the system has.
    pub links: Vec<LinkName>,
    /// What it holds, sorted.
    pub entries: Vec<(LinkName, Target)>,
    pub shape: Shape,
}

/// All directories and all names; the root is the first directory.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub directories: Vec<Directory>,
    /// The names of each file, and the directory that it is in.
    pub files: Vec<(usize, Vec<LinkName>)>,
}

/// A directory while names are still coming in.
struct Draft<'a> {
    parent: usize,
    attributes: Attributes,
    children: Vec<(&'a DiskName, Target)>,
}

impl Tree {
    /// The tree of these files. Directories take the spelling of the first path that names them.
    pub fn new(
        files: &[NtfsFile],
        folders: &[FolderSpec],
        upcase: &UpCase,
    ) -> Result<Self, NtfsError> {
        let drafts = Drafts::new(files, folders, upcase)?.directories;
        let mut tree = Tree {
            directories: Vec::with_capacity(drafts.len()),
            files: vec![(0, Vec::new()); files.len()],
        };
        let mut directory_links = vec![Vec::new(); drafts.len()];
        for (index, draft) in drafts.iter().enumerate() {
            let names: Vec<&DiskName> = draft.children.iter().map(|(name, _)| *name).collect();
            for (names, (_, target)) in links(&names).into_iter().zip(&draft.children) {
                match target {
                    Target::Content(file) => {
                        let names = fewer(names, ONE_RUN);
                        tree.files[*file] = (index, names);
                    }
                    Target::Directory(directory) => directory_links[*directory] = names,
                    Target::System(_) => {}
                }
            }
        }
        // Children stand after their parents. From the last on: whether a directory keeps its
        // short name depends on what it holds, and its parent's index on that.
        let mut directories = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.iter().enumerate().rev() {
            let mut entries: Vec<(LinkName, Target)> = Vec::new();
            if index == 0 {
                entries.extend(
                    ROOT_NAMES.map(|(number, name)| (LinkName::both(name), Target::System(number))),
                );
            }
            for (_, target) in &draft.children {
                let names = match target {
                    Target::Content(file) => &tree.files[*file].1,
                    Target::Directory(directory) => &directory_links[*directory],
                    Target::System(_) => continue,
                };
                entries.extend(names.iter().map(|name| (name.clone(), *target)));
            }
            entries.sort_by(|(one, _), (other, _)| upcase.compare(&one.units, &other.units));
            let lengths: Vec<usize> = entries
                .iter()
                .map(|(name, _)| entry_length(file_name_length(name), 0))
                .collect();
            let (links, shape) = fitting(std::mem::take(&mut directory_links[index]), &lengths);
            directory_links[index].clone_from(&links);
            directories.push(Directory {
                parent: draft.parent,
                attributes: draft.attributes,
                links,
                entries,
                shape,
            });
        }
        directories.reverse();
        tree.directories = directories;
        Ok(tree)
    }

    /// Records that the tree takes, the system's included.
    pub fn records(&self) -> u32 {
        // Each has been held in memory with its name.
        FIRST_USER_RECORD + (self.directories.len() - 1 + self.files.len()) as u32
    }

    /// The record of that.
    pub fn number(&self, target: Target) -> u32 {
        match target {
            Target::System(number) => number,
            Target::Directory(0) => super::system::ROOT,
            Target::Directory(directory) => FIRST_USER_RECORD + directory as u32 - 1,
            Target::Content(file) => FIRST_USER_RECORD + (self.directories.len() - 1 + file) as u32,
        }
    }

    /// Clusters of all indexes, and of their bitmaps where these are not in the records.
    pub fn clusters(&self) -> u64 {
        self.directories
            .iter()
            .map(|directory| {
                let bitmap = directory.bitmap();
                let beside = if bitmap.resident {
                    0
                } else {
                    bitmap.bytes.div_ceil(CLUSTER)
                };
                directory.blocks() + beside
            })
            .sum()
    }
}

/// The bitmap of an index's blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexBitmap {
    pub bytes: u64,
    pub resident: bool,
}

impl Directory {
    /// Index blocks, each a cluster.
    pub fn blocks(&self) -> u64 {
        self.shape.blocks() as u64
    }

    pub fn bitmap(&self) -> IndexBitmap {
        let bytes = bitmap_bytes(self.shape.blocks());
        IndexBitmap {
            bytes: bytes as u64,
            resident: bytes == 0 || names_length(&self.links) + large(bytes) <= ROOM,
        }
    }
}

/// All directories while names are still coming in.
struct Drafts<'a> {
    directories: Vec<Draft<'a>>,
    /// By directory and raised name.
    known: HashMap<(usize, Vec<u16>), Target>,
    upcase: &'a UpCase,
}

impl<'a> Drafts<'a> {
    fn new(
        files: &'a [NtfsFile],
        folders: &'a [FolderSpec],
        upcase: &'a UpCase,
    ) -> Result<Self, NtfsError> {
        let mut all = Drafts {
            directories: vec![Draft {
                parent: 0,
                attributes: Attributes::default(),
                children: Vec::new(),
            }],
            known: HashMap::new(),
            upcase,
        };
        for (number, name) in ROOT_NAMES {
            let key = all.key(0, name);
            all.known.insert(key, Target::System(number));
        }
        for (index, file) in files.iter().enumerate() {
            let Some((name, parents)) = file.path.names().split_last() else {
                return Err(taken(&file.path, None));
            };
            let at = all.directory(&file.path, parents)?;
            let target = Target::Content(index);
            let key = all.key(at, name.as_str());
            let old = all.known.insert(key, target);
            if old.is_some() {
                return Err(taken(&file.path, old.as_ref()));
            }
            all.directories[at].children.push((name, target));
        }
        for folder in folders {
            let at = all.directory(&folder.path, folder.path.names())?;
            all.directories[at].attributes = folder.attributes;
        }
        Ok(all)
    }

    fn key(&self, directory: usize, name: &str) -> (usize, Vec<u16>) {
        let units: Vec<u16> = name.encode_utf16().collect();
        (directory, self.upcase.folded(&units))
    }

    /// The directory of these names, made where it is not there yet.
    fn directory(&mut self, path: &DiskPath, names: &'a [DiskName]) -> Result<usize, NtfsError> {
        let mut at = 0;
        for name in names {
            let key = self.key(at, name.as_str());
            at = match self.known.get(&key) {
                Some(Target::Directory(found)) => *found,
                Some(other) => return Err(taken(path, Some(other))),
                None => {
                    let new = self.directories.len();
                    let child = (name, Target::Directory(new));
                    self.directories[at].children.push(child);
                    self.directories.push(Draft {
                        parent: at,
                        attributes: Attributes::default(),
                        children: Vec::new(),
                    });
                    self.known.insert(key, Target::Directory(new));
                    new
                }
            };
        }
        Ok(at)
    }
}

fn taken(path: &DiskPath, target: Option<&Target>) -> NtfsError {
    match target {
        Some(Target::System(_)) => NtfsError::Reserved { path: path.clone() },
        _ => NtfsError::Duplicate { path: path.clone() },
    }
}

/// Bytes of the standard information and these names.
pub(super) fn names_length(links: &[LinkName]) -> usize {
    let name = |link: &LinkName| (RESIDENT_HEADER + file_name_length(link)).next_multiple_of(8);
    STANDARD + links.iter().map(name).sum::<usize>()
}

/// Leaves the short name away where the record has no room for both and `others`. (Windows then
/// continues in a second record.)
fn fewer(mut links: Vec<LinkName>, others: usize) -> Vec<LinkName> {
    if names_length(&links) + others > ROOM {
        links.retain(|link| link.namespace != Namespace::Dos);
    }
    links
}

fn bitmap_bytes(blocks: usize) -> usize {
    blocks.div_ceil(8).next_multiple_of(8)
}

/// Bytes of a large index's attributes with a bitmap in the record.
fn large(bitmap: usize) -> usize {
    RESIDENT_HEADER + 8 + LARGE_ROOT + ONE_RUN + RESIDENT_HEADER + 8 + bitmap
}

/// The names that a directory can have, and the shape of its index.
fn fitting(links: Vec<LinkName>, lengths: &[usize]) -> (Vec<LinkName>, Shape) {
    let shape = |links: &[LinkName]| {
        let root = RESIDENT_HEADER + 8 + ROOT_HEADER;
        Shape::of(lengths, ROOM.saturating_sub(names_length(links) + root))
    };
    let both = shape(&links);
    let bitmap = bitmap_bytes(both.blocks());
    if both.blocks() == 0 || names_length(&links) + large(bitmap).min(LARGE_BESIDE) <= ROOM {
        return (links, both);
    }
    let links = fewer(links, LARGE_BESIDE);
    let shape = shape(&links);
    (links, shape)
}

/// Bytes of a large index's attributes with a bitmap beside the record.
const LARGE_BESIDE: usize = RESIDENT_HEADER + 8 + LARGE_ROOT + ONE_RUN + ONE_RUN;

// One name, however long, fits beside that, and beside a file's data.
const _: () = assert!(STANDARD + (RESIDENT_HEADER + 0x42 + 2 * 255) + LARGE_BESIDE <= ROOM);
const _: () = assert!(BLOCK as u64 == CLUSTER);
