// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disk addresses and lengths in 512-byte sectors.

use std::fmt;
use std::ops::Add;

/// Bytes in a sector. The image is read through the BIOS and memdisk, which know no other size.
pub const SECTOR: u64 = 512;

/// A sector's address, counted from the start of the disk (not of the volume).
///
/// 32 bits, because an MBR partition entry holds no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lba(pub u32);

/// A number of sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectorCount(pub u32);

impl Lba {
    /// Where the sector begins, in bytes from the start of the disk.
    pub fn byte_offset(self) -> u64 {
        u64::from(self.0) * SECTOR
    }
}

impl SectorCount {
    /// The length in bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0) * SECTOR
    }

    /// How many sectors hold `bytes`; `None` past what an [`Lba`] addresses.
    pub fn holding(bytes: u64) -> Option<Self> {
        u32::try_from(bytes.div_ceil(SECTOR)).ok().map(SectorCount)
    }
}

/// The address that many sectors further. Every caller stays inside a disk whose length is a
/// [`SectorCount`], so the sum cannot overflow.
impl Add<SectorCount> for Lba {
    type Output = Lba;

    fn add(self, count: SectorCount) -> Lba {
        Lba(self.0 + count.0)
    }
}

impl fmt::Display for Lba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LBA {}", self.0)
    }
}

impl fmt::Display for SectorCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sectors", self.0)
    }
}
