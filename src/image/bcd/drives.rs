// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drive letters: which partition `C:` is. bcdedit asks Windows; here somebody has to say it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::device::{Descriptor, MbrPartition};
use crate::image::unit::{Lba, SECTOR};

/// A drive letter, `A` to `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Letter(char);

/// Not a drive letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a drive letter such as C:, found {found:?}")]
pub struct LetterError {
    /// What stood there.
    pub found: String,
}

impl Letter {
    /// Where Windows and WinPE's recipe have their system.
    pub const C: Letter = Letter('C');
}

impl FromStr for Letter {
    type Err = LetterError;

    fn from_str(text: &str) -> Result<Self, LetterError> {
        let mut chars = text.chars();
        match (chars.next(), chars.next(), chars.next()) {
            (Some(letter), Some(':'), None) if letter.is_ascii_alphabetic() => {
                Ok(Letter(letter.to_ascii_uppercase()))
            }
            _ => Err(LetterError {
                found: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.0)
    }
}

/// What each drive letter stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drives(BTreeMap<Letter, Descriptor>);

impl Drives {
    /// None.
    pub fn none() -> Self {
        Drives::default()
    }

    /// Says what a letter stands for; what it stood for before, if anything.
    pub fn set(&mut self, letter: Letter, device: Descriptor) -> Option<Descriptor> {
        self.0.insert(letter, device)
    }

    /// What it stands for.
    pub fn get(&self, letter: Letter) -> Option<&Descriptor> {
        self.0.get(&letter)
    }

    /// A letter that stands for this partition.
    pub fn letter(&self, device: &Descriptor) -> Option<Letter> {
        self.0
            .iter()
            .find(|(_, known)| *known == device)
            .map(|(letter, _)| *letter)
    }
}

/// A disk whose active partition cannot be told from its first sector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// Not a whole sector.
    #[error("expected a first sector of 512 bytes, found {found}")]
    Short {
        /// How many bytes there were.
        found: usize,
    },
    /// No MBR.
    #[error("expected 55 aa at offset 0x1fe (an MBR), found {:02x} {:02x}", found[0], found[1])]
    Magic {
        /// What stood there.
        found: [u8; 2],
    },
    /// A GPT disk's protective MBR.
    #[error(
        "expected an MBR with an active partition, found a GPT disk (partition type 0xee); say which partition with gpt:DISK-GUID/PARTITION-GUID"
    )]
    Gpt,
    /// Nothing to boot from, or too much.
    #[error(
        "expected one active partition (status 0x80 at 0x1be, 0x1ce, 0x1de or 0x1ee), found {found}"
    )]
    Active {
        /// How many are active.
        found: usize,
    },
    /// An entry that says nothing.
    #[error("expected the active partition to begin after the MBR, found it at LBA 0")]
    Start,
}

/// The active partition of a disk, from its first sector.
pub fn active_partition(sector: &[u8]) -> Result<MbrPartition, DiskError> {
    let sector: &[u8; SECTOR as usize] = sector.first_chunk().ok_or(DiskError::Short {
        found: sector.len(),
    })?;
    let magic = [sector[0x1FE], sector[0x1FF]];
    if magic != [0x55, 0xAA] {
        return Err(DiskError::Magic { found: magic });
    }
    let (entries, _) = sector[0x1BE..0x1FE].as_chunks::<16>();
    if entries.iter().any(|entry| entry[4] == 0xEE) {
        return Err(DiskError::Gpt);
    }
    let active: Vec<_> = entries.iter().filter(|entry| entry[0] == 0x80).collect();
    let [entry] = active[..] else {
        return Err(DiskError::Active {
            found: active.len(),
        });
    };
    let start = Lba(u32::from_le_bytes([
        entry[8], entry[9], entry[10], entry[11],
    ]));
    if start.0 == 0 {
        return Err(DiskError::Start);
    }
    let signature = [sector[0x1B8], sector[0x1B9], sector[0x1BA], sector[0x1BB]];
    Ok(MbrPartition {
        signature: u32::from_le_bytes(signature),
        offset: start.byte_offset(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::mbr::{self, Partition, PartitionKind};
    use crate::image::unit::SectorCount;

    fn sector() -> Vec<u8> {
        mbr::encode(
            0xCAFE_F00D,
            Partition {
                kind: PartitionKind::Fat32Lba,
                start: Lba(2048),
                sectors: SectorCount(100_000),
            },
        )
    }

    #[test]
    fn the_active_partition_is_found() {
        let partition = active_partition(&sector()).unwrap();
        assert_eq!(partition.signature, 0xCAFE_F00D);
        assert_eq!(partition.offset, 1 << 20);
    }

    #[test]
    fn other_disks_are_refused() {
        let with = |at: usize, byte: u8| {
            let mut sector = sector();
            sector[at] = byte;
            active_partition(&sector).unwrap_err()
        };
        assert_eq!(with(0x1BE, 0), DiskError::Active { found: 0 });
        assert_eq!(with(0x1CE, 0x80), DiskError::Active { found: 2 });
        assert_eq!(with(0x1D2, 0xEE), DiskError::Gpt);
        assert_eq!(with(0x1FF, 0), DiskError::Magic { found: [0x55, 0] });
        assert_eq!(with(0x1C7, 0), DiskError::Start);
        assert_eq!(
            active_partition(&sector()[..511]),
            Err(DiskError::Short { found: 511 })
        );
    }

    #[test]
    fn letters() {
        assert_eq!("c:".parse(), Ok(Letter::C));
        for bad in ["", "C", ":", "CC:", "C:\\", "1:", "Ä:"] {
            assert!(bad.parse::<Letter>().is_err(), "{bad}");
        }
    }
}
