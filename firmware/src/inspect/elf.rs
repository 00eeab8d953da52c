// SPDX-License-Identifier: MIT OR Apache-2.0
//! The linked program before it is packed (`bin/<target>.tmp`): the judge of what the packed file
//! was found to hold.

use std::collections::BTreeSet;

use goblin::elf::header::{EM_386, EM_AARCH64, EM_X86_64};
use goblin::elf::reloc::{R_AARCH64_RELATIVE, R_X86_64_RELATIVE};
use goblin::elf::{Elf, program_header::PT_LOAD};

use super::payload::UNPACKED_LIMIT;
use super::tables::Script;

/// Opener, feature and object of upstream's client, and of ours.
const CLIENTS: [[&str; 3]; 2] = [
    ["slam_uri_opener", "__feature_slam", "obj_slam"],
    [
        "slamboot_slam_uri_opener",
        "__feature_slamboot_slam",
        "obj_slamboot_slam",
    ],
];

/// Linux builds keep their names apart from those of the C library (`Makefile.linux`).
const PREFIX: &str = "_ipxe__";

/// What an iPXE ELF file says by symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The opener's and the feature's symbols: both are there when SLAM is linked in.
    pub slam: bool,
    /// Offset of the opener's entry, where a symbol says so.
    pub opener: Option<u64>,
    /// Offset of the feature's entry, where a symbol says so.
    pub feature: Option<u64>,
    /// The object that speaks for groups, and its commands, are there.
    pub membership: bool,
    /// The embedded script, where the file is a finished program (Linux builds) and says by
    /// symbols where it lies.
    pub script: Option<Script>,
    /// Whether pointers have 64 bits.
    pub wide: bool,
    /// The machine's architecture.
    pub arch: &'static str,
    /// The bytes of `.textdata`, which the packed file must hold unchanged; BIOS builds only.
    pub textdata: Option<Vec<u8>>,
    /// The objects of which it was linked that say so (`obj_NAME`).
    pub objects: BTreeSet<String>,
}

/// What is wrong with an ELF file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no readable ELF file: {0}")]
pub struct ElfError(String);

/// Reads symbols and `.textdata`.
pub fn read(file: &[u8]) -> Result<Linked, ElfError> {
    let elf = Elf::parse(file).map_err(|error| ElfError(error.to_string()))?;
    let symbol = |name: &str| {
        let mut symbols = elf.syms.iter();
        symbols
            .find(|symbol| {
                let found = elf.strtab.get_at(symbol.st_name);
                let found = found.map(|found| found.strip_prefix(PREFIX).unwrap_or(found));
                found == Some(name) && symbol.st_shndx != 0
            })
            .map(|symbol| symbol.st_value)
    };
    let script = || {
        let address = symbol("embedded_image_1_data")?;
        let length = symbol("embedded_image_1_len")?;
        let segment = elf.program_headers.iter().find(|segment| {
            segment.p_type == PT_LOAD && segment.vm_range().contains(&usize_of(address))
        })?;
        let start = address
            .checked_sub(segment.p_vaddr)?
            .checked_add(segment.p_offset)?;
        let end = start.checked_add(length)?;
        let text = file.get(usize_of(start)..usize_of(end))?;
        text.starts_with(b"#!ipxe").then(|| Script::of(text))
    };
    let textdata = elf.section_headers.iter().find_map(|section| {
        let named = elf.shdr_strtab.get_at(section.sh_name) == Some(".textdata");
        named.then(|| section.file_range()).flatten()
    });
    let found = CLIENTS.map(|names| names.map(symbol));
    let defined = elf.syms.iter().filter(|symbol| symbol.st_shndx != 0);
    let objects = defined.filter_map(|symbol| {
        let name = elf.strtab.get_at(symbol.st_name)?;
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        name.starts_with("obj_").then(|| name.to_owned())
    });
    let [opener, feature, object] = found
        .into_iter()
        .max_by_key(|symbols| symbols.iter().flatten().count())
        .unwrap_or_default();
    Ok(Linked {
        slam: opener.is_some() && feature.is_some() && object.is_some(),
        opener,
        feature,
        membership: symbol("obj_mcast").is_some() && symbol("obj_mcast_cmd").is_some(),
        script: script(),
        wide: elf.is_64,
        arch: match elf.header.e_machine {
            EM_386 => "i386",
            EM_X86_64 => "x86_64",
            EM_AARCH64 => "arm64",
            _ => "other",
        },
        textdata: textdata
            .and_then(|range| file.get(range))
            .map(<[u8]>::to_vec),
        objects: objects.collect(),
    })
}

/// A finished program as a loader lays it out: the lowest address, and the bytes from there on with
/// the relocations done that need no symbol. `None` where there is nothing to load.
pub(super) fn lay_out(file: &[u8]) -> Option<(usize, Vec<u8>)> {
    let elf = Elf::parse(file).ok()?;
    let segments = elf.program_headers.iter().filter(|s| s.p_type == PT_LOAD);
    let base = segments.clone().map(|segment| segment.p_vaddr).min()?;
    let mut bytes = Vec::new();
    for segment in segments {
        let raw = file.get(usize_of(segment.p_offset)..)?;
        let raw = raw.get(..usize_of(segment.p_filesz))?;
        let start = usize_of(segment.p_vaddr - base);
        let end = start.checked_add(raw.len())?;
        if end > UNPACKED_LIMIT {
            return None;
        }
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(raw);
    }
    for relocation in &elf.dynrelas {
        if !matches!(relocation.r_type, R_X86_64_RELATIVE | R_AARCH64_RELATIVE) {
            continue;
        }
        let at = usize_of(relocation.r_offset.wrapping_sub(base));
        let word = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
        if let (Some(word), Some(value)) = (word, relocation.r_addend) {
            *word = value.to_le_bytes();
        }
    }
    Some((usize_of(base), bytes))
}

/// Beyond the address space is beyond every file.
fn usize_of(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
