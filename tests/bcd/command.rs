// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot bcd` as a user runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use slamboot::image::bcd::Store;
use slamboot::image::bcd::winpe::{self, Style};
use slamboot::image::mbr::{self, Partition, PartitionKind};
use slamboot::image::regf::Hive;
use slamboot::image::{Lba, SectorCount};
use tempfile::TempDir;

use crate::recipe;

/// A folder with the recipe and a disk.
fn room() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("recipe.txt"), recipe::SCRIPT).unwrap();
    let disk = mbr::encode(
        recipe::PARTITION.signature,
        Partition {
            kind: PartitionKind::Fat32Lba,
            start: Lba(2048),
            sectors: SectorCount(100_000),
        },
    );
    fs::write(folder.path().join("disk.img"), disk).unwrap();
    folder
}

fn run(folder: &TempDir, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slamboot"))
        .arg("bcd")
        .args(args)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn good(folder: &TempDir, args: &[&str]) -> (String, String) {
    let output = run(folder, args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{args:?}: {stderr}");
    (stdout, stderr)
}

fn bad(folder: &TempDir, args: &[&str]) -> String {
    let output = run(folder, args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
    stderr
}

fn store(folder: &TempDir, name: &str) -> Store {
    let bytes = fs::read(folder.path().join(name)).unwrap();
    Store::read(&Hive::read(bytes).unwrap()).unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_recipe_is_pasted() {
    let folder = room();
    let (stdout, stderr) = good(
        &folder,
        &["run", "recipe.txt", "--store", "BCD", "--disk", "disk.img"],
    );
    assert!(
        stdout.contains("executed:    15 commands; 9 other lines passed over"),
        "{stdout}"
    );
    assert!(
        stdout.contains("written:     ") && stdout.contains("slamboot bcd show"),
        "{stdout}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.starts_with("warning: {ramdiskoptions}: its description overrides"),
        "{stderr}"
    );
    assert_eq!(
        store(&folder, "BCD"),
        winpe::store(&recipe::winpe(Style::Recipe))
    );

    // The builder's command makes the same file.
    good(
        &folder,
        &[
            "create",
            "B2",
            "--winpe",
            "--as-recipe",
            "--disk",
            "disk.img",
        ],
    );
    assert_eq!(
        fs::read(folder.path().join("BCD")).unwrap(),
        fs::read(folder.path().join("B2")).unwrap()
    );
    // And so does saying which partition it is.
    good(
        &folder,
        &[
            "run",
            "recipe.txt",
            "--store",
            "B3",
            "--signature",
            "12345678",
            "--offset",
            "1048576",
        ],
    );
    assert_eq!(store(&folder, "B3"), store(&folder, "BCD"));
    good(
        &folder,
        &["run", "recipe.txt", "--store", "B4", "--drive", "C:=boot"],
    );
    let (shown, _) = good(&folder, &["show", "B4", "{default}"]);
    assert!(
        shown.contains("ramdisk=[boot]\\winpe.wim,{ramdiskoptions}"),
        "{shown}"
    );
}

#[test]
fn a_store_is_edited_by_hand() {
    let folder = room();
    let (_, stderr) = good(&folder, &["create", "BCD"]);
    assert!(stderr.contains("0xc0000098"), "{stderr}");
    good(
        &folder,
        &["create-object", "BCD", "bootmgr", "-d", "Boot Manager"],
    );
    let (made, _) = good(
        &folder,
        &[
            "create-object",
            "BCD",
            "--application",
            "osloader",
            "-d",
            "WinPE",
        ],
    );
    let id = made
        .lines()
        .next()
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .to_owned();
    good(&folder, &["create-object", "BCD", "{ramdiskoptions}"]);
    for args in [
        ["bootmgr", "device", "partition=mbr:12345678@1048576"],
        ["bootmgr", "default", &id],
        ["bootmgr", "displayorder", &id],
        ["bootmgr", "timeout", "30"],
        [
            "default",
            "device",
            "ramdisk=[mbr:12345678@1048576]\\winpe.wim,{ramdiskoptions}",
        ],
        ["default", "path", "\\windows\\system32\\boot\\winload.exe"],
        ["default", "systemroot", "\\windows"],
        ["default", "detecthal", "yes"],
        ["default", "winpe", "on"],
        ["ramdiskoptions", "ramdisksdipath", "\\boot.sdi"],
    ] {
        good(&folder, &[&["set", "BCD"], &args[..]].concat());
    }
    let disk = ["--disk", "disk.img"];
    good(
        &folder,
        &[
            &[
                "set",
                "BCD",
                "ramdiskoptions",
                "ramdisksdidevice",
                "partition=C:",
            ],
            &disk[..],
        ]
        .concat(),
    );
    let (_, stderr) = good(
        &folder,
        &[
            &[
                "set",
                "BCD",
                "default",
                "osdevice",
                "ramdisk=[C:]\\winpe.wim,{ramdiskoptions}",
            ],
            &disk[..],
        ]
        .concat(),
    );
    assert_eq!(stderr, "", "no warning is left");
    assert_eq!(
        store(&folder, "BCD"),
        winpe::store(&recipe::winpe(Style::Menu { timeout: 30 }))
    );

    good(&folder, &["copy", "BCD", "{default}", "-d", "Again"]);
    good(&folder, &["delete", "BCD", "{default}"]);
    good(&folder, &["delete", "BCD", "{bootmgr}", "timeout"]);
    let error = bad(&folder, &["delete", "BCD", "{bootmgr}"]);
    assert!(error.contains("--force"), "{error}");
    good(&folder, &["delete", "BCD", "bootmgr", "--force"]);
    assert_eq!(store(&folder, "BCD").objects.len(), 2);
}

#[test]
fn stores_are_exported_and_imported() {
    let folder = room();
    good(&folder, &["create", "BCD", "--winpe"]);
    good(&folder, &["export", "BCD", "store.json"]);
    good(&folder, &["export", "BCD", "copy.bcd"]);
    good(&folder, &["import", "store.json", "B2"]);
    good(&folder, &["import", "copy.bcd", "B3"]);
    for name in ["B2", "B3", "copy.bcd"] {
        assert_eq!(store(&folder, name), store(&folder, "BCD"), "{name}");
    }
    let (json, _) = good(&folder, &["show", "BCD", "--json"]);
    assert_eq!(
        json,
        fs::read_to_string(folder.path().join("store.json")).unwrap()
    );
    assert_eq!(good(&folder, &["export", "BCD", "-"]).0, json);
    for args in [
        ["export", "BCD", "store.json"],
        ["export", "BCD", "copy.bcd"],
        ["import", "store.json", "B2"],
    ] {
        let error = bad(&folder, &args);
        assert!(error.contains("add --replace"), "{error}");
        good(&folder, &[&args[..], &["--replace"]].concat());
    }
}

#[test]
fn a_store_whose_writing_was_interrupted_is_recovered() {
    let folder = room();
    good(&folder, &["create", "BCD", "--winpe"]);
    let mut bytes = fs::read(folder.path().join("BCD")).unwrap();
    // The first sequence number was counted up, the second not.
    bytes[4] = bytes[4].wrapping_add(1);
    fs::write(folder.path().join("dirty"), bytes).unwrap();
    let error = bad(&folder, &["show", "dirty"]);
    assert!(error.contains("slamboot bcd import dirty NEW"), "{error}");
    let (_, stderr) = good(&folder, &["import", "dirty", "NEW"]);
    assert!(
        stderr.contains("no log says what was being written"),
        "{stderr}"
    );
    assert_eq!(store(&folder, "NEW"), store(&folder, "BCD"));
}

#[test]
fn a_store_that_windows_would_not_search_right_is_sorted() {
    let folder = room();
    good(&folder, &["create", "BCD", "--winpe"]);
    // The first two keys below the root change places, as a program with another order has it.
    let mut bytes = fs::read(folder.path().join("BCD")).unwrap();
    let number =
        |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let root = 0x1004 + number(&bytes, 36) as usize;
    let list = 0x1004 + number(&bytes, root + 28) as usize;
    bytes[list + 4..list + 20].rotate_left(8);
    fs::write(folder.path().join("odd"), bytes).unwrap();
    for args in [
        &["show", "odd"][..],
        &["set", "odd", "bootmgr", "timeout", "5"],
    ] {
        let error = bad(&folder, args);
        assert!(
            error.contains("slamboot bcd import odd NEW") && error.contains("offset 0x"),
            "{error}"
        );
    }
    let (stdout, _) = good(&folder, &["import", "odd", "NEW"]);
    assert!(
        stdout.starts_with("sorted:      the keys below one key of odd\n"),
        "{stdout}"
    );
    assert_eq!(store(&folder, "NEW"), store(&folder, "BCD"));
}

#[test]
fn who_reads_may_stop_reading() {
    let folder = room();
    good(&folder, &["create", "BCD", "--winpe"]);
    for args in [
        &["show", "BCD"][..],
        &["show", "BCD", "--json"],
        &["export", "BCD", "-"],
    ] {
        // A pipe that nobody reads.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_slamboot"))
            .arg("bcd")
            .args(args)
            .current_dir(folder.path())
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        assert_eq!(output.stderr, b"", "{args:?}");
    }
}

#[test]
fn values_may_begin_with_a_dash() {
    let folder = room();
    good(&folder, &["create", "BCD", "--winpe"]);
    good(
        &folder,
        &["set", "BCD", "default", "loadoptions", "--", "-debug"],
    );
    let (shown, _) = good(&folder, &["show", "BCD", "default"]);
    assert!(
        shown.contains("loadoptions             -debug\n"),
        "{shown}"
    );
}

#[test]
fn nothing_is_half_written() {
    let folder = room();
    let before = files(folder.path());
    let script =
        "bcdedit /createstore x\nbcdedit /create {bootmgr}\nbcdedit /set {bootmgr} timout 5\n";
    fs::write(folder.path().join("bad.txt"), script).unwrap();
    let error = bad(&folder, &["run", "bad.txt", "--store", "BCD"]);
    assert_eq!(
        error,
        "error: bad.txt: line 3, column 24: unknown element \"timout\": expected a name such as \
         description, or custom:<8 hexadecimal digits>; did you mean timeout?; the store was not \
         written\n  bcdedit /set {bootmgr} timout 5\n                         ^\n"
    );
    fs::remove_file(folder.path().join("bad.txt")).unwrap();
    assert_eq!(files(folder.path()), before);

    good(&folder, &["create", "BCD", "--winpe"]);
    let bytes = fs::read(folder.path().join("BCD")).unwrap();
    for args in [
        &["create", "BCD"][..],
        &["set", "BCD", "bootmgr", "timeout", "x"],
        &["set", "BCD", "bootmgr", "device", "partition=C:"],
        &["run", "recipe.txt", "--store", "BCD", "--drive", "C:=boot"],
        &["delete", "BCD", "{memdiag}"],
        &["import", "recipe.txt", "BCD", "--replace"],
    ] {
        bad(&folder, args);
        assert_eq!(
            fs::read(folder.path().join("BCD")).unwrap(),
            bytes,
            "{args:?}"
        );
    }
    // The recipe begins with /createstore.
    good(
        &folder,
        &[
            "run",
            "recipe.txt",
            "--store",
            "BCD",
            "--drive",
            "C:=boot",
            "--replace",
        ],
    );
    assert_eq!(files(folder.path()), ["BCD", "disk.img", "recipe.txt"]);
}

#[test]
fn bad_input_is_explained() {
    let folder = room();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("edit.txt", b"bcdedit /timeout 5");
    write("latin.txt", b"bcdedit /create {bootmgr} /d \"\xFC\"");
    write("prose.txt", b"Boot the CD.");
    write("empty.hive", Hive::new("x").bytes());
    for (args, why) in [
        (&["show", "nothing"][..], "nothing: cannot read this file"),
        (&["show", "disk.img"], "disk.img: not a registry hive"),
        (&["show", "empty.hive"], "expected the key \\Objects"),
        (
            &["run", "edit.txt", "--store", "BCD"],
            "slamboot bcd create BCD",
        ),
        (
            &["run", "latin.txt", "--store", "BCD"],
            "at offset 30; save the script as UTF-8",
        ),
        (
            &["run", "prose.txt", "--store", "BCD"],
            "expected bcdedit commands, found none",
        ),
        (
            &["run", "recipe.txt", "--store", "BCD"],
            "line 15, column 41: which partition C: is",
        ),
        (
            &[
                "run",
                "recipe.txt",
                "--store",
                "BCD",
                "--disk",
                "recipe.txt",
            ],
            "expected 55 aa at offset 0x1fe",
        ),
        (
            &[
                "run",
                "recipe.txt",
                "--store",
                "BCD",
                "--disk",
                "D:=nothing",
            ],
            "nothing: cannot read this disk",
        ),
        (
            &["run", "recipe.txt", "--store", "BCD", "--drive", "boot"],
            "expected LETTER:=DEVICE",
        ),
        (
            &[
                "run",
                "recipe.txt",
                "--store",
                "BCD",
                "--drive",
                "C:=boot",
                "--disk",
                "disk.img",
            ],
            "two different partitions",
        ),
        (
            &["run", "recipe.txt", "--store", "BCD", "--var", "x"],
            "expected NAME=VALUE",
        ),
        (
            &["create", "BCD", "--winpe", "--device", "partition=C:"],
            "which partition C: is",
        ),
    ] {
        let error = bad(&folder, args);
        assert!(error.contains(why), "{args:?}: {error}");
        assert!(!folder.path().join("BCD").exists());
    }
    // Wide characters with a byte order mark are what Notepad saves.
    let wide: Vec<u8> = "\u{FEFF}bcdedit /createstore x\r\nbcdedit /create {bootmgr} /d ü"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    write("wide.txt", &wide);
    good(&folder, &["run", "wide.txt", "--store", "BCD"]);
    let (shown, _) = good(&folder, &["show", "BCD"]);
    assert!(shown.contains("description             ü\n"), "{shown}");
}
