// SPDX-License-Identifier: MIT OR Apache-2.0
//! Windows Imaging (WIM) files, as far as booting from one asks: what it holds, and whether
//! bootmgr can read it.
//!
//! Sources: Microsoft, "Windows Imaging File Format (WIM)", 2007 (header, resource headers, lookup
//! table, XML); wimlib's `include/wimlib/header.h` for what came later (solid resources, LZMS).
//! [`Wim::read`] decodes and checks that nothing is cut off, [`Wim::bootable`] says whether
//! bootmgr takes it. Content is not decompressed: `wimlib-imagex verify` does that.

mod header;
mod lookup;
mod xml;

use std::io::{self, Read, Seek, SeekFrom};

pub use header::{Compression, HEADER_BYTES, Header, Resource};
pub use xml::{Architecture, WimImage};

/// The longest XML that is read; a large install.wim has a few tens of KiB.
const MAX_XML: u64 = 16 << 20;
/// The chunks that Windows' own loaders read; wimlib can make others.
pub const CHUNK_BYTES: u32 = 32_768;

/// A file that is no whole WIM.
#[derive(Debug, thiserror::Error)]
pub enum WimError {
    /// It cannot be read.
    #[error("cannot read it at byte {offset}")]
    Read {
        /// From its start.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// It ends within its header.
    #[error(
        "it ends within the WIM header: expected at least {HEADER_BYTES} bytes, found {found}; copy it again"
    )]
    Short {
        /// Its length.
        found: u64,
    },
    /// A field of the header.
    #[error("WIM header, {field} at {offset:#x}: expected {expected}, found {found}")]
    Field {
        /// Which.
        field: &'static str,
        /// From the file's start.
        offset: u64,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// Part of a set.
    #[error(
        "it is part {part} of {parts} of a split WIM, and cannot boot alone; join the parts first: wimlib-imagex join WHOLE.wim PART.swm..."
    )]
    Part {
        /// This one.
        part: u16,
        /// Of so many.
        parts: u16,
    },
    /// It ends before something that it has.
    #[error(
        "it is cut off: its {what} ends at byte {end}, the file at byte {length}; copy it again"
    )]
    Truncated {
        /// What.
        what: &'static str,
        /// Where that should end.
        end: u64,
        /// Where the file ends.
        length: u64,
    },
    /// Its description of images.
    #[error("WIM XML data at byte {offset}: {why}")]
    Xml {
        /// From the file's start.
        offset: u64,
        /// What is wrong.
        why: String,
    },
}

/// A whole WIM that bootmgr does not boot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootFault {
    /// Nothing is marked to be booted.
    #[error(
        "no image in it is marked to be booted (boot index 0 at 0x78, {images} images), and bootmgr would stop with 0xc000000d; mark one: wimlib-imagex info FILE NUMBER --boot"
    )]
    NoBootIndex {
        /// How many there are.
        images: u32,
    },
    /// The marked one is not there.
    #[error(
        "image {index} is marked to be booted (0x78), but there are {images}; mark another: wimlib-imagex info FILE NUMBER --boot"
    )]
    BootIndex {
        /// The marked one.
        index: u32,
        /// How many there are.
        images: u32,
    },
    /// The boot image's metadata is not where the header says.
    #[error(
        "boot metadata at 0x60: expected that of image {index} (byte {expected}), found byte {found}; bootmgr would stop with 0xc000000d; repair it: wimlib-imagex info FILE {index} --boot"
    )]
    BootMetadata {
        /// The marked image.
        index: u32,
        /// Where its metadata is.
        expected: u64,
        /// Where the header says it is.
        found: u64,
    },
    /// bootmgr cannot decompress it.
    #[error(
        "it is compressed with {found}, which bootmgr does not read (0xc000000d); expected none, XPRESS or LZX; convert it: wimlib-imagex export FILE all NEW.wim --compress=LZX --boot"
    )]
    Compression {
        /// How, for people.
        found: String,
    },
}

/// What a WIM says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wim {
    /// Its length in bytes.
    pub length: u64,
    /// Its header.
    pub header: Header,
    /// Its images, from number 1 on.
    pub images: Vec<WimImage>,
    /// Whether any resource is solid.
    pub solid: bool,
    /// Where each image's metadata is, in order.
    metadata: Vec<u64>,
}

