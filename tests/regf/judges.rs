// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of other authors read what we write, and we read what they write.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use nt_hive::{KeyNode, KeyValueData};
use slamboot::image::regf::{Error, Hive, KeyId, Recovery, ValueType};

use crate::judge::has_tool;
use crate::model::{self, Key};
use crate::support::empty;

/// Runs a tool to its end; its output, which must say success.
fn run(command: &mut Command) -> String {
    // Perl and iconv ask which letters there are.
    let output = command
        .env("LC_ALL", "C.UTF-8")
        .env("PERL_UNICODE", "SO")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything that a store has, and what it has not: all sizes, types and scripts.
fn rich(minor: u32) -> Hive {
    let mut hive = empty(minor);
    let root = hive.root();
    let description = hive.create_key(root, "Description").unwrap();
    let text: Vec<u8> = "BCD00000000\0"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    hive.set_value(description, "KeyName", ValueType::Sz, &text)
        .unwrap();
    let objects = hive.create_key(root, "Objects").unwrap();
    for guid in [
        "{ae5534e0-a924-466c-b836-758539a3ee3a}",
        "{9dea862c-5cdd-4e70-acc1-f32b344d4795}",
    ] {
        let object = hive.create_key(objects, guid).unwrap();
        let description = hive.create_key(object, "Description").unwrap();
        hive.set_value(description, "Type", ValueType::Dword, &[2, 0, 0x10, 0x10])
            .unwrap();
        let elements = hive.create_key(object, "Elements").unwrap();
        for (code, len) in [
            ("11000001", 88),
            ("12000004", 30),
            ("26000020", 1),
            ("25000004", 8),
        ] {
            let element = hive.create_key(elements, code).unwrap();
            let data = model::data(len, len as u8);
            hive.set_value(element, "Element", ValueType::Binary, &data)
                .unwrap();
        }
    }
    let sizes = hive.create_key(root, "sizes").unwrap();
    for size in [
        0, 1, 2, 3, 4, 5, 4000, 16_344, 16_345, 32_688, 32_689, 100_000,
    ] {
        let data = model::data(size, 3);
        hive.set_value(sizes, &format!("v{size}"), ValueType::Binary, &data)
            .unwrap();
    }
    let types = hive.create_key(root, "types").unwrap();
    for kind in (0..12).filter(|kind| ![4, 5, 11].contains(kind)) {
        let data = model::data(10, kind as u8);
        hive.set_value(types, &format!("t{kind}"), ValueType::from(kind), &data)
            .unwrap();
    }
    let many = hive.create_key(root, "many").unwrap();
    for at in 0..1200 {
        hive.create_key(many, &format!("k{at}")).unwrap();
    }
    for at in (0..1200).step_by(3) {
        hive.remove_key(many, &format!("K{at}")).unwrap();
    }
    hive
}

/// The same with names beyond ASCII.
fn international(minor: u32) -> Hive {
    let mut hive = rich(minor);
    let names = hive.create_key(hive.root(), "Größe").unwrap();
    for name in ["ж", "Ёлка", "中文", "😀 \"q\"", "ÿ", "{[_"] {
        let key = hive.create_key(names, name).unwrap();
        hive.set_value(key, name, ValueType::Binary, b"12345")
            .unwrap();
        hive.set_value(key, "", ValueType::Binary, b"default")
            .unwrap();
    }
    hive
}

/// A hive in a file of its own.
fn file(hive: &Hive) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = hive.save(&folder.path().join("hive")).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), hive.bytes());
    (folder, path)
}

fn tree(hive: &Hive) -> Key {
    Key::of(hive, hive.root())
}

/// Each key's path, with its values as `.reg` has them.
type Exported = BTreeMap<String, BTreeSet<String>>;

fn escape(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"")
}

