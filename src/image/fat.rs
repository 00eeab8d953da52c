// SPDX-License-Identifier: MIT OR Apache-2.0
//! A FAT32 volume that is written once: every cluster decided before a byte is written.
//!
//! Source: Microsoft, "FAT: General Overview of On-Disk Format", version 1.03 (fatgen103). The
//! directories come first, then the files, each in one piece and in the order asked for.

mod bpb;
mod directory;
mod geometry;
pub(in crate::image) mod name;
mod table;

pub use bpb::{BACKUP_SECTOR, BootSector, FS_INFO_SECTOR, fs_info, set_volume_id};
pub use geometry::{FatGeometry, MIN_CLUSTERS};
pub use table::FatTable;

use super::spec::{Attributes, DiskPath, FolderSpec, VolumeLabel};
use directory::Tree;

/// The longest file: its length is a u32 (fatgen103, `DIR_FileSize`).
pub const MAX_FILE: u64 = u32::MAX as u64;

/// A file to place.
#[derive(Clone, Debug)]
pub struct FatFile {
    /// Where in the tree.
    pub path: DiskPath,
    /// What is said of it.
    pub attributes: Attributes,
    /// Its length.
    pub bytes: FileLength,
}

/// How long a file shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileLength {
    /// So many bytes.
    Bytes(u64),
    /// As many as are left when everything else has its place.
    Rest,
}

/// Files that no FAT32 volume can hold as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FatError {
    /// The same name twice, without regard to case, or a file where a directory is needed.
    #[error("{path}: the name is taken twice (FAT does not tell upper from lower case)")]
    Duplicate {
        /// The path.
        path: DiskPath,
    },
    /// Longer than the length field can say.
    #[error(
        "{path} would have {found} bytes; a file on FAT32 has at most {MAX_FILE} (4 GiB less one byte)"
    )]
    FileTooLarge {
        /// The path.
        path: DiskPath,
        /// Its length.
        found: u64,
    },
    /// Past what drivers read of a directory.
    #[error(
        "{directory}: expected a directory of at most 65536 entries (long names take several), found {found}"
    )]
    DirectoryTooLarge {
        /// The directory.
        directory: String,
        /// Entries of 32 bytes.
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

/// Clusters in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterRun {
    /// The first; data begins at cluster 2.
    pub first: u32,
    /// How many, not zero.
    pub count: u32,
}

/// A volume whose every cluster is decided.
#[derive(Clone, Debug)]
pub struct FatVolume {
    /// Sizes and places of its areas.
    pub geometry: FatGeometry,
    /// Both copies of the allocation table.
    pub table: FatTable,
    /// Each directory's clusters and entries, the root first.
    pub directories: Vec<(ClusterRun, Vec<u8>)>,
    /// Each file's length and clusters (none if it is empty), in the order given.
    pub files: Vec<(u64, Option<ClusterRun>)>,
}

/// The content alone, before the volume's size is known.
#[derive(Clone, Debug)]
pub struct FatContent {
    tree: Tree,
    files: Vec<FatFile>,
}

impl FatContent {
    /// Names and lengths, checked.
    pub fn new(files: Vec<FatFile>, folders: &[FolderSpec]) -> Result<Self, FatError> {
        let mut rest = false;
        for file in &files {
            match file.bytes {
                FileLength::Bytes(found) if found > MAX_FILE => {
                    return Err(FatError::FileTooLarge {
                        path: file.path.clone(),
                        found,
                    });
                }
                FileLength::Rest if rest => {
                    return Err(FatError::SecondRest {
                        path: file.path.clone(),
                    });
                }
                FileLength::Rest => rest = true,
                FileLength::Bytes(_) => {}
            }
        }
        let tree = Tree::new(&files, folders)?;
        Ok(FatContent { tree, files })
    }

    /// Clusters of that size that the content takes, leaving nothing to a file that takes the
    /// rest.
    pub fn clusters(&self, cluster_bytes: u64) -> u64 {
        let directories = self
            .tree
            .lengths()
            .map(|bytes| bytes.div_ceil(cluster_bytes));
        let files = self.files.iter().map(|file| match file.bytes {
            FileLength::Bytes(bytes) => bytes.div_ceil(cluster_bytes),
            FileLength::Rest => 0,
        });
        directories.chain(files).sum()
    }

    /// Gives everything its place.
    pub fn place(&self, geometry: FatGeometry, label: &VolumeLabel) -> Result<FatVolume, FatError> {
        let cluster_bytes = geometry.cluster_bytes();
        let needed = self.clusters(cluster_bytes);
        let free = u64::from(geometry.clusters())
            .checked_sub(needed)
            .ok_or(FatError::Full {
                needed: needed * cluster_bytes,
                available: u64::from(geometry.clusters()) * cluster_bytes,
            })?;

        let mut next = 2;
        let mut table = FatTable::default();
        let mut take = |bytes: u64| {
            // Within the geometry's u32, as the sum of all was checked above.
            let count = bytes.div_ceil(cluster_bytes) as u32;
            let run = ClusterRun { first: next, count };
            next += count;
            (count > 0).then(|| {
                table.add(run);
                run
            })
        };
        let directory_runs: Vec<ClusterRun> = self.tree.lengths().filter_map(&mut take).collect();
        let mut files = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let bytes = match file.bytes {
                FileLength::Bytes(bytes) => bytes,
                FileLength::Rest => free * cluster_bytes,
            };
            if bytes > MAX_FILE {
                return Err(FatError::FileTooLarge {
                    path: file.path.clone(),
                    found: bytes,
                });
            }
            files.push((bytes, take(bytes)));
        }
        let directories = self.tree.encode(label, &directory_runs, &files);
        Ok(FatVolume {
            geometry,
            table,
            directories: directory_runs.into_iter().zip(directories).collect(),
            files,
        })
    }
}
