// SPDX-License-Identifier: MIT OR Apache-2.0
//! The linked program before it is packed (`bin/<target>.tmp`): the judge of what the packed file
//! was found to hold.

use goblin::elf::Elf;

/// Opener, feature and object of upstream's client, and of ours.
const CLIENTS: [[&str; 3]; 2] = [
    ["slam_uri_opener", "__feature_slam", "obj_slam"],
    [
        "slamboot_slam_uri_opener",
        "__feature_slamboot_slam",
        "obj_slamboot_slam",
    ],
];

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
            .find(|symbol| elf.strtab.get_at(symbol.st_name) == Some(name) && symbol.st_shndx != 0)
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
    })
}
