// SPDX-License-Identifier: MIT OR Apache-2.0
//! Proof from the finished file: what a ROM, kernel image, boot program or EFI binary can do, read
//! from its own bytes and not from what the build was asked for.

pub mod elf;
mod lkrn;
mod nrv2b;
mod payload;
mod pe;
pub mod rom;
mod tables;

use std::fmt;

pub use lkrn::LkrnError;
pub use pe::PeError;
pub use rom::{Image as RomImage, RomError};
pub use tables::Script;
use tables::{Memory, Word};

/// Files above this are no iPXE: the largest, a USB stick's image, is far below.
const FILE_LIMIT: usize = 64 << 20;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// PCI option ROM.
    Rom,
    /// Linux kernel image (`.lkrn`).
    Lkrn,
    /// PXE boot program (`.kpxe`, `.kkpxe`, `.pxe`).
    BootProgram,
    /// EFI application or driver.
    Efi,
    /// Linked, not packed.
    Elf,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Rom => "option ROM",
            Kind::Lkrn => "kernel image",
            Kind::BootProgram => "PXE boot program",
            Kind::Efi => "EFI binary",
            Kind::Elf => "ELF program",
        })
    }
}

/// Whether a protocol is in a file, and how that is known, from weak to strong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "support")]
pub enum ProtocolSupport {
    /// Neither its URI opener nor its feature is there.
    Absent,
    /// Only its name occurs: not enough to open a URI.
    Mentioned,
    /// The URI opener's table has an entry for it, and the feature table has its name.
    Registered {
        /// Offset of the opener's entry in program memory.
        opener: usize,
        /// Offset of the feature's entry in program memory.
        feature: usize,
        /// Whether it announces itself in DHCP option 175.
        announced: bool,
    },
    /// An ELF file's symbols say so.
    Linked,
}

impl ProtocolSupport {
    /// Whether URIs of this protocol open.
    pub fn works(&self) -> bool {
        matches!(
            self,
            ProtocolSupport::Registered { .. } | ProtocolSupport::Linked
        )
    }
}

impl fmt::Display for ProtocolSupport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolSupport::Absent => f.write_str("absent: neither opener nor feature"),
            ProtocolSupport::Mentioned => f.write_str("only named, not registered"),
            ProtocolSupport::Registered {
                opener,
                feature,
                announced,
            } => {
                write!(f, "opener {opener:#x}, feature {feature:#x}")?;
                f.write_str(if *announced { ", DHCP 175.26" } else { "" })
            }
            ProtocolSupport::Linked => f.write_str("symbols of its opener and its feature"),
        }
    }
}

/// What a finished file was found to be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// What it is.
    pub kind: Kind,
    /// Its size.
    pub bytes: usize,
    /// Size of the program in memory, unpacked.
    pub unpacked: usize,
    /// Packed blocks whose checksum is right; 0 for EFI and ELF, which are not packed, and for gPXE,
    /// whose blocks have none.
    pub blocks: usize,
    /// URI schemes that it opens.
    pub protocols: Vec<String>,
    /// Its `Features:` line.
    pub features: Vec<String>,
    /// Multicast.
    pub slam: ProtocolSupport,
    /// Whether it speaks for its groups (IGMP, MLD): it has the command `mcleave`, and the IP
    /// protocol by its name, without which the command would only seem to work.
    pub membership: bool,
    /// The embedded script.
    pub script: Option<Script>,
    /// Images of an option ROM.
    pub rom: Vec<RomImage>,
}

