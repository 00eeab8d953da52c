// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask flash card` with flashrom's dummy programmer: an emulated chip, kept in a file.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

const ROM: &str = "/usr/lib/ipxe/qemu/pxe-e1000.rom";
/// 128 KiB.
const SMALL: usize = 128 << 10;

/// Why nothing can be tested here, said aloud.
fn lacking() -> bool {
    let there = Path::new(ROM).exists() && xtask::host::program("flashrom").is_some();
    if !there {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no flashrom, or no {ROM} (apt-get install flashrom ipxe-qemu)"
        );
    }
    !there
}

fn flash(dir: &Path, rom: &str, id: &str, more: &[&str]) -> Output {
    let chip = dir.join("chip.bin").display().to_string();
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["flash", "card", rom, "--id", id])
        .args([
            "--programmer",
            &format!("dummy:emulate=M25P10.RES,image={chip}"),
        ])
        .arg("--backup")
        .arg(dir.join("backup.bin"))
        .args(more)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr]
        .map(String::from_utf8_lossy)
        .concat()
}

#[test]
fn a_rom_is_written_read_back_and_identical() {
    if lacking() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let before: Vec<u8> = (0..SMALL).map(|n| (n * 7 % 251) as u8).collect();
    fs::write(dir.path().join("chip.bin"), &before).unwrap();

    // The plan alone changes nothing.
    let output = flash(dir.path(), ROM, "8086:100e", &["--dry-run"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("flashrom"), "{}", said(&output));
    assert_eq!(fs::read(dir.path().join("chip.bin")).unwrap(), before);
    assert!(!dir.path().join("backup.bin").exists());

    let output = flash(dir.path(), ROM, "8086:100e", &[]);
    assert!(output.status.success(), "{}", said(&output));
    let rom = fs::read(ROM).unwrap();
    let after = fs::read(dir.path().join("chip.bin")).unwrap();
    assert_eq!(after[..rom.len()], rom);
    assert_eq!(
        after[rom.len()..],
        before[rom.len()..],
        "the rest is as it was"
    );
    assert_eq!(fs::read(dir.path().join("backup.bin")).unwrap(), before);
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 2, "the chip and its backup");

    // A backup is never overwritten.
    let output = flash(dir.path(), ROM, "8086:100e", &[]);
    assert!(
        !output.status.success() && said(&output).contains("backup"),
        "{}",
        said(&output)
    );
}

#[test]
fn the_wrong_card_and_a_small_chip_are_refused() {
    if lacking() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let before = vec![0xff; SMALL];
    fs::write(dir.path().join("chip.bin"), &before).unwrap();
    for (rom, id, more, part) in [
        (ROM, "1af4:1000", &[][..], "this ROM is for 8086:100e"),
        (
            ROM,
            "8086:100e",
            &["--offset", "100000"],
            "too large for the chip",
        ),
        (
            "/usr/lib/ipxe/undionly.kpxe",
            "8086:100e",
            &[],
            "expected an option ROM",
        ),
        (ROM, "8086", &[], "expected a PCI id"),
    ] {
        let output = flash(dir.path(), rom, id, more);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(part), "{part} in {}", said(&output));
        assert!(!dir.path().join("backup.bin").exists(), "{part}");
        assert_eq!(
            fs::read(dir.path().join("chip.bin")).unwrap(),
            before,
            "{part}"
        );
    }
}
