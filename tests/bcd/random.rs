// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random stores, of everything that a store can have.

use fastrand::Rng;
use slamboot::image::bcd::device::{Descriptor, Device, FilePath, GptPartition, MbrPartition};
use slamboot::image::bcd::{ElementCode, Format, Guid, Object, ObjectType, Store, Value, alias};
use slamboot::image::regf::ValueType;

const KINDS: [u32; 10] = [
    0x1010_0001,
    0x1010_0002,
    0x1020_0003,
    0x1020_0004,
    0x1020_0005,
    0x1040_0008,
    0x2010_0000,
    0x2020_0003,
    0x3000_0000,
    0,
];

/// Subtypes of many names in the table.
const SUBTYPES: [u32; 16] = [
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    0x10,
    0x11,
    0x12,
    0x20,
    0x22,
    0x80,
    0xF3,
    0x00AB_CDEF,
];

pub fn store(random: &mut Rng) -> Store {
    let mut store = Store::new();
    if random.bool() {
        store.key_name = text(random);
    }
    for _ in 0..random.usize(..6) {
        store.objects.insert(guid(random), object(random));
    }
    store
}

pub fn object(random: &mut Rng) -> Object {
    let kind = match random.choice(KINDS) {
        Some(kind) if random.u8(..8) > 0 => kind,
        _ => random.u32(..),
    };
    let mut object = Object::new(ObjectType(kind));
    for _ in 0..random.usize(..8) {
        let code = code(random);
        object.elements.insert(code, value(code, random));
    }
    object
}

pub fn code(random: &mut Rng) -> ElementCode {
    if random.u8(..8) == 0 {
        return ElementCode(random.u32(..));
    }
    let subtype = random.choice(SUBTYPES).unwrap_or(1);
    ElementCode(random.u32(1..=5) << 28 | random.u32(1..=8) << 24 | subtype)
}

pub fn guid(random: &mut Rng) -> Guid {
    match random.choice(alias::WELL_KNOWN) {
        Some(known) if random.bool() => known.guid,
        _ => Guid::from_u128(random.u128(1..)),
    }
}

pub fn value(code: ElementCode, random: &mut Rng) -> Value {
    match code.format() {
        // As it would be read: random bytes within a device may be no device of their own.
        Format::Device => {
            let device = Device {
                options: random.bool().then(|| guid(random)),
                descriptor: descriptor(3, random),
            };
            Value::Device(Device::decode(&device.encode()).unwrap())
        }
        Format::String => Value::String(text(random)),
        Format::Object => Value::Object(guid(random)),
        Format::ObjectList => {
            Value::ObjectList((0..random.usize(..4)).map(|_| guid(random)).collect())
        }
        Format::Integer => Value::Integer(number(random)),
        Format::Boolean => Value::Boolean(random.bool()),
        Format::IntegerList => {
            Value::IntegerList((0..random.usize(..4)).map(|_| number(random)).collect())
        }
        Format::Unknown(_) => Value::Raw {
            kind: ValueType::from(random.u32(..14)),
            bytes: bytes(random),
        },
    }
}

fn number(random: &mut Rng) -> u64 {
    if random.bool() {
        random.u64(..5)
    } else {
        random.u64(..)
    }
}

pub fn bytes(random: &mut Rng) -> Vec<u8> {
    (0..random.usize(..120)).map(|_| random.u8(..)).collect()
}

fn descriptor(depth: u32, random: &mut Rng) -> Descriptor {
    match random.u8(..if depth > 1 { 6 } else { 4 }) {
        0 => Descriptor::Boot,
        1 => Descriptor::Mbr(MbrPartition {
            signature: random.u32(..),
            offset: random.u64(..),
        }),
        2 => Descriptor::Gpt(GptPartition {
            disk: guid(random),
            partition: guid(random),
        }),
        3 => {
            // Whatever these bytes mean.
            let mut raw = vec![0; 16];
            raw.push(random.u8(..9));
            raw.resize(32, 0);
            raw.extend(bytes(random));
            Device::decode(&raw).unwrap().descriptor
        }
        kind => {
            let file = Box::new(FilePath {
                parent: descriptor(depth - 1, random),
                path: text(random),
            });
            if kind == 4 {
                Descriptor::File(file)
            } else {
                Descriptor::Ramdisk(file)
            }
        }
    }
}

/// Texts with what is special in some notation, and with what is not in the basic plane.
pub fn text(random: &mut Rng) -> String {
    const PARTS: [&str; 24] = [
        "\\",
        "winpe",
        ".wim",
        " ",
        "\"",
        ",{",
        "}",
        "{bootmgr}",
        "[",
        "]",
        "C:",
        "=",
        "hex:00",
        "ü",
        "日本",
        "𝄞",
        "\u{7}",
        "\n",
        "%",
        "^",
        "&",
        "/d",
        "\u{FEFF}",
        "\u{202E}",
    ];
    (0..random.usize(..6))
        .filter_map(|_| random.choice(PARTS))
        .collect()
}
