// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long files shall be, and whether a volume has room for them, whatever its file system.

use super::spec::DiskPath;

/// How long a file shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileLength {
    /// So many bytes.
    Bytes(u64),
    /// As many as are left when everything else has its place.
    Rest,
}

/// Files for which there is no room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
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

/// At most one file takes what is left.
pub(super) fn one_rest<'a>(
    files: impl Iterator<Item = (&'a DiskPath, FileLength)>,
) -> Result<(), RoomError> {
    let mut rests = files.filter(|(_, length)| *length == FileLength::Rest);
    match (rests.next(), rests.next()) {
        (Some(_), Some((second, _))) => Err(RoomError::SecondRest {
            path: second.clone(),
        }),
        _ => Ok(()),
    }
}

/// Clusters that are left of a volume's when `needed` are taken.
pub(super) fn left(volume: u64, needed: u64, cluster_bytes: u64) -> Result<u64, RoomError> {
    volume.checked_sub(needed).ok_or(RoomError::Full {
        needed: needed * cluster_bytes,
        available: volume * cluster_bytes,
    })
}
