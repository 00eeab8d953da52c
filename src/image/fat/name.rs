// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names in a directory: the short one of 8.3, and the long one that stands before it
//! (fatgen103, section 7, "The Basis-Name Generation Algorithm").

use std::collections::{HashMap, HashSet};

use crate::image::spec::DiskName;

/// Eleven bytes: eight of the base, three of the extension, padded with spaces.
pub type ShortName = [u8; 11];

/// A name as a directory stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryName {
    /// Unique in the directory.
    pub short: ShortName,
    /// The long name's UTF-16 units, unless the short one says it all.
    pub long: Option<Vec<u16>>,
}

impl EntryName {
    /// Entries of 32 bytes that the name takes.
    pub fn entries(&self) -> usize {
        1 + self
            .long
            .as_ref()
            .map_or(0, |units| units.len().div_ceil(LONG_UNITS))
    }
}

/// UTF-16 units in one entry of a long name.
pub const LONG_UNITS: usize = 13;

/// The short names that one directory has.
#[derive(Debug, Default)]
pub struct ShortNames {
    taken: HashSet<ShortName>,
    /// The last tail given to a basis: a thousand like names must not be searched a thousand
    /// times each.
    tails: HashMap<ShortName, u32>,
}

/// Chooses a short name that the directory does not have yet, and adds it to `names`.
pub fn entry_name(name: &DiskName, names: &mut ShortNames) -> EntryName {
    let (basis, lossy) = basis(name.as_str());
    let ShortNames { taken, tails } = names;
    let short = if !lossy && !taken.contains(&basis) {
        basis
    } else {
        let last = tails.entry(basis).or_insert(0);
        // A directory has at most 65,536 entries, so a tail of six digits is always free.
        loop {
            *last += 1;
            let short = with_tail(basis, *last);
            if !taken.contains(&short) {
                break short;
            }
        }
    };
    taken.insert(short);
    let says_it_all = display(&short) == name.as_str();
    EntryName {
        short,
        long: (!says_it_all).then(|| name.as_str().encode_utf16().collect()),
    }
}

/// The name in upper case, without what 8.3 cannot say; true if anything but case was lost.
fn basis(name: &str) -> (ShortName, bool) {
    let trimmed = name.trim_start_matches('.');
    let mut lossy = trimmed.len() != name.len();
    let (base, extension) = match trimmed.rsplit_once('.') {
        Some((base, extension)) => (base, extension),
        None => (trimmed, ""),
    };
    let mut short = [b' '; 11];
    let mut put = |part: &str, field: &mut [u8]| {
        let mut room = field.iter_mut();
        for character in part.chars() {
            if matches!(character, ' ' | '.') {
                lossy = true;
                continue;
            }
            let byte = match character.to_ascii_uppercase() {
                upper if allowed(upper) => upper as u8,
                _ => {
                    lossy = true;
                    b'_'
                }
            };
            match room.next() {
                Some(slot) => *slot = byte,
                None => lossy = true,
            }
        }
    };
    let (base_field, extension_field) = short.split_at_mut(8);
    put(base, base_field);
    put(extension, extension_field);
    if short[0] == b' ' {
        short[0] = b'_';
        lossy = true;
    }
    (short, lossy)
}

/// Characters of a short name. Only ASCII: what is above depends on the reader's code page.
fn allowed(character: char) -> bool {
    character.is_ascii_uppercase()
        || character.is_ascii_digit()
        || "$%'-_@~`!(){}^#&".contains(character)
}

/// The basis shortened for `~1` and so on.
fn with_tail(basis: ShortName, tail: u32) -> ShortName {
    let tail = format!("~{tail}");
    let base = basis[..8].iter().take_while(|byte| **byte != b' ').count();
    let at = base.min(8 - tail.len());
    let mut short = basis;
    short[..8].fill(b' ');
    short[..at].copy_from_slice(&basis[..at]);
    short[at..at + tail.len()].copy_from_slice(tail.as_bytes());
    short
}

