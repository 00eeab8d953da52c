// SPDX-License-Identifier: MIT OR Apache-2.0
//! Proof from the finished file: what a ROM, kernel image, boot program, EFI binary or disk can do,
//! read from its own bytes and not from what the build was asked for.

mod efi;
pub mod elf;
mod fat;
mod file;
mod iso;
mod lkrn;
mod nrv2b;
mod payload;
mod pe;
mod program;
pub mod rom;
mod tables;

use std::fmt;

pub use efi::EfiError;
pub use file::{ReadError, read_file};
pub use lkrn::LkrnError;
pub use pe::PeError;
pub use program::Program;
pub use rom::{Image as RomImage, RomError};
pub use tables::{Driver, Script};
use tables::{Memory, Word};

/// Files above this are no iPXE: the largest, an ISO for several machines, is far below.
const FILE_LIMIT: usize = 64 << 20;
/// Files within a disk that are read, and how deep file systems may lie in each other.
const MOST_FILES: usize = 16;
const DEEPEST: usize = 2;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// PCI or ISA option ROM, for BIOS, EFI or both.
    Rom,
    /// Linux kernel image (`.lkrn`).
    Lkrn,
    /// PXE boot program (`.kpxe`, `.kkpxe`, `.pxe`).
    BootProgram,
    /// EFI application or driver.
    Efi,
    /// Linked, not packed.
    Elf,
    /// A disk that a BIOS or an EFI firmware starts (`.dsk`, `.hd`, `.usb`).
    Disk,
    /// ISO 9660 (`.iso`).
    Iso,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Rom => "option ROM",
            Kind::Lkrn => "kernel image",
            Kind::BootProgram => "PXE boot program",
            Kind::Efi => "EFI binary",
            Kind::Elf => "ELF program",
            Kind::Disk => "disk image",
            Kind::Iso => "ISO image",
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
    /// The machine's architecture that it is for: `i386`, `x86_64`, `arm64`.
    pub arch: &'static str,
    /// The iPXE in it; where there are several (a ROM for BIOS and EFI, an ISO for both), the first
    /// without multicast, so that the whole is worth as much as its weakest part.
    #[serde(flatten)]
    pub program: Program,
    /// What the file is made of: images of an option ROM, files in a disk.
    pub images: Vec<Part>,
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "part")]
pub enum Part {
    /// An image of an option ROM.
    RomImage {
        /// Its headers.
        #[serde(flatten)]
        image: RomImage,
        /// Whether the iPXE in it has SLAM; absent where it is a rest of another image.
        #[serde(skip_serializing_if = "Option::is_none")]
        slam: Option<ProtocolSupport>,
    },
    /// A file in a disk's file system.
    File {
        /// Its path there.
        path: String,
        /// What it is.
        report: Box<Report>,
    },
    /// An entry of an ISO's boot catalogue.
    Boot {
        /// Which firmware starts it.
        firmware: &'static str,
    },
}

impl Report {
    /// The images of an option ROM.
    pub fn rom_images(&self) -> impl Iterator<Item = &RomImage> {
        self.images.iter().filter_map(|part| match part {
            Part::RomImage { image, .. } => Some(image),
            _ => None,
        })
    }
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
    /// Some of the blocks are whole, and some are not.
    #[error(
        "a {kind} of {bytes} bytes with {} of {} packed blocks whole ({}), the others damaged or cut off: their checksums are wrong",
        .whole.len(), payload::EXPECTED, places(.whole)
    )]
    Damaged {
        /// What it is.
        kind: Kind,
        /// Its size.
        bytes: usize,
        /// Where the whole ones begin.
        whole: Vec<usize>,
    },
    /// Less than its own header says.
    #[error("a {kind} of {expected} bytes by its own header, cut off after {found}")]
    Cut {
        /// What it is.
        kind: Kind,
        /// What its header says.
        expected: usize,
        /// Its size.
        found: usize,
    },
    /// A program that is whole and is none of iPXE's.
    #[error(
        "a {kind} without iPXE's tables: it opens no URI and has no command: no iPXE, or a damaged one"
    )]
    NotIpxe {
        /// What it is.
        kind: Kind,
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
    /// A packed EFI image in an option ROM.
    #[error(transparent)]
    Efi(#[from] EfiError),
    /// A file system in which every file that could be one is none.
    #[error("{}{kind} without an iPXE in it{}", article(*.kind), listed(.tried))]
    NoFile {
        /// What it is.
        kind: Kind,
        /// What was looked at, and what was wrong with each.
        tried: Vec<(String, String)>,
    },
}

fn places(offsets: &[usize]) -> String {
    let shown: Vec<String> = offsets.iter().map(|at| format!("at {at:#x}")).collect();
    shown.join(", ")
}

fn article(kind: Kind) -> &'static str {
    if kind == Kind::Iso { "an " } else { "a " }
}

