// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random edits, on a hive and on a tree of maps: both must stay the same.

use std::collections::BTreeMap;

use proptest::prelude::*;
use slamboot::image::regf::{EditError, Hive, KeyId, ValueType};

use crate::support::{cells, empty, u32_at};

/// Upper case of a name: Unicode's, as far as both letters are one UTF-16 unit.
type Folded = Vec<u16>;

fn fold(name: &str) -> Folded {
    let mut folded = Vec::new();
    for letter in name.chars() {
        let mut upper = letter.to_uppercase();
        let folds = letter.len_utf16() == 1 && upper.len() == 1;
        let letter = upper.next().filter(|_| folds).unwrap_or(letter);
        folded.extend(letter.encode_utf16(&mut [0; 2]).iter());
    }
    folded
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Key {
    pub name: String,
    pub subkeys: BTreeMap<Folded, Key>,
    pub values: BTreeMap<Folded, (String, ValueType, Vec<u8>)>,
}

impl Key {
    /// What a hive has from this key on.
    pub fn of(hive: &Hive, id: KeyId) -> Key {
        let mut key = Key {
            name: hive.key_name(id),
            ..Key::default()
        };
        let mut previous = None;
        for subkey in hive.subkeys(id) {
            let subkey = Key::of(hive, subkey);
            let name = fold(&subkey.name);
            assert!(previous < Some(name.clone()), "{:?}", subkey.name);
            previous = Some(name.clone());
            key.subkeys.insert(name, subkey);
        }
        for value in hive.values(id) {
            let content = (value.name.clone(), value.kind, value.data.into_owned());
            assert_eq!(key.values.insert(fold(&value.name), content), None);
        }
        key
    }

    /// Puts a subkey there.
    pub fn add(&mut self, subkey: Key) {
        self.subkeys.insert(fold(&subkey.name), subkey);
    }

    /// A subkey that is there.
    pub fn subkey(&mut self, name: &str) -> &mut Key {
        self.subkeys.get_mut(&fold(name)).unwrap()
    }

    /// Takes away a subkey that is there.
    pub fn remove(&mut self, name: &str) {
        self.subkeys.remove(&fold(name)).unwrap();
    }

    /// Sets a value.
    pub fn set(&mut self, name: &str, kind: ValueType, data: &[u8]) {
        let content = (name.to_owned(), kind, data.to_vec());
        self.values.insert(fold(name), content);
    }

    /// The key at the end of as many steps as lead somewhere, in a hive and here.
    fn walk<'a>(&'a mut self, hive: &Hive, path: &[prop::sample::Index]) -> (&'a mut Key, KeyId) {
        let (mut key, mut id) = (self, hive.root());
        for step in path {
            if key.subkeys.is_empty() {
                break;
            }
            let name = key
                .subkeys
                .keys()
                .nth(step.index(key.subkeys.len()))
                .unwrap()
                .clone();
            key = key.subkeys.get_mut(&name).unwrap();
            id = hive.find(id, &key.name).unwrap();
        }
        (key, id)
    }
}

type Path = Vec<prop::sample::Index>;

#[derive(Clone, Debug)]
pub enum Edit {
    Create(Path, String),
    Remove(Path, prop::sample::Index),
    Set(Path, String, u32, usize, u8),
    Unset(Path, prop::sample::Index),
}

/// Letters on both sides of case, of Latin-1 and of the order that lower case would give.
fn names() -> impl Strategy<Value = String> {
    let letter = prop::sample::select(vec![
        'a', 'B', 'b', 'Z', '_', '[', '0', '{', 'ä', 'Ä', 'ж', 'Ж', 'σ', '中', '😀',
    ]);
    prop_oneof![
        4 => prop::collection::vec(letter.clone(), 1..4),
        1 => prop::collection::vec(letter, 100..120),
    ]
    .prop_map(|letters| letters.into_iter().collect())
}

fn paths() -> impl Strategy<Value = Path> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..4)
}

pub fn edits() -> impl Strategy<Value = Edit> {
    let sizes = prop::sample::select(vec![
        0, 1, 3, 4, 5, 8, 12, 13, 100, 4000, 16_343, 16_344, 16_345, 32_688, 32_689, 70_000,
    ]);
    prop_oneof![
        4 => (paths(), names()).prop_map(|(path, name)| Edit::Create(path, name)),
        1 => (paths(), any::<prop::sample::Index>()).prop_map(|(path, at)| Edit::Remove(path, at)),
        4 => (paths(), names(), 0..13u32, sizes, any::<u8>())
            .prop_map(|(path, name, kind, size, seed)| Edit::Set(path, name, kind, size, seed)),
        1 => (paths(), any::<prop::sample::Index>()).prop_map(|(path, at)| Edit::Unset(path, at)),
    ]
}