/// What a tree is in the words of hivexregedit.
fn exported(key: &Key, path: &str, into: &mut Exported) {
    let mut lines = BTreeSet::new();
    for (name, kind, data) in key.values.values() {
        let name = if name.is_empty() {
            "@".to_owned()
        } else {
            format!("\"{}\"", escape(name))
        };
        let number = u32::from(*kind);
        let data = if let (4, Ok(word)) = (number, <[u8; 4]>::try_from(data.as_slice())) {
            format!("dword:{:08x}", u32::from_le_bytes(word))
        } else {
            let bytes: Vec<String> = data.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("hex({number:x}):{}", bytes.join(","))
        };
        lines.insert(format!("{name}={data}"));
    }
    into.insert(if path.is_empty() { "\\" } else { path }.to_owned(), lines);
    for subkey in key.subkeys.values() {
        exported(subkey, &format!("{path}\\{}", subkey.name), into);
    }
}

fn hivexregedit_reads(path: &Path, tree: &Key) {
    let text = run(Command::new("hivexregedit")
        .arg("--export")
        .arg(path)
        .arg("\\"));
    let mut found = Exported::new();
    let mut key = String::new();
    for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
        match line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            Some(path) => {
                path.clone_into(&mut key);
                assert_eq!(found.insert(key.clone(), BTreeSet::new()), None, "{key}");
            }
            None => assert!(found.get_mut(&key).unwrap().insert(line.to_owned())),
        }
    }
    let mut expected = Exported::new();
    exported(tree, "", &mut expected);
    let lost = || {
        expected
            .iter()
            .filter(|(path, lines)| found.get(*path) != Some(lines))
    };
    assert!(
        found == expected,
        "{:.3000}",
        format!("{:?}", lost().collect::<Vec<_>>())
    );
}

#[test]
fn hivexregedit_exports_what_we_wrote() {
    if has_tool("hivexregedit_exports_what_we_wrote", "hivexregedit") {
        for minor in [3, 5] {
            let hive = international(minor);
            let (_folder, path) = file(&hive);
            hivexregedit_reads(&path, &tree(&hive));
        }
    }
}

#[test]
fn we_read_what_hivexregedit_merged() {
    if !has_tool("we_read_what_hivexregedit_merged", "hivexregedit") {
        return;
    }
    let mut merged = String::from("Windows Registry Editor Version 5.00\n\n");
    let mut expected = tree(&rich(5));
    for at in 0..300 {
        let mut random = fastrand::Rng::with_seed(at);
        let name = format!("new {}", random.u32(..));
        let size = [0, 3, 4, 5, 1000, 20_000][random.usize(0..6)];
        let data = model::data(size, at as u8);
        let bytes: Vec<String> = data.iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = bytes.join(",");
        let _ = write!(
            merged,
            "[\\many\\{name}]\n\"Value\"=hex(3):{bytes}\n@=dword:00000007\n\n"
        );
        let mut key = Key {
            name: name.clone(),
            ..Key::default()
        };
        key.set("Value", ValueType::Binary, &data);
        key.set("", ValueType::Dword, &[7, 0, 0, 0]);
        expected.subkey("many").add(key);
    }
    // Changed and removed ones.
    let _ = write!(
        merged,
        "[\\Description]\n\"KeyName\"=\"other\"\n\n[-\\types]\n\n"
    );
    let text: Vec<u8> = "other\0"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    expected
        .subkey("Description")
        .set("KeyName", ValueType::Sz, &text);
    expected.remove("types");

    for minor in [3, 5] {
        let (folder, path) = file(&rich(minor));
        let script = folder.path().join("new.reg");
        std::fs::write(&script, &merged).unwrap();
        run(Command::new("hivexregedit")
            .arg("--merge")
            .arg(&path)
            .arg(&script));
        let bytes = std::fs::read(&path).unwrap();
        let mut hive = Hive::read(bytes.clone()).unwrap();
        assert!(hive.bytes() == bytes);
        assert_eq!(tree(&hive), expected);
        // And on from there.
        let many = hive.find(hive.root(), "many").unwrap();
        for at in 0..1200 {
            hive.create_key(many, &format!("k{at}")).unwrap();
        }
        hive.set_value(many, "big", ValueType::Binary, &vec![9; 50_000])
            .unwrap();
        Hive::read(hive.bytes().to_vec()).unwrap();
        hive.save(&path).unwrap();
        hivexregedit_reads(&path, &tree(&hive));
    }
}

