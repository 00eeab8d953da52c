// SPDX-License-Identifier: MIT OR Apache-2.0
//! The header of 208 bytes ("WIM", `WIMHEADER_V1_PACKED`), and resource headers.

use std::fmt;

use super::WimError;
use crate::image::le::{u16_at, u32_at, u64_at};

/// Its length, which is also its field `cbSize`.
pub const HEADER_BYTES: usize = 0xD0;

mod field {
    pub const MAGIC: usize = 0x00;
    pub const SIZE: usize = 0x08;
    pub const VERSION: usize = 0x0C;
    pub const FLAGS: usize = 0x10;
    pub const CHUNK: usize = 0x14;
    pub const GUID: usize = 0x18;
    pub const PART: usize = 0x28;
    pub const PARTS: usize = 0x2A;
    pub const IMAGES: usize = 0x2C;
    pub const LOOKUP: usize = 0x30;
    pub const XML: usize = 0x48;
    pub const BOOT_METADATA: usize = 0x60;
    pub const BOOT_INDEX: usize = 0x78;
    pub const INTEGRITY: usize = 0x7C;
}

const MAGIC: &[u8; 8] = b"MSWIM\0\0\0";
/// What imagex, DISM and wimlib write.
const VERSION: u32 = 0x0001_0D00;
/// What WIMs with solid resources (.esd) have.
const VERSION_SOLID: u32 = 0x0000_0E00;

const FLAG_COMPRESSED: u32 = 0x0000_0002;
const FLAG_XPRESS: u32 = 0x0002_0000;
const FLAG_LZX: u32 = 0x0004_0000;
const FLAG_LZMS: u32 = 0x0008_0000;
const FLAG_XPRESS_2: u32 = 0x0020_0000;

/// How resources are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// "Fast".
    Xpress,
    /// "Maximum".
    Lzx,
    /// "Recovery", with Windows 8 and later.
    Lzms,
    /// These flags name none that is known.
    Unknown(u32),
}

impl Compression {
    fn of(flags: u32) -> Self {
        if flags & FLAG_COMPRESSED == 0 {
            Compression::None
        } else if flags & (FLAG_XPRESS | FLAG_XPRESS_2) != 0 {
            Compression::Xpress
        } else if flags & FLAG_LZX != 0 {
            Compression::Lzx
        } else if flags & FLAG_LZMS != 0 {
            Compression::Lzms
        } else {
            Compression::Unknown(flags)
        }
    }

    /// Whether bootmgr decompresses it.
    pub fn bootmgr_reads(self) -> bool {
        matches!(
            self,
            Compression::None | Compression::Xpress | Compression::Lzx
        )
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compression::None => f.write_str("none"),
            Compression::Xpress => f.write_str("XPRESS"),
            Compression::Lzx => f.write_str("LZX"),
            Compression::Lzms => f.write_str("LZMS"),
            Compression::Unknown(flags) => write!(f, "an unknown method (flags {flags:#010x})"),
        }
    }
}

/// Where a resource lies ("WIM", `RESHDR_DISK_SHORT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// From the file's start.
    pub offset: u64,
    /// Bytes in the file: 56 bits.
    pub stored: u64,
    /// Bytes uncompressed.
    pub original: u64,
    pub(super) flags: u8,
}

const RESOURCE_METADATA: u8 = 0x02;
const RESOURCE_COMPRESSED: u8 = 0x04;
const RESOURCE_SOLID: u8 = 0x10;

impl Resource {
    pub(super) const BYTES: usize = 24;

    pub(super) fn decode(bytes: &[u8]) -> Self {
        let size = u64_at(bytes, 0);
        Resource {
            offset: u64_at(bytes, 8),
            stored: size & 0x00FF_FFFF_FFFF_FFFF,
            original: u64_at(bytes, 16),
            flags: (size >> 56) as u8,
        }
    }

    pub(super) fn is_metadata(self) -> bool {
        self.flags & RESOURCE_METADATA != 0
    }

    pub(super) fn is_compressed(self) -> bool {
        self.flags & RESOURCE_COMPRESSED != 0
    }

    pub(super) fn is_solid(self) -> bool {
        self.flags & RESOURCE_SOLID != 0
    }

    pub(super) fn must_lie_within(self, what: &'static str, length: u64) -> Result<(), WimError> {
        let end = self.offset.saturating_add(self.stored);
        if self.stored > 0 && end > length {
            return Err(WimError::Truncated { what, end, length });
        }
        Ok(())
    }
}

/// The fields that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 0x00010d00, or 0x0e00 with solid resources.
    pub version: u32,
    /// How resources are compressed.
    pub compression: Compression,
    /// Uncompressed bytes that are compressed at a time.
    pub chunk_bytes: u32,
    /// The same in all parts of a set.
    pub guid: [u8; 16],
    /// How many images.
    pub images: u32,
    /// Where each resource is.
    pub lookup: Resource,
    /// What images there are, for people.
    pub xml: Resource,
    /// The directory tree of the image to boot.
    pub boot_metadata: Resource,
    /// Which image boots; 0: none.
    pub boot_index: u32,
    /// Checksums, where there are any.
    pub integrity: Resource,
}

impl Header {
    /// Decodes and checks it.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, WimError> {
        let wrong = |field, offset: usize, expected, found: String| WimError::Field {
            field,
            offset: offset as u64,
            expected,
            found,
        };
        let magic = &bytes[field::MAGIC..field::SIZE];
        if magic != MAGIC {
            let found = match magic {
                b"WLPWM\0\0\0" => "a pipable WIM of wimlib's (wimlib-imagex export FILE all NEW.wim --boot makes it ordinary)".to_owned(),
                _ => format!("{:?}", String::from_utf8_lossy(magic)),
            };
            return Err(wrong("magic", field::MAGIC, "\"MSWIM\\0\\0\\0\"", found));
        }
        let size = u32_at(bytes, field::SIZE);
        if size != HEADER_BYTES as u32 {
            return Err(wrong("size", field::SIZE, "208", size.to_string()));
        }
        let version = u32_at(bytes, field::VERSION);
        if version != VERSION && version != VERSION_SOLID {
            let expected = "0x10d00 or 0xe00";
            let found = format!("{version:#x}");
            return Err(wrong("version", field::VERSION, expected, found));
        }
        let (part, parts) = (u16_at(bytes, field::PART), u16_at(bytes, field::PARTS));
        if parts > 1 {
            return Err(WimError::Part { part, parts });
        }
        if (part, parts) != (1, 1) {
            let found = format!("{part} of {parts}");
            return Err(wrong("part number", field::PART, "1 of 1", found));
        }
        let resource = |at: usize| Resource::decode(&bytes[at..at + Resource::BYTES]);
        let mut guid = [0; 16];
        guid.copy_from_slice(&bytes[field::GUID..field::PART]);
        Ok(Header {
            version,
            compression: Compression::of(u32_at(bytes, field::FLAGS)),
            chunk_bytes: u32_at(bytes, field::CHUNK),
            guid,
            images: u32_at(bytes, field::IMAGES),
            lookup: resource(field::LOOKUP),
            xml: resource(field::XML),
            boot_metadata: resource(field::BOOT_METADATA),
            boot_index: u32_at(bytes, field::BOOT_INDEX),
            integrity: resource(field::INTEGRITY),
        })
    }
}
