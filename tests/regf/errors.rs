// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a user reads for each kind of damage, word by word: `errors.txt` holds the texts.

use std::fmt::Write as _;

use slamboot::image::regf::{Error, Hive, Recovery, Repair, ValueType};

use crate::model::{self, Key};
use crate::support::{cells, put_u32, seal, u32_at};

/// Lists, values of all kinds, two levels: the hive that is damaged.
fn hive() -> Vec<u8> {
    let mut hive = Hive::new("errors");
    let root = hive.root();
    let a = hive.create_key(root, "A").unwrap();
    hive.create_key(root, "B").unwrap();
    hive.create_key(a, "below").unwrap();
    hive.set_value(a, "inline", ValueType::Dword, &[1, 2, 3, 4])
        .unwrap();
    hive.set_value(a, "cell", ValueType::Binary, &[0xEE; 20])
        .unwrap();
    hive.set_value(a, "big", ValueType::Binary, &vec![0xEE; 20_000])
        .unwrap();
    hive.bytes().to_vec()
}

/// Where the record with this text in its name lies in the file, behind its cell's size.
fn record(bytes: &[u8], signature: &str, name: &str) -> usize {
    let place = if signature == "nk" { 76 } else { 20 };
    let cells = cells(bytes);
    let mut found = cells.iter().filter(|(_, cell)| {
        cell.starts_with(signature.as_bytes())
            && (name.is_empty() || cell[place.min(cell.len())..].starts_with(name.as_bytes()))
    });
    0x1004 + *found.next().unwrap().0 as usize
}

type Damage = fn(&mut Vec<u8>);

/// The pointer at `at` of a record gets another value.
fn set(bytes: &mut [u8], signature: &str, name: &str, at: usize, value: u32) {
    let place = record(bytes, signature, name) + at;
    put_u32(bytes, place, value);
}

fn get(bytes: &[u8], signature: &str, name: &str, at: usize) -> u32 {
    u32_at(bytes, record(bytes, signature, name) + at)
}

