// SPDX-License-Identifier: MIT OR Apache-2.0
//! An NTFS 3.1 volume that is written once: every cluster decided before a byte is written.
//!
//! Microsoft published no description of the format. Layouts follow the headers of two drivers
//! that Windows' volumes are read and written with every day: Linux, `fs/ntfs3/ntfs.h`, and
//! ntfs-3g, `include/ntfs-3g/layout.h`.
//!
//! In this order, without gaps: `$Boot`, `$MFTMirr`, the MFT's bitmap, `$MFT`, `$AttrDef`,
//! `$Bitmap`, `$UpCase`, `$Secure`, `$LogFile`, the directories' index blocks, the files, each in
//! one piece and in the order asked for. `$LogFile` is filled with 0xFF, which is how every
//! driver leaves a log that has nothing to say.

mod attribute;
mod boot;
pub mod decode;
mod definition;
mod fixup;
mod geometry;
mod index;
mod name;
mod record;
mod security;
mod system;
mod tree;
mod upcase;

pub use boot::set_serial;
pub use geometry::{CLUSTER, ClusterRun, NtfsGeometry};
pub use record::RECORD;
pub(in crate::image) use security::usual_security;
pub use upcase::UpCase;

use super::spec::{Attributes, DiskPath, FolderSpec, VolumeLabel};
use super::times::Times;
use super::unit::Lba;
use attribute::{
    Place, RESIDENT_HEADER, Sizes, file_name, flag, kind, non_resident, resident,
    standard_information,
};
use boot::BootSector;
use index::{Collation, name_entry};
use name::LinkName;
use record::{ROOM, Record, reference, state};
use security::{MIRROR, Security};
use system::{Areas, FIRST_USER_RECORD, MIRRORED, ROOT};
use tree::{Directory, Target, Tree, names_length};

/// A file to place.
#[derive(Clone, Debug)]
pub struct NtfsFile {
    /// Where in the tree.
    pub path: DiskPath,
    /// What is said of it.
    pub attributes: Attributes,
    /// Its length.
    pub bytes: FileLength,
    /// It shall have clusters however short it is: somebody reads it by its sectors.
    pub in_clusters: bool,
}

pub use super::fat::FileLength;

/// Files that no NTFS volume can hold as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NtfsError {
    /// The same name twice, without regard to case, or a file where a directory is needed.
    #[error("{path}: the name is taken twice (Windows does not tell upper from lower case)")]
    Duplicate {
        /// The path.
        path: DiskPath,
    },
    /// A name in the root that the file system has for itself.
    #[error("{path}: the name is NTFS's own; choose another")]
    Reserved {
        /// The path.
        path: DiskPath,
    },
    /// More files than a record's number can count.
    #[error("{found} files and directories; an NTFS volume has at most 4294967295")]
    TooManyFiles {
        /// How many.
        found: usize,
    },
    /// More than one file wants what is left.
    #[error("{path}: only one file can have all the space that is left")]
    SecondRest {
        /// The second of them.
        path: DiskPath,
    },
    /// The volume is too small.
    #[error("the content needs {needed} bytes, the volume has room for {available}")]
    Full {
        /// In whole clusters.
        needed: u64,
        /// In whole clusters.
        available: u64,
    },
}

/// The content alone, before the volume's size is known.
#[derive(Clone, Debug)]
pub struct NtfsContent {
    tree: Tree,
    files: Vec<NtfsFile>,
    upcase: UpCase,
}

/// A volume whose every cluster is decided.
#[derive(Clone, Debug)]
pub struct NtfsVolume {
    /// Its size.
    pub geometry: NtfsGeometry,
    /// The boot sector, its code and serial number still zero; it lies in the first sector and in the last.
    pub boot_sector: Vec<u8>,
    /// Each file's length and place, in the order given.
    pub files: Vec<FilePlace>,
    /// Everything that is not a file's own clusters.
    pub areas: Vec<Area>,
    /// Clusters that are taken, which are the first ones.
    used: u64,
    /// Records of the system and of directories.
    head: Vec<[u8; RECORD]>,
    /// Of each file: its directory's record, names, flags.
    names: Vec<FileNames>,
    /// Records of the MFT in all.
    records: u64,
}

