// SPDX-License-Identifier: MIT OR Apache-2.0
//! Device elements: where something lies, as bootmgr reads it.
//!
//! A device element is the GUID of an options object (16 bytes, or zeros), then a device
//! descriptor: u32 type, u32 flags, u32 size (of the descriptor), u32 0, and what the type asks
//! for. The layouts are those of `BL_DEVICE_DESCRIPTOR`, `BL_LOCAL_DEVICE`, `BL_HARDDISK_DEVICE`
//! and `BL_FILE_PATH_DESCRIPTOR` in ReactOS `boot/environ/include/bl.h`. Boot, MBR partition and
//! ramdisk were also booted with a Windows 7 bootmgr; GPT partition and file were not.
//!
//! What does not read back to exactly the bytes that it came from stays raw: nothing that is not
//! understood is ever changed.

use super::guid::Guid;

/// A device element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The object with further options, such as {ramdiskoptions}.
    pub options: Option<Guid>,
    /// The device.
    pub descriptor: Descriptor,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Descriptor {
    /// The device from which bootmgr was loaded.
    Boot,
    /// A partition of a disk with an MBR.
    Mbr(MbrPartition),
    /// A partition of a disk with a GPT.
    Gpt(GptPartition),
    /// A file on another device, taken for a device.
    File(Box<FilePath>),
    /// A file on another device, loaded into RAM.
    Ramdisk(Box<FilePath>),
    /// Anything else, byte for byte: `locate` (type 8), UDP, VHD and what is not known.
    Raw(RawDescriptor),
}

/// A partition of a disk with an MBR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MbrPartition {
    /// The disk's signature (LBA 0, offset 0x1B8).
    pub signature: u32,
    /// Where the partition begins, in bytes from the start of the disk.
    pub offset: u64,
}

/// A partition of a disk with a GPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GptPartition {
    /// The disk's GUID.
    pub disk: Guid,
    /// The partition's own GUID (not its type).
    pub partition: Guid,
}

/// A file on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath {
    /// On which device.
    pub parent: Descriptor,
    /// Where on it, such as `\winpe.wim`.
    pub path: String,
}

/// A descriptor that is kept as it is. Made by [`Device::decode`] alone, so that what can be
/// told in words is never raw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawDescriptor(Vec<u8>);

/// Bytes that are too few for a device element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a device of at least 32 bytes (options GUID, type, flags, size, 0), found {found} bytes"
)]
pub struct DeviceError {
    /// How many there were.
    pub found: usize,
}

mod field {
    use std::ops::Range;

    /// Of an element: the options object.
    pub const OPTIONS: usize = 16;

    // Of a descriptor.
    pub const KIND: Range<usize> = 0..4;
    pub const FLAGS: Range<usize> = 4..8;
    pub const SIZE: Range<usize> = 8..12;
    pub const HEADER: usize = 16;
    /// What boot and partition fill, with zeros at the end.
    pub const FIXED: usize = 0x48;

    // Of a partition's descriptor.
    pub const MBR_OFFSET: Range<usize> = 0x10..0x18;
    pub const GPT_PARTITION: Range<usize> = 0x10..0x20;
    pub const SCHEME: Range<usize> = 0x24..0x28;
    pub const MBR_SIGNATURE: Range<usize> = 0x28..0x2C;
    pub const GPT_DISK: Range<usize> = 0x28..0x38;

    // Of a local device's descriptor (`BL_LOCAL_DEVICE_TYPE`).
    pub const LOCAL_KIND: Range<usize> = 0x10..0x14;
    /// A ramdisk's base, size (u64 each) and image offset (u32) lie before its path.
    pub const RAMDISK_PATH: usize = 0x28;
    pub const FILE_PATH: usize = 0x14;

    // Of a path (`BL_FILE_PATH_DESCRIPTOR`).
    pub const PATH_VERSION: Range<usize> = 0..4;
    pub const PATH_LENGTH: Range<usize> = 4..8;
    pub const PATH_KIND: Range<usize> = 8..12;
    pub const PATH_HEADER: usize = 12;
}

// `BL_DEVICE_TYPE`.
const LOCAL: u32 = 0;
const BOOT: u32 = 5;
const PARTITION: u32 = 6;
const LOCATE: u32 = 8;
// `BL_LOCAL_DEVICE_TYPE`.
const RAMDISK: u32 = 3;
const FILE: u32 = 5;
// `BL_PARTITION_TYPE`.
const SCHEME_GPT: u32 = 0;
const SCHEME_MBR: u32 = 1;
/// A path that begins with the descriptor of the device that it is on.
const PATH_ON_DEVICE: u32 = 5;
/// Ramdisks carry it in what bcdedit writes.
const FLAG_RAMDISK: u32 = 1;