impl Wim {
    /// Reads header, lookup table and XML, and checks that nothing lies past the end.
    pub fn read(from: &mut (impl Read + Seek)) -> Result<Self, WimError> {
        let length = from.seek(SeekFrom::End(0)).map_err(read_at(0))?;
        if length < HEADER_BYTES as u64 {
            return Err(WimError::Short { found: length });
        }
        let mut bytes = [0; HEADER_BYTES];
        from.seek(SeekFrom::Start(0)).map_err(read_at(0))?;
        from.read_exact(&mut bytes).map_err(read_at(0))?;
        let header = Header::decode(&bytes)?;
        for (what, resource) in [
            ("lookup table", header.lookup),
            ("XML data", header.xml),
            ("boot metadata", header.boot_metadata),
            ("integrity table", header.integrity),
        ] {
            resource.must_lie_within(what, length)?;
        }
        let table = lookup::read(from, header.lookup, length)?;
        Ok(Wim {
            length,
            images: read_xml(from, header.xml)?,
            solid: table.solid,
            metadata: table.metadata,
            header,
        })
    }

    /// The image that bootmgr would boot.
    pub fn bootable(&self) -> Result<Option<&WimImage>, BootFault> {
        let Header {
            compression,
            boot_index: index,
            images,
            boot_metadata,
            ..
        } = self.header;
        if self.solid || !compression.bootmgr_reads() {
            let found = match compression {
                _ if self.solid => format!("{compression}, in solid resources"),
                _ => compression.to_string(),
            };
            return Err(BootFault::Compression { found });
        }
        if index == 0 {
            return Err(BootFault::NoBootIndex { images });
        }
        if index > images {
            return Err(BootFault::BootIndex { index, images });
        }
        // The table has the images' metadata in order ("WIM", "Lookup Table").
        if let Some(expected) = self.metadata.get(index as usize - 1).copied()
            && expected != boot_metadata.offset
        {
            return Err(BootFault::BootMetadata {
                index,
                expected,
                found: boot_metadata.offset,
            });
        }
        Ok(self.images.iter().find(|image| image.index == index))
    }

    /// What boots, but was not measured to.
    pub fn doubts(&self) -> Vec<String> {
        let chunk = self.header.chunk_bytes;
        let odd = self.header.compression != Compression::None && chunk != CHUNK_BYTES;
        odd.then(|| {
            format!(
                "it is compressed in chunks of {chunk} bytes; only {CHUNK_BYTES} are known to boot \
                 (wimlib-imagex export FILE all NEW.wim --compress=LZX --chunk-size={CHUNK_BYTES} --boot)"
            )
        })
        .into_iter()
        .collect()
    }
}

fn read_at(offset: u64) -> impl Fn(io::Error) -> WimError {
    move |source| WimError::Read { offset, source }
}