/// Data that cannot be taken for a record.
pub fn data(size: usize, seed: u8) -> Vec<u8> {
    (0..size)
        .map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed) | 0x80)
        .collect()
}

pub fn apply(hive: &mut Hive, model: &mut Key, edit: &Edit) {
    match edit {
        Edit::Create(path, name) => {
            let (key, id) = model.walk(hive, path);
            let new = hive.create_key(id, name).unwrap();
            let subkey = key.subkeys.entry(fold(name)).or_insert_with(|| Key {
                name: name.clone(),
                ..Key::default()
            });
            assert_eq!(hive.key_name(new), subkey.name);
            assert_eq!(hive.parent(new), Some(id));
        }
        Edit::Remove(path, at) => {
            let (key, id) = model.walk(hive, path);
            if key.subkeys.is_empty() {
                let name = "nothing".to_owned();
                let error = hive.remove_key(id, &name);
                assert_eq!(error, Err(EditError::NoKey { name }));
                return;
            }
            let name = key.subkeys.keys().nth(at.index(key.subkeys.len()));
            let gone = key.subkeys.remove(&name.unwrap().clone()).unwrap();
            let gone_id = hive.find(id, &gone.name).unwrap();
            hive.remove_key(id, &gone.name.to_uppercase()).unwrap();
            // It answers as a key without anything, and takes nothing.
            assert_eq!(hive.find(id, &gone.name), None);
            assert_eq!(hive.key_name(gone_id), "");
            assert_eq!(
                hive.subkeys(gone_id).count() + hive.values(gone_id).count(),
                0
            );
            assert_eq!(hive.create_key(gone_id, "x"), Err(EditError::StaleKey));
        }
        Edit::Set(path, name, kind, size, seed) => {
            let (key, id) = model.walk(hive, path);
            let (kind, data) = (ValueType::from(*kind), data(*size, *seed));
            hive.set_value(id, name, kind, &data).unwrap();
            let value = key
                .values
                .entry(fold(name))
                .or_insert_with(|| (name.clone(), kind, Vec::new()));
            (value.1, value.2) = (kind, data);
        }
        Edit::Unset(path, at) => {
            let (key, id) = model.walk(hive, path);
            if key.values.is_empty() {
                let name = "nothing".to_owned();
                let error = hive.remove_value(id, &name);
                assert_eq!(error, Err(EditError::NoValue { name }));
                return;
            }
            let name = key.values.keys().nth(at.index(key.values.len()));
            let (name, ..) = key.values.remove(&name.unwrap().clone()).unwrap();
            hive.remove_value(id, &name).unwrap();
        }
    }
}

/// That the bytes are a whole hive with this tree, and its lists have the right hints.
pub fn expect(hive: &Hive, model: &Key) {
    let read = Hive::read(hive.bytes().to_vec()).unwrap();
    assert_eq!(&Key::of(&read, read.root()), model);
    let (first, second) = (u32_at(read.bytes(), 4), u32_at(read.bytes(), 8));
    assert_eq!(first, second);
    hints(read.bytes());
}

/// Hints by the specification's own words, sections "Fast leaf" and "Hash leaf".
fn hints(bytes: &[u8]) {
    let cells = cells(bytes);
    for list in cells.values() {
        if !list.starts_with(b"lf") && !list.starts_with(b"lh") {
            continue;
        }
        for element in 0..usize::from(u16::from_le_bytes([list[2], list[3]])) {
            let key = cells[&u32_at(list, 4 + 8 * element)];
            let name = &key[76..76 + usize::from(u16::from_le_bytes([key[72], key[73]]))];
            let units: Vec<u16> = if key[2] & 0x20 == 0 {
                let pairs = name.chunks(2);
                pairs
                    .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                    .collect()
            } else {
                name.iter().map(|byte| u16::from(*byte)).collect()
            };
            let expected = if list.starts_with(b"lh") {
                let text = String::from_utf16(&units).unwrap().to_uppercase();
                text.encode_utf16()
                    .fold(0u32, |h, c| h.wrapping_mul(37).wrapping_add(c.into()))
                    .to_le_bytes()
            } else {
                let mut four = units.clone();
                four.resize(4, 0);
                if four[..4].iter().any(|unit| *unit > 255) {
                    [0; 4]
                } else {
                    [four[0] as u8, four[1] as u8, four[2] as u8, four[3] as u8]
                }
            };
            assert_eq!(list[8 + 8 * element..12 + 8 * element], expected);
        }
    }
}

