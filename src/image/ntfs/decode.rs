// SPDX-License-Identifier: MIT OR Apache-2.0
//! A record of the MFT, taken apart: whatever its bytes say, this says what is wrong or stays
//! within them. Shares nothing with the writer.
//!
//! Layouts: Linux, `fs/ntfs3/ntfs.h` (`struct MFT_REC`, `ATTRIB`, `ATTR_FILE_NAME`).

/// Something in a record that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} (byte {at:#x} of the record): expected {expected}, found {found}")]
pub struct RecordFault {
    /// Which field.
    pub field: &'static str,
    /// Where it stands in the record.
    pub at: usize,
    /// What could be.
    pub expected: String,
    /// What is.
    pub found: String,
}

fn fault<T>(
    field: &'static str,
    at: usize,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Result<T, RecordFault> {
    Err(RecordFault {
        field,
        at,
        expected: expected.into(),
        found: found.into(),
    })
}

/// Little-endian integers at an offset; zero past the end, which callers have excluded.
pub(in crate::image) fn uint(bytes: &[u8], at: usize, length: usize) -> u64 {
    let field = bytes.get(at..at + length).unwrap_or_default();
    field
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Puts back what the update sequence has taken, and checks that every sector was written whole.
pub fn undo_fixups(record: &mut [u8], magic: &[u8; 4]) -> Result<(), RecordFault> {
    if record.len() < 0x30 || record[..4] != magic[..] {
        let found = record.get(..4).unwrap_or_default();
        return fault(
            "magic",
            0,
            String::from_utf8_lossy(magic),
            String::from_utf8_lossy(found).escape_default().to_string(),
        );
    }
    let array = uint(record, 4, 2) as usize;
    let count = uint(record, 6, 2) as usize;
    let sectors = record.len() / 512;
    if count != sectors + 1 || !array.is_multiple_of(2) || array + count * 2 > 510 {
        return fault(
            "update sequence",
            4,
            format!("{} numbers in the first sector", sectors + 1),
            format!("{count} at {array:#x}"),
        );
    }
    for sector in 0..sectors {
        let end = sector * 512 + 510;
        let slot = array + 2 + sector * 2;
        if record[end..end + 2] != record[array..array + 2] {
            return fault(
                "end of a sector",
                end,
                format!("{:#06x}", uint(record, array, 2)),
                format!("{:#06x}; it was not written whole", uint(record, end, 2)),
            );
        }
        let saved = [record[slot], record[slot + 1]];
        record[end..end + 2].copy_from_slice(&saved);
    }
    Ok(())
}

/// A record whose fixups are undone and whose header makes sense.
#[derive(Clone, Debug)]
pub struct RecordView {
    bytes: Vec<u8>,
}

/// One attribute, or a part of one.
#[derive(Clone, Debug)]
pub struct AttributeView<'a> {
    /// Its type.
    pub kind: u32,
    /// Its name, empty for most.
    pub name: String,
    /// 0x0001 compressed, 0x4000 encrypted, 0x8000 sparse.
    pub flags: u16,
    /// Where its value is.
    pub value: ValueView<'a>,
}

/// Where a value is.
#[derive(Clone, Debug)]
pub enum ValueView<'a> {
    /// In the record.
    Resident(&'a [u8]),
    /// In clusters.
    Runs {
        /// Number of the part's first cluster within the value.
        lowest: u64,
        /// Bytes of its clusters; holds in the first part only, like the next two.
        allocated: u64,
        /// Its length.
        bytes: u64,
        /// What lies beyond reads as zeros.
        initialized: u64,
        /// Where its clusters lie.
        runs: Vec<Run>,
    },
}

/// Clusters in a row, or a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first; none for a hole.
    pub first: Option<u64>,
    /// How many, not zero.
    pub count: u64,
}

impl RecordView {
    /// Takes a record as it stands on the disk.
    pub fn parse(mut bytes: Vec<u8>) -> Result<Self, RecordFault> {
        undo_fixups(&mut bytes, b"FILE")?;
        let used = uint(&bytes, 0x18, 4) as usize;
        if used > bytes.len() {
            return fault(
                "bytes in use",
                0x18,
                format!("at most {}", bytes.len()),
                used.to_string(),
            );
        }
        bytes.truncate(used.max(0x30));
        Ok(RecordView { bytes })
    }

    /// Times that the record was given to a file.
    pub fn sequence(&self) -> u16 {
        uint(&self.bytes, 0x10, 2) as u16
    }

    /// Names that it says to have.
    pub fn links(&self) -> u16 {
        uint(&self.bytes, 0x12, 2) as u16
    }

    /// Somebody's.
    pub fn in_use(&self) -> bool {
        uint(&self.bytes, 0x16, 2) & 1 != 0
    }

    /// With an index of names.
    pub fn is_directory(&self) -> bool {
        uint(&self.bytes, 0x16, 2) & 2 != 0
    }

    /// The record that this one continues, if it does.
    pub fn base(&self) -> Option<u64> {
        Some(uint(&self.bytes, 0x20, 8)).filter(|base| *base != 0)
    }

    /// Its own number, as it says.
    pub fn number(&self) -> u32 {
        uint(&self.bytes, 0x2C, 4) as u32
    }