/// Devices in devices: ramdisk on a file on a partition is 3. Deeper ones stay raw, so that no
/// input leads to deep recursion.
const DEPTH: usize = 4;

impl Device {
    /// One without options.
    pub fn plain(descriptor: Descriptor) -> Self {
        Device {
            options: None,
            descriptor,
        }
    }

    /// A file loaded into RAM.
    pub fn ramdisk(parent: Descriptor, path: impl Into<String>, options: Guid) -> Self {
        let path = path.into();
        Device {
            options: Some(options),
            descriptor: Descriptor::Ramdisk(Box::new(FilePath { parent, path })),
        }
    }

    /// The element's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.options.unwrap_or(Guid::ZERO).to_wire().to_vec();
        bytes.extend(self.descriptor.encode());
        bytes
    }

    /// From the element's bytes. Whatever is not understood is kept.
    pub fn decode(bytes: &[u8]) -> Result<Self, DeviceError> {
        let (options, descriptor) = bytes
            .split_first_chunk::<{ field::OPTIONS }>()
            .filter(|(_, descriptor)| descriptor.len() >= field::HEADER)
            .ok_or(DeviceError { found: bytes.len() })?;
        let options = Guid::from_wire(*options);
        Ok(Device {
            options: (options != Guid::ZERO).then_some(options),
            descriptor: Descriptor::decode(descriptor, DEPTH),
        })
    }
}

impl Descriptor {
    /// The descriptor's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Descriptor::Boot => header(BOOT, 0, field::FIXED),
            Descriptor::Mbr(partition) => {
                let mut bytes = header(PARTITION, 0, field::FIXED);
                bytes[field::MBR_OFFSET].copy_from_slice(&partition.offset.to_le_bytes());
                bytes[field::SCHEME].copy_from_slice(&SCHEME_MBR.to_le_bytes());
                bytes[field::MBR_SIGNATURE].copy_from_slice(&partition.signature.to_le_bytes());
                bytes
            }
            Descriptor::Gpt(partition) => {
                let mut bytes = header(PARTITION, 0, field::FIXED);
                bytes[field::GPT_PARTITION].copy_from_slice(&partition.partition.to_wire());
                bytes[field::SCHEME].copy_from_slice(&SCHEME_GPT.to_le_bytes());
                bytes[field::GPT_DISK].copy_from_slice(&partition.disk.to_wire());
                bytes
            }
            Descriptor::File(file) => local(FILE, 0, field::FILE_PATH, file),
            Descriptor::Ramdisk(file) => local(RAMDISK, FLAG_RAMDISK, field::RAMDISK_PATH, file),
            Descriptor::Raw(raw) => raw.0.clone(),
        }
    }

    /// From exactly the descriptor's bytes, at least [`field::HEADER`] of them.
    fn decode(bytes: &[u8], depth: usize) -> Self {
        Self::understand(bytes, depth)
            .filter(|understood| understood.encode() == bytes)
            .unwrap_or_else(|| Descriptor::Raw(RawDescriptor(bytes.to_vec())))
    }

    fn understand(bytes: &[u8], depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        match (
            u32_at(bytes, field::KIND)?,
            u32_at(bytes, field::LOCAL_KIND),
        ) {
            (BOOT, _) => Some(Descriptor::Boot),
            (PARTITION, _) => match u32_at(bytes, field::SCHEME)? {
                SCHEME_MBR => Some(Descriptor::Mbr(MbrPartition {
                    signature: u32_at(bytes, field::MBR_SIGNATURE)?,
                    offset: u64::from_le_bytes(bytes.get(field::MBR_OFFSET)?.try_into().ok()?),
                })),
                SCHEME_GPT => Some(Descriptor::Gpt(GptPartition {
                    disk: guid_at(bytes, field::GPT_DISK)?,
                    partition: guid_at(bytes, field::GPT_PARTITION)?,
                })),
                _ => None,
            },
            (LOCAL, Some(RAMDISK)) => Some(Descriptor::Ramdisk(Box::new(file_path(
                bytes.get(field::RAMDISK_PATH..)?,
                depth,
            )?))),
            (LOCAL, Some(FILE)) => Some(Descriptor::File(Box::new(file_path(
                bytes.get(field::FILE_PATH..)?,
                depth,
            )?))),
            _ => None,
        }
    }
}

impl RawDescriptor {
    /// As it stands in the store.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// It asks bootmgr to look for the device that has a file: a layout that was not measured.
    pub fn is_locate(&self) -> bool {
        u32_at(&self.0, field::KIND) == Some(LOCATE)
    }

