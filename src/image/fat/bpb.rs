// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot sector's parameter block, and the `FSInfo` sector (fatgen103, sections 3 and 5).

use super::FatGeometry;
use crate::image::geometry::{HEADS, SECTORS_PER_TRACK};
use crate::image::spec::VolumeLabel;
use crate::image::unit::{Lba, SECTOR};

/// Sector of `FSInfo` on the volume.
pub const FS_INFO_SECTOR: u32 = 1;
/// Sector of the boot sector's backup; the other two follow it.
pub const BACKUP_SECTOR: u32 = 6;
/// The root directory's first cluster.
const ROOT_CLUSTER: u32 = 2;
/// Where the serial number stands (`BS_VolID`).
const VOLUME_ID: usize = 0x43;
/// A hard disk.
const MEDIA: u8 = 0xF8;

/// What a boot sector says of its volume.
#[derive(Clone, Copy, Debug)]
pub struct BootSector<'a> {
    /// Sizes of the areas.
    pub geometry: &'a FatGeometry,
    /// Where the volume begins: the boot manager computes the partition from this field.
    pub start: Lba,
    /// The volume's name, as in the root directory.
    pub label: &'a VolumeLabel,
}

impl BootSector<'_> {
    /// The sector, its boot code and serial number still zero.
    pub fn encode(&self) -> Vec<u8> {
        let geometry = self.geometry;
        let mut sector = vec![0; SECTOR as usize];
        let mut put = |offset: usize, bytes: &[u8]| {
            sector[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        put(0x00, &[0xEB, 0x58, 0x90]); // jump to 0x5A
        put(0x03, b"MSWIN4.1"); // what fatgen103 recommends for old drivers' sake
        put(0x0B, &(SECTOR as u16).to_le_bytes());
        put(0x0D, &[geometry.cluster_sectors() as u8]); // at most 64
        put(0x0E, &(geometry.reserved() as u16).to_le_bytes()); // at most 39
        put(0x10, &[2]); // tables
        put(0x15, &[MEDIA]);
        put(0x18, &SECTORS_PER_TRACK.to_le_bytes());
        put(0x1A, &HEADS.to_le_bytes());
        put(0x1C, &self.start.0.to_le_bytes()); // hidden sectors
        put(0x20, &geometry.sectors().0.to_le_bytes());
        put(0x24, &geometry.table_sectors().to_le_bytes());
        put(0x2C, &ROOT_CLUSTER.to_le_bytes());
        put(0x30, &(FS_INFO_SECTOR as u16).to_le_bytes());
        put(0x32, &(BACKUP_SECTOR as u16).to_le_bytes());
        put(0x40, &[0x80]); // BIOS drive
        put(0x42, &[0x29]); // the next three fields are there
        put(0x47, self.label.padded());
        put(0x52, b"FAT32   ");
        put(0x1FE, &[0x55, 0xAA]);
        sector
    }
}

/// Puts the serial number into a boot sector.
pub fn set_volume_id(sector: &mut [u8], id: u32) {
    sector[VOLUME_ID..VOLUME_ID + 4].copy_from_slice(&id.to_le_bytes());
}

/// The `FSInfo` sector of a volume whose clusters below `used` are taken.
pub fn fs_info(geometry: &FatGeometry, used: u32) -> Vec<u8> {
    let mut sector = vec![0; SECTOR as usize];
    let free = geometry.clusters() + 2 - used;
    // A full volume has no next free cluster: "unknown".
    let next = if free == 0 { u32::MAX } else { used };
    for (offset, value) in [
        (0x000, 0x4161_5252), // "RRaA"
        (0x1E4, 0x6141_7272), // "rrAa"
        (0x1E8, free),
        (0x1EC, next),
        (0x1FC, 0xAA55_0000),
    ] {
        sector[offset..offset + 4].copy_from_slice(&u32::to_le_bytes(value));
    }
    sector
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::unit::SectorCount;

    #[test]
    fn every_field_stands_where_it_is_documented() {
        let geometry = FatGeometry::of(SectorCount(78_276)).unwrap();
        let mut sector = BootSector {
            geometry: &geometry,
            start: Lba(2048),
            label: &"SLAMBOOT".parse().unwrap(),
        }
        .encode();
        set_volume_id(&mut sector, 0x1234_5678);
        let word = |at: usize| u16::from_le_bytes([sector[at], sector[at + 1]]);
        let long = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
        assert_eq!(sector[0..3], [0xEB, 0x58, 0x90]);
        assert_eq!(word(0x0B), 512);
        assert_eq!(sector[0x0D], 1);
        assert_eq!(u32::from(word(0x0E)), geometry.reserved());
        assert_eq!(sector[0x10], 2);
        // Root entries, 16-bit totals: all zero on FAT32.
        assert_eq!((word(0x11), word(0x13), word(0x16)), (0, 0, 0));
        assert_eq!(sector[0x15], 0xF8);
        assert_eq!((word(0x18), word(0x1A)), (63, 255));
        assert_eq!(long(0x1C), 2048);
        assert_eq!(long(0x20), 78_276);
        assert_eq!(long(0x24), geometry.table_sectors());
        assert_eq!((word(0x28), word(0x2A)), (0, 0));
        assert_eq!(long(0x2C), 2);
        assert_eq!((word(0x30), word(0x32)), (1, 6));
        assert!(sector[0x34..0x40].iter().all(|byte| *byte == 0));
        assert_eq!(sector[0x40..0x43], [0x80, 0, 0x29]);
        assert_eq!(long(0x43), 0x1234_5678);
        assert_eq!(&sector[0x47..0x5A], b"SLAMBOOT   FAT32   ");
        assert_eq!(word(0x1FE), 0xAA55);
    }

    #[test]
    fn fs_info_counts() {
        let geometry = FatGeometry::of(SectorCount(78_276)).unwrap();
        let sector = fs_info(&geometry, 10);
        assert_eq!(&sector[..4], b"RRaA");
        assert_eq!(&sector[484..488], b"rrAa");
        assert_eq!(sector[488..492], (geometry.clusters() - 8).to_le_bytes());
        assert_eq!(sector[492..496], 10u32.to_le_bytes());
        assert_eq!(sector[508..], [0, 0, 0x55, 0xAA]);
        let full = fs_info(&geometry, geometry.clusters() + 2);
        assert_eq!(full[488..496], [0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    }
}
