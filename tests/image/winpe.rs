// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot image winpe`: what it makes of which parts.

use std::process::Command;

use slamboot::image::bcd::{Descriptor, Store, Value, code};
use slamboot::image::regf::Hive;
use slamboot::image::standin;

use crate::judge::has_tool;
use crate::support::run;
use crate::winpe_parts::{Parts, done, has_wimlib, inside, read_fat, text};

fn ready(test: &str) -> bool {
    has_wimlib(test) && has_tool(test, "mtype")
}

fn store(disk: &std::path::Path, path: &str) -> Store {
    let hive = Hive::read(read_fat(disk, path).unwrap()).unwrap();
    Store::read(&hive).unwrap()
}

#[test]
fn by_parts_twice_the_same_bytes() {
    if !ready("by_parts_twice_the_same_bytes") {
        return;
    }
    let parts = Parts::new();
    let disk = parts.build(&["--fs", "fat32"]);
    let first = std::fs::read(&disk).unwrap();
    for (path, expected) in [
        ("\\bootmgr", &parts.bootmgr),
        ("\\Boot\\boot.sdi", &parts.sdi),
        ("\\sources\\boot.wim", &parts.wim),
    ] {
        let expected = std::fs::read(expected).unwrap();
        assert!(read_fat(&disk, path).unwrap() == expected, "{path}");
    }
    let attributes = run(Command::new("mattrib")
        .arg("-i")
        .arg(format!("{}@@1M", disk.display()))
        .arg("::/bootmgr"));
    assert!(attributes.contains("SH"), "{attributes}");
    assert!(read_fat(&disk, "\\EFI\\Boot\\bootx64.efi").is_none());
    std::fs::remove_file(&disk).unwrap();
    parts.build(&["--fs", "fat32"]);
    assert!(std::fs::read(&disk).unwrap() == first);
    // Nothing is left beside it.
    let left = std::fs::read_dir(parts.folder.path()).unwrap();
    let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
    assert!(
        !left
            .into_iter()
            .any(|entry| hidden(&entry.unwrap().file_name()))
    );
}