#[test]
fn we_read_what_hivexsh_built() {
    if !has_tool("we_read_what_hivexsh_built", "hivexsh") {
        return;
    }
    let (folder, path) = file(&Hive::new("hivexsh"));
    let mut expected = tree(&Hive::new("hivexsh"));
    let mut script = format!("load {}\n", path.display());
    for name in ["Größe", "zebra", "Ant", "b1", "B2", "{guid}", "much"] {
        let _ = writeln!(
            script,
            "cd \\\nadd {name}\ncd {name}\nsetval 2\n@\nstring:abc\nn\ndword:0x12"
        );
        let mut key = Key {
            name: name.into(),
            ..Key::default()
        };
        key.set("", ValueType::Sz, b"a\0b\0c\0\0\0");
        key.set("n", ValueType::Dword, &[0x12, 0, 0, 0]);
        expected.add(key);
    }
    for at in 0..600 {
        let _ = writeln!(script, "add {at}");
        expected.subkey("much").add(Key {
            name: at.to_string(),
            ..Key::default()
        });
    }
    let _ = writeln!(script, "cd \\zebra\ndel\ncommit");
    expected.remove("zebra");
    let commands = folder.path().join("script");
    std::fs::write(&commands, script).unwrap();
    run(Command::new("hivexsh").arg("-w").arg("-f").arg(&commands));
    let bytes = std::fs::read(&path).unwrap();
    let hive = Hive::read(bytes.clone()).unwrap();
    assert!(hive.bytes() == bytes);
    assert_eq!(tree(&hive), expected);
}

/// hivex compares the bytes of UTF-8 and folds ASCII only, so that beyond it its order and its
/// hashes are not those of Windows: such a hive is refused, and repaired on demand.
#[test]
fn what_hivexsh_sorts_its_own_way_is_repaired() {
    if !has_tool("what_hivexsh_sorts_its_own_way_is_repaired", "hivexsh") {
        return;
    }
    let (mut refused, mut hints) = (0, 0);
    for names in [
        &["Ö", "ä"][..],
        &["ж", "Я", "Ж1", "a"],
        &["a_", "ab", "A[", "a^", "AZ", "az1", "_"],
        &["ÿ", "Ā", "z", "Z_", "é", "Ê"],
        &["\u{FFFD}", "😀"],
    ] {
        let (folder, path) = file(&Hive::new("hivexsh"));
        let mut expected = tree(&Hive::new("hivexsh"));
        let mut script = format!("load {}\n", path.display());
        for name in names {
            let _ = writeln!(script, "cd \\\nadd {name}");
            expected.add(Key {
                name: (*name).into(),
                ..Key::default()
            });
        }
        script.push_str("commit\n");
        let commands = folder.path().join("script");
        std::fs::write(&commands, script).unwrap();
        run(Command::new("hivexsh").arg("-w").arg("-f").arg(&commands));
        let bytes = std::fs::read(&path).unwrap();
        match Hive::read(bytes.clone()) {
            Ok(hive) => assert!(hive.bytes() == bytes),
            Err(Error::Unsorted { .. }) => refused += 1,
            Err(error) => panic!("{names:?}: {error}"),
        }
        let (hive, repair) = Hive::repair(bytes, &[]).unwrap();
        assert_eq!(repair.recovery, Recovery::NotNeeded);
        hints += repair.sorted;
        assert_eq!(tree(&hive), expected, "{names:?}");
        for name in names {
            let key = hive.find(hive.root(), &name.to_uppercase()).unwrap();
            assert_eq!(hive.key_name(key), *name);
        }
        // Now another judge finds them as well, by its binary search.
        let judge = nt_hive::Hive::new(hive.bytes()).unwrap();
        judge.validate().unwrap();
        assert_eq!(tree_of_nt_hive(&judge.root_key_node().unwrap()), expected);
    }
    // Else this test would have lost its subject.
    assert!(refused >= 2, "{refused} refused, {hints} repaired");
}

