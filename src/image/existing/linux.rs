// SPDX-License-Identifier: MIT OR Apache-2.0
//! Linux kernels and initial RAM disks, looked at as iPXE will.

use std::path::Path;

use super::{ExistingError, open, read_at};
use crate::image::le::{u16_at, u32_at};

/// A kernel that iPXE boots on BIOS (Documentation/arch/x86/boot.rst).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its length.
    pub bytes: u64,
    /// Boot protocol, such as 2.15.
    pub protocol: (u8, u8),
    /// What it says of itself: `6.1.0-50-amd64 (debian-kernel@...)`.
    pub version: Option<String>,
    /// The longest command line that it takes.
    pub command_line: u32,
    /// Whether it is a program for UEFI as well.
    pub efi: bool,
}

/// Checks a bzImage.
pub fn check_kernel(path: &Path) -> Result<Kernel, ExistingError> {
    let (file, bytes) = open(path)?;
    let wrong = ExistingError::in_field(path);
    let head = read_at(path, &file, 0, 0x8000)?;
    let magic = head.get(0x202..0x206).unwrap_or_default();
    if magic != b"HdrS" || u16_at(&head, 0x1FE) != 0xAA55 {
        let found = match head.as_slice() {
            [0x7F, b'E', b'L', b'F', ..] => "an ELF file (vmlinux)".to_owned(),
            [0x1F, 0x8B, ..] => "a gzip file".to_owned(),
            _ => format!("{:?}", String::from_utf8_lossy(magic)),
        };
        let remedy = "; take the kernel as distributions install it, /boot/vmlinuz-*";
        return Err(wrong(
            "kernel header",
            0x202,
            "\"HdrS\", a bzImage",
            found,
            remedy,
        ));
    }
    let protocol = u16_at(&head, 0x206);
    if protocol < 0x0203 {
        let found = format!("{}.{:02}", protocol >> 8, protocol & 0xFF);
        return Err(wrong(
            "boot protocol",
            0x206,
            "2.03 or later",
            found,
            "; it is older than 2002",
        ));
    }
    // Its size in 16-byte paragraphs, real-mode code apart.
    let setup = match head[0x1F1] {
        0 => 4,
        sectors => u64::from(sectors),
    };
    let end = (setup + 1) * 512 + u64::from(u32_at(&head, 0x1F4)) * 16;
    if end > bytes {
        let found = format!("{bytes} bytes");
        let remedy = "; copy it again";
        return Err(wrong(
            "size of the kernel",
            0x1F4,
            "a whole file",
            format!("{end} of {found}"),
            remedy,
        ));
    }
    let version = match u16_at(&head, 0x20E) {
        0 => None,
        offset => head.get(usize::from(offset) + 0x200..).map(|text| {
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(text).into_owned()
        }),
    };
    Ok(Kernel {
        bytes,
        protocol: ((protocol >> 8) as u8, (protocol & 0xFF) as u8),
        version,
        command_line: match protocol {
            0x0206.. => u32_at(&head, 0x238),
            _ => 255,
        },
        efi: head.starts_with(b"MZ"),
    })
}

/// What an initial RAM disk is packed with; `None`: nothing that a kernel unpacks.
pub fn check_initrd(path: &Path) -> Result<(u64, Option<&'static str>), ExistingError> {
    let (file, bytes) = open(path)?;
    let head = read_at(path, &file, 0, 16)?;
    let known: [(&[u8], &str); 8] = [
        (b"070701", "cpio"),
        (b"070702", "cpio"),
        (b"\x1F\x8B", "gzip"),
        (b"\xFD7zXZ\0", "xz"),
        (b"\x28\xB5\x2F\xFD", "zstd"),
        (b"BZh", "bzip2"),
        (b"\x02\x21\x4C\x18", "lz4"),
        (b"\x5D\0\0", "lzma"),
    ];
    let packed = known.iter().find(|(magic, _)| head.starts_with(magic));
    Ok((bytes, packed.map(|(_, name)| *name)))
}