#[test]
fn from_the_wim_alone() {
    if !ready("from_the_wim_alone") {
        return;
    }
    let parts = Parts::new();
    let disk = parts.at("alone.img");
    let said = done(&[
        "image",
        "winpe",
        "--wim",
        text(&parts.wim),
        "--uefi",
        "-o",
        text(&disk),
    ]);
    for line in [
        "boots:       image 1 \"Stand-in PE\", x86-64, on BIOS and 64-bit UEFI\n",
        "bootmgr:     \\Windows\\Boot\\PCAT\\bootmgr in the WIM\n",
        "boot.sdi:    \\Windows\\Boot\\DVD\\PCAT\\boot.sdi in the WIM\n",
        "next:        slamboot serve ",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
    for (path, expected) in [
        ("\\bootmgr", standin::render()),
        ("\\EFI\\Boot\\bootx64.efi", standin::efi().to_vec()),
    ] {
        assert!(read_fat(&disk, path) == Some(expected), "{path}");
    }
    for path in ["\\Boot\\Fonts", "\\EFI\\Microsoft\\Boot\\Fonts"] {
        let font = read_fat(&disk, &format!("{path}\\wgl4_boot.ttf")).unwrap();
        assert!(font.starts_with(b"a stand-in for Windows/Boot/Fonts"));
    }
    // Each boot path has its store, with its loader.
    for (path, loader) in [
        ("\\Boot\\BCD", "\\windows\\system32\\boot\\winload.exe"),
        (
            "\\EFI\\Microsoft\\Boot\\BCD",
            "\\windows\\system32\\boot\\winload.efi",
        ),
    ] {
        let store = store(&disk, path);
        let default = &store.objects[&store.default_object().unwrap()];
        assert_eq!(default.elements[&code::PATH], Value::String(loader.into()));
    }
}

/// Elsewhere than usual, as in an image of a whole Windows, whose component store has it once more.
#[test]
fn from_anywhere_in_the_wim() {
    if !ready("from_anywhere_in_the_wim") {
        return;
    }
    let parts = Parts::new();
    let tree = parts.at("tree/Windows");
    let store = tree.join("WinSxS/x86_microsoft-windows-b..re-bootmanager-pcat_31bf3856ad364e35");
    std::fs::create_dir_all(&store).unwrap();
    std::fs::rename(tree.join("Boot/PCAT/bootmgr"), store.join("BOOTMGR")).unwrap();
    std::fs::rename(tree.join("Boot/DVD/PCAT/boot.sdi"), store.join("boot.sdi")).unwrap();
    let wim = parts.at("sxs.wim");
    parts.capture(&wim, &["--compress=XPRESS", "--boot"]);
    let disk = parts.at("sxs.img");
    let said = done(&["image", "winpe", "--wim", text(&wim), "-o", text(&disk)]);
    assert!(
        said.contains("31bf3856ad364e35\\BOOTMGR in the WIM\n"),
        "{said}"
    );
    assert!(read_fat(&disk, "\\bootmgr") == Some(standin::render()));
}

#[test]
fn from_media() {
    if !ready("from_media") {
        return;
    }
    let parts = Parts::new();
    let media = parts.media();
    let disk = parts.at("media.img");
    let build = |media: &str| {
        let said = done(&[
            "image",
            "winpe",
            "--media",
            media,
            "--uefi",
            "-o",
            text(&disk),
        ]);
        (said, std::fs::read(&disk).unwrap())
    };
    let (said, from_folder) = build(text(&media));
    let line = format!("bootmgr:     BOOTMGR of {}\n", media.display());
    assert!(said.contains(&line), "{said}");
    assert!(read_fat(&disk, "\\Boot\\Fonts\\wgl4_boot.ttf") == Some(b"a font".to_vec()));
    for (tool, name, arguments) in [
        (
            "xorriso",
            "plain.iso",
            &["-as", "mkisofs", "-quiet", "-J", "-r"][..],
        ),
        (
            "genisoimage",
            "udf.iso",
            &["-quiet", "-udf", "-r", "-iso-level", "3"][..],
        ),
    ] {
        if !has_tool("from_media", tool) || !has_tool("from_media", "7zz") {
            continue;
        }
        let iso = parts.at(name);
        run(Command::new(tool)
            .args(arguments)
            .arg("-o")
            .arg(&iso)
            .arg(&media));
        let (said, from_iso) = build(text(&iso));
        assert!(from_iso == from_folder, "{name}: {said}");
    }
}

#[test]
fn as_the_recipe_had_it() {
    if !ready("as_the_recipe_had_it") {
        return;
    }
    let parts = Parts::new();
    let disk = parts.build(&["--as-recipe", "--fs", "fat32"]);
    assert!(read_fat(&disk, "\\winpe.wim").is_some());
    assert!(read_fat(&disk, "\\boot.sdi").is_some());
    let sector = std::fs::read(&disk).unwrap()[..512].to_vec();
    let signature = u32::from_le_bytes(sector[0x1B8..0x1BC].try_into().unwrap());
    let store = store(&disk, "\\boot\\BCD");
    let default = &store.objects[&store.default_object().unwrap()];
    let Value::Device(device) = &default.elements[&code::OS_DEVICE] else {
        panic!("{default:?}");
    };
    let Descriptor::Ramdisk(file) = &device.descriptor else {
        panic!("{device:?}");
    };
    assert_eq!(file.path, "\\winpe.wim");
    let Descriptor::Mbr(partition) = file.parent else {
        panic!("{file:?}");
    };
    assert_eq!(
        (partition.signature, partition.offset),
        (signature, 1 << 20)
    );
}

#[test]
fn what_is_inside_the_wim_can_be_changed() {
    if !ready("what_is_inside_the_wim_can_be_changed") {
        return;
    }
    let parts = Parts::new();
    let before = std::fs::read(&parts.wim).unwrap();
    let folder = |name: &str, files: &[(&str, &str)]| {
        let path = parts.at(name);
        for (file, content) in files {
            let file = path.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        path
    };
    let inject = folder("inject", &[("Tools/it's here.txt", "a tool")]);
    let drivers = folder(
        "nic",
        &[
            ("e1000/e1000.inf", "[Version]"),
            ("e1000/e1000.sys", "code"),
        ],
    );
    let build = || {
        let disk = parts.build(&["--inject", text(&inject), "--drivers", text(&drivers)]);
        let wim = parts.at("inside.wim");
        std::fs::write(&wim, read_fat(&disk, "\\sources\\boot.wim").unwrap()).unwrap();
        (wim, std::fs::read(&disk).unwrap())
    };
    let (wim, first) = build();
    assert_eq!(inside(&wim, "/Tools/it's here.txt"), b"a tool");
    assert_eq!(inside(&wim, "/slamboot-drivers/0/e1000/e1000.sys"), b"code");
    let startnet = inside(&wim, "/Windows/System32/startnet.cmd");
    let startnet = String::from_utf8(startnet).unwrap();
    let (drvload, rest) = startnet.split_once("\r\n").unwrap();
    assert!(
        drvload.contains("drvload") && drvload.contains("\\slamboot-drivers"),
        "{drvload}"
    );
    assert!(
        rest.starts_with("a stand-in for Windows/System32/startnet.cmd"),
        "{rest}"
    );
    // The parts taken from inside are those of the WIM as it was; the WIM itself stays.
    assert!(std::fs::read(&parts.wim).unwrap() == before);
    // wimlib takes no time from the clock.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(build().1 == first);

    let own = parts.at("own.cmd");
    std::fs::write(&own, "wpeinit\r\nnet use\r\n").unwrap();
    let disk = parts.build(&["--startnet", text(&own)]);
    std::fs::write(&wim, read_fat(&disk, "\\sources\\boot.wim").unwrap()).unwrap();
    assert_eq!(
        inside(&wim, "/Windows/System32/startnet.cmd"),
        b"wpeinit\r\nnet use\r\n"
    );
}

#[test]
fn more_files_and_room() {
    if !ready("more_files_and_room") {
        return;
    }
    let parts = Parts::new();
    let tools = parts.at("tools");
    std::fs::create_dir_all(tools.join("deep")).unwrap();
    std::fs::write(tools.join("deep/ghost.exe"), "a program").unwrap();
    let add = format!("{}=\\Tools", tools.display());
    let disk = parts.build(&["--add", &add, "--free", "100MiB"]);
    let found = read_fat(&disk, "\\Tools\\deep\\ghost.exe").unwrap();
    assert_eq!(found, b"a program");
    let listed = run(Command::new("mdir")
        .arg("-i")
        .arg(format!("{}@@1M", disk.display())));
    let free = listed
        .lines()
        .find(|line| line.contains("bytes free"))
        .unwrap();
    let free: u64 = free
        .chars()
        .filter(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .unwrap();
    assert!((100 << 20..120 << 20).contains(&free), "{free}");
    let metadata = std::fs::metadata(&disk).unwrap();
    assert!(metadata.len().is_multiple_of(255 * 63 * 512));
    // Sparse: what is free takes no room.
    let used = std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
    assert!(used < 16 << 20, "{used}");
}
