// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cylinders, heads and sectors: 255 heads of 63 sectors.
//!
//! memdisk has no drive to ask, so it takes the geometry from where the partitions end. A disk
//! that is a whole number of these cylinders, with a partition up to the last sector, leaves it
//! nothing to guess (syslinux, memdisk/setup.c).

use super::unit::{Lba, SECTOR, SectorCount};

/// Heads, as every BIOS translates a large disk.
pub const HEADS: u16 = 255;
/// Sectors on a track; CHS counts them from 1.
pub const SECTORS_PER_TRACK: u16 = 63;
/// Sectors in a cylinder.
pub const CYLINDER: u32 = HEADS as u32 * SECTORS_PER_TRACK as u32;
/// Bytes in a cylinder.
pub const CYLINDER_BYTES: u64 = CYLINDER as u64 * SECTOR;
/// The largest disk whose every sector has an [`Lba`].
pub const MAX_CYLINDERS: u32 = u32::MAX / CYLINDER;

/// A number of whole cylinders, 1 to [`MAX_CYLINDERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cylinders(u32);

impl Cylinders {
    /// The fewest that hold `bytes`; `None` where the MBR cannot address so many.
    pub fn holding(bytes: u64) -> Option<Self> {
        u32::try_from(bytes.div_ceil(CYLINDER_BYTES).max(1))
            .ok()
            .filter(|count| *count <= MAX_CYLINDERS)
            .map(Cylinders)
    }

    /// As a length.
    pub fn sectors(self) -> SectorCount {
        SectorCount(self.0 * CYLINDER)
    }

    /// How many.
    pub fn count(self) -> u32 {
        self.0
    }
}

/// The three bytes of a CHS address in a partition entry: head, then sector with the cylinder's
/// upper bits, then cylinder. Past cylinder 1023 the customary FE FF FF, "see the LBA".
pub fn chs(lba: Lba) -> [u8; 3] {
    let cylinder = lba.0 / CYLINDER;
    if cylinder > 1023 {
        return [0xFE, 0xFF, 0xFF];
    }
    let head = lba.0 % CYLINDER / u32::from(SECTORS_PER_TRACK);
    let sector = lba.0 % u32::from(SECTORS_PER_TRACK) + 1;
    [
        head as u8,
        (sector | (cylinder >> 8) << 6) as u8,
        (cylinder & 0xFF) as u8,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_others_have_computed() {
        // What sfdisk and Windows write for these.
        for (lba, bytes) in [
            (0, [0x00, 0x01, 0x00]),
            (63, [0x01, 0x01, 0x00]),
            (2048, [0x20, 0x21, 0x00]),
            (CYLINDER - 1, [0xFE, 0x3F, 0x00]),
            (1024 * CYLINDER - 1, [0xFE, 0xFF, 0xFF]),
            (1024 * CYLINDER, [0xFE, 0xFF, 0xFF]),
            (300 * CYLINDER, [0x00, 0x41, 0x2C]),
        ] {
            assert_eq!(chs(Lba(lba)), bytes, "{lba}");
        }
    }

    #[test]
    fn whole_cylinders() {
        assert_eq!(Cylinders::holding(1).unwrap().count(), 1);
        assert_eq!(Cylinders::holding(CYLINDER_BYTES).unwrap().count(), 1);
        assert_eq!(Cylinders::holding(CYLINDER_BYTES + 1).unwrap().count(), 2);
        assert_eq!(Cylinders::holding(200 << 20).unwrap().count(), 26);
        assert_eq!(Cylinders::holding(2 << 40), None);
        assert_eq!(Cylinders::holding(u64::MAX), None);
    }
}