    /// The size that it claims, where that is not its size.
    pub fn wrong_size(&self) -> Option<u32> {
        u32_at(&self.0, field::SIZE).filter(|size| *size as usize != self.0.len())
    }
}

/// A descriptor of `size` bytes with its header.
fn header(kind: u32, flags: u32, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    bytes[field::KIND].copy_from_slice(&kind.to_le_bytes());
    bytes[field::FLAGS].copy_from_slice(&flags.to_le_bytes());
    bytes[field::SIZE].copy_from_slice(&(size as u32).to_le_bytes());
    bytes
}

/// The descriptor of a local device with a path at offset `at`.
fn local(kind: u32, flags: u32, at: usize, file: &FilePath) -> Vec<u8> {
    let mut path = vec![0; field::PATH_HEADER];
    path.extend(file.parent.encode());
    path.extend(file.path.encode_utf16().flat_map(u16::to_le_bytes));
    path.extend([0, 0]);
    let length = path.len() as u32;
    path[field::PATH_VERSION].copy_from_slice(&1u32.to_le_bytes());
    path[field::PATH_LENGTH].copy_from_slice(&length.to_le_bytes());
    path[field::PATH_KIND].copy_from_slice(&PATH_ON_DEVICE.to_le_bytes());
    let mut bytes = header(LOCAL, flags, at + path.len());
    bytes[field::LOCAL_KIND].copy_from_slice(&kind.to_le_bytes());
    bytes[at..].copy_from_slice(&path);
    bytes
}

fn file_path(bytes: &[u8], depth: usize) -> Option<FilePath> {
    let rest = bytes.get(field::PATH_HEADER..)?;
    let size = u32_at(rest, field::SIZE)? as usize;
    if size < field::HEADER {
        return None;
    }
    let (parent, path) = rest.split_at_checked(size)?;
    let (units, []) = path.as_chunks::<2>() else {
        return None;
    };
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    let (0, path) = units.split_last()? else {
        return None;
    };
    let path = String::from_utf16(path).ok()?;
    (!path.contains('\0')).then(|| FilePath {
        parent: Descriptor::decode(parent, depth),
        path,
    })
}

fn u32_at(bytes: &[u8], at: std::ops::Range<usize>) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at)?.try_into().ok()?))
}