/// Where a file's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePlace {
    /// Its length.
    pub bytes: u64,
    /// Its clusters; none where it is in its record, as an empty one always is.
    pub run: Option<ClusterRun>,
}

#[derive(Clone, Debug)]
struct FileNames {
    parent: u64,
    links: Vec<LinkName>,
    flags: u32,
    times: Times,
}

/// Part of the volume.
#[derive(Clone, Debug)]
pub struct Area {
    /// Where it begins, in bytes from the volume's start; on a sector.
    pub offset: u64,
    /// Its length; whole sectors where it is not [`AreaContent::Bytes`].
    pub bytes: u64,
    /// What it is, for people.
    pub what: &'static str,
    /// What is in it.
    pub content: AreaContent,
}

/// What an area holds.
#[derive(Clone, Debug)]
pub enum AreaContent {
    /// This.
    Bytes(Vec<u8>),
    /// 0xFF throughout.
    Ones,
    /// The MFT: see [`NtfsVolume::records_at`].
    Records,
    /// A part of `$Bitmap`, from this byte on: see [`NtfsVolume::bitmap_at`].
    Bitmap(u64),
}

impl NtfsContent {
    /// Names and lengths, checked.
    pub fn new(files: Vec<NtfsFile>, folders: &[FolderSpec]) -> Result<Self, NtfsError> {
        let mut rests = files.iter().filter(|file| file.bytes == FileLength::Rest);
        if let (Some(_), Some(second)) = (rests.next(), rests.next()) {
            return Err(NtfsError::SecondRest {
                path: second.path.clone(),
            });
        }
        // Directories are at most as many as names; half of the numbers is far beyond memory.
        if files.len() > (u32::MAX / 2) as usize {
            return Err(NtfsError::TooManyFiles { found: files.len() });
        }
        let upcase = UpCase::default();
        let tree = Tree::new(&files, folders, &upcase)?;
        Ok(NtfsContent {
            tree,
            files,
            upcase,
        })
    }

    /// Clusters that the content takes on such a volume, leaving nothing to a file that takes
    /// the rest.
    pub fn clusters(&self, geometry: &NtfsGeometry) -> u64 {
        self.areas(geometry).1 + self.least_clusters()
    }

    /// Clusters of directories and files.
    pub fn least_clusters(&self) -> u64 {
        let files = self.files.iter().zip(&self.tree.files);
        let files = files.map(|(file, (_, links))| match file.bytes {
            FileLength::Bytes(bytes) if !file.is_resident(bytes, links) => bytes.div_ceil(CLUSTER),
            _ => 0,
        });
        self.tree.clusters() + files.sum::<u64>()
    }

    /// Whole clusters of records.
    fn records(&self) -> u64 {
        u64::from(self.tree.records()).next_multiple_of(CLUSTER / RECORD as u64)
    }

    fn areas(&self, geometry: &NtfsGeometry) -> (Areas, u64) {
        let security = MIRROR + security::secure().stream.len() as u64;
        Areas::of(geometry, self.records(), security)
    }

