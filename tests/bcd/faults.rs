// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hives that are no stores, or not sound ones, and names that nothing has: what a user reads of
//! each, word by word, is in `errors.txt`.

use std::fmt::Write as _;

use slamboot::image::bcd::winpe::{self, Style};
use slamboot::image::bcd::{Store, bcdedit, json};
use slamboot::image::regf::{Hive, KeyId, ValueType};

use crate::recipe::{context, winpe as recipe};

const BOOTMGR: &str = "\\Objects\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}";

fn key(hive: &Hive, path: &str) -> KeyId {
    let names = path.split('\\').filter(|name| !name.is_empty());
    names.fold(hive.root(), |key, name| hive.find(key, name).unwrap())
}

/// The error of the recipe's store with this done to its hive.
fn error(damage: impl Fn(&mut Hive)) -> String {
    let mut hive = winpe::store(&recipe(Style::Recipe)).to_hive().unwrap();
    damage(&mut hive);
    let hive = Hive::read(hive.bytes().to_vec()).unwrap();
    Store::read(&hive).map_or_else(|error| error.to_string(), |_| "no error".to_owned())
}

fn element(code: &str, kind: ValueType, bytes: &[u8]) -> String {
    error(|hive| {
        let elements = key(hive, &format!("{BOOTMGR}\\Elements"));
        let key = hive.create_key(elements, code).unwrap();
        hive.set_value(key, "Element", kind, bytes).unwrap();
    })
}

