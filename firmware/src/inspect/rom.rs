// SPDX-License-Identifier: MIT OR Apache-2.0
//! PCI option ROMs: the chain of images, their headers and sums (PCI Firmware Specification 3.3,
//! section 5.1; iPXE `arch/x86/prefix/romprefix.S`, `mromprefix.S`, `src/include/ipxe/efi/…`).

mod field {
    //! Offsets, from the start of an image and of its PCI data structure.
    pub(super) const UNITS: usize = 0x02;
    pub(super) const EFI_SIGNATURE: usize = 0x04;
    pub(super) const MACHINE: usize = 0x0a;
    pub(super) const COMPRESSION: usize = 0x0c;
    pub(super) const EFI_IMAGE: usize = 0x16;
    pub(super) const IPXE: usize = 0x10;
    pub(super) const UNDI: usize = 0x16;
    pub(super) const PCIR: usize = 0x18;
    pub(super) const PNP: usize = 0x1a;

    pub(super) const VENDOR: usize = 0x04;
    pub(super) const DEVICE: usize = 0x06;
    pub(super) const DEVICE_LIST: usize = 0x08;
    pub(super) const LENGTH: usize = 0x0a;
    pub(super) const REVISION: usize = 0x0c;
    pub(super) const IMAGE_UNITS: usize = 0x10;
    pub(super) const CODE: usize = 0x14;
    pub(super) const INDICATOR: usize = 0x15;
}

/// A unit of length.
const UNIT: usize = 512;
/// `EFI_PCI_EXPANSION_ROM_HEADER_EFISIGNATURE` (UEFI 2.10, section 14.4.2).
const EFI_SIGNATURE: u32 = 0x0ef1;
/// No chain is longer; each image is at least one unit, so this only bounds the report.
const MOST_IMAGES: usize = 64;

/// iPXE's largest family has fewer.
const MOST_DEVICES: usize = 512;

/// What runs an image (PCI data structure, code type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// 0: PC-AT BIOS.
    Bios,
    /// 3: EFI.
    Efi,
    /// 0xff: iPXE's own, the rest of an `.mrom`, which it copies by itself; no sum is kept.
    Ipxe,
    /// None: a ROM without PCI data structure, for ISA cards and sockets.
    Isa,
    /// Anything else.
    Other(u8),
}

/// One image of the chain.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Image {
    /// Where it starts in the file.
    pub offset: usize,
    /// How long it says it is, in bytes.
    pub bytes: usize,
    /// What runs it.
    pub code: Code,
    /// PCI vendor.
    pub vendor: u16,
    /// PCI device.
    pub device: u16,
    /// Further PCI devices that it is for.
    pub devices: Vec<u16>,
    /// Plug and Play expansion header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pnp: Option<Pnp>,
    /// Whether it has a UNDI loader (PXE 2.1, section 3.1).
    pub undi: bool,
    /// iPXE's build id: ROMs of one id share what one of them unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_id: Option<u32>,
    /// What an EFI image is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efi: Option<EfiHeader>,
}

/// What a BIOS shows and calls (PnP BIOS 1.0A, section 3.2).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Pnp {
    /// Who made it.
    pub manufacturer: String,
    /// What it calls itself in boot menus.
    pub product: String,
    /// Whether it has a boot entry vector: only then the BIOS can boot from it.
    pub boots: bool,
}

/// UEFI 2.10, section 14.4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EfiHeader {
    /// PE machine type: 0x8664 x86-64, 0x014c i386, 0xaa64 arm64.
    pub machine: u16,
    /// Whether its image is packed (EFI 1.1 compression).
    pub compressed: bool,
    /// Where its image starts, from the start of this one.
    #[serde(skip)]
    pub at: usize,
}

/// What is wrong with an option ROM; offsets are from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RomError {
    /// Not a ROM image where one must be.
    #[error("at {offset:#x}: expected an option ROM image (55 aa), found {found:02x?}")]
    Signature {
        /// Where.
        offset: usize,
        /// The bytes there.
        found: Vec<u8>,
    },
    /// A header that ends outside of the file.
    #[error("at {offset:#x}: the {what} lies outside of the image of {bytes} bytes")]
    Outside {
        /// Where the image starts.
        offset: usize,
        /// Which structure.
        what: &'static str,
        /// The image's size.
        bytes: usize,
    },
    /// The PCI data structure is not there.
    #[error("at {offset:#x}: expected the PCI data structure (PCIR), found {found:02x?}")]
    Pcir {
        /// Where.
        offset: usize,
        /// The bytes there.
        found: Vec<u8>,
    },
    /// Two lengths that must agree do not.
    #[error("at {offset:#x}: the header says {header} bytes, the PCI data structure {pcir}")]
    Length {
        /// Where the image starts.
        offset: usize,
        /// From the header.
        header: usize,
        /// From the PCI data structure.
        pcir: usize,
    },
    /// A sum that must be zero is not.
    #[error("at {offset:#x}: the bytes of the {what} sum to {found:#04x}, expected 0")]
    Sum {
        /// Where the structure starts.
        offset: usize,
        /// Which structure.
        what: &'static str,
        /// Its sum.
        found: u8,
    },
    /// Bytes after the last image, or a chain that does not end.
    #[error("the chain of images ends at {end:#x}, expected the end of the file at {bytes:#x}")]
    Chain {
        /// Where the chain ends.
        end: usize,
        /// The file's size.
        bytes: usize,
    },
    /// The wrong card.
    #[error(
        "at {offset:#x}: this ROM is for {vendor:04x}:{device:04x}, expected {expected:04x?}: a firmware ignores a ROM of the wrong id without a word"
    )]
    Ids {
        /// Where the image starts.
        offset: usize,
        /// Found.
        vendor: u16,
        /// Found.
        device: u16,
        /// Vendor and device of the target's name.
        expected: (u16, u16),
    },
}