    /// Gives everything its place.
    pub fn place(
        &self,
        geometry: NtfsGeometry,
        start: Lba,
        label: &VolumeLabel,
    ) -> Result<NtfsVolume, NtfsError> {
        let needed = self.clusters(&geometry);
        let free = geometry
            .clusters()
            .checked_sub(needed)
            .ok_or(NtfsError::Full {
                needed: needed * CLUSTER,
                available: geometry.clusters() * CLUSTER,
            })?;
        let (areas, mut next) = self.areas(&geometry);
        let mut take = |bytes: u64| {
            let count = bytes.div_ceil(CLUSTER);
            let run = ClusterRun { first: next, count };
            next += count;
            (count > 0).then_some(run)
        };
        let directories: Vec<(Option<ClusterRun>, Option<ClusterRun>)> = self
            .tree
            .directories
            .iter()
            .map(|directory| {
                let bitmap = directory.bitmap();
                let blocks = take(directory.blocks() * CLUSTER);
                let beside = if bitmap.resident { 0 } else { bitmap.bytes };
                (blocks, take(beside))
            })
            .collect();
        let mut files = Vec::with_capacity(self.files.len());
        for (file, (_, links)) in self.files.iter().zip(&self.tree.files) {
            let bytes = match file.bytes {
                FileLength::Bytes(bytes) => bytes,
                FileLength::Rest => free * CLUSTER,
            };
            let run = if file.is_resident(bytes, links) {
                None
            } else {
                take(bytes)
            };
            files.push(FilePlace { bytes, run });
        }
        let used = next;
        let names = self
            .files
            .iter()
            .zip(&self.tree.files)
            .map(|(file, (directory, links))| FileNames {
                parent: reference(self.tree.number(Target::Directory(*directory))),
                links: links.clone(),
                flags: flags(file.attributes),
                times: file.attributes.times,
            })
            .collect();
        let boot_sector = BootSector {
            geometry: &geometry,
            start,
            mft: areas.mft.first,
            mirror: areas.mirror.first,
        }
        .encode();
        let mut volume = NtfsVolume {
            geometry,
            boot_sector,
            files,
            areas: Vec::new(),
            used,
            head: Vec::new(),
            names,
            records: self.records(),
        };
        self.system(&mut volume, &areas, label, &directories);
        Ok(volume)
    }

    /// The system's files and the directories: their records, and what they have in clusters.
    fn system(
        &self,
        volume: &mut NtfsVolume,
        areas: &Areas,
        label: &VolumeLabel,
        directories: &[(Option<ClusterRun>, Option<ClusterRun>)],
    ) {
        let secure = security::secure();
        let files = system::files(&volume.geometry, areas, volume.records, &secure, label);
        let mut head: Vec<Record> = (0..FIRST_USER_RECORD)
            .map(|number| match number {
                12..16 => system::reserved(number),
                _ => Record::free(number),
            })
            .collect();
        let mut out = Vec::new();
        for (index, (directory, runs)) in self.tree.directories.iter().zip(directories).enumerate()
        {
            let entries: Vec<Vec<u8>> = directory
                .entries
                .iter()
                .map(|(link, target)| {
                    let key = match target {
                        Target::System(ROOT) => system::root_key(),
                        Target::System(number) => files
                            .iter()
                            .find(|file| file.number == *number)
                            .map(system::SystemFile::key)
                            .unwrap_or_default(),
                        Target::Directory(child) => self.directory_key(*child, link),
                        Target::Content(file) => volume.key(*file, link),
                    };
                    name_entry(reference(self.tree.number(*target)), &key)
                })
                .collect();
            let (root, blocks) = directory.shape.encode(Collation::FileName, &entries);
            let record = self.directory_record(index, directory, &root, *runs);
            match index {
                0 => head[ROOT as usize] = record,
                _ => head.push(record),
            }
            if let (Some(run), _) = runs {
                out.push(Area::bytes(*run, "directory", blocks));
            }
            if let (_, Some(run)) = runs {
                out.push(Area::bytes(
                    *run,
                    "directory's bitmap",
                    directory.index_bitmap(),
                ));
            }
        }
        for file in &files {
            head[file.number as usize] = file.record();
        }
        volume.head = head.iter().map(Record::encode).collect();

        let mirror = volume.head[..MIRRORED].concat();
        out.push(Area::bytes(areas.mirror, "$MFTMirr", mirror));
        let mut taken = vec![0u8; system::mft_bitmap_bytes(volume.records) as usize];
        for record in (0..16).chain(24..self.tree.records() as usize) {
            taken[record / 8] |= 1 << (record % 8);
        }
        out.push(Area::bytes(areas.mft_bitmap, "bitmap of the MFT", taken));
        out.push(Area {
            content: AreaContent::Records,
            ..Area::of(areas.mft, "$MFT")
        });
        out.push(Area::bytes(
            areas.definitions,
            "$AttrDef",
            definition::table(),
        ));
        out.push(Area::bytes(areas.upcase, "$UpCase", self.upcase.bytes()));
        out.push(Area {
            content: AreaContent::Ones,
            bytes: volume.geometry.log_bytes(),
            ..Area::of(areas.log, "$LogFile")
        });
        let security = Area::bytes(areas.security, "$Secure", secure.stream);
        out.push(Area {
            offset: security.offset + MIRROR,
            ..security.clone()
        });
        out.push(security);
        out.extend(volume.bitmap_areas(areas.bitmap));
        out.sort_by_key(|area| area.offset);
        volume.areas = out;
    }

