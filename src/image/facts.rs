// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is decided of a disk before its files are rendered, and what such a file may say of it.

use super::mbr::Partition;
use super::unit::SectorCount;

/// What is derived from the inputs, so that the same inputs give the same disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The disk signature in the MBR, never zero: by it Windows' boot manager finds the disk.
    pub signature: u32,
    /// The volume's serial number.
    pub volume_id: u32,
    /// The CRC-32 that the whole disk shall have, where it is balanced.
    pub crc32: u32,
}

impl Identity {
    /// The volume's serial number where the file system has room for 64 bits.
    pub fn volume_serial(&self) -> u64 {
        u64::from(self.crc32) << 32 | u64::from(self.volume_id)
    }
}

/// What a file may need to know of the disk on which it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskFacts {
    /// The whole disk.
    pub sectors: SectorCount,
    /// The one partition.
    pub partition: Partition,
    /// Signature and the like.
    pub identity: Identity,
}
