// SPDX-License-Identifier: MIT OR Apache-2.0
//! An element: its code, its value, and how the value lies in the registry.

use std::fmt;

use super::device::{Device, DeviceError};
use super::guid::{Guid, GuidError};
use crate::image::regf::ValueType;

/// What an element is (`BcdElementType`, learn.microsoft.com, and ReactOS
/// `boot/environ/include/bcd.h`): class (4 bits), format (4 bits), subtype (24 bits). Its eight
/// hexadecimal digits are the name of its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementCode(pub u32);

/// For whom an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Every application and device.
    Library,
    /// One application; the same code means different things to different ones.
    Application,
    /// A device's options.
    Device,
    /// Windows Setup's templates.
    Template,
    /// The maker of the machine.
    Oem,
    /// Not known.
    Unknown(u8),
}

/// How a value is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// [`Value::Device`]
    Device,
    /// [`Value::String`]
    String,
    /// [`Value::Object`]
    Object,
    /// [`Value::ObjectList`]
    ObjectList,
    /// [`Value::Integer`]
    Integer,
    /// [`Value::Boolean`]
    Boolean,
    /// [`Value::IntegerList`]
    IntegerList,
    /// [`Value::Raw`]
    Unknown(u8),
}

/// An element's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Where something lies.
    Device(Device),
    /// A text.
    String(String),
    /// Another object.
    Object(Guid),
    /// Other objects.
    ObjectList(Vec<Guid>),
    /// A number.
    Integer(u64),
    /// Yes or no.
    Boolean(bool),
    /// Numbers.
    IntegerList(Vec<u64>),
    /// An element of a format that nobody knows, byte for byte.
    Raw {
        /// Its type in the registry.
        kind: ValueType,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// A value that is not what its element's code says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    /// The registry type and the format contradict each other.
    #[error("expected {expected} for {}, found {found}", format_name(*.format))]
    Type {
        /// The format, from the code.
        format: Format,
        /// What goes with it.
        expected: ValueType,
        /// What the value has.
        found: ValueType,
    },
    /// UTF-16 has two bytes a unit.
    #[error("expected a string of whole UTF-16 units, found {length} bytes, which is odd")]
    OddLength {
        /// The value's length in bytes.
        length: usize,
    },
    /// A string ends in NUL.
    #[error("expected a NUL at the end of the string, found none (length {length} bytes)")]
    NoNul {
        /// The value's length in bytes.
        length: usize,
    },
    /// A string has no other NUL.
    #[error(
        "expected the string to end at its NUL at offset {offset}, found {after} bytes after it"
    )]
    AfterNul {
        /// Where the NUL is, in bytes.
        offset: usize,
        /// How many bytes follow it.
        after: usize,
    },
    /// Half a surrogate pair.
    #[error("expected UTF-16, found an unpaired surrogate at offset {offset}")]
    Surrogate {
        /// Where, in bytes.
        offset: usize,
    },
    /// A string that is no GUID.
    #[error(transparent)]
    Guid(#[from] GuidError),
    /// Neither 1 byte nor 8, nor a multiple of 8, as the format asks.
    #[error("expected {expected} for {}, found {found} bytes", format_name(*.format))]
    Length {
        /// The format, from the code.
        format: Format,
        /// What goes with it.
        expected: &'static str,
        /// The value's length in bytes.
        found: usize,
    },
    /// A device that is too short.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Device => "a device",
        Format::String => "a string",
        Format::Object => "an object",
        Format::ObjectList => "an object list",
        Format::Integer => "an integer",
        Format::Boolean => "a boolean",
        Format::IntegerList => "an integer list",
        Format::Unknown(_) => "an unknown format",
    }
}

impl ElementCode {
    /// For whom it is.
    pub fn class(self) -> Class {
        match self.0 >> 28 {
            1 => Class::Library,
            2 => Class::Application,
            3 => Class::Device,
            4 => Class::Template,
            5 => Class::Oem,
            other => Class::Unknown(other as u8),
        }
    }

    /// How its value is laid out.
    pub fn format(self) -> Format {
        match self.0 >> 24 & 0xF {
            1 => Format::Device,
            2 => Format::String,
            3 => Format::Object,
            4 => Format::ObjectList,
            5 => Format::Integer,
            6 => Format::Boolean,
            7 => Format::IntegerList,
            other => Format::Unknown(other as u8),
        }
    }

