// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot image inspect`, `update` and `extract`, on our images and on those made by hand.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use slamboot::image::bcd::{Store, Value, code};
use slamboot::image::regf::Hive;
use slamboot::image::standin;

use crate::judge::has_tool;
use crate::machine::{Machine, Medium, have_qemu};
use crate::support::{run, slamboot};
use crate::winpe_parts::{Parts, done, has_wimlib, read_fat, text};

const KINDS: [&str; 2] = ["fat32", "ntfs"];

/// Whether it says that all is well, and what it says.
fn inspect(disk: &Path) -> (bool, Json) {
    let output = slamboot(&["image", "inspect", text(disk), "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_slice(&output.stdout);
    let json: Json = json.unwrap_or_else(|error| panic!("{error}: {said}"));
    // As text, too, it is told without falling over.
    let shown = slamboot(&["image", "inspect", text(disk)]);
    assert_eq!(shown.status.success(), output.status.success());
    assert!(!shown.stdout.is_empty());
    (output.status.success(), json)
}

/// What would fail, each with its status.
fn troubles(json: &Json) -> String {
    let troubles = json["troubles"].as_array().unwrap();
    let fatal = troubles.iter().filter(|trouble| trouble["fatal"] == true);
    let lines: Vec<String> = fatal.map(ToString::to_string).collect();
    lines.join("\n")
}

fn refused(arguments: &[&str]) -> String {
    let output = slamboot(arguments);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn extract(disk: &Path, path: &str, parts: &Parts) -> Vec<u8> {
    let out = parts.at("extracted");
    done(&["image", "extract", text(disk), path, "-o", text(&out)]);
    std::fs::read(out).unwrap()
}

#[test]
fn our_own_images_have_no_trouble() {
    if !has_wimlib("our_own_images_have_no_trouble") {
        return;
    }
    let parts = Parts::new();
    for kind in KINDS {
        for more in [&[][..], &["--device", "partition"], &["--as-recipe"]] {
            let disk = parts.build(&[&["--fs", kind], more].concat());
            let (good, json) = inspect(&disk);
            assert!(good, "{kind} {more:?}: {json:#}");
            assert_eq!(json["boot_sector"]["loads_boot_manager"], true);
            assert_eq!(json["volume"]["file_system"], kind.to_uppercase());
            assert_eq!(json["wims"][0]["compression"], "LZX");
            assert_eq!(json["wims"][0]["images"][0]["architecture"], "x86-64");
            assert_eq!(json["table"]["partitions"][0]["active"], true);
            assert_eq!(json["stores"][0]["store"]["key_name"], "BCD00000000");
            let bootmgr = json["volume"]["files"].as_array().unwrap();
            let bootmgr = bootmgr
                .iter()
                .find(|file| file["path"] == "\\bootmgr")
                .unwrap();
            assert_eq!(
                (&bootmgr["hidden"], &bootmgr["system"]),
                (&true.into(), &true.into())
            );
        }
    }
    let disk = parts.build(&["--uefi", "--bootx64", text(&parts.efi)]);
    let (good, json) = inspect(&disk);
    assert!(good, "{json:#}");
    assert_eq!(json["stores"].as_array().unwrap().len(), 2);
}

#[test]
fn what_would_fail_is_told_with_its_status() {
    if !has_wimlib("what_would_fail_is_told_with_its_status") {
        return;
    }
    let parts = Parts::new();
    let disk = parts.build(&["--device", "partition"]);
    let file = File::options().read(true).write(true).open(&disk).unwrap();
    let vbr = 1 << 20;
    let whole = std::fs::read(&disk).unwrap();
    let at = |content: &[u8]| {
        let found = whole
            .windows(content.len())
            .position(|part| part == content);
        found.unwrap() as u64
    };
    let entry = |name: &[u8; 11]| at(name);
    let wim = at(b"MSWIM\0\0\0");
    let hive = at(b"regf");
    for (offset, bytes, expected) in [
        (510, &[0][..], "does not end with 55 AA"),
        (0, &[0; 440], "no boot code, only zeros"),
        (0x1B8, b"\x01\x02\x03\x04", "0xc000000e"),
        (0x1BE, b"\x00", "no partition is active"),
        (0x1BE, b"\x81", "status 0x81"),
        (0x1CE, &whole[0x1BE..0x1CE], "[1, 2] are active"),
        (0x1C2, b"\xEE", "the disk has a GPT"),
        (vbr + 0x1C, b"\x09", "0xc0000225 on \\\\Boot\\\\BCD"),
        (vbr + 0x196, b"\x99", "is not \\\\bootmgr"),
        (vbr + 0x5A, &[0; 0x1A4], "has no code"),
        (
            entry(b"BOOTMGR    "),
            b"BOOTMGX    ",
            "there is no \\\\bootmgr",
        ),
        (entry(b"BCD        "), b"BCX        ", "0xc000000f on"),
        (entry(b"BOOT    SDI"), b"BOOT    SDX", "0xc000000f, "),
        (entry(b"BOOT    WIM"), b"BOOT    WIX", "0xc000000f, "),
        (wim + 0x78, &[0], "0xc000000d"),
        (wim, b"X", "0xc000000d"),
        (at(b"$SDI0001") + 0x440, &[0; 0x40], "0xc000000d"),
        (hive, b"X", "0xc000014c"),
        // The root cell past the end, and the first bin's size: cells out of bounds.
        (hive + 0x24, &[0xF0, 0xFF, 0xFF, 0x0F], "0xc000014c"),
        (hive + 0x1000 + 8, &[0xFF; 4], "0xc000014c"),
    ] {
        let old = whole[offset as usize..][..bytes.len()].to_vec();
        file.write_all_at(bytes, offset).unwrap();
        let (good, json) = inspect(&disk);
        file.write_all_at(&old, offset).unwrap();
        assert!(!good, "{offset:#x}: {expected}");
        assert!(
            troubles(&json).contains(expected),
            "{offset:#x}: {expected}: {json:#}"
        );
    }
    assert!(inspect(&disk).0);
}

#[test]
fn no_byte_makes_it_panic() {
    if !has_wimlib("no_byte_makes_it_panic") {
        return;
    }
    let parts = Parts::new();
    for kind in KINDS {
        let disk = parts.build(&["--fs", kind]);
        let seed = 6;
        let mut random = fastrand::Rng::with_seed(seed);
        let file = File::options().read(true).write(true).open(&disk).unwrap();
        // Where structures are: table, boot sector, tables and directories of the volume.
        let json = inspect(&disk).1;
        let blocks = (0..64u64).map(|block| (1 << 20) + block * 16_384);
        let places: Vec<u64> = [0].into_iter().chain(blocks).collect();
        for round in 0..400 {
            let start = random.choice(&places).copied().unwrap();
            let offset = start + random.u64(..if round % 2 == 0 { 512 } else { 16_384 });
            let mut old = [0; 4];
            file.read_exact_at(&mut old, offset).unwrap();
            let new = [
                random.u8(..),
                random.choice([0, 0xFF, 0x80, 1]).unwrap(),
                old[2],
                old[3],
            ];
            file.write_all_at(&new, offset).unwrap();
            // In this process: a panic fails the test.
            let report = slamboot::image::inspect::Report::of(&disk).unwrap();
            let _ = slamboot::image::inspect::show::text(&report, true);
            file.write_all_at(&old, offset).unwrap();
        }
        assert_eq!(inspect(&disk).1, json, "{kind}, seed {seed}");
    }
}

/// A disk as the recipe's followers make it: sfdisk, and the volume by its own tools.
fn by_hand(parts: &Parts, kind: &str) -> PathBuf {
    let disk = parts.at("by-hand.img");
    let volume = parts.at("by-hand.vol");
    let sectors = 160_000u64;
    File::create(&disk)
        .unwrap()
        .set_len((2048 + sectors) * 512)
        .unwrap();
    File::create(&volume)
        .unwrap()
        .set_len(sectors * 512)
        .unwrap();
    let id = if kind == "ntfs" { "7" } else { "c" };
    let mut sfdisk = Command::new("sfdisk")
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(&disk)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let script = format!("label: dos\nstart=2048, size={sectors}, type={id}, bootable\n");
    sfdisk
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    assert!(sfdisk.wait().unwrap().success());
    let image = text(&volume);
    // The recipe's own mistake: boot.sdi where the store does not look for it.
    let store = parts.at("by-hand.bcd");
    let _ = std::fs::remove_file(&store);
    done(&[
        "bcd",
        "create",
        text(&store),
        "--winpe",
        "--as-recipe",
        "--disk",
        text(&disk),
    ]);
    if kind == "ntfs" {
        run(Command::new("mkntfs")
            .args(["-F", "-Q", "-p", "2048", "-s", "512", "-L", "RECIPE", image]));
        for (from, to) in [
            (&parts.bootmgr, "/bootmgr"),
            (&parts.wim, "/winpe.wim"),
            (&parts.sdi, "/boot.sdi"),
        ] {
            run(Command::new("ntfscp").args(["-f", image, text(from), to]));
        }
    } else {
        run(Command::new("mkfs.vfat")
            .args(["-F", "32", "-s", "1", "-h", "2048", "-n", "RECIPE", image]));
        run(Command::new("mmd").args(["-i", image, "::/boot"]));
        for (from, to) in [
            (&parts.bootmgr, "::/bootmgr"),
            (&parts.wim, "::/winpe.wim"),
            (&parts.sdi, "::/boot/boot.sdi"),
            (&store, "::/boot/BCD"),
        ] {
            run(Command::new("mcopy").args(["-i", image, text(from), to]));
        }
    }
    run(Command::new("dd")
        .args(["bs=1M", "seek=1", "conv=notrunc", "status=none"])
        .arg(format!("if={image}"))
        .arg(format!("of={}", disk.display())));
    disk
}

#[test]
fn an_image_made_by_hand_is_understood_and_made_to_boot() {
    let name = "an_image_made_by_hand_is_understood_and_made_to_boot";
    let tools = ["sfdisk", "mkfs.vfat", "mcopy", "mkntfs", "ntfscp"];
    if !has_wimlib(name) || !tools.iter().all(|tool| has_tool(name, tool)) {
        return;
    }
    let parts = Parts::new();
    for kind in KINDS {
        let disk = by_hand(&parts, kind);
        let (good, json) = inspect(&disk);
        assert!(!good);
        let said = troubles(&json);
        assert_eq!(json["volume"]["label"], "RECIPE", "{json:#}");
        assert_eq!(json["volume"]["file_system"], kind.to_uppercase());
        assert!(
            said.contains("not bootable") || said.contains("no boot code"),
            "{said}"
        );
        if kind == "fat32" {
            assert!(
                said.contains("names the boot.sdi \\\\boot.sdi, which is not there"),
                "{said}"
            );
            assert!(
                said.contains("there is \\\\boot\\\\boot.sdi: file and store must agree"),
                "{said}"
            );
        }
        let store = parts.at("by-hand.bcd");
        let add_sdi = format!("{}=\\boot.sdi", parts.sdi.display());
        let add_store = format!("{}=\\boot\\BCD", store.display());
        done(&[
            "image",
            "update",
            text(&disk),
            "--add",
            &add_sdi,
            "--add",
            &add_store,
        ]);
        // A store that names the old disk, there or added, names the new one.
        let (good, json) = inspect(&disk);
        assert!(good, "{kind}: {}", troubles(&json));
        assert_eq!(
            extract(&disk, "\\winpe.wim", &parts),
            std::fs::read(&parts.wim).unwrap()
        );
        if have_qemu(name) {
            let said =
                Machine::start(&Medium::Disk(&disk), 64).until(&["stand-in: ok", "stand-in: BAD"]);
            assert!(said.contains(&standin::success_line()), "{said}");
        }
    }
}

#[test]
fn the_wim_is_swapped_and_the_disk_grows() {
    if !has_wimlib("the_wim_is_swapped_and_the_disk_grows") {
        return;
    }
    let parts = Parts::new();
    let mut large = vec![0; 60 << 20];
    fastrand::Rng::with_seed(1).fill(&mut large);
    std::fs::write(parts.at("tree/large.bin"), &large).unwrap();
    let new = parts.at("new.wim");
    parts.capture(&new, &["--compress=none", "--boot"]);
    for kind in KINDS {
        let note = parts.at("note.txt");
        std::fs::write(&note, "a note").unwrap();
        let add = format!("{}=\\Notes\\note.txt", note.display());
        let disk = parts.build(&["--fs", kind, "--device", "partition", "--add", &add]);
        let before = std::fs::metadata(&disk).unwrap().len();
        let old = parts.at("old.img");
        std::fs::copy(&disk, &old).unwrap();
        let more = format!("{}=\\more.txt", note.display());
        let path = text(&disk);
        done(&[
            "image",
            "update",
            path,
            "--wim",
            text(&new),
            "--add",
            &more,
            "--remove",
            "\\Notes",
        ]);
        assert!(std::fs::metadata(&disk).unwrap().len() > before);
        // Signature, extent table and store fit again.
        let (good, json) = inspect(&disk);
        assert!(good, "{json:#}");
        assert!(extract(&disk, "\\sources\\boot.wim", &parts) == std::fs::read(&new).unwrap());
        assert_eq!(extract(&disk, "\\more.txt", &parts), b"a note");
        let said = refused(&[
            "image",
            "extract",
            path,
            "\\Notes\\note.txt",
            "-o",
            text(&parts.at("x")),
        ]);
        assert!(said.contains("no such file or folder"), "{said}");
        let hive = Hive::read(extract(&disk, "\\Boot\\BCD", &parts)).unwrap();
        let store = Store::read(&hive).unwrap();
        let default = &store.objects[&store.default_object().unwrap()];
        assert!(matches!(default.elements[&code::DEVICE], Value::Device(_)));

        // The same change gives the same bytes, elsewhere and from the old image alone.
        let other = parts.at("other.img");
        let arguments = [
            "image",
            "update",
            text(&old),
            "--wim",
            text(&new),
            "--add",
            &more,
            "--remove",
            "\\Notes",
            "-o",
            text(&other),
        ];
        done(&arguments);
        assert!(std::fs::read(&other).unwrap() == std::fs::read(&disk).unwrap());
    }
}

#[test]
fn a_failed_update_leaves_the_old_image() {
    if !has_wimlib("a_failed_update_leaves_the_old_image") {
        return;
    }
    let parts = Parts::new();
    let disk = parts.build(&[]);
    let before = std::fs::read(&disk).unwrap();
    let other = parts.at("lzms.wim");
    parts.capture(&other, &["--compress=LZMS", "--boot"]);
    let path = text(&disk);
    let dup = format!("{}=\\Boot", parts.sdi.display());
    for (more, expected) in [
        (&["--wim", text(&other)][..], "compressed with LZMS"),
        (&["--wim", text(&parts.sdi)], "no WIM that can be used"),
        (
            &["--remove", "\\nothing"],
            "there is no such file or folder",
        ),
        (&["--remove", "\\bootmgr"], "it is not among the files"),
        (&["--add", &dup], "the name is taken twice"),
        (&[], "nothing to change"),
    ] {
        let said = refused(&[&["image", "update", path], more].concat());
        assert!(said.contains(expected), "{expected:?} is not in {said}");
        assert!(std::fs::read(&disk).unwrap() == before, "{expected}");
    }
    let file = File::options().read(true).write(true).open(&disk).unwrap();
    for (offset, bytes, expected) in [
        (
            0x1CE,
            &before[0x1BE..0x1CE],
            "expected one active partition, found 2",
        ),
        (0x1BE, &[0][..], "expected one active partition, found 0"),
        (0x1C2, &[0xEE], "it has a GPT"),
        ((1 << 20) + 3, b"EXFAT   \0\0", "expected FAT or NTFS"),
    ] {
        file.write_all_at(bytes, offset).unwrap();
        let said = refused(&["image", "update", path, "--remove", "\\Boot"]);
        file.write_all_at(&before[offset as usize..][..bytes.len()], offset)
            .unwrap();
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
    // Nothing is left beside it.
    let left = std::fs::read_dir(parts.folder.path()).unwrap();
    let part = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".part");
    assert!(
        !left
            .into_iter()
            .any(|entry| part(&entry.unwrap().file_name()))
    );
    let demo = parts.at("demo.img");
    done(&["image", "demo", "-o", text(&demo)]);
    let said = refused(&["image", "update", text(&demo), "--remove", "\\Read me.txt"]);
    assert!(said.contains("it is a demo disk"), "{said}");
}

#[test]
fn everything_comes_out() {
    if !has_wimlib("everything_comes_out") {
        return;
    }
    let parts = Parts::new();
    for kind in KINDS {
        let disk = parts.build(&["--fs", kind]);
        let out = parts.at(kind);
        done(&["image", "extract", text(&disk), "-o", text(&out)]);
        for (file, expected) in [
            ("bootmgr", &parts.bootmgr),
            ("Boot/boot.sdi", &parts.sdi),
            ("sources/boot.wim", &parts.wim),
        ] {
            let found = std::fs::read(out.join(file)).unwrap();
            assert!(found == std::fs::read(expected).unwrap(), "{kind}: {file}");
        }
        let boot = parts.at("boot-folder");
        done(&["image", "extract", text(&disk), "\\Boot", "-o", text(&boot)]);
        assert!(boot.join("boot.sdi").is_file() && !boot.join("bootmgr").exists());
        if kind == "fat32" {
            let store = read_fat(&disk, "\\Boot\\BCD").unwrap();
            assert_eq!(std::fs::read(out.join("Boot/BCD")).unwrap(), store);
        }
    }
}
