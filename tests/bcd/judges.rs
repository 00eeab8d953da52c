// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of other authors read the values that we write, and we read theirs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use slamboot::image::bcd::winpe::{self, Style};
use slamboot::image::bcd::{Format, Store, Value, code};
use slamboot::image::regf::{Hive, ValueType};
use tempfile::TempDir;

use crate::judge::has_tool;
use crate::random;
use crate::recipe::winpe as recipe;

fn run(command: &mut Command) -> String {
    let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn saved(store: &Store, folder: &TempDir, name: &str) -> std::path::PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, store.to_hive().unwrap().bytes()).unwrap();
    path
}

/// What must be in a hive: key, value, type, bytes.
fn expected(store: &Store) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let (kind, data) = Value::String(store.key_name.clone()).encode();
    all.insert("\\Description\\KeyName".into(), (u32::from(kind), data));
    for (guid, object) in &store.objects {
        let path = format!("\\Objects\\{guid}");
        all.insert(
            format!("{path}\\Description\\Type"),
            (
                u32::from(ValueType::Dword),
                object.kind.0.to_le_bytes().to_vec(),
            ),
        );
        for (code, value) in &object.elements {
            let (kind, data) = value.encode();
            all.insert(
                format!("{path}\\Elements\\{code}\\Element"),
                (u32::from(kind), data),
            );
        }
    }
    all
}

/// Takes apart what `hivexregedit --export` writes.
fn exported(text: &str) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut key = String::new();
    for line in text.lines() {
        if let Some(path) = line.strip_prefix('[') {
            path.trim_end_matches(']')
                .trim_end_matches('\\')
                .clone_into(&mut key);
        } else if let Some((name, value)) = line.split_once("\"=") {
            let name = name.trim_start_matches('"');
            let value = if let Some(number) = value.strip_prefix("dword:") {
                let number = u32::from_str_radix(number, 16).unwrap();
                (4, number.to_le_bytes().to_vec())
            } else {
                let (kind, bytes) = value
                    .strip_prefix("hex(")
                    .unwrap()
                    .split_once("):")
                    .unwrap();
                let bytes = bytes.split(',').filter(|byte| !byte.is_empty());
                (
                    u32::from_str_radix(kind, 16).unwrap(),
                    bytes
                        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                        .collect(),
                )
            };
            all.insert(format!("{key}\\{name}"), value);
        }
    }
    all
}

fn export(path: &Path) -> String {
    run(Command::new("hivexregedit")
        .arg("--export")
        .arg(path)
        .arg("\\"))
}

fn stores() -> Vec<Store> {
    let mut stores = vec![
        winpe::store(&recipe(Style::Recipe)),
        winpe::store(&recipe(Style::Menu { timeout: 30 })),
    ];
    stores.extend((0..12).map(|seed| random::store(&mut fastrand::Rng::with_seed(seed))));
    stores
}

#[test]
fn hivexregedit_reads_every_value() {
    if !has_tool("hivexregedit_reads_every_value", "hivexregedit") {
        return;
    }
    let folder = TempDir::new().unwrap();
    for (number, mut store) in stores().into_iter().enumerate() {
        // It writes names of types above 9 in decimal and in hexadecimal; see to it that the
        // digits are the same.
        for object in store.objects.values_mut() {
            object.elements.retain(
                |_, value| !matches!(value, Value::Raw { kind, .. } if u32::from(*kind) > 9 || *kind == ValueType::Dword),
            );
        }
        let path = saved(&store, &folder, &number.to_string());
        assert_eq!(exported(&export(&path)), expected(&store), "store {number}");
    }
}

#[test]
fn nt_hive_reads_every_value() {
    for (number, store) in stores().into_iter().enumerate() {
        let hive = store.to_hive().unwrap();
        let judge = nt_hive::Hive::new(hive.bytes()).unwrap();
        judge.validate().unwrap();
        let mut all = BTreeMap::new();
        let mut left = vec![(String::new(), judge.root_key_node().unwrap())];
        while let Some((path, key)) = left.pop() {
            for value in key.values().into_iter().flat_map(Result::unwrap) {
                let value = value.unwrap();
                let name = value.name().unwrap().to_string_lossy();
                let Ok(kind) = value.data_type() else {
                    // It knows no types beyond those with names.
                    continue;
                };
                let nt_hive::KeyValueData::Small(data) = value.data().unwrap() else {
                    panic!("{path}\\{name}: big data in a store");
                };
                all.insert(format!("{path}\\{name}"), (kind as u32, data.to_vec()));
            }
            for subkey in key.subkeys().into_iter().flat_map(Result::unwrap) {
                let subkey = subkey.unwrap();
                let name = subkey.name().unwrap().to_string_lossy();
                left.push((format!("{path}\\{name}"), subkey));
            }
        }
        let mut expected = expected(&store);
        expected.retain(|_, (kind, _)| *kind < 12);
        assert_eq!(all, expected, "store {number}");
    }
}