    /// From the name of a key: eight hexadecimal digits.
    pub fn from_key(name: &str) -> Option<Self> {
        let digits = name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(name, 16)
            .ok()
            .filter(|_| digits)
            .map(ElementCode)
    }
}

/// The name of its key.
impl fmt::Display for ElementCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for ElementCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

impl Format {
    /// The registry type that goes with it; none is known for an unknown format.
    pub fn registry_type(self) -> Option<ValueType> {
        match self {
            Format::Device | Format::Integer | Format::Boolean | Format::IntegerList => {
                Some(ValueType::Binary)
            }
            Format::String | Format::Object => Some(ValueType::Sz),
            Format::ObjectList => Some(ValueType::MultiSz),
            Format::Unknown(_) => None,
        }
    }
}

impl Value {
    /// The format that this value is of; none for raw ones, which fit any unknown format.
    pub fn format(&self) -> Option<Format> {
        match self {
            Value::Device(_) => Some(Format::Device),
            Value::String(_) => Some(Format::String),
            Value::Object(_) => Some(Format::Object),
            Value::ObjectList(_) => Some(Format::ObjectList),
            Value::Integer(_) => Some(Format::Integer),
            Value::Boolean(_) => Some(Format::Boolean),
            Value::IntegerList(_) => Some(Format::IntegerList),
            Value::Raw { .. } => None,
        }
    }

    /// Whether an element of this code can have this value.
    pub fn fits(&self, code: ElementCode) -> bool {
        match self.format() {
            Some(format) => format == code.format(),
            None => matches!(code.format(), Format::Unknown(_)),
        }
    }

    /// Its type and bytes in the registry.
    pub fn encode(&self) -> (ValueType, Vec<u8>) {
        match self {
            Value::Device(device) => (ValueType::Binary, device.encode()),
            Value::String(text) => (ValueType::Sz, utf16(text)),
            Value::Object(guid) => (ValueType::Sz, utf16(&guid.to_string())),
            Value::ObjectList(list) => {
                let mut bytes: Vec<u8> = list
                    .iter()
                    .flat_map(|guid| utf16(&guid.to_string()))
                    .collect();
                bytes.extend([0, 0]);
                (ValueType::MultiSz, bytes)
            }
            Value::Integer(number) => (ValueType::Binary, number.to_le_bytes().to_vec()),
            Value::Boolean(yes) => (ValueType::Binary, vec![u8::from(*yes)]),
            Value::IntegerList(list) => (
                ValueType::Binary,
                list.iter()
                    .flat_map(|number| number.to_le_bytes())
                    .collect(),
            ),
            Value::Raw { kind, bytes } => (*kind, bytes.clone()),
        }
    }

    /// What an element's bytes mean.
    pub fn decode(code: ElementCode, kind: ValueType, bytes: &[u8]) -> Result<Self, ElementError> {
        let format = code.format();
        match format.registry_type() {
            Some(expected) if expected != kind => {
                return Err(ElementError::Type {
                    format,
                    expected,
                    found: kind,
                });
            }
            _ => {}
        }
        let length = |expected| ElementError::Length {
            format,
            expected,
            found: bytes.len(),
        };
        Ok(match format {
            Format::Device => Value::Device(Device::decode(bytes)?),
            Format::String => Value::String(string(bytes)?),
            Format::Object => Value::Object(string(bytes)?.parse()?),
            Format::ObjectList => Value::ObjectList(object_list(bytes)?),
            // Eight bytes are documented; of shorter ones the rest is taken for zero.
            Format::Integer => match bytes.len() {
                1..=8 => {
                    let mut number = [0; 8];
                    number[..bytes.len()].copy_from_slice(bytes);
                    Value::Integer(u64::from_le_bytes(number))
                }
                _ => return Err(length("1 to 8 bytes")),
            },
            Format::Boolean => match bytes {
                [byte] => Value::Boolean(*byte != 0),
                _ => return Err(length("1 byte")),
            },
            Format::IntegerList => match bytes.as_chunks::<8>() {
                (numbers, []) => {
                    Value::IntegerList(numbers.iter().map(|n| u64::from_le_bytes(*n)).collect())
                }
                _ => return Err(length("a multiple of 8 bytes")),
            },
            Format::Unknown(_) => Value::Raw {
                kind,
                bytes: bytes.to_vec(),
            },
        })
    }
}