#[test]
fn hivexsh_reads_what_we_wrote() {
    if !has_tool("hivexsh_reads_what_we_wrote", "hivexsh") {
        return;
    }
    let hive = international(5);
    let (folder, path) = file(&hive);
    let commands = folder.path().join("script");
    let script = format!("load {}\ncd \\many\nls\ncd \\Größe\nls\n", path.display());
    std::fs::write(&commands, script).unwrap();
    let text = run(Command::new("hivexsh").arg("-f").arg(&commands));
    let mut tree = tree(&hive);
    let names = |key: &Key| {
        key.subkeys
            .values()
            .map(|key| key.name.clone())
            .collect::<Vec<_>>()
    };
    let mut expected = names(tree.subkey("many"));
    expected.extend(names(tree.subkey("Größe")));
    // In this order, which the list has.
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn reglookup_reads_what_we_wrote() {
    if !has_tool("reglookup_reads_what_we_wrote", "reglookup") {
        return;
    }
    for minor in [3, 5] {
        let hive = rich(minor);
        let (_folder, path) = file(&hive);
        // With security descriptors.
        let output = Command::new("reglookup")
            .arg("-s")
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success());
        let errors = String::from_utf8_lossy(&output.stderr);
        // A string of 10 bytes without NUL is judged to be none, as it should be.
        for line in errors.lines() {
            assert!(line.contains("'/types/t"), "{line}");
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let found: BTreeSet<String> = text
            .lines()
            .skip(1)
            .map(|line| line.splitn(3, ',').take(2).collect::<Vec<_>>().join(","))
            .collect();
        let mut expected = BTreeSet::new();
        lines(&tree(&hive), "", &mut expected);
        assert_eq!(found, expected);
        let key =
            "\n/Description,KEY,,1970-01-01 00:00:00,S-1-5-32-544,S-1-5-18,,S-1-5-32-544:ALLOW:";
        assert!(text.contains(key), "{text:.1000}");
    }
}

/// `path,type`, as reglookup has it.
fn lines(key: &Key, path: &str, into: &mut BTreeSet<String>) {
    let own = if path.is_empty() { "/" } else { path };
    into.insert(format!("{own},KEY"));
    for (name, kind, _) in key.values.values() {
        let kind = match kind {
            ValueType::ResourceList => "RSRC_LIST".to_owned(),
            ValueType::FullResourceDescriptor => "RSRC_DESC".to_owned(),
            ValueType::ResourceRequirementsList => "RSRC_REQ_LIST".to_owned(),
            other => other.to_string().replace("REG_", ""),
        };
        into.insert(format!("{path}/{name},{kind}"));
    }
    for subkey in key.subkeys.values() {
        lines(subkey, &format!("{path}/{}", subkey.name), into);
    }
}

/// What the crate nt-hive finds.
fn tree_of_nt_hive(node: &KeyNode<&[u8]>) -> Key {
    let mut key = Key {
        name: node.name().unwrap().to_string_checked().unwrap(),
        ..Key::default()
    };
    for subkey in node.subkeys().into_iter().flat_map(Result::unwrap) {
        let subkey = tree_of_nt_hive(&subkey.unwrap());
        // Its search is a binary one.
        let found = node.subkey(&subkey.name.to_lowercase()).unwrap().unwrap();
        assert_eq!(found.name().unwrap().to_string_lossy(), subkey.name);
        key.add(subkey);
    }
    for value in node.values().into_iter().flat_map(Result::unwrap) {
        let value = value.unwrap();
        let name = value.name().unwrap().to_string_checked().unwrap();
        let data = match value.data().unwrap() {
            KeyValueData::Small(data) => data.to_vec(),
            KeyValueData::Big(slices) => slices.flat_map(|slice| slice.unwrap().to_vec()).collect(),
        };
        let kind = value.data_type().unwrap() as u32;
        key.set(&name, ValueType::from(kind), &data);
    }
    key
}

#[test]
fn nt_hive_reads_what_we_wrote() {
    for minor in [3, 5] {
        for mut hive in [rich(minor), international(minor), Hive::new("empty")] {
            // It takes all that is longer for big data, which version 1.3 has not.
            if let (3, Some(sizes)) = (minor, hive.find(hive.root(), "sizes")) {
                for long in ["v16345", "v32688", "v32689", "v100000"] {
                    hive.remove_value(sizes, long).unwrap();
                }
            }
            let judge = nt_hive::Hive::new(hive.bytes()).unwrap();
            judge.validate().unwrap();
            let root = judge.root_key_node().unwrap();
            assert_eq!(tree_of_nt_hive(&root), tree(&hive));
        }
    }
}

/// Cells that were there before and are there after, with other content.
fn touched(before: &[u8], after: &[u8]) -> BTreeSet<u32> {
    let (old, new) = (crate::support::cells(before), crate::support::cells(after));
    let same = |offset: &&u32| new.get(*offset).is_some_and(|new| *new != old[*offset]);
    old.keys().filter(same).copied().collect()
}

/// One value is changed; no other cell is touched.
pub fn change_one_value(hive: &Hive, key: KeyId, name: &str) {
    let value = hive.value(key, name).unwrap();
    let before = crate::support::cells(hive.bytes());
    // The same length: only where the data lie. Another: also the key value, and the key, which
    // knows the largest.
    for (len, most) in [(value.data.len(), 1), (value.data.len() + 5, 3)] {
        let data: Vec<u8> = (0..len)
            .map(|at| !value.data.get(at).unwrap_or(&0))
            .collect();
        let mut changed = hive.clone();
        changed.set_value(key, name, value.kind, &data).unwrap();
        let again = Hive::read(changed.bytes().to_vec()).unwrap();
        assert_eq!(again.value(key, name).unwrap().data, data);
        // Big data have a cell for each segment, a list and a header.
        let segments = match len.div_ceil(16_344) {
            1 => 0,
            big => 2 + big,
        };
        let touched = touched(hive.bytes(), changed.bytes());
        assert!(touched.len() <= most + segments, "{name} {touched:x?}");
        for offset in &touched {
            let cell = before[offset];
            let records: [&[u8]; 8] = [b"nk", b"lf", b"lh", b"li", b"ri", b"sk", b"db", b"vk"];
            let record = records.iter().find(|record| cell.starts_with(record));
            assert!(
                record.is_none_or(
                    |record| [b"nk", b"vk", b"db"].contains(&(*record).try_into().unwrap())
                ),
                "{offset:#x}"
            );
        }
        // The base block: sequence numbers, size and checksum, nothing else.
        for (at, (old, new)) in hive.bytes()[..4096].iter().zip(changed.bytes()).enumerate() {
            let may = matches!(at, 4..12 | 40..44 | 508..512);
            assert!(old == new || may, "{at:#x}");
        }
    }
}

#[test]
fn one_value_is_changed_and_no_other_cell() {
    let hive = international(5);
    let mut left = vec![hive.root()];
    let mut values = 0;
    while let Some(key) = left.pop() {
        left.extend(hive.subkeys(key));
        for value in hive.values(key) {
            change_one_value(&hive, key, &value.name);
            values += 1;
        }
    }
    assert!(values > 40);
}