fn read_xml(from: &mut (impl Read + Seek), place: Resource) -> Result<Vec<WimImage>, WimError> {
    let offset = place.offset;
    let wrong = |why: String| WimError::Xml { offset, why };
    if place.is_compressed() {
        return Err(wrong(
            "expected it uncompressed, found it compressed".into(),
        ));
    }
    if place.stored > MAX_XML {
        let found = place.stored;
        return Err(wrong(format!(
            "expected at most {MAX_XML} bytes, found {found}"
        )));
    }
    let mut bytes = vec![0; place.stored as usize];
    from.seek(SeekFrom::Start(offset))
        .map_err(read_at(offset))?;
    from.read_exact(&mut bytes).map_err(read_at(offset))?;
    xml::images(&bytes).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A WIM of two images with these flags, the second of them to be booted.
    fn sample(flags: u32) -> Vec<u8> {
        let xml = "<WIM><IMAGE INDEX=\"1\"/><IMAGE INDEX=\"2\"><NAME>PE</NAME>\
                   <WINDOWS><ARCH>9</ARCH></WINDOWS></IMAGE></WIM>";
        let mut text = vec![0xFF, 0xFE];
        text.extend(xml.encode_utf16().flat_map(u16::to_le_bytes));
        let resource = |stored: u64, flags: u8, offset: u64| {
            let mut bytes = stored.to_le_bytes().to_vec();
            bytes[7] = flags;
            bytes.extend(offset.to_le_bytes());
            bytes.extend(stored.to_le_bytes());
            bytes
        };
        let mut wim = b"MSWIM\0\0\0".to_vec();
        for word in [208, 0x0001_0D00, flags, 32_768] {
            wim.extend(u32::to_le_bytes(word));
        }
        wim.extend([7; 16]);
        wim.extend([1, 0, 1, 0, 2, 0, 0, 0]);
        let (table, end) = (208 + 200, 208 + 200 + 100);
        wim.extend(resource(100, 2, table));
        wim.extend(resource(text.len() as u64, 2, end));
        wim.extend(resource(100, 6, 308));
        wim.extend(2u32.to_le_bytes());
        wim.resize(208 + 200, 0);
        for offset in [208, 308] {
            wim.extend(resource(100, 6, offset));
            wim.extend([1, 0, 1, 0, 0, 0]);
            wim.extend([9; 20]);
        }
        wim.extend(text);
        wim
    }

    const LZX: u32 = 0x0004_0002;

    fn read(bytes: &[u8]) -> Result<Wim, WimError> {
        Wim::read(&mut Cursor::new(bytes))
    }

    fn patched(offset: usize, bytes: &[u8]) -> Vec<u8> {
        let mut wim = sample(LZX);
        wim[offset..offset + bytes.len()].copy_from_slice(bytes);
        wim
    }

    #[test]
    fn what_boots() {
        for flags in [0, 0x0002_0002, LZX] {
            let wim = read(&sample(flags)).unwrap();
            let image = wim.bootable().unwrap().unwrap();
            assert_eq!((image.index, image.name.as_str()), (2, "PE"));
            assert_eq!(image.architecture, Some(Architecture::Amd64));
            assert_eq!(wim.images.len(), 2);
            assert_eq!(wim.doubts(), Vec::<String>::new());
        }
        let wim = read(&patched(0x14, &65_536u32.to_le_bytes())).unwrap();
        assert!(wim.doubts()[0].contains("65536"));
    }

    #[test]
    fn what_does_not() {
        let fault = |bytes: &[u8]| read(bytes).unwrap().bootable().unwrap_err();
        let lzms = fault(&sample(0x0008_0002));
        assert!(lzms.to_string().contains("--compress=LZX"), "{lzms}");
        let solid = patched(208 + 200 + 7, &[0x16]);
        assert!(fault(&solid).to_string().contains("solid"));
        let none = patched(0x78, &[0]);
        assert_eq!(fault(&none), BootFault::NoBootIndex { images: 2 });
        let beyond = patched(0x78, &[3]);
        assert!(matches!(
            fault(&beyond),
            BootFault::BootIndex {
                index: 3,
                images: 2
            }
        ));
        let elsewhere = patched(0x78, &[1]);
        assert_eq!(
            fault(&elsewhere),
            BootFault::BootMetadata {
                index: 1,
                expected: 208,
                found: 308
            }
        );
    }

    #[test]
    fn what_is_no_wim() {
        let error = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert!(error(b"MSWIM").contains("expected at least 208 bytes, found 5"));
        let text = error(&patched(0, b"WLPWM"));
        assert!(
            text.starts_with("WIM header, magic at 0x0: expected"),
            "{text}"
        );
        assert!(error(&patched(0x08, &[207])).contains("size at 0x8"));
        assert!(error(&patched(0x0C, &[1])).contains("version at 0xc"));
        let text = error(&patched(0x28, &[2, 0, 3, 0]));
        assert!(text.contains("part 2 of 3"), "{text}");
        assert!(error(&patched(0x28, &[1, 0, 0, 0])).contains("part number"));
    }

    #[test]
    fn every_cut_is_noticed() {
        let whole = sample(LZX);
        for length in 0..whole.len() {
            let error = read(&whole[..length]).unwrap_err();
            assert!(
                matches!(error, WimError::Short { .. } | WimError::Truncated { .. }),
                "{length}: {error}"
            );
        }
    }

    #[test]
    fn no_byte_makes_it_panic() {
        let seed = 20_261_126;
        let mut random = fastrand::Rng::with_seed(seed);
        let whole = sample(LZX);
        for _ in 0..20_000 {
            let mut wim = whole.clone();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..wim.len());
                wim[at] = random.choice([0, 1, 0x7F, 0x80, 0xFF]).unwrap_or(0) ^ random.u8(..2);
            }
            if let Ok(wim) = read(&wim) {
                let _ = (wim.bootable(), wim.doubts());
            }
        }
    }
}
