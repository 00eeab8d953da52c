// SPDX-License-Identifier: MIT OR Apache-2.0
//! The identifier of an object, as text and as it lies in a device element.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A GUID. Text is `{9dea862c-5cdd-4e70-acc1-f32b344d4795}`; in bytes the first three fields are
/// little-endian (Microsoft's `GUID` structure), the rest in the order of the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(Uuid);

/// Not a GUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a GUID such as {{9dea862c-5cdd-4e70-acc1-f32b344d4795}} (braces, 8-4-4-4-12 hexadecimal digits); found {found:?}"
)]
pub struct GuidError {
    /// What stood there.
    pub found: String,
}

impl Guid {
    /// All zeros: "no object" in a device element.
    pub const ZERO: Guid = Guid::from_u128(0);

    /// From its digits in the order of the text.
    pub const fn from_u128(digits: u128) -> Self {
        Guid(Uuid::from_u128(digits))
    }

    /// From the sixteen bytes of a `GUID` structure.
    pub fn from_wire(bytes: [u8; 16]) -> Self {
        Guid(Uuid::from_bytes_le(bytes))
    }

    /// The sixteen bytes of a `GUID` structure.
    pub fn to_wire(self) -> [u8; 16] {
        self.0.to_bytes_le()
    }

    /// A GUID that is a function of `seed`, so that the same inputs give the same store: RFC 9562
    /// section 5.8 (version 8), the leading 128 bits of SHA-256 but for version and variant.
    pub fn derived(seed: &[u8]) -> Self {
        let digest = Sha256::digest(seed);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Guid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Without braces.
    pub fn bare(self) -> String {
        self.0.to_string()
    }
}

impl FromStr for Guid {
    type Err = GuidError;

    /// With or without braces, in either case; nothing else.
    fn from_str(text: &str) -> Result<Self, GuidError> {
        let bare = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or(text);
        // `Uuid` would also take digits without dashes, URNs and braces of its own.
        let hyphenated = bare.len() == 36;
        match Uuid::try_parse(bare) {
            Ok(uuid) if hyphenated => Ok(Guid(uuid)),
            _ => Err(GuidError {
                found: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.0)
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTMGR: &str = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";

    #[test]
    fn three_fields_are_little_endian() {
        let guid: Guid = BOOTMGR.parse().unwrap();
        // From a BCD that bcdedit made.
        let wire = [
            0x2C, 0x86, 0xEA, 0x9D, 0xDD, 0x5C, 0x70, 0x4E, 0xAC, 0xC1, 0xF3, 0x2B, 0x34, 0x4D,
            0x47, 0x95,
        ];
        assert_eq!(guid.to_wire(), wire);
        assert_eq!(Guid::from_wire(wire), guid);
        assert_eq!(guid.to_string(), BOOTMGR);
    }

    #[test]
    fn text_is_taken_as_bcdedit_writes_it() {
        let guid: Guid = BOOTMGR.parse().unwrap();
        assert_eq!(BOOTMGR.to_uppercase().parse(), Ok(guid));
        assert_eq!(guid.bare().parse(), Ok(guid));
        for bad in [
            "",
            "{}",
            "{9dea862c-5cdd-4e70-acc1-f32b344d479}",
            "{9dea862c5cdd4e70acc1f32b344d4795}",
            "{{9dea862c-5cdd-4e70-acc1-f32b344d4795}}",
            "{9dea862c-5cdd-4e70-acc1-f32b344d4795",
            "9dea862g-5cdd-4e70-acc1-f32b344d4795",
            "urn:uuid:9dea862c-5cdd-4e70-acc1-f32b344d4795",
            "９dea862c-5cdd-4e70-acc1-f32b344d47",
        ] {
            let error = bad.parse::<Guid>().unwrap_err();
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn derived_ones_are_custom_and_stay_the_same() {
        let guid = Guid::derived(b"x");
        assert_eq!(guid, Guid::derived(b"x"));
        assert_ne!(guid, Guid::derived(b"y"));
        // Version 8, variant 10.
        let text = guid.bare();
        assert_eq!(&text[14..15], "8");
        assert!("89ab".contains(&text[19..20]), "{text}");
    }
}