    fn directory_key(&self, directory: usize, link: &LinkName) -> Vec<u8> {
        let Directory {
            parent, attributes, ..
        } = self.tree.directories[directory];
        file_name(
            reference(self.tree.number(Target::Directory(parent))),
            link,
            flags(attributes) & !flag::ARCHIVE | flag::NAME_INDEX,
            attributes.times,
            Sizes::default(),
        )
    }

    fn directory_record(
        &self,
        index: usize,
        directory: &Directory,
        root: &[u8],
        (blocks, bitmap): (Option<ClusterRun>, Option<ClusterRun>),
    ) -> Record {
        let (flags, keys) = match index {
            0 => (flag::HIDDEN | flag::SYSTEM, vec![system::root_key()]),
            _ => (
                flags(directory.attributes) & !flag::ARCHIVE,
                (directory.links.iter())
                    .map(|link| self.directory_key(index, link))
                    .collect(),
            ),
        };
        let times = directory.attributes.times;
        let mut attributes = named(flags, times, Security::Directory, keys);
        attributes.push(resident(kind::INDEX_ROOT, "$I30", root));
        if let Some(run) = blocks {
            let bytes = run.count * CLUSTER;
            let allocation = non_resident(kind::INDEX_ALLOCATION, "$I30", Place::Run(run), bytes);
            attributes.push(allocation);
            attributes.push(match bitmap {
                Some(run) => {
                    let bytes = directory.bitmap().bytes;
                    non_resident(kind::BITMAP, "$I30", Place::Run(run), bytes)
                }
                None => resident(kind::BITMAP, "$I30", &directory.index_bitmap()),
            });
        }
        Record {
            number: self.tree.number(Target::Directory(index)),
            state: state::IN_USE | state::DIRECTORY,
            links: directory.links.len().max(1) as u16, // the root has its one name
            attributes,
        }
    }
}

impl Directory {
    /// A bit for every block, all of which are in use.
    fn index_bitmap(&self) -> Vec<u8> {
        let mut bytes = vec![0u8; self.bitmap().bytes as usize];
        for block in 0..self.shape.blocks() {
            bytes[block / 8] |= 1 << (block % 8);
        }
        bytes
    }
}

impl NtfsFile {
    /// Short enough to be in its record, beside these names.
    fn is_resident(&self, bytes: u64, links: &[LinkName]) -> bool {
        let room = ROOM.saturating_sub(names_length(links) + RESIDENT_HEADER);
        bytes == 0 || (!self.in_clusters && bytes.next_multiple_of(8) <= room as u64)
    }
}

fn flags(attributes: Attributes) -> u32 {
    [
        (!attributes.archived, flag::ARCHIVE),
        (attributes.hidden, flag::HIDDEN),
        (attributes.system, flag::SYSTEM),
        (attributes.read_only, flag::READ_ONLY),
    ]
    .iter()
    .filter(|(set, _)| *set)
    .fold(0, |flags, (_, flag)| flags | flag)
}

/// Standard information and names, in the order of their bytes, as all drivers keep them.
fn named(flags: u32, times: Times, security: Security, mut keys: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    keys.sort();
    let information = standard_information(flags, times, security.id());
    let names = keys.iter().map(|key| resident(kind::FILE_NAME, "", key));
    std::iter::once(information).chain(names).collect()
}

