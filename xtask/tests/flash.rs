// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask flash card` with flashrom's dummy programmer: an emulated chip, kept in a file.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
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

/// `lspci` and `flashrom` of our own on PATH: the first knows one card, the second keeps the chip in a file
/// and does what `trick` says (sh, with `$n` the number of readings so far and `$out` what was read).
fn pretend(dir: &Path, trick: &str) -> String {
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let chip = dir.join("chip.bin");
    let lspci = "#!/bin/sh\n[ \"$3\" = 03:00.0 ] && echo '03:00.0 0200: 8086:100e (rev 02)'\n\
                 [ \"$3\" = 03: ] && printf '03:00.0 0200: 8086:100e\\n03:00.1 0200: 8086:100e\\n'\nexit 0\n";
    let flashrom = format!(
        "#!/bin/sh\n# -p PROGRAMMER [-r|-w FILE]\nchip='{chip}'\ncount='{count}'\n\
         echo \"$*\" >> '{log}'\n\
         echo 'Found Pretended flash chip \"P1\" (128 kB, SPI) on pretended.'\n\
         case \"$3\" in\n\
         -r) n=$(cat \"$count\" 2>/dev/null || echo 0); n=$((n + 1)); echo $n > \"$count\"\n\
             out=\"$4\"; cp \"$chip\" \"$out\"; {trick} ;;\n\
         -w) cp \"$4\" \"$chip\" ;;\nesac\n",
        chip = chip.display(),
        count = dir.join("count").display(),
        log = dir.join("log").display(),
    );
    for (name, text) in [("lspci", lspci), ("flashrom", &flashrom)] {
        let file = bin.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(chip, vec![0xff; SMALL]).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

fn pretended(dir: &Path, path: &str, rom: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["flash", "card"])
        .arg(rom)
        .args(arguments)
        .env("PATH", path)
        .current_dir(dir)
        .output()
        .unwrap()
}

/// Why there is no ROM to write, said aloud.
fn no_rom() -> bool {
    let there = Path::new(ROM).exists();
    if !there {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no {ROM} (apt-get install ipxe-qemu)"
        );
    }
    !there
}

#[test]
fn a_slot_names_the_card_and_its_programmer() {
    if no_rom() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = pretend(dir.path(), ":");
    let rom = Path::new(ROM);
    let slot = |slot, more: &[&str]| {
        let arguments = [&["--slot", slot, "--backup", "backup.bin"], more].concat();
        pretended(dir.path(), &path, rom, &arguments)
    };
    for wrong in ["09:00.0", "03:"] {
        let output = slot(wrong, &[]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(
            said(&output).contains("no such card; lspci -nn"),
            "{}",
            said(&output)
        );
    }
    // Nothing is done without a place for what is there now.
    let output = pretended(dir.path(), &path, rom, &["--slot", "03:00.0"]);
    assert!(
        !output.status.success() && said(&output).contains("--backup"),
        "{}",
        said(&output)
    );
    assert!(!dir.path().join("log").exists(), "flashrom was started");
    let output = slot("03:00.0", &[]);
    assert!(output.status.success(), "{}", said(&output));
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(
        log.lines()
            .all(|line| line.starts_with("-p nicintel_spi:pci=03:00.0")),
        "{log}"
    );
    let chip = fs::read(dir.path().join("chip.bin")).unwrap();
    assert!(chip.starts_with(&fs::read(ROM).unwrap()));
}

#[test]
fn what_the_chip_says_otherwise_is_told() {
    if no_rom() {
        return;
    }
    let spoil = "printf x | dd of=\"$out\" conv=notrunc bs=1 seek=9 2>/dev/null";
    for (reading, part, written) in [
        (2, "two readings of the chip differ", false),
        (3, "put back what was there: ", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = pretend(dir.path(), &format!("[ $n -ne {reading} ] || {spoil}"));
        let arguments = ["--slot", "03:00.0", "--backup", "backup.bin"];
        let output = pretended(dir.path(), &path, Path::new(ROM), &arguments);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(part), "{}", said(&output));
        let chip = fs::read(dir.path().join("chip.bin")).unwrap();
        assert_eq!(chip != vec![0xff; SMALL], written, "{part}");
        let backup = fs::read(dir.path().join("backup.bin")).unwrap();
        assert_eq!(backup, vec![0xff; SMALL], "{part}");
    }
}

#[test]
fn a_damaged_rom_never_reaches_the_card() {
    if no_rom() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = pretend(dir.path(), ":");
    let whole = fs::read(ROM).unwrap();
    let mut sum = whole.clone();
    *sum.last_mut().unwrap() ^= 1;
    let mut chain = whole.clone();
    // The pointer to PCIR.
    chain[0x18..0x1a].copy_from_slice(&[0xff, 0xff]);
    let cut = whole[..whole.len() - 512].to_vec();
    for (name, rom) in [("sum", sum), ("chain", chain), ("cut", cut)] {
        let file = dir.path().join(name);
        fs::write(&file, rom).unwrap();
        let arguments = ["--slot", "03:00.0", "--backup", "backup.bin"];
        let output = pretended(dir.path(), &path, &file, &arguments);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
        assert!(
            said(&output).contains("is no option ROM"),
            "{name}: {}",
            said(&output)
        );
        assert!(
            !dir.path().join("log").exists(),
            "{name}: flashrom was started"
        );
    }
}