/// Reads the whole chain and checks every header.
pub fn read(file: &[u8]) -> Result<Vec<Image>, RomError> {
    let mut images = Vec::new();
    let mut offset = 0;
    loop {
        let (image, last) = image(file, offset)?;
        offset += image.bytes;
        images.push(image);
        if last || images.len() == MOST_IMAGES {
            break;
        }
    }
    if offset == file.len() {
        Ok(images)
    } else {
        Err(RomError::Chain {
            end: offset,
            bytes: file.len(),
        })
    }
}

/// Whether every image is for `expected` (vendor, device), itself or in its device list.
pub fn check_ids(images: &[Image], expected: (u16, u16)) -> Result<(), RomError> {
    for image in images {
        let listed = image.vendor == expected.0 && image.devices.contains(&expected.1);
        if (image.vendor, image.device) != expected && !listed {
            return Err(RomError::Ids {
                offset: image.offset,
                vendor: image.vendor,
                device: image.device,
                expected,
            });
        }
    }
    Ok(())
}

fn image(file: &[u8], offset: usize) -> Result<(Image, bool), RomError> {
    let rest = file.get(offset..).unwrap_or_default();
    if !rest.starts_with(&[0x55, 0xaa]) {
        return Err(RomError::Signature {
            offset,
            found: rest[..rest.len().min(2)].to_vec(),
        });
    }
    let outside = |what, bytes| RomError::Outside {
        offset,
        what,
        bytes,
    };
    let header = |at| u16_at(rest, at).ok_or(outside("header", rest.len()));
    let pcir_at = usize::from(header(field::PCIR)?);
    if pcir_at == 0 {
        return isa(rest, offset);
    }
    let pcir = rest.get(pcir_at..).unwrap_or_default();
    if !pcir.starts_with(b"PCIR") {
        return Err(RomError::Pcir {
            offset: offset + pcir_at,
            found: pcir[..pcir.len().min(4)].to_vec(),
        });
    }
    let data = |at| u16_at(pcir, at).ok_or(outside("PCI data structure", rest.len()));
    let bytes = usize::from(data(field::IMAGE_UNITS)?) * UNIT;
    let code_and_indicator = data(field::CODE)?.to_le_bytes();
    let code = match code_and_indicator[0] {
        0 => Code::Bios,
        3 => Code::Efi,
        0xff => Code::Ipxe,
        other => Code::Other(other),
    };
    debug_assert_eq!(field::INDICATOR, field::CODE + 1);
    let last = code_and_indicator[1] & 0x80 != 0;
    let whole = rest
        .get(..bytes)
        .filter(|_| bytes > 0)
        .ok_or(outside("image", bytes))?;
    let mut image = Image {
        vendor: data(field::VENDOR)?,
        device: data(field::DEVICE)?,
        devices: devices(whole, pcir_at),
        ..Image::at(offset, bytes, code)
    };
    match code {
        Code::Bios => check_bios(whole, &mut image)?,
        Code::Efi => check_efi(whole, &mut image)?,
        Code::Ipxe | Code::Isa | Code::Other(_) => {}
    }
    Ok((image, last))
}

/// Without a PCI data structure the image is alone, and as long as its header says.
fn isa(rest: &[u8], offset: usize) -> Result<(Image, bool), RomError> {
    let bytes = rest.get(field::UNITS).map_or(0, |n| usize::from(*n) * UNIT);
    let whole = rest
        .get(..bytes)
        .filter(|_| bytes > 0)
        .ok_or(RomError::Outside {
            offset,
            what: "image",
            bytes,
        })?;
    let mut image = Image::at(offset, bytes, Code::Isa);
    check_bios(whole, &mut image)?;
    Ok((image, true))
}

impl Image {
    fn at(offset: usize, bytes: usize, code: Code) -> Image {
        Image {
            offset,
            bytes,
            code,
            vendor: 0,
            device: 0,
            devices: Vec::new(),
            pnp: None,
            undi: false,
            build_id: None,
            efi: None,
        }
    }
}