/// As a driver shows it.
pub fn display(short: &ShortName) -> String {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let (base, extension) = (part(&short[..8]), part(&short[8..]));
    if extension.is_empty() {
        base
    } else {
        format!("{base}.{extension}")
    }
}

/// What ties a long name's entries to the short one (fatgen103, `ChkSum`).
pub fn checksum(short: &ShortName) -> u8 {
    short
        .iter()
        .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::spec::DiskPath;

    fn names(texts: &[&str]) -> Vec<(String, bool)> {
        let mut taken = ShortNames::default();
        texts
            .iter()
            .map(|text| {
                let path: DiskPath = text.parse().unwrap();
                let name = entry_name(&path.names()[0], &mut taken);
                (display(&name.short), name.long.is_some())
            })
            .collect()
    }

    fn expect(pairs: &[(&str, &str, bool)]) {
        let texts: Vec<&str> = pairs.iter().map(|pair| pair.0).collect();
        for ((short, long), (text, wanted, wanted_long)) in names(&texts).iter().zip(pairs) {
            assert_eq!((short.as_str(), *long), (*wanted, *wanted_long), "{text}");
        }
    }

    #[test]
    fn short_names_say_it_all() {
        expect(&[
            ("BCD", "BCD", false),
            ("FILLER.BIN", "FILLER.BIN", false),
            ("A-B_C~1.{}", "A-B_C~1.{}", false),
        ]);
    }

    #[test]
    fn case_alone_needs_a_long_name_but_no_tail() {
        expect(&[
            ("bootmgr", "BOOTMGR", true),
            ("boot.sdi", "BOOT.SDI", true),
            ("Boot", "BOOT", true),
        ]);
    }

    #[test]
    fn what_is_lost_gets_a_tail() {
        expect(&[
            ("bootmgfw.efi.bak", "BOOTMG~1.BAK", true),
            ("Read me.txt", "README~1.TXT", true),
            ("Read me 2.txt", "README~2.TXT", true),
            ("TextFile.Mine.txt", "TEXTFI~1.TXT", true),
            ("a.b.c", "AB~1.C", true),
            ("long.extension", "LONG~1.EXT", true),
            ("ver +1.2.text", "VER_12~1.TEX", true),
            (".profile", "PROFIL~1", true),
            (".a", "A~1", true),
            ("Grüße", "GR__E~1", true),
            ("世界", "__~1", true),
            ("世界 ab", "__AB~1", true),
        ]);
    }

    #[test]
    fn tails_grow_and_evade_real_names() {
        let many: Vec<String> = (0..120).map(|n| format!("A long name {n}.txt")).collect();
        let mut texts = vec!["ALONGN~1.TXT"];
        texts.extend(many.iter().map(String::as_str));
        let shorts = names(&texts);
        assert_eq!(shorts[0].0, "ALONGN~1.TXT");
        assert_eq!(shorts[1].0, "ALONGN~2.TXT");
        assert_eq!(shorts[9].0, "ALONG~10.TXT");
        assert_eq!(shorts[120].0, "ALON~121.TXT");
        let unique: HashSet<&String> = shorts.iter().map(|(short, _)| short).collect();
        assert_eq!(unique.len(), shorts.len());
    }

    #[test]
    fn a_short_name_that_a_tail_has_taken() {
        expect(&[
            ("Read me.txt", "README~1.TXT", true),
            ("README~1.TXT", "README~2.TXT", true),
        ]);
    }

    #[test]
    fn checksum_as_microsoft_computes_it() {
        // The C of fatgen103, spelled out.
        let reference = |name: &ShortName| {
            let mut sum: u32 = 0;
            for byte in name {
                sum =
                    ((if sum & 1 != 0 { 0x80 } else { 0 }) + (sum >> 1) + u32::from(*byte)) & 0xFF;
            }
            sum as u8
        };
        for name in [b"README~1TXT", b"BOOTMGR    ", b"__~1       "] {
            assert_eq!(checksum(name), reference(name));
        }
    }
}
