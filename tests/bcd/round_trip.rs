// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random stores come back from every form that they can take.

use fastrand::Rng;
use slamboot::image::bcd::drives::Drives;
use slamboot::image::bcd::notation::Names;
use slamboot::image::bcd::show::{self, View};
use slamboot::image::bcd::{ElementCode, Store, Value, alias, code, json, literal, table, warn};
use slamboot::image::regf::{Hive, ValueType};

use crate::random;

/// Runs a property on many seeds; a failure tells which.
fn each(check: impl Fn(&mut Rng) + std::panic::RefUnwindSafe) {
    for seed in 0..400 {
        let failed = std::panic::catch_unwind(|| check(&mut Rng::with_seed(seed))).is_err();
        assert!(!failed, "seed {seed}");
    }
}

fn read_back(hive: &Hive) -> Store {
    Store::read(&Hive::read(hive.bytes().to_vec()).unwrap()).unwrap()
}

#[test]
fn through_a_hive() {
    each(|random| {
        let store = random::store(random);
        let hive = store.to_hive().unwrap();
        assert_eq!(read_back(&hive), store);
        assert_eq!(hive.bytes(), store.to_hive().unwrap().bytes());
    });
}

#[test]
fn through_json() {
    each(|random| {
        let store = random::store(random);
        let text = json::write(&store);
        assert_eq!(json::read(&text).unwrap(), store, "{text}");
    });
}

#[test]
fn through_the_notation_of_values() {
    each(|random| {
        let drives = Drives::none();
        for object in random::store(random).objects.values() {
            for (code, value) in &object.elements {
                let name = table::name(*code, object.kind);
                assert_eq!(table::find(&name, object.kind), Ok(*code));
                let lines = literal::display(*code, object.kind, value, &drives);
                let words: Vec<&str> = lines.iter().map(String::as_str).collect();
                let names = Names::of_drives(&drives);
                let read = literal::parse(*code, object.kind, &words, &names);
                assert_eq!(read.as_ref(), Ok(value), "{lines:?}");
            }
        }
    });
}

#[test]
fn from_any_store_to_any_other_in_one_hive() {
    each(|random| {
        let from = random::store(random);
        let mut to = random::store(random);
        // Let them have something in common.
        for (guid, object) in &from.objects {
            if random.bool() {
                to.objects.insert(*guid, object.clone());
            }
        }
        let mut hive = from.to_hive().unwrap();
        to.write_into(&mut hive).unwrap();
        assert_eq!(read_back(&hive), to);
    });
}

#[test]
fn looking_at_a_store_never_fails() {
    each(|random| {
        let store = random::store(random);
        let drives = Drives::none();
        for full in [false, true] {
            let view = View {
                full,
                drives: &drives,
            };
            let text = show::store(&store, view);
            assert!(!text.contains('\u{7}'), "{text}");
            assert_eq!(
                text.lines()
                    .filter(|line| line.starts_with("identifier "))
                    .count(),
                store.objects.len()
            );
        }
        for warning in warn::check(&store) {
            assert!(!warning.to_string().is_empty());
        }
    });
}

#[test]
fn a_change_touches_one_cell_and_leaves_what_is_not_a_stores() {
    let mut store = Store::new();
    store.objects.insert(
        alias::BOOTMGR,
        random::object(&mut Rng::with_seed(3))
            .with(code::TIMEOUT, Value::Integer(5))
            .with(code::DESCRIPTION, Value::String("x".into())),
    );
    let mut hive = store.to_hive().unwrap();
    // What Windows keeps in its own store, and an integer in fewer bytes than documented.
    let find = |hive: &Hive, path: &str| {
        path.split('\\').fold(hive.root(), |key, name| {
            hive.find(key, name).unwrap_or_else(|| panic!("{name}"))
        })
    };
    let description = find(&hive, "Description");
    hive.set_value(
        description,
        "TreatAsSystem",
        ValueType::Dword,
        &[1, 0, 0, 0],
    )
    .unwrap();
    let bootmgr = "Objects\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
    let timeout = find(&hive, &format!("{bootmgr}\\Elements\\25000004"));
    hive.set_value(timeout, "Element", ValueType::Binary, &[5, 0])
        .unwrap();
    let extra = find(&hive, bootmgr);
    hive.create_key(extra, "Something else").unwrap();
    let before = hive.bytes().to_vec();

    // Nothing to change: not a byte.
    let mut read = Store::read(&hive).unwrap();
    assert_eq!(read, store);
    read.write_into(&mut hive).unwrap();
    assert_eq!(hive.bytes(), before);

    // One text of the same length: its two bytes, and the base block's counters and checksum.
    let object = read.objects.get_mut(&alias::BOOTMGR).unwrap();
    object
        .elements
        .insert(ElementCode(0x1200_0004), Value::String("y".into()));
    read.write_into(&mut hive).unwrap();
    let changed: Vec<usize> = (0..before.len())
        .filter(|at| hive.bytes()[*at] != before[*at])
        .filter(|at| *at >= 4096)
        .collect();
    assert_eq!(hive.bytes().len(), before.len());
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(read_back(&hive), read);
}
