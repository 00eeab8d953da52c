// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot image inspect`, `update` and `extract`, on our images and on those made by hand.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value as Json;
use slamboot::image::bcd::{Store, Value, code};
use slamboot::image::regf::Hive;
use slamboot::image::standin;
use slamboot::image::volume::{Content, Node, Volume};

use crate::judge::{has_tool, skip};
use crate::machine::{Machine, Medium, have_qemu};
use crate::support::{run, slamboot};
use crate::winpe_parts::{Parts, done, has_wimlib, inside, read_fat, text};

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
    install(&volume, &disk);
    disk
}

/// Puts a volume into its partition.
fn install(volume: &Path, disk: &Path) {
    run(Command::new("dd")
        .args(["bs=1M", "seek=1", "conv=notrunc,sparse", "status=none"])
        .arg(format!("if={}", volume.display()))
        .arg(format!("of={}", disk.display())));
}

/// More on a volume that was made by hand: folders, one of them empty, a file of a day of its own
/// that was backed up and must not be written to; false where it takes a driver that is not there.
fn furnish(volume: &Path, kind: &str, parts: &Parts, test: &str) -> bool {
    let dated = parts.at("dated.txt");
    std::fs::write(&dated, "from 2011").unwrap();
    // 2011-06-17 12:34:56.
    let moment = UNIX_EPOCH + Duration::from_secs(1_308_314_096);
    let file = File::options().write(true).open(&dated).unwrap();
    file.set_modified(moment).unwrap();
    if kind == "fat32" {
        let mtools = |tool: &str, arguments: &[&str]| {
            let mut command = Command::new(tool);
            command.env("TZ", "UTC").args(["-i", text(volume)]);
            run(command.args(arguments));
        };
        mtools("mmd", &["::/Empty", "::/Full", "::/Full/Deep"]);
        mtools("mcopy", &["-m", text(&dated), "::/Full/dated.txt"]);
        mtools("mattrib", &["-a", "+r", "::/Full/dated.txt"]);
        mtools("mattrib", &["+h", "::/Empty"]);
        return true;
    }
    if !has_tool(test, "ntfs-3g") || !Path::new("/dev/fuse").exists() {
        return false;
    }
    let at = parts.at("mounted");
    std::fs::create_dir_all(&at).unwrap();
    let mounted = Command::new("ntfs-3g")
        .args(["-o", "streams_interface=windows"])
        .args([volume, &at])
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        skip(test, "cannot mount an NTFS");
        return false;
    }
    for folder in ["Empty", "Full/Deep"] {
        std::fs::create_dir_all(at.join(folder)).unwrap();
    }
    let inside = at.join("Full/dated.txt");
    std::fs::write(&inside, "from 2011").unwrap();
    std::fs::write(at.join("Full/dated.txt:stream"), "beside it").unwrap();
    std::fs::hard_link(&inside, at.join("Full/again.txt")).unwrap();
    let file = File::options().write(true).open(&inside).unwrap();
    file.set_modified(moment).unwrap();
    drop(file);
    run(Command::new("umount").arg(&at));
    true
}

