// SPDX-License-Identifier: MIT OR Apache-2.0
//! How large a volume's areas are: reserved sectors, two FATs, clusters.

use crate::image::unit::{SECTOR, SectorCount};

/// Fewer clusters than 65,525 make a volume FAT16, whatever it calls itself; Microsoft asks to
/// stay 16 away from the limit, as others count differently (fatgen103, "FAT Type Determination").
pub const MIN_CLUSTERS: u32 = 65_525 + 16;
/// Entries are 28 bits, and 0x0FFFFFF7 and above have meanings.
const MAX_CLUSTERS: u32 = 0x0FFF_FFF5 - 16;
/// Sectors before the first FAT: boot sector, `FSInfo`, their backups at 6, and custom.
const MIN_RESERVED: u32 = 32;
/// Entries of the table in a sector.
const ENTRIES: u32 = SECTOR as u32 / 4;
/// Clusters begin on a multiple of 4 KiB, which is what discs and memory pages like.
const ALIGNMENT: u32 = 8;

/// The areas of a FAT32 volume, in sectors from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FatGeometry {
    sectors: u32,
    reserved: u32,
    table: u32,
    cluster: u32,
    clusters: u32,
}

impl FatGeometry {
    /// The layout of a volume of that length, with the largest sensible clusters that keep it a
    /// legal FAT32; `None` where none do.
    pub fn of(sectors: SectorCount) -> Option<Self> {
        // What Windows formats with, as an upper limit (fatgen103, DskTableFAT32).
        let largest = match sectors.bytes() >> 30 {
            0..8 => 8,
            8..16 => 16,
            16..32 => 32,
            _ => 64,
        };
        std::iter::successors(Some(largest), |cluster| Some(cluster / 2))
            .take_while(|cluster| *cluster > 0)
            .find_map(|cluster| Self::with_cluster(sectors.0, cluster))
    }

    fn with_cluster(sectors: u32, cluster: u32) -> Option<Self> {
        // The table has an entry for each cluster and two more, so with C clusters of S sectors
        // in the D sectors after the reserved ones: 128 T >= C + 2 and C = (D - 2 T) / S, hence
        // T >= (D + 2 S) / (128 S + 2).
        let after = u64::from(sectors.checked_sub(MIN_RESERVED)?);
        let table = (after + 2 * u64::from(cluster))
            .div_ceil(u64::from(ENTRIES) * u64::from(cluster) + 2) as u32;
        let before = MIN_RESERVED + 2 * table;
        let data = before.next_multiple_of(ALIGNMENT);
        let clusters = sectors.checked_sub(data)? / cluster;
        (MIN_CLUSTERS..=MAX_CLUSTERS)
            .contains(&clusters)
            .then_some(FatGeometry {
                sectors,
                reserved: data - 2 * table,
                table,
                cluster,
                clusters,
            })
    }

    /// The whole volume.
    pub fn sectors(&self) -> SectorCount {
        SectorCount(self.sectors)
    }

    /// Sectors before the first table.
    pub fn reserved(&self) -> u32 {
        self.reserved
    }

    /// Sectors of one of the two tables.
    pub fn table_sectors(&self) -> u32 {
        self.table
    }

    /// Sectors in a cluster, a power of two.
    pub fn cluster_sectors(&self) -> u32 {
        self.cluster
    }

    /// Bytes in a cluster.
    pub fn cluster_bytes(&self) -> u64 {
        u64::from(self.cluster) * SECTOR
    }

    /// How many clusters hold data; they count from 2.
    pub fn clusters(&self) -> u32 {
        self.clusters
    }

    /// The first sector of a cluster.
    pub fn cluster_sector(&self, cluster: u32) -> u32 {
        self.reserved + 2 * self.table + (cluster - 2) * self.cluster
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn areas_fit_and_the_table_covers_every_cluster(sectors: u32) {
            let Some(geometry) = FatGeometry::of(SectorCount(sectors)) else {
                prop_assert!(sectors < 67_000, "{}", sectors);
                return Ok(());
            };
            let end = u64::from(geometry.reserved) + 2 * u64::from(geometry.table)
                + u64::from(geometry.clusters) * u64::from(geometry.cluster);
            prop_assert!(end <= u64::from(sectors));
            prop_assert!(u64::from(sectors) - end < u64::from(geometry.cluster));
            let entries = u64::from(geometry.table) * 128;
            prop_assert!(entries >= u64::from(geometry.clusters) + 2);
            // No more than a sector or two of it is idle.
            prop_assert!(entries < u64::from(geometry.clusters) + 2 + 3 * 128);
            prop_assert!(geometry.clusters >= 65_525);
            prop_assert!((32..32 + ALIGNMENT).contains(&geometry.reserved));
            prop_assert_eq!(geometry.cluster_sector(2) % ALIGNMENT, 0);
        }
    }

    #[test]
    fn cluster_sizes() {
        for (mib, cluster) in [
            (34, 1),
            (64, 1),
            (70, 2),
            (200, 4),
            (300, 8),
            (4096, 8),
            (9000, 16),
            (17_000, 32),
            (40_000, 64),
        ] {
            let geometry = FatGeometry::of(SectorCount(mib << 11)).unwrap();
            assert_eq!(geometry.cluster_sectors(), cluster, "{mib} MiB");
        }
        assert_eq!(FatGeometry::of(SectorCount(66_000)), None);
        assert_eq!(FatGeometry::of(SectorCount(0)), None);
    }
}