/// By the titles in `errors.txt`. Titles that begin with "base block" mend the checksum themselves.
const DAMAGES: &[(&str, Damage)] = &[
    ("empty file", |bytes| bytes.clear()),
    ("another file", |bytes| {
        bytes[..4].copy_from_slice(b"MZ\x90\0");
    }),
    ("cut file", |bytes| bytes.truncate(0x1800)),
    ("old version", |bytes| put_u32(bytes, 24, 1)),
    ("a log", |bytes| put_u32(bytes, 28, 6)),
    ("odd size of the bins", |bytes| put_u32(bytes, 40, 0x1001)),
    ("root beyond the end", |bytes| put_u32(bytes, 36, 0x10_0000)),
    ("root is no key", |bytes| {
        let sk = record(bytes, "sk", "") - 0x1004;
        put_u32(bytes, 36, sk as u32);
    }),
    ("bin without signature", |bytes| bytes[0x1000] = b'H'),
    ("bin elsewhere", |bytes| put_u32(bytes, 0x1004, 0x1000)),
    ("bin of impossible size", |bytes| {
        put_u32(bytes, 0x1008, 0x800);
    }),
    ("bin beyond the end", |bytes| {
        put_u32(bytes, 0x1008, 0x10_0000);
    }),
    ("cell of no size", |bytes| put_u32(bytes, 0x1020, 0)),
    ("cell of odd size", |bytes| {
        put_u32(bytes, 0x1020, 81u32.wrapping_neg());
    }),
    ("cell beyond its bin", |bytes| {
        put_u32(bytes, 0x1020, 0x2000u32.wrapping_neg());
    }),
    ("cell over the next", |bytes| {
        // The list of root's subkeys is under it then.
        let size = u32_at(bytes, 0x1020).wrapping_neg();
        let next = u32_at(bytes, 0x1020 + size as usize).wrapping_neg();
        put_u32(bytes, 0x1020, (size + next).wrapping_neg());
    }),
    ("list beyond the end", |bytes| {
        set(bytes, "nk", "ROOT", 28, 0x9_0000);
    }),
    ("list in the middle of a cell", |bytes| {
        let list = get(bytes, "nk", "ROOT", 28);
        set(bytes, "nk", "ROOT", 28, list + 8);
    }),
    ("list without signature", |bytes| {
        set(bytes, "lh", "", 0, 0x0002_7878);
    }),
    ("list longer than its cell", |bytes| {
        set(bytes, "lh", "", 0, 0x0100_686C);
    }),
    ("list without elements", |bytes| {
        set(bytes, "lh", "", 0, 0x0000_686C);
    }),
    ("number of subkeys", |bytes| set(bytes, "nk", "ROOT", 20, 3)),
    ("unsorted list", |bytes| {
        let at = record(bytes, "nk", "A") + 76;
        bytes[at] = b'C';
    }),
    ("the same name twice", |bytes| {
        let at = record(bytes, "nk", "B") + 76;
        bytes[at] = b'a';
    }),
    ("cycle", |bytes| {
        let (root, list) = (u32_at(bytes, 36), get(bytes, "nk", "A", 28));
        put_u32(bytes, 0x1004 + list as usize + 4, root);
    }),
    ("parent", |bytes| set(bytes, "nk", "below", 16, 0x20)),
    ("long name", |bytes| set(bytes, "nk", "A", 72, 200)),
    ("no name", |bytes| set(bytes, "nk", "A", 72, 0)),
    ("no security", |bytes| set(bytes, "nk", "A", 44, u32::MAX)),
    ("security is no security", |bytes| {
        set(bytes, "nk", "A", 44, 0x20);
    }),
    ("few references", |bytes| set(bytes, "sk", "", 12, 3)),
    ("security ring", |bytes| set(bytes, "sk", "", 8, 0x20)),
    ("large security descriptor", |bytes| {
        set(bytes, "sk", "", 16, 5000);
    }),
    ("class name in use", |bytes| {
        set(bytes, "nk", "A", 72, 0x0002_0001);
        set(bytes, "nk", "A", 48, 0x20);
    }),
    ("values list too short", |bytes| {
        set(bytes, "nk", "A", 36, 100);
    }),
    ("value is no value", |bytes| {
        let list = get(bytes, "nk", "A", 40) as usize;
        let security = (record(bytes, "sk", "") - 0x1004) as u32;
        put_u32(bytes, 0x1004 + list + 8, security);
    }),
    ("long value name", |bytes| {
        let at = record(bytes, "vk", "inline") + 2;
        bytes[at] = 200;
    }),
    ("five bytes inline", |bytes| {
        set(bytes, "vk", "inline", 4, 0x8000_0005);
    }),
    ("data beyond their cell", |bytes| {
        set(bytes, "vk", "cell", 4, 200);
    }),
    ("data in use", |bytes| {
        let key = (record(bytes, "nk", "B") - 0x1004) as u32;
        set(bytes, "vk", "cell", 8, key);
    }),
    ("segments of big data", |bytes| {
        set(bytes, "db", "", 0, 0x0009_6264);
    }),
    ("segment too short", |bytes| {
        let list = get(bytes, "db", "", 4) as usize;
        let data = get(bytes, "vk", "cell", 8);
        set(bytes, "vk", "cell", 4, 0);
        put_u32(bytes, 0x1004 + list, data);
    }),
    ("base block: half-written", |bytes| {
        put_u32(bytes, 8, 7);
        seal(bytes);
    }),
    ("base block: checksum", |bytes| bytes[48] ^= 1),
];

#[test]
fn all_damage_is_explained() {
    let mut texts = String::new();
    for (title, damage) in DAMAGES {
        let mut bytes = hive();
        damage(&mut bytes);
        if !title.starts_with("base block") && bytes.len() > 512 {
            seal(&mut bytes);
        }
        let error = Hive::read(bytes).expect_err(title);
        let _ = writeln!(texts, "{title}\n  {error}");
    }
    let expected = include_str!("errors.txt");
    for (got, expected) in texts.lines().zip(expected.lines()) {
        assert_eq!(got, expected);
    }
    assert_eq!(texts.lines().count(), expected.lines().count(), "{texts}");
}