impl Area {
    fn of(run: ClusterRun, what: &'static str) -> Self {
        Area {
            offset: run.first * CLUSTER,
            bytes: run.count * CLUSTER,
            what,
            content: AreaContent::Ones,
        }
    }

    fn bytes(run: ClusterRun, what: &'static str, bytes: Vec<u8>) -> Self {
        Area {
            bytes: bytes.len() as u64,
            content: AreaContent::Bytes(bytes),
            ..Area::of(run, what)
        }
    }
}

impl NtfsVolume {
    /// Clusters that are taken, which are the first ones.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// The name of a file, as its directory's index has it.
    fn key(&self, file: usize, link: &LinkName) -> Vec<u8> {
        let FilePlace { bytes, run } = self.files[file];
        let allocated = match run {
            Some(run) => run.count * CLUSTER,
            None => bytes.next_multiple_of(8),
        };
        let names = &self.names[file];
        let sizes = Sizes { allocated, bytes };
        file_name(names.parent, link, names.flags, names.times, sizes)
    }

    fn file_record(&self, file: usize, number: u32, content: &[u8]) -> Record {
        let FileNames {
            links,
            flags,
            times,
            ..
        } = &self.names[file];
        let keys = links.iter().map(|link| self.key(file, link)).collect();
        let mut attributes = named(*flags, *times, Security::Content, keys);
        let FilePlace { bytes, run } = self.files[file];
        attributes.push(match run {
            Some(run) => non_resident(kind::DATA, "", Place::Run(run), bytes),
            None => resident(kind::DATA, "", content),
        });
        Record {
            number,
            state: state::IN_USE,
            links: links.len() as u16, // two at most
            attributes,
        }
    }

    /// Fills `into` with the MFT from `offset` on, both whole records. `read` gives the content
    /// of a file that is in its record.
    pub fn records_at<E>(
        &self,
        offset: u64,
        into: &mut [u8],
        mut read: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = (offset / RECORD as u64) as usize;
        for (number, slot) in (first..).zip(into.chunks_exact_mut(RECORD)) {
            let file = number.checked_sub(self.head.len());
            let record = match (self.head.get(number), file) {
                (Some(record), _) => *record,
                (None, Some(file)) if file < self.files.len() => {
                    let place = self.files[file];
                    let mut content = match place.run {
                        Some(_) => Vec::new(),
                        None => vec![0; place.bytes as usize], // less than a record
                    };
                    if !content.is_empty() {
                        read(file, &mut content)?;
                    }
                    self.file_record(file, number as u32, &content).encode()
                }
                _ => Record::free(number as u32).encode(),
            };
            slot.copy_from_slice(&record);
        }
        Ok(())
    }

    /// Fills `into` with `$Bitmap` from byte `offset` on: a bit for each cluster in use, and for
    /// those that only the last word has room for.
    pub fn bitmap_at(&self, offset: u64, into: &mut [u8]) {
        let end = self.geometry.clusters();
        let all = self.geometry.bitmap_bytes();
        for (at, byte) in (offset..).zip(into) {
            let first = at * 8;
            *byte = match () {
                () if at >= all => 0,
                () if first + 8 <= self.used || first >= end => 0xFF,
                () if first >= self.used && first + 8 <= end => 0,
                () => (0..8)
                    .filter(|bit| first + bit < self.used || first + bit >= end)
                    .fold(0, |byte, bit| byte | 1 << bit),
            };
        }
    }

    /// `$Bitmap` begins with ones and may end with some; between them it stays a hole.
    fn bitmap_areas(&self, run: ClusterRun) -> Vec<Area> {
        const SECTOR: u64 = 512;
        let all = self.geometry.bitmap_bytes().next_multiple_of(SECTOR);
        let head = self.used.div_ceil(8).next_multiple_of(SECTOR).min(all);
        let part = |from: u64, bytes: u64| Area {
            offset: run.first * CLUSTER + from,
            bytes,
            what: "$Bitmap",
            content: AreaContent::Bitmap(from),
        };
        let mut areas = vec![part(0, head)];
        if head < all {
            areas.push(part(all - SECTOR, SECTOR));
        }
        areas
    }
}