fn listed(tried: &[(String, String)]) -> String {
    use fmt::Write as _;
    let mut text = String::new();
    for (path, why) in tried {
        let _ = write!(text, "\n  {path}: {why}");
    }
    text
}

/// Is shown each program that a file holds, in its place in memory.
type Witness<'a> = &'a mut dyn FnMut(&Memory<'_>);

/// Reads a finished file; never more than it needs, on any input.
pub fn inspect(file: &[u8]) -> Result<Report, InspectError> {
    look(file, DEEPEST, &mut |_| {})
}

/// How many bytes all packed blocks of a BIOS file have, whose own size is in whole units.
pub fn packed_bytes(file: &[u8]) -> usize {
    let blocks = payload::unpack(file);
    blocks.iter().map(|block| block.packed).sum()
}

fn look(file: &[u8], depth: usize, seen: Witness<'_>) -> Result<Report, InspectError> {
    if file.is_empty() {
        return Err(InspectError::Empty);
    }
    if file.len() > FILE_LIMIT {
        return Err(InspectError::TooLarge { bytes: file.len() });
    }
    if file.starts_with(b"\x7fELF") {
        return elf_report(file, &elf::read(file)?, seen);
    }
    // A kernel image may carry an MZ header (EFI stub); iPXE's has its packed blocks either way.
    if lkrn::is(file) {
        lkrn::check(file)?;
        return packed(file, Kind::Lkrn, seen);
    }
    if file.starts_with(b"MZ") {
        let (program, arch) = efi_program(file, seen)?;
        return report(file, Kind::Efi, arch, program, Vec::new());
    }
    if file.starts_with(&[0x55, 0xaa]) {
        return option_rom(file, seen);
    }
    if iso::is(file) {
        // Its files may be whole all the same, the last one of them missing.
        if iso::size(file) > file.len() {
            return Err(InspectError::Cut {
                kind: Kind::Iso,
                expected: iso::size(file),
                found: file.len(),
            });
        }
        let within = iso::files(file)
            .into_iter()
            .map(|(name, content)| (format!("/{name}"), content.to_vec()));
        let boots = iso::boots(file);
        let disk = (file, Kind::Iso, depth);
        return files(disk, within.collect(), &boots, seen);
    }
    if let Some(volume) = fat::Fat::read(file) {
        let disk = (file, Kind::Disk, depth);
        return files(disk, volume.files(FILE_LIMIT), &[], seen);
    }
    // A boot sector, or partition table.
    if file.get(0x1fe..0x200) == Some(&[0x55, 0xaa]) {
        return packed(file, Kind::Disk, seen);
    }
    packed(file, Kind::BootProgram, seen)
}

fn efi_program(file: &[u8], seen: Witness<'_>) -> Result<(Program, &'static str), InspectError> {
    let laid = pe::lay_out(file)?;
    let memory = Memory {
        bytes: &laid.bytes,
        word: laid.word,
        base: laid.base,
    };
    seen(&memory);
    Ok((Program::read(&memory, 0), laid.arch))
}

/// The iPXE that the BIOS images hold, and the one in each EFI image.
fn option_rom(file: &[u8], seen: Witness<'_>) -> Result<Report, InspectError> {
    let images = rom::read(file)?;
    let mut programs = Vec::new();
    let mut parts = Vec::new();
    let payload = |code: rom::Code| matches!(code, rom::Code::Ipxe);
    for (number, image) in images.iter().enumerate() {
        let mut slam = None;
        let whole = &file[image.offset..image.offset + image.bytes];
        if let Some(efi) = image.efi {
            let binary = whole.get(efi.at..).unwrap_or_default();
            let unpacked = efi
                .compressed
                .then(|| efi::unpack(binary, image.offset + efi.at));
            let unpacked = unpacked.transpose()?;
            let found = efi_program(unpacked.as_deref().unwrap_or(binary), seen)?;
            slam = Some(found.0.slam.clone());
            programs.push(found);
        } else if matches!(image.code, rom::Code::Bios | rom::Code::Isa) {
            // An .mrom's payload lies in the image behind it.
            let behind = images[number + 1..].iter().find(|next| !payload(next.code));
            let end = behind.map_or(file.len(), |next| next.offset);
            let found = packed_program(&file[image.offset..end], Kind::Rom, seen)?;
            slam = Some(found.slam.clone());
            programs.push((found, I386));
        }
        let image = image.clone();
        parts.push(Part::RomImage { image, slam });
    }
    let Some((program, arch)) = weakest(programs) else {
        return Err(InspectError::NoPayload {
            kind: Kind::Rom,
            bytes: file.len(),
        });
    };
    report(file, Kind::Rom, arch, program, parts)
}

/// Whatever iPXE lies in the files of a disk.
fn files(
    (file, kind, depth): (&[u8], Kind, usize),
    within: Vec<(String, Vec<u8>)>,
    boots: &[&'static str],
    seen: Witness<'_>,
) -> Result<Report, InspectError> {
    let mut tried = Vec::new();
    let mut programs = Vec::new();
    let boot = |firmware: &&'static str| Part::Boot { firmware };
    let mut parts: Vec<Part> = boots.iter().map(boot).collect();
    // A kernel, an EFI binary, or a file system within; nothing else is started as iPXE. Boot
    // loaders' own files (isolinux.bin, ldlinux.c32) are none of them.
    let starts = |content: &[u8]| {
        lkrn::is(content)
            || content.starts_with(b"MZ")
            || (depth > 0 && fat::Fat::read(content).is_some())
    };
    let candidates = within.into_iter().filter(|(_, content)| starts(content));
    for (path, content) in candidates.take(MOST_FILES) {
        match look(&content, depth.saturating_sub(1), seen) {
            Ok(report) => {
                programs.push((report.program.clone(), report.arch));
                let report = Box::new(report);
                parts.push(Part::File { path, report });
            }
            Err(error) => tried.push((path, error.to_string())),
        }
    }
    match weakest(programs) {
        // One that is damaged spoils the whole: somebody's machine would start that one.
        Some((program, arch)) if tried.is_empty() => report(file, kind, arch, program, parts),
        _ => Err(InspectError::NoFile { kind, tried }),
    }
}

/// The first without multicast, else the first.
fn weakest(mut programs: Vec<(Program, &'static str)>) -> Option<(Program, &'static str)> {
    let weak = programs
        .iter()
        .position(|(program, _)| !program.slam.works());
    (!programs.is_empty()).then(|| programs.swap_remove(weak.unwrap_or(0)))
}

const I386: &str = "i386";

fn packed(file: &[u8], kind: Kind, seen: Witness<'_>) -> Result<Report, InspectError> {
    let program = packed_program(file, kind, seen)?;
    report(file, kind, I386, program, Vec::new())
}

fn packed_program(file: &[u8], kind: Kind, seen: Witness<'_>) -> Result<Program, InspectError> {
    let blocks = payload::unpack(file);
    // One flipped byte makes a block vanish, and only one of them is the program that is read below.
    if (1..payload::EXPECTED).contains(&blocks.len()) {
        return Err(InspectError::Damaged {
            kind,
            bytes: file.len(),
            whole: blocks.iter().map(|block| block.offset).collect(),
        });
    }
    let checked = blocks.len();
    let bytes = largest(blocks, file).ok_or(InspectError::NoPayload {
        kind,
        bytes: file.len(),
    })?;
    let memory = Memory {
        bytes: &bytes,
        word: Word::Four,
        base: 0,
    };
    seen(&memory);
    Ok(Program::read(&memory, checked))
}

/// Whether `text`, or any bytes, stand in every iPXE in `file`: unpacked, where it is packed, and in a disk or a ROM
/// with several in each of them. The compiler may have joined it with others, so it need not end there.
pub fn holds(file: &[u8], text: &[u8]) -> Result<bool, InspectError> {
    let mut all = true;
    look(file, DEEPEST, &mut |memory| {
        all &= tables::find_all(memory.bytes, text).next().is_some();
    })?;
    Ok(all)
}

/// The largest packed block of a BIOS image, unpacked: `.textdata`.
pub fn textdata(file: &[u8]) -> Option<Vec<u8>> {
    largest(payload::unpack(file), file)
}

fn largest(blocks: Vec<payload::Block>, file: &[u8]) -> Option<Vec<u8>> {
    let blocks = blocks.into_iter().map(|block| block.bytes);
    match blocks.max_by_key(Vec::len) {
        Some(bytes) => Some(bytes),
        None => nrv2b::largest(file, nrv2b::LIMIT),
    }
}

fn report(
    file: &[u8],
    kind: Kind,
    arch: &'static str,
    program: Program,
    images: Vec<Part>,
) -> Result<Report, InspectError> {
    if program.protocols.is_empty() && program.commands.is_empty() {
        return Err(InspectError::NotIpxe { kind });
    }
    Ok(Report {
        kind,
        bytes: file.len(),
        arch,
        program,
        images,
    })
}

fn elf_report(
    file: &[u8],
    linked: &elf::Linked,
    seen: Witness<'_>,
) -> Result<Report, InspectError> {
    // A link before packing has its program in one section; a finished one (Linux builds) is laid
    // out as a loader would.
    let (base, bytes) = match &linked.textdata {
        Some(textdata) => (0, textdata.clone()),
        None => elf::lay_out(file).unwrap_or_default(),
    };
    let memory = Memory {
        bytes: &bytes,
        word: if linked.wide { Word::Eight } else { Word::Four },
        base,
    };
    seen(&memory);
    let mut program = Program::read(&memory, 0);
    program.slam = if linked.slam {
        ProtocolSupport::Linked
    } else {
        ProtocolSupport::Absent
    };
    if linked.textdata.is_none() {
        program.membership = linked.membership;
        program.script.clone_from(&linked.script);
    }
    report(file, Kind::Elf, linked.arch, program, Vec::new())
}