/// In the order of another writer, which Windows would not search in.
#[test]
fn an_unsorted_list_is_sorted_anew() {
    let mut bytes = hive();
    let at = record(&bytes, "nk", "A") + 76;
    bytes[at] = b'_';
    seal(&mut bytes);
    let error = Hive::read(bytes.clone()).unwrap_err();
    let (before, found) = ("_".to_owned(), "B".to_owned());
    assert!(
        matches!(&error, Error::Unsorted { before: b, found: f, .. } if (b, f) == (&before, &found)),
        "{error}"
    );
    let (hive, sorted) = Hive::read_sorting(bytes.clone()).unwrap();
    assert_eq!(sorted, 1);
    let names: Vec<_> = hive
        .subkeys(hive.root())
        .map(|key| hive.key_name(key))
        .collect();
    assert_eq!(names, ["B", "_"]);
    model::expect(&hive, &Key::of(&hive, hive.root()));
    let (again, sorted) = Hive::read_sorting(hive.bytes().to_vec()).unwrap();
    assert_eq!(sorted, 0);
    assert!(again.bytes() == hive.bytes());

    // Dirty beside: both are mended.
    put_u32(&mut bytes, 8, 7);
    seal(&mut bytes);
    let (both, repair) = Hive::repair(bytes, &[]).unwrap();
    let recovery = Recovery::BaseBlockOnly;
    assert_eq!(
        repair,
        Repair {
            recovery,
            sorted: 1
        }
    );
    assert!(Key::of(&both, both.root()) == Key::of(&hive, hive.root()));

    // No order mends two keys with one name.
    let mut bytes = self::hive();
    let at = record(&bytes, "nk", "B") + 76;
    bytes[at] = b'a';
    seal(&mut bytes);
    let error = Hive::read_sorting(bytes).unwrap_err();
    assert!(matches!(error, Error::Field { .. }), "{error}");
}

/// Windows searches with them; we do not, and so nothing is lost. A repair makes them right.
#[test]
fn wrong_hints_hide_nothing() {
    let mut bytes = hive();
    let list = get(&bytes, "nk", "ROOT", 28) as usize;
    let right = bytes.clone();
    put_u32(&mut bytes, 0x1004 + list + 8, 0xBAD);
    seal(&mut bytes);
    let mut hive = Hive::read(bytes.clone()).unwrap();
    assert!(hive.bytes() == bytes);
    let root = hive.root();
    assert!(hive.find(root, "a").is_some() && hive.find(root, "b").is_some());
    // An edit leaves what it need not touch.
    hive.set_value(root, "x", ValueType::Dword, &[0; 4])
        .unwrap();
    assert_eq!(u32_at(hive.bytes(), 0x1004 + list + 8), 0xBAD);
    let (mended, repair) = Hive::repair(bytes, &[]).unwrap();
    assert_eq!(repair.sorted, 1);
    assert!(mended.bytes()[4096..] == right[4096..]);
}

/// The first one counts, as in Windows; the other stays until the first is removed.
#[test]
fn of_two_values_with_one_name_the_first_counts() {
    let mut bytes = hive();
    let at = record(&bytes, "vk", "inline") + 20;
    bytes[at - 18] = 4;
    bytes[at..at + 4].copy_from_slice(b"CELL");
    seal(&mut bytes);
    let mut hive = Hive::read(bytes.clone()).unwrap();
    assert!(hive.bytes() == bytes);
    let key = hive.find(hive.root(), "A").unwrap();
    assert_eq!(hive.values(key).count(), 3);
    assert_eq!(&*hive.value(key, "Cell").unwrap().data, [1, 2, 3, 4]);
    hive.set_value(key, "cell", ValueType::Dword, &[5; 4])
        .unwrap();
    let data: Vec<_> = hive.values(key).map(|value| value.data.len()).collect();
    assert_eq!(data, [4, 20, 20_000]);
    hive.remove_value(key, "cell").unwrap();
    assert_eq!(&*hive.value(key, "cell").unwrap().data, [0xEE; 20]);
    Hive::read(hive.bytes().to_vec()).unwrap();
}
