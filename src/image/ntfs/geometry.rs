// SPDX-License-Identifier: MIT OR Apache-2.0
//! How large a volume and its fixed areas are.

use crate::image::unit::{SECTOR, SectorCount};

/// Bytes in a cluster, whatever the volume's size: a page, and enough for 16 TiB.
pub const CLUSTER: u64 = 4096;
/// Sectors in a cluster.
pub const CLUSTER_SECTORS: u32 = (CLUSTER / SECTOR) as u32;

/// The clusters of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtfsGeometry {
    sectors: u32,
}

/// Clusters in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterRun {
    /// The first.
    pub first: u64,
    /// How many, not zero.
    pub count: u64,
}

impl NtfsGeometry {
    /// A volume that takes so many sectors, of which the last is the boot sector's copy; `None`
    /// where there is no room for a cluster.
    pub fn of(sectors: SectorCount) -> Option<Self> {
        (sectors.0 > CLUSTER_SECTORS).then_some(NtfsGeometry { sectors: sectors.0 })
    }

    /// Sectors that the boot sector states: all but its copy.
    pub fn sectors(&self) -> SectorCount {
        SectorCount(self.sectors - 1)
    }

    /// The sector of the boot sector's copy.
    pub fn backup(&self) -> u32 {
        self.sectors - 1
    }

    /// Whole clusters.
    pub fn clusters(&self) -> u64 {
        u64::from(self.sectors().0 / CLUSTER_SECTORS)
    }

    /// Bytes of `$Bitmap`: a bit for each cluster, in whole words of eight bytes.
    pub fn bitmap_bytes(&self) -> u64 {
        self.clusters().div_ceil(8).next_multiple_of(8)
    }

    /// Bytes of `$LogFile`. NTFS takes any from 256 KiB on; more is for volumes that are written
    /// to all day, and every byte of it is 0xFF, which no image wants to carry.
    pub fn log_bytes(&self) -> u64 {
        match self.sectors().bytes() >> 20 {
            0..8 => 256 << 10,
            _ => 2 << 20,
        }
    }

    /// The first sector of a cluster, from the volume's start.
    pub fn cluster_sector(&self, cluster: u64) -> u32 {
        cluster as u32 * CLUSTER_SECTORS // within a volume of u32 sectors
    }
}