/// With NUL.
fn utf16(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]);
    units.flat_map(u16::to_le_bytes).collect()
}

fn units(bytes: &[u8]) -> Result<Vec<u16>, ElementError> {
    match bytes.as_chunks::<2>() {
        (units, []) => Ok(units.iter().map(|unit| u16::from_le_bytes(*unit)).collect()),
        _ => Err(ElementError::OddLength {
            length: bytes.len(),
        }),
    }
}

/// What a `REG_SZ` says. Also for values that are no elements, such as `KeyName`.
pub(super) fn string(bytes: &[u8]) -> Result<String, ElementError> {
    let units = units(bytes)?;
    let end = units
        .iter()
        .position(|unit| *unit == 0)
        .ok_or(ElementError::NoNul {
            length: bytes.len(),
        })?;
    if end + 1 < units.len() {
        return Err(ElementError::AfterNul {
            offset: 2 * end,
            after: 2 * (units.len() - end - 1),
        });
    }
    decode_utf16(&units[..end], 0)
}

fn object_list(bytes: &[u8]) -> Result<Vec<Guid>, ElementError> {
    let units = units(bytes)?;
    let mut list = Vec::new();
    let mut at = 0;
    loop {
        let end = units[at..]
            .iter()
            .position(|unit| *unit == 0)
            .ok_or(ElementError::NoNul {
                length: bytes.len(),
            })?;
        if end == 0 {
            break;
        }
        list.push(decode_utf16(&units[at..at + end], 2 * at)?.parse()?);
        at += end + 1;
    }
    // An empty list may be its own NUL alone, or an empty string's before it.
    let rest = &units[at + 1..];
    if rest.is_empty() || (list.is_empty() && rest == [0]) {
        return Ok(list);
    }
    Err(ElementError::AfterNul {
        offset: 2 * at,
        after: 2 * rest.len(),
    })
}

