// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hives that Windows wrote: `SLAMBOOT_HIVES` names a directory of them.

use std::path::{Path, PathBuf};

use slamboot::image::regf::{Error, Hive, Recovery, ValueType};

use crate::judge::skip;
use crate::judges::change_one_value;
use crate::model::Key;
use crate::support::files;

/// The hives there, with their paths; logs begin like hives.
fn hives(test: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Some(directory) = std::env::var_os("SLAMBOOT_HIVES") else {
        skip(test, "SLAMBOOT_HIVES names no directory of real hives");
        return Vec::new();
    };
    let found: Vec<_> = files(Path::new(&directory))
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .filter(|(_, bytes)| bytes.starts_with(b"regf") && bytes.get(28) == Some(&0))
        .collect();
    assert!(!found.is_empty(), "no hives in {}", directory.display());
    found
}

#[test]
fn real_hives_stay_as_they_are() {
    let (mut read, mut mended) = (0, 0);
    for (path, bytes) in hives("real_hives_stay_as_they_are") {
        let path = path.display();
        match Hive::read(bytes.clone()) {
            Ok(hive) => {
                assert!(hive.bytes() == bytes, "{path}");
                // Order and hints are as Windows has them: a repair finds nothing to do, but in
                // a name that somebody changed by hand.
                let (repaired, lists) = Hive::read_sorting(bytes.clone()).unwrap();
                assert_eq!(repaired.bytes() == bytes, lists == 0, "{path}");
                if lists > 0 {
                    println!("{path}: {lists} lists with other hints");
                    mended += 1;
                }
                read += 1;
                let mut left = vec![hive.root()];
                let (mut keys, mut values) = (0, 0);
                while let Some(key) = left.pop() {
                    keys += 1;
                    for subkey in hive.subkeys(key) {
                        // Half a surrogate pair is no text to search for.
                        let name = hive.key_name(subkey);
                        if !name.contains(char::REPLACEMENT_CHARACTER) {
                            assert_eq!(hive.find(key, &name), Some(subkey), "{path}: {name:?}");
                        }
                        left.push(subkey);
                    }
                    for value in hive.values(key) {
                        if values % 100 == 0 && hive.bytes().len() < 4 << 20 {
                            change_one_value(&hive, key, &value.name);
                        }
                        values += 1;
                    }
                }
                println!("{path}: {keys} keys, {values} values");
            }
            // Some collections have broken ones, on purpose.
            Err(error) => println!("{path}: {error}"),
        }
    }
    assert!(mended <= 1 + read / 20, "{mended} of {read}");
}

/// Names with half a surrogate pair, which a model of text cannot tell apart.
fn has_odd_names(hive: &Hive) -> bool {
    let mut left = vec![hive.root()];
    while let Some(key) = left.pop() {
        if hive.key_name(key).contains(char::REPLACEMENT_CHARACTER) {
            return true;
        }
        left.extend(hive.subkeys(key));
    }
    false
}

#[test]
fn real_hives_take_edits() {
    for (path, bytes) in hives("real_hives_take_edits") {
        let Ok(mut hive) = Hive::read(bytes) else {
            continue;
        };
        let root = hive.root();
        if has_odd_names(&hive) {
            println!("{}: names that are no text", path.display());
            continue;
        }
        let before = Key::of(&hive, root);
        for at in 0..600 {
            let key = hive.create_key(root, &format!("slamboot {at}")).unwrap();
            hive.set_value(key, "v", ValueType::Binary, &vec![1; 40 * at])
                .unwrap();
        }
        let mut hive = Hive::read(hive.bytes().to_vec()).unwrap();
        for at in 0..600 {
            hive.remove_key(root, &format!("Slamboot {at}")).unwrap();
        }
        let hive = Hive::read(hive.bytes().to_vec()).unwrap();
        assert!(Key::of(&hive, root) == before, "{}", path.display());
    }
}

#[test]
fn real_hives_are_recovered() {
    for (path, bytes) in hives("real_hives_are_recovered") {
        if !matches!(Hive::read(bytes.clone()), Err(Error::Dirty(_))) {
            continue;
        }
        let beside = |end: &str| {
            let mut name = path.clone().into_os_string();
            name.push(end);
            std::fs::read(name).unwrap_or_default()
        };
        let logs = [beside(".LOG"), beside(".LOG1"), beside(".LOG2")];
        let logs: Vec<&[u8]> = logs.iter().map(Vec::as_slice).collect();
        match Hive::recover(bytes, &logs) {
            Ok((hive, recovery)) => {
                println!("{}: {recovery:?}", path.display());
                // What Windows made of it, if that lies beside it.
                let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
                let siblings = entries.map(|entry| entry.unwrap().path());
                let recovered = |path: &PathBuf| path.display().to_string().contains("/Recovered");
                for sibling in siblings.filter(recovered) {
                    let windows = Hive::read(std::fs::read(&sibling).unwrap()).unwrap();
                    assert_ne!(recovery, Recovery::BaseBlockOnly);
                    assert!(Key::of(&hive, hive.root()) == Key::of(&windows, windows.root()));
                    println!("    as Windows did: {}", sibling.display());
                }
            }
            Err(error) => println!("{}: {error}", path.display()),
        }
    }
}