/// A text of `errors.txt`, by its title.
type Fault = (&'static str, fn() -> String);

fn of_key(path: &'static str, damage: fn(&mut Hive, KeyId)) -> String {
    error(|hive| {
        let key = key(hive, path);
        damage(hive, key);
    })
}

fn of_script(line: &str) -> String {
    let store = winpe::store(&recipe(Style::Menu { timeout: 30 }));
    let error = bcdedit::run(line, store, &context()).unwrap_err();
    error.to_string()
}

const FAULTS: &[Fault] = &[
    ("a string in another type", || {
        element("12000004", ValueType::Binary, b"x\0\0\0")
    }),
    ("a string of odd length", || {
        element("12000004", ValueType::Sz, b"a\0\0")
    }),
    ("a string without NUL", || {
        element("12000004", ValueType::Sz, b"a\0b\0")
    }),
    ("a string with more after its NUL", || {
        element("12000004", ValueType::Sz, b"a\0\0\0b\0\0\0")
    }),
    ("half a surrogate pair", || {
        element("12000004", ValueType::Sz, b"\x00\xD8\0\0")
    }),
    ("a device in another type", || {
        element("11000001", ValueType::Sz, b"a\0\0\0")
    }),
    ("a device too short", || {
        element("11000001", ValueType::Binary, &[0; 20])
    }),
    ("an object in another type", || {
        element("23000003", ValueType::MultiSz, &[0; 2])
    }),
    ("an object that is no GUID", || {
        element("23000003", ValueType::Sz, b"a\0\0\0")
    }),
    ("a list of objects in another type", || {
        element("24000001", ValueType::Sz, b"a\0\0\0")
    }),
    ("a list of objects with one that is none", || {
        element("24000001", ValueType::MultiSz, b"a\0\0\0\0\0")
    }),
    ("a list of objects without its NUL", || {
        element("24000001", ValueType::MultiSz, b"a\0")
    }),
    ("an integer in another type", || {
        element("25000004", ValueType::Dword, &[5, 0, 0, 0])
    }),
    ("an integer too long", || {
        element("25000004", ValueType::Binary, &[0; 9])
    }),
    ("a boolean in another type", || {
        element("26000020", ValueType::Qword, &[1, 0, 0, 0, 0, 0, 0, 0])
    }),
    ("a boolean too long", || {
        element("26000020", ValueType::Binary, &[1, 0, 0])
    }),
    ("a list of integers of odd length", || {
        element("27000030", ValueType::Binary, &[0; 12])
    }),
    ("no objects", || {
        of_key("", |hive, root| hive.remove_key(root, "Objects").unwrap())
    }),
    ("an object's key", || {
        of_key("Objects", |hive, key| {
            hive.create_key(key, "bootmgr").unwrap();
        })
    }),
    ("an element's key", || {
        error(|hive| {
            let elements = key(hive, &format!("{BOOTMGR}\\Elements"));
            hive.create_key(elements, "description").unwrap();
        })
    }),
    ("an element without a value", || {
        error(|hive| {
            let element = key(hive, &format!("{BOOTMGR}\\Elements\\12000004"));
            hive.remove_value(element, "Element").unwrap();
        })
    }),
    ("an object without a description", || {
        of_key(BOOTMGR, |hive, key| {
            hive.remove_key(key, "Description").unwrap();
        })
    }),
    ("an object's type of two bytes", || {
        error(|hive| {
            let description = key(hive, &format!("{BOOTMGR}\\Description"));
            hive.set_value(description, "Type", ValueType::Binary, &[2, 0])
                .unwrap();
        })
    }),
    ("the name of the store", || {
        of_key("Description", |hive, key| {
            hive.set_value(key, "KeyName", ValueType::Sz, b"x").unwrap();
        })
    }),
    ("an unknown alias", || {
        of_script("bcdedit /set {bootmrg} timeout 5")
    }),
    ("an alias like no other", || {
        of_script("bcdedit /set {winpe} timeout 5")
    }),
    ("an alias that is not in the store", || {
        of_script("bcdedit /set {memdiag} passcount 1")
    }),
    ("a GUID that is not in the store", || {
        of_script("bcdedit /set {9dea862c-5cdd-4e70-acc1-f32b344d4796} timeout 5")
    }),
    ("a GUID like no other", || {
        of_script("bcdedit /set {00000000-1111-2222-3333-444444444444} timeout 5")
    }),
    ("a GUID too short", || {
        of_script("bcdedit /set {9dea862c-5cdd-4e70-acc1-f32b344d479} timeout 5")
    }),
    ("an unknown element", || {
        of_script("bcdedit /set {bootmgr} timout 5")
    }),
    ("an element like no other", || {
        of_script("bcdedit /set {bootmgr} xyzzyxyzzy 5")
    }),
    ("an element of other objects", || {
        of_script("bcdedit /set {bootmgr} winpe yes")
    }),
    ("an unknown command", || of_script("bcdedit /timeot 5")),
    ("an unknown setting", || {
        of_script("bcdedit /emssettings emsprt:1")
    }),
    ("an unknown value", || {
        of_script("bcdedit /set {default} nx alwaysof")
    }),
    ("an unknown type", || {
        of_script("bcdedit /create /application osloder")
    }),
];

#[test]
fn all_faults_are_explained() {
    let mut texts = String::new();
    for (title, fault) in FAULTS {
        let _ = writeln!(texts, "{title}\n  {}", fault());
    }
    let expected = include_str!("errors.txt");
    for (got, expected) in texts.lines().zip(expected.lines()) {
        assert_eq!(got, expected);
    }
    assert_eq!(texts.lines().count(), expected.lines().count(), "{texts}");
}

#[test]
fn json_that_is_no_store() {
    let good = json::write(&winpe::store(&recipe(Style::Recipe)));
    let error = |from: &str, to: &str| {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        json::read(&bad).unwrap_err().to_string()
    };
    for (from, to, why) in [
        (
            "\"{9dea862c",
            "\"{9dea862",
            "objects[0].id: expected a GUID in braces",
        ),
        (
            "0x10100002",
            "bootmanager",
            "objects[0].type: expected a type",
        ),
        (
            "\"11000001\"",
            "\"1100001\"",
            "objects[0].elements[0].code: expected eight",
        ),
        (
            "\"11000001\"",
            "\"12000004\"",
            "objects[0].elements[1] (12000004): expected it once",
        ),
        (
            "partition=mbr:",
            "partition=",
            "objects[0].elements[0].value (11000001): expected a drive",
        ),
        ("\"Boot Manager\"", "true, \"x\": 1", "not a store in JSON"),
        ("\"Boot Manager\"", "17", "not a store in JSON"),
        ("\"key_name\"", "\"keyname\"", "not a store in JSON"),
        (
            "BCD00000000",
            "BCD\\u0000",
            "key_name: expected a text without NUL",
        ),
    ] {
        let error = error(from, to);
        assert!(error.contains(why), "{to}: {error}");
    }
}
