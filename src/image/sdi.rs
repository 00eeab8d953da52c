// SPDX-License-Identifier: MIT OR Apache-2.0
//! System Deployment Images (boot.sdi): the frame in which bootmgr puts a WIM as a RAM disk.
//!
//! Source: Microsoft's SDI specification as read by wimboot's and ReactOS's `sdi.h`, and a boot.sdi
//! of Windows 7: `$SDI0001`, the page size in pages of 4 KiB at 0x70 (u64), a byte at 0x1FF that
//! makes the first 512 add up to 0, and from 0x400 on a table of entries of 0x40 bytes: type (8
//! characters), attributes, offset, size, base (u64 each). Microsoft's has PART, a small NTFS volume,
//! and WIM, which is empty and is where the WIM goes.

use std::io::{self, Read, Seek, SeekFrom};

use super::le::u64_at;

const MAGIC: &[u8; 8] = b"$SDI0001";
const HEADER: usize = 0x200;
const TABLE: usize = 0x400;
const ENTRY: usize = 0x40;
/// The table ends where the first page may begin.
const TABLE_END: usize = 0x1000;

/// A file that bootmgr does not take as a boot.sdi.
#[derive(Debug, thiserror::Error)]
pub enum SdiError {
    /// It cannot be read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// Something else.
    #[error(
        "no SDI: expected \"$SDI0001\" at 0x0, found {found:?}; Windows media have it as \\boot\\boot.sdi"
    )]
    Magic {
        /// What is there.
        found: String,
    },
    /// It ends too soon.
    #[error("it is cut off: {what} ends at byte {end}, the file at byte {length}; copy it again")]
    Truncated {
        /// What.
        what: String,
        /// Where that should end.
        end: u64,
        /// Where the file ends.
        length: u64,
    },
    /// Nowhere to put the WIM.
    #[error(
        "its table at 0x400 has no entry WIM (it has {found}), and bootmgr would stop with 0xc000000d; take \\boot\\boot.sdi from Windows media"
    )]
    NoWim {
        /// The types that it has.
        found: String,
    },
}

/// One entry of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Such as `PART` or `WIM`.
    pub kind: String,
    /// From the file's start.
    pub offset: u64,
    /// In bytes.
    pub bytes: u64,
}

/// A boot.sdi that bootmgr takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdi {
    /// Its length in bytes.
    pub length: u64,
    /// Its table.
    pub blobs: Vec<Blob>,
    checksum: u8,
}

impl Sdi {
    /// Reads and checks header and table.
    pub fn read(from: &mut (impl Read + Seek)) -> Result<Self, SdiError> {
        let length = from.seek(SeekFrom::End(0)).map_err(SdiError::Read)?;
        from.seek(SeekFrom::Start(0)).map_err(SdiError::Read)?;
        let mut head = Vec::new();
        from.take(TABLE_END as u64)
            .read_to_end(&mut head)
            .map_err(SdiError::Read)?;
        let magic = head.get(..MAGIC.len()).unwrap_or(&head);
        if magic != MAGIC {
            let found = String::from_utf8_lossy(magic).into_owned();
            return Err(SdiError::Magic { found });
        }
        let truncated = |what: &str, end: u64| SdiError::Truncated {
            what: what.to_owned(),
            end,
            length,
        };
        let table = head.get(TABLE..);
        let table = table.ok_or_else(|| truncated("its table", (TABLE + ENTRY) as u64))?;
        let mut blobs = Vec::new();
        let mut entries = table.chunks(ENTRY);
        loop {
            let entry = entries.next().unwrap_or_default();
            if entry.iter().all(|byte| *byte == 0) {
                break;
            }
            if entry.len() < ENTRY {
                return Err(truncated("its table", (TABLE_END) as u64));
            }
            let kind = String::from_utf8_lossy(&entry[..8]);
            let blob = Blob {
                kind: kind.trim_end_matches('\0').to_owned(),
                offset: u64_at(entry, 0x10),
                bytes: u64_at(entry, 0x18),
            };
            let end = blob.offset.saturating_add(blob.bytes);
            if blob.bytes > 0 && end > length {
                return Err(truncated(&format!("its {}", blob.kind), end));
            }
            blobs.push(blob);
        }
        if !blobs.iter().any(|blob| blob.kind == "WIM") {
            let kinds: Vec<&str> = blobs.iter().map(|blob| blob.kind.as_str()).collect();
            return Err(SdiError::NoWim {
                found: match kinds.as_slice() {
                    [] => "none".to_owned(),
                    kinds => kinds.join(", "),
                },
            });
        }
        let sum = |sum: u8, byte: &u8| sum.wrapping_add(*byte);
        Ok(Sdi {
            length,
            blobs,
            checksum: head[..HEADER].iter().fold(0, sum),
        })
    }