#[test]
fn hivexregedit_merges_what_we_then_read() {
    if !has_tool("hivexregedit_merges_what_we_then_read", "hivexregedit") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut store = winpe::store(&recipe(Style::Menu { timeout: 30 }));
    let path = saved(&store, &folder, "BCD");
    let loader = store.default_object().unwrap();
    let mut text = "Windows Registry Editor Version 5.00\n".to_owned();
    let value = Value::String("edited by another".into());
    let data: Vec<String> = value
        .encode()
        .1
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let _ = write!(
        text,
        "\n[\\Objects\\{loader}\\Elements\\12000004]\n\"Element\"=hex(1):{}\n",
        data.join(",")
    );
    let reg = folder.path().join("edit.reg");
    std::fs::write(&reg, text).unwrap();
    run(Command::new("hivexregedit")
        .arg("--merge")
        .arg(&path)
        .arg(&reg));

    let read = Store::read(&Hive::read(std::fs::read(&path).unwrap()).unwrap()).unwrap();
    let object = store.objects.get_mut(&loader).unwrap();
    object.elements.insert(code::DESCRIPTION, value);
    assert_eq!(read, store);
}

#[test]
fn hivexsh_reads_the_texts() {
    if !has_tool("hivexsh_reads_the_texts", "hivexsh") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let store = winpe::store(&recipe(Style::Recipe));
    let path = saved(&store, &folder, "BCD");
    let mut script = String::new();
    let mut texts = Vec::new();
    for (guid, object) in &store.objects {
        for (code, value) in &object.elements {
            if let Value::String(text) = value {
                let _ = writeln!(
                    script,
                    "cd \\Objects\\{guid}\\Elements\\{code}\nlsval Element"
                );
                texts.push(text.as_str());
            }
        }
    }
    let file = folder.path().join("script");
    std::fs::write(&file, script).unwrap();
    let output = run(Command::new("hivexsh").arg("-f").arg(&file).arg(&path));
    assert_eq!(output.lines().collect::<Vec<_>>(), texts);
}

#[test]
fn reglookup_reads_types_and_texts() {
    if !has_tool("reglookup_reads_types_and_texts", "reglookup") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let store = winpe::store(&recipe(Style::Menu { timeout: 30 }));
    let path = saved(&store, &folder, "BCD");
    let output = run(Command::new("reglookup").arg("-H").arg(&path));
    let lines: Vec<&str> = output.lines().collect();
    let mut seen = 0;
    for (guid, object) in &store.objects {
        let kind = format!(
            "/Objects/{guid}/Description/Type,DWORD,0x{:08X},",
            object.kind.0
        );
        assert!(lines.contains(&kind.as_str()), "{kind} in {output}");
        for (code, value) in &object.elements {
            let element = format!("/Objects/{guid}/Elements/{code}/Element,");
            let line = lines
                .iter()
                .find_map(|line| line.strip_prefix(&element))
                .unwrap();
            let expected = match value {
                Value::String(text) => format!("SZ,{},", text.replace('\\', "%5C")),
                Value::Object(guid) => format!("SZ,{guid},"),
                Value::ObjectList(list) => {
                    let list: Vec<String> = list.iter().map(ToString::to_string).collect();
                    format!("MULTI_SZ,{},", list.join("|"))
                }
                _ => "BINARY,".to_owned(),
            };
            let line = line.replace('\\', "%5C");
            assert!(
                line.starts_with(&expected),
                "{code}: {line}, expected {expected}"
            );
            assert_ne!(code.format(), Format::Unknown(0));
            seen += 1;
        }
    }
    assert_eq!(seen, 14);
}
