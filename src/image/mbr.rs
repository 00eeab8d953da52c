// SPDX-License-Identifier: MIT OR Apache-2.0
//! The master boot record: boot code, disk signature, partition table.
//!
//! Code runs to 0x1B8; then the disk signature (u32), two bytes of zero, four partition entries
//! of 16 bytes, 0x55 0xAA. Everything is little-endian.

use super::geometry::chs;
use super::unit::{Lba, SECTOR, SectorCount};

/// `boot/mbr.S`, assembled.
pub const CODE: &[u8] = include_bytes!("boot/mbr.bin");

mod field {
    use std::ops::Range;

    pub const SIGNATURE: Range<usize> = 0x1B8..0x1BC;
    pub const TABLE: usize = 0x1BE;
    pub const ENTRY: usize = 16;
    pub const MAGIC: Range<usize> = 0x1FE..0x200;

    // Within an entry.
    pub const STATUS: usize = 0;
    pub const FIRST_CHS: Range<usize> = 1..4;
    pub const KIND: usize = 4;
    pub const LAST_CHS: Range<usize> = 5..8;
    pub const FIRST_LBA: Range<usize> = 8..12;
    pub const SECTORS: Range<usize> = 12..16;
}

const _: () = assert!(CODE.len() <= field::SIGNATURE.start);

/// Where the partition begins: 1 MiB, as every partitioner since 2008 has it.
pub const PARTITION_START: Lba = Lba(2048);

/// A partition's type byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionKind {
    /// FAT32 that is addressed by LBA.
    Fat32Lba,
    /// NTFS.
    Ntfs,
}

impl PartitionKind {
    fn byte(self) -> u8 {
        match self {
            PartitionKind::Fat32Lba => 0x0C,
            PartitionKind::Ntfs => 0x07,
        }
    }
}

/// The disk's one partition, which is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// What is on it.
    pub kind: PartitionKind,
    /// Its first sector.
    pub start: Lba,
    /// Its length, not zero.
    pub sectors: SectorCount,
}

/// Sector 0 of a disk with this signature and partition.
pub fn encode(signature: u32, partition: Partition) -> Vec<u8> {
    let mut sector = vec![0; SECTOR as usize];
    sector[..CODE.len()].copy_from_slice(CODE);
    sector[field::SIGNATURE].copy_from_slice(&signature.to_le_bytes());
    let last = Lba(partition.start.0 + (partition.sectors.0 - 1));
    let entry = &mut sector[field::TABLE..][..field::ENTRY];
    entry[field::STATUS] = 0x80;
    entry[field::FIRST_CHS].copy_from_slice(&chs(partition.start));
    entry[field::KIND] = partition.kind.byte();
    entry[field::LAST_CHS].copy_from_slice(&chs(last));
    entry[field::FIRST_LBA].copy_from_slice(&partition.start.0.to_le_bytes());
    entry[field::SECTORS].copy_from_slice(&partition.sectors.0.to_le_bytes());
    sector[field::MAGIC].copy_from_slice(&[0x55, 0xAA]);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_stands_where_it_is_documented() {
        let sector = encode(
            0x1234_5678,
            Partition {
                kind: PartitionKind::Fat32Lba,
                start: PARTITION_START,
                sectors: SectorCount(5 * 16065 - 2048),
            },
        );
        assert_eq!(sector.len(), 512);
        assert_eq!(&sector[..CODE.len()], CODE);
        assert!(sector[CODE.len()..0x1B8].iter().all(|byte| *byte == 0));
        assert_eq!(sector[0x1B8..0x1BE], [0x78, 0x56, 0x34, 0x12, 0, 0]);
        assert_eq!(
            sector[0x1BE..0x1CE],
            [
                0x80, 0x20, 0x21, 0x00, 0x0C, 0xFE, 0x3F, 0x04, 0x00, 0x08, 0x00, 0x00, 0xC5, 0x31,
                0x01, 0x00
            ]
        );
        assert!(sector[0x1CE..0x1FE].iter().all(|byte| *byte == 0));
        assert_eq!(sector[0x1FE..], [0x55, 0xAA]);
    }
}