    /// What bootmgr takes, but Windows may not.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if !self.blobs.iter().any(|blob| blob.kind == "PART") {
            doubts.push(
                "it has no PART, the empty volume that a Windows kernel is said to want (bootmgr \
                 does without)"
                    .to_owned(),
            );
        }
        if self.checksum != 0 {
            doubts.push(format!(
                "its first 512 bytes add up to {:#04x}, not to 0: it may be damaged",
                self.checksum
            ));
        }
        doubts
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn sample(kinds: &[(&[u8; 8], u64, u64)]) -> Vec<u8> {
        let mut file = vec![0; 0x2000];
        file[..8].copy_from_slice(MAGIC);
        file[0x70] = 2;
        let sum = file[..0x200].iter().fold(0u8, |a, b| a.wrapping_add(*b));
        file[0x1FF] = sum.wrapping_neg();
        for (entry, (kind, offset, bytes)) in file[0x400..].chunks_mut(0x40).zip(kinds) {
            entry[..8].copy_from_slice(*kind);
            entry[0x10..0x18].copy_from_slice(&offset.to_le_bytes());
            entry[0x18..0x20].copy_from_slice(&bytes.to_le_bytes());
        }
        file
    }

    fn read(file: &[u8]) -> Result<Sdi, SdiError> {
        Sdi::read(&mut Cursor::new(file))
    }

    const BOTH: [(&[u8; 8], u64, u64); 2] = [
        (b"PART\0\0\0\0", 0x1000, 0x1000),
        (b"WIM\0\0\0\0\0", 0x2000, 0),
    ];

    #[test]
    fn as_microsofts() {
        let sdi = read(&sample(&BOTH)).unwrap();
        assert_eq!(sdi.blobs[0].kind, "PART");
        assert_eq!(sdi.blobs[1].offset, 0x2000);
        assert_eq!(sdi.doubts(), Vec::<String>::new());
        let mut synthetic = sample(&BOTH[1..]);
        synthetic[0x80] = 1;
        let doubts = read(&synthetic).unwrap().doubts();
        assert!(
            doubts[0].contains("PART") && doubts[1].contains("0x01"),
            "{doubts:?}"
        );
    }

    #[test]
    fn what_is_refused() {
        let error = |file: &[u8]| read(file).unwrap_err().to_string();
        assert!(error(b"").contains("found \"\""));
        assert!(error(b"MZ").contains("found \"MZ\""));
        assert!(error(&sample(&BOTH[..1])).contains("(it has PART)"));
        assert!(error(&sample(&[])).contains("(it has none)"));
        assert!(error(&sample(&BOTH)[..0x1800]).contains("its PART ends at byte 8192"));
        assert!(error(&sample(&BOTH)[..0x300]).contains("its table ends"));
    }

    #[test]
    fn no_length_makes_it_panic() {
        let whole = sample(&BOTH);
        for length in 0..whole.len() {
            let _ = read(&whole[..length]).map(|sdi| sdi.doubts());
        }
    }
}