fn root_of(hive: &Hive) -> Key {
    Key {
        name: hive.key_name(hive.root()),
        ..Key::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn edits_do_what_they_say(
        minor in 3..7u32,
        edits in prop::collection::vec(edits(), 1..80),
    ) {
        let mut hive = empty(minor);
        let mut model = root_of(&hive);
        for (at, edit) in edits.iter().enumerate() {
            apply(&mut hive, &mut model, edit);
            if at % 16 == 0 {
                expect(&hive, &model);
            }
        }
        expect(&hive, &model);
        // The same edits give the same bytes, and a hive that was read is edited like one that
        // was made.
        let mut again = empty(minor);
        let mut model_again = root_of(&again);
        for (at, edit) in edits.iter().enumerate() {
            if at % 7 == 3 {
                again = Hive::read(again.bytes().to_vec()).unwrap();
            }
            apply(&mut again, &mut model_again, edit);
        }
        prop_assert!(again.bytes()[0x1000..] == hive.bytes()[0x1000..]);
        // Nothing leaks: with everything removed, the root and its security are left.
        let root = hive.root();
        for key in model.subkeys.values() {
            hive.remove_key(root, &key.name).unwrap();
        }
        for (name, ..) in model.values.values() {
            hive.remove_value(root, name).unwrap();
        }
        prop_assert_eq!(cells(hive.bytes()).len(), 2);
        expect(&hive, &root_of(&hive));
    }
}

/// Lists grow into an index root, and shrink out of it.
#[test]
fn thousands_of_subkeys() {
    for minor in [3, 5] {
        let mut random = fastrand::Rng::with_seed(minor.into());
        let mut numbers: Vec<u32> = (0..5000).collect();
        let mut hive = empty(minor);
        let mut model = root_of(&hive);
        let root = hive.root();
        random.shuffle(&mut numbers);
        for number in &numbers {
            let name = format!("Key {number}");
            hive.create_key(root, &name).unwrap();
            model.subkeys.insert(
                fold(&name),
                Key {
                    name,
                    ..Key::default()
                },
            );
        }
        expect(&hive, &model);
        let leaf: &[u8] = if minor == 3 { b"lf" } else { b"lh" };
        let bytes = hive.bytes().to_vec();
        let lists = |signature: &[u8]| {
            let cells = cells(&bytes);
            cells
                .values()
                .filter(|cell| cell.starts_with(signature))
                .count()
        };
        assert_eq!(lists(b"ri"), 1);
        assert!((10..=20).contains(&lists(leaf)), "{}", lists(leaf));
        assert!(cells(&bytes).values().all(|cell| cell.len() <= 4060));
        random.shuffle(&mut numbers);
        for (at, number) in numbers.iter().enumerate() {
            let name = format!("KEY {number}");
            hive.remove_key(root, &name).unwrap();
            model.subkeys.remove(&fold(&name));
            if at % 1000 == 0 {
                expect(&hive, &model);
            }
        }
        expect(&hive, &model);
        assert_eq!(cells(hive.bytes()).len(), 2);
    }
}

#[test]
fn names_and_depth_have_limits() {
    let mut hive = Hive::new("test");
    let root = hive.root();
    for bad in ["", "a\\b", &"x".repeat(256), &"😀".repeat(128)] {
        let error = hive.create_key(root, bad).unwrap_err();
        assert_eq!(error, EditError::KeyName { name: bad.into() });
    }
    hive.create_key(root, &"ж".repeat(255)).unwrap();
    let name = "x".repeat(16_384);
    assert_eq!(
        hive.set_value(root, &name, ValueType::None, &[]),
        Err(EditError::ValueName { units: 16_384 })
    );
    hive.set_value(root, &name[1..], ValueType::None, &[])
        .unwrap();
    let mut key = root;
    for _ in 1..512 {
        key = hive.create_key(key, "deeper").unwrap();
    }
    assert!(matches!(
        hive.create_key(key, "deepest"),
        Err(EditError::TooDeep { .. })
    ));
    Hive::read(hive.bytes().to_vec()).unwrap();
    hive.remove_key(root, "deeper").unwrap();
    assert_eq!(hive.subkeys(root).count(), 1);
    Hive::read(hive.bytes().to_vec()).unwrap();
}