#[test]
fn what_update_keeps_and_what_it_says_it_cannot() {
    let name = "what_update_keeps_and_what_it_says_it_cannot";
    let tools = [
        "sfdisk",
        "mkfs.vfat",
        "mcopy",
        "mkntfs",
        "ntfscp",
        "ntfsinfo",
    ];
    if !has_wimlib(name) || !tools.iter().all(|tool| has_tool(name, tool)) {
        return;
    }
    let parts = Parts::new();
    for kind in KINDS {
        let disk = by_hand(&parts, kind);
        let volume = parts.at("by-hand.vol");
        if !furnish(&volume, kind, &parts, name) {
            continue;
        }
        install(&volume, &disk);
        let nodes = |disk: &Path| {
            let file = File::open(disk).unwrap();
            let length = file.metadata().unwrap().len() - (1 << 20);
            Volume::read(&file, 1 << 20, length).unwrap()
        };
        let before = nodes(&disk);
        let find = |volume: &Volume, path: &str| volume.find(path).unwrap().clone();
        let dated = find(&before, "\\Full\\dated.txt");
        assert_eq!(dated.attributes.times.written.dos().date >> 9, 31);
        assert_eq!(find(&before, "\\Empty").content, Content::Directory);
        let note = format!("{}=\\note.txt", parts.sdi.display());
        let output = slamboot(&["image", "update", text(&disk), "--add", &note]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        let after = nodes(&disk);
        assert_eq!(after.nodes.len(), before.nodes.len() + 1, "{kind}");
        for old in &before.nodes {
            let new = find(&after, &old.path);
            assert_eq!(new.attributes, old.attributes, "{kind}: {}", old.path);
            assert_eq!(new.path, old.path);
            let folder = |node: &Node| node.content == Content::Directory;
            assert_eq!(folder(&new), folder(old), "{kind}: {}", old.path);
        }
        // What was lost was told, and there is nothing more to lose.
        let lost = [
            "\\Full\\dated.txt: alternate data streams are left out",
            "\\Full\\again.txt, \\Full\\dated.txt: several names of one file",
            "access rights become those that Windows gives on a new volume",
        ];
        for lost in lost {
            assert_eq!(said.contains(lost), kind == "ntfs", "{lost}: {said}");
        }
        assert!(after.nodes.iter().all(|node| node.losses.is_empty()));
        // And as others see it.
        let volume = parts.at("updated.vol");
        run(Command::new("dd")
            .args(["bs=1M", "skip=1", "conv=sparse", "status=none"])
            .arg(format!("if={}", disk.display()))
            .arg(format!("of={}", volume.display())));
        let seen = if kind == "fat32" {
            assert!(dated.attributes.archived && dated.attributes.read_only);
            run(Command::new("mdir").args(["-i", text(&volume), "::/Full"]))
        } else {
            run(Command::new("ntfsinfo").env("TZ", "UTC").args([
                "-f",
                "-F",
                "/Full/dated.txt",
                text(&volume),
            ]))
        };
        assert!(seen.contains("2011") && seen.contains("12:34"), "{seen}");
    }
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
        assert_eq!(
            extract(&disk, "\\winpe.wim", &parts),
            std::fs::read(&parts.wim).unwrap()
        );
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

/// Keys in a circle, cells that lie elsewhere: both commands say what is wrong, where, and what
/// helps.
#[test]
fn a_store_that_is_broken_inside_an_image() {
    if !has_wimlib("a_store_that_is_broken_inside_an_image") {
        return;
    }
    let parts = Parts::new();
    let good = parts.at("good.bcd");
    let note = format!("{}=\\note", parts.sdi.display());
    for kind in KINDS {
        let disk = parts.build(&["--fs", kind]);
        let store = extract(&disk, "\\Boot\\BCD", &parts);
        std::fs::write(&good, &store).unwrap();
        let whole = std::fs::read(&disk).unwrap();
        let hive = whole.windows(store.len()).position(|part| part == store);
        let hive = hive.unwrap() as u64;
        let number = |at: usize| u32::from_le_bytes(store[at..at + 4].try_into().unwrap());
        // Cells count from 0x1000 and begin with their size.
        let root = 0x1000 + number(0x24) as usize;
        let list = 0x1000 + number(root + 4 + 0x1C) as usize;
        let file = File::options().read(true).write(true).open(&disk).unwrap();
        for (what, at, value) in [
            ("a key that is in itself", list + 8, number(0x24)),
            ("a key past the end", list + 8, 0x0FFF_FFF0),
            ("a list past the end", root + 4 + 0x1C, 0x0FFF_FFF0),
            ("a list that is a key", root + 4 + 0x1C, number(0x24)),
            ("a cell larger than its bin", root, 0x8000_0008),
            ("a cell of no length", root, 0),
        ] {
            file.write_all_at(&value.to_le_bytes(), hive + at as u64)
                .unwrap();
            let broken = std::fs::read(&disk).unwrap();
            let (sound, json) = inspect(&disk);
            assert!(!sound, "{kind}: {what}");
            let told = troubles(&json);
            let updated = refused(&["image", "update", text(&disk), "--add", &note]);
            for said in [&told, &updated] {
                for part in ["offset 0x", "expected ", "found ", "0xc000014c"] {
                    assert!(
                        said.contains(part),
                        "{kind}: {what}: {part:?} is not in {said}"
                    );
                }
            }
            assert!(told.contains("\\\\Boot\\\\BCD is no store"), "{told}");
            for part in [
                "disk.img: \\Boot\\BCD is no store",
                "--add BCD='\\Boot\\BCD'",
            ] {
                assert!(updated.contains(part), "{part:?} is not in {updated}");
            }
            assert!(std::fs::read(&disk).unwrap() == broken, "{kind}: {what}");
        }
        // What it advises works; a bad one in its place does not.
        let add = format!("{}=\\Boot\\BCD", parts.sdi.display());
        let said = refused(&["image", "update", text(&disk), "--add", &add]);
        assert!(said.contains("\\Boot\\BCD is no store"), "{said}");
        let add = format!("{}=\\Boot\\BCD", good.display());
        done(&["image", "update", text(&disk), "--add", &add]);
        let (sound, json) = inspect(&disk);
        assert!(sound, "{kind}: {}", troubles(&json));
    }
}

#[test]
fn boot_manager_and_wim_of_two_kinds() {
    if !has_wimlib("boot_manager_and_wim_of_two_kinds") {
        return;
    }
    let parts = Parts::new();
    let x86 = parts.at("x86.wim");
    parts.capture(&x86, &["--compress=none", "--boot"]);
    run(Command::new("wimlib-imagex").arg("info").arg(&x86).args([
        "1",
        "--image-property",
        "WINDOWS/ARCH=0",
    ]));
    // A BIOS's boot manager starts both.
    let disk = parts.build(&[]);
    done(&["image", "update", text(&disk), "--wim", text(&x86)]);
    let disk = parts.build(&["--uefi", "--bootx64", text(&parts.efi)]);
    let said = refused(&["image", "update", text(&disk), "--wim", text(&x86)]);
    for part in [
        "bootx64.efi is for x86-64, \\sources\\boot.wim for x86",
        "0xc000007b",
        "--remove \\EFI",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let mut ia32 = standin::efi().to_vec();
    let pe = ia32[0x3C] as usize;
    ia32[pe + 4..pe + 6].copy_from_slice(&[0x4C, 0x01]);
    let efi = parts.at("ia32.efi");
    std::fs::write(&efi, &ia32).unwrap();
    let add = format!("{}=\\EFI\\Boot\\bootx64.efi", efi.display());
    let said = refused(&["image", "update", text(&disk), "--add", &add]);
    assert!(said.contains("is for 32-bit x86"), "{said}");
    // Both together fit, and so does what the error advises.
    let other = parts.at("other.img");
    let both = [
        "image",
        "update",
        text(&disk),
        "--add",
        &add,
        "--wim",
        text(&x86),
    ];
    done(&[&both[..], &["-o", text(&other)]].concat());
    let bios = ["image", "update", text(&disk), "--remove", "\\EFI", "--wim"];
    done(&[&bios[..], &[text(&x86)]].concat());
    assert!(inspect(&disk).0);
}

#[test]
fn what_is_inside_the_wim_is_changed_in_the_image() {
    if !has_wimlib("what_is_inside_the_wim_is_changed_in_the_image") {
        return;
    }
    let parts = Parts::new();
    let own = parts.at("own.cmd");
    std::fs::write(&own, "wpeinit\r\nnet use\r\n").unwrap();
    let inject = parts.at("inject");
    std::fs::create_dir_all(inject.join("Tools")).unwrap();
    std::fs::write(inject.join("Tools/a.txt"), "a tool").unwrap();
    let drivers = parts.at("nic");
    std::fs::create_dir_all(&drivers).unwrap();
    std::fs::write(drivers.join("e1000.inf"), "[Version]").unwrap();
    for kind in KINDS {
        let disk = parts.build(&["--fs", kind]);
        for more in [
            &["--startnet", text(&own), "--inject", text(&inject)][..],
            &["--drivers", text(&drivers)],
        ] {
            done(&[&["image", "update", text(&disk)], more].concat());
        }
        let (sound, json) = inspect(&disk);
        assert!(sound, "{kind}: {}", troubles(&json));
        let wim = parts.at("inside.wim");
        std::fs::write(&wim, extract(&disk, "\\sources\\boot.wim", &parts)).unwrap();
        assert_eq!(inside(&wim, "/Tools/a.txt"), b"a tool");
        let startnet = inside(&wim, "/Windows/System32/startnet.cmd");
        let startnet = String::from_utf8(startnet).unwrap();
        assert!(startnet.contains("drvload"), "{startnet}");
        assert!(startnet.ends_with("wpeinit\r\nnet use\r\n"), "{startnet}");
    }
    // Nothing is left beside it.
    let mut left = std::fs::read_dir(parts.folder.path()).unwrap();
    assert!(!left.any(|entry| {
        entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with('.')
    }));
}
