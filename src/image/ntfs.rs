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
mod metadata;
mod name;
mod record;
mod security;
mod system;
mod tree;
mod upcase;
mod volume;

pub use super::room::FileLength;
pub use boot::set_serial;
pub use geometry::{CLUSTER, ClusterRun, NtfsGeometry};
pub use record::RECORD;
pub(in crate::image) use security::usual_security;
pub use upcase::UpCase;

use super::room::{self, RoomError};
use super::spec::{Attributes, DiskPath, FolderSpec, VolumeLabel};
use super::times::Times;
use super::unit::Lba;
use attribute::{RESIDENT_HEADER, flag, kind, resident, standard_information};
use boot::BootSector;
use name::LinkName;
use record::{ROOM, reference};
use security::{MIRROR, Security};
use system::Areas;
use tree::{Target, Tree, names_length};

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
    /// There is no room.
    #[error(transparent)]
    Room(#[from] RoomError),
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
        room::one_rest(files.iter().map(|file| (&file.path, file.bytes)))?;
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
        let free = room::left(geometry.clusters(), needed, CLUSTER)?;
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
