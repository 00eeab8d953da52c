// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot sector, field by field; what both file systems have in common.

use std::fs::File;

use super::{Structure, VerifyError, expect, expect_bytes, read_sector};
use crate::image::ntfs::decode::uint;
use crate::image::plan::DiskPlan;
use crate::image::unit::SECTOR;
use crate::image::vbr;

/// As it was read.
pub struct BootSector {
    /// Where it begins in the image.
    pub start: u64,
    pub sector: [u8; SECTOR as usize],
}

impl BootSector {
    /// The volume's first sector.
    pub fn read(plan: &DiskPlan, file: &File) -> Result<Self, VerifyError> {
        let start = plan.facts.partition.start.byte_offset();
        let sector = read_sector(file, start)?;
        Ok(BootSector { start, sector })
    }

    /// A number of so many bytes.
    pub fn value(&self, at: usize, bytes: usize) -> u64 {
        uint(&self.sector, at, bytes)
    }

    /// That number is the expected one.
    pub fn field(&self, at: usize, bytes: usize, expected: u64) -> Result<(), VerifyError> {
        let offset = self.start + at as u64;
        expect(
            Structure::BootSector,
            offset,
            &expected,
            &self.value(at, bytes),
        )
    }

    /// The bytes there are the expected ones.
    pub fn bytes(&self, at: usize, expected: &[u8]) -> Result<(), VerifyError> {
        let found = &self.sector[at..at + expected.len()];
        expect_bytes(
            Structure::BootSector,
            self.start + at as u64,
            expected,
            found,
        )
    }

    /// Jump, geometry, where the volume begins, code and mark.
    pub fn common(&self, plan: &DiskPlan) -> Result<(), VerifyError> {
        self.bytes(0, &[0xEB, 0x58, 0x90])?;
        self.field(11, 2, 512)?;
        self.field(24, 2, 63)?;
        self.field(26, 2, 255)?;
        self.field(28, 4, plan.facts.partition.start.0.into())?;
        self.bytes(vbr::CODE_OFFSET, vbr::CODE)?;
        let end = vbr::CODE_OFFSET + vbr::CODE.len();
        self.bytes(end, &vec![0; vbr::TABLE_OFFSET - end])?;
        self.bytes(510, &[0x55, 0xAA])
    }
}