fn decode_utf16(units: &[u16], offset: usize) -> Result<String, ElementError> {
    let mut at = offset;
    let mut text = String::with_capacity(units.len());
    for decoded in char::decode_utf16(units.iter().copied()) {
        let Ok(character) = decoded else {
            return Err(ElementError::Surrogate { offset: at });
        };
        text.push(character);
        at += 2 * character.len_utf16();
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::alias::{BOOTMGR, MEMDIAG};
    use super::super::device::Descriptor;
    use super::*;

    const STRING: ElementCode = ElementCode(0x1200_0004);
    const OBJECT: ElementCode = ElementCode(0x2300_0003);
    const LIST: ElementCode = ElementCode(0x2400_0001);
    const INTEGER: ElementCode = ElementCode(0x2500_0004);
    const BOOLEAN: ElementCode = ElementCode(0x2600_0022);
    const INTEGERS: ElementCode = ElementCode(0x1700_000A);

    #[test]
    fn every_format_lies_as_documented() {
        let guid = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
        for (code, value, kind, bytes) in [
            (
                STRING,
                Value::String("WinPE".into()),
                ValueType::Sz,
                b"W\0i\0n\0P\0E\0\0\0".to_vec(),
            ),
            (OBJECT, Value::Object(BOOTMGR), ValueType::Sz, utf16(guid)),
            (
                LIST,
                Value::ObjectList(vec![BOOTMGR, MEMDIAG]),
                ValueType::MultiSz,
                [
                    utf16(guid),
                    utf16("{b2721d73-1db4-4c62-bf78-c548a880142d}"),
                    vec![0, 0],
                ]
                .concat(),
            ),
            (
                LIST,
                Value::ObjectList(vec![]),
                ValueType::MultiSz,
                vec![0, 0],
            ),
            (
                INTEGER,
                Value::Integer(30),
                ValueType::Binary,
                vec![30, 0, 0, 0, 0, 0, 0, 0],
            ),
            (BOOLEAN, Value::Boolean(true), ValueType::Binary, vec![1]),
            (
                INTEGERS,
                Value::IntegerList(vec![1, 2]),
                ValueType::Binary,
                vec![1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
            ),
            (
                ElementCode(0x2900_0001),
                Value::Raw {
                    kind: ValueType::Qword,
                    bytes: vec![1, 2, 3],
                },
                ValueType::Qword,
                vec![1, 2, 3],
            ),
        ] {
            assert_eq!(value.encode(), (kind, bytes.clone()), "{value:?}");
            assert!(value.fits(code), "{value:?}");
            assert_eq!(Value::decode(code, kind, &bytes), Ok(value));
        }
    }

    #[test]
    fn codes_are_keys() {
        assert_eq!(ElementCode::from_key("12000004"), Some(STRING));
        assert_eq!(STRING.to_string(), "12000004");
        assert_eq!(ElementCode::from_key("1700000A"), Some(INTEGERS));
        for bad in [
            "",
            "1200004",
            "120000041",
            "+2000004",
            "0x120004",
            "1200000g",
        ] {
            assert_eq!(ElementCode::from_key(bad), None, "{bad}");
        }
        assert_eq!(STRING.class(), Class::Library);
        assert_eq!(BOOLEAN.class(), Class::Application);
        assert_eq!(ElementCode(0x3200_0004).class(), Class::Device);
    }

    fn error(code: ElementCode, kind: ValueType, bytes: &[u8]) -> String {
        Value::decode(code, kind, bytes).unwrap_err().to_string()
    }

    #[test]
    fn contradictions_say_what_was_expected_and_found() {
        assert_eq!(
            error(STRING, ValueType::Binary, b"x"),
            "expected REG_SZ for a string, found REG_BINARY"
        );
        assert_eq!(
            error(INTEGER, ValueType::Dword, &[0; 4]),
            "expected REG_BINARY for an integer, found REG_DWORD"
        );
        assert_eq!(
            error(STRING, ValueType::Sz, b"abc"),
            "expected a string of whole UTF-16 units, found 3 bytes, which is odd"
        );
        assert_eq!(
            error(STRING, ValueType::Sz, b"a\0"),
            "expected a NUL at the end of the string, found none (length 2 bytes)"
        );
        assert_eq!(
            error(STRING, ValueType::Sz, b"a\0\0\0b\0"),
            "expected the string to end at its NUL at offset 2, found 2 bytes after it"
        );
        assert_eq!(
            error(STRING, ValueType::Sz, b"a\0\x00\xD8\0\0"),
            "expected UTF-16, found an unpaired surrogate at offset 2"
        );
        assert_eq!(
            error(BOOLEAN, ValueType::Binary, &[]),
            "expected 1 byte for a boolean, found 0 bytes"
        );
        assert_eq!(
            error(INTEGER, ValueType::Binary, &[0; 9]),
            "expected 1 to 8 bytes for an integer, found 9 bytes"
        );
        assert_eq!(
            error(INTEGERS, ValueType::Binary, &[0; 9]),
            "expected a multiple of 8 bytes for an integer list, found 9 bytes"
        );
        assert!(error(OBJECT, ValueType::Sz, b"x\0\0\0").contains("found \"x\""));
        assert!(error(LIST, ValueType::MultiSz, b"x\0\0\0\0\0").contains("found \"x\""));
        assert!(error(LIST, ValueType::MultiSz, b"").contains("NUL"));
        assert!(error(LIST, ValueType::MultiSz, &utf16(&BOOTMGR.to_string())).contains("NUL"));
        assert!(error(LIST, ValueType::MultiSz, &[0; 6]).contains("after it"));
        assert!(
            error(ElementCode(0x1100_0001), ValueType::Binary, &[0; 31]).contains("found 31 bytes")
        );
    }

    #[test]
    fn short_integers_and_both_empty_lists_are_read() {
        let integer = Value::decode(INTEGER, ValueType::Binary, &[0x1E, 1]);
        assert_eq!(integer, Ok(Value::Integer(0x11E)));
        let list = Value::decode(LIST, ValueType::MultiSz, &[0; 4]);
        assert_eq!(list, Ok(Value::ObjectList(vec![])));
    }

    #[test]
    fn a_value_fits_its_format_alone() {
        let device = Value::Device(Device::plain(Descriptor::Boot));
        assert!(device.fits(ElementCode(0x1100_0001)));
        assert!(!device.fits(STRING));
        let raw = Value::Raw {
            kind: ValueType::Sz,
            bytes: vec![],
        };
        assert!(!raw.fits(STRING));
        assert!(raw.fits(ElementCode(0x1000_0001)));
    }
}
