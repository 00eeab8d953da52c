// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sector 0 of a disk as somebody else may have written it.

use serde::Serialize;

use crate::image::geometry::CYLINDER;
use crate::image::le::{u16_at, u32_at};
use crate::image::mbr;

/// What sector 0 says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Whose code is in it.
    pub boot_code: BootCode,
    /// Whether it ends with 55 AA.
    pub marked: bool,
    /// By which Windows knows the disk.
    pub signature: u32,
    /// Whether it only protects a GPT.
    pub gpt: bool,
    /// The entries that are in use.
    pub partitions: Vec<PartitionEntry>,
}

/// Whose boot code a sector has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BootCode {
    /// Slamboot's own.
    Slamboot,
    /// Somebody else's, that may work.
    Other,
    /// A text that the disk is not bootable (mkfs.vfat, mkntfs).
    Refusal,
    /// Zeros.
    None,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionEntry {
    /// 1 to 4.
    pub number: usize,
    /// Whether the BIOS's boot code starts it.
    pub active: bool,
    /// Its status byte, where it is neither 0 nor 0x80.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub odd_status: Option<u8>,
    /// Its type byte, such as 0x07.
    pub kind: u8,
    /// First sector.
    pub start: u32,
    /// Sectors.
    pub sectors: u32,
    /// Whether it ends where a cylinder of 255 heads and 63 sectors does.
    pub ends_on_cylinder: bool,
}

impl BootCode {
    /// Of a sector whose code, if it is slamboot's, is `ours` at `offset`.
    pub fn of(sector: &[u8], offset: usize, ours: &[u8]) -> Self {
        let code = sector.get(offset..0x1B8.max(offset)).unwrap_or_default();
        if sector
            .get(offset..)
            .is_some_and(|code| code.starts_with(ours))
        {
            BootCode::Slamboot
        } else if code.iter().all(|byte| *byte == 0) {
            BootCode::None
        } else if sector.windows(12).any(|text| text == b"not a bootab") {
            BootCode::Refusal
        } else {
            BootCode::Other
        }
    }
}

impl Table {
    /// Decodes a sector of 512 bytes.
    pub fn decode(sector: &[u8]) -> Self {
        let partitions: Vec<PartitionEntry> = (0..4)
            .map(|index| (index, sector.get(0x1BE + index * 16..).unwrap_or_default()))
            .filter(|(_, entry)| entry.get(4).is_some_and(|kind| *kind != 0))
            .map(|(index, entry)| {
                let (start, sectors) = (u32_at(entry, 8), u32_at(entry, 12));
                let end = u64::from(start) + u64::from(sectors);
                PartitionEntry {
                    number: index + 1,
                    active: entry[0] == 0x80,
                    odd_status: (entry[0] & 0x7F != 0).then_some(entry[0]),
                    kind: entry[4],
                    start,
                    sectors,
                    ends_on_cylinder: end.is_multiple_of(u64::from(CYLINDER)),
                }
            })
            .collect();
        Table {
            boot_code: BootCode::of(sector, 0, mbr::CODE),
            marked: u16_at(sector, 0x1FE) == 0xAA55,
            signature: u32_at(sector, 0x1B8),
            gpt: partitions.iter().any(|partition| partition.kind == 0xEE),
            partitions,
        }
    }

    /// The one active partition, if there is exactly one.
    pub fn active(&self) -> Option<&PartitionEntry> {
        let mut active = self.partitions.iter().filter(|partition| partition.active);
        active.next().filter(|_| active.next().is_none())
    }
}

impl PartitionEntry {
    /// Its type, for people.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            0x01 | 0x04 | 0x06 | 0x0E => "FAT",
            0x07 => "NTFS or exFAT",
            0x0B | 0x0C => "FAT32",
            0x05 | 0x0F => "extended",
            0x82 => "Linux swap",
            0x83 => "Linux",
            0xEE => "GPT",
            0xEF => "EFI system",
            _ => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::mbr::{Partition, PartitionKind};
    use crate::image::unit::{Lba, SectorCount};

    #[test]
    fn our_own_sector() {
        let partition = Partition {
            kind: PartitionKind::Fat32Lba,
            start: Lba(2048),
            sectors: SectorCount(5 * CYLINDER - 2048),
        };
        let mut sector = mbr::encode(0x1234_5678, partition);
        let table = Table::decode(&sector);
        assert_eq!(table.boot_code, BootCode::Slamboot);
        assert_eq!(
            (table.signature, table.marked, table.gpt),
            (0x1234_5678, true, false)
        );
        let active = table.active().unwrap();
        assert_eq!((active.number, active.kind, active.start), (1, 0x0C, 2048));
        assert!(active.ends_on_cylinder && active.odd_status.is_none());

        sector.copy_within(0x1BE..0x1CE, 0x1CE);
        assert_eq!(Table::decode(&sector).active(), None);
        sector[0x1BE] = 0x01;
        sector[0x1C2] = 0xEE;
        let table = Table::decode(&sector);
        assert!(table.gpt && table.partitions[0].odd_status == Some(1));
        assert_eq!(table.active().unwrap().number, 2);
        sector[..0x1B8].fill(0);
        assert_eq!(Table::decode(&sector).boot_code, BootCode::None);
        for length in 0..512 {
            let _ = Table::decode(&sector[..length]);
        }
    }
}
