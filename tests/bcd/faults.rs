// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hives that are no stores, or not sound ones: each error names the key, what was expected and
//! what was found.

use slamboot::image::bcd::winpe::{self, Style};
use slamboot::image::bcd::{Store, json};
use slamboot::image::regf::{Hive, KeyId, ValueType};

use crate::recipe::winpe as recipe;

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
    Store::read(&hive).unwrap_err().to_string()
}

fn element(code: &str, kind: ValueType, bytes: &[u8]) -> String {
    error(|hive| {
        let key = key(hive, &format!("{BOOTMGR}\\Elements\\{code}"));
        hive.set_value(key, "Element", kind, bytes).unwrap();
    })
}

#[test]
fn values_that_contradict_their_element() {
    let path = |code: &str| format!("{BOOTMGR}\\Elements\\{code}: ");
    for (code, kind, bytes, why) in [
        (
            "12000004",
            ValueType::Binary,
            &b"x"[..],
            "expected REG_SZ for a string, found REG_BINARY",
        ),
        (
            "12000004",
            ValueType::Sz,
            b"abc",
            "found 3 bytes, which is odd",
        ),
        (
            "12000004",
            ValueType::Sz,
            b"a\0b\0",
            "expected a NUL at the end of the string, found none (length 4 bytes)",
        ),
        (
            "11000001",
            ValueType::Sz,
            b"a\0\0\0",
            "expected REG_BINARY for a device, found REG_SZ",
        ),
        ("11000001", ValueType::Binary, &[0; 20], "found 20 bytes"),
        (
            "23000003",
            ValueType::Sz,
            b"a\0\0\0",
            "expected a GUID such as {9dea862c-5cdd-4e70-acc1-f32b344d4795}",
        ),
        (
            "23000003",
            ValueType::MultiSz,
            &[0; 2],
            "expected REG_SZ for an object, found REG_MULTI_SZ",
        ),
    ] {
        let error = element(code, kind, bytes);
        assert!(error.starts_with(&path(code)), "{error}");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn keys_and_values_that_are_not_a_stores() {
    let objects = error(|hive| hive.remove_key(hive.root(), "Objects").unwrap());
    assert!(objects.contains("expected the key \\Objects"), "{objects}");

    let name = error(|hive| {
        hive.create_key(key(hive, "\\Objects"), "bootmgr").unwrap();
    });
    assert_eq!(
        name,
        "\\Objects: expected a GUID in braces for the name of the key, found \"bootmgr\""
    );

    let code = error(|hive| {
        let elements = key(hive, &format!("{BOOTMGR}\\Elements"));
        hive.create_key(elements, "description").unwrap();
    });
    assert_eq!(
        code,
        format!(
            "{BOOTMGR}\\Elements: expected eight hexadecimal digits for the name of the key, \
             found \"description\""
        )
    );

    let value = error(|hive| {
        let element = key(hive, &format!("{BOOTMGR}\\Elements\\12000004"));
        hive.remove_value(element, "Element").unwrap();
    });
    assert_eq!(
        value,
        format!("{BOOTMGR}\\Elements\\12000004: expected the value \"Element\", found none")
    );

    let missing = error(|hive| hive.remove_key(key(hive, BOOTMGR), "Description").unwrap());
    assert_eq!(
        missing,
        format!("{BOOTMGR}\\Description: expected the value \"Type\", found none")
    );

    let kind = error(|hive| {
        let description = key(hive, &format!("{BOOTMGR}\\Description"));
        hive.set_value(description, "Type", ValueType::Binary, &[2, 0])
            .unwrap();
    });
    assert_eq!(
        kind,
        format!(
            "{BOOTMGR}\\Description: expected REG_DWORD of 4 bytes for \"Type\", found REG_BINARY \
             of 2 bytes"
        )
    );

    let name = error(|hive| {
        let description = key(hive, "\\Description");
        hive.set_value(description, "KeyName", ValueType::Sz, b"x")
            .unwrap();
    });
    assert!(
        name.starts_with("\\Description\\KeyName: expected"),
        "{name}"
    );
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
