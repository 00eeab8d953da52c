// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of keys and values: stored in Latin-1 or UTF-16LE, compared by their upper case unit by
//! unit (sections "Index leaf", "Fast leaf", "Hash leaf").

use std::cmp::Ordering;

use super::le::u16_at;

/// Most UTF-16 units of a key's name ("Registry element size limits", Microsoft).
pub(super) const MOST_IN_KEY: usize = 255;

/// Most UTF-16 units of a value's name.
pub(super) const MOST_IN_VALUE: usize = 16_383;

/// A name as a record holds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub raw: &'a [u8],
    /// One byte for each UTF-16 unit, all below 256; else UTF-16LE.
    pub compressed: bool,
}

impl<'a> Name<'a> {
    /// UTF-16 units.
    pub fn units(self) -> impl Iterator<Item = u16> + Clone + 'a {
        let width = if self.compressed { 1 } else { 2 };
        self.raw.chunks_exact(width).map(|unit| match unit {
            [byte] => u16::from(*byte),
            wide => u16_at(wide, 0),
        })
    }

    /// Its length, were it in UTF-16LE.
    pub fn wide_len(self) -> u32 {
        self.raw.len() as u32 * if self.compressed { 2 } else { 1 }
    }

    /// As text; half surrogate pairs, which Windows allows, become U+FFFD.
    pub fn text(self) -> String {
        char::decode_utf16(self.units())
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    }
}

/// A name to be stored.
#[derive(Clone, Debug)]
pub(super) struct NameBuf {
    raw: Vec<u8>,
    compressed: bool,
}

impl NameBuf {
    /// In the shorter form, as Windows does.
    pub fn new(text: &str) -> Self {
        let compressed = text.chars().all(|c| u32::from(c) < 256);
        let units = text.encode_utf16();
        NameBuf {
            raw: if compressed {
                units.map(|unit| unit as u8).collect()
            } else {
                units.flat_map(u16::to_le_bytes).collect()
            },
            compressed,
        }
    }

    pub fn name(&self) -> Name<'_> {
        Name {
            raw: &self.raw,
            compressed: self.compressed,
        }
    }
}

/// Upper case of a UTF-16 unit, as `RtlUpcaseUnicodeChar` has it.
///
/// This is Unicode's simple upper case, without what Windows' table lacks: what lies beyond the
/// BMP; what needs more than one unit; letters whose upper case is another letter's as well (ı, ſ,
/// µ and the like), the final sigma and title case excepted; Georgian and Cherokee, whose cases
/// are younger than the table.
pub(super) fn upcase(unit: u16) -> u16 {
    if unit < 0x80 {
        return u16::from((unit as u8).to_ascii_uppercase());
    }
    let Some(letter) = char::from_u32(u32::from(unit)) else {
        return unit;
    };
    let mut uppers = letter.to_uppercase();
    let Some(upper) = uppers.next().filter(|_| uppers.len() == 0) else {
        return unit;
    };
    let back = upper.to_lowercase().eq([letter]);
    let titlecase = matches!(unit, 0x01C5 | 0x01C8 | 0x01CB | 0x01F2);
    let young = matches!(unit, 0x10D0..=0x10FF | 0x13F8..=0x13FD | 0xAB70..=0xABBF);
    if (!back && unit != 0x03C2 && !titlecase) || young {
        return unit;
    }
    u16::try_from(u32::from(upper)).unwrap_or(unit)
}

/// The order of subkeys.
pub(super) fn compare(
    left: impl Iterator<Item = u16>,
    right: impl Iterator<Item = u16>,
) -> Ordering {
    left.map(upcase).cmp(right.map(upcase))
}

/// Hash of a name in a hash leaf.
pub(super) fn hash(units: impl Iterator<Item = u16>) -> u32 {
    units.fold(0u32, |hash, unit| {
        hash.wrapping_mul(37).wrapping_add(u32::from(upcase(unit)))
    })
}

/// Hint of a name in a fast leaf: the first four units; a first byte of 0 where one of them has
/// more than eight bits.
pub(super) fn hint(units: impl Iterator<Item = u16>) -> u32 {
    let mut bytes = [0; 4];
    for (byte, unit) in bytes.iter_mut().zip(units) {
        let Ok(narrow) = u8::try_from(unit) else {
            return 0;
        };
        *byte = narrow;
    }
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> impl Iterator<Item = u16> + '_ {
        text.encode_utf16()
    }

    fn up(letter: char) -> char {
        char::from_u32(upcase(letter as u16).into()).unwrap()
    }

    #[test]
    fn upper_case_as_windows_has_it() {
        for (lower, upper) in [
            ('a', 'A'),
            ('ä', 'Ä'),
            ('ÿ', 'Ÿ'),
            ('ж', 'Ж'),
            ('σ', 'Σ'),
            ('ς', 'Σ'),
            ('ǆ', 'Ǆ'),
            ('ａ', 'Ａ'),
        ] {
            assert_eq!(up(lower), upper);
        }
        for same in ['_', '[', 'ß', 'µ', 'ı', 'ſ', 'ა', '中', '÷'] {
            assert_eq!(up(same), same);
        }
        assert_eq!(upcase(0xD801), 0xD801);
    }

    #[test]
    fn upper_case_decides_the_order() {
        let compare = |a, b| compare(units(a), units(b));
        assert_eq!(compare("Objects", "OBJECTS"), Ordering::Equal);
        // '_' lies behind upper-case letters and before lower-case ones.
        assert_eq!(compare("a_", "ab"), Ordering::Greater);
        assert_eq!(compare("a", "ab"), Ordering::Less);
        assert_eq!(compare("\u{FFFD}", "\u{10000}"), Ordering::Greater);
    }

    /// Hashes by hand: 37 * 'A' + 'B', and so on.
    #[test]
    fn hashes_and_hints() {
        assert_eq!(hash(units("")), 0);
        assert_eq!(hash(units("ab")), 37 * 65 + 66);
        assert_eq!(hash(units("Ä")), 0xC4);
        assert_eq!(hint(units("Description")), u32::from_le_bytes(*b"Desc"));
        assert_eq!(hint(units("ab")), u32::from_le_bytes(*b"ab\0\0"));
        assert_eq!(hint(units("ÿ")), 0xFF);
        assert_eq!(hint(units("aж")), 0);
    }

    #[test]
    fn the_shorter_form_is_stored() {
        let narrow = NameBuf::new("Größe");
        assert_eq!(narrow.name().raw, b"Gr\xF6\xDFe");
        assert_eq!(
            (narrow.name().text(), narrow.name().wide_len()),
            ("Größe".into(), 10)
        );
        let wide = NameBuf::new("ж1");
        assert_eq!(wide.name().raw, [0x36, 0x04, b'1', 0]);
        assert_eq!(
            (wide.name().text(), wide.name().wide_len()),
            ("ж1".into(), 4)
        );
        let half = Name {
            raw: &[0x00, 0xD8],
            compressed: false,
        };
        assert_eq!(half.text(), "\u{FFFD}");
    }
}