fn guid_at(bytes: &[u8], at: std::ops::Range<usize>) -> Option<Guid> {
    Some(Guid::from_wire(bytes.get(at)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::alias::RAMDISK_OPTIONS;
    use super::*;

    /// What the fields are, by offset from the start of the element; all else must be zero.
    fn laid_out(device: &Device, length: usize, fields: &[(usize, &[u8])]) {
        let mut expected = vec![0; length];
        for (at, bytes) in fields {
            expected[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        let bytes = device.encode();
        assert_eq!(hex::encode(&bytes), hex::encode(&expected));
        assert_eq!(Device::decode(&bytes).as_ref(), Ok(device));
    }

    #[test]
    fn boot() {
        laid_out(
            &Device::plain(Descriptor::Boot),
            88,
            &[(0x10, &[5, 0, 0, 0]), (0x18, &[0x48, 0, 0, 0])],
        );
    }

    #[test]
    fn mbr_partition() {
        let device = Device::plain(Descriptor::Mbr(MbrPartition {
            signature: 0x1234_5678,
            offset: 2048 * 512,
        }));
        laid_out(
            &device,
            88,
            &[
                (0x10, &[6, 0, 0, 0]),
                (0x18, &[0x48, 0, 0, 0]),
                (0x20, &[0, 0, 0x10, 0, 0, 0, 0, 0]),
                (0x30, &[0, 0, 0, 0]),
                (0x34, &[1, 0, 0, 0]),
                (0x38, &[0x78, 0x56, 0x34, 0x12]),
            ],
        );
    }

    #[test]
    fn gpt_partition() {
        let disk = Guid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        let partition = Guid::from_u128(0x1021_3243_5465_7687_98a9_bacb_dced_fe0f);
        let device = Device::plain(Descriptor::Gpt(GptPartition { disk, partition }));
        laid_out(
            &device,
            88,
            &[
                (0x10, &[6, 0, 0, 0]),
                (0x18, &[0x48, 0, 0, 0]),
                (0x20, &partition.to_wire()),
                (0x34, &[0, 0, 0, 0]),
                (0x38, &disk.to_wire()),
            ],
        );
    }

    fn path_bytes(path: &str) -> Vec<u8> {
        let units = path.encode_utf16().chain([0]);
        units.flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn file() {
        let path = "\\disk.vhd";
        let device = Device::plain(Descriptor::File(Box::new(FilePath {
            parent: Descriptor::Boot,
            path: path.into(),
        })));
        let length = 0x78 + 2 * (path.len() + 1);
        laid_out(
            &device,
            length,
            &[
                (0x10, &[0, 0, 0, 0]),
                (0x18, &[(length - 16) as u8, 0, 0, 0]),
                (0x20, &[5, 0, 0, 0]),
                (0x24, &[1, 0, 0, 0]),
                (0x28, &[(length - 0x24) as u8, 0, 0, 0]),
                (0x2C, &[5, 0, 0, 0]),
                (0x30, &[5, 0, 0, 0]),
                (0x38, &[0x48, 0, 0, 0]),
                (0x78, &path_bytes(path)),
            ],
        );
    }

    #[test]
    fn ramdisk() {
        let path = "\\winpe.wim";
        let parent = Descriptor::Mbr(MbrPartition {
            signature: 0xA1B2_C3D4,
            offset: 63 * 512,
        });
        let device = Device::ramdisk(parent, path, RAMDISK_OPTIONS);
        let length = 0x8C + 2 * (path.len() + 1);
        laid_out(
            &device,
            length,
            &[
                (0x00, &RAMDISK_OPTIONS.to_wire()),
                (0x10, &[0, 0, 0, 0]),
                (0x14, &[1, 0, 0, 0]),
                (0x18, &[(length - 16) as u8, 0, 0, 0]),
                (0x20, &[3, 0, 0, 0]),
                (0x38, &[1, 0, 0, 0]),
                (0x3C, &[(12 + 0x48 + 2 * (path.len() + 1)) as u8, 0, 0, 0]),
                (0x40, &[5, 0, 0, 0]),
                // The parent, without a GUID of its own.
                (0x44, &[6, 0, 0, 0]),
                (0x4C, &[0x48, 0, 0, 0]),
                (0x54, &[0, 0x7E, 0, 0, 0, 0, 0, 0]),
                (0x68, &[1, 0, 0, 0]),
                (0x6C, &[0xD4, 0xC3, 0xB2, 0xA1]),
                (0x8C, &path_bytes(path)),
            ],
        );
    }

    #[test]
    fn what_is_not_understood_is_kept() {
        let boot = Device::plain(Descriptor::Boot).encode();
        for at in [0x14, 0x1C, 0x18, 0x57] {
            let mut bytes = boot.clone();
            bytes[at] ^= 1;
            let device = Device::decode(&bytes).unwrap();
            assert!(matches!(device.descriptor, Descriptor::Raw(_)), "{at:#x}");
            assert_eq!(device.encode(), bytes);
        }
        let mut locate = vec![0; 0x30];
        locate[0x10] = 8;
        let device = Device::decode(&locate).unwrap();
        let Descriptor::Raw(raw) = &device.descriptor else {
            panic!("{device:?}");
        };
        assert!(raw.is_locate());
        assert_eq!(raw.wrong_size(), Some(0));
        assert_eq!(device.encode(), locate);
        for length in 0..32 {
            let error = Device::decode(&vec![0; length]).unwrap_err();
            assert_eq!(error, DeviceError { found: length });
        }
    }

    #[test]
    fn devices_in_devices_are_followed_to_a_limit() {
        let mut descriptor = Descriptor::Boot;
        for depth in 1..40 {
            descriptor = Descriptor::File(Box::new(FilePath {
                parent: descriptor,
                path: "\\x".into(),
            }));
            let bytes = Device::plain(descriptor.clone()).encode();
            let read = Device::decode(&bytes).unwrap();
            assert_eq!(read.encode(), bytes);
            assert_eq!(read.descriptor == descriptor, depth < DEPTH);
        }
    }

    #[test]
    fn no_bytes_panic_and_all_come_back() {
        let mut random = fastrand::Rng::with_seed(5);
        let seeds = [
            Device::plain(Descriptor::Boot).encode(),
            Device::ramdisk(Descriptor::Boot, "\\a", RAMDISK_OPTIONS).encode(),
        ];
        for _ in 0..20_000 {
            let mut bytes = random.choice(&seeds).unwrap().clone();
            for _ in 0..random.usize(..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.choice([0, 1, 2, 3, 5, 6, 8, 0x48, 0xFF]).unwrap();
            }
            bytes.truncate(random.usize(32..=bytes.len()));
            assert_eq!(Device::decode(&bytes).unwrap().encode(), bytes);
        }
    }
}