/// Why a file cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Larger than any iPXE.
    #[error("the file has {bytes} bytes, expected at most {FILE_LIMIT}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not one packed block.
    #[error(
        "a {kind} of {bytes} bytes without a single packed block, neither LZMA with a checksum that is right (iPXE from March 2016 on) nor NRV2B (before): damaged, or no iPXE"
    )]
    NoPayload {
        /// What it looks like.
        kind: Kind,
        /// Its size.
        bytes: usize,
    },
    /// An option ROM with a wrong header.
    #[error(transparent)]
    Rom(#[from] RomError),
    /// A kernel image with a wrong header.
    #[error(transparent)]
    Lkrn(#[from] LkrnError),
    /// An EFI binary with wrong headers.
    #[error(transparent)]
    Pe(#[from] PeError),
    /// An ELF file with wrong headers.
    #[error(transparent)]
    Elf(#[from] elf::ElfError),
    /// An EFI image compressed within an option ROM.
    #[error("an option ROM with nothing but a compressed EFI image, which is not read yet")]
    CompressedEfi,
}

/// Reads a finished file; never more than it needs, on any input.
pub fn inspect(file: &[u8]) -> Result<Report, InspectError> {
    if file.is_empty() {
        return Err(InspectError::Empty);
    }
    if file.len() > FILE_LIMIT {
        return Err(InspectError::TooLarge { bytes: file.len() });
    }
    if file.starts_with(b"\x7fELF") {
        return Ok(elf_report(file, &elf::read(file)?));
    }
    // A kernel image may carry an MZ header (EFI stub); iPXE's has its packed blocks either way.
    if lkrn::is(file) {
        lkrn::check(file)?;
        return packed(file, Kind::Lkrn, Vec::new());
    }
    if file.starts_with(b"MZ") {
        let laid = pe::lay_out(file)?;
        let memory = Memory {
            bytes: &laid.bytes,
            word: laid.word,
        };
        return Ok(report(file, Kind::Efi, &memory, 0, Vec::new()));
    }
    if file.starts_with(&[0x55, 0xaa]) {
        let images = rom::read(file)?;
        if images.iter().all(|image| image.code == rom::Code::Efi) {
            return Err(InspectError::CompressedEfi);
        }
        return packed(file, Kind::Rom, images);
    }
    packed(file, Kind::BootProgram, Vec::new())
}

fn packed(file: &[u8], kind: Kind, rom: Vec<RomImage>) -> Result<Report, InspectError> {
    let (bytes, blocks) = largest_block(file).ok_or(InspectError::NoPayload {
        kind,
        bytes: file.len(),
    })?;
    let memory = Memory {
        bytes: &bytes,
        word: Word::Four,
    };
    Ok(report(file, kind, &memory, blocks, rom))
}

/// The largest packed block of a BIOS image, unpacked: `.textdata`.
pub fn textdata(file: &[u8]) -> Option<Vec<u8>> {
    largest_block(file).map(|(bytes, _)| bytes)
}

/// That block, and how many have a checksum that is right.
fn largest_block(file: &[u8]) -> Option<(Vec<u8>, usize)> {
    let blocks = payload::unpack(file);
    let checked = blocks.len();
    let largest = blocks.into_iter().map(|block| block.bytes);
    match largest.max_by_key(Vec::len) {
        Some(bytes) => Some((bytes, checked)),
        None => Some((nrv2b::largest(file, nrv2b::LIMIT)?, 0)),
    }
}

fn report(
    file: &[u8],
    kind: Kind,
    memory: &Memory<'_>,
    blocks: usize,
    rom: Vec<RomImage>,
) -> Report {
    let (openers, features) = (memory.openers(), memory.features());
    let entry = |table: &tables::Names, name: &str| {
        table
            .iter()
            .find(|(_, found)| found == name)
            .map(|(at, _)| *at)
    };
    let slam = match (entry(&openers, "x-slam"), entry(&features, "SLAM")) {
        (Some(opener), Some(feature)) => ProtocolSupport::Registered {
            opener,
            feature,
            announced: memory.announces_slam(),
        },
        _ if memory.has_string("x-slam") || memory.has_string("SLAM") => ProtocolSupport::Mentioned,
        _ => ProtocolSupport::Absent,
    };
    let names = |table: tables::Names| table.into_iter().map(|(_, name)| name).collect();
    Report {
        kind,
        bytes: file.len(),
        unpacked: memory.bytes.len(),
        blocks,
        protocols: names(openers),
        features: names(features),
        membership: memory.has_string("mcleave") && memory.has_string("IGMP"),
        slam,
        script: memory.script(),
        rom,
    }
}

fn elf_report(file: &[u8], linked: &elf::Linked) -> Report {
    let empty = Memory {
        bytes: linked.textdata.as_deref().unwrap_or_default(),
        word: Word::Four,
    };
    let mut report = report(file, Kind::Elf, &empty, 0, Vec::new());
    report.slam = if linked.slam {
        ProtocolSupport::Linked
    } else {
        ProtocolSupport::Absent
    };
    // A program whose pointers a loader fills in has no tables to follow: symbols say it.
    if linked.textdata.is_none() {
        report.membership = linked.membership;
        report.script.clone_from(&linked.script);
    }
    report
}