    /// Its attributes, in order.
    pub fn attributes(&self) -> Result<Vec<AttributeView<'_>>, RecordFault> {
        let bytes = &self.bytes;
        let mut at = uint(bytes, 0x14, 2) as usize;
        let mut attributes = Vec::new();
        loop {
            let Some(kind) = bytes.get(at..at + 4) else {
                return fault(
                    "end of the attributes",
                    at,
                    "0xffffffff",
                    "the record's end",
                );
            };
            let kind = uint(kind, 0, 4) as u32;
            if kind == u32::MAX {
                return Ok(attributes);
            }
            let length = uint(bytes, at + 4, 4) as usize;
            let attribute = (length >= 0x18 && length.is_multiple_of(8))
                .then(|| bytes.get(at..at.saturating_add(length)))
                .flatten();
            let Some(attribute) = attribute else {
                return fault(
                    "length of an attribute",
                    at + 4,
                    "a multiple of 8 that ends inside the record",
                    length.to_string(),
                );
            };
            attributes.push(self::attribute(kind, attribute, at)?);
            at += length;
        }
    }
}

fn attribute(kind: u32, bytes: &[u8], at: usize) -> Result<AttributeView<'_>, RecordFault> {
    let name_offset = uint(bytes, 0x0A, 2) as usize;
    let Some(name) = bytes.get(name_offset..name_offset + 2 * usize::from(bytes[9])) else {
        return fault(
            "name of an attribute",
            at + 0x0A,
            "inside it",
            format!("{name_offset:#x}"),
        );
    };
    let value = if bytes[8] == 0 {
        let length = uint(bytes, 0x10, 4) as usize;
        let offset = uint(bytes, 0x14, 2) as usize;
        match bytes.get(offset..offset.saturating_add(length)) {
            Some(value) => ValueView::Resident(value),
            None => {
                return fault(
                    "value of an attribute",
                    at + 0x10,
                    "inside it",
                    format!("{length} bytes at {offset:#x}"),
                );
            }
        }
    } else {
        let pairs = uint(bytes, 0x20, 2) as usize;
        let Some(pairs_bytes) = bytes.get(pairs..).filter(|_| bytes.len() >= 0x40) else {
            return fault(
                "runs of an attribute",
                at + 0x20,
                "inside it",
                format!("{pairs:#x}"),
            );
        };
        ValueView::Runs {
            lowest: uint(bytes, 0x10, 8),
            allocated: uint(bytes, 0x28, 8),
            bytes: uint(bytes, 0x30, 8),
            initialized: uint(bytes, 0x38, 8),
            runs: runs(pairs_bytes, at + pairs)?,
        }
    };
    Ok(AttributeView {
        kind,
        name: utf16(name),
        flags: uint(bytes, 0x0C, 2) as u16,
        value,
    })
}

/// UTF-16 as text; what is none is replaced.
pub(in crate::image) fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|unit| uint(unit, 0, 2) as u16)
        .collect();
    String::from_utf16_lossy(&units)
}

/// Lengths and distances until a zero.
fn runs(pairs: &[u8], base: usize) -> Result<Vec<Run>, RecordFault> {
    let mut runs = Vec::new();
    let (mut at, mut place, mut total) = (0, 0i64, 0u64);
    while let Some(header) = pairs.get(at).filter(|header| **header != 0) {
        let (length, distance) = (usize::from(header & 15), usize::from(header >> 4));
        let bad = |found: String| {
            fault(
                "a run",
                base + at,
                "a length and a distance of at most 8 bytes",
                found,
            )
        };
        let Some(bytes) = pairs.get(at + 1..at + 1 + length + distance) else {
            return bad("the attribute's end".into());
        };
        if length == 0 || length > 8 || distance > 8 {
            return bad(format!("{header:#04x}"));
        }
        let count = uint(bytes, 0, length);
        total = match total
            .checked_add(count)
            .filter(|total| *total < 1 << 48 && count > 0)
        {
            Some(total) => total,
            None => return bad(format!("{count} clusters")),
        };
        let first = if distance == 0 {
            None
        } else {
            let unused = 64 - 8 * distance as u32;
            let by = (uint(bytes, length, distance) << unused).cast_signed() >> unused;
            place = match place
                .checked_add(by)
                .filter(|place| (0..1 << 48).contains(place))
            {
                Some(place) => place,
                None => return bad(format!("a distance of {by}")),
            };
            Some(place.cast_unsigned())
        };
        runs.push(Run { first, count });
        at += 1 + length + distance;
    }
    Ok(runs)
}

/// A name of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// Reference to the directory that it is in: number below, sequence above.
    pub parent: u64,
    /// The name.
    pub name: String,
    /// Only DOS uses it: there is a long one.
    pub short: bool,
}

/// The value of a `$FILE_NAME`.
pub fn file_name(value: &[u8]) -> Option<FileName> {
    let units = usize::from(*value.get(0x40)?);
    Some(FileName {
        parent: uint(value, 0, 8),
        name: utf16(value.get(0x42..0x42 + units * 2)?),
        short: value[0x41] == 2,
    })
}
