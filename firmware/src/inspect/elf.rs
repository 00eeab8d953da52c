// SPDX-License-Identifier: MIT OR Apache-2.0
//! The linked program before it is packed (`bin/<target>.tmp`): the judge of what the packed file
//! was found to hold.

use goblin::elf::Elf;
use goblin::elf::header::ET_EXEC;
use goblin::elf::program_header::PT_LOAD;

use super::payload::UNPACKED_LIMIT;

/// Opener, feature and object of upstream's client, and of ours.
const CLIENTS: [[&str; 3]; 2] = [
    ["slam_uri_opener", "__feature_slam", "obj_slam"],
    [
        "slamboot_slam_uri_opener",
        "__feature_slamboot_slam",
        "obj_slamboot_slam",
    ],
];

/// What iPXE puts before each of its symbols where it is a Linux program (`Makefile.linux`).
const LINUX_PREFIX: &str = "_ipxe__";

/// What an iPXE ELF file says by symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The opener's and the feature's symbols: both are there when SLAM is linked in.
    pub slam: bool,
    /// Offset of the opener's entry, where a symbol says so.
    pub opener: Option<u64>,
    /// Offset of the feature's entry, where a symbol says so.
    pub feature: Option<u64>,
    /// The bytes of `.textdata`, which the packed file must hold unchanged; BIOS builds only.
    pub textdata: Option<Vec<u8>>,
    /// The memory of a 64-bit program, from address 0 on: Linux builds only.
    pub program: Option<Vec<u8>>,
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
                let found = found.map(|found| found.strip_prefix(LINUX_PREFIX).unwrap_or(found));
                found == Some(name) && symbol.st_shndx != 0
            })
            .map(|symbol| symbol.st_value)
    };
    let textdata = elf.section_headers.iter().find_map(|section| {
        let named = elf.shdr_strtab.get_at(section.sh_name) == Some(".textdata");
        named.then(|| section.file_range()).flatten()
    });
    let found = CLIENTS.map(|names| names.map(symbol));
    let [opener, feature, object] = found
        .into_iter()
        .max_by_key(|symbols| symbols.iter().flatten().count())
        .unwrap_or_default();
    Ok(Linked {
        slam: opener.is_some() && feature.is_some() && object.is_some(),
        opener,
        feature,
        textdata: textdata
            .and_then(|range| file.get(range))
            .map(<[u8]>::to_vec),
        program: program(file, &elf),
    })
}

/// Loads a program as the kernel would, but for what is zero at the end.
fn program(file: &[u8], elf: &Elf<'_>) -> Option<Vec<u8>> {
    if elf.header.e_type != ET_EXEC || !elf.is_64 {
        return None;
    }
    let mut memory = Vec::new();
    for segment in elf.program_headers.iter().filter(|s| s.p_type == PT_LOAD) {
        let bytes = file.get(segment.file_range())?;
        let start = usize::try_from(segment.p_vaddr).ok()?;
        let end = start.checked_add(bytes.len())?;
        if end > UNPACKED_LIMIT {
            return None;
        }
        if memory.len() < end {
            memory.resize(end, 0);
        }
        memory[start..end].copy_from_slice(bytes);
    }
    Some(memory)
}
