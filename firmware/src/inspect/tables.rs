// SPDX-License-Identifier: MIT OR Apache-2.0
//! iPXE's linker tables, found in its memory image without symbols.
//!
//! `__table_entry` (iPXE `include/ipxe/tables.h`) puts entries of one table side by side. A word
//! that an entry begins with and that equals the address of a known string is an anchor; from it
//! the table is followed both ways as long as the entries look like entries.

use sha2::{Digest, Sha256};

/// Program memory: addresses in it are offsets into `bytes`, words are `word` bytes wide.
pub(super) struct Memory<'a> {
    pub bytes: &'a [u8],
    pub word: Word,
}

/// Width of a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// i386.
    Four,
    /// x86-64.
    Eight,
}

impl Word {
    fn bytes(self) -> usize {
        match self {
            Word::Four => 4,
            Word::Eight => 8,
        }
    }
}

/// A table's names, each with the offset of its entry.
pub(super) type Names = Vec<(usize, String)>;

/// Schemes that some iPXE has an opener for; one of them is enough to find the table.
const SCHEMES: [&str; 9] = [
    "x-slam", "http", "tftp", "https", "ftp", "nfs", "iscsi", "file", "aoe",
];
/// Names of features, in the categories of `include/ipxe/features.h`.
const FEATURES: [&str; 8] = [
    "DNS", "HTTP", "TFTP", "SLAM", "iSCSI", "ELF", "EFI", "bzImage",
];
/// Names that entries of the table beside the features begin with, too (`net/tcp/httpauth.c`).
const NEIGHBOURS: [&str; 3] = ["Basic", "Digest", "NTLM"];
/// No scheme or feature is longer than this; `MBOOT` and `Menu` are typical.
const LONGEST_NAME: usize = 16;
/// More entries than any table has.
const LONGEST_TABLE: usize = 64;
/// `DHCP_EB_FEATURE_SLAM`, length, version (`include/ipxe/features.h`).
const DHCP_SLAM: [u8; 3] = [0x1a, 1, 1];

impl Memory<'_> {
    /// `struct uri_opener { const char *scheme; int (*open)(…); }` (`include/ipxe/open.h`).
    pub(super) fn openers(&self) -> Names {
        let is_entry = |at: usize| {
            let code = self.word_at(at + self.word.bytes())?;
            let name = self.name_at(self.word_at(at)?)?;
            let scheme =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_+.".contains(c);
            (code != 0 && code < self.bytes.len() && name.chars().all(scheme)).then_some(name)
        };
        self.table(&SCHEMES, 2 * self.word.bytes(), is_entry)
    }

    /// `struct feature { char *name; }` (`include/ipxe/features.h`).
    pub(super) fn features(&self) -> Names {
        let is_entry = |at: usize| {
            let name = self.name_at(self.word_at(at)?)?;
            (!NEIGHBOURS.contains(&&*name)).then_some(name)
        };
        self.table(&FEATURES, self.word.bytes(), is_entry)
    }

    /// Whether the list that DHCP option 175 is made of has SLAM in it.
    pub(super) fn announces_slam(&self) -> bool {
        find_all(self.bytes, &DHCP_SLAM).next().is_some()
    }

    /// Whether `text` stands anywhere as a C string of its own.
    pub(super) fn has_string(&self, text: &str) -> bool {
        self.strings(text).next().is_some()
    }

    /// The first embedded image, if it is a script: `struct image` holds its address and, next to
    /// it, its length (`image/embedded.c`).
    pub(super) fn script(&self) -> Option<Script> {
        let scripts = [&b"#!ipxe"[..], b"#!gpxe"];
        let mut starts = scripts
            .into_iter()
            .flat_map(|magic| find_all(self.bytes, magic));
        starts.find_map(|at| {
            let length = self.pointers_to(at).find_map(|pointer| {
                let length = self.word_at(pointer + self.word.bytes())?;
                (length >= 7 && length <= self.bytes.len() - at).then_some(length)
            })?;
            Some(Script {
                sha256: hex::encode(Sha256::digest(&self.bytes[at..at + length])),
                bytes: length,
            })
        })
    }

    /// The table with most of `anchors` in it: a known name may begin an entry of another table,
    /// too (EFI's buses, for one).
    fn table(
        &self,
        anchors: &[&str],
        step: usize,
        entry: impl Fn(usize) -> Option<String>,
    ) -> Names {
        let mut best = Names::new();
        for anchor in anchors {
            for pointer in self.strings(anchor).flat_map(|at| self.pointers_to(at)) {
                if best.iter().any(|(at, _)| *at == pointer) {
                    continue;
                }
                let mut found = Names::new();
                let downwards = (1..LONGEST_TABLE).map_while(|n| pointer.checked_sub(n * step));
                found.extend(downwards.map_while(|at| Some((at, entry(at)?))));
                found.reverse();
                let upwards = (0..LONGEST_TABLE).map(|n| pointer + n * step);
                found.extend(upwards.map_while(|at| Some((at, entry(at)?))));
                let known = |names: &Names| {
                    let known = |(_, name): &&(usize, String)| anchors.contains(&name.as_str());
                    names.iter().filter(known).count()
                };
                if known(&found) > known(&best) {
                    best = found;
                }
            }
        }
        best
    }

    /// Where `text` stands, NUL-terminated, not as the tail of a longer word.
    fn strings(&self, text: &str) -> impl Iterator<Item = usize> {
        let terminated = [text.as_bytes(), b"\0"].concat();
        find_all(self.bytes, &terminated)
            .filter(|at| {
                at.checked_sub(1)
                    .is_none_or(|before| self.bytes[before] == 0)
            })
            .take(LONGEST_TABLE)
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Where a word with the value `address` stands; words are aligned to four bytes.
    fn pointers_to(&self, address: usize) -> impl Iterator<Item = usize> {
        let value = (address as u64).to_le_bytes();
        let value = value[..self.word.bytes()].to_vec();
        find_all(self.bytes, &value)
            .filter(|at| at % 4 == 0)
            .take(LONGEST_TABLE)
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn word_at(&self, at: usize) -> Option<usize> {
        let rest = self.bytes.get(at..)?;
        let value = match self.word {
            Word::Four => u64::from(u32::from_le_bytes(*rest.first_chunk()?)),
            Word::Eight => u64::from_le_bytes(*rest.first_chunk()?),
        };
        usize::try_from(value).ok()
    }

    /// A short printable C string.
    fn name_at(&self, at: usize) -> Option<String> {
        let rest = self.bytes.get(at..)?;
        let length = rest.iter().take(LONGEST_NAME + 1).position(|b| *b == 0)?;
        let name = std::str::from_utf8(&rest[..length]).ok()?;
        let graphic = name.chars().all(|c| c.is_ascii_graphic());
        (length > 1 && graphic).then(|| name.to_owned())
    }
}

/// The embedded script, without its text.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Script {
    /// SHA-256 of the text, in hexadecimal.
    pub sha256: String,
    /// Length of the text.
    pub bytes: usize,
}

/// Every offset at which `needle` stands.
pub(super) fn find_all<'a>(bytes: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = needle.first().copied();
    let mut from = 0;
    std::iter::from_fn(move || {
        let first = first?;
        loop {
            let rest = bytes.get(from..)?;
            let at = from + rest.iter().position(|b| *b == first)?;
            from = at + 1;
            if bytes[at..].starts_with(needle) {
                return Some(at);
            }
        }
    })
}
