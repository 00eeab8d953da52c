// SPDX-License-Identifier: MIT OR Apache-2.0
//! The volume boot record's code and its extent table: which sectors the boot file has.
//!
//! The code stands at 0x5A, past the parameter block of FAT32 (and of NTFS, which is shorter).
//! The table stands at 0x196: up to 13 extents, each a u32 LBA from the start of the disk and a
//! u32 number of sectors; a count of zero ends it. It must be rewritten whenever the file moves.

use super::unit::{Lba, SECTOR, SectorCount};

/// `boot/vbr.S`, assembled.
pub const CODE: &[u8] = include_bytes!("boot/vbr.bin");

/// Offset of the code in the sector.
pub const CODE_OFFSET: usize = 0x5A;
/// Offset of the extent table.
pub const TABLE_OFFSET: usize = 0x196;
/// What the table has room for.
pub const MAX_EXTENTS: usize = (0x1FE - TABLE_OFFSET) / EXTENT;
/// The largest file that it loads: from 0x20000 up to where memdisk and the BIOS's extended
/// data area may begin.
pub const MAX_FILE: u64 = 0x9_8000 - 0x2_0000;

const EXTENT: usize = 8;

const _: () = assert!(CODE_OFFSET + CODE.len() <= TABLE_OFFSET);

/// Sectors that lie in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectorRun {
    /// The first of them.
    pub start: Lba,
    /// How many, not zero.
    pub sectors: SectorCount,
}

/// A boot file that the boot sector cannot load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootFileError {
    /// Nothing to jump to.
    #[error("the boot file is empty")]
    Empty,
    /// No room for it below the BIOS's data.
    #[error(
        "the boot file has {found} bytes; expected at most {MAX_FILE}, which is what fits between 0x20000 and 0x98000"
    )]
    TooLarge {
        /// Its length.
        found: u64,
    },
    /// In too many pieces.
    #[error("the boot file lies in {found} pieces; expected at most {MAX_EXTENTS}")]
    Fragmented {
        /// How many.
        found: usize,
    },
}

/// Fails for a file of a length that the boot sector cannot load.
pub fn check_length(bytes: u64) -> Result<(), BootFileError> {
    match bytes {
        0 => Err(BootFileError::Empty),
        _ if bytes > MAX_FILE => Err(BootFileError::TooLarge { found: bytes }),
        _ => Ok(()),
    }
}

/// Puts code and extent table into a boot sector, whose parameter block it leaves alone.
pub fn install(sector: &mut [u8], runs: &[SectorRun]) -> Result<(), BootFileError> {
    if runs.is_empty() {
        return Err(BootFileError::Empty);
    }
    if runs.len() > MAX_EXTENTS {
        return Err(BootFileError::Fragmented { found: runs.len() });
    }
    let sectors: u64 = runs.iter().map(|run| run.sectors.bytes()).sum();
    if sectors > MAX_FILE.next_multiple_of(SECTOR) {
        return Err(BootFileError::TooLarge { found: sectors });
    }
    let room = &mut sector[CODE_OFFSET..0x1FE];
    room.fill(0);
    room[..CODE.len()].copy_from_slice(CODE);
    for (entry, run) in sector[TABLE_OFFSET..].chunks_exact_mut(EXTENT).zip(runs) {
        entry[..4].copy_from_slice(&run.start.0.to_le_bytes());
        entry[4..].copy_from_slice(&run.sectors.0.to_le_bytes());
    }
    sector[0x1FE..0x200].copy_from_slice(&[0x55, 0xAA]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(count: u32) -> Vec<SectorRun> {
        (0..count)
            .map(|index| SectorRun {
                start: Lba(0x1000 + index * 16),
                sectors: SectorCount(3),
            })
            .collect()
    }

    #[test]
    fn the_table_stands_where_the_code_reads_it() {
        let mut sector = vec![0xEE; 512];
        install(&mut sector, &runs(13)).unwrap();
        assert!(sector[..0x5A].iter().all(|byte| *byte == 0xEE));
        assert_eq!(&sector[0x5A..0x5A + CODE.len()], CODE);
        assert_eq!(sector[0x196..0x19E], [0x00, 0x10, 0, 0, 3, 0, 0, 0]);
        assert_eq!(sector[0x1F6..0x1FE], [0xC0, 0x10, 0, 0, 3, 0, 0, 0]);
        assert_eq!(sector[0x1FE..], [0x55, 0xAA]);
        install(&mut sector, &runs(1)).unwrap();
        assert!(sector[0x19E..0x1FE].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn files_that_it_cannot_load() {
        let mut sector = vec![0; 512];
        assert_eq!(install(&mut sector, &[]), Err(BootFileError::Empty));
        assert_eq!(
            install(&mut sector, &runs(14)),
            Err(BootFileError::Fragmented { found: 14 })
        );
        assert_eq!(check_length(0), Err(BootFileError::Empty));
        assert_eq!(check_length(MAX_FILE), Ok(()));
        assert_eq!(
            check_length(MAX_FILE + 1),
            Err(BootFileError::TooLarge {
                found: MAX_FILE + 1
            })
        );
    }
}
