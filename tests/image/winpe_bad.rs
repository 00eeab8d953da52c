// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parts that no WinPE disk can be made of: each error says what, where and what to do, and
//! nothing is left behind.

use std::path::Path;
use std::process::Command;

use slamboot::image::standin;

use crate::support::{run, slamboot};
use crate::winpe_parts::{Parts, has_wimlib, text};

/// `slamboot image winpe` must fail; what it said. Nothing may be left where it was to write.
fn refused(parts: &Parts, arguments: &[&str]) -> String {
    let out = parts.at("out");
    std::fs::create_dir_all(&out).unwrap();
    let disk = out.join("disk.img");
    let output = slamboot(&[&["image", "winpe", "-o", text(&disk)], arguments].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let left: Vec<_> = std::fs::read_dir(&out).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    said
}

/// With these parts, and one replaced.
fn by_parts(parts: &Parts, wim: &Path, more: &[&str]) -> String {
    let all = [
        "--wim",
        text(wim),
        "--bootmgr",
        text(&parts.bootmgr),
        "--sdi",
        text(&parts.sdi),
    ];
    refused(parts, &[&all, more].concat())
}

fn contains(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

#[test]
fn wims_that_do_not_boot() {
    if !has_wimlib("wims_that_do_not_boot") {
        return;
    }
    let parts = Parts::new();
    let other = parts.at("other.wim");
    let mut cases: Vec<(&[&str], &[&str])> = vec![
        (
            &["--compress=LZX"],
            &["boot index 0 at 0x78", "0xc000000d", "--boot"],
        ),
        (
            &["--compress=LZMS", "--boot"],
            &["compressed with LZMS", "0xc000000d", "--compress=LZX"],
        ),
        (
            &["--solid", "--boot"],
            &["in solid resources", "0xc000000d", "--compress=LZX"],
        ),
    ];
    for (options, expected) in cases.drain(..) {
        let _ = std::fs::remove_file(&other);
        parts.capture(&other, options);
        let said = by_parts(&parts, &other, &[]);
        contains(&said, expected);
        contains(&said, &["other.wim: this WIM would not boot"]);
        // What the error advises works.
        let good = parts.at("good.wim");
        let _ = std::fs::remove_file(&good);
        if options[0] == "--compress=LZX" {
            run(Command::new("wimlib-imagex")
                .arg("info")
                .arg(&other)
                .args(["1", "--boot"]));
            std::fs::rename(&other, &good).unwrap();
        } else {
            run(Command::new("wimlib-imagex")
                .arg("export")
                .arg(&other)
                .arg("all")
                .arg(&good)
                .args(["--compress=LZX", "--boot"]));
        }
        let disk = parts.at("good.img");
        let all = ["--bootmgr", text(&parts.bootmgr), "--sdi", text(&parts.sdi)];
        let wim = ["image", "winpe", "--wim", text(&good), "-o", text(&disk)];
        assert!(slamboot(&[&wim[..], &all[..]].concat()).status.success());
    }
}

#[test]
fn wims_that_are_none() {
    if !has_wimlib("wims_that_are_none") {
        return;
    }
    let parts = Parts::new();
    let whole = std::fs::read(&parts.wim).unwrap();
    let other = parts.at("other.wim");
    let with = |bytes: &[u8]| {
        std::fs::write(&other, bytes).unwrap();
        by_parts(&parts, &other, &[])
    };
    contains(
        &with(&whole[..whole.len() - 1]),
        &[
            "other.wim: no WIM that can be used",
            "it is cut off",
            "copy it again",
        ],
    );
    contains(
        &with(&whole[..100]),
        &["expected at least 208 bytes, found 100"],
    );
    contains(&with(b""), &["found 0"]);
    contains(&with(&[b'x'; 4096]), &["magic at 0x0: expected \"MSWIM"]);
    let mut broken = whole.clone();
    let at = u64::from_le_bytes(whole[0x50..0x58].try_into().unwrap()) as usize;
    broken[at + 4] = 0xFF;
    contains(&with(&broken), &["WIM XML data at byte"]);

    run(Command::new("wimlib-imagex")
        .arg("split")
        .arg(&parts.wim)
        .arg(parts.at("part.swm"))
        .arg("0.2"));
    let said = by_parts(&parts, &parts.at("part.swm"), &[]);
    contains(&said, &["part 1 of", "wimlib-imagex join"]);
    let said = by_parts(&parts, &parts.at("nothing.wim"), &[]);
    contains(&said, &["nothing.wim: cannot read it", "No such file"]);
    contains(
        &by_parts(&parts, Path::new("/dev/null"), &[]),
        &["expected a regular file"],
    );
}

#[test]
fn other_parts_that_are_wrong() {
    if !has_wimlib("other_parts_that_are_wrong") {
        return;
    }
    let mut parts = Parts::new();
    let wim = parts.wim.clone();
    let efi = parts.at("other.efi");
    let mut ia32 = standin::efi().to_vec();
    let pe = ia32[0x3C] as usize;
    ia32[pe + 4..pe + 6].copy_from_slice(&[0x4C, 0x01]);
    std::fs::write(&efi, &ia32).unwrap();
    let said = by_parts(&parts, &wim, &["--uefi", "--bootx64", text(&efi)]);
    contains(
        &said,
        &["is for 32-bit x86, the WIM for x86-64", "0xc000007b"],
    );
    let said = by_parts(&parts, &wim, &["--uefi", "--bootx64", text(&parts.bootmgr)]);
    contains(&said, &["expected a program for UEFI"]);
    std::fs::write(&efi, b"MZ").unwrap();

    let bootmgr = parts.bootmgr.clone();
    parts.bootmgr = parts.efi.clone();
    let said = by_parts(&parts, &wim, &[]);
    contains(
        &said,
        &["found a x86-64 program for UEFI; give it with --bootx64"],
    );
    ia32[pe + 92] = 1;
    std::fs::write(&efi, &ia32).unwrap();
    parts.bootmgr = efi;
    let said = by_parts(&parts, &wim, &[]);
    contains(&said, &["bootmgr.exe", "a boot sector cannot start that"]);
    std::fs::write(&parts.bootmgr, vec![0xE9; 500_000]).unwrap();
    contains(
        &by_parts(&parts, &wim, &[]),
        &["other.efi", "expected at most 491520"],
    );
    std::fs::write(&parts.bootmgr, b"").unwrap();
    contains(&by_parts(&parts, &wim, &[]), &["the boot file is empty"]);
    parts.bootmgr = bootmgr;

    parts.sdi = parts.at("missing.sdi");
    contains(
        &by_parts(&parts, &wim, &[]),
        &["missing.sdi: cannot read it"],
    );
    std::fs::write(&parts.sdi, &crate::winpe_parts::sdi()[..0x440]).unwrap();
    contains(
        &by_parts(&parts, &wim, &[]),
        &["no boot.sdi that can be used", "cut off"],
    );
    std::fs::write(&parts.sdi, b"$SDI0002").unwrap();
    contains(
        &by_parts(&parts, &wim, &[]),
        &["expected \"$SDI0001\" at 0x0"],
    );
    let mut no_wim = crate::winpe_parts::sdi();
    no_wim[0x440..0x480].fill(0);
    std::fs::write(&parts.sdi, no_wim).unwrap();
    contains(
        &by_parts(&parts, &wim, &[]),
        &["no entry WIM (it has PART)", "0xc000000d"],
    );
}

#[test]
fn parts_that_are_nowhere() {
    if !has_wimlib("parts_that_are_nowhere") {
        return;
    }
    let parts = Parts::new();
    let tree = parts.at("tree");
    std::fs::remove_file(tree.join("Windows/Boot/DVD/PCAT/boot.sdi")).unwrap();
    let bare = parts.at("bare.wim");
    parts.capture(&bare, &["--compress=XPRESS", "--boot"]);
    let said = refused(&parts, &["--wim", text(&bare)]);
    contains(
        &said,
        &[
            "no boot.sdi: expected it at \\Windows\\Boot\\DVD\\PCAT\\boot.sdi",
            "--sdi",
        ],
    );
    std::fs::remove_file(tree.join("Windows/Boot/PCAT/bootmgr")).unwrap();
    std::fs::remove_file(&bare).unwrap();
    parts.capture(&bare, &["--compress=none", "--boot"]);
    let said = refused(&parts, &["--wim", text(&bare)]);
    contains(
        &said,
        &[
            "no boot manager for BIOS",
            "\\Windows\\Boot\\PCAT\\bootmgr, \\Windows\\Boot\\DVD\\PCAT\\bootmgr, \\bootmgr or another \"bootmgr\" in the WIM",
            "--bootmgr",
        ],
    );
    let media = parts.at("media");
    std::fs::create_dir_all(media.join("sources")).unwrap();
    let said = refused(&parts, &["--media", text(&media)]);
    contains(&said, &["no WIM: expected it at sources/boot.wim", "--wim"]);
    contains(
        &refused(&parts, &["--media", "/nonexistent"]),
        &["/nonexistent: cannot read it"],
    );
    let no_iso = parts.at("no.iso");
    std::fs::write(&no_iso, b"no ISO").unwrap();
    contains(
        &refused(&parts, &["--media", text(&no_iso)]),
        &["no.iso: cannot read this ISO"],
    );

    // Without wimlib, a WIM alone is not enough, and the error says what would be.
    let out = parts.at("out/disk.img");
    let output = Command::new(env!("CARGO_BIN_EXE_slamboot"))
        .args([
            "image",
            "winpe",
            "--wim",
            text(&parts.wim),
            "-o",
            text(&out),
        ])
        .env("PATH", "/nonexistent")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    contains(
        &said,
        &[
            "wimlib-imagex, which is not installed",
            "apt-get install wimtools",
        ],
    );
}

#[test]
fn disks_that_cannot_be_laid_out() {
    if !has_wimlib("disks_that_cannot_be_laid_out") {
        return;
    }
    let parts = Parts::new();
    let wim = parts.wim.clone();
    contains(
        &by_parts(&parts, &wim, &["--size", "8MiB"]),
        &["it needs at least 39.22 MiB"],
    );
    let add = |source: &Path, target: &str| format!("{}={target}", source.display());
    let said = by_parts(&parts, &wim, &["--add", &add(&wim, "\\a:b")]);
    contains(
        &said,
        &["no name for a file on the disk", "':' is not allowed"],
    );
    let said = by_parts(&parts, &wim, &["--add", &add(&wim, "\\BOOTMGR")]);
    contains(&said, &["the name is taken twice"]);
    let said = by_parts(&parts, &wim, &["--add", "/nonexistent=\\a"]);
    contains(&said, &["/nonexistent: cannot read it"]);
    let said = by_parts(&parts, &wim, &["--label", "lower"]);
    contains(&said, &["expected a volume label"]);
    let large = parts.at("large");
    std::fs::File::create(&large)
        .unwrap()
        .set_len(1 << 32)
        .unwrap();
    let said = by_parts(
        &parts,
        &wim,
        &["--fs", "fat32", "--add", &add(&large, "\\large")],
    );
    contains(
        &said,
        &["\\large would have 4294967296 bytes", "at most 4294967295"],
    );
    let empty = parts.at("empty");
    std::fs::create_dir_all(&empty).unwrap();
    let said = by_parts(&parts, &wim, &["--drivers", text(&empty)]);
    contains(&said, &["empty: expected drivers, found no .inf"]);
    contains(
        &by_parts(&parts, &wim, &["--inject", text(&wim)]),
        &["expected a folder"],
    );
    contains(
        &by_parts(&parts, &wim, &["--startnet", text(&empty)]),
        &["expected a regular file"],
    );
}
