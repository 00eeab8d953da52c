// SPDX-License-Identifier: MIT OR Apache-2.0
//! The linked program before it is packed (`bin/<target>.tmp`): the judge of what the packed file
//! was found to hold.

use goblin::elf::{Elf, program_header::PT_LOAD};
use sha2::{Digest, Sha256};

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
    /// The bytes of `.textdata`, which the packed file must hold unchanged; BIOS builds only.
    pub textdata: Option<Vec<u8>>,
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
        text.starts_with(b"#!ipxe").then(|| Script {
            sha256: hex::encode(Sha256::digest(text)),
            bytes: text.len(),
        })
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
        membership: symbol("obj_mcast").is_some() && symbol("obj_mcast_cmd").is_some(),
        script: script(),
        textdata: textdata
            .and_then(|range| file.get(range))
            .map(<[u8]>::to_vec),
    })
}

/// Beyond the address space is beyond every file.
fn usize_of(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
