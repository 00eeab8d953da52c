// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot sector's parameter block (the first of the sixteen sectors of `$Boot`).

use super::geometry::{CLUSTER_SECTORS, NtfsGeometry};
use crate::image::geometry::{HEADS, SECTORS_PER_TRACK};
use crate::image::unit::{Lba, SECTOR};

/// What a boot sector says of its volume.
#[derive(Clone, Copy, Debug)]
pub(super) struct BootSector<'a> {
    pub geometry: &'a NtfsGeometry,
    /// Where the volume begins: the boot manager computes the partition from this field.
    pub start: Lba,
    /// First clusters of `$MFT` and `$MFTMirr`.
    pub mft: u64,
    pub mirror: u64,
}

impl BootSector<'_> {
    /// The sector, its boot code and serial number still zero.
    pub fn encode(&self) -> Vec<u8> {
        let mut sector = vec![0; SECTOR as usize];
        let mut put = |offset: usize, bytes: &[u8]| {
            sector[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        // To 0x5A, where our code stands on every file system; the block ends at 0x54.
        put(0x00, &[0xEB, 0x58, 0x90]);
        put(0x03, b"NTFS    ");
        put(0x0B, &(SECTOR as u16).to_le_bytes());
        put(0x0D, &[CLUSTER_SECTORS as u8]);
        put(0x15, &[0xF8]); // a hard disk
        put(0x18, &SECTORS_PER_TRACK.to_le_bytes());
        put(0x1A, &HEADS.to_le_bytes());
        put(0x1C, &self.start.0.to_le_bytes()); // hidden sectors
        put(0x24, &[0x80, 0, 0x80, 0]); // BIOS drive; what Windows writes
        put(0x28, &u64::from(self.geometry.sectors().0).to_le_bytes());
        put(0x30, &self.mft.to_le_bytes());
        put(0x38, &self.mirror.to_le_bytes());
        put(0x40, &[0xF6]); // a record of the MFT: 2^10 bytes
        put(0x44, &[1]); // an index block: one cluster
        put(0x1FE, &[0x55, 0xAA]);
        sector
    }
}

/// Puts the serial number into a boot sector.
pub fn set_serial(sector: &mut [u8], serial: u64) {
    sector[0x48..0x50].copy_from_slice(&serial.to_le_bytes());
}