fn check_bios(whole: &[u8], image: &mut Image) -> Result<(), RomError> {
    let header = usize::from(whole[field::UNITS]) * UNIT;
    if header != image.bytes {
        return Err(RomError::Length {
            offset: image.offset,
            header,
            pcir: image.bytes,
        });
    }
    sum(whole, 0, image, "whole image")?;
    // Length fields: $PnP counts 16-byte units at 5 (PnP BIOS 1.0A, 3.2); UNDI counts bytes at 4
    // (PXE 2.1, 3.1); iPXE's own structure likewise (romprefix.S, `ipxeheader`).
    for (pointer, signature, length_at, unit, what) in [
        (field::PNP, &b"$PnP"[..], 5, 16, "$PnP structure"),
        (field::UNDI, b"UNDI", 4, 1, "UNDI ROM structure"),
        (field::IPXE, b"iPXE", 4, 1, "iPXE structure"),
    ] {
        let at = usize::from(u16_at(whole, pointer).unwrap_or(0));
        let Some(rest) = whole
            .get(at..)
            .filter(|rest| at > 0 && rest.starts_with(signature))
        else {
            continue;
        };
        let length = rest.get(length_at).map_or(0, |n| usize::from(*n) * unit);
        let structure = rest.get(..length).ok_or(RomError::Outside {
            offset: image.offset + at,
            what,
            bytes: image.bytes,
        })?;
        sum(structure, at, image, what)?;
        match signature {
            b"$PnP" => image.pnp = Some(pnp(whole, structure)),
            b"UNDI" => image.undi = true,
            // romprefix.S, `ipxeheader`: the id is the last word.
            _ => {
                let id = structure.last_chunk().filter(|_| structure.len() >= 12);
                image.build_id = id.map(|bytes| u32::from_le_bytes(*bytes));
            }
        }
    }
    Ok(())
}

/// Offsets from the start of the structure: manufacturer 0x0e, product 0x10, boot entry 0x1a.
fn pnp(whole: &[u8], structure: &[u8]) -> Pnp {
    let text = |at| {
        let text = usize::from(u16_at(structure, at)?);
        let text = whole.get(text..).filter(|_| text > 0)?;
        let length = text.iter().take(64).position(|byte| *byte == 0)?;
        let text = String::from_utf8_lossy(&text[..length]);
        Some(text.chars().filter(|c| !c.is_control()).collect())
    };
    Pnp {
        manufacturer: text(0x0e).unwrap_or_default(),
        product: text(0x10).unwrap_or_default(),
        boots: u16_at(structure, 0x1a).is_some_and(|entry| entry != 0),
    }
}

fn check_efi(whole: &[u8], image: &mut Image) -> Result<(), RomError> {
    let found = whole
        .get(field::EFI_SIGNATURE..)
        .and_then(<[u8]>::first_chunk);
    if found.map(|bytes| u32::from_le_bytes(*bytes)) != Some(EFI_SIGNATURE) {
        return Err(RomError::Signature {
            offset: image.offset + field::EFI_SIGNATURE,
            found: found
                .map(|bytes: &[u8; 4]| bytes.to_vec())
                .unwrap_or_default(),
        });
    }
    let header = usize::from(u16_at(whole, field::UNITS).unwrap_or(0)) * UNIT;
    if header != image.bytes {
        return Err(RomError::Length {
            offset: image.offset,
            header,
            pcir: image.bytes,
        });
    }
    // Nothing asks for it, but iPXE's tools, and Debian's, make it so.
    sum(whole, 0, image, "whole image")?;
    let field = |at| u16_at(whole, at).unwrap_or(0);
    image.efi = Some(EfiHeader {
        machine: field(field::MACHINE),
        compressed: field(field::COMPRESSION) == 1,
        at: field(field::EFI_IMAGE).into(),
    });
    Ok(())
}

fn sum(bytes: &[u8], at: usize, image: &Image, what: &'static str) -> Result<(), RomError> {
    match bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) {
        0 => Ok(()),
        found => Err(RomError::Sum {
            offset: image.offset + at,
            what,
            found,
        }),
    }
}

/// PCI Firmware Specification 3.3, table 5-3: from revision 3 on a zero-terminated list of further
/// device ids.
fn devices(whole: &[u8], pcir_at: usize) -> Vec<u16> {
    let list = || {
        let pcir = whole.get(pcir_at..)?;
        let start = usize::from(u16_at(pcir, field::DEVICE_LIST)?);
        let modern = u16_at(pcir, field::LENGTH)? >= 28 && *pcir.get(field::REVISION)? >= 3;
        (modern && start > 0).then(|| pcir.get(start..)).flatten()
    };
    let ids = list().unwrap_or_default().chunks_exact(2);
    let ids = ids.map(|id| u16::from_le_bytes([id[0], id[1]]));
    ids.take_while(|id| *id != 0).take(MOST_DEVICES).collect()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*field))
}
